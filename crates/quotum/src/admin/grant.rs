//! `quotum grant`: making and ending grants, and changing their tokens.

use quotum_api::registry::{
    CreateGrantRequest, GrantResponse, RevokeGrantRequest, RotateGrantRequest,
};
use quotum_replica::clock::{Clock, RealClock};
use serde_json::json;

use super::reach::Cluster;
use super::{get, wait};
use crate::arguments::{CreateGrant, Grant, RevokeGrant, RotateGrant};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::{self, Format};

pub(crate) fn run(
    command: &Grant,
    environment: &Environment,
    format: Format,
) -> Result<(), Failure> {
    let reach = match command {
        Grant::Create(options) => &options.reach,
        Grant::Rotate(options) => &options.reach,
        Grant::Revoke(options) => &options.reach,
    };
    super::block_on(reach, environment, async |cluster: Cluster| match command {
        Grant::Create(options) => run_create(&cluster, options, format).await,
        Grant::Rotate(options) => run_rotate(&cluster, options, format).await,
        Grant::Revoke(options) => run_revoke(&cluster, options, format).await,
    })
}

/// Makes a grant.
pub(crate) async fn create(
    cluster: &Cluster,
    request: CreateGrantRequest,
) -> Result<GrantResponse, Failure> {
    cluster
        .registry(request, |mut client, request| async move {
            client.create_grant(request).await
        })
        .await
}

/// Gives a grant another token.
pub(crate) async fn rotate(
    cluster: &Cluster,
    name: &str,
    overlap_ms: u64,
) -> Result<GrantResponse, Failure> {
    let request = RotateGrantRequest {
        name: name.to_owned(),
        overlap_ms,
    };
    cluster
        .registry(request, |mut client, request| async move {
            client.rotate_grant(request).await
        })
        .await
}

async fn run_create(
    cluster: &Cluster,
    options: &CreateGrant,
    format: Format,
) -> Result<(), Failure> {
    let expires_at_ms = options.expires_in.map_or(0, |duration_ms| {
        RealClock.wall_ms().saturating_add(duration_ms)
    });
    let request = CreateGrantRequest {
        name: options.name.clone(),
        server: options.server.clone(),
        policy: options.policy.clone().unwrap_or_default(),
        expires_at_ms,
    };
    let grant = create(cluster, request).await?;
    // The token first: it is shown only once, and waiting may fail.
    show_token(format, &options.name, &grant)?;
    if options.wait {
        wait::until_served(cluster, grant.revision).await?;
    }
    Ok(())
}

async fn run_rotate(
    cluster: &Cluster,
    options: &RotateGrant,
    format: Format,
) -> Result<(), Failure> {
    let grant = rotate(cluster, &options.name, options.overlap.unwrap_or(0)).await?;
    show_token(format, &options.name, &grant)?;
    if !options.promptness.no_wait {
        wait::until_served(cluster, grant.revision).await?;
    }
    Ok(())
}

async fn run_revoke(
    cluster: &Cluster,
    options: &RevokeGrant,
    format: Format,
) -> Result<(), Failure> {
    let name = &options.name;
    if let Some(server) = &options.server {
        let documents = get::documents(cluster, "grants", name).await?;
        let found = documents.first().and_then(|grant| grant["server"].as_str());
        if found != Some(server) {
            let found = found.unwrap_or("none");
            return Err(Failure::failed(format!(
                "grant {name} is one of server {found}, not of {server}: it is not revoked"
            )));
        }
    }
    let request = RevokeGrantRequest { name: name.clone() };
    let answer = cluster.registry(request, |mut client, request| async move {
        client.revoke_grant(request).await
    });
    let revision = answer.await?.revision;
    let gateways = match options.promptness.no_wait {
        true => None,
        false => Some(wait::until_served(cluster, revision).await?),
    };
    let text = || match gateways {
        None => format!("{name} is revoked; gateways follow (revision {revision})"),
        Some(count) => format!("{name} is revoked, and refused by all {count} gateways"),
    };
    let value = json!({ "name": name, "revision": revision, "gateways": gateways });
    output::show(format, text, &value)
}

fn show_token(format: Format, name: &str, grant: &GrantResponse) -> Result<(), Failure> {
    let value = json!({
        "name": name,
        "id": grant.id,
        "token": grant.token,
        "revision": grant.revision,
    });
    let text = || {
        format!(
            "{}\n(the token of {name}: it is not shown again)",
            grant.token
        )
    };
    output::show(format, text, &value)
}
