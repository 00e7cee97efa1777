//! Between the wire and the decision core. What comes from the wire is checked here, once.

use quotum_limit as limit;
use quotum_limit::{ItemStates, Items, RequestId};

use crate::counter::{self, command, item, outcome};
use crate::request::Asked;

#[cfg(test)]
mod tests;

/// What is wrong with a message, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct ConvertError {
    pub place: String,
    pub what: String,
}

fn error(place: impl Into<String>, what: impl ToString) -> ConvertError {
    ConvertError {
        place: place.into(),
        what: what.to_string(),
    }
}

// === impl ConvertError ===

impl ConvertError {
    fn within(mut self, place: &str) -> Self {
        self.place = format!("{place}.{}", self.place);
        self
    }
}

// === impl Item ===

impl TryFrom<counter::Item> for limit::Item {
    type Error = ConvertError;

    fn try_from(item: counter::Item) -> Result<Self, ConvertError> {
        let window = match item.window {
            None => return Err(error("window", "missing: give calendar or window_ms")),
            Some(item::Window::Calendar(calendar)) => match counter::Calendar::try_from(calendar) {
                Ok(counter::Calendar::Second) => limit::Window::Second,
                Ok(counter::Calendar::Minute) => limit::Window::Minute,
                Ok(counter::Calendar::Hour) => limit::Window::Hour,
                Ok(counter::Calendar::Day) => limit::Window::Day,
                Ok(counter::Calendar::Week) => limit::Window::Week,
                Ok(counter::Calendar::Month) => limit::Window::Month,
                Ok(counter::Calendar::Unspecified) | Err(_) => {
                    return Err(error("calendar", "unknown calendar window"));
                }
            },
            Some(item::Window::WindowMs(ms)) => {
                limit::Window::duration(ms).map_err(|e| error("window_ms", e))?
            }
        };
        let algorithm = match counter::Algorithm::try_from(item.algorithm) {
            Ok(counter::Algorithm::Unspecified | counter::Algorithm::Fixed) => {
                limit::Algorithm::Fixed
            }
            Ok(counter::Algorithm::Sliding) => limit::Algorithm::Sliding,
            Err(_) => return Err(error("algorithm", "unknown algorithm")),
        };
        Ok(Self {
            key: limit::Key::sharing(item.key).map_err(|e| error("key", e))?,
            max: item.max,
            revision: item.revision,
            window,
            algorithm,
            units: item.units,
            shadow: item.shadow,
        })
    }
}

impl From<limit::Item> for counter::Item {
    fn from(item: limit::Item) -> Self {
        let calendar = |calendar: counter::Calendar| item::Window::Calendar(calendar.into());
        Self {
            key: bytes::Bytes::copy_from_slice(item.key.as_bytes()),
            max: item.max,
            revision: item.revision,
            window: Some(match item.window {
                limit::Window::Second => calendar(counter::Calendar::Second),
                limit::Window::Minute => calendar(counter::Calendar::Minute),
                limit::Window::Hour => calendar(counter::Calendar::Hour),
                limit::Window::Day => calendar(counter::Calendar::Day),
                limit::Window::Week => calendar(counter::Calendar::Week),
                limit::Window::Month => calendar(counter::Calendar::Month),
                limit::Window::Duration { ms } => item::Window::WindowMs(ms),
            }),
            algorithm: match item.algorithm {
                limit::Algorithm::Fixed => counter::Algorithm::Fixed.into(),
                limit::Algorithm::Sliding => counter::Algorithm::Sliding.into(),
            },
            units: item.units,
            shadow: item.shadow,
        }
    }
}

/// The items of one command.
pub fn items_from_wire(items: Vec<counter::Item>) -> Result<Items, ConvertError> {
    if items.is_empty() || items.len() > limit::limits::ITEMS_MAX {
        return Err(error("items", limit::Refusal::ItemCount));
    }
    let convert = |(at, item): (usize, counter::Item)| {
        limit::Item::try_from(item).map_err(|e| e.within(&format!("items[{at}]")))
    };
    items.into_iter().enumerate().map(convert).collect()
}

fn items_to_wire(items: Items) -> Vec<counter::Item> {
    items.into_iter().map(Into::into).collect()
}

// === impl DecideRequest ===

impl counter::DecideRequest {
    /// The commands of a message, checked.
    pub fn into_commands(self) -> Result<Vec<limit::Command>, ConvertError> {
        if self.commands.len() > limit::limits::BATCH_COMMANDS_MAX {
            return Err(error("commands", "too many commands in one message"));
        }
        let epoch = limit::Epoch(self.epoch);
        let acked_seq = self.acked_seq;
        let mut commands = Vec::with_capacity(self.commands.len());
        for (at, asked) in self.commands.0.into_iter().enumerate() {
            commands.push(match asked {
                Asked::Acquire { seq, items } => limit::Command::Acquire {
                    id: RequestId { epoch, seq },
                    acked_seq,
                    items,
                },
                Asked::Message(command) => command_from_wire(epoch, acked_seq, command)
                    .map_err(|e| e.within(&format!("commands[{at}]")))?,
            });
        }
        Ok(commands)
    }
}

