//! The client: finds the shards, asks them in order, and joins their answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use quotum_limit::limits::{ITEMS_MAX, UNITS_MAX, WINDOW_MS_MAX, WINDOW_MS_MIN};
use quotum_limit::{Item, ItemState, ItemStates, Items, Refusal, Route, Window};
use smallvec::SmallVec;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::decision::{Decision, Invalid, PeekError};
use crate::dialer::Dialer;
use crate::limits::{CONTENDED_MARGIN, CONTENDED_PAUSE, SHUTDOWN_MAX};
use crate::nodes::Nodes;
use crate::reservation::{self, Reservation};
use crate::shard::owner::Owner;
use crate::shard::{Reply, ShardHandle, Shared, Want, link};
use crate::stats::Stats;
use crate::ticket::Ticket;

/// The client of the counter service. Clones share everything; its tasks end with the last of
/// them, or with [`Client::shutdown`].
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    deadline: std::time::Duration,
    clock: Clock,
    stats: Arc<Stats>,
    shards: watch::Receiver<Option<Shards>>,
    stop: CancellationToken,
    /// Ends the tasks with the last client.
    _stop_at_end: DropGuard,
    task: Mutex<Option<JoinHandle<()>>>,
}

pub(crate) type Shards = Arc<[ShardHandle]>;

/// The items of one shard, by their place in the request.
pub(crate) type Group = (u32, SmallVec<[usize; 1]>);

// === impl Client ===

impl Client {
    /// Starts the client's tasks on the current runtime. It connects by itself; until it has,
    /// requests wait for their deadline.
    pub fn start(config: Config, dialer: Dialer, clock: Clock) -> Result<Self, ConfigError> {
        config.check()?;
        let stats = Arc::<Stats>::default();
        let stop = CancellationToken::new();
        let (publish, shards) = watch::channel(None);
        let deadline = config.deadline;
        let run = run(
            config,
            dialer,
            clock.clone(),
            stats.clone(),
            publish,
            stop.clone(),
        );
        let task = Mutex::new(Some(tokio::spawn(run)));
        let guard = stop.clone().drop_guard();
        let inner = Inner {
            deadline,
            clock,
            stats,
            shards,
            stop,
            _stop_at_end: guard,
            task,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Asks for units: all are taken or none is. Answers within the deadline, whatever happens;
    /// the ticket comes with [`Decision::Admitted`] and only then. A caller that stops waiting
    /// gets its units refunded.
    ///
    /// Items in several shards are reserved in each, in the order of the shards, and confirmed when
    /// all are: see [`crate::reservation`].
    pub async fn acquire(&self, items: Vec<(Route, Item)>) -> (Decision, Option<Ticket>) {
        if let Err(refusal) = check(&items) {
            return (Decision::Invalid(refusal), None);
        }
        let deadline = Instant::now() + self.inner.deadline;
        let acquired = tokio::time::timeout_at(deadline, self.acquire_by(items, deadline)).await;
        let (decision, ticket) = acquired.unwrap_or((Decision::Unavailable, None));
        if decision == Decision::Unavailable {
            self.inner.stats.count_unavailable().add(1);
        }
        (decision, ticket)
    }

    /// Reads the items' counters, and changes nothing.
    pub async fn peek(&self, items: Vec<(Route, Item)>) -> Result<ItemStates, PeekError> {
        check(&items)?;
        let deadline = Instant::now() + self.inner.deadline;
        let peeked = tokio::time::timeout_at(deadline, self.peek_by(items, deadline)).await;
        peeked.unwrap_or(Err(PeekError::Unavailable))
    }

    /// What the client counts about itself.
    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    /// Whether every shard's stream is open.
    pub fn is_connected(&self) -> bool {
        let shards = self.inner.shards.borrow();
        shards
            .as_ref()
            .is_some_and(|shards| shards.iter().all(ShardHandle::is_connected))
    }

    /// Ends the client: requests that wait are answered as unavailable, and refunds are sent
    /// until they are acknowledged, for at most [`SHUTDOWN_MAX`]. What is settled needs no
    /// farewell: the service forgets it by itself.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        let task = self
            .inner
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut task) = task else { return };
        if tokio::time::timeout(SHUTDOWN_MAX * 2, &mut task)
            .await
            .is_err()
        {
            tracing::warn!("the client of the counter service did not end in time");
            task.abort();
        }
    }

