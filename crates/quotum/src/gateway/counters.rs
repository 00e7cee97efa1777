//! The gateway's seam to the counter service, filled by its client.

use quotum_client::{Client, Decision, Route};
use quotum_gateway::counters;
use quotum_limit::Item;

/// The client of the counter service, as the gateway asks it.
#[derive(Debug, Clone)]
pub(crate) struct ClientCounters(Client);

/// The right to use what the client was given.
#[derive(Debug)]
pub(crate) struct ClientTicket(quotum_client::Ticket);

// === impl ClientCounters ===

impl ClientCounters {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }
}

impl counters::Counters for ClientCounters {
    type Ticket = ClientTicket;

    async fn acquire(&self, items: Vec<(Route, Item)>) -> (Decision, Option<ClientTicket>) {
        let (decision, ticket) = self.0.acquire(items).await;
        (decision, ticket.map(ClientTicket))
    }
}

// === impl ClientTicket ===

impl counters::Ticket for ClientTicket {
    fn is_valid(&self) -> bool {
        self.0.is_valid()
    }

    fn refund(self) {
        self.0.refund();
    }
}
