//! A client that speaks the protocol itself, and badly: it sends requests twice, to several nodes
//! at once, long after they were answered, refunds before it asks and asks again after it refunds.

use std::collections::BTreeMap;
use std::time::Duration;

use quotum_api::Decided;
use quotum_api::counter::DecideRequest;
use quotum_api::counter::counter_client::CounterClient;
use quotum_api::counter::decide_response::Result as Told;
use quotum_checker::What;
use quotum_checker::history::{Answer, Ask, Edge, Position};
use quotum_limit::{Algorithm, Command, Epoch, Item, Items, Key, RequestId, Window};
use tonic::transport::{Channel, Endpoint};

use crate::record::Recorder;
use crate::rng::Rng;
use crate::wire::channel;
use crate::world::{Stage, World, client_address};

/// How long one try may take.
const TRY: Duration = Duration::from_millis(400);

/// When the first outcome is unknown, at the latest.
const GIVES_UP_AFTER: Duration = Duration::from_secs(5);

/// How often a request is tried.
const TRIES: usize = 6;

/// What was asked, for asking it again.
#[derive(Clone)]
struct Asked {
    id: RequestId,
    items: Items,
}

#[derive(Clone)]
struct Caller {
    world: World,
    recorder: Recorder,
    channels: Vec<Channel>,
    shard: u32,
}

fn items(rng: &mut Rng) -> Items {
    let count = if rng.percent(30) { 2 } else { 1 };
    let first = rng.below(3);
    let item = |step: u64| {
        let number = (first + step) % 3;
        let windows = [
            Window::Second,
            Window::Duration { ms: 2_000 },
            Window::Duration { ms: 4_000 },
        ];
        Item {
            key: Key::new(format!("raw-{number}").as_bytes()).expect("a key"),
            max: 4 + 2 * number,
            revision: 1,
            window: windows[usize::try_from(number).expect("small")],
            algorithm: Algorithm::Fixed,
            units: 1 + rng.clone().below(2),
            shadow: false,
        }
    };
    let mut items: Items = (0..count).map(item).collect();
    match rng.below(40) {
        // Less than nothing.
        0 => items[0].units = 1_u64.wrapping_neg(),
        1..=3 => items[0].algorithm = Algorithm::Sliding,
        _ => {}
    }
    items
}

/// Runs until the run settles.
pub(crate) async fn run(world: World, number: u64) -> turmoil::Result {
    let mut rng = world.rng(0xca11 << 8 | number);
    let shard = u32::try_from(rng.below(u64::from(world.shards()))).expect("a shard");
    let dial = |machine: u64| {
        let uri = format!("http://{}", client_address(machine));
        let endpoint = Endpoint::from_shared(uri).expect("an address");
        let endpoint = endpoint
            .connect_timeout(Duration::from_millis(300))
            .http2_keep_alive_interval(Duration::from_secs(1))
            .keep_alive_timeout(Duration::from_secs(1))
            .keep_alive_while_idle(true);
        channel(&endpoint)
    };
    let caller = Caller {
        world: world.clone(),
        recorder: world.recorder().clone(),
        channels: (1..=world.founders()).map(dial).collect(),
        shard,
    };
    let mut epoch = None;
    let mut seq = 0_u64;
    let mut asked: BTreeMap<u64, Asked> = BTreeMap::new();
    while world.stage() < Stage::Settled {
        tokio::time::sleep(Duration::from_millis(rng.between(5, 120))).await;
        let Some(current) = epoch else {
            epoch = caller.open(&mut rng).await;
            (seq, asked) = (0, BTreeMap::new());
            continue;
        };
        // A new process now and then.
        if rng.percent(1) && !world.is_long() {
            epoch = None;
            continue;
        }
        let old = asked
            .keys()
            .next_back()
            .map_or(0, |last| rng.below(last + 1));
        let acked = match world.is_long() {
            true => 0,
            false => seq.saturating_sub(40),
        };
        match rng.below(10) {
            // Something old, again.
            0 => {
                if let Some(again) = asked.get(&old.max(1)) {
                    caller.acquire(again.clone(), acked, &mut rng).await;
                }
            }
            // A refund, perhaps of what was never asked, perhaps for the second time.
            1 => {
                let seq = if rng.percent(20) { seq + 1 } else { old.max(1) };
                let id = RequestId {
                    epoch: current,
                    seq,
                };
                caller.refund(id, &mut rng).await;
            }
            // The same request by two ways at once.
            2..=3 => {
                seq += 1;
                let one = Asked {
                    id: RequestId {
                        epoch: current,
                        seq,
                    },
                    items: items(&mut rng),
                };
                asked.insert(seq, one.clone());
                let mut other_rng = Rng::new(rng.next(), 3);
                let other = caller.acquire(one.clone(), acked, &mut other_rng);
                tokio::join!(biased; caller.acquire(one, acked, &mut rng), other);
            }
            _ => {
                seq += 1;
                let one = Asked {
                    id: RequestId {
                        epoch: current,
                        seq,
                    },
                    items: items(&mut rng),
                };
                asked.insert(seq, one.clone());
                caller.acquire(one, acked, &mut rng).await;
            }
        }
    }
    std::future::pending().await
}

