//! A period whose end was presumed, and of which there is more: what stands on a part of it stands behind its end. Likewise
//! a history that began in the middle, and of which what came before has come: it stands behind that.
//!
//! The batches behind are chained a second time, from the pieces that they have: their ids are the same, because ids name
//! content at a place. The lanes that brought them move over. Behind a part the head follows their word, and what they leave
//! is a fork. Behind the past the head moves by itself, because it is the same history, and what was ours lives on in it.
//!
//! *Always holds:* nothing is moved but what stands on a batch of that very period on the very history that has more of
//! it, or what begins with the very period which the past leads to; what was chained again once is found, so that it goes on
//! behind a crash.

use super::machine::{Core, Effects};
use super::meet::Ended;
use super::record::{BranchNo, Head, HeadCause, Node, Record, Retired, Stands};
use super::settle::Link;
use super::tree::Place;
use std::collections::BTreeSet;

/// Batches chained again at a time; the rest follows soon, and feeds are heard meanwhile.
const AT_ONCE: usize = 4_096;

impl Core {
    /// Chains again behind the end of a period what stands on a part of it. False: there is more to do.
    pub(super) fn reopen(&mut self, now: u64, ended: &Ended, fx: &mut Effects) -> bool {
        let part = self.on_a_part(ended);
        let begins = part.is_none();
        let Some((first, tip)) = part.or_else(|| self.begins_behind(ended)) else { return true };
        let (mut old, mut new) = (Some(first), ended.at);
        for _ in 0..AT_ONCE {
            let Some(node) = old.filter(|node| node.version <= tip.version) else {
                self.move_over(now, first, new, fx);
                if begins {
                    self.replace(now, first, new, fx);
                }
                return true;
            };
            let Some(next) = self.chain_again(now, node, new, fx) else { return true };
            new = next;
            old = self.ledger.tree.after(Some(node)).find(|next| next.branch == node.branch);
        }
        false
    }

    /// The batch that opens the next period on a part of this one, and the last one of its branch.
    fn on_a_part(&self, ended: &Ended) -> Option<(Node, Node)> {
        let tree = &self.ledger.tree;
        let parts = tree.periods_of(&ended.closed).filter_map(|(_, period)| {
            let before = period.before.filter(|before| *before != ended.at && tree.is_ancestor(*before, ended.at))?;
            tree.entry(before).filter(|entry| entry.hash == ended.hash)?;
            let opens =
                |node: &Node| tree.entry(*node).is_some_and(|entry| entry.seq == 0 && entry.hash == ended.closed);
            let first = tree.after(Some(before)).find(opens)?;
            tree.branch(first.branch).filter(|branch| !branch.retired)?;
            Some((first, tree.tip(first.branch)?))
        });
        parts.into_iter().next()
    }

    /// The first batch of a history that begins with the period behind this one, and the last one of its branch. One that
    /// others left, or that the operator rolled back, stays as it is: what hangs on it would have to move with it.
    fn begins_behind(&self, ended: &Ended) -> Option<(Node, Node)> {
        let tree = &self.ledger.tree;
        let verdicts = self.ledger.verdicts.iter().map(|verdict| verdict.to.branch);
        let held: BTreeSet<BranchNo> =
            tree.live().filter_map(|(_, state)| Some(state.parent?.branch)).chain(verdicts).collect();
        let begins = tree.periods_of(&ended.closed).filter_map(|(_, period)| {
            let branch = tree.branch(period.branch).filter(|branch| period.before.is_none() && !branch.retired)?;
            let first = branch.first.as_ref().filter(|_| branch.parent.is_none() && !held.contains(&period.branch))?;
            Some((Node { branch: period.branch, version: first.0 }, tree.tip(period.branch)?))
        });
        begins.into_iter().find(|(first, _)| first.branch != ended.at.branch)
    }

    /// What began in the middle lives on behind its past.
    fn replace(&mut self, now: u64, first: Node, last: Node, fx: &mut Effects) {
        if let Some(head) = self.ledger.head.filter(|head| head.branch == first.branch)
            && let Some(at) = self.counterpart(head, last)
        {
            let cause = HeadCause::Choice("what came before it is known".to_owned());
            self.event(now, "head:past", format!("the head's history has a past, on branch {}", at.branch));
            self.append(Record::Head(Head { at, from: head, cause, at_ms: now }), None, fx);
        }
        if self.ledger.head.is_some_and(|head| head.branch != first.branch) {
            self.append(Record::Retired(Retired { branch: first.branch, at_ms: now }), None, fx);
        }
        self.weigh(now, fx);
    }

    fn chain_again(&mut self, now: u64, node: Node, before: Node, fx: &mut Effects) -> Option<Node> {
        let tree = &self.ledger.tree;
        let entry = tree.entry(node)?.clone();
        let count = u64::from(entry.count);
        let (hash, seq, ops_hash) = (&entry.hash, entry.seq, entry.ops_hash);
        if let Some(found) = self.ledger.find(&Place { before: Some(before), period: hash, seq, count, ops_hash }) {
            return Some(found);
        }
        let opening_label = tree.period(entry.period).and_then(|period| period.label);
        let on = self.branch_for(Some(before), false, entry.label).ok()?;
        let (label, marker, pieces) = (entry.label, entry.marker, entry.pieces.as_slice().to_vec());
        let before = Some(before);
        let link =
            Link { before, hash, opening_label, label, seq, count, marker, pieces, ops_hash, behind_hole: false };
        Some(self.chain(now, link, on, fx))
    }

    /// Lanes that stand on what was chained again stand on that.
    fn move_over(&mut self, now: u64, first: Node, last: Node, fx: &mut Effects) {
        let feeds: Vec<_> = self.feeds.keys().copied().collect();
        feeds.into_iter().for_each(|feed| self.settle_down(feed, fx));
        let moved: Vec<Stands> = self
            .ledger
            .books
            .iter()
            .filter_map(|(lane, book)| {
                let at = book.stands_at().filter(|at| at.branch == first.branch && at.version >= first.version)?;
                let (ordinal, period) = book.periods.iter().rev().find(|(_, period)| period.at == Some(at))?;
                let at = self.counterpart(at, last)?;
                Some(Stands {
                    lane: *lane,
                    ordinal: *ordinal,
                    at: Some(at),
                    next: period.next,
                    runs: period.runs.clone(),
                })
            })
            .collect();
        for stands in moved {
            self.append(Record::Stands(stands), None, fx);
        }
        self.weigh(now, fx);
    }

    /// The batch with the same place in its period on the history that ends here.
    fn counterpart(&self, old: Node, last: Node) -> Option<Node> {
        let tree = &self.ledger.tree;
        let entry = tree.entry(old)?;
        let found = tree.periods_of(&entry.hash).find_map(|(number, period)| {
            let entries = &tree.branch(period.branch).filter(|_| period.branch == last.branch)?.entries;
            let at = entries.partition_point(|other| (other.period, other.seq) < (number, entry.seq));
            let same = |other: &&super::tree::Entry| other.period == number && other.id == entry.id;
            Some(Node { branch: period.branch, version: entries.get(at).filter(same)?.version })
        });
        found.filter(|node| node.version <= last.version)
    }
}
