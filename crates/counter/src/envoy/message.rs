//! Between Envoy's messages and the core: requests in, statuses and headers out.

use quotum_api::envoy::config::core::v3::HeaderValue;
use quotum_api::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use quotum_api::envoy::service::ratelimit::v3 as wire;
use quotum_api::envoy::service::ratelimit::v3::rate_limit_response::{
    Code, DescriptorStatus, RateLimit,
};
use quotum_api::well_known::{Duration, ListValue, Struct, Value, value};
use quotum_descriptor::{Asked, Entry, Judgement, Metadata, Override, Request, Status, Unit};

/// The names of three headers: the limit, what remains of it, and in how many seconds it is whole
/// again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderNames {
    limit: String,
    remaining: String,
    reset: String,
}

/// A text that is no name of a header.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a header")]
pub struct InvalidHeader(String);

// === impl HeaderNames ===

impl HeaderNames {
    pub fn new([limit, remaining, reset]: [&str; 3]) -> Result<Self, InvalidHeader> {
        let name = |text: &str| match http::HeaderName::try_from(text) {
            Ok(name) => Ok(name.as_str().to_owned()),
            Err(_) => Err(InvalidHeader(text.to_owned())),
        };
        Ok(Self {
            limit: name(limit)?,
            remaining: name(remaining)?,
            reset: name(reset)?,
        })
    }

    /// Those of the limit that binds: one that is over, else the one with the least left.
    fn of(&self, statuses: &[Status<'_>]) -> Vec<HeaderValue> {
        let limited = statuses.iter().filter(|status| status.limit.is_some());
        let binding = limited.min_by_key(|status| (!status.is_over, status.remaining));
        let Some(Status {
            limit: Some(limit),
            remaining,
            reset_after_ms,
            ..
        }) = binding
        else {
            return Vec::new();
        };
        let seconds = reset_after_ms.unwrap_or(0).div_ceil(1_000);
        let header = |name: &str, value: u64| HeaderValue {
            key: name.to_owned(),
            value: value.to_string(),
            raw_value: bytes::Bytes::new(),
        };
        vec![
            header(&self.limit, u64::from(limit.requests)),
            header(&self.remaining, u64::from(*remaining)),
            header(&self.reset, seconds),
        ]
    }
}

/// The request in a message, or what is wrong with it.
pub(super) fn request(message: &wire::RateLimitRequest) -> Result<Request<'_>, String> {
    let hits = u64::from(message.hits_addend.max(1));
    let mut descriptors = Vec::with_capacity(message.descriptors.len());
    for (at, descriptor) in message.descriptors.iter().enumerate() {
        let asked = asked(descriptor, hits);
        descriptors.push(asked.map_err(|what| format!("descriptors[{at}].{what}"))?);
    }
    Ok(Request {
        domain: &message.domain,
        descriptors,
    })
}

fn asked(descriptor: &RateLimitDescriptor, hits: u64) -> Result<Asked<'_>, &'static str> {
    let limit = match &descriptor.limit {
        None => None,
        Some(limit) => Some(Override {
            requests: limit.requests_per_unit,
            unit: Unit::from_number(limit.unit).ok_or("limit.unit: unknown unit")?,
        }),
    };
    let entries = descriptor.entries.iter().map(|entry| Entry {
        key: &entry.key,
        value: &entry.value,
    });
    Ok(Asked {
        entries: entries.collect(),
        limit,
        hits: match descriptor.is_negative_hits {
            false => descriptor.hits_addend.unwrap_or(hits),
            // Units that nobody can name are not given back.
            true => 0,
        },
    })
}

pub(super) fn response(
    domain: &str,
    judgement: &Judgement<'_>,
    headers: Option<&HeaderNames>,
) -> wire::RateLimitResponse {
    let statuses = &judgement.statuses;
    wire::RateLimitResponse {
        overall_code: code(judgement.is_over).into(),
        statuses: statuses.iter().map(status).collect(),
        response_headers_to_add: headers.map_or_else(Vec::new, |names| names.of(statuses)),
        request_headers_to_add: Vec::new(),
        raw_body: bytes::Bytes::new(),
        dynamic_metadata: metadata(domain, statuses),
    }
}

fn code(is_over: bool) -> Code {
    match is_over {
        true => Code::OverLimit,
        false => Code::Ok,
    }
}

fn status(status: &Status<'_>) -> DescriptorStatus {
    DescriptorStatus {
        code: code(status.is_over).into(),
        current_limit: status.limit.map(|limit| RateLimit {
            requests_per_unit: limit.requests,
            unit: limit.unit as i32,
            name: limit.name.to_owned(),
        }),
        limit_remaining: status.remaining,
        duration_until_reset: status.reset_after_ms.map(|ms| Duration {
            seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
            nanos: i32::try_from(ms % 1_000 * 1_000_000).expect("less than a second"),
        }),
    }
}

/// What the limits with something left say of themselves. The first to name a key has it.
fn metadata(domain: &str, statuses: &[Status<'_>]) -> Option<Struct> {
    let mut merged = Struct::default();
    for metadata in statuses.iter().filter_map(|status| status.metadata) {
        if let Some(value::Kind::StructValue(own)) = value(metadata).kind {
            merge(&mut merged, own);
        }
    }
    if merged.fields.is_empty() {
        return None;
    }
    let mut all = Struct::default();
    let mut put = |name: &str, kind: value::Kind| {
        all.fields
            .insert(name.to_owned(), Value { kind: Some(kind) });
    };
    put("domain", value::Kind::StringValue(domain.to_owned()));
    put("metadata", value::Kind::StructValue(merged));
    Some(all)
}

fn merge(into: &mut Struct, from: Struct) {
    for (name, value) in from.fields {
        match into.fields.get_mut(&name) {
            None => {
                into.fields.insert(name, value);
            }
            Some(known) => {
                if let (
                    Some(value::Kind::StructValue(known)),
                    Some(value::Kind::StructValue(other)),
                ) = (&mut known.kind, value.kind)
                {
                    merge(known, other);
                }
            }
        }
    }
}

fn value(metadata: &Metadata) -> Value {
    let kind = match metadata {
        Metadata::Null => value::Kind::NullValue(0),
        Metadata::Truth(truth) => value::Kind::BoolValue(*truth),
        Metadata::Number(number) => value::Kind::NumberValue(*number),
        Metadata::Text(text) => value::Kind::StringValue(text.clone()),
        Metadata::List(all) => value::Kind::ListValue(ListValue {
            values: all.iter().map(value).collect(),
        }),
        Metadata::Map(members) => {
            let fields = members.iter();
            value::Kind::StructValue(Struct {
                fields: fields.map(|(name, of)| (name.clone(), value(of))).collect(),
            })
        }
    };
    Value { kind: Some(kind) }
}
