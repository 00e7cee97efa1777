//! One counter node: a real gRPC service over a real decision core, on a port of loopback.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use quotum_api::counter::counter_server::{Counter, CounterServer};
use quotum_api::counter::not_decided::Reason;
use quotum_api::counter::{self, DecideRequest, DecideResponse, decide_response, outcome};
use quotum_api::envoy::service::ratelimit::v3::rate_limit_response::{
    Code, DescriptorStatus, RateLimit,
};
use quotum_api::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use quotum_api::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use quotum_limit::{Batch, Caller, Caps, Command, LogTime, Outcome, Stamp, State};
use quotum_telemetry::label::Listener;
use quotum_telemetry::{BuildInfo, Exposition, ListenerMetrics};
use quotum_transport::{Acceptor, Bounds, Credentials, Security};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

const CAPS: Caps = Caps {
    counters_max: 100_000,
    tenant_counters_max: 100_000,
};

/// Gateways may ask.
fn gateways(caller: &quotum_transport::Caller, _: &str) -> Option<quotum_transport::Form> {
    use quotum_transport::{Caller, Form, Role};
    let Caller::Certified(certified) = caller else {
        return None;
    };
    matches!(certified.role, Some((Role::Gateway, _))).then_some(Form::Stream)
}

/// What a node does with decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Decides,
    /// Says that its queue is full.
    IsOverloaded,
    /// Decides by Envoy's API, and sends the code without any status.
    SendsNoStatus,
    /// Ends the stream at the first message, and refuses requests.
    Breaks,
}

/// A node that serves until the test ends.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) address: String,
    /// Where it says that the leader is.
    leader: String,
    mood: Mood,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    state: State,
    /// Of Envoy's API: how often each value was admitted.
    values: BTreeMap<String, u32>,
    decided: Decided,
}

/// What the node did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decided {
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
    pub(crate) other: u64,
    pub(crate) messages: u64,
    pub(crate) acked_seq_max: u64,
    pub(crate) epochs: u64,
    /// Request ids that it still keeps.
    pub(crate) requests_held: u64,
    pub(crate) counters: u64,
}

// === impl Node ===

impl Node {
    /// A node that leads.
    pub(crate) async fn start(mood: Mood) -> Self {
        Self::start_with(mood, None).await
    }

    /// A node that knows the leader and decides nothing itself.
    pub(crate) async fn follower(leader: &Self) -> Self {
        Self::start_with(Mood::Breaks, Some(leader.address.clone())).await
    }

    /// What it did so far.
    pub(crate) fn decided(&self) -> Decided {
        let shared = self.shared.lock().unwrap();
        Decided {
            epochs: shared.state.epochs_open() as u64,
            requests_held: shared.state.requests_held() as u64,
            counters: shared.state.counters_live() as u64,
            ..shared.decided.clone()
        }
    }

    /// A node that leads, over TLS.
    pub(crate) async fn secured(credentials: Credentials) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = Self::at(&listener, Mood::Decides, None);
        let exposition = Exposition::new(&BuildInfo {
            version: String::new(),
            revision: String::new(),
        });
        let metrics = ListenerMetrics::new(&exposition, Listener::Clients);
        let acceptor = Acceptor::new(Security::Tls(credentials), Bounds::new(100, 100), metrics);
        let services = Routes::new(CounterServer::new(node.clone())).into();
        let stop = CancellationToken::new();
        tokio::spawn(quotum_transport::serve(
            listener, acceptor, gateways, services, stop,
        ));
        node
    }

    fn at(listener: &TcpListener, mood: Mood, leader: Option<String>) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        Self {
            leader: leader.unwrap_or_else(|| address.clone()),
            address,
            mood,
            shared: Arc::new(Mutex::new(Shared {
                state: State::new(1),
                values: BTreeMap::new(),
                decided: Decided::default(),
            })),
        }
    }

    async fn start_with(mood: Mood, leader: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = Self::at(&listener, mood, leader);
        let server = tonic::transport::Server::builder();
        let serving = server
            .tcp_nodelay(true)
            .add_service(CounterServer::new(node.clone()))
            .add_service(RateLimitServiceServer::new(node.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
        node
    }

    fn answer(&self, message: DecideRequest) -> Result<DecideResponse, Status> {
        let tag = message.tag;
        let result = match self.mood {
            Mood::Decides | Mood::SendsNoStatus => {
                let acked_seq = message.acked_seq;
                let commands = message.into_commands();
                let commands =
                    commands.map_err(|error| Status::invalid_argument(error.to_string()))?;
                let outcomes = self.apply(acked_seq, commands);
                let nowhere = counter::Position::default();
                decide_response::Result::Decided(quotum_api::Decided::of_core(outcomes, nowhere))
            }
            Mood::IsOverloaded => decide_response::Result::NotDecided(counter::NotDecided {
                reason: Reason::Overloaded.into(),
                message: "the queue is full".to_owned(),
            }),
            Mood::Breaks => return Err(Status::unavailable("as told")),
        };
        Ok(DecideResponse {
            tag,
            result: Some(result),
            leader: self.leader.clone(),
        })
    }

    fn apply(&self, acked_seq: u64, commands: Vec<Command>) -> Vec<Outcome> {
        let mut shared = self.shared.lock().unwrap();
        let batch = Batch {
            stamp: Stamp {
                log: LogTime::from_ms(1_700_000_000_000),
                reference_ms: 0,
            },
            caps: CAPS,
            commands,
        };
        let outcomes = shared.state.apply_batch(&batch);
        let decided = &mut shared.decided;
        decided.messages += 1;
        decided.acked_seq_max = decided.acked_seq_max.max(acked_seq);
        for outcome in &outcomes {
            match outcome {
                Outcome::Admitted { .. } => decided.admitted += 1,
                Outcome::Denied { .. } => decided.denied += 1,
                Outcome::Opened { .. } => {}
                _ => decided.other += 1,
            }
        }
        outcomes
    }
}

/// What Envoy's API admits of each value.
pub(crate) const VALUE_MAX: u32 = 4;

#[tonic::async_trait]
impl RateLimitService for Node {
    /// Admits some of each value of the domain `bench`, if it is in the mood; else it knows no limit.
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let request = request.into_inner();
        let entry = &request.descriptors[0].entries[0];
        let mut shared = self.shared.lock().unwrap();
        shared.decided.messages += 1;
        let is_known = request.domain == "bench" && entry.key == "key";
        let mut status = DescriptorStatus::default();
        status.set_code(Code::Ok);
        if is_known && matches!(self.mood, Mood::Decides | Mood::SendsNoStatus) {
            let used = shared.values.entry(entry.value.clone()).or_default();
            match *used < VALUE_MAX {
                true => {
                    *used += 1;
                    shared.decided.admitted += 1;
                }
                false => {
                    status.set_code(Code::OverLimit);
                    shared.decided.denied += 1;
                }
            }
            status.current_limit = Some(RateLimit {
                requests_per_unit: VALUE_MAX,
                ..Default::default()
            });
        }
        Ok(Response::new(RateLimitResponse {
            overall_code: status.code,
            statuses: match self.mood {
                Mood::SendsNoStatus => Vec::new(),
                _ => vec![status],
            },
            ..Default::default()
        }))
    }
}

