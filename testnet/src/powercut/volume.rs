//! The disk behind the mount, without FUSE: files and folders in two images, *now* (what programs see) and *safe*
//! (what a power cut leaves for certain).
//!
//! Strict where file systems differ: a file's fsync saves its data and size, never its name; names are saved by the
//! fsync of their folder alone. A rename across folders is one step, as every journalling file system makes it.
//!
//! *Always holds:* `safe` changes only in [`Volume::sync_file`] and [`Volume::sync_folder`]; every name in `now` that
//! is not in `safe` has its step in the pending list; after [`Volume::cut`] nothing changes any more.

use super::content::{Content, PAGE, Touched};
use fuser::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::{Duration, SystemTime};

/// Number of a file or folder.
pub type Ino = u64;

/// The top folder.
pub const ROOT: Ino = 1;

/// Unlinked files are looked for after so many removals: often enough to keep memory flat, seldom enough to cost
/// nothing.
const SWEEP_EVERY: u32 = 64;

/// Attributes that survive as they are: nothing under test depends on them.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Permission bits.
    pub perm: u16,
    /// User and group.
    pub owner: (u32, u32),
    /// Last change.
    pub mtime: SystemTime,
}

/// A file.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// What programs see.
    pub now: Content,
    /// What surely survives.
    pub safe: Content,
    /// Pages written and not synced since.
    pub dirty: Touched,
    /// Space reserved by fallocate, in bytes from the start.
    pub reserved: u64,
}

impl File {
    /// Bytes of the disk that it takes.
    pub fn blocks(&self) -> u64 {
        self.now.stored().max(self.reserved.next_multiple_of(PAGE as u64))
    }
}

/// A name in a folder.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What it names.
    pub ino: Ino,
    /// Place in a listing: never given twice, so that a listing goes on rightly while names come and go.
    pub cookie: u64,
}

/// A folder.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// What programs see.
    pub now: BTreeMap<OsString, Entry>,
    /// What surely survives.
    pub safe: BTreeMap<OsString, Ino>,
    /// The folder above it.
    pub parent: Ino,
}

/// A file or a folder.
#[derive(Clone, Debug)]
pub enum Body {
    /// A file.
    File(File),
    /// A folder.
    Folder(Folder),
}

/// A file or folder with its attributes.
#[derive(Clone, Debug)]
pub struct Inode {
    /// Attributes.
    pub meta: Meta,
    /// Content.
    pub body: Body,
    /// How often the kernel holds it.
    pub held: u64,
    /// How often programs have it open: until they close it, its space stays taken.
    pub open: u64,
}

/// One step in folders that is not synced yet: name by name, what it stands for afterwards.
#[derive(Clone, Debug)]
pub struct Step {
    /// Folder, name, and what the name stands for from here on (none: removed).
    pub changes: Vec<(Ino, OsString, Option<Ino>)>,
}

/// What programs asked of the disk so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files synced.
    pub file_syncs: u64,
    /// Folders synced.
    pub folder_syncs: u64,
    /// Syncs that were made to fail.
    pub failed_syncs: u64,
    /// Requests refused because the disk was full.
    pub full: u64,
}

/// The disk.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Everything on it.
    pub inodes: BTreeMap<Ino, Inode>,
    /// Steps in folders that are not synced, oldest first.
    pub pending: Vec<Step>,
    /// Size of the disk in bytes.
    pub capacity: u64,
    /// So many of the next fsyncs fail.
    pub failing_syncs: u64,
    /// How long an fsync takes.
    pub sync_time: Duration,
    /// What was asked so far.
    pub counters: Counters,
    /// So many more changes and syncs are done before the power goes by itself.
    pub left: Option<u64>,
    used: u64,
    next: Ino,
    cookie: u64,
    removals: u32,
    powered: bool,
}

impl Volume {
    /// An empty disk.
    pub fn new(capacity: u64) -> Self {
        let meta = Meta { perm: 0o755, owner: (0, 0), mtime: SystemTime::now() };
        let root = Folder { parent: ROOT, ..Folder::default() };
        Self::restored(BTreeMap::from([(ROOT, Inode { meta, body: Body::Folder(root), held: 1, open: 0 })]), capacity)
    }

