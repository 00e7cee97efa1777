use std::os::unix::fs::PermissionsExt;

use quotum_api::cluster::backup_chunk::Part;
use quotum_api::cluster::{BackupChunk, BackupEnd};

use super::*;

/// A backup of nothing: sound, and small.
fn written(folder: &Path) -> PathBuf {
    let file = folder.join("backup");
    let mut out = create(&file).unwrap();
    out.write_all(MAGIC).unwrap();
    let mut check = Check::default();
    let head = BackupHead {
        cluster_id: "c0ffee".to_owned(),
        ..BackupHead::default()
    };
    let head = BackupChunk {
        part: Some(Part::Head(head)),
    };
    check.take(&head).unwrap();
    let crc32 = check.sum();
    let end = BackupChunk {
        part: Some(Part::End(BackupEnd { crc32 })),
    };
    for chunk in [head, end] {
        out.write_all(&frame(&chunk)).unwrap();
    }
    file
}

#[test]
fn a_backup_is_readable_by_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    // What was cut off before is no way around it.
    let left = folder.path().join("backup");
    std::fs::write(&left, "left").unwrap();
    std::fs::set_permissions(&left, PermissionsExt::from_mode(0o644)).unwrap();
    let file = written(folder.path());
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(verify(&file).unwrap().cluster_id, "c0ffee");
}

#[test]
fn a_damaged_backup_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path());
    let sound = std::fs::read(&file).unwrap();
    let mut flipped = sound.clone();
    flipped[MAGIC.len() + 8] ^= 1;
    for bytes in [&flipped[..], &sound[..sound.len() - 1], b"something else"] {
        std::fs::write(&file, bytes).unwrap();
        let failure = verify(&file).unwrap_err();
        let text = format!("{failure:?}");
        assert!(text.contains("is no sound backup"), "{text}");
    }
}
