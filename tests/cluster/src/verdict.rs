//! The verdict on a history: the checker's, and what only holds where nothing was broken.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quotum_checker::Report;
use quotum_checker::history::{self, Answer, Ask, Event, ItemState, What};
use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use serde_json::{Value, json};

use crate::limits::DECISION_MAX;
use crate::logged;
use crate::recorder::Recorder;

/// What all scenarios of this run came to that must be sound.
#[derive(Debug)]
pub struct Totals {
    decisions: AtomicUsize,
    faults: AtomicUsize,
    violations: AtomicUsize,
}

pub static TOTALS: Totals = Totals {
    decisions: AtomicUsize::new(0),
    faults: AtomicUsize::new(0),
    violations: AtomicUsize::new(0),
};

/// All that is known of a run that has ended.
#[derive(Debug)]
pub struct Evidence<'a> {
    bench: &'a Bench,
    events: Vec<Event>,
    calm_us: Vec<(u64, u64)>,
    /// Where the nodes that were left have their data.
    pub disks: Vec<PathBuf>,
}

// === impl Totals ===

impl Totals {
    fn add(&self, report: &Report) {
        self.decisions.fetch_add(report.decisions, Relaxed);
        self.faults.fetch_add(report.faults, Relaxed);
        self.violations.fetch_add(report.violations_total, Relaxed);
    }

    /// For the process that started this one.
    pub fn to_json(&self) -> Value {
        let of = |count: &AtomicUsize| count.load(Relaxed);
        json!({
            "decisions": of(&self.decisions),
            "faults": of(&self.faults),
            "violations": of(&self.violations),
        })
    }

    /// Adds what a process said of its own.
    pub fn take(&self, said: &Value) {
        let add = |count: &AtomicUsize, name: &str| {
            let more = said[name].as_u64().unwrap_or(0);
            count.fetch_add(usize::try_from(more).unwrap_or(usize::MAX), Relaxed);
        };
        add(&self.decisions, "decisions");
        add(&self.faults, "faults");
        add(&self.violations, "violations");
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicUsize| count.load(Relaxed);
        let (faults, decisions) = (of(&self.faults), of(&self.decisions));
        let violations = of(&self.violations);
        write!(
            f,
            "{faults} faults, {decisions} decisions checked, {violations} violations"
        )
    }
}

// === impl Evidence ===

impl<'a> Evidence<'a> {
    /// Joins what was recorded with the logs of the shards, each up to what was applied, on the disks
    /// of the nodes.
    pub(crate) fn gather(
        bench: &'a Bench,
        recorder: &Recorder,
        calm_us: Vec<(u64, u64)>,
        disks: Vec<PathBuf>,
        applied: &[(u32, u64)],
    ) -> Result<Self> {
        let history = recorder.history();
        let mut events = Vec::new();
        for (shard, applied) in applied {
            let entries = logged::entries(&disks, (*shard, *applied), &history)?;
            bench.note(&format!(
                "shard {shard}: {} entries of the log, {applied} applied",
                entries.len()
            ));
            events.extend(entries);
        }
        // An entry comes before the answers that tell when it was there.
        events.extend(history);
        events.sort_by_key(|event| event.at_us);
        Ok(Self {
            bench,
            events,
            calm_us,
            disks,
        })
    }

    /// How many reservations the logs have that were confirmed.
    pub fn confirmed(&self) -> usize {
        let commands = self.events.iter().flat_map(|event| match &event.what {
            What::Entry { commands, .. } => &commands[..],
            _ => &[],
        });
        let is_one = |one: &&history::Command| one.ask == Ask::Confirm && one.answer.is_admitted();
        commands.filter(is_one).count()
    }

    /// What the checker thinks of it.
    pub fn report(&self) -> Result<Report> {
        let report = quotum_checker::check(&self.events)?;
        self.bench.note(&format!(
            "{} decisions, {} faults, {} violations; {:?}",
            report.decisions, report.faults, report.violations_total, report.coverage
        ));
        Ok(report)
    }

    /// Fails where something is wrong with it; the history is kept then.
    pub fn is_sound(&self) -> Result {
        self.judged().map_err(|failure| match keep(&self.events) {
            Ok(file) => failure.during(format!("the history is in {file}")),
            Err(unkept) => failure.during(format!("the history is lost ({unkept})")),
        })
    }

