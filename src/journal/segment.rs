//! A segment: one file of the journal, named by the LSN of its first record.
//!
//! *Always holds:* a file with a segment's name has a whole, durable header, as it gets that name only after its
//! header was synced; its header's page is never written again.

use super::JournalError;
use super::disk::{Disk, File};
use crate::fork::record::Lsn;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Newest format of segments that this program reads, and the one that it writes.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes of the header: a page of its own, so that no write of records touches it.
pub(super) const HEADER_BYTES: u64 = 4096;
/// Longest name of a network in bytes.
pub(super) const MAX_NETWORK_BYTES: usize = 64;
/// Ending of a file that is not yet what its name says.
pub(super) const UNFINISHED: &str = ".tmp";
const MAGIC: [u8; 8] = *b"hgjrnl\r\n";
/// Bytes of the header that are used, the crc last.
const USED: usize = 8 + 4 + 8 + 4 + 1 + MAX_NETWORK_BYTES + 4;

/// Header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub network: String,
    /// LSN of its first record.
    pub first: Lsn,
    /// Crc of the record before that, 0 for the first of all.
    pub prev: u32,
}

/// File name of the segment that begins with this record.
pub(super) fn name(first: Lsn) -> String {
    format!("{first:020}.seg")
}

/// LSN in a segment's file name.
pub(super) fn first_lsn(name: &OsStr) -> Option<Lsn> {
    let digits = name.to_str()?.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

impl Header {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES as usize);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.prev.to_le_bytes());
        bytes.push(self.network.len() as u8);
        bytes.extend_from_slice(self.network.as_bytes());
        bytes.resize(USED - 4, 0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.resize(HEADER_BYTES as usize, 0);
        bytes
    }

    /// Reads and checks the header of a segment file.
    pub fn read(file: &dyn File, path: &Path) -> Result<Self, JournalError> {
        let lsn = path.file_name().and_then(first_lsn).unwrap_or(0);
        let damage = |what: &str| JournalError::Damage { segment: path.into(), offset: 0, lsn, what: what.into() };
        let mut bytes = [0; USED];
        let read = file.read_at(0, &mut bytes).map_err(JournalError::io("read", path))?;
        if read < USED || bytes[..8] != MAGIC {
            return Err(damage("not a segment header"));
        }
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if number(USED - 4) != crc32c::crc32c(&bytes[..USED - 4]) {
            return Err(damage("wrong checksum of the header"));
        }
        let found = number(8);
        if found != FORMAT_VERSION {
            return Err(JournalError::Version { path: path.into(), found, known: FORMAT_VERSION });
        }
        let first = u64::from(number(12)) | u64::from(number(16)) << 32;
        if first != lsn {
            return Err(damage("the header names another first record than the file's name"));
        }
        let network = bytes[25..].get(..usize::from(bytes[24]).min(MAX_NETWORK_BYTES)).unwrap_or_default();
        let network = String::from_utf8(network.to_vec()).map_err(|_| damage("the network is not text"))?;
        Ok(Self { network, first, prev: number(20) })
    }

    /// Creates the segment file with room for `bytes`, durable together with its name when this returns.
    pub fn create(&self, disk: &dyn Disk, folder: &Path, bytes: u64) -> Result<Arc<dyn File>, JournalError> {
        let path = folder.join(name(self.first));
        let unfinished = unfinished(&path);
        let made = self.fill(disk, &unfinished, bytes);
        if let Err(error) = &made
            && error.is_disk_full()
        {
            // Give back what was taken; it is also cleared away at the next start.
            let _ = disk.remove(&unfinished);
        }
        let file = made?;
        disk.rename(&unfinished, &path).map_err(JournalError::io("rename", &unfinished))?;
        disk.sync_dir(folder).map_err(JournalError::sync(folder))?;
        Ok(file)
    }

    fn fill(&self, disk: &dyn Disk, path: &Path, bytes: u64) -> Result<Arc<dyn File>, JournalError> {
        let file = disk.create(path).map_err(JournalError::io("create", path))?;
        file.allocate(bytes).map_err(JournalError::io("take room for", path))?;
        file.write_at(0, &self.to_bytes()).map_err(JournalError::io("write", path))?;
        file.sync().map_err(JournalError::sync(path))?;
        Ok(file)
    }
}

/// The name that a file has until it is whole.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}
