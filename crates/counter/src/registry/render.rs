//! The registry as documents, without its secrets.

use quotum_registry::State;
use quotum_registry::documents::timestamp;
use serde_json::{Map, Value, json};
use tonic::Status;

/// The documents of a kind, or of one name, or of all.
pub(super) fn documents(state: &State, kind: &str, name: &str) -> Result<Vec<Value>, Status> {
    let all = match kind {
        "" => [servers(state), policies(state), grants(state)].concat(),
        "servers" => servers(state),
        "policies" => policies(state),
        "grants" => grants(state),
        _ => {
            let text = format!("kind {kind:?}: use servers, policies or grants");
            return Err(Status::invalid_argument(text));
        }
    };
    if name.is_empty() {
        return Ok(all);
    }
    let named: Vec<Value> = all
        .into_iter()
        .filter(|document| document["name"] == name)
        .collect();
    match named.is_empty() {
        true => Err(Status::not_found(format!("there is nothing called {name}"))),
        false => Ok(named),
    }
}

fn document(kind: &str, revision: u64, fields: Value) -> Value {
    let mut document = Map::from_iter([("kind".to_owned(), json!(kind))]);
    if let Value::Object(fields) = fields {
        document.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
    }
    document.insert("revision".to_owned(), json!(revision));
    Value::Object(document)
}

fn servers(state: &State) -> Vec<Value> {
    let one = |server: &std::sync::Arc<quotum_registry::server::Server>| {
        let spec = &server.spec;
        let fields = json!({
            "name": spec.name.as_str(),
            "url": spec.url.as_str(),
            "tasks": spec.tasks,
            "refund": spec.refund.as_str(),
            "grant_label": spec.grant_label,
            "methods": spec.methods,
            "credential": server.credential.as_ref().map(|_| "sealed"),
        });
        document("Server", server.revision, fields)
    };
    state.servers().map(one).collect()
}

fn policies(state: &State) -> Vec<Value> {
    let one = |policy: &std::sync::Arc<quotum_registry::policy::Policy>| {
        let text = policy.document.as_str();
        let parsed = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        let fields = json!({ "name": policy.name.as_str(), "document": parsed });
        document("Policy", policy.revision, fields)
    };
    state.policies().map(one).collect()
}

fn grants(state: &State) -> Vec<Value> {
    let one = |grant: &std::sync::Arc<quotum_registry::grant::Grant>| {
        let spec = &grant.spec;
        let fields = json!({
            "name": spec.name.as_str(),
            "id": spec.id.as_str(),
            "server": spec.server.as_str(),
            "policy": spec.policy.as_ref().map(|policy| policy.as_str()),
            "expires_at": spec.expires_at_ms.map(timestamp::format),
            "revoked": grant.revoked,
            "token": grant.token.map(|_| "hashed"),
        });
        document("Grant", grant.revision, fields)
    };
    state.grants().map(one).collect()
}
