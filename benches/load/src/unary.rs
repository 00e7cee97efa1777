//! `native-unary`: decisions one at a time, many at once on one connection.

use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::arguments::Nodes;
use crate::failure::{Failure, line};
use crate::lane::{Lane, Next};
use crate::leader::{connect, open_epoch};
use crate::tally::Counted;
use crate::timer::Timer;
use crate::wire::{AcquireCodec, Writer};

const ACQUIRE: PathAndQuery = PathAndQuery::from_static("/quotum.counter.v1.Counter/Acquire");

/// An open connection.
#[derive(Debug)]
pub(crate) struct Link {
    grpc: Grpc<Channel>,
    writer: Writer,
    timer: Timer,
}

// === impl Link ===

impl Link {
    /// Opens a connection under an epoch of its own.
    pub(crate) async fn open(nodes: &Nodes, leader: &str, seed: u64) -> Result<Self, Failure> {
        let channel = connect(leader, &nodes.tls).await?;
        let epoch = open_epoch(&channel, leader, nodes.shard).await?;
        Ok(Self {
            grpc: Grpc::new(channel),
            writer: Writer::new(nodes, epoch, 1, seed),
            timer: Timer::new()?,
        })
    }

    /// Moves the requests of `lane` until it is over and everything is answered.
    pub(crate) async fn drive(&mut self, lane: &mut Lane) -> Result<(), Failure> {
        let mut flights = FuturesUnordered::new();
        loop {
            let next = loop {
                match lane.next(Instant::now()) {
                    Next::Send(order) => {
                        let message = self.writer.acquire(order);
                        flights.push(ask(self.grpc.clone(), order.ordinal, message));
                    }
                    other => break other,
                }
            };
            if next == Next::Over && flights.is_empty() {
                return Ok(());
            }
            let due = match next {
                Next::Wait(due) => Some(due),
                _ => None,
            };
            tokio::select! {
                biased;
                Some((ordinal, counted)) = flights.next(), if !flights.is_empty() => {
                    lane.answer(ordinal, Instant::now(), counted);
                }
                waited = self.timer.until(due.unwrap_or_else(Instant::now)), if due.is_some() => waited?,
            }
        }
    }
}

async fn ask(mut grpc: Grpc<Channel>, ordinal: u64, message: Bytes) -> (u64, Counted) {
    let answered = async {
        let ready = grpc.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))?;
        grpc.unary(Request::new(message), ACQUIRE, AcquireCodec)
            .await
    };
    let counted = match answered.await {
        Ok(answer) => answer.into_inner().count(),
        Err(status) => Counted::error(1, line(&status)),
    };
    (ordinal, counted)
}
