//! Bytes that no honest client sends.

use std::io::ErrorKind;

use quotum_e2e::balancer::authority;
use quotum_e2e::bench::Bench;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::limits::{BODY_BYTES_MAX, EXCHANGE_MAX};
use quotum_e2e::mcp::Session;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::burst::TOOL;

/// A gateway reads this much of a body.
const GATEWAY_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
const TYPE: &str = "Content-Type: application/json";
const ACCEPT: &str = "Accept: application/json, text/event-stream";
const VERSION: &str = "MCP-Protocol-Version: 2026-07-28";
const METHOD: &str = "Mcp-Method: tools/call";
const NAME: &str = "Mcp-Name: send_interactive_flow";
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// A request, and the statuses that refuse it.
struct Case {
    name: &'static str,
    /// `POST /mcp/demo`: what comes before the version of HTTP.
    target: &'static str,
    /// Besides `Host` and `Content-Length`; `$TOKEN` stands for the grant's.
    headers: Vec<&'static str>,
    body: Vec<u8>,
    refused_with: &'static [u16],
}

pub(crate) async fn malformed_requests_are_refused_and_run_nothing(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let token = dev.token("agent-1")?.to_owned();
    let gateway = authority(&dev.ready.gateways[0].url)?;
    // The call that each case spoils in one way runs if it is not spoilt.
    let sound = Case::body("sound", call()).bytes(gateway, &token);
    let before = dev.executions(bench, TOOL).await?;
    let answered = status(gateway, &sound).await?;
    let ran = dev.executions(bench, TOOL).await? - before;
    ensure!(
        answered == 200 && ran == 1,
        "the sound call: status {answered}, {ran} ran"
    );
    let before = dev.executions(bench, TOOL).await?;
    let mut wrong = Vec::new();
    for case in bodies().into_iter().chain(headers()).chain(targets()) {
        let bytes = case.bytes(gateway, &token);
        let status = status(gateway, &bytes).await;
        if !status
            .as_ref()
            .is_ok_and(|status| case.refused_with.contains(status))
        {
            let status = status.map_or_else(|failure| failure.to_string(), |ok| ok.to_string());
            wrong.push(format!(
                "{}: {status}, not {:?}",
                case.name, case.refused_with
            ));
        }
    }
    ensure!(
        wrong.is_empty(),
        "not refused as they should be:\n{}",
        wrong.join("\n")
    );
    let ran = dev.executions(bench, TOOL).await? - before;
    ensure!(ran == 0, "{ran} refused calls ran");
    expect_serving(bench, &dev).await?;
    dev.stop().await
}

pub(crate) async fn noise_on_any_port_stops_nothing(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let ready = &dev.ready;
    let mut addresses = Vec::new();
    for gateway in &ready.gateways {
        addresses.extend([authority(&gateway.url)?, authority(&gateway.metrics)?]);
    }
    for counter in &ready.counters {
        addresses.extend([counter.grpc.as_str(), authority(&counter.metrics)?]);
    }
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let frames = [preface.as_slice(), &[0xff; 4096]].concat();
    let noises: [&[u8]; 5] = [
        &[0; 1024],
        b"\r\n\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
        &frames,
        &[0x16, 3, 1, 2, 0, 1],
    ];
    for address in addresses {
        for noise in noises {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(noise).await?;
            // Closed at once, with whatever the other side may be writing.
            drop(stream);
        }
    }
    let alive = ready.counters.iter().map(|counter| counter.pid);
    let alive = alive.chain(ready.gateways.iter().map(|gateway| gateway.pid));
    let dead: Vec<u32> = alive
        .filter(|pid| !quotum_e2e::process::exists(*pid))
        .collect();
    ensure!(dead.is_empty(), "noise ended the processes {dead:?}");
    expect_serving(bench, &dev).await?;
    dev.stop().await
}

async fn expect_serving(bench: &Bench, dev: &Dev) -> Result {
    for gateway in &dev.ready.gateways {
        let token = dev.token("agent-2")?;
        let session = Session::open(&bench.http, &gateway.url, token).await?;
        let answer = session.call(TOOL, json!({})).await;
        ensure!(answer.is_allowed(), "{}: {:?}", gateway.url, answer.outcome);
    }
    Ok(())
}

// === impl Case ===

