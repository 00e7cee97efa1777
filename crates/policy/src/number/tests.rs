use super::*;

fn number(text: &str) -> Decimal<'_> {
    Decimal::parse(text).unwrap()
}

#[test]
fn spellings_of_one_value_are_equal() {
    let groups: [&[&str]; 5] = [
        &[
            "5",
            "5.0",
            "5e0",
            "50e-1",
            "0.5E1",
            "0.05e+2",
            "5.000e00000000000000000000",
        ],
        &[
            "0",
            "-0",
            "0.0",
            "0e5",
            "0e99999999999999999999999",
            "-0.000E-7",
        ],
        &["120", "12e1", "1.2e2", "0.12e3", "1200e-1"],
        &["-0.001", "-1e-3", "-10e-4"],
        &["1e999999999", "10e999999998", "0.1e1000000000"],
    ];
    for group in groups {
        for spelling in group {
            assert_eq!(number(group[0]), number(spelling), "{spelling}");
        }
    }
}

#[test]
fn order_is_exact_where_floats_are_not() {
    let ascending = [
        "-1e999999999",
        "-9007199254740993",
        "-9007199254740992",
        "-1.5",
        "-1e-999999999",
        "0",
        "1e-999999999",
        "0.1",
        "0.10000000000000000000000001",
        "0.12",
        "0.123",
        "9007199254740992",
        "9007199254740993",
        "9007199254740993.5",
        "1e999999999",
        "1.00000001e999999999",
        "1e999999999999999",
    ];
    for pair in ascending.windows(2) {
        assert!(
            number(pair[0]) < number(pair[1]),
            "{} < {}",
            pair[0],
            pair[1]
        );
        assert!(
            number(pair[1]) > number(pair[0]),
            "{} > {}",
            pair[1],
            pair[0]
        );
    }
}

#[test]
fn units_are_whole_and_within_two_to_the_53() {
    for (text, units) in [
        ("0", 0),
        ("-0", 0),
        ("5.0", 5),
        ("1e3", 1000),
        ("12.5e1", 125),
    ] {
        assert_eq!(number(text).units(), Some(units), "{text}");
    }
    assert_eq!(number("9007199254740992").units(), Some(UNITS_MAX));
    for text in [
        "-1",
        "0.5",
        "1.5",
        "9007199254740993",
        "1e16",
        "1e999999999",
        "1e-999999999",
    ] {
        assert_eq!(number(text).units(), None, "{text}");
    }
}

#[test]
fn what_json_does_not_call_a_number_is_refused() {
    for text in [
        "", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1e+-1", "1.e1", "0x1", "1_0", "NaN",
        "Infinity", " 1", "1 ", "1.5.5", "1e1e1", "0e", "٣",
    ] {
        assert_eq!(
            Decimal::parse(text),
            Err(NumberError::Malformed),
            "{text:?}"
        );
    }
    assert_eq!(
        Decimal::parse("1e1000000000000000"),
        Err(NumberError::Exponent)
    );
    assert_eq!(
        Decimal::parse("1e-1000000000000000"),
        Err(NumberError::Exponent)
    );
}

/// The plain model: both numbers written out with the same number of digits around the point.
fn written_out(text: &str) -> (bool, String) {
    let (negative, rest) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = rest.split_once('e').unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let point = 60 + whole.len() as i64 + exponent.parse::<i64>().unwrap();
    let digits = format!("{:0<60}{whole}{fraction}{:0<60}", "", "");
    let (before, after) = digits.split_at(usize::try_from(point).unwrap());
    let plain = format!("{before:0>130}{after:0<130}");
    (negative && plain.bytes().any(|byte| byte != b'0'), plain)
}

fn model_order(a: &str, b: &str) -> Ordering {
    match (written_out(a), written_out(b)) {
        ((false, a), (false, b)) => a.cmp(&b),
        ((true, a), (true, b)) => b.cmp(&a),
        ((true, _), (false, _)) => Ordering::Less,
        ((false, _), (true, _)) => Ordering::Greater,
    }
}

proptest::proptest! {
    #[test]
    fn order_agrees_with_writing_the_numbers_out(
        a in "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,4})?(e-?[0-9]{1})?",
        b in "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,4})?(e-?[0-9]{1})?",
        long in "-?[1-9][0-9]{0,30}(\\.[0-9]{1,15})?(e-?[1-2][0-9])?",
    ) {
        for (left, right) in [(&a, &b), (&a, &long), (&long, &b), (&a, &a)] {
            proptest::prop_assert_eq!(number(left).cmp(&number(right)), model_order(left, right));
            proptest::prop_assert_eq!(
                number(left) == number(right),
                model_order(left, right) == Ordering::Equal
            );
        }
    }

    #[test]
    fn any_text_is_a_number_exactly_when_serde_says_so(text in "[-+0-9.eE]{0,12}") {
        let serde = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        proptest::prop_assert_eq!(Decimal::parse(&text).is_ok(), serde);
    }
}
