//! The exposition: one recorder for each process, and its text for Prometheus.
//!
//! Promises: every metric comes from the catalog and has its help and its buckets; nothing is
//! global, so that two of them live side by side. Serves nothing itself.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

use crate::catalog::{self, Kind, Metric};

/// All metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Exposition {
    recorder: Arc<PrometheusRecorder>,
}

/// What this process was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildInfo {
    pub version: String,
    /// The revision of the source.
    pub revision: String,
}

/// A count that only rises.
#[derive(Clone)]
pub struct Count(Counter);

/// A value that rises and falls.
#[derive(Clone)]
pub struct Reading(Gauge);

/// A distribution of durations.
#[derive(Clone)]
pub struct Durations(Histogram);

/// A distribution of sizes.
#[derive(Clone)]
pub struct Sizes(Histogram);

// === impl Exposition ===

impl Exposition {
    /// Describes every metric of the catalog. Those with closed labels appear, at 0, when the part
    /// of the process is made that records them.
    pub fn new(build: &BuildInfo) -> Self {
        let histograms = catalog::ALL
            .iter()
            .filter(|metric| metric.kind == Kind::Histogram);
        let builder = histograms.fold(PrometheusBuilder::new(), |builder, metric| {
            let name = Matcher::Full(metric.name.to_owned());
            builder
                .set_buckets_for_metric(name, metric.buckets)
                .expect("every histogram of the catalog has buckets")
        });
        let exposition = Self {
            recorder: Arc::new(builder.build_recorder()),
        };
        catalog::ALL
            .iter()
            .for_each(|metric| exposition.describe(metric));
        exposition
            .reading(&catalog::BUILD_INFO, &[&build.version, &build.revision])
            .set(1.0);
        exposition
    }

    /// The text of all metrics, as Prometheus reads it.
    pub fn render(&self) -> String {
        self.recorder.handle().render()
    }

    /// Gathers waiting samples into histograms, so that they take no memory.
    pub fn upkeep(&self) {
        self.recorder.handle().run_upkeep();
    }

    pub(crate) fn count(&self, metric: &'static Metric, values: &[&str]) -> Count {
        assert_eq!(metric.kind, Kind::Counter, "{}", metric.name);
        Count(
            self.recorder
                .register_counter(&key(metric, values), &METADATA),
        )
    }

    pub(crate) fn reading(&self, metric: &'static Metric, values: &[&str]) -> Reading {
        assert_eq!(metric.kind, Kind::Gauge, "{}", metric.name);
        Reading(
            self.recorder
                .register_gauge(&key(metric, values), &METADATA),
        )
    }

    pub(crate) fn durations(&self, metric: &'static Metric, values: &[&str]) -> Durations {
        Durations(self.histogram(metric, values))
    }

    pub(crate) fn sizes(&self, metric: &'static Metric, values: &[&str]) -> Sizes {
        Sizes(self.histogram(metric, values))
    }

    fn histogram(&self, metric: &'static Metric, values: &[&str]) -> Histogram {
        assert_eq!(metric.kind, Kind::Histogram, "{}", metric.name);
        self.recorder
            .register_histogram(&key(metric, values), &METADATA)
    }

    fn describe(&self, metric: &'static Metric) {
        let (name, help) = (metric.name.into(), metric.help.into());
        match metric.kind {
            Kind::Counter => self.recorder.describe_counter(name, None, help),
            Kind::Gauge => self.recorder.describe_gauge(name, None, help),
            Kind::Histogram => self.recorder.describe_histogram(name, None, help),
        }
    }
}

impl std::fmt::Debug for Exposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exposition")
    }
}

// === impl Count ===

impl Count {
    pub fn one(&self) {
        self.0.increment(1);
    }

    pub fn add(&self, count: u64) {
        self.0.increment(count);
    }
}

// === impl Reading ===

impl Reading {
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// Sets an integer; beyond 2^53 to the nearest that a metric can show.
    pub fn set_integer(&self, value: u64) {
        self.0.set(value as f64);
    }
}

// === impl Durations ===

impl Durations {
    pub fn observe(&self, duration: Duration) {
        self.0.record(duration.as_secs_f64());
    }
}

// === impl Sizes ===

impl Sizes {
    pub fn observe(&self, size: usize) {
        self.0.record(size as f64);
    }
}

static METADATA: Metadata<'static> = Metadata::new("quotum", Level::INFO, None);

fn key(metric: &'static Metric, values: &[&str]) -> Key {
    assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels = metric.labels.iter().zip(values);
    let labels: Vec<Label> = labels
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(metric.name, labels)
}
