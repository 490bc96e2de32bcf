//! The canonical text of an op, and what it does to leaves.
//!
//! Holds: an op that is read prints to the text it was read from; the reader of effects, which builds no value, says
//! what the op itself says; paths of ops and of leaves stay within their limits; a feed that sends the text gets it.
//!
//! Planted once: the first `,"path":[` of a text taken for its path, not the last.
#![no_main]

use honeygraph_protocols::honeycomb::{Frame, Parser};
use honeygraph_protocols::json;
use honeygraph_protocols::op::{self, Effect, EffectReader, MAX_TEXT_BYTES, Op, OpError};
use honeygraph_protocols::path::{self, MAX_LEAF_SEGMENTS, MAX_PATH_BYTES, MAX_SEGMENTS};
use libfuzzer_sys::fuzz_target;

/// Encoded path, and the scalar unless it is a del.
type Effects = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fuzz_target!(|text: &[u8]| {
    let mut reader = EffectReader::default();
    let effects = read(&mut reader, text);
    assert_eq!(read(&mut reader, text), effects, "a reader that has read before reads the same");
    let Ok(op) = Op::parse_text(text) else { return };
    assert!(text.len() <= MAX_TEXT_BYTES && op.path().len() <= MAX_SEGMENTS);
    let mut printed = Vec::new();
    op.write_text(&mut printed);
    assert_eq!(printed, text);
    let own = own_effects(&op);
    leaves_hold(&own);
    assert_eq!(effects, Ok(own));
    let mut body = Vec::new();
    op::push_text(text, &mut body);
    match Parser::new(false).parse(text) {
        Ok(Frame::Ops(ops)) => assert_eq!(ops.texts, body, "a feed gets another text"),
        other => panic!("a feed is refused: {other:?}"),
    }
});

fn read(reader: &mut EffectReader, text: &[u8]) -> Result<Effects, OpError> {
    let mut effects = Vec::new();
    reader.read(text, |effect| match effect {
        Effect::Put(path, scalar) => effects.push((path.to_vec(), Some(scalar.to_vec()))),
        Effect::Del(path) => effects.push((path.to_vec(), None)),
    })?;
    Ok(effects)
}

/// The effects by way of the op.
fn own_effects(op: &Op) -> Effects {
    let mut effects = Vec::new();
    match op {
        Op::Put { .. } => op.leaves(|path, scalar| effects.push((path.to_vec(), Some(scalar.to_vec())))),
        Op::Del { path, .. } => effects.push((path::encode(path), None)),
    }
    effects
}

fn leaves_hold(effects: &Effects) {
    for (at, scalar) in effects {
        assert!(at.len() <= MAX_PATH_BYTES, "a key that the store may not take");
        let segments = path::decode(at).expect("a path of ours");
        assert!(segments.len() <= MAX_LEAF_SEGMENTS);
        if let Some(scalar) = scalar {
            let value = json::parse(scalar).expect("a scalar is JSON");
            assert_eq!(value.to_canonical(), *scalar);
        }
    }
}
