//! Applying commands: each change is checked against the state that the changes before it left;
//! the first that is refused undoes them all.

use std::sync::Arc;

use super::State;
use crate::administrator::{Administrator, Role};
use crate::command::{Apply, Change, Command, CredentialChange, Outcome, Reason, Refused};
use crate::grant::{Grant, GrantSpec, PreviousToken};
use crate::limits::{
    ADMINISTRATORS_MAX, CHANGES_MAX, DOCUMENT_BYTES_TOTAL_MAX, GRANTS_MAX, INSTANT_MS_MAX,
    OVERLAP_MS_MAX, POLICIES_MAX, SERVERS_MAX,
};
use crate::name::{GrantId, Name};
use crate::policy::{Document, Policy};
use crate::secret::token::TokenHash;
use crate::server::{Server, ServerSpec};

/// What undoes a change.
enum Undo {
    Server(Name, Option<Arc<Server>>),
    Policy(Name, Option<Arc<Policy>>),
    Grant(GrantId, Option<Arc<Grant>>),
    Administrator(Name, Option<Arc<Administrator>>),
}

/// What a change did; `None`: everything was so already.
type Changed = Result<Option<Undo>, Refused>;

// === impl State ===

impl State {
    /// Makes all the changes of `command`, or none and says why.
    ///
    /// Total: any command has an outcome. A policy document is judged by the `quotum-policy` that
    /// this program was built with.
    pub fn apply(&mut self, command: &Command) -> Outcome {
        let apply = match command {
            Command::Apply(apply) => apply,
            Command::RaiseLevel { level } => return self.raise_level(*level),
        };
        if let Err(refused) = self.check_whole(apply) {
            return Outcome::Refused(refused);
        }
        let mut undo = Vec::new();
        for (index, change) in apply.changes.iter().enumerate() {
            match self.make(change, apply.at_ms) {
                Ok(done) => undo.extend(done),
                Err(refused) => {
                    undo.into_iter().rev().for_each(|step| self.undo(step));
                    return Outcome::Refused(refused.in_change(index));
                }
            }
        }
        if !undo.is_empty() {
            self.revision += 1;
        }
        Outcome::Applied {
            revision: self.revision,
            changed: undo.len(),
        }
    }

    /// Not a revision: nothing changes of what gateways serve.
    fn raise_level(&mut self, level: u32) -> Outcome {
        let is_raised = level > self.feature_level();
        if is_raised {
            self.feature_level = level;
        }
        Outcome::Applied {
            revision: self.revision,
            changed: usize::from(is_raised),
        }
    }

    /// The outcome that [`Self::apply`] would have: for whoever proposes commands.
    pub fn check(&self, command: &Command) -> Outcome {
        self.clone().apply(command)
    }

    fn check_whole(&self, apply: &Apply) -> Result<(), Refused> {
        if apply.changes.len() > CHANGES_MAX {
            let message = format!("a command has at most {CHANGES_MAX} changes");
            return Err(Refused::new(Reason::Invalid, "/changes", message));
        }
        if apply.at_ms > INSTANT_MS_MAX {
            let message = "the instant is past the year 9999";
            return Err(Refused::new(Reason::Invalid, "/at_ms", message));
        }
        match apply.expected_revision {
            Some(expected) if expected != self.revision => Err(Refused::new(
                Reason::Stale,
                "/expected_revision",
                format!(
                    "the registry is at revision {}, not at {expected}",
                    self.revision
                ),
            )),
            _ => Ok(()),
        }
    }

    fn undo(&mut self, step: Undo) {
        match step {
            Undo::Server(name, before) => drop(self.set_server(&name, before)),
            Undo::Policy(name, before) => drop(self.set_policy(&name, before)),
            Undo::Grant(id, before) => drop(self.set_grant(&id, before)),
            Undo::Administrator(name, before) => drop(self.set_administrator(&name, before)),
        }
    }

    fn make(&mut self, change: &Change, at_ms: u64) -> Changed {
        match change {
            Change::PutServer { server, credential } => self.put_server(server, credential),
            Change::DeleteServer { name } => self.delete_server(name),
            Change::PutPolicy { name, document } => self.put_policy(name, document),
            Change::DeletePolicy { name } => self.delete_policy(name),
            Change::PutGrant { grant, token } => self.put_grant(grant, *token),
            Change::RotateGrant {
                id,
                token,
                overlap_ms,
            } => self.rotate_grant(id, *token, at_ms, *overlap_ms),
            Change::RevokeGrant { id } => self.revoke_grant(id),
            Change::DeleteGrant { id } => {
                self.grant_or_refuse(id)?;
                Ok(Some(Undo::Grant(id.clone(), self.set_grant(id, None))))
            }
            Change::CreateAdministrator { name, role, token } => {
                self.create_administrator(name, *role, *token, at_ms)
            }
            Change::DeleteAdministrator { name } => match self.set_administrator(name, None) {
                None => Err(missing("administrator", name.as_str(), "/name")),
                before => Ok(Some(Undo::Administrator(name.clone(), before))),
            },
        }
    }

