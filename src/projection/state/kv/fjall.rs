//! The state on fjall: one keyspace, so that a commit is one unit whatever is flushed when.
//!
//! *Always holds:* the first bytes of every key say what it is ([`key`](super::super::key)); nothing is synced but
//! on [`Kv::sync`], because the journal can always write it again.

use super::{Kv, KvError, Slice, Snapshot, Write};
use ::fjall::compaction::Leveled;
use ::fjall::config::{CompressionPolicy, FilterPolicy};
use ::fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Notify;

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
    /// Told when somebody who reads finds damage.
    damage: Arc<Notify>,
}

impl KvError {
    /// Whether it is about what is in the store: not about the system, the disk's room, or rights.
    pub fn is_damage(&self) -> bool {
        use ::fjall::{Error, LsmError};
        let io = |error: &std::io::Error| {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
        };
        let Self::Store(error) = self else { return false };
        match error {
            Error::Io(error) | Error::Storage(LsmError::Io(error)) => io(error),
            Error::Storage(_) | Error::JournalRecovery(_) | Error::Unrecoverable => true,
            Error::Decompress(_) | Error::InvalidTrailer | Error::InvalidTag(_) | Error::InvalidVersion(_) => true,
            _ => false,
        }
    }
}

/// What a read gives; damage is told. The store breaks an assertion of its own on some of it.
fn guarded<T>(damage: &Notify, read: impl FnOnce() -> Result<T, ::fjall::Error>) -> Result<T, KvError> {
    let read = catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(::fjall::Error::Unrecoverable));
    read.map_err(KvError::from).inspect_err(|error| {
        if error.is_damage() {
            damage.notify_one();
        }
    })
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
        Ok(Self { db, keyspace, damage: Arc::default() })
    }

    /// Somebody who read found damage.
    pub fn tell_damage(&self) {
        self.damage.notify_one();
    }

    /// Waits until somebody who reads has found damage.
    pub async fn damaged(&self) {
        self.damage.notified().await;
    }

    /// Whether a file of the store's folder, by its path in there, is written once and never again: sorted tables.
    pub fn is_shareable(path: &Path) -> bool {
        path.components().any(|part| part.as_os_str() == "tables")
    }

    /// Bytes on disk, fjall's own log not counted.
    pub fn disk_bytes(&self) -> u64 {
        self.keyspace.disk_space()
    }
}

impl Kv for Fjall {
    type Snapshot = FjallSnapshot;

    fn snapshot(&self) -> FjallSnapshot {
        FjallSnapshot { at: self.db.snapshot(), keyspace: self.keyspace.clone(), damage: self.damage.clone() }
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
    damage: Arc<Notify>,
}

impl Snapshot for FjallSnapshot {
    type Range = FjallRange;

    fn get(&self, key: &[u8]) -> Result<Option<Slice>, KvError> {
        guarded(&self.damage, || self.at.get(&self.keyspace, key))
    }

    fn range(&self, from: &[u8], to: &[u8]) -> FjallRange {
        FjallRange { rows: self.at.range(&self.keyspace, from..to), damage: self.damage.clone(), failed: false }
    }
}

/// Entries of a [`FjallSnapshot`].
pub struct FjallRange {
    rows: ::fjall::Iter,
    damage: Arc<Notify>,
    /// Nothing comes behind an error.
    failed: bool,
}

impl FjallRange {
    fn step(
        &mut self,
        step: impl FnOnce(&mut ::fjall::Iter) -> Option<::fjall::Guard>,
    ) -> Option<Result<(Slice, Slice), KvError>> {
        if self.failed {
            return None;
        }
        let rows = &mut self.rows;
        let row = guarded(&self.damage, || step(rows).map(::fjall::Guard::into_inner).transpose()).transpose();
        self.failed = matches!(row, Some(Err(_)));
        row
    }
}

impl Iterator for FjallRange {
    type Item = Result<(Slice, Slice), KvError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl DoubleEndedIterator for FjallRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;

    fn tables(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => tables(&path, into),
                false if Fjall::is_shareable(&path) => into.push(path),
                false => {}
            }
        }
    }

    /// Rows that lie in tables of which every tenth byte is another one.
    fn rotten(folder: &Path) -> Fjall {
        let key = |nth: u32| Slice::from(nth.to_be_bytes());
        let store = Fjall::open(folder, Tuning::default()).unwrap();
        let value = |nth: u32| Slice::from(blake3::hash(&nth.to_le_bytes()).as_bytes().repeat(8));
        store.commit((0..20_000).map(|nth| (key(nth), Some(value(nth)))).collect()).unwrap();
        store.keyspace.rotate_memtable_and_wait().unwrap();
        drop(store);
        let store = Fjall::open(folder, Tuning::default()).unwrap();
        let mut found = Vec::new();
        tables(folder, &mut found);
        for file in found {
            let mut bytes = std::fs::read(&file).unwrap();
            bytes.iter_mut().step_by(10).for_each(|byte| *byte ^= 0x55);
            std::fs::write(&file, bytes).unwrap();
        }
        store
    }

    /// Planted: damage not told.
    #[tokio::test]
    async fn who_reads_damage_gets_an_error_once_and_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = rotten(folder.path());
        let told = || tokio::time::timeout(Duration::from_secs(60), store.damaged());
        let snapshot = store.snapshot();
        assert!(snapshot.get(&7_u32.to_be_bytes()).unwrap_err().is_damage());
        told().await.expect("by whoever gets one");
        let mut rows = snapshot.range(&[], &[u8::MAX]);
        assert!(rows.find_map(Result::err).is_some_and(|error| error.is_damage()));
        assert!(rows.next().is_none() && rows.next_back().is_none(), "nothing comes behind it");
        told().await.expect("by whoever goes through them");
    }
}
