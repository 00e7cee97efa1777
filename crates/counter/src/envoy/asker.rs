//! Decisions for callers without ids: under an id of this node's own, through leader changes, until
//! a deadline. An id whose outcome reaches no caller is abandoned, and so refunded.

use quotum_limit::{Command, Epoch, Items, Outcome, RequestId};
use quotum_telemetry::label::{Api, CounterOutcome};
use tokio::time::Instant;
use tonic::Status;

use crate::caller;
use crate::counter::CounterService;
use crate::limits::UNARY_DEADLINE;
use crate::mint::{Drawn, Minted, NoId};

/// Asks the counters. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Asker {
    /// Its ids, and what refunds those that are abandoned.
    counter: CounterService,
}

/// Items that were decided. Dropped without [`Taken::keep`], they are given back.
pub(crate) struct Taken<'a> {
    pub(crate) outcome: Outcome,
    asker: &'a Asker,
    shard: u32,
    drawn: Drawn<'a>,
}

// === impl Asker ===

impl Asker {
    pub(crate) fn new(counter: CounterService) -> Self {
        Self { counter }
    }

    pub(crate) fn shards(&self) -> u32 {
        self.counter.decider.node.shards()
    }

    /// Counts a decision that was made by looking.
    pub(crate) fn looked(&self, shard: u32, api: Api, is_over: bool) {
        let outcome = match is_over {
            true => CounterOutcome::Denied,
            false => CounterOutcome::Admitted,
        };
        self.counter.decider.count(shard, api, outcome);
    }

    /// Takes all the items' units or none.
    pub(crate) async fn take(
        &self,
        shard: u32,
        items: &Items,
        api: Api,
    ) -> Result<Taken<'_>, Status> {
        let deadline = Instant::now() + UNARY_DEADLINE;
        let mint = &self.counter.mints[shard as usize];
        let mut expired = 0;
        loop {
            let drawn = match mint.draw() {
                Ok(drawn) => drawn,
                Err(NoId::TooMany) => {
                    let text = "too many decisions are on their way";
                    return Err(Status::resource_exhausted(text));
                }
                Err(NoId::NoEpoch) => {
                    let epoch = self.open(shard, deadline, api).await?;
                    mint.start(expired, epoch.0);
                    continue;
                }
            };
            let minted = drawn.minted;
            let command = Command::Acquire {
                id: id(&minted),
                acked_seq: minted.acked_seq,
                items: items.clone(),
            };
            // Where the caller goes meanwhile, the id is dropped as it is, and refunded.
            let mut may_count = false;
            let asked = self.ask(shard, &command, deadline, api, &mut may_count);
            let outcome = match asked.await {
                Ok(outcome) => outcome,
                Err(status) => {
                    if !may_count {
                        drawn.settle();
                    }
                    return Err(status);
                }
            };
            // The epoch was idle for too long: nothing was decided under it.
            if outcome == Outcome::Expired && expired != minted.epoch {
                drawn.settle();
                expired = minted.epoch;
                let epoch = self.open(shard, deadline, api).await?;
                mint.start(expired, epoch.0);
                continue;
            }
            return Ok(Taken {
                outcome,
                asker: self,
                shard,
                drawn,
            });
        }
    }

    /// Reads the items' counters.
    pub(crate) async fn look(&self, shard: u32, items: Items, api: Api) -> Result<Outcome, Status> {
        let deadline = Instant::now() + UNARY_DEADLINE;
        let command = Command::Peek { items };
        self.ask(shard, &command, deadline, api, &mut false).await
    }

    async fn open(&self, shard: u32, deadline: Instant, api: Api) -> Result<Epoch, Status> {
        let caller = caller::node(self.counter.decider.node.id());
        let command = Command::Open { caller };
        let outcome = self.ask(shard, &command, deadline, api, &mut false).await?;
        match outcome {
            Outcome::Opened { epoch } => Ok(epoch),
            _ => Err(Status::resource_exhausted(
                "no more client epochs can be opened",
            )),
        }
    }

    async fn ask(
        &self,
        shard: u32,
        command: &Command,
        deadline: Instant,
        api: Api,
        may_count: &mut bool,
    ) -> Result<Outcome, Status> {
        let decider = &self.counter.decider;
        let decision = decider
            .ask(shard, command, deadline, api, may_count)
            .await?;
        Ok(decision.outcome)
    }
}

fn id(minted: &Minted) -> RequestId {
    RequestId {
        epoch: Epoch(minted.epoch),
        seq: minted.seq,
    }
}

// === impl Taken ===

impl Taken<'_> {
    /// The outcome is on its way to the caller.
    pub(crate) fn keep(self) {
        self.drawn.settle();
    }

    /// Gives the units back before the caller is answered; where that takes too long, after it.
    pub(crate) async fn give_back(self) {
        let deadline = Instant::now() + UNARY_DEADLINE;
        let refund = Command::Refund {
            id: id(&self.drawn.minted),
        };
        let mut may_count = true;
        let asker = self.asker;
        let asked = asker.ask(self.shard, &refund, deadline, Api::Envoy, &mut may_count);
        if asked.await.is_ok() {
            self.drawn.settle();
        }
    }
}
