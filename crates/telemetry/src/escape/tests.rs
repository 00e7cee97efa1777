use super::*;

#[test]
fn what_could_forge_a_line_is_escaped_and_the_rest_is_not() {
    let mut line = String::new();
    escape_into(
        &mut line,
        "a\nb\r\u{7f}\u{85}\u{9b}\u{202e}\u{2028}é漢\u{e0041}\u{1b}[0m",
    );
    assert_eq!(
        line,
        "a\\u000ab\\u000d\\u007f\\u0085\\u009b\\u202e\\u2028é漢\\udb40\\udc41\\u001b[0m"
    );
}

#[test]
fn escaped_json_is_the_same_json() {
    let value = serde_json::json!({"a\u{2028}\u{9b}": "x\n\u{202e}\u{e0041}\"\\"});
    let mut line = String::new();
    escape_into(&mut line, &value.to_string());
    assert!(!line.chars().any(is_escaped));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&line).unwrap(),
        value
    );
}
