//! Disks that are full, slow, failing, or lose their power.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use quotum_e2e::bench::Bench;
use quotum_e2e::failure::Result;

use crate::limits::{IMAGE_BYTES, SMALL_DISK_BYTES};
use crate::node::Node;
use crate::shell;

/// The source of the library that stands between a node and its disk.
const SHIM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/shim/sync.c");

/// How one node's `fsync` and `fdatasync` behave, changed while it runs.
#[derive(Debug)]
pub struct Sync {
    file: PathBuf,
}

/// A small file system in memory under one node's data.
#[derive(Debug)]
pub struct SmallDisk {
    mount: Mount,
}

/// An XFS file system under the data of all nodes, which may lose its power.
#[derive(Debug)]
pub struct Power {
    image: PathBuf,
    mount: Option<Mount>,
    at: PathBuf,
}

#[derive(Debug)]
struct Mount(PathBuf);

// === impl Sync ===

impl Sync {
    /// Puts the library in between; before the node starts.
    pub fn of(node: &mut Node, bench: &Bench) -> Result<Self> {
        let library = bench.path("sync.so");
        if !library.exists() {
            let mut compiler = Command::new("gcc");
            compiler.args(["-O1", "-shared", "-fPIC", "-o"]);
            shell::run(compiler.arg(&library).arg(SHIM).arg("-ldl"))?;
        }
        let file = node.beside("sync");
        let text = |path: &Path| path.to_string_lossy().into_owned();
        node.environment
            .push(("LD_PRELOAD".to_owned(), text(&library)));
        node.environment
            .push(("SYNC_FAULT".to_owned(), text(&file)));
        Ok(Self { file })
    }

    /// Every sync takes longer by so much.
    pub fn is_late_by(&self, delay: Duration) -> Result {
        self.set(&format!("late {}\n", delay.as_micros()))
    }

    /// The next sync fails, and those after it succeed: as the kernel has it, which tells of a
    /// failure once and takes the pages for clean.
    pub fn fails_once(&self) -> Result {
        self.set("fail\n")
    }

    /// As it should be.
    pub fn is_well(&self) -> Result {
        Ok(std::fs::remove_file(&self.file)?)
    }

    /// Whether the failure that was ordered has happened.
    pub fn has_failed(&self) -> bool {
        !self.file.exists()
    }

    fn set(&self, text: &str) -> Result {
        let next = self.file.with_extension("next");
        std::fs::write(&next, text)?;
        Ok(std::fs::rename(next, &self.file)?)
    }
}

// === impl SmallDisk ===

impl SmallDisk {
    /// Mounts it under a node's data; before the node starts.
    pub fn of(node: &Node) -> Result<Self> {
        let size = format!("size={SMALL_DISK_BYTES}");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]);
        Ok(Self {
            mount: Mount::new(&mut command, &node.data())?,
        })
    }

    /// Leaves not a byte.
    pub fn fill(&self) -> Result {
        use std::io::Write;
        let mut file = std::fs::File::create(self.ballast())?;
        let block = [0; 4_096];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// There is space again.
    pub fn clear(&self) -> Result {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.mount.0.join("ballast")
    }
}

// === impl Power ===

impl Power {
    /// Mounts it where all nodes will keep their data; before any is prepared.
    pub fn new(bench: &Bench) -> Result<Self> {
        let mut power = Self {
            image: bench.path("disk.img"),
            mount: None,
            at: Node::folder(bench),
        };
        std::fs::create_dir_all(&power.at)?;
        std::fs::File::create(&power.image)?.set_len(IMAGE_BYTES)?;
        shell::run(Command::new("mkfs.xfs").arg("-q").arg(&power.image))?;
        power.restore()?;
        Ok(power)
    }

    /// From now on nothing reaches the disk, and what was not synced is gone. The processes notice
    /// only as errors: kill them.
    pub fn cut(&self) -> Result {
        shell::run(
            Command::new("xfs_io")
                .args(["-x", "-c", "shutdown"])
                .arg(&self.at),
        )?;
        Ok(())
    }

    /// Mounts what is left. No process may have a file open there any more.
    pub fn restore(&mut self) -> Result {
        if let Some(mount) = self.mount.take() {
            mount.unmount()?;
        }
        let mut command = Command::new("mount");
        command.args(["-o", "loop"]).arg(&self.image);
        self.mount = Some(Mount::new(&mut command, &self.at)?);
        Ok(())
    }
}

// === impl Mount ===

impl Mount {
    fn new(command: &mut Command, at: &Path) -> Result<Self> {
        shell::run(command.arg(at))?;
        Ok(Self(at.to_owned()))
    }

    fn unmount(self) -> Result {
        shell::run(Command::new("umount").arg(&self.0))?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process of a failed scenario may still hold a file. The sandbox ends all.
        let _gone = shell::run(Command::new("umount").arg("-l").arg(&self.0));
    }
}
