//! The book of a shard: what was asked, under which id, and what became of it. Without IO: it
//! makes messages and reads answers, and time arrives as an argument.
//!
//! Promises: a request is sent under one id until it is known that this id charged nothing and
//! never will; an id that may have charged units which nobody gets is refunded until that is
//! acknowledged; what is acknowledged as settled is never sent again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use quotum_api::counter;
use quotum_limit::{Caller, Command, Epoch, Items, RequestId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::refunds::Refunds;
use super::{Reply, Request, Shared, Want};
use crate::ack::SeqWindow;
use crate::decision::Decision;
use crate::limits::MESSAGE_ITEMS_MAX;
use crate::ticket::End;

mod answer;
#[cfg(test)]
mod tests;

pub(crate) use answer::Heard;

#[derive(Debug)]
pub(crate) struct Book {
    shard: u32,
    bounds: Bounds,
    shared: Arc<Shared>,
    epoch: EpochState,
    /// The seqs of the open epoch.
    seqs: SeqWindow,
    asks: BTreeMap<u64, Ask>,
    next_ask: u64,
    deadlines: BTreeSet<(Instant, u64)>,
    /// Asks that are not on their way.
    waiting: VecDeque<u64>,
    /// Asks that wait for the end of a window, or of what others have reserved, and until when.
    resting: BTreeSet<(Instant, u64)>,
    refunds: Refunds,
    /// Messages without answer, by tag.
    in_flight: BTreeMap<u64, Sent>,
    next_tag: u64,
    /// The term of the last decision.
    term: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) asks_max: usize,
    pub(crate) commands_max: usize,
    pub(crate) messages_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EpochState {
    None,
    Opening,
    Open(Epoch),
}

/// A request that is not answered.
#[derive(Debug)]
struct Ask {
    want: Want,
    items: Items,
    deadline: Instant,
    reply: oneshot::Sender<Reply>,
    /// Drawn when it is first sent; a peek has none.
    id: Option<RequestId>,
    is_in_flight: bool,
    /// An earlier attempt under this id may have been decided, or may still be.
    is_uncertain: bool,
    /// A message that had this in it was refused whole: it goes alone, to find the culprit.
    goes_alone: bool,
    reasks: u8,
}

/// A message on its way.
#[derive(Debug)]
struct Sent {
    at: Instant,
    /// The same on the clock of admissions.
    clock_us: u64,
    commands: Vec<Sending>,
}

#[derive(Debug, Clone, Copy)]
enum Sending {
    Open,
    Ask(u64),
    Refund(RequestId),
}

/// A message in the making: commands of one epoch.
#[derive(Debug, Default)]
struct Draft {
    epoch: Option<Epoch>,
    commands: Vec<counter::Command>,
    sending: Vec<Sending>,
    items: usize,
    is_closed: bool,
}

// === impl Book ===

impl Book {
    pub(crate) fn new(shard: u32, bounds: Bounds, shared: Arc<Shared>) -> Self {
        Self {
            shard,
            bounds,
            shared,
            epoch: EpochState::None,
            seqs: SeqWindow::default(),
            asks: BTreeMap::new(),
            next_ask: 0,
            deadlines: BTreeSet::new(),
            waiting: VecDeque::new(),
            resting: BTreeSet::new(),
            refunds: Refunds::default(),
            in_flight: BTreeMap::new(),
            next_tag: 0,
            term: 0,
        }
    }

    /// How many more requests the book takes.
    pub(crate) fn room(&self) -> usize {
        self.bounds.asks_max.saturating_sub(self.asks.len())
    }

    pub(crate) fn push(&mut self, request: Request) {
        let Request {
            want,
            items,
            deadline,
            reply,
        } = request;
        let no = self.next_ask;
        self.next_ask += 1;
        self.deadlines.insert((deadline, no));
        self.waiting.push_back(no);
        let ask = Ask {
            want,
            items,
            deadline,
            reply,
            id: match want {
                Want::Confirm(id) => Some(id),
                Want::Acquire | Want::Reserve | Want::Peek => None,
            },
            is_in_flight: false,
            is_uncertain: false,
            goes_alone: false,
            reasks: 0,
        };
        self.asks.insert(no, ask);
    }

    /// Does what time and tickets bring about.
    pub(crate) fn tick(&mut self, now: Instant) {
        for (id, end) in self.shared.desk.take() {
            match end {
                End::Used => self.settle(id),
                End::Refund => self.refund(id, now),
            }
        }
        while let Some((deadline, no)) = self.deadlines.first().copied() {
            if now < deadline {
                break;
            }
            self.abandon(no, now);
        }
        while let Some((until, no)) = self.resting.first().copied() {
            if now < until {
                break;
            }
            self.resting.pop_first();
            self.waiting.push_front(no);
        }
        // Also while nothing can be sent, so that an outage piles nothing up.
        self.skip_gone(now);
        while let Some(id) = self.refunds.expire(now) {
            self.shared.stats.count_refunds_forfeited().add(1);
            self.settle(id);
        }
    }

    /// When [`Book::tick`] is next needed.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        let first = |dues: &BTreeSet<(Instant, u64)>| dues.first().map(|(due, _)| *due);
        let dues = [
            first(&self.deadlines),
            first(&self.resting),
            self.refunds.expiry(),
        ];
        dues.into_iter().flatten().min()
    }

    /// When the oldest message without answer was sent.
    pub(crate) fn oldest_sent(&self) -> Option<Instant> {
        self.in_flight.first_key_value().map(|(_, sent)| sent.at)
    }

    /// The next message, if there is anything to say and the bounds let it be said.
    pub(crate) fn next_message(&mut self, now: Instant) -> Option<counter::DecideRequest> {
        if self.in_flight.len() >= self.bounds.messages_max {
            return None;
        }
        let forfeited = self.seqs.advance(self.shared.clock.now_us());
        self.shared.stats.count_refunds_forfeited().add(forfeited);

        let mut draft = Draft::default();
        if self.needs_epoch(now) {
            self.epoch = EpochState::Opening;
            // The node that is asked fills in whose it is.
            let caller = Caller::default();
            draft.push(Command::Open { caller }, Sending::Open);
        } else {
            self.draft_asks(&mut draft, now);
            self.draft_refunds(&mut draft);
        }
        (!draft.commands.is_empty()).then(|| self.message(draft, now))
    }

    fn message(&mut self, draft: Draft, now: Instant) -> counter::DecideRequest {
        let tag = self.next_tag;
        self.next_tag += 1;
        // Read before the message leaves: the admission is counted from no later than this.
        let clock_us = self.shared.clock.now_us();
        self.in_flight.insert(
            tag,
            Sent {
                at: now,
                clock_us,
                commands: draft.sending,
            },
        );
        let is_current = draft
            .epoch
            .is_some_and(|epoch| self.epoch == EpochState::Open(epoch));
        counter::DecideRequest {
            tag,
            shard: self.shard,
            epoch: draft.epoch.map_or(0, |epoch| epoch.0),
            acked_seq: if is_current { self.seqs.acked() } else { 0 },
            commands: draft.commands.into(),
            ..Default::default()
        }
    }

    /// Whether the first request that waits has no epoch to be asked under.
    fn needs_epoch(&mut self, now: Instant) -> bool {
        if self.epoch != EpochState::None {
            return false;
        }
        self.skip_gone(now);
        let first = self.waiting.front().and_then(|no| self.asks.get(no));
        first.is_some_and(|ask| ask.want.takes() && ask.id.is_none())
    }

    /// Takes from the front what is answered, and whose caller has left.
    fn skip_gone(&mut self, now: Instant) {
        while let Some(no) = self.waiting.front().copied() {
            if self.asks.get(&no).is_some_and(|ask| !ask.reply.is_closed()) {
                break;
            }
            self.waiting.pop_front();
            self.abandon(no, now);
        }
    }

    fn draft_asks(&mut self, draft: &mut Draft, now: Instant) {
        // A quarter of each message is for refunds, where there are any: they free seqs.
        let reserved = self.refunds.queued().min(self.bounds.commands_max / 4);
        while draft.commands.len() < self.bounds.commands_max - reserved && !draft.is_closed {
            self.skip_gone(now);
            let Some(no) = self.waiting.front().copied() else {
                break;
            };
            let Some(ask) = self.asks.get_mut(&no) else {
                break;
            };
            let is_full = draft.items + ask.items.len() > MESSAGE_ITEMS_MAX;
            if (ask.goes_alone && !draft.commands.is_empty()) || is_full {
                break;
            }
            let command = match ask.want {
                Want::Peek => Command::Peek {
                    items: ask.items.clone(),
                },
                Want::Acquire | Want::Reserve | Want::Confirm(_) => {
                    let epoch = match (ask.id, self.epoch) {
                        (Some(id), _) => id.epoch,
                        (None, EpochState::Open(epoch)) => epoch,
                        (None, _) => break,
                    };
                    if *draft.epoch.get_or_insert(epoch) != epoch {
                        break;
                    }
                    if ask.id.is_none() {
                        let Some(seq) = self.seqs.draw() else { break };
                        ask.id = Some(RequestId { epoch, seq });
                    }
                    let id = ask.id.expect("given above");
                    let items = ask.items.clone();
                    // The message carries `acked_seq` for all its commands.
                    let acked_seq = 0;
                    match ask.want {
                        Want::Confirm(_) => Command::Confirm { id },
                        Want::Reserve => Command::Reserve {
                            id,
                            acked_seq,
                            items,
                        },
                        Want::Acquire | Want::Peek => Command::Acquire {
                            id,
                            acked_seq,
                            items,
                        },
                    }
                }
            };
            ask.is_in_flight = true;
            draft.is_closed = ask.goes_alone;
            draft.items += ask.items.len();
            self.waiting.pop_front();
            draft.push(command, Sending::Ask(no));
        }
    }

    fn draft_refunds(&mut self, draft: &mut Draft) {
        while draft.commands.len() < self.bounds.commands_max && !draft.is_closed {
            let Some(id) = self.refunds.take(draft.epoch) else {
                break;
            };
            draft.epoch = Some(id.epoch);
            draft.push(Command::Refund { id }, Sending::Refund(id));
        }
    }

    /// The stream broke: what was on its way may or may not be decided, and is sent again.
    pub(crate) fn lose_messages(&mut self) {
        while let Some((_, sent)) = self.in_flight.pop_last() {
            self.send_again(sent, true);
        }
    }

    fn send_again(&mut self, sent: Sent, is_uncertain: bool) {
        for sending in sent.commands.into_iter().rev() {
            match sending {
                Sending::Open if self.epoch == EpochState::Opening => self.epoch = EpochState::None,
                Sending::Open => {}
                Sending::Refund(id) => self.refunds.retry(id),
                Sending::Ask(no) => {
                    let Some(ask) = self.asks.get_mut(&no) else {
                        continue;
                    };
                    ask.is_in_flight = false;
                    ask.is_uncertain |= is_uncertain;
                    self.waiting.push_front(no);
                }
            }
            self.shared.stats.count_retries().add(1);
        }
    }

    /// Answers as unavailable, and sees to it that no units stay charged.
    fn abandon(&mut self, no: u64, now: Instant) {
        let Some(ask) = self.forget(no) else { return };
        // What is to be confirmed has a `Taken`, which refunds it.
        if let (Some(id), true) = (ask.id, ask.want.takes()) {
            if ask.is_in_flight || ask.is_uncertain {
                self.shared.stats.count_abandoned().add(1);
                self.refund(id, now);
            } else {
                self.settle(id);
            }
        }
        // The caller may have left.
        let _ = ask.reply.send(Reply::Refused(Decision::Unavailable));
    }

    /// Gives all requests up: the client is shutting down.
    pub(crate) fn abandon_all(&mut self, now: Instant) {
        while let Some(no) = self.asks.first_key_value().map(|(no, _)| *no) {
            self.abandon(no, now);
        }
    }

    /// Whether every refund is acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.refunds.is_empty()
    }

    fn forget(&mut self, no: u64) -> Option<Ask> {
        let ask = self.asks.remove(&no)?;
        self.deadlines.remove(&(ask.deadline, no));
        Some(ask)
    }

    fn is_current(&self, id: RequestId) -> bool {
        self.epoch == EpochState::Open(id.epoch)
    }

    fn settle(&mut self, id: RequestId) {
        if self.is_current(id) {
            self.seqs.settle(id.seq);
        }
    }

    /// Refunds until it is acknowledged. Too late, or one too many: the units stay charged.
    fn refund(&mut self, id: RequestId, now: Instant) {
        let is_open = !self.is_current(id) || self.seqs.reopen(id.seq);
        if !is_open || !self.refunds.add(id, now) {
            self.shared.stats.count_refunds_forfeited().add(1);
            self.settle(id);
        }
    }
}

// === impl Draft ===

impl Draft {
    fn push(&mut self, command: Command, sending: Sending) {
        self.commands.push(quotum_api::command_to_wire(command));
        self.sending.push(sending);
    }
}
