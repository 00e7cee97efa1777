//! Decisions: every one of them counted, and nothing but decisions.

use crate::node::{Mood, Node, VALUE_MAX};
use crate::program::{Run, load, unused_address};

const SHORT: &str = "--warmup-secs 0 --output json";

/// That the report says what the node did, which admitted `admitted`.
fn agrees(run: &Run, node: &Node, admitted: u64) {
    let decided = node.decided();
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.count("errors"), 0, "{run:?}");
    assert_eq!(run.count("admitted"), admitted, "{run:?}");
    assert_eq!(
        (decided.admitted, decided.other),
        (admitted, 0),
        "{decided:?}"
    );
    assert_eq!(run.count("denied"), decided.denied, "{run:?}");
    assert!(run.count("denied") > 0, "{run:?}");
}

/// That the figures of a run of one second fit its counts and each other.
fn adds_up(run: &Run) {
    let decisions = run.count("admitted") + run.count("denied");
    assert_eq!(run.figure("decisions_per_s"), decisions as f64);
    let p50 = run.figure("p50_us");
    assert!(p50 > 0.0 && p50 <= run.figure("p99_us"), "{run:?}");
    assert!(run.figure("p99_us") <= run.figure("p999_us"), "{run:?}");
    assert!(run.complaints.is_empty(), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_counts_every_decision_of_its_batches() {
    let node = Node::start(Mood::Decides).await;
    let run = load(&format!(
        "native-stream --addr {} --in-flight 8 --batch 3 --secs 1 --keys 4 --max 5 {SHORT}",
        node.address
    ))
    .await;
    agrees(&run, &node, 4 * 5);
    adds_up(&run);
    let decided = node.decided();
    assert_eq!((decided.counters, decided.epochs), (4, 1));
    assert_eq!(
        decided.admitted + decided.denied,
        (decided.messages - 1) * 3
    );
    // Little more is kept than what was in flight at the end.
    assert!(
        decided.acked_seq_max > 0 && decided.requests_held <= 10 * 8 * 3,
        "{decided:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_in_flight_go_over_several_streams() {
    let node = Node::start(Mood::Decides).await;
    let run = load(&format!(
        "native-stream --addr {} --in-flight 130 --batch 64 --secs 1 --keys 100 --max 7 {SHORT}",
        node.address
    ))
    .await;
    agrees(&run, &node, 100 * 7);
    adds_up(&run);
    assert_eq!(node.decided().epochs, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn unary_requests_count_every_decision() {
    let node = Node::start(Mood::Decides).await;
    let run = load(&format!(
        "native-unary --addr {} --in-flight 140 --secs 1 --keys 10 --max 4 --window minute {SHORT}",
        node.address
    ))
    .await;
    agrees(&run, &node, 10 * 4);
    adds_up(&run);
    let decided = node.decided();
    assert_eq!(decided.epochs, 2);
    assert!(
        decided.acked_seq_max > 0 && decided.requests_held <= 10 * 140,
        "{decided:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn envoys_api_is_asked_at_the_leader_and_every_decision_counted() {
    let node = Node::start(Mood::Decides).await;
    let follower = Node::follower(&node).await;
    let run = load(&format!(
        "envoy --addr {} --in-flight 140 --secs 1 --keys 10 {SHORT}",
        follower.address
    ))
    .await;
    agrees(&run, &node, 10 * u64::from(VALUE_MAX));
    adds_up(&run);
    assert_eq!(run.report["leader"], node.address);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_limit_is_an_error() {
    let node = Node::start(Mood::IsOverloaded).await;
    let run = load(&format!(
        "envoy --addr {} --in-flight 2 --secs 0.2 --keys 1 {SHORT}",
        node.address
    ))
    .await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.count("errors") > 0 && run.count("admitted") == 0);
    assert!(run.complaints.contains("no current_limit"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_any_status_are_counted_where_that_is_asked_for() {
    let node = Node::start(Mood::SendsNoStatus).await;
    let line = |secs: &str| {
        format!(
            "envoy --addr {} --in-flight 4 --secs {secs} --keys 10 {SHORT}",
            node.address
        )
    };
    let run = load(&format!("{} --any-status", line("1"))).await;
    agrees(&run, &node, 10 * u64::from(VALUE_MAX));
    adds_up(&run);
    let run = load(&line("0.2")).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(
        (run.count("admitted"), run.count("denied")),
        (0, 0),
        "{run:?}"
    );
    assert!(run.complaints.contains("no current_limit"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_loop_sends_exactly_what_is_due() {
    let node = Node::start(Mood::Decides).await;
    for (mode, rate, due) in [
        ("native-stream --batch 4", 400, 100),
        ("native-unary", 200, 200),
    ] {
        let run = load(&format!(
            "{mode} --addr {} --in-flight 200 --rate {rate} --secs 1 --keys 10 {SHORT}",
            node.address
        ))
        .await;
        assert_eq!(run.code, Some(0), "{run:?}");
        let sent = run.count("admitted") / (rate / due);
        assert_eq!(sent + run.count("unsent"), due, "{run:?}");
        assert!(sent > due / 2, "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warm_up_is_not_counted() {
    let node = Node::start(Mood::Decides).await;
    let run = load(&format!(
        "native-unary --addr {} --in-flight 4 --secs 0.5 --warmup-secs 0.5 --keys 10",
        node.address
    ))
    .await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let counted = run.count("admitted");
    assert!(counted > 0 && counted < node.decided().admitted, "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_is_found_through_any_node_that_answers() {
    let leader = Node::start(Mood::Decides).await;
    let follower = Node::follower(&leader).await;
    let dead = unused_address().await;
    for mode in ["native-stream", "native-unary"] {
        let before = leader.decided().admitted;
        let run = load(&format!(
            "{mode} --addr {dead},{} --in-flight 2 --secs 0.2 --keys 10 {SHORT}",
            follower.address
        ))
        .await;
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(run.count("admitted"), leader.decided().admitted - before);
        assert_eq!(run.report["leader"], leader.address);
    }
    assert_eq!(follower.decided().messages, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_address_ends_with_1_and_an_error_in_the_report() {
    let dead = unused_address().await;
    for mode in ["native-stream", "native-unary"] {
        let line = format!("{mode} --addr {dead} --in-flight 1 --secs 1 --keys 1 {SHORT}");
        let run = load(&line).await;
        assert_eq!(run.code, Some(1), "{run:?}");
        assert_eq!(run.count("errors"), 1, "{run:?}");
        assert!(run.complaints.contains(&dead), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_decided_is_an_error() {
    for mode in ["native-stream --batch 2", "native-unary"] {
        let node = Node::start(Mood::IsOverloaded).await;
        let line = format!(
            "{mode} --addr {} --in-flight 2 --secs 0.2 --keys 1",
            node.address
        );
        let run = load(&format!("{line} {SHORT}")).await;
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(
            run.count("errors") > 0 && run.count("admitted") == 0,
            "{run:?}"
        );
        assert!(run.complaints.contains("the queue is full"), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_is_an_error_for_all_that_was_on_it() {
    let node = Node::start(Mood::Breaks).await;
    let run = load(&format!(
        "native-stream --addr {} --in-flight 4 --batch 5 --secs 0.2 --keys 1 {SHORT}",
        node.address
    ))
    .await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(run.count("errors"), 4 * 5 + 1, "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cpu_time_of_named_processes_is_told_by_decision() {
    let node = Node::start(Mood::Decides).await;
    // The node runs in this very process.
    let pid = std::process::id();
    let run = load(&format!(
        "native-unary --addr {} --in-flight 16 --secs 1 --keys 10 --pids {pid} {SHORT}",
        node.address
    ))
    .await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let of = |member: &str| run.report[member][pid.to_string()].as_f64().unwrap();
    let (user, system) = (
        of("cpu_user_us_per_decision"),
        of("cpu_sys_us_per_decision"),
    );
    assert!(of("cpu_us_per_decision") > 0.0, "{run:?}");
    assert!(
        (user + system - of("cpu_us_per_decision")).abs() < 0.01,
        "{run:?}"
    );
    assert!(run.figure("generator_cpu_us_per_decision") > 0.0);

    let line = format!(
        "native-unary --addr {} --in-flight 1 --secs 1 --keys 1",
        node.address
    );
    let run = load(&format!("{line} --pids {}", u32::MAX)).await;
    assert_eq!(run.code, Some(1), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_usage_ends_with_64_before_anything_is_sent() {
    let node = Node::start(Mood::Decides).await;
    let run = load(&format!(
        "native-unary --addr {} --in-flight 1",
        node.address
    ))
    .await;
    assert_eq!(run.code, Some(64), "{run:?}");
    assert_eq!(node.decided().messages, 0);
}
