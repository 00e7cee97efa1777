//! Over TLS, with a certificate.

use std::sync::Arc;

use quotum_authority::{Authority, Identity};
use quotum_transport::{Credentials, Ends, Material};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::node::Node;
use crate::program::load;
use crate::server::Server;

/// A server that shows `shown`, and asks clients for a certificate of `believed`.
fn asking(shown: &Identity, believed: &Authority) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let pem = believed.pem();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let certificate = CertificateDer::from_pem_slice(shown.certificate.as_bytes()).unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(
            vec![certificate],
            PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap(),
        )
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_https_show_a_certificate_and_believe_no_other_authority() {
    let (authority, other) = (Authority::new("servers"), Authority::new("others"));
    let shown = authority.issue(&["127.0.0.1"], None);
    let server = Server::secured(25, asking(&shown, &authority)).await;
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let own = authority.issue(&[], None);
    let (ca, others) = (
        put("ca.crt", &authority.pem()),
        put("others.crt", &other.pem()),
    );
    let (cert, key) = (put("own.crt", &own.certificate), put("own.key", &own.key));
    let line = format!(
        "http --addr {} --in-flight 3 --secs 0.5 --tool echo --warmup-secs 0",
        server.url
    );
    let run = load(&format!("{line} --ca {ca} --cert {cert} --key {key}")).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.count("admitted"), 25, "{run:?}");
    assert_eq!(run.count("admitted") + run.count("denied"), server.calls());
    assert_eq!(server.connections(), 3);
    let calls = server.calls();
    for (refused, told) in [
        (format!("--ca {ca}"), ""),
        (
            format!("--ca {others} --cert {cert} --key {key}"),
            "UnknownIssuer",
        ),
        (format!("--ca {key}"), "own.key holds no PEM of its kind"),
        (
            format!("--ca {ca} --cert {cert} --key {ca}"),
            "ca.crt holds no PEM of its kind",
        ),
    ] {
        let run = load(&format!("{line} {refused}")).await;
        assert_eq!(run.code, Some(1), "{refused}: {run:?}");
        assert!(run.complaints.contains(told), "{refused}: {run:?}");
    }
    assert_eq!(server.calls(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateways_certificate_gets_decisions_and_none_gets_nothing() {
    let authority = Authority::new("clients");
    let server = authority.issue(&["127.0.0.1"], None);
    let material = Material {
        identity: Some((
            server.certificate.into_bytes(),
            server.key.into_bytes().into(),
        )),
        authorities: Some(authority.pem().into_bytes()),
    };
    let node = Node::secured(Credentials::new(Ends::Server, &material).unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let own = authority.issue(&[], Some("gateway/load"));
    let ca = put("ca.crt", &authority.pem());
    let (cert, key) = (put("own.crt", &own.certificate), put("own.key", &own.key));
    let line = |kind: &str| {
        format!(
            "{kind} --addr {} --in-flight 8 --secs 0.5 --keys 4 --max 5 --warmup-secs 0",
            node.address
        )
    };
    for kind in ["native-stream", "native-unary"] {
        let with = load(&format!(
            "{} --ca {ca} --cert {cert} --key {key}",
            line(kind)
        ))
        .await;
        assert_eq!(with.code, Some(0), "{with:?}");
    }
    assert_eq!(node.decided().admitted, 4 * 5);
    for without in [String::new(), format!("--ca {ca}")] {
        let run = load(&format!("{} {without}", line("native-stream"))).await;
        assert_eq!(run.code, Some(1), "{run:?}");
    }
}
