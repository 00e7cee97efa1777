//! The MCP edge: hygiene, parse, session, policy, forward, filter, settle.

pub mod config;
pub mod counters;
pub mod era;
pub mod filter;
pub mod headers;
pub mod hygiene;
pub mod json;
pub mod limits;
pub mod reply;
pub mod shape;
pub mod sse;
pub mod status;
