//! The `tip` file: how far the log was known to be durable, so that a lost tail is not taken for a short log.
//!
//! *Always holds:* what it names was synced before it was written; it is replaced as a whole.

use super::JournalError;
use super::disk::Disk;
use super::whole::replace;
use crate::fork::record::Lsn;
use std::io;
use std::path::Path;

const NAME: &str = "tip";
const MAGIC: [u8; 8] = *b"hgtip\r\n\x01";
const BYTES: usize = 8 + 8 + 8 + 8 + 4 + 4;

/// How far the log was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    /// Segment of the last record, by its first LSN.
    pub segment: Lsn,
    /// The last record; 0 when there is none.
    pub last: Lsn,
    /// Byte of the segment at which the last record ends.
    pub end: u64,
    /// Crc of the last record.
    pub crc: u32,
}

/// What the folder says.
pub(super) enum Found {
    Nothing,
    /// It is there and cannot be read: no reason to refuse the log, but worth saying.
    Damaged,
    Tip(Tip),
}

impl Tip {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [self.segment, self.last, self.end] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.crc.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; BYTES]) -> Option<Self> {
        let number = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let short = |at: usize| (number(at - 4) >> 32) as u32;
        let sound = bytes[..8] == MAGIC && short(36) == crc32c::crc32c(&bytes[..36]);
        sound.then(|| Self { segment: number(8), last: number(16), end: number(24), crc: short(32) })
    }

    /// Reads the file.
    pub fn read(disk: &dyn Disk, folder: &Path) -> Result<Found, JournalError> {
        let path = folder.join(NAME);
        let file = match disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(source) => {
                return Err(JournalError::Io { what: "open", path, source });
            }
        };
        let mut bytes = [0; BYTES];
        let read = file.read_at(0, &mut bytes).map_err(JournalError::io("read", &path))?;
        let tip = if read == BYTES { Self::from_bytes(&bytes) } else { None };
        Ok(tip.map_or(Found::Damaged, Found::Tip))
    }

    /// Replaces the file, durable when this returns.
    pub fn write(self, disk: &dyn Disk, folder: &Path) -> Result<(), JournalError> {
        replace(disk, folder, NAME, &self.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tip_comes_back_and_damage_is_seen() {
        let tip = Tip { segment: 5, last: 77, end: 4711, crc: 0xdead_beef };
        let bytes: [u8; BYTES] = tip.to_bytes().try_into().unwrap();
        assert_eq!(Tip::from_bytes(&bytes), Some(tip));
        for at in 0..BYTES {
            let mut bytes = bytes;
            bytes[at] ^= 4;
            assert_eq!(Tip::from_bytes(&bytes), None);
        }
    }
}
