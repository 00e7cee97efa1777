//! What a counter node and a gateway have around them: the log, sockets, signals, the admin
//! endpoint.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use quotum_telemetry::logging::{self, Format};
use quotum_telemetry::{BuildInfo, Exposition, Latch, Readiness, serve_admin};
use rustix::fs::FlockOperation;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::limits::{LOOK_EVERY, TAKE_OVER_MAX};

#[cfg(test)]
mod tests;

/// How a process logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logging {
    pub(crate) format: Format,
    pub(crate) filter: String,
}

/// What can end a process from outside.
pub(crate) struct Endings {
    terminate: Signal,
    interrupt: Signal,
    /// Whoever started this process is gone. Without one, Ctrl-C ends it too.
    stdin: Option<oneshot::Receiver<()>>,
}

/// What has ended a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Terminated,
    Interrupted,
    StdinClosed,
}

/// The admin endpoint of a process.
pub(crate) struct Admin {
    pub(crate) exposition: Exposition,
    pub(crate) readiness: Readiness,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A folder that no other process of ours uses, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Claim(#[expect(dead_code, reason = "it holds the lock")] File);

// === impl Logging ===

impl Logging {
    /// Starts to log. Before any socket opens: a bad filter is bad configuration.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        logging::init(self.format, &self.filter)
            .map_err(|error| Failure::usage("log").because(&error))
    }
}

/// The runtime of a process.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    runtime_of(cores())
}

/// One of so many threads.
pub(crate) fn runtime_of(threads: usize) -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("the runtime cannot start").because(&error))
}

/// The cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Listens on `address`. Waits a little for a process that is about to leave it.
pub(crate) async fn listen(key: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    let begun = Instant::now();
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < TAKE_OVER_MAX =>
            {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error) => {
                let failure = Failure::failed(format!("{key}: cannot listen on {address}"));
                return Err(failure.because(&error));
            }
        }
    }
}

/// Takes `folder`, which exists, for this process. Waits up to `patience` for a process that is
/// about to leave it.
pub(crate) fn claim(folder: &Path, patience: Duration) -> Result<Claim, Failure> {
    let failed = |error: &io::Error| Failure::failed(folder.display().to_string()).because(error);
    let file = File::open(folder).map_err(|error| failed(&error))?;
    let begun = Instant::now();
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Claim(file)),
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < patience => {
                std::thread::sleep(LOOK_EVERY);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let text = format!("{}: another process uses this folder", folder.display());
                return Err(Failure::failed(text).next("end that process, or use another folder"));
            }
            Err(error) => return Err(failed(&error.into())),
        }
    }
}

// === impl Endings ===

impl Endings {
    /// Listens for signals, and for the end of standard input if the process ends with it.
    pub(crate) fn listen(exit_with_stdin: bool) -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::failed("signals cannot be heard").because(&error))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            stdin: exit_with_stdin.then(stdin_closed),
        })
    }

    /// Waits for the next ending. While standard input decides, Ctrl-C is for whoever holds it.
    pub(crate) async fn next(&mut self) -> Ending {
        loop {
            let closed = async {
                match &mut self.stdin {
                    // The thread that reads never gives up without a word.
                    Some(closed) => drop(closed.await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = closed => return Ending::StdinClosed,
                _ = self.terminate.recv() => return Ending::Terminated,
                _ = self.interrupt.recv() => {
                    if self.stdin.is_none() {
                        return Ending::Interrupted;
                    }
                }
            }
        }
    }
}

/// Tells when standard input ends. A thread of its own: a read of standard input cannot be given up.
fn stdin_closed() -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut ignored = [0; 1_024];
        loop {
            match stdin.read(&mut ignored) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // Nobody listens any more at the very end.
        let _ = sender.send(());
    });
    receiver
}

// === impl Admin ===

impl Admin {
    /// Serves metrics and readiness on `listener`. The process is not ready before the latch is
    /// released, which is when it has taken those for all that it waits for.
    pub(crate) fn start(listener: TcpListener, exposition: Exposition) -> (Self, Latch) {
        let readiness = Readiness::new();
        let starting = readiness.latch("start");
        let stop = CancellationToken::new();
        let serving = serve_admin(
            listener,
            exposition.clone(),
            readiness.clone(),
            stop.clone(),
        );
        let admin = Self {
            exposition,
            readiness,
            task: tokio::spawn(serving),
            stop,
        };
        (admin, starting)
    }

    /// Ends the endpoint: the last that a process does.
    pub(crate) async fn shutdown(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the admin endpoint failed");
        }
    }
}

/// The revision of the source, where whoever built it said so.
pub(crate) const REVISION: &str = match option_env!("QUOTUM_REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    _ => "unknown",
};

/// The metrics of this process.
pub(crate) fn exposition() -> Exposition {
    Exposition::new(&BuildInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: REVISION.to_owned(),
    })
}
