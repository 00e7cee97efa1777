//! From a document to a policy: every member is checked, and compiled where it can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quotum_limit::limits::ITEMS_MAX;
use quotum_limit::{Algorithm, Window};

use crate::checker::Checker;
use crate::json::Node;
use crate::limit::{ALL_TOOLS, Limit, Scope};
use crate::limits::{TEXT_CHARS_MAX, TOOL_NAME_CHARS_MAX, VALUES_MAX};
use crate::pointer::Pointer;
use crate::policy::{ActionDeny, Policy, Rules, Unlisted};
use crate::problem::{PolicyError, shown};
use crate::text;

mod limits;
mod rules;
#[cfg(test)]
mod tests;

use limits::Placed;

pub(crate) use rules::operator_test;

/// Compiles the document at `root`, a value of `text`, in which `duplicates` are the places of
/// members that stand twice.
pub(crate) fn document(
    text: &str,
    root: &Node<'_>,
    duplicates: &[usize],
) -> Result<Policy, PolicyError> {
    let mut compiler = Compiler {
        text,
        checker: Checker::with_duplicates(root, duplicates),
        patterns: 0,
        patterns_bytes: 0,
    };
    let policy = compiler.document(root);
    compiler.checker.finish(text, root, policy)
}

/// What compiling one document needs to remember.
struct Compiler<'t> {
    text: &'t str,
    checker: Checker,
    /// Regular expressions so far.
    patterns: usize,
    /// How large they are at most, compiled.
    patterns_bytes: usize,
}

/// Whose rules are compiled: where they stand, and what decisions call them.
struct Owner<'n> {
    /// A tool, or [`ALL_TOOLS`].
    name: &'n str,
    /// `/tools/<tool>` or `/all_tools`.
    pointer: Pointer,
}

// === impl Compiler ===

