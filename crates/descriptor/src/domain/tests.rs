use super::*;
use crate::config::{Config, File};

const FILE: &str = "
domain: d
descriptors:
  - key: path
    rate_limit: {unit: minute, requests_per_unit: 1}
  - key: path
    value: /a*
    share_threshold: true
    rate_limit: {unit: minute, requests_per_unit: 2}
  - key: path
    value: /a*z
    rate_limit: {unit: minute, requests_per_unit: 3}
  - key: path
    value: /ab
    rate_limit: {unit: minute, requests_per_unit: 4}
  - key: user
    value_to_metric: true
    descriptors:
      - key: path
        rate_limit: {unit: minute, requests_per_unit: 5}
      - key: tool
        detailed_metric: true
        rate_limit: {unit: minute, requests_per_unit: 6}
";

fn config() -> Config {
    let file = File {
        name: "f".into(),
        text: FILE.into(),
    };
    Config::parse(&[file], 1).unwrap()
}

fn entries<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<Entry<'a>> {
    let entry = |(key, value): &(&'a str, &'a str)| Entry { key, value };
    pairs.iter().map(entry).collect()
}

fn requests(pairs: &[(&str, &str)]) -> Option<u32> {
    let config = config();
    let found = config.domain("d").unwrap().find(&entries(pairs))?;
    match found.limit.quantity {
        Quantity::Per { requests, .. } => Some(requests),
        Quantity::Unlimited => None,
    }
}

#[test]
fn exact_wins_over_patterns_in_their_order_and_those_over_the_key_alone() {
    assert_eq!(requests(&[("path", "/ab")]), Some(4));
    assert_eq!(
        requests(&[("path", "/abz")]),
        Some(2),
        "the first pattern of the file"
    );
    assert_eq!(requests(&[("path", "/b")]), Some(1));
    assert_eq!(requests(&[("path", "")]), Some(1));
    assert_eq!(requests(&[("other", "/b")]), None);
}

#[test]
fn a_limit_applies_at_its_own_depth_only() {
    assert_eq!(requests(&[("user", "u")]), None);
    assert_eq!(requests(&[("user", "u"), ("path", "/ab")]), Some(5));
    assert_eq!(requests(&[("path", "/ab"), ("user", "u")]), None);
    assert_eq!(
        requests(&[("user", "u"), ("path", "/ab"), ("x", "y")]),
        None
    );
}

#[test]
fn metrics_name_what_the_configuration_names() {
    let config = config();
    let name = |pairs: &[(&'static str, &'static str)]| {
        let entries = entries(pairs);
        let found = config.domain("d").unwrap().find(&entries).unwrap();
        [0, 1].map(|depth| found.metric_name(&entries, depth).into_owned())
    };
    assert_eq!(name(&[("path", "/b")]), ["path", ""]);
    assert_eq!(name(&[("path", "/ab")]), ["path_/ab", ""]);
    assert_eq!(name(&[("path", "/ax")]), ["path_/a*", ""]);
    assert_eq!(name(&[("user", "u"), ("path", "/x")]), ["user_u", "path"]);
    assert_eq!(name(&[("user", "u"), ("tool", "t")]), ["user_u", "tool_t"]);
}

#[test]
fn units_have_the_boundaries_that_users_know() {
    for (name, unit) in Unit::ALL {
        let at = quotum_limit::LogTime::from_ms(1_764_100_000_123);
        let interval = unit.window().interval(at);
        let length_ms = unit.seconds() * 1_000;
        assert_eq!(interval.start.ms, at.ms / length_ms * length_ms, "{name}");
        assert_eq!(interval.end.ms - interval.start.ms, length_ms, "{name}");
        assert_eq!(Unit::from_number(unit as i32), Some(unit));
    }
    assert_eq!(Unit::from_number(0), None);
}
