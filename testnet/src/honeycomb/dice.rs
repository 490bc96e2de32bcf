//! Seeded dice: every draw is a function of (seed, purpose, number), so that content can be made again at any block.

/// A SplitMix64 stream.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

impl Dice {
    /// The stream for one purpose and number (usually a block).
    pub(super) fn new(seed: u64, purpose: &str, number: u64) -> Self {
        let mut dice = Self(seed ^ GOLDEN);
        for byte in purpose.bytes() {
            dice.0 = dice.next().wrapping_add(u64::from(byte));
        }
        dice.0 = dice.next() ^ number;
        dice
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit` (0 for a limit of 0).
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.next() % limit }
    }

    /// True once in `n`; never for 0.
    pub(super) fn once_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// 40 hex digits, like a transaction id.
    pub(super) fn txid(&mut self) -> String {
        format!("{:016x}{:016x}{:08x}", self.next(), self.next(), self.next() as u32)
    }

    /// A text shaped like a CIDv0 (`Qm`, 46 characters).
    pub(super) fn qm(&mut self) -> String {
        let tail = (0..44).map(|_| BASE58[self.below(58) as usize] as char);
        ['Q', 'm'].into_iter().chain(tail).collect()
    }
}
