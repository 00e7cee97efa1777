use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::{Cache, now};

#[test]
fn what_was_kept_is_found_with_its_age() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry");
    let cache = Cache::new(path.clone());
    assert_eq!(cache.load().unwrap(), None);
    cache.store(b"state", Duration::from_secs(100)).unwrap();
    let kept = cache.load().unwrap().unwrap();
    assert_eq!(kept.state, b"state");
    assert!(kept.age >= Duration::from_secs(100) && kept.age < Duration::from_secs(160));
    cache.mark(Duration::from_secs(1_000)).unwrap();
    assert!(cache.load().unwrap().unwrap().age >= Duration::from_secs(1_000));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_copy_from_the_future_has_no_known_age() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry");
    let cache = Cache::new(path.clone());
    cache.store(b"state", Duration::ZERO).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(now() + Duration::from_secs(3_600))
        .unwrap();
    assert_eq!(cache.load().unwrap().unwrap().age, Duration::MAX);
}

#[test]
fn what_cannot_be_replaced_is_not_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry");
    let cache = Cache::new(path.clone());
    cache.store(b"old", Duration::ZERO).unwrap();
    // In the way of the temporary file, for the superuser too.
    std::fs::create_dir(folder.path().join("registry.new")).unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    assert!(cache.store(b"new", Duration::ZERO).is_err());
    assert!(!path.exists());
}
