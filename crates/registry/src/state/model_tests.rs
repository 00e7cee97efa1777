//! Random commands against a naive model: plain maps, copied whole before each command.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::administrator::Role;
use crate::command::{Change, Command, CredentialChange, Outcome};
use crate::grant::GrantSpec;
use crate::name::{GrantId, GrantName, Name};
use crate::policy::Document;
use crate::sample::{document, hash, id, name, server};
use crate::secret::token::TokenHash;
use crate::server::ServerSpec;
use crate::state::State;
use crate::upstream::Upstream;

/// What is compared: no revisions, no credentials.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    servers: BTreeMap<Name, ServerSpec>,
    policies: BTreeMap<Name, Document>,
    grants: BTreeMap<GrantId, ModelGrant>,
    administrators: BTreeMap<Name, (Role, TokenHash)>,
}

#[derive(Debug, Clone, PartialEq)]
struct ModelGrant {
    spec: GrantSpec,
    token: Option<TokenHash>,
    previous: Option<(TokenHash, u64)>,
    revoked: bool,
}

// === impl Model ===

impl Model {
    /// Whether the changes are made; if not, nothing is.
    fn apply(&mut self, at_ms: u64, changes: &[Change]) -> bool {
        let mut next = self.clone();
        let is_made = changes
            .iter()
            .all(|change| next.make(at_ms, change).is_some());
        if is_made {
            *self = next;
        }
        is_made
    }

    fn knows(&self, token: &TokenHash) -> bool {
        self.grants.values().any(|grant| {
            grant.token == Some(*token) || grant.previous.is_some_and(|(hash, _)| hash == *token)
        })
    }

    fn make(&mut self, at_ms: u64, change: &Change) -> Option<()> {
        match change {
            Change::PutServer { server, .. } => {
                self.servers.insert(server.name.clone(), server.clone());
            }
            Change::DeleteServer { name } => {
                let is_used = self.grants.values().any(|grant| grant.spec.server == *name);
                (!is_used).then_some(())?;
                self.servers.remove(name)?;
            }
            Change::PutPolicy { name, document } => {
                document.compile().ok()?;
                self.policies.insert(name.clone(), document.clone());
            }
            Change::DeletePolicy { name } => {
                let mut used = self
                    .grants
                    .values()
                    .filter_map(|grant| grant.spec.policy.as_ref());
                (!used.any(|used| used == name)).then_some(())?;
                self.policies.remove(name)?;
            }
            Change::PutGrant { grant: spec, token } => self.put_grant(spec, *token)?,
            Change::RotateGrant {
                id,
                token,
                overlap_ms,
            } => {
                let (held, revoked) = self.grants.get(id).map(|g| (g.token, g.revoked))?;
                (!revoked).then_some(())?;
                if held == Some(*token) {
                    return Some(());
                }
                (!self.knows(token)).then_some(())?;
                let grant = self.grants.get_mut(id)?;
                let ends_at_ms = at_ms + overlap_ms;
                grant.previous = held
                    .filter(|_| *overlap_ms > 0)
                    .map(|held| (held, ends_at_ms));
                grant.token = Some(*token);
            }
            Change::RevokeGrant { id } => self.grants.get_mut(id)?.revoked = true,
            Change::DeleteGrant { id } => drop(self.grants.remove(id)?),
            Change::CreateAdministrator { name, role, token } => {
                let mut others = self.administrators.iter();
                let is_taken = others.any(|(taken, (_, held))| taken == name || held == token);
                (!is_taken).then_some(())?;
                self.administrators.insert(name.clone(), (*role, *token));
            }
            Change::DeleteAdministrator { name } => drop(self.administrators.remove(name)?),
        }
        Some(())
    }

    fn put_grant(&mut self, spec: &GrantSpec, token: Option<TokenHash>) -> Option<()> {
        self.servers.get(&spec.server)?;
        if let Some(policy) = &spec.policy {
            self.policies.get(policy)?;
        }
        let twin = |grant: &ModelGrant| grant.spec.name == spec.name && grant.spec.id != spec.id;
        (!self.grants.values().any(twin)).then_some(())?;
        let held = self.grants.get(&spec.id).cloned();
        let held_token = held.as_ref().and_then(|grant| grant.token);
        match (held_token, token) {
            (Some(held), Some(token)) => (held == token).then_some(())?,
            (None, Some(token)) => (!self.knows(&token)).then_some(())?,
            _ => {}
        }
        let grant = ModelGrant {
            spec: spec.clone(),
            token: held_token.or(token),
            previous: held.as_ref().and_then(|grant| grant.previous),
            revoked: held.is_some_and(|grant| grant.revoked),
        };
        self.grants.insert(spec.id.clone(), grant);
        Some(())
    }

    fn of(state: &State) -> Self {
        let grants = state.grants().map(|grant| {
            let model = ModelGrant {
                spec: grant.spec.clone(),
                token: grant.token,
                previous: grant
                    .previous
                    .map(|previous| (previous.hash, previous.ends_at_ms)),
                revoked: grant.revoked,
            };
            (grant.spec.id.clone(), model)
        });
        Self {
            servers: state
                .servers()
                .map(|s| (s.spec.name.clone(), s.spec.clone()))
                .collect(),
            policies: state
                .policies()
                .map(|p| (p.name.clone(), p.document.clone()))
                .collect(),
            grants: grants.collect(),
            administrators: state
                .administrators()
                .map(|one| (one.name.clone(), (one.role, one.token)))
                .collect(),
        }
    }
}

