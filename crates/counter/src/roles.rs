//! Which services a certificate opens: by its role, and by the port. What no line names is closed.
//!
//! A port that asks for no certificates lets everybody through; tokens are then all there is.
//! Calls whose messages are not a stream have a deadline for the one that they make.

use quotum_replica::peer::Voucher;
use quotum_transport::{Caller, Form, Role};
use tonic::{Request, Status};

pub(crate) const HEALTH: &str = "grpc.health.v1.Health";
pub(crate) const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
pub(crate) const COUNTER: &str = "quotum.counter.v1.Counter";
pub(crate) const REGISTRY: &str = "quotum.registry.v1.Registry";
pub(crate) const CLUSTER: &str = "quotum.cluster.v1.Cluster";
const PEER: &str = "quotum.peer.v1.Peer";
pub(crate) const ENVOY: &str = "envoy.service.ratelimit.v3.RateLimitService";
pub(crate) const KUADRANT: &str = "kuadrant.service.ratelimit.v1.RateLimitService";

/// The calls whose requests are streams.
const STREAMS: &[(&str, &str)] = &[
    (COUNTER, "Decide"),
    (REGISTRY, "Watch"),
    (CLUSTER, "Restore"),
    (PEER, "StreamAppend"),
    (PEER, "Snapshot"),
    (REFLECTION, "ServerReflectionInfo"),
];

/// Whether a caller may make a call on the port of the clients.
pub(crate) fn clients(caller: &Caller, path: &str) -> Option<Form> {
    opens_to_clients(caller, path).then(|| form(path))
}

/// Whether a caller may make a call on the port of the peers.
pub(crate) fn peers(caller: &Caller, path: &str) -> Option<Form> {
    opens_to_peers(caller, path).then(|| form(path))
}

fn form(path: &str) -> Form {
    match split(path).is_some_and(|call| STREAMS.contains(&call)) {
        true => Form::Stream,
        false => Form::Message,
    }
}

fn opens_to_clients(caller: &Caller, path: &str) -> bool {
    let Caller::Certified(certified) = caller else {
        return true;
    };
    let role = certified.role.as_ref().map(|(role, _)| *role);
    split(path).is_some_and(|(service, method)| opens(role, service, method))
}

/// What a role opens on the port of the clients.
fn opens(role: Option<Role>, service: &str, method: &str) -> bool {
    match role {
        Some(Role::Gateway) => match service {
            HEALTH | REFLECTION | COUNTER | ENVOY | KUADRANT => true,
            REGISTRY => method == "Watch",
            _ => false,
        },
        Some(Role::Operator) => match service {
            HEALTH | REFLECTION | CLUSTER => true,
            REGISTRY => method != "Watch",
            _ => false,
        },
        Some(Role::Peer) | None => false,
    }
}

fn opens_to_peers(caller: &Caller, path: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_of_requests_is_known_as_one() {
        let mut streams = Vec::new();
        for name in ["counter", "registry", "cluster", "peer"] {
            let file = format!(
                "{}/../../proto/quotum/{name}/v1/{name}.proto",
                env!("CARGO_MANIFEST_DIR")
            );
            let text = std::fs::read_to_string(file).unwrap();
            let mut service = "";
            for line in text.lines().map(str::trim) {
                if let Some(rest) = line.strip_prefix("service ") {
                    service = rest.split_whitespace().next().unwrap();
                }
                let call = line
                    .strip_prefix("rpc ")
                    .and_then(|rest| rest.split_once('('));
                if let Some((method, rest)) = call
                    && rest.starts_with("stream ")
                {
                    streams.push((format!("quotum.{name}.v1.{service}"), method.to_owned()));
                }
            }
        }
        // The library's own: it is asked with streams.
        streams.push((REFLECTION.to_owned(), "ServerReflectionInfo".to_owned()));
        let mut known: Vec<(String, String)> = STREAMS
            .iter()
            .map(|(service, method)| ((*service).to_owned(), (*method).to_owned()))
            .collect();
        streams.sort_unstable();
        known.sort_unstable();
        assert_eq!(known, streams);
        assert_eq!(form("/quotum.counter.v1.Counter/Decide"), Form::Stream);
        assert_eq!(form("/quotum.counter.v1.Counter/Acquire"), Form::Message);
    }

    #[test]
    fn whoever_may_call_anything_may_ask_what_there_is() {
        let asks = |role| opens(role, REFLECTION, "ServerReflectionInfo");
        assert!(
            [Role::Gateway, Role::Operator]
                .map(Some)
                .into_iter()
                .all(asks)
        );
        assert!(![Some(Role::Peer), None].into_iter().any(asks));
        let path = format!("/{REFLECTION}/ServerReflectionInfo");
        assert_eq!(clients(&Caller::Anonymous, &path), Some(Form::Stream));
    }
}
