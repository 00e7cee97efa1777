//! Connections that carry one request at a time: as many as requests may be in flight.

use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::failure::Failure;
use crate::lane::{Lane, Next};
use crate::tally::Counted;
use crate::timer::Timer;

/// A connection that is idle, or has one request on it.
pub(crate) trait Ask: Sized {
    /// Sends the next request and counts its answer. An error ends the run.
    async fn ask(self) -> Result<(Self, Counted), Failure>;
}

/// The connections of one lane.
#[derive(Debug)]
pub(crate) struct Pool<C> {
    idle: Vec<C>,
    timer: Timer,
}

// === impl Pool ===

impl<C: Ask> Pool<C> {
    /// Takes the connections; the first is used first.
    pub(crate) fn new(mut connections: Vec<C>) -> Result<Self, Failure> {
        // The last is taken first.
        connections.reverse();
        Ok(Self {
            idle: connections,
            timer: Timer::new()?,
        })
    }

    /// Moves the requests of `lane` until it is over and everything is answered.
    pub(crate) async fn drive(&mut self, lane: &mut Lane) -> Result<(), Failure> {
        let mut flights = FuturesUnordered::new();
        loop {
            let next = loop {
                match lane.next(Instant::now()) {
                    Next::Send(order) => {
                        let connection = self.idle.pop();
                        let connection = connection.expect("as many as may be in flight");
                        flights.push(async move { (order.ordinal, connection.ask().await) });
                    }
                    other => break other,
                }
            };
            if next == Next::Over && flights.is_empty() {
                return Ok(());
            }
            let due = match next {
                Next::Wait(due) => Some(due),
                _ => None,
            };
            tokio::select! {
                biased;
                Some((ordinal, asked)) = flights.next(), if !flights.is_empty() => {
                    let (connection, counted) = asked?;
                    self.idle.push(connection);
                    lane.answer(ordinal, Instant::now(), counted);
                }
                waited = self.timer.until(due.unwrap_or_else(Instant::now)), if due.is_some() => waited?,
            }
        }
    }
}
