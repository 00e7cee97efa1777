//! Which certificate may speak as which node.

use quotum_api::peer;
use quotum_api::peer::peer_client::PeerClient;
use quotum_authority::{Authority, Identity};
use quotum_transport::{Credentials, Ends, Material, Security};
use tonic::{Code, Status};

use super::{Cluster, Ports, tls_dialer};

fn credentials(identity: &Identity, authority: &Authority) -> Credentials {
    let key = identity.key.clone().into_bytes().into();
    let material = Material {
        identity: Some((identity.certificate.clone().into_bytes(), key)),
        authorities: Some(authority.pem().into_bytes()),
    };
    Credentials::new(Ends::Both, &material).unwrap()
}

/// Asks the node for a vote of node 1, with a certificate of a peer at `host`.
async fn ask(cluster: &Cluster, authority: &Authority, host: &str, role: &str) -> Status {
    let identity = authority.issue(&[host], Some(role));
    let dialer = tls_dialer(credentials(&identity, authority));
    let member = cluster.servers[0].node().member().clone();
    let mut client = PeerClient::new(dialer.dial(&member.peer_address).unwrap());
    let hello = client.hello(peer::HelloRequest::default()).await;
    let hello = match hello {
        Ok(hello) => hello.into_inner(),
        Err(status) => return status,
    };
    let envelope = peer::Envelope {
        cluster_id: hello.cluster_id,
        from: 1,
        to: hello.node,
        shard: 0,
        protocol: hello.protocol,
        from_incarnation: hello.incarnation,
        to_incarnation: hello.incarnation,
    };
    // Without a vote in it, a request that passes the door is malformed.
    let request = peer::VoteRequest {
        envelope: Some(envelope),
        ..Default::default()
    };
    client.vote(request).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_speaks_for_the_node_at_its_address_only() {
    let authority = Authority::new("peers");
    let own = authority.issue(&["127.0.0.1"], Some("peer/one"));
    let own = credentials(&own, &authority);
    let dialer = tls_dialer(own.clone());
    let ports = Ports::new(Security::Plaintext, Security::Tls(own));
    let cluster = Cluster::start_with(1, ports, dialer).await;
    let status = ask(&cluster, &authority, "127.0.0.1", "peer/one").await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let status = ask(&cluster, &authority, "127.0.0.2", "peer/two").await;
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert!(status.message().contains("not one of node 1"), "{status}");
    let status = ask(&cluster, &authority, "127.0.0.1", "gateway/one").await;
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert!(
        status.message().contains("has the role gateway"),
        "{status}"
    );
    cluster.stop().await;
}
