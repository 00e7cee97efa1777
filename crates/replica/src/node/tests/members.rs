use super::*;
use crate::disk::memory::Faults;
use crate::node::joining::Looks;
use crate::wire::member_to_wire;

/// Looks at the members that find nothing new to do.
const LOOKS: usize = 20;

/// The groups in which a node votes, as another sees it.
fn votes_in(life: &Life, node: u64) -> usize {
    let groups = life.node.status().groups;
    let votes = groups.iter().filter(|group| group.voters.contains(&node));
    votes.count()
}

/// Adds a node, and waits until it votes in every group.
async fn add(life: &Life, address: &str) {
    until("a node is added and votes", async || {
        let added = life.node.add(address).await;
        added.is_ok_and(|added| added.joining.is_empty())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_added_and_removed() {
    let mut lives = cluster().await;
    lives.push(pristine(9).await);
    let address = lives[3].address.clone();
    add(&lives[0], &address).await;
    let epoch = open(&lives, 0).await;
    decide(&lives, 0, vec![acquire(epoch, 1, "k")]).await;
    assert_equal_states(&lives).await;
    until("a node is removed", async || {
        lives[0].node.remove(2).await.is_ok()
    })
    .await;
    let voters = lives[3].node.group(ShardId(0)).unwrap().voters();
    assert!(!voters.contains(&2) && voters.contains(&9), "{voters:?}");
    assert!(matches!(
        lives[0].node.remove(77).await,
        Err(MemberError::UnknownNode(77))
    ));
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_cluster_come_one_after_the_other_and_one_starts_again() {
    let mut lives = vec![pristine(1).await, pristine(2).await];
    let late = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut addresses: Vec<String> = lives.iter().map(|life| life.address.clone()).collect();
    addresses.push(late.local_addr().unwrap().to_string());
    let start = |life: &Life| {
        let (node, addresses) = (life.node.clone(), addresses.clone());
        tokio::spawn(async move { node.bootstrap(&addresses, 3).await })
    };
    let mut started: Vec<_> = lives.iter().map(start).collect();
    // The one that would act starts again before the last has come.
    started.remove(0).abort();
    let (disk, address) = lives.remove(0).crash().await;
    assert_eq!(lives[0].node.cluster(), None, "two of three found nothing");
    lives.push(again(1, disk, &address).await);
    lives.push(Life::begin(3, MemoryDisk::new(), late).await);
    started.extend(lives[1..].iter().map(start));
    for started in started {
        let founded = tokio::time::timeout(PATIENCE, started).await.unwrap();
        founded.unwrap().unwrap();
    }
    let cluster = lives[0].node.cluster();
    assert!(cluster.is_some());
    for life in &lives {
        assert_eq!(life.node.cluster(), cluster);
        assert_eq!(life.node.members().len(), 3);
    }
    let epoch = open(&lives, 1).await;
    decide(&lives, 1, vec![acquire(epoch, 1, "k")]).await;
    assert_equal_states(&lives).await;
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founding_that_was_cut_off_is_finished_by_its_founder() {
    let mut lives = vec![pristine(1).await, pristine(2).await, pristine(3).await];
    let addresses: Vec<String> = lives.iter().map(|life| life.address.clone()).collect();
    // As if the power was lost between the id and the groups.
    let mut identity = lives[0].node.inner.identity.lock().await.clone();
    identity.cluster = Some([7; 16]);
    identity.founder = true;
    identity.save(&lives[0].node.inner.disk).await.unwrap();
    let (disk, address) = lives.remove(0).crash().await;
    lives.insert(0, again(1, disk, &address).await);
    assert_eq!(lives[0].node.cluster(), Some([7; 16]));
    let started = lives.iter().map(|life| {
        let (node, addresses) = (life.node.clone(), addresses.clone());
        tokio::spawn(async move { node.bootstrap(&addresses, 3).await })
    });
    for started in started.collect::<Vec<_>>() {
        let founded = tokio::time::timeout(PATIENCE, started).await.unwrap();
        founded.unwrap().unwrap();
    }
    assert!(
        lives
            .iter()
            .all(|life| life.node.cluster() == Some([7; 16]))
    );
    open(&lives, 0).await;
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_is_not_let_in_under_the_id_of_the_old_one() {
    let mut lives = cluster().await;
    let epoch = open(&lives, 0).await;
    let (_lost, address) = lives.remove(1).crash().await;
    let replaced = again(2, MemoryDisk::new(), &address).await;
    until("the others speak to the new disk", async || {
        replaced.node.inner.replaced.get().is_some()
    })
    .await;
    // It was told nothing, and the others go on.
    assert_eq!(replaced.node.cluster(), None);
    assert_eq!(replaced.node.digest(ShardId(0)).await.unwrap().0, 0);
    decide(&lives, 0, vec![acquire(epoch, 1, "k")]).await;
    let refused = lives[0].node.add(&address).await;
    assert!(
        matches!(refused, Err(MemberError::Replaced(2))),
        "{refused:?}"
    );
    // Removed and added, it is a new member.
    until("the lost one is removed", async || {
        lives[0].node.remove(2).await.is_ok()
    })
    .await;
    add(&lives[0], &address).await;
    lives.push(replaced);
    decide(&lives, 0, vec![acquire(epoch, 2, "k")]).await;
    assert_equal_states(&lives).await;
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_not_added() {
    let lives = cluster().await;
    let other = pristine(9).await;
    other.node.init().await.unwrap();
    let refused = lives[0].node.add(&other.address).await;
    assert!(
        matches!(refused, Err(MemberError::OtherCluster(9))),
        "{refused:?}"
    );
    let again = other.node.init().await;
    assert!(
        matches!(again, Err(MemberError::AlreadyMember)),
        "{again:?}"
    );
    for life in lives.into_iter().chain([other]) {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_stands_still_gets_no_vote_and_holds_nobody_up() {
    let mut lives = vec![pristine(1).await];
    lives[0].node.init().await.unwrap();
    let epoch = open(&lives, 0).await;
    for seq in 1..=100 {
        decide(&lives, 0, vec![acquire(epoch, seq, &format!("k{seq}"))]).await;
    }
    // Whoever comes needs a snapshot.
    lives[0].node.snapshot(ShardId(0)).await.unwrap();
    let group = lives[0].node.group(ShardId(0)).unwrap().clone();
    let upto = group.raft.metrics().borrow_watched().snapshot.unwrap();
    group.raft.trigger().purge_log(upto.index()).await.unwrap();
    let slow = pristine(2).await;
    let stuck = Faults {
        stuck: true,
        ..Faults::default()
    };
    slow.disk.set_faults(stuck);
    let added = lives[0].node.add(&slow.address).await.unwrap();
    assert_eq!((added.node, added.joining.len()), (2, 3), "{added:?}");
    // One more in the quorum, and nothing would be decided from here on.
    let founder = &lives[0].node;
    for seq in 101..=200 {
        let decided = founder.decide(0, vec![acquire(epoch, seq, &format!("k{seq}"))]);
        assert!(is_admitted(&decided.await.unwrap().outcomes[0]));
    }
    let mut looks = Looks::default();
    for _ in 0..LOOKS {
        founder.look_at_members(&mut looks).await;
    }
    assert_eq!(votes_in(&lives[0], 2), 0);
    slow.disk.set_faults(Faults::default());
    // Nobody asks for it any more.
    until("the node votes by itself", async || {
        votes_in(&lives[0], 2) == 3
    })
    .await;
    lives.push(slow);
    add(&lives[1], &lives[1].address.clone()).await;
    assert_equal_states(&lives).await;
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cut_off_while_it_was_added_votes_when_it_is_back() {
    let mut lives = cluster().await;
    let late = pristine(9).await;
    let member = late.node.member().clone();
    let (disk, address) = late.crash().await;
    for shard in [ShardId(0), ShardId(1), ShardId::REGISTRY] {
        until("a leader has a learner", async || {
            let change = peer::change_request::Change::Add(member_to_wire(9, &member));
            let leader = lives.iter().find(|life| life.node.leads(shard));
            let Some(Life { node, .. }) = leader else {
                return false;
            };
            let group = node.group(shard).unwrap();
            node.change_here(group, change).await.is_ok()
        })
        .await;
    }
    let mut looks = Looks::default();
    for life in &lives {
        for _ in 0..LOOKS {
            life.node.look_at_members(&mut looks).await;
        }
        assert_eq!(votes_in(life, 9), 0);
    }
    let epoch = open(&lives, 0).await;
    decide(&lives, 0, vec![acquire(epoch, 1, "k")]).await;
    lives.push(again(9, disk, &address).await);
    until("the node votes by itself", async || {
        votes_in(&lives[0], 9) == 3
    })
    .await;
    assert_equal_states(&lives).await;
    for life in lives {
        life.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_members_that_its_leader_left_half_done_is_finished() {
    let mut lives = vec![pristine(1).await];
    lives[0].node.init().await.unwrap();
    let late = pristine(2).await;
    let stuck = Faults {
        stuck: true,
        ..Faults::default()
    };
    late.disk.set_faults(stuck);
    lives[0].node.add(&late.address).await.unwrap();
    let group = lives[0].node.group(ShardId(0)).unwrap().clone();
    let configs = |group: &Group| {
        let metrics = group.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.get_joint_config().clone()
    };
    let change = openraft::ChangeMembers::AddVoterIds([2].into());
    let raft = group.raft.clone();
    let changing = tokio::spawn(async move { raft.change_membership(change, false).await });
    // It needs the new node, which cannot write yet, and whoever asked for it goes away.
    until("a change is half done", async || configs(&group).len() == 2).await;
    changing.abort();
    late.disk.set_faults(Faults::default());
    lives.push(late);
    until("the change is done", async || {
        configs(&group) == [[1, 2].into()]
    })
    .await;
    add(&lives[0], &lives[1].address.clone()).await;
    assert_equal_states(&lives).await;
    for life in lives {
        life.end().await;
    }
}
