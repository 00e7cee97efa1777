//! Which services a certificate opens: by its role, and by the port. What no line names is closed.
//!
//! A port that asks for no certificates lets everybody through; tokens are then all there is.

use quotum_replica::peer::Voucher;
use quotum_transport::{Caller, Role};
use tonic::{Request, Status};

const HEALTH: &str = "grpc.health.v1.Health";
const COUNTER: &str = "quotum.counter.v1.Counter";
const REGISTRY: &str = "quotum.registry.v1.Registry";
const CLUSTER: &str = "quotum.cluster.v1.Cluster";
const PEER: &str = "quotum.peer.v1.Peer";
const ENVOY: &str = "envoy.service.ratelimit.v3.RateLimitService";
const KUADRANT: &str = "kuadrant.service.ratelimit.v1.RateLimitService";

/// Whether a caller may make a call on the port of the clients.
pub(crate) fn clients(caller: &Caller, path: &str) -> bool {
    let Caller::Certified(certified) = caller else {
        return true;
    };
    let role = certified.role.as_ref().map(|(role, _)| *role);
    let Some((service, method)) = split(path) else {
        return false;
    };
    match role {
        Some(Role::Gateway) => match service {
            HEALTH | COUNTER | ENVOY | KUADRANT => true,
            REGISTRY => method == "Watch",
            _ => false,
        },
        Some(Role::Operator) => match service {
            HEALTH | CLUSTER => true,
            REGISTRY => method != "Watch",
            _ => false,
        },
        Some(Role::Peer) | None => false,
    }
}

/// Whether a caller may make a call on the port of the peers.
pub(crate) fn peers(caller: &Caller, path: &str) -> bool {
    let Caller::Certified(certified) = caller else {
        return true;
    };
    let is_peer = matches!(certified.role, Some((Role::Peer, _)));
    // The services of clients: what one node passes on to another.
    let is_known = |(service, _)| [HEALTH, PEER, COUNTER, REGISTRY].contains(&service);
    is_peer && split(path).is_some_and(is_known)
}

/// Hands on what the certificate of a peer vouches for: nodes are known by their addresses.
pub(crate) fn vouch(mut request: Request<()>) -> Result<Request<()>, Status> {
    if let Some(Caller::Certified(certified)) = request.extensions().get() {
        let certified = certified.clone();
        let voucher = Voucher::new(move |host| certified.covers(host));
        request.extensions_mut().insert(voucher);
    }
    Ok(request)
}

fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}
