//! The floor: what a journal stands on whose beginning was removed. One file beside the segments, part of the truth.
//!
//! It holds the ledger and the state as they were at some record each, and the pieces that have no place yet (they may
//! lie anywhere in what was removed). From it and the records behind it everything else is made again.
//!
//! ```text
//! 0     magic, ledger's record, state's record, network       all numbers little endian
//! 92    bytes of the ledger, byte of the index, pieces, byte of the state, entries, end of the file
//! 252   crc32c of 0..252
//! 256   the ledger's snapshot; the pieces' records as they stood in the journal;
//!       the state in chunks: bytes unpacked, bytes packed, crc32c of both and the frame, zstd frame of
//!       (length of key, key, length of value, value) ...; the index: LSN, byte, bytes of each piece, crc32c
//! ```
//!
//! *Always holds:* it is whole and durable before it has its name; what is read of it is checked by a crc.

use super::JournalError;
use super::codec::MAX_RECORD_BYTES;
use super::disk::{Disk, File};
use super::segment::{MAX_NETWORK_BYTES, unfinished};
use crate::fork::ledger::Ledger;
use crate::fork::record::Lsn;
use crate::fork::snapshot;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the file.
pub(super) const NAME: &str = "floor";
/// The last byte is the format.
const MAGIC: [u8; 8] = *b"hgfloor\x01";
/// Bytes before the ledger.
const HEAD_BYTES: usize = 256;
/// Bytes of entries at which a chunk is packed.
const CHUNK_BYTES: usize = 1 << 20;
/// Most bytes of a chunk unpacked: one entry may be as large as a leaf can be.
const MAX_CHUNK_BYTES: usize = 128 << 20;
/// Most pieces in it: those that the ledger may hold in memory, and as many again that batches named later.
pub const MAX_PIECES: usize = 1 << 20;
/// Largest snapshot of a ledger read, in bytes.
const MAX_LEDGER_BYTES: u64 = 1 << 30;
/// zstd level: it is written beside a node that works.
const LEVEL: i32 = 1;

/// Where the parts are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Head {
    ledger: Lsn,
    state: Lsn,
    network: String,
    ledger_bytes: u64,
    index_at: u64,
    pieces: u64,
    state_at: u64,
    entries: u64,
    end: u64,
}

impl Head {
    fn to_bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, &MAGIC);
        put(8, &self.ledger.to_le_bytes());
        put(16, &self.state.to_le_bytes());
        put(24, &[self.network.len() as u8]);
        put(25, self.network.as_bytes());
        let numbers = [self.ledger_bytes, self.index_at, self.pieces, self.state_at, self.entries, self.end];
        for (at, number) in numbers.iter().enumerate() {
            put(92 + at * 8, &number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[..HEAD_BYTES - 4]);
        bytes[HEAD_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEAD_BYTES]) -> Result<Self, String> {
        let number = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        if bytes[..7] != MAGIC[..7] {
            return Err("not a floor".into());
        }
        if bytes[7] != MAGIC[7] {
            return Err(format!("format {}, this program reads {}: use a newer honeygraph", bytes[7], MAGIC[7]));
        }
        let crc = crc32c::crc32c(&bytes[..HEAD_BYTES - 4]);
        if bytes[HEAD_BYTES - 4..] != crc.to_le_bytes() {
            return Err("wrong checksum of its head".into());
        }
        let network = bytes[25..].get(..usize::from(bytes[24]).min(MAX_NETWORK_BYTES)).unwrap_or_default();
        let head = Self {
            ledger: number(8),
            state: number(16),
            network: String::from_utf8_lossy(network).into_owned(),
            ledger_bytes: number(92),
            index_at: number(100),
            pieces: number(108),
            state_at: number(116),
            entries: number(124),
            end: number(132),
        };
        let in_order = HEAD_BYTES as u64 + head.ledger_bytes <= head.state_at
            && head.state_at <= head.index_at
            && head.index_at <= head.end;
        let bounded = head.ledger_bytes <= MAX_LEDGER_BYTES && head.pieces <= MAX_PIECES as u64;
        if in_order && bounded { Ok(head) } else { Err("impossible lengths".into()) }
    }
}

/// A floor that is there.
pub struct Floor {
    file: Arc<dyn File>,
    path: PathBuf,
    head: Head,
    /// Byte and bytes of each piece.
    pieces: BTreeMap<Lsn, (u64, u32)>,
}

