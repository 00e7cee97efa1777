//! Files: read within bounds, found in folders, written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::limits::{FILES_MAX, FOLDER_DEPTH_MAX};

#[cfg(test)]
mod tests;

/// The content of `path`, at most `bytes_max` of it.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    // One more, to tell a file that is too long.
    File::open(path)?
        .take(bytes_max + 1)
        .read_to_end(&mut content)?;
    match content.len() as u64 > bytes_max {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {bytes_max} bytes"),
        )),
        false => Ok(content),
    }
}

/// The text of `path`, at most `bytes_max` of it.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    String::from_utf8(read(path, bytes_max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Puts `content` under `path`, whole or not at all, readable by its owner only, and on the disk
/// when this returns.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Makes a folder, and those above it, where they are missing; readable by its owner only.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// The files that are meant: a file as it is, a folder's files with one of the `endings` in the
/// order of their names, those of the folders in it included.
pub(crate) fn find(path: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    collect(path, endings, 0, &mut found)?;
    match found.is_empty() {
        true => Err(Failure::usage(format!(
            "{}: there is no file that ends in {}",
            path.display(),
            endings.join(", ")
        ))),
        false => Ok(found),
    }
}

fn collect(
    path: &Path,
    endings: &[&str],
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    let unreadable = |error: io::Error| Failure::usage(path.display().to_string()).because(&error);
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        let is_meant = depth == 0
            || path
                .extension()
                .is_some_and(|ending| endings.iter().any(|meant| ending == *meant));
        if is_meant {
            found.push(path.to_owned());
        }
        return match found.len() > FILES_MAX {
            true => Err(Failure::usage(format!("more than {FILES_MAX} files"))),
            false => Ok(()),
        };
    }
    if depth == FOLDER_DEPTH_MAX {
        return Err(Failure::usage(format!(
            "{}: more than {FOLDER_DEPTH_MAX} folders deep",
            path.display()
        )));
    }
    let entries = fs::read_dir(path).map_err(unreadable)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(unreadable)?;
    paths.sort();
    paths
        .iter()
        .try_for_each(|path| collect(path, endings, depth + 1, found))
}
