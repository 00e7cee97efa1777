//! Which counter the next decision asks for: each is as likely as any other.

/// Every key begins with this; the number of the key follows.
pub(crate) const PREFIX: &[u8] = b"load-";

/// Hexadecimal digits of a number.
pub(crate) const DIGITS: usize = 8;

/// Draws keys.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    count: u64,
    random: u64,
}

// === impl Keys ===

impl Keys {
    /// Draws one of `count` keys. Clients with other seeds draw in another order.
    pub(crate) fn new(count: u32, seed: u64) -> Self {
        Self {
            count: count.into(),
            random: seed,
        }
    }

    /// The digits of the next key.
    pub(crate) fn draw(&mut self) -> [u8; DIGITS] {
        let mut key = (u128::from(self.bits()) * u128::from(self.count)) >> 64;
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b"0123456789abcdef"[(key & 15) as usize];
            key >>= 4;
        }
        digits
    }

    /// 64 random bits: SplitMix64.
    fn bits(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}
