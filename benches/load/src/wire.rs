//! The bytes of requests and answers. A request is put together from parts that were encoded once;
//! of an answer only what is counted is kept, so that a decision costs no allocation.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use quotum_api::counter::{self, Calendar, item};
use quotum_api::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use quotum_api::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use quotum_api::envoy::service::ratelimit::v3::RateLimitRequest;
use quotum_api::envoy::service::ratelimit::v3::rate_limit_response::Code;
use quotum_limit::Window;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::arguments::Nodes;
use crate::failure::shortened;
use crate::keys::{self, Keys};
use crate::lane::Order;
use crate::tally::Counted;

#[cfg(test)]
mod tests;

/// The domain of Envoy's API.
pub(crate) const BENCH_DOMAIN: &str = "bench";

/// Writes the requests of one epoch.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    shard: u32,
    epoch: u64,
    /// Commands of one message.
    batch: u64,
    keys: Keys,
    /// An encoded `Item`, and where the number of the key is in it.
    item: Vec<u8>,
    digits: Range<usize>,
}

/// `DecideRequest`s from orders, and `DecideResponse`s as far as they are counted.
#[derive(Debug)]
pub(crate) struct DecideCodec(pub(crate) Writer);

/// Requests that are encoded already, and answers as far as they are counted.
#[derive(Debug)]
pub(crate) struct EncodedCodec<M>(std::marker::PhantomData<M>);

#[derive(Debug)]
pub(crate) struct Encoded;

/// Decodes any message.
#[derive(Debug)]
pub(crate) struct Reader<M>(std::marker::PhantomData<M>);

/// `DecideResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Decision {
    #[prost(uint64, tag = "1")]
    pub(crate) tag: u64,
    #[prost(message, optional, tag = "2")]
    decided: Option<Decided>,
    #[prost(message, optional, tag = "3")]
    not_decided: Option<counter::NotDecided>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Decided {
    #[prost(message, repeated, tag = "1")]
    outcomes: Vec<Outcome>,
}

/// `AcquireResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Acquired {
    #[prost(message, optional, tag = "1")]
    outcome: Option<Outcome>,
}

/// Envoy's `RateLimitResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RateLimited {
    #[prost(int32, tag = "1")]
    overall_code: i32,
    #[prost(message, repeated, tag = "2")]
    statuses: Vec<DescriptorStatus>,
}

/// The same of a service that sends no status: which limits applied, nobody knows.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Coded {
    #[prost(int32, tag = "1")]
    overall_code: i32,
}

/// Whether a limit applied, and nothing of what is in it.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct DescriptorStatus {
    #[prost(message, optional, tag = "2")]
    current_limit: Option<Passed>,
}

/// An answer to one decision.
pub(crate) trait Answer: Message + Default + 'static {
    fn count(&self) -> Counted;
}

/// `Outcome`: which it is, and nothing of what is in it.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Outcome {
    #[prost(message, optional, tag = "2")]
    admitted: Option<Passed>,
    #[prost(message, optional, tag = "3")]
    denied: Option<Passed>,
    #[prost(message, optional, tag = "5")]
    expired: Option<Passed>,
    #[prost(message, optional, tag = "6")]
    exhausted: Option<Passed>,
    #[prost(message, optional, tag = "7")]
    invalid: Option<Passed>,
}

/// Any message, passed over.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Passed {}

// === impl Writer ===

impl Writer {
    /// Writes acquires of one unit. Clients with other seeds choose other keys.
    pub(crate) fn new(nodes: &Nodes, epoch: u64, batch: u32, seed: u64) -> Self {
        let mut key = keys::PREFIX.to_vec();
        key.resize(keys::PREFIX.len() + keys::DIGITS, b'0');
        let item = counter::Item {
            key: key.into(),
            max: nodes.max,
            revision: 1,
            window: Some(window(nodes.window)),
            algorithm: counter::Algorithm::Fixed.into(),
            units: 1,
            shadow: false,
        };
        Self::with(item.encode_to_vec(), nodes.keys, seed, |writer| Self {
            shard: nodes.shard,
            epoch,
            batch: batch.into(),
            ..writer
        })
    }

