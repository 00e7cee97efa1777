use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_added_and_removed() {
    let mut lives = cluster().await;
    lives.push(pristine(9).await);
    let address = lives[3].address.clone();
    until("a node is added", async || {
        lives[0].node.add(&address).await.is_ok()
    })
    .await;
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
    until("the new one is added", async || {
        lives[0].node.add(&address).await.is_ok()
    })
    .await;
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
