//! A disk in memory that loses, tears and refuses what a real one loses, tears and refuses, by a seed.
//!
//! Used by the tests here and by the simulation. One thread at a time drives it; calls are atomic.
//!
//! *Always holds:* after [`FaultDisk::crash`] every 512-byte sector holds what was last synced or one of the writes
//! since, each sector for itself; every name in a folder likewise; handles from before are dead. The same seed and
//! the same calls give the same disk.

use super::{Disk, File};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a disk writes whole or not at all.
pub const SECTOR: usize = 512;

type Id = u64;
const ROOT: Id = 0;

/// A disk in memory.
#[derive(Clone)]
pub struct FaultDisk(Arc<Mutex<Inner>>);

struct Inner {
    random: u64,
    files: BTreeMap<Id, Bytes>,
    folders: BTreeMap<Id, Names>,
    next: Id,
    /// Handles carry the number of crashes there were when they were opened.
    crashes: u64,
    /// Bytes that can still be taken, if limited.
    free: Option<u64>,
    /// Room is taken by writing, not by allocating.
    thin: bool,
    /// Calls of sync (of a file or a folder) so far, and the ones that fail.
    syncs: u64,
    fail_sync: Option<u64>,
    /// Calls of write so far, and the one that fails.
    writes: u64,
    fail_write: Option<u64>,
    /// Changing calls so far, and the one at which the power goes.
    calls: u64,
    power_off: Option<u64>,
    /// Planted lies.
    ignore_sync: bool,
    ignore_sync_dir: bool,
}

/// A file: what readers see, what is on the platter, and the writes in between.
#[derive(Default)]
struct Bytes {
    live: Vec<u8>,
    synced: Vec<u8>,
    /// Contents each sector had since the last sync, oldest first.
    pending: BTreeMap<usize, Vec<[u8; SECTOR]>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(Id),
    Folder(Id),
}

impl Entry {
    fn id(&self) -> Id {
        match self {
            Self::File(id) | Self::Folder(id) => *id,
        }
    }
}

enum Power {
    On,
    Going,
    Off,
}

fn gone() -> io::Error {
    io::Error::other("the power is gone")
}

#[derive(Default)]
struct Names {
    live: BTreeMap<OsString, Entry>,
    synced: BTreeMap<OsString, Entry>,
}

/// What a crash does to what was not synced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    LosesAll,
    KeepsAll,
    Tears,
}

