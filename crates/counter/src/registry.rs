//! `quotum.registry.v1`: servers, grants and policies, for administrators and gateways.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use quotum_api::registry as wire;
use quotum_api::registry::registry_client::RegistryClient;
use quotum_api::registry::registry_server::{Registry, RegistryServer};
use quotum_policy::json::{self, Bounds};
use quotum_registry::administrator::RoleError;
use quotum_registry::documents::Documents;
use quotum_registry::documents::plan::{Plan, Unmentioned};
use quotum_registry::grant::GrantSpec;
use quotum_registry::limits::COMMAND_BYTES_MAX;
use quotum_registry::name::{GrantId, GrantName, Name};
use quotum_registry::secret::credential::{Headers, SealedCredential};
use quotum_registry::secret::sealing::SealNonce;
use quotum_registry::secret::token::{Token, TokenKind};
use quotum_registry::{Change, Command, MasterKey, Outcome, State};
use quotum_replica::{Channels, Node, ProposeError, ShardId};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

mod render;
mod watch;

use crate::auth::Tokens;
use crate::caller::Port;
use crate::limits::{DOCUMENT_VALUES_MAX, FORWARD_DEADLINE, OVERLAP_MS_MAX, REGISTRY_BYTES_MAX};
use crate::server::Random;

/// The metadata that says that a request was passed on already.
const FORWARDED: &str = "quotum-forwarded";

/// Serves administrators of the registry, and the gateways.
#[derive(Clone)]
pub(crate) struct RegistryService {
    /// Where it is served.
    port: Port,
    node: Node,
    tokens: Tokens,
    key: Arc<MasterKey>,
    leaders: Arc<Channels>,
    random: Random,
}

/// Asks the leader in place of this node, where it does not lead the registry.
macro_rules! at_leader {
    ($service:expr, $request:expr, $method:ident) => {
        if let Some((mut client, request)) =
            $service.pass_on($request.metadata(), $request.get_ref())?
        {
            let answer = tokio::time::timeout(FORWARD_DEADLINE, client.$method(request)).await;
            return answer
                .unwrap_or_else(|_| Err(Status::unavailable("the leader did not answer")));
        }
    };
}

// === impl RegistryService ===

impl RegistryService {
    pub(crate) fn new(
        node: Node,
        tokens: Tokens,
        key: Arc<MasterKey>,
        leaders: Arc<Channels>,
        random: Random,
    ) -> Self {
        Self {
            port: Port::Clients,
            node,
            tokens,
            key,
            leaders,
            random,
        }
    }

    /// The same for other nodes, which pass on what their clients ask.
    pub(crate) fn of_peers(self) -> Self {
        Self {
            port: Port::Peers,
            ..self
        }
    }

    pub(crate) fn server(self) -> RegistryServer<Self> {
        RegistryServer::new(self)
            .max_decoding_message_size(REGISTRY_BYTES_MAX)
            .max_encoding_message_size(REGISTRY_BYTES_MAX)
    }

    /// The client of the leader and the request for it; none if this node leads.
    #[expect(clippy::type_complexity, reason = "said once, used by the macro above")]
    fn pass_on<T: Clone>(
        &self,
        metadata: &MetadataMap,
        message: &T,
    ) -> Result<Option<(RegistryClient<tonic::transport::Channel>, Request<T>)>, Status> {
        let leader = self.node.leader(ShardId::REGISTRY);
        let (id, member) = leader
            .ok_or_else(|| Status::unavailable("the registry has no leader at the moment"))?;
        if id == self.node.id() {
            return Ok(None);
        }
        // What only a node may say is not heard from a client.
        if self.port == Port::Peers && metadata.contains_key(FORWARDED) {
            return Err(Status::unavailable(
                "the leader of the registry is changing",
            ));
        }
        let channel = self.leaders.get(&member.peer_address);
        let channel = channel.map_err(|_| Status::unavailable("the leader cannot be reached"))?;
        let client = RegistryClient::new(channel)
            .max_decoding_message_size(REGISTRY_BYTES_MAX)
            .max_encoding_message_size(REGISTRY_BYTES_MAX);
        let mut request = Request::new(message.clone());
        if let Some(authorization) = metadata.get("authorization") {
            request
                .metadata_mut()
                .insert("authorization", authorization.clone());
        }
        let yes = tonic::metadata::MetadataValue::from_static("1");
        request.metadata_mut().insert(FORWARDED, yes);
        Ok(Some((client, request)))
    }

