//! What is durable of a lane and has no place in the chain yet: its periods and their parked pieces.
//!
//! *Always holds:* a piece is in a book from the moment it is journalled until a chain record (or the word that it is
//! held elsewhere) takes it out; batches of a period leave in order, without a hole between them.

use super::record::{Before, Close, Lsn, Named, Node, Opened, Piece, Stands};
use honeygraph_protocols::honeycomb::HashText;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A piece without a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parked {
    /// Its record.
    pub lsn: Lsn,
    /// Run.
    pub run: u32,
    /// Index of its first item, as sent.
    pub index: Option<u64>,
    /// Ops.
    pub count: u32,
    /// How it ends.
    pub close: Close,
    /// Whether it begins a batch, as far as the lane knows.
    pub begins: bool,
    /// blake3 over its op texts.
    pub ops_hash: [u8; 32],
    /// Label.
    pub label: Option<u64>,
}

impl Parked {
    /// Whether a batch ends with it.
    fn closes(&self) -> bool {
        matches!(self.close, Close::Marker | Close::Rollover)
    }

    /// Place of the item after it, if it starts at `seq`.
    pub fn end(&self, seq: u64) -> u64 {
        seq + u64::from(self.count) + u64::from(self.close == Close::Marker)
    }
}

/// A period of a lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeriodBook {
    /// Opening label.
    pub label: Option<u64>,
    /// Opening hash.
    pub hash: Option<HashText>,
    /// How the one before ended.
    pub before: Before,
    /// Whether something opened it: only then can its places be trusted.
    pub opened: bool,
    /// Its pieces, by place.
    pub pieces: BTreeMap<u64, Parked>,
    /// Place of the next batch to chain.
    pub next: u64,
    /// The batch before that place; none: not known yet, or the first of all.
    pub at: Option<Node>,
    /// Whether `at` is decided.
    pub placed: bool,
    /// Places of index 0 of each run.
    pub runs: Vec<u64>,
    /// Whether the lane has left it.
    pub ended: bool,
    /// Place that its items are known to reach.
    pub least: u64,
    /// The operator gave up a hole directly before `next`.
    pub behind_hole: bool,
    /// Place after the last piece that is held without a hole from `next` on.
    reach: u64,
    /// The first piece before `reach` that closes a batch. Both are kept, not looked for: a feed that sends a batch in a
    /// hundred thousand pieces must not have them walked for each.
    closes: Option<u64>,
}

/// A batch that is complete and next in line.
#[derive(Clone, Debug, PartialEq)]
pub struct Ready {
    /// Place of its first op.
    pub seq: u64,
    /// Its pieces.
    pub pieces: Vec<Lsn>,
    /// Ops.
    pub count: u64,
    /// Whether a marker closed it.
    pub marker: bool,
    /// Its hash, when one piece is all of it.
    pub ops_hash: Option<[u8; 32]>,
    /// Label.
    pub label: Option<u64>,
}

impl PeriodBook {
    fn new(record: &Opened) -> Self {
        Self {
            label: record.label,
            hash: record.hash.clone(),
            before: record.before,
            opened: record.cause != super::record::OpenCause::Resume || record.before != Before::Nothing,
            pieces: BTreeMap::new(),
            next: 0,
            at: None,
            placed: false,
            runs: vec![0],
            ended: false,
            least: 0,
            behind_hole: false,
            reach: 0,
            closes: None,
        }
    }

    /// Goes on over the pieces that follow each other.
    fn advance(&mut self) {
        while let Some(piece) = self.pieces.get(&self.reach) {
            if self.closes.is_none() && piece.closes() {
                self.closes = Some(self.reach);
            }
            let end = piece.end(self.reach);
            if end == self.reach {
                return;
            }
            self.reach = end;
        }
    }

    /// `next` has moved on, over pieces that left.
    pub(super) fn moved_on(&mut self) {
        if self.reach < self.next {
            return self.look_again();
        }
        if self.closes.is_some_and(|seq| seq < self.next) {
            let mut pieces = self.pieces.range(self.next..self.reach);
            self.closes = pieces.find(|(_, piece)| piece.closes()).map(|(seq, _)| *seq);
        }
    }

