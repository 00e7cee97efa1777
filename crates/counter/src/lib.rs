//! The counter service: the gRPC front of the replicas, and the process around them.
//!
//! Promises: any node answers any request, and passes on to the leader what it cannot decide, one
//! hop, under the same id; nothing is answered before it is committed and applied.
//!
//! # Layout
//! * [`server`]: the process: listeners, services, shutdown.
//! * [`decide`]: decisions, local or passed on; [`mint`]: ids for callers without their own.
//! * [`caller`]: who asks, as far as it bounds what one of them may open.
//! * [`counter`], [`registry`], [`cluster`]: the services. * [`auth`]: tokens; [`roles`]:
//!   certificates, and which services they open.
//! * [`envoy`]: the rate-limit API of Envoy and of Kuadrant. [`reflection`]: what is served.
//! * [`ready`]: whether to get traffic. [`observe`]: the metrics. * [`limits`]: the named maximum of everything here.

mod auth;
mod backup;
mod caller;
mod cluster;
mod counter;
mod decide;
pub mod envoy;
pub mod limits;
mod mint;
mod observe;
mod ready;
mod reflection;
mod registry;
mod roles;
pub mod server;
#[cfg(test)]
mod tests;

pub use auth::gateway_token;
pub use server::{
    Bootstrap, Listeners, Port, Ports, Random, Server, ServerConfig, Services, StartError, dialer,
    tls_dialer,
};
