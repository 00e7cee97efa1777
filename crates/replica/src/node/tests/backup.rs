use quotum_api::backup::Check;
use quotum_api::cluster::backup_chunk::Part;

use super::*;

/// A whole backup, checked, as a node takes it.
async fn taken(node: &Node) -> Vec<Saved> {
    let mut chunks = loop {
        match node.backup().await {
            Ok(chunks) => break chunks,
            // Not every group may have a leader yet.
            Err(MemberError::NoLeader(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    };
    let mut check = Check::default();
    let mut saved: Vec<Saved> = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        check.take(&chunk).unwrap();
        match chunk.part.unwrap() {
            Part::Group(group) => saved.push(Saved {
                group,
                state: Vec::new(),
            }),
            Part::Piece(piece) => saved.last_mut().unwrap().state.extend_from_slice(&piece),
            Part::Head(_) | Part::End(_) => {}
        }
    }
    check.end().unwrap();
    saved
}

/// How many of five more acquires of `k` a shard admits.
async fn admitted(lives: &[Life], shard: u32) -> usize {
    let epoch = open(lives, shard).await;
    let commands = (1..=5).map(|seq| acquire(epoch, seq, "k")).collect();
    let decided = decide(lives, shard, commands).await;
    decided.outcomes.iter().filter(|o| is_admitted(o)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_restored_refuses_what_may_be_used_up() {
    let lives = cluster().await;
    let epoch = open(&lives, 0).await;
    let commands = (1..=3).map(|seq| acquire(epoch, seq, "k")).collect();
    decide(&lives, 0, commands).await;
    // Of any node, also one that follows.
    let saved = taken(&lives[2].node).await;
    assert_eq!(saved.len(), 3, "two shards and the registry");

    let mut restored = vec![pristine(11).await];
    let other = restored[0]
        .node
        .restore(saved.clone(), false)
        .await
        .unwrap();
    assert_ne!(Some(other), lives[0].node.cluster());
    assert_eq!(admitted(&restored, 0).await, 0);
    assert_eq!(
        admitted(&restored, 1).await,
        0,
        "also where nothing was used"
    );
    let expired = decide(&restored, 0, vec![acquire(epoch, 1, "k")]).await;
    assert_eq!(expired.outcomes, [Outcome::Expired]);
    // Whoever joins refuses too.
    restored.push(pristine(12).await);
    until("a node joins what was restored", async || {
        restored[0].node.add(&restored[1].address).await.is_ok()
    })
    .await;
    assert_equal_states(&restored).await;

    let accepting = vec![pristine(21).await];
    accepting[0].node.restore(saved, true).await.unwrap();
    assert_eq!(admitted(&accepting, 0).await, 2, "three of five were used");
    assert_eq!(admitted(&accepting, 1).await, 5);
    let groups = accepting[0].node.status().groups;
    let counted: u64 = groups
        .iter()
        .map(|group| group.admitted_after_restore)
        .sum();
    assert_eq!(counted, 7);
    for life in lives.into_iter().chain(restored).chain(accepting) {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_restored_survives_a_restart() {
    let lives = vec![pristine(1).await];
    lives[0].node.init().await.unwrap();
    assert_eq!(admitted(&lives, 0).await, 5);
    let saved = taken(&lives[0].node).await;
    let restored = pristine(11).await;
    restored.node.restore(saved, false).await.unwrap();
    let cluster = restored.node.cluster();
    let (disk, address) = restored.crash().await;
    let restored = vec![again(11, disk, &address).await];
    assert_eq!(restored[0].node.cluster(), cluster);
    assert_eq!(admitted(&restored, 1).await, 0);
    for life in lives.into_iter().chain(restored) {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_into_a_pristine_node_that_fits() {
    let life = pristine(1).await;
    life.node.init().await.unwrap();
    let lives = vec![life];
    open(&lives, 0).await;
    let saved = taken(&lives[0].node).await;
    let refused = lives[0].node.restore(saved.clone(), false).await;
    assert!(
        matches!(refused, Err(MemberError::AlreadyMember)),
        "{refused:?}"
    );
    let other = pristine(2).await;
    let refused = other.node.restore(saved[1..].to_vec(), false).await;
    assert!(
        matches!(refused, Err(MemberError::Backup(_))),
        "{refused:?}"
    );
    let mut damaged = saved;
    damaged[0].state.truncate(3);
    let refused = other.node.restore(damaged, false).await;
    assert!(
        matches!(refused, Err(MemberError::Backup(_))),
        "{refused:?}"
    );
    assert_eq!(other.node.cluster(), None, "nothing was begun");
    for life in lives.into_iter().chain([other]) {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_gives_no_backup() {
    let mut lives = cluster().await;
    let epoch = open(&lives, 0).await;
    decide(&lives, 0, vec![acquire(epoch, 1, "k")]).await;
    until("one leads everything", async || {
        let moved = lives[0].node.transfer_leader(1, None).await;
        moved.is_ok_and(|groups| groups.len() == 3)
    })
    .await;
    assert!(lives[0].node.backup().await.is_ok());
    assert!(lives[1].node.backup().await.is_ok(), "a follower asks it");
    // As it sees it, it leads for as long as it hears of no other.
    let leader = lives.remove(0);
    for life in lives {
        life.crash().await;
    }
    assert!(leader.node.leads(ShardId(0)) && leader.node.leads(ShardId::REGISTRY));
    let backup = leader.node.backup().await;
    assert!(
        matches!(backup, Err(MemberError::NoLeader(_))),
        "{:?}",
        backup.map(drop)
    );
    leader.end().await;
}
