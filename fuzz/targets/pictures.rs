//! Swarm: pictures, asked for and given.
//!
//! Holds: what every message holds; a manifest is as long as its document, has a CID, and its groups are all of it.
//!
//! Planted once: the number of leaves not held against the number of bytes.
#![no_main]

use honeygraph_fuzz::message;
use honeygraph_protocols::document::leaves::leaf_count;
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::pictures::{
    Answer, MAX_BYTES, MAX_GROUP_BYTES, MAX_GROUPS, MAX_PICTURES, Manifest, Request,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(request) = message::<Request>(bytes) {
        let network = request.network();
        assert_eq!(NetworkName::new(network.as_str()).as_ref(), Some(network));
    }
    match message::<Answer>(bytes) {
        Some(Answer::Held(offers)) => {
            assert!(offers.len() <= MAX_PICTURES);
            for offer in offers.iter() {
                assert!((1..=MAX_BYTES).contains(&offer.bytes) && offer.label.get() < 1 << 53);
                assert_eq!(u64::from(offer.leaves), leaf_count(offer.bytes));
            }
        }
        Some(Answer::Manifest(manifest)) => manifest_holds(&manifest),
        Some(Answer::Leaves(packed)) => assert!(packed.len() <= MAX_GROUP_BYTES),
        Some(Answer::NotHeld | Answer::Busy(_)) | None => {}
    }
});

fn manifest_holds(manifest: &Manifest) {
    assert!(manifest.cid().is_some_and(|cid| cid.starts_with("Qm")));
    assert!((1..=MAX_GROUPS).contains(&manifest.groups()));
    let bytes: usize = (0..manifest.groups()).map(|nth| manifest.group_bytes(nth)).sum();
    assert_eq!(bytes as u64, manifest.bytes);
    assert!(manifest.group(manifest.groups()).is_empty());
}
