//! What the end-to-end scenarios are made of: processes that never outlive their test, a cluster as
//! `quotum dev` starts it, a load balancer, MCP clients and upstream servers.
//!
//! # Layout
//! * [`bench`]: what one scenario has around it; [`tools`]: the programs that a scenario needs
//! * [`process`]: a child process that ends with its test, however the test ends
//! * [`dev`], [`plain`], [`operator`], [`balancer`], [`envoy`], [`upstream`], [`prometheus`]: the programs
//!   under test;
//!   [`authority`]: the certificates of some; [`secured`]: a cluster over TLS; [`secret`]: its files
//! * [`manifests`], [`pod`]: what Kubernetes would run
//! * [`http`], [`mcp`], [`sdk`]: clients; [`burst`]: many of them at once; [`drip`]: a steady load
//! * [`minute`], [`metrics`], [`poll`]: reading the log clock, a figure, a change
//! * [`loopback`]: addresses for processes that cannot share one; [`named`]: names for them

pub mod authority;
pub mod balancer;
pub mod bench;
pub mod burst;
pub mod dev;
pub mod drip;
pub mod envoy;
pub mod failure;
pub mod http;
pub mod limits;
pub mod loopback;
pub mod manifests;
pub mod mcp;
pub mod metrics;
pub mod minute;
pub mod named;
pub mod operator;
pub mod plain;
pub mod pod;
pub mod poll;
pub mod process;
pub mod prometheus;
pub mod sdk;
pub mod secret;
pub mod secured;
pub mod settings;
pub mod tools;
pub mod upstream;
