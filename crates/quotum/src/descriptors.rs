//! The descriptor files of the rate-limit API: read at the start and whenever they change.
//!
//! Promises: files with a problem change nothing, and are told by file and line; a change is seen
//! within a few seconds, however a folder's files are replaced.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quotum_descriptor::limits::{FILE_BYTES_MAX, FILES_MAX};
use quotum_descriptor::{Config, ConfigError, File};
use quotum_telemetry::EnvoyMetrics;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::arguments::CheckDescriptors;
use crate::failure::Failure;
use crate::files;
use crate::limits::RELOAD_EVERY;
use crate::output::{self, Format};

#[cfg(test)]
mod tests;

/// The files of a folder, and what was made of them.
#[derive(Debug)]
pub(crate) struct Descriptors {
    folder: PathBuf,
    /// `None`: nothing was seen yet, or it could not be read.
    seen: Option<Vec<Seen>>,
    revision: u64,
    config: watch::Sender<Option<Arc<Config>>>,
    metrics: EnvoyMetrics,
}

/// What tells that a file has changed.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    changed: Duration,
    bytes: u64,
}

// === impl Descriptors ===

impl Descriptors {
    /// Reads what is in `folder`, which must be there; its files may be wrong, and be put right
    /// while the node runs.
    pub(crate) fn open(folder: &Path, metrics: EnvoyMetrics) -> Result<Self, Failure> {
        let seen = look(folder).map_err(|error| {
            Failure::usage(format!("ratelimit_dir: {}", folder.display())).because(&error)
        })?;
        let mut descriptors = Self {
            folder: folder.to_owned(),
            seen: None,
            revision: 0,
            config: watch::Sender::new(None),
            metrics,
        };
        descriptors.take(Ok(seen));
        Ok(descriptors)
    }

    pub(crate) fn config(&self) -> watch::Receiver<Option<Arc<Config>>> {
        self.config.subscribe()
    }

    /// Follows the folder for ever.
    pub(crate) async fn follow(mut self) -> Failure {
        loop {
            tokio::time::sleep(RELOAD_EVERY).await;
            let looking = tokio::task::spawn_blocking(move || {
                self.look_again();
                self
            });
            match looking.await {
                Ok(descriptors) => self = descriptors,
                Err(error) => return Failure::failed("ratelimit_dir").because(&error),
            }
        }
    }

    /// Reads the files again if any has changed.
    fn look_again(&mut self) {
        let now = look(&self.folder);
        match &now {
            Ok(now) if self.seen.as_ref() == Some(now) => {}
            // It was told when it began.
            Err(_) if self.seen.is_none() => {}
            _ => self.take(now),
        }
    }

    fn take(&mut self, seen: io::Result<Vec<Seen>>) {
        let folder = self.folder.display().to_string();
        let read = seen.and_then(|seen| Ok((read(&seen)?, seen)));
        let (files, seen) = match read {
            Ok((files, seen)) => (files, seen),
            Err(error) => {
                self.seen = None;
                self.metrics.config_refused();
                tracing::error!(folder, %error, "the rate limits cannot be read; those before stay");
                return;
            }
        };
        let newest = seen.iter().map(|seen| seen.changed.as_millis()).max();
        let newest = u64::try_from(newest.unwrap_or(0)).unwrap_or(0);
        self.seen = Some(seen);
        match Config::parse(&files, newest.max(self.revision + 1)) {
            Ok(config) => {
                self.revision = config.revision();
                let (limits, revision) = (config.limits(), config.revision());
                let domains = config.domains().count();
                self.config.send_replace(Some(Arc::new(config)));
                self.metrics.config_loaded();
                tracing::info!(folder, domains, limits, revision, "rate limits are loaded");
            }
            Err(error) => {
                self.metrics.config_refused();
                for problem in error.problems() {
                    tracing::error!(%problem, "rate limits are refused; those before stay");
                }
            }
        }
    }
}

/// The files of a folder in the order of their names. Those that begin with a dot are not meant:
/// Kubernetes keeps the parts of a ConfigMap under such names.
fn look(folder: &Path) -> io::Result<Vec<Seen>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
        if path.file_name().is_none_or(is_hidden) {
            continue;
        }
        // A file that is gone again is none.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if !metadata.is_file() {
            continue;
        }
        if all.len() == FILES_MAX {
            let text = format!("it has more than {FILES_MAX} files");
            return Err(io::Error::other(text));
        }
        let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        all.push(Seen {
            path,
            changed: changed.duration_since(UNIX_EPOCH).unwrap_or_default(),
            bytes: metadata.len(),
        });
    }
    all.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(all)
}

fn read(seen: &[Seen]) -> io::Result<Vec<File>> {
    seen.iter().map(|seen| read_file(&seen.path)).collect()
}

fn read_file(path: &Path) -> io::Result<File> {
    let name = path.display().to_string();
    match files::read_text(path, FILE_BYTES_MAX as u64) {
        Ok(text) => Ok(File { name, text }),
        Err(error) => Err(io::Error::new(error.kind(), format!("{name}: {error}"))),
    }
}

/// `quotum descriptors check`: everything that is wrong with files, as a node would tell it.
pub(crate) fn check(options: &CheckDescriptors, format: Format) -> Result<(), Failure> {
    let mut paths = Vec::new();
    for path in &options.files {
        match path.is_dir() {
            true => paths.extend(look(path).map_err(|error| unreadable(path, &error))?),
            false => paths.push(Seen {
                path: path.clone(),
                changed: Duration::ZERO,
                bytes: 0,
            }),
        }
    }
    let mut files = Vec::new();
    for Seen { path, .. } in &paths {
        files.push(read_file(path).map_err(|error| unreadable(path, &error))?);
    }
    match Config::parse(&files, 0) {
        Ok(config) => output::show(format, || accepted(&config), &accepted_value(&config)),
        Err(error) => {
            output::show(format, || error.to_string(), &refused_value(&error))?;
            Err(Failure::failed("the rate limits are refused"))
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(path.display().to_string()).because(error)
}

fn accepted(config: &Config) -> String {
    let mut text = String::new();
    for domain in config.domains() {
        let (name, limits) = (domain.name(), domain.limits());
        writeln!(text, "{name}: {limits} limits, ok").expect("a string grows");
    }
    match text.is_empty() {
        true => "no files: no domains".to_owned(),
        false => text,
    }
}

fn accepted_value(config: &Config) -> Value {
    let domains = config
        .domains()
        .map(|domain| json!({ "domain": domain.name(), "limits": domain.limits() }));
    json!({ "domains": domains.collect::<Vec<_>>(), "problems": [] })
}

fn refused_value(error: &ConfigError) -> Value {
    let problems = error.problems().iter().map(|problem| {
        json!({
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "message": problem.message,
        })
    });
    json!({ "domains": [], "problems": problems.collect::<Vec<_>>() })
}
