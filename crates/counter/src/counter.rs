//! `quotum.counter.v1`: decisions for clients.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use quotum_api::counter as wire;
use quotum_api::counter::counter_server::{Counter, CounterServer};
use quotum_api::counter::decide_response::Result as Answer;
use quotum_api::counter::not_decided::Reason;
use quotum_api::counter::{command, outcome};
use quotum_limit::Caller;
use quotum_telemetry::label::Api;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use crate::caller::{self, Port};
use crate::decide::Decider;
use crate::limits::{
    MESSAGE_BYTES_MAX, REFUNDS_PER_MESSAGE, RETRY_INTERVAL, STREAM_MESSAGES_MAX, UNARY_DEADLINE,
};
use crate::mint::{Abandoned, Mint, Minted, NoId};

/// Serves clients.
#[derive(Clone)]
pub(crate) struct CounterService {
    /// Where it is served.
    port: Port,
    pub(crate) decider: Decider,
    pub(crate) mints: Arc<Vec<Mint>>,
}

/// One outcome, where it was decided, and where the leader is.
pub(crate) struct Decision {
    pub(crate) outcome: wire::Outcome,
    position: Option<wire::Position>,
    leader: String,
}

/// Why there is no decision.
struct Undecided {
    status: Status,
    /// One of the tries may have been decided, or may be yet.
    is_uncertain: bool,
}

// === impl Undecided ===

impl From<Undecided> for Status {
    fn from(undecided: Undecided) -> Self {
        undecided.status
    }
}

// === impl CounterService ===

impl CounterService {
    pub(crate) fn new(decider: Decider) -> Self {
        let mints = (0..decider.node.shards())
            .map(|_| Mint::default())
            .collect();
        Self {
            port: Port::Clients,
            decider,
            mints: Arc::new(mints),
        }
    }

    /// The same for other nodes, which pass on what their clients ask.
    pub(crate) fn of_peers(self) -> Self {
        Self {
            port: Port::Peers,
            ..self
        }
    }

