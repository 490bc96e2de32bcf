//! The same map in memory, for tests and the simulation: it remembers its commits and can lose the newest.
//!
//! *Always holds:* [`Memory::crash`] leaves the map as it was after one of the commits since the last sync.

use super::{Kv, KvError, Slice, Snapshot, Write};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Map = BTreeMap<Slice, Slice>;

/// The store. Clones share it.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    now: Arc<Map>,
    synced: Map,
    since: Vec<Vec<Write>>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Commits that a crash may still take.
    pub fn unsynced(&self) -> usize {
        self.lock().since.len()
    }

    /// The machine dies: of the commits since the last sync the first `keep` survive.
    pub fn crash(&self, keep: usize) {
        let mut inner = self.lock();
        inner.since.truncate(keep);
        let mut map = inner.synced.clone();
        for writes in &inner.since {
            write(&mut map, writes);
        }
        inner.now = Arc::new(map);
    }

    /// Every entry, to compare two stores.
    pub fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.lock().now.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(map: &mut Map, writes: &[Write]) {
    for (key, value) in writes {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

impl Kv for Memory {
    type Snapshot = MemorySnapshot;

    fn snapshot(&self) -> MemorySnapshot {
        MemorySnapshot(self.lock().now.clone())
    }

    fn commit(&self, writes: Vec<Write>) -> Result<(), KvError> {
        let mut inner = self.lock();
        write(Arc::make_mut(&mut inner.now), &writes);
        inner.since.push(writes);
        Ok(())
    }

    fn sync(&self) -> Result<(), KvError> {
        let mut inner = self.lock();
        inner.synced = Map::clone(&inner.now);
        inner.since.clear();
        Ok(())
    }
}

/// A picture of the map.
#[derive(Clone)]
pub struct MemorySnapshot(Arc<Map>);

impl Snapshot for MemorySnapshot {
    type Range = MemoryRange;

    fn get(&self, key: &[u8]) -> Result<Option<Slice>, KvError> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8]) -> MemoryRange {
        MemoryRange { map: self.0.clone(), from: Bound::Included(from.into()), to: to.into() }
    }
}

/// Entries of a [`MemorySnapshot`].
pub struct MemoryRange {
    map: Arc<Map>,
    from: Bound<Slice>,
    to: Slice,
}

impl MemoryRange {
    fn rest(&self) -> Option<std::collections::btree_map::Range<'_, Slice, Slice>> {
        let empty = match &self.from {
            Bound::Included(from) | Bound::Excluded(from) => *from >= self.to,
            Bound::Unbounded => false,
        };
        let bounds = (self.from.as_ref(), Bound::Excluded(&self.to));
        (!empty).then(|| self.map.range::<Slice, _>(bounds))
    }
}

impl Iterator for MemoryRange {
    type Item = Result<(Slice, Slice), KvError>;
    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.rest()?.next().map(|(key, value)| (key.clone(), value.clone()))?;
        self.from = Bound::Excluded(key.clone());
        Some(Ok((key, value)))
    }
}

impl DoubleEndedIterator for MemoryRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (key, value) = self.rest()?.next_back().map(|(key, value)| (key.clone(), value.clone()))?;
        self.to = key.clone();
        Some(Ok((key, value)))
    }
}
