use super::*;

#[test]
fn known_instants_read_and_write_the_same() {
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T12:00:00Z", 951_825_600),
        ("2026-12-31T23:59:59Z", 1_798_761_599),
        ("2100-03-01T00:00:00Z", 4_107_542_400),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ] {
        assert_eq!(parse(text), Some(seconds * 1_000), "{text}");
        assert_eq!(format(seconds * 1_000), text);
    }
}

#[test]
fn what_is_no_instant_is_refused() {
    for bad in [
        "",
        "2026-12-31",
        "2026-12-31T23:59:59",
        "2026-12-31 23:59:59Z",
        "2026-12-31T23:59:60Z",
        "2026-12-31T24:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2026-12-31T23:59:5éZ",
        "+026-12-31T23:59:59Z",
    ] {
        assert_eq!(parse(bad), None, "{bad:?}");
    }
}

#[test]
fn every_day_of_four_centuries_comes_back() {
    for day in 0..DAYS_OF_ERA {
        let at_ms = day * DAY_S * 1_000;
        assert_eq!(parse(&format(at_ms)), Some(at_ms));
    }
}
