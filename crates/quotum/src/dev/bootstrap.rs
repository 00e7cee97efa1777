//! What the registry must hold before the gateways are of use: the server, the policy, the grants.

use quotum_api::registry::CreateGrantRequest;
use serde_json::{Value, json};

use super::data::Data;
use super::{GRANTS, SERVER};
use crate::admin::documents::Bundle;
use crate::admin::{apply, get, grant, reach::Cluster};
use crate::failure::Failure;

/// Brings the registry there, and gives the revision at which it is.
pub(crate) async fn run(
    cluster: &Cluster,
    data: &mut Data,
    upstream: &str,
    policy: &str,
) -> Result<u64, Failure> {
    let bundle = Bundle {
        values: vec![
            json!({ "kind": "Server", "name": SERVER, "url": upstream }),
            json!({ "kind": "Policy", "name": SERVER, "document": policy }),
        ],
        ..Bundle::default()
    };
    let mut revision = apply::apply(cluster, &bundle, false).await?.revision;
    let existing = get::documents(cluster, "grants", "").await?;
    for name in GRANTS {
        let found = existing.iter().find(|grant| grant["name"] == name);
        let granted = match found {
            Some(grant) if grant["revoked"] == true => continue,
            Some(_) if data.token(name).is_some() => continue,
            // Its token was shown, and lost before it was kept.
            Some(_) => grant::rotate(cluster, name, 0).await?,
            None => grant::create(cluster, request(name)).await?,
        };
        data.keep_token(name, &granted.token)?;
        revision = granted.revision;
    }
    Ok(revision)
}

fn request(name: &str) -> CreateGrantRequest {
    CreateGrantRequest {
        name: name.to_owned(),
        server: SERVER.to_owned(),
        policy: SERVER.to_owned(),
        expires_at_ms: 0,
    }
}

/// The grants whose tokens are known.
pub(crate) fn grants(data: &Data) -> Vec<Value> {
    let grant = |name: &str| {
        let token = data.token(name)?;
        Some(json!({ "name": name, "token": token }))
    };
    GRANTS.iter().filter_map(|name| grant(name)).collect()
}
