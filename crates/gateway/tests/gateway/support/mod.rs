//! What the tests share: an authority of their own, counters in memory, a scripted upstream, a gateway, a client.

pub(crate) mod authority;
pub(crate) mod client;
pub(crate) mod counters;
pub(crate) mod gateway;
pub(crate) mod upstream;

pub(crate) use client::{Answer, Ask};
pub(crate) use counters::{Memory, Mood};
pub(crate) use gateway::{Rig, RigBuilder};
pub(crate) use upstream::{Scripted, Seen, Upstream};
