//! What documents would help: of which closed periods something is missing that no feed gives.
//!
//! *Always holds:* feeds come first: as long as a lane can be asked for what it lacks, nothing else is.

use super::machine::Core;
use super::questions::Hole;
use super::record::{Outcome, Proof};
use super::status::Wanted;
use honeygraph_protocols::honeycomb::HashText;
use std::collections::{BTreeMap, BTreeSet};

/// Documents wanted at a time: each brings the lanes on by at least a period, and the next are seen then.
const WANTED: usize = 8;

impl Core {
    /// The hash that closed the first period of each held-up lane of which something is missing.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let helped = ["gap", "predecessor_parked", "predecessor_unknown"];
        // Once for all lanes: there may be thousands of sockets.
        let fed: BTreeMap<u64, bool> =
            self.feeds.values().filter(|feed| !feed.closed).map(|feed| (feed.no, feed.question.is_some())).collect();
        let held_up = self
            .reasons
            .iter()
            .filter(|(lane, reason)| helped.contains(*reason) && !self.may_be_asked(**lane, fed.get(*lane).copied()));
        let mut seen = BTreeSet::new();
        let wanted =
            held_up.filter_map(|(lane, _)| self.wanted_of(*lane)).chain(self.trusted()).chain(self.differing());
        wanted.filter(|wanted| seen.insert(wanted.hash.clone())).take(WANTED).collect()
    }

    /// Hashes that the operator trusts and that are not here: what leads to them is as good as they are.
    fn trusted(&self) -> impl Iterator<Item = Wanted> {
        let (tree, begins) = (&self.ledger.tree, self.ledger.tree.is_empty());
        let unknown = self.ledger.proofs.trusted.keys().filter(move |hash| tree.periods_of(hash).next().is_none());
        unknown.map(move |hash| Wanted { hash: hash.clone(), label: None, more_than: None, begins })
    }

    /// Deltas that differ from what is held: perhaps the end of the period was lost, and nobody saw it.
    fn differing(&self) -> impl Iterator<Item = Wanted> {
        let newest = self.ledger.proofs.newest.iter().rev();
        let differs = |proof: &&Proof| !proof.root && matches!(proof.outcome, Outcome::Mismatch { .. });
        newest.filter(differs).filter_map(move |proof| {
            let more_than = Some(self.ledger.tree.entry(proof.at)?.end());
            Some(Wanted { hash: proof.hash.clone(), label: proof.label, more_than, begins: false })
        })
    }

    /// Whether a feed may yet bring what the lane lacks; `asked`: whether one is attached, and has a question to answer.
    fn may_be_asked(&self, lane: u64, asked: Option<bool>) -> bool {
        let left = |(_, hole): (&u64, &Hole)| hole.askable && !hole.recorded;
        asked.is_some_and(|asked| asked || self.holes.of(lane).any(left))
    }

    fn wanted_of(&self, lane: u64) -> Option<Wanted> {
        let book = self.ledger.books.get(&lane).filter(|book| book.held > 0)?;
        let mut periods = book.periods.iter().filter(|(_, period)| period.opened && !period.pieces.is_empty());
        let (ordinal, period) = periods.next()?;
        let closed = if period.placed || self.predecessor(lane, *ordinal).is_ok() {
            // A hole in it.
            book.periods.get(&(ordinal + 1))?
        } else {
            period
        };
        Some(Wanted { hash: closed.hash.clone()?, label: closed.label, more_than: None, begins: false })
    }

    /// Which of these hashes opened a period that is held.
    pub fn holds_periods(&self, hashes: &[HashText]) -> Vec<bool> {
        hashes.iter().map(|hash| self.ledger.tree.periods_of(hash).next().is_some()).collect()
    }
}
