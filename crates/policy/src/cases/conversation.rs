//! Conversations: a policy, and calls at given times with the decisions that they must get.

use std::time::Duration;

use quotum_limit::{Item, LogTime};

use super::counters::{Acquired, Counters};
use super::time::instant;
use super::{CaseError, Report, Source, StepReport};
use crate::checker::Checker;
use crate::decide::decide;
use crate::identity::counter_key;
use crate::json::{Node, Value};
use crate::limit::{Limit, LimitUse};
use crate::limits::{CASE_CALLS_MAX, REPEAT_MAX, TEXT_CHARS_MAX, VALUES_MAX};
use crate::policy::Policy;
use crate::text;
use crate::verdict::Verdict;

/// The server of every case, and the one revision of its policy.
const SERVER: &str = "server";
const REVISION: u64 = 1;

struct Step<'n> {
    at: LogTime,
    at_text: &'n str,
    grant: &'n str,
    session: Option<&'n str>,
    tool: &'n str,
    /// Absent where the step has none.
    arguments: Option<&'n str>,
    expected: Decision,
    /// Where the step says nothing, any text will do.
    message: Option<&'n str>,
    repeat: u64,
    charged: Vec<(&'n str, u64)>,
}

/// A decision as far as cases compare it.
#[derive(PartialEq, Eq)]
struct Decision {
    is_allowed: bool,
    rule: String,
}

pub(super) fn run(source: &Source<'_>) -> Result<Report, CaseError> {
    let mut checker = source.checker();
    let read = conversation(&mut checker, source);
    let (about, policy, steps) = source.finish(checker, read)?;
    let policy = match &policy.value {
        Value::Null => None,
        _ => {
            let compiled = Policy::compile(source.text, policy, &source.duplicates);
            Some(compiled.map_err(CaseError::Policy)?)
        }
    };
    let mut counters = Counters::new();
    let run = |(index, step): (usize, &Step<'_>)| StepReport {
        title: step.title(index + 1),
        failures: step.run(policy.as_ref(), &mut counters),
    };
    let steps = steps.iter().enumerate().map(run).collect();
    Ok(Report {
        about: about.to_owned(),
        steps,
    })
}

fn conversation<'n, 'a>(
    checker: &mut Checker,
    source: &'n Source<'a>,
) -> Option<(&'n str, &'n Node<'a>, Vec<Step<'n>>)> {
    let names = ["about", "policy", "steps"];
    let [about, policy, steps] = checker.members(&source.root, "a file of cases", names)?;
    let about = about.and_then(|about| checker.text(about, "`about`", TEXT_CHARS_MAX));
    let policy = checker.required(&source.root, "policy", policy);
    let steps = checker.required(&source.root, "steps", steps)?;
    let mut read: Vec<Step<'n>> = Vec::new();
    let mut calls = 0;
    for node in checker.items(steps, "`steps`", VALUES_MAX)? {
        let Some(step) = step(checker, source, node) else {
            continue;
        };
        if read.last().is_some_and(|last| last.at > step.at) {
            checker.fault(
                node.span.start,
                "this step is earlier than the one before it",
            );
        }
        calls += step.repeat;
        if calls > CASE_CALLS_MAX {
            checker.fault(
                node.span.start,
                format!("more than {CASE_CALLS_MAX} calls up to here"),
            );
            return None;
        }
        read.push(step);
    }
    Some((about.unwrap_or_default(), policy?, read))
}

fn step<'n>(checker: &mut Checker, source: &'n Source<'_>, node: &'n Node<'_>) -> Option<Step<'n>> {
    let names = [
        "at", "grant", "tool", "expect", "rule", "session", "args", "message", "repeat", "charged",
    ];
    let members = checker.members(node, "a step", names)?;
    let [
        at,
        grant,
        tool,
        expect,
        rule,
        session,
        args,
        message,
        repeat,
        charged,
    ] = members;
    let mut string = |name: &str, member| {
        checker
            .required(node, name, member)
            .and_then(|member| checker.string(member, name))
    };
    let (at_text, grant) = (string("at", at), string("grant", grant));
    let (tool, rule) = (string("tool", tool), string("rule", rule));
    let session = session.map(|session| checker.string(session, "`session`"));
    let message = message.map(|message| checker.string(message, "`message`"));
    let is_allowed = checker
        .required(node, "expect", expect)
        .and_then(|expect| checker.choice(expect, "`expect`", [("allow", true), ("deny", false)]));
    let repeat = repeat.map_or(Some(1), |repeat| {
        checker.whole(repeat, "`repeat`", 1, REPEAT_MAX)
    });
    let at_text = at_text?;
    let instant = instant(at_text);
    if instant.is_none() {
        let message = "`at` is a time in UTC such as \"2026-01-05T10:00:00Z\"";
        checker.fault(at.unwrap_or(node).span.start, message);
    }
    let charged = charged.map_or(Some(Vec::new()), |charged| units(checker, charged));
    Some(Step {
        at: instant?,
        at_text,
        grant: grant?,
        session: session.map_or(Some(None), |session| session.map(Some))?,
        tool: tool?,
        arguments: args.map(|args| &source.text[args.span.start..args.span.end]),
        expected: Decision {
            is_allowed: is_allowed?,
            rule: rule?.to_owned(),
        },
        message: message.map_or(Some(None), |message| message.map(Some))?,
        repeat: repeat?,
        charged: charged?,
    })
}

