//! Lanes that have left a period whose end became known from elsewhere: where all that a lane has of it is on the
//! supplied history, the lane has seen that period, and goes on behind its end.
//!
//! What was just supplied can be read only once it is durable: until then the ends are kept, and looked at again.
//!
//! *Always holds:* a lane is moved only when everything that it holds of the period is what the tree holds there, to the
//! letter; a lane that holds anything else stays where it is, its hole shown.

use super::answers::{Held, Holds};
use super::machine::{Bodies, Core, Effects};
use super::record::{Before, Close, Lsn, Named, Node, Record, Same, Stands};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Ends that are kept until what they are compared with is durable; the oldest go first, and come back with the next
/// supply of their period.
const KEPT: usize = 1_024;
/// How long one is kept, ms: longer than a disk takes, however busy.
const KEPT_MS: u64 = 60_000;

/// A period that ends with this batch, as a supply says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ended {
    pub(super) hash: HashText,
    /// Hash that opened the next one.
    pub(super) closed: HashText,
    pub(super) at: Node,
    /// When it was said, ms.
    pub(super) since: u64,
    /// Who said it.
    pub(super) source: Arc<str>,
}

/// How what a lane holds of a period compares with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agrees {
    Yes,
    No,
    NotYet,
}

impl Core {
    /// Puts lanes that wait in these periods behind their ends.
    pub(super) fn meet(&mut self, now: u64, ended: &[Ended], bodies: &mut dyn Bodies, fx: &mut Effects) {
        let mut later = BTreeSet::new();
        for (lane, ordinal, nth) in self.waiting_in(ended) {
            let end = &ended[nth];
            match self.agrees(lane, ordinal, end.at, bodies) {
                Agrees::Yes => {
                    self.supplier = Some(end.source.clone());
                    self.put_behind(now, lane, ordinal, end.at, fx);
                    self.supplier = None;
                    self.settle(now, lane, ordinal + 1, bodies, fx);
                }
                Agrees::NotYet if now < end.since + KEPT_MS => drop(later.insert(nth)),
                Agrees::NotYet | Agrees::No => {}
            }
        }
        for (nth, end) in ended.iter().enumerate() {
            if !self.reopen(now, end, fx) {
                later.insert(nth);
            }
        }
        self.ended.extend(later.into_iter().map(|nth| ended[nth].clone()));
        while self.ended.len() > KEPT {
            self.ended.pop_front();
        }
    }

    /// Looks again at ends that were kept.
    pub(super) fn meet_again(&mut self, now: u64, bodies: &mut dyn Bodies, fx: &mut Effects) {
        if !self.ended.is_empty() {
            let ended: Vec<Ended> = std::mem::take(&mut self.ended).into();
            self.meet(now, &ended, bodies, fx);
        }
    }

    /// Lanes that went from one of these periods to the one that followed, and whose book of it is not settled.
    fn waiting_in(&self, ended: &[Ended]) -> Vec<(u64, u32, usize)> {
        let of: BTreeMap<_, _> = ended.iter().enumerate().map(|(nth, end)| ((&end.hash, &end.closed), nth)).collect();
        let mut found = Vec::new();
        for (lane, book) in self.ledger.books.iter().filter(|_| !ended.is_empty()) {
            for (ordinal, period) in book.periods.iter().filter(|(_, period)| period.opened && period.ended) {
                let Some(next) = book.periods.get(&(ordinal + 1)) else { continue };
                let sure = matches!(next.before, Before::Seen | Before::Presumed);
                let (Some(hash), Some(closed)) = (&period.hash, &next.hash) else { continue };
                if period.behind_hole || (period.is_settled() && sure) {
                    continue;
                }
                found.extend(of.get(&(hash, closed)).map(|nth| (*lane, *ordinal, *nth)));
            }
        }
        found
    }

    /// Whether everything that a lane holds of a period is on the history that ends here.
    fn agrees(&mut self, lane: u64, ordinal: u32, end: Node, bodies: &mut dyn Bodies) -> Agrees {
        let Some(book) = self.ledger.books.get(&lane).and_then(|book| book.periods.get(&ordinal)) else {
            return Agrees::No;
        };
        let Some(reach) = self.ledger.tree.entry(end).map(|entry| entry.end()) else { return Agrees::No };
        let stands = !book.placed || book.at.is_none_or(|at| self.ledger.tree.is_ancestor(at, end));
        if !stands || book.least.max(book.end()) > reach {
            return Agrees::No;
        }
        let pieces: Vec<(u64, Lsn, Close)> =
            book.pieces.iter().map(|(seq, piece)| (*seq, piece.lsn, piece.close)).collect();
        let mut held = self.held.take();
        let pieces = pieces.into_iter().map(|piece| self.piece_agrees(piece, end, &mut held, bodies));
        let first = pieces.into_iter().find(|agrees| *agrees != Agrees::Yes).unwrap_or(Agrees::Yes);
        self.held = held.kept();
        first
    }

    fn piece_agrees(
        &self,
        (seq, lsn, close): (u64, Lsn, Close),
        end: Node,
        held: &mut Held,
        bodies: &mut dyn Bodies,
    ) -> Agrees {
        let Some(body) = bodies.body(lsn) else { return Agrees::NotYet };
        let (mut place, mut at, mut texts) = (seq, 0, op::texts(&body));
        loop {
            let text = match texts.next() {
                // As it stands in the body, behind its length.
                Some(Ok(text)) => {
                    let from = at;
                    at += op::PREFIX + text.len();
                    Some(&body[from..at])
                }
                Some(Err(_)) => return Agrees::No,
                None if close == Close::Marker => None,
                None => return Agrees::Yes,
            };
            match self.chain_holds(end, place, text, held, bodies) {
                Holds::Same if text.is_none() => return Agrees::Yes,
                Holds::Same if held.may_compare() => place += 1,
                Holds::Unknown => return Agrees::NotYet,
                Holds::Same | Holds::Nothing | Holds::Other => return Agrees::No,
            }
        }
    }

    fn put_behind(&mut self, now: u64, lane: u64, ordinal: u32, end: Node, fx: &mut Effects) {
        let Some(entry) = self.ledger.tree.entry(end) else { return };
        let next = entry.end();
        let Some(book) = self.ledger.books.get(&lane) else { return };
        let (Some(period), Some(after)) = (book.periods.get(&ordinal), book.periods.get(&(ordinal + 1))) else {
            return;
        };
        let pieces: Vec<Lsn> = period.pieces.values().map(|piece| piece.lsn).collect();
        let stands = Stands { lane, ordinal, at: Some(end), next, runs: period.runs.clone() };
        let (hash, label, before) = (after.hash.clone(), after.label, Before::Seen);
        if !pieces.is_empty() {
            self.append(Record::Same(Same { pieces, node: end }), None, fx);
        }
        self.append(Record::Stands(stands), None, fx);
        self.append(Record::Named(Named { lane, ordinal: ordinal + 1, hash, label, before }), None, fx);
        let holes: Vec<u64> =
            self.holes.of(lane).filter(|(_, hole)| hole.ordinal == ordinal).map(|(id, _)| *id).collect();
        for id in holes {
            self.end_tail(now, id, fx);
        }
    }
}
