//! The log of a cluster that has ended, read from a node's disk: what really was decided, entry by
//! entry, for the checker to decide it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quotum_checker::history::{Event, Position, What};
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use quotum_limit::{Batch, State};
use quotum_replica::ShardId;
use quotum_replica::disk::real::RealDisk;
use quotum_replica::log::{Recorded, read};

/// An answer that took no longer came soon after its entry was applied.
const PROMPT_US: u64 = 100_000;

/// When entries of a shard were applied, as far as answers tell.
#[derive(Debug, Default)]
struct Seen {
    /// By index: the first answer that came from there, and whether it was prompt.
    answers: BTreeMap<u64, (u64, bool)>,
}

/// What a disk has of a shard's log.
enum Found {
    Nothing,
    /// Its beginning is given up.
    Purged,
    Whole(Vec<Recorded>),
}

/// The entries up to `applied` of a shard's log on these disks, as events. All that have the whole
/// log must have the same; no events, if all that have one have given its beginning up.
pub fn entries(
    disks: &[PathBuf],
    (shard, applied): (u32, u64),
    history: &[Event],
) -> Result<Vec<Event>> {
    let mut whole: Option<(&Path, Vec<Recorded>)> = None;
    let mut is_purged = false;
    for disk in disks {
        let recorded = whole_log(disk, shard, applied)?;
        match (&whole, recorded) {
            (_, Found::Nothing) => {}
            (_, Found::Purged) => is_purged = true,
            (None, Found::Whole(recorded)) => whole = Some((disk, recorded)),
            (Some((first, before)), Found::Whole(recorded)) => ensure!(
                *before == recorded,
                "the logs of shard {shard} in {} and {} differ below {applied}",
                first.display(),
                disk.display()
            ),
        }
    }
    let Some((_, recorded)) = whole else {
        ensure!(
            is_purged,
            "no disk has a log of shard {shard}, of which {applied} are applied"
        );
        return Ok(Vec::new());
    };
    let entries = events(shard, &recorded, history)?;
    let is_answered = !Seen::of(shard, history).answers.is_empty();
    ensure!(
        !entries.is_empty() || !is_answered,
        "shard {shard} has answered, and its log has no entry"
    );
    Ok(entries)
}

/// A log from its first entry to the last that was applied.
fn whole_log(disk: &Path, shard: u32, applied: u64) -> Result<Found> {
    let mut recorded = read(&RealDisk::open(disk)?, ShardId(shard))?;
    // The very first entry is numbered 0.
    match recorded.first() {
        None => return Ok(Found::Nothing),
        Some(first) if first.index > 0 => return Ok(Found::Purged),
        Some(_) => {}
    }
    recorded.retain(|entry| entry.index <= applied);
    let last = recorded.last().map_or(0, |last| last.index);
    ensure!(
        last == applied,
        "the log of shard {shard} in {} ends at {last}, though {applied} was applied",
        disk.display()
    );
    Ok(Found::Whole(recorded))
}

fn events(shard: u32, recorded: &[Recorded], history: &[Event]) -> Result<Vec<Event>> {
    let seen = Seen::of(shard, history);
    let end_us = history.last().map_or(0, |event| event.at_us);
    let mut state = State::new(0);
    let mut events = Vec::new();
    for entry in recorded {
        if let Some(payload) = &entry.payload {
            let batch = Batch::decode(payload)?;
            let position = Position {
                shard,
                term: entry.term,
                index: entry.index,
            };
            let what = decided(position, &batch, &mut state, seen.is_late(entry.index));
            let at_us = seen.at_us(entry.index).unwrap_or(end_us);
            events.push(Event { at_us, what });
        }
    }
    Ok(events)
}

/// The entry with the answers that the real decision core gives, which the checker's model must
/// give as well.
fn decided(position: Position, batch: &Batch, state: &mut State, is_late: bool) -> What {
    let outcomes = state.apply_batch(batch);
    let commands = batch.commands.iter().zip(&outcomes);
    let command = |(command, outcome)| quotum_logged::command(position.shard, command, outcome);
    What::Entry {
        position,
        log_ms: state.last_stamp().log.ms,
        commands: commands.map(command).collect(),
        counters_max: quotum_logged::counters_max(batch.caps),
        is_late,
    }
}

// === impl Seen ===

impl Seen {
    fn of(shard: u32, history: &[Event]) -> Self {
        let mut sent = BTreeMap::new();
        let mut seen = Self::default();
        for event in history {
            match &event.what {
                What::Sent { request, .. } => drop(sent.insert(*request, event.at_us)),
                What::Answered {
                    request,
                    position: Some(position),
                    ..
                } if position.shard == shard => {
                    let sent_us = sent.get(request).copied().unwrap_or(0);
                    let is_prompt = event.at_us - sent_us <= PROMPT_US;
                    let first = (event.at_us, is_prompt);
                    seen.answers.entry(position.index).or_insert(first);
                }
                _ => {}
            }
        }
        seen
    }

    /// When an entry was surely applied: at the first answer from there or from further on.
    fn at_us(&self, index: u64) -> Option<u64> {
        let after = self.answers.range(index..);
        after.map(|(_, (at_us, _))| *at_us).min()
    }

    /// Whether that may be long after it was applied.
    fn is_late(&self, index: u64) -> bool {
        match self.answers.get(&index) {
            Some((at_us, is_prompt)) => !is_prompt || self.at_us(index) < Some(*at_us),
            None => true,
        }
    }
}