    async fn latest(&self) -> Result<State, Status> {
        self.node.registry_latest().await.map_err(not_proposed)
    }

    fn draw<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// Makes changes, or says what is wrong with them.
    async fn change(
        &self,
        changes: Vec<Change>,
        expected_revision: Option<u64>,
    ) -> Result<u64, Status> {
        let at_ms = self.node.now_ms();
        let command = Command::Apply(quotum_registry::command::Apply {
            at_ms,
            expected_revision,
            changes,
        });
        let bytes_max = COMMAND_BYTES_MAX.min(self.node.entry_bytes_max());
        if command.encode().len() > bytes_max {
            return Err(Status::invalid_argument(format!(
                "one change of the registry has at most {bytes_max} bytes: apply fewer documents at a time"
            )));
        }
        // Before it is proposed: what is refused costs no entry of the log.
        if let Outcome::Refused(refused) = self.node.registry().check(&command) {
            return Err(refusal(&refused));
        }
        match self
            .node
            .change_registry(&command)
            .await
            .map_err(not_proposed)?
        {
            Outcome::Applied { revision, .. } => Ok(revision),
            Outcome::Refused(refused) => Err(refusal(&refused)),
        }
    }

    fn plan(&self, state: &State, request: &wire::ApplyRequest) -> Result<Plan, Status> {
        let values = values(&request.documents_json)?;
        let documents = Documents::parse(&values).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Status::invalid_argument(lines.join("\n"))
        })?;
        let mut sealed = BTreeMap::new();
        for (server, credential) in &request.credentials {
            let place = format!("credentials[{server:?}]");
            let invalid = |error: &dyn std::fmt::Display| {
                Status::invalid_argument(format!("{place}: {error}"))
            };
            let name = Name::new(server).map_err(|error| invalid(&error))?;
            let pairs = credential
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            let headers = Headers::new(pairs).map_err(|error| invalid(&error))?;
            let nonce = SealNonce(self.draw());
            let seal = SealedCredential::seal(&self.key, nonce, &name, &headers);
            sealed.insert(name, seal.map_err(|error| invalid(&error))?);
        }
        let unmentioned = match request.prune {
            true => Unmentioned::Delete,
            false => Unmentioned::Keep,
        };
        Plan::new(state, &documents, unmentioned, &sealed, &mut || {
            GrantId::from_random(self.draw())
        })
        .map_err(|error| Status::invalid_argument(error.to_string()))
    }

    /// The grant of a name.
    async fn grant_id(&self, name: &str) -> Result<GrantId, Status> {
        let state = self.latest().await?;
        let grant = state.grant_named(name);
        let grant = grant.ok_or_else(|| Status::not_found(format!("there is no grant {name}")))?;
        Ok(grant.spec.id.clone())
    }
}

/// Documents as they come in. A member that stands twice is refused here as well: whoever wrote it
/// twice means one thing, and would get another.
fn values(documents_json: &[u8]) -> Result<Vec<serde_json::Value>, Status> {
    let bounds = Bounds {
        bytes: REGISTRY_BYTES_MAX,
        values: DOCUMENT_VALUES_MAX,
        // The list of documents, and the document that a policy is in.
        depth: Bounds::DOCUMENT.depth + 2,
    };
    if let Err(error) = json::read(documents_json, bounds) {
        return Err(invalid(
            &format!("documents_json at {}", error.pointer),
            error.fault,
        ));
    }
    serde_json::from_slice(documents_json).map_err(|error| invalid("documents_json", error))
}

fn not_proposed(error: ProposeError) -> Status {
    match error {
        ProposeError::Unknown => Status::unknown(
            "the change may have been made or not: look with `quotum get`, then try again",
        ),
        other => Status::unavailable(other.to_string()),
    }
}

