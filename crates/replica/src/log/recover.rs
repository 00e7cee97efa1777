//! From segments to shards: what a start finds on the disk.
//!
//! The first place that is no sound record is the end of the log, if nothing shows that bytes
//! from there on were already synced. A later record that carries a watermark beyond it shows
//! just that: then the log is damaged, and cutting it would lose what was acknowledged.

use std::collections::BTreeMap;

use super::record::{ALIGN, Place, Record, frame};
use super::{LogError, ShardId, ShardLog};
use crate::disk::Disk;

/// Purged entries that are freed with each entry that is added: more than are added, so that they
/// do not pile up.
const FREED_PER_ENTRY: usize = 4;

/// What the disk holds.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) shards: BTreeMap<ShardId, ShardLog>,
    /// All segments, oldest first.
    pub(crate) segments: Vec<Found>,
    /// Where the next record goes: in the last segment.
    pub(crate) end: Place,
    /// Bytes of the last segment beyond the end that may hold records of a torn write.
    pub(crate) torn: Option<(u32, u32)>,
    /// Whether the last segment was closed: the next record goes into a new one.
    pub(crate) sealed: bool,
}

/// One segment.
#[derive(Debug, Default, Clone)]
pub(crate) struct Found {
    pub(crate) number: u64,
    /// The highest index of each shard's entries in it.
    pub(crate) last: BTreeMap<ShardId, u64>,
}

/// The name of a segment's file.
pub(crate) fn name_of(number: u64) -> String {
    format!("log-{number:016}.seg")
}

fn number_of(name: &str) -> Option<u64> {
    let number = name
        .strip_prefix("log-")?
        .strip_suffix(".seg")?
        .parse()
        .ok()?;
    (name_of(number) == name).then_some(number)
}

/// Reads all segments.
pub(crate) fn recover(disk: &dyn Disk) -> Result<Recovered, LogError> {
    let io = |file: String| move |source| LogError::Io { file, source };
    let names = disk.list().map_err(io(disk.describe("")))?;
    let numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    for pair in numbers.windows(2) {
        if pair[0] + 1 != pair[1] {
            let (file, next) = (name_of(pair[0] + 1), name_of(pair[1]));
            return Err(LogError::Missing {
                file: disk.describe(&file),
                next,
            });
        }
    }
    let mut recovered = Recovered::default();
    let mut watermark = Place::default();
    // Where the first segment that is not whole ends, and its name.
    let mut cut: Option<Place> = None;
    for number in numbers {
        let name = name_of(number);
        let bytes = disk.read(&name).map_err(io(disk.describe(&name)))?;
        let scan = scan(&bytes, number);
        watermark = watermark.max(scan.watermark);
        if cut.is_some() {
            // Nothing after a cut counts, but what it shows about the bytes before it.
            continue;
        }
        let mut found = Found {
            number,
            ..Found::default()
        };
        for (offset, record) in scan.records {
            let contradiction = |what| LogError::Contradiction {
                file: disk.describe(&name),
                offset: u64::from(offset),
                what,
            };
            let record = record.map_err(contradiction)?;
            replay(&mut recovered.shards, &mut found, record).map_err(contradiction)?;
        }
        recovered.segments.push(found);
        recovered.end = Place {
            segment: number,
            offset: scan.end,
        };
        recovered.sealed = scan.sealed;
        recovered.torn = scan.torn;
        if !scan.sealed {
            cut = Some(recovered.end);
        }
    }
    #[cfg(quotum_bugs)]
    if quotum_limit::bugs::is(quotum_limit::bugs::Bug::TruncateAtRot) {
        return Ok(recovered);
    }
    match cut {
        Some(end) if end < watermark => Err(LogError::Damaged {
            file: disk.describe(&name_of(end.segment)),
            offset: u64::from(end.offset),
        }),
        _ => Ok(recovered),
    }
}

