//! Limits: how many units of a counter a window holds, and who shares it.

use std::sync::Arc;

use quotum_limit::{Algorithm, Item, Key, Window};

use crate::condition::ArgumentPath;
use crate::identity::Subject;

/// The owner of the limits of `all_tools`.
pub const ALL_TOOLS: &str = "*";

/// One limit of a policy, of a tool or of `all_tools`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub(crate) counter: String,
    pub(crate) owner: String,
    pub(crate) pointer: String,
    pub(crate) window: Window,
    pub(crate) algorithm: Algorithm,
    pub(crate) max: u64,
    pub(crate) scope: Scope,
    pub(crate) mode: Mode,
    pub(crate) on_unavailable: OnUnavailable,
    pub(crate) on_deny: Option<String>,
    pub(crate) increment: Increment,
}

/// Who shares the count of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One grant by itself.
    Grant,
    /// One MCP session of a grant; the grant where the protocol version has no sessions.
    Session,
    /// All grants of the server.
    Server,
    /// The whole cluster: all servers, all tools, all counters of that name and window.
    Global,
}

/// What a limit does with a call that it has no units for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    Enforce,
    /// Counts, says what it would deny, and never denies.
    Shadow,
}

/// What happens to a call while no counter answers within the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnUnavailable {
    Deny,
    Allow,
}

/// How many units a call takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Increment {
    Units(u64),
    /// As many as this argument says.
    Argument(ArgumentPath),
}

/// A limit that a call must take units from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitUse {
    pub limit: Arc<Limit>,
    pub units: u64,
}

// === impl Limit ===

impl Limit {
    /// The name of the counter, unique within its owner.
    pub fn counter(&self) -> &str {
        &self.counter
    }

    /// The tool that the limit belongs to, or [`ALL_TOOLS`].
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The rule name in decisions: `/tools/<tool>/limits/<counter>` or
    /// `/all_tools/limits/<counter>`.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    pub fn window(&self) -> Window {
        self.window
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The length of the window, in milliseconds.
    pub fn window_ms(&self) -> u64 {
        match self.algorithm {
            Algorithm::Fixed => self.window.length_ms(),
            Algorithm::Sliding => self.window.sliding_ms(),
        }
    }

    /// Units that one window admits.
    pub fn max(&self) -> u64 {
        self.max
    }

    pub fn scope(&self) -> Scope {
        self.scope
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn on_unavailable(&self) -> OnUnavailable {
        self.on_unavailable
    }

    /// The text for the agent in place of the default one.
    pub fn on_deny(&self) -> Option<&str> {
        self.on_deny.as_deref()
    }

    pub fn increment(&self) -> &Increment {
        &self.increment
    }

    /// Whose count it is for a call of `grant` in `session`.
    pub fn subject<'a>(&self, grant: &'a str, session: Option<&'a str>) -> Subject<'a> {
        match (self.scope, session) {
            (Scope::Session, Some(session)) => Subject::Session { grant, session },
            (Scope::Grant | Scope::Session, _) => Subject::Grant(grant),
            (Scope::Server, _) => Subject::Server,
            (Scope::Global, _) => Subject::Global,
        }
    }
}

// === impl LimitUse ===

impl LimitUse {
    /// The item to acquire, under the revision of the policy that the limit comes from.
    pub fn item(&self, key: Key, revision: u64) -> Item {
        Item {
            key,
            max: self.limit.max,
            revision,
            window: self.limit.window,
            algorithm: self.limit.algorithm,
            units: self.units,
            shadow: self.limit.mode == Mode::Shadow,
        }
    }
}
