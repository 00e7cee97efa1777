//! `quotum administrator`: who may change and look at the cluster.

use quotum_api::registry::{
    CreateAdministratorRequest, DeleteAdministratorRequest, ListAdministratorsRequest,
};
use quotum_registry::documents::timestamp;
use serde_json::json;

use super::reach::Cluster;
use crate::arguments::{Administrator, CreateAdministrator};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::{self, Format};

pub(crate) fn run(
    command: &Administrator,
    environment: &Environment,
    format: Format,
) -> Result<(), Failure> {
    let reach = match command {
        Administrator::Create(options) => &options.reach,
        Administrator::List(options) => &options.reach,
        Administrator::Revoke(options) => &options.reach,
    };
    super::block_on(reach, environment, async |cluster: Cluster| match command {
        Administrator::Create(options) => create(&cluster, options, format).await,
        Administrator::List(_) => list(&cluster, format).await,
        Administrator::Revoke(options) => revoke(&cluster, &options.name, format).await,
    })
}

async fn create(
    cluster: &Cluster,
    options: &CreateAdministrator,
    format: Format,
) -> Result<(), Failure> {
    let request = CreateAdministratorRequest {
        name: options.name.clone(),
        role: options.role.to_string(),
    };
    let answer = cluster.registry(request, |mut client, request| async move {
        client.create_administrator(request).await
    });
    let token = answer.await?.token;
    let (name, role) = (&options.name, options.role);
    let text = || format!("{token}\n(the token of {name}, {role}: it is not shown again)");
    let value = json!({ "name": name, "role": role.as_str(), "token": token });
    output::show(format, text, &value)
}

async fn list(cluster: &Cluster, format: Format) -> Result<(), Failure> {
    let request = ListAdministratorsRequest {};
    let answer = cluster.registry(request, |mut client, request| async move {
        client.list_administrators(request).await
    });
    let administrators = answer.await?.administrators;
    let text = || {
        let rows = administrators.iter().map(|one| {
            let made = timestamp::format(one.created_at_ms);
            vec![one.name.clone(), one.role.clone(), made]
        });
        output::table(&["NAME", "ROLE", "MADE"], &rows.collect::<Vec<_>>())
    };
    let value = administrators.iter().map(|one| {
        let made = timestamp::format(one.created_at_ms);
        json!({ "name": one.name, "role": one.role, "created_at": made })
    });
    output::show(format, text, &value.collect::<Vec<_>>())
}

async fn revoke(cluster: &Cluster, name: &str, format: Format) -> Result<(), Failure> {
    let request = DeleteAdministratorRequest {
        name: name.to_owned(),
    };
    let answer = cluster.registry(request, |mut client, request| async move {
        client.delete_administrator(request).await
    });
    let revision = answer.await?.revision;
    let text = || format!("{name} is no administrator any more, and its token opens nothing");
    output::show(format, text, &json!({ "name": name, "revision": revision }))
}
