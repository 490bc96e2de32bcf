//! What was acknowledged is durable, and there once: after each start the journal holds everything that was ever called
//! durable, every op that a honeycomb was told of is among its pieces as often as it was told, and no piece is chained
//! twice on one history.

use super::{Broken, Look};
use honeygraph::fork::record::Record;
use std::collections::BTreeSet;

const RULE: &str = "acked";

/// Right after a start, and at the end.
pub fn check(look: &Look<'_>) -> Result<(), Broken> {
    for (number, feeder) in look.feeders.iter().enumerate().filter(|(number, _)| look.is_fed_by(*number)) {
        for (text, told) in feeder.acked.lives.iter().flatten() {
            let held = look.node.durable_texts.get(text).copied().unwrap_or(0);
            if held < *told {
                let text = String::from_utf8_lossy(text);
                let what = format!("honeycomb {number} was told of {told} times {text}, the journal holds {held}");
                return Err(Broken::new(RULE, what));
            }
        }
    }
    let mut used = BTreeSet::new();
    for (lsn, (record, _)) in (1..).zip(&look.node.log) {
        let Record::Chain(chain) = record else { continue };
        if let Some(piece) = chain.pieces.iter().find(|piece| !used.insert((chain.branch, **piece))) {
            return Err(Broken::new(RULE, format!("piece {piece} is chained twice, again at {lsn}")));
        }
    }
    Ok(())
}
