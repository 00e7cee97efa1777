//! The keys of sessions: what seals, what opens, and files that hold none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use quotum_gateway::session::SessionKeys;
use quotum_gateway::status::Refusal;

use super::{GATEWAY, SECRET, bench};
use crate::environment::Environment;
use crate::files;
use crate::settings::SettingsError;
use crate::settings::gateway::GatewaySettings;

/// A folder with files of keys.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        keys.put("old", &"0b".repeat(31).replacen("0b", "0a0b", 1));
        keys.put("new", &"0c".repeat(31).replacen("0c", "0a0c", 1));
        keys.put("master", SECRET);
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        files::replace(&self.path(name), text.as_bytes()).unwrap();
    }

    /// The keys of a gateway whose settings name these files.
    fn of(&self, names: &[&str]) -> Result<SessionKeys, SettingsError> {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        load(&format!("session_key_files = {paths:?}\n"))
    }

    fn refusal(&self, names: &[&str]) -> String {
        self.of(names).unwrap_err().to_string()
    }
}

fn load(rest: &str) -> Result<SessionKeys, SettingsError> {
    let (_folder, file) = bench(&format!("{GATEWAY}{rest}"));
    GatewaySettings::load(&file, &Environment::of([])).map(|settings| settings.session_keys)
}

fn seal(keys: &SessionKeys) -> String {
    keys.seal("server", "grant", "session").unwrap().sealed
}

fn is_open(keys: &SessionKeys, sealed: &str) -> bool {
    match keys.open("server", "grant", sealed) {
        Ok(session) => session.upstream == "session",
        Err(refusal) => {
            assert_eq!(refusal, Refusal::SessionUnknown);
            false
        }
    }
}

#[test]
fn a_session_opens_until_its_key_is_removed() {
    let keys = Keys::new();
    let before = keys.of(&["old"]).unwrap();
    let old = seal(&before);
    // The new key opens everywhere before it seals anywhere.
    let added = keys.of(&["old", "new"]).unwrap();
    let rotated = keys.of(&["new", "old"]).unwrap();
    let new = seal(&rotated);
    for keys in [&added, &rotated] {
        assert!(is_open(keys, &old) && is_open(keys, &new));
    }
    assert!(is_open(&before, &seal(&added)) && !is_open(&before, &new));
    let removed = keys.of(&["new"]).unwrap();
    assert!(!is_open(&removed, &old) && is_open(&removed, &new));
}

#[test]
fn what_the_master_key_sealed_opens_where_its_file_is_named() {
    let keys = Keys::new();
    let sealed = seal(&load("").unwrap());
    assert!(sealed.starts_with("v1.k1."), "{sealed}");
    let both = keys.of(&["new", "master"]).unwrap();
    assert!(is_open(&both, &sealed));
    assert!(is_open(
        &load("").unwrap(),
        &seal(&keys.of(&["master"]).unwrap())
    ));
    assert!(!is_open(&keys.of(&["new"]).unwrap(), &sealed));
}

#[test]
fn a_file_that_holds_no_key_of_its_own_is_named() {
    let keys = Keys::new();
    keys.put("short", "0a0b");
    keys.put("again", &fs::read_to_string(keys.path("old")).unwrap());
    fs::set_permissions(keys.path("new"), fs::Permissions::from_mode(0o644)).unwrap();
    let name = |name: &str| format!("{}: ", keys.path(name).display());
    for (names, told) in [
        (vec!["old", "short"], name("short") + "a key is 32 bytes"),
        (vec!["new"], name("new") + "its mode 0644 lets others"),
        (vec!["gone"], name("gone") + "No such file"),
        (vec!["old", "again"], name("again") + "this is the same key"),
        (vec![], "use 1 to 8 files, not 0".to_owned()),
        (vec!["old"; 9], "use 1 to 8 files, not 9".to_owned()),
    ] {
        let text = keys.refusal(&names);
        assert!(
            text.contains("line 6: `session_key_files`: ") && text.contains(&told),
            "{text}"
        );
    }
}
