//! A disk in memory that can lose power: what was not synced is lost, in part and in any order.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::{BoxFuture, Disk, File, Source};

/// See [`MemoryDisk::with_blocks`]: small, so that short writes are torn.
const BLOCK: usize = 64;

/// One life of a disk. What was opened in a life before fails.
#[derive(Clone)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    life: u64,
    block: usize,
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
    /// No file can grow, and no new one be made.
    pub full: bool,
    /// No sync ends until this is over.
    pub stuck: bool,
}

/// How often a stuck sync looks whether it may end.
const STUCK_INTERVAL: Duration = Duration::from_millis(1);

/// A file, open for writing.
pub struct MemoryFile {
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
        Self::with_blocks(BLOCK)
    }

    /// A disk that writes in pieces of `block` bytes: of what is not synced each is lost or not.
    pub fn with_blocks(block: usize) -> Self {
        let state = Arc::default();
        Self {
            state,
            life: 0,
            block,
        }
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
            return Err(io::Error::other("the process that opened this has ended"));
        }
        Ok(state)
    }

    /// Fails once this life of the disk is over.
    pub fn check(&self) -> io::Result<()> {
        self.alive().map(drop)
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Ends a life: what programs wrote stays as they see it. Returns the next one.
    #[must_use]
    pub fn next_life(&self) -> Self {
        let mut state = self.state();
        state.life += 1;
        Self {
            life: state.life,
            ..self.clone()
        }
    }

    /// Loses power: names and bytes fall back to what was synced, but for blocks of unsynced
    /// writes that `keep` lets through. Returns the disk's next life.
    #[must_use]
    pub fn lose_power(&self, keep: impl FnMut() -> bool) -> Self {
        self.lose_bytes(true, keep)
    }

    /// The same; whether names fall back is up to the caller: a journal may have taken them along.
    #[must_use]
    pub fn lose_bytes(&self, names_too: bool, mut keep: impl FnMut() -> bool) -> Self {
        let mut guard = self.state();
        let state = &mut *guard;
        match names_too {
            true => state.now = state.durable_names.clone(),
            false => state.durable_names = state.now.clone(),
        }
        state.faults = Faults::default();
        for content in state.now.values() {
            let mut data = content.lock().expect("not poisoned");
            let Data { now, synced, dirty } = &mut *data;
            for (start, end) in dirty.drain(..) {
                let mut at = start;
                while at < end.min(now.len()) {
                    let block_end = ((at / self.block + 1) * self.block).min(end).min(now.len());
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
        drop(guard);
        self.next_life()
    }

    /// Opens a file as [`Disk::open`] does.
    pub fn open_file(&self, name: &str) -> io::Result<MemoryFile> {
        let mut state = self.alive()?;
        if state.faults.full && !state.now.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let data = state.now.entry(name.to_owned()).or_default().clone();
        Ok(MemoryFile {
            disk: self.clone(),
            data,
        })
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

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
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
        Ok(Box::new(self.open_file(name)?))
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

// === impl Data ===

impl Data {
    fn resize(&mut self, bytes: usize) {
        let before = self.now.len();
        self.now.resize(bytes, 0);
        // Zeros where a longer file was synced have to be synced, too.
        let stale = bytes.min(self.synced.len());
        if before < stale {
            self.dirty.push((before, stale));
        }
    }
}

// === impl MemoryFile ===

impl MemoryFile {
    /// A sync that takes no time.
    pub fn sync_now(&mut self) -> io::Result<()> {
        if self.disk.alive()?.faults.sync {
            return Err(io::Error::other("the disk failed to sync"));
        }
        let mut data = self.data.lock().expect("not poisoned");
        let Data { now, synced, dirty } = &mut *data;
        synced.resize(now.len(), 0);
        for (start, end) in dirty.drain(..) {
            let end = end.min(now.len());
            if start < end {
                synced[start..end].copy_from_slice(&now[start..end]);
            }
        }
        Ok(())
    }
}

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
            data.resize(end);
        }
        data.now[start..end].copy_from_slice(bytes);
        data.dirty.push((start, end));
        Ok(())
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async {
            // Lets other tasks run, as a real sync does.
            tokio::task::yield_now().await;
            while self.disk.alive()?.faults.stuck {
                tokio::time::sleep(STUCK_INTERVAL).await;
            }
            self.sync_now()
        })
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        drop(self.disk.alive()?);
        let mut data = self.data.lock().expect("not poisoned");
        data.resize(usize::try_from(bytes).map_err(io::Error::other)?);
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
