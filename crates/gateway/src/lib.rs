//! The MCP edge: hygiene, parse, session, policy, forward, filter, settle.
