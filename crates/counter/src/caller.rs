//! Callers: who asks, as far as it bounds what one of them may open.
//!
//! The node that a caller connects to names it, by its network address; a node that is passed a
//! request on keeps that name. Only other nodes pass requests on, so only at the port of the peers
//! is anything believed that says so. IPv6 hosts have a network of 64 bits to themselves.

use std::net::{IpAddr, SocketAddr};

use quotum_api::counter::{Api, DecideRequest};
use quotum_limit::Caller;

/// Set in the names of nodes that open epochs of their own, and in no address.
const NODE: u64 = 1 << 63;
/// Set in the names of IPv4 addresses; IPv6 networks that are routed begin with a bit 0 and 1.
const IPV4: u64 = 1 << 62;

/// The port that a message came in at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Clients,
    Peers,
}

/// The caller at the other end of a connection.
pub(crate) fn at(address: Option<SocketAddr>) -> Caller {
    Caller(match address.map(|address| address.ip().to_canonical()) {
        None => 0,
        Some(IpAddr::V4(ip)) => IPV4 | u64::from(ip.to_bits()),
        Some(IpAddr::V6(ip)) => {
            let network = u64::try_from(ip.to_bits() >> 64).expect("64 bits are left");
            network & !NODE
        }
    })
}

/// A node that opens epochs for callers without ids.
pub(crate) fn node(id: u64) -> Caller {
    Caller(NODE | id)
}

/// Names the caller in the commands of a message that comes from it.
pub(crate) fn name(request: &mut DecideRequest, caller: Caller, port: Port) {
    if port == Port::Clients {
        // What only a node may say is not heard: a client would name its caller itself.
        request.forwarded = false;
        request.set_api(Api::Unspecified);
    }
    if request.forwarded {
        return;
    }
    for open in request.commands.opens_mut() {
        open.caller = caller.0;
    }
}

#[cfg(test)]
mod tests {
    use quotum_api::counter::command;

    use super::*;

    fn caller(ip: &str) -> Caller {
        at(Some(SocketAddr::new(ip.parse().unwrap(), 1)))
    }

    #[test]
    fn a_host_is_one_caller_whatever_its_ports() {
        let ports = [1, 2].map(|port| at(Some(SocketAddr::new("10.0.0.1".parse().unwrap(), port))));
        assert_eq!(ports[0], ports[1]);
        assert_eq!(caller("10.0.0.1"), caller("::ffff:10.0.0.1"));
        assert_eq!(caller("2001:db8::1"), caller("2001:db8::2"));
    }

    #[test]
    fn different_hosts_and_nodes_are_different_callers() {
        let mut names = vec![
            caller("10.0.0.1"),
            caller("10.0.0.2"),
            caller("2001:db8::1"),
            caller("2001:db8:0:1::1"),
            caller("::1"),
            node(1),
            node(2),
        ];
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 7);
    }

    #[test]
    fn only_the_first_node_names_a_caller() {
        let open = |caller| DecideRequest {
            commands: vec![quotum_api::counter::Command {
                kind: Some(command::Kind::Open(command::Open { caller })),
            }]
            .into(),
            ..DecideRequest::default()
        };
        let mut claimed = open(9);
        name(&mut claimed, Caller(5), Port::Clients);
        assert_eq!(claimed, open(5));
        let passed_on = DecideRequest {
            forwarded: true,
            api: Api::Envoy.into(),
            ..open(9)
        };
        let mut by_a_node = passed_on.clone();
        name(&mut by_a_node, Caller(5), Port::Peers);
        assert_eq!(by_a_node, passed_on);
        let mut by_a_client = passed_on;
        name(&mut by_a_client, Caller(5), Port::Clients);
        assert_eq!(by_a_client, open(5));
    }
}
