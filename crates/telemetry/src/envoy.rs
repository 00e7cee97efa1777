//! What is recorded of Envoy's rate-limit API, under the names of envoyproxy/ratelimit, so that
//! the boards that exist for it go on.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::{self, Metric};
use crate::exposition::{Count, Durations, Exposition};
use crate::label::{ClosedLabel, EnvoyMethod, Overflow};
use crate::limits::COUNTER_SERIES_MAX;
use crate::series::{Fit, Series, Set, Values};

/// The metrics of Envoy's API. Cheap to clone.
#[derive(Clone)]
pub struct EnvoyMetrics(Arc<Inner>);

/// One configured limit: its domain and the first two keys of its descriptor (the second may be
/// empty). Names of the configuration, never values of a request.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor<'a> {
    pub domain: &'a str,
    pub key1: &'a str,
    pub key2: &'a str,
}

/// What became of units that were asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hits {
    Within,
    /// Within the limit, and close to it.
    Near,
    Over,
    /// Over the limit, and let through.
    Shadow,
    /// Not taken, because another limit of the request denied it.
    Spared,
}

struct Inner {
    exposition: Exposition,
    domains: Values,
    keys: Values,
    series: Series<3, Count>,
    overflows: Vec<Count>,
    methods: Vec<(Count, Durations)>,
    service_errors: Count,
    domains_not_found: Count,
    config_loaded: Count,
    config_refused: Count,
}

const METRICS: [&Metric; 5] = [
    &catalog::ENVOY_TOTAL_HITS,
    &catalog::ENVOY_WITHIN_LIMIT,
    &catalog::ENVOY_NEAR_LIMIT,
    &catalog::ENVOY_OVER_LIMIT,
    &catalog::ENVOY_SHADOW_MODE,
];

// === impl EnvoyMetrics ===

impl EnvoyMetrics {
    pub fn new(exposition: &Exposition) -> Self {
        let overflows = Overflow::ALL
            .iter()
            .map(|bound| exposition.count(&catalog::LABEL_OVERFLOW, &[bound.as_str()]));
        let methods = EnvoyMethod::ALL.iter().map(|method| {
            let labels = [method.as_str()];
            (
                exposition.count(&catalog::ENVOY_REQUESTS, &labels),
                exposition.durations(&catalog::ENVOY_RESPONSE_TIME, &labels),
            )
        });
        Self(Arc::new(Inner {
            domains: Values::default(),
            keys: Values::default(),
            series: Series::new(COUNTER_SERIES_MAX),
            overflows: overflows.collect(),
            methods: methods.collect(),
            service_errors: exposition.count(&catalog::ENVOY_ERRORS, &["service_error"]),
            domains_not_found: exposition.count(&catalog::ENVOY_DOMAIN_NOT_FOUND, &[]),
            config_loaded: exposition.count(&catalog::ENVOY_CONFIG_LOADED, &[]),
            config_refused: exposition.count(&catalog::ENVOY_CONFIG_REFUSED, &[]),
            exposition: exposition.clone(),
        }))
    }

    /// A request was answered.
    pub fn request(&self, method: EnvoyMethod, duration: Duration) {
        let (requests, response_time) = &self.0.methods[method.index()];
        requests.one();
        response_time.observe(duration);
    }

    /// A request failed.
    pub fn service_error(&self) {
        self.0.service_errors.one();
    }

    /// A request named a domain that is not configured.
    pub fn domain_not_found(&self) {
        self.0.domains_not_found.one();
    }

    pub fn config_loaded(&self) {
        self.0.config_loaded.one();
    }

    pub fn config_refused(&self) {
        self.0.config_refused.one();
    }

    /// `units` were asked of a limit.
    pub fn hits(&self, descriptor: &Descriptor<'_>, hits: Hits, units: u64) {
        let kinds: &[usize] = match hits {
            Hits::Within => &[0, 1],
            Hits::Near => &[0, 1, 2],
            Hits::Over => &[0, 3],
            Hits::Shadow => &[0, 3, 4],
            Hits::Spared => &[0],
        };
        let names = [descriptor.domain, descriptor.key1, descriptor.key2];
        let inner = &*self.0;
        let open = [
            inner.domains.of(names[0]),
            inner.keys.of(names[1]),
            inner.keys.of(names[2]),
        ]
        .map(|(value, fit)| inner.noted(value, fit, Overflow::Value));
        for kind in kinds {
            let make = |set: Set<3>| {
                let texts = [0, 1, 2].map(|place| set.open[place].text(names[place]));
                inner
                    .exposition
                    .count(METRICS[*kind], &texts.each_ref().map(String::as_str))
            };
            let set = Set {
                open,
                closed: *kind as u32,
            };
            let fit = inner.series.with(set, make, |count| count.add(units));
            inner.noted((), fit, Overflow::Series);
        }
    }
}

impl std::fmt::Debug for EnvoyMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EnvoyMetrics")
    }
}

// === impl Inner ===

impl Inner {
    /// `value`, once a bound that was reached is counted.
    fn noted<V>(&self, value: V, fit: Fit, bound: Overflow) -> V {
        if fit == Fit::Overflows {
            self.overflows[bound.index()].one();
        }
        value
    }
}
