//! Histories of what clients were told, and what must hold of them.
//!
//! A history is a list of events, one JSON object a line, in the order of one clock that stood
//! outside the system: the real-time oracle. Simulated clusters and clusters of real processes
//! write the same format, and [`check`] judges both. It knows requests, answers and the log, and
//! nothing of Raft, runtimes, disks or our own crates: what it expects is written here anew.
//!
//! # Layout
//! * [`history`]: the events. [`index`]: what belongs together. [`replay`]: a naive model that
//!   decides the log again.
//! * [`invariant`]: what must hold, a file each. [`coverage`]: whether a run had enough in it.
//! * [`report`]: the verdict. [`limits`]: the promises as numbers.

pub mod coverage;
pub mod history;
pub mod index;
pub mod invariant;
pub mod limits;
pub mod replay;
pub mod report;
#[cfg(test)]
mod sample;

pub use history::{Event, What};
pub use report::{Report, Violation, check};
