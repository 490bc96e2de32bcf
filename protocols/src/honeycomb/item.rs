//! One op or marker: from its members to its [`Item`] and its canonical text.
//!
//! *Always holds:* what is wrong with one op refuses that op and nothing else; only text that is not JSON at all
//! fails the frame.

use super::words::{Hashes, Word, WrongType};
use super::{HashText, Item, What};
use crate::json::{Canonicalizer, JsonError, Limits, Number, RawText, Scan, write_text};
use crate::op::{MAX_DATA_DEPTH, MAX_TEXT_BYTES, PREFIX};
use crate::path::{MAX_PATH_BYTES, MAX_SEGMENTS};

/// Bounds on an op's data.
const DATA_LIMITS: Limits = Limits { depth: MAX_DATA_DEPTH, bytes: MAX_TEXT_BYTES, keys: MAX_PATH_BYTES };

/// Bytes that a number segment takes in an encoded path.
const NUMBER_BYTES: usize = 9;

/// Bytes around a text segment in an encoded path: its type and its end.
const TEXT_BYTES: usize = 2;

/// The members that every op may have.
#[derive(Default)]
pub(super) struct Members<'a> {
    pub(super) kind: Word<'a>,
    pub(super) op_kind: Word<'a>,
    index: Word<'a>,
    block: Word<'a>,
    fork: Word<'a>,
    prev: Word<'a>,
    path: Part,
    data: Part,
}

/// What became of `path` or `data`.
#[derive(Clone, Copy, Default, PartialEq)]
enum Part {
    #[default]
    Missing,
    /// Its canonical text is in the buffers.
    Held,
    Refused(&'static str),
}

/// Why a path or value is not taken.
enum Fault {
    /// The frame is not JSON.
    Syntax(JsonError),
    /// The op is refused.
    Refused(&'static str),
}

impl From<JsonError> for Fault {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Syntax { .. } => Self::Syntax(error),
            JsonError::Depth { .. } => Self::Refused("Operation data nested too deep"),
            JsonError::Overflow { .. } => Self::Refused("Number out of range"),
            JsonError::TooLarge { .. } => Self::Refused("Operation too large"),
            JsonError::LongPath { .. } => Self::Refused("Operation path too long"),
        }
    }
}

/// Canonical texts of the op being read.
#[derive(Default)]
pub(super) struct Buffers {
    path: Vec<u8>,
    /// Length of the path's encoding.
    path_bytes: usize,
    data: Vec<u8>,
    /// Longest chain of keys in the data.
    data_keys: usize,
}

/// What an op's kind may be.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Put,
    Del,
    Marker,
}

impl Kind {
    pub(super) fn of(word: &Word<'_>) -> Option<Self> {
        let kinds: [(&[u8], Self); 3] = [(b"put", Self::Put), (b"del", Self::Del), (b"write_marker", Self::Marker)];
        kinds.into_iter().find(|(name, _)| word.is(name)).map(|(_, kind)| kind)
    }
}

impl<'a> Members<'a> {
    /// Reads the value of `key` if it is a member of ops; false when it is not, and nothing was read.
    #[inline]
    pub(super) fn read(
        &mut self,
        key: &[u8],
        scan: &mut Scan<'a>,
        canonicalizer: &mut Canonicalizer,
        buffers: &mut Buffers,
    ) -> Result<bool, JsonError> {
        let word = match key {
            b"type" => &mut self.kind,
            b"opType" => &mut self.op_kind,
            b"index" => &mut self.index,
            b"blockNum" => &mut self.block,
            b"forkHash" => &mut self.fork,
            b"prevCheckpointHash" => &mut self.prev,
            b"path" => {
                self.path = part(scan, |scan| buffers.read_path(scan, canonicalizer))?;
                return Ok(true);
            }
            b"data" => {
                self.data = part(scan, |scan| buffers.read_data(scan, canonicalizer))?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        *word = Word::read(scan)?;
        Ok(true)
    }

    /// `blockNum`
    pub(super) fn block(&self) -> Word<'a> {
        self.block
    }

    /// `forkHash`
    pub(super) fn fork(&self) -> Word<'a> {
        self.fork
    }

