use super::*;

#[test]
fn names_are_kept_by_server_and_bounded() {
    let known = KnownTools::default();
    for number in 0..=KNOWN_TOOLS_PER_SERVER_MAX {
        known.learn("files", &number.to_string());
    }
    assert!(known.contains("files", "0"));
    assert!(!known.contains("files", &KNOWN_TOOLS_PER_SERVER_MAX.to_string()));
    assert!(!known.contains("mail", "0"));
    known.learn("mail", &"x".repeat(TOOL_NAME_BYTES_MAX + 1));
    assert!(!known.contains("mail", &"x".repeat(TOOL_NAME_BYTES_MAX + 1)));
}
