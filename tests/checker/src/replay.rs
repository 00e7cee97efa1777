//! A naive model that decides the log again, command by command, and notes where the answers in
//! the log are not its own.
//!
//! It forgets nothing: where the product may forget an id, the model checks that it was due. It
//! has no word on how sliding limits round, so it takes an answer with one as it stands.

use std::collections::BTreeMap;

use crate::history::{Answer, Ask, Command, Id, Item, ItemState, Position};
use crate::index::Index;
use crate::limits::{DEDUP_MS, EPOCH_IDLE_MS, UNITS_MAX};

#[cfg(test)]
mod tests;

/// The log, decided again.
#[derive(Debug, Default)]
pub struct Replay {
    pub differences: Vec<Difference>,
    /// Every first admission, in the order of each log.
    pub admissions: Vec<Admission>,
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
    /// The right decision with the wrong numbers.
    Numbers,
}

#[derive(Debug)]
pub struct Difference {
    pub kind: Kind,
    pub at_us: u64,
    pub what: String,
}

/// Units charged by the log.
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
    /// Units given back within the same window.
    pub refunded: u64,
}

#[derive(Debug, Default)]
struct Model {
    counters: BTreeMap<Place, Counter>,
    ids: BTreeMap<Id, Stored>,
    epochs: BTreeMap<u64, Epoch>,
}

type Place = (String, u64, bool);

#[derive(Debug, Clone, Copy)]
struct Counter {
    end_ms: u64,
    charged: u64,
    revision: u64,
    max: u64,
}

#[derive(Debug)]
struct Stored {
    ask: Ask,
    answer: Answer,
    at_ms: u64,
    /// Where in the admissions what it charged stands, with the end of each window.
    charges: Vec<(usize, Place, u64)>,
    is_cancelled: bool,
}

#[derive(Debug, Default)]
struct Epoch {
    acked_seq: u64,
    seen_ms: u64,
    /// The highest seq seen by then, in the order of time.
    seen: Vec<(u64, u64)>,
}

