//! A backup on its way in: chunks, checked as they come, put together to the states of the groups.

use quotum_api::backup::Check;
use quotum_api::cluster::RestoreRequest;
use quotum_api::cluster::backup_chunk::Part;
use quotum_replica::limits::SNAPSHOT_BYTES_MAX;
use quotum_replica::node::Saved;
use tonic::{Status, Streaming};

/// A whole backup, found sound.
pub(crate) struct Received {
    pub(crate) saved: Vec<Saved>,
    pub(crate) accept_over: bool,
}

/// Takes all of a backup.
pub(crate) async fn receive(mut incoming: Streaming<RestoreRequest>) -> Result<Received, Status> {
    let unsound = |error: quotum_api::backup::Unsound| {
        Status::invalid_argument(format!("the backup is not sound: {error}"))
    };
    let mut check = Check::default();
    let mut saved: Vec<Saved> = Vec::new();
    let mut accept_over = None;
    let mut bytes = 0;
    while let Some(message) = incoming.message().await? {
        accept_over.get_or_insert(message.accept_over);
        let chunk = message.chunk.unwrap_or_default();
        check.take(&chunk).map_err(unsound)?;
        match chunk.part {
            Some(Part::Group(group)) => saved.push(Saved {
                group,
                state: Vec::new(),
            }),
            Some(Part::Piece(piece)) => {
                bytes += piece.len() as u64;
                if bytes > SNAPSHOT_BYTES_MAX {
                    return Err(Status::invalid_argument("the backup is too large"));
                }
                if let Some(group) = saved.last_mut() {
                    group.state.extend_from_slice(&piece);
                }
            }
            Some(Part::Head(_) | Part::End(_)) | None => {}
        }
    }
    check.end().map_err(unsound)?;
    Ok(Received {
        saved,
        accept_over: accept_over.unwrap_or(false),
    })
}
