use std::time::Duration;

use super::*;

fn nodes() -> Nodes {
    Nodes::new(["a:1", "b:1", "c:1"].map(str::to_owned).to_vec(), 3)
}

#[test]
fn nodes_are_tried_in_turn() {
    let mut nodes = nodes();
    let now = Instant::now();
    let picks: Vec<_> = (0..4).map(|_| nodes.pick(now)).collect();
    assert_eq!(picks, ["a:1", "b:1", "c:1", "a:1"]);
}

#[test]
fn a_failed_node_is_left_out_while_others_are_left() {
    let mut nodes = nodes();
    let now = Instant::now();
    nodes.fail("a:1", now);
    assert_eq!(nodes.pick(now), "b:1");
    assert_eq!(nodes.pick(now), "c:1");
    assert_eq!(nodes.pick(now), "b:1");
    assert_eq!(nodes.pick(now + AVOID), "c:1");
    assert_eq!(nodes.pick(now + AVOID), "a:1");
}

#[test]
fn with_all_failed_one_is_tried_all_the_same() {
    let mut nodes = nodes();
    let now = Instant::now();
    for (at, node) in ["a:1", "b:1", "c:1"].into_iter().enumerate() {
        nodes.fail(node, now);
        assert_eq!(nodes.is_round_over(), at == 2);
    }
    assert_eq!(nodes.pick(now), "a:1");
    nodes.succeed("b:1");
    assert_eq!(nodes.pick(now), "b:1");
}

#[test]
fn a_hint_goes_first_unless_it_has_just_failed() {
    let mut nodes = nodes();
    let now = Instant::now();
    assert!(nodes.hint("leader:9", now));
    assert_eq!(nodes.pick(now), "leader:9");
    assert_eq!(nodes.pick(now), "a:1");
    nodes.fail("leader:9", now);
    assert!(!nodes.hint("leader:9", now));
    assert!(nodes.hint("leader:9", now + AVOID));
    assert!(!nodes.hint("", now), "nobody leads");
    assert!(!nodes.hint("not an address", now));
}

#[test]
fn failures_of_ever_new_hints_are_forgotten() {
    let mut nodes = nodes();
    let now = Instant::now();
    for at in 0..10_000_u32 {
        nodes.fail(
            &format!("n{at}:1"),
            now + Duration::from_micros(u64::from(at)),
        );
    }
    assert!(nodes.failed.len() <= FAILED_NODES_MAX);
}
