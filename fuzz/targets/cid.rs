//! CIDs of documents.
//!
//! Input: the length of the pieces, then the content.
//!
//! Holds: pieces do not change the CID; that of content of one chunk is the hash of the one block put together here by
//! hand. (More than one chunk is for the golden CIDs: inputs of that length would make the runs few.)
//!
//! Planted once: leaves that are raw.
#![no_main]

use honeygraph_protocols::document::{CidV0, cid_v0};
use libfuzzer_sys::fuzz_target;
use sha2::Digest;

fuzz_target!(|data: &[u8]| {
    let Some((&piece, content)) = data.split_first() else { return };
    let mut cid = CidV0::default();
    content.chunks(usize::from(piece).max(1)).for_each(|piece| cid.push(piece));
    let text = cid.finish();
    assert_eq!(text, cid_v0(content));
    let digest: [u8; 32] = sha2::Sha256::digest(block(content)).into();
    assert_eq!(text, bs58::encode([&[0x12, 0x20][..], &digest].concat()).into_string());
    let read: cid::Cid = text.parse().expect("a CID");
    assert_eq!((read.version(), read.hash().digest()), (cid::Version::V0, &digest[..]));
});

/// A file of one chunk as UnixFS in dag-pb.
fn block(content: &[u8]) -> Vec<u8> {
    let mut file = vec![0x08, 0x02];
    if !content.is_empty() {
        file.push(0x12);
        push_varint(content.len(), &mut file);
        file.extend_from_slice(content);
    }
    file.push(0x18);
    push_varint(content.len(), &mut file);
    let mut node = vec![0x0A];
    push_varint(file.len(), &mut node);
    node.extend(file);
    node
}

fn push_varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
