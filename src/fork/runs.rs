//! What a client's cache shows when it is asked for the first indexes: the beginning of every run that it still has, in
//! the order in which it wrote them.
//!
//! *Always holds:* a run is called a period's only by the period's own `put stats.pendingHash`, with nothing before it
//! but ops under another label (the speed of a machine decides how many), or by the hash that its ops carry. A replay
//! after a restart has the same label on both sides of that put, and stays unknown.

use super::rules::Rules;
use honeygraph_protocols::honeycomb::{HashText, Item, What};
use std::ops::Range;

/// What a run is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// It begins the period with this hash and opening label.
    Period { hash: HashText, label: Option<u64> },
    /// It is the daily second run of the period before it.
    Second,
    /// It begins the period after the one before it, whose hash it has not written yet.
    Unnamed,
    /// Nobody can tell.
    Unknown,
}

/// A run of the cache.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    /// Its items in the answer.
    pub items: Range<usize>,
    /// What it is.
    pub kind: Kind,
    /// It is the first that the client has, without hashes: perhaps older periods written again.
    pub is_oldest: bool,
    /// Its last index, when the answer shows that it has ended.
    pub end: Option<u64>,
}

/// The runs of an answer, whose items are cut where the index does not grow. `to` is the last index asked for.
pub(super) fn runs(items: &[Item], to: u64, rules: &Rules) -> Vec<Run> {
    let seed = items.iter().any(|item| item.block.is_some_and(|block| !rules.is_honeycomb(block)));
    let label = |item: &Item| item.block.map(|block| if seed { block } else { rules.label(block) });
    let cuts = cut(items);
    let mut runs: Vec<Run> = Vec::with_capacity(cuts.len());
    // Opening label of the newest period, and whether its second run was seen.
    let mut newest: Option<(Option<u64>, bool)> = None;
    for (nth, range) in cuts.iter().enumerate() {
        let own = &items[range.clone()];
        let kind = match (begins(own, label), newest) {
            (Some((hash, label)), _) => Kind::Period { hash, label },
            (None, Some((Some(old), false))) if !seed && rules.has_second_run(old) && stays(own, old, label) => {
                Kind::Second
            }
            (None, Some((Some(old), _))) if !seed && stays(own, old, label) => Kind::Unnamed,
            _ => Kind::Unknown,
        };
        newest = match &kind {
            Kind::Period { label, .. } => Some((*label, false)),
            Kind::Second => newest.map(|(label, _)| (label, true)),
            Kind::Unnamed | Kind::Unknown => None,
        };
        let last = own.last().and_then(|item| item.index);
        let end = last.filter(|last| *last < to && nth + 1 < cuts.len());
        let is_oldest = nth == 0 && own.iter().all(|item| item.fork.is_none());
        runs.push(Run { items: range.clone(), kind, is_oldest, end });
    }
    runs
}

/// Ranges in which the index grows.
fn cut(items: &[Item]) -> Vec<Range<usize>> {
    let mut cuts: Vec<Range<usize>> = Vec::new();
    let mut last: Option<u64> = None;
    for (at, item) in items.iter().enumerate() {
        let grows = last.zip(item.index).is_some_and(|(last, index)| index > last);
        last = item.index;
        match cuts.last_mut().filter(|_| grows) {
            Some(range) => range.end = at + 1,
            None => cuts.push(at..at + 1),
        }
    }
    cuts
}

/// The period that a run begins by its own words.
fn begins(own: &[Item], label: impl Fn(&Item) -> Option<u64>) -> Option<(HashText, Option<u64>)> {
    let first = own.first().filter(|first| first.index == Some(0))?;
    let named = own.iter().enumerate().find_map(|(at, item)| match &item.what {
        What::Op { pending_hash: Some(hash), .. } => Some((at, hash)),
        _ => None,
    });
    if let Some((at, hash)) = named {
        let its = label(&own[at]);
        let own_label = at == 0 || own[..at].iter().all(|item| label(item) != its);
        let own_hash = own[at].fork.as_ref().is_none_or(|fork| fork == hash);
        return (own_label && own_hash).then(|| (hash.clone(), its));
    }
    // Clients that send hashes with what they send again: the first ops may still carry the one before.
    let hash = own.last()?.fork.clone()?;
    Some((hash, label(first)))
}

/// Whether nothing in a run has left this label (0 is no label).
fn stays(own: &[Item], old: u64, label: impl Fn(&Item) -> Option<u64>) -> bool {
    own.iter().all(|item| label(item).is_none_or(|label| label == old))
}
