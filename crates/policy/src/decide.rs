//! The order of evaluation: name, action, `require`, `deny_if`, units. Every way to a verdict,
//! explained or not, goes through here.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::condition::Truth;
use crate::explain::Trace;
use crate::json::{self, Bounds, Node, Span, Value};
use crate::limit::{Increment, Limit, LimitUse, Mode};
use crate::policy::{Group, Policy, Rules, Unlisted};
use crate::text;
use crate::verdict::{
    Denial, RULE_ARGUMENTS, RULE_DEFAULT_DENY, RULE_HIDDEN, RULE_NO_POLICY, Reason, Verdict,
};

#[cfg(test)]
mod tests;

/// What the policy of a grant, if it has one, says about a call: see [`Policy::decide`].
pub fn decide(policy: Option<&Policy>, tool: &str, arguments: Option<&str>) -> Verdict {
    evaluate(policy, tool, arguments, &mut Trace::off())
}

pub(crate) fn evaluate(
    policy: Option<&Policy>,
    tool: &str,
    arguments: Option<&str>,
    trace: &mut Trace,
) -> Verdict {
    match walk(policy, tool, arguments, trace) {
        ControlFlow::Continue(Allowed { uses, would_deny }) => Verdict::Allow { uses, would_deny },
        ControlFlow::Break(denial) => {
            trace.denied(&denial);
            Verdict::Deny(denial)
        }
    }
}

/// The content of [`Verdict::Allow`].
#[derive(Default)]
struct Allowed {
    uses: Vec<LimitUse>,
    would_deny: Vec<Denial>,
}

fn walk(
    policy: Option<&Policy>,
    tool: &str,
    arguments: Option<&str>,
    trace: &mut Trace,
) -> ControlFlow<Denial, Allowed> {
    let policy = attached(policy)?;
    let own = named(policy, tool, trace)?;
    let rules = || own.into_iter().chain([&policy.all_tools]);

    let arguments = read(rules().any(Rules::read_arguments), arguments)?;
    for group in rules().flat_map(|rules| &rules.require) {
        required(group, &arguments, trace)?;
    }
    for group in rules().flat_map(|rules| &rules.deny_if) {
        not_denied(group, &arguments, trace)?;
    }
    let mut allowed = Allowed::default();
    for limit in rules().flat_map(|rules| &rules.limits) {
        units(limit, &arguments, &mut allowed, trace)?;
    }
    ControlFlow::Continue(allowed)
}

fn attached(policy: Option<&Policy>) -> ControlFlow<Denial, &Policy> {
    match policy {
        Some(policy) => ControlFlow::Continue(policy),
        None => deny(Reason::NoPolicy, RULE_NO_POLICY, text::NO_POLICY.to_owned()),
    }
}

/// What the name of the tool alone decides; else the tool's own rules, if it is listed.
fn named<'p>(
    policy: &'p Policy,
    tool: &str,
    trace: &mut Trace,
) -> ControlFlow<Denial, Option<&'p Rules>> {
    if policy.hides(tool) {
        let unknown_tool = policy.unlisted == Unlisted::Allow;
        let message = if unknown_tool {
            text::unknown_tool(tool)
        } else {
            text::not_permitted(tool)
        };
        let rule = RULE_HIDDEN.to_owned();
        return ControlFlow::Break(Denial {
            reason: Reason::Hidden,
            rule,
            message,
            unknown_tool,
        });
    }
    let rules = policy.tools.get(tool);
    if rules.is_none() && policy.unlisted == Unlisted::Deny {
        return deny(
            Reason::DefaultDeny,
            RULE_DEFAULT_DENY,
            text::not_permitted(tool),
        );
    }
    if let Some(action) = rules.and_then(|rules| rules.action_deny.as_ref()) {
        return deny(Reason::Action, &action.rule, action.message.clone());
    }
    trace.named(rules.is_some());
    ControlFlow::Continue(rules)
}

/// The arguments as a tree, where a rule looks into them. Where none does, they only have to look
/// like an object: a call is not denied for the size of what no rule reads.
fn read(rules_look: bool, arguments: Option<&str>) -> ControlFlow<Denial, Node<'_>> {
    let nothing = Node {
        value: Value::Object(Vec::new()),
        span: Span { start: 0, end: 0 },
    };
    let unread = |why: &str| {
        deny(
            Reason::Arguments,
            RULE_ARGUMENTS,
            text::arguments_unread(why),
        )
    };
    let Some(arguments) = arguments else {
        return ControlFlow::Continue(nothing);
    };
    if !rules_look {
        let arguments = arguments.trim_matches([' ', '\t', '\n', '\r']);
        let is_object = arguments.starts_with('{') && arguments.ends_with('}');
        return if is_object {
            ControlFlow::Continue(nothing)
        } else {
            unread(NO_OBJECT)
        };
    }
    match json::read(arguments.as_bytes(), Bounds::ARGUMENTS) {
        Ok(node) if matches!(node.value, Value::Object(_)) => ControlFlow::Continue(node),
        Ok(_) => unread(NO_OBJECT),
        Err(error) => unread(&error.to_string()),
    }
}

const NO_OBJECT: &str = "they are not a JSON object";

fn required(group: &Group, arguments: &Node<'_>, trace: &mut Trace) -> ControlFlow<Denial> {
    let truth = group.truth(arguments, trace);
    let holds = truth == Truth::True;
    trace.group(group, truth, holds);
    if holds {
        ControlFlow::Continue(())
    } else {
        deny(Reason::Require, &group.rule, group.message.clone())
    }
}

fn not_denied(group: &Group, arguments: &Node<'_>, trace: &mut Trace) -> ControlFlow<Denial> {
    let truth = group.truth(arguments, trace);
    let passes = truth == Truth::False;
    trace.group(group, truth, passes);
    if passes {
        ControlFlow::Continue(())
    } else {
        deny(Reason::DenyIf, &group.rule, group.message.clone())
    }
}

fn units(
    limit: &Arc<Limit>,
    arguments: &Node<'_>,
    allowed: &mut Allowed,
    trace: &mut Trace,
) -> ControlFlow<Denial> {
    let counted = match &limit.increment {
        Increment::Units(units) => Ok(*units),
        Increment::Argument(path) => match path.find(arguments).map(|node| &node.value) {
            Some(Value::Number(number)) => number.units().ok_or(path),
            _ => Err(path),
        },
    };
    let path = match counted {
        Ok(units) => {
            trace.takes(limit, units);
            allowed.uses.push(LimitUse {
                limit: Arc::clone(limit),
                units,
            });
            return ControlFlow::Continue(());
        }
        Err(path) => path,
    };
    let denial = Denial {
        reason: Reason::Units,
        rule: limit.pointer.clone(),
        message: text::no_units(path),
        unknown_tool: false,
    };
    match limit.mode {
        Mode::Enforce => ControlFlow::Break(denial),
        Mode::Shadow => {
            trace.would_deny(&denial);
            allowed.would_deny.push(denial);
            ControlFlow::Continue(())
        }
    }
}

fn deny<C>(reason: Reason, rule: &str, message: String) -> ControlFlow<Denial, C> {
    let rule = rule.to_owned();
    ControlFlow::Break(Denial {
        reason,
        rule,
        message,
        unknown_tool: false,
    })
}
