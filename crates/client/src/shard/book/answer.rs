//! What the book does with an answer.

use std::sync::PoisonError;
use std::time::Duration;

use quotum_api::Decided;
use quotum_api::counter::not_decided::Reason;
use quotum_api::counter::{DecideResponse, NotDecided, decide_response};
use quotum_limit::{Bound, ItemStates, Outcome, RequestId};
use tokio::time::Instant;

use super::{Ask, Book, EpochState, Sending, Sent};
use crate::ack::SeqWindow;
use crate::clock::{lengthened_us, valid_until_us};
use crate::decision::{Decision, Invalid, Path, Position};
use crate::limits::{CONTENDED_MARGIN, CONTENDED_PAUSE, MESSAGE_CHARS_MAX, REASKS_MAX};
use crate::shard::{Reply, Want};
use crate::ticket::Taken;

/// What an answer says about the node that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Decided,
    /// It does not lead, or lost its leader before there was an answer.
    NoLeader,
    /// It cannot decide now.
    Refused,
}

/// When and where a message was decided.
#[derive(Debug, Clone, Copy)]
struct Context {
    now: Instant,
    sent_us: u64,
    position: Position,
}

// === impl Book ===

impl Book {
    /// Reads an answer.
    pub(crate) fn hear(&mut self, answer: DecideResponse, now: Instant) -> Heard {
        let Some(sent) = self.in_flight.remove(&answer.tag) else {
            return Heard::Decided;
        };
        match answer.result {
            Some(decide_response::Result::Decided(decided)) => {
                self.hear_decided(sent, decided, now)
            }
            Some(decide_response::Result::NotDecided(not_decided)) => {
                self.hear_not_decided(sent, not_decided, now)
            }
            None => {
                self.send_again(sent, true);
                Heard::Refused
            }
        }
    }

    fn hear_not_decided(&mut self, sent: Sent, answer: NotDecided, now: Instant) -> Heard {
        match answer.reason() {
            Reason::NotLeader => {
                self.send_again(sent, false);
                Heard::NoLeader
            }
            Reason::Overloaded => {
                self.send_again(sent, false);
                Heard::Refused
            }
            Reason::Invalid => {
                let message: String = answer.message.chars().take(MESSAGE_CHARS_MAX).collect();
                self.hear_malformed(sent, message, now)
            }
            Reason::Unknown | Reason::Unspecified => {
                self.send_again(sent, true);
                Heard::NoLeader
            }
        }
    }

    /// A message was refused whole: its commands go alone, and a lone one was the culprit.
    fn hear_malformed(&mut self, sent: Sent, message: String, now: Instant) -> Heard {
        tracing::warn!(message, "the counter service calls a message malformed");
        let [only] = sent.commands[..] else {
            for sending in &sent.commands {
                if let Sending::Ask(no) = sending
                    && let Some(ask) = self.asks.get_mut(no)
                {
                    ask.goes_alone = true;
                }
            }
            self.send_again(sent, false);
            return Heard::Decided;
        };
        match only {
            Sending::Open => {
                self.send_again(sent, false);
                return Heard::Refused;
            }
            Sending::Refund(id) => self.finish_refund(id, 0),
            Sending::Ask(no) => {
                let decision = Decision::Invalid(Invalid::Malformed(message));
                self.refuse(no, decision, now);
            }
        }
        Heard::Decided
    }

