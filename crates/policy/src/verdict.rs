//! Verdicts: what the document says about a call, before any counter is asked.

use crate::limit::LimitUse;

/// What the policy of a grant says about one call. Deciding is separate from acting: an allowed
/// call must still take its units, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Allow {
        /// The limits to take units from, the tool's before those of `all_tools`, in document
        /// order; none is left out for asking for no units.
        uses: Vec<LimitUse>,
        /// What limits in shadow mode would deny already: they are not in `uses`, since their
        /// argument names no units.
        would_deny: Vec<Denial>,
    },
    Deny(Denial),
}

/// Why a call is denied, and what to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub reason: Reason,
    /// The rule that decided, for decision records: a JSON pointer or a label in brackets.
    pub rule: String,
    /// The text for the agent, without a prefix.
    pub message: String,
    /// Answer with the JSON-RPC error -32602 and `message`, as for a tool that does not exist,
    /// and not with a result.
    pub unknown_tool: bool,
}

/// Which step of the evaluation denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The grant has no policy.
    NoPolicy,
    /// The tool is hidden.
    Hidden,
    /// The tool is not listed, and the default is to deny.
    DefaultDeny,
    /// The tool's `action` is to deny.
    Action,
    /// The arguments are no JSON object, or exceed a bound: no condition can be evaluated.
    Arguments,
    /// A group of `require` does not hold.
    Require,
    /// A group of `deny_if` holds, or is undecided.
    DenyIf,
    /// The argument that a limit counts is no number of units.
    Units,
}

/// The rule of a call without a policy.
pub const RULE_NO_POLICY: &str = "(no policy)";
/// The rule of a call to a hidden tool.
pub const RULE_HIDDEN: &str = "(hidden)";
/// The rule of a call to a tool that is not listed under `default: deny`.
pub const RULE_DEFAULT_DENY: &str = "(default deny)";
/// The rule of a call whose arguments cannot be read.
pub const RULE_ARGUMENTS: &str = "(arguments)";

// === impl Denial ===

impl Denial {
    /// The rule as the agent may see it: a hidden tool looks like one that is not listed.
    pub fn shown_rule(&self) -> &str {
        match self.reason {
            Reason::Hidden => RULE_DEFAULT_DENY,
            _ => &self.rule,
        }
    }
}

// === impl Reason ===

impl Reason {
    /// One word for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoPolicy => "no_policy",
            Self::Hidden => "hidden",
            Self::DefaultDeny => "default_deny",
            Self::Action => "action",
            Self::Arguments => "arguments",
            Self::Require => "require",
            Self::DenyIf => "deny_if",
            Self::Units => "units",
        }
    }
}
