//! `quotum.counter.v1`: decisions for clients.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use quotum_api::counter as wire;
use quotum_api::counter::counter_server::{Counter, CounterServer};
use quotum_api::counter::decide_response::Result as Answer;
use quotum_api::counter::not_decided::Reason;
use quotum_api::counter::{command, outcome};
use quotum_telemetry::label::Api;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use crate::decide::Decider;
use crate::limits::{MESSAGE_BYTES_MAX, RETRY_INTERVAL, STREAM_MESSAGES_MAX, UNARY_DEADLINE};
use crate::mint::{Mint, Minted, NoId};

/// Serves clients.
#[derive(Clone)]
pub(crate) struct CounterService {
    decider: Decider,
    mints: Arc<Vec<Mint>>,
}

/// One outcome, where it was decided, and where the leader is.
struct Decision {
    outcome: wire::Outcome,
    position: Option<wire::Position>,
    leader: String,
}

// === impl CounterService ===

impl CounterService {
    pub(crate) fn new(decider: Decider) -> CounterServer<Self> {
        let mints = (0..decider.node.shards())
            .map(|_| Mint::default())
            .collect();
        CounterServer::new(Self {
            decider,
            mints: Arc::new(mints),
        })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Decides one command under one id, through leader changes, until the deadline.
    async fn decide_one(
        &self,
        shard: u32,
        (epoch, acked_seq): (u64, u64),
        kind: command::Kind,
    ) -> Result<Decision, Status> {
        let deadline = Instant::now() + UNARY_DEADLINE;
        loop {
            let request = wire::DecideRequest {
                tag: 0,
                shard,
                epoch,
                acked_seq,
                commands: vec![wire::Command {
                    kind: Some(kind.clone()),
                }],
                forwarded: false,
            };
            let deciding = self.decider.decide(request, Api::NativeUnary);
            let response = tokio::time::timeout_at(deadline, deciding).await;
            let response =
                response.map_err(|_| Status::unavailable("no decision within the deadline"))?;
            let refused = match response.result {
                Some(Answer::Decided(decided)) => {
                    let outcome = decided.outcomes.into_iter().next();
                    let outcome =
                        outcome.ok_or_else(|| Status::internal("an outcome is missing"))?;
                    let position = decided.position;
                    return Ok(Decision {
                        outcome,
                        position,
                        leader: response.leader,
                    });
                }
                Some(Answer::NotDecided(refused)) => refused,
                None => return Err(Status::internal("an answer is missing")),
            };
            match Reason::try_from(refused.reason) {
                Ok(Reason::Invalid) => return Err(Status::invalid_argument(refused.message)),
                Ok(Reason::Overloaded) => {
                    return Err(Status::resource_exhausted(refused.message));
                }
                _ if Instant::now() >= deadline => {
                    return Err(Status::unavailable(refused.message));
                }
                _ => tokio::time::sleep(RETRY_INTERVAL).await,
            }
        }
    }

    /// Decides an acquire under an id of this node's own.
    async fn acquire_minted(
        &self,
        shard: u32,
        items: Vec<wire::Item>,
    ) -> Result<(Decision, Minted), Status> {
        let mint = usize::try_from(shard)
            .ok()
            .and_then(|shard| self.mints.get(shard));
        let mint = mint.ok_or_else(|| {
            let last = self.decider.node.shards() - 1;
            Status::invalid_argument(format!("shard: there are shards 0 to {last}"))
        })?;
        let mut expired = 0;
        loop {
            let drawn = match mint.draw() {
                Ok(drawn) => drawn,
                Err(NoId::TooMany) => {
                    return Err(Status::resource_exhausted(
                        "too many decisions are on their way",
                    ));
                }
                Err(NoId::NoEpoch) => {
                    let epoch = self.open_epoch(shard).await?;
                    mint.start(expired, epoch);
                    continue;
                }
            };
            let minted = drawn.minted;
            let kind = command::Kind::Acquire(command::Acquire {
                seq: minted.seq,
                items: items.clone(),
            });
            let id = (minted.epoch, minted.acked_seq);
            let decision = self.decide_one(shard, id, kind).await?;
            drop(drawn);
            // The epoch was idle for too long: this id was never decided under it.
            let is_expired = matches!(decision.outcome.kind, Some(outcome::Kind::Expired(_)));
            if is_expired && expired != minted.epoch {
                expired = minted.epoch;
                let epoch = self.open_epoch(shard).await?;
                mint.start(expired, epoch);
                continue;
            }
            return Ok((decision, minted));
        }
    }

    async fn open_epoch(&self, shard: u32) -> Result<u64, Status> {
        let decision = self
            .decide_one(shard, (0, 0), command::Kind::Open(command::Open {}))
            .await?;
        match decision.outcome.kind {
            Some(outcome::Kind::Opened(opened)) => Ok(opened.epoch),
            _ => Err(Status::resource_exhausted(
                "no more client epochs can be opened",
            )),
        }
    }
}

#[tonic::async_trait]
impl Counter for CounterService {
    type DecideStream = Pin<Box<dyn Stream<Item = Result<wire::DecideResponse, Status>> + Send>>;

