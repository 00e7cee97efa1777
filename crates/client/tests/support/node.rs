//! One node: a real gRPC service over the shared decision core, which fails as it is told.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quotum_api::counter::counter_server::{Counter, CounterServer};
use quotum_api::counter::not_decided::Reason;
use quotum_api::counter::{self, DecideRequest, DecideResponse, decide_response};
use quotum_limit::{Command, LogTime, Outcome, Stamp};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::net::Net;
use super::{CAPS, Shared};

/// What goes wrong, until it is told otherwise.
#[derive(Default)]
pub(crate) struct Faults {
    /// Of 100 messages that many are decided and not answered, drawn by `random`.
    pub(crate) lost_percent: u64,
    pub(crate) random: u64,
    /// The next messages that are decided and not answered; then the stream ends.
    pub(crate) lose_and_close: u32,
    /// The next messages that are refused for this reason, without being decided.
    pub(crate) refuse: Option<(u32, Reason)>,
    /// Every answer comes this much later.
    pub(crate) delay: Duration,
    /// Followers refuse instead of passing on.
    pub(crate) refuse_forwards: bool,
    /// Nothing is decided, nothing answered.
    pub(crate) is_silent: bool,
    /// Refuses whole messages that have this counter in them.
    pub(crate) poison: Option<Vec<u8>>,
}

struct Node {
    address: String,
    shared: Arc<Mutex<Shared>>,
    killed: watch::Receiver<bool>,
}

type Answers = Pin<Box<dyn Stream<Item = Result<DecideResponse, Status>> + Send>>;

enum Fate {
    Answer(DecideResponse, Duration),
    Lose,
    Close,
}

pub(crate) fn serve(net: &Net, address: &str, shared: Arc<Mutex<Shared>>) {
    let port = net.listen(address);
    let node = Node {
        address: address.to_owned(),
        shared,
        killed: port.killed,
    };
    let connections = UnboundedReceiverStream::new(port.connections).map(Ok::<_, std::io::Error>);
    let server = tonic::transport::Server::builder().add_service(CounterServer::new(node));
    tokio::spawn(server.serve_with_incoming(connections));
}

/// The same over TCP: the address that it listens at.
pub(crate) async fn serve_tcp(shared: Arc<Mutex<Shared>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (alive, killed) = watch::channel(false);
    let node = Node {
        address: address.clone(),
        shared,
        killed,
    };
    let server = tonic::transport::Server::builder().add_service(CounterServer::new(node));
    tokio::spawn(async move {
        // A node is killed when this goes.
        let _alive = alive;
        server
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await
    });
    address
}

// === impl Faults ===

impl Faults {
    fn loses(&mut self) -> bool {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.random >> 33) % 100 < self.lost_percent
    }
}

// === impl Shared ===

impl Shared {
    fn decide(&mut self, address: &str, message: DecideRequest) -> Fate {
        self.messages += 1;
        let (tag, shard) = (message.tag, message.shard);
        let delay = self.faults.delay;
        let leader = self.leader.clone();
        let answer = move |result| {
            Fate::Answer(
                DecideResponse {
                    tag,
                    result: Some(result),
                    leader,
                },
                delay,
            )
        };
        if self.faults.is_silent {
            return Fate::Lose;
        }
        if self.faults.refuse_forwards && address != self.leader {
            return answer(refusal(Reason::NotLeader));
        }
        if let Some((left, reason)) = self.faults.refuse.filter(|(left, _)| *left > 0) {
            self.faults.refuse = Some((left - 1, reason));
            return answer(refusal(reason));
        }
        let Ok(commands) = message.into_commands() else {
            return answer(refusal(Reason::Invalid));
        };
        if self
            .faults
            .poison
            .as_ref()
            .is_some_and(|key| is_poisoned(&commands, key))
        {
            return answer(refusal(Reason::Invalid));
        }
        let decided = self.apply(shard, &commands);
        if self.faults.lose_and_close > 0 {
            self.faults.lose_and_close -= 1;
            return Fate::Close;
        }
        if self.faults.loses() {
            Fate::Lose
        } else {
            answer(decided)
        }
    }

