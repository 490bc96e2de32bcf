//! `/honeygraph/pictures/1`: the state at a root by request and answer: the canonical root document, leaf by leaf.
//!
//! A picture is named by the CID of its document. Its manifest is the list of the leaves' digests, from which the inner
//! nodes of the DAG follow ([`crate::document::leaves`]): it is checked as a whole against the CID, and every leaf against
//! the manifest. So who sent something wrong is known, whoever sent the rest. Leaves travel in groups of
//! [`GROUP_LEAVES`], each one zstd frame.
//!
//! *Always holds:* every request has an answer, if only [`Answer::NotHeld`]; a group unpacks to what its leaves have
//! together, and whoever unpacks it takes no more.

use super::names::{Label, NetworkName};
use super::wire::{List, Message};
use crate::document::leaves::{LEAF_BYTES, LeafDigest, cid_of_leaves, leaf_count, leaf_len};
use crate::honeycomb::HashText;
use serde::{Deserialize, Serialize};

/// Protocol id.
pub const ID: &str = "/honeygraph/pictures/1";
/// Pictures of one network that a node tells of: it keeps two.
pub const MAX_PICTURES: usize = 4;
/// Largest document, in bytes: what a node takes as its base.
pub const MAX_BYTES: u64 = 1 << 30;
/// Leaves of the largest document.
pub const MAX_LEAVES: usize = (MAX_BYTES / LEAF_BYTES as u64) as usize;
/// Leaves of a group; the last one may have fewer. Together they pack much better than one by one, and are still an answer
/// that a slow peer gives in time.
pub const GROUP_LEAVES: usize = 8;
/// Groups of the largest document.
pub const MAX_GROUPS: usize = MAX_LEAVES / GROUP_LEAVES;
/// Most bytes of a group, packed: zstd makes what cannot be packed longer by less than this.
pub const MAX_GROUP_BYTES: usize = GROUP_LEAVES * LEAF_BYTES + (16 << 10);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Which pictures of this network are there?
    Held(NetworkName),
    /// The manifest of one.
    Manifest(Named),
    /// A group of its leaves.
    Leaves(LeavesWanted),
}

impl Message for Request {
    const WHAT: &'static str = "pictures request";
    const CAP: usize = 1024;
}

impl Request {
    /// The network that it is about.
    pub fn network(&self) -> &NetworkName {
        match self {
            Self::Held(network) => network,
            Self::Manifest(named) => &named.network,
            Self::Leaves(wanted) => &wanted.of.network,
        }
    }
}

/// Names a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The network.
    pub network: NetworkName,
    /// CID of the root document.
    pub root: HashText,
}

/// A group of leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavesWanted {
    /// Of this picture.
    pub of: Named,
    /// Number of the group: its first leaf is so many times [`GROUP_LEAVES`].
    pub group: u32,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::Held`], the newest first.
    Held(List<Offer, MAX_PICTURES>),
    /// To [`Request::Manifest`].
    Manifest(Manifest),
    /// To [`Request::Leaves`]: the group's content as one zstd frame.
    Leaves(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Not here: no such network, picture or group.
    NotHeld,
    /// Not now; about this many ms later.
    Busy(u32),
}

impl Message for Answer {
    const WHAT: &'static str = "pictures answer";
    /// The longest group, and its length.
    const CAP: usize = MAX_GROUP_BYTES + 16;

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Held(offers) => offers.iter().try_for_each(Offer::check),
            Self::Manifest(manifest) => manifest.check(),
            Self::Leaves(packed) if packed.len() > MAX_GROUP_BYTES => Err("a group longer than any"),
            Self::Leaves(_) | Self::NotHeld | Self::Busy(_) => Ok(()),
        }
    }
}

/// A picture that a node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Block of the checkpoint.
    pub label: Label,
    /// CID of the root document: the hash of the checkpoint.
    pub root: HashText,
    /// Bytes of the document.
    pub bytes: u64,
    /// Leaves of it.
    pub leaves: u32,
    /// Whether something vouches for it, there. A claim like all of this.
    pub anchored: bool,
}

impl Offer {
    fn check(&self) -> Result<(), &'static str> {
        fits(self.bytes, self.leaves as usize)
    }
}

/// A document's leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Bytes of the document.
    pub bytes: u64,
    /// Digest of each leaf.
    pub leaves: List<LeafDigest, MAX_LEAVES>,
}

impl Manifest {
    fn check(&self) -> Result<(), &'static str> {
        fits(self.bytes, self.leaves.len())
    }

    /// CID of the document that has these leaves.
    pub fn cid(&self) -> Option<String> {
        cid_of_leaves(&self.leaves, self.bytes)
    }

    /// How many groups its leaves make.
    pub fn groups(&self) -> usize {
        self.leaves.len().div_ceil(GROUP_LEAVES)
    }

    /// The leaves of a group, by their number; none where there is no such group.
    pub fn group(&self, nth: usize) -> std::ops::Range<usize> {
        let first = nth.saturating_mul(GROUP_LEAVES).min(self.leaves.len());
        first..(first + GROUP_LEAVES).min(self.leaves.len())
    }

    /// Bytes of content in a group.
    pub fn group_bytes(&self, nth: usize) -> usize {
        self.group(nth).map(|leaf| leaf_len(leaf as u64, self.bytes)).sum()
    }
}

fn fits(bytes: u64, leaves: usize) -> Result<(), &'static str> {
    match bytes {
        0 => Err("an empty document"),
        bytes if bytes > MAX_BYTES => Err("a document larger than any that is taken"),
        bytes if leaf_count(bytes) != leaves as u64 => Err("another number of leaves than so many bytes have"),
        _ => Ok(()),
    }
}