    fn hear_decided(&mut self, sent: Sent, decided: Decided, now: Instant) -> Heard {
        let position = decided
            .position
            .filter(|position| position.shard == self.shard);
        let (Some(position), true) = (position, decided.len() == sent.commands.len()) else {
            tracing::warn!("an answer of the counter service does not fit its question");
            self.send_again(sent, true);
            return Heard::Refused;
        };
        if position.term != self.term {
            // Another leader: it may know of units given back.
            self.shared.forget_denials();
            self.term = position.term;
        }
        let position = Position {
            shard: position.shard,
            term: position.term,
            index: position.index,
        };
        let context = Context {
            now,
            sent_us: sent.clock_us,
            position,
        };
        let mut heard = Heard::Decided;
        let outcomes = decided.into_outcomes();
        for (sending, outcome) in sent.commands.into_iter().zip(outcomes) {
            let understood = match Outcome::try_from(outcome) {
                Ok(outcome) => self.apply(sending, outcome, context),
                Err(error) => {
                    tracing::warn!(%error, "an outcome of the counter service is malformed");
                    false
                }
            };
            if !understood {
                let at = sent.at;
                self.send_again(
                    Sent {
                        at,
                        clock_us: context.sent_us,
                        commands: vec![sending],
                    },
                    true,
                );
                heard = Heard::Refused;
            }
        }
        heard
    }

    /// Applies one outcome; `false` if it is none for what was sent.
    fn apply(&mut self, sending: Sending, outcome: Outcome, context: Context) -> bool {
        match sending {
            Sending::Open => self.apply_open(outcome, context.now),
            Sending::Refund(id) => match outcome {
                Outcome::Refunded { units } => {
                    self.finish_refund(id, units);
                    true
                }
                // Its request may still come, and there is no room to remember that it must not.
                Outcome::Exhausted(Bound::Ids) => {
                    self.refunds.retry(id);
                    true
                }
                // Nothing is left to give back, or was ever decided under a seq out of reach.
                Outcome::Expired
                | Outcome::Cancelled
                | Outcome::Invalid(_)
                | Outcome::Exhausted(_) => {
                    self.finish_refund(id, 0);
                    true
                }
                _ => false,
            },
            // Answered as unavailable before, and refunded.
            Sending::Ask(no) if !self.asks.contains_key(&no) => true,
            Sending::Ask(no) => self.apply_ask(no, outcome, context),
        }
    }

    fn apply_open(&mut self, outcome: Outcome, now: Instant) -> bool {
        match outcome {
            Outcome::Opened { epoch } => {
                self.shared.stats.count_epochs().add(1);
                self.epoch = EpochState::Open(epoch);
                self.seqs = SeqWindow::default();
                true
            }
            Outcome::Exhausted(bound) => {
                self.epoch = EpochState::None;
                for no in std::mem::take(&mut self.waiting) {
                    let Some(ask) = self.asks.get(&no) else {
                        continue;
                    };
                    if ask.want.takes() && ask.id.is_none() {
                        self.refuse(no, Decision::Exhausted(bound), now);
                    } else {
                        self.waiting.push_back(no);
                    }
                }
                true
            }
            _ => false,
        }
    }

