//! How much of this node one peer may use: bytes and work, both counted in bytes.
//!
//! *Always holds:* what a peer has used comes back at [`RATE`]; a peer that has used up its share waits, whatever it asks,
//! and nobody else waits for it. At most [`MAX_PEERS`] are counted.

use libp2p::PeerId;
use std::collections::BTreeMap;

/// Bytes a second that one peer may draw for long: what one core reads, hashes and sends of a journal is several times
/// that, so several peers catch up at full speed and one cannot take the disk from the node's own feed.
pub const RATE: u64 = 128 << 20;
/// Bytes that it may draw at once.
pub const BURST: u64 = 256 << 20;
/// Peers counted: more than connections. Beyond it the one that has used least is forgotten.
const MAX_PEERS: usize = 512;

/// What every question costs beside its answer, in bytes: a wake-up, a snapshot, some rows.
pub const QUESTION: u64 = 64 << 10;
/// What looking at one batch costs, in bytes.
pub const LOOK: u64 = 512;

#[derive(Clone, Copy, Debug)]
struct Used {
    bytes: u64,
    at_ms: u64,
}

/// What each peer has used.
#[derive(Debug, Default)]
pub struct Allowance(BTreeMap<PeerId, Used>);

impl Allowance {
    /// Whether a peer may ask now; else in how many ms.
    pub fn may(&mut self, peer: PeerId, now_ms: u64) -> Result<(), u32> {
        let used = self.settle(peer, now_ms);
        match used.bytes.checked_sub(BURST) {
            None | Some(0) => Ok(()),
            Some(over) => Err(u32::try_from(over * 1000 / RATE + 1).unwrap_or(u32::MAX)),
        }
    }

    /// Counts what an answer has cost.
    pub fn spend(&mut self, peer: PeerId, cost: u64, now_ms: u64) {
        self.settle(peer, now_ms).bytes += cost;
    }

    fn settle(&mut self, peer: PeerId, now_ms: u64) -> &mut Used {
        if self.0.len() >= MAX_PEERS
            && !self.0.contains_key(&peer)
            && let Some(least) = self.0.iter().min_by_key(|(_, used)| used.bytes).map(|(peer, _)| *peer)
        {
            self.0.remove(&least);
        }
        let used = self.0.entry(peer).or_insert(Used { bytes: 0, at_ms: now_ms });
        // A clock that went back gives nothing back.
        let back = now_ms.saturating_sub(used.at_ms).saturating_mul(RATE / 1000);
        (used.bytes, used.at_ms) = (used.bytes.saturating_sub(back), now_ms);
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_much_waits_and_nobody_else_does() {
        let (greedy, modest) = (PeerId::random(), PeerId::random());
        let mut allowance = Allowance::default();
        let mut now = 1_000;
        let mut drawn = 0;
        while allowance.may(greedy, now).is_ok() {
            allowance.spend(greedy, 1 << 20, now);
            drawn += 1 << 20;
        }
        assert!((BURST..=BURST + (2 << 20)).contains(&drawn), "{drawn}");
        assert_eq!(allowance.may(modest, now), Ok(()));
        let wait = allowance.may(greedy, now).unwrap_err();
        now += u64::from(wait);
        // Guards against: the wait was told in seconds, and the peer came back to be refused again.
        assert_eq!(allowance.may(greedy, now), Ok(()));
    }

    #[test]
    fn peers_that_are_counted_are_bounded() {
        let mut allowance = Allowance::default();
        let greedy = PeerId::random();
        allowance.spend(greedy, 2 * BURST, 0);
        for _ in 0..2 * MAX_PEERS {
            allowance.spend(PeerId::random(), 1, 0);
        }
        assert!(allowance.0.len() <= MAX_PEERS);
        assert!(allowance.may(greedy, 0).is_err(), "strangers do not make us forget who used much");
    }
}
