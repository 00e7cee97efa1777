//! The real gateway on loopback in front of a scripted upstream.

mod browsers;
mod calls;
mod channels;
mod lifecycle;
mod rooms;
mod sessions;
mod smuggling;
mod support;
mod tasks;
mod tls;
mod wire;
