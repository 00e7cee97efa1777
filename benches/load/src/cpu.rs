//! CPU time of processes, as `/proc/PID/stat` counts it, and what that is for each decision.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::failure::Failure;

#[cfg(test)]
mod tests;

/// What a process has used since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

/// What several processes have used.
pub(crate) type Usages = BTreeMap<u32, Usage>;

// === impl Usage ===

impl Usage {
    /// Of one process, all its threads and those of it that have ended.
    pub(crate) fn of(pid: u32) -> Result<Self, Failure> {
        read(&format!("/proc/{pid}/stat")).map_err(|source| Failure::Process { pid, source })
    }

    /// Of this process.
    pub(crate) fn own() -> Result<Self, Failure> {
        let pid = std::process::id();
        read("/proc/self/stat").map_err(|source| Failure::Process { pid, source })
    }

    /// What was used from `earlier` to this.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

/// Reads all of `pids`; one that is gone is a failure.
pub(crate) fn usages(pids: &[u32]) -> Result<Usages, Failure> {
    pids.iter()
        .map(|pid| Ok((*pid, Usage::of(*pid)?)))
        .collect()
}

/// A share of CPU time in microseconds, to a thousandth; `None` without decisions.
pub(crate) fn us_per_decision(used: Duration, decisions: u64) -> Option<f64> {
    let ns = used.as_nanos() as f64 / decisions as f64;
    (decisions > 0).then(|| ns.round() / 1_000.0)
}

fn read(file: &str) -> io::Result<Usage> {
    let stat = std::fs::read_to_string(file)?;
    let ticks_per_s = rustix::param::clock_ticks_per_second();
    parse(&stat, ticks_per_s).ok_or_else(|| io::Error::other("its stat has no CPU time"))
}

/// Fields 14 and 15. The second is a name in parentheses, which may have any character in it.
fn parse(stat: &str, ticks_per_s: u64) -> Option<Usage> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(14 - 3);
    let mut time = || {
        let ticks: u64 = fields.next()?.parse().ok()?;
        let us = u128::from(ticks) * 1_000_000 / u128::from(ticks_per_s.max(1));
        Some(Duration::from_micros(u64::try_from(us).ok()?))
    };
    Some(Usage {
        user: time()?,
        system: time()?,
    })
}
