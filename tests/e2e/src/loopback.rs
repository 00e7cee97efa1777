//! Addresses of this machine that no other run uses: whoever has one has all its ports.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::Ipv4Addr;

/// A network of 254 hosts inside `127.0.0.0/8`, drawn at random.
#[derive(Debug, Clone, Copy)]
pub struct Loopback([u8; 2]);

// === impl Loopback ===

impl Loopback {
    pub fn draw() -> Self {
        let drawn = RandomState::new()
            .hash_one(std::process::id())
            .to_le_bytes();
        // Not 127.0: everything else is there.
        Self([drawn[0] | 1, drawn[1]])
    }

    /// The host with this number, from 1.
    pub fn host(self, number: u8) -> Ipv4Addr {
        let Self([second, third]) = self;
        Ipv4Addr::new(127, second, third, number)
    }
}
