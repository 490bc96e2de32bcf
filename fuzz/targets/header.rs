//! Headers of batches in dag-cbor, and their ids.
//!
//! Holds: a header that decodes encodes to bytes that decode equal and stay so; the id is that of those bytes; hashes in
//! it are within their length.
//!
//! Planted once: a digest written as a list of numbers.
#![no_main]

use honeygraph_protocols::batch::{BatchId, Header, Parent};
use honeygraph_protocols::honeycomb::HashText;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = serde_ipld_dagcbor::from_slice::<Header>(bytes) else { return };
    let own = header.to_bytes();
    let again: Header = serde_ipld_dagcbor::from_slice(&own).expect("a header of ours");
    assert_eq!(again, header);
    assert_eq!(again.to_bytes(), own);
    assert_eq!(again.id(), header.id());
    let fits = |hash: &HashText| (1..=HashText::MAX_BYTES).contains(&hash.as_str().len());
    assert!(fits(&header.period));
    match &header.parent {
        Parent::Period(hash) => assert!(fits(hash)),
        Parent::Batch(id) => assert_eq!(id.to_string().parse(), Ok(*id)),
    }
    let next = Header { parent: Parent::Batch(header.id()), ..header.clone() };
    assert!(next.id() != header.id(), "what it stands on counts");
    assert_eq!(BatchId::from_digest(*header.id().digest()), header.id());
});
