//! A record as bytes.
//!
//! ```text
//! 0  magic "HGR1"        16 LSN                          all numbers little endian
//! 4  crc32c of 8..end    24 LSN - first LSN of its group
//! 8  previous crc        28 kind (1 byte), bytes of meta (3 bytes)
//! 12 bytes after 32      32 meta: dag-cbor of the inner struct, then the zstd frame of the body, if any
//! ```
//!
//! The previous record's crc chains the records: what an earlier, cut history left behind never continues this one.
//! The group says what was durable when the record was written: everything before its first record. So a damaged
//! record before it is damage, while one inside the same group may be a write that the power cut tore.
//!
//! *Always holds:* a record that was written decodes in every later version (golden bytes in `fixtures/`).

use super::JournalError;
use super::frame::MAX_FRAME_BYTES;
use crate::fork::record::{Lsn, Record};
use serde::{Serialize, de::DeserializeOwned};

/// Bytes before meta.
pub(super) const HEAD_BYTES: usize = 32;
/// First bytes of a record.
pub(super) const MAGIC: [u8; 4] = *b"HGR1";
/// Bytes before those that the crc covers.
const UNCOVERED: usize = 8;
/// Most bytes of meta. A chain record names its pieces; a batch of 2 M ops in pieces of 64 needs 0.3 MB.
pub const MAX_META_BYTES: usize = 1024 * 1024;
/// Most bytes of a record.
pub(super) const MAX_RECORD_BYTES: usize = HEAD_BYTES + MAX_META_BYTES + MAX_FRAME_BYTES;