    /// Writes requests of Envoy's API: domain `bench`, descriptor `key`.
    pub(crate) fn of_envoy(keys: u32, seed: u64) -> Self {
        let entry = Entry {
            key: "key".to_owned(),
            value: format!(
                "{}{}",
                keys::PREFIX.escape_ascii(),
                "0".repeat(keys::DIGITS)
            ),
        };
        let request = RateLimitRequest {
            domain: BENCH_DOMAIN.to_owned(),
            descriptors: vec![RateLimitDescriptor {
                entries: vec![entry],
                ..Default::default()
            }],
            hits_addend: 1,
        };
        Self::with(request.encode_to_vec(), keys, seed, |writer| writer)
    }

    /// A writer of `item`, in which a key stands.
    fn with(item: Vec<u8>, keys: u32, seed: u64, change: impl FnOnce(Self) -> Self) -> Self {
        let prefix = item.windows(keys::PREFIX.len());
        let prefix = prefix.enumerate().find(|(_, bytes)| *bytes == keys::PREFIX);
        let digits = prefix.expect("the item has its key").0 + keys::PREFIX.len();
        change(Self {
            shard: 0,
            epoch: 0,
            batch: 1,
            keys: Keys::new(keys, seed),
            item,
            digits: digits..digits + keys::DIGITS,
        })
    }

    /// One `DecideRequest`.
    pub(crate) fn decide(&mut self, order: Order, buffer: &mut impl BufMut) {
        put_number(1, order.ordinal, buffer);
        put_number(2, self.shard.into(), buffer);
        put_number(3, self.epoch, buffer);
        put_number(4, order.acked_seq, buffer);
        for seq in order.first_seq..order.first_seq + self.batch {
            let item = 1 + encoded_len_varint(self.item.len() as u64) + self.item.len();
            let acquire = (key_len(1) + encoded_len_varint(seq) + item) as u64;
            let command = key_len(2) as u64 + encoded_len_varint(acquire) as u64 + acquire;
            put_length(5, command, buffer);
            put_length(2, acquire, buffer);
            put_number(1, seq, buffer);
            self.put_item(2, buffer);
        }
    }

    /// One `AcquireRequest`.
    pub(crate) fn acquire(&mut self, order: Order) -> Bytes {
        let mut buffer = BytesMut::with_capacity(self.item.len() + 64);
        put_number(1, self.shard.into(), &mut buffer);
        put_number(2, self.epoch, &mut buffer);
        put_number(3, order.first_seq, &mut buffer);
        put_number(4, order.acked_seq, &mut buffer);
        self.put_item(5, &mut buffer);
        buffer.freeze()
    }

    /// One `RateLimitRequest`.
    pub(crate) fn should_rate_limit(&mut self) -> Bytes {
        self.draw_key();
        Bytes::copy_from_slice(&self.item)
    }

    /// An item with a key drawn from all.
    fn put_item(&mut self, tag: u32, buffer: &mut impl BufMut) {
        self.draw_key();
        put_length(tag, self.item.len() as u64, buffer);
        buffer.put_slice(&self.item);
    }

    fn draw_key(&mut self) {
        self.item[self.digits.clone()].copy_from_slice(&self.keys.draw());
    }
}

fn put_number(tag: u32, value: u64, buffer: &mut impl BufMut) {
    encode_key(tag, WireType::Varint, buffer);
    encode_varint(value, buffer);
}

fn put_length(tag: u32, length: u64, buffer: &mut impl BufMut) {
    encode_key(tag, WireType::LengthDelimited, buffer);
    encode_varint(length, buffer);
}

fn window(window: Window) -> item::Window {
    let calendar = match window {
        Window::Second => Calendar::Second,
        Window::Minute => Calendar::Minute,
        Window::Hour => Calendar::Hour,
        Window::Day => Calendar::Day,
        Window::Week => Calendar::Week,
        Window::Month => Calendar::Month,
        Window::Duration { ms } => return item::Window::WindowMs(ms),
    };
    item::Window::Calendar(calendar.into())
}

// === impl Decision ===

