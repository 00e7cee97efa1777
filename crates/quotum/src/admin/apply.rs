//! `quotum apply`: servers, policies and grants become what documents say.

use quotum_api::registry::ApplyRequest;
use serde_json::json;

use super::documents::{self, Bundle};
use super::reach::Cluster;
use super::wait;
use crate::arguments::Apply;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::limits::APPLY_ATTEMPTS_MAX;
use crate::output::{self, Format};

/// What a change of the registry has come to.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) revision: u64,
    /// A line each.
    pub(crate) changes: Vec<String>,
}

pub(crate) fn run(
    options: &Apply,
    environment: &Environment,
    format: Format,
) -> Result<(), Failure> {
    let bundle = documents::load(&options.files, environment)?;
    super::block_on(&options.reach, environment, async |cluster: Cluster| {
        if options.plan {
            let planned = plan(&cluster, request(&bundle, options.prune)).await?;
            return show(format, &planned, Stage::Planned);
        }
        let applied = apply(&cluster, &bundle, options.prune).await?;
        let stage = match options.wait {
            false => Stage::Applied,
            true => Stage::Served(wait::until_served(&cluster, applied.revision).await?),
        };
        show(format, &applied, stage)
    })
}

/// Makes the changes that lead to the documents, in one step.
pub(crate) async fn apply(
    cluster: &Cluster,
    bundle: &Bundle,
    prune: bool,
) -> Result<Applied, Failure> {
    let mut attempt = 1;
    loop {
        let answer = cluster.registry(request(bundle, prune), |mut client, request| async move {
            client.apply(request).await
        });
        match answer.await {
            Ok(answer) => {
                return Ok(Applied {
                    revision: answer.revision,
                    changes: answer.changes,
                });
            }
            // Somebody else was faster: what was planned no longer holds.
            Err(failure) if failure.is_stale() && attempt < APPLY_ATTEMPTS_MAX => attempt += 1,
            Err(failure) => return Err(failure),
        }
    }
}

async fn plan(cluster: &Cluster, request: ApplyRequest) -> Result<Applied, Failure> {
    let answer = cluster.registry(request, |mut client, request| async move {
        client.plan(request).await
    });
    let answer = answer.await?;
    Ok(Applied {
        revision: answer.revision,
        changes: answer.changes,
    })
}

fn request(bundle: &Bundle, prune: bool) -> ApplyRequest {
    let values = serde_json::to_vec(&bundle.values).expect("JSON values have a JSON form");
    ApplyRequest {
        documents_json: values.into(),
        prune,
        expected_revision: 0,
        credentials: bundle.credentials.clone(),
    }
}

/// How far a change has come.
enum Stage {
    Planned,
    Applied,
    /// By so many gateways.
    Served(usize),
}

fn show(format: Format, applied: &Applied, stage: Stage) -> Result<(), Failure> {
    let Applied { revision, changes } = applied;
    let (stage_name, gateways, summary) = match stage {
        Stage::Planned => (
            "planned",
            None,
            format!("nothing is changed yet (revision {revision})"),
        ),
        Stage::Applied => ("applied", None, format!("revision {revision}")),
        Stage::Served(count) => (
            "served",
            Some(count),
            format!("revision {revision}, served by {count} gateways"),
        ),
    };
    let text = || match changes.is_empty() {
        true => format!("no difference; {summary}"),
        false => format!("{}\n{summary}", changes.join("\n")),
    };
    let value = json!({
        "stage": stage_name,
        "revision": revision,
        "changes": changes,
        "gateways": gateways,
    });
    output::show(format, text, &value)
}