/// Units by the pointer of their limit.
fn units<'n>(checker: &mut Checker, node: &'n Node<'_>) -> Option<Vec<(&'n str, u64)>> {
    let mut units = Vec::new();
    for member in checker.entries(node, "`charged`")? {
        units.push((
            &*member.name,
            checker.whole(&member.node, "a count", 0, u64::MAX)?,
        ));
    }
    Some(units)
}

// === impl Step ===

impl Step<'_> {
    fn title(&self, number: usize) -> String {
        let times = match self.repeat {
            1 => String::new(),
            repeat => format!(" {repeat} times"),
        };
        format!(
            "step {number}: {} calls {}{times} at {}",
            self.grant, self.tool, self.at_text
        )
    }

    /// What differed: the first call of the step that came out otherwise, then the counts.
    fn run(&self, policy: Option<&Policy>, counters: &mut Counters) -> Vec<String> {
        let mut failures = Vec::new();
        for call in 1..=self.repeat {
            let (decision, message) = self.call(policy, counters);
            let as_expected = decision == self.expected
                && self.message.is_none_or(|expected| expected == message);
            if !as_expected && failures.is_empty() {
                let nth = match self.repeat {
                    1 => String::new(),
                    repeat => format!("call {call} of {repeat}: "),
                };
                let text = self
                    .message
                    .map(|text| format!(" saying {text:?}"))
                    .unwrap_or_default();
                let expected = &self.expected;
                failures.push(format!(
                    "{nth}expected {expected}{text}, got {decision}: {message}"
                ));
            }
        }
        for (pointer, expected) in &self.charged {
            let limit =
                policy.and_then(|policy| policy.limits().find(|limit| limit.pointer() == *pointer));
            let failure = match limit.map(|limit| {
                let used = LimitUse {
                    limit: limit.clone(),
                    units: 0,
                };
                counters.charged(self.at, self.item(&used))
            }) {
                Some(Some(charged)) if charged == *expected => continue,
                Some(Some(charged)) => format!("{pointer} holds {charged} units, not {expected}"),
                Some(None) => format!("{pointer} cannot be read"),
                None => format!("the policy has no limit {pointer}"),
            };
            failures.push(failure);
        }
        failures
    }

    /// One call, as a gateway makes it: the verdict, then one acquire for all limits.
    fn call(&self, policy: Option<&Policy>, counters: &mut Counters) -> (Decision, String) {
        let uses = match decide(policy, self.tool, self.arguments) {
            Verdict::Deny(denial) => return (Decision::deny(&denial.rule), denial.message),
            Verdict::Allow { uses, .. } => uses,
        };
        if uses.is_empty() {
            return (Decision::allow(), String::new());
        }
        let items: Vec<_> = uses.iter().map(|used| self.item(used)).collect();
        match counters.acquire(self.at, &items) {
            Acquired::Admitted => (Decision::allow(), String::new()),
            Acquired::Denied {
                binding,
                retry_after_ms,
            } => {
                let limit: &Limit = &uses[binding].limit;
                let retry_after = retry_after_ms.map(Duration::from_millis);
                let message = text::limit_denied(limit, self.tool, retry_after);
                (Decision::deny(limit.pointer()), message)
            }
            Acquired::Other(outcome) => (Decision::deny("(counters)"), format!("{outcome:?}")),
        }
    }

    fn item(&self, used: &LimitUse) -> Item {
        let subject = used.limit.subject(self.grant, self.session);
        used.item(counter_key(SERVER, subject, &used.limit), REVISION)
    }
}

// === impl Decision ===

impl Decision {
    fn allow() -> Self {
        Self {
            is_allowed: true,
            rule: String::new(),
        }
    }

    fn deny(rule: &str) -> Self {
        Self {
            is_allowed: false,
            rule: rule.to_owned(),
        }
    }
}

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.is_allowed, &*self.rule) {
            (true, "") => f.write_str("allow"),
            (true, rule) => write!(f, "allow by {rule}"),
            (false, rule) => write!(f, "deny by {rule}"),
        }
    }
}
