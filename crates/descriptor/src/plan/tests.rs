use super::*;
use crate::config::File;

const FILE: &str = "
domain: d
descriptors:
  - key: user
    rate_limit: {unit: minute, requests_per_unit: 10, name: user}
  - key: path
    value: /a*
    share_threshold: true
    rate_limit: {unit: minute, requests_per_unit: 3, replaces: [{name: user}]}
  - key: path
    value: /free
    rate_limit: {unlimited: true, replaces: [{name: user}]}
  - key: q
    quota_mode: true
    rate_limit: {unit: minute, requests_per_unit: 1}
  - key: s
    shadow_mode: true
    rate_limit: {unit: minute, requests_per_unit: 1}
";

fn config() -> Config {
    let file = File {
        name: "f".into(),
        text: FILE.into(),
    };
    Config::parse(&[file], 7).unwrap()
}

fn asked<'a>(key: &'a str, value: &'a str) -> Asked<'a> {
    Asked {
        entries: vec![Entry { key, value }],
        limit: None,
        hits: 1,
    }
}

fn request<'a>(descriptors: Vec<Asked<'a>>) -> Request<'a> {
    Request {
        domain: "d",
        descriptors,
    }
}

#[test]
fn a_value_has_a_counter_of_its_own_unless_it_shares() {
    let config = config();
    let key = |key, value| {
        let request = request(vec![asked(key, value)]);
        Plan::new(&config, &request).unwrap().items[0].key.clone()
    };
    assert_ne!(key("user", "a"), key("user", "b"));
    assert_eq!(key("path", "/a1"), key("path", "/a2"));
    assert_ne!(key("path", "/a1"), key("user", "/a*"));
}

#[test]
fn replaced_limits_do_not_apply() {
    let config = config();
    let count = |descriptors| {
        let request = request(descriptors);
        Plan::new(&config, &request).unwrap().items.len()
    };
    assert_eq!(count(vec![asked("user", "u"), asked("path", "/b")]), 1);
    assert_eq!(count(vec![asked("user", "u"), asked("path", "/a")]), 1);
    assert_eq!(count(vec![asked("user", "u"), asked("path", "/free")]), 0);
}

#[test]
fn items_carry_the_revision_and_one_quota_denies_by_itself() {
    let config = config();
    let one = request(vec![asked("q", "1"), asked("s", "1")]);
    let plan = Plan::new(&config, &one).unwrap();
    let shadows: Vec<_> = plan.items.iter().map(|item| item.shadow).collect();
    assert_eq!(shadows, [false, true]);
    assert!(plan.items.iter().all(|item| item.revision == 7));
    let two = request(vec![asked("q", "1"), asked("q", "2")]);
    let plan = Plan::new(&config, &two).unwrap();
    assert!(plan.items.iter().all(|item| item.shadow));
}

#[test]
fn an_override_takes_the_place_of_the_limit_and_needs_the_domain() {
    let config = config();
    let mut own = asked("user", "u");
    own.limit = Some(Override {
        requests: 2,
        unit: Unit::Day,
    });
    let mut request = request(vec![own.clone()]);
    let plan = Plan::new(&config, &request).unwrap();
    assert_eq!((plan.items[0].max, plan.items[0].revision), (2, 0));
    request.domain = "other";
    assert!(Plan::new(&config, &request).unwrap().items.is_empty());
    request.domain = "d";
    let mut other = own;
    other.limit = Some(Override {
        requests: 3,
        unit: Unit::Day,
    });
    request.descriptors.push(other);
    let error = Plan::new(&config, &request).unwrap_err().to_string();
    assert!(error.contains("two limits"), "{error}");
}

#[test]
fn malformed_requests_are_refused_by_their_place() {
    let config = config();
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let values: Vec<String> = (0..=LIMITED_MAX).map(|n| n.to_string()).collect();
    let many = values.iter().map(|value| asked("user", value)).collect();
    for (request, place) in [
        (request(vec![]), "descriptors: use"),
        (
            Request {
                domain: "",
                descriptors: vec![asked("user", "u")],
            },
            "domain",
        ),
        (
            request(vec![asked("user", &long)]),
            "descriptors[0].entries[0]",
        ),
        (
            request(vec![asked("", "u")]),
            "descriptors[0].entries[0].key",
        ),
        (
            request(vec![Asked {
                entries: vec![],
                limit: None,
                hits: 1,
            }]),
            "descriptors[0].entries",
        ),
        (
            request(vec![Asked {
                hits: UNITS_MAX + 1,
                ..asked("user", "u")
            }]),
            "descriptors[0].hits_addend",
        ),
        (request(many), "one decision takes 16"),
    ] {
        let error = Plan::new(&config, &request).unwrap_err().to_string();
        assert!(error.contains(place), "{place}: {error}");
    }
}
