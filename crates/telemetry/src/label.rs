//! Closed label sets: every value that these labels can have, and no other.

use serde::{Serialize, Serializer};

#[cfg(test)]
mod tests;

/// A label whose values are all known.
pub trait ClosedLabel: Copy + 'static {
    const ALL: &'static [Self];

    /// The value as metrics and records write it.
    fn as_str(self) -> &'static str;

    /// The place in [`Self::ALL`].
    fn index(self) -> usize;
}

macro_rules! closed_label {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$of])* $variant,)+
        }

        impl ClosedLabel for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

closed_label! {
    /// How a governed call ended.
    Outcome {
        Allowed = "allowed",
        Denied = "denied",
        Hidden = "hidden",
        /// Allowed, though a shadow limit would have denied it.
        ShadowDenied = "shadow_denied",
        /// Decided by `on_unavailable`, for want of an answer.
        Unavailable = "unavailable",
    }
}

closed_label! {
    /// What decided it.
    Reason {
        Limit = "limit",
        Units = "units",
        DefaultDeny = "default_deny",
        Hidden = "hidden",
        Action = "action",
        Require = "require",
        DenyIf = "deny_if",
        NoPolicy = "no_policy",
        Unavailable = "unavailable",
        None = "none",
    }
}

closed_label! {
    /// What answered for the counters.
    Path {
        Exact = "exact",
        DenyCache = "deny_cache",
        /// No counter was asked.
        None = "none",
    }
}

closed_label! {
    /// The step of the gateway that refused a request before any decision.
    Stage {
        Http = "http",
        Auth = "auth",
        Parse = "parse",
        Shape = "shape",
        Era = "era",
        Session = "session",
        Method = "method",
        /// The bytes of bodies that the gateway may hold.
        Room = "room",
    }
}

closed_label! {
    /// The class of an HTTP status.
    StatusClass {
        Informational = "1xx",
        Success = "2xx",
        Redirection = "3xx",
        ClientError = "4xx",
        ServerError = "5xx",
        /// There was no answer.
        None = "none",
    }
}

closed_label! {
    /// The API through which the counter service was asked.
    Api {
        NativeStream = "native_stream",
        NativeUnary = "native_unary",
        Envoy = "envoy",
        Kuadrant = "kuadrant",
    }
}

closed_label! {
    /// The methods of the rate-limit API.
    EnvoyMethod {
        ShouldRateLimit = "ShouldRateLimit",
        CheckRateLimit = "CheckRateLimit",
        Report = "Report",
    }
}

closed_label! {
    /// What the counter service answered.
    CounterOutcome {
        Admitted = "admitted",
        Denied = "denied",
        Cancelled = "cancelled",
        Expired = "expired",
        Exhausted = "exhausted",
        Invalid = "invalid",
        Unavailable = "unavailable",
    }
}

closed_label! {
    /// Why units were given back.
    RefundReason {
        NotExecuted = "not_executed",
        AnyFailure = "any_failure",
        /// The decision came too late or not at all.
        Abandoned = "abandoned",
    }
}

closed_label! {
    /// Why a decision record was not written.
    DropReason {
        QueueFull = "queue_full",
        WriteFailed = "write_failed",
    }
}

closed_label! {
    /// Which bound made a label `other`.
    Overflow {
        /// One label had too many values, or a value was too long.
        Value = "value",
        /// One metric had too many label sets.
        Series = "series",
    }
}

closed_label! {
    /// The method of an MCP request, and the two HTTP requests that carry none.
    Method {
        Initialize = "initialize",
        Ping = "ping",
        ToolsList = "tools/list",
        ToolsCall = "tools/call",
        ResourcesList = "resources/list",
        ResourcesRead = "resources/read",
        ResourcesTemplatesList = "resources/templates/list",
        ResourcesSubscribe = "resources/subscribe",
        ResourcesUnsubscribe = "resources/unsubscribe",
        PromptsList = "prompts/list",
        PromptsGet = "prompts/get",
        CompletionComplete = "completion/complete",
        LoggingSetLevel = "logging/setLevel",
        ServerDiscover = "server/discover",
        Tasks = "tasks",
        Notification = "notification",
        Response = "response",
        /// An HTTP GET: the stream of a session.
        Stream = "stream",
        /// An HTTP DELETE: the end of a session.
        SessionEnd = "session_end",
        Other = "other",
    }
}

// === impl StatusClass ===

impl StatusClass {
    /// The class of a status; `None` for what is no status.
    pub fn of(status: u16) -> Self {
        match status / 100 {
            1 => Self::Informational,
            2 => Self::Success,
            3 => Self::Redirection,
            4 => Self::ClientError,
            5 => Self::ServerError,
            _ => Self::None,
        }
    }
}

// === impl Method ===

impl Method {
    /// The label of an MCP method's name.
    pub fn of(name: &str) -> Self {
        if name.starts_with("tasks/") {
            return Self::Tasks;
        }
        if name.starts_with("notifications/") {
            return Self::Notification;
        }
        let named = |method: &&Self| method.as_str() == name && method.as_str().contains('/');
        match name {
            "initialize" => Self::Initialize,
            "ping" => Self::Ping,
            _ => Self::ALL.iter().find(named).copied().unwrap_or(Self::Other),
        }
    }
}

closed_label! {
    /// A port that others connect to.
    Listener {
        /// Gateways, Envoy and operators, at a counter node.
        Clients = "clients",
        /// The other counter nodes.
        Peers = "peers",
        /// MCP clients, at a gateway.
        Agents = "agents",
    }
}

closed_label! {
    /// Why a connection was closed before its first request.
    ConnectionRefusal {
        /// Its address has as many connections as one may have.
        Address = "address",
        /// It did not get through TLS, in time or at all.
        Handshake = "handshake",
        /// It said nothing in time.
        Silent = "silent",
    }
}

closed_label! {
    /// Why a call was refused before any service saw it.
    CallRefusal {
        /// The caller's certificate does not open this service.
        Role = "role",
        /// As many calls as may be are open.
        Busy = "busy",
        /// The request did not come in time.
        Late = "late",
    }
}

closed_label! {
    /// A certificate of this process, by what it is for.
    Certificate {
        /// Shown by the port that clients or agents use.
        Listen = "listen",
        /// Between counter nodes.
        Peers = "peers",
        /// Shown by a gateway to counter nodes.
        Counters = "counters",
    }
}

closed_label! {
    /// What became of a changed file.
    Reload {
        Loaded = "loaded",
        Refused = "refused",
    }
}
