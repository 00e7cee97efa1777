//! The compiled policy: what a document says, ready to be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::compile;
use crate::condition::{Condition, Truth};
use crate::decide;
use crate::explain::{Explanation, Trace};
use crate::json::{self, Bounds, Node};
use crate::limit::{Increment, Limit};
use crate::problem::PolicyError;
use crate::verdict::Verdict;

/// A policy document, checked and compiled. Immutable; share it behind an `Arc`.
#[derive(Debug)]
pub struct Policy {
    pub(crate) unlisted: Unlisted,
    pub(crate) hides_all: bool,
    pub(crate) hidden: BTreeSet<String>,
    pub(crate) tools: BTreeMap<String, Rules>,
    pub(crate) all_tools: Rules,
}

/// What happens to calls of tools that are not listed: the member `default`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unlisted {
    Allow,
    Deny,
}

/// The rules of one tool, or of `all_tools`.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Denies every call.
    pub(crate) action_deny: Option<ActionDeny>,
    pub(crate) require: Vec<Group>,
    pub(crate) deny_if: Vec<Group>,
    pub(crate) limits: Vec<Arc<Limit>>,
}

/// The shorthand `action: deny`.
#[derive(Debug)]
pub(crate) struct ActionDeny {
    pub(crate) rule: String,
    pub(crate) message: String,
}

/// Conditions that are asked together.
#[derive(Debug)]
pub(crate) struct Group {
    /// The rule name in decisions.
    pub(crate) rule: String,
    pub(crate) conditions: Vec<Condition>,
    /// What the agent reads: `on_deny`, or the default text.
    pub(crate) message: String,
}

// === impl Policy ===

impl Policy {
    /// Reads, checks and compiles a policy document, or says everything that is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let syntax = |error| PolicyError::syntax(bytes, error);
        let text = json::decode(bytes, Bounds::DOCUMENT).map_err(syntax)?;
        let (root, duplicates) = json::read_all(text, Bounds::DOCUMENT).map_err(syntax)?;
        Self::compile(text, &root, &duplicates)
    }

    /// Compiles the document at `root`, a value of `text`. Pointers start at `root`, lines and
    /// columns at the start of `text`.
    pub(crate) fn compile(
        text: &str,
        root: &Node<'_>,
        duplicates: &[usize],
    ) -> Result<Self, PolicyError> {
        compile::document(text, root, duplicates)
    }

    /// What this policy says about a call. `arguments` is the JSON text of `params.arguments`;
    /// absent counts as an empty object. Pure: no counter is asked.
    pub fn decide(&self, tool: &str, arguments: Option<&str>) -> Verdict {
        decide::evaluate(Some(self), tool, arguments, &mut Trace::off())
    }

    /// The same as [`Policy::decide`], with every step on the way.
    pub fn explain(&self, tool: &str, arguments: Option<&str>) -> Explanation {
        crate::explain::explain(Some(self), tool, arguments)
    }

    /// Whether the tool is removed from every list of tools, and refused when called.
    pub fn hides(&self, tool: &str) -> bool {
        self.hides_all || self.hidden.contains(tool)
    }

    /// Whether the document has an entry for the tool.
    pub fn lists(&self, tool: &str) -> bool {
        self.tools.contains_key(tool)
    }

    /// Whether a text may name a hidden tool: it holds the name of one, as a word or as a part of
    /// another, or every tool is hidden.
    pub fn names_hidden(&self, text: &str) -> bool {
        let named = |tool: &String| text.contains(tool.as_str());
        self.hides_all || self.hidden.iter().any(named)
    }

    /// What happens to calls of tools that are not listed.
    pub fn unlisted(&self) -> Unlisted {
        self.unlisted
    }

    /// The limits of a tool in document order, those of `all_tools` last; none where its name alone
    /// denies, so that a hidden tool has what one that does not exist has.
    pub fn limits_of(&self, tool: &str) -> impl Iterator<Item = &Arc<Limit>> {
        let own = self.tools.get(tool);
        let permitted = own.is_some() || self.unlisted == Unlisted::Allow;
        let all = (permitted && !self.hides(tool)).then_some(&self.all_tools);
        let own = own.filter(|_| all.is_some());
        own.into_iter().chain(all).flat_map(|rules| &rules.limits)
    }

    /// All limits, by tool and in document order, those of `all_tools` last.
    pub fn limits(&self) -> impl Iterator<Item = &Arc<Limit>> {
        self.tools
            .values()
            .chain([&self.all_tools])
            .flat_map(|rules| &rules.limits)
    }
}

// === impl Rules ===

impl Rules {
    /// Whether a decision needs the values of a call's arguments.
    pub(crate) fn read_arguments(&self) -> bool {
        let counts = |limit: &Arc<Limit>| matches!(limit.increment, Increment::Argument(_));
        let asks = |group: &Group| !group.conditions.is_empty();
        self.require.iter().chain(&self.deny_if).any(asks) || self.limits.iter().any(counts)
    }
}

// === impl Group ===

impl Group {
    /// True if all conditions are true, false if any is false, else undecided.
    pub(crate) fn truth(&self, arguments: &Node<'_>, trace: &mut Trace) -> Truth {
        let mut truth = Truth::True;
        for condition in &self.conditions {
            let value = condition.truth(arguments);
            trace.condition(self, condition, arguments, value);
            truth = truth.and(value);
            if truth == Truth::False {
                break;
            }
        }
        truth
    }
}
