//! Deciding a call: what the policy says, then one acquire for all limits. Pure up to the acquire.

use std::sync::Arc;
use std::time::Duration;

use quotum_client::{Decision, Path as Answered, Position, Route};
use quotum_limit::{Item, ItemState, ItemStates};
use quotum_policy::{
    Denial, Limit, LimitUse, Mode, OnUnavailable, Reason as PolicyReason, Scope, Verdict,
    counter_key, text,
};
use quotum_registry::view::Grant;
use quotum_telemetry::label::{Outcome, Path, Reason};

use crate::counters::Counters;
use crate::gate::UseBy;

#[cfg(test)]
mod tests;

/// A call that is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub grant: &'a Grant,
    pub tool: &'a str,
    /// The JSON text of the arguments.
    pub arguments: Option<&'a str>,
    /// The upstream's id of the session, where there is one.
    pub session: Option<&'a str>,
}

/// What the policy alone says.
#[derive(Debug)]
pub enum Judgement {
    Stop(Stop, Grounds),
    Acquire(Plan),
}

/// What an allowed call takes.
#[derive(Debug)]
pub struct Plan {
    uses: Vec<LimitUse>,
    items: Vec<(Route, Item)>,
    /// The rule of a shadow limit that would have denied before any counter was asked.
    would_deny: Option<String>,
}

/// A decision, with what has to be told of it.
#[derive(Debug)]
pub struct Decided<T> {
    pub ruling: Ruling<T>,
    pub grounds: Grounds,
    /// The limits that were asked, in the order of the plan; empty where no counter answered.
    pub limits: Vec<LimitReport>,
    /// Which of them binds.
    pub binding: usize,
}

/// Whether a call goes on.
#[derive(Debug)]
pub enum Ruling<T> {
    /// With the ticket of its units, if it took any.
    Go(Option<T>),
    Stop(Stop),
}

/// What the agent reads in place of the tool's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    pub rule: String,
    pub message: String,
    /// Answered as a tool that does not exist.
    pub unknown_tool: bool,
    /// What a limit adds.
    pub limit: Option<LimitStop>,
}

/// What is told of a limit that denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitStop {
    pub report: LimitReport,
    /// `None`: asking again never helps.
    pub retry_after: Option<Duration>,
}

/// A limit and its counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReport {
    pub limit: Arc<Limit>,
    pub state: ItemState,
}

/// Why a call was decided so, for records and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grounds {
    pub outcome: Outcome,
    pub reason: Reason,
    /// The rule that decided; empty where none fired.
    pub rule: String,
    pub path: Path,
    pub position: Option<Position>,
}

/// Asks the policy of the grant.
pub fn judge(call: &Call<'_>) -> Judgement {
    let policy = call.grant.policy.as_ref().map(|policy| &*policy.compiled);
    match quotum_policy::decide(policy, call.tool, call.arguments) {
        Verdict::Deny(denial) => {
            let grounds = Grounds {
                outcome: match denial.reason {
                    PolicyReason::Hidden => Outcome::Hidden,
                    _ => Outcome::Denied,
                },
                reason: reason_of(denial.reason),
                rule: denial.rule.clone(),
                path: Path::None,
                position: None,
            };
            Judgement::Stop(Stop::of(denial), grounds)
        }
        Verdict::Allow { uses, would_deny } => {
            let items = uses.iter().map(|one| item_of(call, one)).collect();
            let would_deny = would_deny.into_iter().next().map(|denial| denial.rule);
            Judgement::Acquire(Plan {
                uses,
                items,
                would_deny,
            })
        }
    }
}

/// Takes the units of a plan.
pub async fn acquire<C: Counters>(counters: &C, plan: &Plan, tool: &str) -> Decided<C::Ticket> {
    if plan.items.is_empty() {
        let grounds = plan.allowed(&[], Path::None, None);
        return Decided {
            ruling: Ruling::Go(None),
            grounds,
            limits: Vec::new(),
            binding: 0,
        };
    }
    let (decision, ticket) = counters.acquire(plan.items.clone()).await;
    match decision {
        Decision::Admitted { items, position } => plan.admitted(ticket, &items, position),
        Decision::Denied {
            binding,
            retry_after,
            items,
            path,
            position,
        } => {
            let path = match path {
                Answered::Exact => Path::Exact,
                Answered::DenyCache => Path::DenyCache,
            };
            plan.denied(tool, binding, retry_after, &items, (path, position))
        }
        Decision::Unavailable => plan.unavailable(),
        Decision::Exhausted(bound) => {
            tracing::warn!(?bound, "the counter service has no room");
            plan.uncountable(text::EXHAUSTED)
        }
        Decision::Invalid(cause) => {
            tracing::error!(%cause, "the counter service refused a request of this gateway");
            plan.uncountable(text::UNAVAILABLE)
        }
    }
}

/// What is decided of a call whose admission ran out twice before it could leave.
pub fn too_late(plan: &Plan) -> (Stop, Grounds) {
    let rule = plan
        .enforced()
        .next()
        .map_or(String::new(), |limit| limit.pointer().to_owned());
    let stop = Stop {
        rule: rule.clone(),
        message: text::UNAVAILABLE.to_owned(),
        unknown_tool: false,
        limit: None,
    };
    (stop, unavailable(Reason::Unavailable, rule))
}

/// No counter could be asked in time. `reason` tells a call that is denied for that from one that is
/// let through uncounted, which has none.
fn unavailable(reason: Reason, rule: String) -> Grounds {
    Grounds {
        outcome: Outcome::Unavailable,
        reason,
        rule,
        path: Path::None,
        position: None,
    }
}

