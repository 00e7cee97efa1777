//! A disk in memory that can lose power: what was not synced is lost, in part and in any order.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{BoxFuture, Disk, File, Source};

/// Writes that are not synced reach the disk in pieces of this size, each or not.
const BLOCK: usize = 64;

/// One life of a disk. What was opened in a life before the last power loss fails from then on.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    life: u64,
}

#[derive(Default)]
struct State {
    /// What programs see.
    now: BTreeMap<String, Content>,
    /// What a power loss leaves of the names.
    durable_names: BTreeMap<String, Content>,
    faults: Faults,
    life: u64,
}

type Content = Arc<Mutex<Data>>;

#[derive(Default)]
struct Data {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Where `now` was written since the last sync.
    dirty: Vec<(usize, usize)>,
}

/// What goes wrong from now on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Every sync fails.
    pub sync: bool,
    /// No file can grow.
    pub full: bool,
}

struct MemoryFile {
    disk: MemoryDisk,
    data: Content,
}

struct MemorySource {
    disk: MemoryDisk,
    data: Content,
}

// === impl MemoryDisk ===

impl MemoryDisk {
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no test panics while it holds the disk")
    }

    /// The state, unless this life of the disk is over.
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.life != self.life {
            return Err(io::Error::other("the power was lost"));
        }
        Ok(state)
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Loses power: names and bytes fall back to what was synced, but for blocks of unsynced
    /// writes that `keep` lets through. Returns the disk's next life.
    #[must_use]
    pub fn lose_power(&self, mut keep: impl FnMut() -> bool) -> Self {
        let mut state = self.state();
        state.life += 1;
        state.now = state.durable_names.clone();
        state.faults = Faults::default();
        for content in state.now.values() {
            let mut data = content.lock().expect("not poisoned");
            let Data { now, synced, dirty } = &mut *data;
            for (start, end) in dirty.drain(..) {
                let mut at = start;
                while at < end.min(now.len()) {
                    let block_end = ((at / BLOCK + 1) * BLOCK).min(end).min(now.len());
                    if keep() {
                        if synced.len() < block_end {
                            synced.resize(block_end, 0);
                        }
                        synced[at..block_end].copy_from_slice(&now[at..block_end]);
                    }
                    at = block_end;
                }
            }
            *now = synced.clone();
        }
        Self {
            state: self.state.clone(),
            life: state.life,
        }
    }

    /// Changes one bit of a file, on the disk and in what programs see.
    pub fn flip_bit(&self, name: &str, byte: usize, bit: u8) {
        let state = self.state();
        let mut data = state.now[name].lock().expect("not poisoned");
        data.now[byte] ^= 1 << bit;
        if byte < data.synced.len() {
            data.synced[byte] = data.now[byte];
        }
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such file"))
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.now.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.alive()?;
        let content = state.now.get(name).ok_or_else(|| missing(name))?;
        Ok(content.lock().expect("not poisoned").now.clone())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let data = self
            .alive()?
            .now
            .entry(name.to_owned())
            .or_default()
            .clone();
        Ok(Box::new(MemoryFile {
            disk: self.clone(),
            data,
        }))
    }

    fn source(&self, name: &str) -> io::Result<Box<dyn Source>> {
        let state = self.alive()?;
        let data = state.now.get(name).ok_or_else(|| missing(name))?.clone();
        Ok(Box::new(MemorySource {
            disk: self.clone(),
            data,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.alive()?;
        let content = state.now.remove(from).ok_or_else(|| missing(from))?;
        state.now.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.alive()?
            .now
            .remove(name)
            .map(drop)
            .ok_or_else(|| missing(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.alive()?;
        state.durable_names = state.now.clone();
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }

    fn spawn(&self, _name: &str, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

// === impl MemoryFile ===

impl File for MemoryFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let full = self.disk.alive()?.faults.full;
        let mut data = self.data.lock().expect("not poisoned");
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        if end > data.now.len() {
            if full {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            data.now.resize(end, 0);
        }
        data.now[start..end].copy_from_slice(bytes);
        data.dirty.push((start, end));
        Ok(())
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async {
            // Lets other tasks run, as a real sync does.
            tokio::task::yield_now().await;
            if self.disk.alive()?.faults.sync {
                return Err(io::Error::other("the disk failed to sync"));
            }
            let mut data = self.data.lock().expect("not poisoned");
            data.synced = data.now.clone();
            data.dirty.clear();
            Ok(())
        })
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        drop(self.disk.alive()?);
        let mut data = self.data.lock().expect("not poisoned");
        data.now
            .resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
        Ok(())
    }
}

// === impl MemorySource ===

impl Source for MemorySource {
    fn bytes(&self) -> u64 {
        self.data.lock().expect("not poisoned").now.len() as u64
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        drop(self.disk.alive()?);
        let data = self.data.lock().expect("not poisoned");
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(bytes.len());
        let found = end.and_then(|end| data.now.get(start..end));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
