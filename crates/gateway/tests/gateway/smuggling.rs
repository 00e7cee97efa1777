//! Ways to have a forbidden tool run: none of them reaches the upstream.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{MODERN_META, PATIENCE, read_until};
use crate::support::upstream::succeed;
use crate::support::{Ask, Rig, RigBuilder, Upstream};

const FORBIDDEN: &str = r#""params":{"name":"forbidden","arguments":{}}"#;

/// Whether the upstream was asked to run the forbidden tool, or anything at all.
async fn assert_nothing_arrives(asks: Vec<(&str, Ask)>) {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    for (label, ask) in asks {
        let answer = ask.send(rig.address).await;
        assert!(answer.status >= 200, "{label}");
        let denied = answer.status != 200
            || answer.body.contains("\"error\"")
            || answer.body.contains("\"isError\":true");
        assert!(denied, "{label}: {answer:?}");
        assert_eq!(upstream.seen().len(), 0, "{label}");
    }
    assert_eq!(rig.memory.acquires(), 0);
}

#[tokio::test]
async fn no_body_carries_a_forbidden_call_past_the_policy() {
    let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call",{FORBIDDEN}}}"#);
    let free = r#""params":{"name":"free"}"#;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"free","arguments":{{"a":{}{}}}}}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    let huge = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"free","arguments":{{"a":{}}}}}}}"#,
        "9".repeat(5_000)
    );
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("plain", call.clone().into()),
        ("batch", format!("[{call}]").into()),
        ("batch with ping", format!(r#"[{{"jsonrpc":"2.0","id":2,"method":"ping"}},{call}]"#).into()),
        ("two methods", format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call",{FORBIDDEN}}}"#).into()),
        ("two params", format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call",{free},{FORBIDDEN}}}"#).into()),
        ("two names", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free","n\u0061me":"forbidden"}}"#.into()),
        ("deep duplicate", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free","arguments":{"a":[{"k":1,"k":2}]}}}"#.into()),
        ("byte order mark", [b"\xef\xbb\xbf", call.as_bytes()].concat()),
        ("invalid UTF-8", [&call.as_bytes()[..20], b"\xff", &call.as_bytes()[20..]].concat()),
        ("overlong", call.replace("tools/call", "tools\u{0}call").replace('\0', "\\u00").into()),
        ("lone surrogate", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free","arguments":{"a":"\ud800"}}}"#.into()),
        ("UTF-16", call.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("escaped method", call.replace("tools/call", r"tools\u002fcall").into()),
        ("escaped member", call.replace("\"method\"", r#""\u006dethod""#).into()),
        ("other case", call.replace("tools/call", "Tools/Call").into()),
        ("space", call.replace("tools/call", " tools/call").into()),
        ("NUL", call.replace("tools/call", r"tools/call\u0000").into()),
        ("hybrid", format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call",{FORBIDDEN},"result":{{}}}}"#).into()),
        ("hybrid null", format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call",{FORBIDDEN},"result":null}}"#).into()),
        ("null id", call.replace("\"id\":1", "\"id\":null").into()),
        ("fraction id", call.replace("\"id\":1", "\"id\":1.5").into()),
        ("object id", call.replace("\"id\":1", "\"id\":{}").into()),
        ("no id", call.replace("\"id\":1,", "").into()),
        ("no id, allowed tool", r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"free"}}"#.into()),
        ("unknown member", call.replace("\"id\":1", "\"id\":1,\"x\":1").into()),
        ("trailing document", format!("{call}{call}").into()),
        ("trailing NUL", format!("{call}\0").into()),
        ("comment", format!("/**/{call}").into()),
        ("NaN", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free","arguments":{"a":NaN}}}"#.into()),
        ("1e400", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free","arguments":{"a":1e400}}}"#.into()),
        ("deep", deep.into()),
        ("huge integer", huge.into()),
        ("array params", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["forbidden"]}"#.into()),
        ("array name", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["free"]}}"#.into()),
        ("prototype", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"__proto__":{"name":"free"}}}"#.into()),
        ("tool in other case", call.replace("forbidden", "FREE").into()),
        ("tool with space", call.replace("forbidden", "free ").into()),
        ("full-width tool", call.replace("forbidden", "\u{ff46}ree").into()),
        ("tool with NUL", call.replace("forbidden", r"free\u0000").into()),
        ("task", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free","task":{}}}"#.into()),
        ("tasks/get", r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"x"}}"#.into()),
        ("resources/read", r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x://"}}"#.into()),
        ("prompts/get", r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"x"}}"#.into()),
        ("completion", r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{}}"#.into()),
        ("vendor method", r#"{"jsonrpc":"2.0","id":1,"method":"acme/do","params":{}}"#.into()),
        ("modern body, no header", format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"free",{MODERN_META}}}}}"#).into()),
        ("empty", Vec::new()),
        ("too large", vec![b' '; (4 << 20) + 1]),
    ];
    let asks = bodies
        .into_iter()
        .map(|(label, body)| (label, Ask::post(body)))
        .collect();
    assert_nothing_arrives(asks).await;
}

#[tokio::test]
async fn no_header_changes_what_a_body_means() {
    let legacy = || {
        Ask::post(format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call",{FORBIDDEN}}}"#
        ))
    };
    let allowed =
        || Ask::post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free"}}"#);
    let modern = |name: &str| Ask::modern("tools/call", Some(name), r#""name":"forbidden""#);
    assert_nothing_arrives(vec![
        (
            "lying method",
            legacy()
                .header("Mcp-Method", "tools/list")
                .header("Mcp-Name", "free"),
        ),
        ("lying name", modern("free")),
        ("honest name", modern("forbidden")),
        ("bad padding", modern("=?base64?Zm9yYmlkZGVu=?=")),
        ("two names", modern("forbidden").header("Mcp-Name", "free")),
        (
            "two methods",
            modern("forbidden").header("Mcp-Method", "tools/call"),
        ),
        (
            "two versions",
            modern("forbidden").header("MCP-Protocol-Version", "2025-11-25"),
        ),
        (
            "two sessions",
            allowed()
                .header("Mcp-Session-Id", "a")
                .header("Mcp-Session-Id", "b"),
        ),
        (
            "modern header",
            allowed().header("MCP-Protocol-Version", "2026-07-28"),
        ),
        (
            "unknown version",
            allowed().header("MCP-Protocol-Version", "2099-01-01"),
        ),
        ("two tokens", allowed().header("Authorization", "Bearer x")),
        ("no token", allowed().without("Authorization")),
        ("other token", allowed().grant(9)),
        ("other server", allowed().grant(3)),
        ("two hosts", allowed().header("Host", "other.test")),
        ("no host", allowed().without("Host")),
        ("origin", allowed().header("Origin", "http://evil.test")),
        ("gzip", allowed().header("Content-Encoding", "gzip")),
        (
            "text",
            allowed()
                .without("Content-Type")
                .header("Content-Type", "text/plain"),
        ),
        ("two types", allowed().header("Content-Type", "text/plain")),
        (
            "charset",
            allowed()
                .without("Content-Type")
                .header("Content-Type", "application/json; charset=utf-16"),
        ),
        ("upgrade", allowed().header("Upgrade", "h2c")),
        ("two lengths", allowed().header("Content-Length", "3")),
        ("trailing slash", allowed().target("/mcp/demo/")),
        ("encoded path", allowed().target("/%6dcp/demo")),
        ("dot segment", allowed().target("/x/../mcp/demo")),
        ("double slash", allowed().target("//mcp/demo")),
        ("query", allowed().target("/mcp/demo?x")),
        (
            "absolute form",
            allowed().target("http://gateway.test/mcp/demo"),
        ),
        (
            "well-known",
            allowed().target("/.well-known/oauth-authorization-server"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_refused_token_is_answered_with_401_and_the_well_knowns_with_404() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    let answer = Ask::new("GET")
        .without("Authorization")
        .send(rig.address)
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer error=\"invalid_token\"")
    );
    let wrong = Ask::new("GET").grant(3).send(rig.address).await;
    assert_eq!(
        (wrong.status, wrong.header("www-authenticate")),
        (403, None)
    );
    for path in [
        "/.well-known/oauth-protected-resource/mcp/demo",
        "/",
        "/metrics",
    ] {
        assert_eq!(
            Ask::new("GET").target(path).send(rig.address).await.status,
            404,
            "{path}"
        );
    }
    let put = Ask::new("PUT").send(rig.address).await;
    assert_eq!(
        (put.status, put.header("allow")),
        (405, Some("POST, GET, DELETE"))
    );
}

/// A ping in one chunk under these lines of its length, and behind it what a proxy that reads another
/// length takes for the next request.
fn chunked_ping(lengths: &str) -> String {
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let smuggled = String::from_utf8(Ask::post(ping).bytes()).expect("text");
    format!(
        "POST /mcp/demo HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\n{lengths}\r\n\r\n{:x}\r\n{ping}\r\n0\r\n\r\n{smuggled}",
        crate::support::gateway::token(1),
        ping.len(),
    )
}

/// All that is answered to these bytes until the connection ends.
async fn answers(rig: &Rig, pieces: &[&[u8]]) -> String {
    let mut stream = tokio::net::TcpStream::connect(rig.address)
        .await
        .expect("a connection");
    for piece in pieces {
        stream.write_all(piece).await.expect("written");
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection ends");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_request_that_tells_its_length_twice_is_refused_and_ends_its_connection() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "transfer-encoding:chunked\r\ncontent-length: 55",
    ] {
        let request = chunked_ping(lengths);
        let (first, rest) = request.as_bytes().split_at(60);
        let answer = answers(&rig, &[first, rest]).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lengths}: {answer}");
        assert!(answer.to_lowercase().contains("connection: close"));
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{lengths}: {answer}");
    }
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let length = ping.len().to_string();
    let twice = Ask::post(ping).header("Content-Length", &length);
    assert_eq!(twice.send(rig.address).await.status, 400);
    // Behind requests that were served on the same connection.
    let sound = Ask::post(ping).bytes();
    let request = chunked_ping("Content-Length: 4\r\nTransfer-Encoding: chunked");
    let mut stream = Ask::post(ping).open(rig.address).await;
    assert!(read_until(&mut stream, "content").await.is_some());
    stream.write_all(&sound).await.expect("written");
    assert!(read_until(&mut stream, "content").await.is_some());
    stream.write_all(request.as_bytes()).await.expect("written");
    assert!(read_until(&mut stream, "HTTP/1.1 400 ").await.is_some());
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_request_in_chunks_is_served_and_is_the_last_of_its_connection() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    let request = chunked_ping("Transfer-Encoding: chunked");
    let answer = answers(&rig, &[request.as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 1);
    // Framed anew.
    assert_eq!(seen[0].header("transfer-encoding"), None);
    let length = seen[0].body.len().to_string();
    assert_eq!(seen[0].header("content-length"), Some(length.as_str()));
}

#[tokio::test]
async fn what_a_server_allows_beyond_the_usual_passes() {
    let upstream = Upstream::start(succeed).await;
    let rig = RigBuilder::default()
        .method("resources/read")
        .start(&upstream.url)
        .await;
    let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x://"}}"#;
    assert_eq!(Ask::post(read).send(rig.address).await.status, 200);
    assert_eq!(upstream.seen().len(), 1);
}
