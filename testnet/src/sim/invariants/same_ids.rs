//! Two nodes fed by two honest honeycombs have equal ids: what lies on both from the later of their bases on is the
//! honest chain, to its last batch.

use super::{Broken, Look};
use crate::sim::feeder::Feeder;
use crate::sim::histories::{Histories, history};
use crate::sim::node::Node;
use honeygraph::fork::record;
use honeygraph_protocols::batch::BatchId;

const RULE: &str = "same_ids";

/// At the end.
pub fn check(nodes: &[Node], feeders: &[Feeder], histories: &Histories, whole: bool) -> Result<(), Broken> {
    let mut honest: Vec<Vec<BatchId>> = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let Some(look) = Look::at(number, node, feeders) else { continue };
        honest.extend(longest(&look, histories));
    }
    for pair in honest.windows(2) {
        let [one, other] = pair else { continue };
        let from = |of: &[BatchId], first: &BatchId| of.iter().position(|id| id == first);
        let shared = match (from(one, &other[0]), from(other, &one[0])) {
            (Some(at), _) => (&one[at..], &other[..]),
            (None, Some(at)) => (&one[..], &other[at..]),
            (None, None) if whole => return Err(Broken::new(RULE, "two nodes share no batch")),
            // One of them has come no further than where the other begins.
            (None, None) => continue,
        };
        let common = shared.0.len().min(shared.1.len());
        if shared.0[..common] != shared.1[..common] || (whole && shared.0.len() != shared.1.len()) {
            let what = format!("{} and {} batches of one chain, not the same", shared.0.len(), shared.1.len());
            return Err(Broken::new(RULE, what));
        }
    }
    Ok(())
}

/// The longest history of a node that an honest honeycomb wrote.
fn longest(look: &Look<'_>, histories: &Histories) -> Option<Vec<BatchId>> {
    let tips = look.running.core.ledger().tree.branches();
    let chains = tips.map(|(branch, state)| history(&look.chains, record::Node { branch, version: state.tip }));
    let honest = |feeder: usize| look.is_fed_by(feeder) && !look.feeders[feeder].dissents();
    let honest = chains.filter(|batches| histories.writer(batches, honest).is_some());
    honest.max_by_key(Vec::len).map(|batches| batches.iter().map(|chain| chain.id).collect())
}
