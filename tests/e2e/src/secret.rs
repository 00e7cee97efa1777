//! Files of secrets: replaced whole, and for their owner alone, as the programs demand.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::failure::Result;

pub fn put(path: &Path, text: &str) -> Result {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(true);
    let mut file = options.mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    Ok(fs::rename(new, path)?)
}