// === impl Caller ===

impl Caller {
    async fn open(&self, rng: &mut Rng) -> Option<Epoch> {
        let decided = self
            .decide(
                Epoch(0),
                0,
                Command::Open {
                    caller: quotum_limit::Caller::default(),
                },
                rng,
            )
            .await?;
        match answer(&decided)? {
            (Answer::Opened { epoch }, _) => Some(Epoch(epoch)),
            _ => None,
        }
    }

    async fn acquire(&self, asked: Asked, acked_seq: u64, rng: &mut Rng) {
        let request = self.recorder.request();
        let ask = Ask::Acquire {
            items: asked
                .items
                .iter()
                .map(|item| quotum_logged::item(self.shard, item))
                .collect(),
        };
        self.sent(request, asked.id, ask);
        let command = Command::Acquire {
            id: asked.id,
            acked_seq: 0,
            items: asked.items,
        };
        let decided = self.decide(asked.id.epoch, acked_seq, command, rng).await;
        self.answered(request, decided);
    }

    async fn refund(&self, id: RequestId, rng: &mut Rng) {
        let request = self.recorder.request();
        self.sent(request, id, Ask::Refund);
        let decided = self.decide(id.epoch, 0, Command::Refund { id }, rng).await;
        self.answered(request, decided);
    }

    fn sent(&self, request: u64, id: RequestId, ask: Ask) {
        self.recorder.note(What::Sent {
            request,
            client: "raw".to_owned(),
            id: Some(quotum_logged::id(&id)),
            ask,
        });
    }

    fn answered(&self, request: u64, decided: Option<Decided>) {
        let told = decided.as_ref().and_then(answer);
        let (answer, position) = told.unwrap_or((Answer::Unknown, None));
        self.recorder.note(What::Answered {
            request,
            answer,
            position,
        });
    }

    /// Sends one command until it is decided, to any node.
    async fn decide(
        &self,
        epoch: Epoch,
        acked_seq: u64,
        command: Command,
        rng: &mut Rng,
    ) -> Option<Decided> {
        let request = DecideRequest {
            tag: 1,
            shard: self.shard,
            epoch: epoch.0,
            acked_seq,
            commands: vec![quotum_api::command_to_wire(command)].into(),
            forwarded: false,
            api: 0,
        };
        // Some give up before an answer can have come: a fault as well, and none in peace. At least
        // one in each run.
        let must =
            self.recorder.seen().unknown == 0 && turmoil::sim_elapsed() > Some(GIVES_UP_AFTER);
        if (must || rng.percent(3)) && self.world.stage() == Stage::Faults {
            self.recorder.note(What::Fault {
                fault: "gives up".to_owned(),
                nodes: Vec::new(),
                edge: Edge::Once,
            });
            let mut client = CounterClient::new(rng.pick(&self.channels)?);
            let answer = client.decide_batch(request);
            let _gone = tokio::time::timeout(Duration::from_millis(3), answer).await;
            return None;
        }
        for _ in 0..TRIES {
            let channel = rng.pick(&self.channels)?;
            let mut client = CounterClient::new(channel);
            let answer = client.decide_batch(request.clone());
            if let Ok(Ok(response)) = tokio::time::timeout(TRY, answer).await
                && let Some(Told::Decided(decided)) = response.into_inner().result
            {
                return Some(decided);
            }
            tokio::time::sleep(Duration::from_millis(rng.between(5, 60))).await;
        }
        None
    }
}

fn answer(decided: &Decided) -> Option<(Answer, Option<Position>)> {
    let outcome = decided.clone().into_outcomes().into_iter().next()?;
    let outcome = quotum_limit::Outcome::try_from(outcome).ok()?;
    let position = decided.position.as_ref().map(|position| Position {
        shard: position.shard,
        term: position.term,
        index: position.index,
    });
    Some((quotum_logged::answer(&outcome), position))
}
