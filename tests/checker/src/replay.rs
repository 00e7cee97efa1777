//! A naive model that decides the log again, command by command, and notes where the answers in
//! the log are not its own.
//!
//! It forgets nothing: where the product may forget an id, the model checks that it was due. Of an
//! answer with a sliding limit it takes the times as they stand, and nothing else.
//!
//! # Layout
//! * [`model`]: counters, ids and holds, and what a command must be told by them.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Answer, Ask, Command, Id, Item, Position};
use crate::index::{Index, Request};
use crate::limits::{CLOCK_SLACK_US, HOLD_MS, ITEMS_MAX, REFUSE_FRESH_US, UNITS_MAX};

mod model;
#[cfg(test)]
mod tests;

use model::{Charge, Epoch, Model, Stored, place};

/// The log, decided again.
#[derive(Debug, Default)]
pub struct Replay {
    pub differences: Vec<Difference>,
    /// Every first admission, in the order of each log.
    pub admissions: Vec<Admission>,
    /// By shard and index, after each entry: when it was seen, how many counters were live, and how many
    /// may be.
    pub live: BTreeMap<(u32, u64), (u64, u64, u64)>,
    /// By shard and epoch: up to which seq its client has settled all ids in the end.
    pub acked: BTreeMap<(u32, u64), u64>,
}

/// How an answer in the log is not the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// More was admitted than is there.
    Over,
    /// Denied, though the units were there.
    Under,
    /// A repeat got another answer than the first time, or was decided anew.
    Repeat,
    /// A denial promises a wait that is not the window's rest.
    Wait,
    /// A refund gave back other units than the id held.
    Refund,
    /// An id was called expired before it was due.
    Expiry,
    /// Units were held for longer or shorter than they are, or kept though nobody confirmed them.
    Hold,
    /// More counters are live than may be.
    Crowd,
    /// The right decision with the wrong numbers.
    Numbers,
}

#[derive(Debug)]
pub struct Difference {
    pub kind: Kind,
    pub at_us: u64,
    pub what: String,
}

/// Units charged by the log, for good or for a time.
#[derive(Debug, Clone)]
pub struct Admission {
    pub at_us: u64,
    pub log_ms: u64,
    pub position: Position,
    pub id: Option<Id>,
    pub key: String,
    pub window_ms: u64,
    pub sliding: bool,
    pub units: u64,
    pub max: u64,
    /// Reserved, and not confirmed so far.
    pub is_held: bool,
    /// Given back, or no longer held; too late to be free again if its window was over.
    pub is_returned: bool,
    /// Given back within the same window, or no longer held: after so many admissions of all.
    pub freed: Option<usize>,
}

/// Where the model is in the log.
#[derive(Clone, Copy)]
struct Here {
    at_us: u64,
    now_ms: u64,
    position: Position,
    counters_max: Option<u64>,
}

// === impl Admission ===

impl Admission {
    /// The units, unless they were given back.
    pub fn kept(&self) -> u64 {
        match self.is_returned {
            true => 0,
            false => self.units,
        }
    }
}

// === impl Replay ===

impl Replay {
    pub fn new(index: &Index) -> Self {
        let mut replay = Self::default();
        let mut models: BTreeMap<u32, Model> = BTreeMap::new();
        for ((shard, at), entry) in &index.entries {
            let model = models.entry(*shard).or_default();
            let here = Here {
                at_us: entry.at_us,
                now_ms: entry.log_ms,
                position: Position {
                    shard: *shard,
                    term: entry.term,
                    index: *at,
                },
                counters_max: entry.counters_max,
            };
            replay.end_holds(model, here.now_ms);
            for command in &entry.commands {
                replay.step(model, here, command);
            }
            if let Some(most) = entry.counters_max {
                let live = (entry.at_us, model.live(entry.log_ms), most);
                replay.live.insert((*shard, *at), live);
            }
        }
        for (shard, model) in &models {
            let acked = model.epochs.iter();
            let acked = acked.map(|(epoch, seen)| ((*shard, *epoch), seen.acked_seq));
            replay.acked.extend(acked);
        }
        replay
    }

    pub fn of_kind(&self, kinds: &[Kind]) -> impl Iterator<Item = &Difference> {
        let kinds = kinds.to_vec();
        self.differences
            .iter()
            .filter(move |difference| kinds.contains(&difference.kind))
    }

