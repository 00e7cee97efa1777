//! Which protocol era a message belongs to. The body decides, since servers disagree about which
//! headers they believe; headers must then agree with it, and a mixture is refused.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;

use crate::headers::{self, MCP_METHOD, MCP_NAME, MCP_PROTOCOL_VERSION};
use crate::json::{Kind, Raw};
use crate::shape::Message;
use crate::status::Refusal;

#[cfg(test)]
mod tests;

/// The stateless protocol version.
pub const MODERN: &str = "2026-07-28";
/// The versions with `initialize`, sessions and GET streams.
pub const LEGACY: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The member of `_meta` that says what the client can do.
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// The era of a request, with what the upstream must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    Modern,
    /// The version that the client's header names, if it has one.
    Legacy(Option<&'static str>),
}

// === impl Era ===

impl Era {
    /// The era of a request without a body: only the legacy one has such requests.
    pub fn of_bodiless(headers: &HeaderMap) -> Result<Self, Refusal> {
        match version_header(headers)? {
            VersionHeader::Modern => Err(Refusal::PostOnly),
            VersionHeader::Legacy(version) => Ok(Self::Legacy(version)),
            VersionHeader::Unknown => Err(Refusal::LegacyVersionUnknown),
        }
    }

    /// The era of a message, checked against the headers it came with.
    pub fn of_message(message: &Message<'_>, headers: &HeaderMap) -> Result<Self, Refusal> {
        let header = version_header(headers)?;
        let Some((method, params)) = message.call() else {
            return match header {
                VersionHeader::Modern => Err(Refusal::ResponseInModern),
                VersionHeader::Legacy(version) => Ok(Self::Legacy(version)),
                VersionHeader::Unknown => Err(Refusal::LegacyVersionUnknown),
            };
        };
        let meta = params.and_then(|params| params.get("_meta"));
        if meta.is_some_and(|meta| meta.kind() != Kind::Object) {
            return Err(Refusal::ParamsInvalid);
        }
        let version = meta.and_then(|meta| meta.get(META_VERSION));
        let capabilities = meta.and_then(|meta| meta.get(META_CAPABILITIES));
        match (version, capabilities) {
            (Some(version), capabilities) => {
                check_envelope(version, capabilities, header)?;
                check_routing(method, params, headers)?;
                Ok(Self::Modern)
            }
            (None, Some(_)) => Err(Refusal::EnvelopeIncomplete),
            (None, None) => match (message, header) {
                (_, VersionHeader::Unknown) => Err(Refusal::LegacyVersionUnknown),
                (_, VersionHeader::Legacy(version)) => Ok(Self::Legacy(version)),
                // A notification needs no envelope.
                (Message::Notification { .. }, VersionHeader::Modern) => {
                    check_routing(method, params, headers)?;
                    Ok(Self::Modern)
                }
                (_, VersionHeader::Modern) => Err(Refusal::EraMixed),
            },
        }
    }

    /// The value of `MCP-Protocol-Version` towards the upstream.
    pub fn version(self) -> Option<&'static str> {
        match self {
            Self::Modern => Some(MODERN),
            Self::Legacy(version) => version,
        }
    }

    pub fn is_modern(self) -> bool {
        self == Self::Modern
    }
}

enum VersionHeader {
    Modern,
    Legacy(Option<&'static str>),
    Unknown,
}

fn version_header(headers: &HeaderMap) -> Result<VersionHeader, Refusal> {
    let Some(value) = headers::text(headers, &MCP_PROTOCOL_VERSION)? else {
        return Ok(VersionHeader::Legacy(None));
    };
    if value == MODERN {
        return Ok(VersionHeader::Modern);
    }
    let known = LEGACY.into_iter().find(|known| *known == value);
    Ok(known.map_or(VersionHeader::Unknown, |known| {
        VersionHeader::Legacy(Some(known))
    }))
}

fn check_envelope(
    version: Raw<'_>,
    capabilities: Option<Raw<'_>>,
    header: VersionHeader,
) -> Result<(), Refusal> {
    let Some(version) = version.string() else {
        return Err(Refusal::EnvelopeIncomplete);
    };
    if version != MODERN {
        let requested = version.chars().take(32).collect();
        return Err(Refusal::VersionUnsupported { requested });
    }
    if !matches!(header, VersionHeader::Modern) {
        return Err(Refusal::HeaderMismatch(
            "MCP-Protocol-Version does not match the body",
        ));
    }
    if capabilities.is_none_or(|capabilities| capabilities.kind() != Kind::Object) {
        return Err(Refusal::EnvelopeIncomplete);
    }
    Ok(())
}

/// `Mcp-Method` and `Mcp-Name` must say what the body says.
fn check_routing(
    method: &str,
    params: Option<Raw<'_>>,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    let mismatch = |agrees: bool, text| {
        if agrees {
            Ok(())
        } else {
            Err(Refusal::HeaderMismatch(text))
        }
    };
    let header = headers::text(headers, &MCP_METHOD)?;
    mismatch(header == Some(method), "Mcp-Method does not match the body")?;
    let name = headers::text(headers, &MCP_NAME)?;
    match mirrored_name(method, params) {
        Mirrored::Required(expected) => {
            let agrees = match (name.map(decode_sentinel), expected) {
                (Some(Some(name)), Some(expected)) => name == expected,
                _ => false,
            };
            mismatch(agrees, "Mcp-Name does not match the body")
        }
        Mirrored::Absent => mismatch(name.is_none(), "Mcp-Name does not belong to this method"),
    }
}

enum Mirrored {
    /// The header must hold this; `None`: the body lacks it, so no header can agree.
    Required(Option<String>),
    Absent,
}

fn mirrored_name(method: &str, params: Option<Raw<'_>>) -> Mirrored {
    let member = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return Mirrored::Absent,
    };
    let value = params
        .and_then(|params| params.get(member))
        .and_then(Raw::string);
    Mirrored::Required(value.map(std::borrow::Cow::into_owned))
}

/// The text of a mirrored value: itself, or what `=?base64?..?=` holds. `None`: the wrapping is
/// not canonical.
fn decode_sentinel(value: &str) -> Option<String> {
    let Some(inner) = value.strip_prefix("=?base64?") else {
        let looks_wrapped = value.len() >= 9 && value[..9].eq_ignore_ascii_case("=?base64?");
        return (!looks_wrapped).then(|| value.to_owned());
    };
    let bytes = BASE64_STANDARD.decode(inner.strip_suffix("?=")?).ok()?;
    String::from_utf8(bytes).ok()
}

/// Writes `value` as a mirrored header value: literally where that is plain and unmistakable.
pub fn encode_sentinel(value: &str) -> String {
    let plain = value.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && !value.starts_with(' ')
        && !value.ends_with(' ')
        && !value.is_empty()
        && !value.starts_with("=?");
    if plain {
        value.to_owned()
    } else {
        format!("=?base64?{}?=", BASE64_STANDARD.encode(value))
    }
}

/// The value of `Mcp-Name` for a request of the modern era, written afresh from the body.
pub fn routing_name(method: &str, params: Option<Raw<'_>>) -> Option<String> {
    match mirrored_name(method, params) {
        Mirrored::Required(value) => value.map(|value| encode_sentinel(&value)),
        Mirrored::Absent => None,
    }
}
