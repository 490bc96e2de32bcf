//! What a batch writes, on its way into the store: rows under its version, and the paths of its dels.
//!
//! A small batch's leaves can be made ready without the state, on another thread: reading ops and encoding paths is
//! half of what a batch costs.
//!
//! *Always holds:* bounded, whatever the batch; of equal paths the last put counts.

use super::body::{self, Effect};
use super::kv::Slice;
use super::{BodyError, entry, key};
use crate::fork::record::{Chain, Lsn, Node};

/// Rows of a large batch that are written at once.
const SLICE_ROWS: usize = if cfg!(test) { 8 } else { 8_192 };
/// Bytes of a large batch that are written at once.
const SLICE_BYTES: usize = 4 << 20;
/// Dels of a batch gathered before what they remove is looked up.
const DELS: usize = if cfg!(test) { 2 } else { 32_768 };
/// Bytes of such dels.
const DEL_BYTES: usize = 4 << 20;
/// Ops of a batch up to which it may share a commit with others (larger ones find an empty group, so that their dels
/// have nothing to look through).
pub(super) const SHARED_OPS: u64 = if cfg!(test) { 8 } else { 1_024 };
/// Pieces of a batch up to which its leaves are made ready: together a few MiB.
const READY_PIECES: usize = 4;

/// Rows of one batch.
pub(super) struct Sink {
    node: Node,
    rows: Vec<(Slice, Slice)>,
    bytes: usize,
    key: Vec<u8>,
}

impl Sink {
    pub(super) fn new(node: Node) -> Self {
        Self { node, rows: Vec::new(), bytes: 0, key: Vec::new() }
    }

    pub(super) fn put(&mut self, path: &[u8], value: Slice) {
        // Where ops come in, such paths are refused; one that is in the journal all the same has no key.
        if path.len() > key::MAX_PATH {
            return;
        }
        key::row(path, self.node, &mut self.key);
        self.bytes += self.key.len() + value.len();
        self.rows.push((Slice::from(self.key.as_slice()), value));
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= SLICE_ROWS || self.bytes >= SLICE_BYTES
    }

    /// Bytes of keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows so far: sorted, of equal keys the last.
    pub(super) fn take(&mut self) -> Vec<(Slice, Slice)> {
        self.tidy();
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }

    fn tidy(&mut self) {
        self.rows.sort_by(|a, b| a.0.cmp(&b.0));
        self.rows.dedup_by(|later, kept| {
            later.0 == kept.0 && {
                std::mem::swap(later, kept);
                true
            }
        });
    }
}

/// Dels of a batch, up to a bound.
#[derive(Default)]
pub(super) struct Dels {
    paths: Vec<Vec<u8>>,
    bytes: usize,
}

impl Dels {
    pub(super) fn push(&mut self, path: &[u8]) {
        self.bytes += path.len();
        self.paths.push(path.to_vec());
    }

    pub(super) fn is_full(&self) -> bool {
        self.paths.len() >= DELS || self.bytes >= DEL_BYTES
    }

    /// The paths, without those below another.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        let mut paths = std::mem::take(&mut self.paths);
        paths.sort();
        paths.dedup_by(|later, kept| later.starts_with(kept));
        paths
    }
}

/// What a small batch writes.
pub struct Leaves {
    pub(super) sink: Sink,
    pub(super) dels: Dels,
}

impl Leaves {
    pub(super) fn none(node: Node) -> Self {
        Self { sink: Sink::new(node), dels: Dels::default() }
    }

    /// Reads the ops of a batch; none of one that is too large, which the state reads by itself. `body` fetches the ops of
    /// a piece.
    pub fn of(
        lsn: Lsn,
        chain: &Chain,
        mut body: impl FnMut(Lsn) -> Result<Vec<u8>, BodyError>,
    ) -> Result<Option<Self>, BodyError> {
        if chain.count > SHARED_OPS || chain.pieces.len() > READY_PIECES {
            return Ok(None);
        }
        let mut leaves = Self::none(Node { branch: chain.branch, version: lsn });
        for piece in &chain.pieces {
            let mut full = false;
            body::effects(&body(*piece)?, |effect| {
                full |= leaves.sink.is_full() || leaves.dels.is_full();
                match effect {
                    _ if full => {}
                    Effect::Put(path, text) => leaves.sink.put(path, entry::leaf(text)),
                    Effect::Del(path) => leaves.dels.push(path),
                }
            })?;
            if full {
                return Ok(None);
            }
        }
        leaves.sink.tidy();
        Ok(Some(leaves))
    }

    /// Memory that they take, about.
    pub fn bytes(&self) -> usize {
        self.sink.bytes + self.dels.bytes
    }
}
