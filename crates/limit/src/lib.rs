//! The rate-limit decision: may these units be taken from these counters now?
//!
//! Promises: log time never goes back; `charged <= max in force` after every command; a denied
//! command changes no counter; one id is charged at most once; the same commands give the same
//! state on every replica. Knows nothing of clocks, nodes or disks: time arrives with the command.
//!
//! # Layout
//! * [`state`]: the state machine; [`clock`]: how a leader stamps log time.
//! * [`codec`]: log entries as bytes; [`snapshot`]: the state as bytes.
//! * [`command`]: what can be asked, and what is answered.
//! * [`window`]: how time is cut into windows.
//! * [`key`]: what names a counter; [`route`]: which shard it lives in.
//! * [`limits`]: the named maximum of everything here.

#[cfg(quotum_bugs)]
pub mod bugs;
pub mod clock;
pub mod codec;
pub mod command;
pub mod key;
pub mod limits;
pub mod route;
pub mod snapshot;
pub mod state;
pub mod window;

pub use clock::{LogClock, Reading, Stamp};
pub use codec::{DecodeError, Entry};
pub use command::{
    Algorithm, Batch, Bound, Caller, Caps, Command, Epoch, Item, ItemState, ItemStates, Items,
    Outcome, Refusal, RequestId,
};
pub use key::{Key, KeyError, Tenant};
pub use route::Route;
pub use state::State;
pub use window::{LogTime, Window, WindowError};
