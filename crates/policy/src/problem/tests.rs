use super::*;

#[test]
fn lines_and_columns_count_characters_from_one() {
    let text = "ab\néé{".as_bytes();
    assert_eq!(position(text, 0), (1, 1));
    assert_eq!(position(text, 2), (1, 3));
    assert_eq!(position(text, 3), (2, 1));
    assert_eq!(position(text, 7), (2, 3));
    assert_eq!(position(text, 99), (2, 4));
}

#[test]
fn the_nearest_name_is_near() {
    let known = ["limits", "require", "deny_if", "rate_limit"];
    for (name, near) in [
        ("limit", Some("limits")),
        ("Limits", Some("limits")),
        ("denyif", Some("deny_if")),
        ("ratelimit", Some("rate_limit")),
        ("reqiure", Some("require")),
        ("colour", None),
        ("", None),
    ] {
        assert_eq!(nearest(name, known), near, "{name}");
    }
    assert_eq!(nearest(&"limits".repeat(50), known), None);
}

#[test]
fn long_texts_are_clipped_between_characters() {
    assert_eq!(clipped("ééé", 3), "ééé");
    assert_eq!(clipped("éééé", 3), "ééé…");
}
