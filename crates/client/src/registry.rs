//! The stream of the registry: servers, grants and policies, now and after each change.
//!
//! Promises: revisions never go back, also when another node is behind the last one; the instant
//! of the last word is that of a node which was not behind. Does not know what the bytes mean.

use std::time::Duration;

use bytes::Bytes;
use quotum_api::registry::registry_client::RegistryClient;
use quotum_api::registry::{WatchRequest, WatchResponse};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status, Streaming};

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::{ConfigError, check_nodes};
use crate::dialer::{DialError, Dialer};
use crate::limits::{
    CONNECT_TIMEOUT, REGISTRY_BYTES_MAX, REGISTRY_REPORTS_MAX, REGISTRY_SILENCE_MAX,
};
use crate::nodes::Nodes;

/// How the registry is reached.
#[derive(Clone)]
pub struct WatchConfig {
    /// `HOST:PORT` of counter nodes, as in [`crate::Config`].
    pub nodes: Vec<String>,
    /// This gateway's own name, unique among the live ones.
    pub gateway: String,
    /// The gateway token.
    pub token: String,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a node may be silent, or behind, before another is tried. Longer than the pause
    /// between two keep-alives.
    pub silence_max: Duration,
    /// As in [`crate::Config`].
    pub seed: u64,
}

/// The registry as last heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryState {
    pub revision: u64,
    /// The encoded state.
    pub state: Bytes,
    /// When a node last confirmed it, on the client's clock.
    pub heard_us: u64,
}

/// A running watch; dropped, it ends.
#[derive(Debug)]
pub struct RegistryWatch {
    states: watch::Receiver<Option<RegistryState>>,
    stop: CancellationToken,
    _stop_at_end: DropGuard,
    task: JoinHandle<()>,
}