    fn apply_ask(&mut self, no: u64, outcome: Outcome, context: Context) -> bool {
        let ask = &self.asks[&no];
        let (want, items_asked) = (ask.want, ask.items.len());
        match (want, outcome) {
            (Want::Peek, Outcome::Peeked { items }) if items.len() == items_asked => {
                if let Some(ask) = self.forget(no) {
                    let _ = ask.reply.send(Reply::Peeked(items));
                }
            }
            (Want::Confirm(_), outcome) => return self.apply_confirm(no, outcome, context),
            (_, Outcome::Invalid(refusal)) => {
                self.refuse(no, Decision::Invalid(refusal.into()), context.now);
            }
            (Want::Reserve, Outcome::Reserved { items, .. }) if items.len() == items_asked => {
                self.reserve(no, items);
            }
            (
                Want::Acquire | Want::Reserve,
                Outcome::Contended {
                    binding,
                    retry_after_ms,
                    items,
                },
            ) if items.len() == items_asked => {
                let decision = Decision::Denied {
                    binding,
                    retry_after: Some(Duration::from_millis(retry_after_ms)),
                    items,
                    path: Path::Exact,
                    position: Some(context.position),
                };
                self.contend(no, decision, context.now);
            }
            (
                Want::Acquire,
                Outcome::Admitted {
                    valid_for_ms,
                    items,
                },
            ) if items.len() == items_asked => {
                self.admit(no, valid_for_ms, items, context);
            }
            (
                Want::Acquire | Want::Reserve,
                Outcome::Denied {
                    binding,
                    retry_after_ms,
                    items,
                },
            ) if items.len() == items_asked => {
                let bound = (binding, retry_after_ms);
                self.learn_denial(&ask.items, &items, bound, context.sent_us);
                let decision = Decision::Denied {
                    binding,
                    retry_after: retry_after_ms.map(Duration::from_millis),
                    items,
                    path: Path::Exact,
                    position: Some(context.position),
                };
                self.refuse(no, decision, context.now);
            }
            // The window of seqs has lost touch with the service's: only another epoch helps.
            // It never held this seq, so that no attempt under this id was decided, or will be.
            (Want::Acquire | Want::Reserve, Outcome::Exhausted(Bound::Requests)) => {
                self.ask_anew(no, Decision::Exhausted(Bound::Requests), context.now);
            }
            (Want::Acquire | Want::Reserve, Outcome::Exhausted(bound)) => {
                self.refuse(no, Decision::Exhausted(bound), context.now);
            }
            (Want::Acquire | Want::Reserve, Outcome::Expired) => self.expire(no, context.now),
            (Want::Acquire | Want::Reserve, Outcome::Cancelled) => {
                self.refuse(no, Decision::Unavailable, context.now);
            }
            _ => return false,
        }
        true
    }

    /// `Expired` says that nothing was charged now. If this was the only attempt that may have
    /// been decided, nothing was charged at all, and another id may be used. Otherwise an earlier
    /// one may have charged units; they cannot be given back, since the service does not know
    /// the id any more, and asking anew would charge twice for one request.
    fn expire(&mut self, no: u64, now: Instant) {
        if self.asks[&no].is_uncertain {
            self.leave_epoch(no);
            self.refuse(no, Decision::Unavailable, now);
        } else {
            self.ask_anew(no, Decision::Unavailable, now);
        }
    }

    /// Asks under an id of a new epoch what charged nothing under its old one; too often: gives
    /// `otherwise`.
    fn ask_anew(&mut self, no: u64, otherwise: Decision, now: Instant) {
        self.leave_epoch(no);
        if self.draw_anew(no) {
            self.waiting.push_front(no);
        } else {
            self.refuse(no, otherwise, now);
        }
    }

    fn leave_epoch(&mut self, no: u64) {
        let id = self.asks.get(&no).and_then(|ask| ask.id);
        if id.is_some_and(|id| self.is_current(id)) {
            self.epoch = EpochState::None;
        }
    }

    /// Lets an ask have another id, unless it has had too many. It is not among those that wait
    /// yet.
    fn draw_anew(&mut self, no: u64) -> bool {
        let Some(ask) = self.asks.get_mut(&no) else {
            return false;
        };
        if ask.reasks >= REASKS_MAX {
            return false;
        }
        ask.reasks += 1;
        ask.id = None;
        ask.is_uncertain = false;
        ask.is_in_flight = false;
        true
    }

    fn admit(&mut self, no: u64, valid_for_ms: u64, items: ItemStates, context: Context) {
        let now_us = self.shared.clock.now_us();
        let valid_until_us = valid_until_us(context.sent_us, valid_for_ms);
        let Some(id) = self.asks[&no].id else { return };
        if now_us >= valid_until_us {
            // It came too late to be used: the units are given back, and asked for once more. Not
            // before the window is over, or the next admission would be late as well.
            self.shared.stats.count_stale().add(1);
            self.refund(id, context.now);
            if self.draw_anew(no) {
                let over = context.now + Duration::from_micros(lengthened_us(valid_for_ms));
                self.resting.insert((over, no));
            } else if let Some(ask) = self.forget(no) {
                let _ = ask.reply.send(Reply::Refused(Decision::Unavailable));
            }
            return;
        }
        let Some(ask) = self.forget(no) else { return };
        if self.is_current(id) {
            self.seqs.hold(id.seq, now_us);
        }
        let taken = Taken::new(id, valid_until_us, self.shared.desk.clone());
        // A caller that has left drops what was taken, and so refunds it.
        let _ = ask.reply.send(Reply::Admitted {
            taken,
            items,
            position: context.position,
        });
    }