fn command_from_wire(
    epoch: limit::Epoch,
    acked_seq: u64,
    command: counter::Command,
) -> Result<limit::Command, ConvertError> {
    Ok(match command.kind {
        None => return Err(error("kind", "missing")),
        Some(command::Kind::Open(open)) => limit::Command::Open {
            caller: limit::Caller(open.caller),
        },
        Some(command::Kind::Acquire(acquire)) => limit::Command::Acquire {
            id: RequestId {
                epoch,
                seq: acquire.seq,
            },
            acked_seq,
            items: items_from_wire(acquire.items).map_err(|e| e.within("acquire"))?,
        },
        Some(command::Kind::Reserve(reserve)) => limit::Command::Reserve {
            id: RequestId {
                epoch,
                seq: reserve.seq,
            },
            acked_seq,
            items: items_from_wire(reserve.items).map_err(|e| e.within("reserve"))?,
        },
        Some(command::Kind::Confirm(confirm)) => limit::Command::Confirm {
            id: RequestId {
                epoch,
                seq: confirm.seq,
            },
        },
        Some(command::Kind::Refund(refund)) => limit::Command::Refund {
            id: RequestId {
                epoch,
                seq: refund.seq,
            },
        },
        Some(command::Kind::Peek(peek)) => limit::Command::Peek {
            items: items_from_wire(peek.items).map_err(|e| e.within("peek"))?,
        },
    })
}

/// A command as it travels in a message that names its epoch.
pub fn command_to_wire(command: limit::Command) -> counter::Command {
    let kind = match command {
        limit::Command::Open { caller } => command::Kind::Open(command::Open { caller: caller.0 }),
        limit::Command::Acquire { id, items, .. } => command::Kind::Acquire(command::Acquire {
            seq: id.seq,
            items: items_to_wire(items),
        }),
        limit::Command::Reserve { id, items, .. } => command::Kind::Reserve(command::Reserve {
            seq: id.seq,
            items: items_to_wire(items),
        }),
        limit::Command::Confirm { id } => command::Kind::Confirm(command::Confirm { seq: id.seq }),
        limit::Command::Refund { id } => command::Kind::Refund(command::Refund { seq: id.seq }),
        limit::Command::Peek { items } => command::Kind::Peek(command::Peek {
            items: items_to_wire(items),
        }),
    };
    counter::Command { kind: Some(kind) }
}

// === impl Outcome ===

