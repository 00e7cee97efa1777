//! Real sockets on loopback: who is let in, what changes while connections go on, what is bounded.

use std::net::SocketAddr;
use std::time::Duration;

use quotum_authority::{Authority, Identity, Validity};
use quotum_telemetry::label::Listener;
use quotum_telemetry::{BuildInfo, Exposition, ListenerMetrics};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use zeroize::Zeroizing;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A port that serves the health service.
struct Port {
    address: SocketAddr,
    exposition: Exposition,
    stop: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

fn roomy() -> Bounds {
    Bounds::new(100, 100)
}

fn gateways(caller: &Caller, path: &str) -> Option<Form> {
    let form = match path.ends_with("/Check") {
        true => Form::Message,
        false => Form::Stream,
    };
    let Caller::Certified(certified) = caller else {
        return Some(form);
    };
    let is_known = matches!(&certified.role, Some((Role::Gateway, name)) if name == "g1");
    is_known.then_some(form)
}

impl Port {
    async fn start(security: Security, bounds: Bounds) -> Self {
        Self::serving(security, bounds, Calls::default()).await
    }

    async fn serving(security: Security, bounds: Bounds, calls: Calls) -> Self {
        let exposition = Exposition::new(&BuildInfo {
            version: "0".to_owned(),
            revision: "0".to_owned(),
        });
        let metrics = ListenerMetrics::new(&exposition, Listener::Clients);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reporter, health) = tonic_health::server::health_reporter();
        let stop = CancellationToken::new();
        let acceptor = Acceptor::new(security, bounds, metrics);
        let serving = serve(
            listener,
            acceptor,
            gateways,
            Services {
                calls,
                routes: Routes::new(health),
            },
            stop.clone(),
        );
        let served = tokio::spawn(async move {
            let served = serving.await;
            drop(reporter);
            served
        });
        Self {
            address,
            exposition,
            stop,
            served,
        }
    }

    fn plaintext(&self) -> Channel {
        let uri = format!("http://{}", self.address);
        Endpoint::from_shared(uri).unwrap().connect_lazy()
    }

    fn channel(&self, credentials: &Credentials) -> Channel {
        let uri = format!("https://{}", self.address);
        let connector = Connector::new(credentials.clone(), PATIENCE);
        Endpoint::from_shared(uri)
            .unwrap()
            .connect_with_connector_lazy(connector)
    }

