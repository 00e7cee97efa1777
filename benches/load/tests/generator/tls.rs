//! Over TLS, with a certificate.

use quotum_authority::Authority;
use quotum_transport::{Credentials, Ends, Material};

use crate::node::Node;
use crate::program::load;

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
