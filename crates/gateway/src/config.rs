//! What an operator decides about a gateway, and what the process around it provides.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quotum_registry::{MasterKey, View};

use crate::room::Room;
use crate::session::SessionKeys;

#[cfg(test)]
mod tests;

/// The settings of a gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// Names under which it answers.
    pub hosts: Hosts,
    /// Pages whose scripts may call it, as browsers name them in `Origin`. Requests without that
    /// header come from programs and always pass.
    pub origins: Vec<String>,
    /// The key under which tokens are known.
    pub master_key: Arc<MasterKey>,
    /// The keys of session ids.
    pub session_keys: SessionKeys,
    /// Past this age of the registry's copy every request is refused.
    pub registry_staleness_max: Duration,
    /// How long open requests may go on after the gateway was told to stop.
    pub drain_timeout: Duration,
    /// How long an upstream may take until its reply begins.
    pub upstream_head_timeout: Duration,
    /// Requests that one grant may have open, streams included.
    pub open_requests_per_grant_max: usize,
    /// Where the bodies are that it holds.
    pub room: Room,
    /// Tells the wall-clock time, against which grants expire.
    pub clock: Clock,
}

/// Which names the gateway answers under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Any: something in front of the gateway checks the `Host`.
    Any,
    /// These, with the port where it is not the default one.
    Only(Vec<String>),
}

/// Milliseconds since the Unix epoch, now.
#[derive(Clone)]
pub struct Clock(pub Arc<dyn Fn() -> u64 + Send + Sync>);

/// The registry as it was when it was last heard of.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub view: Arc<View>,
    heard_at: Instant,
    age_then: Duration,
}

// === impl Clock ===

impl Clock {
    pub fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// A view that was known to be current `age` ago: zero if it was just received or confirmed,
    /// more if it comes from a file.
    pub fn new(view: Arc<View>, age: Duration) -> Self {
        Self {
            view,
            heard_at: Instant::now(),
            age_then: age,
        }
    }

    /// The time since the view was known to be current.
    pub fn age(&self) -> Duration {
        self.age_then.saturating_add(self.heard_at.elapsed())
    }
}
