//! Explanations: the steps by which a verdict was reached, in the order in which they were taken.
//!
//! The evaluation itself writes them down, so an explanation cannot disagree with a decision.

use std::fmt;

use crate::condition::{Condition, Truth};
use crate::decide;
use crate::json::Node;
use crate::limit::Limit;
use crate::policy::{Group, Policy};
use crate::text;
use crate::verdict::{Denial, Verdict};

#[cfg(test)]
mod tests;

/// A verdict and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub steps: Vec<Step>,
    pub verdict: Verdict,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The rule, named as in decisions; a label in brackets where none is involved.
    pub rule: String,
    /// What was asked or found, in words.
    pub subject: String,
    /// The answer, where conditions were asked.
    pub truth: Option<Truth>,
    pub effect: Effect,
}

/// What a step did to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// One condition of a group: the group decides.
    Asked,
    /// The evaluation went on.
    Passes,
    /// These units are asked of the counter.
    Takes { units: u64 },
    /// A limit in shadow mode found no units to count.
    WouldDeny,
    /// The call is denied.
    Denies,
}

/// Where the evaluation writes its steps down, if somebody wants them.
#[derive(Debug)]
pub(crate) struct Trace {
    steps: Option<Vec<Step>>,
}

/// Decides a call as [`decide::decide`] does, and says step by step why.
pub fn explain(policy: Option<&Policy>, tool: &str, arguments: Option<&str>) -> Explanation {
    let mut trace = Trace {
        steps: Some(Vec::new()),
    };
    let verdict = decide::evaluate(policy, tool, arguments, &mut trace);
    Explanation {
        steps: trace.steps.unwrap_or_default(),
        verdict,
    }
}

// === impl Trace ===

impl Trace {
    pub(crate) fn off() -> Self {
        Self { steps: None }
    }

    /// The name of the tool decided nothing.
    pub(crate) fn named(&mut self, is_listed: bool) {
        self.write(|| Step {
            rule: if is_listed {
                "(listed)"
            } else {
                "(default allow)"
            }
            .to_owned(),
            subject: "the tool may be called".to_owned(),
            truth: None,
            effect: Effect::Passes,
        });
    }

    pub(crate) fn condition(
        &mut self,
        group: &Group,
        condition: &Condition,
        arguments: &Node<'_>,
        truth: Truth,
    ) {
        self.write(|| {
            let found = match condition.path.find(arguments) {
                Some(node) => node.value.kind(),
                None => "missing",
            };
            Step {
                rule: group.rule.clone(),
                subject: format!("{}, the argument is {found}", text::condition(condition)),
                truth: Some(truth),
                effect: Effect::Asked,
            }
        });
    }

    /// A group was asked. A denial by it is written down with its message, by [`Trace::denied`].
    pub(crate) fn group(&mut self, group: &Group, truth: Truth, passes: bool) {
        self.write(|| Step {
            rule: group.rule.clone(),
            subject: match group.conditions.len() {
                0 => "no condition".to_owned(),
                1 => "the condition".to_owned(),
                count => format!("all {count} conditions together"),
            },
            truth: Some(truth),
            effect: if passes {
                Effect::Passes
            } else {
                Effect::Asked
            },
        });
    }

    pub(crate) fn takes(&mut self, limit: &Limit, units: u64) {
        self.write(|| Step {
            rule: limit.pointer.clone(),
            subject: format!("takes {units} of {} per {}", limit.max, limit.window),
            truth: None,
            effect: Effect::Takes { units },
        });
    }

    pub(crate) fn would_deny(&mut self, denial: &Denial) {
        self.write(|| Step::of(denial, Effect::WouldDeny));
    }

    pub(crate) fn denied(&mut self, denial: &Denial) {
        self.write(|| Step::of(denial, Effect::Denies));
    }

    fn write(&mut self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.steps {
            steps.push(step());
        }
    }
}

// === impl Step ===

impl Step {
    fn of(denial: &Denial, effect: Effect) -> Self {
        let rule = denial.rule.clone();
        Self {
            rule,
            subject: denial.message.clone(),
            truth: None,
            effect,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::Asked => "  asks",
            Effect::Passes => "passes",
            Effect::Takes { .. } => "takes",
            Effect::WouldDeny => "would deny",
            Effect::Denies => "denies",
        };
        write!(f, "{effect:<10} {}: {}", self.rule, self.subject)?;
        match self.truth {
            Some(truth) => write!(f, ": {truth}"),
            None => Ok(()),
        }
    }
}

// === impl Explanation ===

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        match &self.verdict {
            Verdict::Allow { uses, .. } if uses.is_empty() => f.write_str("allowed"),
            Verdict::Allow { .. } => f.write_str("allowed, if all these units are there"),
            Verdict::Deny(denial) => write!(f, "denied by {}", denial.rule),
        }
    }
}