    /// A disk with this on it, powered, with nothing unsynced.
    pub fn restored(inodes: BTreeMap<Ino, Inode>, capacity: u64) -> Self {
        let next = inodes.keys().last().copied().unwrap_or(ROOT) + 1;
        let used = inodes.values().map(|inode| inode.blocks()).sum();
        Self {
            inodes,
            pending: Vec::new(),
            capacity,
            failing_syncs: 0,
            sync_time: Duration::ZERO,
            counters: Counters::default(),
            left: None,
            used,
            next,
            // 1 and 2 are "." and "..".
            cookie: 3,
            removals: 0,
            powered: true,
        }
        .with_cookies()
    }

    fn with_cookies(mut self) -> Self {
        for inode in self.inodes.values_mut() {
            if let Body::Folder(folder) = &mut inode.body {
                for entry in folder.now.values_mut() {
                    entry.cookie = self.cookie;
                    self.cookie += 1;
                }
            }
        }
        self
    }

    /// The power goes: from here on every request fails and nothing becomes safe.
    pub fn cut(&mut self) {
        self.powered = false;
    }

    /// Fails once the power is gone.
    pub fn powered(&self) -> Result<(), Errno> {
        if self.powered { Ok(()) } else { Err(Errno::EIO) }
    }

    /// One more change or sync is asked for: it fails when the power is gone, or goes now.
    fn act(&mut self) -> Result<(), Errno> {
        match &mut self.left {
            Some(0) => self.cut(),
            Some(left) => *left -= 1,
            None => {}
        }
        self.powered()
    }

