use std::collections::{BTreeMap, BTreeSet};

use super::*;

const TABLE: &str = include_str!("../../../../docs/metrics.md");

/// The rows of the tables: name to labels.
fn documented() -> BTreeMap<String, Vec<String>> {
    let mut rows = BTreeMap::new();
    for line in TABLE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        let labels = cells[2]
            .split(',')
            .map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| label != "-").collect();
        let before = rows.insert(cells[0].trim_matches('`').to_owned(), labels);
        assert!(before.is_none(), "{line} stands twice");
    }
    rows
}

#[test]
fn the_document_and_the_catalog_list_the_same_metrics() {
    let documented = documented();
    for metric in ALL {
        let labels = documented.get(metric.name);
        let labels = labels.unwrap_or_else(|| panic!("{} is not documented", metric.name));
        assert_eq!(labels, metric.labels, "{}", metric.name);
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let row = TABLE
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", metric.name)));
        assert!(
            row.unwrap().contains(&format!("| {kind} |")),
            "{}",
            metric.name
        );
    }
    assert_eq!(
        documented.len(),
        ALL.len(),
        "the document lists a metric that does not exist"
    );
}

#[test]
fn names_follow_the_conventions() {
    let mut names = BTreeSet::new();
    for metric in ALL {
        let name = metric.name;
        assert!(names.insert(name), "{name} stands twice");
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        );
        assert!(
            metric.help.ends_with('.') && !metric.help.contains(['\n', '\\']),
            "{name}"
        );
        if name.starts_with("quotum_") {
            assert_eq!(
                metric.kind == Kind::Counter,
                name.ends_with("_total"),
                "{name}"
            );
        }
        assert_eq!(
            metric.kind == Kind::Histogram,
            !metric.buckets.is_empty(),
            "{name}"
        );
        assert!(metric.buckets.is_sorted_by(|a, b| a < b), "{name}");
        assert!(!metric.labels.contains(&"le"), "{name}");
    }
}
