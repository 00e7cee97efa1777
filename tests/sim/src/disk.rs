//! A simulated disk: it loses, tears and reorders what was not synced, fills up, fails, and is slow.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use quotum_replica::disk::memory::{Faults, MemoryDisk, MemoryFile};
use quotum_replica::disk::{BoxFuture, Disk, File, Source};

use crate::rng::Rng;

/// Unsynced writes reach the disk in pieces of this size, each or not.
const BLOCK: usize = 512;

/// One life of a disk: what was opened in a life before fails.
#[derive(Clone)]
pub(crate) struct SimDisk {
    memory: MemoryDisk,
    state: Arc<Mutex<State>>,
}

struct State {
    rng: Rng,
    health: Health,
}

/// How a disk does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Health {
    /// How long a sync takes, at the most.
    pub(crate) sync_us: u64,
    /// The next sync fails.
    pub(crate) fails: bool,
    /// No file can grow, and no new one be made.
    pub(crate) is_full: bool,
}

/// One bit that has flipped where it was synced.
#[derive(Debug, Clone)]
pub(crate) struct Rot {
    pub(crate) file: String,
    at: usize,
    bit: u8,
    /// What the byte is since then.
    rotten: u8,
}

struct SimFile {
    disk: SimDisk,
    file: MemoryFile,
}

// === impl Health ===

impl Health {
    pub(crate) fn good(sync_us: u64) -> Self {
        Self {
            sync_us,
            fails: false,
            is_full: false,
        }
    }
}

// === impl SimDisk ===

impl SimDisk {
    pub(crate) fn new(seed: u64, node: u64, health: Health) -> Self {
        let rng = Rng::new(seed, 0xd15c ^ node << 16);
        Self {
            memory: MemoryDisk::with_blocks(BLOCK),
            state: Arc::new(Mutex::new(State { rng, health })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("one thread")
    }

    pub(crate) fn set_health(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.state().health);
        self.fill();
    }

    fn fill(&self) {
        self.memory.set_faults(Faults {
            full: self.state().health.is_full,
            ..Faults::default()
        });
    }

    fn life(&self, memory: MemoryDisk) -> Self {
        let next = Self {
            memory,
            state: Arc::clone(&self.state),
        };
        next.fill();
        next
    }

    /// The process ends; the disk keeps what the operating system has.
    pub(crate) fn next_life(&self) -> Self {
        self.life(self.memory.next_life())
    }

    /// Flips a bit of a log segment that is closed: everything in it was synced long ago.
    pub(crate) fn rot(&self) -> Option<Rot> {
        let rng = &mut self.state().rng;
        let names = self.memory.list().ok()?;
        let mut segments: Vec<&String> = names
            .iter()
            .filter(|name| name.starts_with("log-"))
            .collect();
        segments.pop();
        let file = (*rng.pick(&segments)?).clone();
        let segment = self.memory.read(&file).ok()?;
        let records = records(&segment);
        // The last one closes the segment, and nothing in it shows that it was synced.
        let (start, bytes) = rng.pick(records.get(..records.len().saturating_sub(1))?)?;
        let at = start + usize::try_from(rng.below(bytes as u64)).ok()?;
        let bit = u8::try_from(rng.below(8)).expect("small");
        self.memory.flip_bit(&file, at, bit);
        let rotten = segment[at] ^ 1 << bit;
        Some(Rot {
            file,
            at,
            bit,
            rotten,
        })
    }

    /// Flips it back, as a mirror of the disk would, if nobody has written there.
    pub(crate) fn mend(&self, rot: &Rot) {
        let there = self.memory.read(&rot.file);
        if there.is_ok_and(|segment| segment.get(rot.at) == Some(&rot.rotten)) {
            self.memory.flip_bit(&rot.file, rot.at, rot.bit);
        }
    }

    /// The power fails: of unsynced writes any blocks are kept, in any order.
    pub(crate) fn lose_power(&self) -> Self {
        let memory = {
            let rng = &mut self.state().rng;
            // Names that were not synced: the journal may have taken them along, or not.
            let names_too = rng.percent(50);
            let kept = [0, 50, 90, 100][usize::try_from(rng.below(4)).expect("small")];
            self.memory.lose_bytes(names_too, || rng.percent(kept))
        };
        self.life(memory)
    }
}

/// Where the records of a log segment are, without what pads them: as `quotum_replica` writes them,
/// a length of 4 bytes first, and a header of 32 in all.
fn records(segment: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(header) = segment.get(at..at + 32)
        && header[8..16] == segment[8..16]
        && header[8..16] != [0; 8]
    {
        let body = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let bytes = 32 + usize::try_from(body).expect("small");
        if at + bytes > segment.len() {
            break;
        }
        found.push((at, bytes));
        at = (at + bytes).next_multiple_of(8);
    }
    found
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.memory.read(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(SimFile {
            disk: self.clone(),
            file: self.memory.open_file(name)?,
        }))
    }

    fn source(&self, name: &str) -> io::Result<Box<dyn Source>> {
        self.memory.source(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.memory.sync_names()
    }

    fn describe(&self, name: &str) -> String {
        self.memory.describe(name)
    }

    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) {
        self.memory.spawn(name, task);
    }
}

// === impl SimFile ===

impl File for SimFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async {
            self.disk.memory.check()?;
            let (pause_us, fails) = {
                let mut guard = self.disk.state();
                let State { rng, health } = &mut *guard;
                let pause_us = rng.between(health.sync_us / 4, health.sync_us);
                (pause_us, std::mem::take(&mut health.fails))
            };
            tokio::time::sleep(Duration::from_micros(pause_us)).await;
            self.disk.memory.check()?;
            if fails {
                return Err(io::Error::other("the disk failed to sync"));
            }
            self.file.sync_now()
        })
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}