    async fn metric(&self, line: &str) {
        let shown = async {
            while !self.exposition.render().contains(line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let shown = tokio::time::timeout(PATIENCE, shown).await;
        shown.unwrap_or_else(|_| panic!("{line} is not in\n{}", self.exposition.render()));
    }

    async fn stop(self) {
        self.stop.cancel();
        let served = tokio::time::timeout(PATIENCE, self.served).await;
        served.expect("it stops").unwrap().unwrap();
    }
}

/// The check of health, answered directly.
fn direct() -> Calls {
    let path = "/grpc.health.v1.Health/Check";
    Calls::default().with(path, 1_000, |request: HealthCheckRequest| async move {
        match request.service.as_str() {
            "" => Ok(HealthCheckResponse { status: 1 }),
            _ => Err(Status::not_found("no \"such\" service")),
        }
    })
}

async fn check(channel: &Channel) -> Result<(), Status> {
    let mut client = HealthClient::new(channel.clone());
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let answer = tokio::time::timeout(PATIENCE, client.check(request)).await;
    answer.expect("an answer in time").map(drop)
}

fn material(identity: Option<&Identity>, authority: Option<&Authority>) -> Material {
    let pem = |identity: &Identity| {
        let key = Zeroizing::new(identity.key.clone().into_bytes());
        (identity.certificate.clone().into_bytes(), key)
    };
    Material {
        identity: identity.map(pem),
        authorities: authority.map(|authority| authority.pem().into_bytes()),
    }
}

fn credentials(ends: Ends, identity: Option<&Identity>, authority: &Authority) -> Credentials {
    Credentials::new(ends, &material(identity, Some(authority))).unwrap()
}

/// A port with TLS, whose authority vouches for both ends.
async fn secured(authority: &Authority, bounds: Bounds) -> (Port, Credentials) {
    let identity = authority.issue(&["127.0.0.1"], None);
    let server = credentials(Ends::Server, Some(&identity), authority);
    let port = Port::start(Security::Tls(server.clone()), bounds).await;
    (port, server)
}

fn gateway(authority: &Authority) -> Credentials {
    let identity = authority.issue(&[], Some("gateway/g1"));
    credentials(Ends::Client, Some(&identity), authority)
}

#[tokio::test]
async fn whoever_has_the_right_certificate_is_served() {
    let authority = Authority::new("ours");
    let (port, _) = secured(&authority, roomy()).await;
    check(&port.channel(&gateway(&authority))).await.unwrap();
    port.metric("quotum_connections_open{listener=\"clients\"} 1")
        .await;
    port.stop().await;
}

#[tokio::test]
async fn whoever_has_no_valid_certificate_is_not_served() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (port, _) = secured(&ours, roomy()).await;
    let expired = ours.issue_as(&[], Some("gateway/g1"), Validity::Expired);
    let stranger = theirs.issue(&[], Some("gateway/g1"));
    for identity in [None, Some(&stranger), Some(&expired)] {
        let client = credentials(Ends::Client, identity, &ours);
        let error = check(&port.channel(&client)).await.unwrap_err();
        assert_ne!(error.code(), Code::PermissionDenied, "{error}");
    }
    let refused = "quotum_connections_refused_total{listener=\"clients\",reason=\"handshake\"} 3";
    port.metric(refused).await;
    // Valid, and of no use.
    for role in [
        None,
        Some("gateway/g2"),
        Some("operator/g1"),
        Some("peer/g1"),
    ] {
        let client = credentials(Ends::Client, Some(&ours.issue(&[], role)), &ours);
        let error = check(&port.channel(&client)).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    }
    port.metric("quotum_calls_refused_total{listener=\"clients\",reason=\"role\"} 4")
        .await;
    port.stop().await;
}

#[tokio::test]
async fn a_server_must_be_who_was_dialled() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let elsewhere = ours.issue(&["127.0.0.2", "other.example"], None);
    let server = credentials(Ends::Server, Some(&elsewhere), &ours);
    let port = Port::start(Security::Tls(server), roomy()).await;
    check(&port.channel(&gateway(&ours))).await.unwrap_err();
    port.stop().await;
    let (port, _) = secured(&ours, roomy()).await;
    let identity = ours.issue(&[], Some("gateway/g1"));
    let gullible = credentials(Ends::Client, Some(&identity), &theirs);
    check(&port.channel(&gullible)).await.unwrap_err();
    // Neither plaintext nor an older TLS gets anywhere.
    check(&port.plaintext()).await.unwrap_err();
    assert!(!shakes_hands(port.address, &ours, &rustls::version::TLS12).await);
    port.stop().await;
}

#[tokio::test]
async fn agents_may_speak_tls_1_2_to_a_public_port() {
    let authority = Authority::new("ours");
    let identity = authority.issue(&["127.0.0.1"], None);
    let public = Credentials::new(Ends::Public, &material(Some(&identity), None)).unwrap();
    let port = Port::start(Security::Tls(public), roomy()).await;
    for version in rustls::ALL_VERSIONS {
        assert!(shakes_hands(port.address, &authority, version).await);
    }
    port.stop().await;
}

/// Whether a handshake in one version succeeds.
async fn shakes_hands(
    address: SocketAddr,
    authority: &Authority,
    version: &'static rustls::SupportedProtocolVersion,
) -> bool {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let pem = authority.pem();
    let root = rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let name = ServerName::try_from("127.0.0.1").unwrap();
    connector.connect(name, stream).await.is_ok()
}

#[tokio::test]
async fn new_credentials_hold_for_new_connections_and_old_ones_go_on() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (port, server) = secured(&old, roomy()).await;
    let client = gateway(&old);
    let before = port.channel(&client);
    check(&before).await.unwrap();
    let identity = new.issue(&["127.0.0.1"], None);
    server
        .replace(&material(Some(&identity), Some(&new)), 0)
        .unwrap();
    check(&before).await.unwrap();
    check(&port.channel(&client)).await.unwrap_err();
    // A clone of the client's credentials, as a channel holds one, follows as well.
    let again = port.channel(&client);
    let identity = new.issue(&[], Some("gateway/g1"));
    client
        .replace(&material(Some(&identity), Some(&new)), 0)
        .unwrap();
    check(&again).await.unwrap();
    check(&before).await.unwrap();
    port.stop().await;
}

