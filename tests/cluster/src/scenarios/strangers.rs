//! Messages of nodes that do not belong: they are refused before anything reads them.

use std::net::SocketAddr;

use quotum_api::peer::peer_client::PeerClient;
use quotum_api::peer::{
    AppendRequest, Entry, Envelope, HelloRequest, HelloResponse, LogId, Vote, VoteRequest, entry,
};
use quotum_client::dialer::endpoint;
use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use tonic::Code;
use tonic::transport::Channel;

use crate::course::Course;
use crate::limits::ASK_MAX;
use crate::status::{GROUP, group};

/// A term that would unseat every leader.
const TERM: u64 = 1_000_000;

/// What is wrong with a message.
type Spoil = fn(&mut Envelope);

/// As after an upgrade that changed the protocol, a restore of other data, a mix-up of addresses.
const SPOILED: [(&str, Spoil); 3] = [
    ("another protocol", |envelope| envelope.protocol += 1),
    ("another cluster", |envelope| {
        envelope.cluster_id = vec![7; 16].into();
    }),
    ("another receiver", |envelope| envelope.to += 1),
];

pub(super) async fn strangers_are_refused_and_change_nothing(bench: &Bench) -> Result {
    let mut course = Course::start(bench, "strangers", 3).await?;
    let leader = course.cluster.leader().await?;
    let all = course.cluster.numbers();
    let fault = course.begin("messages of strangers", &all);
    for number in all {
        let address = course.cluster.node(number).peer_address();
        let from = course.cluster.others(number)[0];
        for (what, spoil) in SPOILED {
            refused(address, from, spoil)
                .await
                .map_err(|failure| failure.during(format!("{what} at node {number}")))?;
        }
    }
    course.end(&fault);
    let unknown = course.recorder.unknown_since(fault.since_us);
    ensure!(unknown == 0, "{unknown} requests were not decided");
    let now = course.cluster.leader().await?;
    ensure!(now == leader, "node {now} leads instead of {leader}");
    for status in course.cluster.statuses().await {
        let term = group(&status, GROUP).map_or(0, |group| group.term);
        ensure!(term < TERM, "node {} took a stranger's term", status.node);
    }
    course.finish().await
}

/// Asks for a vote and sends an entry, both of a far later term, in a spoiled envelope.
async fn refused(address: SocketAddr, from: u8, spoil: Spoil) -> Result {
    let channel = endpoint("http", &address.to_string(), ASK_MAX)?.connect_lazy();
    let mut client = PeerClient::new(channel);
    let hello = client.hello(HelloRequest::default()).await?.into_inner();
    let mut envelope = envelope(&hello, from);
    spoil(&mut envelope);
    let vote = |committed| Vote {
        term: TERM,
        node: u64::from(from),
        committed,
    };
    let ask = VoteRequest {
        envelope: Some(envelope.clone()),
        vote: Some(vote(false)),
        last_log_id: Some(last(from)),
        pre_vote: false,
        leadership_transfer: true,
    };
    is_refusal(client.vote(ask).await)?;
    append(client, envelope, vote(true), from).await
}

async fn append(
    mut client: PeerClient<Channel>,
    envelope: Envelope,
    vote: Vote,
    from: u8,
) -> Result {
    let entry = Entry {
        log_id: Some(last(from)),
        payload: Some(entry::Payload::Blank(true)),
    };
    let append = AppendRequest {
        envelope: Some(envelope),
        vote: Some(vote),
        entries: vec![entry],
        ..AppendRequest::default()
    };
    is_refusal(client.append(append).await)
}

fn envelope(hello: &HelloResponse, from: u8) -> Envelope {
    Envelope {
        cluster_id: hello.cluster_id.clone(),
        from: u64::from(from),
        to: hello.node,
        shard: 0,
        protocol: hello.protocol,
        to_incarnation: hello.incarnation,
        ..Envelope::default()
    }
}

fn last(node: u8) -> LogId {
    LogId {
        term: TERM,
        node: u64::from(node),
        index: TERM,
    }
}

fn is_refusal<T: std::fmt::Debug>(answer: std::result::Result<T, tonic::Status>) -> Result {
    match answer {
        Err(status) if status.code() == Code::FailedPrecondition => Ok(()),
        other => Err(Failure::new(format!("it was not refused: {other:?}"))),
    }
}
