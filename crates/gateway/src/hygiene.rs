//! HTTP hygiene: the checks of a request's head that need neither grant nor body. Everything that
//! two HTTP programs could read differently is refused before anything else looks at it.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap,
    HeaderName, ORIGIN, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Version};

use crate::config::Hosts;
use crate::framing::Ambiguous;
use crate::headers;
use crate::limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX};
use crate::status::Refusal;

#[cfg(test)]
mod tests;

/// What a request wants to do, as its head tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The server's name, as it stands in the path.
    pub server: &'a str,
    pub verb: Verb,
}

/// The HTTP methods of the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Sends a message.
    Post,
    /// Opens a stream of the legacy era.
    Get,
    /// Ends a session of the legacy era.
    Delete,
}

/// Headers that say something about the request itself and therefore stand in it once.
const SINGLE: [HeaderName; 7] = [
    AUTHORIZATION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    HOST,
    ORIGIN,
    TRANSFER_ENCODING,
];

/// Checks a head, and tells where it goes.
pub fn check<'a>(
    head: &'a Parts,
    hosts: &Hosts,
    origins: &[String],
) -> Result<Target<'a>, Refusal> {
    let server = check_head(head, hosts, origins)?;
    let verb = match head.method {
        Method::POST => Verb::Post,
        Method::GET => Verb::Get,
        Method::DELETE => Verb::Delete,
        _ => return Err(Refusal::HttpMethodUnknown),
    };
    match verb {
        Verb::Post => check_body(&head.headers)?,
        Verb::Get | Verb::Delete => check_no_body(&head.headers)?,
    }
    Ok(Target { server, verb })
}

/// Checks the head of a browser's question what a page may do.
pub fn check_question(head: &Parts, hosts: &Hosts, origins: &[String]) -> Result<(), Refusal> {
    check_head(head, hosts, origins)?;
    check_no_body(&head.headers)
}

/// What holds for every request; gives the server that it names.
fn check_head<'a>(head: &'a Parts, hosts: &Hosts, origins: &[String]) -> Result<&'a str, Refusal> {
    check_framing(head)?;
    check_single(&head.headers)?;
    check_size(head)?;
    check_host(&head.headers, hosts)?;
    check_origin(&head.headers, origins)?;
    server_of(head)
}

/// Whether the connection should end after this request: what follows a body in chunks is never read
/// as another request, whatever a proxy in front took it for.
pub fn ends_connection(head: &Parts) -> bool {
    head.headers.contains_key(TRANSFER_ENCODING)
}

fn check_framing(head: &Parts) -> Result<(), Refusal> {
    let headers = &head.headers;
    // The parser leaves one length where there were two: who saw the bytes knows.
    if head.extensions.get::<Ambiguous>().is_some() {
        return Err(Refusal::Framing);
    }
    if let Some(coding) = headers.get(TRANSFER_ENCODING) {
        let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        let alone = headers.get_all(TRANSFER_ENCODING).iter().nth(1).is_none();
        if !chunked || !alone {
            return Err(Refusal::Framing);
        }
    }
    let names_upgrade = |value: &http::HeaderValue| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    if headers.contains_key(UPGRADE) || headers.get_all(CONNECTION).iter().any(names_upgrade) {
        return Err(Refusal::Upgrade);
    }
    if head.version != Version::HTTP_11 {
        return Err(Refusal::Framing);
    }
    Ok(())
}

fn check_single(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get_all(HOST).iter().count() != 1 {
        return Err(Refusal::HostCount);
    }
    if SINGLE
        .iter()
        .any(|name| headers.get_all(name).iter().nth(1).is_some())
    {
        return Err(Refusal::DuplicateHeader);
    }
    headers::check_single(headers)
}

fn check_size(head: &Parts) -> Result<(), Refusal> {
    let lines: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if lines + head.uri.path().len() > HEAD_BYTES_MAX {
        return Err(Refusal::HeadTooLarge);
    }
    Ok(())
}

fn check_host(headers: &HeaderMap, hosts: &Hosts) -> Result<(), Refusal> {
    let Hosts::Only(allowed) = hosts else {
        return Ok(());
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let known = host.is_some_and(|host| {
        allowed
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(host))
    });
    if known {
        Ok(())
    } else {
        Err(Refusal::HostUnknown)
    }
}

/// A browser names the page that sends the request: a page that nobody listed is refused.
fn check_origin(headers: &HeaderMap, origins: &[String]) -> Result<(), Refusal> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let known = origins
        .iter()
        .any(|allowed| allowed.as_bytes() == origin.as_bytes());
    if known {
        Ok(())
    } else {
        Err(Refusal::OriginForbidden)
    }
}

/// The server in `/mcp/<server>`. Nothing is decoded or normalised: another spelling of a path is
/// another path.
fn server_of(head: &Parts) -> Result<&str, Refusal> {
    let uri = &head.uri;
    if uri.scheme().is_some() || uri.authority().is_some() {
        return Err(Refusal::TargetForm);
    }
    if uri
        .path_and_query()
        .is_some_and(|whole| whole.as_str().contains(['?', '#']))
    {
        return Err(Refusal::PathUnknown);
    }
    let server = uri
        .path()
        .strip_prefix("/mcp/")
        .ok_or(Refusal::PathUnknown)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let known_form = !server.is_empty() && server.len() <= 63 && server.bytes().all(plain);
    if known_form {
        Ok(server)
    } else {
        Err(Refusal::PathUnknown)
    }
}

fn check_body(headers: &HeaderMap) -> Result<(), Refusal> {
    if let Some(coding) = headers.get(CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Refusal::ContentEncoding);
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    if length
        .and_then(|length| length.parse::<usize>().ok())
        .is_some_and(|n| n > BODY_BYTES_MAX)
    {
        return Err(Refusal::BodyTooLarge);
    }
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    match content_type {
        Some(value) if is_utf8_json(value) => Ok(()),
        _ => Err(Refusal::ContentType),
    }
}

fn is_utf8_json(value: &str) -> bool {
    let (essence, parameters) = headers::media_type(value);
    let parameter_fits = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        Some((_, value)) => !value.contains(','),
        None => parameter.trim().is_empty(),
    };
    essence == "application/json" && parameters.split(';').all(parameter_fits)
}

fn check_no_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let length = headers.get(CONTENT_LENGTH);
    let empty = length.is_none_or(|length| length.as_bytes() == b"0");
    if empty && !headers.contains_key(TRANSFER_ENCODING) {
        Ok(())
    } else {
        Err(Refusal::BodyUnexpected)
    }
}