    /// Whether there is a path, good or bad.
    pub(super) fn has_path(&self) -> bool {
        self.path != Part::Missing
    }

    /// The item; the op's text goes to `texts`.
    pub(super) fn item(&self, kind: Kind, buffers: &Buffers, hashes: &mut Hashes, texts: &mut Vec<u8>) -> Item {
        match self.checked(kind, buffers, hashes, texts) {
            Ok(item) => item,
            Err(reason) => self.refused(reason),
        }
    }

    /// The item refused. Its index stays where it is good: it says which place is void.
    pub(super) fn refused(&self, reason: &'static str) -> Item {
        Item { index: self.index.count().ok().flatten(), ..refused(reason) }
    }

    fn checked(
        &self,
        kind: Kind,
        buffers: &Buffers,
        hashes: &mut Hashes,
        texts: &mut Vec<u8>,
    ) -> Result<Item, &'static str> {
        let index = self.index.count().map_err(|WrongType| "Invalid index")?;
        let block = self.block.block().map_err(|WrongType| "Invalid blockNum")?;
        let fork = hashes.hash(self.fork).map_err(|WrongType| "Invalid forkHash")?;
        let prev = hashes.hash(self.prev).map_err(|WrongType| "Invalid prevCheckpointHash")?;
        let what = if kind == Kind::Marker { What::Marker } else { self.op(kind, buffers, texts)? };
        Ok(Item { index, block, fork, prev, what })
    }

    fn op(&self, kind: Kind, buffers: &Buffers, texts: &mut Vec<u8>) -> Result<What, &'static str> {
        match self.path {
            Part::Held => {}
            Part::Missing => return Err("Operation without path"),
            Part::Refused(reason) => return Err(reason),
        }
        let data: Option<&[u8]> = match self.data {
            Part::Held => Some(&buffers.data),
            Part::Missing => None,
            Part::Refused(reason) => return Err(reason),
        };
        if kind == Kind::Del && buffers.path == b"[]" {
            return Err("Deletion of the root");
        }
        if buffers.path_bytes + data.map_or(0, |_| buffers.data_keys) > MAX_PATH_BYTES {
            return Err("Operation path too long");
        }
        let start = texts.len();
        push_op(kind, &buffers.path, data, texts);
        if texts.len() - start - PREFIX > MAX_TEXT_BYTES {
            texts.truncate(start);
            return Err("Operation too large");
        }
        let pending_hash = match data {
            Some(data) if kind == Kind::Put && buffers.path == PENDING_HASH => pending_hash(data),
            _ => None,
        };
        Ok(What::Op { text: start..texts.len(), pending_hash })
    }
}

/// Path of the put that carries a period's own hash, as canonical text.
const PENDING_HASH: &[u8] = br#"["stats","pendingHash"]"#;

fn pending_hash(data: &[u8]) -> Option<HashText> {
    let mut scan = Scan::new(data).ok()?;
    match Word::read(&mut scan) {
        Ok(word @ Word::Text(_)) => Hashes::default().hash(word).ok().flatten(),
        _ => None,
    }
}

/// An item that is refused and says nothing else.
pub(super) fn refused(reason: &'static str) -> Item {
    Item { index: None, block: None, fork: None, prev: None, what: What::Refused(reason) }
}

/// Appends the op's canonical text behind its length (see [`crate::op`]).
fn push_op(kind: Kind, path: &[u8], data: Option<&[u8]>, texts: &mut Vec<u8>) {
    let start = texts.len();
    texts.reserve(PREFIX + path.len() + data.map_or(0, <[u8]>::len) + 40);
    texts.extend_from_slice(&[0; PREFIX]);
    match data {
        Some(data) => {
            texts.extend_from_slice(b"{\"data\":");
            texts.extend_from_slice(data);
            texts.extend_from_slice(b",\"path\":");
        }
        None => texts.extend_from_slice(b"{\"path\":"),
    }
    texts.extend_from_slice(path);
    texts.extend_from_slice(if kind == Kind::Put { b",\"type\":\"put\"}" } else { b",\"type\":\"del\"}" });
    // Data and path together are bounded by the frame, far below 4 GiB.
    let len = (texts.len() - start - PREFIX) as u32;
    texts[start..start + PREFIX].copy_from_slice(&len.to_le_bytes());
}

