//! When a stream has to end: its grant is revoked, has expired or has left the registry, the
//! registry's copy is too old, or the gateway stops.

use std::sync::Arc;
use std::time::Duration;

use quotum_registry::view::Grant;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::config::{Clock, Snapshot};

/// How often time alone is looked at.
const RECHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Watches over one stream.
#[derive(Debug)]
pub struct Ending {
    registry: watch::Receiver<Snapshot>,
    staleness_max: Duration,
    clock: Clock,
    recheck: Interval,
    /// Ends streams that would go on for ever; `None`: the stream ends by itself.
    shutdown: Option<CancellationToken>,
}

/// What became of the grant of a stream.
#[derive(Debug)]
pub enum Standing {
    /// As the registry has it now.
    Good(Arc<Grant>),
    Ended,
}

// === impl Ending ===

impl Ending {
    pub fn new(
        registry: watch::Receiver<Snapshot>,
        staleness_max: Duration,
        clock: Clock,
        shutdown: Option<CancellationToken>,
    ) -> Self {
        let mut recheck = tokio::time::interval(RECHECK_INTERVAL);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            registry,
            staleness_max,
            clock,
            recheck,
            shutdown,
        }
    }

    /// Waits until the grant has to be looked at again, and looks. Can be dropped while it waits.
    pub async fn watch(&mut self, grant: &Grant) -> Standing {
        let stopping = async {
            match &self.shutdown {
                Some(shutdown) => shutdown.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stopping => return Standing::Ended,
            changed = self.registry.changed() => {
                // Nobody tells of changes any more: the copy ages, and the clock ends the stream.
                if changed.is_err() {
                    self.recheck.tick().await;
                }
            }
            _ = self.recheck.tick() => {}
        }
        self.standing(grant)
    }

    fn standing(&mut self, grant: &Grant) -> Standing {
        let snapshot = self.registry.borrow_and_update();
        if snapshot.age() > self.staleness_max {
            return Standing::Ended;
        }
        let Some(now) = snapshot.view.grant(grant.id.as_str()) else {
            return Standing::Ended;
        };
        let expired = now
            .expires_at_ms
            .is_some_and(|end| self.clock.now_ms() >= end);
        let moved = now.server.spec.name != grant.server.spec.name
            || now.server.spec.url != grant.server.spec.url;
        if now.revoked || expired || moved {
            return Standing::Ended;
        }
        Standing::Good(Arc::clone(now))
    }
}
