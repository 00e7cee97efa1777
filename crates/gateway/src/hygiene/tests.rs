use http::Request;

use super::*;

fn head(method: &str, target: &str, lines: &[(&str, &str)]) -> Parts {
    let mut builder = Request::builder().method(method).uri(target);
    for (name, value) in lines {
        builder = builder.header(*name, *value);
    }
    builder.body(()).expect("a request").into_parts().0
}

/// Method, header lines, and what is wrong with them.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Refusal);

const HOST_LINE: (&str, &str) = ("host", "gw.example");
const JSON: (&str, &str) = ("content-type", "application/json");

fn outcome(head: &Parts) -> Result<Target<'_>, Refusal> {
    let hosts = Hosts::Only(vec!["gw.example".to_owned()]);
    check(head, &hosts, &["https://app.example".to_owned()])
}

#[test]
fn the_plain_requests_of_the_transport_pass() {
    let post = head("POST", "/mcp/files", &[HOST_LINE, JSON]);
    assert_eq!(
        outcome(&post),
        Ok(Target {
            server: "files",
            verb: Verb::Post
        })
    );
    let get = head(
        "GET",
        "/mcp/files",
        &[HOST_LINE, ("origin", "https://app.example")],
    );
    assert_eq!(
        outcome(&get),
        Ok(Target {
            server: "files",
            verb: Verb::Get
        })
    );
    let delete = head(
        "DELETE",
        "/mcp/files",
        &[HOST_LINE, ("content-length", "0")],
    );
    assert_eq!(
        outcome(&delete),
        Ok(Target {
            server: "files",
            verb: Verb::Delete
        })
    );
}

#[test]
fn another_spelling_of_the_path_is_another_path() {
    for target in [
        "/",
        "/mcp",
        "/mcp/",
        "//mcp/files",
        "/mcp//files",
        "/%6dcp/files",
        "/mcp/%66iles",
        "/x/../mcp/files",
        "/mcp/./files",
        "/mcp/../mcp/files",
        "/mcp/files/",
        "/mcp/files?x",
        "/mcp/files?",
        "/mcp/files;x",
        "/mcp/Files",
        "/mcp/files/more",
        "/mcp/a_b",
        "/.well-known/oauth-protected-resource/mcp/files",
        "/.well-known/openid-configuration",
    ] {
        let request = head("POST", target, &[HOST_LINE, JSON]);
        assert_eq!(outcome(&request), Err(Refusal::PathUnknown), "{target}");
    }
    let absolute = head("POST", "http://gw.example/mcp/files", &[HOST_LINE, JSON]);
    assert_eq!(outcome(&absolute), Err(Refusal::TargetForm));
}

#[test]
fn nothing_is_served_on_a_connection_whose_lengths_are_ambiguous() {
    for method in ["POST", "GET", "DELETE", "OPTIONS"] {
        let mut request = head(method, "/mcp/files", &[HOST_LINE, JSON]);
        request.extensions.insert(Ambiguous);
        assert_eq!(outcome(&request), Err(Refusal::Framing), "{method}");
        let asked = check_question(&request, &Hosts::Any, &[]);
        assert_eq!(asked, Err(Refusal::Framing), "{method}");
    }
}

#[test]
fn ambiguous_heads_are_refused() {
    let cases: &[Case<'_>] = &[
        ("POST", &[JSON], Refusal::HostCount),
        ("POST", &[HOST_LINE, HOST_LINE, JSON], Refusal::HostCount),
        (
            "POST",
            &[("host", "evil.example"), JSON],
            Refusal::HostUnknown,
        ),
        (
            "POST",
            &[HOST_LINE, JSON, ("origin", "https://evil.example")],
            Refusal::OriginForbidden,
        ),
        (
            "POST",
            &[HOST_LINE, JSON, ("origin", "null")],
            Refusal::OriginForbidden,
        ),
        ("POST", &[HOST_LINE, JSON, JSON], Refusal::DuplicateHeader),
        (
            "POST",
            &[
                HOST_LINE,
                JSON,
                ("authorization", "Bearer a"),
                ("authorization", "Bearer b"),
            ],
            Refusal::DuplicateHeader,
        ),
        (
            "POST",
            &[
                HOST_LINE,
                JSON,
                ("mcp-protocol-version", "a"),
                ("mcp-protocol-version", "b"),
            ],
            Refusal::DuplicateHeader,
        ),
        (
            "POST",
            &[HOST_LINE, JSON, ("content-encoding", "gzip")],
            Refusal::ContentEncoding,
        ),
        (
            "POST",
            &[HOST_LINE, JSON, ("transfer-encoding", "gzip, chunked")],
            Refusal::Framing,
        ),
        (
            "POST",
            &[HOST_LINE, JSON, ("upgrade", "h2c")],
            Refusal::Upgrade,
        ),
        (
            "POST",
            &[HOST_LINE, JSON, ("connection", "keep-alive, Upgrade")],
            Refusal::Upgrade,
        ),
        (
            "POST",
            &[HOST_LINE, JSON, ("content-length", "4194305")],
            Refusal::BodyTooLarge,
        ),
        ("POST", &[HOST_LINE], Refusal::ContentType),
        ("PUT", &[HOST_LINE, JSON], Refusal::HttpMethodUnknown),
        ("OPTIONS", &[HOST_LINE], Refusal::HttpMethodUnknown),
        (
            "GET",
            &[HOST_LINE, ("content-length", "2")],
            Refusal::BodyUnexpected,
        ),
        (
            "DELETE",
            &[HOST_LINE, ("transfer-encoding", "chunked")],
            Refusal::BodyUnexpected,
        ),
    ];
    for (method, lines, refusal) in cases {
        let request = head(method, "/mcp/files", lines);
        assert_eq!(
            outcome(&request),
            Err(refusal.clone()),
            "{method} {lines:?}"
        );
    }
    let large = "x".repeat(HEAD_BYTES_MAX);
    let request = head(
        "POST",
        "/mcp/files",
        &[HOST_LINE, JSON, ("x-large", &large)],
    );
    assert_eq!(outcome(&request), Err(Refusal::HeadTooLarge));
}

#[test]
fn only_json_in_utf8_is_a_body() {
    for value in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json; v=1",
    ] {
        let request = head("POST", "/mcp/files", &[HOST_LINE, ("content-type", value)]);
        assert!(outcome(&request).is_ok(), "{value}");
    }
    for value in [
        "text/plain",
        "text/plain; application/json",
        "application/json-seq",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; x",
        "",
    ] {
        let request = head("POST", "/mcp/files", &[HOST_LINE, ("content-type", value)]);
        assert_eq!(outcome(&request), Err(Refusal::ContentType), "{value}");
    }
}

#[test]
fn a_chunked_request_is_the_last_of_its_connection() {
    let chunked = head(
        "POST",
        "/mcp/files",
        &[HOST_LINE, JSON, ("transfer-encoding", "chunked")],
    );
    assert!(outcome(&chunked).is_ok() && ends_connection(&chunked));
    assert!(!ends_connection(&head(
        "POST",
        "/mcp/files",
        &[HOST_LINE, JSON]
    )));
}
