//! The task that owns a shard: it keeps a stream to the leader and carries messages between it
//! and the book. One place awaits, the others only apply.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quotum_api::counter::DecideResponse;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::book::{Book, Bounds, Heard};
use super::link::{Link, LinkError};
use super::{Request, Shared};
use crate::backoff::Backoff;
use crate::config::Config;
use crate::dialer::Dialer;
use crate::limits::{REFUSALS_MAX, SHUTDOWN_MAX, STAY};
use crate::nodes::Nodes;

pub(crate) struct Owner {
    book: Book,
    nodes: Nodes,
    dialer: Dialer,
    attempt_timeout: Duration,
    connect_timeout: Duration,
    messages_max: usize,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    arrivals: Vec<Request>,
    stop: CancellationToken,
    /// When to end, once the client is shutting down.
    end_at: Option<Instant>,
    link: Option<Link>,
    dialing: Option<Dialing>,
    backoff: Backoff,
    /// Refusals in a row.
    refusals: u32,
    /// Nothing is sent before this.
    pause_until: Instant,
    /// No node is dialled before this, while there is no link.
    dial_at: Instant,
    /// No hint is followed before this.
    stay_until: Instant,
}

/// What can happen to a shard's owner.
enum Event {
    Stop,
    Heard(Option<DecideResponse>),
    Dialed(String, Result<Link, LinkError>),
    Refund,
    Arrived(usize),
    Time,
}

type Dialing = Pin<Box<dyn Future<Output = (String, Result<Link, LinkError>)> + Send>>;

/// When nothing is due.
const IDLE: Duration = Duration::from_secs(3_600);

// === impl Owner ===

impl Owner {
    pub(crate) fn new(
        shard: u32,
        leader: &str,
        config: &Config,
        dialer: Dialer,
        shared: Arc<Shared>,
        requests: mpsc::Receiver<Request>,
        stop: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        let seed = config.seed.wrapping_add(u64::from(shard));
        let bounds = Bounds {
            asks_max: config.queue_max,
            commands_max: config.message_commands_max,
            messages_max: config.messages_in_flight_max,
        };
        let mut nodes = Nodes::new(config.nodes.clone(), seed);
        nodes.hint(leader, now);
        Self {
            book: Book::new(shard, bounds, shared.clone()),
            nodes,
            dialer,
            attempt_timeout: config.attempt_timeout,
            connect_timeout: config.connect_timeout,
            messages_max: config.messages_in_flight_max,
            shared,
            requests,
            arrivals: Vec::new(),
            stop,
            end_at: None,
            link: None,
            dialing: None,
            backoff: Backoff::new(seed),
            refusals: 0,
            pause_until: now,
            dial_at: now,
            stay_until: now,
        }
    }

    /// Runs until the client stops, and then until all refunds are acknowledged or
    /// [`SHUTDOWN_MAX`] has passed.
    pub(crate) async fn run(mut self) {
        loop {
            let now = Instant::now();
            self.book.tick(now);
            let has_ended = self
                .end_at
                .is_some_and(|end| self.book.is_settled() || now >= end);
            if has_ended {
                break;
            }
            self.check_attempts(now);
            self.send(now);
            if self.link.is_none() && self.dialing.is_none() && now >= self.dial_at {
                self.dial(now);
            }
            let event = self.next_event(now).await;
            self.apply(event, Instant::now());
        }
        self.shared.is_connected.store(false, Ordering::Relaxed);
    }

    async fn next_event(&mut self, now: Instant) -> Event {
        let wake_at = self.wake_at(now);
        let room = self.book.room();
        let is_stopping = self.end_at.is_some();
        let Self {
            link,
            dialing,
            requests,
            arrivals,
            stop,
            shared,
            ..
        } = self;
        tokio::select! {
            biased;
            () = stop.cancelled(), if !is_stopping => Event::Stop,
            answer = hear(link) => Event::Heard(answer),
            (address, dialed) = finish(dialing) => Event::Dialed(address, dialed),
            () = shared.desk.refund_reported() => Event::Refund,
            count = requests.recv_many(arrivals, room), if room > 0 && !is_stopping => {
                Event::Arrived(count)
            }
            () = tokio::time::sleep_until(wake_at) => Event::Time,
        }
    }

    fn apply(&mut self, event: Event, now: Instant) {
        match event {
            // The last client is gone, too.
            Event::Stop | Event::Arrived(0) => {
                self.requests.close();
                while let Ok(request) = self.requests.try_recv() {
                    self.book.push(request);
                }
                self.book.abandon_all(now);
                self.end_at = Some(now + SHUTDOWN_MAX);
            }
            Event::Arrived(_) => {
                for request in self.arrivals.drain(..) {
                    self.book.push(request);
                }
            }
            Event::Heard(Some(answer)) => self.hear(answer, now),
            Event::Heard(None) => self.lose_link(now),
            Event::Dialed(address, dialed) => self.finish_dial(&address, dialed, now),
            Event::Refund | Event::Time => {}
        }
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let mut wake_at = now + IDLE;
        let attempt = self.book.oldest_sent().map(|at| at + self.attempt_timeout);
        let pause = (self.pause_until > now).then_some(self.pause_until);
        let is_down = self.link.is_none() && self.dialing.is_none();
        let dial = is_down.then_some(self.dial_at);
        for due in [self.book.next_tick(), attempt, pause, dial, self.end_at]
            .into_iter()
            .flatten()
        {
            wake_at = wake_at.min(due);
        }
        wake_at
    }

