//! Frames into [`Frame`]s.
//!
//! *Always holds:* any bytes give a frame or [`Malformed`], in memory bounded by their number and by the limits below,
//! and in linear time but for objects whose keys come unsorted: each such level of nesting moves its content once.

use super::item::{Buffers, Kind, Members, refused};
use super::words::{Hashes, Word, WrongType};
use super::{Checkpoint, CheckpointForm, Frame, Framing, Item, Ops, What};
use crate::json::{Canonicalizer, JsonError, Scan};

/// Most ops and markers of one frame. Honeycomb's client sends 100; its answers to a question of 64 indexes can hold
/// them for each of 288 cached periods.
pub const MAX_FRAME_ITEMS: usize = 1 << 17;

/// Most bytes of canonical text that one frame may give: numbers can grow by being printed, the rest only shrinks.
pub const MAX_FRAME_TEXT_BYTES: usize = 64 << 20;

/// Longest token, prefix, source or version, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// Scratch is given back after a frame longer than this, so that idle feeds hold little.
const KEPT_SCRATCH_BYTES: usize = 32 << 10;

/// A frame that is answered with `error` and otherwise ignored; holds the text of that error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// What is said of text that is not JSON, and of JSON that is no message.
pub const INVALID_FORMAT: Malformed = Malformed("Invalid message format");

impl From<JsonError> for Malformed {
    fn from(_: JsonError) -> Self {
        INVALID_FORMAT
    }
}

/// Reads the frames of one feed. Keeps its scratch between them.
#[derive(Default)]
pub struct Parser {
    lenient: bool,
    canonicalizer: Canonicalizer,
    hashes: Hashes,
    /// Texts of the frame's own `path` and `data`.
    outer: Buffers,
    /// Those of the op of a list being read.
    inner: Buffers,
}

/// The members of a message that are not those of an op.
#[derive(Default)]
struct Message<'a> {
    token: Word<'a>,
    prefix: Word<'a>,
    source: Word<'a>,
    version: Word<'a>,
    last_index: Word<'a>,
    last_op_index: Word<'a>,
    hash: Word<'a>,
    prev_hash: Word<'a>,
    confirmed_hash: Word<'a>,
    old_fork: Word<'a>,
    new_fork: Word<'a>,
    matches: Word<'a>,
    requested: Requested,
    operations: Option<Vec<Item>>,
}

/// `requestedRange`
#[derive(Clone, Copy, Default)]
enum Requested {
    #[default]
    Missing,
    Range(u64, u64),
    Invalid,
}

impl Parser {
    /// A parser; `lenient` takes an op without type but with a path as a put (`/ws*`).
    pub fn new(lenient: bool) -> Self {
        Self { lenient, ..Self::default() }
    }

    /// Reads one frame.
    pub fn parse(&mut self, frame: &[u8]) -> Result<Frame, Malformed> {
        let result = self.read(frame);
        if frame.len() > KEPT_SCRATCH_BYTES {
            (self.canonicalizer, self.outer, self.inner) = Default::default();
        }
        result
    }

    fn read(&mut self, frame: &[u8]) -> Result<Frame, Malformed> {
        let mut scan = Scan::new(frame)?;
        match scan.next_token() {
            b'{' => self.message(&mut scan),
            b'[' => {
                scan.skip_value()?;
                scan.end()?;
                Ok(Frame::Unknown)
            }
            _ => {
                let marker = Word::read(&mut scan)?.is(b"W");
                scan.end()?;
                if marker { Ok(single(bare_marker(), Vec::new())) } else { Err(INVALID_FORMAT) }
            }
        }
    }

    fn message(&mut self, scan: &mut Scan<'_>) -> Result<Frame, Malformed> {
        let (mut members, mut message, mut texts) = (Members::default(), Message::default(), Vec::new());
        let mut scratch = Vec::new();
        scan.at += 1;
        if !object_is_empty(scan) {
            loop {
                let key = scan.key()?;
                let key = key.decode(&mut scratch);
                if key == b"operations" {
                    texts.clear();
                    message.operations = self.operations(scan, &mut texts)?;
                } else if !members.read(key, scan, &mut self.canonicalizer, &mut self.outer)? {
                    message.read(key, scan)?;
                }
                if object_ends(scan)? {
                    break;
                }
            }
        }
        scan.end()?;
        self.frame(members, message, texts)
    }

    /// The items of `operations`; none when it is not a list.
    fn operations(&mut self, scan: &mut Scan<'_>, texts: &mut Vec<u8>) -> Result<Option<Vec<Item>>, Malformed> {
        if scan.next_token() != b'[' {
            scan.skip_value()?;
            return Ok(None);
        }
        scan.at += 1;
        let mut items = Vec::new();
        if scan.next_token() == b']' {
            scan.at += 1;
            return Ok(Some(items));
        }
        loop {
            items.push(self.element(scan, texts)?);
            if items.len() > MAX_FRAME_ITEMS || texts.len() > MAX_FRAME_TEXT_BYTES {
                return Err(Malformed("Too many operations in one frame"));
            }
            match scan.next_token() {
                b',' => scan.at += 1,
                b']' => {
                    scan.at += 1;
                    return Ok(Some(items));
                }
                _ => return Err(INVALID_FORMAT),
            }
        }
    }

