//! Records for tests: one of each kind with fixed contents, and pieces and chain records in any number.

use crate::fork::record::*;
use honeygraph_protocols::batch::{BatchId, Parent};
use honeygraph_protocols::honeycomb::HashText;

/// The length-prefixed texts of `ops` puts.
pub fn body(seed: u64, ops: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for op in 0..ops {
        let amount = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let text = format!(
            "{{\"data\":{{\"amount\":{amount},\"by\":\"account-{:05}\",\"memo\":\"{seed:x}\"}},\"path\":[\"contract\",\"u{op}\",\"{seed}\"],\"type\":\"put\"}}",
            (seed + op) % 20_000
        );
        body.extend_from_slice(&(text.len() as u32).to_le_bytes());
        body.extend_from_slice(text.as_bytes());
    }
    body
}

pub fn hash(text: &str) -> HashText {
    HashText::new(text).unwrap()
}

/// The piece record of a body.
pub fn piece(seq: u64, count: u64, body: &[u8]) -> Record {
    Record::Piece(Piece {
        lane: 3,
        ordinal: 2,
        label: Some(94_000_001),
        run: 0,
        seq,
        index: Some(seq),
        count: count as u32,
        close: Close::Marker,
        begins: true,
        ops_hash: *blake3::hash(body).as_bytes(),
        at_ms: 1_760_000_000_000 + seq,
    })
}

/// The chain record of a piece.
pub fn chain(piece: Lsn, seq: u64, count: u64, body: &[u8]) -> Record {
    Record::Chain(Chain {
        branch: 0,
        prev: piece.checked_sub(1).filter(|lsn| *lsn > 0).map(|version| Node { branch: 0, version }),
        period: hash("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"),
        opening_label: Some(94_000_001),
        label: Some(94_000_001),
        seq,
        count,
        marker: true,
        parent: Parent::Batch(BatchId::from_digest([seq as u8; 32])),
        id: BatchId::from_digest([seq as u8 ^ 0xff; 32]),
        ops_hash: *blake3::hash(body).as_bytes(),
        pieces: vec![piece],
        head: true,
        hole: false,
        at_ms: 1_760_000_000_001 + seq,
    })
}
