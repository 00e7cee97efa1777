//! The policy document: parse, validate, compile, decide. Pure.
//!
//! Promises: a document is understood whole or refused with everything that is wrong with it; a
//! decision depends on the document, the tool and the arguments alone; numbers are exact; what
//! cannot be decided is denied. Knows nothing of counters, grants or time: an allowed call comes
//! with the limits that somebody else must take its units from.
//!
//! # Layout
//! * [`json`], [`number`], [`mod@pointer`]: a strict reader that knows the place of every value.
//! * [`problem`], `checker`: what is wrong with a document, and where.
//! * `compile`: from a document to a policy.
//! * [`policy`], [`condition`], [`limit`]: the policy and its parts.
//! * [`mod@decide`], [`verdict`], [`mod@explain`]: what it says about a call, and why.
//! * [`text`]: what the agent reads.
//! * [`identity`]: the keys of counters.
//! * [`cases`]: documents with calls and the decisions that they must lead to.
//! * [`limits`]: the named maximum of everything here.

mod checker;
mod compile;

pub mod cases;
pub mod condition;
pub mod decide;
pub mod explain;
pub mod identity;
pub mod json;
pub mod limit;
pub mod limits;
pub mod number;
pub mod pointer;
pub mod policy;
pub mod problem;
pub mod text;
pub mod verdict;

pub use condition::{ArgumentPath, Operator, Truth};
pub use decide::decide;
pub use explain::{Effect, Explanation, Step, explain};
pub use identity::{Subject, counter_key};
pub use limit::{ALL_TOOLS, Increment, Limit, LimitUse, Mode, OnUnavailable, Scope};
pub use policy::{Policy, Unlisted};
pub use problem::{PolicyError, Problem};
pub use verdict::{Denial, Reason, Verdict};