    pub(crate) fn server(self) -> CounterServer<Self> {
        CounterServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Refunds the ids of this node that may have taken units which nobody uses, for as long as
    /// the node serves.
    pub(crate) async fn refund_abandoned(self) {
        let service = &self;
        let shards = (0..self.decider.node.shards()).zip(self.mints.iter());
        futures_util::future::join_all(shards.map(|(shard, mint)| async move {
            loop {
                let abandoned = mint.take_abandoned(REFUNDS_PER_MESSAGE).await;
                if !service.refund_minted(shard, mint, abandoned).await {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }))
        .await;
    }

    /// Refunds ids of one epoch; `false`: not all of them.
    async fn refund_minted(&self, shard: u32, mint: &Mint, abandoned: Abandoned) -> bool {
        let Abandoned { epoch, seqs } = abandoned;
        let refund = |seq: &u64| wire::Command {
            kind: Some(command::Kind::Refund(command::Refund { seq: *seq })),
        };
        let request = wire::DecideRequest {
            shard,
            epoch,
            commands: seqs.iter().map(refund).collect(),
            ..wire::DecideRequest::default()
        };
        let response = self.decider.decide(request, Api::NativeUnary).await;
        let outcomes = match response.result {
            Some(Answer::Decided(decided)) if decided.len() == seqs.len() => {
                decided.into_outcomes()
            }
            _ => Vec::new(),
        };
        let mut kinds = outcomes.into_iter().map(|outcome| outcome.kind);
        let mut is_done = true;
        for seq in seqs {
            match kinds.next().flatten() {
                // `Exhausted`: no room to remember that its request must not be decided any more.
                None | Some(outcome::Kind::Exhausted(_)) => {
                    is_done = false;
                    mint.not_refunded(epoch, seq);
                }
                Some(_) => {
                    mint.refunded(epoch, seq);
                    self.decider.abandoned(shard);
                }
            }
        }
        is_done
    }

    /// Decides one command under one id, through leader changes, until the deadline.
    async fn decide_one(
        &self,
        shard: u32,
        (epoch, acked_seq): (u64, u64),
        kind: command::Kind,
    ) -> Result<Decision, Undecided> {
        let deadline = Instant::now() + UNARY_DEADLINE;
        let mut is_uncertain = false;
        loop {
            let request = wire::DecideRequest {
                tag: 0,
                shard,
                epoch,
                acked_seq,
                commands: vec![wire::Command {
                    kind: Some(kind.clone()),
                }],
                ..Default::default()
            };
            let deciding = self.decider.decide(request, Api::NativeUnary);
            let response = tokio::time::timeout_at(deadline, deciding).await;
            let fail = |status, is_uncertain| {
                Err(Undecided {
                    status,
                    is_uncertain,
                })
            };
            let Ok(response) = response else {
                return fail(Status::unavailable("no decision within the deadline"), true);
            };
            let refused = match response.result {
                Some(Answer::Decided(decided)) => {
                    let position = decided.position;
                    let Some(outcome) = decided.into_outcomes().into_iter().next() else {
                        return fail(Status::internal("an outcome is missing"), true);
                    };
                    return Ok(Decision {
                        outcome,
                        position,
                        leader: response.leader,
                    });
                }
                Some(Answer::NotDecided(refused)) => refused,
                None => return fail(Status::internal("an answer is missing"), true),
            };
            let reason = Reason::try_from(refused.reason);
            is_uncertain |= matches!(reason, Ok(Reason::Unknown) | Err(_));
            let message = refused.message;
            match reason {
                Ok(Reason::Invalid) => {
                    return fail(Status::invalid_argument(message), is_uncertain);
                }
                Ok(Reason::Overloaded) => {
                    return fail(Status::resource_exhausted(message), is_uncertain);
                }
                _ if Instant::now() >= deadline => {
                    return fail(Status::unavailable(message), is_uncertain);
                }
                _ => tokio::time::sleep(RETRY_INTERVAL).await,
            }
        }
    }

    /// Decides an acquire under an id of this node's own.
    pub(crate) async fn acquire_minted(
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
                    let caller = caller::node(self.decider.node.id());
                    let epoch = self.open_epoch(shard, caller).await?.0;
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
            let decision = match self.decide_one(shard, id, kind).await {
                Ok(decision) => decision,
                Err(undecided) => {
                    if !undecided.is_uncertain {
                        drawn.settle();
                    }
                    return Err(undecided.into());
                }
            };
            drawn.settle();
            // The epoch was idle for too long: this id was never decided under it.
            let is_expired = matches!(decision.outcome.kind, Some(outcome::Kind::Expired(_)));
            if is_expired && expired != minted.epoch {
                expired = minted.epoch;
                let caller = caller::node(self.decider.node.id());
                let epoch = self.open_epoch(shard, caller).await?.0;
                mint.start(expired, epoch);
                continue;
            }
            return Ok((decision, minted));
        }
    }

    async fn open_epoch(&self, shard: u32, caller: Caller) -> Result<(u64, Decision), Status> {
        let kind = command::Kind::Open(command::Open { caller: caller.0 });
        let decision = self.decide_one(shard, (0, 0), kind).await?;
        match decision.outcome.kind {
            Some(outcome::Kind::Opened(opened)) => Ok((opened.epoch, decision)),
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
        let (caller, port) = (caller::at(request.remote_addr()), self.port);
        // When this node leaves, what it has taken is answered and the rest is for another one.
        let messages = request.into_inner().take_until(self.decider.node.left());
        let answers = messages.map(move |message| {
            let decider = decider.clone();
            async move {
                let mut message = message?;
                caller::name(&mut message, caller, port);
                Ok(decider.decide(message, Api::NativeStream).await)
            }
        });
        Ok(Response::new(Box::pin(
            answers.buffer_unordered(STREAM_MESSAGES_MAX),
        )))
    }

    async fn decide_batch(
        &self,
        request: Request<wire::DecideRequest>,
    ) -> Result<Response<wire::DecideResponse>, Status> {
        let caller = caller::at(request.remote_addr());
        let mut request = request.into_inner();
        caller::name(&mut request, caller, self.port);
        Ok(Response::new(
            self.decider.decide(request, Api::NativeUnary).await,
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
        let caller = caller::at(request.remote_addr());
        let shard = request.into_inner().shard;
        let (epoch, decision) = self.open_epoch(shard, caller).await?;
        Ok(Response::new(wire::OpenResponse {
            epoch,
            position: decision.position,
            leader: decision.leader,
        }))
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
