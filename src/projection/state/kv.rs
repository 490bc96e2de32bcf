//! The ordered key-value store under the state: four verbs, two stores.
//!
//! [`Fjall`] is what the node runs on; [`Memory`] is an ordered map that can lose its newest commits, so that a
//! simulated crash runs through the same code.
//!
//! *Always holds:* a commit is there whole or not at all; after a crash the store is what it was after some earlier
//! commit; a snapshot never changes.

mod fjall;
mod memory;

pub use self::fjall::{Fjall, Tuning};
pub use self::memory::Memory;
/// Bytes of a key or a value (cheap to clone).
pub use ::fjall::Slice;

/// One write: the key, and its value or none to remove it. A commit names no key twice.
pub type Write = (Slice, Option<Slice>);

/// Why the store under the state failed. None of these pass by themselves: the projection stops.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The store said no.
    #[error("state store: {0}")]
    Store(#[from] ::fjall::Error),
    /// The folder cannot be made or read.
    #[error("state store, folder {path}: {source}")]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// An ordered map from bytes to bytes with atomic commits and snapshots.
pub trait Kv: Send + Sync + 'static {
    /// A picture of the map as of one commit.
    type Snapshot: Snapshot;

    /// The map as it is now.
    fn snapshot(&self) -> Self::Snapshot;

    /// Makes all writes visible at once. Buffered: a crash may lose the newest commits, never part of one.
    fn commit(&self, writes: Vec<Write>) -> Result<(), KvError>;

    /// Makes every earlier commit survive a crash.
    fn sync(&self) -> Result<(), KvError>;
}

/// A picture of the map that never changes.
pub trait Snapshot: Clone + Send + Sync + 'static {
    /// Entries in key order, from both ends.
    type Range: DoubleEndedIterator<Item = Result<(Slice, Slice), KvError>> + Send;

    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Slice>, KvError>;

    /// Entries with `from <= key < to`.
    fn range(&self, from: &[u8], to: &[u8]) -> Self::Range;
}
