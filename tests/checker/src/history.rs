//! The events of a history.
//!
//! One JSON object a line: `at_us`, microseconds of the real-time oracle, which never go back from
//! line to line; `event`, the kind; and what belongs to the kind. What an observer cannot know
//! (request ids behind a gateway, the log of a process) is left out, and checks that need it say
//! less.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::limits::{BUCKETS_MORE, BUCKETS_OF_WINDOW};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub at_us: u64,
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The first line: where the history comes from.
    Run {
        source: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        commit: String,
        /// By how many parts in a million the monotonic clocks of nodes and clients may be off.
        #[serde(default)]
        drift_ppm: u64,
    },
    Phase {
        phase: Phase,
        /// `healed`: how long the cluster has until it must serve again.
        #[serde(default)]
        within_us: u64,
        /// `settled`: the nodes that must be there in the end, where that is known beforehand.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        nodes: Vec<u64>,
        /// And the shards that each of them must have.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shards: Vec<u32>,
    },
    Fault {
        fault: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        nodes: Vec<u64>,
        edge: Edge,
    },
    /// A caller asks. `request` is unique in the history; a repeat under the same id is another
    /// request with the same `id`.
    Sent {
        request: u64,
        client: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Id>,
        ask: Ask,
    },
    /// And is answered. A request without this event has an unknown outcome, as one answered
    /// with [`Answer::Unknown`].
    Answered {
        request: u64,
        answer: Answer,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
    },
    /// The admission instant: the last check before an admitted call was forwarded.
    Forwarded { request: u64 },
    /// An admitted call was not forwarded, and the client was told to give its units back.
    GivenBack { request: u64 },
    /// One entry of a log, when it was first applied anywhere. Each once, in the order of the
    /// log, from its first entry on, or none at all.
    Entry {
        #[serde(flatten)]
        position: Position,
        log_ms: u64,
        commands: Vec<Command>,
        /// The most counters that may be live in its shard, where nothing else bounds them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counters_max: Option<u64>,
        /// It may have been applied long before: all that is known is that it was by then.
        #[serde(default)]
        is_late: bool,
    },
    /// A node has applied its log up to an index.
    Applied {
        node: u64,
        shard: u32,
        index: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        term: Option<u64>,
        /// A digest of the entry's bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entry: Option<u64>,
        /// A digest of the state after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<u64>,
    },
    /// What a node has of a shard in the end.
    Final {
        node: u64,
        shard: u32,
        index: u64,
        state: u64,
        leads: bool,
    },
    /// A node leads a term.
    Leader { node: u64, shard: u32, term: u64 },
    /// A node has installed a snapshot that covers the log up to an index.
    Snapshot { node: u64, shard: u32, index: u64 },
    /// Something that has a named maximum.
    Bound {
        node: u64,
        bound: String,
        value: u64,
        max: u64,
    },
}

/// The parts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Faults may happen from now on.
    Faults,
    /// All faults are over, and all nodes that shall be up are started.
    Healed,
    /// Nothing is sent any more; what follows is the final state of each node.
    Settled,
}

/// Where a fault begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    Begin,
    End,
    /// Over as soon as it has happened.
    Once,
}

/// The name of a request in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id {
    pub epoch: u64,
    pub seq: u64,
}

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    pub shard: u32,
    pub term: u64,
    pub index: u64,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    Open,
    Acquire {
        items: Vec<Item>,
    },
    /// As an acquire, for a time. Callers acquire; of a call whose counters live in two shards the
    /// logs say this, and then that it is confirmed.
    Reserve {
        items: Vec<Item>,
    },
    Confirm,
    Refund,
    Peek {
        items: Vec<Item>,
    },
}

/// One limit of an acquire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The counter, as text.
    pub key: String,
    pub max: u64,
    pub window_ms: u64,
    pub units: u64,
    #[serde(default)]
    pub revision: u64,
    #[serde(default)]
    pub sliding: bool,
    #[serde(default)]
    pub shadow: bool,
    /// The shard of the counter, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Opened {
        epoch: u64,
    },
    Admitted {
        /// Not known to callers of the client library.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_for_ms: Option<u64>,
        items: Vec<ItemState>,
    },
    Denied {
        binding: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
        items: Vec<ItemState>,
        /// Answered from the client's memory of an earlier denial.
        #[serde(default)]
        cached: bool,
    },
    /// All units are held, to be confirmed within that time.
    Reserved {
        hold_for_ms: u64,
        items: Vec<ItemState>,
    },
    /// Nothing but units that are held and not confirmed stands in the way: nothing is decided.
    Contended {
        binding: usize,
        retry_after_ms: u64,
        items: Vec<ItemState>,
    },
    Refunded {
        units: u64,
    },
    Peeked {
        items: Vec<ItemState>,
    },
    Cancelled,
    Expired,
    Exhausted,
    Invalid,
    /// No answer in time: it may have been decided, or may be yet.
    Unknown,
}

/// The state of one counter as an answer shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemState {
    pub fits: bool,
    pub remaining: u64,
    pub max: u64,
    pub reset_after_ms: u64,
}

/// One command of an entry, and what it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    #[serde(default)]
    pub acked_seq: u64,
    pub ask: Ask,
    pub answer: Answer,
}

