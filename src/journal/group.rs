//! Records waiting to be written together: one write, one sync.
//!
//! *Always holds:* a group's records are written only when every earlier record is durable; their heads say so.

use super::JournalError;
use super::codec::{self, Kind, Place};
use super::frame::{Frame, Packer};
use super::shared::{MARK_EVERY, Mark};
use crate::fork::record::{Lsn, Record};

/// Bytes at which a group takes no more: as much as a disk writes in a few syncs' time, and little memory. A group
/// has to fit into a segment together with one record of the largest size.
pub(super) const MAX_GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Bytes from which on there is no room for another input: what one input brings still fits without waiting.
const AMPLE_GROUP_BYTES: usize = MAX_GROUP_BYTES / 2;
/// Records at which a group takes no more.
pub(super) const MAX_GROUP_RECORDS: u64 = 64 * 1024;

/// Records waiting to be written.
#[derive(Default)]
pub(super) struct Group {
    pub bytes: Vec<u8>,
    /// First record; 0 while empty.
    pub first: Lsn,
    /// Last record.
    pub last: Lsn,
    /// Crc of the record before the first.
    pub prev: u32,
    /// Crc of the last record.
    pub crc: u32,
    /// Places of records, counted from the group's first byte.
    pub marks: Vec<Mark>,
}

impl Group {
    pub fn is_empty(&self) -> bool {
        self.first == 0
    }

    pub fn is_full(&self) -> bool {
        self.bytes.len() >= MAX_GROUP_BYTES || (!self.is_empty() && self.last - self.first + 1 >= MAX_GROUP_RECORDS)
    }

    /// Whether the next input's records will fit.
    pub fn has_room(&self) -> bool {
        self.bytes.len() < AMPLE_GROUP_BYTES && (self.is_empty() || self.last - self.first < MAX_GROUP_RECORDS / 2)
    }

    /// Empties it; keeps its memory unless an unusual group blew it up.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(MAX_GROUP_BYTES);
        self.marks.clear();
        self.first = 0;
    }
}

/// Numbers records and turns them into bytes.
pub(super) struct Encoder {
    next: Lsn,
    /// Crc of the last record.
    crc: u32,
    packer: Packer,
    meta: Vec<u8>,
    frame: Vec<u8>,
}

/// A record, encoded into the encoder's own memory and not yet part of a group.
pub(super) struct Prepared(Kind);

impl Encoder {
    pub fn new(last: Lsn, crc: u32) -> Result<Self, JournalError> {
        Ok(Self { next: last + 1, crc, packer: Packer::new()?, meta: Vec::new(), frame: Vec::new() })
    }

    /// LSN of the next record.
    pub fn next(&self) -> Lsn {
        self.next
    }

    /// Encodes a record; nothing is numbered yet, an error leaves no trace.
    pub fn prepare(&mut self, record: &Record, body: Option<&[u8]>) -> Result<Prepared, JournalError> {
        let kind = self.prepare_meta(record)?;
        match body {
            Some(_) if kind != Kind::Piece => {
                return Err(JournalError::Malformed(format!("a {kind:?} record has no body")));
            }
            // An empty piece (a marker alone) needs no frame.
            Some(body) if !body.is_empty() => self.packer.pack(body, &mut self.frame)?,
            _ => {}
        }
        Ok(Prepared(kind))
    }

    /// Encodes a piece whose body is packed already.
    pub fn prepare_packed(&mut self, record: &Record, frame: Frame<'_>) -> Result<Prepared, JournalError> {
        let kind = self.prepare_meta(record)?;
        if kind != Kind::Piece {
            return Err(JournalError::Malformed(format!("a {kind:?} record has no body")));
        }
        if !frame.bytes().is_empty() {
            frame.body_bytes()?;
            self.frame.extend_from_slice(frame.bytes());
        }
        Ok(Prepared(kind))
    }

    fn prepare_meta(&mut self, record: &Record) -> Result<Kind, JournalError> {
        self.meta.clear();
        self.frame.clear();
        codec::write_meta(record, &mut self.meta)?;
        if self.meta.len() > codec::MAX_META_BYTES {
            let (bytes, limit) = (self.meta.len(), codec::MAX_META_BYTES);
            return Err(JournalError::TooLarge { what: "meta", bytes, limit });
        }
        Ok(Kind::of(record))
    }

    /// Numbers the prepared record and adds it to a group.
    pub fn add(&mut self, prepared: &Prepared, group: &mut Group) -> Lsn {
        let lsn = self.next;
        if group.is_empty() {
            group.first = lsn;
            group.prev = self.crc;
        }
        let offset = group.bytes.len() as u64;
        if group.marks.last().is_none_or(|last| offset >= last.offset + MARK_EVERY) {
            group.marks.push(Mark { lsn, offset });
        }
        let place = Place { lsn, prev: self.crc, back: (lsn - group.first) as u32 };
        self.crc = codec::write_record(place, prepared.0, &self.meta, &self.frame, &mut group.bytes);
        group.last = lsn;
        group.crc = self.crc;
        self.next += 1;
        lsn
    }
}
