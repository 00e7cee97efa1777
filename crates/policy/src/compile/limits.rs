//! `limits` and `rate_limit`: how many units, of which window, shared by whom.

use std::collections::BTreeSet;
use std::sync::Arc;

use quotum_limit::limits::{ITEMS_MAX, UNITS_MAX};
use quotum_limit::{Algorithm, Window};

use super::{Compiler, Owner};
use crate::json::{Node, Value};
use crate::limit::{ALL_TOOLS, Increment, Limit, Mode, OnUnavailable, Scope};
use crate::limits::COUNTER_CHARS_MAX;
use crate::problem::{nearest, shown};

/// A limit, and the place that is at fault if another one has its counter already.
pub(super) struct Placed {
    pub(super) limit: Arc<Limit>,
    pub(super) at: usize,
}

const WINDOW_NAMES: [&str; 6] = ["second", "minute", "hour", "day", "week", "month"];

// === impl Compiler ===

impl Compiler<'_> {
    /// The limits of one owner, in document order.
    pub(super) fn limits(
        &mut self,
        limits: Option<&Node<'_>>,
        rate_limit: Option<&Node<'_>>,
        owner: &Owner<'_>,
    ) -> Vec<Placed> {
        let items = match limits {
            Some(node) => self
                .checker
                .items(node, "`limits`", ITEMS_MAX)
                .unwrap_or_default(),
            None => &[],
        };
        let mut placed: Vec<_> = items
            .iter()
            .filter_map(|item| self.limit(item, owner))
            .collect();
        placed.extend(rate_limit.and_then(|node| self.rate_limit(node, owner)));
        placed.sort_by_key(|placed| placed.at);
        let mut seen = BTreeSet::new();
        for Placed { limit, at } in &placed {
            if !seen.insert(limit.counter.clone()) {
                let counter = shown(&limit.counter);
                let message = format!("another limit here has the counter `{counter}` already");
                self.checker.fault(*at, message);
            }
        }
        placed
    }

    fn limit(&mut self, node: &Node<'_>, owner: &Owner<'_>) -> Option<Placed> {
        let names = [
            "counter",
            "window",
            "max",
            "scope",
            "increment",
            "increment_from",
            "on_deny",
            "algorithm",
            "mode",
            "on_unavailable",
        ];
        let members = self.checker.members(node, "a limit", names)?;
        let [
            counter,
            window,
            max,
            scope,
            increment,
            increment_from,
            on_deny,
            rest @ ..,
        ] = members;
        let [algorithm, mode, on_unavailable] = rest;

        let counter_node = self.checker.required(node, "counter", counter);
        let counter =
            counter_node.and_then(|node| self.checker.name(node, "`counter`", COUNTER_CHARS_MAX));
        let window = self
            .checker
            .required(node, "window", window)
            .and_then(|node| self.window(node));
        let max = self
            .checker
            .required(node, "max", max)
            .and_then(|node| self.checker.whole(node, "`max`", 0, UNITS_MAX));
        let scope = scope.map_or(Some(Scope::Grant), |node| self.scope(node));
        let increment = self.increment(node, increment, increment_from, owner);
        let on_deny = on_deny.and_then(|node| self.message(node, "`on_deny`"));
        let algorithm = algorithm.map_or(Some(Algorithm::Fixed), |node| {
            let words = [("fixed", Algorithm::Fixed), ("sliding", Algorithm::Sliding)];
            self.checker.choice(node, "`algorithm`", words)
        });
        let mode = mode.map_or(Some(Mode::Enforce), |node| {
            let words = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
            self.checker.choice(node, "`mode`", words)
        });
        let on_unavailable = on_unavailable.map_or(Some(OnUnavailable::Deny), |node| {
            let words = [
                ("deny", OnUnavailable::Deny),
                ("allow", OnUnavailable::Allow),
            ];
            self.checker.choice(node, "`on_unavailable`", words)
        });

        let counter = counter?;
        let limit = Limit {
            counter: counter.to_owned(),
            owner: owner.name.to_owned(),
            pointer: pointer(owner, counter),
            window: window?,
            algorithm: algorithm?,
            max: max?,
            scope: scope?,
            mode: mode?,
            on_unavailable: on_unavailable?,
            on_deny,
            increment: increment?,
        };
        let at = counter_node.map_or(node.span.start, |node| node.span.start);
        Some(Placed {
            limit: Arc::new(limit),
            at,
        })
    }

    fn scope(&mut self, node: &Node<'_>) -> Option<Scope> {
        let words = [
            ("grant", Scope::Grant),
            ("session", Scope::Session),
            ("server", Scope::Server),
            ("global", Scope::Global),
        ];
        self.checker.choice(node, "`scope`", words)
    }

    fn increment(
        &mut self,
        limit: &Node<'_>,
        increment: Option<&Node<'_>>,
        increment_from: Option<&Node<'_>>,
        owner: &Owner<'_>,
    ) -> Option<Increment> {
        let units = increment.map(|node| self.checker.whole(node, "`increment`", 1, UNITS_MAX));
        let path = increment_from.map(|node| {
            if owner.name == ALL_TOOLS {
                let message = "`increment_from` may not stand in `all_tools`: tools differ in their \
                               arguments";
                self.checker.fault(node.span.start, message);
                return None;
            }
            self.path(node)
        });
        match (units, path) {
            (None, None) => Some(Increment::Units(1)),
            (Some(units), None) => units.map(Increment::Units),
            (None, Some(path)) => path.map(Increment::Argument),
            (Some(_), Some(_)) => {
                let message = "`increment` and `increment_from` exclude each other";
                self.checker.fault(limit.span.start, message);
                None
            }
        }
    }

    /// A window by name, or a duration such as `"90s"`.
    fn window(&mut self, node: &Node<'_>) -> Option<Window> {
        let text = self.checker.string(node, "`window`")?;
        self.window_text(node, text)
    }

    fn window_text(&mut self, node: &Node<'_>, text: &str) -> Option<Window> {
        match text.parse() {
            Ok(window) => Some(window),
            Err(error) => {
                let hint = match nearest(text, WINDOW_NAMES) {
                    Some(near) => format!(", did you mean `{near}`?"),
                    None => String::new(),
                };
                self.checker
                    .fault(node.span.start, format!("{error}{hint}"));
                None
            }
        }
    }

    /// The shorthand: one limit named `<tool>_rate`.
    fn rate_limit(&mut self, node: &Node<'_>, owner: &Owner<'_>) -> Option<Placed> {
        let (max, window) = match &node.value {
            Value::String(text) => self.rate_text(node, text)?,
            Value::Object(_) => self.rate_members(node)?,
            other => {
                let kind = other.kind();
                let message = format!(
                    "`rate_limit` must be an object or a text like \"10/minute\", not {kind}"
                );
                self.checker.fault(node.span.start, message);
                return None;
            }
        };
        let counter = format!("{}_rate", owner.name);
        if counter.chars().count() > COUNTER_CHARS_MAX {
            let message = format!(
                "the counter `<tool>_rate` would have more than {COUNTER_CHARS_MAX} characters: \
                 write this limit under `limits`"
            );
            self.checker.fault(node.span.start, message);
            return None;
        }
        let limit = Limit {
            owner: owner.name.to_owned(),
            pointer: pointer(owner, &counter),
            counter,
            window,
            algorithm: Algorithm::Fixed,
            max,
            scope: Scope::Grant,
            mode: Mode::Enforce,
            on_unavailable: OnUnavailable::Deny,
            on_deny: None,
            increment: Increment::Units(1),
        };
        Some(Placed {
            limit: Arc::new(limit),
            at: node.span.start,
        })
    }

    fn rate_members(&mut self, node: &Node<'_>) -> Option<(u64, Window)> {
        let [max, window] = self
            .checker
            .members(node, "`rate_limit`", ["max", "window"])?;
        let max = self
            .checker
            .required(node, "max", max)
            .and_then(|node| self.checker.whole(node, "`max`", 0, UNITS_MAX));
        let window = self.checker.required(node, "window", window)?;
        let window = match &window.value {
            Value::Number(number) => {
                let seconds = number
                    .units()
                    .and_then(|seconds| seconds.checked_mul(1_000));
                let found = seconds.and_then(|ms| Window::duration(ms).ok());
                if found.is_none() {
                    let message =
                        "`window` is a whole number of seconds, at most 366 days, or a name";
                    self.checker.fault(window.span.start, message);
                }
                found
            }
            Value::String(text) => self.window_text(window, text),
            other => {
                let message = format!("`window` must be seconds or a name, not {}", other.kind());
                self.checker.fault(window.span.start, message);
                None
            }
        };
        Some((max?, window?))
    }

    /// `"10/minute"`.
    fn rate_text(&mut self, node: &Node<'_>, text: &str) -> Option<(u64, Window)> {
        let parts = text.split_once('/').and_then(|(max, window)| {
            let plain = !max.is_empty() && max.bytes().all(|byte| byte.is_ascii_digit());
            let max: u64 = plain.then(|| max.parse().ok()).flatten()?;
            (max <= UNITS_MAX).then_some((max, window))
        });
        let Some((max, window)) = parts else {
            let message = "`rate_limit` as a text is a whole number, a slash and a window: \
                           \"10/minute\"";
            self.checker.fault(node.span.start, message);
            return None;
        };
        Some((max, self.window_text(node, window)?))
    }
}

/// The rule name of a limit in decisions.
fn pointer(owner: &Owner<'_>, counter: &str) -> String {
    let mut pointer = owner.pointer.clone();
    pointer.push("limits");
    pointer.push(counter);
    pointer.into()
}
