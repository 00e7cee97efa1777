//! `native-stream`: one stream of decisions, on a connection of its own.

use std::time::Instant;

use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};

use crate::arguments::Nodes;
use crate::failure::Failure;
use crate::lane::{Lane, Next, Order};
use crate::leader::{answer, connect, open_epoch};
use crate::limits::{ASK_TIMEOUT, BODY_BYTES_MAX};
use crate::timer::Timer;
use crate::wire::{DecideCodec, Decision, Writer};

const DECIDE: PathAndQuery = PathAndQuery::from_static("/quotum.counter.v1.Counter/Decide");

/// An open stream.
#[derive(Debug)]
pub(crate) struct Link {
    orders: mpsc::Sender<Order>,
    answers: Streaming<Decision>,
    timer: Timer,
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
        Ok(Self {
            orders,
            answers: answer(leader, opened.await)?,
            timer: Timer::new()?,
        })
    }

    /// Moves the messages of `lane` until it is over and everything is answered.
    pub(crate) async fn drive(&mut self, lane: &mut Lane) -> Result<(), Failure> {
        loop {
            let next = loop {
                match lane.next(Instant::now()) {
                    Next::Send(order) => self.send(order)?,
                    other => break other,
                }
            };
            if next == Next::Over && lane.is_idle() {
                return Ok(());
            }
            let due = match next {
                Next::Wait(due) => Some(due),
                _ => None,
            };
            tokio::select! {
                biased;
                answer = self.answers.message() => {
                    let answer = answer.map_err(|status| Failure::StreamEnded(status.to_string()))?;
                    let ended = || Failure::StreamEnded("the node closed it".to_owned());
                    let answer = answer.ok_or_else(ended)?;
                    lane.answer(answer.tag, Instant::now(), answer.count(lane.batch()));
                }
                waited = self.timer.until(due.unwrap_or_else(Instant::now)), if due.is_some() => waited?,
            }
        }
    }

    fn send(&self, order: Order) -> Result<(), Failure> {
        let sent = self.orders.try_send(order);
        sent.map_err(|_| Failure::StreamEnded("the connection is lost".to_owned()))
    }
}
