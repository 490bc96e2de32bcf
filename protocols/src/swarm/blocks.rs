//! `/honeygraph/blocks/1`: the chain by request and answer: headers of periods, then what lies in them.
//!
//! A period is asked for by its [`PeriodId`], the hash of its header: whoever answers says with every answer "this is
//! in that period", and what is not, is a lie of whoever answered, whoever the header came from.
//!
//! *Always holds:* a period with equal content has an equal header on every node; every request has an answer, if only
//! [`Answer::NotHeld`].

use super::names::{Label, NetworkName};
use super::wire::{List, Message, batch_id};
use crate::batch::{BatchId, Header as BatchHeader, Parent, digest_bytes};
use crate::honeycomb::HashText;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Protocol id.
pub const ID: &str = "/honeygraph/blocks/1";
/// Headers in one answer: most of a day, about 64 KiB.
pub const MAX_HEADERS: usize = 256;
/// Lines in one answer: under 1 MiB.
pub const MAX_LINES: usize = 16_384;
/// Batches in one answer; small ones fill it before its bytes do.
pub const MAX_BATCHES: usize = 16_384;
/// Frames of one batch in one answer.
pub const MAX_FRAMES: usize = 1_024;
/// Batches of one period that are taken: a real one has hundreds. A longer period is not served.
pub const MAX_PERIOD_BATCHES: u32 = 1 << 18;
/// Ops of one period that are taken.
pub const MAX_PERIOD_OPS: u64 = 1 << 28;
/// Bytes of frames at which an answer ends: one request is one substream, and about this much uses it well.
pub const ANSWER_BYTES: usize = 1 << 20;
/// Bytes of bodies, once unpacked, at which an answer ends: whoever answers counts what its frames declare, whoever asked
/// unpacks no more.
pub const ANSWER_BODY_BYTES: usize = 64 << 20;
/// Most bytes of one frame once unpacked: a journal cuts a batch into pieces of 1 MiB and the op that crosses it.
pub const FRAME_BODY_BYTES: usize = 8 << 20;
/// Most bytes of one frame: the largest that a journal holds.
pub const MAX_FRAME_BYTES: usize = 8 << 20;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Headers of closed periods.
    Headers(HeadersWanted),
    /// Lines of a closed period's batches.
    Lines(LinesWanted),
    /// Batches of a closed period.
    Batches(BatchesWanted),
    /// Batches of the period in which the head stands.
    Newest(NewestWanted),
}

impl Message for Request {
    const WHAT: &'static str = "blocks request";
    const CAP: usize = 1024;
}

impl Request {
    /// The network that it is about.
    pub fn network(&self) -> &NetworkName {
        match self {
            Self::Headers(wanted) => &wanted.network,
            Self::Lines(wanted) => &wanted.network,
            Self::Batches(wanted) => &wanted.network,
            Self::Newest(wanted) => &wanted.network,
        }
    }
}

/// Headers, in the order of the walk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadersWanted {
    /// The network.
    pub network: NetworkName,
    /// Hash of a checkpoint.
    pub from: HashText,
    /// Which way from it.
    pub walk: Walk,
    /// At most so many, 1 to [`MAX_HEADERS`]; more counts as that.
    pub most: u16,
}

/// Which way headers are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Walk {
    /// The period that the checkpoint closes, then the one before, and so on.
    Back,
    /// The period that it opens, on the answerer's head's history, then the one after, and so on.
    Forward,
}

/// Lines of a period's batches, from the first on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinesWanted {
    /// The network.
    pub network: NetworkName,
    /// Opening hash of the period.
    pub open: HashText,
    /// The period.
    pub period: PeriodId,
    /// Batches to pass over.
    pub skip: u32,
}

/// Batches of a closed period: those whose place is at or after `from` and before `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchesWanted {
    /// The network.
    pub network: NetworkName,
    /// Opening hash of the period.
    pub open: HashText,
    /// The period.
    pub period: PeriodId,
    /// Place of the first batch.
    pub from: u64,
    /// Frames of that batch to pass over: it was too long for one answer.
    pub skip: u32,
    /// Place before which the last one lies.
    pub to: u64,
}

