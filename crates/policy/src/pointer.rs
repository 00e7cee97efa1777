//! JSON pointers (RFC 6901).

use std::fmt::{self, Write as _};

/// Names one value inside a document; empty for the document itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pointer(String);

// === impl Pointer ===

impl Pointer {
    /// The pointer to the whole document.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// The pointer that descends these members from the root.
    pub fn of(names: &[&str]) -> Self {
        let mut pointer = Self::root();
        names.iter().for_each(|name| pointer.push(name));
        pointer
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Descends to a member: `~` and `/` are escaped.
    pub fn push(&mut self, name: &str) {
        self.0.push('/');
        for character in name.chars() {
            match character {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                other => self.0.push(other),
            }
        }
    }

    /// Descends to an element of an array.
    pub fn push_index(&mut self, index: usize) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "/{index}");
    }

    /// Puts the pointer of the enclosing value before this one.
    pub(crate) fn prefix(&mut self, outer: &Pointer) {
        self.0.insert_str(0, &outer.0);
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.0
    }
}
