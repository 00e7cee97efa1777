//! Why there is no measurement, or why it ended early.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use crate::limits::COMPLAINT_CHARS_MAX;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot connect to {address}")]
    Connect {
        address: String,
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("{address} did not answer")]
    Ask {
        address: String,
        source: Box<tonic::Status>,
    },
    #[error("there is no shard {shard}: there are {shards}")]
    NoShard { shard: u32, shards: usize },
    #[error("shard {shard} has no leader")]
    NoLeader { shard: u32 },
    #[error("the stream of decisions ended: {0}")]
    StreamEnded(String),
    #[error("the connection to {address} broke")]
    Connection { address: String, source: io::Error },
    #[error("process {pid} cannot be watched")]
    Process { pid: u32, source: io::Error },
    #[error("cannot read {}", file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("the files of TLS")]
    Tls(#[from] quotum_transport::CredentialsError),
    #[error("{} holds no PEM of its kind", file.display())]
    Pem {
        file: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("the files of TLS")]
    Rustls(#[from] rustls::Error),
    #[error("a token is one line of visible characters")]
    Token,
    #[error("no timer")]
    Timer(#[source] io::Error),
    #[error("a task of the generator failed")]
    Task(#[from] tokio::task::JoinError),
}

/// An error and its causes in one line.
pub(crate) fn line(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _infallible = write!(text, ": {error}");
        cause = error.source();
    }
    shortened(&text)
}

/// As much of a text as a complaint shows.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(COMPLAINT_CHARS_MAX).collect()
}
