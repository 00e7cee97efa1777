//! Documents: read from files of YAML or JSON, with the secrets that they point to.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use quotum_api::registry::Credential;
use quotum_policy::json::{self, Bounds};
use quotum_registry::documents::{CredentialSource, Documents, SecretSource};
use serde::Deserialize;
use serde_json::Value;

use crate::environment::Environment;
use crate::failure::Failure;
use crate::files;
use crate::limits::DOCUMENTS_BYTES_MAX;

#[cfg(test)]
mod tests;

/// What is sent to the registry.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    pub(crate) values: Vec<Value>,
    pub(crate) credentials: HashMap<String, Credential>,
}

/// A document and where it stands.
struct Placed {
    value: Value,
    place: String,
}

/// As deep as a policy in a document; as many values as a folder of documents may have.
const JSON_BOUNDS: Bounds = Bounds {
    bytes: DOCUMENTS_BYTES_MAX as usize,
    values: 10_000_000,
    ..Bounds::DOCUMENT
};

/// Stands for standard input.
const STDIN: &str = "-";

/// Reads and checks all documents of `paths`.
pub(crate) fn load(paths: &[PathBuf], environment: &Environment) -> Result<Bundle, Failure> {
    let mut placed = Vec::new();
    for path in paths {
        if path == Path::new(STDIN) {
            let mut text = String::new();
            std::io::stdin()
                .take(DOCUMENTS_BYTES_MAX)
                .read_to_string(&mut text)
                .map_err(|error| Failure::usage("standard input").because(&error))?;
            placed.extend(parse(&text, "standard input", false)?);
            continue;
        }
        for file in files::find(path, &["yaml", "yml", "json"])? {
            let place = file.display().to_string();
            let text = files::read_text(&file, DOCUMENTS_BYTES_MAX)
                .map_err(|error| Failure::usage(&place).because(&error))?;
            let is_json = file.extension().is_some_and(|ending| ending == "json");
            placed.extend(parse(&text, &place, is_json)?);
        }
    }
    let (values, places): (Vec<Value>, Vec<String>) = placed
        .into_iter()
        .map(|placed| (placed.value, placed.place))
        .unzip();
    let documents = Documents::parse(&values).map_err(|errors| {
        let line = |error: &quotum_registry::documents::DocumentError| {
            let place = places
                .get(error.document)
                .map_or("documents", String::as_str);
            match error.place.is_empty() {
                true => format!("{place}: {}", error.message),
                false => format!("{place} at {}: {}", error.place, error.message),
            }
        };
        let lines: Vec<String> = errors.iter().map(line).collect();
        Failure::usage(lines.join("\n"))
    })?;
    let credentials = credentials(&documents, environment)?;
    Ok(Bundle {
        values,
        credentials,
    })
}

/// The documents of one text. In JSON an array is many documents.
fn parse(text: &str, place: &str, is_json: bool) -> Result<Vec<Placed>, Failure> {
    let values = match is_json {
        true => vec![parse_json(text, place)?],
        false => parse_yaml(text, place)?,
    };
    let values = values.into_iter().flat_map(|value| match value {
        Value::Array(elements) => elements,
        // A separator with nothing after it.
        Value::Null => Vec::new(),
        one => vec![one],
    });
    let placed = (1..).zip(values).map(|(number, value)| Placed {
        value,
        place: format!("{place}, document {number}"),
    });
    Ok(placed.collect())
}

fn parse_json(text: &str, place: &str) -> Result<Value, Failure> {
    // By way of a reader that refuses a member that stands twice.
    if let Err(error) = json::read(text.as_bytes(), JSON_BOUNDS) {
        let line = text.as_bytes()[..error.at.min(text.len())]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        let place = format!("{place}, line {}", line + 1);
        return Err(Failure::usage(format!("{place}: {}", error.fault)));
    }
    serde_json::from_str(text).map_err(|error| Failure::usage(place).because(&error))
}

fn parse_yaml(text: &str, place: &str) -> Result<Vec<Value>, Failure> {
    let refused = |error: &dyn std::error::Error| Failure::usage(place).because(error);
    let mut values = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        // By way of YAML's own value, which refuses a member that stands twice.
        let value = serde_yaml_ng::Value::deserialize(document).map_err(|error| refused(&error))?;
        values.push(serde_json::to_value(value).map_err(|error| refused(&error))?);
    }
    Ok(values)
}

/// The secrets that the documents point to, by server.
fn credentials(
    documents: &Documents,
    environment: &Environment,
) -> Result<HashMap<String, Credential>, Failure> {
    let mut credentials = BTreeMap::new();
    for (name, server) in &documents.servers {
        let CredentialSource::Headers(sources) = &server.credential else {
            continue;
        };
        let mut headers = HashMap::new();
        for (header, source) in sources {
            let missing = |what: String| {
                Failure::usage(format!(
                    "the credential of server {name}, header {header}: {what}"
                ))
            };
            let value = match source {
                SecretSource::Env(variable) => environment
                    .get(variable)
                    .ok_or_else(|| missing(format!("the variable {variable} is not set")))?
                    .to_owned(),
                SecretSource::File(path) => {
                    let text = crate::secrets::read(Path::new(path))
                        .map_err(|error| missing(path.clone()).because(&error))?;
                    text.trim_end_matches(['\r', '\n']).to_owned()
                }
            };
            headers.insert(header.clone(), value);
        }
        credentials.insert(name.to_string(), Credential { headers });
    }
    Ok(credentials.into_iter().collect())
}