    fn judged(&self) -> Result {
        let report = self.report()?;
        TOTALS.add(&report);
        ensure!(
            report.is_sound(),
            "{} violations, first of all: {:#?}",
            report.violations_total,
            report.violations
        );
        for (sent_us, answered_us, answer) in answered(&self.events) {
            let took = Duration::from_micros(answered_us - sent_us);
            ensure!(took <= DECISION_MAX, "an answer took {took:?}: {answer:?}");
            let is_calm = self
                .calm_us
                .iter()
                .any(|(from_us, to_us)| *from_us <= sent_us && answered_us <= *to_us);
            let is_decided = matches!(answer, Answer::Admitted { .. } | Answer::Denied { .. });
            ensure!(
                is_decided || !is_calm,
                "{answer:?} while nothing was broken, {sent_us} to {answered_us}"
            );
        }
        self.has_slid()?;
        self.is_counted_once()
    }

    /// Calls under a sliding limit were used: without them G3 has nothing to say.
    fn has_slid(&self) -> Result {
        let used = self.events.iter().filter_map(|event| match &event.what {
            What::Forwarded { request } => Some(*request),
            _ => None,
        });
        let used: BTreeSet<u64> = used.collect();
        let slides = self.events.iter().any(|event| match &event.what {
            What::Sent { request, ask, .. } => {
                used.contains(request) && ask.items().iter().any(|item| item.sliding)
            }
            _ => false,
        });
        ensure!(slides, "no call under a sliding limit was used");
        Ok(())
    }

    /// What a counter shows in the end is what its callers were told, if its window began before
    /// them: every admitted unit, once, and nothing else but what may have become of requests
    /// without an answer. Needs no log.
    fn is_counted_once(&self) -> Result {
        let began_us = self.events.first().map_or(0, |event| event.at_us);
        for (key, shown_us, state, window_ms) in peeked(&self.events) {
            let since_us = window_ms.saturating_sub(state.reset_after_ms) * 1_000;
            if shown_us.saturating_sub(since_us) >= began_us {
                continue;
            }
            let (told, unknown) = told(&self.events, key);
            let used = state.max - state.remaining;
            self.bench.note(&format!(
                "{key}: {used} units used, {told} told, {unknown} unknown"
            ));
            ensure!(
                (told..=told + unknown).contains(&used),
                "{key}: callers were told {told} units, {unknown} are unknown, and {used} are used"
            );
        }
        Ok(())
    }
}

/// What each counter showed in the end: its name, when, its state, the length of its windows.
fn peeked(events: &[Event]) -> impl Iterator<Item = (&str, u64, ItemState, u64)> {
    let mut asked = BTreeMap::new();
    events.iter().filter_map(move |event| match &event.what {
        What::Sent {
            request,
            ask: Ask::Peek { items },
            ..
        } => {
            asked.insert(*request, items.first()?);
            None
        }
        What::Answered {
            request,
            answer: Answer::Peeked { items },
            ..
        } => {
            let item = asked.get(request)?;
            Some((
                item.key.as_str(),
                event.at_us,
                *items.first()?,
                item.window_ms,
            ))
        }
        _ => None,
    })
}

/// The units of a counter that callers were told they have, and those of requests without an
/// answer.
fn told(events: &[Event], key: &str) -> (u64, u64) {
    let mut asked = BTreeMap::new();
    for event in events {
        match &event.what {
            What::Sent {
                request,
                ask: Ask::Acquire { items },
                ..
            } => {
                let items = items.iter().filter(|item| item.key == key);
                asked.insert(*request, (items.map(|item| item.units).sum::<u64>(), None));
            }
            What::Answered {
                request, answer, ..
            } => {
                if let Some((_, told)) = asked.get_mut(request) {
                    *told = Some(answer);
                }
            }
            What::GivenBack { request } => drop(asked.remove(request)),
            _ => {}
        }
    }
    let (mut told, mut unknown) = (0, 0);
    for (units, answer) in asked.into_values() {
        match answer {
            Some(Answer::Admitted { .. }) => told += units,
            None | Some(Answer::Unknown) => unknown += units,
            Some(_) => {}
        }
    }
    (told, unknown)
}

/// When each acquire was sent and answered, and how.
fn answered(events: &[Event]) -> impl Iterator<Item = (u64, u64, &Answer)> {
    let mut sent = BTreeMap::new();
    events.iter().filter_map(move |event| match &event.what {
        What::Sent { request, ask, .. } => {
            if matches!(ask, Ask::Acquire { .. }) {
                sent.insert(*request, event.at_us);
            }
            None
        }
        What::Answered {
            request, answer, ..
        } => Some((sent.remove(request)?, event.at_us, answer)),
        _ => None,
    })
}

/// Writes the history to where it outlives the run.
fn keep(events: &[Event]) -> Result<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/cluster");
    std::fs::create_dir_all(folder)?;
    let name = match events.first().map(|event| &event.what) {
        Some(What::Run { source, .. }) => source.replace(' ', "-"),
        _ => "unnamed".to_owned(),
    };
    let file = format!("{folder}/{name}.jsonl");
    history::write(events, BufWriter::new(File::create(&file)?))?;
    Ok(file)
}
