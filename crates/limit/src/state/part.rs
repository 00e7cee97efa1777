//! Parts: a share of the counters, packed.
//!
//! Promises: a fixed counter costs at most 64 bytes beside its key, a sliding one its ring beside
//! that. Records, names and rings lie together, each kind by itself, so that a part is copied for
//! a snapshot by copying bytes, and none of them has an allocation to itself.

use super::chunks::Chunks;
use super::counters::Digest;
use super::places::Places;
use super::ring::{Grid, Ring, Spot};
use crate::command::Algorithm;
use crate::key::Tenant;
use crate::{Key, LogTime, Window};

/// Records of a chunk.
const RECORDS: usize = 32;
/// The same of names, in bytes.
const NAME_BYTES: usize = 1_024;

#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    /// Those of `records`.
    places: Places,
    records: Chunks<Record, RECORDS>,
    names: Chunks<u8, NAME_BYTES>,
    /// Bytes of `names` that no record has any more.
    names_unused: usize,
    rings: Vec<Ring>,
    rings_unused: Vec<u32>,
}

/// One count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    /// Over once log time reaches it: the end of the window that is counted; of a sliding one, when
    /// its last units count no more.
    pub(crate) end: LogTime,
    /// Of a sliding counter: the place of its ring.
    charged: u64,
    /// The highest revision seen since it began to live, and its max.
    pub(crate) revision: u64,
    pub(crate) max: u64,
    shape: Shape,
    name_at: u32,
    hash: u32,
}

const _: () = assert!(size_of::<Record>() <= 48, "a record is packed");

/// Window, algorithm, length of the name and tenant in 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape(u64);

/// What tells counters apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) window: Window,
    pub(crate) algorithm: Algorithm,
}

/// Units of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Charged {
    Fixed(u64),
    Sliding(Ring),
}

/// A counter that stands, as a snapshot writes and reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) window: Window,
    pub(crate) end: LogTime,
    pub(crate) revision: u64,
    pub(crate) max: u64,
    pub(crate) units: Units<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Units<'a> {
    Fixed(u64),
    Sliding(&'a [Spot]),
}

// === impl Shape ===

impl Shape {
    fn new(identity: Identity<'_>, tenant: Tenant) -> Self {
        // At most 366 days of milliseconds: 35 bits. A name has at most 128 bytes.
        Self(
            identity.window.code()
                | u64::from(identity.algorithm.code()) << 36
                | (identity.name.len() as u64) << 40
                | u64::from(tenant.0) << 48,
        )
    }

    fn window(self) -> Window {
        Window::from_code(self.0 & ((1 << 36) - 1)).expect("it was a window")
    }

    fn algorithm(self) -> Algorithm {
        Algorithm::from_code((self.0 >> 36 & 0xf) as u8).expect("it was an algorithm")
    }

    fn name_len(self) -> usize {
        (self.0 >> 40 & 0xff) as usize
    }

    fn tenant(self) -> Tenant {
        Tenant((self.0 >> 48) as u16)
    }

    /// Whether these are alike but for the tenant, which follows from the name.
    fn fits(self, other: Self) -> bool {
        self.0 << 16 == other.0 << 16
    }
}

// === impl Record ===

impl Record {
    pub(crate) fn tenant(&self) -> Tenant {
        self.shape.tenant()
    }
}

// === impl Part ===

impl Part {
    pub(crate) fn len(&self) -> usize {
        self.records.end()
    }

    pub(crate) fn record(&self, at: u32) -> &Record {
        self.records.get(at as usize)
    }

    /// Whether a counter is over at `now`.
    pub(crate) fn has_over(&self, now: LogTime) -> bool {
        self.records.iter().any(|record| record.end <= now)
    }

