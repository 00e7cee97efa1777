//! The MCP edge: hygiene, parse, session, policy, forward, filter, settle.

pub mod counters;
