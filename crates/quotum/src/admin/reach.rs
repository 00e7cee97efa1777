//! Reaching the cluster: its nodes, the admin token, and requests that are asked again.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quotum_api::cluster::cluster_client::ClusterClient;
use quotum_api::registry::registry_client::RegistryClient;
use quotum_client::Dialer;
use quotum_registry::secret::token::Token;
use quotum_telemetry::label::Certificate;
use quotum_transport::{Connector, Credentials, Ends};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::arguments::Reach;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::limits::{
    ADMIN_ADDRESSES_MAX, ADMIN_CALL_MAX, ADMIN_CONNECT_MAX, ADMIN_MESSAGE_BYTES_MAX,
    ADMIN_RETRY_MAX, LOOK_EVERY,
};
use crate::secrets;
use crate::settings::addresses;
use crate::settings::tls::{self, TlsFiles};
use crate::tls::Certificates;

#[cfg(test)]
mod tests;

/// The variable with the nodes, and the one with the token.
const ADDRESS: &str = "QUOTUM_ADDRESS";
const ADMIN_TOKEN: &str = "QUOTUM_ADMIN_TOKEN";
/// Those with the files of TLS, and the one that does without.
const CA: &str = "QUOTUM_CA";
const CERT: &str = "QUOTUM_CERT";
const KEY: &str = "QUOTUM_KEY";
const INSECURE: &str = "QUOTUM_INSECURE";

/// A cluster and the right to administer it.
#[derive(Clone)]
pub(crate) struct Cluster {
    nodes: Vec<String>,
    /// Without, in plaintext.
    credentials: Option<Credentials>,
    authorization: MetadataValue<Ascii>,
}

// === impl Cluster ===

impl Cluster {
    /// The cluster that an operator means.
    pub(crate) fn of(reach: &Reach, environment: &Environment) -> Result<Self, Failure> {
        let token = match &reach.admin_token_file {
            Some(path) => secrets::read_admin_token(path)?,
            None => {
                let text = environment.get(ADMIN_TOKEN).ok_or_else(|| {
                    Failure::usage("the admin token is missing")
                        .next(format!("use --admin-token-file FILE, or set {ADMIN_TOKEN}"))
                })?;
                secrets::admin_token(text)
                    .map_err(|error| Failure::usage(ADMIN_TOKEN).because(&error))?
            }
        };
        let named: Vec<&str> = match reach.address.is_empty() {
            false => reach.address.iter().map(String::as_str).collect(),
            true => environment
                .get(ADDRESS)
                .unwrap_or_default()
                .split(',')
                .collect(),
        };
        let named = named
            .into_iter()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        let nodes = named.map(addresses::node).collect::<Result<Vec<_>, _>>();
        let nodes = nodes.map_err(|message| Failure::usage(format!("--address: {message}")))?;
        let credentials = credentials(reach, environment)?;
        let remote = nodes.iter().find(|node| !tls::is_local(node));
        let is_insecure = reach.insecure || environment.get(INSECURE) == Some("1");
        if let Some(node) = remote.filter(|_| credentials.is_none() && !is_insecure) {
            let text = format!("{node} is not this machine, and the admin token would be readable");
            return Err(Failure::usage(text)
                .next("use --ca FILE, or --insecure where the network on the way is trusted"));
        }
        Self::new(nodes, credentials, &token)
    }

    pub(crate) fn new(
        nodes: Vec<String>,
        credentials: Option<Credentials>,
        token: &Token,
    ) -> Result<Self, Failure> {
        if nodes.is_empty() {
            return Err(Failure::usage("no counter node is named")
                .next(format!("use --address HOST:PORT, or set {ADDRESS}")));
        }
        if nodes.len() > ADMIN_ADDRESSES_MAX {
            let text = format!("at most {ADMIN_ADDRESSES_MAX} counter nodes can be named");
            return Err(Failure::usage(text));
        }
        let mut authorization: MetadataValue<Ascii> = format!("Bearer {}", token.as_str())
            .parse()
            .expect("a token is visible ASCII");
        authorization.set_sensitive(true);
        Ok(Self {
            nodes,
            credentials,
            authorization,
        })
    }

