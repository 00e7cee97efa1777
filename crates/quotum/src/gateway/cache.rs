//! The copy of the registry on disk: for a restart while no counter node answers.
//!
//! Promises: the file holds one whole state or is not there; its time of modification is when the
//! state was last known to be current. Without the master key its content opens nothing.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quotum_replica::clock::{Clock, RealClock};

use crate::files;
use crate::limits::CACHE_BYTES_MAX;

#[cfg(test)]
mod tests;

/// Where the copy is kept.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    path: PathBuf,
}

/// A state that was kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) state: Vec<u8>,
    /// The time since it was known to be current.
    pub(crate) age: Duration,
}

// === impl Cache ===

impl Cache {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What was kept, if anything was.
    pub(crate) fn load(&self) -> io::Result<Option<Kept>> {
        let modified = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata.modified()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let state = files::read(&self.path, CACHE_BYTES_MAX)?;
        // A clock that went back says nothing of the age.
        let age = now().duration_since(modified).unwrap_or(Duration::MAX);
        Ok(Some(Kept { state, age }))
    }

    /// Keeps `state`, which was known to be current `age` ago. If that fails, nothing is kept: what
    /// was kept before may hold grants that are revoked by now.
    pub(crate) fn store(&self, state: &[u8], age: Duration) -> io::Result<()> {
        let stored = files::replace(&self.path, state).and_then(|()| self.mark(age));
        if stored.is_err() {
            // The error that matters is the first.
            let _ = std::fs::remove_file(&self.path);
        }
        stored
    }

    /// Notes that what is kept was known to be current `age` ago.
    pub(crate) fn mark(&self, age: Duration) -> io::Result<()> {
        let at = now().checked_sub(age).unwrap_or(UNIX_EPOCH);
        File::options()
            .write(true)
            .open(&self.path)?
            .set_modified(at)
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(RealClock.wall_ms())
}
