//! Reading one segment from some byte on, record after record.
//!
//! *Always holds:* a record is handed out only when its crc is right, its LSN follows the one before and it was
//! written behind exactly that one (the crc chain).

use super::JournalError;
use super::codec::{HEAD_BYTES, Head, Kind, MAX_RECORD_BYTES};
use super::disk::File;
use super::frame::Frame;
use crate::fork::record::{Lsn, Record};
use std::io;
use std::sync::Arc;

/// A record as it stands in a segment.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its place in the journal.
    pub lsn: Lsn,
    /// Its kind.
    pub kind: Kind,
    /// Its body as stored, if it has one.
    pub frame: Option<Frame<'a>>,
    /// Byte of the segment at which it begins.
    pub offset: u64,
    /// Bytes that it takes in the segment.
    pub bytes: usize,
    pub(super) meta: &'a [u8],
    /// The whole record.
    pub(super) raw: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Reads a record that was kept by itself, with no others around it.
    pub(super) fn of(raw: &'a [u8], lsn: Lsn) -> Result<Self, JournalError> {
        let head = raw.first_chunk().ok_or("cut short").and_then(Head::parse);
        let head = head.and_then(|head| match head.place.lsn == lsn && head.covers(raw) {
            true => Ok(head),
            false => Err("not that record, or its checksum is wrong"),
        });
        let head = head.map_err(|what| JournalError::Malformed(format!("record {lsn}: {what}")))?;
        let (meta, frame) = head.split(raw);
        Ok(Self { lsn, kind: head.kind, frame: frame.map(Frame::new), offset: 0, bytes: raw.len(), meta, raw })
    }

    /// Decodes it (the body is not unpacked).
    pub fn record(&self) -> Result<Record, JournalError> {
        super::codec::read_meta(self.kind, self.meta)
    }
}

/// What comes next in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A record: [`Scan::entry`].
    Record,
    /// Zeros, or the end of the file.
    End,
    /// Something else.
    Bad(&'static str),
}

/// A place in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub offset: u64,
    /// Record that stands there.
    pub lsn: Lsn,
    /// Crc of the record before, where known.
    pub prev: Option<u32>,
}

/// Reads a segment in large blocks.
pub(super) struct Scan {
    file: Arc<dyn File>,
    block: usize,
    buffer: Vec<u8>,
    /// Bytes of the buffer that hold something.
    filled: usize,
    /// Byte of the segment at which the buffer begins.
    base: u64,
    /// Where the next record begins in the buffer.
    at: usize,
    /// Nothing is read beyond this byte of the segment.
    limit: u64,
    next: Lsn,
    prev: Option<u32>,
    /// The last record handed out, and where it begins in the buffer.
    current: Option<(Head, usize)>,
}

impl Scan {
    /// Begins at a record. Reads `block` bytes at a time and nothing beyond byte `limit`.
    pub fn new(file: Arc<dyn File>, start: Start, block: usize, limit: u64) -> Self {
        Self {
            file,
            block,
            buffer: Vec::new(),
            filled: 0,
            base: start.offset,
            at: 0,
            limit,
            next: start.lsn,
            prev: start.prev,
            current: None,
        }
    }

    /// LSN of the next record.
    pub fn next(&self) -> Lsn {
        self.next
    }

    /// Byte of the segment at which the next record begins.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Crc of the last record handed out (or the one given at the start).
    pub fn crc(&self) -> Option<u32> {
        self.prev
    }

    /// More of the segment may be read now.
    pub fn extend(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// Goes one record on.
    pub fn step(&mut self) -> io::Result<Step> {
        self.current = None;
        self.fill(HEAD_BYTES)?;
        let rest = &self.buffer[self.at..self.filled];
        let Some(head) = rest.first_chunk::<HEAD_BYTES>() else {
            let end = rest.iter().all(|byte| *byte == 0);
            return Ok(if end { Step::End } else { Step::Bad("the file ends inside a record") });
        };
        if head.iter().all(|byte| *byte == 0) {
            return Ok(Step::End);
        }
        let head = match Head::parse(head) {
            Ok(head) => head,
            Err(what) => return Ok(Step::Bad(what)),
        };
        if head.place.lsn != self.next {
            return Ok(Step::Bad("another record stands here"));
        }
        let continues = self.prev.is_none_or(|prev| prev == head.place.prev);
        #[cfg(test)]
        let continues = continues || super::tests::planted(super::tests::Planted::StaleAccepted);
        if !continues {
            return Ok(Step::Bad("it was written behind another record"));
        }
        self.fill(head.record_bytes())?;
        let end = self.at + head.record_bytes();
        if end > self.filled {
            return Ok(Step::Bad("the file ends inside a record"));
        }
        if !head.covers(&self.buffer[self.at..end]) {
            return Ok(Step::Bad("wrong checksum"));
        }
        self.current = Some((head, self.at));
        self.at = end;
        self.next += 1;
        self.prev = Some(head.crc);
        Ok(Step::Record)
    }

    /// The record that the last step went over.
    pub fn entry(&self) -> Option<Entry<'_>> {
        let (head, at) = self.current?;
        let record = self.buffer.get(at..at + head.record_bytes())?;
        let (meta, frame) = head.split(record);
        Some(Entry {
            lsn: head.place.lsn,
            kind: head.kind,
            frame: frame.map(Frame::new),
            offset: self.base + at as u64,
            bytes: record.len(),
            meta,
            raw: record,
        })
    }

    /// Has at least `bytes` from the next record on in the buffer, if the segment has them.
    fn fill(&mut self, bytes: usize) -> io::Result<()> {
        debug_assert!(bytes <= MAX_RECORD_BYTES);
        if self.filled - self.at >= bytes {
            return Ok(());
        }
        self.buffer.copy_within(self.at..self.filled, 0);
        self.base += self.at as u64;
        self.filled -= self.at;
        self.at = 0;
        let room = bytes.max(self.block);
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let readable = self.limit.saturating_sub(self.base + self.filled as u64);
        let end = self.buffer.len().min(self.filled.saturating_add(usize::try_from(readable).unwrap_or(usize::MAX)));
        if end > self.filled {
            self.filled += self.file.read_at(self.base + self.filled as u64, &mut self.buffer[self.filled..end])?;
        }
        Ok(())
    }
}
