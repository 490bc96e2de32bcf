//! What a batch changed, as it resulted: leaves that have a new value, leaves that are gone.
//!
//! *Always holds:* applied to the state before the batch they give the state after it, by the rule of the state itself:
//! all puts in order, and then every leaf that was there before and lies at or below a del is gone, also where the batch
//! wrote it. Bounded; a batch that changes more is not told leaf by leaf.

use crate::journal::{JournalError, Reader as Journal};
use crate::projection::state::key::MAX_PATH;
use crate::projection::state::kv::Kv;
use crate::projection::state::reader::Snapshot;
use crate::projection::state::{Batch, StateError};
use honeygraph_protocols::op::{self, Effect, EffectReader, OpError};
use std::collections::BTreeMap;

/// Leaves of one event.
pub const MAX_LEAVES: usize = 50_000;
/// Bytes of paths and texts of one event: readers of the state get no more at a time either.
pub const MAX_BYTES: usize = 8 << 20;

/// Leaves by encoded path: canonical text, or none where the leaf is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In order of their paths.
    pub leaves: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Bytes of paths and texts.
    pub bytes: usize,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// More than [`MAX_LEAVES`] or [`MAX_BYTES`].
    #[error("too many leaves")]
    TooMany,
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The ops.
    #[error(transparent)]
    Ops(#[from] OpError),
}

impl Changes {
    /// The changes at and below an encoded path.
    pub fn below(&self, prefix: &[u8]) -> &[(Vec<u8>, Option<Vec<u8>>)] {
        let first = self.leaves.partition_point(|(path, _)| path.as_slice() < prefix);
        let many = self.leaves[first..].partition_point(|(path, _)| path.starts_with(prefix));
        &self.leaves[first..first + many]
    }
}

/// Reads what a batch changed.
pub fn read<K: Kv>(snapshot: &Snapshot<K>, journal: &Journal, batch: &Batch) -> Result<Changes, Missing> {
    if batch.count > MAX_LEAVES as u64 {
        return Err(Missing::TooMany);
    }
    let (mut leaves, mut dels, mut bytes) = (BTreeMap::new(), Vec::new(), 0);
    let (mut reader, mut body) = (EffectReader::default(), Vec::new());
    for piece in &batch.pieces {
        body.clear();
        journal.body_into(*piece, &mut body)?;
        for text in op::texts(&body) {
            reader.read(text?, |effect| match effect {
                // Refused where ops come in; the state has no key for it either.
                Effect::Put(path, _) if path.len() > MAX_PATH => {}
                Effect::Put(path, text) => {
                    bytes += path.len() + text.len();
                    if bytes <= MAX_BYTES {
                        leaves.insert(path.to_vec(), Some(text.to_vec()));
                    }
                }
                Effect::Del(path) => dels.push(path.to_vec()),
            })?;
            if bytes > MAX_BYTES || leaves.len() > MAX_LEAVES {
                return Err(Missing::TooMany);
            }
        }
    }
    dels.sort();
    dels.dedup_by(|later, kept| later.starts_with(kept));
    if let Some(before) = batch.prev.filter(|_| !dels.is_empty()) {
        let view = snapshot.view(before)?;
        for del in dels {
            for leaf in view.scan(&del, None) {
                let (path, _) = leaf?;
                bytes += path.len();
                leaves.insert(path.to_vec(), None);
                if bytes > MAX_BYTES || leaves.len() > MAX_LEAVES {
                    return Err(Missing::TooMany);
                }
            }
        }
    }
    Ok(Changes { leaves: leaves.into_iter().collect(), bytes })
}
