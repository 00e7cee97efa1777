//! One client of the generator: when its next request is due, which ids it has, and what became of
//! its requests. Pure: time arrives as an argument.
//!
//! Promises: latency counts from when a request was due, not from when there was room to send it;
//! what was due in the warm-up is not measured, errors are; every request is counted once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::IDS_SPAN_MAX;
use crate::pace::Pace;
use crate::tally::{Counted, Tally};

#[cfg(test)]
mod tests;

/// The parts of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phases {
    pub(crate) start: Instant,
    /// The end of the warm-up.
    pub(crate) measured_from: Instant,
    pub(crate) end: Instant,
}

#[derive(Debug)]
pub(crate) struct Lane {
    phases: Phases,
    pace: Pace,
    in_flight_max: usize,
    /// Commands of one request.
    batch: u64,
    /// Requests before the first slot: all answered.
    settled: u64,
    slots: VecDeque<Slot>,
    in_flight: usize,
    tally: Tally,
}

#[derive(Debug)]
struct Slot {
    due: Instant,
    is_answered: bool,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Send(Order),
    /// Nothing is due before this.
    Wait(Instant),
    /// Something is due, but first an answer has to come.
    Full,
    /// Nothing is sent any more.
    Over,
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// How many requests were sent before it.
    pub(crate) ordinal: u64,
    /// The id of its first command; the others follow.
    pub(crate) first_seq: u64,
    /// All ids up to this have their outcome.
    pub(crate) acked_seq: u64,
}

// === impl Phases ===

impl Phases {
    pub(crate) fn new(start: Instant, warmup: Duration, measured: Duration) -> Self {
        Self {
            start,
            measured_from: start + warmup,
            end: start + warmup + measured,
        }
    }
}

// === impl Lane ===

impl Lane {
    pub(crate) fn new(phases: Phases, pace: Pace, in_flight_max: usize, batch: u64) -> Self {
        assert!(in_flight_max > 0 && batch > 0, "the arguments were checked");
        Self {
            phases,
            pace,
            in_flight_max,
            batch,
            settled: 0,
            slots: VecDeque::new(),
            in_flight: 0,
            tally: Tally::new(),
        }
    }

    /// Commands of one request.
    pub(crate) fn batch(&self) -> u64 {
        self.batch
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// The next request, if it is due and there is room for it.
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        let due = match &self.pace {
            Pace::Closed => now,
            Pace::Open(schedule) => schedule.due(),
        };
        if now >= self.phases.end || due >= self.phases.end {
            return Next::Over;
        }
        if due > now {
            return Next::Wait(due);
        }
        if self.in_flight >= self.in_flight_max || !self.has_id() {
            return Next::Full;
        }
        if let Pace::Open(schedule) = &mut self.pace {
            schedule.advance();
        }
        let ordinal = self.settled + self.slots.len() as u64;
        self.slots.push_back(Slot {
            due,
            is_answered: false,
        });
        self.in_flight += 1;
        Next::Send(Order {
            ordinal,
            first_seq: ordinal * self.batch + 1,
            acked_seq: self.settled * self.batch,
        })
    }

    /// Counts the answer to a request.
    pub(crate) fn answer(&mut self, ordinal: u64, now: Instant, counted: Counted) {
        let at = ordinal.checked_sub(self.settled);
        let at = at.and_then(|at| usize::try_from(at).ok());
        let slot = at.and_then(|at| self.slots.get_mut(at));
        let Some(slot) = slot.filter(|slot| !slot.is_answered) else {
            let complaint = format!("request {ordinal} was answered twice, or never sent");
            self.tally.failed(1, Some(complaint));
            return;
        };
        slot.is_answered = true;
        if slot.due >= self.phases.measured_from {
            self.tally.decided(counted.admitted, counted.denied);
            if counted.errors == 0 {
                self.tally.took(now.saturating_duration_since(slot.due));
            }
        }
        if counted.errors > 0 {
            self.tally.failed(counted.errors, counted.complaint);
        }
        self.in_flight -= 1;
        while self.slots.front().is_some_and(|slot| slot.is_answered) {
            self.slots.pop_front();
            self.settled += 1;
        }
    }

    /// Ends the lane. A request without an answer is an error. One that was due and never sent is
    /// none, but took at least until the end.
    pub(crate) fn close(mut self) -> Tally {
        if self.in_flight > 0 {
            let complaint = format!("{} requests were not answered", self.in_flight);
            let errors = self.in_flight as u64 * self.batch;
            self.tally.failed(errors, Some(complaint));
        }
        if let Pace::Open(schedule) = &mut self.pace {
            while schedule.due() < self.phases.end {
                self.tally.unsent += 1;
                if schedule.due() >= self.phases.measured_from {
                    self.tally.took(self.phases.end - schedule.due());
                }
                schedule.advance();
            }
        }
        self.tally
    }

    /// Ends the lane because of a failure, which is an error in any case.
    pub(crate) fn break_off(mut self, complaint: String) -> Tally {
        self.tally.failed(1, Some(complaint));
        self.close()
    }

    /// Whether one more request fits into the ids that a node keeps.
    fn has_id(&self) -> bool {
        (self.slots.len() as u64 + 1) * self.batch <= IDS_SPAN_MAX
    }
}
