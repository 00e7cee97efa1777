//! The seam to the disk: the real one, and simulated ones that lose what was not synced.
//!
//! Names are flat: one folder, no paths. A write may be torn or reordered until the file is
//! synced; a new, renamed or removed name may be lost until the folder is synced.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

pub mod memory;
pub mod real;

/// A future that a seam returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One folder of files.
pub trait Disk: Send + Sync + 'static {
    /// The names in the folder, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The whole content of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Opens a file for writing, and creates it where it is missing.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Opens a file for reading. It stays readable when another takes its name.
    fn source(&self, name: &str) -> io::Result<Box<dyn Source>>;

    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes new, renamed and removed names durable.
    fn sync_names(&self) -> io::Result<()>;

    /// Where a person finds a file: for messages.
    fn describe(&self, name: &str) -> String;

    /// Runs a task that blocks on this disk, or computes for long, apart from the tasks that serve.
    /// Where there is no room for one more, the task is dropped: that tells whoever waits for it.
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>);
}

/// One file, open for writing.
pub trait File: Send {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all writes durable. After an error nothing is known of any of them.
    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>>;

    fn set_len(&mut self, bytes: u64) -> io::Result<()>;
}

/// One file, open for reading.
pub trait Source: Send + Sync {
    /// How many bytes it has.
    fn bytes(&self) -> u64;

    /// Fills `bytes` from `offset` on, or fails.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// The disk of a node.
pub type SharedDisk = Arc<dyn Disk>;

/// Puts `bytes` under `name`, whole or not at all, whatever happens in the middle.
pub async fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.new");
    let mut file = disk.open(&temporary)?;
    file.set_len(0)?;
    file.write_at(0, bytes)?;
    file.sync().await?;
    drop(file);
    disk.rename(&temporary, name)?;
    disk.sync_names()
}