/// What is wrong with a history itself: no verdict is possible.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("line {line}: {source}")]
    Line {
        line: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("the history cannot be read")]
    Read(#[from] io::Error),
    #[error("event {event}: {what}")]
    Contradiction { event: usize, what: String },
}

/// Reads a history, one event a line.
pub fn read(lines: impl BufRead) -> Result<Vec<Event>, HistoryError> {
    let mut events = Vec::new();
    for (at, line) in lines.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let event = serde_json::from_str(&line).map_err(|source| HistoryError::Line {
            line: at + 1,
            source,
        })?;
        events.push(event);
    }
    Ok(events)
}

/// Writes a history, one event a line.
pub fn write(events: &[Event], mut out: impl Write) -> io::Result<()> {
    for event in events {
        serde_json::to_writer(&mut out, event)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

// === impl Ask ===

impl Ask {
    /// The items, where it has any.
    pub fn items(&self) -> &[Item] {
        match self {
            Self::Acquire { items } | Self::Reserve { items } | Self::Peek { items } => items,
            Self::Open | Self::Confirm | Self::Refund => &[],
        }
    }
}

// === impl Answer ===

impl Answer {
    /// The states of the items, where it has any.
    pub fn states(&self) -> &[ItemState] {
        match self {
            Self::Admitted { items, .. }
            | Self::Denied { items, .. }
            | Self::Reserved { items, .. }
            | Self::Contended { items, .. }
            | Self::Peeked { items } => items,
            _ => &[],
        }
    }

    pub(crate) fn states_mut(&mut self) -> &mut [ItemState] {
        match self {
            Self::Admitted { items, .. }
            | Self::Denied { items, .. }
            | Self::Reserved { items, .. }
            | Self::Contended { items, .. }
            | Self::Peeked { items } => items,
            _ => &mut [],
        }
    }

    pub fn is_admitted(&self) -> bool {
        matches!(self, Self::Admitted { .. })
    }

    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// Whether units are taken, for good or for a time.
    pub fn takes(&self) -> bool {
        matches!(self, Self::Admitted { .. } | Self::Reserved { .. })
    }

    /// The same decision, whatever time it was told at: durations shrink from telling to telling.
    pub fn is_same_decision(&self, other: &Self) -> bool {
        let alike = |a: &[ItemState], b: &[ItemState]| {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| (a.fits, a.remaining, a.max) == (b.fits, b.remaining, b.max))
        };
        match (self, other) {
            (Self::Admitted { items: a, .. }, Self::Admitted { items: b, .. }) => alike(a, b),
            (Self::Denied { items: a, .. }, Self::Denied { items: b, .. })
            | (Self::Reserved { items: a, .. }, Self::Reserved { items: b, .. }) => alike(a, b),
            _ => self == other,
        }
    }
}

// === impl Item ===

impl Item {
    /// Until when units count that are taken at `log_ms`.
    pub fn counts_until_ms(&self, log_ms: u64) -> u64 {
        if !self.sliding {
            return self.end_ms(log_ms);
        }
        let bucket_ms = (self.window_ms / BUCKETS_OF_WINDOW).max(1);
        let buckets = self.window_ms.div_ceil(bucket_ms) + BUCKETS_MORE;
        (log_ms / bucket_ms + buckets).saturating_mul(bucket_ms)
    }

    /// The end of the window that contains `log_ms`: windows are multiples of their length.
    pub fn end_ms(&self, log_ms: u64) -> u64 {
        let window_ms = self.window_ms.max(1);
        (log_ms / window_ms + 1).saturating_mul(window_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_as_it_was_written() {
        let item = Item {
            key: "k".into(),
            max: 5,
            window_ms: 1_000,
            units: 1,
            revision: 2,
            sliding: false,
            shadow: true,
            shard: Some(0),
        };
        let position = Position {
            shard: 0,
            term: 3,
            index: 9,
        };
        let state = ItemState {
            fits: true,
            remaining: 4,
            max: 5,
            reset_after_ms: 10,
        };
        let admitted = Answer::Admitted {
            valid_for_ms: None,
            items: vec![state],
        };
        let ask = Ask::Acquire { items: vec![item] };
        let whats = [
            What::Run {
                source: "test".into(),
                seed: Some(7),
                commit: String::new(),
                drift_ppm: 100,
            },
            What::Sent {
                request: 1,
                client: "g0".into(),
                id: Some(Id { epoch: 1, seq: 2 }),
                ask: ask.clone(),
            },
            What::Entry {
                position,
                log_ms: 12_345,
                commands: vec![Command {
                    id: None,
                    acked_seq: 0,
                    ask,
                    answer: admitted.clone(),
                }],
                counters_max: Some(9),
                is_late: false,
            },
            What::Answered {
                request: 1,
                answer: admitted,
                position: Some(position),
            },
            What::Fault {
                fault: "crash".into(),
                nodes: vec![1],
                edge: Edge::Once,
            },
        ];
        let events: Vec<Event> = (0..)
            .zip(whats)
            .map(|(at_us, what)| Event { at_us, what })
            .collect();
        let mut bytes = Vec::new();
        write(&events, &mut bytes).unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 5);
        assert_eq!(read(&bytes[..]).unwrap(), events);
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let text = "{\"at_us\":1,\"event\":\"forwarded\",\"request\":1}\n\n{\"at_us\":2}\n";
        let error = read(text.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("line 3:"), "{error}");
    }
}
