//! The log of a cluster that has ended, read from a node's disk: what really was decided, entry by
//! entry, for the checker to decide it again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quotum_checker::history::{Answer, Ask, Command, Event, Id, Item, ItemState, Position, What};
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use quotum_limit::{Algorithm, Batch, Outcome, State};
use quotum_replica::ShardId;
use quotum_replica::disk::real::RealDisk;
use quotum_replica::log::{Recorded, read};

const SHARD: u32 = 0;
/// An answer that took no longer came soon after its entry was applied.
const PROMPT_US: u64 = 100_000;

/// When entries were applied, as far as answers tell.
#[derive(Debug, Default)]
struct Seen {
    /// By index: the first answer that came from there, and whether it was prompt.
    answers: BTreeMap<u64, (u64, bool)>,
}

/// The entries up to `applied` of the log on these disks, as events. All that have the whole log
/// must have the same; no events, if none has.
pub fn entries(disks: &[PathBuf], applied: u64, history: &[Event]) -> Result<Vec<Event>> {
    let mut whole: Option<(&Path, Vec<Recorded>)> = None;
    for disk in disks {
        let recorded = whole_log(disk, applied)?;
        match (&whole, recorded) {
            (_, None) => {}
            (None, Some(recorded)) => whole = Some((disk, recorded)),
            (Some((first, before)), Some(recorded)) => ensure!(
                *before == recorded,
                "the logs in {} and {} differ below {applied}",
                first.display(),
                disk.display()
            ),
        }
    }
    match whole {
        Some((_, recorded)) => events(&recorded, history),
        None => Ok(Vec::new()),
    }
}

/// A log from its first entry to the last that was applied; `None`, if a part of it was purged.
fn whole_log(disk: &Path, applied: u64) -> Result<Option<Vec<Recorded>>> {
    let mut recorded = read(&RealDisk::open(disk)?, ShardId(SHARD))?;
    // The very first entry is numbered 0.
    if recorded.first().is_none_or(|first| first.index > 0) {
        return Ok(None);
    }
    recorded.retain(|entry| entry.index <= applied);
    let last = recorded.last().map_or(0, |last| last.index);
    ensure!(
        last == applied,
        "the log in {} ends at {last}, though {applied} was applied",
        disk.display()
    );
    Ok(Some(recorded))
}

fn events(recorded: &[Recorded], history: &[Event]) -> Result<Vec<Event>> {
    let seen = Seen::of(history);
    let end_us = history.last().map_or(0, |event| event.at_us);
    let mut state = State::new(0);
    let mut events = Vec::new();
    for entry in recorded {
        if let Some(payload) = &entry.payload {
            let batch = Batch::decode(payload)?;
            let what = decided(entry, &batch, &mut state, seen.is_late(entry.index));
            let at_us = seen.at_us(entry.index).unwrap_or(end_us);
            events.push(Event { at_us, what });
        }
    }
    Ok(events)
}

/// The entry with the answers that the real decision core gives, which the checker's model must
/// give as well.
fn decided(entry: &Recorded, batch: &Batch, state: &mut State, is_late: bool) -> What {
    let outcomes = state.apply_batch(batch);
    let commands = batch.commands.iter().zip(&outcomes);
    What::Entry {
        position: Position {
            shard: SHARD,
            term: entry.term,
            index: entry.index,
        },
        log_ms: state.last_stamp().log.ms,
        commands: commands
            .map(|(command, outcome)| self::command(command, outcome))
            .collect(),
        is_late,
    }
}

fn command(command: &quotum_limit::Command, outcome: &Outcome) -> Command {
    let (id, acked_seq, ask) = match command {
        quotum_limit::Command::Open { .. } => (None, 0, Ask::Open),
        quotum_limit::Command::Acquire {
            id,
            acked_seq,
            items,
        } => {
            let items = items.iter().map(item).collect();
            (Some(*id), *acked_seq, Ask::Acquire { items })
        }
        quotum_limit::Command::Refund { id } => (Some(*id), 0, Ask::Refund),
        quotum_limit::Command::Reserve { .. } | quotum_limit::Command::Confirm { .. } => {
            panic!("calls of one shard reserve nothing: {command:?}")
        }
        quotum_limit::Command::Peek { items } => {
            let items = items.iter().map(item).collect();
            (None, 0, Ask::Peek { items })
        }
    };
    Command {
        id: id.map(|id| Id {
            epoch: id.epoch.0,
            seq: id.seq,
        }),
        acked_seq,
        ask,
        answer: answer(outcome),
    }
}

fn item(item: &quotum_limit::Item) -> Item {
    Item {
        key: String::from_utf8_lossy(item.key.as_bytes()).into_owned(),
        max: item.max,
        window_ms: match item.algorithm {
            Algorithm::Fixed => item.window.length_ms(),
            Algorithm::Sliding => item.window.sliding_ms(),
        },
        units: item.units,
        revision: item.revision,
        sliding: item.algorithm != Algorithm::Fixed,
        shadow: item.shadow,
        shard: Some(SHARD),
    }
}

/// What an outcome of the decision core is in a history.
pub fn answer(outcome: &Outcome) -> Answer {
    let states = |items: &quotum_limit::ItemStates| items.iter().map(state).collect();
    match outcome {
        Outcome::Opened { epoch } => Answer::Opened { epoch: epoch.0 },
        Outcome::Admitted {
            valid_for_ms,
            items,
        } => Answer::Admitted {
            valid_for_ms: Some(*valid_for_ms),
            items: states(items),
        },
        Outcome::Denied {
            binding,
            retry_after_ms,
            items,
        } => Answer::Denied {
            binding: *binding,
            retry_after_ms: *retry_after_ms,
            items: states(items),
            cached: false,
        },
        Outcome::Reserved { .. } | Outcome::Contended { .. } => {
            panic!("calls of one shard reserve nothing: {outcome:?}")
        }
        Outcome::Cancelled => Answer::Cancelled,
        Outcome::Expired => Answer::Expired,
        Outcome::Exhausted(_) => Answer::Exhausted,
        Outcome::Invalid(_) => Answer::Invalid,
        Outcome::Refunded { units } => Answer::Refunded { units: *units },
        Outcome::Peeked { items } => Answer::Peeked {
            items: states(items),
        },
    }
}

/// The state of one counter as an answer shows it.
pub fn state(state: &quotum_limit::ItemState) -> ItemState {
    ItemState {
        fits: state.fits,
        remaining: state.remaining,
        max: state.max,
        reset_after_ms: state.reset_after_ms,
    }
}

// === impl Seen ===

impl Seen {
    fn of(history: &[Event]) -> Self {
        let mut sent = BTreeMap::new();
        let mut seen = Self::default();
        for event in history {
            match &event.what {
                What::Sent { request, .. } => drop(sent.insert(*request, event.at_us)),
                What::Answered {
                    request,
                    position: Some(position),
                    ..
                } => {
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
