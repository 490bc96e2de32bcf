//! A version is used once, a child branch has a greater number than its parent, versions grow along a chain, no view
//! names what is not there; the head stands on a live batch, and moves only onto the batch after it or by a record.

use super::{Broken, Look};
use honeygraph::fork::record::{Node, Record};
use honeygraph::projection::state::check;

const RULE: &str = "versions";

/// At any time.
pub fn check(look: &Look<'_>) -> Result<(), Broken> {
    let snapshot = look.running.state.reader().snapshot();
    let durable = *look.running.journal.durable().borrow();
    check::all(&snapshot, durable).map_err(|broken| Broken::new(RULE, broken.to_string()))?;
    tree(look)?;
    head(look)
}

/// The chain records themselves.
fn tree(look: &Look<'_>) -> Result<(), Broken> {
    let mut newest = None;
    for (lsn, (record, _)) in (1..).zip(&look.node.log) {
        match record {
            Record::Branch(born) => {
                let grows = newest.is_none_or(|newest| born.branch > newest);
                if !grows || born.parent.is_some_and(|parent| parent.branch >= born.branch) {
                    return Err(Broken::new(RULE, format!("record {lsn}: branch {} is not the newest", born.branch)));
                }
                newest = Some(born.branch);
            }
            Record::Chain(chain) => {
                let before = chain.prev.map(|prev| (prev, look.chains.get(&prev.version)));
                match before {
                    Some((prev, Some(_))) if prev.version < lsn => {}
                    Some((prev, _)) => return Err(Broken::new(RULE, format!("batch {lsn} stands on {prev:?}"))),
                    // Nothing is skipped: a first history begins at the start of a period.
                    None if chain.seq == 0 => {}
                    None => return Err(Broken::new(RULE, format!("batch {lsn} begins a history at {}", chain.seq))),
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The head is where the records put it, and that is a live batch.
fn head(look: &Look<'_>) -> Result<(), Broken> {
    let mut head: Option<Node> = None;
    for (lsn, (record, _)) in (1..).zip(&look.node.log) {
        match record {
            Record::Chain(chain) if chain.head => {
                if head != chain.prev {
                    let what = format!("batch {lsn} takes the head from {head:?}, it stands on {:?}", chain.prev);
                    return Err(Broken::new(RULE, what));
                }
                head = Some(Node { branch: chain.branch, version: lsn });
            }
            Record::Head(moved) => head = Some(moved.at),
            _ => {}
        }
    }
    let ledger = look.running.core.ledger();
    if ledger.head != head {
        return Err(Broken::new(RULE, format!("the head is {:?}, by the records {head:?}", ledger.head)));
    }
    let Some(at) = head else { return Ok(()) };
    if !look.chains.contains_key(&at.version) || ledger.tree.branch(at.branch).is_none_or(|state| state.retired) {
        return Err(Broken::new(RULE, format!("the head stands at {at:?}, which is no live batch")));
    }
    Ok(())
}

/// Once a start has decided, and ever after: the head is neither behind nor ahead. Without a verdict it is the newest
/// batch of its branch. (A death may come between the record that lifts a verdict and the one that moves the head.)
pub fn head_is_newest(look: &Look<'_>) -> Result<(), Broken> {
    let ledger = look.running.core.ledger();
    let Some(at) = ledger.head.filter(|_| ledger.verdicts.is_empty()) else { return Ok(()) };
    if ledger.tree.tip(at.branch) != Some(at) {
        return Err(Broken::new(RULE, format!("the head stands at {at:?}, its branch has gone on")));
    }
    Ok(())
}
