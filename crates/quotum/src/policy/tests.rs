use std::fs;

use super::{explained, load};
use crate::failure::Exit;

#[test]
fn a_refused_policy_is_told_with_file_line_and_pointer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.json");
    fs::write(
        &path,
        "{\n  \"version\": \"1\",\n  \"defualt\": \"deny\"\n}",
    )
    .unwrap();
    let failure = load(&path).unwrap_err();
    assert_eq!(failure.exit, Exit::Failed);
    let text = failure.to_string();
    assert!(
        text.contains("p.json: line 3, column 3 (/defualt)"),
        "{text}"
    );
    assert!(text.contains("did you mean `default`"), "{text}");
}

#[test]
fn a_missing_policy_is_bad_usage() {
    let failure = load(std::path::Path::new("/nowhere/p.json")).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
}

#[test]
fn an_explanation_names_the_limits_and_their_units() {
    let policy = r#"{"version":"1","default":"deny","tools":{"t":{"rate_limit":"5/minute"}}}"#;
    let policy = quotum_policy::Policy::parse(policy.as_bytes()).unwrap();
    let value = explained(&policy.explain("t", None));
    assert_eq!(value["verdict"], "allow");
    assert_eq!(value["limits"][0]["rule"], "/tools/t/limits/t_rate");
    assert_eq!(value["limits"][0]["units"], 1);
    let value = explained(&policy.explain("other", None));
    assert_eq!(value["rule"], "(default deny)");
}
