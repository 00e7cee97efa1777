//! The services of Envoy and of Kuadrant.

use std::sync::Arc;

use quotum_api::envoy::service::ratelimit::v3 as wire;
use quotum_api::envoy::service::ratelimit::v3::rate_limit_service_server as envoy;
use quotum_api::kuadrant::service::ratelimit::v1::rate_limit_service_server as kuadrant;
use quotum_descriptor::{Config, Judgement, Plan};
use quotum_limit::{Bound, Outcome, Route};
use quotum_telemetry::envoy::{Descriptor, Hits};
use quotum_telemetry::label::{Api, EnvoyMethod as Method};
use quotum_transport::Calls;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::message::{request, response};
use super::report::{report, take_what_fits};
use super::{Asker, Envoy};
use crate::limits::ENVOY_MESSAGE_BYTES_MAX;

/// Serves both.
#[derive(Clone)]
pub(crate) struct RateLimits {
    envoy: Arc<Envoy>,
    asker: Asker,
}

/// How a request meets the counters.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Takes its hits, or is over.
    Take,
    /// Is over where its hits would not fit, and takes nothing.
    Look,
    /// Takes what there is, and is never over.
    Report,
}

/// A request on its way: counted when it ends, also where its caller goes before.
struct Served<'a> {
    envoy: &'a Envoy,
    method: Method,
    started: Instant,
    answered: bool,
}

// === impl RateLimits ===

impl RateLimits {
    pub(crate) fn new(envoy: Envoy, asker: Asker) -> Self {
        Self {
            envoy: Arc::new(envoy),
            asker,
        }
    }

    pub(crate) fn envoy(&self) -> envoy::RateLimitServiceServer<Self> {
        envoy::RateLimitServiceServer::new(self.clone())
            .max_decoding_message_size(ENVOY_MESSAGE_BYTES_MAX)
    }

    /// The calls that are made for every decision.
    pub(crate) fn calls(self, calls: Calls) -> Calls {
        let path = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
        calls.with(path, ENVOY_MESSAGE_BYTES_MAX, move |message| {
            let limits = self.clone();
            async move { limits.should(message).await }
        })
    }

    pub(crate) fn kuadrant(&self) -> kuadrant::RateLimitServiceServer<Self> {
        kuadrant::RateLimitServiceServer::new(self.clone())
            .max_decoding_message_size(ENVOY_MESSAGE_BYTES_MAX)
    }

    async fn should(
        &self,
        message: wire::RateLimitRequest,
    ) -> Result<wire::RateLimitResponse, Status> {
        self.serve(Method::ShouldRateLimit, message, Way::Take)
            .await
    }

    async fn serve(
        &self,
        method: Method,
        message: wire::RateLimitRequest,
        way: Way,
    ) -> Result<wire::RateLimitResponse, Status> {
        let mut served = Served {
            envoy: &self.envoy,
            method,
            started: Instant::now(),
            answered: false,
        };
        let answer = self.decide(&message, way).await?;
        served.answered = true;
        Ok(answer)
    }

    async fn decide(
        &self,
        message: &wire::RateLimitRequest,
        way: Way,
    ) -> Result<wire::RateLimitResponse, Status> {
        let config = self.config()?;
        let request = request(message).map_err(Status::invalid_argument)?;
        let plan = Plan::new(&config, &request);
        let plan = plan.map_err(|error| Status::invalid_argument(error.to_string()))?;
        if config.domain(&message.domain).is_none() {
            self.envoy.metrics.domain_not_found();
        }
        let shard = Route::of(message.domain.as_bytes()).shard(self.asker.shards());
        let judgement = match way {
            _ if plan.items.is_empty() => plan.undecided(),
            Way::Take if plan.only_looks() => self.look(shard, &plan, Api::Envoy).await?,
            Way::Take => self.take(shard, &plan).await?,
            Way::Look => self.look(shard, &plan, Api::Kuadrant).await?,
            Way::Report => report(&self.asker, shard, &plan, Api::Kuadrant).await?,
        };
        self.record(&message.domain, &judgement, way);
        let mut response = response(&message.domain, &judgement, self.envoy.headers.as_ref());
        if matches!(way, Way::Report) {
            response.overall_code = wire::rate_limit_response::Code::Ok.into();
        }
        Ok(response)
    }

