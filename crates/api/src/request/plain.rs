//! Acquires as protobuf libraries write them: each field once, in the order of the numbers, in a message
//! that holds nothing else. What is anything but that is not read here.

use bytes::Buf;
use quotum_limit::limits::{ITEMS_MAX, KEY_BYTES_MAX};
use quotum_limit::{Algorithm, Item, Items, Key, Window};
use smallvec::SmallVec;

use super::Asked;

/// The keys of fields: number and wire type.
mod key {
    const VARINT: u8 = 0;
    const LENGTH: u8 = 2;
    /// Of a command.
    pub(super) const ACQUIRE: u8 = 2 << 3 | LENGTH;
    /// Of an acquire.
    pub(super) const SEQ: u8 = 1 << 3 | VARINT;
    pub(super) const ITEMS: u8 = 2 << 3 | LENGTH;
    /// Of an item.
    pub(super) const KEY: u8 = 1 << 3 | LENGTH;
    pub(super) const MAX: u8 = 2 << 3 | VARINT;
    pub(super) const REVISION: u8 = 3 << 3 | VARINT;
    pub(super) const CALENDAR: u8 = 4 << 3 | VARINT;
    pub(super) const WINDOW_MS: u8 = 5 << 3 | VARINT;
    pub(super) const ALGORITHM: u8 = 6 << 3 | VARINT;
    pub(super) const UNITS: u8 = 7 << 3 | VARINT;
    pub(super) const SHADOW: u8 = 8 << 3 | VARINT;
}

/// Calendar windows, by their number less one.
const CALENDAR: [Window; 6] = [
    Window::Second,
    Window::Minute,
    Window::Hour,
    Window::Day,
    Window::Week,
    Window::Month,
];

/// A command that begins where the buffer does, read and not yet taken out of it.
pub(super) struct Plain {
    /// Its bytes, with its length before them.
    len: usize,
    seq: u64,
    items: SmallVec<[PlainItem; 1]>,
}

struct PlainItem {
    /// Where the bytes of the key are.
    key_at: usize,
    key_len: usize,
    max: u64,
    revision: u64,
    window: Window,
    algorithm: Algorithm,
    units: u64,
    shadow: bool,
}

/// What is left of a message, and where that begins in the buffer.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

// === impl Plain ===

impl Plain {
    /// Reads a command behind its length. Nothing: it is for others to read, or to refuse.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut command = Cursor { bytes, at: 0 }.message()?;
        let len = command.at + command.bytes.len();
        let mut acquire = command.field(key::ACQUIRE)?.message()?;
        if !command.skip_to(&acquire).bytes.is_empty() {
            return None;
        }
        let seq = acquire.field(key::SEQ)?.number()?;
        let mut items = SmallVec::new();
        while !acquire.bytes.is_empty() {
            if items.len() == ITEMS_MAX {
                return None;
            }
            let item = acquire.field(key::ITEMS)?.message()?;
            acquire.skip_to(&item);
            items.push(PlainItem::read(item)?);
        }
        (!items.is_empty()).then_some(Self { len, seq, items })
    }

    /// Takes the command out of the buffer that it was read from. Keys share its bytes.
    pub(super) fn take(self, buf: &mut impl Buf) -> Asked {
        let mut taken = 0;
        let mut items = Items::with_capacity(self.items.len());
        for item in self.items {
            buf.advance(item.key_at - taken);
            let key = buf.copy_to_bytes(item.key_len);
            taken = item.key_at + item.key_len;
            items.push(Item {
                key: Key::sharing(key).expect("its length was read"),
                max: item.max,
                revision: item.revision,
                window: item.window,
                algorithm: item.algorithm,
                units: item.units,
                shadow: item.shadow,
            });
        }
        buf.advance(self.len - taken);
        Asked::Acquire {
            seq: self.seq,
            items,
        }
    }
}

// === impl PlainItem ===

impl PlainItem {
    fn read(mut item: Cursor<'_>) -> Option<Self> {
        let key = item.field(key::KEY)?.message()?;
        let (key_at, key_len) = (key.at, key.bytes.len());
        if key_len == 0 || key_len > KEY_BYTES_MAX {
            return None;
        }
        item.skip_to(&key);
        let max = item.optional(key::MAX)?;
        let revision = item.optional(key::REVISION)?;
        let window = match *item.bytes.first()? {
            key::CALENDAR => {
                let number = item.field(key::CALENDAR)?.number()?;
                *CALENDAR.get(usize::try_from(number).ok()?.checked_sub(1)?)?
            }
            key::WINDOW_MS => Window::duration(item.field(key::WINDOW_MS)?.number()?).ok()?,
            _ => return None,
        };
        let algorithm = match item.optional(key::ALGORITHM)? {
            0 | 1 => Algorithm::Fixed,
            2 => Algorithm::Sliding,
            _ => return None,
        };
        let units = item.optional(key::UNITS)?;
        let shadow = match item.optional(key::SHADOW)? {
            0 => false,
            1 => true,
            _ => return None,
        };
        item.bytes.is_empty().then_some(Self {
            key_at,
            key_len,
            max,
            revision,
            window,
            algorithm,
            units,
            shadow,
        })
    }
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    /// Goes beyond the key of a field, if it is that one.
    fn field(&mut self, key: u8) -> Option<&mut Self> {
        let (first, rest) = self.bytes.split_first()?;
        if *first != key {
            return None;
        }
        self.bytes = rest;
        self.at += 1;
        Some(self)
    }

    /// The number of a field, 0 where it is not there.
    fn optional(&mut self, key: u8) -> Option<u64> {
        match self.bytes.first() {
            Some(first) if *first == key => self.field(key)?.number(),
            _ => Some(0),
        }
    }

    /// The message that begins here behind its length: all of it must be there.
    fn message(&mut self) -> Option<Cursor<'a>> {
        let len = usize::try_from(self.number()?).ok()?;
        Some(Cursor {
            bytes: self.bytes.get(..len)?,
            at: self.at,
        })
    }

    /// Goes to the end of a message that began here.
    fn skip_to(&mut self, end: &Cursor<'a>) -> &mut Self {
        let skipped = end.at + end.bytes.len() - self.at;
        self.bytes = &self.bytes[skipped..];
        self.at += skipped;
        self
    }

    /// A varint.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for (read, byte) in self.bytes.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if read == 9 && bits > 1 {
                return None;
            }
            number |= bits << (7 * read);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[read + 1..];
                self.at += read + 1;
                return Some(number);
            }
        }
        None
    }
}
