//! The seam to the counter service: the real client, and one in memory for tests.
//!
//! The gateway asks once for all limits of a call, checks the ticket in the instant in which the
//! call leaves, and gives units back only where the call provably did not run. It never retries an
//! acquire that was answered: retries under one request id are the implementor's business.

use quotum_client::{Decision, Route};
use quotum_limit::Item;

/// Asks for units. One acquire for all the limits of a call: all are taken or none is.
pub trait Counters: Clone + Send + Sync + 'static {
    /// What an admission is used or given back with.
    type Ticket: Ticket;

    /// Takes the units of `items`, 1 to 16 of them, or none.
    ///
    /// Answers within the client's deadline, whatever happens. The ticket comes with
    /// [`Decision::Admitted`] and only then. If the future is dropped before it has answered, the
    /// implementor gives back what was taken nevertheless.
    fn acquire(
        &self,
        items: Vec<(Route, Item)>,
    ) -> impl Future<Output = (Decision, Option<Self::Ticket>)> + Send;
}

/// The right to use units that were taken. Dropped: they stay charged.
pub trait Ticket: Send + 'static {
    /// Whether the admission still holds: its windows have not ended. Checked right before use, so
    /// it must be cheap and must not block.
    fn is_valid(&self) -> bool;

    /// Gives the units back, because the call provably did not run. Returns at once; the client
    /// repeats it until the service has acknowledged it.
    fn refund(self);
}