/// Batches of a period that is open, or was when we last looked: those after a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestWanted {
    /// The network.
    pub network: NetworkName,
    /// Opening hash of the period.
    pub open: HashText,
    /// The batch before them, by its digest; none: from the period's first on.
    pub after: Option<[u8; 32]>,
    /// Frames of the first to pass over.
    pub skip: u32,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::Headers`].
    Headers(List<Header, MAX_HEADERS>),
    /// To [`Request::Lines`]. Empty: there are no more.
    Lines(List<Line, MAX_LINES>),
    /// To [`Request::Batches`] and [`Request::Newest`]: as many as fit. Empty: there are no more.
    Batches(List<Batch, MAX_BATCHES>),
    /// Not here: no such network, checkpoint or period.
    NotHeld,
    /// Not now; about this many ms later.
    Busy(u32),
}

impl Message for Answer {
    const WHAT: &'static str = "blocks answer";
    /// The longest frame, and an answer's worth of others with their lines.
    const CAP: usize = MAX_FRAME_BYTES + (3 << 20);

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Headers(headers) => headers.iter().try_for_each(Header::check),
            Self::Lines(lines) => lines.iter().try_for_each(Line::check),
            Self::Batches(batches) => batches.iter().try_for_each(Batch::check),
            Self::NotHeld | Self::Busy(_) => Ok(()),
        }
    }
}

/// Names a period by its header.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeriodId([u8; 32]);

impl fmt::Debug for PeriodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What closes a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseKind {
    /// An ordinary checkpoint: its hash names the ops since the root.
    Delta,
    /// The day's root: its hash names the whole state.
    Root,
}

/// A closed period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The network.
    pub network: NetworkName,
    /// Hash that opens it.
    pub open_hash: HashText,
    /// Its opening label.
    pub label: Option<Label>,
    /// Opening hash of the period before it; none where the answerer's history begins.
    pub prev: Option<HashText>,
    /// Hash that closes it: the opening hash of the period after it.
    pub close_hash: HashText,
    /// What kind of checkpoint that is.
    pub close_kind: CloseKind,
    /// Its batches, at least one.
    pub count: u32,
    /// Its ops, markers not counted.
    pub ops: u64,
    /// Its last batch.
    #[serde(with = "batch_id")]
    pub last_batch_id: BatchId,
    /// blake3 over the digests of its batches' ids, in order.
    pub batch_ids_hash: [u8; 32],
}

impl Header {
    /// The period's id: what lies in it and between which hashes. Not in it are `prev` (where a history begins is a fact
    /// of the answerer) and the label (as in a batch's id: a node may not have heard it).
    pub fn id(&self) -> PeriodId {
        let named = (
            ("honeygraph period 1", &self.network, &self.open_hash, &self.close_hash),
            (self.count, self.ops, self.last_batch_id.digest(), self.batch_ids_hash),
        );
        let bytes = postcard::to_stdvec(&named).expect("a header has no unrepresentable value");
        PeriodId(*blake3::hash(&bytes).as_bytes())
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.count == 0 || self.count > MAX_PERIOD_BATCHES || self.ops > MAX_PERIOD_OPS {
            return Err("a period without batches, or with too many");
        }
        if self.open_hash == self.close_hash || self.prev.as_ref() == Some(&self.open_hash) {
            return Err("a period that closes itself");
        }
        Ok(())
    }
}

/// A header of a batch without what its period says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Place of its first op in the period.
    pub seq: u64,
    /// Its ops.
    pub count: u64,
    /// Whether a marker closed it.
    pub marker: bool,
    /// Its own label.
    pub label: Option<Label>,
    /// blake3 over its op texts.
    #[serde(with = "digest_bytes")]
    pub ops_hash: [u8; 32],
}

impl Line {
    /// Place of the item that follows it.
    pub fn end(&self) -> u64 {
        self.seq + self.count + u64::from(self.marker)
    }

    /// Its batch's id behind this parent.
    pub fn id(&self, network: &NetworkName, period: &HashText, parent: Parent) -> BatchId {
        let (network, period) = (network.as_str().to_owned(), period.clone());
        let (seq, count, ops_hash) = (self.seq, self.count, self.ops_hash);
        BatchHeader { v: BatchHeader::VERSION, network, period, seq, parent, count, ops_hash }.id()
    }

    fn check(&self) -> Result<(), &'static str> {
        let fits = self.count <= MAX_PERIOD_OPS && self.seq <= MAX_PERIOD_OPS * 2;
        if fits { Ok(()) } else { Err("a place beyond any period's end") }
    }
}

/// A batch, or as much of it as an answer had room for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its line.
    pub line: Line,
    /// Its ops, in order, from the frame on that was asked for; empty for a batch without ops.
    pub frames: List<Frame, MAX_FRAMES>,
    /// Whether frames are missing at its end. Only of an answer's last batch.
    pub more: bool,
}

impl Batch {
    fn check(&self) -> Result<(), &'static str> {
        self.line.check()?;
        let ops = self.frames.iter().map(|frame| u64::from(frame.count)).sum::<u64>();
        if ops > self.line.count || self.frames.iter().any(|frame| frame.bytes.len() > MAX_FRAME_BYTES) {
            return Err("frames that hold more than their batch");
        }
        if self.more && self.frames.is_empty() {
            return Err("a batch that goes on and has nothing");
        }
        Ok(())
    }
}

/// A piece of a batch's body as the journal stores it: one zstd frame of the length-prefixed op texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Ops in it, at least one.
    pub count: u32,
    /// The frame.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// blake3 over the digests of batch ids, in order.
pub fn batch_ids_hash<'a>(ids: impl IntoIterator<Item = &'a BatchId>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for id in ids {
        hasher.update(id.digest());
    }
    *hasher.finalize().as_bytes()
}
