//! Where the heads of peers stand that the operator trusts: evidence of now, as feeds are. A node without a feed of its own
//! follows them across a fork.
//!
//! *Always holds:* a peer speaks for the newest of its places that is held here, and for every history that leads through
//! it, our own first; nothing of it is in the journal but the move that came of it.

use super::machine::{Core, Effects};
use super::record::Node;
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;

/// Peers whose heads are weighed: an operator types them.
pub const TRUSTED_PEERS: usize = 64;
/// Places of one peer: its newest head is often not here yet.
pub const PLACES: usize = 16;

/// Of each trusted peer the places of its head, newest first: the opening hash of the period and the batch.
pub type Heads = Vec<Vec<(HashText, BatchId)>>;

impl Core {
    /// Where the heads of trusted peers stand now.
    pub fn peers_stand(&mut self, now: u64, mut heads: Heads, fx: &mut Effects) {
        heads.truncate(TRUSTED_PEERS);
        heads.iter_mut().for_each(|places| places.truncate(PLACES));
        self.peer_heads = heads;
        self.weigh(now, fx);
    }

    /// The place of each trusted peer's head, as far as it is known here.
    pub(super) fn peer_places(&self) -> Vec<Node> {
        let held = |(period, batch): &(HashText, BatchId)| match self.ledger.tree.named(period, *batch).as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        self.peer_heads.iter().filter_map(|places| places.iter().find_map(held)).collect()
    }
}
