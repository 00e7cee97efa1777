//! What belongs together in a history: a request with its answer and its use, an entry with when
//! it was seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{
    Answer, Ask, Command, Edge, Event, HistoryError, Id, Item, Phase, Position, What,
};
use crate::limits::{CLOCK_SLACK_US, HOLD_MS, SLEW_PPM};

/// A history in the order of questions.
#[derive(Debug, Default)]
pub struct Index {
    pub drift_ppm: u64,
    pub requests: BTreeMap<u64, Request>,
    /// By shard and index.
    pub entries: BTreeMap<(u32, u64), Entry>,
    pub applied: Vec<Applied>,
    /// When, node, shard, term.
    pub leaders: Vec<(u64, u64, u32, u64)>,
    /// The shard of each that was installed.
    pub snapshots: Vec<u32>,
    pub bounds: Vec<(u64, u64, String, u64, u64)>,
    /// When faults were on: from, to, and what.
    pub faults: Vec<(u64, u64, String)>,
    pub healed: Option<Healed>,
    pub settled: Option<Settled>,
    pub finals: Vec<Final>,
    pub end_us: u64,
}

/// One request of one caller.
#[derive(Debug)]
pub struct Request {
    pub number: u64,
    pub client: String,
    pub id: Option<Id>,
    pub ask: Ask,
    pub sent_us: u64,
    pub answer: Option<Told>,
    pub forwarded_us: Option<u64>,
    pub given_back_us: Option<u64>,
}

/// An answer and when it came.
#[derive(Debug)]
pub struct Told {
    pub at_us: u64,
    pub answer: Answer,
    pub position: Option<Position>,
}

/// An entry of the log and when it was first seen applied.
#[derive(Debug)]
pub struct Entry {
    pub at_us: u64,
    /// It may have been applied long before that.
    pub is_late: bool,
    pub term: u64,
    pub log_ms: u64,
    pub commands: Vec<Command>,
    pub counters_max: Option<u64>,
}

/// One report of a node.
#[derive(Debug)]
pub struct Applied {
    pub at_us: u64,
    pub node: u64,
    pub shard: u32,
    pub index: u64,
    pub term: Option<u64>,
    pub entry: Option<u64>,
    pub state: Option<u64>,
}

/// When faults ended, and how long the cluster may take.
#[derive(Debug, Clone, Copy)]
pub struct Healed {
    pub at_us: u64,
    pub within_us: u64,
}

/// When nothing was asked any more, and what must be there in the end, as far as it is known.
#[derive(Debug, Clone)]
pub struct Settled {
    pub at_us: u64,
    pub nodes: Vec<u64>,
    pub shards: Vec<u32>,
}

/// What a node has of a shard in the end.
#[derive(Debug)]
pub struct Final {
    pub node: u64,
    pub shard: u32,
    pub index: u64,
    pub state: u64,
    pub leads: bool,
}

/// A counter, and the window of it that an admission was charged to.
pub type Counted<'a> = (u32, &'a str, u64, u64);

// === impl Index ===

impl Index {
    /// Sorts a history out, or says why it is none.
    pub fn new(events: &[Event]) -> Result<Self, HistoryError> {
        let mut index = Self::default();
        let mut open: Vec<(String, Vec<u64>, u64)> = Vec::new();
        for (at, event) in events.iter().enumerate() {
            let contradiction = |what: String| HistoryError::Contradiction { event: at, what };
            if event.at_us < index.end_us {
                return Err(contradiction("time goes back".into()));
            }
            index.end_us = event.at_us;
            if let What::Fault { fault, nodes, edge } = &event.what {
                index.note_fault(event.at_us, (fault, nodes, *edge), &mut open);
                continue;
            }
            index.note(event).map_err(contradiction)?;
        }
        for (fault, _, from_us) in open {
            index.faults.push((from_us, index.end_us, fault));
        }
        Ok(index)
    }