    fn config(&self) -> Result<Arc<Config>, Status> {
        let config = self.envoy.config.borrow().clone();
        config.ok_or_else(|| {
            Status::unavailable("no configuration of rate limits was loaded: see this node's log")
        })
    }

    async fn take<'p>(&self, shard: u32, plan: &'p Plan<'_>) -> Result<Judgement<'p>, Status> {
        let taken = self.asker.take(shard, &plan.items, Api::Envoy).await?;
        let judgement = judgement(plan, &taken.outcome)?;
        let rest = plan.rest(&taken.outcome);
        match judgement.undo {
            true => taken.give_back().await,
            false => taken.keep(),
        }
        if !rest.is_empty() {
            take_what_fits(&self.asker, shard, rest, Api::Envoy).await?;
        }
        Ok(judgement)
    }

    async fn look<'p>(
        &self,
        shard: u32,
        plan: &'p Plan<'_>,
        api: Api,
    ) -> Result<Judgement<'p>, Status> {
        let items = plan.items.clone();
        let outcome = self.asker.look(shard, items, api).await?;
        let judgement = judgement(plan, &outcome)?;
        self.asker.looked(shard, api, judgement.is_over);
        Ok(judgement)
    }

    fn record(&self, domain: &str, judgement: &Judgement<'_>, way: Way) {
        for usage in &judgement.usages {
            let descriptor = Descriptor {
                domain,
                key1: usage.keys[0],
                key2: usage.keys[1],
            };
            let record = |hits, units| {
                if units > 0 {
                    self.envoy.metrics.hits(&descriptor, hits, units);
                }
            };
            match (usage.is_over, usage.is_shadow) {
                (true, true) => record(Hits::Shadow, usage.hits),
                (true, false) => record(Hits::Over, usage.hits),
                (false, _) if judgement.is_over && !matches!(way, Way::Report) => {
                    record(Hits::Spared, usage.hits);
                }
                (false, _) => {
                    record(Hits::Near, usage.near);
                    record(Hits::Within, usage.hits - usage.near);
                }
            }
        }
    }
}

/// What follows from an outcome. An error where it decides nothing.
fn judgement<'p>(plan: &'p Plan<'_>, outcome: &Outcome) -> Result<Judgement<'p>, Status> {
    if let Some(judgement) = plan.judge(outcome) {
        return Ok(judgement);
    }
    match outcome {
        // A counter that cannot be made denies: whoever makes up values must not get past it.
        Outcome::Exhausted(Bound::Counters | Bound::Tenant) => Ok(plan.exhausted()),
        Outcome::Exhausted(_) => Err(Status::resource_exhausted("too many requests are held")),
        Outcome::Invalid(refusal) => Err(Status::invalid_argument(refusal.to_string())),
        _ => Err(Status::unavailable("the request was not decided")),
    }
}

#[tonic::async_trait]
impl envoy::RateLimitService for RateLimits {
    async fn should_rate_limit(
        &self,
        request: Request<wire::RateLimitRequest>,
    ) -> Result<Response<wire::RateLimitResponse>, Status> {
        let answer = self.should(request.into_inner()).await?;
        Ok(Response::new(answer))
    }
}

#[tonic::async_trait]
impl kuadrant::RateLimitService for RateLimits {
    async fn check_rate_limit(
        &self,
        request: Request<wire::RateLimitRequest>,
    ) -> Result<Response<wire::RateLimitResponse>, Status> {
        let message = request.into_inner();
        let answer = self
            .serve(Method::CheckRateLimit, message, Way::Look)
            .await?;
        Ok(Response::new(answer))
    }

    async fn report(
        &self,
        request: Request<wire::RateLimitRequest>,
    ) -> Result<Response<wire::RateLimitResponse>, Status> {
        let message = request.into_inner();
        let answer = self.serve(Method::Report, message, Way::Report).await?;
        Ok(Response::new(answer))
    }
}

// === impl Served ===

impl Drop for Served<'_> {
    fn drop(&mut self) {
        let metrics = &self.envoy.metrics;
        metrics.request(self.method, self.started.elapsed());
        if !self.answered {
            metrics.service_error();
        }
    }
}