struct Watcher {
    config: WatchConfig,
    authorization: MetadataValue<Ascii>,
    dialer: Dialer,
    clock: Clock,
    serves: watch::Receiver<u64>,
    states: watch::Sender<Option<RegistryState>>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the node refused or failed: {0}")]
    Node(#[from] Status),
    #[error("the node did not answer in time")]
    Late,
    #[error("the node was silent or behind for too long")]
    Silent,
    #[error("the node ended the stream")]
    Ended,
}

/// Starts to watch the registry on the current runtime, at one node after the other. `serves` is
/// the revision that the gateway serves, which is reported to the node. A revision that goes back
/// for good, as after a restore, is taken up by starting anew.
pub fn watch(
    config: WatchConfig,
    dialer: Dialer,
    clock: Clock,
    serves: watch::Receiver<u64>,
) -> Result<RegistryWatch, ConfigError> {
    check_nodes(&config.nodes)?;
    let is_visible = |text: &str| {
        (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !is_visible(&config.gateway) || !is_visible(&config.token) {
        return Err(ConfigError::Gateway);
    }
    let mut authorization = MetadataValue::try_from(format!("Bearer {}", config.token))
        .map_err(|_| ConfigError::Gateway)?;
    authorization.set_sensitive(true);

    let (publish, states) = watch::channel(None);
    let stop = CancellationToken::new();
    let watcher = Watcher {
        config,
        authorization,
        dialer,
        clock,
        serves,
        states: publish,
    };
    let task = tokio::spawn(watcher.run(stop.clone()));
    let guard = stop.clone().drop_guard();
    Ok(RegistryWatch {
        states,
        stop,
        _stop_at_end: guard,
        task,
    })
}

// === impl RegistryWatch ===

impl RegistryWatch {
    /// The registry, `None` until it is first heard of. Wakes for a new revision; a keep-alive
    /// moves `heard_us` on and wakes nobody.
    pub fn states(&self) -> watch::Receiver<Option<RegistryState>> {
        self.states.clone()
    }

    /// Ends the watch and waits for it.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the watch of the registry failed");
        }
    }
}

// === impl WatchConfig ===

impl WatchConfig {
    /// The usual timeouts for these nodes.
    pub fn new(nodes: Vec<String>, gateway: String, token: String, seed: u64) -> Self {
        Self {
            nodes,
            gateway,
            token,
            connect_timeout: CONNECT_TIMEOUT,
            silence_max: REGISTRY_SILENCE_MAX,
            seed,
        }
    }
}

impl std::fmt::Debug for WatchConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchConfig")
            .field("nodes", &self.nodes)
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

// === impl Watcher ===

impl Watcher {
    async fn run(mut self, stop: CancellationToken) {
        let mut nodes = Nodes::new(self.config.nodes.clone(), self.config.seed);
        let mut backoff = Backoff::new(self.config.seed);
        loop {
            let address = nodes.pick(Instant::now());
            let mut has_heard = false;
            let error = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                error = self.follow(&address, &mut has_heard) => error,
            };
            tracing::warn!(node = address, %error, "the stream of the registry ended");
            if has_heard {
                nodes.succeed(&address);
                backoff.reset();
            }
            nodes.fail(&address, Instant::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.pause()) => {}
            }
        }
    }

    /// Follows one node for as long as it speaks; sets `has_heard` when it says something new.
    async fn follow(&mut self, address: &str, has_heard: &mut bool) -> WatchError {
        match self.open(address).await {
            Ok((reports, answers)) => match self.read(reports, answers, has_heard).await {
                Ok(()) => WatchError::Ended,
                Err(error) => error,
            },
            Err(error) => error,
        }
    }

    async fn open(
        &mut self,
        address: &str,
    ) -> Result<(mpsc::Sender<WatchRequest>, Streaming<WatchResponse>), WatchError> {
        let channel = self.dialer.dial(address)?;
        let mut client = RegistryClient::new(channel).max_decoding_message_size(REGISTRY_BYTES_MAX);
        let (reports, stream) = mpsc::channel(REGISTRY_REPORTS_MAX);
        let gateway = self.config.gateway.clone();
        let revision = *self.serves.borrow_and_update();
        // The channel is new and holds more than one.
        let _ = reports.try_send(WatchRequest { gateway, revision });
        let mut request = Request::new(ReceiverStream::new(stream));
        request
            .metadata_mut()
            .insert("authorization", self.authorization.clone());
        let opened = tokio::time::timeout(self.config.connect_timeout, client.watch(request));
        let answers = opened.await.map_err(|_| WatchError::Late)??.into_inner();
        Ok((reports, answers))
    }

    async fn read(
        &mut self,
        reports: mpsc::Sender<WatchRequest>,
        mut answers: Streaming<WatchResponse>,
        has_heard: &mut bool,
    ) -> Result<(), WatchError> {
        let mut silent_at = Instant::now() + self.config.silence_max;
        let mut is_served = true;
        loop {
            tokio::select! {
                biased;
                answer = answers.message() => {
                    let Some(answer) = answer? else { return Ok(()) };
                    if self.take(answer) {
                        *has_heard = true;
                        silent_at = Instant::now() + self.config.silence_max;
                    }
                }
                changed = self.serves.changed(), if is_served => {
                    // Without a gateway there is nothing more to report.
                    is_served = changed.is_ok();
                    let revision = *self.serves.borrow_and_update();
                    let report = WatchRequest { gateway: String::new(), revision };
                    if reports.try_send(report).is_err() {
                        return Err(WatchError::Silent);
                    }
                }
                () = tokio::time::sleep_until(silent_at) => return Err(WatchError::Silent),
            }
        }
    }

    /// Takes an answer in; `false` if its node is behind what is known.
    fn take(&self, answer: WatchResponse) -> bool {
        let heard_us = self.clock.now_us();
        let WatchResponse { revision, state } = answer;
        let mut is_fresh = false;
        self.states.send_if_modified(|known| match known {
            Some(known) if revision < known.revision => false,
            Some(known) if revision == known.revision => {
                known.heard_us = heard_us;
                is_fresh = true;
                false
            }
            // A keep-alive for a revision that has not been sent confirms nothing.
            _ if state.is_empty() => false,
            _ => {
                *known = Some(RegistryState {
                    revision,
                    state,
                    heard_us,
                });
                is_fresh = true;
                true
            }
        });
        is_fresh
    }
}
