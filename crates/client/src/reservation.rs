//! Calls whose limits live in several shards: a short reservation in each, and then a confirmation
//! of all.
//!
//! Reserved units are charged, so that nobody else gets them; whoever is denied because of them asks
//! again. They are free again after a while, whatever becomes of this client, so nothing is lost if
//! it ends between two steps. Shards are asked in their order: of two calls that want the same
//! counters one gets the first of them and comes through. Only what is confirmed everywhere is
//! used; what is confirmed here and not there is refunded.

use quotum_limit::{Item, ItemStates, Items, Route};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{Group, Shards, pick, place, untouched};
use crate::decision::{Decision, Position};
use crate::limits::RESERVE_WAIT;
use crate::shard::{Reply, Want};
use crate::ticket::Taken;

/// How one round of reserving and confirming ended. What was taken and is not in it is refunded.
pub(crate) enum Reservation {
    Confirmed {
        taken: Vec<Taken>,
        items: ItemStates,
        position: Position,
    },
    /// A hold ended before it was confirmed.
    Lapsed,
    /// Denied because of what others hold.
    Contended(Decision),
    /// Any other decision: it is final.
    Refused(Decision),
}

/// Reserves in the order of the shards, and then confirms everywhere at once.
pub(crate) async fn reserve(
    items: &[(Route, Item)],
    groups: &[Group],
    shards: &Shards,
    deadline: Instant,
) -> Reservation {
    let mut states: ItemStates = items.iter().map(|(_, item)| untouched(item)).collect();
    let mut held: Vec<(u32, Taken)> = Vec::new();
    let mut until = deadline;
    for (shard, places) in groups {
        let asked = pick(items, places);
        match shards[*shard as usize]
            .ask(Want::Reserve, asked, until)
            .await
        {
            Reply::Reserved { taken, items } => {
                place(&mut states, places, &items);
                held.push((*shard, taken));
                // What is held now ends soon: the others must come before.
                until = until.min(Instant::now() + RESERVE_WAIT);
            }
            Reply::Refused(Decision::Unavailable) if until < deadline => {
                return Reservation::Lapsed;
            }
            Reply::Refused(decision) => {
                return Reservation::Refused(in_place(decision, states, places));
            }
            Reply::Contended(decision) => {
                return Reservation::Contended(in_place(decision, states, places));
            }
            _ => return Reservation::Lapsed,
        }
    }
    confirm(held, states, shards, deadline).await
}

async fn confirm(
    held: Vec<(u32, Taken)>,
    items: ItemStates,
    shards: &Shards,
    deadline: Instant,
) -> Reservation {
    let mut asked = JoinSet::new();
    for (shard, mut taken) in held {
        let shard = shards[shard as usize].clone();
        asked.spawn(async move {
            let want = Want::Confirm(taken.id());
            match shard.ask(want, Items::new(), deadline).await {
                Reply::Confirmed {
                    valid_until_us,
                    position,
                } => {
                    taken.confirm(valid_until_us);
                    Ok((taken, position))
                }
                Reply::Refused(decision) => Err(Reservation::Refused(decision)),
                _ => Err(Reservation::Lapsed),
            }
        });
    }
    let (mut taken, mut last) = (Vec::new(), None);
    while let Some(confirmed) = asked.join_next().await {
        match confirmed {
            Ok(Ok((one, position))) => {
                taken.push(one);
                last = last.max(Some(position));
            }
            Ok(Err(reservation)) => return reservation,
            Err(_) => return Reservation::Refused(Decision::Unavailable),
        }
    }
    match last {
        Some(position) => Reservation::Confirmed {
            taken,
            items,
            position,
        },
        None => Reservation::Lapsed,
    }
}

/// A decision of one shard as one of the whole request.
fn in_place(decision: Decision, mut states: ItemStates, places: &[usize]) -> Decision {
    match decision {
        Decision::Denied {
            binding,
            retry_after,
            items,
            path,
            position,
        } => {
            place(&mut states, places, &items);
            Decision::Denied {
                binding: places[binding],
                retry_after,
                items: states,
                path,
                position,
            }
        }
        other => other,
    }
}
