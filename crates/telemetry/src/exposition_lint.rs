//! A reader of the exposition format, strict enough to find what Prometheus would refuse.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{self, Kind};

/// One metric as it was exposed.
#[derive(Debug, Default)]
pub(crate) struct Exposed {
    pub(crate) kind: String,
    help: String,
    /// Samples by name and labels.
    pub(crate) samples: BTreeMap<(String, Vec<(String, String)>), f64>,
}

/// Reads `text`, and fails on anything that is not as the format and the catalog say.
pub(crate) fn lint(text: &str) -> BTreeMap<String, Exposed> {
    let mut metrics: BTreeMap<String, Exposed> = BTreeMap::new();
    let mut current = String::new();
    assert!(text.ends_with('\n'));
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let before = metrics.insert(
                name.to_owned(),
                Exposed {
                    help: help.to_owned(),
                    ..Exposed::default()
                },
            );
            assert!(before.is_none(), "{name} is described twice");
            current = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current, "TYPE follows HELP");
            metrics.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let (name, labels, value) = sample(line);
            let exposed = metrics.get_mut(&current).unwrap();
            let is_own = match exposed.kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|suffix| name.strip_suffix(suffix) == Some(&*current)),
                _ => name == current,
            };
            assert!(is_own, "{line} stands under {current}");
            let before = exposed.samples.insert((name, labels), value);
            assert!(before.is_none(), "{line} stands twice");
        }
    }
    metrics
        .iter()
        .for_each(|(name, exposed)| check(name, exposed));
    metrics
}

fn check(name: &str, exposed: &Exposed) {
    let metric = catalog::ALL.iter().find(|metric| metric.name == name);
    let metric = metric.unwrap_or_else(|| panic!("{name} is not in the catalog"));
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    assert_eq!(
        (exposed.kind.as_str(), exposed.help.as_str()),
        (kind, metric.help),
        "{name}"
    );
    let mut wanted: BTreeSet<&str> = metric.labels.iter().copied().collect();
    for (sample, labels) in exposed.samples.keys() {
        if sample.ends_with("_bucket") {
            wanted.insert("le");
        } else {
            wanted.remove("le");
        }
        let found: BTreeSet<&str> = labels.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(found, wanted, "{sample}");
    }
}

/// `name{label="value",...} value`.
fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let (head, value) = line.rsplit_once(' ').unwrap();
    let value = value
        .parse()
        .unwrap_or_else(|_| panic!("{line}: no number"));
    let Some((name, labels)) = head.split_once('{') else {
        assert!(is_name(head), "{line}");
        return (head.to_owned(), Vec::new(), value);
    };
    assert!(is_name(name), "{line}");
    let mut rest = labels.strip_suffix('}').unwrap();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").unwrap();
        assert!(is_name(label) && !label.contains(':'), "{line}");
        let (value, after) = after.split_once('"').unwrap();
        assert!(
            !value.contains('\\') && !value.chars().any(crate::escape::is_escaped),
            "{line}"
        );
        found.push((label.to_owned(), value.to_owned()));
        rest = after.strip_prefix(',').unwrap_or(after);
        assert!(rest.is_empty() || after.starts_with(','), "{line}");
    }
    (name.to_owned(), found, value)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
