//! Log entries as bytes: what is written to the log, sent to peers, and decoded on every replica.
//!
//! Numbers are LEB128 varints, byte strings carry their length. Promises: decoding never panics,
//! allocates no more than a small multiple of its input, and accepts exactly what encoding made.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::command::{Algorithm, Batch, Caller, Caps, Command, Epoch, Item, Items, RequestId};
use crate::limits::{BATCH_COMMANDS_MAX, ITEMS_MAX, LOG_TIME_MS_MAX, UNITS_MAX};
use crate::{Key, LogTime, Stamp, Window};

#[cfg(test)]
pub(crate) mod tests;

/// The layout that this build writes. An entry of another one stops the node.
const VERSION: u64 = 2;

/// The bytes of the largest number.
const NUMBER_BYTES_MAX: usize = 10;

/// Where bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {what}")]
pub struct DecodeError {
    pub offset: usize,
    pub what: &'static str,
}

/// An encoded batch, read piece by piece: an entry may hold thousands of commands, which need not
/// all be in memory at once.
#[derive(Debug)]
pub struct Entry<'a> {
    pub stamp: Stamp,
    pub caps: Caps,
    commands_left: usize,
    level_max: u32,
    input: Reader<'a>,
}

/// Appends numbers and byte strings.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

/// Reads what [`Writer`] wrote.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What `bytes` are all of, if keys may be slices of it.
    shared: Option<&'a Bytes>,
}

// === impl Batch ===

impl Batch {
    pub fn encode(&self) -> Vec<u8> {
        let commands = (self.commands.len(), self.commands.iter());
        Entry::encode(self.stamp, self.caps, commands)
    }

    /// Reads an encoded batch. Its keys are slices of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut entry = Entry::open(bytes)?;
        let mut commands = Vec::with_capacity(entry.commands_left().min(bytes.len()));
        entry.read(BATCH_COMMANDS_MAX, &mut commands)?;
        Ok(Self {
            stamp: entry.stamp,
            caps: entry.caps,
            commands,
        })
    }
}

// === impl Entry ===

impl<'a> Entry<'a> {
    /// What is wrong with a command that [`Entry::up_to_level`] does not let through.
    pub const ABOVE_LEVEL: &'static str = "a command of a higher feature level";

    /// Encodes so many commands.
    pub fn encode<'c>(
        stamp: Stamp,
        caps: Caps,
        (count, commands): (usize, impl Iterator<Item = &'c Command>),
    ) -> Vec<u8> {
        let mut out = Writer::with_capacity(24 + 64 * count);
        out.number(VERSION);
        out.number(stamp.log.ms);
        out.number(stamp.reference_ms);
        caps.encode(&mut out);
        out.number(count as u64);
        for command in commands {
            command.encode(&mut out);
        }
        out.into_bytes()
    }

    /// Reads all but the commands. Keys will be slices of `bytes`.
    pub fn open(bytes: &'a Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::sharing(bytes);
        if input.number()? != VERSION {
            return Err(input.error("unknown version of a log entry"));
        }
        let log = input.log_time()?;
        let stamp = Stamp {
            log,
            reference_ms: input.number()?,
        };
        let caps = Caps::decode(&mut input)?;
        let commands_left = input.size(BATCH_COMMANDS_MAX)?;
        if commands_left == 0 {
            input.end()?;
        }
        Ok(Self {
            stamp,
            caps,
            commands_left,
            level_max: u32::MAX,
            input,
        })
    }

    /// Refuses commands of a higher feature level: see [`Command::level`].
    pub fn up_to_level(self, level_max: u32) -> Self {
        Self { level_max, ..self }
    }

    /// How many commands have not been read.
    pub fn commands_left(&self) -> usize {
        self.commands_left
    }

    /// Reads the next commands into `commands`, `most` or as many as are left.
    pub fn read(&mut self, most: usize, commands: &mut Vec<Command>) -> Result<(), DecodeError> {
        for _ in 0..most.min(self.commands_left) {
            let command = Command::decode(&mut self.input)?;
            if command.level() > self.level_max {
                return Err(self.input.error(Self::ABOVE_LEVEL));
            }
            commands.push(command);
            self.commands_left -= 1;
            if self.commands_left == 0 {
                self.input.end()?;
            }
        }
        Ok(())
    }
}

// === impl Caps ===

impl Caps {
    pub(crate) fn encode(&self, out: &mut Writer) {
        out.number(self.counters_max as u64);
        out.number(self.tenant_counters_max as u64);
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            counters_max: input.size(usize::MAX)?,
            tenant_counters_max: input.size(usize::MAX)?,
        })
    }
}

// === impl Command ===

impl Command {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Open { caller } => {
                out.number(0);
                out.number(caller.0);
            }
            Self::Acquire {
                id,
                acked_seq,
                items,
            } => {
                out.number(1);
                id.encode(out);
                out.number(*acked_seq);
                encode_items(items, out);
            }
            Self::Refund { id } => {
                out.number(2);
                id.encode(out);
            }
            Self::Peek { items } => {
                out.number(3);
                encode_items(items, out);
            }
            Self::Reserve {
                id,
                acked_seq,
                items,
            } => {
                out.number(4);
                id.encode(out);
                out.number(*acked_seq);
                encode_items(items, out);
            }
            Self::Confirm { id } => {
                out.number(5);
                id.encode(out);
            }
        }
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.number()? {
            0 => Ok(Self::Open {
                caller: Caller(input.number()?),
            }),
            1 => Ok(Self::Acquire {
                id: RequestId::decode(input)?,
                acked_seq: input.number()?,
                items: decode_items(input)?,
            }),
            2 => Ok(Self::Refund {
                id: RequestId::decode(input)?,
            }),
            3 => Ok(Self::Peek {
                items: decode_items(input)?,
            }),
            4 => Ok(Self::Reserve {
                id: RequestId::decode(input)?,
                acked_seq: input.number()?,
                items: decode_items(input)?,
            }),
            5 => Ok(Self::Confirm {
                id: RequestId::decode(input)?,
            }),
            _ => Err(input.error("unknown kind of command")),
        }
    }
}

