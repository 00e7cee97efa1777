//! The state as bytes: what a snapshot holds.
//!
//! Only what stands at the log time reached is written. Promises: a decoded state answers every
//! later command as the encoded one does, and has the same digest; decoding never panics.

use std::borrow::Borrow;

use smallvec::SmallVec;

use crate::codec::{DecodeError, Reader, Writer};
use crate::command::{Algorithm, Caller, Caps, Epoch, Item};
use crate::limits::{EPOCH_MAX, EPOCHS_MAX, ITEMS_MAX, SLOTS_MAX, UNITS_MAX};
use crate::state::State;
use crate::state::client::{Client, MARKS_MAX};
use crate::state::counters::Counters;
use crate::state::part::{Units, View};
use crate::state::restored::Restored;
use crate::state::ring::{Grid, SPOTS_MAX, Spot};
use crate::state::verdict::{Held, Kind, Slot, Verdict};
use crate::{LogTime, Stamp};

#[cfg(test)]
mod tests;

/// The layout that this build writes.
const VERSION: u64 = 4;

/// What is said of a held item in one number: its flags, and which of its numbers are written because
/// they are not what they mostly are.
mod marks {
    pub(super) const HOPELESS: u64 = 1;
    pub(super) const FITS: u64 = 1 << 1;
    pub(super) const SHADOW: u64 = 1 << 2;
    pub(super) const SLIDING: u64 = 1 << 3;
    /// Units asked for, where they are not one.
    pub(super) const UNITS: u64 = 1 << 4;
    /// Units charged, where they are not those asked for.
    pub(super) const CHARGED: u64 = 1 << 5;
    /// The max in force and times, where they are not the item's max and all one.
    pub(super) const OTHERS: u64 = 1 << 6;
    pub(super) const ALL: u64 = (1 << 7) - 1;
}

// === impl State ===

impl State {
    pub fn encode(&self) -> Vec<u8> {
        self.clone().into_pieces(usize::MAX).flatten().collect()
    }

    /// The encoded state in pieces of `piece_bytes` or a little more. What is in a piece is given
    /// up: a state that shared it need not copy it any more when it changes it.
    pub fn into_pieces(self, piece_bytes: usize) -> impl Iterator<Item = Vec<u8>> + Send {
        let now = self.last.log;
        let mut head = Some(self.head());
        drop(self.clients);
        let mut parts = self.counters.into_parts();
        std::iter::from_fn(move || {
            let mut out = head.take().unwrap_or_default();
            while out.len() < piece_bytes {
                let Some(part) = parts.next() else { break };
                for counter in part.standing(now) {
                    counter.encode(&mut out);
                }
            }
            (!out.is_empty()).then(|| out.into_bytes())
        })
    }

    /// All but the counters.
    fn head(&self) -> Writer {
        let mut out = Writer::default();
        out.number(VERSION);
        out.number(self.last.log.ms);
        out.number(self.last.reference_ms);
        self.caps.encode(&mut out);
        encode_restored(self.restored, &mut out);
        out.number(self.clients.next_epoch);
        out.number(self.clients.len() as u64);
        for (epoch, client) in self.clients.iter() {
            out.number(epoch.0);
            client.encode(&mut out);
        }
        out.number(self.counters.live() as u64);
        out
    }

    /// Reads an encoded state; `hash_seed` as in [`State::new`].
    pub fn decode(bytes: &[u8], hash_seed: u64) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        if input.number()? != VERSION {
            return Err(input.error("unknown version of a snapshot"));
        }
        let mut state = Self::new(hash_seed);
        let log = input.log_time()?;
        state.last = Stamp {
            log,
            reference_ms: input.number()?,
        };
        state.caps = Caps::decode(&mut input)?;
        state.restored = decode_restored(&mut input)?;
        state.clients.next_epoch = input.number()?;
        if state.clients.next_epoch > EPOCH_MAX {
            return Err(input.error("an epoch is too large"));
        }
        for _ in 0..input.size(EPOCHS_MAX)? {
            let epoch = Epoch(input.number()?);
            if epoch.0 >= state.clients.next_epoch {
                return Err(input.error("an epoch that was never opened"));
            }
            if state.clients.get(epoch).is_some() {
                return Err(input.error("an epoch appears twice"));
            }
            state.clients.insert(epoch, Client::decode(&mut input)?);
        }
        for _ in 0..input.size(usize::MAX)? {
            decode_counter(&mut input, &mut state.counters, log)?;
        }
        input.end()?;
        state.find_holds();
        state.pass();
        Ok(state)
    }
}