    fn note_fault(
        &mut self,
        at_us: u64,
        (fault, nodes, edge): (&String, &Vec<u64>, Edge),
        open: &mut Vec<(String, Vec<u64>, u64)>,
    ) {
        match edge {
            Edge::Begin => open.push((fault.clone(), nodes.clone(), at_us)),
            Edge::Once => self.faults.push((at_us, at_us, fault.clone())),
            Edge::End => {
                let same = |(name, on, _): &(String, Vec<u64>, u64)| name == fault && on == nodes;
                if let Some(at) = open.iter().position(same) {
                    let (fault, _, from_us) = open.remove(at);
                    self.faults.push((from_us, at_us, fault));
                }
            }
        }
    }

    fn note(&mut self, event: &Event) -> Result<(), String> {
        let at_us = event.at_us;
        match &event.what {
            What::Run { drift_ppm, .. } => self.drift_ppm = *drift_ppm,
            What::Phase {
                phase,
                within_us,
                nodes,
                shards,
            } => match phase {
                Phase::Faults => {}
                Phase::Healed => {
                    self.healed = Some(Healed {
                        at_us,
                        within_us: *within_us,
                    });
                }
                Phase::Settled => {
                    self.settled = Some(Settled {
                        at_us,
                        nodes: nodes.clone(),
                        shards: shards.clone(),
                    });
                }
            },
            What::Fault { .. } => {}
            What::Sent {
                request,
                client,
                id,
                ask,
            } => {
                let sent = Request {
                    number: *request,
                    client: client.clone(),
                    id: *id,
                    ask: ask.clone(),
                    sent_us: at_us,
                    answer: None,
                    forwarded_us: None,
                    given_back_us: None,
                };
                if self.requests.insert(*request, sent).is_some() {
                    return Err(format!("request {request} was sent before"));
                }
            }
            What::Answered {
                request,
                answer,
                position,
            } => {
                let told = Told {
                    at_us,
                    answer: answer.clone(),
                    position: *position,
                };
                if self.request(*request)?.answer.replace(told).is_some() {
                    return Err(format!("request {request} was answered before"));
                }
            }
            What::Forwarded { request } => {
                if self
                    .request(*request)?
                    .forwarded_us
                    .replace(at_us)
                    .is_some()
                {
                    return Err(format!("request {request} was forwarded before"));
                }
            }
            What::GivenBack { request } => {
                self.request(*request)?.given_back_us = Some(at_us);
            }
            What::Entry {
                position,
                log_ms,
                commands,
                counters_max,
                is_late,
            } => {
                let entry = Entry {
                    is_late: *is_late,
                    at_us,
                    term: position.term,
                    log_ms: *log_ms,
                    commands: commands.clone(),
                    counters_max: *counters_max,
                };
                let place = (position.shard, position.index);
                if self.entries.insert(place, entry).is_some() {
                    return Err(format!("entry {place:?} was there before"));
                }
            }
            What::Applied {
                node,
                shard,
                index,
                term,
                entry,
                state,
            } => self.applied.push(Applied {
                at_us,
                node: *node,
                shard: *shard,
                index: *index,
                term: *term,
                entry: *entry,
                state: *state,
            }),
            What::Final {
                node,
                shard,
                index,
                state,
                leads,
            } => self.finals.push(Final {
                node: *node,
                shard: *shard,
                index: *index,
                state: *state,
                leads: *leads,
            }),
            What::Leader { node, shard, term } => {
                self.leaders.push((at_us, *node, *shard, *term));
            }
            What::Snapshot { shard, .. } => self.snapshots.push(*shard),
            What::Bound {
                node,
                bound,
                value,
                max,
            } => self
                .bounds
                .push((at_us, *node, bound.clone(), *value, *max)),
        }
        Ok(())
    }

    fn request(&mut self, number: u64) -> Result<&mut Request, String> {
        self.requests
            .get_mut(&number)
            .ok_or_else(|| format!("request {number} was never sent"))
    }

    /// The entry that decided an answer, if the log is known there.
    pub fn entry_of(&self, position: Position) -> Option<&Entry> {
        self.entries.get(&(position.shard, position.index))
    }

