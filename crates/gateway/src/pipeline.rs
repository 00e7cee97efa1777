//! The pipeline: what happens to a request, one step after the other. Each step is a module of its
//! own; this one only knows their order.
//!
//! # Layout
//! * `admit`: the steps that need no body: hygiene, the grant, room for another request.
//! * `message`: a message, from its bytes to the answer.
//! * `govern`: calls of tools: decided, sent, settled.
//! * `tasks`: the ids of tasks in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use quotum_telemetry::label::Method;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Body, Caller};
use crate::config::{Config, Snapshot};
use crate::cors;
use crate::counters::Counters;
use crate::forward::Upstreams;
use crate::guarded::{Lasting, guard};
use crate::hygiene::{self, Verb};
use crate::known::KnownTools;
use crate::open::OpenRequests;
use crate::record::Telemetry;
use crate::relay::ending::Ending;
use crate::status::Refusal;

mod admit;
mod govern;
mod message;
mod tasks;

use admit::Admitted;

/// A gateway. Cheap to clone; all clones are one gateway.
pub struct Gateway<C>(Arc<Inner<C>>);

struct Inner<C> {
    config: Config,
    registry: watch::Receiver<Snapshot>,
    counters: C,
    upstreams: Upstreams,
    telemetry: Telemetry,
    known: KnownTools,
    open: OpenRequests,
    decisions: DecisionIds,
    /// Ends streams that would go on for ever.
    stopping: CancellationToken,
}

/// Names of decisions, unique among all gateways.
struct DecisionIds {
    process: u64,
    next: AtomicU64,
}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct NoRandomness;

// === impl Gateway ===

impl<C: Counters> Gateway<C> {
    /// A gateway that serves what `registry` says and counts by `counters`. `tls`: how it connects
    /// to upstreams over https.
    pub fn new(
        config: Config,
        registry: watch::Receiver<Snapshot>,
        counters: C,
        tls: ClientConfig,
        telemetry: Telemetry,
    ) -> Result<Self, NoRandomness> {
        let inner = Inner {
            upstreams: Upstreams::new(tls, config.upstream_head_timeout),
            open: OpenRequests::new(config.open_requests_per_grant_max),
            known: KnownTools::default(),
            decisions: DecisionIds::new()?,
            stopping: CancellationToken::new(),
            config,
            registry,
            counters,
            telemetry,
        };
        Ok(Self(Arc::new(inner)))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Ends the streams that would go on for ever.
    pub(crate) fn stop_streams(&self) {
        self.0.stopping.cancel();
    }

    /// Answers one request.
    pub(crate) async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let mut response = match cors::is_question(&head) {
            true => self.answer_browser(&head),
            false => self.answer(&head, body).await,
        };
        cors::allow(&head, &self.0.config.origins, &mut response);
        if hygiene::ends_connection(&head) {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// A browser asks what a page may do: without a token, and it gets nothing but that.
    fn answer_browser(&self, head: &Parts) -> Response<Body> {
        match hygiene::check_question(head, &self.0.config.hosts, &self.0.config.origins) {
            Ok(()) => cors::answer(),
            Err(refusal) => self.0.refuse(&refusal, Caller::Unknown),
        }
    }

    async fn answer(&self, head: &Parts, body: Incoming) -> Response<Body> {
        let admitted = match self.0.admit(head) {
            Ok(admitted) => admitted,
            Err(refusal) => return self.0.refuse(&refusal, Caller::Unknown),
        };
        let Admitted {
            verb,
            grant,
            open,
            started_at,
        } = admitted;
        let mut lasting = Lasting {
            _open: open,
            metrics: self.0.telemetry.metrics.clone(),
            server: grant.server.spec.name.as_str().to_owned(),
            method: Method::Other,
            status: 0,
            started_at,
        };
        let response = match verb {
            Verb::Post => self.0.post(head, body, &grant, &mut lasting.method).await,
            Verb::Get | Verb::Delete => {
                lasting.method = if verb == Verb::Get {
                    Method::Stream
                } else {
                    Method::SessionEnd
                };
                self.0.bodiless(verb, head, &grant).await
            }
        };
        guard(response, lasting)
    }
}

impl<C> Clone for Gateway<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

// === impl Inner ===

impl<C> Inner<C> {
    /// Counts a refusal and answers it.
    fn refuse(&self, refusal: &Refusal, caller: Caller<'_>) -> Response<Body> {
        let response = answer::refusal(refusal, caller);
        if let Some(stage) = refusal.row().stage {
            self.telemetry
                .metrics
                .refused(stage, response.status().as_u16());
        }
        tracing::debug!(?refusal, status = response.status().as_u16(), "refused");
        response
    }

    /// Watches over a stream; one `for_ever` ends when the gateway stops.
    fn ending(&self, lasts: Lasts) -> Ending {
        let shutdown = match lasts {
            Lasts::ForEver => Some(self.stopping.clone()),
            Lasts::ForOneAnswer => None,
        };
        let staleness_max = self.config.registry_staleness_max;
        Ending::new(
            self.registry.clone(),
            staleness_max,
            self.config.clock.clone(),
            shutdown,
        )
    }
}

/// How long a stream goes on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    ForEver,
    ForOneAnswer,
}

// === impl DecisionIds ===

impl DecisionIds {
    fn new() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 8];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| NoRandomness)?;
        Ok(Self {
            process: u64::from_be_bytes(bytes),
            next: AtomicU64::new(1),
        })
    }

    fn next(&self) -> String {
        format!(
            "{:016x}-{:x}",
            self.process,
            self.next.fetch_add(1, Ordering::Relaxed)
        )
    }
}