    /// Whether a leader may have refused a request for want of room, without an entry of the log.
    pub fn may_refuse(&self, request: &Request, told_us: u64) -> bool {
        let behind_us = REFUSE_FRESH_US + CLOCK_SLACK_US;
        let from_us = request.sent_us.saturating_sub(behind_us);
        let shards: BTreeSet<u32> = request.items().iter().filter_map(|one| one.shard).collect();
        shards.into_iter().any(|shard| {
            let new = request
                .items()
                .iter()
                .filter(|one| one.shard == Some(shard));
            self.may_be_full(shard, new.count() as u64, (from_us, told_us))
        })
    }

    /// Whether a leader of a shard may have had no room for so many counters more between two instants,
    /// by the last entry before them or by one from then on.
    fn may_be_full(&self, shard: u32, more: u64, (from_us, to_us): (u64, u64)) -> bool {
        let seen = self.live.range((shard, 0)..=(shard, u64::MAX));
        let until = seen.take_while(|(_, (at_us, ..))| *at_us <= to_us);
        let is_full = |live: u64, most: u64| live + more > most;
        let mut was_full = false;
        for (_, (at_us, live, most)) in until {
            if *at_us >= from_us && was_full {
                return true;
            }
            was_full = is_full(*live, *most);
        }
        was_full
    }

    fn differ(&mut self, kind: Kind, here: Here, what: String) {
        let Position { shard, term, index } = here.position;
        let what = format!("shard {shard} term {term} index {index}: {what}");
        self.differences.push(Difference {
            kind,
            at_us: here.at_us,
            what,
        });
    }

    fn step(&mut self, model: &mut Model, here: Here, command: &Command) {
        match (&command.ask, command.id) {
            (Ask::Open, _) => {
                if let Answer::Opened { epoch } = command.answer
                    && model
                        .epochs
                        .insert(epoch, Epoch::new(here.now_ms))
                        .is_some()
                {
                    self.differ(Kind::Repeat, here, format!("epoch {epoch} is opened twice"));
                }
            }
            (Ask::Acquire { items } | Ask::Reserve { items }, Some(id)) => {
                self.acquire(model, here, id, items, command);
            }
            (Ask::Confirm, Some(id)) => self.confirm(model, here, id, &command.answer),
            (Ask::Refund, Some(id)) => self.refund(model, here, id, &command.answer),
            (
                Ask::Peek { .. }
                | Ask::Acquire { .. }
                | Ask::Reserve { .. }
                | Ask::Confirm
                | Ask::Refund,
                _,
            ) => {}
        }
    }

    /// Gives back what was held up to now and is not confirmed.
    fn end_holds(&mut self, model: &mut Model, now_ms: u64) {
        while let Some(id) = model.end_hold(now_ms) {
            if let Some(stored) = model.ids.get_mut(&id) {
                stored.is_cancelled = true;
                let charges = std::mem::take(&mut stored.charges);
                self.give_back(model, now_ms, &charges);
            }
        }
    }

    fn acquire(
        &mut self,
        model: &mut Model,
        here: Here,
        id: Id,
        items: &[Item],
        command: &Command,
    ) {
        let answer = &command.answer;
        // What asks for more than can be counted, or for less than nothing, is nobody's either.
        let is_uncounted = |item: &Item| item.units > UNITS_MAX || item.max > UNITS_MAX;
        if items.iter().any(is_uncounted) {
            if *answer != Answer::Invalid {
                let what = format!("{id:?} asks for {items:?} and is answered {answer:?}");
                self.differ(Kind::Over, here, what);
            }
            return;
        }
        // A command that contradicts itself is refused before it is anybody's.
        if matches!(answer, Answer::Invalid) && !model.ids.contains_key(&id) {
            if is_plain(id, items) {
                let what = format!("{id:?} asks for {items:?} and is told that it is invalid");
                self.differ(Kind::Under, here, what);
            }
            return;
        }
        let why_expired = model.why_expired(id, here.now_ms);
        if let Some(epoch) = model.epochs.get_mut(&id.epoch) {
            epoch.see(id.seq, command.acked_seq, here.now_ms);
        }
        if *answer == Answer::Expired {
            let why_expired = why_expired || model.is_acked(id);
            if !why_expired {
                self.differ(
                    Kind::Expiry,
                    here,
                    format!("{id:?} is expired before its time"),
                );
            }
            return;
        }
        if let Some(stored) = model.ids.get(&id) {
            let fault = stored.contradiction(here.now_ms, &command.ask, answer);
            if let Some(fault) = fault {
                self.differ(Kind::Repeat, here, format!("{id:?} again: {fault}"));
            }
            return;
        }
        if matches!(answer, Answer::Exhausted) {
            return self.exhaust(model, here, id, command);
        }
        let charges = self.decide(model, here, (id, items), command);
        if matches!(answer, Answer::Contended { .. }) {
            return;
        }
        if let Answer::Reserved { .. } = answer {
            model.holds.insert((here.now_ms + HOLD_MS, id));
        }
        model.ids.insert(
            id,
            Stored {
                ask: command.ask.clone(),
                answer: answer.clone(),
                at_ms: here.now_ms,
                charges,
                is_cancelled: *answer == Answer::Cancelled,
            },
        );
        if *answer == Answer::Cancelled {
            self.differ(
                Kind::Repeat,
                here,
                format!("{id:?} is cancelled without a refund"),
            );
        }
    }