fn encode_restored(restored: Option<Restored>, out: &mut Writer) {
    out.number(u64::from(restored.is_some()));
    if let Some(Restored { at, accept_over }) = restored {
        out.number(u64::from(accept_over));
        out.number(u64::from(at.is_some()));
        out.number(at.map_or(0, |at| at.ms));
    }
}

fn decode_restored(input: &mut Reader<'_>) -> Result<Option<Restored>, DecodeError> {
    if !input.flag()? {
        return Ok(None);
    }
    let accept_over = input.flag()?;
    let is_known = input.flag()?;
    let at = input.log_time()?;
    Ok(Some(Restored {
        at: is_known.then_some(at),
        accept_over,
    }))
}

// === impl View ===

impl View<'_> {
    fn encode(&self, out: &mut Writer) {
        out.bytes(self.name);
        for number in [self.window.code(), self.end.ms, self.revision, self.max] {
            out.number(number);
        }
        match self.units {
            Units::Fixed(units) => {
                out.number(u64::from(Algorithm::Fixed.code()));
                out.number(units);
            }
            Units::Sliding(spots) => {
                out.number(u64::from(Algorithm::Sliding.code()));
                out.number(spots.len() as u64);
                for spot in spots {
                    out.number(spot.bucket);
                    out.number(spot.units);
                }
            }
        }
    }
}

/// Reads a counter that stands at `now`, and puts it in.
fn decode_counter(
    input: &mut Reader<'_>,
    counters: &mut Counters,
    now: LogTime,
) -> Result<(), DecodeError> {
    let key = input.key()?;
    let window = input.window()?;
    let end = LogTime::from_ms(input.number()?);
    if end <= now {
        return Err(input.error("a counter whose window is over"));
    }
    let (revision, max) = (input.number()?, input.units()?);
    let mut spots = Vec::new();
    let units = match input.algorithm()? {
        Algorithm::Fixed => Units::Fixed(input.units()?),
        Algorithm::Sliding => {
            let grid = Grid::of(window);
            let mut least = grid.oldest(now);
            for _ in 0..input.size(SPOTS_MAX)? {
                let spot = Spot {
                    bucket: input.number()?,
                    units: input.units()?,
                };
                if spot.bucket < least || spot.bucket > grid.bucket(now) || spot.units == 0 {
                    return Err(input.error("units out of their place"));
                }
                least = spot.bucket + 1;
                spots.push(spot);
            }
            Units::Sliding(&spots)
        }
    };
    let view = View {
        name: key.as_bytes(),
        window,
        end,
        revision,
        max,
        units,
    };
    match counters.insert(&key, view) {
        true => Ok(()),
        false => Err(input.error("a counter appears twice")),
    }
}

// === impl Client ===

impl Client {
    fn encode(&self, out: &mut Writer) {
        out.number(self.caller.0);
        out.number(self.watermark);
        out.number(self.highest - self.watermark);
        out.number(self.seen.ms);
        out.number(self.unmarked_since.map_or(0, |since| since.ms));
        out.number(self.marks.len() as u64);
        for (at, seq) in &self.marks {
            out.number(at.ms);
            out.number(*seq);
        }
        #[cfg(quotum_bugs)]
        if crate::bugs::is(crate::bugs::Bug::SnapshotForgetsIds) {
            return out.number(0);
        }
        out.number(self.slots.len() as u64);
        for (seq, slot) in self.slots.encoded() {
            out.number(seq - self.watermark);
            out.written(slot);
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let caller = Caller(input.number()?);
        let watermark = input.number()?;
        let ahead = input.size(SLOTS_MAX as usize)? as u64;
        let highest = watermark.checked_add(ahead).filter(|seq| *seq < u64::MAX);
        let highest = highest.ok_or_else(|| input.error("a watermark is too large"))?;
        let mut client = Self::new(caller, input.log_time()?);
        (client.watermark, client.highest) = (watermark, highest);
        client.unmarked_since = Some(input.log_time()?).filter(|since| since.ms > 0);
        for _ in 0..input.size(MARKS_MAX)? {
            let mark = (input.log_time()?, input.number()?);
            if mark.1 > highest {
                return Err(input.error("a mark is ahead of its epoch"));
            }
            client.marks.push_back(mark);
        }
        let mut last = watermark;
        for _ in 0..input.size(SLOTS_MAX as usize)? {
            let seq = watermark.checked_add(input.number()?);
            let seq = seq.filter(|seq| *seq > last && *seq <= highest);
            last = seq.ok_or_else(|| input.error("a seq is out of its place"))?;
            client.put(last, &Slot::decode(input)?);
        }
        Ok(client)
    }
}

// === impl Slot ===

impl<I: Borrow<Item>> Slot<I> {
    pub(crate) fn encode(&self, out: &mut Writer) {
        match self {
            Self::Cancelled => out.number(1),
            Self::Resolved(verdict) => {
                out.number(2 + u64::from(verdict.admitted));
                out.number(verdict.kind.code());
                out.number(verdict.held.len() as u64);
                for held in &verdict.held {
                    held.encode(out);
                }
            }
        }
    }
}

impl Slot {
    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let admitted = match input.number()? {
            1 => return Ok(Self::Cancelled),
            2 => false,
            3 => true,
            _ => return Err(input.error("unknown kind of slot")),
        };
        let kind = Kind::from_code(input.number()?);
        let mut held: SmallVec<[Held; 1]> = SmallVec::new();
        for _ in 0..input.size(ITEMS_MAX)? {
            held.push(Held::decode(input)?);
        }
        let verdict = Verdict {
            admitted,
            kind,
            held,
        };
        if !admitted && verdict.binding(LogTime::ZERO).is_none() {
            return Err(input.error("a denial that nothing denies"));
        }
        Ok(Self::Resolved(verdict))
    }
}

