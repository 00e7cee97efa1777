use quotum_api::registry::GatewaysResponse;
use quotum_api::registry::gateways_response::Gateway;

use super::Progress;

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
            silent_nodes: vec![],
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
            silent_nodes: vec![],
        },
        5,
    );
    assert!(progress.is_done());
    assert_eq!(progress.gateways, 1);
}

#[test]
fn a_silent_node_is_waited_for() {
    let gateways = vec![gateway("a", 5, 1)];
    let progress = Progress::of(
        GatewaysResponse {
            gateways,
            silent_nodes: vec![3],
        },
        5,
    );
    assert!(!progress.is_done());
    assert!(progress.failure(5).to_string().contains("node 3"));
}

#[test]
fn without_gateways_there_is_nothing_to_wait_for() {
    assert!(Progress::of(GatewaysResponse::default(), 5).is_done());
}
