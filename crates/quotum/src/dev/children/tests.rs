use std::fs;

use super::tail;

#[test]
fn the_last_lines_of_a_long_log_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let text: String = (0..50_000)
        .map(|number| format!("line {number}\n"))
        .collect();
    fs::write(&path, text).unwrap();
    let lines = tail(&path).unwrap();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[4], "line 49999");
    fs::write(&path, "").unwrap();
    assert!(tail(&path).unwrap().is_empty());
}
