use quotum_api::registry::GatewaysResponse;
use quotum_api::registry::gateways_response::Gateway;

use super::Progress;
use crate::limits::SILENT_NODE_MS_MIN;

fn gateway(name: &str, revision: u64, node: u64) -> Gateway {
    Gateway {
        name: name.to_owned(),
        revision,
        node,
    }
}

#[test]
fn all_gateways_must_serve_the_revision() {
    let gateways = vec![gateway("a", 5, 1), gateway("b", 4, 2)];
    let progress = Progress::of(
        GatewaysResponse {
            gateways,
            ..GatewaysResponse::default()
        },
        5,
    );
    assert!(!progress.is_done());
    let failure = progress.failure(5).to_string();
    assert!(
        failure.contains("b serves revision 4") && !failure.contains("a serves"),
        "{failure}"
    );
}

#[test]
fn a_gateway_that_moved_counts_with_what_it_serves_now() {
    let gateways = vec![gateway("a", 3, 1), gateway("a", 5, 2)];
    let progress = Progress::of(
        GatewaysResponse {
            gateways,
            ..GatewaysResponse::default()
        },
        5,
    );
    assert!(progress.is_done());
    assert_eq!(progress.gateways, 1);
}

/// Gateway `a` serves revision 5, and node 3 is silent.
fn silent(silent_ms: impl IntoIterator<Item = u64>) -> Progress {
    Progress::of(
        GatewaysResponse {
            gateways: vec![gateway("a", 5, 1)],
            silent_nodes: vec![3],
            silent_ms: silent_ms.into_iter().map(|ms| (3, ms)).collect(),
        },
        5,
    )
}

#[test]
fn a_silent_node_is_waited_for() {
    // A node of before that says of no other how long it is silent.
    for silent_ms in [None, Some(0), Some(SILENT_NODE_MS_MIN - 1)] {
        let progress = silent(silent_ms);
        assert!(!progress.is_done());
        assert!(progress.failure(5).to_string().contains("node 3"));
        assert_eq!(progress.note(), None);
    }
}

#[test]
fn a_node_that_is_silent_for_long_has_no_gateways_any_more() {
    let progress = silent([SILENT_NODE_MS_MIN]);
    assert!(progress.is_done());
    let note = progress.note().unwrap();
    assert!(note.starts_with("node 3 does not answer: "), "{note}");
    let behind = Progress {
        behind: [("b".to_owned(), 4)].into(),
        ..progress
    };
    assert!(!behind.is_done());
}

#[test]
fn without_gateways_there_is_nothing_to_wait_for() {
    assert!(Progress::of(GatewaysResponse::default(), 5).is_done());
}
