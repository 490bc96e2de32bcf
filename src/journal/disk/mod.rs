//! The border to the disk: the few calls that the journal makes of a file system.
//!
//! Two implementations: [`real::RealDisk`], and [`fault::FaultDisk`], which the tests here and the simulation use to
//! lose, tear and refuse what a real disk loses, tears and refuses.
//!
//! *Always holds:* nothing is promised to survive a power cut but what was synced: a file's bytes by [`File::sync`],
//! its name by [`Disk::sync_dir`] of the folder it stands in.

pub mod fault;
pub mod real;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Creates an empty file, replacing one of that name.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Creates a folder. One that exists is no error.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, replacing a file that has it. Atomic, durable after [`Self::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Names in a folder, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock that stands for a folder: [`io::ErrorKind::WouldBlock`] when another process (or
    /// another journal in this one) holds it. It is given back when the value is dropped, also by a kill.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file.
pub trait File: Send + Sync {
    /// Reads at an offset; fewer bytes than asked for only at the end of the file.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all bytes at an offset. After an error any part of them may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes bytes and length durable. After an error nothing is known about what is on disk, and a second call may
    /// report success without it being there: do not retry.
    fn sync(&self) -> io::Result<()>;

    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Extends the file to `len` bytes, zeroed, with room on the disk taken for them where the file system can do so.
    fn allocate(&self, len: u64) -> io::Result<()>;
}

/// Whether an error says that the disk (or a quota) is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
