//! Decisions: by this node where it leads the shard, else by the leader, one hop away.

use std::sync::Arc;

use quotum_api::counter as wire;
use quotum_api::counter::counter_client::CounterClient;
use quotum_api::counter::decide_response::Result as Answer;
use quotum_api::counter::not_decided::Reason;
use quotum_limit::{Command, Outcome};
use quotum_replica::{Channels, Decided, Node, ProposeError, ShardId};
use quotum_telemetry::CounterMetrics;
use quotum_telemetry::label::{Api, CounterOutcome};
use quotum_telemetry::shard::Shard;
use tokio::time::Instant;
use tonic::Status;

use crate::limits::{FORWARD_DEADLINE, MESSAGE_BYTES_MAX, RETRY_INTERVAL};

/// Decides for every API of this node.
#[derive(Clone)]
pub(crate) struct Decider {
    pub(crate) node: Node,
    leaders: Arc<Channels>,
    metrics: CounterMetrics,
}

/// One outcome, where it was decided if that is known, and where clients reach the leader.
pub(crate) struct Decision {
    pub(crate) outcome: Outcome,
    pub(crate) position: Option<wire::Position>,
    pub(crate) leader: String,
}

/// Why there is no outcome.
struct Undecided {
    reason: Reason,
    message: String,
}

// === impl Decider ===

impl Decider {
    pub(crate) fn new(node: Node, leaders: Arc<Channels>, metrics: CounterMetrics) -> Self {
        Self {
            node,
            leaders,
            metrics,
        }
    }

    /// Where clients reach the leader of a shard; empty if it is not known.
    pub(crate) fn leader_address(&self, shard: u32) -> String {
        let leader = self.node.leader(ShardId(shard));
        leader
            .map(|(_, member)| member.client_address)
            .unwrap_or_default()
    }

    /// What is wrong with a request that names another shard.
    pub(crate) fn no_such_shard(&self) -> String {
        format!("shard: there are shards 0 to {}", self.node.shards() - 1)
    }

    /// Decides one message of commands.
    pub(crate) async fn decide(
        &self,
        request: wire::DecideRequest,
        api: Api,
    ) -> wire::DecideResponse {
        let (tag, shard) = (request.tag, request.shard);
        if shard >= self.node.shards() {
            return self.not_decided(tag, shard, Reason::Invalid, &self.no_such_shard());
        }
        if !request.forwarded && !self.node.leads(ShardId(shard)) {
            return Box::pin(self.forward(request, api)).await;
        }
        let api = match request.forwarded {
            true => api_from_wire(request.api()).unwrap_or(api),
            false => api,
        };
        let commands = match request.into_commands() {
            Ok(commands) if commands.is_empty() => {
                return self.not_decided(tag, shard, Reason::Invalid, "commands: there are none");
            }
            Ok(commands) => commands,
            Err(error) => {
                return self.not_decided(tag, shard, Reason::Invalid, &error.to_string());
            }
        };
        match self.decide_here(shard, commands, api).await {
            Ok(decided) => {
                let position = position(shard, &decided);
                let decided = quotum_api::Decided::of_core(decided.outcomes, position);
                wire::DecideResponse {
                    tag,
                    result: Some(Answer::Decided(decided)),
                    leader: self.node.member().client_address.clone(),
                }
            }
            Err(error) => self.not_decided(tag, shard, reason(&error), &error.to_string()),
        }
    }

    /// Decides one command, through changes of the leader, until `deadline`. `may_count` is set once
    /// a try may have been decided, or may be yet.
    pub(crate) async fn ask(
        &self,
        shard: u32,
        command: &Command,
        deadline: Instant,
        api: Api,
        may_count: &mut bool,
    ) -> Result<Decision, Status> {
        if shard >= self.node.shards() {
            return Err(Status::invalid_argument(self.no_such_shard()));
        }
        loop {
            let asking = self.decide_command(shard, command.clone(), api);
            let Ok(asked) = tokio::time::timeout_at(deadline, asking).await else {
                *may_count = true;
                return Err(Status::unavailable("no decision within the deadline"));
            };
            let Undecided { reason, message } = match asked {
                Ok(decision) => return Ok(decision),
                Err(undecided) => undecided,
            };
            *may_count |= reason == Reason::Unknown;
            match reason {
                Reason::Invalid => return Err(Status::invalid_argument(message)),
                Reason::Overloaded => return Err(Status::resource_exhausted(message)),
                _ if Instant::now() >= deadline => return Err(Status::unavailable(message)),
                _ => tokio::time::sleep(RETRY_INTERVAL).await,
            }
        }
    }

