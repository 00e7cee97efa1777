use std::time::Duration;

use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use quotum_registry::command::{Change, Command, CredentialChange};
use quotum_registry::grant::GrantSpec;
use quotum_registry::name::{GrantId, GrantName, Name};
use quotum_registry::server::{Refund, ServerSpec};
use quotum_registry::upstream::Upstream;
use quotum_registry::{MasterKey, Outcome, State as Registry, View};
use quotum_telemetry::{BuildInfo, Exposition, GatewayMetrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

use super::*;
use crate::config::{Clock, Snapshot};
use crate::known::KnownTools;
use crate::limits::BUFFERED_BYTES_MIN;
use crate::room::Room;

const EVENT: &str = ": still here\n\n";

/// A registry with the grant `g1`.
fn registry() -> View {
    let name = |text: &str| Name::new(text).expect("a name");
    let address = Upstream::new("http://127.0.0.1:9/").expect("an address");
    let changes = vec![
        Change::PutServer {
            server: ServerSpec::new(name("demo"), address),
            credential: CredentialChange::Keep,
        },
        Change::PutGrant {
            grant: GrantSpec {
                id: GrantId::new("g1").expect("an id"),
                name: GrantName::new("one").expect("a name"),
                server: name("demo"),
                policy: None,
                expires_at_ms: None,
            },
            token: None,
        },
    ];
    let mut state = Registry::new();
    let outcome = state.apply(&Command::apply(1, changes));
    assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
    let key = MasterKey::from_bytes(b"a master key of thirty-two bytes").expect("a key");
    View::of(&state, &key, None)
}

/// The body of an answer whose bytes the test writes, without a network: time stands still while
/// anything is done.
async fn answer() -> (DuplexStream, Incoming) {
    let (near, mut far) = tokio::io::duplex(4_096);
    let (mut client, connection) = http1::handshake(TokioIo::new(near)).await.expect("begun");
    tokio::spawn(connection);
    let asked = tokio::spawn(async move {
        let request = Request::new(Empty::<Bytes>::new());
        client.send_request(request).await.expect("an answer")
    });
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        far.read_buf(&mut request).await.expect("a request");
    }
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    far.write_all(head.as_bytes()).await.expect("written");
    (far, asked.await.expect("no panic").into_body())
}

async fn say(upstream: &mut DuplexStream, text: &str) {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    upstream.write_all(chunk.as_bytes()).await.expect("written");
}

/// A relay of that body, which ends neither with its grant nor with the gateway.
fn relay(upstream: Incoming, snapshots: watch::Receiver<Snapshot>) -> Relay {
    let grant = snapshots
        .borrow()
        .view
        .grant("g1")
        .expect("a grant")
        .clone();
    let build = BuildInfo {
        version: "0".to_owned(),
        revision: "0".to_owned(),
    };
    let inspector = Inspector {
        id: None,
        lists_tools: false,
        modern: false,
        tasks: None,
    };
    let audience = Audience {
        grant,
        known: KnownTools::default(),
    };
    let clock = Clock(std::sync::Arc::new(|| 0));
    let ending = Ending::new(snapshots, Duration::from_secs(3_600), clock, None);
    let settling = Settling {
        units: None,
        rule: Refund::NotExecuted,
        metrics: GatewayMetrics::new(&Exposition::new(&build)),
        shard: None,
    };
    let room = Room::new(BUFFERED_BYTES_MIN).take(&audience.grant.id);
    Relay::new(upstream, inspector, audience, ending, room, settling, None)
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_upstream_has_been_silent_for_too_long() {
    let (_registry, snapshots) = watch::channel(Snapshot::new(
        std::sync::Arc::new(registry()),
        Duration::ZERO,
    ));
    let (mut upstream, body) = answer().await;
    let mut relay = relay(body, snapshots);
    for _ in 0..3 {
        let (piece, ()) = tokio::join!(relay.next_piece(), async {
            tokio::time::sleep(SILENCE - Duration::from_secs(1)).await;
            say(&mut upstream, EVENT).await;
        });
        assert_eq!(piece.as_deref(), Some(EVENT.as_bytes()));
    }
    let last = Instant::now();
    assert_eq!(relay.next_piece().await, None);
    let silent = last.elapsed();
    assert!(silent >= SILENCE, "{silent:?}");
    assert!(silent < SILENCE + Duration::from_secs(1), "{silent:?}");
    assert_eq!(relay.next_piece().await, None);
}

#[tokio::test(start_paused = true)]
async fn half_an_event_is_no_silence() {
    let (_registry, snapshots) = watch::channel(Snapshot::new(
        std::sync::Arc::new(registry()),
        Duration::ZERO,
    ));
    let (mut upstream, body) = answer().await;
    let mut relay = relay(body, snapshots);
    let (first, rest) = EVENT.split_at(5);
    let (piece, ()) = tokio::join!(relay.next_piece(), async {
        for part in [first, rest] {
            tokio::time::sleep(SILENCE - Duration::from_secs(1)).await;
            say(&mut upstream, part).await;
        }
    });
    assert_eq!(piece.as_deref(), Some(EVENT.as_bytes()));
}
