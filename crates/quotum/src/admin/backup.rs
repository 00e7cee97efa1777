//! `quotum cluster backup` and `restore`: all of a cluster in one file, and out of it again.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use quotum_api::backup::{Check, MAGIC, Unsound, frame, read};
use quotum_api::cluster::{BackupHead, BackupRequest, RestoreRequest};
use quotum_registry::documents::timestamp;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::reach::Cluster as Reached;
use crate::failure::Failure;
use crate::limits::{ADMIN_CALL_MAX, ADMIN_TRANSFER_MAX, LOOK_EVERY};
use crate::output::{self, Format};

#[cfg(test)]
mod tests;

/// Chunks that are read ahead of the network.
const CHUNKS_AHEAD_MAX: usize = 2;

/// Writes a backup to `file`, reads it again, and gives it its name when it is found sound.
pub(crate) async fn backup(cluster: &Reached, file: &Path, format: Format) -> Result<(), Failure> {
    if file.exists() {
        let text = format!("{} is there already", file.display());
        return Err(Failure::failed(text).next("choose another name, or remove it first"));
    }
    let mut partial = file.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let answer = cluster.members(
        ADMIN_CALL_MAX,
        BackupRequest {},
        |mut client, request| async move { client.backup(request).await },
    );
    let mut chunks = answer.await?;
    let unusable =
        |error: std::io::Error| Failure::failed(partial.display().to_string()).because(&error);
    let mut out = BufWriter::new(create(&partial).map_err(unusable)?);
    let progress = progress();
    out.write_all(MAGIC).map_err(unusable)?;
    loop {
        let chunk = chunks.message().await.map_err(|status| {
            Failure::failed(format!("the backup was cut off: {}", status.message()))
                .next("try again")
        })?;
        let Some(chunk) = chunk else { break };
        let bytes = frame(&chunk);
        out.write_all(&bytes).map_err(unusable)?;
        progress.inc(bytes.len() as u64);
    }
    let written = out.into_inner().map_err(|error| error.into_error());
    written.and_then(|file| file.sync_all()).map_err(unusable)?;
    progress.finish_and_clear();
    let head = verify(&partial)?;
    std::fs::rename(&partial, file).map_err(unusable)?;
    let bytes = std::fs::metadata(file).map_err(unusable)?.len();
    let text = || {
        let taken = timestamp::format(head.taken_at_ms);
        let name = file.display();
        format!(
            "{name}: {bytes} bytes, cluster {} at {taken}, verified",
            head.cluster_id
        )
    };
    let value = json!({
        "file": file,
        "bytes": bytes,
        "cluster_id": head.cluster_id,
        "taken_at_ms": head.taken_at_ms,
    });
    output::show(format, text, &value)
}

/// Makes the pristine node that is named a cluster with what `file` holds.
pub(crate) async fn restore(
    cluster: &Reached,
    file: &Path,
    accept_over: bool,
    format: Format,
) -> Result<(), Failure> {
    let head = verify(file)?;
    let progress = progress();
    let answer = cluster.members(
        ADMIN_TRANSFER_MAX,
        file.to_owned(),
        |mut client, request| {
            let request = request.map(|file: PathBuf| send(file, accept_over, progress.clone()));
            async move { client.restore(request).await }
        },
    );
    let id = answer.await?.cluster_id;
    progress.finish_and_clear();
    let taken = timestamp::format(head.taken_at_ms);
    let text = || {
        let then = match accept_over {
            true => "limits may be exceeded until the windows that run now have ended",
            false => "each limit refuses until the window that runs now has ended",
        };
        format!(
            "cluster {id} of one node, as cluster {} was at {taken}: {then}",
            head.cluster_id
        )
    };
    let value = json!({
        "cluster_id": id,
        "restored_from": head.cluster_id,
        "taken_at_ms": head.taken_at_ms,
        "accept_over": accept_over,
    });
    output::show(format, text, &value)
}

/// Drawn on a terminal only.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {bytes} ({bytes_per_sec})")
        .expect("this template is sound");
    let bar = ProgressBar::no_length().with_style(style);
    bar.enable_steady_tick(2 * LOOK_EVERY);
    bar
}

/// For its owner only: it holds sealed credentials. What a backup that was cut off has left is
/// removed, since it would keep its mode.
fn create(file: &Path) -> std::io::Result<File> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    options.open(file)
}

fn open(file: &Path) -> std::io::Result<BufReader<File>> {
    let mut input = BufReader::new(File::open(file)?);
    let mut magic = [0; MAGIC.len()];
    let sound = input.read_exact(&mut magic).is_ok() && magic == *MAGIC;
    match sound {
        true => Ok(input),
        false => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            Unsound::Magic,
        )),
    }
}

/// Reads a whole backup.
fn verify(file: &Path) -> Result<BackupHead, Failure> {
    let unsound = |cause: &dyn std::error::Error| {
        Failure::failed(format!("{} is no sound backup", file.display())).because(cause)
    };
    let mut input = open(file).map_err(|error| unsound(&error))?;
    let mut check = Check::default();
    while let Some(chunk) = read(&mut input).map_err(|error| unsound(&error))? {
        check.take(&chunk).map_err(|error| unsound(&error))?;
    }
    check.end().map_err(|error| unsound(&error))
}

/// The messages that carry a file. One that cannot be read any more ends too early, which the node
/// finds out.
fn send(file: PathBuf, accept_over: bool, progress: ProgressBar) -> ReceiverStream<RestoreRequest> {
    let (messages, sent) = mpsc::channel(CHUNKS_AHEAD_MAX);
    tokio::task::spawn_blocking(move || {
        let Ok(mut input) = open(&file) else { return };
        while let Ok(Some(chunk)) = read(&mut input) {
            progress.inc(frame(&chunk).len() as u64);
            let message = RestoreRequest {
                chunk: Some(chunk),
                accept_over,
            };
            if messages.blocking_send(message).is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(sent)
}
