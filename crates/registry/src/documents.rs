//! Documents: servers, policies and grants as operators write them, in files kept beside code.
//!
//! Promises: what is not understood is refused with the document, the place in it and the nearest
//! known name; no document holds a secret: credentials are named by where they are found, grants
//! have no tokens. Reads no files: YAML and JSON arrive as values.
//!
//! # Layout
//! * [`plan`]: the changes that lead from a state to the documents, and how they read.
//! * [`timestamp`]: instants as text.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::limits::DOCUMENTS_MAX;
use crate::name::{GrantName, Name};
use crate::policy::Document;
use crate::server::ServerSpec;

mod difference;
mod members;
mod parse;
pub mod plan;
pub mod timestamp;

#[cfg(test)]
mod tests;

/// What a set of documents asks for: each name once per kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Documents {
    pub servers: BTreeMap<Name, ServerDocument>,
    pub policies: BTreeMap<Name, Document>,
    pub grants: BTreeMap<GrantName, GrantDocument>,
}

/// A document of the kind `Server`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerDocument {
    pub spec: ServerSpec,
    pub credential: CredentialSource,
}

/// What a document says of its server's credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// Nothing: it stays as it is.
    Unsaid,
    /// That there is none.
    Empty,
    /// Its headers, by lower-case name, and where their values are found.
    Headers(BTreeMap<String, SecretSource>),
}

/// Where the value of a header is found by whoever applies the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A variable of the environment.
    Env(String),
    /// A file.
    File(String),
}

/// A document of the kind `Grant`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantDocument {
    pub server: Name,
    pub policy: Option<Name>,
    pub expires_at_ms: Option<u64>,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DocumentError {
    /// Which document, counted from 0.
    pub document: usize,
    /// Where in it: a JSON pointer, empty for the whole.
    pub place: String,
    pub message: String,
}

// === impl Documents ===

impl Documents {
    /// Reads one value for each document. Gives the first fault of each document that has one.
    pub fn parse(values: &[Value]) -> Result<Self, Vec<DocumentError>> {
        if values.len() > DOCUMENTS_MAX {
            return Err(vec![DocumentError {
                document: DOCUMENTS_MAX,
                place: String::new(),
                message: format!("at most {DOCUMENTS_MAX} documents are applied at once"),
            }]);
        }
        let mut documents = Self::default();
        let mut errors = Vec::new();
        for (document, value) in values.iter().enumerate() {
            if let Err(fault) = documents.add(value) {
                let (place, message) = (fault.place, fault.message);
                errors.push(DocumentError {
                    document,
                    place,
                    message,
                });
            }
        }
        match errors.is_empty() {
            true => Ok(documents),
            false => Err(errors),
        }
    }
}

// === impl DocumentError ===

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.is_empty() {
            true => write!(f, "document {}: {}", self.document, self.message),
            false => write!(
                f,
                "document {} at {}: {}",
                self.document, self.place, self.message
            ),
        }
    }
}
