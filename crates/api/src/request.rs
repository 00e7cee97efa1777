//! `DecideRequest` of counter.proto, written by hand: what most messages hold, acquires encoded as every
//! protobuf library encodes them, goes from the wire to the decision core's items without a message
//! and an allocation for each. Everything else is read by the generated code, which has the last word
//! on what a message means.

use bytes::{Buf, BufMut};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, bool, int32, message, skip_field, uint32, uint64};
use quotum_limit::Items;

use crate::counter::{Api, Command, command};

mod plain;
#[cfg(test)]
mod tests;

use plain::Plain;

/// The numbers of the fields, as in counter.proto.
mod field {
    pub(super) const TAG: u32 = 1;
    pub(super) const SHARD: u32 = 2;
    pub(super) const EPOCH: u32 = 3;
    pub(super) const ACKED_SEQ: u32 = 4;
    pub(super) const COMMANDS: u32 = 5;
    pub(super) const FORWARDED: u32 = 6;
    pub(super) const API: u32 = 7;
}

/// So much room is made for commands at once, at most: more is made when they are there.
const ROOM_MAX: usize = 256;

/// A batch of commands of one epoch: see counter.proto.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecideRequest {
    pub tag: u64,
    pub shard: u32,
    pub epoch: u64,
    pub acked_seq: u64,
    pub commands: Commands,
    pub forwarded: bool,
    pub api: i32,
}

/// The commands of a message, in their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commands(pub(crate) Vec<Asked>);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    /// An acquire, read already.
    Acquire { seq: u64, items: Items },
    /// As it came, or goes, in a message.
    Message(Command),
}

// === impl DecideRequest ===

impl DecideRequest {
    pub fn api(&self) -> Api {
        Api::try_from(self.api).unwrap_or_default()
    }

    pub fn set_api(&mut self, api: Api) {
        self.api = api.into();
    }
}

impl prost::Message for DecideRequest {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        put(uint64::encode, field::TAG, &self.tag, buf);
        put(uint32::encode, field::SHARD, &self.shard, buf);
        put(uint64::encode, field::EPOCH, &self.epoch, buf);
        put(uint64::encode, field::ACKED_SEQ, &self.acked_seq, buf);
        message::encode_repeated(field::COMMANDS, &self.commands.to_messages(), buf);
        put(bool::encode, field::FORWARDED, &self.forwarded, buf);
        put(int32::encode, field::API, &self.api, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            field::TAG => uint64::merge(wire_type, &mut self.tag, buf, context),
            field::SHARD => uint32::merge(wire_type, &mut self.shard, buf, context),
            field::EPOCH => uint64::merge(wire_type, &mut self.epoch, buf, context),
            field::ACKED_SEQ => uint64::merge(wire_type, &mut self.acked_seq, buf, context),
            field::COMMANDS => self.commands.merge(wire_type, buf, context),
            field::FORWARDED => bool::merge(wire_type, &mut self.forwarded, buf, context),
            field::API => int32::merge(wire_type, &mut self.api, buf, context),
            _ => skip_field(wire_type, tag, buf, context),
        }
    }

    fn encoded_len(&self) -> usize {
        len(uint64::encoded_len, field::TAG, &self.tag)
            + len(uint32::encoded_len, field::SHARD, &self.shard)
            + len(uint64::encoded_len, field::EPOCH, &self.epoch)
            + len(uint64::encoded_len, field::ACKED_SEQ, &self.acked_seq)
            + message::encoded_len_repeated(field::COMMANDS, &self.commands.to_messages())
            + len(bool::encoded_len, field::FORWARDED, &self.forwarded)
            + len(int32::encoded_len, field::API, &self.api)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Writes a field that is not zero.
fn put<T: PartialEq + Default, B: BufMut>(
    encode: fn(u32, &T, &mut B),
    field: u32,
    value: &T,
    buf: &mut B,
) {
    if *value != T::default() {
        encode(field, value, buf);
    }
}

/// The length of a field, which is left out where it is zero.
fn len<T: PartialEq + Default>(encoded_len: fn(u32, &T) -> usize, field: u32, value: &T) -> usize {
    match *value == T::default() {
        true => 0,
        false => encoded_len(field, value),
    }
}

// === impl Commands ===

impl Commands {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that ask for an epoch, to be changed.
    pub fn opens_mut(&mut self) -> impl Iterator<Item = &mut command::Open> {
        self.0.iter_mut().filter_map(|asked| match asked {
            Asked::Message(Command {
                kind: Some(command::Kind::Open(open)),
            }) => Some(open),
            _ => None,
        })
    }

    /// Each as a message.
    pub fn to_messages(&self) -> Vec<Command> {
        self.0.iter().map(Asked::to_message).collect()
    }

    fn merge(
        &mut self,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        let plain = match wire_type {
            WireType::LengthDelimited => Plain::read(buf.chunk()),
            _ => None,
        };
        let before = buf.remaining();
        let asked = match plain {
            Some(plain) => plain.take(buf),
            None => {
                let mut command = Command::default();
                message::merge(wire_type, &mut command, buf, context)?;
                Asked::Message(command)
            }
        };
        if self.0.is_empty() {
            // As many as would fill the message, if they are all as long.
            let len = (before - buf.remaining()).max(1);
            self.0.reserve((1 + buf.remaining() / len).min(ROOM_MAX));
        }
        self.0.push(asked);
        Ok(())
    }
}

impl FromIterator<Command> for Commands {
    fn from_iter<T: IntoIterator<Item = Command>>(commands: T) -> Self {
        Self(commands.into_iter().map(Asked::Message).collect())
    }
}

impl From<Vec<Command>> for Commands {
    fn from(commands: Vec<Command>) -> Self {
        commands.into_iter().collect()
    }
}

// === impl Asked ===

impl Asked {
    fn to_message(&self) -> Command {
        match self {
            Self::Message(command) => command.clone(),
            Self::Acquire { seq, items } => {
                let acquire = command::Acquire {
                    seq: *seq,
                    items: items.iter().cloned().map(Into::into).collect(),
                };
                Command {
                    kind: Some(command::Kind::Acquire(acquire)),
                }
            }
        }
    }
}
