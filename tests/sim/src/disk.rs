//! A simulated disk: it loses, tears and reorders what was not synced, fills up, fails, and is slow.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use quotum_replica::disk::{BoxFuture, Disk, File, Source};

use crate::rng::Rng;

/// Unsynced writes reach the disk in pieces of this size, each or not.
const BLOCK: usize = 512;

/// One life of a disk: what was opened in a life before fails.
#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
    life: u64,
}

struct State {
    now: BTreeMap<String, Content>,
    durable: BTreeMap<String, Content>,
    life: u64,
    rng: Rng,
    health: Health,
}

type Content = Arc<Mutex<Data>>;

#[derive(Default)]
struct Data {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Where `now` was written since the last sync, in order.
    dirty: Vec<(usize, usize)>,
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
    mask: u8,
    /// What the byte is since then.
    rotten: u8,
}

struct SimFile {
    disk: SimDisk,
    data: Content,
}

struct SimSource {
    disk: SimDisk,
    data: Content,
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
        let state = State {
            now: BTreeMap::new(),
            durable: BTreeMap::new(),
            life: 0,
            rng: Rng::new(seed, 0xd15c ^ node << 16),
            health,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            life: 0,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("one thread")
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.life != self.life {
            return Err(io::Error::other("the process that opened this has ended"));
        }
        Ok(state)
    }

    pub(crate) fn set_health(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.state().health);
    }

    /// The process ends; the disk keeps what the operating system has.
    pub(crate) fn next_life(&self) -> Self {
        let mut state = self.state();
        state.life += 1;
        Self {
            state: self.state.clone(),
            life: state.life,
        }
    }

    /// Flips a bit of a log segment that is closed: everything in it was synced long ago.
    pub(crate) fn rot(&self) -> Option<Rot> {
        let mut guard = self.state();
        let State { now, rng, .. } = &mut *guard;
        let mut segments: Vec<&String> =
            now.keys().filter(|name| name.starts_with("log-")).collect();
        segments.pop();
        let file = (*rng.pick(&segments)?).clone();
        let mut data = now[&file].lock().expect("one thread");
        let records = records(&data.now);
        // The last one closes the segment, and nothing in it shows that it was synced.
        let (start, bytes) = rng.pick(records.get(..records.len().saturating_sub(1))?)?;
        let at = start + usize::try_from(rng.below(bytes as u64)).ok()?;
        let mask = 1 << rng.below(8);
        let rotten = data.now[at] ^ mask;
        (data.now[at], data.synced[at]) = (rotten, rotten);
        Some(Rot {
            file,
            at,
            mask,
            rotten,
        })
    }

    /// Flips it back, as a mirror of the disk would, if nobody has written there.
    pub(crate) fn mend(&self, rot: &Rot) {
        let state = self.state();
        let Some(content) = state.now.get(&rot.file) else {
            return;
        };
        let mut data = content.lock().expect("one thread");
        if data.now.get(rot.at) == Some(&rot.rotten) {
            data.now[rot.at] ^= rot.mask;
            data.synced[rot.at] ^= rot.mask;
        }
    }

    /// The power fails: of unsynced writes any blocks are kept, in any order.
    pub(crate) fn lose_power(&self) -> Self {
        let mut guard = self.state();
        let state = &mut *guard;
        // Names that were not synced: the journal may have taken them along, or not.
        if state.rng.percent(50) {
            state.now = state.durable.clone();
        }
        let kept = [0, 50, 90, 100][usize::try_from(state.rng.below(4)).expect("small")];
        for content in state.now.values() {
            let mut data = content.lock().expect("one thread");
            let Data { now, synced, dirty } = &mut *data;
            for (start, end) in dirty.drain(..) {
                let mut at = start;
                while at < end.min(now.len()) {
                    let stop = ((at / BLOCK + 1) * BLOCK).min(end).min(now.len());
                    if state.rng.percent(kept) {
                        if synced.len() < stop {
                            synced.resize(stop, 0);
                        }
                        synced[at..stop].copy_from_slice(&now[at..stop]);
                    }
                    at = stop;
                }
            }
            *now = synced.clone();
        }
        state.durable = state.now.clone();
        drop(guard);
        self.next_life()
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

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such file"))
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.now.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.alive()?;
        let content = state.now.get(name).ok_or_else(|| missing(name))?;
        Ok(content.lock().expect("one thread").now.clone())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut state = self.alive()?;
        if !state.now.contains_key(name) && state.health.is_full {
            return Err(full());
        }
        let data = state.now.entry(name.to_owned()).or_default().clone();
        Ok(Box::new(SimFile {
            disk: self.clone(),
            data,
        }))
    }

    fn source(&self, name: &str) -> io::Result<Box<dyn Source>> {
        let state = self.alive()?;
        let data = state.now.get(name).ok_or_else(|| missing(name))?.clone();
        Ok(Box::new(SimSource {
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
        let removed = self.alive()?.now.remove(name);
        removed.map(drop).ok_or_else(|| missing(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.alive()?;
        state.durable = state.now.clone();
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }

    fn spawn(&self, _name: &str, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

// === impl SimFile ===

impl File for SimFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let state = self.disk.alive()?;
        let mut data = self.data.lock().expect("one thread");
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + bytes.len();
        if end > data.now.len() {
            if state.health.is_full {
                return Err(full());
            }
            data.now.resize(end, 0);
        }
        data.now[start..end].copy_from_slice(bytes);
        data.dirty.push((start, end));
        Ok(())
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async {
            let (pause_us, fails) = {
                let mut guard = self.disk.alive()?;
                let state = &mut *guard;
                let longest_us = state.health.sync_us;
                let pause_us = state.rng.between(longest_us / 4, longest_us);
                (pause_us, std::mem::take(&mut state.health.fails))
            };
            tokio::time::sleep(Duration::from_micros(pause_us)).await;
            drop(self.disk.alive()?);
            if fails {
                return Err(io::Error::other("the disk failed to sync"));
            }
            let mut data = self.data.lock().expect("one thread");
            let Data { now, synced, dirty } = &mut *data;
            synced.resize(now.len(), 0);
            for (start, end) in dirty.drain(..) {
                let end = end.min(now.len());
                if start < end {
                    synced[start..end].copy_from_slice(&now[start..end]);
                }
            }
            Ok(())
        })
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        drop(self.disk.alive()?);
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let mut data = self.data.lock().expect("one thread");
        data.now.resize(bytes, 0);
        Ok(())
    }
}

// === impl SimSource ===

impl Source for SimSource {
    fn bytes(&self) -> u64 {
        self.data.lock().expect("one thread").now.len() as u64
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        drop(self.disk.alive()?);
        let data = self.data.lock().expect("one thread");
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let there = data.now.get(start..start + bytes.len());
        let there = there.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        bytes.copy_from_slice(there);
        Ok(())
    }
}
