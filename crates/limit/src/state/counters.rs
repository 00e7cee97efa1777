//! The counters: in parts, each shared with snapshots until it is touched.
//!
//! Promises: a counter that is over is as if it were not there; counting live ones is exact and
//! does not depend on the sweep.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::census::Census;
use super::part::{Charged, Identity, Part, Units, View};
use super::ring::{self, Grid, Ring};
use crate::command::{Algorithm, Item};
use crate::key::Tenant;
use crate::limits::{PARTS, SWEEP_PER_COMMAND, SWEEP_PER_ENTRY};
use crate::{Key, LogTime, Window};

#[derive(Debug, Clone)]
pub(crate) struct Counters {
    hasher: FixedState,
    parts: Vec<Arc<Part>>,
    census: Census,
    stored: usize,
    sweep_at: usize,
}

/// Where to look for a counter: what its name hashes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    part: u32,
    hash: u32,
}

/// Where a counter is, or would be, and how it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    spot: Spot,
    /// Its place in the part, if it is there, standing or over.
    at: Option<u32>,
    standing: Option<Standing>,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    charged: u64,
    revision: u64,
    max: u64,
}

/// When what happens to the units of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// Until when units that are taken now are counted.
    pub(crate) end: LogTime,
    /// When more is left than now, if nobody gives units back.
    pub(crate) reset_at: LogTime,
    /// Until when units that are taken now may be used.
    pub(crate) use_until: LogTime,
}

// === impl Times ===

impl Times {
    fn of(window: Window, algorithm: Algorithm, now: LogTime) -> Self {
        match algorithm {
            Algorithm::Fixed => {
                let end = window.interval(now).end;
                Self {
                    end,
                    reset_at: end,
                    use_until: end,
                }
            }
            Algorithm::Sliding => {
                let grid = Grid::of(window);
                Self {
                    end: grid.free_at(grid.bucket(now)),
                    // Until there is something to come back.
                    reset_at: now,
                    use_until: now.plus_ms(grid.bucket_ms()),
                }
            }
        }
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            // Empty parts are one, until the first counter of each.
            parts: std::iter::repeat_n(Arc::new(Part::default()), PARTS).collect(),
            census: Census::default(),
            stored: 0,
            sweep_at: 0,
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.census.live()
    }

    pub(crate) fn live_of(&self, tenant: Tenant) -> usize {
        self.census.live_of(tenant)
    }

    /// Counters in memory, those included that the sweep has not reached.
    pub(crate) fn stored(&self) -> usize {
        self.stored
    }

