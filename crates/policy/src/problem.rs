//! Problems of a document: where, and what, and the nearest thing that would be right.

use std::fmt;

use crate::json::{Node, SyntaxError};
use crate::limits::{PROBLEMS_MAX, SHOWN_CHARS_MAX};

#[cfg(test)]
mod tests;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer (RFC 6901) to the value, or to the object that misses a member.
    pub pointer: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    pub message: String,
}

/// Why a document is refused: at least one problem, in document order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    problems: Vec<Problem>,
    /// Problems beyond [`PROBLEMS_MAX`].
    left_out: usize,
}

// === impl PolicyError ===

impl PolicyError {
    /// The problems in document order, never empty, at most [`PROBLEMS_MAX`].
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(crate) fn syntax(bytes: &[u8], error: SyntaxError) -> Self {
        let (line, column) = position(bytes, error.at);
        let problem = Problem {
            pointer: error.pointer.into(),
            line,
            column,
            message: error.fault.to_string(),
        };
        Self {
            problems: vec![problem],
            left_out: 0,
        }
    }

    /// The faults, by byte offset into `text`, with pointers from `root`. `None`: there are none.
    pub(crate) fn of(
        text: &str,
        root: &Node<'_>,
        mut faults: Vec<(usize, String)>,
    ) -> Option<Self> {
        if faults.is_empty() {
            return None;
        }
        faults.sort_by_key(|(at, _)| *at);
        let left_out = faults.len().saturating_sub(PROBLEMS_MAX);
        faults.truncate(PROBLEMS_MAX);
        let problem = |(at, message)| {
            let (line, column) = position(text.as_bytes(), at);
            Problem {
                pointer: root.pointer_to(at).into(),
                line,
                column,
                message,
            }
        };
        Some(Self {
            problems: faults.into_iter().map(problem).collect(),
            left_out,
        })
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for PolicyError {}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)?;
        if !self.pointer.is_empty() {
            write!(f, " ({})", self.pointer)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Line and column of the byte at `at`, both from 1; what precedes it is UTF-8.
fn position(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = &bytes[..at.min(bytes.len())];
    let lines = before.iter().filter(|byte| **byte == b'\n').count();
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let starts_character = |byte: &&u8| (**byte & 0xc0) != 0x80;
    let column = before[line_start..].iter().filter(starts_character).count();
    (lines + 1, column + 1)
}

/// The known name that `name` is probably meant to be.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > SHOWN_CHARS_MAX {
        return None;
    }
    let distance = |candidate: &str| strsim::osa_distance(&name.to_lowercase(), candidate);
    known
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// At most [`SHOWN_CHARS_MAX`] characters of `text`, and a sign that there are more.
pub(crate) fn shown(text: &str) -> String {
    clipped(text, SHOWN_CHARS_MAX)
}

/// At most `chars_max` characters of `text`, and a sign that there are more.
pub(crate) fn clipped(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