impl From<limit::Outcome> for counter::Outcome {
    fn from(outcome: limit::Outcome) -> Self {
        let kind = match outcome {
            limit::Outcome::Opened { epoch } => {
                outcome::Kind::Opened(outcome::Opened { epoch: epoch.0 })
            }
            limit::Outcome::Admitted {
                valid_for_ms,
                items,
            } => outcome::Kind::Admitted(outcome::Admitted {
                valid_for_ms,
                items: states_to_wire(items),
            }),
            limit::Outcome::Denied {
                binding,
                retry_after_ms,
                items,
            } => outcome::Kind::Denied(outcome::Denied {
                binding: u32::try_from(binding).unwrap_or(u32::MAX),
                retry_after_ms,
                items: states_to_wire(items),
            }),
            limit::Outcome::Reserved { hold_for_ms, items } => {
                outcome::Kind::Reserved(outcome::Reserved {
                    hold_for_ms,
                    items: states_to_wire(items),
                })
            }
            limit::Outcome::Contended {
                binding,
                retry_after_ms,
                items,
            } => outcome::Kind::Contended(outcome::Contended {
                binding: u32::try_from(binding).unwrap_or(u32::MAX),
                retry_after_ms,
                items: states_to_wire(items),
            }),
            limit::Outcome::Cancelled => outcome::Kind::Cancelled(outcome::Cancelled {}),
            limit::Outcome::Expired => outcome::Kind::Expired(outcome::Expired {}),
            limit::Outcome::Exhausted(bound) => outcome::Kind::Exhausted(outcome::Exhausted {
                bound: bound_to_wire(bound).into(),
            }),
            limit::Outcome::Invalid(refusal) => outcome::Kind::Invalid(outcome::Invalid {
                message: refusal.to_string(),
                refusal: refusal_to_wire(refusal).into(),
            }),
            limit::Outcome::Refunded { units } => {
                outcome::Kind::Refunded(outcome::Refunded { units })
            }
            limit::Outcome::Peeked { items } => outcome::Kind::Peeked(outcome::Peeked {
                items: states_to_wire(items),
            }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<counter::Outcome> for limit::Outcome {
    type Error = ConvertError;

    fn try_from(outcome: counter::Outcome) -> Result<Self, ConvertError> {
        Ok(match outcome.kind {
            None => return Err(error("kind", "missing")),
            Some(outcome::Kind::Opened(opened)) => Self::Opened {
                epoch: limit::Epoch(opened.epoch),
            },
            Some(outcome::Kind::Admitted(admitted)) => Self::Admitted {
                valid_for_ms: admitted.valid_for_ms,
                items: states_from_wire(&admitted.items)?,
            },
            Some(outcome::Kind::Denied(denied)) => {
                let items = states_from_wire(&denied.items)?;
                Self::Denied {
                    binding: binding_from_wire("denied.binding", denied.binding, &items)?,
                    retry_after_ms: denied.retry_after_ms,
                    items,
                }
            }
            Some(outcome::Kind::Reserved(reserved)) => Self::Reserved {
                hold_for_ms: reserved.hold_for_ms,
                items: states_from_wire(&reserved.items)?,
            },
            Some(outcome::Kind::Contended(contended)) => {
                let items = states_from_wire(&contended.items)?;
                Self::Contended {
                    binding: binding_from_wire("contended.binding", contended.binding, &items)?,
                    retry_after_ms: contended.retry_after_ms,
                    items,
                }
            }
            Some(outcome::Kind::Cancelled(_)) => Self::Cancelled,
            Some(outcome::Kind::Expired(_)) => Self::Expired,
            Some(outcome::Kind::Exhausted(exhausted)) => {
                use outcome::exhausted::Bound;
                Self::Exhausted(match Bound::try_from(exhausted.bound) {
                    Ok(Bound::Counters) => limit::Bound::Counters,
                    Ok(Bound::Requests) => limit::Bound::Requests,
                    Ok(Bound::Epochs) => limit::Bound::Epochs,
                    Ok(Bound::Ids) => limit::Bound::Ids,
                    Ok(Bound::Tenant) => limit::Bound::Tenant,
                    Ok(Bound::Level) => limit::Bound::Level,
                    Ok(Bound::Unspecified) | Err(_) => {
                        return Err(error("exhausted.bound", "unknown bound"));
                    }
                })
            }
            Some(outcome::Kind::Invalid(invalid)) => {
                use outcome::invalid::Refusal;
                Self::Invalid(match Refusal::try_from(invalid.refusal) {
                    Ok(Refusal::ItemCount) => limit::Refusal::ItemCount,
                    Ok(Refusal::SeqZero) => limit::Refusal::SeqZero,
                    Ok(Refusal::UnitsTooLarge) => limit::Refusal::UnitsTooLarge,
                    Ok(Refusal::ConflictingItems) => limit::Refusal::ConflictingItems,
                    Ok(Refusal::IdReused) => limit::Refusal::IdReused,
                    Ok(Refusal::Unspecified) | Err(_) => {
                        return Err(error("invalid.refusal", "unknown refusal"));
                    }
                })
            }
            Some(outcome::Kind::Refunded(refunded)) => Self::Refunded {
                units: refunded.units,
            },
            Some(outcome::Kind::Peeked(peeked)) => Self::Peeked {
                items: states_from_wire(&peeked.items)?,
            },
        })
    }
}

fn binding_from_wire(place: &str, at: u32, items: &ItemStates) -> Result<usize, ConvertError> {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    match at < items.len() {
        true => Ok(at),
        false => Err(error(place, "no such item")),
    }
}

fn states_to_wire(items: ItemStates) -> Vec<counter::ItemState> {
    let convert = |state: limit::ItemState| counter::ItemState {
        fits: state.fits,
        remaining: state.remaining,
        max: state.max,
        reset_after_ms: state.reset_after_ms,
    };
    items.into_iter().map(convert).collect()
}

fn states_from_wire(items: &[counter::ItemState]) -> Result<ItemStates, ConvertError> {
    if items.len() > limit::limits::ITEMS_MAX {
        return Err(error("items", "too many items"));
    }
    let convert = |state: &counter::ItemState| limit::ItemState {
        fits: state.fits,
        remaining: state.remaining,
        max: state.max,
        reset_after_ms: state.reset_after_ms,
    };
    Ok(items.iter().map(convert).collect())
}

fn bound_to_wire(bound: limit::Bound) -> outcome::exhausted::Bound {
    match bound {
        limit::Bound::Counters => outcome::exhausted::Bound::Counters,
        limit::Bound::Requests => outcome::exhausted::Bound::Requests,
        limit::Bound::Epochs => outcome::exhausted::Bound::Epochs,
        limit::Bound::Ids => outcome::exhausted::Bound::Ids,
        limit::Bound::Tenant => outcome::exhausted::Bound::Tenant,
        limit::Bound::Level => outcome::exhausted::Bound::Level,
    }
}

fn refusal_to_wire(refusal: limit::Refusal) -> outcome::invalid::Refusal {
    match refusal {
        limit::Refusal::ItemCount => outcome::invalid::Refusal::ItemCount,
        limit::Refusal::SeqZero => outcome::invalid::Refusal::SeqZero,
        limit::Refusal::UnitsTooLarge => outcome::invalid::Refusal::UnitsTooLarge,
        limit::Refusal::ConflictingItems => outcome::invalid::Refusal::ConflictingItems,
        limit::Refusal::IdReused => outcome::invalid::Refusal::IdReused,
    }
}
