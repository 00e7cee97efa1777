//! Framing: what the bytes of a connection say of the length of each request, before the HTTP parser
//! has read them. It drops a `Content-Length` beside `Transfer-Encoding`, and one that stands there
//! twice, so that only here they can be seen.
//!
//! Promises: once a request has told its length twice, its connection is ambiguous. Changes no byte.
//! Where it loses track it says nothing more: what the parser refuses, or a body in chunks, is the
//! last of its connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};

use crate::limits::READ_BUFFER_BYTES_MAX;

#[cfg(test)]
mod tests;

/// Whether a request on a connection has told its length twice. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Ambiguity(Arc<AtomicBool>);

/// Stands in the extensions of a request on a connection that is ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous;

/// Follows the bytes of one connection.
#[derive(Debug)]
pub struct Watch {
    ambiguity: Ambiguity,
    place: Place,
    head: Head,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    /// A body with so many bytes left.
    Body(u64),
    /// Nobody knows: nothing after it is served.
    Lost,
}

/// The head of a request, as far as it has come.
#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    /// The line that has not ended yet.
    line: Vec<u8>,
    has_request_line: bool,
    lengths: usize,
    /// The last of them; `None`: it is no number.
    length: Option<u64>,
    has_coding: bool,
}

// === impl Ambiguity ===

impl Ambiguity {
    pub fn is_found(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn find(&self) {
        self.0.store(true, Ordering::Release);
    }
}

// === impl Watch ===

impl Watch {
    /// Follows a connection from its first byte.
    pub fn new(ambiguity: Ambiguity) -> Self {
        Self {
            ambiguity,
            place: Place::Head,
            head: Head::default(),
        }
    }

    /// Takes the next bytes.
    pub fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match self.place {
                Place::Lost => return,
                Place::Body(left) => {
                    let used = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.place = after_head(left - used as u64);
                    used
                }
                Place::Head => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let used = end.map_or(bytes.len(), |end| end + 1);
                    self.see_line(&bytes[..used]);
                    used
                }
            };
            bytes = &bytes[used..];
        }
    }

    /// Takes a line of a head, or a part of one.
    fn see_line(&mut self, part: &[u8]) {
        self.head.bytes += part.len();
        if self.head.bytes > READ_BUFFER_BYTES_MAX {
            self.place = Place::Lost;
            return;
        }
        self.head.line.extend_from_slice(part);
        if part.ends_with(b"\n") && self.head.end_line() == Line::EndsHead {
            self.end_head();
        }
    }

    fn end_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        if head.lengths > 1 || (head.lengths == 1 && head.has_coding) {
            self.ambiguity.find();
        }
        self.place = match head.length {
            _ if head.has_coding => Place::Lost,
            None if head.lengths > 0 => Place::Lost,
            length => after_head(length.unwrap_or(0)),
        };
    }
}

/// Where a connection is before a body of this length.
fn after_head(length: u64) -> Place {
    if length == 0 {
        Place::Head
    } else {
        Place::Body(length)
    }
}

/// What the end of a line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    GoesOn,
    EndsHead,
}

// === impl Head ===

impl Head {
    fn end_line(&mut self) -> Line {
        let whole = std::mem::take(&mut self.line);
        let line = whole.strip_suffix(b"\n").unwrap_or(&whole);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // The parser takes empty lines before a request.
        match (line.is_empty(), self.has_request_line) {
            (true, true) => return Line::EndsHead,
            (true, false) => {}
            (false, false) => self.has_request_line = true,
            (false, true) => self.see_header(line),
        }
        Line::GoesOn
    }

    fn see_header(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return;
        };
        let is = |name: HeaderName| line[..colon].eq_ignore_ascii_case(name.as_str().as_bytes());
        if is(TRANSFER_ENCODING) {
            self.has_coding = true;
        }
        if is(CONTENT_LENGTH) {
            let value = line[colon + 1..].trim_ascii();
            self.lengths += 1;
            self.length = std::str::from_utf8(value)
                .ok()
                .and_then(|value| value.parse().ok());
        }
    }
}
