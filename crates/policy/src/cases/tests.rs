use super::*;

const POLICY: &str = r#"{"version":"1","default":"deny","tools":{"t":{"limits":[
  {"counter":"n","window":"minute","max":2}]}}}"#;

fn steps(steps: &str) -> String {
    format!(r#"{{"about":"it","policy":{POLICY},"steps":[{steps}]}}"#)
}

fn step(more: &str) -> String {
    steps(&format!(
        r#"{{"at":"2026-01-05T10:00:00Z","grant":"g","tool":"t",{more}}}"#
    ))
}

/// The failures of all steps.
#[track_caller]
fn failures(file: &str) -> Vec<String> {
    let report = run(file.as_bytes()).unwrap();
    assert_eq!(
        report.passed(),
        report.steps.iter().all(|step| step.failures.is_empty())
    );
    report
        .steps
        .into_iter()
        .flat_map(|step| step.failures)
        .collect()
}

#[track_caller]
fn refused(file: &str) -> String {
    run(file.as_bytes()).expect_err(file).to_string()
}

#[test]
fn a_decision_that_differs_is_told() {
    assert_eq!(failures(&step(r#""expect":"allow","rule":"""#)), [""; 0]);
    let told = failures(&step(r#""expect":"deny","rule":"(hidden)""#));
    assert_eq!(told, ["expected deny by (hidden), got allow: "]);
    let told = failures(&step(r#""expect":"allow","rule":"","repeat":4"#));
    assert_eq!(
        told,
        [
            "call 3 of 4: expected allow, got deny by /tools/t/limits/n: \
          Rate limit of 2 per minute reached for t. Retry in 60 s."
        ]
    );
}

#[test]
fn a_rule_a_message_and_a_count_that_differ_are_told() {
    let other = r#"{"at":"2026-01-05T10:00:00Z","grant":"g","tool":"u","expect":"deny","#;
    let told = failures(&steps(&format!(r#"{other}"rule":"(hidden)"}}"#)));
    assert!(
        told[0].contains("expected deny by (hidden), got deny by (default deny)"),
        "{told:?}"
    );
    let told = failures(&steps(&format!(
        r#"{other}"rule":"(default deny)","message":"no"}}"#
    )));
    assert!(told[0].contains("saying \"no\""), "{told:?}");
    let told = failures(&step(
        r#""expect":"allow","rule":"","charged":{"/tools/t/limits/n":2}"#,
    ));
    assert_eq!(told, ["/tools/t/limits/n holds 1 units, not 2"]);
    let told = failures(&step(
        r#""expect":"allow","rule":"","charged":{"/tools/t/limits/m":0}"#,
    ));
    assert_eq!(told, ["the policy has no limit /tools/t/limits/m"]);
}

#[test]
fn rows_that_differ_are_told() {
    let file = r#"{"rows":[
        {"op":"gt","value":1,"actual":2,"truth":true},
        {"op":"gt","value":1,"actual":2,"truth":"undecided"},
        {"op":"exists","value":true,"missing":true,"truth":true},
        {"policy":{"version":"1","default":"deny"},"pointer":""},
        {"policy":{"version":"1","default":"ask"},"pointer":""}]}"#;
    let report = run(file.as_bytes()).unwrap();
    let passed: Vec<_> = report.steps.iter().map(StepReport::passed).collect();
    assert_eq!(passed, [true, false, false, false, false]);
    let text = report.to_string();
    for part in [
        "ok     2 gt 1 is true",
        "FAILED 2 gt 1 is undecided\n       it is true",
        "FAILED nothing exists true is true\n       it is false",
        "it is accepted",
        "it is refused at \"/default\"",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_file_that_is_no_cases_is_refused_with_its_faults() {
    for (file, part) in [
        ("{}".to_owned(), "line 1, column 1: `policy` is missing"),
        ("[".to_owned(), "the text ends here"),
        (step(r#""expect":"maybe","rule":"""#), "(/steps/0/expect)"),
        (step(r#""expect":"allow""#), "(/steps/0): `rule` is missing"),
        (
            step(r#""expect":"allow","rule":"","repeat":0"#),
            "(/steps/0/repeat)",
        ),
        (
            step(r#""expect":"allow","rule":"","repeat":100001"#),
            "(/steps/0/repeat)",
        ),
        (
            step(r#""expect":"allow","rule":"","charge":{}"#),
            "did you mean `charged`?",
        ),
        (
            step(r#""expect":"allow","rule":"","rule":"""#),
            "stands here twice",
        ),
        (
            step(r#""expect":"allow","rule":"","session":1"#),
            "(/steps/0/session)",
        ),
        (
            r#"{"rows":[{"op":"in","value":1,"actual":1,"truth":true}]}"#.into(),
            "(/rows/0/value)",
        ),
        (
            r#"{"rows":[{"op":"eq","value":1,"actual":1,"truth":1}]}"#.into(),
            "(/rows/0/truth)",
        ),
    ] {
        let text = refused(&file);
        assert!(
            text.starts_with("this is no file of cases:\n") && text.contains(part),
            "{text}"
        );
    }
    let late = r#"{"at":"2026-01-05T10:00:01Z","grant":"g","tool":"t","expect":"allow","rule":""}"#;
    let early = late.replace(":01Z", ":00Z");
    assert!(
        refused(&steps(&format!("{late},{early}"))).contains("(/steps/1): this step is earlier")
    );
    assert!(refused(&steps(&late.replace("01Z", "1Z"))).contains("(/steps/0/at)"));
}

#[test]
fn a_policy_that_is_refused_is_placed_in_the_file() {
    let file = "{\"policy\":\n {\"version\":\"1\",\"default\":\"no\"}, \"steps\": []}";
    let text = refused(file);
    let expected = "the policy of this file is refused:\nline 2, column 27 (/default): ";
    assert!(text.starts_with(expected), "{text}");
}