    /// Whether a denial rests on units that were merely held, and was told because the caller's time
    /// was over. Its wait is that of holds. Where the log is not known, that wait alone tells.
    pub fn rests_on_holds(&self, request: &Request) -> bool {
        let Some(told) = &request.answer else {
            return false;
        };
        let Answer::Denied {
            binding,
            retry_after_ms: Some(HOLD_MS),
            ..
        } = &told.answer
        else {
            return false;
        };
        let Some(entry) = told.position.and_then(|at| self.entry_of(at)) else {
            return true;
        };
        let key = request.items().get(*binding).map(|item| &item.key);
        entry.commands.iter().any(|command| match &command.answer {
            Answer::Contended { binding, .. } => {
                command.ask.items().get(*binding).map(|item| &item.key) == key
            }
            _ => false,
        })
    }

    /// The last index of a shard whose entry is known.
    pub fn last_entry(&self, shard: u32) -> Option<u64> {
        let mut known = self.entries.range((shard, 0)..=(shard, u64::MAX));
        known.next_back().map(|((_, index), _)| *index)
    }

    /// The shards whose log is known.
    pub fn logged_shards(&self) -> Vec<u32> {
        let mut shards: Vec<u32> = self.entries.keys().map(|(shard, _)| *shard).collect();
        shards.dedup();
        shards
    }

    /// The shards that decide requests, by their logs and by what is answered.
    pub fn deciding_shards(&self) -> BTreeSet<u32> {
        let decides = |answer: &Answer| answer.takes() || answer.is_denied();
        let logged = self.entries.iter().filter(|(_, entry)| {
            let mut commands = entry.commands.iter();
            commands.any(|command| decides(&command.answer))
        });
        let told = self.requests.values().filter_map(|one| one.answer.as_ref());
        let told = told.filter(|told| decides(&told.answer));
        let told = told.filter_map(|told| told.position);
        let told = told.map(|position| position.shard);
        logged.map(|((shard, _), _)| *shard).chain(told).collect()
    }

    /// The items of an admission that are charged, each with its place in the request, and the window
    /// that it was charged to, where the log tells: its end in log time.
    pub fn charged<'a>(&self, request: &'a Request) -> Vec<(usize, &'a Item, Option<Counted<'a>>)> {
        let told = request
            .answer
            .as_ref()
            .filter(|told| told.answer.is_admitted());
        let Some(told) = told else { return Vec::new() };
        let states = told.answer.states();
        let items = request.ask.items().iter().enumerate();
        let counted = |(at, item): (usize, &'a Item)| {
            let position = told.position?;
            let shard = item.shard.unwrap_or(position.shard);
            let entry = self
                .entry_of(position)
                .filter(|_| shard == position.shard)?;
            // A repeat is answered later than it was charged: its own duration leads back.
            let end_ms = match states.get(at) {
                Some(state) => entry.log_ms + state.reset_after_ms,
                None => item.end_ms(entry.log_ms),
            };
            Some((shard, item.key.as_str(), item.window_ms, end_ms))
        };
        items
            .filter(|(_, item)| item.units > 0)
            .map(|(at, item)| (at, item, counted((at, item))))
            .collect()
    }

    /// Until when is asked.
    pub fn until_us(&self) -> u64 {
        self.settled
            .as_ref()
            .map_or(self.end_us, |settled| settled.at_us)
    }

    /// How long `us` of one clock can last on another, and back to the oracle.
    pub fn stretched_us(&self, us: u64) -> u64 {
        let ppm = SLEW_PPM + 2 * self.drift_ppm;
        let more = u128::from(us) * u128::from(ppm) / 1_000_000;
        us.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
            .saturating_add(CLOCK_SLACK_US)
    }

    /// Whether a fault was on at any instant of an interval.
    pub fn is_disturbed(&self, from_us: u64, to_us: u64) -> bool {
        self.faults
            .iter()
            .any(|(from, to, _)| *from <= to_us && from_us <= *to)
    }
}

// === impl Request ===

impl Request {
    pub fn answered(&self) -> Option<&Answer> {
        self.answer.as_ref().map(|told| &told.answer)
    }

    pub fn is_unknown(&self) -> bool {
        matches!(self.answered(), None | Some(Answer::Unknown))
    }

    pub fn items(&self) -> &[Item] {
        self.ask.items()
    }

    pub fn is_acquire(&self) -> bool {
        matches!(self.ask, Ask::Acquire { .. })
    }
}
