//! Histories for tests, written in few words.

use crate::history::{
    Answer, Ask, Command, Edge, Event, Id, Item, ItemState, Phase, Position, What,
};
use crate::report::{Report, check};

/// A history in the making. Every event is a millisecond after the one before.
pub(crate) struct Sample {
    pub(crate) events: Vec<Event>,
    pub(crate) now_us: u64,
    /// That of the entries from here on.
    pub(crate) counters_max: Option<u64>,
}

pub(crate) fn item(key: &str, max: u64, units: u64) -> Item {
    Item {
        key: key.into(),
        max,
        window_ms: 1_000,
        units,
        revision: 1,
        sliding: false,
        shadow: false,
        shard: None,
    }
}

fn states(fits: bool, remaining: &[u64], max: u64, reset_after_ms: u64) -> Vec<ItemState> {
    let state = |remaining: &u64| ItemState {
        fits,
        remaining: *remaining,
        max,
        reset_after_ms,
    };
    remaining.iter().map(state).collect()
}

pub(crate) fn admitted(remaining: &[u64], max: u64, reset_after_ms: u64) -> Answer {
    Answer::Admitted {
        valid_for_ms: Some(reset_after_ms - 1),
        items: states(true, remaining, max, reset_after_ms),
    }
}

pub(crate) fn denied(remaining: u64, max: u64, reset_after_ms: u64) -> Answer {
    Answer::Denied {
        binding: 0,
        retry_after_ms: Some(reset_after_ms),
        items: states(false, &[remaining], max, reset_after_ms),
        cached: false,
    }
}

pub(crate) fn acquire(id: (u64, u64), items: Vec<Item>, answer: Answer) -> Command {
    Command {
        id: Some(name(id)),
        acked_seq: 0,
        ask: Ask::Acquire { items },
        answer,
    }
}

pub(crate) fn reserved(remaining: &[u64], max: u64, reset_after_ms: u64) -> Answer {
    Answer::Reserved {
        hold_for_ms: 1_000,
        items: states(true, remaining, max, reset_after_ms),
    }
}

pub(crate) fn contended(remaining: u64, max: u64, reset_after_ms: u64) -> Answer {
    Answer::Contended {
        binding: 0,
        retry_after_ms: 1_000,
        items: states(false, &[remaining], max, reset_after_ms),
    }
}

pub(crate) fn reserve(id: (u64, u64), items: Vec<Item>, answer: Answer) -> Command {
    Command {
        ask: Ask::Reserve { items },
        ..acquire(id, Vec::new(), answer)
    }
}

pub(crate) fn confirm(id: (u64, u64), answer: Answer) -> Command {
    Command {
        ask: Ask::Confirm,
        ..acquire(id, Vec::new(), answer)
    }
}

pub(crate) fn refund(id: (u64, u64), answer: Answer) -> Command {
    Command {
        id: Some(name(id)),
        acked_seq: 0,
        ask: Ask::Refund,
        answer,
    }
}

pub(crate) fn open(epoch: u64) -> Command {
    Command {
        id: None,
        acked_seq: 0,
        ask: Ask::Open,
        answer: Answer::Opened { epoch },
    }
}

fn name((epoch, seq): (u64, u64)) -> Id {
    Id { epoch, seq }
}

// === impl Sample ===

impl Sample {
    pub(crate) fn new() -> Self {
        let mut sample = Self {
            events: Vec::new(),
            now_us: 0,
            counters_max: None,
        };
        sample.push(What::Run {
            source: "sample".into(),
            seed: None,
            commit: String::new(),
            drift_ppm: 0,
        });
        sample
    }

    pub(crate) fn push(&mut self, what: What) -> &mut Self {
        self.now_us += 1_000;
        self.events.push(Event {
            at_us: self.now_us,
            what,
        });
        self
    }

    /// The last so many events are all of the instant of the very last.
    pub(crate) fn at_once(&mut self, count: usize) -> &mut Self {
        let first = self.events.len() - count;
        for event in &mut self.events[first..] {
            event.at_us = self.now_us;
        }
        self
    }

    pub(crate) fn wait_us(&mut self, us: u64) -> &mut Self {
        self.now_us += us;
        self
    }

    pub(crate) fn ask(
        &mut self,
        request: u64,
        id: Option<(u64, u64)>,
        items: Vec<Item>,
    ) -> &mut Self {
        self.push(What::Sent {
            request,
            client: "g".into(),
            id: id.map(name),
            ask: Ask::Acquire { items },
        })
    }

    /// The answer, decided at an index of shard 0 in term 1.
    pub(crate) fn told(&mut self, request: u64, answer: Answer, index: Option<u64>) -> &mut Self {
        let position = index.map(|index| Position {
            shard: 0,
            term: 1,
            index,
        });
        self.push(What::Answered {
            request,
            answer,
            position,
        })
    }

    pub(crate) fn forward(&mut self, request: u64) -> &mut Self {
        self.push(What::Forwarded { request })
    }

    /// An entry of shard 0 in term 1.
    pub(crate) fn entry(&mut self, index: u64, log_ms: u64, commands: Vec<Command>) -> &mut Self {
        self.entry_of_term(1, index, log_ms, commands)
    }

    pub(crate) fn entry_of_term(
        &mut self,
        term: u64,
        index: u64,
        log_ms: u64,
        commands: Vec<Command>,
    ) -> &mut Self {
        let position = Position {
            shard: 0,
            term,
            index,
        };
        self.entry_at(position, log_ms, commands)
    }

    /// An entry of another shard, in term 1.
    pub(crate) fn entry_of_shard(
        &mut self,
        shard: u32,
        index: u64,
        log_ms: u64,
        commands: Vec<Command>,
    ) -> &mut Self {
        let position = Position {
            shard,
            term: 1,
            index,
        };
        self.entry_at(position, log_ms, commands)
    }

    fn entry_at(&mut self, position: Position, log_ms: u64, commands: Vec<Command>) -> &mut Self {
        self.push(What::Entry {
            position,
            log_ms,
            commands,
            counters_max: self.counters_max,
            is_late: false,
        })
    }

    pub(crate) fn applied(
        &mut self,
        node: u64,
        index: u64,
        (term, entry, state): (u64, u64, u64),
    ) -> &mut Self {
        self.push(What::Applied {
            node,
            shard: 0,
            index,
            term: Some(term),
            entry: Some(entry),
            state: Some(state),
        })
    }

    pub(crate) fn leader(&mut self, node: u64, shard: u32, term: u64) -> &mut Self {
        self.push(What::Leader { node, shard, term })
    }

    pub(crate) fn snapshot(&mut self, node: u64, shard: u32, index: u64) -> &mut Self {
        self.push(What::Snapshot { node, shard, index })
    }

    pub(crate) fn fault(&mut self, fault: &str, edge: Edge) -> &mut Self {
        self.push(What::Fault {
            fault: fault.into(),
            nodes: vec![1],
            edge,
        })
    }

    pub(crate) fn phase(&mut self, phase: Phase, within_us: u64) -> &mut Self {
        self.push(What::Phase {
            phase,
            within_us,
            nodes: Vec::new(),
            shards: Vec::new(),
        })
    }

    pub(crate) fn report(&self) -> Report {
        check(&self.events).unwrap()
    }

    /// The invariants that are violated.
    pub(crate) fn violated(&self) -> Vec<&'static str> {
        let report = self.report();
        let mut names: Vec<_> = report.violations.iter().map(|one| one.invariant).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
