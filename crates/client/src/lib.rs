//! The client of the counter service: leader routing, request ids, retries, the deny cache.
//!
//! Promises: every request is answered within its deadline; it is charged at most once, however
//! often it is sent; units that were taken for a request which got no admission are given back.
//! Knows no policy, and reads no clock and no randomness but those it is given.
//!
//! # Layout
//! * [`Client`]: what a caller holds; [`decision`]: what it learns; [`Ticket`]: what it may use.
//! * `shard`: one task, queue, stream and book of ids for each shard.
//! * `ack`, `deny`, `nodes`, `backoff`: the pure parts: which ids are settled, what is surely
//!   denied, which node is next, how long to pause.
//! * [`registry`]: the stream of servers, grants and policies.
//! * [`clock`], [`dialer`]: the seams.
//! * [`config`], [`limits`], [`stats`].

mod ack;
mod backoff;
mod client;
pub mod clock;
pub mod config;
pub mod decision;
mod deny;
pub mod dialer;
pub mod limits;
mod nodes;
pub mod registry;
mod reservation;
mod shard;
pub mod stats;
mod ticket;

pub use client::Client;
pub use clock::Clock;
pub use config::{Config, ConfigError};
pub use decision::{Decision, Invalid, Path, PeekError, Position};
pub use dialer::{DialError, Dialer};
pub use quotum_limit::Route;
pub use stats::Stats;
pub use ticket::Ticket;
