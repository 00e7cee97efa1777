//! Event streams: cut into events as WHATWG defines them, and put together again byte for byte.
//!
//! Promises: the same events and the same bytes however the stream arrives in pieces; an event is
//! given out as soon as it is complete; no event is larger than a bound. Knows nothing of JSON.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use crate::limits::EVENT_BYTES_MAX;

#[cfg(test)]
mod tests;

/// One event, or the blank line that a keep-alive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    raw: Bytes,
}

/// Cuts a stream into events.
#[derive(Debug)]
pub struct Splitter {
    buffer: BytesMut,
    /// Where the line begins that is being read.
    line_start: usize,
    /// Up to where the buffer was searched.
    searched: usize,
    /// Nothing was given out yet: a byte order mark may stand here.
    at_start: bool,
    bytes_max: usize,
}

/// An event is larger than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is too large")]
pub struct EventTooLarge;

/// A line of an event by its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Data(&'a [u8]),
    /// The type of the event.
    Event(&'a [u8]),
    /// What a reader resumes after.
    Id(&'a [u8]),
    /// `retry` or a comment.
    Kept,
    /// A field that readers ignore.
    Unknown,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

// === impl Splitter ===

impl Splitter {
    pub fn new() -> Self {
        Self::with_bound(EVENT_BYTES_MAX)
    }

    /// A splitter whose events have at most `bytes_max` bytes.
    pub fn with_bound(bytes_max: usize) -> Self {
        let buffer = BytesMut::new();
        Self {
            buffer,
            line_start: 0,
            searched: 0,
            at_start: true,
            bytes_max,
        }
    }

    /// Adds the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The bytes that wait for the rest of their event, or to be asked for.
    pub fn bytes_held(&self) -> usize {
        self.buffer.len()
    }

    /// The next complete event, if there is one. What is left at the end of the stream is no event.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventTooLarge> {
        let Some(end) = self.find_end() else {
            let too_large = self.buffer.len() > self.bytes_max;
            return if too_large {
                Err(EventTooLarge)
            } else {
                Ok(None)
            };
        };
        if end > self.bytes_max {
            return Err(EventTooLarge);
        }
        let mut raw = self.buffer.split_to(end).freeze();
        self.line_start = 0;
        self.searched = 0;
        if self.at_start && raw.starts_with(BYTE_ORDER_MARK) {
            raw = raw.slice(BYTE_ORDER_MARK.len()..);
        }
        self.at_start = false;
        Ok(Some(Event { raw }))
    }

    /// The end of the first blank line. A carriage return at the end of the buffer ends a blank
    /// line at once: a line feed that follows is then a blank line of its own, which says nothing.
    fn find_end(&mut self) -> Option<usize> {
        loop {
            let rest = &self.buffer[self.searched..];
            let Some(found) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.searched = self.buffer.len();
                return None;
            };
            let at = self.searched + found;
            let blank = at == self.line_start;
            let end = match (self.buffer[at], self.buffer.get(at + 1)) {
                (b'\r', Some(b'\n')) => at + 2,
                (b'\r', None) if !blank => {
                    self.searched = at;
                    return None;
                }
                _ => at + 1,
            };
            self.line_start = end;
            self.searched = end;
            if blank {
                return Some(end);
            }
        }
    }
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Event ===

impl Event {
    /// The bytes of the event, its blank line included.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The data as its reader gets it; `None`: there is no such line.
    pub fn data(&self) -> Option<Cow<'_, [u8]>> {
        let mut data: Option<Cow<'_, [u8]>> = None;
        for (line, _) in self.lines() {
            let Line::Data(value) = line else { continue };
            data = Some(match data {
                None => Cow::Borrowed(value),
                Some(before) => {
                    let mut joined = before.into_owned();
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                    Cow::Owned(joined)
                }
            });
        }
        data
    }

    /// Whether readers of messages take it: it has no type, or the type `message`. The last line
    /// that names a type counts.
    pub fn is_message(&self) -> bool {
        let types = self.lines().filter_map(|(line, _)| match line {
            Line::Event(name) => Some(name),
            _ => None,
        });
        types
            .last()
            .is_none_or(|name| name.is_empty() || name == b"message")
    }

    /// Whether it has lines that readers ignore, which could hide anything.
    pub fn has_unknown_lines(&self) -> bool {
        self.lines().any(|(line, _)| line == Line::Unknown)
    }

    /// The id as its reader gets it: the last one counts, and none that has a NUL. `None`: there is no
    /// such line.
    pub fn id(&self) -> Option<&[u8]> {
        let ids = self.lines().filter_map(|(line, _)| match line {
            Line::Id(id) if !id.contains(&0) => Some(id),
            _ => None,
        });
        ids.last()
    }

    /// The event with another id, or with none. An id has no line end.
    pub fn with_id(&self, id: Option<&str>) -> Self {
        let mut written = BytesMut::with_capacity(self.raw.len() + 16);
        if let Some(id) = id {
            written.extend_from_slice(b"id: ");
            written.extend_from_slice(id.as_bytes());
            written.extend_from_slice(b"\n");
        }
        let others = self
            .lines()
            .filter(|(line, _)| !matches!(line, Line::Id(_)));
        for (_, text) in others {
            written.extend_from_slice(text);
            written.extend_from_slice(b"\n");
        }
        written.extend_from_slice(b"\n");
        Self {
            raw: written.freeze(),
        }
    }

    /// The event with other data, or with none: its id, `retry` and comments stay as they are.
    pub fn with_data(&self, data: Option<&[u8]>) -> Bytes {
        let mut written = BytesMut::with_capacity(self.raw.len() + 16);
        for (line, text) in self.lines() {
            let kept = match line {
                Line::Id(_) | Line::Kept => true,
                Line::Event(_) => data.is_some(),
                Line::Data(_) | Line::Unknown => false,
            };
            if kept {
                written.extend_from_slice(text);
                written.extend_from_slice(b"\n");
            }
        }
        for line in data
            .iter()
            .flat_map(|data| data.split(|byte| *byte == b'\n'))
        {
            written.extend_from_slice(b"data: ");
            written.extend_from_slice(line);
            written.extend_from_slice(b"\n");
        }
        written.extend_from_slice(b"\n");
        written.freeze()
    }

    /// The lines that are not blank: what each is, and its text without the line end.
    fn lines(&self) -> impl Iterator<Item = (Line<'_>, &[u8])> {
        let lines = self.raw.split(|byte| matches!(byte, b'\r' | b'\n'));
        lines
            .filter(|line| !line.is_empty())
            .map(|line| (Line::read(line), line))
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    fn read(line: &'a [u8]) -> Self {
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => Self::Data(value),
            b"event" => Self::Event(value),
            b"id" => Self::Id(value),
            b"" | b"retry" => Self::Kept,
            _ => Self::Unknown,
        }
    }
}

/// A message as an event of its own.
pub fn encode_message(json: &str) -> Bytes {
    Bytes::from(format!("event: message\ndata: {json}\n\n"))
}
