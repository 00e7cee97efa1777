//! Connections to counter nodes, and which of them leads.

use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use quotum_api::counter::counter_client::CounterClient;
use quotum_api::counter::{OpenRequest, ShardsRequest};
use quotum_limit::Route;
use quotum_transport::{Connector, Credentials, Ends, Material};

use crate::arguments::{Nodes, Tls};
use crate::failure::Failure;
use crate::limits::{
    ASK_TIMEOUT, CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, ELECTION_INTERVAL, ELECTION_MAX,
    STREAM_WINDOW_BYTES,
};
use crate::tls::read;

/// Where clients reach the leader of `shard`. Waits for an election, but not for a node.
pub(crate) async fn find(nodes: &Nodes) -> Result<String, Failure> {
    let Nodes {
        addresses,
        shard,
        tls,
        ..
    } = nodes;
    let shard = *shard;
    let deadline = Instant::now() + ELECTION_MAX;
    loop {
        let mut failure = None;
        let mut answered = false;
        for address in addresses {
            match leaders(address, tls).await {
                Ok(leaders) => {
                    answered = true;
                    let leader = usize::try_from(shard).ok().and_then(|at| leaders.get(at));
                    match leader {
                        None => {
                            let shards = leaders.len();
                            return Err(Failure::NoShard { shard, shards });
                        }
                        Some(leader) if !leader.is_empty() => return Ok(leader.clone()),
                        Some(_) => {}
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        if !answered && let Some(failure) = failure {
            return Err(failure);
        }
        if Instant::now() >= deadline {
            return Err(Failure::NoLeader { shard });
        }
        sleep(ELECTION_INTERVAL).await;
    }
}

/// Where the leader of a domain's shard is. A service that knows no leaders is one itself.
pub(crate) async fn of_domain(nodes: &Nodes, domain: &str) -> Result<String, Failure> {
    let mut failure = None;
    for address in &nodes.addresses {
        match leaders(address, &nodes.tls).await {
            Ok(leaders) => {
                let shards = u32::try_from(leaders.len()).unwrap_or(1).max(1);
                let shard = Route::of(domain.as_bytes()).shard(shards);
                let nodes = nodes.clone();
                return find(&Nodes { shard, ..nodes }).await;
            }
            Err(Failure::Ask { source, .. }) if source.code() == Code::Unimplemented => {
                return Ok(address.clone());
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.expect("the arguments name an address"))
}

/// A connection of its own.
pub(crate) async fn connect(address: &str, tls: &Tls) -> Result<Channel, Failure> {
    let failure = |source: tonic::transport::Error| Failure::Connect {
        address: address.to_owned(),
        source: source.into(),
    };
    let credentials = credentials(tls)?;
    let scheme = if credentials.is_some() {
        "https"
    } else {
        "http"
    };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(failure)?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    match credentials {
        None => endpoint.connect().await.map_err(failure),
        Some(credentials) => {
            let connector = Connector::new(credentials, CONNECT_TIMEOUT);
            let connected = endpoint.connect_with_connector(connector).await;
            connected.map_err(failure)
        }
    }
}

/// What is shown and believed; none: plaintext.
fn credentials(tls: &Tls) -> Result<Option<Credentials>, Failure> {
    let Some(ca) = &tls.ca else {
        return Ok(None);
    };
    let identity = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Some((read(cert)?, read(key)?.into())),
        _ => None,
    };
    let material = Material {
        identity,
        authorities: Some(read(ca)?),
    };
    Ok(Some(Credentials::new(Ends::Client, &material)?))
}

/// A new client epoch of `shard`.
pub(crate) async fn open_epoch(
    channel: &Channel,
    address: &str,
    shard: u32,
) -> Result<u64, Failure> {
    let mut client = CounterClient::new(channel.clone());
    let opened = timeout(ASK_TIMEOUT, client.open(OpenRequest { shard })).await;
    Ok(answer(address, opened)?.epoch)
}

async fn leaders(address: &str, tls: &Tls) -> Result<Vec<String>, Failure> {
    let mut client = CounterClient::new(connect(address, tls).await?);
    let shards = timeout(ASK_TIMEOUT, client.shards(ShardsRequest {})).await;
    Ok(answer(address, shards)?.leaders)
}

/// What a node answered, if it did.
pub(crate) fn answer<T>(
    address: &str,
    answer: Result<Result<tonic::Response<T>, Status>, tokio::time::error::Elapsed>,
) -> Result<T, Failure> {
    let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("it took too long")));
    let answer = answer.map_err(|source| Failure::Ask {
        address: address.to_owned(),
        source: Box::new(source),
    })?;
    Ok(answer.into_inner())
}
