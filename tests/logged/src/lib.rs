//! Commands of a log and their outcomes, in the words of histories: for simulated clusters and for
//! clusters of real processes alike. The checker itself knows nothing of our own crates.

use quotum_checker::history::{Answer, Ask, Command, Id, Item, ItemState};
use quotum_limit::{Algorithm, Caps, Outcome, RequestId};

/// One command of a shard's log, and what it was answered. What a peek asked is left out: it is long,
/// and changes nothing.
pub fn command(shard: u32, command: &quotum_limit::Command, outcome: &Outcome) -> Command {
    use quotum_limit::Command as Logged;
    let items = |items: &[quotum_limit::Item]| items.iter().map(|one| item(shard, one)).collect();
    let (id, acked_seq, ask) = match command {
        Logged::Open { .. } => (None, 0, Ask::Open),
        Logged::Acquire {
            id,
            acked_seq,
            items: asked,
        } => {
            let items = items(asked);
            (Some(id), *acked_seq, Ask::Acquire { items })
        }
        Logged::Reserve {
            id,
            acked_seq,
            items: asked,
        } => {
            let items = items(asked);
            (Some(id), *acked_seq, Ask::Reserve { items })
        }
        Logged::Confirm { id } => (Some(id), 0, Ask::Confirm),
        Logged::Refund { id } => (Some(id), 0, Ask::Refund),
        Logged::Peek { .. } => (None, 0, Ask::Peek { items: Vec::new() }),
    };
    let answer = match outcome {
        Outcome::Peeked { .. } => Answer::Peeked { items: Vec::new() },
        outcome => answer(outcome),
    };
    Command {
        id: id.map(self::id),
        acked_seq,
        ask,
        answer,
    }
}

/// The most counters of a shard that decides under these caps; `None` where those of one tenant are
/// bounded by fewer, which a history does not tell.
pub fn counters_max(caps: Caps) -> Option<u64> {
    let is_one_bound = caps.tenant_counters_max >= caps.counters_max;
    is_one_bound.then_some(caps.counters_max as u64)
}

/// The name of a request.
pub fn id(id: &RequestId) -> Id {
    Id {
        epoch: id.epoch.0,
        seq: id.seq,
    }
}

/// A limit of a shard.
pub fn item(shard: u32, item: &quotum_limit::Item) -> Item {
    Item {
        key: item.key.as_bytes().escape_ascii().to_string(),
        max: item.max,
        window_ms: match item.algorithm {
            Algorithm::Fixed => item.window.length_ms(),
            Algorithm::Sliding => item.window.sliding_ms(),
        },
        units: item.units,
        revision: item.revision,
        sliding: item.algorithm != Algorithm::Fixed,
        shadow: item.shadow,
        shard: Some(shard),
    }
}

/// What an outcome of the decision core is in a history.
pub fn answer(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Opened { epoch } => Answer::Opened { epoch: epoch.0 },
        Outcome::Admitted {
            valid_for_ms,
            items,
        } => Answer::Admitted {
            valid_for_ms: Some(*valid_for_ms),
            items: states(items),
        },
        Outcome::Denied {
            binding,
            retry_after_ms,
            items,
        } => Answer::Denied {
            binding: *binding,
            retry_after_ms: *retry_after_ms,
            items: states(items),
            cached: false,
        },
        Outcome::Reserved { hold_for_ms, items } => Answer::Reserved {
            hold_for_ms: *hold_for_ms,
            items: states(items),
        },
        Outcome::Contended {
            binding,
            retry_after_ms,
            items,
        } => Answer::Contended {
            binding: *binding,
            retry_after_ms: *retry_after_ms,
            items: states(items),
        },
        Outcome::Cancelled => Answer::Cancelled,
        Outcome::Expired => Answer::Expired,
        Outcome::Exhausted(_) => Answer::Exhausted,
        Outcome::Invalid(_) => Answer::Invalid,
        Outcome::Refunded { units } => Answer::Refunded { units: *units },
        Outcome::Peeked { items } => Answer::Peeked {
            items: states(items),
        },
    }
}

/// The states of counters as an answer shows them.
pub fn states(items: &[quotum_limit::ItemState]) -> Vec<ItemState> {
    let state = |state: &quotum_limit::ItemState| ItemState {
        fits: state.fits,
        remaining: state.remaining,
        max: state.max,
        reset_after_ms: state.reset_after_ms,
    };
    items.iter().map(state).collect()
}
