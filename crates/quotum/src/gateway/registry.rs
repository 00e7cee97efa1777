//! The gateway's copy of the registry: followed at the counter nodes, published to the request
//! path, kept on disk.
//!
//! Promises: a revision is reported as served only after requests go by it and the copy on disk
//! holds it, so that not even a restart goes back behind what an operator was told; a state that
//! cannot be read is not served, and says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quotum_client::Clock;
use quotum_client::registry::{RegistryState, RegistryWatch, WatchConfig, watch};
use quotum_gateway::Snapshot;
use quotum_registry::{MasterKey, View};
use quotum_telemetry::{GatewayMetrics, Latch, Readiness};
use quotum_transport::Credentials;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use crate::admin::reach;
use crate::failure::Failure;
use crate::limits::{CACHE_MARK_INTERVAL, REGISTRY_AGE_INTERVAL};
use crate::secrets;
use crate::settings::gateway::GatewaySettings;

/// The running copy.
pub(crate) struct RegistryCopy {
    snapshots: watch::Receiver<Snapshot>,
    is_cached: bool,
    watch: RegistryWatch,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The task that keeps the copy.
struct Keeper {
    key: Arc<MasterKey>,
    cache: Option<Cache>,
    clock: Clock,
    metrics: GatewayMetrics,
    states: watch::Receiver<Option<RegistryState>>,
    publish: watch::Sender<Snapshot>,
    serves: watch::Sender<u64>,
    /// Held until the registry was heard of or found on disk.
    waiting: Option<Latch>,
    /// What `heard_us` was when the published snapshot was made.
    published_us: u64,
    /// Whether the copy on disk is the state that is served.
    is_kept: bool,
    marked_at: Instant,
}

// === impl RegistryCopy ===

impl RegistryCopy {
    /// Takes up what is on disk, and starts to follow the registry.
    pub(crate) fn start(
        settings: &GatewaySettings,
        counters: &Option<Credentials>,
        metrics: &GatewayMetrics,
        readiness: &Readiness,
    ) -> Result<Self, Failure> {
        let key = settings.master_key.clone();
        let cache = settings.registry_cache.clone().map(Cache::new);
        let kept = cache.as_ref().and_then(|cache| load(cache, &key));
        let is_cached = kept.is_some();
        // Before anything is known, requests are refused as by a registry that is too old.
        let first = kept.unwrap_or_else(|| Snapshot::new(Arc::new(View::empty()), Duration::MAX));
        let (serves, served) = watch::channel(first.view.revision());
        let clock = Clock::boottime();
        let watch_config = WatchConfig::new(
            settings.counters.clone(),
            settings.name.clone(),
            settings.master_key.gateway_token().to_string(),
            secrets::draw_seed(),
        );
        let dialer = reach::dialer(counters.as_ref(), watch_config.connect_timeout);
        let watch = watch(watch_config, dialer, clock.clone(), served)
            .map_err(|error| Failure::usage("counters").because(&error))?;
        let (publish, snapshots) = watch::channel(first);
        let keeper = Keeper {
            key,
            cache,
            clock,
            metrics: metrics.clone(),
            states: watch.states(),
            publish,
            serves,
            waiting: (!is_cached).then(|| readiness.latch("registry")),
            published_us: 0,
            is_kept: is_cached,
            marked_at: Instant::now(),
        };
        let stop = CancellationToken::new();
        Ok(Self {
            snapshots,
            is_cached,
            watch,
            task: tokio::spawn(keeper.run(stop.clone())),
            stop,
        })
    }

    /// What requests go by.
    pub(crate) fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshots.clone()
    }

    /// Whether the copy was found on disk.
    pub(crate) fn is_cached(&self) -> bool {
        self.is_cached
    }

    pub(crate) async fn shutdown(self) {
        self.watch.shutdown().await;
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the keeper of the registry's copy failed");
        }
    }
}