    /// Gives the stream up when the oldest message on it is not answered in time.
    fn check_attempts(&mut self, now: Instant) {
        let oldest = self.book.oldest_sent();
        if oldest.is_some_and(|at| now >= at + self.attempt_timeout) {
            self.shared.stats.count_attempts_timed_out().add(1);
            self.lose_link(now);
        }
    }

    fn send(&mut self, now: Instant) {
        if now < self.pause_until {
            return;
        }
        while let Some(link) = &self.link {
            let Some(message) = self.book.next_message(now) else {
                break;
            };
            if !link.send(message) {
                self.lose_link(now);
            }
        }
    }

    fn hear(&mut self, answer: DecideResponse, now: Instant) {
        let leader = answer.leader.clone();
        let heard = self.book.hear(answer, now);
        let Some(link) = &self.link else { return };
        let is_elsewhere = !leader.is_empty() && leader != link.address;
        if heard == Heard::Decided {
            self.nodes.succeed(&link.address);
            self.backoff.reset();
            self.refusals = 0;
            if is_elsewhere && now >= self.stay_until {
                self.follow(&leader, now);
            }
            return;
        }
        self.refusals += 1;
        let pause = match heard {
            Heard::NoLeader => self.backoff.election_pause(),
            _ => self.backoff.pause(),
        };
        self.pause_until = now + pause;
        if self.dialing.is_some() || (is_elsewhere && self.follow(&leader, now)) {
            return;
        }
        if self.refusals >= REFUSALS_MAX {
            // Another node may know better.
            self.refusals = 0;
            self.drop_link();
            self.dial_at = self.pause_until;
        }
    }

    /// Dials the leader that was named, while the present link goes on serving.
    fn follow(&mut self, leader: &str, now: Instant) -> bool {
        if self.dialing.is_some() || !self.nodes.hint(leader, now) {
            return false;
        }
        self.shared.forget_denials();
        self.dial(now);
        true
    }

    fn dial(&mut self, now: Instant) {
        let address = self.nodes.pick(now);
        let (dialer, messages_max) = (self.dialer.clone(), self.messages_max);
        let timeout = self.connect_timeout;
        self.dialing = Some(Box::pin(async move {
            let dialed = Link::open(&dialer, address.clone(), messages_max, timeout).await;
            (address, dialed)
        }));
    }

    fn finish_dial(&mut self, address: &str, dialed: Result<Link, LinkError>, now: Instant) {
        match dialed {
            Ok(link) => {
                tracing::debug!(node = address, "a stream of decisions is open");
                self.drop_link();
                self.shared.stats.count_connections().add(1);
                self.shared.is_connected.store(true, Ordering::Relaxed);
                self.pause_until = now;
                self.stay_until = now + STAY;
                self.link = Some(link);
            }
            Err(error) => {
                tracing::debug!(node = address, error = &error as &dyn std::error::Error);
                self.shared.stats.count_connect_failures().add(1);
                self.fail(address, now);
            }
        }
    }

    fn lose_link(&mut self, now: Instant) {
        let Some(address) = self.link.as_ref().map(|link| link.address.clone()) else {
            return;
        };
        self.drop_link();
        self.fail(&address, now);
    }

    /// Ends the link, if there is one. What was on its way is sent again over the next.
    fn drop_link(&mut self) {
        if self.link.take().is_some() {
            self.shared.is_connected.store(false, Ordering::Relaxed);
            self.shared.forget_denials();
        }
        self.book.lose_messages();
    }

    fn fail(&mut self, address: &str, now: Instant) {
        self.nodes.fail(address, now);
        // The others are tried at once; when all have failed, after a pause.
        self.dial_at = if self.nodes.is_round_over() {
            now + self.backoff.pause()
        } else {
            now
        };
    }
}

/// The next answer; never, without a link.
async fn hear(link: &mut Option<Link>) -> Option<DecideResponse> {
    match link {
        Some(link) => link.hear().await,
        None => std::future::pending().await,
    }
}

/// What became of the dialing; never anything, without one.
async fn finish(dialing: &mut Option<Dialing>) -> (String, Result<Link, LinkError>) {
    match dialing {
        Some(future) => {
            let dialed = future.await;
            *dialing = None;
            dialed
        }
        None => std::future::pending().await,
    }
}