fn names() -> impl Strategy<Value = Name> {
    (0..4u8).prop_map(|number| name(&format!("n{number}")))
}

fn ids() -> impl Strategy<Value = GrantId> {
    (0..5u8).prop_map(|number| id(&format!("i{number}")))
}

fn tokens() -> impl Strategy<Value = TokenHash> {
    (0..8u8).prop_map(hash)
}

fn grants() -> impl Strategy<Value = GrantSpec> {
    let expiry = proptest::option::of(0..3u64);
    (
        ids(),
        0..5u8,
        names(),
        proptest::option::of(names()),
        expiry,
    )
        .prop_map(|(id, number, server, policy, expires_at_ms)| GrantSpec {
            id,
            name: GrantName::new(&format!("g{number}")).unwrap(),
            server,
            policy,
            expires_at_ms,
        })
}

fn changes() -> impl Strategy<Value = Change> {
    let put_server = (names(), 0..3u8).prop_map(|(name, number)| {
        let mut server = server(name.as_str());
        server.url = Upstream::new(&format!("http://h{number}/")).unwrap();
        Change::PutServer {
            server,
            credential: CredentialChange::Keep,
        }
    });
    let put_policy = (names(), 0..12u64).prop_map(|(name, max)| {
        let document = if max == 0 {
            Document::new("{}")
        } else {
            document(max)
        };
        Change::PutPolicy { name, document }
    });
    prop_oneof![
        4 => put_server,
        4 => put_policy,
        1 => names().prop_map(|name| Change::DeleteServer { name }),
        1 => names().prop_map(|name| Change::DeletePolicy { name }),
        6 => (grants(), proptest::option::of(tokens()))
            .prop_map(|(grant, token)| Change::PutGrant { grant, token }),
        3 => (ids(), tokens(), 0..3u64)
            .prop_map(|(id, token, overlap_ms)| Change::RotateGrant { id, token, overlap_ms }),
        1 => ids().prop_map(|id| Change::RevokeGrant { id }),
        1 => ids().prop_map(|id| Change::DeleteGrant { id }),
        2 => (names(), proptest::sample::select(&Role::ALL[..]), tokens())
            .prop_map(|(name, role, token)| Change::CreateAdministrator { name, role, token }),
        1 => names().prop_map(|name| Change::DeleteAdministrator { name }),
    ]
}

/// Everything that must hold of any state, from outside.
fn assert_consistent(state: &State) {
    let mut names = std::collections::BTreeSet::new();
    for grant in state.grants() {
        assert!(
            state.server(grant.spec.server.as_str()).is_some(),
            "{grant:?}"
        );
        let policy = grant.spec.policy.as_ref();
        assert!(
            policy.is_none_or(|name| state.policy(name.as_str()).is_some()),
            "{grant:?}"
        );
        assert!(names.insert(&grant.spec.name), "{grant:?}");
        assert!(grant.revision <= state.revision());
        assert_eq!(state.grant_named(grant.spec.name.as_str()).unwrap(), grant);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn random_commands_do_what_the_naive_model_does(
        commands in proptest::collection::vec(proptest::collection::vec(changes(), 0..5), 1..40)
    ) {
        let (mut state, mut replica, mut model) = (State::new(), State::new(), Model::default());
        for (at_ms, changes) in (0u64..).zip(commands) {
            let before = (state.revision(), state.encode());
            let command = Command::apply(at_ms, changes.clone());
            let outcome = state.apply(&command);

            let repeated = replica.apply(&Command::decode(&command.encode()).unwrap());
            prop_assert_eq!(&outcome, &repeated);
            prop_assert_eq!(state.encode(), replica.encode());

            let is_made = model.apply(at_ms, &changes);
            prop_assert_eq!(matches!(outcome, Outcome::Applied { .. }), is_made);
            prop_assert_eq!(&Model::of(&state), &model);
            match outcome {
                Outcome::Applied { revision, changed } => {
                    prop_assert_eq!(revision, before.0 + u64::from(changed > 0));
                    prop_assert_eq!(revision, state.revision());
                }
                Outcome::Refused(_) => prop_assert_eq!(state.encode(), before.1),
            }
            assert_consistent(&state);

            // A replica that starts from a snapshot goes on with the same bytes.
            replica = State::decode(&state.encode()).unwrap();
            prop_assert_eq!(&replica, &state);
        }
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(State::decode(&bytes).is_err());
        prop_assert!(Command::decode(&bytes).is_err());
    }

    #[test]
    fn no_changed_byte_makes_decoding_panic(place in 0usize..10_000, byte in any::<u8>()) {
        let mut state = State::new();
        state.apply(&Command::apply(1, vec![
            crate::sample::put_server("a"),
            crate::sample::put_policy("p", 1),
            crate::sample::put_grant("g", "a", Some("p")),
        ]));
        let mut bytes = state.encode();
        let place = place % bytes.len();
        bytes[place] = byte;
        if let Ok(decoded) = State::decode(&bytes) {
            assert_consistent(&decoded);
        }
    }
}
