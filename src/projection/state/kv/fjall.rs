//! The state on fjall: one keyspace, so that a commit is one unit whatever is flushed when.
//!
//! *Always holds:* the first bytes of every key say what it is ([`key`](super::super::key)); nothing is synced but
//! on [`Kv::sync`], because the journal can always write it again.

use super::{Kv, KvError, Slice, Snapshot, Write};
use ::fjall::compaction::Leveled;
use ::fjall::config::{CompressionPolicy, FilterPolicy};
use ::fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use std::path::Path;
use std::sync::Arc;

/// Name of the one keyspace.
const KEYSPACE: &str = "state";

/// How much memory and disk the store may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Bytes of blocks kept in memory.
    pub cache_bytes: u64,
    /// Bytes of new entries gathered in memory before they are sorted to disk; up to five such tables may exist.
    pub memtable_bytes: u64,
    /// Threads that flush and compact.
    pub workers: usize,
}

impl Default for Tuning {
    /// A node's share: together below 150 MB at full rate (measured in `benches/`).
    fn default() -> Self {
        Self { cache_bytes: 48 << 20, memtable_bytes: 24 << 20, workers: 2 }
    }
}

/// Smallest limit that fjall takes for its own log; a reopen replays at most this and one memtable.
const LOG_BYTES: u64 = 64 << 20;

/// Tables of fresh rows that are gathered before they are merged down. Rows of a batch lie all over the key space, so
/// every merge rewrites the level below: twice the default halves that work, for two or three more tables in a seek.
const L0_TABLES: u8 = 8;

/// The store.
#[derive(Clone)]
pub struct Fjall {
    db: Database,
    keyspace: Keyspace,
}

impl Fjall {
    /// Opens or makes the store in `folder`.
    pub fn open(folder: &Path, tuning: Tuning) -> Result<Self, KvError> {
        std::fs::create_dir_all(folder).map_err(|source| KvError::Folder { path: folder.into(), source })?;
        let db = Database::builder(folder)
            .cache_size(tuning.cache_bytes)
            .max_journaling_size(LOG_BYTES)
            .worker_threads(tuning.workers)
            .open()?;
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(tuning.memtable_bytes)
                .compaction_strategy(Arc::new(Leveled::default().with_l0_threshold(L0_TABLES)))
                // Leaves are found by seek, which no filter helps; the few plain gets hit the newest tables.
                .filter_policy(FilterPolicy::disabled())
                .data_block_compression_policy(CompressionPolicy::new([CompressionType::None, CompressionType::Lz4]))
        };
        let keyspace = db.keyspace(KEYSPACE, options)?;
        Ok(Self { db, keyspace })
    }

    /// Bytes on disk, fjall's own log not counted.
    pub fn disk_bytes(&self) -> u64 {
        self.keyspace.disk_space()
    }
}

impl Kv for Fjall {
    type Snapshot = FjallSnapshot;

    fn snapshot(&self) -> FjallSnapshot {
        FjallSnapshot { at: self.db.snapshot(), keyspace: self.keyspace.clone() }
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), KvError> {
        let mut batch = self.db.batch();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(&self.keyspace, key, value),
                None => batch.remove(&self.keyspace, key),
            }
        }
        Ok(batch.commit()?)
    }

    fn sync(&self) -> Result<(), KvError> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }
}

/// A picture of the store.
#[derive(Clone)]
pub struct FjallSnapshot {
    at: ::fjall::Snapshot,
    keyspace: Keyspace,
}

impl Snapshot for FjallSnapshot {
    type Range = FjallRange;

    fn get(&self, key: &[u8]) -> Result<Option<Slice>, KvError> {
        Ok(self.at.get(&self.keyspace, key)?)
    }

    fn range(&self, from: &[u8], to: &[u8]) -> FjallRange {
        FjallRange(self.at.range(&self.keyspace, from..to))
    }
}

/// Entries of a [`FjallSnapshot`].
pub struct FjallRange(::fjall::Iter);

impl Iterator for FjallRange {
    type Item = Result<(Slice, Slice), KvError>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.into_inner().map_err(KvError::from))
    }
}

impl DoubleEndedIterator for FjallRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        Some(self.0.next_back()?.into_inner().map_err(KvError::from))
    }
}
