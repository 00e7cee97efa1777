//! Decisions for callers without ids: under an id of this node's own, through leader changes, until
//! a deadline. An id whose outcome reaches no caller is abandoned, and so refunded.

use quotum_limit::{Command, Items, Outcome};
use quotum_telemetry::label::{Api, CounterOutcome};
use tokio::time::Instant;
use tonic::Status;

use crate::counter::CounterService;
use crate::limits::UNARY_DEADLINE;
use crate::mint::Drawn;

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
        let (decision, drawn) = self.counter.acquire_drawn(shard, items, api).await?;
        Ok(Taken {
            outcome: decision.outcome,
            asker: self,
            shard,
            drawn,
        })
    }

    /// Reads the items' counters.
    pub(crate) async fn look(&self, shard: u32, items: Items, api: Api) -> Result<Outcome, Status> {
        let deadline = Instant::now() + UNARY_DEADLINE;
        let command = Command::Peek { items };
        let decider = &self.counter.decider;
        let asked = decider
            .ask(shard, &command, deadline, api, &mut false)
            .await?;
        Ok(asked.outcome)
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
            id: self.drawn.minted.id(),
        };
        let mut may_count = true;
        let decider = &self.asker.counter.decider;
        let asked = decider.ask(self.shard, &refund, deadline, Api::Envoy, &mut may_count);
        if asked.await.is_ok() {
            self.drawn.settle();
        }
    }
}
