//! The `first` file: where a journal begins whose oldest segments were removed.
//!
//! *Always holds:* it is durable before the first segment goes, and names one that stays; a journal without it begins
//! with record 1.

use super::JournalError;
use super::disk::Disk;
use super::whole::replace;
use crate::fork::record::Lsn;
use std::io;
use std::path::Path;

/// Name of the file.
pub(super) const NAME: &str = "first";
const MAGIC: [u8; 8] = *b"hgfrst\r\x01";
const BYTES: usize = 8 + 8 + 4;

/// What a folder says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing was ever removed.
    Nothing,
    /// It is there and cannot be read.
    Damaged,
    /// The journal begins with this record.
    At(Lsn),
}

fn to_bytes(first: Lsn) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

fn from_bytes(bytes: [u8; BYTES]) -> Option<Lsn> {
    let (covered, crc) = bytes.split_last_chunk::<4>()?;
    let first = Lsn::from_le_bytes(*covered.last_chunk()?);
    (covered[..8] == MAGIC && u32::from_le_bytes(*crc) == crc32c::crc32c(covered) && first > 0).then_some(first)
}

/// Reads the file.
pub(super) fn read(disk: &dyn Disk, folder: &Path) -> Result<Found, JournalError> {
    let path = folder.join(NAME);
    let file = match disk.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(source) => return Err(JournalError::Io { what: "open", path, source }),
    };
    let mut bytes = [0; BYTES];
    let read = file.read_at(0, &mut bytes).map_err(JournalError::io("read", &path))?;
    let whole = read == BYTES;
    Ok(whole.then(|| from_bytes(bytes)).flatten().map_or(Found::Damaged, Found::At))
}

/// Replaces the file, durable when this returns.
pub(super) fn write(disk: &dyn Disk, folder: &Path, first: Lsn) -> Result<(), JournalError> {
    replace(disk, folder, NAME, &to_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_and_every_flip_is_seen() {
        let golden = b"hgfrst\r\x01\x05\0\0\0\0\0\0\0\x9a\xe5\x6e\x43";
        let bytes: [u8; BYTES] = to_bytes(5).try_into().unwrap();
        assert_eq!(bytes, *golden);
        assert_eq!(from_bytes(bytes), Some(5));
        for at in 0..BYTES {
            let mut bytes = bytes;
            bytes[at] ^= 4;
            assert_eq!(from_bytes(bytes), None);
        }
    }
}