// === impl Held ===

impl<I: Borrow<Item>> Held<I> {
    fn marks(&self) -> u64 {
        let item = self.item.borrow();
        let others = (self.max, self.reset_at, self.until) != (item.max, self.end, self.end);
        let mark = |mark, is| if is { mark } else { 0 };
        mark(marks::HOPELESS, self.hopeless)
            | mark(marks::FITS, self.fits)
            | mark(marks::SHADOW, item.shadow)
            | mark(marks::SLIDING, item.algorithm == Algorithm::Sliding)
            | mark(marks::UNITS, item.units != 1)
            | mark(marks::CHARGED, self.charged != item.units)
            | mark(marks::OTHERS, others)
    }

    /// Numbers that are mostly large have one size: this is written for every decision.
    fn encode(&self, out: &mut Writer) {
        let item = self.item.borrow();
        let marks = self.marks();
        out.number(marks);
        out.bytes(item.key.as_bytes());
        out.number(item.window.code());
        out.number(item.revision);
        if marks & marks::UNITS != 0 {
            out.number(item.units);
        }
        if marks & marks::CHARGED != 0 {
            out.number(self.charged);
        }
        for number in [item.max, self.remaining, self.end.ms] {
            out.fixed(number);
        }
        if marks & marks::OTHERS != 0 {
            for number in [self.max, self.reset_at.ms, self.until.ms] {
                out.fixed(number);
            }
        }
    }
}

impl Held {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let marks = input.number()?;
        if marks & !marks::ALL != 0 {
            return Err(input.error("an unknown mark of an item"));
        }
        let is = |mark| marks & mark != 0;
        let mut item = Item {
            key: input.key()?,
            window: input.window()?,
            revision: input.number()?,
            units: if is(marks::UNITS) { input.number()? } else { 1 },
            max: 0,
            algorithm: match is(marks::SLIDING) {
                true => Algorithm::Sliding,
                false => Algorithm::Fixed,
            },
            shadow: is(marks::SHADOW),
        };
        let charged = match is(marks::CHARGED) {
            true => input.number()?,
            false => item.units,
        };
        item.max = input.fixed()?;
        let (remaining, end) = (input.fixed()?, input.fixed()?);
        let (max, reset_at, until) = match is(marks::OTHERS) {
            true => (input.fixed()?, input.fixed()?, input.fixed()?),
            false => (item.max, end, end),
        };
        let held = Self {
            charged,
            hopeless: is(marks::HOPELESS),
            fits: is(marks::FITS),
            remaining,
            max,
            end: LogTime::from_ms(end),
            reset_at: LogTime::from_ms(reset_at),
            until: LogTime::from_ms(until),
            item,
        };
        if charged > UNITS_MAX * ITEMS_MAX as u64 {
            return Err(input.error("too many units"));
        }
        match held.marks() == marks {
            true => Ok(held),
            false => Err(input.error("a number is written that is what it mostly is")),
        }
    }
}
