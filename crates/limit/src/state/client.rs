//! Client epochs: which requests of one client process are decided, and how.
//!
//! Promises: a seq is decided at most once while it is above the watermark, and never again below
//! it. The watermark rises by the client's acknowledgement, and by log time: a second after a seq
//! was first seen the highest one is marked, and 30 s after a mark everything up to it is
//! forgotten. A client draws a seq before it is seen, and retries it for less than that, so no
//! retry outlives it.

use std::borrow::Borrow;
use std::collections::{BTreeSet, VecDeque};

use super::counters::Digest;
use super::slots::Slots;
use super::verdict::Slot;
use crate::LogTime;
use crate::command::{Bound, Caller, Item, Outcome};
use crate::limits::{DEDUP_TTL_MS, EPOCH_IDLE_MS_MAX, MARK_MS, SLOTS_MAX};

/// The most time marks of an epoch: one a second while they are not due, and more than enough.
pub(crate) const MARKS_MAX: usize = 64;

#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) caller: Caller,
    /// Everything up to here is acknowledged or forgotten.
    pub(crate) watermark: u64,
    /// The highest seq seen, or the watermark.
    pub(crate) highest: u64,
    /// All above the watermark.
    pub(crate) slots: Slots,
    /// Those that hold units: the watermark does not pass them.
    reserved: BTreeSet<u64>,
    /// When the highest seq was what; at most one a second.
    pub(crate) marks: VecDeque<(LogTime, u64)>,
    /// Since when there has been a seq that no mark covers.
    pub(crate) unmarked_since: Option<LogTime>,
    pub(crate) seen: LogTime,
}

// === impl Client ===

impl Client {
    pub(crate) fn new(caller: Caller, now: LogTime) -> Self {
        Self {
            caller,
            watermark: 0,
            highest: 0,
            slots: Slots::default(),
            reserved: BTreeSet::new(),
            marks: VecDeque::new(),
            unmarked_since: None,
            seen: now,
        }
    }

    pub(crate) fn is_live(&self, now: LogTime) -> bool {
        now.since(self.seen) < EPOCH_IDLE_MS_MAX
    }

    /// When time next changes something here, if no command does before.
    pub(crate) fn due(&self) -> LogTime {
        let idle = self.seen.plus_ms(EPOCH_IDLE_MS_MAX);
        let forget = self.marks.front().map(|(at, _)| at.plus_ms(DEDUP_TTL_MS));
        let mark = self.unmarked_since.map(|since| since.plus_ms(MARK_MS));
        forget.into_iter().chain(mark).fold(idle, LogTime::min)
    }

    /// Marks and forgets what is due.
    pub(crate) fn pass(&mut self, now: LogTime) {
        while let Some((at, seq)) = self.marks.front().copied()
            && now.since(at) >= DEDUP_TTL_MS
        {
            self.raise(seq);
            self.marks.pop_front();
        }
        if self
            .unmarked_since
            .is_some_and(|since| now.since(since) >= MARK_MS)
        {
            // Only a snapshot that somebody made up has so many. Later is safe: ids are kept longer.
            if self.marks.len() == MARKS_MAX {
                self.marks.pop_back();
            }
            self.marks.push_back((now, self.highest));
            self.unmarked_since = None;
        }
    }

    pub(crate) fn acknowledge(&mut self, acked_seq: u64) {
        // A client cannot acknowledge what was never seen.
        self.raise(acked_seq.min(self.highest));
    }

    fn raise(&mut self, watermark: u64) {
        let before = self.reserved.first().map_or(u64::MAX, |seq| seq - 1);
        let watermark = watermark.min(before);
        if watermark > self.watermark {
            self.watermark = watermark;
            self.slots.drop_to(watermark);
        }
    }

    /// Notes that `seq` is in use; the outcome of one that cannot be.
    pub(crate) fn see(&mut self, seq: u64, now: LogTime) -> Result<(), Outcome> {
        if seq <= self.watermark {
            return Err(Outcome::Expired);
        }
        if seq - self.watermark > SLOTS_MAX {
            return Err(Outcome::Exhausted(Bound::Requests));
        }
        if seq > self.highest {
            self.highest = seq;
            self.unmarked_since.get_or_insert(now);
        }
        Ok(())
    }

    pub(crate) fn slot(&self, seq: u64) -> Option<Slot> {
        self.slots.get(seq)
    }

    /// Puts a slot in place of what was there, and returns that.
    pub(crate) fn put<I: Borrow<Item>>(&mut self, seq: u64, slot: &Slot<I>) -> Option<Slot> {
        match slot.hold() {
            Some(_) => self.reserved.insert(seq),
            None => self.reserved.remove(&seq),
        };
        self.slots.put(seq, slot)
    }

    pub(crate) fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.number(self.caller.0);
        digest.number(self.watermark);
        digest.number(self.highest);
        digest.number(self.unmarked_since.map_or(0, |since| since.ms));
        digest.number(self.seen.ms);
        for mark in &self.marks {
            digest.number(mark.0.ms);
            digest.number(mark.1);
        }
        for (seq, slot) in self.slots.iter() {
            digest.number(seq);
            slot.digest(&mut digest);
        }
        digest.finish()
    }
}
