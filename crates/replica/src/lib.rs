//! Consensus: the counters' shards and the registry, each a Raft group of the same nodes.
//!
//! Promises: what was answered is on the disks of a majority; every replica applies the same
//! entries in the same order; log time never goes back. This is the only crate that names
//! openraft. Clock, disk, network and randomness come through seams, so that the same code runs
//! on a simulated world.
//!
//! # Layout
//! * [`node`]: one process: its identity, its groups, its peers.
//! * [`propose`]: many decisions, one log entry; [`refuse`]: what needs none. * [`clock`]: stamps and the reference clock.
//! * [`log`]: votes and entries on disk. * [`apply`], [`machine`], [`snapshot`]: what they build.
//! * [`network`], [`peer`]: the two ends of a connection between nodes. * [`wire`]: its messages.
//! * [`contact`]: who leads and is heard. [`disk`]: the seam to the disk. [`observe`]: the seam to whoever watches. * [`limits`]: the named maximum of everything here.

pub mod apply;
#[cfg(quotum_bugs)]
mod bugs;
pub mod clock;
mod contact;
pub mod disk;
pub mod limits;
pub mod log;
pub mod machine;
pub mod network;
pub mod node;
pub mod observe;
pub mod peer;
pub mod propose;
pub mod raft;
mod refuse;
mod snapshot;
mod wire;

pub use log::{Durability, LogConfig, LogError, ShardId};
pub use machine::Machine;
pub use network::{Channels, ClusterId, Dialer};
pub use node::{Node, NodeConfig, NodeError, Seams};
pub use propose::{Decided, ProposeError};
pub use raft::{Member, Reply};
