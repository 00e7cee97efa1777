//! Who may ask: bearer tokens in the metadata `authorization`, and the roles that they have.
//!
//! Promises: what no check lets pass is refused; a token is compared in a time that does not depend
//! on it; only hashes of tokens are looked for. The token of the configuration is an administrator
//! that no registry can take away: with it a cluster begins, and is got back.

use std::sync::Arc;

use quotum_registry::MasterKey;
use quotum_registry::administrator::Role;
use quotum_registry::secret::token::{Token, TokenHash, TokenKind};
use quotum_replica::Node;
use subtle::ConstantTimeEq;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// The tokens that open this node's services.
#[derive(Clone)]
pub(crate) struct Tokens {
    node: Node,
    key: Arc<MasterKey>,
    /// The hash of the configured token.
    configured: TokenHash,
    gateway: Arc<str>,
}

/// The token that gateways show when they watch the registry: whoever has the master key has it.
pub fn gateway_token(key: &MasterKey) -> String {
    key.gateway_token().to_string()
}

// === impl Tokens ===

impl Tokens {
    pub(crate) fn new(admin: &Token, key: Arc<MasterKey>, node: Node) -> Self {
        Self {
            configured: key.token_hash(admin),
            gateway: gateway_token(&key).into(),
            key,
            node,
        }
    }

    /// Lets a caller pass who may look.
    pub(crate) fn viewer(&self, metadata: &MetadataMap) -> Result<(), Status> {
        self.require(metadata, Role::Viewer)
    }

    /// Lets a caller pass who may change servers, policies and grants.
    pub(crate) fn policy_manager(&self, metadata: &MetadataMap) -> Result<(), Status> {
        self.require(metadata, Role::PolicyManager)
    }

    /// Lets a caller pass who may do everything.
    pub(crate) fn admin(&self, metadata: &MetadataMap) -> Result<(), Status> {
        self.require(metadata, Role::Admin)
    }

    /// Lets a gateway pass.
    pub(crate) fn gateway(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let shown = shown(metadata, "the gateways' token")?;
        match bool::from(shown.ct_eq(self.gateway.as_bytes())) {
            true => Ok(()),
            false => Err(Status::unauthenticated(
                "this is not the gateways' token of this cluster",
            )),
        }
    }

    fn require(&self, metadata: &MetadataMap, least: Role) -> Result<(), Status> {
        let unknown = || Status::unauthenticated("this is no admin token of this cluster");
        let shown = shown(metadata, "an admin token")?;
        let token = std::str::from_utf8(shown).ok().map(Token::parse);
        let Some(Ok(token)) = token else {
            return Err(unknown());
        };
        if token.kind() != TokenKind::Admin {
            return Err(unknown());
        }
        let hash = self.key.token_hash(&token);
        if hash.is_same(&self.configured) {
            return Ok(());
        }
        let registry = self.node.registry();
        let found = registry.administrator_with(&hash).ok_or_else(unknown)?;
        match found.role >= least {
            true => Ok(()),
            false => Err(Status::permission_denied(format!(
                "{} has the role {}: this call needs {least}",
                found.name, found.role
            ))),
        }
    }
}

/// What a caller shows.
fn shown<'a>(metadata: &'a MetadataMap, what: &str) -> Result<&'a [u8], Status> {
    let mut values = metadata.get_all("authorization").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Status::unauthenticated(format!(
            "this call needs {what}: authorization: Bearer ..."
        )));
    };
    let shown = value.as_bytes().strip_prefix(b"Bearer ");
    Ok(shown.unwrap_or_default())
}