    fn create_administrator(
        &mut self,
        name: &Name,
        role: Role,
        token: TokenHash,
        at_ms: u64,
    ) -> Changed {
        if self.administrators.contains_key(name) {
            let message = format!("there is an administrator {name} already");
            return Err(Refused::new(Reason::Taken, "/name", message));
        }
        if self.administrators.len() >= ADMINISTRATORS_MAX {
            return Err(full("administrators", ADMINISTRATORS_MAX));
        }
        if self.administrator_with(&token).is_some() {
            let message = "the token was given to an administrator before";
            return Err(Refused::new(Reason::Taken, "/token", message));
        }
        let administrator = Administrator {
            name: name.clone(),
            role,
            token,
            created_at_ms: at_ms,
            revision: self.next_revision(),
        };
        let before = self.set_administrator(name, Some(Arc::new(administrator)));
        Ok(Some(Undo::Administrator(name.clone(), before)))
    }

    /// The revision that a change of this command leaves on what it changes.
    fn next_revision(&self) -> u64 {
        self.revision + 1
    }

    fn put_server(&mut self, spec: &ServerSpec, credential: &CredentialChange) -> Changed {
        spec.check().map_err(|(place, message)| {
            Refused::new(Reason::Invalid, &format!("/server{place}"), message)
        })?;
        let before = self.servers.get(&spec.name);
        if before.is_none() && self.servers.len() >= SERVERS_MAX {
            return Err(full("servers", SERVERS_MAX));
        }
        let held = before.and_then(|server| server.credential.as_ref());
        let credential = match credential {
            CredentialChange::Keep => held.cloned(),
            CredentialChange::Clear => None,
            CredentialChange::Set(sealed) if !sealed.is_within_bounds() => {
                let message = "the sealed credential is too long";
                return Err(Refused::new(Reason::Invalid, "/credential", message));
            }
            CredentialChange::Set(sealed) => match held {
                Some(held) if held.holds_the_same(sealed) => Some(held.clone()),
                _ => Some(sealed.clone()),
            },
        };
        if before.is_some_and(|before| before.spec == *spec && before.credential == credential) {
            return Ok(None);
        }
        let server = Server {
            spec: spec.clone(),
            credential,
            revision: self.next_revision(),
        };
        let before = self.set_server(&spec.name, Some(Arc::new(server)));
        Ok(Some(Undo::Server(spec.name.clone(), before)))
    }

    fn delete_server(&mut self, name: &Name) -> Changed {
        self.server_or_refuse(name, "/name")?;
        match self.index.users_of_server(name) {
            Some(users) => Err(in_use("server", name, &users)),
            None => Ok(Some(Undo::Server(
                name.clone(),
                self.set_server(name, None),
            ))),
        }
    }

    fn put_policy(&mut self, name: &Name, document: &Document) -> Changed {
        let before = self.policies.get(name);
        if before.is_some_and(|before| before.document == *document) {
            return Ok(None);
        }
        if before.is_none() && self.policies.len() >= POLICIES_MAX {
            return Err(full("policies", POLICIES_MAX));
        }
        let replaced = before.map_or(0, |before| before.document.as_str().len());
        let bytes = self.index.document_bytes() - replaced + document.as_str().len();
        if bytes > DOCUMENT_BYTES_TOTAL_MAX {
            return Err(full("bytes of policy documents", DOCUMENT_BYTES_TOTAL_MAX));
        }
        document
            .compile()
            .map_err(|message| Refused::new(Reason::Invalid, "/document", message))?;
        let (name, document) = (name.clone(), document.clone());
        let policy = Policy {
            name: name.clone(),
            document,
            revision: self.next_revision(),
        };
        let before = self.set_policy(&name, Some(Arc::new(policy)));
        Ok(Some(Undo::Policy(name, before)))
    }

    fn delete_policy(&mut self, name: &Name) -> Changed {
        self.policy_or_refuse(name, "/name")?;
        match self.index.users_of_policy(name) {
            Some(users) => Err(in_use("policy", name, &users)),
            None => Ok(Some(Undo::Policy(
                name.clone(),
                self.set_policy(name, None),
            ))),
        }
    }