    async fn shards(&self) -> Option<Shards> {
        let mut shards = self.inner.shards.clone();
        let known = shards.wait_for(Option::is_some).await.ok()?;
        known.clone()
    }

    async fn acquire_by(
        &self,
        items: Vec<(Route, Item)>,
        deadline: Instant,
    ) -> (Decision, Option<Ticket>) {
        let Some(shards) = self.shards().await else {
            return (Decision::Unavailable, None);
        };
        let groups = group(&items, &shards);
        let [(shard, _)] = groups[..] else {
            return self.reserve_by(&items, &groups, &shards, deadline).await;
        };
        let asked = items.into_iter().map(|(_, item)| item).collect();
        let shard = &shards[shard as usize];
        match shard.ask(Want::Acquire, asked, deadline).await {
            Reply::Admitted {
                taken,
                items,
                position,
            } => {
                let ticket = Ticket::new(vec![taken], self.inner.clock.clone());
                (Decision::Admitted { items, position }, Some(ticket))
            }
            Reply::Refused(decision) | Reply::Contended(decision) => (decision, None),
            _ => (Decision::Unavailable, None),
        }
    }

    /// Reserves in every shard and confirms everywhere, again and again until it is decided or the
    /// deadline has come.
    async fn reserve_by(
        &self,
        items: &[(Route, Item)],
        groups: &[Group],
        shards: &Shards,
        deadline: Instant,
    ) -> (Decision, Option<Ticket>) {
        loop {
            match reservation::reserve(items, groups, shards, deadline).await {
                Reservation::Confirmed {
                    taken,
                    items,
                    position,
                } => {
                    let ticket = Ticket::new(taken, self.inner.clock.clone());
                    return (Decision::Admitted { items, position }, Some(ticket));
                }
                Reservation::Refused(decision) => return (decision, None),
                Reservation::Contended(decision) if is_late(deadline) => return (decision, None),
                Reservation::Lapsed if is_late(deadline) => return (Decision::Unavailable, None),
                Reservation::Contended(_) | Reservation::Lapsed => {
                    tokio::time::sleep(CONTENDED_PAUSE).await;
                }
            }
        }
    }

    async fn peek_by(
        &self,
        items: Vec<(Route, Item)>,
        deadline: Instant,
    ) -> Result<ItemStates, PeekError> {
        let shards = self.shards().await.ok_or(PeekError::Unavailable)?;
        let mut states: ItemStates = items.iter().map(|(_, item)| untouched(item)).collect();
        for (shard, places) in group(&items, &shards) {
            let asked = pick(&items, &places);
            match shards[shard as usize]
                .ask(Want::Peek, asked, deadline)
                .await
            {
                Reply::Peeked(items) => place(&mut states, &places, &items),
                Reply::Refused(Decision::Invalid(invalid)) => return Err(invalid.into()),
                _ => return Err(PeekError::Unavailable),
            }
        }
        Ok(states)
    }
}

