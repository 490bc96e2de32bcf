//! Encoded paths.
//!
//! Holds: what decodes encodes to the same bytes, so a path has one encoding; segments order as their encodings do;
//! every path above is a byte prefix; the canonical JSON of a path, by either way, names the same segments.
//!
//! Planted once: -0 taken for a number of ours.
#![no_main]

use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::path::{self, MAX_LEAF_SEGMENTS, Segment};
use libfuzzer_sys::fuzz_target;
use std::cmp::Ordering;
use std::slice;

fuzz_target!(|bytes: &[u8]| {
    first_segment_holds(bytes);
    let Ok(path) = path::decode(bytes) else { return };
    assert!(path.len() <= MAX_LEAF_SEGMENTS);
    assert_eq!(path::encode(&path), bytes);
    assert!(path::decode_segment(bytes).is_some() || path.is_empty());
    let mut at = 0;
    for (place, segment) in path.iter().enumerate() {
        let above = path::encode(&path[..place]);
        assert_eq!(above, bytes[..at], "a path above is a prefix");
        assert_eq!(path::decode(&bytes[..at]).as_deref(), Ok(&path[..place]));
        at += first_segment_holds(&bytes[at..]).expect("a segment of a path");
        if let Some(next) = path.get(place + 1) {
            let (one, other) = (path::encode(slice::from_ref(segment)), path::encode(slice::from_ref(next)));
            assert_eq!(one.cmp(&other), order(segment, next));
        }
    }
    let mut text = Vec::new();
    path::write_canonical(&path, &mut text);
    let named = Json::Array(path.iter().map(Segment::to_json).collect());
    assert_eq!(json::parse(&text), Ok(named));
});

/// The length of the first segment's encoding. That of text may also be written as JSON where it is no WTF-8: the
/// shorter way does not look.
fn first_segment_holds(bytes: &[u8]) -> Option<usize> {
    let mut written = Vec::new();
    let len = path::write_segment(bytes, &mut written);
    let (segment, taken) = path::decode_segment(bytes)?;
    assert_eq!(len, Some(taken));
    let mut canonical = Vec::new();
    segment.write_canonical(&mut canonical);
    assert_eq!(written, canonical);
    assert_eq!(Segment::from_json(json::parse(&written).expect("JSON")), Some(segment));
    Some(taken)
}

fn order(a: &Segment, b: &Segment) -> Ordering {
    match (a, b) {
        (Segment::Number(x), Segment::Number(y)) => x.to_f64().total_cmp(&y.to_f64()),
        (Segment::Number(_), Segment::Text(_)) => Ordering::Less,
        (Segment::Text(_), Segment::Number(_)) => Ordering::Greater,
        (Segment::Text(x), Segment::Text(y)) => x.as_bytes().cmp(y.as_bytes()),
    }
}