impl FaultDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            random: seed,
            files: BTreeMap::new(),
            folders: BTreeMap::from([(ROOT, Names::default())]),
            next: ROOT + 1,
            crashes: 0,
            free: None,
            thin: false,
            syncs: 0,
            fail_sync: None,
            writes: 0,
            fail_write: None,
            calls: 0,
            power_off: None,
            ignore_sync: false,
            ignore_sync_dir: false,
        };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Another disk with the same contents, as readers see them.
    pub fn fork(&self) -> Self {
        let inner = self.lock();
        let fork = Self::new(inner.random);
        {
            let mut copy = fork.lock();
            copy.next = inner.next;
            for (id, bytes) in &inner.files {
                let (live, synced) = (bytes.live.clone(), bytes.live.clone());
                copy.files.insert(*id, Bytes { live, synced, pending: BTreeMap::new() });
            }
            for (id, names) in &inner.folders {
                let (live, synced) = (names.live.clone(), names.live.clone());
                copy.folders.insert(*id, Names { live, synced });
            }
        }
        fork
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power is cut. What was not synced is lost, kept or torn; every open handle and lock is dead.
    pub fn crash(&self) {
        self.lock().crash();
    }

    /// The power goes at the `nth` changing call from now (1 is the next): that call is begun (a sync does nothing),
    /// it and every later one fail, until [`Self::crash`] decides what is left.
    pub fn cut_power(&self, nth: u64) {
        let mut inner = self.lock();
        inner.power_off = Some(inner.calls + nth);
    }

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        let inner = self.lock();
        inner.power_off.is_some_and(|at| inner.calls >= at)
    }

    /// From now on only so many more bytes can be taken (by files that grow); none: as many as you like.
    pub fn set_free(&self, bytes: Option<u64>) {
        self.lock().free = bytes;
    }

    /// Room in advance is not taken (a FUSE file system), and every write takes room anew (ZFS).
    pub fn set_thin(&self, thin: bool) {
        self.lock().thin = thin;
    }

    /// The `nth` sync from now (1 is the next) fails, and what it should have written will never be, though later
    /// syncs succeed and readers see it: that is what Linux does.
    pub fn fail_sync(&self, nth: u64) {
        let mut inner = self.lock();
        inner.fail_sync = Some(inner.syncs + nth);
    }

    /// The `nth` write from now (1 is the next) fails half done.
    pub fn fail_write(&self, nth: u64) {
        let mut inner = self.lock();
        inner.fail_write = Some(inner.writes + nth);
    }

    /// No fault is pending any more (what they did stays done).
    pub fn heal(&self) {
        let mut inner = self.lock();
        (inner.fail_sync, inner.fail_write, inner.free) = (None, None, None);
    }

    /// Calls of sync so far.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Plants a bug: syncs of files report success and do nothing.
    pub fn ignore_sync(&self, ignore: bool) {
        self.lock().ignore_sync = ignore;
    }

    /// Plants a bug: syncs of folders report success and do nothing.
    pub fn ignore_sync_dir(&self, ignore: bool) {
        self.lock().ignore_sync_dir = ignore;
    }

    /// Flips bits of a byte, on the platter and for readers: the disk rots.
    pub fn flip(&self, path: &Path, offset: usize, bits: u8) -> io::Result<()> {
        let mut inner = self.lock();
        let file = inner.file_at(path)?;
        let Some(bytes) = inner.files.get_mut(&file) else { return Err(io::ErrorKind::NotFound.into()) };
        for content in [&mut bytes.live, &mut bytes.synced] {
            if let Some(byte) = content.get_mut(offset) {
                *byte ^= bits;
            }
        }
        Ok(())
    }
}

impl Inner {
    /// splitmix64
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn mood(&mut self) -> Mood {
        match self.random() % 6 {
            0 => Mood::LosesAll,
            1 => Mood::KeepsAll,
            _ => Mood::Tears,
        }
    }

    /// Which of `versions` states survives: 0 is the synced one.
    fn survivor(&mut self, mood: Mood, versions: usize) -> usize {
        match mood {
            Mood::LosesAll => 0,
            Mood::KeepsAll => versions - 1,
            Mood::Tears => (self.random() % versions as u64) as usize,
        }
    }

    fn crash(&mut self) {
        self.crashes += 1;
        self.fail_sync = None;
        self.fail_write = None;
        self.power_off = None;
        let mood = self.mood();
        for id in self.files.keys().copied().collect::<Vec<_>>() {
            self.crash_file(id, mood);
        }
        for id in self.folders.keys().copied().collect::<Vec<_>>() {
            self.crash_folder(id, mood);
        }
        let named: BTreeSet<Id> = self.folders.values().flat_map(|names| names.live.values().map(Entry::id)).collect();
        self.files.retain(|id, _| named.contains(id));
    }

    /// Counts a changing call.
    fn power(&mut self) -> Power {
        self.calls += 1;
        match self.power_off {
            Some(at) if self.calls == at => Power::Going,
            Some(at) if self.calls > at => Power::Off,
            _ => Power::On,
        }
    }

    /// Runs a changing call under the power there is.
    fn powered(&mut self, call: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        match self.power() {
            Power::On => call(self),
            Power::Going => call(self).and(Err(gone())),
            Power::Off => Err(gone()),
        }
    }

    fn crash_file(&mut self, id: Id, mood: Mood) {
        let Some(mut bytes) = self.files.remove(&id) else { return };
        if bytes.live.len() != bytes.synced.len() && self.survivor(mood, 2) == 1 {
            bytes.synced.resize(bytes.live.len(), 0);
        }
        for (sector, versions) in std::mem::take(&mut bytes.pending) {
            let Some(survivor) = self.survivor(mood, versions.len() + 1).checked_sub(1) else { continue };
            let start = sector * SECTOR;
            let end = bytes.synced.len().min(start + SECTOR);
            if start < end {
                bytes.synced[start..end].copy_from_slice(&versions[survivor][..end - start]);
            }
        }
        bytes.live = bytes.synced.clone();
        self.files.insert(id, bytes);
    }

