//! Ids of batches: as text, as CID, as they stand in CBOR.
//!
//! Holds: whatever way an id is written, it is the same id in every other way; CIDs of another kind are refused; a text of
//! ours is the only one that an id prints to.
//!
//! Planted once: any codec taken for dag-cbor.
#![no_main]

use cid::Cid;
use honeygraph_protocols::batch::{BatchId, NotABatchId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let read = text.parse::<BatchId>();
        assert_eq!(read, Cid::try_from(text).map_err(|_| NotABatchId).and_then(BatchId::try_from));
        read.into_iter().for_each(id_holds);
    }
    if let Ok(cid) = Cid::try_from(bytes) {
        match BatchId::try_from(cid) {
            Ok(id) => {
                assert_eq!(Cid::from(id), cid);
                id_holds(id);
            }
            Err(NotABatchId) => assert!(!is_kind(&cid), "an id of ours is refused"),
        }
    }
    serde_ipld_dagcbor::from_slice(bytes).into_iter().for_each(id_holds);
});

/// CIDv1, dag-cbor, blake3 of 32 bytes.
fn is_kind(cid: &Cid) -> bool {
    let hash = cid.hash();
    (cid.version(), cid.codec(), hash.code(), hash.digest().len()) == (cid::Version::V1, 0x71, 0x1E, 32)
}

fn id_holds(id: BatchId) {
    let text = id.to_string();
    assert!(text.starts_with("bafyr4i") && text.len() == 59);
    assert_eq!(text.parse(), Ok(id));
    let cid = Cid::from(id);
    assert!(is_kind(&cid) && cid.hash().digest() == id.digest());
    assert_eq!(BatchId::try_from(cid), Ok(id));
    let cbor = serde_ipld_dagcbor::to_vec(&id).expect("an id is CBOR");
    assert_eq!(serde_ipld_dagcbor::from_slice::<BatchId>(&cbor).ok(), Some(id));
    assert_eq!(serde_json::to_string(&id).ok(), Some(format!("{text:?}")));
}