fn item_of(call: &Call<'_>, one: &LimitUse) -> (Route, Item) {
    let grant = call.grant.id.as_str();
    let server = call.grant.server.spec.name.as_str();
    let limit = &one.limit;
    let key = counter_key(server, limit.subject(grant, call.session), limit);
    let route = match limit.scope() {
        Scope::Grant | Scope::Session => Route::of(grant.as_bytes()),
        Scope::Server => Route::of(server.as_bytes()),
        Scope::Global => Route::GLOBAL,
    };
    (route, one.item(key, call.grant.limit_revision()))
}

fn reason_of(reason: PolicyReason) -> Reason {
    match reason {
        PolicyReason::NoPolicy => Reason::NoPolicy,
        PolicyReason::Hidden => Reason::Hidden,
        PolicyReason::DefaultDeny => Reason::DefaultDeny,
        PolicyReason::Action => Reason::Action,
        PolicyReason::Require | PolicyReason::Arguments => Reason::Require,
        PolicyReason::DenyIf => Reason::DenyIf,
        PolicyReason::Units => Reason::Units,
    }
}

// === impl Stop ===

impl Stop {
    fn of(denial: Denial) -> Self {
        let rule = denial.shown_rule().to_owned();
        Self {
            rule,
            message: denial.message,
            unknown_tool: denial.unknown_tool,
            limit: None,
        }
    }
}

// === impl Plan ===

impl Plan {
    /// Until when the units of this plan may be used: shadow limits alone bind nobody.
    pub fn use_by(&self) -> UseBy {
        if self.enforced().next().is_some() {
            UseBy::Ticket
        } else {
            UseBy::Whenever
        }
    }

    /// The limits that may deny the call.
    pub fn enforced(&self) -> impl Iterator<Item = &Arc<Limit>> {
        self.uses
            .iter()
            .map(|one| &one.limit)
            .filter(|limit| limit.mode() == Mode::Enforce)
    }

    fn reports(&self, states: &ItemStates) -> Vec<LimitReport> {
        let report = |(one, state): (&LimitUse, &ItemState)| LimitReport {
            limit: Arc::clone(&one.limit),
            state: *state,
        };
        self.uses.iter().zip(states).map(report).collect()
    }

    fn allowed(&self, states: &[ItemState], path: Path, position: Option<Position>) -> Grounds {
        let full = self
            .uses
            .iter()
            .zip(states)
            .find(|(one, state)| one.limit.mode() == Mode::Shadow && !state.fits);
        let shadow = full.map(|(one, _)| one.limit.pointer().to_owned());
        let (outcome, reason, rule) = match shadow {
            Some(rule) => (Outcome::ShadowDenied, Reason::Limit, rule),
            None => match &self.would_deny {
                Some(rule) => (Outcome::ShadowDenied, Reason::Units, rule.clone()),
                None => (Outcome::Allowed, Reason::None, String::new()),
            },
        };
        Grounds {
            outcome,
            reason,
            rule,
            path,
            position,
        }
    }

    fn admitted<T>(
        &self,
        ticket: Option<T>,
        states: &ItemStates,
        position: Position,
    ) -> Decided<T> {
        let limits = self.reports(states);
        let tightest = limits
            .iter()
            .enumerate()
            .filter(|(_, report)| report.limit.mode() == Mode::Enforce)
            .min_by_key(|(_, report)| report.state.remaining);
        Decided {
            binding: tightest.map_or(0, |(index, _)| index),
            ruling: Ruling::Go(ticket),
            grounds: self.allowed(states, Path::Exact, Some(position)),
            limits,
        }
    }

    fn denied<T>(
        &self,
        tool: &str,
        binding: usize,
        retry_after: Option<Duration>,
        states: &ItemStates,
        (path, position): (Path, Option<Position>),
    ) -> Decided<T> {
        let limits = self.reports(states);
        let Some(report) = limits.get(binding).cloned() else {
            tracing::error!(binding, "a denial names a limit that was not asked");
            return self.uncountable(text::UNAVAILABLE);
        };
        let rule = report.limit.pointer().to_owned();
        let stop = Stop {
            rule: rule.clone(),
            message: text::limit_denied(&report.limit, tool, retry_after),
            unknown_tool: false,
            limit: Some(LimitStop {
                report,
                retry_after,
            }),
        };
        let outcome = Outcome::Denied;
        let grounds = Grounds {
            outcome,
            reason: Reason::Limit,
            rule,
            path,
            position,
        };
        Decided {
            ruling: Ruling::Stop(stop),
            grounds,
            limits,
            binding,
        }
    }

    /// No counter answered: the call stops if any of its limits says so.
    fn unavailable<T>(&self) -> Decided<T> {
        let denying = self
            .enforced()
            .find(|limit| limit.on_unavailable() == OnUnavailable::Deny);
        match denying {
            Some(limit) => unanswered(Some(limit), text::UNAVAILABLE),
            None => unanswered(None, ""),
        }
    }

    /// The counters cannot count this call, whatever `on_unavailable` says: an uncounted call would
    /// be a fresh budget. Shadow limits alone deny nothing.
    fn uncountable<T>(&self, message: &str) -> Decided<T> {
        unanswered(self.enforced().next(), message)
    }
}

fn unanswered<T>(denying: Option<&Arc<Limit>>, message: &str) -> Decided<T> {
    let rule = denying.map_or(String::new(), |limit| limit.pointer().to_owned());
    let (ruling, reason) = match denying {
        None => (Ruling::Go(None), Reason::None),
        Some(_) => {
            let stop = Stop {
                rule: rule.clone(),
                message: message.to_owned(),
                unknown_tool: false,
                limit: None,
            };
            (Ruling::Stop(stop), Reason::Unavailable)
        }
    };
    Decided {
        ruling,
        grounds: unavailable(reason, rule),
        limits: Vec::new(),
        binding: 0,
    }
}