/// Where the model is in the log.
#[derive(Clone, Copy)]
struct Here {
    at_us: u64,
    now_ms: u64,
    position: Position,
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
            };
            for command in &entry.commands {
                replay.step(model, here, command);
            }
        }
        replay
    }

    pub fn of_kind(&self, kinds: &[Kind]) -> impl Iterator<Item = &Difference> {
        let kinds = kinds.to_vec();
        self.differences
            .iter()
            .filter(move |difference| kinds.contains(&difference.kind))
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
            (Ask::Acquire { items }, Some(id)) => self.acquire(model, here, id, items, command),
            (Ask::Refund, Some(id)) => self.refund(model, here, id, &command.answer),
            (Ask::Peek { .. } | Ask::Acquire { .. } | Ask::Refund, _) => {}
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
            let fault = stored.contradiction(here.now_ms, items, answer);
            if let Some(fault) = fault {
                self.differ(Kind::Repeat, here, format!("{id:?} again: {fault}"));
            }
            return;
        }
        if matches!(answer, Answer::Exhausted) {
            return;
        }
        let charges = self.decide(model, here, id, items, answer);
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

    /// Decides a first acquire, and takes over what the log says where they differ.
    fn decide(
        &mut self,
        model: &mut Model,
        here: Here,
        id: Id,
        items: &[Item],
        answer: &Answer,
    ) -> Vec<(usize, Place, u64)> {
        let expected = model.expect(here.now_ms, items);
        let is_sliding = items.iter().any(|item| item.sliding);
        if !is_sliding {
            let kind = match (&expected, answer) {
                (expected, answer) if expected == answer => None,
                (Answer::Denied { .. }, Answer::Admitted { .. }) => Some(Kind::Over),
                (Answer::Admitted { .. }, Answer::Denied { .. }) => Some(Kind::Under),
                (expected, answer) if expected.is_same_decision(answer) => Some(Kind::Wait),
                _ => Some(Kind::Numbers),
            };
            if let Some(kind) = kind {
                let what = format!("{id:?} is answered {answer:?}, not {expected:?}");
                self.differ(kind, here, what);
            }
        }
        let mut charges = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let end_ms = item.end_ms(here.now_ms);
            let counter = model.learn(item, here.now_ms);
            let fits = answer.states().get(at).is_some_and(|state| state.fits);
            if !answer.is_admitted() || !fits || item.units == 0 {
                continue;
            }
            if let Some(counter) = counter {
                counter.charged += item.units;
            } else {
                let counter = Counter {
                    end_ms,
                    charged: item.units,
                    revision: item.revision,
                    max: item.max,
                };
                model.counters.insert(place(item), counter);
            }
            let max = model.counters[&place(item)].max;
            charges.push((self.admissions.len(), place(item), end_ms));
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
                refunded: 0,
            });
        }
        charges
    }

    fn refund(&mut self, model: &mut Model, here: Here, id: Id, answer: &Answer) {
        let why_expired = model.why_expired(id, here.now_ms);
        if let Some(epoch) = model.epochs.get_mut(&id.epoch) {
            epoch.see(id.seq, 0, here.now_ms);
        }
        let units = match answer {
            Answer::Refunded { units } => *units,
            Answer::Expired if why_expired => return,
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
        let mut expected = 0;
        let mut has_sliding = false;
        for (at, place, end_ms) in std::mem::take(&mut stored.charges) {
            let admission = &mut self.admissions[at];
            has_sliding |= admission.sliding;
            let end_ms = match admission.sliding {
                // It shares no window with what is taken from then on.
                true => admission.log_ms + admission.window_ms,
                false => end_ms,
            };
            if end_ms <= here.now_ms {
                continue;
            }
            expected += admission.units;
            admission.refunded = admission.units;
            if let Some(counter) = model.counters.get_mut(&place)
                && counter.end_ms == end_ms
            {
                counter.charged = counter.charged.saturating_sub(admission.units);
            }
        }
        if units != expected && !has_sliding {
            let what = format!("{id:?} gives back {units} units, not {expected}");
            self.differ(Kind::Refund, here, what);
        }
    }
}

// === impl Model ===

impl Model {
    /// Whether an id may be forgotten: its epoch is unknown or idle, or it was acknowledged, or it
    /// is older than ids are kept.
    fn why_expired(&self, id: Id, now_ms: u64) -> bool {
        let Some(epoch) = self.epochs.get(&id.epoch) else {
            return true;
        };
        now_ms.saturating_sub(epoch.seen_ms) >= EPOCH_IDLE_MS
            || id.seq <= epoch.acked_seq
            || epoch.is_overtaken(id.seq, now_ms)
    }

    fn is_acked(&self, id: Id) -> bool {
        let epoch = self.epochs.get(&id.epoch);
        epoch.is_some_and(|epoch| id.seq <= epoch.acked_seq)
    }

    fn standing(&self, item: &Item, now_ms: u64) -> Option<&Counter> {
        let counter = self.counters.get(&place(item))?;
        (counter.end_ms > now_ms).then_some(counter)
    }

    fn in_force(&self, item: &Item, now_ms: u64) -> (u64, u64) {
        match self.standing(item, now_ms) {
            None => (0, item.max),
            Some(counter) if item.revision > counter.revision => (counter.charged, item.max),
            Some(counter) if item.revision == counter.revision => {
                (counter.charged, item.max.min(counter.max))
            }
            Some(counter) => (counter.charged, counter.max),
        }
    }

    /// Notes the newest revision on a counter that stands.
    fn learn(&mut self, item: &Item, now_ms: u64) -> Option<&mut Counter> {
        self.standing(item, now_ms)?;
        let (_, max) = self.in_force(item, now_ms);
        let counter = self.counters.get_mut(&place(item))?;
        counter.max = max;
        counter.revision = counter.revision.max(item.revision);
        Some(counter)
    }

