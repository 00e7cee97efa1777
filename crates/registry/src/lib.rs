//! Servers, grants and policies as replicated state. Pure.
//!
//! Promises: the same commands give the same bytes on every node; a command is applied whole or
//! not at all; a grant always names a server and a policy that exist; revisions never fall. Knows
//! nothing of clocks, disks, nodes or randomness: time, ids, tokens and nonces are arguments.
//!
//! # Layout
//! * [`server`], [`policy`], [`grant`]: what is registered; [`name`] and [`upstream`]: their parts.
//! * [`administrator`]: who may change and look at it.
//! * [`command`]: what can be asked, and what is answered.
//! * [`state`]: what every node holds; commands are applied there, and encoded.
//! * [`view`]: the same as a gateway uses it: policies compiled, credentials opened.
//! * [`secret`]: the master key, tokens, sealed credentials.
//! * [`documents`]: what operators write, and the changes that lead there.
//! * [`limits`]: the named maximum of everything here.

pub mod administrator;
pub mod command;
pub mod documents;
pub mod grant;
pub mod limits;
pub mod name;
pub mod policy;
#[cfg(test)]
mod sample;
pub mod secret;
pub mod server;
pub mod state;
pub mod upstream;
pub mod view;

pub use command::{Change, Command, Outcome, Refused};
pub use secret::MasterKey;
pub use state::State;
pub use view::View;