impl Case {
    /// A call that would run, were it not for its body.
    fn body(name: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            name,
            target: "POST /mcp/demo",
            headers: vec![
                "Authorization: Bearer $TOKEN",
                TYPE,
                ACCEPT,
                VERSION,
                METHOD,
                NAME,
            ],
            body: body.into(),
            refused_with: &[400],
        }
    }

    /// A call that would run, were it not for its headers.
    fn headers(name: &'static str, headers: &[&'static str], refused_with: &'static [u16]) -> Self {
        Self {
            headers: headers.to_vec(),
            refused_with,
            ..Self::body(name, call())
        }
    }

    /// A call that would run, were it not for where it goes.
    fn target(name: &'static str, target: &'static str, refused_with: &'static [u16]) -> Self {
        Self {
            target,
            refused_with,
            ..Self::body(name, call())
        }
    }

    fn bytes(&self, gateway: &str, token: &str) -> Vec<u8> {
        let mut head = format!("{} HTTP/1.1\r\n", self.target);
        if !self
            .headers
            .iter()
            .any(|header| header.starts_with("Host:"))
        {
            head += &format!("Host: {gateway}\r\n");
        }
        if !self
            .headers
            .iter()
            .any(|header| header.starts_with("Content-Length:"))
        {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for header in &self.headers {
            head += &format!("{}\r\n", header.replace("$TOKEN", token));
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// A call of the limited tool that a gateway takes.
fn call() -> String {
    with_members("")
}

/// The same with more members, or other ones, behind the first.
fn with_members(members: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0",{members}"id":1,"method":"tools/call","params":{{"name":"{TOOL}","arguments":{{}},{META}}}}}"#
    )
}

/// The same with one argument, a text of these bytes.
fn with_argument(bytes: &[u8]) -> Vec<u8> {
    const ARGUMENTS: &str = r#""arguments":{"#;
    let text = call();
    let at = text.find(ARGUMENTS).expect("a call has arguments") + ARGUMENTS.len();
    [
        &text.as_bytes()[..at],
        br#""a":""#,
        bytes,
        b"\"",
        &text.as_bytes()[at..],
    ]
    .concat()
}

fn bodies() -> Vec<Case> {
    let params = format!(r#""params":{{"name":"{TOOL}","arguments":{{}},{META}}}"#);
    let deep = format!(
        r#""arguments":{{"a":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let in_arguments = |text: &str| call().replace(r#""arguments":{}"#, text);
    let large = "x".repeat(GATEWAY_BODY_BYTES_MAX + 1);
    vec![
        Case::body("an empty body", ""),
        Case::body("no JSON", "tools/call"),
        Case::body("a batch", format!("[{}]", call())),
        Case::body("two documents", format!("{} {}", call(), call())),
        Case::body("a cut document", &call()[..call().len() - 1]),
        Case::body(
            "a byte order mark",
            [b"\xef\xbb\xbf", call().as_bytes()].concat(),
        ),
        Case::body("bytes that are no UTF-8", with_argument(b"\xff")),
        Case::body("an overlong slash", with_argument(b"\xc0\xaf")),
        Case::body(
            "a lone surrogate",
            in_arguments(r#""arguments":{"a":"\ud800"}"#),
        ),
        Case::body("a member twice", with_members(r#""method":"tools/list","#)),
        Case::body(
            "an escaped member twice",
            with_members(r#""m\u0065thod":"tools/list","#),
        ),
        Case::body(
            "an argument twice",
            in_arguments(r#""arguments":{"a":1,"a":2}"#),
        ),
        Case::body("a name twice", in_arguments(r#""name":"list_customers""#)),
        Case::body("an unknown member", with_members(r#""extra":1,"#)),
        Case::body(
            "a request that is a response",
            with_members(r#""result":{},"#),
        ),
        Case::body(
            "a request with a null result",
            with_members(r#""result":null,"#),
        ),
        Case::body("too deep", in_arguments(&deep)),
        Case::body(
            "a null id",
            format!(r#"{{"jsonrpc":"2.0","id":null,"method":"tools/call",{params}}}"#),
        ),
        Case::body(
            "no id",
            format!(r#"{{"jsonrpc":"2.0","method":"tools/call",{params}}}"#),
        ),
        Case::body("version 1.0", call().replace(r#""2.0""#, r#""1.0""#)),
        Case::body("NaN", in_arguments(r#""arguments":{"a":NaN}"#)),
        Case::body(
            "another tool than the header's",
            call().replace(TOOL, "list_customers"),
        ),
        Case {
            refused_with: &[413],
            ..Case::body("too large", large)
        },
    ]
}

fn headers() -> Vec<Case> {
    const TOKEN: &str = "Authorization: Bearer $TOKEN";
    let all = [TOKEN, TYPE, ACCEPT, VERSION, METHOD, NAME];
    let and = |more: &'static str| [&all[..], &[more]].concat();
    let without = |less: &str| -> Vec<&'static str> {
        all.into_iter().filter(|header| *header != less).collect()
    };
    vec![
        Case::headers("no token", &without(TOKEN), &[401]),
        Case::headers(
            "no bearer",
            &[&without(TOKEN)[..], &["Authorization: Basic eDp5"]].concat(),
            &[401],
        ),
        Case::headers(
            "an unknown token",
            &[&without(TOKEN)[..], &["Authorization: Bearer nobody"]].concat(),
            &[401],
        ),
        Case::headers("two tokens", &and(TOKEN), &[400]),
        Case::headers("two types", &and(TYPE), &[400, 415]),
        Case::headers("two names", &and(NAME), &[400]),
        Case::headers("two versions", &and(VERSION), &[400]),
        Case::headers("no type", &without(TYPE), &[415]),
        Case::headers(
            "another type",
            &[&without(TYPE)[..], &["Content-Type: text/plain"]].concat(),
            &[415],
        ),
        Case::headers(
            "another character set",
            &[
                &without(TYPE)[..],
                &["Content-Type: application/json; charset=utf-16"],
            ]
            .concat(),
            &[415],
        ),
        Case::headers("a packed body", &and("Content-Encoding: gzip"), &[415]),
        Case::headers("no version header", &without(VERSION), &[400]),
        Case::headers(
            "a version of sessions",
            &[&without(VERSION)[..], &["MCP-Protocol-Version: 2025-11-25"]].concat(),
            &[400],
        ),
        Case::headers(
            "a method header that lies",
            &[&without(METHOD)[..], &["Mcp-Method: tools/list"]].concat(),
            &[400],
        ),
        Case::headers("no name header", &without(NAME), &[400]),
        Case::headers(
            "a strange origin",
            &and("Origin: https://evil.example"),
            &[403],
        ),
        Case::headers(
            "two hosts",
            &[&all[..], &["Host: a.example", "Host: b.example"]].concat(),
            &[400, 421],
        ),
        Case {
            body: format!("{:x}\r\n{}\r\n0\r\n\r\n", call().len(), call()).into(),
            ..Case::headers(
                "a length and chunks",
                &and("Transfer-Encoding: chunked"),
                &[400],
            )
        },
        Case::headers(
            "two lengths",
            &[&all[..], &["Content-Length: 5", "Content-Length: 6"]].concat(),
            &[400],
        ),
    ]
}

fn targets() -> Vec<Case> {
    vec![
        Case::target("another server", "POST /mcp/other", &[401, 403, 404]),
        Case::target("no server", "POST /mcp", &[404]),
        Case::target("a slash behind", "POST /mcp/demo/", &[404]),
        Case::target("two slashes", "POST //mcp/demo", &[400, 404]),
        Case::target("an encoded letter", "POST /mcp/%64emo", &[400, 404]),
        Case::target("dots", "POST /x/../mcp/demo", &[400, 404]),
        Case::target("a query", "POST /mcp/demo?x=1", &[400, 404]),
        Case::target("PUT", "PUT /mcp/demo", &[405]),
        Case::target("PATCH", "PATCH /mcp/demo", &[405]),
        Case::target("GET with a body", "GET /mcp/demo", &[400, 405]),
        Case::target("no HTTP", "HELO", &[400]),
    ]
}

/// Sends bytes and reads the status of the answer.
async fn status(address: &str, bytes: &[u8]) -> Result<u16> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        // Whoever refuses early may close before it has read everything.
        match stream.write_all(bytes).await {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) => {}
            Err(error) => return Err(error.into()),
        }
        let mut head = Vec::new();
        while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() < BODY_BYTES_MAX {
            if stream.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        let text = String::from_utf8_lossy(&head);
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        status.ok_or_else(|| Failure::new(format!("an answer without a status: {text:?}")))
    };
    match tokio::time::timeout(EXCHANGE_MAX, exchange).await {
        Ok(status) => status,
        Err(_) => Err(Failure::new(format!("no answer in {EXCHANGE_MAX:?}"))),
    }
}
