//! What an honest network agreed on: periods, batches and documents, for tests to compare a node with.
//!
//! *Always holds:* nothing here depends on frames, sockets or faults of the wire; a rerun after a restart adds nothing.

use super::leaves::Leaves;
use super::op::Op;
use std::sync::Arc;

/// How much of the truth a honeycomb keeps. A restart needs at least the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    Everything,
    /// Periods since the last root.
    Day,
    /// Only the open period: a feed of any length in bounded memory.
    Open,
}

/// A batch as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Batch {
    /// Canonical texts of its ops.
    pub ops: Vec<Arc<str>>,
    /// False when a checkpoint closed it, or when it is still open.
    pub marked: bool,
}

/// How a period ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The hash announced for it, which opens the next period.
    pub hash: String,
    /// CID of `document`; differs from `hash` only for a liar.
    pub cid: String,
    /// True for a root (the full state), false for a delta.
    pub root: bool,
    /// The bytes that were hashed.
    pub document: Vec<u8>,
}

/// The batches between two saves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// The hash that opened it; none before the first save from nothing.
    pub opening: Option<String>,
    /// Block of the save that opened it; 0 before the first.
    pub label: u64,
    /// Its batches in order; the last may be open.
    pub batches: Vec<Batch>,
    /// How it ended, once it did.
    pub close: Option<Close>,
    /// Ops and markers so far.
    pub units: u64,
}

/// The history of one honeycomb.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// State before the first op; it never reaches the feed.
    pub base: Leaves,
    /// The root document of that state, for a honeycomb that began with one.
    pub base_document: Option<Vec<u8>>,
    /// Periods in order; older ones may be dropped ([`Keep`]).
    pub periods: Vec<Period>,
    /// Periods dropped from the front.
    pub dropped: u64,
}

impl Truth {
    /// Period `number` (0 is the first ever), if kept.
    pub fn period(&self, number: u64) -> Option<&Period> {
        self.periods.get(usize::try_from(number.checked_sub(self.dropped)?).ok()?)
    }

    /// The period that a hash opened, if kept.
    pub fn opened_by(&self, hash: &str) -> Option<&Period> {
        self.periods.iter().find(|period| period.opening.as_deref() == Some(hash))
    }

    /// The state after so many batches of period `number`; none when a period before it was dropped. Asks for
    /// everything to be folded again: for tests.
    pub fn leaves_after(&self, number: u64, batches: usize) -> Option<Leaves> {
        let whole = self.periods.iter().take(usize::try_from(number).ok().filter(|_| self.dropped == 0)?);
        let last = self.period(number)?.batches.iter().take(batches);
        let mut leaves = self.base.clone();
        for batch in whole.flat_map(|period| &period.batches).chain(last) {
            leaves.apply(&batch.ops.iter().filter_map(|text| Op::parse(text)).collect::<Vec<_>>());
        }
        Some(leaves)
    }

    /// What a replica shows that saw every batch from period `first` on and nothing before; for tests. None when one of
    /// them was dropped.
    pub fn leaves_from(&self, first: u64) -> Option<Leaves> {
        let mut leaves = Leaves::default();
        let from = usize::try_from(first.checked_sub(self.dropped)?).ok()?;
        for batch in self.periods.iter().skip(from).flat_map(|period| &period.batches) {
            leaves.apply(&batch.ops.iter().filter_map(|text| Op::parse(text)).collect::<Vec<_>>());
        }
        Some(leaves)
    }

    /// All kept batches in order.
    pub fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.periods.iter().flat_map(|period| &period.batches)
    }

    /// The bytes behind a checkpoint hash, as a gateway would give them.
    pub fn document(&self, hash: &str) -> Option<&[u8]> {
        let first = self.periods.first().filter(|period| self.dropped == 0 && period.opening.as_deref() == Some(hash));
        let closes = self.periods.iter().filter_map(|period| period.close.as_ref());
        let closed = closes.filter(|close| close.cid == hash).map(|close| close.document.as_slice()).next();
        closed.or_else(|| first.and(self.base_document.as_deref()))
    }

    /// Period `number` closes and the next opens at block `label`. A rerun must close it the same way.
    pub(super) fn roll(&mut self, number: u64, label: u64, close: Close, keep: Keep) {
        let slot = usize::try_from(number - self.dropped).unwrap_or(usize::MAX);
        let root = close.root;
        if let Some(held) = self.periods.get(slot).and_then(|period| period.close.as_ref()) {
            assert_eq!(held.hash, close.hash, "a rerun closed period {number} otherwise");
        } else if let Some(period) = self.periods.get_mut(slot) {
            let next = Period::new(Some(close.hash.clone()), label);
            period.close = Some(close);
            self.periods.push(next);
        }
        let fresh = slot + 2 == self.periods.len();
        if fresh && (keep == Keep::Open || (keep == Keep::Day && root)) {
            self.periods.drain(..=slot);
            self.dropped += slot as u64 + 1;
        }
    }

    /// Takes the next unit of period `number` at place `place` (ops and markers counted from 0): `Some(text)` is an
    /// op, `None` a marker. Units already held must be equal: a rerun writes what was written.
    pub(super) fn write(&mut self, number: u64, place: u64, unit: Option<&Arc<str>>) {
        let Some(period) = self.periods.get_mut(usize::try_from(number - self.dropped).unwrap_or(usize::MAX)) else {
            return;
        };
        if place < period.units {
            assert_eq!(period.unit(place), unit.cloned(), "a rerun wrote something else at {number}/{place}");
            return;
        }
        period.units += 1;
        if period.batches.last().is_none_or(|batch| batch.marked) {
            period.batches.push(Batch::default());
        }
        let batch = period.batches.last_mut().expect("pushed above");
        match unit {
            Some(text) => batch.ops.push(text.clone()),
            None => batch.marked = true,
        }
    }
}

impl Period {
    /// A period that begins.
    pub(super) fn new(opening: Option<String>, label: u64) -> Self {
        Self { opening, label, batches: Vec::new(), close: None, units: 0 }
    }

    fn unit(&self, mut place: u64) -> Option<Arc<str>> {
        for batch in &self.batches {
            let ops = batch.ops.len() as u64;
            if place < ops {
                return Some(batch.ops[usize::try_from(place).ok()?].clone());
            }
            if place == ops && batch.marked {
                return None;
            }
            place -= ops + u64::from(batch.marked);
        }
        None
    }
}