/// What is on disk, as it can be served.
fn load(cache: &Cache, key: &MasterKey) -> Option<Snapshot> {
    let kept = match cache.load() {
        Ok(kept) => kept?,
        Err(error) => {
            tracing::warn!(%error, "the copy of the registry on disk cannot be read");
            return None;
        }
    };
    match View::decode(&kept.state, key, None) {
        Ok(view) => {
            let (revision, age_s) = (view.revision(), kept.age.as_secs());
            tracing::info!(revision, age_s, "serving the copy of the registry on disk");
            Some(Snapshot::new(Arc::new(view), kept.age))
        }
        Err(error) => {
            tracing::warn!(%error, "the copy of the registry on disk is of no use");
            None
        }
    }
}

// === impl Keeper ===

impl Keeper {
    async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(REGISTRY_AGE_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = self.states.changed() => {
                    // The watch has ended: so will this, in a moment.
                    if changed.is_err() {
                        return stop.cancelled().await;
                    }
                    let state = self.states.borrow_and_update().clone();
                    if let Some(state) = state {
                        self.take(state).await;
                    }
                }
                _ = tick.tick() => self.look_at_age().await,
            }
        }
    }

    /// Publishes a new state, keeps it, and only then reports it as served.
    async fn take(&mut self, state: RegistryState) {
        let (key, previous) = (self.key.clone(), self.publish.borrow().view.clone());
        let bytes = state.state.clone();
        let decoded = blocking(move || View::decode(&bytes, &key, Some(&previous))).await;
        let view = match decoded {
            Ok(view) => Arc::new(view),
            Err(error) => {
                let revision = state.revision;
                tracing::error!(revision, %error, "the registry cannot be read: it is not served");
                return;
            }
        };
        for problem in view.problems() {
            tracing::error!(%problem, "a part of the registry cannot be used");
        }
        let revision = view.revision();
        let age = self.age_of(state.heard_us);
        self.publish.send_replace(Snapshot::new(view, age));
        self.published_us = state.heard_us;
        self.metrics.registry(revision, age);
        self.keep(state, age).await;
        self.serves.send_replace(revision);
        tracing::info!(revision, "the registry is served");
        drop(self.waiting.take());
    }

    async fn keep(&mut self, state: RegistryState, age: Duration) {
        let Some(cache) = self.cache.clone() else {
            return;
        };
        let stored = blocking(move || cache.store(&state.state, age)).await;
        self.is_kept = stored.is_ok();
        self.marked_at = Instant::now();
        if let Err(error) = stored {
            tracing::error!(%error, "the registry cannot be kept on disk");
        }
    }

    /// Carries on the age of what is served: a node that confirms it wakes nobody.
    async fn look_at_age(&mut self) {
        let heard = self
            .states
            .borrow()
            .as_ref()
            .map(|known| (known.revision, known.heard_us));
        let served = self.publish.borrow().clone();
        // A state that could not be read is confirmed in vain.
        let confirmed = heard.filter(|(revision, heard_us)| {
            *revision == served.view.revision() && *heard_us > self.published_us
        });
        if let Some((_, heard_us)) = confirmed {
            self.published_us = heard_us;
            let age = self.age_of(heard_us);
            self.publish
                .send_replace(Snapshot::new(served.view.clone(), age));
        }
        let (revision, age) = {
            let served = self.publish.borrow();
            (served.view.revision(), served.age())
        };
        // Before anything is known there is no age to show.
        if self.waiting.is_none() {
            self.metrics.registry(revision, age);
        }
        if confirmed.is_some() && self.is_kept && self.marked_at.elapsed() >= CACHE_MARK_INTERVAL {
            self.mark(age).await;
        }
    }

    async fn mark(&mut self, age: Duration) {
        self.marked_at = Instant::now();
        let Some(cache) = self.cache.clone() else {
            return;
        };
        if let Err(error) = blocking(move || cache.mark(age)).await {
            tracing::warn!(%error, "the copy of the registry on disk cannot be marked");
        }
    }

    fn age_of(&self, heard_us: u64) -> Duration {
        Duration::from_micros(self.clock.now_us().saturating_sub(heard_us))
    }
}

/// Runs what takes long or waits for the disk apart from the tasks that serve.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("the work does not panic")
}