#[derive(Debug, Default)]
struct Scan {
    records: Vec<(u32, Result<Record, &'static str>)>,
    end: u32,
    sealed: bool,
    watermark: Place,
    torn: Option<(u32, u32)>,
}

/// Reads the records of one segment, up to its end and for their watermarks beyond.
fn scan(bytes: &[u8], number: u64) -> Scan {
    let mut scan = Scan::default();
    let mut at = 0;
    while let Some(framed) = bytes.get(at..).and_then(|rest| frame(rest, number)) {
        let record = framed.decode();
        scan.watermark = scan.watermark.max(framed.synced);
        scan.sealed = record == Ok(Record::Seal);
        scan.records.push((offset(at), record));
        at += framed.length;
        if scan.sealed {
            break;
        }
    }
    scan.end = offset(at);
    if scan.sealed {
        return scan;
    }
    let mut last_dirty = at;
    const BLANK: [u8; 4096] = [0; 4096];
    while at < bytes.len() {
        let chunk = &bytes[at..bytes.len().min(at + BLANK.len())];
        if chunk == &BLANK[..chunk.len()] {
            at += chunk.len();
            continue;
        }
        let stop = at + chunk.len();
        while at < stop {
            if let Some(framed) = frame(&bytes[at..], number) {
                scan.watermark = scan.watermark.max(framed.synced);
                last_dirty = (at + framed.length).min(bytes.len());
            }
            at += ALIGN;
        }
    }
    if last_dirty > scan.end as usize {
        scan.torn = Some((scan.end, offset(last_dirty)));
    }
    scan
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("segments are smaller than 4 GiB")
}

fn replay(
    shards: &mut BTreeMap<ShardId, ShardLog>,
    found: &mut Found,
    record: Record,
) -> Result<(), &'static str> {
    match record {
        Record::Entry(shard, entry) => {
            let index = entry.log_id.index();
            let last = found.last.entry(shard).or_default();
            *last = (*last).max(index);
            shards.entry(shard).or_default().append(entry)?;
        }
        Record::Vote(shard, vote) => shards.entry(shard).or_default().vote = Some(vote),
        Record::Truncate(shard, from) => shards.entry(shard).or_default().truncate(from),
        Record::Purge(shard, id) => shards.entry(shard).or_default().purge(id),
        Record::Mark | Record::Seal => {}
    }
    Ok(())
}

// === impl ShardLog ===

impl ShardLog {
    /// Adds an entry after the last one.
    pub(crate) fn append(&mut self, entry: crate::raft::Entry) -> Result<(), &'static str> {
        let index = entry.log_id.index();
        if self.purged.is_some_and(|purged| index <= purged.index()) {
            // The head of a segment names the purges known when it was started, which may cover
            // entries that were queued behind it.
            return Ok(());
        }
        if let Some((last, _)) = self.entries.last_key_value()
            && *last + 1 != index
        {
            return Err("an entry that does not follow its predecessor");
        }
        self.appended_bytes += super::entry_bytes(&entry);
        self.entries.insert(index, entry);
        self.free(FREED_PER_ENTRY);
        Ok(())
    }

    pub(crate) fn truncate(&mut self, from: u64) {
        self.entries.split_off(&from);
    }

    pub(crate) fn purge(&mut self, id: crate::raft::LogId) {
        if self
            .purged
            .is_some_and(|purged| purged.index() >= id.index())
        {
            return;
        }
        let kept = self.entries.split_off(&(id.index() + 1));
        self.garbage
            .push(std::mem::replace(&mut self.entries, kept));
        self.purged = Some(id);
    }

    /// Frees some of what is purged: all of it at once would hold the shards up.
    fn free(&mut self, mut entries: usize) {
        while let Some(oldest) = self.garbage.last_mut().filter(|_| entries > 0) {
            entries -= 1;
            if oldest.pop_first().is_none() {
                self.garbage.pop();
            }
        }
    }

    pub(crate) fn last_log_id(&self) -> Option<crate::raft::LogId> {
        self.entries
            .last_key_value()
            .map(|(_, entry)| entry.log_id)
            .or(self.purged)
    }
}
