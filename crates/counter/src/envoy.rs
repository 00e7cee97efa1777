//! Envoy's rate-limit API, and Kuadrant's beside it.
//!
//! Promises: one request is one atomic decision on the shard of its domain; what is denied, or
//! given up before it is answered, is not counted; every descriptor has a status, and none is
//! unknown. What a limit is, `quotum-descriptor` knows; here is what asks the counters.
//!
//! # Layout
//! * [`service`]: both services. [`asker`]: decisions under ids of this node's own.
//! * [`report`]: hits that have happened already. [`message`]: between the wire and the core.

mod asker;
mod message;
mod report;
mod service;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use quotum_descriptor::Config;
use quotum_telemetry::EnvoyMetrics;
use tokio::sync::watch;

pub(crate) use asker::Asker;
pub use message::{HeaderNames, InvalidHeader};
pub(crate) use service::RateLimits;

/// What the rate-limit API serves by.
#[derive(Debug, Clone)]
pub struct Envoy {
    /// The configuration in force; `None`: there is none yet, and nothing is decided.
    pub config: watch::Receiver<Option<Arc<Config>>>,
    /// The headers that answers carry, if any.
    pub headers: Option<HeaderNames>,
    pub metrics: EnvoyMetrics,
}