/// Reads a value with `read`; one that it refuses is skipped, so that the frame goes on behind it.
#[inline]
fn part<'a>(scan: &mut Scan<'a>, read: impl FnOnce(&mut Scan<'a>) -> Result<Part, Fault>) -> Result<Part, JsonError> {
    let start = scan.at;
    match read(scan) {
        Ok(part) => Ok(part),
        Err(Fault::Syntax(error)) => Err(error),
        Err(Fault::Refused(reason)) => {
            scan.at = start;
            scan.skip_value()?;
            Ok(Part::Refused(reason))
        }
    }
}

impl Buffers {
    #[inline]
    fn read_data(&mut self, scan: &mut Scan<'_>, canonicalizer: &mut Canonicalizer) -> Result<Part, Fault> {
        self.data.clear();
        self.data_keys = canonicalizer.value(scan, DATA_LIMITS, &mut self.data)?;
        Ok(Part::Held)
    }

    /// Reads a path: a list of strings and numbers, or one string with slashes.
    #[inline]
    fn read_path(&mut self, scan: &mut Scan<'_>, canonicalizer: &mut Canonicalizer) -> Result<Part, Fault> {
        self.path.clear();
        self.path.push(b'[');
        self.path_bytes = 0;
        match scan.next_token() {
            b'[' => self.read_list(scan, canonicalizer)?,
            b'"' => {
                let raw = scan.string()?;
                self.split_text(raw)?;
            }
            b'n' => {
                scan.literal(b"null")?;
                return Ok(Part::Missing);
            }
            _ => return Err(Fault::Refused("Path is neither a list nor text")),
        }
        self.path.push(b']');
        Ok(Part::Held)
    }

    #[inline]
    fn read_list(&mut self, scan: &mut Scan<'_>, canonicalizer: &mut Canonicalizer) -> Result<(), Fault> {
        scan.at += 1;
        if scan.next_token() == b']' {
            scan.at += 1;
            return Ok(());
        }
        for segments in 1.. {
            match scan.next_token() {
                b'"' => {
                    let raw = scan.string()?;
                    self.path_bytes += if raw.escaped { encoded_len(raw) } else { raw.raw.len() + TEXT_BYTES };
                    canonicalizer.copy_text(raw, &mut self.path);
                }
                b'-' | b'0'..=b'9' => {
                    let (token, integer) = scan.number()?;
                    self.path_bytes += NUMBER_BYTES;
                    Number::from_token(token, integer)
                        .ok_or(Fault::Refused("Number out of range"))?
                        .write(&mut self.path);
                }
                _ => return Err(Fault::Refused("Path segment is neither text nor a number")),
            }
            if segments > MAX_SEGMENTS || self.path_bytes > MAX_PATH_BYTES {
                return Err(Fault::Refused("Operation path too long"));
            }
            match scan.next_token() {
                b',' => self.path.push(b','),
                b']' => break,
                _ => return Err(scan.error("comma or end of list expected").into()),
            }
            scan.at += 1;
        }
        scan.at += 1;
        Ok(())
    }

    /// The string form, as [`crate::path::from_string`] splits it.
    fn split_text(&mut self, raw: RawText<'_>) -> Result<(), Fault> {
        let mut scratch = Vec::new();
        let text = raw.decode(&mut scratch);
        let parts = text.split(|&b| b == b'/').filter(|part| !part.is_empty());
        for (i, part) in parts.enumerate() {
            if i > 0 {
                self.path.push(b',');
            }
            self.path_bytes += text_len(part);
            if i >= MAX_SEGMENTS || self.path_bytes > MAX_PATH_BYTES {
                return Err(Fault::Refused("Operation path too long"));
            }
            write_text(part, &mut self.path);
        }
        Ok(())
    }
}

/// Length of a text segment in an encoded path.
fn text_len(text: &[u8]) -> usize {
    text.len() + text.iter().filter(|&&b| b <= 1).count() + TEXT_BYTES
}

fn encoded_len(raw: RawText<'_>) -> usize {
    text_len(raw.decode(&mut Vec::new()))
}
