//! What carries the requests of a lane: sends them when they are due, and counts them when they are
//! answered.

use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::failure::Failure;
use crate::lane::{Lane, Next, Order};
use crate::tally::Counted;
use crate::timer::Timer;

/// An open connection, or several.
pub(crate) trait Carrier {
    /// Sends a request. There is room for as many as may be in flight.
    fn send(&mut self, order: Order) -> Result<(), Failure>;

    /// The next answer: which request it is of, and what its `batch` decisions count. May be dropped
    /// and called again; without a request in flight it may wait for ever.
    async fn answer(&mut self, batch: u64) -> Result<(u64, Counted), Failure>;
}

/// Requests in flight, each of which ends by itself.
pub(crate) struct Flights<T>(FuturesUnordered<BoxFuture<'static, T>>);

/// Moves the requests of `lane` until it is over and everything is answered.
pub(crate) async fn drive(
    carrier: &mut impl Carrier,
    timer: &mut Timer,
    lane: &mut Lane,
) -> Result<(), Failure> {
    loop {
        let next = loop {
            match lane.next(Instant::now()) {
                Next::Send(order) => carrier.send(order)?,
                other => break other,
            }
        };
        if next == Next::Over && lane.is_idle() {
            return Ok(());
        }
        let due = match next {
            Next::Wait(due) => Some(due),
            _ => None,
        };
        tokio::select! {
            biased;
            answer = carrier.answer(lane.batch()) => {
                let (ordinal, counted) = answer?;
                lane.answer(ordinal, Instant::now(), counted);
            }
            waited = timer.until(due.unwrap_or_else(Instant::now)), if due.is_some() => waited?,
        }
    }
}

// === impl Flights ===

impl<T> Flights<T> {
    pub(crate) fn new() -> Self {
        Self(FuturesUnordered::new())
    }

    pub(crate) fn begin(&self, flight: impl Future<Output = T> + Send + 'static) {
        self.0.push(Box::pin(flight));
    }

    /// The next that ends; without any it waits for ever.
    pub(crate) async fn next(&mut self) -> T {
        match self.0.next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }
}

impl<T> std::fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Flights").field(&self.0.len()).finish()
    }
}
