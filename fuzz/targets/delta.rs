//! Delta documents.
//!
//! Holds: what is read writes a document that reads back equal, is canonical JSON, and is what was read if that was
//! canonical and had no other members.
//!
//! Planted once: a hash in `chain` written without escapes.
#![no_main]

use honeygraph_protocols::document::{Delta, DeltaOp};
use honeygraph_protocols::json::{self, Json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(delta) = Delta::parse(bytes) else { return };
    let written = delta.to_bytes();
    assert_eq!(Delta::parse(&written).as_ref(), Ok(&delta));
    let value = json::parse(&written).expect("a document is JSON");
    assert_eq!(value.to_canonical(), written);
    let read = json::parse(bytes).expect("what was read is JSON");
    if members(&read) == members(&value) {
        assert_eq!(read.to_canonical(), written);
    }
    assert!(delta.number < 1 << 53 && delta.chain.iter().all(|link| link.hive_block < 1 << 53));
    assert!(!delta.ops.contains(&DeltaOp::Text(b"W".to_vec())), "a marker is not a text");
});

/// How many members the document's objects have.
fn members(value: &Json) -> usize {
    match value {
        Json::Array(items) => items.iter().map(members).sum(),
        Json::Object(own) => own.len() + own.iter().map(|(_, member)| members(member)).sum::<usize>(),
        _ => 0,
    }
}
