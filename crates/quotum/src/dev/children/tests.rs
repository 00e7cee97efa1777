use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use super::{open, tail};

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

#[test]
fn a_log_is_for_its_owner_alone_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    open(&path).unwrap().write_all(b"one ").unwrap();
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    open(&path).unwrap().write_all(b"two").unwrap();
    assert_eq!(mode(), 0o600);
    assert_eq!(fs::read_to_string(&path).unwrap(), "one two");
}