#[tonic::async_trait]
impl Counter for Node {
    type DecideStream = Pin<Box<dyn Stream<Item = Result<DecideResponse, Status>> + Send>>;

    async fn decide(
        &self,
        request: Request<Streaming<DecideRequest>>,
    ) -> Result<Response<Self::DecideStream>, Status> {
        let node = self.clone();
        let answers = request
            .into_inner()
            .map(move |message| node.answer(message?));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn acquire(
        &self,
        request: Request<counter::AcquireRequest>,
    ) -> Result<Response<counter::AcquireResponse>, Status> {
        let counter::AcquireRequest {
            shard,
            epoch,
            seq,
            acked_seq,
            items,
        } = request.into_inner();
        let acquire = counter::command::Acquire { seq, items };
        let kind = counter::command::Kind::Acquire(acquire);
        let message = DecideRequest {
            shard,
            epoch,
            acked_seq,
            commands: vec![counter::Command { kind: Some(kind) }].into(),
            ..DecideRequest::default()
        };
        match self.answer(message)?.result {
            Some(decide_response::Result::Decided(decided)) => {
                Ok(Response::new(counter::AcquireResponse {
                    outcome: decided.into_outcomes().into_iter().next(),
                    position: None,
                    epoch,
                    seq,
                    leader: self.leader.clone(),
                }))
            }
            _ => Err(Status::resource_exhausted("the queue is full")),
        }
    }

    async fn open(
        &self,
        _: Request<counter::OpenRequest>,
    ) -> Result<Response<counter::OpenResponse>, Status> {
        let outcome = self
            .apply(0, vec![Command::Open { caller: Caller(1) }])
            .remove(0);
        match counter::Outcome::from(outcome).kind {
            Some(outcome::Kind::Opened(opened)) => Ok(Response::new(counter::OpenResponse {
                epoch: opened.epoch,
                position: None,
                leader: self.leader.clone(),
            })),
            other => Err(Status::internal(format!("{other:?}"))),
        }
    }

    async fn shards(
        &self,
        _: Request<counter::ShardsRequest>,
    ) -> Result<Response<counter::ShardsResponse>, Status> {
        let leaders = vec![self.leader.clone()];
        Ok(Response::new(counter::ShardsResponse { leaders }))
    }

    async fn decide_batch(
        &self,
        _: Request<DecideRequest>,
    ) -> Result<Response<DecideResponse>, Status> {
        Err(Status::unimplemented("the generator does not use it"))
    }

    async fn refund(
        &self,
        _: Request<counter::RefundRequest>,
    ) -> Result<Response<counter::RefundResponse>, Status> {
        Err(Status::unimplemented("the generator does not use it"))
    }

    async fn peek(
        &self,
        _: Request<counter::PeekRequest>,
    ) -> Result<Response<counter::PeekResponse>, Status> {
        Err(Status::unimplemented("the generator does not use it"))
    }
}
