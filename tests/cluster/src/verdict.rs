//! The verdict on a history: the checker's, and what only holds where nothing was broken.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Duration;

use quotum_checker::history::{self, Answer, Event, What};
use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;

use crate::limits::DECISION_MAX;
use crate::logged;
use crate::recorder::Recorder;

/// Judges everything that was recorded, together with the log up to `applied` on the disks of the
/// nodes. A history that fails is kept.
pub fn of(
    bench: &Bench,
    recorder: &Recorder,
    calm_us: &[(u64, u64)],
    disks: &[PathBuf],
    applied: u64,
) -> Result {
    let history = recorder.history();
    let mut events = logged::entries(disks, applied, &history)?;
    bench.note(&format!(
        "{} entries of the log, {applied} applied",
        events.len()
    ));
    // An entry comes before the answers that tell when it was there.
    events.extend(history);
    events.sort_by_key(|event| event.at_us);
    judged(bench, &events, calm_us).map_err(|failure| match keep(&events) {
        Ok(file) => failure.during(format!("the history is in {file}")),
        Err(unkept) => failure.during(format!("the history is lost ({unkept})")),
    })
}

fn judged(bench: &Bench, events: &[Event], calm_us: &[(u64, u64)]) -> Result {
    let report = quotum_checker::check(events)?;
    let unknown = answered(events)
        .filter(|(.., answer)| **answer == Answer::Unknown)
        .count();
    bench.note(&format!(
        "{} decisions, {unknown} unknown, {} faults, {} violations; {:?}",
        report.decisions, report.faults, report.violations_total, report.coverage
    ));
    ensure!(
        report.is_sound(),
        "{} violations, first of all: {:#?}",
        report.violations_total,
        report.violations
    );
    for (sent_us, answered_us, answer) in answered(events) {
        let took = Duration::from_micros(answered_us - sent_us);
        ensure!(took <= DECISION_MAX, "an answer took {took:?}: {answer:?}");
        let is_calm = calm_us
            .iter()
            .any(|(from_us, to_us)| *from_us <= sent_us && answered_us <= *to_us);
        let is_decided = matches!(answer, Answer::Admitted { .. } | Answer::Denied { .. });
        ensure!(
            is_decided || !is_calm,
            "{answer:?} while nothing was broken, {sent_us} to {answered_us}"
        );
    }
    Ok(())
}

/// When each acquire was sent and answered, and how.
fn answered(events: &[Event]) -> impl Iterator<Item = (u64, u64, &Answer)> {
    let mut sent = BTreeMap::new();
    events.iter().filter_map(move |event| match &event.what {
        What::Sent { request, ask, .. } => {
            if matches!(ask, history::Ask::Acquire { .. }) {
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