    /// Bytes that can still be taken.
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }

    /// Makes the disk as large as to leave so many bytes free.
    pub fn set_free(&mut self, bytes: u64) {
        self.sweep();
        self.capacity = self.used.saturating_add(bytes);
    }

    /// The file or folder.
    pub fn inode(&self, ino: Ino) -> Result<&Inode, Errno> {
        self.powered()?;
        self.inodes.get(&ino).ok_or(Errno::ENOENT)
    }

    /// The file or folder, to change its attributes.
    pub fn inode_mut(&mut self, ino: Ino) -> Result<&mut Inode, Errno> {
        self.powered()?;
        self.inodes.get_mut(&ino).ok_or(Errno::ENOENT)
    }

    /// The file.
    pub fn file(&self, ino: Ino) -> Result<&File, Errno> {
        match &self.inode(ino)?.body {
            Body::File(file) => Ok(file),
            Body::Folder(_) => Err(Errno::EISDIR),
        }
    }

    /// The folder.
    pub fn folder(&self, ino: Ino) -> Result<&Folder, Errno> {
        match &self.inode(ino)?.body {
            Body::Folder(folder) => Ok(folder),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// What a name stands for; the kernel holds it from here on.
    pub fn look_up(&mut self, folder: Ino, name: &OsStr) -> Result<Ino, Errno> {
        let ino = self.find(folder, name)?.ok_or(Errno::ENOENT)?;
        self.inode_mut(ino)?.held += 1;
        Ok(ino)
    }

    /// The kernel lets go of it.
    pub fn forget(&mut self, ino: Ino, times: u64) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.held = inode.held.saturating_sub(times);
        }
    }

    /// A program opens it.
    pub fn open(&mut self, ino: Ino) -> Result<(), Errno> {
        self.file(ino)?;
        self.inode_mut(ino)?.open += 1;
        Ok(())
    }

    /// A program closes it.
    pub fn close(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.open = inode.open.saturating_sub(1);
        }
    }

    fn find(&self, folder: Ino, name: &OsStr) -> Result<Option<Ino>, Errno> {
        Ok(self.folder(folder)?.now.get(name).map(|entry| entry.ino))
    }

    /// A new file or folder; the kernel holds it.
    pub fn create(&mut self, parent: Ino, name: &OsStr, perm: u16, is_folder: bool) -> Result<Ino, Errno> {
        if self.find(parent, name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let body =
            if is_folder { Body::Folder(Folder { parent, ..Folder::default() }) } else { Body::File(File::default()) };
        let ino = self.next;
        self.next += 1;
        let meta = Meta { perm, owner: (0, 0), mtime: SystemTime::now() };
        self.inodes.insert(ino, Inode { meta, body, held: 1, open: 0 });
        self.take_step(vec![(parent, name.to_owned(), Some(ino))])?;
        Ok(ino)
    }

    /// Removes a name.
    pub fn remove(&mut self, parent: Ino, name: &OsStr, is_folder: bool) -> Result<(), Errno> {
        let ino = self.find(parent, name)?.ok_or(Errno::ENOENT)?;
        self.may_go(ino, is_folder)?;
        self.take_step(vec![(parent, name.to_owned(), None)])?;
        self.removed();
        Ok(())
    }

    fn may_go(&self, ino: Ino, is_folder: bool) -> Result<(), Errno> {
        match (&self.inode(ino)?.body, is_folder) {
            (Body::File(_), false) => Ok(()),
            (Body::Folder(folder), true) if folder.now.is_empty() => Ok(()),
            (Body::Folder(_), true) => Err(Errno::ENOTEMPTY),
            (Body::Folder(_), false) => Err(Errno::EISDIR),
            (Body::File(_), true) => Err(Errno::ENOTDIR),
        }
    }

    /// Renames; a name that was there is replaced unless `keep` forbids it.
    pub fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr), keep: bool) -> Result<(), Errno> {
        let ino = self.find(from.0, from.1)?.ok_or(Errno::ENOENT)?;
        let is_folder = matches!(self.inode(ino)?.body, Body::Folder(_));
        match self.find(to.0, to.1)? {
            Some(_) if keep => return Err(Errno::EEXIST),
            Some(there) if there == ino => return Ok(()),
            Some(there) => self.may_go(there, is_folder)?,
            None => {}
        }
        self.take_step(vec![(from.0, from.1.to_owned(), None), (to.0, to.1.to_owned(), Some(ino))])?;
        if let Body::Folder(folder) = &mut self.inode_mut(ino)?.body {
            folder.parent = to.0;
        }
        self.removed();
        Ok(())
    }

    fn take_step(&mut self, changes: Vec<(Ino, OsString, Option<Ino>)>) -> Result<(), Errno> {
        self.act()?;
        for (parent, name, ino) in &changes {
            let cookie = self.cookie;
            self.cookie += 1;
            let inode = self.inode_mut(*parent)?;
            inode.meta.mtime = SystemTime::now();
            let Body::Folder(folder) = &mut inode.body else { return Err(Errno::ENOTDIR) };
            match *ino {
                Some(ino) => folder.now.insert(name.clone(), Entry { ino, cookie }),
                None => folder.now.remove(name),
            };
        }
        self.pending.push(Step { changes });
        Ok(())
    }

    /// Writes; space is taken as a real disk would, so this can fail as full.
    pub fn write(&mut self, ino: Ino, offset: u64, data: &[u8]) -> Result<(), Errno> {
        self.counters.writes += 1;
        self.counters.bytes += data.len() as u64;
        self.change(ino, |file| file.now.write(offset, data, &mut file.dirty))
    }

    /// Cuts or grows a file.
    pub fn resize(&mut self, ino: Ino, size: u64) -> Result<(), Errno> {
        self.change(ino, |file| {
            file.reserved = file.reserved.min(size);
            file.now.resize(size, &mut file.dirty);
        })
    }

    /// Reserves space; the size grows unless it is to be kept.
    pub fn reserve(&mut self, ino: Ino, end: u64, keep_size: bool) -> Result<(), Errno> {
        self.change(ino, |file| {
            file.reserved = file.reserved.max(end);
            if !keep_size && end > file.now.size() {
                file.now.resize(end, &mut file.dirty);
            }
        })
    }

    /// Makes a range zero.
    pub fn punch(&mut self, ino: Ino, offset: u64, len: u64) -> Result<(), Errno> {
        self.change(ino, |file| file.now.punch(offset, len, &mut file.dirty))
    }

    /// Changes a file, unless that would take more space than there is.
    fn change(&mut self, ino: Ino, change: impl FnOnce(&mut File)) -> Result<(), Errno> {
        self.act()?;
        self.file(ino)?;
        let tight = self.capacity.saturating_sub(self.used) < TIGHT;
        if tight {
            self.sweep();
        }
        let (used, capacity) = (self.used, self.capacity);
        let inode = self.inode_mut(ino)?;
        let Body::File(file) = &mut inode.body else { return Err(Errno::EISDIR) };
        let before = file.blocks();
        // Only a nearly full disk pays for the copy that lets a refused change leave no trace; pages are shared.
        let spare = tight.then(|| file.clone());
        change(file);
        let after = file.blocks();
        let used = used - before + after;
        if let Some(spare) = spare
            && after > before
            && used > capacity
        {
            *file = spare;
            self.counters.full += 1;
            return Err(Errno::ENOSPC);
        }
        inode.meta.mtime = SystemTime::now();
        self.used = used;
        Ok(())
    }

    /// fsync or fdatasync of a file: its data and size are safe. A sync that fails loses what it was to save, as
    /// Linux does: the pages count as clean, a later sync does not try them again.
    pub fn sync_file(&mut self, ino: Ino) -> Result<(), Errno> {
        let failing = self.sync_fails()?;
        self.counters.file_syncs += 1;
        let Body::File(file) = &mut self.inode_mut(ino)?.body else { return Err(Errno::EISDIR) };
        let dirty = std::mem::take(&mut file.dirty);
        if failing {
            return Err(Errno::EIO);
        }
        file.safe.resize(file.now.size(), &mut Touched::new());
        for number in dirty {
            file.safe.put_page(number, file.now.page(number).cloned());
        }
        Ok(())
    }

    /// fsync of a folder: its names are safe, and with them every earlier step that a rename ties to them.
    pub fn sync_folder(&mut self, ino: Ino) -> Result<(), Errno> {
        let failing = self.sync_fails()?;
        self.folder(ino)?;
        self.counters.folder_syncs += 1;
        if failing {
            return Err(Errno::EIO);
        }
        let mut folders = BTreeSet::from([ino]);
        let mut due = Vec::new();
        for (at, step) in self.pending.iter().enumerate().rev() {
            if step.changes.iter().any(|(folder, ..)| folders.contains(folder)) {
                folders.extend(step.changes.iter().map(|(folder, ..)| *folder));
                due.push(at);
            }
        }
        let due: BTreeSet<usize> = due.into_iter().collect();
        let mut at = 0;
        let (save, keep) = std::mem::take(&mut self.pending).into_iter().partition(|_| {
            at += 1;
            due.contains(&(at - 1))
        });
        self.pending = keep;
        self.save_steps(save);
        Ok(())
    }

    /// Makes these steps safe, in order.
    pub fn save_steps(&mut self, steps: Vec<Step>) {
        for (folder, name, ino) in steps.into_iter().flat_map(|step| step.changes) {
            let Some(Body::Folder(folder)) = self.inodes.get_mut(&folder).map(|inode| &mut inode.body) else {
                continue;
            };
            match ino {
                Some(ino) => folder.safe.insert(name, ino),
                None => folder.safe.remove(&name),
            };
        }
    }

    fn sync_fails(&mut self) -> Result<bool, Errno> {
        self.act()?;
        let failing = self.failing_syncs > 0;
        if failing {
            self.failing_syncs -= 1;
            self.counters.failed_syncs += 1;
        }
        Ok(failing)
    }

    fn removed(&mut self) {
        self.removals += 1;
        if self.removals >= SWEEP_EVERY {
            self.removals = 0;
            self.sweep();
        }
    }

    /// Forgets what no image, no pending step and no program knows, and counts the space that programs still use.
    fn sweep(&mut self) {
        let mut used: BTreeSet<Ino> = BTreeSet::from([ROOT]);
        let mut known = BTreeSet::new();
        for (ino, inode) in &self.inodes {
            if inode.open > 0 {
                used.insert(*ino);
            }
            if inode.held > 0 {
                known.insert(*ino);
            }
            if let Body::Folder(folder) = &inode.body {
                used.extend(folder.now.values().map(|entry| entry.ino));
                known.extend(folder.safe.values().copied());
            }
        }
        known.extend(self.pending.iter().flat_map(|step| &step.changes).filter_map(|change| change.2));
        self.used = used.iter().filter_map(|ino| self.inodes.get(ino)).map(Inode::blocks).sum();
        self.inodes.retain(|ino, _| used.contains(ino) || known.contains(ino));
    }
}

/// Free space below which a change is tried on a copy first: larger than any single write (16 MiB at most) and any
/// reservation (segments of 64 MiB) that programs under test make.
const TIGHT: u64 = 256 * 1024 * 1024;

impl Inode {
    /// Bytes of the disk that it takes.
    pub fn blocks(&self) -> u64 {
        match &self.body {
            Body::File(file) => file.blocks(),
            Body::Folder(_) => 0,
        }
    }
}