    /// The pieces or `next` have changed in another way.
    pub(super) fn look_again(&mut self) {
        (self.reach, self.closes) = (self.next, None);
        self.advance();
    }

    /// The next batch, when all of it is there. With `whole` what is left at the end counts as closed.
    pub fn ready(&self, whole: bool) -> Option<Ready> {
        if self.closes.is_none() && !whole {
            return None;
        }
        let (seq, first) = self.pieces.range(self.next..).next()?;
        if *seq != self.next {
            return None;
        }
        let mut ready = Ready {
            seq: *seq,
            pieces: Vec::with_capacity(1),
            count: 0,
            marker: false,
            ops_hash: None,
            label: first.label,
        };
        let mut at = *seq;
        for (seq, piece) in self.pieces.range(self.next..) {
            if *seq != at {
                return None;
            }
            ready.pieces.push(piece.lsn);
            ready.count += u64::from(piece.count);
            ready.label = piece.label.or(ready.label);
            at = piece.end(*seq);
            if piece.closes() {
                ready.marker = piece.close == Close::Marker;
                ready.ops_hash = (ready.pieces.len() == 1).then_some(piece.ops_hash);
                return Some(ready);
            }
        }
        ready.ops_hash = (ready.pieces.len() == 1).then_some(first.ops_hash);
        (whole && ready.count > 0).then_some(ready)
    }

    /// Places from `from` to `to` (exclusive) that no piece covers, at most `most` ranges.
    pub fn missing(&self, from: u64, to: u64, most: usize) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        let mut at = from.max(self.next);
        if let Some((seq, piece)) = self.pieces.range(..at).next_back() {
            at = at.max(piece.end(*seq));
        }
        for (seq, piece) in self.pieces.range(at..) {
            if *seq >= to || found.len() == most {
                break;
            }
            if *seq > at {
                found.push((at, *seq));
            }
            at = at.max(piece.end(*seq));
        }
        if at < to && found.len() < most {
            found.push((at, to));
        }
        found
    }

    /// Whether a piece covers this place, or the chain has passed it.
    pub fn covers(&self, seq: u64) -> bool {
        seq < self.next || self.pieces.range(..=seq).next_back().is_some_and(|(at, piece)| piece.end(*at) > seq)
    }

    /// Place after the last piece that is held without a hole from `next` on.
    pub fn reach(&self) -> u64 {
        self.reach
    }

    /// Place after the last piece.
    pub fn end(&self) -> u64 {
        self.pieces.last_key_value().map_or(self.next, |(seq, piece)| piece.end(*seq).max(self.next))
    }

    /// Whether everything it was ever given is chained and it has ended.
    pub fn is_settled(&self) -> bool {
        self.ended && self.pieces.is_empty() && self.next >= self.least
    }
}

/// The books of one lane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// Its periods, by ordinal.
    pub periods: BTreeMap<u32, PeriodBook>,
    /// When it last grew, ms.
    pub at_ms: u64,
    /// Pieces in it.
    pub held: usize,
    /// The newest period that has a place, and the batch there.
    stands: Option<(u32, Node)>,
    /// Periods that may have become ready to be forgotten.
    touched: BTreeSet<u32>,
}

impl Book {
    /// The newest period.
    pub fn last(&self) -> Option<(u32, &PeriodBook)> {
        self.periods.last_key_value().map(|(ordinal, book)| (*ordinal, book))
    }

    /// Where the lane stands in the chain.
    pub fn stands_at(&self) -> Option<Node> {
        self.stands.map(|(_, node)| node)
    }

    /// A period of it has got another place, or lost pieces.
    pub(super) fn stood(&mut self, ordinal: u32) {
        self.touched.extend([Some(ordinal), ordinal.checked_sub(1)].into_iter().flatten());
        let at = |book: &PeriodBook| book.at.filter(|_| book.placed);
        let here = self.periods.get(&ordinal).and_then(at);
        let newest = self.stands.map(|(newest, _)| newest);
        if here.is_some() && newest.is_none_or(|newest| newest <= ordinal) {
            self.stands = here.map(|node| (ordinal, node));
        } else if newest == Some(ordinal) {
            self.stands = self.periods.iter().rev().find_map(|(ordinal, book)| Some((*ordinal, at(book)?)));
        }
    }

