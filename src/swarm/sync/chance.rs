//! Seeded jitter: retries of many nodes must not come at one moment.

/// A SplitMix64 stream.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit.max(1)
    }

    /// A wait before the next try: twice as long each time, up to a minute, a quarter of it by chance.
    pub fn backoff(&mut self, tries: u32) -> u64 {
        const FIRST_MS: u64 = 500;
        const LONGEST_MS: u64 = 60_000;
        let wait = (FIRST_MS << tries.saturating_sub(1).min(10)).min(LONGEST_MS);
        wait - wait / 4 + self.below(wait / 4 + 1)
    }
}
