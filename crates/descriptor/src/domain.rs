//! Domains: which limit a descriptor of a request has.
//!
//! At each level the entry's key and value decide: an exact value wins over a value with `*`, in
//! the order of the file, and that over the key alone. A limit applies where the request's depth is
//! the configuration's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use quotum_limit::Window;
use smallvec::SmallVec;

use crate::pattern::Pattern;
use crate::plan::Entry;

#[cfg(test)]
mod tests;

/// A unit of time, numbered as Envoy numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Second = 1,
    Minute = 2,
    Hour = 3,
    Day = 4,
    Month = 5,
    Year = 6,
    Week = 7,
}

/// How much a limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    Unlimited,
    Per { requests: u32, unit: Unit },
}

/// What follows where a limit has nothing left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Enforced,
    /// Nothing: it is only counted.
    Shadow,
    /// The request is over only where all its descriptors of this mode are.
    Quota,
}

/// A configured limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    pub quantity: Quantity,
    pub mode: Mode,
    /// Empty: none.
    pub name: Box<str>,
    /// The names of limits that do not apply in a request where this one does.
    pub replaces: Box<[Box<str>]>,
    /// Whether metrics show the values of requests.
    pub detailed_metric: bool,
    /// Whether hits that do not fit use up what is left: they have happened already.
    pub takes_rest: bool,
    pub metadata: Option<Metadata>,
}

/// Data for Envoy's dynamic metadata: a value of JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Metadata {
    Null,
    Truth(bool),
    Number(f64),
    Text(String),
    List(Vec<Metadata>),
    Map(BTreeMap<String, Metadata>),
}

/// Everything that is configured for one domain.
#[derive(Debug, PartialEq)]
pub struct Domain {
    pub(crate) name: Box<str>,
    pub(crate) level: Level,
    pub(crate) limits: usize,
}

/// The descriptors at one depth, by key.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Level {
    pub(crate) keys: BTreeMap<Box<str>, Keyed>,
}

/// The descriptors of one key.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Keyed {
    pub(crate) exact: BTreeMap<Box<str>, Node>,
    pub(crate) patterns: Vec<(Pattern, Node)>,
    pub(crate) any: Option<Node>,
}

/// One descriptor.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) limit: Option<Limit>,
    pub(crate) level: Level,
    /// One counter for all values that match the pattern.
    pub(crate) shares: bool,
    /// Whether metrics show the value of requests at this depth.
    pub(crate) value_to_metric: bool,
}

/// The limit of a descriptor, and how it was found.
#[derive(Debug)]
pub struct Found<'c> {
    pub limit: &'c Limit,
    steps: SmallVec<[Step<'c>; 4]>,
}

#[derive(Debug)]
struct Step<'c> {
    node: &'c Node,
    matched: Matched<'c>,
}

#[derive(Debug, Clone, Copy)]
enum Matched<'c> {
    Exact,
    Pattern(&'c Pattern),
    Any,
}

// === impl Unit ===

impl Unit {
    pub const ALL: [(&'static str, Self); 7] = [
        ("second", Self::Second),
        ("minute", Self::Minute),
        ("hour", Self::Hour),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("year", Self::Year),
    ];

    /// The unit that Envoy gives this number.
    pub fn from_number(number: i32) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(_, unit)| *unit as i32 == number)
            .map(|(_, unit)| *unit)
    }

    pub fn seconds(self) -> u64 {
        const DAY: u64 = 86_400;
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 30 * DAY,
            Self::Year => 365 * DAY,
        }
    }

    /// The window with the boundaries that envoyproxy/ratelimit cuts: multiples of the unit since
    /// 1970, so that a week starts on Thursday, a month has 30 days and a year 365.
    pub fn window(self) -> Window {
        Window::duration(self.seconds() * 1_000).expect("a unit lasts at most a year")
    }
}

// === impl Domain ===

impl Domain {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many limits it has, at all depths.
    pub fn limits(&self) -> usize {
        self.limits
    }

    /// The limit of a descriptor with these entries, if it has one.
    pub fn find(&self, entries: &[Entry<'_>]) -> Option<Found<'_>> {
        let mut level = &self.level;
        let mut steps = SmallVec::new();
        let (last, _) = entries.split_last()?;
        for (depth, entry) in entries.iter().enumerate() {
            let step = level.step(entry)?;
            level = &step.node.level;
            let limit = step.node.limit.as_ref();
            steps.push(step);
            if depth + 1 == entries.len() {
                return limit.map(|limit| Found { limit, steps });
            }
        }
        unreachable!("{last:?} is the last entry")
    }
}

// === impl Level ===

impl Level {
    fn step(&self, entry: &Entry<'_>) -> Option<Step<'_>> {
        let keyed = self.keys.get(entry.key)?;
        if let Some(node) = keyed.exact.get(entry.value) {
            let matched = Matched::Exact;
            return Some(Step { node, matched });
        }
        let mut patterns = keyed.patterns.iter();
        if let Some((pattern, node)) = patterns.find(|(pattern, _)| pattern.matches(entry.value)) {
            let matched = Matched::Pattern(pattern);
            return Some(Step { node, matched });
        }
        keyed.any.as_ref().map(|node| Step {
            node,
            matched: Matched::Any,
        })
    }
}

// === impl Found ===

impl<'c> Found<'c> {
    /// The pattern whose values share the counter, where the entry at `depth` was found by one.
    pub(crate) fn shared(&self, depth: usize) -> Option<&'c Pattern> {
        match self.steps.get(depth) {
            Some(Step {
                node,
                matched: Matched::Pattern(pattern),
            }) if node.shares => Some(pattern),
            _ => None,
        }
    }

    /// How metrics name the descriptor at `depth`: `key`, or `key_value` where the configuration
    /// names a value, or is told to show those of requests. Empty: there is no such depth.
    pub(crate) fn metric_name<'a>(&self, entries: &[Entry<'a>], depth: usize) -> Cow<'a, str> {
        let (Some(step), Some(entry)) = (self.steps.get(depth), entries.get(depth)) else {
            return Cow::Borrowed("");
        };
        let shows = self.limit.detailed_metric || step.node.value_to_metric;
        let value = match step.matched {
            Matched::Exact => entry.value,
            Matched::Pattern(pattern) if self.shared(depth).is_some() || !shows => {
                return Cow::Owned(format!("{}_{}", entry.key, pattern.as_str()));
            }
            Matched::Pattern(_) => entry.value,
            Matched::Any if shows => entry.value,
            Matched::Any => "",
        };
        match value {
            "" => Cow::Borrowed(entry.key),
            value => Cow::Owned(format!("{}_{value}", entry.key)),
        }
    }
}
