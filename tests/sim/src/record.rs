//! The recorder: everything that happens goes into one history, on the true clock.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quotum_checker::history::{Answer, Position};
use quotum_checker::{Event, What};
use quotum_limit::Batch;
use quotum_replica::observe::{AppliedEntry, Observe, Step};
use quotum_replica::{Machine, Reply, ShardId};

use crate::clock::true_us;

/// The history in the making. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    events: Vec<Event>,
    entries: BTreeSet<(u32, u64)>,
    requests: u64,
    seen: Seen,
    /// What must not be, and no history shows.
    troubles: Vec<String>,
    /// What is no part of the history, but must be the same in every run of a seed.
    trace: Vec<String>,
}

/// What a run must have had to count, as far as it does not come by itself.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Terms of shard 0 that somebody led.
    pub(crate) terms: BTreeSet<u64>,
    pub(crate) installs: usize,
    pub(crate) unknown: usize,
}

/// Entries from one digest of the state to the next: replicas that have parted stay apart.
const DIGEST_EVERY: u64 = 4;

/// Watches one node.
pub(crate) struct Watcher {
    pub(crate) recorder: Recorder,
    pub(crate) node: u64,
}

// === impl Recorder ===

impl Recorder {
    /// Notes what happens now, on the host that runs.
    pub(crate) fn note(&self, what: What) {
        self.note_at(true_us(), what);
    }

    pub(crate) fn note_at(&self, at_us: u64, what: What) {
        let mut inner = self.inner.lock().expect("one thread");
        inner.seen.note(&what);
        inner.events.push(Event { at_us, what });
    }

    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        let line = format!("{} {}", true_us(), line());
        self.inner.lock().expect("one thread").trace.push(line);
    }

    /// Notes what must not be, and no history shows: a violation of its own.
    pub(crate) fn trouble(&self, what: String) {
        let at_ms = true_us() / 1_000;
        let mut inner = self.inner.lock().expect("one thread");
        inner.troubles.push(format!("at {at_ms} ms: {what}"));
    }

    pub(crate) fn troubles(&self) -> Vec<String> {
        self.inner.lock().expect("one thread").troubles.clone()
    }

    /// What there has been so far.
    pub(crate) fn seen(&self) -> Seen {
        self.inner.lock().expect("one thread").seen.clone()
    }

    /// The number of the next request.
    pub(crate) fn request(&self) -> u64 {
        let mut inner = self.inner.lock().expect("one thread");
        inner.requests += 1;
        inner.requests
    }

    /// The history in the order of true time, and the trace. Hosts run one after the other within a
    /// tick, so events of one tick are written down out of order.
    pub(crate) fn finish(&self) -> (Vec<Event>, Vec<String>) {
        let mut inner = self.inner.lock().expect("one thread");
        let mut events = std::mem::take(&mut inner.events);
        events.sort_by_key(|event| event.at_us);
        (events, std::mem::take(&mut inner.trace))
    }

    fn note_entry(&self, entry: &AppliedEntry<'_>) {
        let Reply::Counters { stamp, outcomes } = entry.reply else {
            return;
        };
        let place = (entry.shard.0, entry.index);
        if !self.inner.lock().expect("one thread").entries.insert(place) {
            return;
        }
        let payload = entry.payload.expect("counters are changed by entries");
        let batch = Batch::decode(payload).expect("it was decoded to be applied");
        let commands = batch.commands.iter().zip(outcomes);
        let commands = commands
            .map(|(command, outcome)| quotum_logged::command(entry.shard.0, command, outcome));
        self.note(What::Entry {
            position: Position {
                shard: entry.shard.0,
                term: entry.term,
                index: entry.index,
            },
            log_ms: stamp.log.ms,
            commands: commands.collect(),
            counters_max: quotum_logged::counters_max(batch.caps),
            is_late: false,
        });
    }
}

// === impl Seen ===

impl Seen {
    fn note(&mut self, what: &What) {
        match what {
            What::Leader { shard: 0, term, .. } => drop(self.terms.insert(*term)),
            What::Snapshot { shard, .. } if *shard != ShardId::REGISTRY.0 => self.installs += 1,
            What::Answered {
                answer: Answer::Unknown,
                ..
            } => self.unknown += 1,
            _ => {}
        }
    }

    /// Whether the leader has changed, a snapshot was installed, and an outcome is unknown.
    pub(crate) fn is_enough(&self) -> bool {
        self.terms.len() > 1 && self.installs > 0 && self.unknown > 0
    }
}

// === impl Watcher ===

impl Observe for Watcher {
    fn reads_outcomes(&self) -> bool {
        true
    }

    fn took(&self, step: Step, duration: Duration) {
        if let Step::Sync | Step::Snapshot(_) = step {
            self.recorder
                .trace(|| format!("n{} {step:?} {}", self.node, duration.as_micros()));
        }
    }

    fn applied(&self, entry: &AppliedEntry<'_>) {
        self.recorder.note_entry(entry);
        let bytes = entry.payload.map_or(&[][..], |payload| payload);
        self.recorder.note(What::Applied {
            node: self.node,
            shard: entry.shard.0,
            index: entry.index,
            term: Some(entry.term),
            entry: Some(u64::from(crc32fast::hash(bytes))),
            state: entry
                .index
                .is_multiple_of(DIGEST_EVERY)
                .then(|| digest(entry.machine)),
        });
    }

    fn installed(&self, shard: ShardId, index: u64) {
        self.recorder.note(What::Snapshot {
            node: self.node,
            shard: shard.0,
            index,
        });
    }
}

/// Equal on replicas that have applied the same entries.
fn digest(machine: &Machine) -> u64 {
    match machine {
        Machine::Counters(state) => state.digest(),
        Machine::Registry(state) => {
            let digest = state.digest().0;
            let first = digest.iter().take(8);
            first.fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        }
    }
}
