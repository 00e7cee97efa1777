//! Connections that carry one request at a time: as many as requests may be in flight.

use crate::carrier::{Carrier, Flights, drive};
use crate::failure::Failure;
use crate::lane::{Lane, Order};
use crate::tally::Counted;
use crate::timer::Timer;

/// A connection that is idle, or has one request on it.
pub(crate) trait Ask: Sized + Send + 'static {
    /// Sends the next request and counts its answer. An error ends the run.
    fn ask(self) -> impl Future<Output = Result<(Self, Counted), Failure>> + Send;
}

/// The connections of one lane.
#[derive(Debug)]
pub(crate) struct Pool<C> {
    connections: Connections<C>,
    timer: Timer,
}

/// Those that are idle, and those with a request on them.
#[derive(Debug)]
struct Connections<C> {
    idle: Vec<C>,
    flights: Flights<Result<(u64, C, Counted), Failure>>,
}

// === impl Pool ===

impl<C: Ask> Pool<C> {
    /// Takes the connections; the first is used first.
    pub(crate) fn new(mut connections: Vec<C>) -> Result<Self, Failure> {
        // The last is taken first.
        connections.reverse();
        Ok(Self {
            connections: Connections {
                idle: connections,
                flights: Flights::new(),
            },
            timer: Timer::new()?,
        })
    }

    /// Moves the requests of `lane` until it is over and everything is answered.
    pub(crate) async fn drive(&mut self, lane: &mut Lane) -> Result<(), Failure> {
        drive(&mut self.connections, &mut self.timer, lane).await
    }
}

// === impl Connections ===

impl<C: Ask> Carrier for Connections<C> {
    fn send(&mut self, order: Order) -> Result<(), Failure> {
        let connection = self.idle.pop().expect("as many as may be in flight");
        self.flights.begin(async move {
            let (connection, counted) = connection.ask().await?;
            Ok((order.ordinal, connection, counted))
        });
        Ok(())
    }

    async fn answer(&mut self, _batch: u64) -> Result<(u64, Counted), Failure> {
        let (ordinal, connection, counted) = self.flights.next().await?;
        self.idle.push(connection);
        Ok((ordinal, counted))
    }
}
