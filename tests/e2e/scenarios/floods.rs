//! Floods and dawdlers on the ports of a real cluster: each is hung up on, and calls go on.

use std::io::ErrorKind;
use std::time::Duration;

use quotum_e2e::bench::Bench;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::mcp::Session;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::burst::TOOL;

/// HTTP/2's opening words and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// `:method POST`, `:scheme http`, `:path /`, from HPACK's static table.
const HEADER_BLOCK: &[u8] = &[0x83, 0x86, 0x84];
/// A header `x` with a value of 100 bytes that is not indexed.
const LONG_HEADER_BYTES: usize = 100;
/// Whoever dawdles is hung up on within this: a handshake, a head and pings have less each.
const DAWDLE_MAX: Duration = Duration::from_secs(45);

pub(crate) async fn a_flood_on_the_client_port_is_hung_up_on(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let session = working(bench, &dev).await?;
    for counter in &dev.ready.counters {
        let resets = (0..20_000).flat_map(|n: u32| {
            let stream = 2 * n + 1;
            let headers = frame(HEADERS, END_HEADERS, stream, HEADER_BLOCK);
            [headers, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
        });
        hung_up(
            "streams that are broken off",
            &counter.grpc,
            resets.collect(),
        )
        .await?;
        let mut long = vec![0x00, 1, b'x', 100];
        long.extend([b'y'; LONG_HEADER_BYTES]);
        let mut endless = frame(HEADERS, 0, 1, HEADER_BLOCK);
        for _ in 0..20_000 {
            endless.extend(frame(CONTINUATION, 0, 1, &long));
        }
        hung_up("headers without end", &counter.grpc, endless).await?;
        let answer = session.call(TOOL, json!({})).await;
        ensure!(answer.is_allowed(), "after a flood: {:?}", answer.outcome);
    }
    dev.stop().await
}

pub(crate) async fn whoever_dawdles_is_hung_up_on(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let session = working(bench, &dev).await?;
    let gateway = dev.ready.gateways[0].url.trim_start_matches("http://");
    let gateway = gateway.split('/').next().unwrap_or_default();
    let counter = &dev.ready.counters[0].grpc;
    let cases: [(&str, &str, &[u8]); 4] = [
        ("a counter node, silence", counter, b""),
        (
            "a counter node, half of the opening words",
            counter,
            b"PRI * HTTP/2.0\r\n",
        ),
        ("a counter node, no answer to a ping", counter, PREFACE),
        (
            "a gateway, half of a head",
            gateway,
            b"POST /mcp/demo HTTP/1.1\r\nHost: a\r\n",
        ),
    ];
    let mut waiting = tokio::task::JoinSet::new();
    for (what, address, said) in cases {
        let (address, said) = (address.to_owned(), said.to_vec());
        for _ in 0..50 {
            let (address, said) = (address.clone(), said.clone());
            waiting.spawn(async move {
                let waited = tokio::time::timeout(DAWDLE_MAX, dawdle(&address, &said)).await;
                match waited {
                    Ok(ended) => ended.map_err(|failure| failure.during(what)),
                    Err(_) => Err(Failure::new(format!("{what}: not hung up on"))),
                }
            });
        }
    }
    let answer = session.call(TOOL, json!({})).await;
    ensure!(answer.is_allowed(), "among dawdlers: {:?}", answer.outcome);
    while let Some(ended) = waiting.join_next().await {
        ended??;
    }
    dev.stop().await
}

/// A client whose calls work.
async fn working(bench: &Bench, dev: &Dev) -> Result<Session> {
    let url = &dev.ready.gateways[0].url;
    let session = Session::open(&bench.http, url, dev.token("agent-1")?).await?;
    let answer = session.call(TOOL, json!({})).await;
    ensure!(answer.is_allowed(), "before: {:?}", answer.outcome);
    Ok(session)
}

/// Says something, answers nothing, and waits until the other side has enough.
async fn dawdle(address: &str, said: &[u8]) -> Result {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(said).await?;
    read_to_the_end(&mut stream).await
}

/// Sends a flood, and expects to be hung up on before it is over or right after.
async fn hung_up(what: &str, address: &str, flood: Vec<u8>) -> Result {
    let mut stream = TcpStream::connect(address).await?;
    let flooding = async {
        stream.write_all(PREFACE).await?;
        match stream.write_all(&flood).await {
            Ok(()) => {}
            Err(error) if is_hang_up(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        read_to_the_end(&mut stream).await
    };
    // Less than what it takes to find that pings are not answered.
    match tokio::time::timeout(Duration::from_secs(5), flooding).await {
        Ok(ended) => ended.map_err(|failure: Failure| failure.during(what)),
        Err(_) => Err(Failure::new(format!("{what}: {address} bears it"))),
    }
}

async fn read_to_the_end(stream: &mut TcpStream) -> Result {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard).await {
        Ok(_) => Ok(()),
        Err(error) if is_hang_up(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_hang_up(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(content);
    frame
}
