//! The host of one gateway: the real client, and the gateway's path of a call from its policy to the
//! instant in which it leaves. In place of an upstream, the history.

use std::sync::Arc;
use std::time::Duration;

use quotum_checker::What;
use quotum_checker::history::{Answer, Ask};
use quotum_client::{Client, Decision, Route};
use quotum_gateway::counters::{Counters, Ticket};
use quotum_gateway::decide::{Call, Judgement, Plan, Ruling, acquire, judge};
use quotum_gateway::gate::{Held, Units};
use quotum_gateway::settle::{End, Settlement, settle};
use quotum_limit::Item;
use quotum_registry::server::Refund;
use quotum_registry::view::Grant;

use crate::fleet::Fleet;
use crate::record::Recorder;
use crate::rng::Rng;
use crate::wire::client_dialer;
use crate::world::{SETTLE, Stage, World};

/// How often a call is decided: again if its admission ended before it could leave.
const DECISIONS_MAX: usize = 2;

/// The client, with a history of what it is asked and answers.
#[derive(Clone)]
struct Recorded {
    client: Client,
    recorder: Recorder,
    name: String,
    shards: u32,
}

/// A ticket and the request that it answers.
struct RecordedTicket {
    ticket: quotum_client::Ticket,
    request: u64,
    recorder: Recorder,
}

// === impl Recorded ===

impl Counters for Recorded {
    type Ticket = RecordedTicket;

    async fn acquire(&self, items: Vec<(Route, Item)>) -> (Decision, Option<RecordedTicket>) {
        let request = self.recorder.request();
        let of =
            |(route, item): &(Route, Item)| quotum_logged::item(route.shard(self.shards), item);
        self.recorder.note(What::Sent {
            request,
            client: self.name.clone(),
            id: None,
            ask: Ask::Acquire {
                items: items.iter().map(of).collect(),
            },
        });
        let (decision, ticket) = self.client.acquire(items).await;
        let (answer, position) = told(&decision);
        self.recorder.note(What::Answered {
            request,
            answer,
            position,
        });
        let ticket = ticket.map(|ticket| RecordedTicket {
            ticket,
            request,
            recorder: self.recorder.clone(),
        });
        (decision, ticket)
    }
}

fn told(decision: &Decision) -> (Answer, Option<quotum_checker::history::Position>) {
    let place = |position: &quotum_client::Position| quotum_checker::history::Position {
        shard: position.shard,
        term: position.term,
        index: position.index,
    };
    match decision {
        Decision::Admitted { items, position } => {
            let answer = Answer::Admitted {
                valid_for_ms: None,
                items: quotum_logged::states(items),
            };
            (answer, Some(place(position)))
        }
        Decision::Denied {
            binding,
            retry_after,
            items,
            path,
            position,
        } => {
            let retry_after_ms = retry_after.map(|wait| wait.as_millis() as u64);
            let answer = Answer::Denied {
                binding: *binding,
                retry_after_ms,
                items: quotum_logged::states(items),
                cached: *path == quotum_client::Path::DenyCache,
            };
            (answer, position.as_ref().map(place))
        }
        Decision::Exhausted(_) => (Answer::Exhausted, None),
        Decision::Invalid(_) => (Answer::Invalid, None),
        Decision::Unavailable => (Answer::Unknown, None),
    }
}

// === impl RecordedTicket ===

impl Ticket for RecordedTicket {
    fn is_valid(&self) -> bool {
        let valid = self.ticket.is_valid();
        if valid {
            let request = self.request;
            self.recorder.note(What::Forwarded { request });
        }
        valid
    }

    fn refund(self) {
        let request = self.request;
        self.recorder.note(What::GivenBack { request });
        self.ticket.refund();
    }
}

/// One process: from its start to its end.
pub(crate) async fn run(world: World, number: usize, life: u64) -> turmoil::Result {
    let mut rng = world.rng(0x6a7e << 32 | (number as u64) << 16 | life);
    let drift = i64::try_from(rng.below(2 * crate::world::DRIFT_PPM + 1)).unwrap_or(0);
    let drift_ppm = drift - i64::try_from(crate::world::DRIFT_PPM).unwrap_or(0);
    let clock = crate::clock::SimClock::new(0, drift_ppm, rng.below(1 << 40));
    let mut config = quotum_client::Config::new(world.client_addresses(), rng.next());
    config.deadline = Duration::from_millis(rng.pick(&[1_000, 2_000, 3_000]).unwrap_or(2_000));
    let timeout = config.connect_timeout;
    let clock = quotum_client::Clock::new(move || clock.now_us());
    let client = Client::start(config, client_dialer(timeout), clock)?;
    let counters = Recorded {
        client,
        recorder: world.recorder().clone(),
        name: format!("g{number}"),
        shards: world.shards(),
    };
    let fleet = Fleet::new();
    // A gateway may learn of a new policy later than another.
    let new_policy_at = Duration::from_millis(rng.between(3_000, 9_000));
    while world.stage() < Stage::Settled {
        tokio::time::sleep(Duration::from_millis(rng.between(1, 60))).await;
        let since_start = turmoil::sim_elapsed().unwrap_or_default();
        let grant = fleet.grant(&mut rng, since_start >= new_policy_at);
        let (counters, mut rng) = (counters.clone(), Rng::new(rng.next(), 7));
        let tool = Fleet::tool(&mut rng);
        tokio::spawn(async move { call(counters, &grant, tool, &mut rng).await });
    }
    // What was asked last is answered first.
    tokio::time::sleep(SETTLE / 2).await;
    counters.client.shutdown().await;
    std::future::pending().await
}

/// One call, from its policy to its end.
async fn call(counters: Recorded, grant: &Grant, tool: &str, rng: &mut Rng) {
    let units = rng.between(1, 4);
    let arguments = format!("{{\"units\":{units}}}");
    let call = Call {
        grant,
        tool,
        arguments: Some(&arguments),
        session: None,
    };
    let Judgement::Acquire(plan) = judge(&call) else {
        return;
    };
    for _ in 0..DECISIONS_MAX {
        let decided = acquire(&counters, &plan, tool).await;
        let Ruling::Go(Some(ticket)) = decided.ruling else {
            return;
        };
        if leave(ticket, &plan, rng).await {
            return;
        }
    }
}

/// Sends a call while its units hold. `false`: it was too late.
async fn leave(ticket: RecordedTicket, plan: &Plan, rng: &mut Rng) -> bool {
    let held: Arc<dyn Units> = Arc::new(Held::new(ticket, plan.use_by()));
    // A connection to the upstream is looked for meanwhile: now and then for long.
    let wait_ms = match rng.below(20) {
        0 => rng.between(200, 2_500),
        1..=5 => rng.between(1, 40),
        _ => 0,
    };
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    if rng.percent(8) {
        // The upstream cannot be reached: the call has not run.
        if settle(Refund::NotExecuted, End::NotSent) == Settlement::Refund {
            held.give_back();
        }
        return true;
    }
    if held.hold() {
        return true;
    }
    held.give_back();
    false
}