    /// Hands out what is held. Whoever drops it gives it back.
    fn reserve(&mut self, no: u64, items: ItemStates) {
        let Some(ask) = self.forget(no) else { return };
        let Some(id) = ask.id else { return };
        if self.is_current(id) {
            self.seqs.hold(id.seq, self.shared.clock.now_us());
        }
        // Valid only once it is confirmed.
        let taken = Taken::new(id, 0, self.shared.desk.clone());
        let _ = ask.reply.send(Reply::Reserved { taken, items });
    }

    /// Applies the answer to a confirmation; `false` if it is none.
    fn apply_confirm(&mut self, no: u64, outcome: Outcome, context: Context) -> bool {
        let reply = match outcome {
            Outcome::Admitted { valid_for_ms, .. } => {
                let valid_until_us = valid_until_us(context.sent_us, valid_for_ms);
                match self.shared.clock.now_us() < valid_until_us {
                    true => Reply::Confirmed {
                        valid_until_us,
                        position: context.position,
                    },
                    false => {
                        self.shared.stats.count_stale().add(1);
                        Reply::Lapsed
                    }
                }
            }
            Outcome::Cancelled | Outcome::Expired => Reply::Lapsed,
            Outcome::Invalid(refusal) => Reply::Refused(Decision::Invalid(refusal.into())),
            _ => return false,
        };
        if let Some(ask) = self.forget(no) {
            let _ = ask.reply.send(reply);
        }
        true
    }

    /// Asks again under the same id, which decided nothing, while there is time.
    fn contend(&mut self, no: u64, decision: Decision, now: Instant) {
        let again_at = now + CONTENDED_PAUSE;
        let Some(ask) = self.asks.get_mut(&no) else {
            return;
        };
        ask.is_in_flight = false;
        if again_at + CONTENDED_MARGIN < ask.deadline {
            self.shared.stats.count_contended().add(1);
            self.resting.insert((again_at, no));
            return;
        }
        let Some(ask) = self.forget(no) else { return };
        match ask.id {
            Some(id) if ask.is_uncertain => self.refund(id, now),
            Some(id) => self.settle(id),
            None => {}
        }
        let _ = ask.reply.send(Reply::Contended(decision));
    }

    /// Answers with a decision that charged nothing. An earlier attempt that is still on its way
    /// may yet be decided otherwise: such an id is refunded, which bars it.
    fn refuse(&mut self, no: u64, decision: Decision, now: Instant) {
        let Some(Ask {
            want,
            id,
            is_uncertain,
            reply,
            ..
        }) = self.forget(no)
        else {
            return;
        };
        if let Some(id) = id.filter(|_| want.takes()) {
            let is_open = matches!(decision, Decision::Exhausted(_) | Decision::Invalid(_));
            if is_uncertain && is_open {
                self.refund(id, now);
            } else {
                self.settle(id);
            }
        }
        let _ = reply.send(Reply::Refused(decision));
    }

    fn learn_denial(
        &self,
        items: &[quotum_limit::Item],
        states: &ItemStates,
        binding: (usize, Option<u64>),
        sent_us: u64,
    ) {
        let mut denials = self
            .shared
            .denials
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        denials.learn(items, states, binding, sent_us);
    }

    fn finish_refund(&mut self, id: RequestId, units: u64) {
        if units > 0 {
            // Remembered denials may be over.
            self.shared.forget_denials();
        }
        if self.refunds.finish(id) {
            self.shared.stats.count_refunds().add(1);
            self.settle(id);
        }
    }
}
