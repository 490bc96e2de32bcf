//! The dice of a run: everything random comes from here.

use honeygraph::swarm::sync::chance::Chance as Stream;

/// The dice of a seed.
#[derive(Clone, Debug)]
pub struct Chance(Stream);

impl Chance {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Stream::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5151_5151))
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    /// A number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0.below(limit)
    }

    /// A place in something of that length.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
