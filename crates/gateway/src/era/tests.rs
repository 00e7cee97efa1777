use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::json::scan_request;
use crate::shape::classify;

fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_str(value).expect("a value"),
        )
    };
    lines.iter().map(line).collect()
}

fn era(body: &str, lines: &[(&'static str, &str)]) -> Result<Era, Refusal> {
    let message = classify(scan_request(body.as_bytes()).expect("JSON")).expect("a message");
    Era::of_message(&message, &map(lines))
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

fn modern_call(name: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}",{META}}}}}"#
    )
}

#[test]
fn the_body_decides_and_the_headers_agree() {
    let routed = [VERSION, ("mcp-method", "tools/call"), ("mcp-name", "echo")];
    assert_eq!(era(&modern_call("echo"), &routed), Ok(Era::Modern));
    let legacy = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#;
    assert_eq!(era(legacy, &[]), Ok(Era::Legacy(None)));
    for version in LEGACY {
        assert_eq!(
            era(legacy, &[("mcp-protocol-version", version)]),
            Ok(Era::Legacy(Some(version)))
        );
    }
}

#[test]
fn lying_routing_headers_of_the_legacy_era_are_not_looked_at() {
    let legacy = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"danger"}}"#;
    let lines = [("mcp-method", "tools/list"), ("mcp-name", "echo")];
    assert_eq!(era(legacy, &lines), Ok(Era::Legacy(None)));
}

#[test]
fn a_modern_body_needs_headers_that_say_the_same() {
    let method = ("mcp-method", "tools/call");
    for lines in [
        &[][..],
        &[VERSION],
        &[VERSION, method],
        &[VERSION, ("mcp-name", "echo")],
        &[VERSION, ("mcp-method", "tools/list"), ("mcp-name", "echo")],
        &[VERSION, ("mcp-method", "Tools/Call"), ("mcp-name", "echo")],
        &[VERSION, method, ("mcp-name", "other")],
        &[VERSION, method, ("mcp-name", "ECHO")],
        &[VERSION, method, ("mcp-name", "=?base64?ZWNobw?=")],
        &[VERSION, method, ("mcp-name", "=?BASE64?ZWNobw==?=")],
        &[VERSION, method, ("mcp-name", "=?base64?ZWNobx==?=")],
        &[
            ("mcp-protocol-version", "2025-11-25"),
            method,
            ("mcp-name", "echo"),
        ],
        &[method, ("mcp-name", "echo")],
    ] {
        assert!(
            matches!(
                era(&modern_call("echo"), lines),
                Err(Refusal::HeaderMismatch(_))
            ),
            "{lines:?}"
        );
    }
    let wrapped = [VERSION, method, ("mcp-name", "=?base64?ZWNobw==?=")];
    assert_eq!(era(&modern_call("echo"), &wrapped), Ok(Era::Modern));
}

#[test]
fn a_mixture_is_refused() {
    let legacy = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(era(legacy, &[VERSION]), Err(Refusal::EraMixed));
    let unknown = [("mcp-protocol-version", "2099-01-01")];
    assert_eq!(era(legacy, &unknown), Err(Refusal::LegacyVersionUnknown));
    let joined = [("mcp-protocol-version", "2025-11-25, 2026-07-28")];
    assert_eq!(era(legacy, &joined), Err(Refusal::LegacyVersionUnknown));
    let half = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    assert_eq!(era(half, &[]), Err(Refusal::EnvelopeIncomplete));
    let other_half = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let routed = [VERSION, ("mcp-method", "tools/list")];
    assert_eq!(era(other_half, &routed), Err(Refusal::EnvelopeIncomplete));
    let future = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2027-01-01"}}}"#;
    assert_eq!(
        era(future, &routed),
        Err(Refusal::VersionUnsupported {
            requested: "2027-01-01".to_owned()
        })
    );
    let odd = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":[]}}"#;
    assert_eq!(era(odd, &[]), Err(Refusal::ParamsInvalid));
}

#[test]
fn a_client_response_belongs_to_the_legacy_era() {
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(era(response, &[]), Ok(Era::Legacy(None)));
    assert_eq!(era(response, &[VERSION]), Err(Refusal::ResponseInModern));
}

#[test]
fn a_request_without_a_body_belongs_to_the_legacy_era() {
    assert_eq!(Era::of_bodiless(&map(&[VERSION])), Err(Refusal::PostOnly));
    assert_eq!(Era::of_bodiless(&map(&[])), Ok(Era::Legacy(None)));
}

#[test]
fn the_routing_name_comes_from_the_body() {
    let params = crate::json::scan_reply(br#"{"name":"a b","uri":"file:///x"}"#).expect("JSON");
    assert_eq!(
        routing_name("tools/call", Some(params)).as_deref(),
        Some("a b")
    );
    assert_eq!(
        routing_name("resources/read", Some(params)).as_deref(),
        Some("file:///x")
    );
    assert_eq!(routing_name("tools/list", Some(params)), None);
}

proptest! {
    #[test]
    fn any_name_survives_the_header(name in "\\PC{1,16}|[ -~]{1,16}|=\\?base64\\?[a-z]*\\?=") {
        let encoded = encode_sentinel(&name);
        prop_assert!(HeaderValue::from_str(&encoded).is_ok());
        prop_assert_eq!(encoded.trim_matches(' '), encoded.as_str());
        prop_assert_eq!(decode_sentinel(&encoded), Some(name));
    }
}
