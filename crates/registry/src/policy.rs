//! Policies: documents with a name. What they say is the business of `quotum-policy`.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::DOCUMENT_BYTES_MAX;
use crate::name::Name;

/// A policy as the registry holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub name: Name,
    pub document: Document,
    /// The registry revision of its last change.
    pub revision: u64,
}

/// The text of a policy document, as it was applied. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document(Arc<str>);

// === impl Document ===

impl Document {
    /// Takes any text: [`Self::compile`] tells whether it is a policy.
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The policy that the text says, or the sentence that says why it is none.
    pub fn compile(&self) -> Result<quotum_policy::Policy, String> {
        if self.0.len() > DOCUMENT_BYTES_MAX {
            return Err(format!(
                "a policy document has at most {DOCUMENT_BYTES_MAX} bytes"
            ));
        }
        quotum_policy::Policy::parse(self.0.as_bytes()).map_err(|error| error.to_string())
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Arc::from(text)))
    }
}
