use futures_util::FutureExt;
use openraft::EntryPayload;
use quotum_api::peer;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::raft::Entry;

fn log_id(index: u64) -> LogId {
    log_id_from_wire(peer::LogId {
        term: 1,
        node: 1,
        index,
    })
}

/// A request with the entries `after + 1` to `last`, which says that `commit` is committed.
fn request(after: u64, last: u64, commit: u64) -> AppendEntriesRequest<TypeConfig> {
    let entry = |index| Entry {
        log_id: log_id(index),
        payload: EntryPayload::Blank,
    };
    AppendEntriesRequest {
        vote: Vote::new_committed(1, 1),
        prev_log_id: Some(log_id(after)),
        entries: (after + 1..=last).map(entry).collect(),
        leader_commit: Some(log_id(commit)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_goes_with_the_next_entry_or_by_itself_in_time() {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let received = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let mut sent = Box::pin(with_entries(received));
    let shape = |request: AppendEntriesRequest<TypeConfig>| {
        let commit = request.leader_commit.map(|id| id.index());
        (request.entries.len(), commit)
    };
    // Entries wait for nothing.
    sender.send(request(5, 7, 5)).unwrap();
    let first = sent.next().now_or_never().unwrap().unwrap();
    assert_eq!(shape(first), (2, Some(5)));
    // What is committed is said by the entry that follows.
    sender.send(request(7, 7, 7)).unwrap();
    assert!(sent.next().now_or_never().is_none());
    sender.send(request(7, 8, 7)).unwrap();
    let next = sent.next().now_or_never().unwrap().unwrap();
    assert_eq!(shape(next), (1, Some(7)));
    // Or by itself, when none follows, and then once.
    let began = Instant::now();
    sender.send(request(8, 8, 7)).unwrap();
    sender.send(request(8, 8, 8)).unwrap();
    assert_eq!(shape(sent.next().await.unwrap()), (0, Some(8)));
    assert_eq!(began.elapsed(), COMMIT_HOLD_MAX);
    // The end of the stream holds nothing back.
    sender.send(request(8, 8, 8)).unwrap();
    drop(sender);
    assert_eq!(
        shape(sent.next().now_or_never().unwrap().unwrap()),
        (0, Some(8))
    );
    assert!(sent.next().now_or_never().unwrap().is_none());
}
