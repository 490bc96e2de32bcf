//! Checkpoint documents: the delta of a period, the daily root, and their CIDv0.

use super::leaves::Leaves;
use super::op::{canonical, string};
use rust_unixfs::file::adder::FileAdder;
use std::fmt::Write;
use std::sync::Arc;

/// Honeycomb's `block` object: what the next delta is made of.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// Ops of the period so far, `"W"` for a marker.
    pub ops: Vec<Arc<str>>,
    /// Deltas since the root: hash and block of each.
    pub chain: Vec<(String, u64)>,
    /// CID of the day's root; empty when the next save is a root.
    pub root: String,
    /// CID of the root before it.
    pub prev_root: String,
}

impl Ledger {
    /// The delta document saved at block `num`.
    pub(super) fn delta(&self, num: u64) -> Vec<u8> {
        let size: usize = self.ops.iter().map(|op| op.len() + op.len() / 4).sum();
        let mut text = String::with_capacity(size + 128 * (self.chain.len() + 2));
        write!(text, "[{},{{\"chain\":[", num + 1).expect("a String takes everything");
        for (i, (hash, block)) in self.chain.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(text, "{comma}{{\"hash\":\"{hash}\",\"hive_block\":{block}}}").expect("a String takes everything");
        }
        text.push_str("],\"ops\":[");
        for (i, op) in self.ops.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            string(op, &mut text);
        }
        write!(text, "],\"prev_root\":\"{}\",\"root\":\"{}\"}}]", self.prev_root, self.root)
            .expect("a String takes everything");
        text.into_bytes()
    }
}

/// The root document of a state saved at block `num`.
pub(super) fn root(num: u64, leaves: &Leaves) -> Vec<u8> {
    let mut text = format!("[{},", num + 1);
    canonical(&leaves.tree(), &mut text);
    text.push(']');
    text.into_bytes()
}

/// CIDv0 of a document, as `ipfs add` with its defaults gives it.
pub fn cid_v0(bytes: &[u8]) -> String {
    let mut adder = FileAdder::builder().with_cid_version(cid::Version::V0).with_raw_leaves(false).build();
    let (mut rest, mut root) = (bytes, None);
    while !rest.is_empty() {
        let (blocks, taken) = adder.push(rest);
        root = blocks.last().map(|(cid, _)| cid).or(root);
        rest = &rest[taken..];
    }
    // A single full chunk is its own root and nothing is left to finish.
    let root = adder.finish().last().map(|(cid, _)| cid).or(root);
    root.expect("also no bytes give one block").to_string()
}
