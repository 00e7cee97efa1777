//! `native-stream`: one stream of decisions, on a connection of its own.

use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};

use crate::arguments::Nodes;
use crate::carrier::{Carrier, drive};
use crate::failure::Failure;
use crate::lane::{Lane, Order};
use crate::leader::{answer, connect, open_epoch};
use crate::limits::{ASK_TIMEOUT, BODY_BYTES_MAX};
use crate::tally::Counted;
use crate::timer::Timer;
use crate::wire::{DecideCodec, Decision, Writer};

const DECIDE: PathAndQuery = PathAndQuery::from_static("/quotum.counter.v1.Counter/Decide");

/// An open stream.
#[derive(Debug)]
pub(crate) struct Link {
    flow: Flow,
    timer: Timer,
}

/// Its two directions.
#[derive(Debug)]
struct Flow {
    orders: mpsc::Sender<Order>,
    answers: Streaming<Decision>,
}

// === impl Link ===

impl Link {
    /// Opens a stream under an epoch of its own. `in_flight` messages fit on it.
    pub(crate) async fn open(
        nodes: &Nodes,
        leader: &str,
        (batch, in_flight): (u32, usize),
        seed: u64,
    ) -> Result<Self, Failure> {
        let channel = connect(leader, &nodes.tls).await?;
        let epoch = open_epoch(&channel, leader, nodes.shard).await?;
        let codec = DecideCodec(Writer::new(nodes, epoch, batch, seed));
        let (orders, requests) = mpsc::channel(in_flight);
        let request = Request::new(ReceiverStream::new(requests));
        let mut grpc = Grpc::new(channel).max_decoding_message_size(BODY_BYTES_MAX);
        let opened = timeout(ASK_TIMEOUT, async {
            let ready = grpc.ready().await;
            ready.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.streaming(request, DECIDE, codec).await
        });
        let answers = answer(leader, opened.await)?;
        Ok(Self {
            flow: Flow { orders, answers },
            timer: Timer::new()?,
        })
    }

    /// Moves the messages of `lane` until it is over and everything is answered.
    pub(crate) async fn drive(&mut self, lane: &mut Lane) -> Result<(), Failure> {
        drive(&mut self.flow, &mut self.timer, lane).await
    }
}

// === impl Flow ===

impl Carrier for Flow {
    fn send(&mut self, order: Order) -> Result<(), Failure> {
        let sent = self.orders.try_send(order);
        sent.map_err(|_| Failure::StreamEnded("the connection is lost".to_owned()))
    }

    async fn answer(&mut self, batch: u64) -> Result<(u64, Counted), Failure> {
        let answer = self.answers.message().await;
        let answer = answer.map_err(|status| Failure::StreamEnded(status.to_string()))?;
        let ended = || Failure::StreamEnded("the node closed it".to_owned());
        let answer = answer.ok_or_else(ended)?;
        Ok((answer.tag, answer.count(batch)))
    }
}
