//! `native-unary` and `envoy`: decisions one at a time, many at once on one connection.

use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::arguments::{Envoy, Nodes};
use crate::carrier::{Carrier, Flights, drive};
use crate::failure::{Failure, line};
use crate::lane::{Lane, Order};
use crate::leader::{connect, open_epoch};
use crate::tally::Counted;
use crate::timer::Timer;
use crate::wire::{Acquired, Answer, Coded, EncodedCodec, RateLimited, Writer};

const SHOULD_RATE_LIMIT: PathAndQuery =
    PathAndQuery::from_static("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit");
const ACQUIRE: PathAndQuery = PathAndQuery::from_static("/quotum.counter.v1.Counter/Acquire");

/// An open connection.
#[derive(Debug)]
pub(crate) struct Link {
    asking: Asking,
    timer: Timer,
}

/// Who asks, and what is in flight.
#[derive(Debug)]
struct Asking {
    grpc: Grpc<Channel>,
    writer: Writer,
    api: Api,
    flights: Flights<(u64, Counted)>,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
enum Api {
    Native,
    Envoy,
    /// The same, of which the code alone is looked at.
    EnvoyCodes,
}

// === impl Link ===

impl Link {
    /// Opens a connection under an epoch of its own.
    pub(crate) async fn open(nodes: &Nodes, leader: &str, seed: u64) -> Result<Self, Failure> {
        let channel = connect(leader, &nodes.tls).await?;
        let epoch = open_epoch(&channel, leader, nodes.shard).await?;
        Self::new(channel, Writer::new(nodes, epoch, 1, seed), Api::Native)
    }

    /// Opens a connection to a service of Envoy's API.
    pub(crate) async fn open_envoy(
        envoy: &Envoy,
        address: &str,
        seed: u64,
    ) -> Result<Self, Failure> {
        let channel = connect(address, &envoy.nodes.tls).await?;
        let api = match envoy.any_status {
            false => Api::Envoy,
            true => Api::EnvoyCodes,
        };
        Self::new(channel, Writer::of_envoy(envoy.nodes.keys, seed), api)
    }

    fn new(channel: Channel, writer: Writer, api: Api) -> Result<Self, Failure> {
        Ok(Self {
            asking: Asking {
                grpc: Grpc::new(channel),
                writer,
                api,
                flights: Flights::new(),
            },
            timer: Timer::new()?,
        })
    }

    /// Moves the requests of `lane` until it is over and everything is answered.
    pub(crate) async fn drive(&mut self, lane: &mut Lane) -> Result<(), Failure> {
        drive(&mut self.asking, &mut self.timer, lane).await
    }
}

// === impl Asking ===

impl Carrier for Asking {
    fn send(&mut self, order: Order) -> Result<(), Failure> {
        let (grpc, api, ordinal) = (self.grpc.clone(), self.api, order.ordinal);
        let message = match api {
            Api::Native => self.writer.acquire(order),
            Api::Envoy | Api::EnvoyCodes => self.writer.should_rate_limit(),
        };
        self.flights.begin(async move {
            let counted = match api {
                Api::Native => ask::<Acquired>(grpc, message, ACQUIRE).await,
                Api::Envoy => ask::<RateLimited>(grpc, message, SHOULD_RATE_LIMIT).await,
                Api::EnvoyCodes => ask::<Coded>(grpc, message, SHOULD_RATE_LIMIT).await,
            };
            (ordinal, counted)
        });
        Ok(())
    }

    async fn answer(&mut self, _batch: u64) -> Result<(u64, Counted), Failure> {
        Ok(self.flights.next().await)
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
