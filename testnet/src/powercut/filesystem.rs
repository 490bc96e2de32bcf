//! The FUSE face of a [`Volume`]: the kernel's requests, one by one, under one lock.
//!
//! *Always holds:* the kernel writes through (no write-back cache is asked for), so the volume has seen every write
//! that a program was told is done.

use super::volume::{Body, Counters, Ino, Inode, Volume};
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// How long the kernel may trust names and attributes: nothing changes behind its back.
const TRUST: Duration = Duration::from_secs(3600);

/// Block size that is reported, in bytes.
const BLOCK: u32 = 4096;

/// A disk shared between the FUSE thread and the test that cuts its power.
#[derive(Clone, Debug)]
pub struct SharedVolume(Arc<Mutex<Volume>>);

impl SharedVolume {
    /// Shares it.
    pub fn new(volume: Volume) -> Self {
        Self(Arc::new(Mutex::new(volume)))
    }

    /// Exclusive use, for one short step.
    pub fn lock(&self) -> MutexGuard<'_, Volume> {
        // A panic of another test thread must not take the disk from this one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked so far.
    pub fn counters(&self) -> Counters {
        self.lock().counters
    }
}

fn attributes(ino: Ino, inode: &Inode) -> FileAttr {
    let (kind, size) = match &inode.body {
        Body::File(file) => (FileType::RegularFile, file.now.size()),
        Body::Folder(_) => (FileType::Directory, 0),
    };
    FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: inode.blocks() / 512,
        atime: inode.meta.mtime,
        mtime: inode.meta.mtime,
        ctime: inode.meta.mtime,
        crtime: inode.meta.mtime,
        kind,
        perm: inode.meta.perm,
        nlink: if kind == FileType::Directory { 2 } else { 1 },
        uid: inode.meta.owner.0,
        gid: inode.meta.owner.1,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

impl SharedVolume {
    fn attributes(&self, ino: Ino) -> Result<FileAttr, Errno> {
        let volume = self.lock();
        Ok(attributes(ino, volume.inode(ino)?))
    }

    fn make(&self, by: &Request, place: (INodeNo, &OsStr), mode: u32, is_folder: bool) -> Result<FileAttr, Errno> {
        let mut volume = self.lock();
        let ino = volume.create(place.0.0, place.1, (mode & 0o7777) as u16, is_folder)?;
        volume.inode_mut(ino)?.meta.owner = (by.uid(), by.gid());
        if !is_folder {
            volume.open(ino)?;
        }
        Ok(attributes(ino, volume.inode(ino)?))
    }

    /// Syncs after the time that it takes; other requests go on meanwhile, and so may the power go.
    fn sync(&self, reply: ReplyEmpty, sync: impl FnOnce(&mut Volume) -> Result<(), Errno> + Send + 'static) {
        let time = self.lock().sync_time;
        if time.is_zero() {
            let synced = sync(&mut self.lock());
            return answer(reply, synced);
        }
        let disk = self.clone();
        std::thread::spawn(move || {
            #[expect(clippy::disallowed_methods, reason = "a disk takes its time")]
            std::thread::sleep(time);
            let synced = sync(&mut disk.lock());
            answer(reply, synced);
        });
    }

    fn list(&self, ino: Ino, after: u64, reply: &mut ReplyDirectory) -> Result<(), Errno> {
        let volume = self.lock();
        let folder = volume.folder(ino)?;
        let mut names = vec![(1, ino, FileType::Directory, OsStr::new("."))];
        names.push((2, folder.parent, FileType::Directory, OsStr::new("..")));
        for (name, entry) in &folder.now {
            let kind = match volume.inode(entry.ino)?.body {
                Body::File(_) => FileType::RegularFile,
                Body::Folder(_) => FileType::Directory,
            };
            names.push((entry.cookie, entry.ino, kind, name));
        }
        names.sort_unstable_by_key(|name| name.0);
        for (cookie, ino, kind, name) in names.into_iter().filter(|name| name.0 > after) {
            if reply.add(INodeNo(ino), cookie, kind, name) {
                break;
            }
        }
        Ok(())
    }
}

/// Answers a request that has no answer but done or failed.
fn answer(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for SharedVolume {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = {
            let mut volume = self.lock();
            volume.look_up(parent.0, name).and_then(|ino| Ok(attributes(ino, volume.inode(ino)?)))
        };
        match found {
            Ok(found) => reply.entry(&TRUST, &found, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn forget(&self, _: &Request, ino: INodeNo, times: u64) {
        self.lock().forget(ino.0, times);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino.0) {
            Ok(found) => reply.attr(&TRUST, &found),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut volume = self.lock();
        let set = size.map_or(Ok(()), |size| volume.resize(ino.0, size)).and_then(|()| {
            let inode = volume.inode_mut(ino.0)?;
            let meta = &mut inode.meta;
            meta.perm = mode.map_or(meta.perm, |mode| (mode & 0o7777) as u16);
            meta.owner = (uid.unwrap_or(meta.owner.0), gid.unwrap_or(meta.owner.1));
            meta.mtime = match mtime {
                Some(TimeOrNow::SpecificTime(time)) => time,
                Some(TimeOrNow::Now) => SystemTime::now(),
                None => meta.mtime,
            };
            Ok(attributes(ino.0, inode))
        });
        drop(volume);
        match set {
            Ok(found) => reply.attr(&TRUST, &found),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, by: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        match self.make(by, (parent, name), mode & !umask, true) {
            Ok(made) => reply.entry(&TRUST, &made, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn create(&self, by: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        match self.make(by, (parent, name), mode & !umask, false) {
            Ok(made) => {
                reply.created(&TRUST, &made, Generation(0), FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
            }
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.lock().remove(parent.0, name, false);
        answer(reply, removed);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.lock().remove(parent.0, name, true);
        answer(reply, removed);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !RenameFlags::RENAME_NOREPLACE.contains(flags) {
            return reply.error(Errno::EINVAL);
        }
        let keep = flags.contains(RenameFlags::RENAME_NOREPLACE);
        let renamed = self.lock().rename((parent.0, name), (new_parent.0, new_name), keep);
        answer(reply, renamed);
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self.lock().open(ino.0);
        match opened {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.lock().file(ino.0).map(|file| file.now.read(offset, size as usize));
        match read {
            Ok(read) => reply.data(&read),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.lock().write(ino.0, offset, data);
        match written {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.lock().close(ino.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(reply, move |volume| volume.sync_file(ino.0));
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.list(ino.0, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(reply, move |volume| volume.sync_folder(ino.0));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (blocks, free) = {
            let volume = self.lock();
            (volume.capacity / u64::from(BLOCK), volume.free() / u64::from(BLOCK))
        };
        // Files cost nothing here: a round number of them, all free.
        let files = 1 << 20;
        reply.statfs(blocks, free, free, files, files, BLOCK, 255, BLOCK);
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let keep = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        let done = match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 => self.lock().reserve(ino.0, offset.saturating_add(length), keep),
            libc::FALLOC_FL_PUNCH_HOLE if keep => self.lock().punch(ino.0, offset, length),
            _ => Err(Errno::EOPNOTSUPP),
        };
        answer(reply, done);
    }
}
