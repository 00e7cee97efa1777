//! Who may ask: bearer tokens in the metadata `authorization`.

use quotum_registry::MasterKey;
use quotum_registry::secret::token::Token;
use subtle::ConstantTimeEq;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// The tokens that open this node's services.
#[derive(Clone)]
pub(crate) struct Tokens {
    admin: String,
    gateway: String,
}

/// The token that gateways show when they watch the registry: whoever has the master key has it.
pub fn gateway_token(key: &MasterKey) -> String {
    key.gateway_token().to_string()
}

// === impl Tokens ===

impl Tokens {
    pub(crate) fn new(admin: &Token, key: &MasterKey) -> Self {
        Self {
            admin: admin.as_str().to_owned(),
            gateway: gateway_token(key),
        }
    }

    /// Lets a caller with the admin token pass.
    pub(crate) fn admin(&self, metadata: &MetadataMap) -> Result<(), Status> {
        check(metadata, &self.admin, "an admin token")
    }

    /// Lets a gateway pass.
    pub(crate) fn gateway(&self, metadata: &MetadataMap) -> Result<(), Status> {
        check(metadata, &self.gateway, "the gateways' token")
    }
}

fn check(metadata: &MetadataMap, wanted: &str, what: &str) -> Result<(), Status> {
    let mut values = metadata.get_all("authorization").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Status::unauthenticated(format!(
            "this call needs {what}: authorization: Bearer ..."
        )));
    };
    let shown = value
        .as_bytes()
        .strip_prefix(b"Bearer ")
        .unwrap_or_default();
    match bool::from(shown.ct_eq(wanted.as_bytes())) {
        true => Ok(()),
        false => Err(Status::unauthenticated(format!(
            "this is not {what} of this cluster"
        ))),
    }
}
