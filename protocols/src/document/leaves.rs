//! The leaves under a document's CIDv0: chunks of 256 KiB, each of which can be checked by itself.
//!
//! What stands above them, the inner nodes of the DAG, follows from their digests and the document's length: a list of
//! digests is the whole manifest, and whoever has a hash to trust needs no more to judge every leaf.
//!
//! *Always holds:* the CID of a list is that of [`super::CidV0`] over the content (a test compares).

use cid::{Cid, Version};
use multihash_codetable::{Code, MultihashDigest};
use rust_unixfs::file::adder::{FileBranchLink, build_file_from_leaves};
use sha2::{Digest, Sha256};

/// Bytes of content in a leaf; the last one may have fewer.
pub const LEAF_BYTES: usize = 256 << 10;
/// Codec of the blocks.
const DAG_PB: u64 = 0x70;

/// SHA-256 of a leaf's block.
pub type LeafDigest = [u8; 32];

/// How many leaves a document of so many bytes has.
pub fn leaf_count(bytes: u64) -> u64 {
    bytes.div_ceil(LEAF_BYTES as u64).max(1)
}

/// Bytes of content in the nth leaf of a document of so many bytes.
pub fn leaf_len(nth: u64, bytes: u64) -> usize {
    let begins = nth.saturating_mul(LEAF_BYTES as u64);
    usize::try_from(bytes.saturating_sub(begins)).map_or(LEAF_BYTES, |rest| rest.min(LEAF_BYTES))
}

/// The digest of a leaf with this content.
pub fn leaf_digest(content: &[u8]) -> LeafDigest {
    let (before, behind) = wrapping(content.len());
    Sha256::new().chain_update(before).chain_update(content).chain_update(behind).finalize().into()
}

/// The CIDv0 of a document of so many bytes with these leaves, as text; none when it does not have so many.
pub fn cid_of_leaves(leaves: &[LeafDigest], bytes: u64) -> Option<String> {
    if leaves.len() as u64 != leaf_count(bytes) {
        return None;
    }
    let link = |(nth, digest): (usize, &LeafDigest)| {
        let len = leaf_len(nth as u64, bytes);
        let (before, behind) = wrapping(len);
        let multihash = Code::Sha2_256.wrap(digest).ok()?;
        let cid = Cid::new(Version::V0, DAG_PB, multihash).ok()?;
        let tsize = (before.len() + len + behind.len()) as u64;
        Some(FileBranchLink { cid, blocksize: len as u64, tsize })
    };
    let links = leaves.iter().enumerate().map(link).collect::<Option<Vec<_>>>()?;
    let (root, ..) = build_file_from_leaves(&links, Version::V0, Code::Sha2_256);
    Some(root.to_string())
}

/// What stands before and behind so many bytes of content in a leaf's block: a node of dag-pb with a file of UnixFS in it.
fn wrapping(len: usize) -> (Vec<u8>, Vec<u8>) {
    let mut length = Vec::new();
    varint(len as u64, &mut length);
    // UnixFS: type (file), data, size.
    let mut inner = vec![0x08, 0x02];
    if len > 0 {
        inner.push(0x12);
        inner.extend_from_slice(&length);
    }
    let behind = [&[0x18], &length[..]].concat();
    let mut before = vec![0x0a];
    varint((inner.len() + len + behind.len()) as u64, &mut before);
    before.extend_from_slice(&inner);
    (before, behind)
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::cid_v0;

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
    }

    /// Guards against: a last leaf taken for a full one, and a level too many above 174 leaves.
    #[test]
    fn the_digests_of_the_leaves_are_the_cid() {
        let sizes = [0, 1, 127, 128, LEAF_BYTES - 1, LEAF_BYTES, LEAF_BYTES + 1, 3 * LEAF_BYTES, 174 * LEAF_BYTES];
        for size in sizes.into_iter().chain([174 * LEAF_BYTES + 5, 176 * LEAF_BYTES]) {
            let content = content(size);
            let mut leaves: Vec<LeafDigest> = content.chunks(LEAF_BYTES).map(leaf_digest).collect();
            if leaves.is_empty() {
                leaves.push(leaf_digest(&[]));
            }
            assert_eq!(cid_of_leaves(&leaves, size as u64), Some(cid_v0(&content)), "{size}");
            leaves[0][0] ^= 1;
            assert_ne!(cid_of_leaves(&leaves, size as u64), Some(cid_v0(&content)), "{size}");
        }
    }

    #[test]
    fn a_list_of_another_length_has_no_cid() {
        let leaf = leaf_digest(b"x");
        assert_eq!(cid_of_leaves(&[leaf, leaf], 1), None);
        assert_eq!(cid_of_leaves(&[], 0), None);
        assert_eq!(cid_of_leaves(&[leaf], u64::MAX), None);
        assert_eq!((leaf_len(0, 5), leaf_len(1, 5), leaf_len(u64::MAX, 5)), (5, 0, 0));
        assert_eq!((leaf_count(0), leaf_count(LEAF_BYTES as u64), leaf_count(LEAF_BYTES as u64 + 1)), (1, 1, 2));
    }
}
