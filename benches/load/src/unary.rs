//! `native-unary` and `envoy`: decisions one at a time, many at once on one connection.

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
use crate::lane::{Lane, Next, Order};
use crate::leader::{connect, open_epoch};
use crate::tally::Counted;
use crate::timer::Timer;
use crate::wire::{Acquired, Answer, EncodedCodec, RateLimited, Writer};

const SHOULD_RATE_LIMIT: PathAndQuery =
    PathAndQuery::from_static("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit");
const ACQUIRE: PathAndQuery = PathAndQuery::from_static("/quotum.counter.v1.Counter/Acquire");

/// An open connection.
#[derive(Debug)]
pub(crate) struct Link {
    grpc: Grpc<Channel>,
    writer: Writer,
    timer: Timer,
    api: Api,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
enum Api {
    Native,
    Envoy,
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
            api: Api::Native,
        })
    }

    /// Opens a connection to a service of Envoy's API.
    pub(crate) async fn open_envoy(
        nodes: &Nodes,
        address: &str,
        seed: u64,
    ) -> Result<Self, Failure> {
        Ok(Self {
            grpc: Grpc::new(connect(address, &nodes.tls).await?),
            writer: Writer::of_envoy(nodes.keys, seed),
            timer: Timer::new()?,
            api: Api::Envoy,
        })
    }

    fn ask(&mut self, order: Order) -> impl Future<Output = (u64, Counted)> + use<> {
        let (grpc, api, ordinal) = (self.grpc.clone(), self.api, order.ordinal);
        let message = match api {
            Api::Native => self.writer.acquire(order),
            Api::Envoy => self.writer.should_rate_limit(),
        };
        async move {
            let counted = match api {
                Api::Native => ask::<Acquired>(grpc, message, ACQUIRE).await,
                Api::Envoy => ask::<RateLimited>(grpc, message, SHOULD_RATE_LIMIT).await,
            };
            (ordinal, counted)
        }
    }

    /// Moves the requests of `lane` until it is over and everything is answered.
    pub(crate) async fn drive(&mut self, lane: &mut Lane) -> Result<(), Failure> {
        let mut flights = FuturesUnordered::new();
        loop {
            let next = loop {
                match lane.next(Instant::now()) {
                    Next::Send(order) => {
                        flights.push(self.ask(order));
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

async fn ask<M: Answer>(mut grpc: Grpc<Channel>, message: Bytes, path: PathAndQuery) -> Counted {
    let answered = async {
        let ready = grpc.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))?;
        grpc.unary(Request::new(message), path, EncodedCodec::<M>::NEW)
            .await
    };
    match answered.await {
        Ok(answer) => answer.into_inner().count(),
        Err(status) => Counted::error(1, line(&status)),
    }
}