impl std::fmt::Debug for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Floor").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Floor {
    /// The floor in a journal's folder, if there is one.
    pub(super) fn open(disk: &dyn Disk, folder: &Path, network: &str) -> Result<Option<Self>, JournalError> {
        let path = folder.join(NAME);
        let file = match disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(JournalError::Io { what: "open", path, source }),
        };
        let mut bytes = [0; HEAD_BYTES];
        file.read_at(0, &mut bytes).map_err(JournalError::io("read", &path))?;
        let head = Head::from_bytes(&bytes).map_err(|what| damage(&path, 0, 0, what))?;
        if head.network != network {
            return Err(JournalError::Network { path, found: head.network, wanted: network.into() });
        }
        if file.len().map_err(JournalError::io("measure", &path))? < head.end {
            return Err(damage(&path, head.end, head.state, "cut short"));
        }
        let mut floor = Self { file, path, head, pieces: BTreeMap::new() };
        floor.pieces = floor.index()?;
        Ok(Some(floor))
    }

    /// Last record that its ledger has taken.
    pub fn ledger_at(&self) -> Lsn {
        self.head.ledger
    }

    /// Last record that its state has applied.
    pub fn state_at(&self) -> Lsn {
        self.head.state
    }

    /// Last record that need not be in the journal.
    pub fn reach(&self) -> Lsn {
        self.head.ledger.min(self.head.state)
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.head.end
    }

    /// The pieces in it.
    pub fn pieces(&self) -> impl Iterator<Item = Lsn> + '_ {
        self.pieces.keys().copied()
    }

    /// Its ledger.
    pub fn ledger(&self) -> Result<Ledger, JournalError> {
        let bytes = self.read(HEAD_BYTES as u64, self.head.ledger_bytes as usize)?;
        let ledger = snapshot::from_bytes(&bytes).filter(|ledger| ledger.lsn == self.head.ledger);
        ledger.ok_or_else(|| self.damage(HEAD_BYTES as u64, "its ledger cannot be read"))
    }

    /// The record of a piece as it stood in the journal, if it is here.
    pub(super) fn record(&self, lsn: Lsn) -> Result<Option<Vec<u8>>, JournalError> {
        let Some(&(at, bytes)) = self.pieces.get(&lsn) else { return Ok(None) };
        self.read(at, bytes as usize).map(Some)
    }

    /// Calls `each` with every entry of the state, in order of their keys.
    pub fn state<E: From<JournalError>>(&self, mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
        let (mut at, mut entries) = (self.head.state_at, 0);
        while at < self.head.index_at {
            let head = self.read(at, 12)?;
            let number = |from: usize| u32::from_le_bytes(head[from..from + 4].try_into().expect("four bytes"));
            let (unpacked, packed) = (number(0) as usize, number(4) as usize);
            if unpacked > MAX_CHUNK_BYTES || at + 12 + packed as u64 > self.head.index_at {
                return Err(self.damage(at, "a chunk of impossible length").into());
            }
            let frame = self.read(at + 12, packed)?;
            if crc32c::crc32c_append(crc32c::crc32c(&head[..8]), &frame) != number(8) {
                return Err(self.damage(at, "wrong checksum of a chunk").into());
            }
            let chunk = zstd::bulk::decompress(&frame, unpacked);
            let chunk = chunk.map_err(|_| self.damage(at, "a chunk that does not unpack"))?;
            let mut rest = chunk.as_slice();
            while !rest.is_empty() {
                let entry = entry(rest).ok_or_else(|| self.damage(at, "a chunk that is not entries"))?;
                each(entry.0, entry.1)?;
                rest = entry.2;
                entries += 1;
            }
            at += 12 + packed as u64;
        }
        match entries == self.head.entries {
            true => Ok(()),
            false => Err(self.damage(at, "entries are missing").into()),
        }
    }

    /// Gives all its bytes, in parts.
    pub(super) fn copy<E: From<JournalError>>(&self, mut to: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut at = 0;
        while at < self.head.end {
            let part = (self.head.end - at).min(CHUNK_BYTES as u64);
            to(&self.read(at, part as usize)?)?;
            at += part;
        }
        Ok(())
    }

    /// Reads everything that is in it.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        self.ledger()?;
        for lsn in self.pieces() {
            let raw = self.record(lsn)?.unwrap_or_default();
            super::scan::Entry::of(&raw, lsn)?.record()?;
        }
        self.state(|_, _| Ok(()))
    }

    fn index(&self) -> Result<BTreeMap<Lsn, (u64, u32)>, JournalError> {
        let bytes = self.read(self.head.index_at, self.head.pieces as usize * 20 + 4)?;
        let (index, crc) = bytes.split_at(bytes.len() - 4);
        if crc != crc32c::crc32c(index).to_le_bytes() {
            return Err(self.damage(self.head.index_at, "wrong checksum of its index"));
        }
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let piece = |piece: &[u8]| (number(&piece[..8]), (number(&piece[8..16]), number(&piece[16..]) as u32));
        let pieces: BTreeMap<_, _> = index.chunks_exact(20).map(piece).collect();
        let fits = |(at, bytes): &(u64, u32)| {
            *bytes as usize <= MAX_RECORD_BYTES
                && at.checked_add(u64::from(*bytes)).is_some_and(|to| to <= self.head.end)
        };
        match pieces.values().all(fits) {
            true => Ok(pieces),
            false => Err(self.damage(self.head.index_at, "a piece outside of it")),
        }
    }

    fn read(&self, at: u64, bytes: usize) -> Result<Vec<u8>, JournalError> {
        if at.checked_add(bytes as u64).is_none_or(|to| to > self.head.end) {
            return Err(self.damage(at, "cut short"));
        }
        let mut into = vec![0; bytes];
        let read = self.file.read_at(at, &mut into).map_err(JournalError::io("read", &self.path))?;
        if read == bytes { Ok(into) } else { Err(self.damage(at, "cut short")) }
    }

    fn damage(&self, at: u64, what: &str) -> JournalError {
        damage(&self.path, at, self.head.state, what)
    }
}