    /// A first acquire is refused because there are too many counters: all it asks for must fit, and
    /// the counters that it would add must not.
    fn exhaust(&mut self, model: &Model, here: Here, id: Id, Command { ask, .. }: &Command) {
        let Some(most) = here.counters_max else {
            return;
        };
        let expected = model.expect(here.now_ms, ask);
        let live = model.live(here.now_ms);
        let new = model.new_counters(here.now_ms, ask.items(), &expected);
        if !expected.takes() || live + new <= most {
            let what = format!(
                "{id:?} is told of too many counters, with {live} of {most} live and {new} new: \
                 {expected:?}"
            );
            self.differ(Kind::Under, here, what);
        }
    }

    /// Decides a first acquire, and takes over what the log says where they differ.
    fn decide(
        &mut self,
        model: &mut Model,
        here: Here,
        (id, items): (Id, &[Item]),
        Command { ask, answer, .. }: &Command,
    ) -> Vec<Charge> {
        let expected = model.expect(here.now_ms, ask);
        let is_sliding = items.iter().any(|item| item.sliding);
        let is_right = is_sliding && expected.is_same_decision(answer);
        if let Some(kind) = difference(&expected, answer).filter(|_| !is_right) {
            let what = format!("{id:?} is answered {answer:?}, not {expected:?}");
            self.differ(kind, here, what);
        }
        let live = model.live(here.now_ms) + model.new_counters(here.now_ms, items, answer);
        if let Some(most) = here.counters_max.filter(|most| live > *most) {
            let what = format!("{id:?} makes {live} counters live, at most {most}");
            self.differ(Kind::Crowd, here, what);
        }
        let mut charges = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let end_ms = item.counts_until_ms(here.now_ms);
            model.learn(item, here.now_ms);
            let fits = answer.states().get(at).is_some_and(|state| state.fits);
            if !answer.takes() || !fits || item.units == 0 {
                continue;
            }
            model.charge(item, here.now_ms);
            let max = model.counters[&place(item)].max;
            charges.push(Charge {
                admission: self.admissions.len(),
                place: place(item),
                end_ms,
                units: item.units,
            });
            self.admissions.push(Admission {
                at_us: here.at_us,
                log_ms: here.now_ms,
                position: here.position,
                id: Some(id),
                key: item.key.clone(),
                window_ms: item.window_ms,
                sliding: item.sliding,
                units: item.units,
                max,
                is_held: matches!(answer, Answer::Reserved { .. }),
                is_returned: false,
                freed: None,
            });
        }
        charges
    }

    fn confirm(&mut self, model: &mut Model, here: Here, id: Id, answer: &Answer) {
        let why_expired = model.why_expired(id, here.now_ms);
        if let Some(epoch) = model.epochs.get_mut(&id.epoch) {
            epoch.see(id.seq, 0, here.now_ms);
        }
        match answer {
            Answer::Expired if why_expired => return,
            Answer::Expired => {
                return self.differ(Kind::Expiry, here, format!("{id:?} is expired too early"));
            }
            _ => {}
        }
        let stored = model.ids.get_mut(&id).filter(|stored| !stored.is_cancelled);
        let expected = match &stored {
            None => Answer::Cancelled,
            Some(stored) => stored.confirmed(here.now_ms),
        };
        let is_sliding = stored
            .as_ref()
            .is_some_and(|stored| stored.ask.items().iter().any(|item| item.sliding));
        let is_right = *answer == expected
            || is_sliding && answer.is_admitted() && answer.is_same_decision(&expected);
        if !is_right {
            let kind = match answer.is_same_decision(&expected) {
                true => Kind::Wait,
                false => Kind::Hold,
            };
            let what = format!("the confirmation of {id:?} is told {answer:?}, not {expected:?}");
            self.differ(kind, here, what);
        }
        let (Some(stored), true) = (stored, answer.is_admitted()) else {
            return;
        };
        stored.answer = answer.clone();
        stored.at_ms = here.now_ms;
        for charge in &stored.charges {
            self.admissions[charge.admission].is_held = false;
        }
        model.holds.retain(|(_, held)| *held != id);
    }

    fn refund(&mut self, model: &mut Model, here: Here, id: Id, answer: &Answer) {
        let why_expired = model.why_expired(id, here.now_ms);
        if let Some(epoch) = model.epochs.get_mut(&id.epoch) {
            epoch.see(id.seq, 0, here.now_ms);
        }
        let units = match answer {
            Answer::Refunded { units } => *units,
            Answer::Expired if why_expired => return self.come_too_late(model, id),
            Answer::Expired => {
                return self.differ(Kind::Expiry, here, format!("{id:?} is expired too early"));
            }
            Answer::Exhausted | Answer::Invalid => return,
            other => {
                return self.differ(Kind::Refund, here, format!("a refund is told {other:?}"));
            }
        };
        let stored = model.ids.entry(id).or_insert_with(|| Stored {
            ask: Ask::Refund,
            answer: Answer::Cancelled,
            at_ms: here.now_ms,
            charges: Vec::new(),
            is_cancelled: true,
        });
        stored.is_cancelled = true;
        let charges = std::mem::take(&mut stored.charges);
        model.holds.retain(|(_, held)| *held != id);
        let expected = self.give_back(model, here.now_ms, &charges);
        if units != expected {
            let what = format!("{id:?} gives back {units} units, not {expected}");
            self.differ(Kind::Refund, here, what);
        }
    }

    /// A refund of an id that is forgotten gives nothing back, and was asked for all the same.
    fn come_too_late(&mut self, model: &Model, id: Id) {
        for charge in model.ids.get(&id).map_or(&[][..], |stored| &stored.charges) {
            self.admissions[charge.admission].is_returned = true;
        }
    }

    /// Gives back what still counts, and says how many units that are.
    fn give_back(&mut self, model: &mut Model, now_ms: u64, charges: &[Charge]) -> u64 {
        let mut units = 0;
        let after = self.admissions.len();
        for charge in charges {
            let admission = &mut self.admissions[charge.admission];
            admission.is_returned = true;
            if charge.end_ms <= now_ms {
                continue;
            }
            units += charge.units;
            admission.freed = Some(after);
            if let Some(counter) = model.counters.get_mut(&charge.place) {
                counter.give_back(charge.end_ms, charge.units);
            }
        }
        units
    }
}

