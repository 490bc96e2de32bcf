//! A stream being read: bounded, hashed, and always sure where it is.

use super::super::codec::HEAD_BYTES as RECORD_HEAD;
use super::super::codec::Head as RecordHead;
use super::{END_BYTES, END_MAGIC, ExchangeError, HEAD_BYTES, Head};
use crate::fork::record::Lsn;
use std::io::{ErrorKind, Read};

/// Bytes read at a time.
const BLOCK: usize = 4 << 20;

/// The bytes of a stream.
pub(super) struct Input<R> {
    from: R,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    /// Byte of the stream at which `at` is.
    place: u64,
    hasher: blake3::Hasher,
}

impl<R: Read> Input<R> {
    pub fn new(from: R) -> Self {
        Self { from, buffer: vec![0; BLOCK], at: 0, filled: 0, place: 0, hasher: blake3::Hasher::new() }
    }

    pub fn place(&self) -> u64 {
        self.place
    }

    pub fn wrong(&self, what: impl Into<String>) -> ExchangeError {
        ExchangeError::Format { at: self.place, what: what.into() }
    }

    /// The next bytes, not taken yet; fewer only at the end.
    fn peek(&mut self, bytes: usize) -> Result<&[u8], ExchangeError> {
        if self.filled - self.at < bytes {
            self.buffer.copy_within(self.at..self.filled, 0);
            (self.filled, self.at) = (self.filled - self.at, 0);
            if self.buffer.len() < bytes {
                self.buffer.resize(bytes, 0);
            }
            while self.filled < bytes {
                match self.from.read(&mut self.buffer[self.filled..]) {
                    Ok(0) => break,
                    Ok(read) => self.filled += read,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(ExchangeError::Io { what: "read", source: error }),
                }
            }
        }
        Ok(&self.buffer[self.at..self.filled.min(self.at + bytes)])
    }

    /// Takes exactly so many bytes.
    pub fn take(&mut self, bytes: usize) -> Result<&[u8], ExchangeError> {
        if self.peek(bytes)?.len() < bytes {
            return Err(self.wrong("cut short"));
        }
        let taken = &self.buffer[self.at..self.at + bytes];
        self.hasher.update(taken);
        self.at += bytes;
        self.place += bytes as u64;
        Ok(taken)
    }

    pub fn head(&mut self) -> Result<Head, ExchangeError> {
        let bytes: [u8; HEAD_BYTES] = self.take(HEAD_BYTES)?.try_into().expect("exactly so many");
        Head::from_bytes(&bytes).map_err(|what| ExchangeError::Format { at: 0, what: what.into() })
    }

    /// The next record: its head, and all its bytes, of which the checksum is not checked yet.
    pub fn record(&mut self, lsn: Lsn, prev: u32) -> Result<(RecordHead, &[u8]), ExchangeError> {
        let at = self.place;
        let wrong = |what: &str| ExchangeError::Record { lsn, at, what: what.into() };
        let head = *self.peek(RECORD_HEAD)?.first_chunk().ok_or_else(|| wrong("cut short"))?;
        let head = RecordHead::parse(&head).map_err(wrong)?;
        if head.place.lsn != lsn {
            return Err(wrong("another record stands here"));
        }
        if head.place.prev != prev {
            return Err(wrong("it was written behind another record"));
        }
        if self.peek(head.record_bytes())?.len() < head.record_bytes() {
            return Err(wrong("cut short"));
        }
        Ok((head, self.take(head.record_bytes())?))
    }

    /// Nothing may follow, and all that was read is what was written.
    pub fn end(&mut self) -> Result<(), ExchangeError> {
        if self.take(END_MAGIC.len())? != END_MAGIC {
            return Err(self.wrong("more than the records that its head names"));
        }
        let expected = *self.hasher.finalize().as_bytes();
        if self.take(END_BYTES - END_MAGIC.len())? != expected {
            return Err(self.wrong("its hash is not the one that its end names"));
        }
        if self.peek(1)?.is_empty() { Ok(()) } else { Err(self.wrong("something behind its end")) }
    }
}