impl Decision {
    /// What came of a message of `batch` commands.
    pub(crate) fn count(&self, batch: u64) -> Counted {
        match (&self.decided, &self.not_decided) {
            (Some(decided), None) => count(&decided.outcomes, batch),
            (_, Some(refused)) => {
                let complaint = format!("{:?}: {}", refused.reason(), shortened(&refused.message));
                Counted::error(batch, complaint)
            }
            (None, None) => Counted::error(batch, "an answer says nothing"),
        }
    }
}

// === impl Acquired ===

impl Answer for Acquired {
    fn count(&self) -> Counted {
        count(self.outcome.as_slice(), 1)
    }
}

// === impl RateLimited ===

impl Answer for RateLimited {
    /// Without a limit nothing was decided: the service does not know the domain.
    fn count(&self) -> Counted {
        let has_limit = |status: &DescriptorStatus| status.current_limit.is_some();
        match self.statuses.iter().any(has_limit) {
            true => count_code(self.overall_code),
            false => {
                let complaint = format!("no current_limit: is the domain {BENCH_DOMAIN} there?");
                Counted::error(1, complaint)
            }
        }
    }
}

// === impl Coded ===

impl Answer for Coded {
    fn count(&self) -> Counted {
        count_code(self.overall_code)
    }
}

fn count_code(code: i32) -> Counted {
    let mut counted = Counted::default();
    match Code::try_from(code) {
        Ok(Code::Ok) => counted.admitted = 1,
        Ok(Code::OverLimit) => counted.denied = 1,
        _ => return Counted::error(1, "an answer has no code"),
    }
    counted
}

fn count(outcomes: &[Outcome], commands: u64) -> Counted {
    let mut counted = Counted::default();
    for outcome in outcomes {
        match outcome.error() {
            None if outcome.admitted.is_some() => counted.admitted += 1,
            None => counted.denied += 1,
            Some(complaint) => {
                counted.errors += 1;
                counted.complaint = Some(complaint.to_owned());
            }
        }
    }
    let outcomes = outcomes.len() as u64;
    if outcomes != commands {
        let complaint = format!("{outcomes} outcomes for {commands} commands");
        return Counted::error(commands, complaint);
    }
    counted
}

// === impl Outcome ===

impl Outcome {
    /// What is wrong with it, if it is no decision.
    fn error(self) -> Option<&'static str> {
        match self {
            Self {
                admitted: Some(_), ..
            }
            | Self {
                denied: Some(_), ..
            } => None,
            Self {
                expired: Some(_), ..
            } => Some("a command has expired"),
            Self {
                exhausted: Some(_), ..
            } => Some("a bound of the node is exhausted"),
            Self {
                invalid: Some(_), ..
            } => Some("a command is invalid"),
            _ => Some("an outcome is no decision"),
        }
    }
}

// === impl DecideCodec ===

impl Codec for DecideCodec {
    type Encode = Order;
    type Decode = Decision;
    type Encoder = Writer;
    type Decoder = Reader<Decision>;

    fn encoder(&mut self) -> Writer {
        self.0.clone()
    }

    fn decoder(&mut self) -> Reader<Decision> {
        Reader(std::marker::PhantomData)
    }
}

impl Encoder for Writer {
    type Item = Order;
    type Error = Status;

    fn encode(&mut self, order: Order, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        self.decide(order, buffer);
        Ok(())
    }
}

// === impl EncodedCodec ===

impl<M> EncodedCodec<M> {
    pub(crate) const NEW: Self = Self(std::marker::PhantomData);
}

impl<M: Answer> Codec for EncodedCodec<M> {
    type Encode = Bytes;
    type Decode = M;
    type Encoder = Encoded;
    type Decoder = Reader<M>;

    fn encoder(&mut self) -> Encoded {
        Encoded
    }

    fn decoder(&mut self) -> Reader<M> {
        Reader(std::marker::PhantomData)
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

// === impl Reader ===

impl<M: Message + Default> Decoder for Reader<M> {
    type Item = M;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<M>, Status> {
        let message = M::decode(buffer);
        message
            .map(Some)
            .map_err(|error| Status::internal(format!("no answer: {error}")))
    }
}