/// Learns how many shards there are, and then owns their owners.
async fn run(
    config: Config,
    dialer: Dialer,
    clock: Clock,
    stats: Arc<Stats>,
    publish: watch::Sender<Option<Shards>>,
    stop: CancellationToken,
) {
    let leaders = tokio::select! {
        biased;
        () = stop.cancelled() => return,
        leaders = leaders(&config, &dialer, &stats) => leaders,
    };
    let mut owners = Vec::with_capacity(leaders.len());
    let mut handles = Vec::with_capacity(leaders.len());
    for (shard, leader) in (0_u32..).zip(&leaders) {
        let (sender, requests) = mpsc::channel(config.queue_max);
        let shared = Arc::new(Shared::new(clock.clone(), stats.clone()));
        handles.push(ShardHandle {
            requests: sender,
            shared: shared.clone(),
        });
        let (dialer, stop) = (dialer.clone(), stop.clone());
        let owner = Owner::new(shard, leader, &config, dialer, shared, requests, stop);
        owners.push(tokio::spawn(owner.run()));
    }
    publish.send_replace(Some(handles.into()));
    for owner in owners {
        if let Err(error) = owner.await {
            tracing::error!(%error, "the owner of a shard failed");
        }
    }
}

/// Asks one node after the other for the shards and their leaders.
async fn leaders(config: &Config, dialer: &Dialer, stats: &Stats) -> Vec<String> {
    let mut nodes = Nodes::new(config.nodes.clone(), config.seed);
    let mut backoff = Backoff::new(config.seed);
    loop {
        let now = Instant::now();
        let address = nodes.pick(now);
        match link::leaders(dialer, &address, config.connect_timeout).await {
            Ok(leaders) => return leaders,
            Err(error) => {
                tracing::debug!(node = address, error = &error as &dyn std::error::Error);
                stats.count_connect_failures().add(1);
                nodes.fail(&address, Instant::now());
                if nodes.is_round_over() {
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
    }
}

/// Refuses what the service would refuse, without asking it: there one bad command costs the
/// others of its message an attempt.
fn check(items: &[(Route, Item)]) -> Result<(), Invalid> {
    if items.is_empty() || items.len() > ITEMS_MAX {
        return Err(Refusal::ItemCount.into());
    }
    for (at, (route, item)) in items.iter().enumerate() {
        if item.units > UNITS_MAX || item.max > UNITS_MAX {
            return Err(Refusal::UnitsTooLarge.into());
        }
        if let Window::Duration { ms } = item.window
            && !(WINDOW_MS_MIN..=WINDOW_MS_MAX).contains(&ms)
        {
            return Err(Invalid::Malformed(
                "a window lasts from 1 second to 366 days".to_owned(),
            ));
        }
        for (other_route, other) in &items[..at] {
            let is_same = other.key == item.key && other.window == item.window;
            let is_alike = (other.max, other.revision, other.algorithm, other.shadow)
                == (item.max, item.revision, item.algorithm, item.shadow);
            if is_same && !(is_alike && route == other_route) {
                return Err(Refusal::ConflictingItems.into());
            }
        }
    }
    Ok(())
}

fn group(items: &[(Route, Item)], shards: &[ShardHandle]) -> Vec<Group> {
    let count = u32::try_from(shards.len()).expect("at most SHARDS_MAX");
    let mut groups = BTreeMap::<u32, SmallVec<[usize; 1]>>::new();
    for (at, (route, _)) in items.iter().enumerate() {
        groups.entry(route.shard(count)).or_default().push(at);
    }
    groups.into_iter().collect()
}

/// Whether there is no time left to try once more.
fn is_late(deadline: Instant) -> bool {
    Instant::now() + CONTENDED_PAUSE + CONTENDED_MARGIN >= deadline
}

pub(crate) fn pick(items: &[(Route, Item)], places: &[usize]) -> Items {
    places.iter().map(|at| items[*at].1.clone()).collect()
}

pub(crate) fn place(states: &mut ItemStates, places: &[usize], of_places: &[ItemState]) {
    for (at, state) in places.iter().zip(of_places) {
        states[*at] = *state;
    }
}

/// An item whose counter was not asked.
pub(crate) fn untouched(item: &Item) -> ItemState {
    ItemState {
        fits: true,
        remaining: item.max,
        max: item.max,
        reset_after_ms: 0,
    }
}
