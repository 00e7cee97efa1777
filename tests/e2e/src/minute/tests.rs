use super::{LimitState, limit_state};

#[test]
fn the_state_of_a_limit_is_read_from_the_header() {
    let header = r#""daily";r=3;t=4000, "flow_rate";r=12;t=37"#;
    assert_eq!(
        limit_state(header, "flow_rate"),
        Some(LimitState {
            remaining: 12,
            reset_s: 37
        })
    );
}

#[test]
fn a_header_about_other_limits_says_nothing() {
    assert_eq!(limit_state(r#""flow_rate_2";r=12;t=37"#, "flow_rate"), None);
    assert_eq!(limit_state("", "flow_rate"), None);
    assert_eq!(limit_state(r#""flow_rate";r=12"#, "flow_rate"), None);
}