    fn crash_folder(&mut self, id: Id, mood: Mood) {
        let Some(mut names) = self.folders.remove(&id) else { return };
        let all: Vec<OsString> = names.live.keys().chain(names.synced.keys()).cloned().collect();
        for name in all {
            let (live, synced) = (names.live.get(&name).copied(), names.synced.get(&name).copied());
            if live != synced && self.survivor(mood, 2) == 1 {
                match live {
                    Some(entry) => names.synced.insert(name, entry),
                    None => names.synced.remove(&name),
                };
            }
        }
        names.live = names.synced.clone();
        self.folders.insert(id, names);
    }

    fn folder_at(&self, path: &Path) -> io::Result<Id> {
        let mut at = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            match self.folders.get(&at).and_then(|names| names.live.get(name)) {
                Some(Entry::Folder(id)) => at = *id,
                _ => return Err(io::ErrorKind::NotFound.into()),
            }
        }
        Ok(at)
    }

    fn parent_of<'a>(&self, path: &'a Path) -> io::Result<(Id, &'a OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.folder_at(path.parent().unwrap_or(Path::new("")))?, name))
    }

    fn entry_at(&self, path: &Path) -> io::Result<Entry> {
        let (parent, name) = self.parent_of(path)?;
        let entry = self.folders.get(&parent).and_then(|names| names.live.get(name));
        entry.copied().ok_or(io::ErrorKind::NotFound.into())
    }

    fn file_at(&self, path: &Path) -> io::Result<Id> {
        match self.entry_at(path)? {
            Entry::File(id) => Ok(id),
            Entry::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn set_name(&mut self, path: &Path, entry: Entry) -> io::Result<()> {
        self.release(path);
        let (parent, name) = self.parent_of(path)?;
        self.folders.entry(parent).or_default().live.insert(name.to_owned(), entry);
        Ok(())
    }

    fn drop_name(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent_of(path)?;
        self.folders.entry(parent).or_default().live.remove(name);
        Ok(())
    }

    /// Gives back the room of a file whose name goes.
    fn release(&mut self, path: &Path) {
        if let (Ok(id), Some(free)) = (self.file_at(path), self.free) {
            self.free = Some(free + self.files.get(&id).map_or(0, |bytes| bytes.live.len()) as u64);
        }
    }

    fn fresh(&mut self) -> Id {
        self.next += 1;
        self.next - 1
    }

    /// Takes room for a file that grows; how many of the bytes there is room for.
    fn take(&mut self, bytes: u64) -> u64 {
        let Some(free) = &mut self.free else { return bytes };
        let taken = bytes.min(*free);
        *free -= taken;
        taken
    }

    fn write(&mut self, id: Id, offset: usize, content: &[u8]) -> io::Result<()> {
        self.writes += 1;
        let fails = self.fail_write == Some(self.writes);
        let len = self.files.get(&id).map_or(0, |bytes| bytes.live.len());
        let grows = (offset + content.len()).saturating_sub(len);
        let grows = if self.thin { content.len() } else { grows } as u64;
        let missing = (grows - self.take(grows)) as usize;
        let mut fitting = content.len() - missing.min(content.len());
        if fails {
            fitting /= 2;
        }
        if let Some(bytes) = self.files.get_mut(&id) {
            bytes.write(offset, &content[..fitting]);
        }
        match fails {
            true => Err(io::Error::other("input/output error")),
            false if missing > 0 => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn allocate(&mut self, id: Id, len: usize) -> io::Result<()> {
        let now = self.files.get(&id).map_or(0, |bytes| bytes.live.len());
        let grows = if self.thin { 0 } else { len.saturating_sub(now) } as u64;
        if self.free.is_some_and(|free| free < grows) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.take(grows);
        if let Some(bytes) = self.files.get_mut(&id) {
            bytes.live.resize(len.max(now), 0);
        }
        Ok(())
    }

    /// Counts a sync; whether it fails.
    fn sync_fails(&mut self) -> bool {
        self.syncs += 1;
        self.fail_sync == Some(self.syncs)
    }

    fn sync(&mut self, id: Id) -> io::Result<()> {
        let fails = self.sync_fails();
        let ignores = self.ignore_sync;
        let Some(bytes) = self.files.get_mut(&id) else { return Ok(()) };
        if fails {
            bytes.pending.clear();
            return Err(io::Error::other("input/output error"));
        }
        if !ignores {
            bytes.sync();
        }
        Ok(())
    }
}

impl Bytes {
    fn write(&mut self, offset: usize, content: &[u8]) {
        if content.is_empty() {
            return;
        }
        let end = offset + content.len();
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(content);
        for sector in offset / SECTOR..=(end - 1) / SECTOR {
            let mut version = [0; SECTOR];
            let start = sector * SECTOR;
            let part = &self.live[start..self.live.len().min(start + SECTOR)];
            version[..part.len()].copy_from_slice(part);
            self.pending.entry(sector).or_default().push(version);
        }
    }

    fn sync(&mut self) {
        self.synced.resize(self.live.len(), 0);
        for sector in std::mem::take(&mut self.pending).into_keys() {
            let start = sector * SECTOR;
            let end = self.live.len().min(start + SECTOR);
            self.synced[start..end].copy_from_slice(&self.live[start..end]);
        }
    }
}

impl Disk for FaultDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let inner = self.lock();
        let id = inner.file_at(path)?;
        Ok(Arc::new(Handle { disk: self.clone(), id, crashes: inner.crashes }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut inner = self.lock();
        let id = inner.fresh();
        inner.powered(|inner| {
            inner.set_name(path, Entry::File(id))?;
            inner.files.insert(id, Bytes::default());
            Ok(())
        })?;
        Ok(Arc::new(Handle { disk: self.clone(), id, crashes: inner.crashes }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        match inner.entry_at(path) {
            Ok(Entry::Folder(_)) => return Ok(()),
            Ok(Entry::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => {}
        }
        let id = inner.fresh();
        inner.powered(|inner| {
            inner.set_name(path, Entry::Folder(id))?;
            inner.folders.insert(id, Names::default());
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.lock().powered(|inner| {
            let entry = inner.entry_at(from)?;
            inner.set_name(to, entry)?;
            inner.drop_name(from)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.lock().powered(|inner| {
            inner.file_at(path)?;
            inner.release(path);
            inner.drop_name(path)
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let inner = self.lock();
        let names = inner.folders.get(&inner.folder_at(path)?);
        Ok(names.map(|names| names.live.keys().cloned().collect()).unwrap_or_default())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        let id = inner.folder_at(path)?;
        if !matches!(inner.power(), Power::On) {
            return Err(gone());
        }
        if inner.sync_fails() {
            return Err(io::Error::other("input/output error"));
        }
        if !inner.ignore_sync_dir
            && let Some(names) = inner.folders.get_mut(&id)
        {
            names.synced = names.live.clone();
        }
        Ok(())
    }

    /// Who drives this disk opens one journal at a time.
    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Ok(Box::new(()))
    }
}

struct Handle {
    disk: FaultDisk,
    id: Id,
    crashes: u64,
}

impl Handle {
    fn inner(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.disk.lock();
        if inner.crashes != self.crashes {
            return Err(io::Error::other("opened before the power was cut"));
        }
        Ok(inner)
    }
}

impl File for Handle {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let inner = self.inner()?;
        let live = inner.files.get(&self.id).map_or(&[][..], |bytes| &bytes.live);
        let rest = live.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner()?.powered(|inner| inner.write(self.id, offset as usize, bytes))
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.inner()?;
        match inner.power() {
            Power::On => inner.sync(self.id),
            _ => Err(gone()),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inner()?.files.get(&self.id).map_or(0, |bytes| bytes.live.len()) as u64)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.inner()?.powered(|inner| inner.allocate(self.id, len as usize))
    }
}
