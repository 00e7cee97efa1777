//! Routes: which shard a counter lives in.

/// Names the shard of an item: equal routes share a shard, so their items are one atomic decision.
/// The hash of a grant's id, of a server's name, of an Envoy domain, or [`Route::GLOBAL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route(pub u64);

// === impl Route ===

impl Route {
    /// The slot of limits that the whole cluster shares.
    pub const GLOBAL: Self = Self(0);

    /// The route of a name: FNV-1a, which is fixed for ever, since it decides where counters live.
    pub fn of(name: &[u8]) -> Self {
        let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(hash)
    }

    /// The shard of this route among `shards`, of which there must be at least one. Mixed first,
    /// because the low bits of a route may be alike; fixed for ever, as [`Route::of`] is.
    pub fn shard(self, shards: u32) -> u32 {
        let shard = mix(self.0) % u64::from(shards);
        u32::try_from(shard).expect("less than a u32")
    }
}

/// The finalizer of splitmix64: each input bit changes each output bit half of the time.
pub fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_their_shards_never_change() {
        assert_eq!(Route::of(b"bench"), Route(0xd7e5_ac5e_896d_1d39));
        assert_eq!(Route::of(b"bench").shard(64), 59);
        assert_eq!(Route::GLOBAL.shard(64), 0);
    }
}
