//! Which pieces the batches that are kept name: mostly the record before, now and then one of long ago.
//!
//! *Always holds:* memory does not grow with the number of batches; no answer is too high.

use crate::fork::record::Lsn;
use crate::projection::state::StateError;
use crate::projection::state::kv::Kv;
use crate::projection::state::reader::Snapshot;
use std::collections::BTreeMap;

/// A piece that lies no further before its batch is not looked at one by one.
const NEAR: Lsn = if cfg!(test) { 4 } else { 1024 };
/// Batches remembered that name one further back; then the oldest of them are taken for one, which keeps a little more.
const MOST: usize = 1 << 18;

/// What is known of the pieces.
#[derive(Debug, Default)]
pub struct Pieces {
    /// Batches from this version on...
    from: Lsn,
    /// ... up to this one were looked at.
    seen: Lsn,
    /// Batches whose first piece lies far back, with that piece.
    far: BTreeMap<Lsn, Lsn>,
    /// Pieces that lie before the journal's first record, each with the newest batch that names it.
    early: BTreeMap<Lsn, Lsn>,
}

impl Pieces {
    /// Looks at what was chained since, and forgets what is older than the oldest batch that is kept. `first` is the
    /// journal's first record.
    pub fn look<K: Kv>(&mut self, snapshot: &Snapshot<K>, oldest: Lsn, first: Lsn) -> Result<(), StateError> {
        if self.seen == 0 || oldest < self.from {
            // More is kept than before: a fork was born further back.
            *self = Self { from: oldest, seen: oldest.saturating_sub(1), ..Self::default() };
        }
        let upto = snapshot.cursor()?;
        for fork in snapshot.forks() {
            let fork = fork?;
            if fork.tip.is_none_or(|tip| tip.batch.node.version <= self.seen) {
                continue;
            }
            for batch in snapshot.batches(fork.branch, self.seen + 1, upto) {
                let batch = batch?;
                for piece in batch.pieces {
                    self.add(batch.node.version, piece, first);
                }
            }
        }
        self.seen = self.seen.max(upto);
        self.far.retain(|version, _| *version >= oldest);
        self.early.retain(|_, version| *version >= oldest);
        Ok(())
    }

    fn add(&mut self, version: Lsn, piece: Lsn, first: Lsn) {
        if piece < first {
            let newest = self.early.entry(piece).or_default();
            *newest = (*newest).max(version);
        } else if piece + NEAR < version {
            let lowest = self.far.entry(version).or_insert(piece);
            *lowest = (*lowest).min(piece);
            if self.far.len() > MOST
                && let (Some((_, oldest)), Some(mut next)) = (self.far.pop_first(), self.far.first_entry())
            {
                let piece = (*next.get()).min(oldest);
                next.insert(piece);
            }
        }
    }

    /// The lowest piece in the journal that a batch which is kept can name.
    pub fn lowest(&self, oldest: Lsn) -> Lsn {
        self.far.values().copied().min().unwrap_or(oldest).min(oldest.saturating_sub(NEAR))
    }

    /// Pieces before the journal's first record that such a batch names.
    pub fn early(&self) -> impl Iterator<Item = Lsn> + '_ {
        self.early.keys().copied()
    }
}
