//! `quotum get`: what the registry holds, without its secrets.

use quotum_api::registry::GetRequest;
use serde_json::Value;

use super::reach::Cluster;
use crate::arguments::Get;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::{self, Format};

pub(crate) fn run(options: &Get, environment: &Environment, format: Format) -> Result<(), Failure> {
    let kind = options.kind.map_or("", |kind| kind.as_str());
    let name = options.name.as_deref().unwrap_or_default();
    let documents = super::block_on(&options.reach, environment, async |cluster: Cluster| {
        documents(&cluster, kind, name).await
    })?;
    let text = || match name.is_empty() {
        true => listing(&documents),
        false => yaml(&documents),
    };
    output::show(format, text, &documents)
}

/// The documents of a kind, of a name, or of everything.
pub(crate) async fn documents(
    cluster: &Cluster,
    kind: &str,
    name: &str,
) -> Result<Vec<Value>, Failure> {
    let request = GetRequest {
        kind: kind.to_owned(),
        name: name.to_owned(),
    };
    let answer = cluster.registry(request, |mut client, request| async move {
        client.get(request).await
    });
    serde_json::from_slice(&answer.await?.documents_json)
        .map_err(|error| Failure::failed("the answer is no list of documents").because(&error))
}

/// One line for each document.
fn listing(documents: &[Value]) -> String {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = |document: &Value| {
        let about = match document["kind"].as_str() {
            Some("Server") => text(&document["url"]),
            Some("Grant") => {
                let mut about = format!(
                    "server {}, policy {}",
                    text(&document["server"]),
                    text(&document["policy"])
                );
                if let Some(at) = document["expires_at"].as_str() {
                    about.push_str(&format!(", until {at}"));
                }
                if document["revoked"] == true {
                    about.push_str(", revoked");
                }
                about
            }
            _ => String::new(),
        };
        let (kind, name) = (text(&document["kind"]), text(&document["name"]));
        vec![kind, name, text(&document["revision"]), about]
    };
    let rows: Vec<Vec<String>> = documents.iter().map(row).collect();
    output::table(&["KIND", "NAME", "REVISION", "ABOUT"], &rows)
}

/// All that is known of each document.
fn yaml(documents: &[Value]) -> String {
    let texts = documents.iter().map(|document| {
        serde_yaml_ng::to_string(document).unwrap_or_else(|_| document.to_string())
    });
    texts.collect::<Vec<_>>().join("---\n")
}