fn refusal(refused: &quotum_registry::Refused) -> Status {
    use quotum_registry::command::Reason;
    let text = refused.to_string();
    match refused.reason {
        Reason::Invalid => Status::invalid_argument(text),
        Reason::Missing => Status::not_found(text),
        Reason::Taken => Status::already_exists(text),
        Reason::InUse => Status::failed_precondition(text),
        Reason::Full => Status::resource_exhausted(text),
        Reason::Stale => Status::aborted(text),
    }
}

fn invalid(place: &str, error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{place}: {error}"))
}

#[tonic::async_trait]
impl Registry for RegistryService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<wire::WatchResponse, Status>> + Send>>;

    async fn apply(
        &self,
        request: Request<wire::ApplyRequest>,
    ) -> Result<Response<wire::ApplyResponse>, Status> {
        self.tokens.policy_manager(request.metadata())?;
        at_leader!(self, request, apply);
        let request = request.into_inner();
        let state = self.latest().await?;
        let plan = self.plan(&state, &request)?;
        if plan.is_empty() {
            let revision = state.revision();
            return Ok(Response::new(wire::ApplyResponse {
                revision,
                changes: Vec::new(),
            }));
        }
        // What was planned holds for this revision only.
        let expected = match request.expected_revision {
            0 => state.revision(),
            revision => revision,
        };
        let revision = self.change(plan.changes, Some(expected)).await?;
        Ok(Response::new(wire::ApplyResponse {
            revision,
            changes: plan.lines,
        }))
    }

    async fn plan(
        &self,
        request: Request<wire::ApplyRequest>,
    ) -> Result<Response<wire::PlanResponse>, Status> {
        self.tokens.viewer(request.metadata())?;
        at_leader!(self, request, plan);
        let state = self.latest().await?;
        let plan = RegistryService::plan(self, &state, request.get_ref())?;
        let revision = state.revision();
        Ok(Response::new(wire::PlanResponse {
            revision,
            changes: plan.lines,
        }))
    }

    async fn get(
        &self,
        request: Request<wire::GetRequest>,
    ) -> Result<Response<wire::GetResponse>, Status> {
        self.tokens.viewer(request.metadata())?;
        at_leader!(self, request, get);
        let wire::GetRequest { kind, name } = request.into_inner();
        let state = self.latest().await?;
        let documents = render::documents(&state, &kind, &name)?;
        let documents_json = serde_json::to_vec(&documents)
            .map_err(|error| Status::internal(error.to_string()))?
            .into();
        Ok(Response::new(wire::GetResponse {
            revision: state.revision(),
            documents_json,
        }))
    }

    async fn create_grant(
        &self,
        request: Request<wire::CreateGrantRequest>,
    ) -> Result<Response<wire::GrantResponse>, Status> {
        self.tokens.policy_manager(request.metadata())?;
        at_leader!(self, request, create_grant);
        let wire::CreateGrantRequest {
            name,
            server,
            policy,
            expires_at_ms,
        } = request.into_inner();
        let policy = (!policy.is_empty()).then(|| Name::new(&policy)).transpose();
        let spec = GrantSpec {
            id: GrantId::from_random(self.draw()),
            name: GrantName::new(&name).map_err(|error| invalid("name", error))?,
            server: Name::new(&server).map_err(|error| invalid("server", error))?,
            policy: policy.map_err(|error| invalid("policy", error))?,
            expires_at_ms: (expires_at_ms > 0).then_some(expires_at_ms),
        };
        if self.latest().await?.grant_named(&name).is_some() {
            return Err(Status::already_exists(format!(
                "there is a grant {name} already"
            )));
        }
        let token = Token::from_random(TokenKind::Grant, &self.draw());
        let id = spec.id.as_str().to_owned();
        let hash = self.key.token_hash(&token);
        let change = Change::PutGrant {
            grant: spec,
            token: Some(hash),
        };
        let revision = self.change(vec![change], None).await?;
        let token = token.as_str().to_owned();
        Ok(Response::new(wire::GrantResponse {
            revision,
            id,
            token,
        }))
    }

    async fn rotate_grant(
        &self,
        request: Request<wire::RotateGrantRequest>,
    ) -> Result<Response<wire::GrantResponse>, Status> {
        self.tokens.policy_manager(request.metadata())?;
        at_leader!(self, request, rotate_grant);
        let wire::RotateGrantRequest { name, overlap_ms } = request.into_inner();
        if overlap_ms > OVERLAP_MS_MAX {
            return Err(invalid("overlap_ms", "at most 30 days"));
        }
        let id = self.grant_id(&name).await?;
        let token = Token::from_random(TokenKind::Grant, &self.draw());
        let hash = self.key.token_hash(&token);
        let change = Change::RotateGrant {
            id: id.clone(),
            token: hash,
            overlap_ms,
        };
        let revision = self.change(vec![change], None).await?;
        let (id, token) = (id.as_str().to_owned(), token.as_str().to_owned());
        Ok(Response::new(wire::GrantResponse {
            revision,
            id,
            token,
        }))
    }

    async fn revoke_grant(
        &self,
        request: Request<wire::RevokeGrantRequest>,
    ) -> Result<Response<wire::RevokeGrantResponse>, Status> {
        self.tokens.policy_manager(request.metadata())?;
        at_leader!(self, request, revoke_grant);
        let id = self.grant_id(&request.into_inner().name).await?;
        let revision = self.change(vec![Change::RevokeGrant { id }], None).await?;
        Ok(Response::new(wire::RevokeGrantResponse { revision }))
    }

    async fn gateways(
        &self,
        request: Request<wire::GatewaysRequest>,
    ) -> Result<Response<wire::GatewaysResponse>, Status> {
        self.tokens.viewer(request.metadata())?;
        // Whom the leader does not hear of follows nobody, and its gateways leave it.
        at_leader!(self, request, gateways);
        let (watchers, silent) = self.node.all_watchers().await;
        let gateways =
            watchers
                .into_iter()
                .map(|(node, name, revision)| wire::gateways_response::Gateway {
                    name,
                    revision,
                    node,
                });
        let gateways = gateways.collect();
        Ok(Response::new(wire::GatewaysResponse {
            gateways,
            silent_nodes: silent.iter().map(|(node, _)| *node).collect(),
            silent_ms: silent.into_iter().collect(),
        }))
    }

    async fn create_administrator(
        &self,
        request: Request<wire::CreateAdministratorRequest>,
    ) -> Result<Response<wire::CreateAdministratorResponse>, Status> {
        self.tokens.admin(request.metadata())?;
        at_leader!(self, request, create_administrator);
        let wire::CreateAdministratorRequest { name, role } = request.into_inner();
        let token = Token::from_random(TokenKind::Admin, &self.draw());
        let change = Change::CreateAdministrator {
            name: Name::new(&name).map_err(|error| invalid("name", error))?,
            role: role
                .parse()
                .map_err(|error: RoleError| invalid("role", error))?,
            token: self.key.token_hash(&token),
        };
        let revision = self.change(vec![change], None).await?;
        let token = token.as_str().to_owned();
        Ok(Response::new(wire::CreateAdministratorResponse {
            revision,
            token,
        }))
    }

    async fn list_administrators(
        &self,
        request: Request<wire::ListAdministratorsRequest>,
    ) -> Result<Response<wire::ListAdministratorsResponse>, Status> {
        self.tokens.admin(request.metadata())?;
        at_leader!(self, request, list_administrators);
        let state = self.latest().await?;
        let administrators =
            state
                .administrators()
                .map(|one| wire::list_administrators_response::Administrator {
                    name: one.name.to_string(),
                    role: one.role.to_string(),
                    created_at_ms: one.created_at_ms,
                });
        let administrators = administrators.collect();
        Ok(Response::new(wire::ListAdministratorsResponse {
            administrators,
        }))
    }

    async fn delete_administrator(
        &self,
        request: Request<wire::DeleteAdministratorRequest>,
    ) -> Result<Response<wire::DeleteAdministratorResponse>, Status> {
        self.tokens.admin(request.metadata())?;
        at_leader!(self, request, delete_administrator);
        let name = Name::new(&request.into_inner().name);
        let name = name.map_err(|error| invalid("name", error))?;
        let change = Change::DeleteAdministrator { name };
        let revision = self.change(vec![change], None).await?;
        Ok(Response::new(wire::DeleteAdministratorResponse {
            revision,
        }))
    }

    async fn watch(
        &self,
        request: Request<Streaming<wire::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.tokens.gateway(request.metadata())?;
        watch::watch(self.node.clone(), request.into_inner()).await
    }
}