#[tokio::test]
async fn what_does_not_hold_together_replaces_nothing() {
    let authority = Authority::new("ours");
    let (port, server) = secured(&authority, roomy()).await;
    let good = authority.issue(&["127.0.0.1"], None);
    let expired = authority.issue_as(&["127.0.0.1"], None, Validity::Expired);
    let mismatch = Identity {
        key: authority.issue(&[], None).key,
        ..good.clone()
    };
    let cut = Identity {
        certificate: good.certificate[..good.certificate.len() / 2].to_owned(),
        ..good.clone()
    };
    for bad in [&expired, &mismatch, &cut] {
        let bad = material(Some(bad), Some(&authority));
        server.replace(&bad, 1_700_000_000).unwrap_err();
    }
    server
        .replace(&material(None, Some(&authority)), 0)
        .unwrap_err();
    let nobody = Material {
        authorities: Some(b"nobody".to_vec()),
        ..material(Some(&good), None)
    };
    server.replace(&nobody, 0).unwrap_err();
    check(&port.channel(&gateway(&authority))).await.unwrap();
    port.stop().await;
}

#[tokio::test]
async fn a_connection_that_does_not_get_to_the_point_is_closed() {
    let hasty = Bounds {
        handshake_deadline: Duration::from_millis(50),
        preface_deadline: Duration::from_millis(50),
        ..roomy()
    };
    let authority = Authority::new("ours");
    let (port, _) = secured(&authority, hasty).await;
    // A ClientHello that never ends.
    assert_closed(port.address, &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
    port.metric("{listener=\"clients\",reason=\"handshake\"} 1")
        .await;
    port.metric("quotum_connections_open{listener=\"clients\"} 0")
        .await;
    port.stop().await;
    let port = Port::start(Security::Plaintext, hasty).await;
    assert_closed(port.address, b"PRI * HTTP/2.0\r\n").await;
    port.metric("{listener=\"clients\",reason=\"silent\"} 1")
        .await;
    // One that was greeted stays.
    let channel = port.plaintext();
    let begun = std::time::Instant::now();
    while begun.elapsed() < 2 * hasty.preface_deadline {
        check(&channel).await.unwrap();
    }
    port.metric("quotum_connections_open{listener=\"clients\"} 1")
        .await;
    port.stop().await;
}

/// Says something, and waits to be hung up on.
async fn assert_closed(address: SocketAddr, said: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(said).await.unwrap();
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
    // Whether by FIN or by RST.
    drop(ended.expect("the connection is closed"));
}

#[tokio::test]
async fn one_address_has_room_for_so_many_connections() {
    let port = Port::start(Security::Plaintext, Bounds::new(100, 2)).await;
    let [first, second, third] = [(); 3].map(|()| port.plaintext());
    check(&first).await.unwrap();
    check(&second).await.unwrap();
    check(&third).await.unwrap_err();
    port.metric("{listener=\"clients\",reason=\"address\"}")
        .await;
    drop(first);
    port.metric("quotum_connections_open{listener=\"clients\"} 1")
        .await;
    check(&third).await.unwrap();
    port.stop().await;
}

#[tokio::test]
async fn a_port_that_is_full_makes_others_wait() {
    let port = Port::start(Security::Plaintext, Bounds::new(1, 1)).await;
    let [first, second] = [(); 2].map(|()| port.plaintext());
    check(&first).await.unwrap();
    let waiting = tokio::spawn(async move { check(&second).await });
    check(&first).await.unwrap();
    assert!(!waiting.is_finished());
    drop(first);
    waiting.await.unwrap().unwrap();
    port.stop().await;
}

#[tokio::test]
async fn calls_beyond_the_bound_are_refused_and_not_queued() {
    let port = Port::start(
        Security::Plaintext,
        Bounds {
            calls_max: 1,
            ..roomy()
        },
    )
    .await;
    let channel = port.plaintext();
    let mut client = HealthClient::new(channel.clone());
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let watching = client.watch(request).await.unwrap();
    let error = check(&channel).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    port.metric("quotum_calls_refused_total{listener=\"clients\",reason=\"busy\"} 1")
        .await;
    drop(watching);
    let served = async { while check(&channel).await.is_err() {} };
    tokio::time::timeout(PATIENCE, served)
        .await
        .expect("room again");
    port.stop().await;
}

/// The first bytes of a message, and never the rest.
struct Dribble(Option<bytes::Bytes>);

impl http_body::Body for Dribble {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
        match self.0.take() {
            Some(bytes) => std::task::Poll::Ready(Some(Ok(http_body::Frame::data(bytes)))),
            None => std::task::Poll::Pending,
        }
    }
}