    /// What a first acquire must be told.
    fn expect(&self, now_ms: u64, items: &[Item]) -> Answer {
        let mut states = Vec::new();
        let mut binding: Option<(usize, Option<u64>)> = None;
        for (at, item) in items.iter().enumerate() {
            let same = |other: &&Item| place(other) == place(item);
            let units: u64 = items.iter().filter(same).map(|item| item.units).sum();
            let (charged, max) = self.in_force(item, now_ms);
            let remaining = max.saturating_sub(charged);
            let fits = units <= remaining;
            let rest_ms = item.end_ms(now_ms).saturating_sub(now_ms);
            states.push((
                units,
                ItemState {
                    fits,
                    remaining,
                    max,
                    reset_after_ms: rest_ms,
                },
            ));
            if fits || item.shadow {
                continue;
            }
            let wait_ms = (units <= max).then_some(rest_ms);
            let is_longer = match (binding, wait_ms) {
                (None, _) | (Some((_, Some(_))), None) => true,
                (Some((_, Some(longest))), Some(wait)) => wait > longest,
                (Some((_, None)), _) => false,
            };
            if is_longer {
                binding = Some((at, wait_ms));
            }
        }
        if let Some((binding, retry_after_ms)) = binding {
            return Answer::Denied {
                binding,
                retry_after_ms,
                items: states.into_iter().map(|(_, state)| state).collect(),
                cached: false,
            };
        }
        let rest_ms = states.iter().map(|(_, state)| state.reset_after_ms).min();
        let after = |(units, state): (u64, ItemState)| ItemState {
            remaining: state.remaining - if state.fits { units } else { 0 },
            ..state
        };
        Answer::Admitted {
            valid_for_ms: Some(rest_ms.unwrap_or(0).saturating_sub(1)),
            items: states.into_iter().map(after).collect(),
        }
    }
}

fn place(item: &Item) -> Place {
    (item.key.clone(), item.window_ms, item.sliding)
}

// === impl Epoch ===

impl Epoch {
    fn new(now_ms: u64) -> Self {
        Self {
            seen_ms: now_ms,
            ..Self::default()
        }
    }

    fn see(&mut self, seq: u64, acked_seq: u64, now_ms: u64) {
        self.seen_ms = now_ms;
        self.acked_seq = self.acked_seq.max(acked_seq);
        let highest = self.seen.last().map_or(0, |(_, seq)| *seq);
        if seq > highest {
            self.seen.push((now_ms, seq));
        }
    }

    /// Whether a seq at least as high was seen so long ago that this one may be forgotten.
    fn is_overtaken(&self, seq: u64, now_ms: u64) -> bool {
        let first = self.seen.iter().find(|(_, seen)| *seen >= seq);
        first.is_some_and(|(at_ms, _)| now_ms.saturating_sub(*at_ms) >= DEDUP_MS)
    }
}

// === impl Stored ===

impl Stored {
    /// What is wrong with the answer to a repeat.
    fn contradiction(&self, now_ms: u64, items: &[Item], answer: &Answer) -> Option<String> {
        if self.is_cancelled {
            return (*answer != Answer::Cancelled)
                .then(|| format!("{answer:?} after it was refunded"));
        }
        if *answer == Answer::Invalid {
            return (self.ask.items() == items).then(|| "it is called another command".to_owned());
        }
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        let later = |state: &ItemState| ItemState {
            reset_after_ms: state.reset_after_ms.saturating_sub(passed_ms),
            ..*state
        };
        let same_times = self
            .answer
            .states()
            .iter()
            .map(later)
            .eq(answer.states().iter().copied());
        if !self.answer.is_same_decision(answer) || !same_times {
            let first = &self.answer;
            return Some(format!(
                "{answer:?}, but {passed_ms} ms before it was {first:?}"
            ));
        }
        None
    }
}
