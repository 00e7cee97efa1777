//! Metric names and closed label sets, the exporter, the decision record.
//!
//! Promises: every metric is listed once, with its help and its labels; no label takes an unbounded
//! string; recording waits for no IO, and names seen before are found without formatting or
//! allocating. Reads no environment and installs nothing global but the log.
//!
//! # Layout
//! * [`catalog`]: every metric. [`label`], [`shard`]: the values of closed labels.
//! * [`exposition`]: the recorder of a process, and its text for Prometheus.
//! * [`gateway`], [`counter`], [`envoy`], [`connection`]: what each part of the process records.
//! * [`record`]: one line for each decision. [`logging`]: the log.
//! * [`readiness`], [`admin`]: whether to get traffic, and the endpoint that shows it all.
//! * [`limits`]: the named maximum of everything here.

pub mod admin;
pub mod catalog;
pub mod connection;
pub mod counter;
pub mod envoy;
mod escape;
pub mod exposition;
pub mod gateway;
pub mod label;
pub mod limits;
pub mod logging;
pub mod readiness;
pub mod record;
mod series;
pub mod shard;

#[cfg(test)]
mod exposition_lint;

pub use admin::serve_admin;
pub use connection::{CertificateMetrics, ListenerMetrics};
pub use counter::CounterMetrics;
pub use envoy::EnvoyMetrics;
pub use exposition::{BuildInfo, Exposition};
pub use gateway::GatewayMetrics;
pub use readiness::{Latch, Readiness};
pub use record::DecisionRecord;
