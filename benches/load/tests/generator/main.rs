//! The program against a node that decides for real, and against an MCP server.

mod calls;
mod decisions;
mod node;
mod program;
mod redis;
mod server;
mod tls;
