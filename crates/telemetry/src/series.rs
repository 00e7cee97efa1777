//! Series: handles of metrics with open labels, found without formatting, and bounded.
//!
//! Promises: at most [`LABEL_VALUES_MAX`] values of a label and a named number of label sets of a
//! metric, whatever names arrive; a look-up of a label set that was seen before allocates nothing.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::limits::{LABEL_BYTES_MAX, LABEL_VALUES_MAX};

#[cfg(test)]
mod tests;

/// The value of an open label, as a small number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Value(u32);

/// The values that an open label has had.
#[derive(Debug, Default)]
pub(crate) struct Values {
    known: RwLock<HashMap<Box<str>, Value>>,
}

/// A label set: the open labels, and the closed ones packed into a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Set<const OPEN: usize> {
    pub(crate) open: [Value; OPEN],
    pub(crate) closed: u32,
}

/// The handles of one metric, by label set.
pub(crate) struct Series<const OPEN: usize, H> {
    maximum: usize,
    handles: RwLock<HashMap<Set<OPEN>, H>>,
}

/// Whether a bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    Fits,
    Overflows,
}

// === impl Value ===

impl Value {
    /// What no longer has a value of its own.
    pub(crate) const OTHER: Self = Self(0);
    /// What is not known by name.
    pub(crate) const UNKNOWN: Self = Self(1);

    const FIRST_NAMED: u32 = 2;

    /// The text of the value that `name` was given.
    pub(crate) fn text(self, name: &str) -> String {
        match self {
            Self::OTHER => "other".to_owned(),
            Self::UNKNOWN => "unknown".to_owned(),
            Self(_) => name
                .chars()
                .map(|c| if is_plain(c) { c } else { '_' })
                .collect(),
        }
    }
}

// === impl Values ===

impl Values {
    /// The value of `name`: its own, or `other` where there is no room for one.
    pub(crate) fn of(&self, name: &str) -> (Value, Fit) {
        if let Some(value) = self
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
        {
            return (*value, Fit::Fits);
        }
        if name.len() > LABEL_BYTES_MAX {
            return (Value::OTHER, Fit::Overflows);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(name) {
            return (*value, Fit::Fits);
        }
        if known.len() >= LABEL_VALUES_MAX {
            return (Value::OTHER, Fit::Overflows);
        }
        let value = Value(Value::FIRST_NAMED + known.len() as u32);
        known.insert(name.into(), value);
        (value, Fit::Fits)
    }
}

// === impl Series ===

impl<const OPEN: usize, H> Series<OPEN, H> {
    pub(crate) fn new(maximum: usize) -> Self {
        Self {
            maximum,
            handles: RwLock::default(),
        }
    }

    /// Uses the handle of `set`, made by `make` if there is none yet. Where there is no room for
    /// the set, its open labels become `other`.
    pub(crate) fn with(
        &self,
        set: Set<OPEN>,
        make: impl FnOnce(Set<OPEN>) -> H,
        record: impl FnOnce(&H),
    ) -> Fit {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handles.get(&set) {
            record(handle);
            return Fit::Fits;
        }
        let overflow = Set {
            open: [Value::OTHER; OPEN],
            closed: set.closed,
        };
        let is_full = handles.len() >= self.maximum;
        if is_full && let Some(handle) = handles.get(&overflow) {
            record(handle);
            return Fit::Overflows;
        }
        drop(handles);
        let mut handles = self.handles.write().unwrap_or_else(PoisonError::into_inner);
        let is_full = handles.len() >= self.maximum && !handles.contains_key(&set);
        let set = if is_full { overflow } else { set };
        record(handles.entry(set).or_insert_with(|| make(set)));
        if is_full { Fit::Overflows } else { Fit::Fits }
    }
}

/// Quotes and backslashes would need escaping, and what does not print has no place in a label.
fn is_plain(c: char) -> bool {
    c != '"' && c != '\\' && !crate::escape::is_escaped(c)
}
