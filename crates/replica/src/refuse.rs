//! Refusing before proposing: while a bound is reached, what would only be refused needs no place
//! in the log; and what some node does not know yet must have none.
//!
//! Promises: refused for want of room is what applying it would refuse too, as far as this leader
//! has applied the log; repeats, refunds and everything that needs no room pass. Every now and then
//! all of it is proposed, so that log time goes on and makes room. Commands above the cluster's
//! feature level are never proposed.

use quotum_limit::{Bound, Command, LogTime, Outcome, State};

use crate::limits::REFUSE_FRESH_MS;

#[cfg(test)]
mod tests;

/// Places among the commands of those that are refused, and why.
pub(crate) type Refused = Vec<(usize, Bound)>;

/// Parts what is to be proposed from what `state` refuses. `at` is what the entry would be stamped
/// with: a state that is further behind knows too little.
pub(crate) fn sift(
    state: &State,
    at: LogTime,
    level: u32,
    mut messages: Vec<Vec<Command>>,
) -> (Vec<Vec<Command>>, Refused) {
    let is_fresh = at.since(state.last_stamp().log) <= REFUSE_FRESH_MS;
    let is_full = is_fresh && state.is_full();
    let is_above = |command: &Command| command.level() > level;
    let mut refused = Vec::new();
    if !is_full && !messages.iter().flatten().any(is_above) {
        return (messages, refused);
    }
    let mut places = 0..;
    for message in &mut messages {
        message.retain(|command| {
            let place = places.next().expect("places do not end");
            let bound = match is_above(command) {
                true => Some(Bound::Level),
                false if is_full => state.refuses(command),
                false => None,
            };
            refused.extend(bound.map(|bound| (place, bound)));
            bound.is_none()
        });
    }
    (messages, refused)
}

/// The outcomes of all commands, from those of the proposed ones.
pub(crate) fn join(refused: Refused, decided: Vec<Outcome>) -> Vec<Outcome> {
    if refused.is_empty() {
        return decided;
    }
    let mut outcomes = Vec::with_capacity(decided.len() + refused.len());
    let mut decided = decided.into_iter();
    for (place, bound) in refused {
        let before = place - outcomes.len();
        outcomes.extend(decided.by_ref().take(before));
        outcomes.push(Outcome::Exhausted(bound));
    }
    outcomes.extend(decided);
    outcomes
}
