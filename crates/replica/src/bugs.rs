//! What the bugs of [`quotum_limit::bugs`] do to a node. No build has this module but with
//! `--cfg quotum_bugs`.

use std::time::Duration;

use bytes::Bytes;
use quotum_limit::bugs::{self, Bug};
use quotum_limit::{Batch, LogTime, Stamp};

use crate::clock::Clock;
use crate::machine::Machine;
use crate::observe::Watch;
use crate::propose::{Group, ProposeError};
use crate::raft::{LogId, Reply};

/// How long a leader waits for its followers until it answers alone.
const ALONE_AFTER: Duration = Duration::from_millis(300);

/// What a leader takes for the reference clock, of which `right` is right.
pub(crate) fn reference_ms(right: Option<u64>, clock: &dyn Clock) -> Option<u64> {
    match bugs::is(Bug::ProposersClock) {
        true => Some(clock.wall_ms()),
        false => right,
    }
}

/// Takes all clocks for the fastest of them; they are sorted.
pub(crate) fn follow_the_fastest(known: &mut [i64]) {
    if let Some(fastest) = known
        .last()
        .copied()
        .filter(|_| bugs::is(Bug::LogClockSteps))
    {
        known.fill(fastest);
    }
}

/// Whether a snapshot is taken as it is: its digest would show what it has forgotten.
pub(crate) fn compares_nothing() -> bool {
    bugs::is(Bug::SnapshotForgetsIds)
}

/// Moves log time to what the replica's own clock shows.
pub(crate) fn read_local_clock(machine: &mut Machine, watch: &Watch) {
    if let (Machine::Counters(state), true) = (machine, bugs::is(Bug::LocalClock)) {
        let reference_ms = state.last_stamp().reference_ms;
        let log = LogTime::from_ms(watch.wall_ms());
        state.advance(Stamp { log, reference_ms }, 0);
    }
}

/// What the write of a batch answers, or after a while what the leader's own state does.
pub(crate) async fn or_stale(
    group: &Group,
    entry: &Bytes,
    written: impl Future<Output = Result<(LogId, Reply), ProposeError>>,
) -> Result<(LogId, Reply), ProposeError> {
    if !bugs::is(Bug::StaleLeader) {
        return written.await;
    }
    if let Ok(written) = tokio::time::timeout(ALONE_AFTER, written).await {
        return written;
    }
    let applied = group.applier.read();
    let (Machine::Counters(state), Some(last)) = (&applied.machine, applied.last) else {
        return Err(ProposeError::Unknown);
    };
    let batch = Batch::decode(entry).map_err(|_| ProposeError::Unknown)?;
    let mut state = state.clone();
    let outcomes = state.apply_batch(&batch);
    let stamp = state.last_stamp();
    let next = LogId::new(last.committed_leader_id().to_owned(), last.index() + 1);
    Ok((next, Reply::Counters { stamp, outcomes }))
}