    /// Asks the registry. What a node cannot answer for a moment is asked again, at the next one.
    pub(crate) async fn registry<T: Clone, U, F>(
        &self,
        message: T,
        call: impl Fn(RegistryClient<Channel>, Request<T>) -> F,
    ) -> Result<U, Failure>
    where
        F: Future<Output = Result<Response<U>, Status>>,
    {
        self.ask(message, ADMIN_CALL_MAX, |channel, request| {
            let client = RegistryClient::new(channel)
                .max_decoding_message_size(ADMIN_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(ADMIN_MESSAGE_BYTES_MAX);
            call(client, request)
        })
        .await
    }

    /// Asks the service of the cluster's members, likewise. The answer takes `time_max` at most.
    pub(crate) async fn members<T: Clone, U, F>(
        &self,
        time_max: Duration,
        message: T,
        call: impl Fn(ClusterClient<Channel>, Request<T>) -> F,
    ) -> Result<U, Failure>
    where
        F: Future<Output = Result<Response<U>, Status>>,
    {
        self.ask(message, time_max, |channel, request| {
            call(ClusterClient::new(channel), request)
        })
        .await
    }

    async fn connect(&self, node: &str) -> Result<Channel, Failure> {
        let unreachable = || Failure::failed(format!("{node} cannot be reached"));
        let scheme = if self.credentials.is_some() {
            "https"
        } else {
            "http"
        };
        let endpoint = quotum_client::dialer::endpoint(scheme, node, ADMIN_CONNECT_MAX)
            .map_err(|error| unreachable().because(&error))?;
        let connecting = async {
            match &self.credentials {
                None => endpoint.connect().await,
                Some(credentials) => {
                    let connector = Connector::new(credentials.clone(), ADMIN_CONNECT_MAX);
                    endpoint.connect_with_connector(connector).await
                }
            }
        };
        match tokio::time::timeout(ADMIN_CONNECT_MAX, connecting).await {
            Ok(connected) => connected.map_err(|error| {
                unreachable()
                    .because(&error)
                    .next("is this the client port of a counter node, and has it TLS? docs/tls.md says which certificates are taken")
            }),
            Err(_) => Err(unreachable()),
        }
    }

    async fn ask<T: Clone, U, F>(
        &self,
        message: T,
        time_max: Duration,
        call: impl Fn(Channel, Request<T>) -> F,
    ) -> Result<U, Failure>
    where
        F: Future<Output = Result<Response<U>, Status>>,
    {
        let begun = Instant::now();
        let mut last = None;
        loop {
            for node in &self.nodes {
                let channel = match self.connect(node).await {
                    Ok(channel) => channel,
                    Err(failure) => {
                        last = Some(failure);
                        continue;
                    }
                };
                let mut request = Request::new(message.clone());
                request
                    .metadata_mut()
                    .insert("authorization", self.authorization.clone());
                let answer = tokio::time::timeout(time_max, call(channel, request)).await;
                match answer {
                    Ok(Ok(answer)) => return Ok(answer.into_inner()),
                    Ok(Err(status)) if status.code() == Code::Unavailable => {
                        last = Some(refused(node, &status));
                    }
                    Ok(Err(status)) => return Err(refused(node, &status)),
                    Err(_) => {
                        let text = format!("{node} did not answer within {time_max:?}");
                        return Err(Failure::failed(text).next(
                            "what was asked for may have happened: look before you repeat it",
                        ));
                    }
                }
            }
            if begun.elapsed() >= ADMIN_RETRY_MAX {
                return Err(last.unwrap_or_else(|| Failure::failed("no node was asked")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cluster").field(&self.nodes).finish()
    }
}

/// How counter nodes are reached: over TLS if there are credentials.
pub(crate) fn dialer(credentials: Option<&Credentials>, connect_timeout: Duration) -> Dialer {
    let Some(credentials) = credentials else {
        return Dialer::plaintext(connect_timeout);
    };
    let connector = Connector::new(credentials.clone(), connect_timeout);
    Dialer::new(move |address| {
        let endpoint = quotum_client::dialer::endpoint("https", address, connect_timeout)?;
        Ok(endpoint.connect_with_connector_lazy(connector.clone()))
    })
}

/// What an operator shows and believes; none: plaintext.
fn credentials(reach: &Reach, environment: &Environment) -> Result<Option<Credentials>, Failure> {
    let path = |option: &Option<PathBuf>, variable| {
        let named = environment.get(variable).map(PathBuf::from);
        option.clone().or(named)
    };
    let authorities = path(&reach.ca, CA);
    let identity = match (path(&reach.cert, CERT), path(&reach.key, KEY)) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => return Err(Failure::usage("--cert and --key go together")),
    };
    if authorities.is_none() {
        return match identity {
            None => Ok(None),
            Some(_) => Err(Failure::usage(
                "--cert needs --ca: who vouches for counter nodes?",
            )),
        };
    }
    let files = TlsFiles {
        identity,
        authorities,
    };
    // Commands are over soon: nobody looks at the files again.
    let credentials = Certificates::default().load(Certificate::Counters, Ends::Client, &files)?;
    Ok(Some(credentials))
}

/// What a node said, and what to do about it.
fn refused(node: &str, status: &Status) -> Failure {
    let failure = Failure::failed(format!("{node}: {}", status.message()));
    // No node said this: the connection ended before the answer, as it does over TLS 1.3 where a client's
    // certificate is not taken. The alert that says so may be lost with the connection.
    if let Some(cause) = status.source() {
        return failure.because(cause).next(
            "`quotum cluster status` shows who is missing, docs/tls.md which certificates are taken",
        );
    }
    match status.code() {
        Code::Unauthenticated => failure.next("check the admin token"),
        Code::Unavailable => failure.next("`quotum cluster status` shows who is missing"),
        Code::PermissionDenied => failure.next(
            "docs/commands.md says which role a command needs, docs/tls.md which certificate",
        ),
        Code::Aborted => failure.stale().next("try again"),
        Code::Unimplemented => failure.next("is this the client port of a counter node?"),
        _ => failure,
    }
}
