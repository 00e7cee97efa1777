use super::*;

fn hello(node: u64, cluster: Option<ClusterId>) -> peer::HelloResponse {
    peer::HelloResponse {
        cluster_id: cluster.map(|id| id.to_vec().into()).unwrap_or_default(),
        node,
        peer_address: format!("p{node}"),
        client_address: format!("c{node}"),
        incarnation: node + 100,
        ..Default::default()
    }
}

fn own(node: u64, cluster: Option<ClusterId>, founder: bool) -> Own {
    Own {
        node,
        member: member_of(hello(node, None)).1,
        cluster,
        founder,
    }
}

const HERE: Option<ClusterId> = Some([1; 16]);
const ELSEWHERE: Option<ClusterId> = Some([2; 16]);

#[test]
fn the_first_of_all_acts_once_all_are_there() {
    let others = || vec![hello(2, None), hello(3, None)];
    let act = founding(&own(1, None, false), others(), 3);
    let Founding::Act(members) = act else {
        panic!("{act:?}")
    };
    assert_eq!(members.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(members[&2].incarnation, 102);
    let second = founding(
        &own(2, None, false),
        vec![hello(1, None), hello(3, None)],
        3,
    );
    assert_eq!(second, Founding::Wait);
    let early = founding(&own(1, None, false), vec![hello(2, None)], 3);
    assert_eq!(early, Founding::Wait);
}

#[test]
fn a_node_that_hears_itself_counts_once() {
    let heard = vec![hello(1, None), hello(2, None)];
    assert_eq!(founding(&own(1, None, false), heard, 3), Founding::Wait);
}

#[test]
fn nothing_is_founded_with_a_node_of_another_cluster() {
    let heard = || vec![hello(2, ELSEWHERE), hello(3, None)];
    assert_eq!(
        founding(&own(1, None, false), heard(), 3),
        Founding::Foreign
    );
    assert_eq!(founding(&own(1, HERE, true), heard(), 3), Founding::Foreign);
}

#[test]
fn only_the_founder_goes_on_with_what_was_begun() {
    let heard = || vec![hello(2, HERE), hello(3, None)];
    assert_eq!(founding(&own(1, HERE, false), heard(), 3), Founding::Wait);
    assert!(matches!(
        founding(&own(1, HERE, true), heard(), 3),
        Founding::Act(_)
    ));
}