/// Whether nothing is wrong with a command, whatever its id was used for: some limits, of counters of
/// their own.
fn is_plain(id: Id, items: &[Item]) -> bool {
    let counters: BTreeSet<_> = items.iter().map(|one| (&one.key, one.window_ms)).collect();
    id.seq > 0 && (1..=ITEMS_MAX).contains(&items.len()) && counters.len() == items.len()
}

/// How an answer to a first acquire is not the one that was expected.
fn difference(expected: &Answer, answer: &Answer) -> Option<Kind> {
    let holds_for = |answer: &Answer| match answer {
        Answer::Reserved { hold_for_ms, .. } => Some(*hold_for_ms),
        _ => None,
    };
    let is_contended = |answer: &Answer| matches!(answer, Answer::Contended { .. });
    if expected == answer {
        return None;
    }
    Some(match (expected.takes(), answer.takes()) {
        (false, true) => Kind::Over,
        (true, true) if holds_for(expected) != holds_for(answer) => Kind::Hold,
        (true, false) if answer.is_denied() || is_contended(answer) => Kind::Under,
        // A denial must not rest on units that are merely held.
        (false, false) if is_contended(expected) && answer.is_denied() => Kind::Under,
        (false, false) if is_contended(expected) != is_contended(answer) => Kind::Hold,
        _ if expected.is_same_decision(answer) => Kind::Wait,
        _ => Kind::Numbers,
    })
}