impl RequestId {
    fn encode(self, out: &mut Writer) {
        out.number(self.epoch.0);
        out.number(self.seq);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch(input.number()?),
            seq: input.number()?,
        })
    }
}

fn encode_items(items: &Items, out: &mut Writer) {
    out.number(items.len() as u64);
    for item in items {
        encode_item(item, out);
    }
}

fn encode_item(item: &Item, out: &mut Writer) {
    out.bytes(item.key.as_bytes());
    out.number(item.max);
    out.number(item.revision);
    out.number(item.window.code());
    out.number(u64::from(item.algorithm.code()));
    out.number(item.units);
    out.number(u64::from(item.shadow));
}

fn decode_items(input: &mut Reader<'_>) -> Result<Items, DecodeError> {
    let count = input.size(ITEMS_MAX)?;
    let mut items = SmallVec::with_capacity(count);
    for _ in 0..count {
        items.push(decode_item(input)?);
    }
    Ok(items)
}

fn decode_item(input: &mut Reader<'_>) -> Result<Item, DecodeError> {
    Ok(Item {
        key: input.key()?,
        max: input.number()?,
        revision: input.number()?,
        window: input.window()?,
        algorithm: input.algorithm()?,
        units: input.number()?,
        shadow: input.flag()?,
    })
}

// === impl Writer ===

impl Writer {
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    pub fn number(&mut self, mut number: u64) {
        if number < 0x80 {
            return self.bytes.push(number.to_le_bytes()[0]);
        }
        let mut bytes = [0; NUMBER_BYTES_MAX];
        let mut count = 0;
        while number >= 0x80 {
            bytes[count] = number.to_le_bytes()[0] | 0x80;
            number >>= 7;
            count += 1;
        }
        bytes[count] = number.to_le_bytes()[0];
        // All ten, and off with the rest: a copy of a length that is known takes two instructions.
        let end = self.bytes.len() + count + 1;
        self.bytes.extend_from_slice(&bytes);
        self.bytes.truncate(end);
    }

    /// A number that is mostly large, in eight bytes.
    pub(crate) fn fixed(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends what another writer has written.
    pub(crate) fn written(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl From<Vec<u8>> for Writer {
    /// Appends to `bytes`.
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            shared: None,
        }
    }

    /// A reader whose keys are slices of `bytes`, not copies.
    pub fn sharing(bytes: &'a Bytes) -> Self {
        Self {
            shared: Some(bytes),
            ..Self::new(bytes)
        }
    }

    pub fn error(&self, what: &'static str) -> DecodeError {
        DecodeError {
            offset: self.at,
            what,
        }
    }

    /// A varint in its shortest form.
    pub fn number(&mut self) -> Result<u64, DecodeError> {
        if let Some(&byte) = self.bytes.get(self.at)
            && byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(byte));
        }
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.error("the bytes end within a number"));
            };
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (shift > 0 && byte == 0) {
                return Err(self.error("a number is too long"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.error("a number is too long"))
    }

    /// A number of eight bytes.
    pub(crate) fn fixed(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        let Some(bytes) = bytes else {
            return Err(self.error("the bytes end within a number"));
        };
        self.at += bytes.len();
        Ok(u64::from_le_bytes(*bytes))
    }

    /// A count or length that must not be more than `max`.
    pub fn size(&mut self, max: usize) -> Result<usize, DecodeError> {
        let size =
            usize::try_from(self.number()?).map_err(|_| self.error("a size is too large"))?;
        if size > max {
            return Err(self.error("a size is too large"));
        }
        Ok(size)
    }

    pub fn log_time(&mut self) -> Result<LogTime, DecodeError> {
        match self.number()? {
            ms if ms <= LOG_TIME_MS_MAX => Ok(LogTime::from_ms(ms)),
            _ => Err(self.error("a log time is too late")),
        }
    }

    pub fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.number()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.error("a flag is 0 or 1")),
        }
    }

    pub fn slice(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.size(max)?;
        let Some(slice) = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.get(..length))
        else {
            return Err(self.error("the bytes end within a byte string"));
        };
        self.at += length;
        Ok(slice)
    }

    pub fn key(&mut self) -> Result<Key, DecodeError> {
        let bytes = self.slice(crate::limits::KEY_BYTES_MAX)?;
        let key = match self.shared {
            Some(shared) => Key::sharing(shared.slice_ref(bytes)),
            None => Key::new(bytes),
        };
        key.map_err(|_| self.error("not a counter key"))
    }

    pub fn window(&mut self) -> Result<Window, DecodeError> {
        let code = self.number()?;
        Window::from_code(code).map_err(|_| self.error("not a window"))
    }

    pub fn algorithm(&mut self) -> Result<Algorithm, DecodeError> {
        let code = u8::try_from(self.number()?).ok();
        let algorithm = code.and_then(Algorithm::from_code);
        algorithm.ok_or_else(|| self.error("unknown algorithm"))
    }

    /// Units, or a max of them.
    pub fn units(&mut self) -> Result<u64, DecodeError> {
        match self.number()? {
            units if units <= UNITS_MAX => Ok(units),
            _ => Err(self.error("too many units")),
        }
    }

    /// How many bytes are left.
    pub fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn end(&self) -> Result<(), DecodeError> {
        if self.rest() > 0 {
            return Err(self.error("bytes follow the end"));
        }
        Ok(())
    }
}
