//! What the tests of this crate build their registries from.

use crate::command::{Change, Command, CredentialChange, Outcome};
use crate::grant::GrantSpec;
use crate::name::{GrantId, GrantName, Name};
use crate::policy::Document;
use crate::secret::MasterKey;
use crate::secret::credential::{Headers, SealedCredential};
use crate::secret::sealing::SealNonce;
use crate::secret::token::{Token, TokenHash, TokenKind};
use crate::server::ServerSpec;
use crate::state::State;
use crate::upstream::Upstream;

pub(crate) fn key() -> MasterKey {
    MasterKey::from_bytes(b"a master key of thirty-two bytes").unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn id(text: &str) -> GrantId {
    GrantId::new(text).unwrap()
}

pub(crate) fn token(number: u8) -> Token {
    Token::from_random(TokenKind::Grant, &[number; 32])
}

pub(crate) fn hash(number: u8) -> TokenHash {
    key().token_hash(&token(number))
}

/// A policy document that allows `max` calls a minute.
pub(crate) fn document(max: u64) -> Document {
    Document::new(&format!(
        r#"{{"version":"1","default":"allow","all_tools":{{"limits":[
            {{"counter":"calls","window":"minute","max":{max},"scope":"grant"}}]}}}}"#
    ))
}

pub(crate) fn server(text: &str) -> ServerSpec {
    ServerSpec::new(name(text), Upstream::new("http://127.0.0.1:9/mcp").unwrap())
}

pub(crate) fn put_server(text: &str) -> Change {
    Change::PutServer {
        server: server(text),
        credential: CredentialChange::Keep,
    }
}

pub(crate) fn put_policy(text: &str, max: u64) -> Change {
    Change::PutPolicy {
        name: name(text),
        document: document(max),
    }
}

pub(crate) fn grant(text: &str, server: &str, policy: Option<&str>) -> GrantSpec {
    GrantSpec {
        id: id(&format!("id-{text}")),
        name: GrantName::new(text).unwrap(),
        server: name(server),
        policy: policy.map(name),
        expires_at_ms: None,
    }
}

pub(crate) fn put_grant(text: &str, server: &str, policy: Option<&str>) -> Change {
    Change::PutGrant {
        grant: grant(text, server, policy),
        token: None,
    }
}

pub(crate) fn sealed(key: &MasterKey, nonce: u8, server: &str, value: &str) -> SealedCredential {
    let headers = Headers::new([("authorization", value)]).unwrap();
    SealedCredential::seal(key, SealNonce([nonce; 12]), &name(server), &headers).unwrap()
}

pub(crate) const NOW: u64 = 1_800_000_000_000;

/// Applies what must not be refused, and gives how much it changed.
pub(crate) fn applied(state: &mut State, changes: Vec<Change>) -> usize {
    match state.apply(&Command::apply(NOW, changes)) {
        Outcome::Applied { revision, changed } => {
            assert_eq!(revision, state.revision());
            changed
        }
        Outcome::Refused(refused) => panic!("refused: {refused}"),
    }
}

pub(crate) fn populated() -> State {
    let mut state = State::new();
    let changes = vec![
        put_server("demo"),
        put_policy("strict", 3),
        put_grant("alice", "demo", Some("strict")),
    ];
    assert_eq!(applied(&mut state, changes), 3);
    state
}
