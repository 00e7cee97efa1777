//! `Decided` of counter.proto, written by hand: a batch of outcomes goes from the decision core to
//! the wire, without a message and an allocation for each. The bytes are those that the generated
//! code would write.

use bytes::{Buf, BufMut};
use prost::DecodeError;
use prost::encoding::{
    DecodeContext, WireType, encode_key, encode_varint, encoded_len_varint, message, skip_field,
};
use quotum_limit::{self as limit, ItemState};

use crate::counter::{Outcome, Position};

#[cfg(test)]
mod tests;

/// The numbers of the fields, as in counter.proto.
mod field {
    pub(super) const OUTCOMES: u32 = 1;
    pub(super) const POSITION: u32 = 2;
    /// Of an outcome.
    pub(super) const ADMITTED: u32 = 2;
    pub(super) const DENIED: u32 = 3;
    /// Of an admission.
    pub(super) const VALID_FOR_MS: u32 = 1;
    pub(super) const ADMITTED_ITEMS: u32 = 2;
    /// Of a denial.
    pub(super) const BINDING: u32 = 1;
    pub(super) const RETRY_AFTER_MS: u32 = 2;
    pub(super) const DENIED_ITEMS: u32 = 3;
    /// Of the state of an item.
    pub(super) const FITS: u32 = 1;
    pub(super) const REMAINING: u32 = 2;
    pub(super) const MAX: u32 = 3;
    pub(super) const RESET_AFTER_MS: u32 = 4;
}

/// One outcome for each command, in order, and where they were decided.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decided {
    outcomes: Outcomes,
    pub position: Option<Position>,
}

#[derive(Debug, Clone, PartialEq)]
enum Outcomes {
    /// As they came, or go, in messages.
    Messages(Vec<Outcome>),
    /// As the core decided them.
    Core(Vec<limit::Outcome>),
}

// === impl Outcomes ===

impl Default for Outcomes {
    fn default() -> Self {
        Self::Messages(Vec::new())
    }
}

impl Outcomes {
    fn into_messages(self) -> Vec<Outcome> {
        match self {
            Self::Messages(outcomes) => outcomes,
            Self::Core(outcomes) => outcomes.into_iter().map(Into::into).collect(),
        }
    }
}

// === impl Decided ===

impl Decided {
    pub fn new(outcomes: Vec<Outcome>, position: Position) -> Self {
        Self {
            outcomes: Outcomes::Messages(outcomes),
            position: Some(position),
        }
    }

    /// What the core has decided.
    pub fn of_core(outcomes: Vec<limit::Outcome>, position: Position) -> Self {
        Self {
            outcomes: Outcomes::Core(outcomes),
            position: Some(position),
        }
    }

