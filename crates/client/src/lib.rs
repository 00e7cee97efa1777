//! The client of the counter service: leader routing, request ids, retries, the deny cache.

pub mod decision;

pub use decision::{Decision, Path, Position, Route};