/// Kind of a record, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[expect(missing_docs, reason = "the variants of Record, documented there")]
pub enum Kind {
    Piece = 1,
    Opened = 2,
    Named = 3,
    Branch = 4,
    Chain = 5,
    Head = 6,
    Checkpoint = 7,
    Gap = 8,
    Retired = 9,
    Same = 10,
    Stands = 11,
    Proof = 12,
    Trust = 13,
    Rebased = 14,
    Agreed = 15,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Piece,
        Self::Opened,
        Self::Named,
        Self::Branch,
        Self::Chain,
        Self::Head,
        Self::Checkpoint,
        Self::Gap,
        Self::Retired,
        Self::Same,
        Self::Stands,
        Self::Proof,
        Self::Trust,
        Self::Rebased,
        Self::Agreed,
    ];

    /// Kind of a record.
    pub fn of(record: &Record) -> Self {
        match record {
            Record::Piece(_) => Self::Piece,
            Record::Opened(_) => Self::Opened,
            Record::Named(_) => Self::Named,
            Record::Branch(_) => Self::Branch,
            Record::Chain(_) => Self::Chain,
            Record::Head(_) => Self::Head,
            Record::Checkpoint(_) => Self::Checkpoint,
            Record::Gap(_) => Self::Gap,
            Record::Retired(_) => Self::Retired,
            Record::Same(_) => Self::Same,
            Record::Stands(_) => Self::Stands,
            Record::Proof(_) => Self::Proof,
            Record::Trust(_) => Self::Trust,
            Record::Rebased(_) => Self::Rebased,
            Record::Agreed(_) => Self::Agreed,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Appends the dag-cbor of a record's inner struct.
pub(super) fn write_meta(record: &Record, into: &mut Vec<u8>) -> Result<(), JournalError> {
    match record {
        Record::Piece(inner) => cbor(inner, into),
        Record::Opened(inner) => cbor(inner, into),
        Record::Named(inner) => cbor(inner, into),
        Record::Branch(inner) => cbor(inner, into),
        Record::Chain(inner) => cbor(inner, into),
        Record::Head(inner) => cbor(inner, into),
        Record::Checkpoint(inner) => cbor(inner, into),
        Record::Gap(inner) => cbor(inner, into),
        Record::Retired(inner) => cbor(inner, into),
        Record::Same(inner) => cbor(inner, into),
        Record::Stands(inner) => cbor(inner, into),
        Record::Proof(inner) => cbor(inner, into),
        Record::Trust(inner) => cbor(inner, into),
        Record::Rebased(inner) => cbor(inner, into),
        Record::Agreed(inner) => cbor(inner, into),
    }
}

fn cbor(inner: &impl Serialize, into: &mut Vec<u8>) -> Result<(), JournalError> {
    serde_ipld_dagcbor::to_writer(into, inner)
        .map_err(|error| JournalError::Malformed(format!("cannot encode a record: {error}")))
}

/// Decodes a record's meta.
pub(super) fn read_meta(kind: Kind, meta: &[u8]) -> Result<Record, JournalError> {
    Ok(match kind {
        Kind::Piece => Record::Piece(from_cbor(kind, meta)?),
        Kind::Opened => Record::Opened(from_cbor(kind, meta)?),
        Kind::Named => Record::Named(from_cbor(kind, meta)?),
        Kind::Branch => Record::Branch(from_cbor(kind, meta)?),
        Kind::Chain => Record::Chain(from_cbor(kind, meta)?),
        Kind::Head => Record::Head(from_cbor(kind, meta)?),
        Kind::Checkpoint => Record::Checkpoint(from_cbor(kind, meta)?),
        Kind::Gap => Record::Gap(from_cbor(kind, meta)?),
        Kind::Retired => Record::Retired(from_cbor(kind, meta)?),
        Kind::Same => Record::Same(from_cbor(kind, meta)?),
        Kind::Stands => Record::Stands(from_cbor(kind, meta)?),
        Kind::Proof => Record::Proof(from_cbor(kind, meta)?),
        Kind::Trust => Record::Trust(from_cbor(kind, meta)?),
        Kind::Rebased => Record::Rebased(from_cbor(kind, meta)?),
        Kind::Agreed => Record::Agreed(from_cbor(kind, meta)?),
    })
}

fn from_cbor<T: DeserializeOwned>(kind: Kind, meta: &[u8]) -> Result<T, JournalError> {
    serde_ipld_dagcbor::from_slice(meta)
        .map_err(|error| JournalError::Malformed(format!("cannot decode a {kind:?} record: {error}")))
}

/// Where a record stands among the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub lsn: Lsn,
    /// Crc of the record before it.
    pub prev: u32,
    /// Records between the first of its group and it.
    pub back: u32,
}

/// Appends a whole record and returns its crc.
pub(super) fn write_record(place: Place, kind: Kind, meta: &[u8], frame: &[u8], into: &mut Vec<u8>) -> u32 {
    debug_assert!(meta.len() <= MAX_META_BYTES && frame.len() <= MAX_FRAME_BYTES);
    let start = into.len();
    into.extend_from_slice(&MAGIC);
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&place.prev.to_le_bytes());
    into.extend_from_slice(&((meta.len() + frame.len()) as u32).to_le_bytes());
    into.extend_from_slice(&place.lsn.to_le_bytes());
    into.extend_from_slice(&place.back.to_le_bytes());
    into.extend_from_slice(&((meta.len() as u32) << 8 | kind as u32).to_le_bytes());
    into.extend_from_slice(meta);
    into.extend_from_slice(frame);
    let crc = crc32c::crc32c(&into[start + UNCOVERED..]);
    into[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// The first 32 bytes of a record, read and within bounds, not yet checked against the crc.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub place: Place,
    pub crc: u32,
    pub kind: Kind,
    meta_bytes: usize,
    payload_bytes: usize,
}

impl Head {
    /// Reads a head; what is wrong with it otherwise.
    pub fn parse(bytes: &[u8; HEAD_BYTES]) -> Result<Self, &'static str> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..4] != MAGIC {
            return Err("no record begins here");
        }
        let lsn = u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32;
        let kind = Kind::from_byte(bytes[28]).ok_or("unknown kind of record")?;
        let (payload_bytes, meta_bytes) = (u32_at(12) as usize, (u32_at(28) >> 8) as usize);
        let fits = meta_bytes <= MAX_META_BYTES && meta_bytes <= payload_bytes;
        if !fits || payload_bytes - meta_bytes > MAX_FRAME_BYTES {
            return Err("impossible length");
        }
        let place = Place { lsn, prev: u32_at(8), back: u32_at(24) };
        Ok(Self { place, crc: u32_at(4), kind, meta_bytes, payload_bytes })
    }

    /// Bytes of the whole record.
    pub fn record_bytes(&self) -> usize {
        HEAD_BYTES + self.payload_bytes
    }

    /// Whether the crc of these bytes, the whole record, is right.
    pub fn covers(&self, record: &[u8]) -> bool {
        record.len() == self.record_bytes() && crc32c::crc32c(&record[UNCOVERED..]) == self.crc
    }

    /// Meta and frame of the whole record.
    pub fn split<'a>(&self, record: &'a [u8]) -> (&'a [u8], Option<&'a [u8]>) {
        let (meta, frame) = record[HEAD_BYTES..].split_at(self.meta_bytes);
        (meta, (!frame.is_empty()).then_some(frame))
    }

    /// First record of the group it was written with: everything before was durable by then.
    pub fn group(&self) -> Lsn {
        self.place.lsn.saturating_sub(u64::from(self.place.back))
    }
}