    /// The memory that they use, about.
    pub(crate) fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| part.bytes());
        parts.sum::<usize>() + PARTS * (size_of::<Part>() + 24) + self.census.bytes()
    }

    /// Where to look for the counter of an item.
    pub(crate) fn spot(&self, item: &Item) -> Spot {
        self.hash(item.key.as_bytes(), item.window)
    }

    /// Reads what [`Counters::find`] will read at all these spots, and nothing else. Counters lie
    /// all over the memory, some pointers deep: looked for together, their ways are waited for
    /// together; each between two decisions, one after the other. Every pointer on the way has a
    /// pass of its own, in which no read waits for another one.
    pub(crate) fn warm(&self, spots: &[Spot]) {
        let pass = |touch: fn(&Part, u32) -> u64| {
            let part = |spot: &Spot| &self.parts[spot.part as usize];
            let read = |sum, spot: &Spot| sum ^ touch(part(spot), spot.hash);
            std::hint::black_box(spots.iter().fold(0, read));
        };
        pass(|part, _| part.touch());
        pass(Part::touch_place);
        pass(Part::touch_counter);
    }

    /// Looks a counter up at its spot; one that is over at `now` does not stand.
    pub(crate) fn find(&self, spot: Spot, item: &Item, now: LogTime) -> Place {
        let part = &self.parts[spot.part as usize];
        let at = part.find(spot.hash, identity(item));
        let record = at.map(|at| part.record(at));
        let standing = record.filter(|record| record.end > now).map(|record| {
            let charged = match part.charged(record) {
                Ok(units) => units,
                Err(ring) => ring::sum(ring.counted(Grid::of(item.window), now)),
            };
            Standing {
                charged,
                revision: record.revision,
                max: record.max,
            }
        });
        Place { spot, at, standing }
    }

    /// The times of `item` at `now`, as its counter stands.
    pub(crate) fn times(&self, place: &Place, item: &Item, now: LogTime) -> Times {
        let mut times = Times::of(item.window, item.algorithm, now);
        let counted = self.counted(place, item.window, now);
        if let Some(oldest) = counted.and_then(|spots| spots.first()) {
            times.reset_at = Grid::of(item.window).free_at(oldest.bucket);
        }
        times
    }

    /// When at most `most` units count, if nobody takes or gives back any.
    pub(crate) fn at_most(&self, place: &Place, item: &Item, most: u64, now: LogTime) -> LogTime {
        match self.counted(place, item.window, now) {
            Some(spots) => ring::at_most(spots, Grid::of(item.window), most).unwrap_or(now),
            None => item.window.interval(now).end,
        }
    }

    /// The ring of a sliding counter that stands.
    fn counted(&self, place: &Place, window: Window, now: LogTime) -> Option<&[ring::Spot]> {
        place.standing?;
        let part = &self.parts[place.spot.part as usize];
        let record = part.record(place.at?);
        let ring = part.charged(record).err()?;
        Some(ring.counted(Grid::of(window), now))
    }

    /// Adds `units` at `now` to the counter at `place`, which starts anew where it does not stand.
    /// The caller has checked that they fit. `end` is that of [`Times`].
    pub(crate) fn charge(
        &mut self,
        place: &Place,
        item: &Item,
        (max, units): (u64, u64),
        (now, end): (LogTime, LogTime),
    ) {
        let part = Arc::make_mut(&mut self.parts[place.spot.part as usize]);
        let at = match (place.at, place.standing) {
            (Some(at), Some(_)) => at,
            (Some(at), None) => {
                part.restart(at, end, item.revision, max);
                at
            }
            (None, _) => {
                self.stored += 1;
                let nothing = match item.algorithm {
                    Algorithm::Fixed => Charged::Fixed(0),
                    Algorithm::Sliding => Charged::Sliding(Ring::default()),
                };
                let bounds = (end, item.revision, max);
                part.insert(place.spot.hash, (&item.key, item.window), bounds, nothing)
            }
        };
        let (record, ring) = part.charged_mut(at);
        match place.standing {
            Some(_) => self.census.extend(record.tenant(), record.end, end),
            None => self.census.enter(record.tenant(), end),
        }
        record.end = end;
        let charged = place.standing.map_or(0, |standing| standing.charged) + units;
        assert!(charged <= record.max, "charged beyond the max in force");
        match ring {
            Some(ring) => ring.add(Grid::of(item.window), now, units),
            None => part.set_charged(at, charged),
        }
    }

    /// Keeps a newer revision's max on a counter that stands.
    pub(crate) fn learn(&mut self, place: &Place, item: &Item) {
        let (Some(standing), Some(at)) = (place.standing, place.at) else {
            return;
        };
        let (_, max) = place.in_force(item.revision, item.max);
        let revision = standing.revision.max(item.revision);
        if (standing.revision, standing.max) == (revision, max) {
            return;
        }
        let part = Arc::make_mut(&mut self.parts[place.spot.part as usize]);
        let (record, _) = part.charged_mut(at);
        (record.revision, record.max) = (revision, max);
    }

    /// Gives back `units` that are counted until `end`, and says how many there were to give.
    pub(crate) fn refund(&mut self, item: &Item, end: LogTime, units: u64) -> u64 {
        let Spot { part, hash } = self.spot(item);
        let Some(at) = self.parts[part as usize].find(hash, identity(item)) else {
            return 0;
        };
        let part = Arc::make_mut(&mut self.parts[part as usize]);
        let charged = part.charged(part.record(at));
        let charged = charged.unwrap_or_default();
        let (record, ring) = part.charged_mut(at);
        match ring {
            Some(ring) => ring.take(Grid::of(item.window).bucket_until(end), units),
            None if record.end == end => {
                let back = units.min(charged);
                part.set_charged(at, charged - back);
                back
            }
            None => 0,
        }
    }

    /// Counts out everything that is over at `now`.
    pub(crate) fn pass(&mut self, now: LogTime) {
        self.census.pass(now);
    }

    /// Frees some counters that are over. Shows in no outcome.
    pub(crate) fn sweep(&mut self, now: LogTime, commands: usize) {
        #[cfg(quotum_bugs)]
        let now = crate::bugs::swept_until(now);
        let mut budget = SWEEP_PER_ENTRY + SWEEP_PER_COMMAND * commands;
        while self.stored > self.live() && budget > 0 {
            let part = &mut self.parts[self.sweep_at];
            self.sweep_at = (self.sweep_at + 1) % PARTS;
            budget = budget.saturating_sub(part.len() + 1);
            if part.has_over(now) {
                self.stored -= Arc::make_mut(part).sweep(now);
            }
        }
    }

    /// The counters that stand at `now`, in no order that means anything.
    fn iter(&self, now: LogTime) -> impl Iterator<Item = View<'_>> {
        self.parts.iter().flat_map(move |part| part.standing(now))
    }

    /// The parts, each given up when it has been looked at.
    pub(crate) fn into_parts(self) -> impl Iterator<Item = Arc<Part>> + Send {
        self.parts.into_iter()
    }

    /// Puts a counter from a snapshot in; `false`: it is there already.
    pub(crate) fn insert(&mut self, key: &Key, view: View<'_>) -> bool {
        let Spot { part, hash } = self.hash(view.name, view.window);
        let (algorithm, charged) = match view.units {
            Units::Fixed(units) => (Algorithm::Fixed, Charged::Fixed(units)),
            Units::Sliding(spots) => {
                let ring = Ring::new(spots.to_vec());
                (Algorithm::Sliding, Charged::Sliding(ring))
            }
        };
        let identity = Identity {
            name: view.name,
            window: view.window,
            algorithm,
        };
        let part = Arc::make_mut(&mut self.parts[part as usize]);
        if part.find(hash, identity).is_some() {
            return false;
        }
        let bounds = (view.end, view.revision, view.max);
        part.insert(hash, (key, view.window), bounds, charged);
        self.stored += 1;
        self.census.enter(key.tenant(), view.end);
        true
    }

    /// The sum of the digests of the counters that stand: no order in it.
    pub(crate) fn digest(&self, now: LogTime) -> u64 {
        self.iter(now)
            .fold(0, |sum, counter| sum.wrapping_add(counter.digest()))
    }

    fn hash(&self, name: &[u8], window: Window) -> Spot {
        let mut state = self.hasher.build_hasher();
        state.write(name);
        state.write_u64(window.code());
        let hash = state.finish();
        let part = (hash >> 32) as usize % PARTS;
        Spot {
            part: part as u32,
            hash: hash as u32,
        }
    }
}

fn identity(item: &Item) -> Identity<'_> {
    Identity {
        name: item.key.as_bytes(),
        window: item.window,
        algorithm: item.algorithm,
    }
}

// === impl Place ===

impl Place {
    pub(crate) fn is_live(&self) -> bool {
        self.standing.is_some()
    }

    /// Units charged, and the max in force for a command that brings `revision` and `max`: the
    /// newer revision's, and the smaller of two of the same revision.
    pub(crate) fn in_force(&self, revision: u64, max: u64) -> (u64, u64) {
        match self.standing {
            None => (0, max),
            Some(s) if revision > s.revision => (s.charged, max),
            Some(s) if revision == s.revision => (s.charged, max.min(s.max)),
            Some(s) => (s.charged, s.max),
        }
    }
}

/// A fixed, order-sensitive digest: equal on every build and machine. Tells states apart that
/// differ by accident, not those that somebody has chosen.
pub(crate) struct Digest(u64);

// === impl Digest ===

impl Digest {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn number(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn finish(self) -> u64 {
        self.0
    }
}