    /// Takes an [`Opened`] record.
    pub fn opened(&mut self, record: &Opened) {
        if let Some(old) = record.ordinal.checked_sub(1).and_then(|ordinal| self.periods.get_mut(&ordinal)) {
            (old.ended, old.least) = (true, record.end);
            self.touched.insert(record.ordinal - 1);
        }
        self.periods.entry(record.ordinal).or_insert_with(|| PeriodBook::new(record));
        self.tidy();
    }

    /// Takes a [`Named`] record.
    pub fn named(&mut self, record: &Named) {
        if let Some(book) = self.periods.get_mut(&record.ordinal) {
            // What was not known to be a period is one once it has its own hash.
            book.opened |= record.hash.is_some();
            book.hash = record.hash.clone().or(book.hash.take());
            book.label = record.label.or(book.label);
            book.before = record.before;
        }
    }

    /// Takes a [`Stands`] record. Pieces that came in before their place was known are counted from the run's index 0:
    /// they move to where that lies; so does all of a period that begins behind markers which the lane does not have.
    pub fn stands(&mut self, record: &Stands) {
        let Some(book) = self.periods.get_mut(&record.ordinal) else { return };
        let moved = || record.runs.first().map_or(0, |base| base.saturating_sub(book.runs[0]));
        let shift = if book.opened { moved() } else { record.runs.last().copied().unwrap_or(0) };
        if shift > 0 {
            book.least += if book.opened && book.ended { shift } else { 0 };
            book.pieces =
                std::mem::take(&mut book.pieces).into_iter().map(|(seq, piece)| (seq + shift, piece)).collect();
        }
        (book.opened, book.placed, book.at, book.behind_hole) = (true, true, record.at, false);
        book.next = record.next;
        if record.runs.len() >= book.runs.len() {
            book.runs.clone_from(&record.runs);
        }
        book.look_again();
        self.stood(record.ordinal);
    }

    /// Takes a [`Piece`] record; false when its period is not here, or its place is taken.
    pub fn piece(&mut self, lsn: Lsn, record: &Piece) -> bool {
        self.at_ms = record.at_ms;
        let Some(book) = self.periods.get_mut(&record.ordinal) else { return false };
        if record.seq < book.next || book.pieces.contains_key(&record.seq) {
            return false;
        }
        let parked = Parked {
            lsn,
            run: record.run,
            index: record.index,
            count: record.count,
            close: record.close,
            begins: record.begins,
            ops_hash: record.ops_hash,
            label: record.label,
        };
        if book.behind_hole && record.seq == book.next && !record.begins {
            // The rest of a batch that the given-up hole cut in two: no batch of its own.
            book.next = parked.end(record.seq);
            book.look_again();
            self.stood(record.ordinal);
            return false;
        }
        if book.runs.len() == record.run as usize
            && let Some(base) = record.index.and_then(|index| record.seq.checked_sub(index))
        {
            book.runs.push(base);
        }
        book.pieces.insert(record.seq, parked);
        book.advance();
        self.held += 1;
        true
    }

    /// Forgets settled periods but the newest two, unless the one behind still looks for what it stands on. Only those
    /// are looked at with which something has happened: a lane whose index falls without end has thousands.
    fn tidy(&mut self) {
        let Some(keep) = self.periods.last_key_value().map(|(ordinal, _)| ordinal.saturating_sub(1)) else { return };
        self.touched.extend(keep.checked_sub(1));
        for ordinal in std::mem::take(&mut self.touched) {
            let settled = ordinal < keep && self.periods.get(&ordinal).is_some_and(PeriodBook::is_settled);
            if settled && self.periods.get(&(ordinal + 1)).is_some_and(|next| next.placed) {
                self.periods.remove(&ordinal);
            }
        }
    }
}