    /// Decides one command: without messages where this node leads.
    async fn decide_command(
        &self,
        shard: u32,
        command: Command,
        api: Api,
    ) -> Result<Decision, Undecided> {
        let undecided = |reason, message: &str| Undecided {
            reason,
            message: message.to_owned(),
        };
        let nothing = || undecided(Reason::Unknown, "the leader's answer is malformed");
        if self.node.leads(ShardId(shard)) {
            let decided = self.decide_here(shard, vec![command], api).await;
            let decided = decided.map_err(|e| undecided(reason(&e), &e.to_string()))?;
            let position = position(shard, &decided);
            let outcome = decided.outcomes.into_iter().next().ok_or_else(nothing)?;
            return Ok(Decision {
                outcome,
                position: Some(position),
                leader: self.node.member().client_address.clone(),
            });
        }
        let (epoch, acked_seq) = match &command {
            Command::Acquire { id, acked_seq, .. } => (id.epoch.0, *acked_seq),
            Command::Reserve { id, acked_seq, .. } => (id.epoch.0, *acked_seq),
            Command::Refund { id } | Command::Confirm { id, .. } => (id.epoch.0, 0),
            Command::Open { .. } | Command::Peek { .. } => (0, 0),
        };
        let request = wire::DecideRequest {
            shard,
            epoch,
            acked_seq,
            commands: vec![quotum_api::command_to_wire(command)].into(),
            ..Default::default()
        };
        // Boxed: this is seldom, and large beside what each decision needs.
        let response = Box::pin(self.forward(request, api)).await;
        match response.result {
            Some(Answer::Decided(decided)) => {
                let position = decided.position;
                let outcome = decided.into_outcomes().into_iter().next();
                let outcome = outcome.and_then(|outcome| outcome.try_into().ok());
                Ok(Decision {
                    outcome: outcome.ok_or_else(nothing)?,
                    position,
                    leader: response.leader,
                })
            }
            Some(Answer::NotDecided(refused)) => {
                let reason = Reason::try_from(refused.reason).unwrap_or(Reason::Unknown);
                Err(undecided(reason, &refused.message))
            }
            None => Err(nothing()),
        }
    }

    /// Counts a decision that no command shows.
    pub(crate) fn count(&self, shard: u32, api: Api, outcome: CounterOutcome) {
        if let Some(metrics) = self.metrics.shard(Shard::Counters(shard)) {
            metrics.decision(api, outcome);
        }
    }

    /// Counts units that were given back because nobody waited for them any more.
    pub(crate) fn abandoned(&self, shard: u32) {
        if let Some(metrics) = self.metrics.shard(Shard::Counters(shard)) {
            metrics.abandoned.one();
        }
    }

    async fn decide_here(
        &self,
        shard: u32,
        commands: Vec<Command>,
        api: Api,
    ) -> Result<Decided, ProposeError> {
        let decided = self.node.decide(shard, commands).await?;
        if let Some(metrics) = self.metrics.shard(Shard::Counters(shard)) {
            metrics.batch.observe(decided.outcomes.len());
            for outcome in &decided.outcomes {
                if let Some(label) = label(outcome) {
                    metrics.decision(api, label);
                }
            }
        }
        Ok(decided)
    }

    /// Asks the leader, and tells who it is.
    async fn forward(&self, mut request: wire::DecideRequest, api: Api) -> wire::DecideResponse {
        let (tag, shard) = (request.tag, request.shard);
        // Nodes talk to each other on the port of the peers, whatever they ask.
        let leader = self.node.leader(ShardId(shard));
        let channel = leader.and_then(|(_, leader)| self.leaders.get(&leader.peer_address).ok());
        let Some(channel) = channel else {
            return self.not_decided(tag, shard, Reason::NotLeader, "no leader is known");
        };
        request.forwarded = true;
        request.set_api(api_to_wire(api));
        let mut client = CounterClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        match tokio::time::timeout(FORWARD_DEADLINE, client.decide_batch(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => self.not_decided(tag, shard, Reason::Unknown, status.message()),
            Err(_) => self.not_decided(tag, shard, Reason::Unknown, "the leader did not answer"),
        }
    }

    fn not_decided(
        &self,
        tag: u64,
        shard: u32,
        reason: Reason,
        message: &str,
    ) -> wire::DecideResponse {
        let result = wire::NotDecided {
            reason: reason.into(),
            message: message.to_owned(),
        };
        wire::DecideResponse {
            tag,
            result: Some(Answer::NotDecided(result)),
            leader: self.leader_address(shard),
        }
    }
}

fn position(shard: u32, decided: &Decided) -> wire::Position {
    wire::Position {
        shard,
        term: decided.term,
        index: decided.index,
    }
}

fn reason(error: &ProposeError) -> Reason {
    match error {
        ProposeError::NotLeader { .. } => Reason::NotLeader,
        ProposeError::Overloaded => Reason::Overloaded,
        ProposeError::Unknown | ProposeError::Stopped => Reason::Unknown,
    }
}

fn api_to_wire(api: Api) -> wire::Api {
    match api {
        Api::NativeStream => wire::Api::NativeStream,
        Api::NativeUnary => wire::Api::NativeUnary,
        Api::Envoy => wire::Api::Envoy,
        Api::Kuadrant => wire::Api::Kuadrant,
    }
}

fn api_from_wire(api: wire::Api) -> Option<Api> {
    match api {
        wire::Api::Unspecified => None,
        wire::Api::NativeStream => Some(Api::NativeStream),
        wire::Api::NativeUnary => Some(Api::NativeUnary),
        wire::Api::Envoy => Some(Api::Envoy),
        wire::Api::Kuadrant => Some(Api::Kuadrant),
    }
}

/// The label of an outcome that is a decision.
fn label(outcome: &Outcome) -> Option<CounterOutcome> {
    match outcome {
        Outcome::Admitted { .. } => Some(CounterOutcome::Admitted),
        Outcome::Denied { .. } => Some(CounterOutcome::Denied),
        Outcome::Cancelled => Some(CounterOutcome::Cancelled),
        Outcome::Expired => Some(CounterOutcome::Expired),
        Outcome::Exhausted(_) => Some(CounterOutcome::Exhausted),
        Outcome::Invalid(_) => Some(CounterOutcome::Invalid),
        // Asked again, and counted when it is decided.
        Outcome::Opened { .. }
        | Outcome::Refunded { .. }
        | Outcome::Peeked { .. }
        | Outcome::Reserved { .. }
        | Outcome::Contended { .. } => None,
    }
}
