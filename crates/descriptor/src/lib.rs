//! Envoy's rate-limit descriptors: what envoyproxy/ratelimit's files configure, and what a request
//! asks of it.
//!
//! Promises: its files are taken unchanged, or refused with file, line and the nearest key; one
//! request is one atomic decision; no name of a counter can be written as another's; a decision
//! against the request charges nothing. Knows no IO and no time: texts come in, items go out.
//!
//! # Layout
//! * [`config`]: files to limits. `yaml`: texts to trees. [`problem`]: what is wrong with them.
//! * [`domain`]: which limit a descriptor has. [`pattern`]: values with `*`. [`key`]: counters.
//! * [`plan`]: a request to the items of one decision. [`judge`]: its outcome to statuses.
//! * [`limits`]: the named maximum of everything here.

pub mod config;
pub mod domain;
pub mod judge;
pub mod key;
pub mod limits;
pub mod pattern;
pub mod plan;
pub mod problem;
mod yaml;

pub use config::{Config, File};
pub use domain::{Domain, Found, Limit, Metadata, Mode, Quantity, Unit};
pub use judge::{Judgement, Status, Usage};
pub use plan::{Asked, Entry, Override, Plan, Request, RequestError};
pub use problem::{ConfigError, Problem};