    fn put_grant(&mut self, spec: &GrantSpec, token: Option<TokenHash>) -> Changed {
        self.check_grant(spec)?;
        let before = self.grants.get(&spec.id);
        if before.is_none() && self.grants.len() >= GRANTS_MAX {
            return Err(full("grants", GRANTS_MAX));
        }
        let held = before.and_then(|grant| grant.token);
        if let (Some(held), Some(token)) = (held, token)
            && !held.is_same(&token)
        {
            let message = format!("grant {} has a token: rotate it", spec.name);
            return Err(Refused::new(Reason::Invalid, "/token", message));
        }
        if let (None, Some(token)) = (held, token) {
            self.check_token_is_free(&token)?;
        }
        let token = held.or(token);
        if before.is_some_and(|before| before.spec == *spec && before.token == token) {
            return Ok(None);
        }
        let grant = Grant {
            spec: spec.clone(),
            token,
            previous: before.and_then(|grant| grant.previous),
            revoked: before.is_some_and(|grant| grant.revoked),
            revision: self.next_revision(),
        };
        let before = self.set_grant(&spec.id, Some(Arc::new(grant)));
        Ok(Some(Undo::Grant(spec.id.clone(), before)))
    }

    fn rotate_grant(
        &mut self,
        id: &GrantId,
        token: TokenHash,
        at_ms: u64,
        overlap_ms: u64,
    ) -> Changed {
        let grant = self.grant_or_refuse(id)?;
        if grant.revoked {
            let message = format!("grant {} is revoked: create another", grant.spec.name);
            return Err(Refused::new(Reason::Invalid, "/id", message));
        }
        if overlap_ms > OVERLAP_MS_MAX {
            let message = format!("a rotated token goes on for at most {OVERLAP_MS_MAX} ms");
            return Err(Refused::new(Reason::Invalid, "/overlap_ms", message));
        }
        if grant.token.is_some_and(|held| held.is_same(&token)) {
            return Ok(None);
        }
        self.check_token_is_free(&token)?;
        let previous = match grant.token {
            Some(hash) if overlap_ms > 0 => Some(PreviousToken {
                hash,
                ends_at_ms: at_ms + overlap_ms,
            }),
            _ => None,
        };
        let revision = self.next_revision();
        let grant = Grant {
            token: Some(token),
            previous,
            revision,
            ..(**grant).clone()
        };
        Ok(Some(Undo::Grant(
            id.clone(),
            self.set_grant(id, Some(Arc::new(grant))),
        )))
    }

    fn revoke_grant(&mut self, id: &GrantId) -> Changed {
        let grant = self.grant_or_refuse(id)?;
        if grant.revoked {
            return Ok(None);
        }
        let revision = self.next_revision();
        let grant = Grant {
            revoked: true,
            revision,
            ..(**grant).clone()
        };
        Ok(Some(Undo::Grant(
            id.clone(),
            self.set_grant(id, Some(Arc::new(grant))),
        )))
    }

    pub(super) fn check_grant(&self, spec: &GrantSpec) -> Result<(), Refused> {
        self.server_or_refuse(&spec.server, "/grant/server")?;
        if let Some(policy) = &spec.policy {
            self.policy_or_refuse(policy, "/grant/policy")?;
        }
        if self.taken_by(&spec.name).is_some_and(|id| *id != spec.id) {
            let message = format!("another grant is called {}", spec.name);
            return Err(Refused::new(Reason::Taken, "/grant/name", message));
        }
        match spec.expires_at_ms {
            Some(at) if at > INSTANT_MS_MAX => Err(Refused::new(
                Reason::Invalid,
                "/grant/expires_at_ms",
                "a grant expires before the year 10000, or never",
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn check_token_is_free(&self, token: &TokenHash) -> Result<(), Refused> {
        match self.grant_with(token) {
            Some(_) => Err(Refused::new(
                Reason::Taken,
                "/token",
                "the token was given to a grant before",
            )),
            None => Ok(()),
        }
    }

    fn server_or_refuse(&self, name: &Name, place: &str) -> Result<&Arc<Server>, Refused> {
        self.servers
            .get(name)
            .ok_or_else(|| missing("server", name.as_str(), place))
    }

    fn policy_or_refuse(&self, name: &Name, place: &str) -> Result<&Arc<Policy>, Refused> {
        self.policies
            .get(name)
            .ok_or_else(|| missing("policy", name.as_str(), place))
    }

    fn grant_or_refuse(&self, id: &GrantId) -> Result<&Arc<Grant>, Refused> {
        self.grants
            .get(id)
            .ok_or_else(|| missing("grant with the id", id.as_str(), "/id"))
    }
}

fn missing(kind: &str, name: &str, place: &str) -> Refused {
    Refused::new(Reason::Missing, place, format!("there is no {kind} {name}"))
}

fn in_use(kind: &str, name: &Name, users: &str) -> Refused {
    Refused::new(
        Reason::InUse,
        "/name",
        format!("{kind} {name} is used by {users}"),
    )
}

fn full(things: &str, maximum: usize) -> Refused {
    Refused::new(
        Reason::Full,
        "",
        format!("a registry holds at most {maximum} {things}"),
    )
}