    /// The counters that stand at `now`.
    pub(crate) fn standing(&self, now: LogTime) -> impl Iterator<Item = View<'_>> {
        let records = self.records.iter().filter(move |record| record.end > now);
        records.map(move |record| View {
            name: self.name(record),
            window: record.shape.window(),
            end: record.end,
            revision: record.revision,
            max: record.max,
            units: match self.charged(record) {
                Ok(units) => Units::Fixed(units),
                Err(ring) => {
                    let grid = Grid::of(record.shape.window());
                    Units::Sliding(ring.counted(grid, now))
                }
            },
        })
    }

    fn name(&self, record: &Record) -> &[u8] {
        self.names
            .slice(record.name_at as usize, record.shape.name_len())
    }

    /// The units of a record, and its ring if it slides.
    pub(crate) fn charged(&self, record: &Record) -> Result<u64, &Ring> {
        match record.shape.algorithm() {
            Algorithm::Fixed => Ok(record.charged),
            Algorithm::Sliding => Err(&self.rings[record.charged as usize]),
        }
    }

    /// The units of the record at `at`, to be changed.
    pub(crate) fn charged_mut(&mut self, at: u32) -> (&mut Record, Option<&mut Ring>) {
        let record = self.records.get_mut(at as usize);
        let ring = match record.shape.algorithm() {
            Algorithm::Fixed => None,
            Algorithm::Sliding => Some(&mut self.rings[record.charged as usize]),
        };
        (record, ring)
    }

    pub(crate) fn find(&self, hash: u32, identity: Identity<'_>) -> Option<u32> {
        let shape = Shape::new(identity, Tenant::default());
        let same = |at| {
            let record = self.record(at);
            record.hash == hash && record.shape.fits(shape) && self.name(record) == identity.name
        };
        self.places.find(hash, same)
    }

    /// Reads where the lists of the part are, and makes something of it that nobody needs.
    pub(crate) fn touch(&self) -> u64 {
        (self.places.len() ^ self.names_unused) as u64
    }

    /// The same of the place at which [`Part::find`] begins.
    pub(crate) fn touch_place(&self, hash: u32) -> u64 {
        u64::from(self.places.first(hash))
    }

    /// The same of all that [`Part::find`] will read.
    pub(crate) fn touch_counter(&self, hash: u32) -> u64 {
        let alike = |at| self.record(at).hash == hash;
        let Some(at) = self.places.find(hash, alike) else {
            return 0;
        };
        let record = self.record(at);
        record.end.ms ^ u64::from(self.name(record)[0])
    }

    /// Puts a counter in whose identity is not there, and returns its place.
    pub(crate) fn insert(
        &mut self,
        hash: u32,
        (key, window): (&Key, Window),
        (end, revision, max): (LogTime, u64, u64),
        charged: Charged,
    ) -> u32 {
        let algorithm = match charged {
            Charged::Fixed(_) => Algorithm::Fixed,
            Charged::Sliding(_) => Algorithm::Sliding,
        };
        let name = key.as_bytes();
        let identity = Identity {
            name,
            window,
            algorithm,
        };
        let narrow = |at: usize| u32::try_from(at).expect("a part of the counters is small");
        let name_at = narrow(self.names.push(name));
        let charged = match charged {
            Charged::Fixed(units) => units,
            Charged::Sliding(ring) => self.put_ring(ring),
        };
        let record = Record {
            end,
            charged,
            revision,
            max,
            shape: Shape::new(identity, key.tenant()),
            name_at,
            hash,
        };
        let at = narrow(self.records.push(&[record]));
        self.places.insert(hash, at, hash_of(&self.records));
        at
    }

    fn put_ring(&mut self, ring: Ring) -> u64 {
        if let Some(at) = self.rings_unused.pop() {
            self.rings[at as usize] = ring;
            return u64::from(at);
        }
        self.rings.push(ring);
        self.rings.len() as u64 - 1
    }

    /// Frees the counters that are over at `now`, and says how many.
    pub(crate) fn sweep(&mut self, now: LogTime) -> usize {
        let before = self.len();
        let mut at = 0;
        while at < self.len() {
            match self.records.get(at).end <= now {
                true => self.remove(at),
                false => at += 1,
            }
        }
        if self.names_unused * 2 > self.names.end() {
            self.pack_names();
        }
        self.records.shrink();
        self.places.shrink(hash_of(&self.records));
        if self.rings_unused.len() == self.rings.len() {
            (self.rings, self.rings_unused) = (Vec::new(), Vec::new());
        }
        before - self.len()
    }

    /// Removes the record at `at`; the last one takes its place.
    fn remove(&mut self, at: usize) {
        let record = *self.records.get(at);
        self.places
            .remove(record.hash, at as u32, hash_of(&self.records));
        let last = self.len() - 1;
        let moved = self.records.pop();
        if last > at {
            self.places.relocate(moved.hash, last as u32, at as u32);
            *self.records.get_mut(at) = moved;
        }
        self.names_unused += record.shape.name_len();
        if record.shape.algorithm() == Algorithm::Sliding {
            self.rings[record.charged as usize] = Ring::default();
            self.rings_unused.push(record.charged as u32);
        }
    }

    fn pack_names(&mut self) {
        let mut names = Chunks::default();
        for record in self.records.iter_mut() {
            let (at, len) = (record.name_at as usize, record.shape.name_len());
            record.name_at = names.push(self.names.slice(at, len)) as u32;
        }
        self.names = names;
        self.names_unused = 0;
    }

    /// Starts the count of the record at `at` anew.
    pub(crate) fn restart(&mut self, at: u32, end: LogTime, revision: u64, max: u64) {
        let (record, ring) = self.charged_mut(at);
        (record.end, record.revision, record.max) = (end, revision, max);
        match ring {
            Some(ring) => *ring = Ring::default(),
            None => record.charged = 0,
        }
    }

    /// Adds to, or takes from, the units of a fixed counter.
    pub(crate) fn set_charged(&mut self, at: u32, units: u64) {
        self.records.get_mut(at as usize).charged = units;
    }

    /// The memory that it uses, about.
    pub(crate) fn bytes(&self) -> usize {
        self.places.bytes()
            + self.records.bytes()
            + self.names.bytes()
            + self.rings.capacity() * size_of::<Ring>()
            + self.rings.iter().map(Ring::bytes).sum::<usize>()
            + self.rings_unused.capacity() * size_of::<u32>()
    }
}

// === impl View ===

impl View<'_> {
    pub(crate) fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.bytes(self.name);
        for number in [self.window.code(), self.end.ms, self.revision, self.max] {
            digest.number(number);
        }
        match self.units {
            Units::Fixed(units) => digest.number(units),
            Units::Sliding(spots) => {
                for spot in spots {
                    digest.number(spot.bucket);
                    digest.number(spot.units);
                }
            }
        }
        digest.finish()
    }
}

fn hash_of(records: &Chunks<Record, RECORDS>) -> impl Fn(u32) -> u32 {
    |at| records.get(at as usize).hash
}
