use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{find, read, replace};

#[test]
fn a_file_that_is_too_long_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "12345").unwrap();
    assert_eq!(read(&path, 5).unwrap(), b"12345");
    assert!(read(&path, 4).unwrap_err().to_string().contains("4 bytes"));
}

#[test]
fn a_replaced_file_is_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    replace(&path, b"one").unwrap();
    replace(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_means_its_files_with_the_endings_in_order() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("b")).unwrap();
    for name in ["c.json", "a.yaml", "b/d.json", "readme.md"] {
        fs::write(folder.path().join(name), "{}").unwrap();
    }
    let found = find(folder.path(), &["json", "yaml"]).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, ["a.yaml", "b/d.json", "c.json"]);
    let none = find(folder.path(), &["toml"]).unwrap_err();
    assert!(
        none.to_string().contains("no file that ends in toml"),
        "{none}"
    );
}
