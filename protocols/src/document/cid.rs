//! CIDv0 of a document: UnixFS, dag-pb, chunks of 256 KiB, balanced, 174 links, wrapped leaves (`ipfs add`).

use rust_unixfs::file::adder::FileAdder;

/// Computes a CIDv0 from content that comes in pieces; their boundaries do not matter.
pub struct CidV0 {
    adder: FileAdder,
    /// CID of the newest block: content of exactly one chunk has its only block before the end.
    newest: Option<cid::Cid>,
}

impl Default for CidV0 {
    fn default() -> Self {
        let adder = FileAdder::builder().with_cid_version(cid::Version::V0).with_raw_leaves(false).build();
        Self { adder, newest: None }
    }
}

impl CidV0 {
    /// Takes the next piece.
    pub fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let (blocks, consumed) = self.adder.push(piece);
            self.newest = blocks.last().map(|(cid, _block)| cid).or(self.newest);
            piece = &piece[consumed..];
        }
    }

    /// The CID of everything pushed, as text (`Qm…`).
    pub fn finish(self) -> String {
        let root = self.adder.finish().last().map(|(cid, _block)| cid).or(self.newest);
        root.map(|cid| cid.to_string()).expect("even empty content has a block")
    }
}

/// The CIDv0 of `content`, as text.
pub fn cid_v0(content: &[u8]) -> String {
    let mut cid = CidV0::default();
    cid.push(content);
    cid.finish()
}
