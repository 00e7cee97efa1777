//! Reports: hits that have happened already. What does not fit uses up what is left: a counter
//! never shows more than its limit, and what follows is denied.

use quotum_descriptor::judge::what_is_left;
use quotum_descriptor::{Judgement, Plan};
use quotum_limit::{Items, Outcome};
use quotum_telemetry::label::Api;
use tonic::Status;

use super::Asker;
use crate::limits::REPORT_TRIES_MAX;

/// Counts the hits of `plan`, and shows how its limits stood with them.
pub(super) async fn report<'p>(
    asker: &Asker,
    shard: u32,
    plan: &'p Plan<'_>,
    api: Api,
) -> Result<Judgement<'p>, Status> {
    let mut items = plan.items.clone();
    // A shadow item is charged where it fits, whatever becomes of the others.
    items.iter_mut().for_each(|item| item.shadow = true);
    let outcome = take_what_fits(asker, shard, items, api).await?;
    let judgement = plan.judge(&outcome);
    Ok(judgement.unwrap_or_else(|| plan.exhausted()))
}

/// Charges shadow items, and of those that do not fit what is left. The first outcome.
pub(super) async fn take_what_fits(
    asker: &Asker,
    shard: u32,
    mut items: Items,
    api: Api,
) -> Result<Outcome, Status> {
    let mut first = None;
    for _ in 0..REPORT_TRIES_MAX {
        let taken = asker.take(shard, &items, api).await?;
        let outcome = taken.outcome.clone();
        taken.keep();
        let left = match &outcome {
            Outcome::Admitted { items: states, .. } => items
                .iter()
                .zip(states)
                .filter_map(|(item, state)| what_is_left(item, state))
                .collect(),
            _ => Items::new(),
        };
        first.get_or_insert(outcome);
        if left.is_empty() {
            break;
        }
        items = left;
    }
    Ok(first.expect("it was tried once"))
}