impl Compiler<'_> {
    fn document(&mut self, root: &Node<'_>) -> Option<Policy> {
        let names = ["version", "default", "hide", "all_tools", "tools"];
        let [version, default, hide, all_tools, tools] =
            self.checker.members(root, "the policy", names)?;

        if let Some(version) = self.checker.required(root, "version", version) {
            self.checker.choice(version, "`version`", [("1", ())]);
        }
        let unlisted = self
            .checker
            .required(root, "default", default)
            .and_then(|default| {
                let words = [("allow", Unlisted::Allow), ("deny", Unlisted::Deny)];
                self.checker.choice(default, "`default`", words)
            });
        let mut hidden = hide.map(|hide| self.hide(hide)).unwrap_or_default();
        let (all_tools, shared) = match all_tools {
            Some(node) => self.all_tools(node),
            None => Default::default(),
        };
        let tools = tools
            .map(|tools| self.tools(tools, &shared))
            .unwrap_or_default();
        Some(Policy {
            unlisted: unlisted?,
            hides_all: hidden.remove("*"),
            hidden,
            tools,
            all_tools,
        })
    }

    fn hide(&mut self, node: &Node<'_>) -> BTreeSet<String> {
        let mut hidden = BTreeSet::new();
        for item in self
            .checker
            .items(node, "`hide`", VALUES_MAX)
            .unwrap_or_default()
        {
            let Some(name) = self.checker.name(item, "a tool name", TOOL_NAME_CHARS_MAX) else {
                continue;
            };
            if !hidden.insert(name.to_owned()) {
                let message = format!("`{}` is hidden twice", shown(name));
                self.checker.fault(item.span.start, message);
            }
        }
        hidden
    }

    fn all_tools(&mut self, node: &Node<'_>) -> (Rules, Vec<Placed>) {
        let owner = Owner {
            name: ALL_TOOLS,
            pointer: Pointer::of(&["all_tools"]),
        };
        let names = ["require", "deny_if", "limits"];
        let Some([require, deny_if, limits]) = self.checker.members(node, "`all_tools`", names)
        else {
            return Default::default();
        };
        let require = self.groups(require, &owner, "require");
        let deny_if = self.groups(deny_if, &owner, "deny_if");
        let placed = self.limits(limits, None, &owner);
        let limits = placed
            .iter()
            .map(|placed| Arc::clone(&placed.limit))
            .collect();
        (
            Rules {
                action_deny: None,
                require,
                deny_if,
                limits,
            },
            placed,
        )
    }

    fn tools(&mut self, node: &Node<'_>, shared: &[Placed]) -> BTreeMap<String, Rules> {
        let mut tools = BTreeMap::new();
        let mut global = GlobalCounters::default();
        shared
            .iter()
            .for_each(|placed| global.meet(placed, &mut self.checker));
        let mut members: Vec<_> = self
            .checker
            .entries(node, "`tools`")
            .unwrap_or_default()
            .iter()
            .collect();
        // Objects are sorted by name; of two that disagree the later one is at fault.
        members.sort_by_key(|member| member.at);
        for member in members {
            let name = &*member.name;
            let length = name.chars().count();
            if !(1..=TOOL_NAME_CHARS_MAX).contains(&length) {
                let message = format!("a tool name has 1 to {TOOL_NAME_CHARS_MAX} characters");
                self.checker.fault(member.at, message);
                continue;
            }
            if name == ALL_TOOLS {
                let message = "tools are listed by their exact names: rules for every call stand in \
                               `all_tools`";
                self.checker.fault(member.at, message);
                continue;
            }
            let owner = Owner {
                name,
                pointer: Pointer::of(&["tools", name]),
            };
            let (rules, placed) = self.tool(&member.node, &owner);
            self.together(&member.node, &placed, shared);
            placed
                .iter()
                .for_each(|placed| global.meet(placed, &mut self.checker));
            tools.insert(name.to_owned(), rules);
        }
        tools
    }

    fn tool(&mut self, node: &Node<'_>, owner: &Owner<'_>) -> (Rules, Vec<Placed>) {
        let names = [
            "require",
            "deny_if",
            "limits",
            "rate_limit",
            "action",
            "reason",
        ];
        let Some(members) = self.checker.members(node, "a tool", names) else {
            return Default::default();
        };
        let [require, deny_if, limits, rate_limit, action, reason] = members;
        let alone = [require, deny_if, limits, rate_limit]
            .iter()
            .all(Option::is_none);
        let action_deny = match (action, reason) {
            (Some(_), _) if !alone => {
                let message = "`action` stands alone, or together with `reason`";
                self.checker.fault(node.span.start, message);
                None
            }
            (Some(action), reason) => self.action(action, reason, owner),
            (None, Some(reason)) => {
                self.checker
                    .fault(reason.span.start, "`reason` belongs to `action`");
                None
            }
            (None, None) => None,
        };
        let require = self.groups(require, owner, "require");
        let deny_if = self.groups(deny_if, owner, "deny_if");
        let placed = self.limits(limits, rate_limit, owner);
        let limits = placed
            .iter()
            .map(|placed| Arc::clone(&placed.limit))
            .collect();
        (
            Rules {
                action_deny,
                require,
                deny_if,
                limits,
            },
            placed,
        )
    }

    fn action(
        &mut self,
        action: &Node<'_>,
        reason: Option<&Node<'_>>,
        owner: &Owner<'_>,
    ) -> Option<ActionDeny> {
        let reason = reason.and_then(|reason| self.message(reason, "`reason`"));
        let words = [
            ("allow", Action::Allow),
            ("deny", Action::Deny),
            ("require_approval", Action::RequireApproval),
        ];
        match self.checker.choice(action, "`action`", words)? {
            Action::Allow => None,
            Action::Deny => {
                let mut rule = owner.pointer.clone();
                rule.push("action");
                let message = reason.unwrap_or_else(|| text::action_denied(owner.name));
                Some(ActionDeny {
                    rule: rule.into(),
                    message,
                })
            }
            Action::RequireApproval => {
                let message = "`action` \"require_approval\" is not supported yet";
                self.checker.fault(action.span.start, message);
                None
            }
        }
    }

    /// A text for the agent. An empty one counts as none.
    fn message(&mut self, node: &Node<'_>, what: &str) -> Option<String> {
        let text = self.checker.text(node, what, TEXT_CHARS_MAX)?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// What a call of one tool takes must be one acquire: not too many limits, and no counter
    /// twice.
    fn together(&mut self, tool: &Node<'_>, own: &[Placed], shared: &[Placed]) {
        if own.len() + shared.len() > ITEMS_MAX {
            let message = format!(
                "a call has at most {ITEMS_MAX} limits, those of `all_tools` included, not {}",
                own.len() + shared.len()
            );
            self.checker.fault(tool.span.start, message);
        }
        for placed in own {
            let key = GlobalCounters::key(&placed.limit);
            if key.is_some() && shared.iter().any(|s| GlobalCounters::key(&s.limit) == key) {
                let message = "`all_tools` has this global counter already: a call would take from \
                               it twice";
                self.checker.fault(placed.at, message);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Action {
    Allow,
    Deny,
    RequireApproval,
}

/// Global counters have no owner: every limit of that name and window means the same count, so
/// that they must agree on its `max`.
#[derive(Default)]
struct GlobalCounters {
    max: BTreeMap<(String, Window, Algorithm), u64>,
}

// === impl GlobalCounters ===

impl GlobalCounters {
    fn key(limit: &Limit) -> Option<(String, Window, Algorithm)> {
        (limit.scope == Scope::Global)
            .then(|| (limit.counter.clone(), limit.window, limit.algorithm))
    }

    fn meet(&mut self, placed: &Placed, checker: &mut Checker) {
        let Some(key) = Self::key(&placed.limit) else {
            return;
        };
        let max = *self.max.entry(key).or_insert(placed.limit.max);
        if max != placed.limit.max {
            let message = format!("another limit on this global counter has `max` {max}");
            checker.fault(placed.at, message);
        }
    }
}
