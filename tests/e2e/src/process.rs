//! A child process that ends with its test: when the test returns, fails or panics, and also when
//! the whole test program is killed.
//!
//! Each child leads a process group of its own. A watcher, a shell on the other end of a pipe, kills
//! the group as soon as the pipe closes, which the system does for us however we end.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::limits::{END_MAX, LOOK_EVERY};

/// What the watcher runs: `$0` is the process group.
const WATCH: &str = r#"read -r _ || kill -9 -- "-$0""#;

/// A running program, its output, and the promise that it ends.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    watcher: Child,
    output: Receiver<String>,
    ended: bool,
}

// === impl Process ===

impl Process {
    /// Starts `command`. Its errors go to `<logs>/<name>.log`; its standard input stays open and
    /// empty for as long as it runs.
    pub fn start(name: &str, command: &mut Command, logs: &Path) -> Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log_path(logs, name))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::from(error).during(format!("starting {name}")))?;
        let watcher = Command::new("bash")
            .args(["-c", WATCH, &child.id().to_string()])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn();
        let watcher = match watcher {
            Ok(watcher) => watcher,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error.into());
            }
        };
        let output = child.stdout.take().expect("it was piped");
        Ok(Self {
            name: name.to_owned(),
            child,
            watcher,
            output: collect(output, log),
            ended: false,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of output that is a JSON object; other lines are passed over.
    pub fn json_line(&self, time_max: Duration) -> Result<Value> {
        let deadline = Instant::now() + time_max;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.output.recv_timeout(left).map_err(|error| {
                Failure::new(match error {
                    RecvTimeoutError::Timeout => {
                        format!("{} printed no JSON line within {time_max:?}", self.name)
                    }
                    RecvTimeoutError::Disconnected => {
                        format!("{} ended before it printed a JSON line", self.name)
                    }
                })
            })?;
            if let Ok(value @ Value::Object(_)) = serde_json::from_str(&line) {
                return Ok(value);
            }
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, and kills it if it does not. Tells whether it ended by itself.
    pub fn end(&mut self) -> Result<bool> {
        send(self.pid(), Signal::TERM)?;
        let ended_itself = self.wait(END_MAX);
        self.kill();
        Ok(ended_itself)
    }

    /// The same, with its exit code: `None` if it had to be killed.
    pub async fn terminate(&mut self, grace: Duration) -> Result<Option<i32>> {
        send(self.pid(), Signal::TERM)?;
        let deadline = Instant::now() + grace;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            if let Some(status) = self.child.try_wait()? {
                self.kill();
                return Ok(status.code());
            }
            if Instant::now() >= deadline {
                self.kill();
                return Ok(None);
            }
        }
    }

    /// Kills it without a word, and everything in its process group.
    pub fn kill(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // A group without members is what we want: nothing to report.
        let _gone = pid(self.child.id()).map(|pid| kill_process_group(pid, Signal::KILL));
        let _reaped = self.child.wait();
        if let Some(mut line) = self.watcher.stdin.take() {
            let _told = line.write_all(b"done\n");
        }
        let _reaped = self.watcher.wait();
    }

    fn wait(&mut self, time_max: Duration) -> bool {
        let deadline = Instant::now() + time_max;
        while self.is_running() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to one process.
pub fn send(process: u32, signal: Signal) -> Result {
    let pid = pid(process).ok_or_else(|| Failure::new(format!("{process} is no process id")))?;
    Ok(kill_process(pid, signal)?)
}

/// Whether a process with this id exists and is not just waiting to be reaped.
pub fn exists(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with('Z'))
    })
}

fn log_path(logs: &Path, name: &str) -> PathBuf {
    logs.join(format!("{name}.log"))
}

fn pid(process: u32) -> Option<Pid> {
    i32::try_from(process).ok().and_then(Pid::from_raw)
}

/// Passes lines on as they come, and keeps a copy in the log, so that the pipe never fills.
fn collect(output: impl std::io::Read + Send + 'static, mut log: File) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output)
            .lines()
            .map_while(std::io::Result::ok)
        {
            let _logged = writeln!(log, "{line}");
            let _heard = sender.send(line);
        }
    });
    receiver
}
