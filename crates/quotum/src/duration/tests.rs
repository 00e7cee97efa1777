use super::parse_ms;

#[test]
fn durations_have_a_number_and_a_unit() {
    let read = [
        ("45s", 45_000),
        ("90m", 5_400_000),
        ("30d", 2_592_000_000),
        ("2w", 1_209_600_000),
    ];
    for (text, ms) in read {
        assert_eq!(parse_ms(text), Ok(ms), "{text}");
    }
}

#[test]
fn anything_else_is_refused() {
    for text in [
        "",
        "h",
        "1",
        "1.5h",
        "-1h",
        "+1h",
        "1 h",
        "0s",
        "1y",
        "1ü",
        "99999999999999999999s",
        "18446744073709551615w",
    ] {
        assert!(parse_ms(text).is_err(), "{text}");
    }
}
