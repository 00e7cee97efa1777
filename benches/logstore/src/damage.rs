//! What a store does with a log that a power loss, or a disk, has damaged.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Failure, Open, mark, payload};

/// What is written before the damage.
const ENTRIES: u64 = 1_000;
const ENTRY_BYTES: usize = 512;
/// What is damaged when it has long been synced.
const ROTTEN: u64 = 500;

/// A file of the log, and where in it a payload is.
struct Found {
    file: PathBuf,
    bytes: Vec<u8>,
    at: usize,
}

/// The write of the last entry stopped in the middle.
pub(crate) fn torn(open: Open, under: &Path) -> Result<String, Failure> {
    let folder = written(open, under)?;
    let mut found = find(folder.path(), ENTRIES)?;
    let end = found.at + ENTRY_BYTES / 2;
    // A file of one size has zeros where nothing was written.
    match found.bytes[found.at + ENTRY_BYTES..]
        .iter()
        .all(|byte| *byte == 0)
        && found.bytes.len() > found.at + 2 * ENTRY_BYTES
    {
        true => found.bytes[end..].fill(0),
        false => found.bytes.truncate(end),
    }
    fs::write(&found.file, &found.bytes)?;
    Ok(opened(open, folder.path()))
}

/// One bit of an entry in the middle is another one.
pub(crate) fn rotten(open: Open, under: &Path) -> Result<String, Failure> {
    let folder = written(open, under)?;
    let mut found = find(folder.path(), ROTTEN)?;
    found.bytes[found.at + ENTRY_BYTES / 2] ^= 1;
    fs::write(&found.file, &found.bytes)?;
    Ok(opened(open, folder.path()))
}

/// A store of one shard, written and closed.
fn written(open: Open, under: &Path) -> Result<tempfile::TempDir, Failure> {
    let folder = tempfile::tempdir_in(under)?;
    let mut shard = open(folder.path(), 1)?.remove(0);
    for index in 1..=ENTRIES {
        shard.append(index, &[payload(index, ENTRY_BYTES)])?;
    }
    Ok(folder)
}

fn find(folder: &Path, index: u64) -> Result<Found, Failure> {
    let mark = mark(index);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let file = entry?.path();
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            let bytes = fs::read(&file)?;
            let at = bytes.windows(mark.len()).position(|window| window == mark);
            if let Some(at) = at {
                return Ok(Found { file, bytes, at });
            }
        }
    }
    Err(format!("entry {index} is in no file").into())
}

/// Opens the damaged store, and says what it makes of it.
fn opened(open: Open, folder: &Path) -> String {
    let entries = open(folder, 1).and_then(|mut shards| shards.remove(0).entries());
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            let error = error.to_string().replace('|', "/");
            let short: String = error.chars().take(160).collect();
            return format!("refused: {short}");
        }
    };
    let wrong = |(index, bytes): &&(u64, bytes::Bytes)| *bytes != payload(*index, ENTRY_BYTES);
    if let Some((index, _)) = entries.iter().find(wrong) {
        return format!("starts, and entry {index} is another one");
    }
    format!("starts with {} of {ENTRIES} entries", entries.len())
}