    async fn decide(
        &self,
        request: Request<Streaming<wire::DecideRequest>>,
    ) -> Result<Response<Self::DecideStream>, Status> {
        let decider = self.decider.clone();
        let answers = request.into_inner().map(move |message| {
            let decider = decider.clone();
            async move { Ok(decider.decide(message?, Api::NativeStream).await) }
        });
        Ok(Response::new(Box::pin(
            answers.buffer_unordered(STREAM_MESSAGES_MAX),
        )))
    }

    async fn decide_batch(
        &self,
        request: Request<wire::DecideRequest>,
    ) -> Result<Response<wire::DecideResponse>, Status> {
        Ok(Response::new(
            self.decider
                .decide(request.into_inner(), Api::NativeUnary)
                .await,
        ))
    }

    async fn acquire(
        &self,
        request: Request<wire::AcquireRequest>,
    ) -> Result<Response<wire::AcquireResponse>, Status> {
        let wire::AcquireRequest {
            shard,
            epoch,
            seq,
            acked_seq,
            items,
        } = request.into_inner();
        let (decision, epoch, seq) = match epoch {
            0 => {
                let (decision, minted) = self.acquire_minted(shard, items).await?;
                (decision, minted.epoch, minted.seq)
            }
            _ => {
                let kind = command::Kind::Acquire(command::Acquire { seq, items });
                (
                    self.decide_one(shard, (epoch, acked_seq), kind).await?,
                    epoch,
                    seq,
                )
            }
        };
        Ok(Response::new(wire::AcquireResponse {
            outcome: Some(decision.outcome),
            position: decision.position,
            epoch,
            seq,
            leader: decision.leader,
        }))
    }

    async fn refund(
        &self,
        request: Request<wire::RefundRequest>,
    ) -> Result<Response<wire::RefundResponse>, Status> {
        let wire::RefundRequest { shard, epoch, seq } = request.into_inner();
        let kind = command::Kind::Refund(command::Refund { seq });
        let decision = self.decide_one(shard, (epoch, 0), kind).await?;
        Ok(Response::new(wire::RefundResponse {
            outcome: Some(decision.outcome),
            position: decision.position,
            leader: decision.leader,
        }))
    }

    async fn peek(
        &self,
        request: Request<wire::PeekRequest>,
    ) -> Result<Response<wire::PeekResponse>, Status> {
        let wire::PeekRequest { shard, items } = request.into_inner();
        let kind = command::Kind::Peek(command::Peek { items });
        let decision = self.decide_one(shard, (0, 0), kind).await?;
        Ok(Response::new(wire::PeekResponse {
            outcome: Some(decision.outcome),
            position: decision.position,
            leader: decision.leader,
        }))
    }

    async fn open(
        &self,
        request: Request<wire::OpenRequest>,
    ) -> Result<Response<wire::OpenResponse>, Status> {
        let shard = request.into_inner().shard;
        let kind = command::Kind::Open(command::Open {});
        let decision = self.decide_one(shard, (0, 0), kind).await?;
        match decision.outcome.kind {
            Some(outcome::Kind::Opened(opened)) => Ok(Response::new(wire::OpenResponse {
                epoch: opened.epoch,
                position: decision.position,
                leader: decision.leader,
            })),
            _ => Err(Status::resource_exhausted(
                "no more client epochs can be opened",
            )),
        }
    }

    async fn shards(
        &self,
        _request: Request<wire::ShardsRequest>,
    ) -> Result<Response<wire::ShardsResponse>, Status> {
        let shards = 0..self.decider.node.shards();
        let leaders = shards
            .map(|shard| self.decider.leader_address(shard))
            .collect();
        Ok(Response::new(wire::ShardsResponse { leaders }))
    }
}
