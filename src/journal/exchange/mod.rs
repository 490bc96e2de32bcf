//! A range of a journal as one stream of bytes: taken out here, put in there.
//!
//! ```text
//! 0    magic, network, first and last record, crc of the record before, bytes of the floor, crc32c (105 bytes)
//!      the floor, when the range begins where a journal begins late
//!      the records as they stand in the journal, behind each other
//!      magic, blake3 of everything before it (40 bytes)
//! ```
//!
//! *Always holds:* nothing is put in before all of it was checked: every checksum, the chain of records, every body by its
//! hash, every op's text; what was refused is named with its record and its byte.

mod export;
mod input;
mod stage;

pub use export::{Exported, export};
pub use stage::{Held, Staged, Terms, stage};

use super::JournalError;
use super::segment::MAX_NETWORK_BYTES;
use crate::fork::record::Lsn;
use std::io;

/// The last byte is the format.
const MAGIC: [u8; 8] = *b"hgexprt\x01";
const END_MAGIC: [u8; 8] = *b"hgend\r\n\x01";
/// Bytes before the floor.
const HEAD_BYTES: usize = 8 + 1 + MAX_NETWORK_BYTES + 8 + 8 + 4 + 8 + 4;
/// Bytes behind the last record.
const END_BYTES: usize = 8 + 32;
/// Largest floor taken, in bytes: a packed state, ten times the largest planned for.
const MAX_FLOOR_BYTES: u64 = 16 << 30;

/// What a stream says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The network.
    pub network: String,
    /// First record.
    pub first: Lsn,
    /// Last record.
    pub last: Lsn,
    /// Crc of the record before the first.
    prev: u32,
    /// Bytes of the floor; 0 without one.
    pub floor_bytes: u64,
}

/// Why a stream is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// It cannot be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// It is no export, or was changed on the way.
    #[error("byte {at}: {what}; nothing was taken")]
    Format {
        /// Where.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// A record in it is wrong.
    #[error("record {lsn}, byte {at}: {what}; nothing was taken")]
    Record {
        /// The record.
        lsn: Lsn,
        /// Where it begins.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// It does not follow what is held.
    #[error(
        "it begins with record {first}, the journal of {network} here ends at {last}: what lies between is missing; nothing was taken"
    )]
    Gap {
        /// The network.
        network: String,
        /// First record of the stream.
        first: Lsn,
        /// Last record held.
        last: Lsn,
    },
    /// It is another history than what is held.
    #[error(
        "record {lsn} is another one than the journal of {network} here holds: they are not copies of one journal; nothing was taken"
    )]
    Differs {
        /// The network.
        network: String,
        /// The first record that differs.
        lsn: Lsn,
    },
    /// It brings a floor that nobody vouches for.
    #[error(
        "it begins with record {0} and brings the state of before, which nothing in it can prove: say --believe-floor if you trust whoever made it; nothing was taken"
    )]
    Floor(Lsn),
    /// The range is none.
    #[error("there is nothing from record {from} to {to}: the journal has {first} to {last}")]
    Range {
        /// Asked for.
        from: Lsn,
        /// Asked for.
        to: Lsn,
        /// First record there is.
        first: Lsn,
        /// Last record there is.
        last: Lsn,
    },
    /// The journal here.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl ExchangeError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

impl Head {
    fn to_bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, &MAGIC);
        put(8, &[self.network.len() as u8]);
        put(9, self.network.as_bytes());
        put(73, &self.first.to_le_bytes());
        put(81, &self.last.to_le_bytes());
        put(89, &self.prev.to_le_bytes());
        put(93, &self.floor_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..HEAD_BYTES - 4]);
        bytes[HEAD_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEAD_BYTES]) -> Result<Self, &'static str> {
        let number =
            |at: usize, many: usize| bytes[at..at + many].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        if bytes[..7] != MAGIC[..7] {
            return Err("not an export of a journal");
        }
        if bytes[7] != MAGIC[7] {
            return Err("written by another version of this program");
        }
        if number(HEAD_BYTES - 4, 4) != u64::from(crc32c::crc32c(&bytes[..HEAD_BYTES - 4])) {
            return Err("wrong checksum of its head");
        }
        let network = bytes[9..].get(..usize::from(bytes[8]).min(MAX_NETWORK_BYTES)).unwrap_or_default();
        let network = std::str::from_utf8(network).map_err(|_| "the network is not text")?;
        let (first, last, floor_bytes) = (number(73, 8), number(81, 8), number(93, 8));
        if first == 0 || last < first || last == Lsn::MAX || floor_bytes > MAX_FLOOR_BYTES {
            return Err("an impossible range");
        }
        Ok(Self { network: network.into(), first, last, prev: number(89, 4) as u32, floor_bytes })
    }
}
