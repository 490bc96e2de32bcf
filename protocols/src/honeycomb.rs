//! The feed protocol: what a honeycomb node sends and what we answer (`docs/honeycomb.md`).
//!
//! One frame is one JSON value. All dialects of honeycomb's clients are read into one [`Frame`]; nothing is decided
//! here about where an op belongs.
//!
//! *Always holds:* what is wrong with one op refuses that op and nothing else; an op's text is its canonical text, so
//! equal writes have equal bytes, whatever client, frame or spelling they came in.

mod item;
mod parser;
mod words;

pub use crate::reply;
pub use parser::{INVALID_FORMAT, MAX_FRAME_ITEMS, MAX_FRAME_TEXT_BYTES, MAX_NAME_BYTES, Malformed, Parser};

use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// A hash as honeycomb sends it (`forkHash`, checkpoint hashes): opaque text of 1 to 128 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HashText(Arc<str>);

impl HashText {
    /// Longest text taken, in bytes; real ones have 46.
    pub const MAX_BYTES: usize = 128;

    /// Takes a text of 1 to [`Self::MAX_BYTES`] bytes.
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= Self::MAX_BYTES).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for HashText {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = HashText;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a hash of 1 to {} bytes", HashText::MAX_BYTES)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HashText, E> {
                HashText::new(text).ok_or_else(|| E::invalid_length(text.len(), &self))
            }
        }
        from.deserialize_str(Text)
    }
}

impl std::fmt::Display for HashText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a frame of a feed says.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// `identify`
    Identify {
        /// Program that speaks.
        source: Option<String>,
        /// Its version.
        version: Option<String>,
        /// Token symbol.
        token: Option<String>,
        /// Network prefix.
        prefix: Option<String>,
    },
    /// `sync_status`; `last_index` is the last index the client ever sent, 0 for a new process.
    SyncStatus {
        /// `lastIndex`, missing is 0.
        last_index: u64,
        /// Token symbol.
        token: Option<String>,
    },
    /// `subscribe` of an older client: like `sync_status`, no reply.
    Subscribe {
        /// `lastIndex`, if any.
        last_index: Option<u64>,
        /// Token symbol.
        token: Option<String>,
    },
    /// Ops and markers, in the order of the frame.
    Ops(Ops),
    /// `checkpoint` in its three forms, and `sendCheckpoint`.
    Checkpoint(Checkpoint),
    /// `fork_start`
    ForkStart {
        /// Opening hash of the period that begins at the next index 0.
        hash: Option<HashText>,
        /// Block as sent.
        block: Option<u64>,
    },
    /// `fork_detected`: said for the record; the `fork_start` that follows acts.
    ForkDetected {
        /// Hash it leaves.
        old: Option<HashText>,
        /// Hash it goes to.
        new: Option<HashText>,
        /// Block as sent.
        block: Option<u64>,
    },
    /// `auth_response`: accepted and ignored while authentication is off.
    AuthResponse,
    /// A type we do not know, or none: counted, no reply.
    Unknown,
}

/// A checkpoint announcement.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Form in which it came.
    pub form: CheckpointForm,
    /// `blockNum`
    pub block: Option<u64>,
    /// `hash` (in the confirm form: `confirmedHash`).
    pub hash: Option<HashText>,
    /// `forkHash` of the confirm form; `prevHash` of `sendCheckpoint`.
    pub fork: Option<HashText>,
    /// `matches` of the confirm form.
    pub matches: Option<bool>,
}

/// The forms of a checkpoint message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointForm {
    /// `checkpoint {blockNum, hash, timestamp, token}`, by the published client.
    Published,
    /// `checkpoint {forkHash, confirmedHash, blockNum, matches}`.
    Confirm,
    /// `checkpoint {blockNum, hash, lastOpIndex}`: acknowledged by `ack{success:true}` on `/ws*`.
    Old,
    /// `sendCheckpoint {blockNum, hash, prevHash, timestamp}`.
    Send,
}

/// Ops of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Ops {
    /// How the frame carried them.
    pub framing: Framing,
    /// The items in order.
    pub items: Vec<Item>,
    /// The length-prefixed canonical texts of all ops of the frame (u32 little endian, then the text), so that a run
    /// of items is one contiguous slice, ready for the journal.
    pub texts: Vec<u8>,
}

/// How a frame carried its ops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A bare op, `op`, or a raw `"W"`.
    Single,
    /// `batch` or `operations_batch`; `requested` is its `requestedRange{from,to}`, inclusive.
    Batch {
        /// The range asked for, if the frame says it is an answer.
        requested: Option<(u64, u64)>,
    },
}

/// One op or marker as it stood on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// `index`
    pub index: Option<u64>,
    /// `blockNum`; 0 is reported as none.
    pub block: Option<u64>,
    /// `forkHash`; null, 0 and "" are none.
    pub fork: Option<HashText>,
    /// `prevCheckpointHash`; null, 0 and "" are none.
    pub prev: Option<HashText>,
    /// What it is.
    pub what: What,
}

/// What an item is.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A put or del.
    Op {
        /// Its length-prefixed canonical text within [`Ops::texts`] (prefix included).
        text: Range<usize>,
        /// Set when it is `put ["stats","pendingHash"] = <hash>` (or a put on `["stats"]` is *not* meant).
        pending_hash: Option<HashText>,
    },
    /// A write marker.
    Marker,
    /// An op that cannot be taken: voids its open batch. The reason is for the `error` reply.
    Refused(&'static str),
}
