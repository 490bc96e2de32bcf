//! How much one peer may tell us (what it may ask, `serve::allowance` says): token buckets on passed-in time.
//!
//! *Always holds:* a bucket never holds more than its burst; what was refused has cost nothing.

/// Gossip messages a second of one author: a head each batch of a busy network, and votes.
pub const GOSSIP: Rate = Rate { per_second: 20, burst: 200 };

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens a second.
    pub per_second: u64,
    /// Most tokens.
    pub burst: u64,
}

/// A bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    rate: Rate,
    /// Thousandths of tokens.
    level: u64,
    at: u64,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate, now: u64) -> Self {
        Self { rate, level: rate.burst * 1_000, at: now }
    }

    /// Takes tokens, all or none. None: when they will be there, ms; never later than a full bucket.
    pub fn take(&mut self, now: u64, tokens: u64) -> Result<(), u64> {
        let filled = now.saturating_sub(self.at).saturating_mul(self.rate.per_second);
        self.level = self.level.saturating_add(filled).min(self.rate.burst * 1_000);
        self.at = self.at.max(now);
        let cost = tokens.min(self.rate.burst) * 1_000;
        match self.level.checked_sub(cost) {
            Some(level) => {
                self.level = level;
                Ok(())
            }
            None => Err((cost - self.level).div_ceil(self.rate.per_second)),
        }
    }
}