    /// Applies commands as one entry.
    pub(crate) fn decide_here(&mut self, shard: u32, commands: &[Command]) -> Vec<Outcome> {
        self.index += 1;
        let batch = quotum_limit::Batch {
            stamp: Stamp {
                log: LogTime::from_ms(self.log_ms),
                reference_ms: 0,
            },
            caps: CAPS,
            commands: commands.to_vec(),
        };
        let outcomes = self.shards[shard as usize].apply_batch(&batch);
        for (command, outcome) in commands.iter().zip(&outcomes) {
            if let Command::Acquire { id, .. } = command {
                self.acquires.push((id.epoch.0, id.seq, outcome.clone()));
            }
        }
        outcomes
    }

    fn apply(&mut self, shard: u32, commands: &[Command]) -> decide_response::Result {
        let outcomes = self.decide_here(shard, commands);
        let position = counter::Position {
            shard,
            term: self.term,
            index: self.index,
        };
        decide_response::Result::Decided(quotum_api::Decided::of_core(outcomes, position))
    }
}

fn refusal(reason: Reason) -> decide_response::Result {
    let message = "as told".to_owned();
    decide_response::Result::NotDecided(counter::NotDecided {
        reason: reason.into(),
        message,
    })
}

fn is_poisoned(commands: &[Command], key: &[u8]) -> bool {
    commands.iter().any(|command| match command {
        Command::Acquire { items, .. }
        | Command::Reserve { items, .. }
        | Command::Peek { items } => items.iter().any(|item| item.key.as_bytes() == key),
        _ => false,
    })
}

// === impl Node ===

#[tonic::async_trait]
impl Counter for Node {
    type DecideStream = Answers;

    async fn decide(
        &self,
        request: Request<Streaming<DecideRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let mut messages = request.into_inner();
        let (sender, answers) = mpsc::channel(64);
        let (shared, address) = (self.shared.clone(), self.address.clone());
        let mut killed = self.killed.clone();
        tokio::spawn(async move {
            loop {
                let message = tokio::select! {
                    biased;
                    _ = killed.wait_for(|killed| *killed) => return,
                    message = messages.message() => message,
                };
                let Ok(Some(message)) = message else { return };
                let fate = shared.lock().unwrap().decide(&address, message);
                match fate {
                    Fate::Answer(answer, delay) => {
                        if !delay.is_zero() {
                            tokio::time::sleep(delay).await;
                        }
                        if sender.send(Ok(answer)).await.is_err() {
                            return;
                        }
                    }
                    Fate::Lose => {}
                    Fate::Close => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn shards(
        &self,
        _: Request<counter::ShardsRequest>,
    ) -> Result<Response<counter::ShardsResponse>, Status> {
        let shared = self.shared.lock().unwrap();
        let leaders = vec![shared.leader.clone(); shared.shards.len()];
        Ok(Response::new(counter::ShardsResponse { leaders }))
    }

    async fn decide_batch(
        &self,
        _: Request<DecideRequest>,
    ) -> Result<Response<DecideResponse>, Status> {
        Err(Status::unimplemented("the client uses the stream"))
    }

    async fn acquire(
        &self,
        _: Request<counter::AcquireRequest>,
    ) -> Result<Response<counter::AcquireResponse>, Status> {
        Err(Status::unimplemented("the client uses the stream"))
    }

    async fn refund(
        &self,
        _: Request<counter::RefundRequest>,
    ) -> Result<Response<counter::RefundResponse>, Status> {
        Err(Status::unimplemented("the client uses the stream"))
    }

    async fn peek(
        &self,
        _: Request<counter::PeekRequest>,
    ) -> Result<Response<counter::PeekResponse>, Status> {
        Err(Status::unimplemented("the client uses the stream"))
    }

    async fn open(
        &self,
        _: Request<counter::OpenRequest>,
    ) -> Result<Response<counter::OpenResponse>, Status> {
        Err(Status::unimplemented("the client uses the stream"))
    }
}
