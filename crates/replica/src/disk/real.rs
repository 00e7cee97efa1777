//! The real disk.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use super::{BoxFuture, Disk, File, Source};

/// A folder of a file system. Files are readable by their owner only.
#[derive(Debug)]
pub struct RealDisk {
    folder: PathBuf,
}

struct RealFile(fs::File);

struct RealSource {
    file: fs::File,
    bytes: u64,
}

// === impl RealDisk ===

impl RealDisk {
    /// Opens `folder`, and makes it where it is missing.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(name))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        Ok(Box::new(RealFile(options.open(self.folder.join(name))?)))
    }

    fn source(&self, name: &str) -> io::Result<Box<dyn Source>> {
        let file = fs::File::open(self.folder.join(name))?;
        let bytes = file.metadata()?.len();
        Ok(Box::new(RealSource { file, bytes }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        fs::File::open(&self.folder)?.sync_all()
    }

    fn describe(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) {
        let runtime = tokio::runtime::Handle::current();
        let thread = std::thread::Builder::new().name(name.to_owned());
        if let Err(error) = thread.spawn(move || runtime.block_on(task)) {
            tracing::error!(%error, name, "no thread can be started");
        }
    }
}

// === impl RealFile ===

impl File for RealFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        let result = self.0.sync_data();
        Box::pin(std::future::ready(result))
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}

// === impl RealSource ===

impl Source for RealSource {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}