    /// One element of `operations`.
    fn element(&mut self, scan: &mut Scan<'_>, texts: &mut Vec<u8>) -> Result<Item, JsonError> {
        if scan.next_token() != b'{' {
            let marker = Word::read(scan)?.is(b"W");
            return Ok(if marker { bare_marker() } else { refused("Operation is not an object") });
        }
        let mut members = Members::default();
        let mut scratch = Vec::new();
        scan.at += 1;
        if !object_is_empty(scan) {
            loop {
                let key = scan.key()?;
                if !members.read(key.decode(&mut scratch), scan, &mut self.canonicalizer, &mut self.inner)? {
                    scan.skip_value()?;
                }
                if object_ends(scan)? {
                    break;
                }
            }
        }
        let named = if members.op_kind.is_nothing() { &members.kind } else { &members.op_kind };
        Ok(self.item(&members, named, false, texts))
    }

    /// The item of an op whose kind is `named`.
    fn item(&mut self, members: &Members<'_>, named: &Word<'_>, outer: bool, texts: &mut Vec<u8>) -> Item {
        let kind = match Kind::of(named) {
            None if named.is_nothing() && self.lenient && members.has_path() => Kind::Put,
            None if named.is_nothing() => return members.refused("Operation without type"),
            None => return members.refused("Unknown operation type"),
            Some(kind) => kind,
        };
        let buffers = if outer { &self.outer } else { &self.inner };
        members.item(kind, buffers, &mut self.hashes, texts)
    }

    /// The frame that a whole message makes.
    fn frame(&mut self, members: Members<'_>, message: Message<'_>, mut texts: Vec<u8>) -> Result<Frame, Malformed> {
        let kind = &members.kind;
        if kind.is(b"batch") || kind.is(b"operations_batch") {
            return message.batch(texts);
        }
        if Kind::of(kind).is_some() {
            texts.clear();
            let item = self.item(&members, kind, true, &mut texts);
            return Ok(single(item, texts));
        }
        let op_without_type = kind.is_nothing()
            && (Kind::of(&members.op_kind).is_some()
                || self.lenient && members.op_kind.is_nothing() && members.has_path());
        if kind.is(b"op") || op_without_type {
            texts.clear();
            let item = self.item(&members, &members.op_kind, true, &mut texts);
            return Ok(single(item, texts));
        }
        self.notice(&members, &message)
    }

    /// Messages that carry no ops.
    fn notice(&mut self, members: &Members<'_>, message: &Message<'_>) -> Result<Frame, Malformed> {
        let kind = &members.kind;
        if kind.is(b"identify") {
            return message.identify().map_err(|WrongType| Malformed("Invalid identify"));
        }
        if kind.is(b"sync_status") {
            return message.sync_status().map_err(|WrongType| Malformed("Invalid sync_status"));
        }
        if kind.is(b"subscribe") {
            return message.subscribe().map_err(|WrongType| Malformed("Invalid subscribe"));
        }
        if kind.is(b"checkpoint") || kind.is(b"sendCheckpoint") {
            let read = self.checkpoint(members, message, kind.is(b"sendCheckpoint"));
            return read.map_err(|WrongType| Malformed("Invalid checkpoint"));
        }
        if kind.is(b"fork_start") {
            return self.fork_start(members).map_err(|WrongType| Malformed("Invalid fork_start"));
        }
        if kind.is(b"fork_detected") {
            return self.fork_detected(members, message).map_err(|WrongType| Malformed("Invalid fork_detected"));
        }
        Ok(if kind.is(b"auth_response") { Frame::AuthResponse } else { Frame::Unknown })
    }

    fn checkpoint(&mut self, members: &Members<'_>, message: &Message<'_>, send: bool) -> Result<Frame, WrongType> {
        let confirm = !message.confirmed_hash.is_nothing() || !message.matches.is_nothing();
        let form = match () {
            () if send => CheckpointForm::Send,
            () if confirm => CheckpointForm::Confirm,
            () if !message.last_op_index.is_nothing() => CheckpointForm::Old,
            () => CheckpointForm::Published,
        };
        let (hash, fork) = match form {
            CheckpointForm::Confirm => (message.confirmed_hash, members.fork()),
            CheckpointForm::Send => (message.hash, message.prev_hash),
            CheckpointForm::Published | CheckpointForm::Old => (message.hash, Word::Missing),
        };
        Ok(Frame::Checkpoint(Checkpoint {
            form,
            block: members.block().block()?,
            hash: self.hashes.hash(hash)?,
            fork: self.hashes.hash(fork)?,
            matches: message.matches.flag()?,
        }))
    }

