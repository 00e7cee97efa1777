//! Asking nodes what they know of themselves.

use std::net::SocketAddr;
use std::time::Duration;

use quotum_api::cluster::cluster_client::ClusterClient;
use quotum_api::cluster::{Shard, StatusRequest, StatusResponse};
use quotum_api::peer::peer_client::PeerClient;
use quotum_api::peer::{HelloRequest, HelloResponse};
use quotum_client::dialer::endpoint;
use quotum_e2e::failure::{Failure, Result};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::limits::ASK_MAX;
use crate::secrets::Secrets;
use crate::tls::Reach;

/// The group whose leader the scenarios break.
pub const GROUP: &str = "0";

/// One node that can be asked; the connection is made at the first question, and anew when it
/// broke.
#[derive(Debug, Clone)]
pub struct Asked {
    pub node: u8,
    client: ClusterClient<Channel>,
    authorization: MetadataValue<Ascii>,
}

// === impl Asked ===

impl Asked {
    pub fn new(node: u8, address: SocketAddr, reach: &Reach, secrets: &Secrets) -> Result<Self> {
        let channel = reach.channel(&address.to_string(), ASK_MAX)?;
        Ok(Self {
            node,
            client: ClusterClient::new(channel),
            authorization: format!("Bearer {}", secrets.token).parse()?,
        })
    }

    pub async fn status(&self) -> Result<StatusResponse> {
        let mut request = Request::new(StatusRequest { digests: true });
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.authorization.clone());
        let mut client = self.client.clone();
        match tokio::time::timeout(ASK_MAX, client.status(request)).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(silent(self.node, ASK_MAX)),
        }
    }
}

/// What the wall clock of the node that serves peers at this address shows, in milliseconds since
/// the epoch.
pub async fn wall_ms(peer_address: SocketAddr) -> Result<u64> {
    Ok(hello(peer_address).await?.wall_ms)
}

/// What the node that serves peers at this address says of itself.
pub async fn hello(peer_address: SocketAddr) -> Result<HelloResponse> {
    let channel = endpoint("http", &peer_address.to_string(), ASK_MAX)?.connect_lazy();
    let mut client = PeerClient::new(channel);
    let hello = tokio::time::timeout(ASK_MAX, client.hello(HelloRequest::default())).await;
    let hello = hello.map_err(|_| Failure::new(format!("{peer_address} said nothing")))?;
    Ok(hello?.into_inner())
}

fn silent(node: u8, time_max: Duration) -> Failure {
    Failure::new(format!("node {node} said nothing in {time_max:?}"))
}

/// What a node says of one group.
pub fn group<'a>(status: &'a StatusResponse, name: &str) -> Option<&'a Shard> {
    status.shards.iter().find(|shard| shard.name == name)
}

/// Whether the node itself leads the group.
pub fn leads(status: &StatusResponse, name: &str) -> bool {
    group(status, name).is_some_and(|shard| shard.leader == status.node)
}
