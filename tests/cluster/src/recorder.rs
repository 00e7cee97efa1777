//! The history of a run, as it happens: events stamped by the clock of this process, which stands
//! outside the cluster and is not touched by any fault.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quotum_checker::history::{Answer, Edge, Event, Phase, What};
use quotum_client::Clock;

/// Takes events; clones share the history.
#[derive(Debug, Clone)]
pub struct Recorder {
    clock: Clock,
    events: Arc<Mutex<Vec<Event>>>,
    last_request: Arc<AtomicU64>,
}

// === impl Recorder ===

impl Recorder {
    /// An empty history but for its first line.
    pub fn start(scenario: &str) -> Self {
        let recorder = Self {
            clock: Clock::boottime(),
            events: Arc::default(),
            last_request: Arc::default(),
        };
        recorder.note(What::Run {
            source: format!("cluster {scenario}"),
            seed: None,
            commit: String::new(),
            drift_ppm: 0,
        });
        recorder
    }

    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    pub fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// The number of a request that is to be recorded.
    pub fn request(&self) -> u64 {
        self.last_request.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn note(&self, what: What) -> u64 {
        let at_us = self.now_us();
        self.note_at(at_us, what);
        at_us
    }

    /// Notes what happened at an instant that has just passed.
    pub fn note_at(&self, at_us: u64, what: What) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(Event { at_us, what });
    }

    /// A fault begins, ends, or happens in an instant.
    pub fn fault(&self, fault: &str, nodes: &[u8], edge: Edge) -> u64 {
        self.note(What::Fault {
            fault: fault.to_owned(),
            nodes: nodes.iter().copied().map(u64::from).collect(),
            edge,
        })
    }

    pub fn phase(&self, phase: Phase) -> u64 {
        self.note(What::Phase {
            phase,
            within_us: 0,
            nodes: Vec::new(),
            shards: Vec::new(),
        })
    }

    /// All faults were over at an instant, and by now the cluster serves again.
    pub fn healed(&self, at_us: u64) {
        let phase = What::Phase {
            phase: Phase::Healed,
            within_us: self.now_us() - at_us,
            nodes: Vec::new(),
            shards: Vec::new(),
        };
        self.note_at(at_us, phase);
    }

    /// How long after an instant the first answer of the log came to a request that was sent after
    /// it.
    pub fn first_decision_after(&self, at_us: u64) -> Option<Duration> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sent = BTreeSet::new();
        let decided = events.iter().find(|event| match &event.what {
            What::Sent { request, .. } if event.at_us >= at_us => {
                sent.insert(*request);
                false
            }
            What::Answered {
                request, position, ..
            } => position.is_some() && sent.contains(request),
            _ => false,
        });
        decided.map(|event| Duration::from_micros(event.at_us - at_us))
    }

    /// How many requests since an instant were answered without a decision.
    pub fn unknown_since(&self, at_us: u64) -> usize {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unknown = |event: &&Event| {
            let answer = match &event.what {
                What::Answered { answer, .. } => answer,
                _ => return false,
            };
            event.at_us >= at_us && *answer == Answer::Unknown
        };
        events.iter().filter(is_unknown).count()
    }

    /// Everything so far, in the order of its instants.
    pub fn history(&self) -> Vec<Event> {
        let mut events = self
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        events.sort_by_key(|event| event.at_us);
        events
    }
}
