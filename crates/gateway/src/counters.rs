//! The seam to the counter service: the real client, and one in memory for tests.

use quotum_client::{Decision, Route};
use quotum_limit::Item;

/// Asks for units. One acquire for all the limits of a call: all are taken or none is.
pub trait Counters: Clone + Send + Sync + 'static {
    type Ticket: Ticket;

    /// Answers within the client's deadline, whatever happens. The ticket comes with
    /// [`Decision::Admitted`] and only then.
    fn acquire(
        &self,
        items: Vec<(Route, Item)>,
    ) -> impl Future<Output = (Decision, Option<Self::Ticket>)> + Send;
}

/// The right to use units that were taken. Dropped: they stay charged.
pub trait Ticket: Send + 'static {
    /// Whether the admission still holds: its windows have not ended. Checked right before use.
    fn is_valid(&self) -> bool;

    /// Gives the units back, because the call provably did not run. Returns at once; the client
    /// repeats it until the service has acknowledged it.
    fn refund(self);
}
