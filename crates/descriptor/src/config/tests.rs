use super::*;

fn file(text: &str) -> File {
    File {
        name: "a.yaml".into(),
        text: text.into(),
    }
}

fn parse(text: &str) -> Config {
    match Config::parse(&[file(text)], 1) {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    }
}

/// The first problem, without the name of the file.
fn refused(text: &str) -> String {
    let error = Config::parse(&[file(text)], 1).unwrap_err();
    let problem = error.problems()[0].to_string();
    problem.strip_prefix("a.yaml, ").unwrap().to_owned()
}

/// A descriptor with these lines.
fn descriptor(lines: &str) -> String {
    let lines: Vec<_> = lines.lines().collect();
    format!("domain: d\ndescriptors:\n  - {}\n", lines.join("\n    "))
}

#[test]
fn all_sixteen_keys_are_taken() {
    let config = parse(
        "domain: d
descriptors:
  - key: grant_id
    detailed_metric: false
    value_to_metric: yes
    rate_limit: { name: per-grant, unit: MINUTE, requests_per_unit: 30 }
    descriptors:
      - key: tool
        value: search*
        share_threshold: true
        rate_limit: { unit: second, requests_per_unit: 5, replaces: [{ name: per-grant }] }
        shadow_mode: true
  - key: tier
    value: gold
    quota_mode: true
    metadata: { plan: gold, seats: 3, sold: true, tags: [a, null] }
    rate_limit: { unlimited: true }
",
    );
    assert_eq!((config.limits(), config.revision()), (3, 1));
    let keys: Vec<_> = config.domain("d").unwrap().level.keys.keys().collect();
    assert_eq!(
        keys.iter().map(|key| &***key).collect::<Vec<_>>(),
        ["grant_id", "tier"]
    );
    let tier = &config.domain("d").unwrap().level.keys["tier"].exact["gold"];
    let Some(Metadata::Map(metadata)) = &tier.limit.as_ref().unwrap().metadata else {
        panic!("{tier:?}")
    };
    assert_eq!(metadata["seats"], Metadata::Number(3.0));
    assert_eq!(metadata["sold"], Metadata::Truth(true));
}

#[test]
fn what_go_takes_for_a_text_or_a_number_is_one() {
    let config = parse(&descriptor(
        "key: 404\nvalue: yes\nrate_limit: {unit: day, requests_per_unit: 1_000}",
    ));
    let node = &config.domain("d").unwrap().level.keys["404"].exact["yes"];
    let quantity = node.limit.as_ref().unwrap().quantity;
    let unit = Unit::Day;
    assert_eq!(
        quantity,
        Quantity::Per {
            requests: 1_000,
            unit
        }
    );
    let config = parse(&descriptor(
        "key: k\nvalue:\nrate_limit: {unit: hour}\ndescriptors: ~",
    ));
    let node = config.domain("d").unwrap().level.keys["k"].any.as_ref();
    let quantity = node.unwrap().limit.as_ref().unwrap().quantity;
    let unit = Unit::Hour;
    assert_eq!(
        quantity,
        Quantity::Per { requests: 0, unit },
        "0 denies all"
    );
    parse("domain: d\n");
}

#[test]
fn problems_name_the_line_and_the_nearest_key() {
    for (text, expected) in [
        (
            "",
            "line 1, column 1: there is nothing in it: name a `domain`",
        ),
        (
            "descriptors: []\n",
            "line 1, column 1: `domain` is missing or empty",
        ),
        (
            "- a\n",
            "line 1, column 1: a file is a mapping of `domain`, `descriptors`",
        ),
        (
            "domain: d\ndescriptor: []\n",
            "line 2, column 1: unknown key `descriptor`, did you mean `descriptors`?",
        ),
        (
            &descriptor("key: k\nrate_limits: {}"),
            "line 4, column 5: unknown key `rate_limits`, did you mean `rate_limit`?",
        ),
        (
            &descriptor("key: k\nunit: day"),
            "line 4, column 5: the key `unit` does not belong into a descriptor, but into `rate_limit`",
        ),
        (
            &descriptor("key: k\nrate_limit:\n  unit: minit\n  requests_per_unit: 3"),
            "line 5, column 13: unknown unit `minit`: use `second`, `minute`, `hour`, `day`, `week`, `month`, `year`",
        ),
        (
            &descriptor("key: k\nrate_limit: {unlimited: true, unit: day}"),
            "line 4, column 41: `unlimited` has no `unit`: leave one of the two away",
        ),
        (
            &descriptor("key: k\nrate_limit: {unit: day, requests_per_unit: -1}"),
            "line 4, column 48: this must be a whole number from 0 to 4294967295, not `-1`",
        ),
        (
            &descriptor("key: k\nshadow_mode: maybe"),
            "line 4, column 18: this must be true or false",
        ),
        (
            &descriptor("value: v"),
            "line 3, column 5: the `key` of a descriptor is missing or empty",
        ),
        (
            &descriptor("key: k\nvalue: v\nshare_threshold: true"),
            "line 5, column 22: `share_threshold` needs a `value` with a `*`: only its values can share",
        ),
        (
            "domain: d\ndescriptors:\n  - key: k\n    value: v\n  - key: k\n    value: v\n",
            "line 5, column 10: the descriptor `k: v` is there already",
        ),
        (
            &descriptor("key: k\nrate_limit: {unit: day, name: n, replaces: [{name: n}]}"),
            "line 4, column 49: a limit does not replace itself",
        ),
        (
            &descriptor("key: k*"),
            "line 3, column 10: a `*` stands for texts in `value`, not in `key`",
        ),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
}

#[test]
fn all_problems_of_all_files_are_told_at_once() {
    let files = [
        ("a.yaml", "domain: d\nx: 1\ny: 2\n"),
        ("b.yaml", "domain: d\n"),
        (
            "c.yaml",
            "domain: e\ndescriptors:\n- key: k\n  rate_limit: {unit: x}\n",
        ),
    ];
    let files = files.map(|(name, text)| File {
        name: name.into(),
        text: text.into(),
    });
    let error = Config::parse(&files, 1).unwrap_err();
    let places: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| (problem.file.as_str(), problem.line))
        .collect();
    assert_eq!(
        places,
        [("a.yaml", 2), ("a.yaml", 3), ("b.yaml", 1), ("c.yaml", 4)]
    );
    assert!(
        error
            .to_string()
            .contains("the domain `d` is in a.yaml already")
    );
    let many: String = (0..200).map(|n| format!("k{n}: 1\n")).collect();
    let error = Config::parse(&[file(&many)], 1).unwrap_err();
    assert!(error.to_string().ends_with("and 101 more"), "{error}");
}
