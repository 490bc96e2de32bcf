//! The batch: unit of commit, of the chain and of sync; its header and its id (`docs/decisions/0002-chain.md`).
//!
//! *Always holds:* two nodes that were fed the same ops at the same place compute the same id; a chain of headers can
//! be checked without the bodies.

use crate::honeycomb::HashText;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Multicodec of dag-cbor.
const DAG_CBOR: u64 = 0x71;

/// Id of a batch: CIDv1 (dag-cbor, blake3-256) of its [`Header`]. It names content at a place, not a history.
///
/// In binary formats it is written as a CID, in formats that people read as its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "Cid")]
pub struct BatchId([u8; 32]);

/// Why a text or CID is not a batch id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a batch id: CIDv1, dag-cbor, blake3-256 expected")]
pub struct NotABatchId;

impl BatchId {
    /// The id with this blake3 digest.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The blake3 digest.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Serialize for BatchId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { Cid::from(*self).serialize(to) }
    }
}

impl From<BatchId> for Cid {
    fn from(id: BatchId) -> Cid {
        let hash = Code::Blake3_256.wrap(&id.0).expect("a 32-byte digest fits a multihash");
        Cid::new_v1(DAG_CBOR, hash)
    }
}

impl TryFrom<Cid> for BatchId {
    type Error = NotABatchId;
    fn try_from(cid: Cid) -> Result<Self, NotABatchId> {
        let fits = cid.version() == cid::Version::V1 && cid.codec() == DAG_CBOR;
        let fits = fits && cid.hash().code() == u64::from(Code::Blake3_256);
        let digest = cid.hash().digest().try_into().map_err(|_| NotABatchId)?;
        if fits { Ok(Self(digest)) } else { Err(NotABatchId) }
    }
}

impl FromStr for BatchId {
    type Err = NotABatchId;
    fn from_str(text: &str) -> Result<Self, NotABatchId> {
        Cid::try_from(text).map_err(|_| NotABatchId)?.try_into()
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Cid::from(*self).fmt(f)
    }
}

impl fmt::Debug for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a batch stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parent {
    /// The batch before it in its period.
    Batch(BatchId),
    /// First of its period: the period's opening hash.
    Period(HashText),
}

/// Header of a batch, hashed into its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Format version: 1.
    pub v: u8,
    /// Network, for example `spkcc_`.
    pub network: String,
    /// Opening hash of the period.
    pub period: HashText,
    /// Place of the first op in the period (of the marker when there is none), ops and markers counted from 0.
    pub seq: u64,
    /// What it stands on.
    pub parent: Parent,
    /// Ops, the marker not counted.
    pub count: u64,
    /// blake3 over the length-prefixed op texts.
    #[serde(with = "digest_bytes")]
    pub ops_hash: [u8; 32],
}

impl Header {
    /// The only format version so far.
    pub const VERSION: u8 = 1;

    /// The bytes that are hashed: canonical dag-cbor.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_ipld_dagcbor::to_vec(self).expect("a header has no unrepresentable value")
    }

    /// The batch's id.
    pub fn id(&self) -> BatchId {
        BatchId(*blake3::hash(&self.to_bytes()).as_bytes())
    }
}

pub mod digest_bytes {
    //! A 32-byte digest as a CBOR byte string (for `#[serde(with)]`).
    use serde::{Deserializer, Serializer, de::Error, de::Visitor};
    use std::fmt;

    /// As a byte string.
    pub fn serialize<S: Serializer>(digest: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(digest)
    }

    /// From a byte string of 32 bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        from.deserialize_bytes(Digest)
    }

    struct Digest;
    impl Visitor<'_> for Digest {
        type Value = [u8; 32];
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("32 bytes")
        }
        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
        }
    }
}
