//! No fork without a disagreement: where a branch leaves its parent, two honeycombs that feed the node wrote different
//! batches after that one (or the operator rolled back). The daily second run, a restart or a lost socket never make one,
//! but for the network's beginning: one that a restarted honeycomb told has another beside it, with the markers it left out.

use super::{Broken, Look};
use crate::sim::histories::{Histories, Written};
use honeygraph::fork::record::{Branch, BranchCause, Chain, Record};
use honeygraph_protocols::batch::BatchId;
use std::collections::BTreeSet;

const RULE: &str = "daily";

/// At any time.
pub fn check(look: &Look<'_>, histories: &Histories) -> Result<(), Broken> {
    let first = look.chains.keys().next();
    for (lsn, (record, _)) in (1_u64..).zip(&look.node.log) {
        let Record::Branch(born) = record else { continue };
        match born.cause {
            // A node that died between the birth of a branch and its first batch begins again, on the next branch.
            BranchCause::First if first.is_none_or(|first| lsn < *first) => {}
            BranchCause::Rollback => {}
            BranchCause::Fork if disagree(look, histories, born) => {}
            _ => {
                let place = |chain: &Chain| {
                    format!("{}/{}+{} of pieces {:?}", chain.period, chain.seq, chain.count, chain.pieces)
                };
                let parent = born.parent.and_then(|node| look.chains.get(&node.version)).map(|chain| place(chain));
                let after = look.chains.values().filter(|chain| chain.prev == born.parent);
                let after: Vec<String> = after.map(|chain| format!("{} on {}", place(chain), chain.branch)).collect();
                let last = look.chains.values().rfind(|chain| chain.prev == born.parent);
                let piece = last.and_then(|chain| look.node.log.get(*chain.pieces.first()? as usize - 1));
                let piece = piece.map(|(record, body)| (record, body.as_deref().map(String::from_utf8_lossy)));
                let what =
                    format!("record {lsn}: {born:?}, and nobody disagrees after {parent:?}: {after:?}; of {piece:?}");
                return Err(Broken::new(RULE, what));
            }
        }
    }
    Ok(())
}

/// Whether two honeycombs of the node go on differently after the batch that a branch leaves.
fn disagree(look: &Look<'_>, histories: &Histories, born: &Branch) -> bool {
    let fed: Vec<usize> = (0..look.feeders.len()).filter(|feeder| look.is_fed_by(*feeder)).collect();
    let Some(parent) = born.parent.and_then(|node| look.chains.get(&node.version)) else {
        return fed.iter().any(|feeder| begins_twice(look, histories.of(*feeder), born));
    };
    let after = fed.into_iter().filter_map(|feeder| {
        let written = histories.of(feeder);
        Some(written.chain.get(written.place(&parent.id)? + 1)?.id)
    });
    after.collect::<BTreeSet<BatchId>>().len() > 1
}

/// Whether a branch without a parent begins with the same period as another one, and of the two one is this honeycomb's own
/// history, the other what it told of it after a restart.
fn begins_twice(look: &Look<'_>, written: &Written, born: &Branch) -> bool {
    let first = || look.chains.values().filter(|chain| chain.prev.is_none());
    let own = first().find(|chain| chain.branch == born.branch);
    let is_written = |own: &Chain, told: &Chain| own.id == told.id || written.place(&own.id).is_some();
    first().any(|told| {
        written.place_anew(&told.id).is_some()
            && own.is_none_or(|own| own.period == told.period && is_written(own, told))
    })
}