#[tokio::test]
async fn a_request_that_does_not_come_in_time_is_refused() {
    for calls in [Calls::default(), direct()] {
        late_request(calls).await;
    }
}

async fn late_request(calls: Calls) {
    let port = Port::serving(
        Security::Plaintext,
        Bounds {
            request_deadline: Duration::from_millis(50),
            calls_max: 1,
            ..roomy()
        },
        calls,
    )
    .await;
    let mut channel = port.plaintext();
    // Half of what stands before a message, and a message that nothing ends.
    for said in [&b"\0\0"[..], &b"\0\0\0\0\0"[..]] {
        let body = Dribble(Some(bytes::Bytes::from_static(said)));
        let request = http::Request::post(format!(
            "http://{}/grpc.health.v1.Health/Check",
            port.address
        ))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(body))
        .unwrap();
        let ready = std::future::poll_fn(|cx| tower::Service::poll_ready(&mut channel, cx));
        ready.await.unwrap();
        let answer = tower::Service::call(&mut channel, request);
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let answer = answer.expect("an answer in time").unwrap();
        let status = Status::from_header_map(answer.headers());
        assert_eq!(
            status.map(|status| status.code()),
            Some(Code::DeadlineExceeded)
        );
    }
    port.metric("quotum_calls_refused_total{listener=\"clients\",reason=\"late\"} 2")
        .await;
    // The only call that there is room for is free again, and a stream may take its time.
    check(&channel).await.unwrap();
    let mut client = HealthClient::new(channel.clone());
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let mut watching = client.watch(request).await.unwrap().into_inner();
    watching.message().await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(200), watching.message()).await;
    more.expect_err("the stream goes on");
    drop(watching);
    port.stop().await;
}

#[tokio::test]
async fn an_old_connection_ends_and_its_calls_go_to_a_new_one() {
    let port = Port::start(
        Security::Plaintext,
        Bounds {
            age_max: Duration::from_millis(20),
            age_grace: Duration::from_millis(20),
            ..roomy()
        },
    )
    .await;
    let channel = port.plaintext();
    let mut client = HealthClient::new(channel.clone());
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let mut watching = client.watch(request).await.unwrap().into_inner();
    watching.message().await.unwrap();
    // The grace is over at some time, and the stream with it.
    let ended = tokio::time::timeout(PATIENCE, watching.message()).await;
    assert!(!matches!(ended, Ok(Ok(Some(_))) | Err(_)), "{ended:?}");
    check(&channel).await.unwrap();
    port.stop().await;
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let port = Port::start(Security::Plaintext, roomy()).await;
    let channel = port.plaintext();
    let mut client = HealthClient::with_interceptor(channel, |mut request: tonic::Request<()>| {
        let value = "x".repeat(64 << 10).parse().unwrap();
        request.metadata_mut().insert("x-long", value);
        Ok(request)
    });
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let answer = tokio::time::timeout(PATIENCE, client.check(request)).await;
    answer.expect("an answer in time").unwrap_err();
    check(&port.plaintext()).await.unwrap();
    port.stop().await;
}

#[tokio::test]
async fn a_direct_call_looks_like_any_other() {
    let authority = Authority::new("ours");
    let identity = authority.issue(&["127.0.0.1"], None);
    let server = credentials(Ends::Server, Some(&identity), &authority);
    let port = Port::serving(Security::Tls(server), roomy(), direct()).await;
    let channel = port.channel(&gateway(&authority));
    let mut client = HealthClient::new(channel.clone());
    let asked = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    let many = (0..100).map(|_| {
        let mut client = client.clone();
        let asked = asked("");
        async move { client.check(asked).await }
    });
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer.unwrap().into_inner().status, 1);
    }
    let refused = client.check(asked("other")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(refused.message(), "no \"such\" service");
    let long = client.check(asked(&"a".repeat(1_000))).await.unwrap_err();
    assert_eq!(long.code(), Code::OutOfRange);
    // Whoever may not call is refused as elsewhere.
    let stranger = authority.issue(&[], Some("gateway/g2"));
    let stranger = credentials(Ends::Client, Some(&stranger), &authority);
    let refused = check(&port.channel(&stranger)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    port.stop().await;
}