    fn fork_start(&mut self, members: &Members<'_>) -> Result<Frame, WrongType> {
        Ok(Frame::ForkStart { hash: self.hashes.hash(members.fork())?, block: members.block().block()? })
    }

    fn fork_detected(&mut self, members: &Members<'_>, message: &Message<'_>) -> Result<Frame, WrongType> {
        Ok(Frame::ForkDetected {
            old: self.hashes.hash(message.old_fork)?,
            new: self.hashes.hash(message.new_fork)?,
            block: members.block().block()?,
        })
    }
}

impl<'a> Message<'a> {
    /// Reads the value of `key`, whatever it is.
    fn read(&mut self, key: &[u8], scan: &mut Scan<'a>) -> Result<(), JsonError> {
        let word = match key {
            b"token" => &mut self.token,
            b"prefix" => &mut self.prefix,
            b"source" => &mut self.source,
            b"version" => &mut self.version,
            b"lastIndex" => &mut self.last_index,
            b"lastOpIndex" => &mut self.last_op_index,
            b"hash" => &mut self.hash,
            b"prevHash" => &mut self.prev_hash,
            b"confirmedHash" => &mut self.confirmed_hash,
            b"oldForkHash" => &mut self.old_fork,
            b"newForkHash" => &mut self.new_fork,
            b"matches" => &mut self.matches,
            b"requestedRange" => {
                self.requested = Requested::read(scan)?;
                return Ok(());
            }
            _ => return scan.skip_value(),
        };
        *word = Word::read(scan)?;
        Ok(())
    }

    fn batch(self, texts: Vec<u8>) -> Result<Frame, Malformed> {
        let items = self.operations.ok_or(Malformed("Batch without operations"))?;
        let requested = match self.requested {
            Requested::Missing => None,
            Requested::Range(from, to) => Some((from, to)),
            // Were it read as live ops, an answer would look like a fall.
            Requested::Invalid => return Err(Malformed("Invalid requestedRange")),
        };
        Ok(Frame::Ops(Ops { framing: Framing::Batch { requested }, items, texts }))
    }

    fn identify(&self) -> Result<Frame, WrongType> {
        Ok(Frame::Identify {
            source: self.source.name(MAX_NAME_BYTES)?,
            version: self.version.name(MAX_NAME_BYTES)?,
            token: self.token.name(MAX_NAME_BYTES)?,
            prefix: self.prefix.name(MAX_NAME_BYTES)?,
        })
    }

    fn sync_status(&self) -> Result<Frame, WrongType> {
        let last_index = self.last_index.count()?.unwrap_or(0);
        Ok(Frame::SyncStatus { last_index, token: self.token.name(MAX_NAME_BYTES)? })
    }

    fn subscribe(&self) -> Result<Frame, WrongType> {
        Ok(Frame::Subscribe { last_index: self.last_index.count()?, token: self.token.name(MAX_NAME_BYTES)? })
    }
}

impl Requested {
    fn read(scan: &mut Scan<'_>) -> Result<Self, JsonError> {
        match scan.next_token() {
            b'{' => scan.at += 1,
            b'n' => return scan.literal(b"null").map(|()| Self::Missing),
            _ => return scan.skip_value().map(|()| Self::Invalid),
        }
        let (mut from, mut to) = (Word::Missing, Word::Missing);
        let mut scratch = Vec::new();
        if !object_is_empty(scan) {
            loop {
                let key = scan.key()?;
                match key.decode(&mut scratch) {
                    b"from" => from = Word::read(scan)?,
                    b"to" => to = Word::read(scan)?,
                    _ => scan.skip_value()?,
                }
                if object_ends(scan)? {
                    break;
                }
            }
        }
        Ok(match (from.count(), to.count()) {
            (Ok(Some(from)), Ok(Some(to))) => Self::Range(from, to),
            _ => Self::Invalid,
        })
    }
}

/// Just after an opening brace: whether the object ends here (and goes behind it).
#[inline]
fn object_is_empty(scan: &mut Scan<'_>) -> bool {
    let empty = scan.next_token() == b'}';
    scan.at += usize::from(empty);
    empty
}

/// After a member: goes behind the comma (false) or the closing brace (true).
#[inline]
fn object_ends(scan: &mut Scan<'_>) -> Result<bool, JsonError> {
    let end = match scan.next_token() {
        b',' => false,
        b'}' => true,
        _ => return Err(scan.error("comma or end of object expected")),
    };
    scan.at += 1;
    Ok(end)
}

fn bare_marker() -> Item {
    Item { index: None, block: None, fork: None, prev: None, what: What::Marker }
}

fn single(item: Item, texts: Vec<u8>) -> Frame {
    Frame::Ops(Ops { framing: Framing::Single, items: vec![item], texts })
}
