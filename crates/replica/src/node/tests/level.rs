//! Nodes of two builds in one cluster, of which one knows less.

use super::*;

async fn knowing(level: u32, id: u64) -> Life {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Life::begin_knowing(level, id, MemoryDisk::new(), listener).await
}

/// Ends a node, and starts a build with another level on its disk.
async fn rebuilt(life: Life, level: u32) -> Life {
    let id = life.node.id();
    let (disk, address) = life.crash().await;
    let listener = TcpListener::bind(&address).await.unwrap();
    Life::begin_knowing(level, id, disk, listener).await
}

fn reserve(epoch: Epoch, seq: u64) -> Command {
    let Command::Acquire { id, items, .. } = acquire(epoch, seq, "k") else {
        unreachable!("it acquires")
    };
    Command::Reserve {
        id,
        acked_seq: 0,
        items,
    }
}

async fn mixed() -> Vec<Life> {
    let lives = vec![
        knowing(2, 1).await,
        knowing(2, 2).await,
        knowing(1, 3).await,
    ];
    found(&lives).await;
    lives
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_that_a_member_does_not_know_until_all_know_it() {
    let mut lives = mixed().await;
    let epoch = open(&lives, 0).await;
    let commands = vec![reserve(epoch, 1), acquire(epoch, 2, "k")];
    let decided = decide(&lives, 0, commands).await;
    assert_eq!(
        decided.outcomes[0],
        Outcome::Exhausted(quotum_limit::Bound::Level)
    );
    assert!(is_admitted(&decided.outcomes[1]));
    // The last one is rebuilt, and the same command is decided.
    let last = lives.pop().unwrap();
    assert_eq!(last.node.feature_level(), 1);
    lives.push(rebuilt(last, 2).await);
    until("the level to rise everywhere", async || {
        lives.iter().all(|life| life.node.feature_level() == 2)
    })
    .await;
    let decided = decide(&lives, 0, vec![reserve(epoch, 1)]).await;
    assert!(
        matches!(decided.outcomes[0], Outcome::Reserved { .. }),
        "{decided:?}"
    );
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_knows_less_than_its_cluster_stops_and_is_not_let_in() {
    let mut lives = mixed().await;
    // Half way through, an upgrade can be taken back.
    let second = lives.remove(1);
    lives.insert(1, rebuilt(second, 1).await);
    open(&lives, 0).await;
    for at in [1, 2] {
        let old = lives.remove(at);
        lives.insert(at, rebuilt(old, 2).await);
    }
    until("the level to rise everywhere", async || {
        lives.iter().all(|life| life.node.feature_level() == 2)
    })
    .await;
    let last = lives.pop().unwrap();
    let old = rebuilt(last, 1).await;
    let failure = tokio::time::timeout(PATIENCE, old.node.failed())
        .await
        .unwrap();
    assert!(
        failure.contains("the cluster is above feature level 1"),
        "{failure}"
    );
    let stranger = knowing(1, 4).await;
    let refused = lives[0].node.add(&stranger.address).await.unwrap_err();
    let refusal = "node 4 knows feature level 1, and this cluster is at 2";
    assert!(refused.to_string().starts_with(refusal), "{refused}");
    old.end().await;
    stranger.end().await;
    for life in lives {
        life.end().await;
    }
}