fn damage(path: &Path, offset: u64, lsn: Lsn, what: impl Into<String>) -> JournalError {
    JournalError::Damage { segment: path.into(), offset, lsn, what: what.into() }
}

/// The first entry of a chunk: key, value, and what follows.
fn entry(chunk: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        rest.split_at_checked(u32::from_le_bytes(*len) as usize)
    }
    let (key, rest) = part(chunk)?;
    let (value, rest) = part(rest)?;
    Some((key, value, rest))
}

/// A floor that is being written: the pieces first, then the state in order of its keys.
pub struct FloorWriter {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    path: PathBuf,
    file: Arc<dyn File>,
    head: Head,
    index: Vec<u8>,
    chunk: Vec<u8>,
}

impl FloorWriter {
    /// Begins with a ledger (its bytes, and the last record that it has taken).
    pub(super) fn create(
        disk: Arc<dyn Disk>,
        folder: &Path,
        network: &str,
        (ledger, ledger_at): (&[u8], Lsn),
    ) -> Result<Self, JournalError> {
        let path = unfinished(&folder.join(NAME));
        let file = disk.create(&path).map_err(JournalError::io("create", &path))?;
        let head = Head {
            ledger: ledger_at,
            network: network.into(),
            ledger_bytes: ledger.len() as u64,
            end: HEAD_BYTES as u64,
            ..Head::default()
        };
        let (index, chunk) = (Vec::new(), Vec::with_capacity(CHUNK_BYTES));
        let mut writer = Self { disk, folder: folder.into(), path, file, head, index, chunk };
        writer.write(ledger)?;
        writer.head.state_at = writer.head.end;
        Ok(writer)
    }

    /// Adds the record of a piece as it stands in the journal.
    pub(super) fn piece(&mut self, lsn: Lsn, raw: &[u8]) -> Result<(), JournalError> {
        if self.head.pieces as usize >= MAX_PIECES {
            return Err(JournalError::TooLarge { what: "floor", bytes: MAX_PIECES + 1, limit: MAX_PIECES });
        }
        self.index.extend_from_slice(&lsn.to_le_bytes());
        self.index.extend_from_slice(&self.head.end.to_le_bytes());
        self.index.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        self.head.pieces += 1;
        self.write(raw)?;
        self.head.state_at = self.head.end;
        Ok(())
    }

    /// Adds an entry of the state.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), JournalError> {
        for part in [key, value] {
            self.chunk.extend_from_slice(&(part.len() as u32).to_le_bytes());
            self.chunk.extend_from_slice(part);
        }
        self.head.entries += 1;
        if self.chunk.len() >= CHUNK_BYTES { self.pack() } else { Ok(()) }
    }

    fn pack(&mut self) -> Result<(), JournalError> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let frame = zstd::bulk::compress(&self.chunk, LEVEL);
        let frame = frame.map_err(|error| JournalError::Malformed(format!("zstd: {error}")))?;
        let mut head = (self.chunk.len() as u32).to_le_bytes().to_vec();
        head.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), &frame);
        head.extend_from_slice(&crc.to_le_bytes());
        self.chunk.clear();
        self.write(&head)?;
        self.write(&frame)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.file.write_at(self.head.end, bytes).map_err(JournalError::io("write", &self.path))?;
        self.head.end += bytes.len() as u64;
        Ok(())
    }

    /// Ends it; `state_at` is the last record that the state has applied. It replaces the one before, durable when this
    /// returns.
    pub(super) fn finish(mut self, state_at: Lsn) -> Result<(), JournalError> {
        self.pack()?;
        self.head.state = state_at;
        self.head.index_at = self.head.end;
        let mut index = std::mem::take(&mut self.index);
        index.extend_from_slice(&crc32c::crc32c(&index).to_le_bytes());
        self.write(&index)?;
        self.file.write_at(0, &self.head.to_bytes()).map_err(JournalError::io("write", &self.path))?;
        #[cfg(test)]
        if super::tests::planted(super::tests::Planted::FloorNotSynced) {
            let path = self.folder.join(NAME);
            return self.disk.rename(&self.path, &path).map_err(JournalError::io("rename", &self.path));
        }
        self.file.sync().map_err(JournalError::sync(&self.path))?;
        self.disk.rename(&self.path, &self.folder.join(NAME)).map_err(JournalError::io("rename", &self.path))?;
        self.disk.sync_dir(&self.folder).map_err(JournalError::sync(&self.folder))
    }
}
