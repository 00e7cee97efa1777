//! `quotum.counter.v1`: decisions for clients.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use quotum_api::counter as wire;
use quotum_api::counter::counter_server::{Counter, CounterServer};
use quotum_api::counter::decide_response::Result as Answer;
use quotum_api::counter::{command, outcome};
use quotum_limit::{Caller, Command, Epoch, Items, Outcome, RequestId};
use quotum_telemetry::label::Api;
use quotum_transport::Calls;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use crate::caller::{self, Port};
use crate::decide::{Decider, Decision};
use crate::limits::{
    MESSAGE_BYTES_MAX, REFUNDS_PER_MESSAGE, RETRY_INTERVAL, STREAM_MESSAGES_MAX, UNARY_DEADLINE,
};
use crate::mint::{Abandoned, Drawn, Mint, Minted, NoId};

/// Serves clients.
#[derive(Clone)]
pub(crate) struct CounterService {
    /// Where it is served.
    port: Port,
    pub(crate) decider: Decider,
    pub(crate) mints: Arc<Vec<Mint>>,
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

    /// The calls that are made for every decision.
    pub(crate) fn calls(self, calls: Calls) -> Calls {
        calls.with(
            "/quotum.counter.v1.Counter/Acquire",
            MESSAGE_BYTES_MAX,
            move |request| {
                let service = self.clone();
                async move { service.decide_acquire(request).await }
            },
        )
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

    /// Decides one command of a caller of its own ids.
    async fn decide_one(&self, shard: u32, command: Command) -> Result<Decision, Status> {
        let deadline = Instant::now() + UNARY_DEADLINE;
        let api = Api::NativeUnary;
        self.decider
            .ask(shard, &command, deadline, api, &mut false)
            .await
    }

    /// Decides an acquire under an id of this node's own, until a deadline. The id is settled by who
    /// gets it; where nobody does, because the caller goes before, it is refunded.
    pub(crate) async fn acquire_drawn(
        &self,
        shard: u32,
        items: &Items,
        api: Api,
    ) -> Result<(Decision, Drawn<'_>), Status> {
        let deadline = Instant::now() + UNARY_DEADLINE;
        let mint = usize::try_from(shard)
            .ok()
            .and_then(|shard| self.mints.get(shard));
        let mint = mint.ok_or_else(|| Status::invalid_argument(self.decider.no_such_shard()))?;
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
                    // Boxed: this is seldom, and large beside what each decision needs.
                    let epoch = Box::pin(self.open_own_epoch(shard, deadline, api)).await?;
                    mint.start(expired, epoch);
                    continue;
                }
            };
            let minted = drawn.minted;
            let command = Command::Acquire {
                id: minted.id(),
                acked_seq: minted.acked_seq,
                items: items.clone(),
            };
            let mut may_count = false;
            let asking = self
                .decider
                .ask(shard, &command, deadline, api, &mut may_count);
            let decision = match asking.await {
                Ok(decision) => decision,
                Err(status) => {
                    if !may_count {
                        drawn.settle();
                    }
                    return Err(status);
                }
            };
            // The epoch was idle for too long: this id was never decided under it.
            if decision.outcome == Outcome::Expired && expired != minted.epoch {
                drawn.settle();
                expired = minted.epoch;
                let epoch = Box::pin(self.open_own_epoch(shard, deadline, api)).await?;
                mint.start(expired, epoch);
                continue;
            }
            return Ok((decision, drawn));
        }
    }

    /// The same for a caller that is answered at once.
    pub(crate) async fn acquire_minted(
        &self,
        shard: u32,
        items: &Items,
    ) -> Result<(Decision, Minted), Status> {
        let (decision, drawn) = self.acquire_drawn(shard, items, Api::NativeUnary).await?;
        let minted = drawn.minted;
        drawn.settle();
        Ok((decision, minted))
    }

    /// Opens an epoch for this node's own ids.
    async fn open_own_epoch(&self, shard: u32, deadline: Instant, api: Api) -> Result<u64, Status> {
        let caller = caller::node(self.decider.node.id());
        Ok(self.open_epoch(shard, caller, deadline, api).await?.0)
    }

    async fn open_epoch(
        &self,
        shard: u32,
        caller: Caller,
        deadline: Instant,
        api: Api,
    ) -> Result<(u64, Decision), Status> {
        let command = Command::Open { caller };
        let decision = self
            .decider
            .ask(shard, &command, deadline, api, &mut false)
            .await?;
        match decision.outcome {
            Outcome::Opened { epoch } => Ok((epoch.0, decision)),
            _ => Err(Status::resource_exhausted(
                "no more client epochs can be opened",
            )),
        }
    }

    /// Decides an acquire under the caller's id, or under one of this node's own.
    pub(crate) async fn decide_acquire(
        &self,
        request: wire::AcquireRequest,
    ) -> Result<wire::AcquireResponse, Status> {
        let wire::AcquireRequest {
            shard,
            epoch,
            seq,
            acked_seq,
            items,
        } = request;
        let items = items_of(items)?;
        let (decision, epoch, seq) = match epoch {
            0 => {
                let (decision, minted) = self.acquire_minted(shard, &items).await?;
                (decision, minted.epoch, minted.seq)
            }
            _ => {
                let command = Command::Acquire {
                    id: id(epoch, seq),
                    acked_seq,
                    items,
                };
                (self.decide_one(shard, command).await?, epoch, seq)
            }
        };
        Ok(wire::AcquireResponse {
            outcome: Some(decision.outcome.into()),
            position: decision.position,
            epoch,
            seq,
            leader: decision.leader,
        })
    }
}

fn id(epoch: u64, seq: u64) -> RequestId {
    RequestId {
        epoch: Epoch(epoch),
        seq,
    }
}

fn items_of(items: Vec<wire::Item>) -> Result<Items, Status> {
    let items = quotum_api::items_from_wire(items);
    items.map_err(|error| Status::invalid_argument(error.to_string()))
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
        let answer = self.decide_acquire(request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn refund(
        &self,
        request: Request<wire::RefundRequest>,
    ) -> Result<Response<wire::RefundResponse>, Status> {
        let wire::RefundRequest { shard, epoch, seq } = request.into_inner();
        let id = id(epoch, seq);
        let decision = self.decide_one(shard, Command::Refund { id }).await?;
        Ok(Response::new(wire::RefundResponse {
            outcome: Some(decision.outcome.into()),
            position: decision.position,
            leader: decision.leader,
        }))
    }

    async fn peek(
        &self,
        request: Request<wire::PeekRequest>,
    ) -> Result<Response<wire::PeekResponse>, Status> {
        let wire::PeekRequest { shard, items } = request.into_inner();
        let items = items_of(items)?;
        let decision = self.decide_one(shard, Command::Peek { items }).await?;
        Ok(Response::new(wire::PeekResponse {
            outcome: Some(decision.outcome.into()),
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
        let deadline = Instant::now() + UNARY_DEADLINE;
        let opening = self.open_epoch(shard, caller, deadline, Api::NativeUnary);
        let (epoch, decision) = opening.await?;
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