    /// How many outcomes there are.
    pub fn len(&self) -> usize {
        match &self.outcomes {
            Outcomes::Messages(outcomes) => outcomes.len(),
            Outcomes::Core(outcomes) => outcomes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn into_outcomes(self) -> Vec<Outcome> {
        self.outcomes.into_messages()
    }
}

impl prost::Message for Decided {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        match &self.outcomes {
            Outcomes::Messages(outcomes) => {
                message::encode_repeated(field::OUTCOMES, outcomes, buf);
            }
            Outcomes::Core(outcomes) => {
                for outcome in outcomes {
                    Shape::of(outcome).encode(buf);
                }
            }
        }
        if let Some(position) = &self.position {
            message::encode(field::POSITION, position, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            field::OUTCOMES => {
                let mut outcomes = std::mem::take(&mut self.outcomes).into_messages();
                let merged = message::merge_repeated(wire_type, &mut outcomes, buf, context);
                self.outcomes = Outcomes::Messages(outcomes);
                merged
            }
            field::POSITION => {
                let position = self.position.get_or_insert_default();
                message::merge(wire_type, position, buf, context)
            }
            _ => skip_field(wire_type, tag, buf, context),
        }
    }

    fn encoded_len(&self) -> usize {
        let outcomes = match &self.outcomes {
            Outcomes::Messages(outcomes) => {
                message::encoded_len_repeated(field::OUTCOMES, outcomes)
            }
            Outcomes::Core(outcomes) => {
                let lens = outcomes
                    .iter()
                    .map(|outcome| Shape::of(outcome).encoded_len());
                lens.sum()
            }
        };
        let position = self.position.as_ref();
        outcomes
            + position.map_or(0, |position| {
                message::encoded_len(field::POSITION, position)
            })
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// An outcome on its way to the wire: the common ones without a message.
enum Shape<'a> {
    Listed(Listed<'a>),
    Message(Outcome),
}

/// An admission or a denial: two numbers, and items.
struct Listed<'a> {
    /// The field of the outcome.
    kind: u32,
    first: (u32, u64),
    second: Option<(u32, u64)>,
    items_field: u32,
    items: &'a [ItemState],
}

// === impl Shape ===

impl<'a> Shape<'a> {
    fn of(outcome: &'a limit::Outcome) -> Self {
        match outcome {
            limit::Outcome::Admitted {
                valid_for_ms,
                items,
            } => Self::Listed(Listed {
                kind: field::ADMITTED,
                first: (field::VALID_FOR_MS, *valid_for_ms),
                second: None,
                items_field: field::ADMITTED_ITEMS,
                items,
            }),
            limit::Outcome::Denied {
                binding,
                retry_after_ms,
                items,
            } => Self::Listed(Listed {
                kind: field::DENIED,
                first: (field::BINDING, *binding as u64),
                second: retry_after_ms.map(|ms| (field::RETRY_AFTER_MS, ms)),
                items_field: field::DENIED_ITEMS,
                items,
            }),
            other => Self::Message(other.clone().into()),
        }
    }

    fn encode(&self, buf: &mut impl BufMut) {
        match self {
            Self::Listed(listed) => listed.encode(buf),
            Self::Message(outcome) => message::encode(field::OUTCOMES, outcome, buf),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Listed(listed) => framed_len(framed_len(listed.body_len())),
            Self::Message(outcome) => message::encoded_len(field::OUTCOMES, outcome),
        }
    }
}

// === impl Listed ===

impl Listed<'_> {
    fn encode(&self, buf: &mut impl BufMut) {
        let body_len = self.body_len();
        put_frame(field::OUTCOMES, framed_len(body_len), buf);
        put_frame(self.kind, body_len, buf);
        put_number(self.first, buf);
        if let Some((field, number)) = self.second {
            // Absent is not 0.
            encode_key(field, WireType::Varint, buf);
            encode_varint(number, buf);
        }
        for state in self.items {
            put_frame(self.items_field, state_len(state), buf);
            if state.fits {
                put_number((field::FITS, 1), buf);
            }
            put_number((field::REMAINING, state.remaining), buf);
            put_number((field::MAX, state.max), buf);
            put_number((field::RESET_AFTER_MS, state.reset_after_ms), buf);
        }
    }

    fn body_len(&self) -> usize {
        let second = self.second;
        let items = self.items.iter().map(|state| framed_len(state_len(state)));
        number_len(self.first.1)
            + second.map_or(0, |(_, number)| 1 + encoded_len_varint(number))
            + items.sum::<usize>()
    }
}

fn state_len(state: &ItemState) -> usize {
    2 * usize::from(state.fits)
        + number_len(state.remaining)
        + number_len(state.max)
        + number_len(state.reset_after_ms)
}

/// The length of a message of `len` bytes with its key, which is one byte in all of these.
fn framed_len(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

fn put_frame(field: u32, len: usize, buf: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, buf);
    encode_varint(len as u64, buf);
}

/// The length of a number with its key; 0 is left out.
fn number_len(number: u64) -> usize {
    match number {
        0 => 0,
        number => 1 + encoded_len_varint(number),
    }
}

fn put_number((field, number): (u32, u64), buf: &mut impl BufMut) {
    if number > 0 {
        encode_key(field, WireType::Varint, buf);
        encode_varint(number, buf);
    }
}
