//! Once the faults end everything heals: what every honeycomb wrote is chained to its last batch and acknowledged, the
//! state has come to the end, nothing is parked that has a place. Where something was lost for good (a cache was trimmed
//! before it could be asked for), that is never silent: a gap is shown, or a reason why a lane is held up.

use super::forks_apart::is_at_the_end;
use super::{Broken, Look};
use crate::sim::histories::{Histories, history};
use honeygraph::fork::record::{Gap, Node};

const RULE: &str = "healed";

/// Whether nothing is on its way: no question, no gap, nothing held up.
pub fn calm(look: &Look<'_>) -> bool {
    let status = look.running.core.status();
    let idle = status.lanes.iter().all(|lane| lane.parked.is_none());
    let gap = status.gaps.iter().any(|gap| !is_before_base(look, &gap.gap));
    !gap && idle && status.lsn == *look.running.journal.durable().borrow()
}

/// Whether a hole lies in what nothing opened: it has no place, and is nobody's loss.
fn is_before_base(look: &Look<'_>, gap: &Gap) -> bool {
    let book = look.running.core.ledger().books.get(&gap.lane).and_then(|book| book.periods.get(&gap.ordinal));
    book.is_none_or(|period| !period.opened)
}

/// At the end.
pub fn check(look: &Look<'_>, histories: &Histories, whole: bool) -> Result<(), Broken> {
    if !is_at_the_end(look.running) {
        return Err(Broken::new(RULE, format!("the state of node {} is behind its journal", look.number)));
    }
    let missing = missing(look, histories);
    if !whole {
        let status = look.running.core.status();
        let silent = status.gaps.is_empty() && status.lanes.iter().all(|lane| lane.parked.is_none());
        return match missing {
            Some(what) if silent => Err(Broken::new(RULE, format!("silently, {what}"))),
            _ => Ok(()),
        };
    }
    missing.or_else(|| parked(look)).map_or(Ok(()), |what| Err(Broken::new(RULE, format!("{what}\n{}", told(look)))))
}

/// A honeycomb whose newest batch is no tip.
fn missing(look: &Look<'_>, histories: &Histories) -> Option<String> {
    let tree = &look.running.core.ledger().tree;
    for (number, feeder) in look.feeders.iter().enumerate().filter(|(number, _)| look.is_fed_by(*number)) {
        let Some(last) = histories.of(number).chain.last() else { continue };
        let stands = tree.branches().any(|(branch, state)| {
            history(&look.chains, Node { branch, version: state.tip }).last().is_some_and(|chain| chain.id == last.id)
        });
        if !stands {
            let period = &last.header.period;
            return Some(format!(
                "honeycomb {number} at node {}: {period}/{} of label {} is no tip",
                look.number, last.header.seq, last.label
            ));
        }
        let unacked = feeder.socket.as_ref().map(|socket| socket.unheld(&feeder.acked, look.node)).unwrap_or_default();
        if let Some((index, text)) = unacked.first() {
            let all = unacked.len();
            return Some(format!(
                "honeycomb {number} at node {}: {all} ops unacked, first {index} {text}",
                look.number
            ));
        }
    }
    None
}

/// A piece that is parked although its place is known.
fn parked(look: &Look<'_>) -> Option<String> {
    let ledger = look.running.core.ledger();
    for (lane, book) in &ledger.books {
        for (ordinal, period) in &book.periods {
            let Some(hash) = period.hash.as_ref().filter(|_| period.opened && !period.pieces.is_empty()) else {
                continue;
            };
            let from = period.pieces.first_key_value().map(|(seq, piece)| (*seq, piece.count, piece.close));
            let held = period.pieces.len();
            return Some(format!(
                "lane {lane}/{ordinal} holds {held} pieces of {hash}, the first at {from:?}, next {}",
                period.next
            ));
        }
    }
    None
}

/// What explains a node that has not healed.
pub fn told(look: &Look<'_>) -> String {
    let status = look.running.core.status();
    let mut text = String::new();
    for event in status.events.iter().rev().take(30).rev() {
        text += &format!("  event {} {} {}\n", event.at_ms, event.event, event.about);
    }
    for gap in &status.gaps {
        text += &format!("  gap {:?} {} tries {}\n", gap.gap, gap.phase, gap.tries);
    }
    for lane in &status.lanes {
        text += &format!("  lane {lane:?}\n");
    }
    for (lane, book) in &look.running.core.ledger().books {
        for (ordinal, period) in book.periods.iter().rev().take(9) {
            text += &format!(
                "  book {lane}/{ordinal} label {:?} hash {:?} before {:?} opened {} placed {} next {} least {} ended {} runs {:?} pieces {:?}\n",
                period.label,
                period.hash.as_ref().map(|hash| hash.as_str()),
                period.before,
                period.opened,
                period.placed,
                period.next,
                period.least,
                period.ended,
                period.runs,
                period.pieces.iter().take(4).map(|(seq, piece)| (*seq, piece.count, piece.close)).collect::<Vec<_>>()
            );
        }
    }
    text + &format!("  parked {:?}", status.parked)
}
