use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{DEMO, Data, counter};
use crate::failure::Exit;

#[test]
fn what_was_drawn_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let mut data = Data::open(&path, 3, 2).unwrap();
    data.keep_token("agent", "qtm_x").unwrap();
    let (admin, key) = (
        data.admin_token().to_owned(),
        fs::read(data.secret_key_file()).unwrap(),
    );
    let port = data.address(&counter(2, "peer"));
    drop(data);

    let data = Data::open(&path, 3, 4).unwrap();
    assert_eq!(data.admin_token(), admin);
    assert_eq!(fs::read(data.secret_key_file()).unwrap(), key);
    assert_eq!(data.address(&counter(2, "peer")), port);
    assert_eq!(data.token("agent"), Some("qtm_x"));
    assert_eq!(data.token("other"), None);
    assert!(data.address(DEMO).ip().is_loopback());
    let ports: BTreeSet<u16> = data.drawn.ports.values().copied().collect();
    assert_eq!(ports.len(), 3 * 3 + 4 * 2 + 1);
}

#[test]
fn files_with_secrets_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::open(&folder.path().join("data"), 1, 1).unwrap();
    for name in ["dev.json", "secret-key", "admin-token"] {
        let mode = fs::metadata(data.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert!(!format!("{data:?}").contains("qta_"));
}

#[test]
fn a_directory_is_used_by_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = Data::open(folder.path(), 1, 1).unwrap();
    let failure = Data::open(folder.path(), 1, 1).unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("another process uses this folder"),
        "{failure}"
    );
    drop(first);
    assert!(Data::open(folder.path(), 1, 1).is_ok());
}

#[test]
fn the_number_of_counter_nodes_cannot_change() {
    let folder = tempfile::tempdir().unwrap();
    drop(Data::open(folder.path(), 3, 1).unwrap());
    let failure = Data::open(folder.path(), 1, 1).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(
        failure.to_string().contains("use --counters 3"),
        "{failure}"
    );
}

#[test]
fn a_damaged_file_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("dev.json"), "{").unwrap();
    let failure = Data::open(folder.path(), 1, 1).unwrap_err();
    assert!(failure.to_string().contains("dev.json"), "{failure}");
    assert_eq!(fs::read(folder.path().join("dev.json")).unwrap(), b"{");
}
