//! Keys and signatures as people write them, and peer ids as libp2p does.
//!
//! Holds: a key or signature is written in one way (hexadecimal digits in two); what a signature says of its signer can
//! be written and read; the other signature that fits the same text is refused.
//!
//! Planted once: the second half of a signature not looked at.
#![no_main]

use honeygraph_protocols::swarm::keys::{HiveKey, HiveSignature, KeyError, PeerKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match PeerKey::from_peer_id(bytes) {
        Ok(key) => {
            assert_eq!(key.peer_id(), bytes);
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        Err(error) => assert_eq!(error, KeyError::PeerId),
    }
    if let Some(signature) = bytes.first_chunk().and_then(|bytes| HiveSignature::new(*bytes).ok()) {
        assert!((31..=34).contains(&bytes[0]));
        signature_holds(signature);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<PeerKey>() {
        assert_eq!(key.to_string(), text);
        assert_eq!(PeerKey::from_peer_id(&key.peer_id()), Ok(key));
    }
    if let Ok(key) = text.parse::<HiveKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(signature) = text.parse::<HiveSignature>() {
        assert_eq!(signature.to_string(), text.to_ascii_lowercase());
        signature_holds(signature);
    }
});

fn signature_holds(signature: HiveSignature) {
    let text = signature.to_string();
    assert_eq!(text.parse(), Ok(signature));
    let sent = postcard::to_stdvec(&signature).expect("a signature can be sent");
    assert_eq!(sent.len(), 65);
    assert_eq!(postcard::from_bytes(&sent), Ok(signature));
    for (at, byte) in [(1, 0x80), (33, 0x80), (0, 0x40)] {
        let mut other: [u8; 65] = sent.clone().try_into().expect("65 bytes");
        other[at] |= byte;
        assert_eq!(HiveSignature::new(other), Err(KeyError::Signature), "a half with its highest bit, or another kind");
    }
    if let Some(signer) = signature.signer(b"text") {
        assert_eq!(signer.to_string().parse(), Ok(signer));
    }
}
