//! The chain that a node must arrive at: the honest batches with their headers and ids, computed from [`Truth`] alone.

use super::truth::{Batch, Period, Truth};
use honeygraph_protocols::batch::{BatchId, Header, Parent};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op::push_text;
use std::sync::Arc;

/// A batch at its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Chained {
    /// Number of its period in the truth.
    pub period: u64,
    /// Block of the checkpoint that opened the period.
    pub label: u64,
    /// Its header.
    pub header: Header,
    /// The header's id.
    pub id: BatchId,
    /// Canonical texts of its ops.
    pub ops: Vec<Arc<str>>,
}

impl Truth {
    /// All batches of kept periods whose opening hash is known, in order. An open batch counts once a checkpoint
    /// closed it.
    pub fn chain(&self, network: &str) -> Vec<Chained> {
        let periods = (self.dropped..).zip(&self.periods);
        periods.flat_map(|(number, period)| period.chain(network, number)).collect()
    }
}

impl Period {
    fn chain(&self, network: &str, number: u64) -> Vec<Chained> {
        let Some(hash) = self.opening.as_deref().and_then(HashText::new) else { return Vec::new() };
        let (mut parent, mut seq, mut chain) = (Parent::Period(hash.clone()), 0, Vec::new());
        for batch in self.batches.iter().filter(|batch| batch.marked || self.close.is_some()) {
            let count = batch.ops.len() as u64;
            let (network, period) = (network.to_owned(), hash.clone());
            let header = Header { v: Header::VERSION, network, period, seq, parent, count, ops_hash: batch.ops_hash() };
            let id = header.id();
            parent = Parent::Batch(id);
            seq += count + u64::from(batch.marked);
            chain.push(Chained { period: number, label: self.label, header, id, ops: batch.ops.clone() });
        }
        chain
    }
}

impl Batch {
    /// blake3 over the length-prefixed texts.
    pub fn ops_hash(&self) -> [u8; 32] {
        let mut body = Vec::new();
        self.ops.iter().for_each(|op| push_text(op.as_bytes(), &mut body));
        *blake3::hash(&body).as_bytes()
    }
}
