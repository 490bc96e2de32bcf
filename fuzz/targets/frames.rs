//! Frames of a feed: the parser in both its forms, over sequences of frames.
//!
//! Input: frames, each but the last ended by the byte FF, which no UTF-8 has.
//!
//! Holds: a frame means the same whatever came before it; it agrees with what the plain JSON parser reads; every op's
//! text is canonical, and is itself a frame with that text; what is bounded stays within its bound.
//!
//! Planted once: the data of the op before left in its buffer.
#![no_main]

use honeygraph_protocols::honeycomb::{
    Frame, Framing, HashText, INVALID_FORMAT, Item, MAX_FRAME_ITEMS, MAX_NAME_BYTES, Malformed, Ops, Parser, What,
};
use honeygraph_protocols::json::{self, Json, JsonError, Text};
use honeygraph_protocols::op::{self, Op};
use honeygraph_protocols::path::Segment;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (mut strict, mut lenient) = (Parser::new(false), Parser::new(true));
    for frame in data.split(|&byte| byte == 0xFF) {
        let read = strict.parse(frame);
        assert_eq!(read, Parser::new(false).parse(frame), "the frames before it change nothing");
        agrees_with_json(frame, &read);
        lenient_only_adds(&read, &lenient.parse(frame));
        match &read {
            Ok(Frame::Ops(ops)) => texts_hold(ops),
            Ok(other) => names_are_bounded(other),
            Err(_) => {}
        }
    }
});

/// The frame as the parser of values reads it.
fn agrees_with_json(frame: &[u8], read: &Result<Frame, Malformed>) {
    match json::parse(frame) {
        Ok(Json::Object(members)) => {
            assert_ne!(*read, Err(INVALID_FORMAT));
            if let Ok(Frame::Ops(ops)) = read {
                items_agree(ops, &Json::Object(members));
            }
        }
        Ok(Json::Array(_)) => assert_eq!(*read, Ok(Frame::Unknown)),
        Ok(Json::Text(text)) if text.as_bytes() == b"W" => match read {
            Ok(Frame::Ops(ops)) => assert!(ops.items.len() == 1 && ops.items[0].what == What::Marker),
            other => panic!("{other:?}"),
        },
        Ok(_) => assert_eq!(*read, Err(INVALID_FORMAT)),
        Err(JsonError::Syntax { .. }) => assert!(read.is_err(), "no JSON, but a frame"),
        // A frame may hold what a value may not: it is skipped, or refuses its op.
        Err(_) => {}
    }
}

fn items_agree(ops: &Ops, message: &Json) {
    if ops.framing == Framing::Single {
        assert_eq!(ops.items.len(), 1);
        return item_agrees(&ops.items[0], &ops.texts, message);
    }
    let Some(Json::Array(elements)) = message.get("operations") else { panic!("a batch without operations") };
    assert_eq!(elements.len(), ops.items.len());
    for (item, element) in ops.items.iter().zip(elements) {
        match element {
            Json::Object(_) => item_agrees(item, &ops.texts, element),
            Json::Text(text) if text.as_bytes() == b"W" => assert_eq!(item.what, What::Marker),
            _ => assert!(matches!(item.what, What::Refused(_))),
        }
    }
}

fn item_agrees(item: &Item, texts: &[u8], message: &Json) {
    let index = count(message.get("index"));
    assert_eq!(item.index, index);
    let What::Op { text, pending_hash } = &item.what else { return };
    assert_eq!(item.block, count(message.get("blockNum")).filter(|&block| block != 0));
    assert_eq!(item.fork, hash(message.get("forkHash")));
    assert_eq!(item.prev, hash(message.get("prevCheckpointHash")));
    let only = op::texts(&texts[text.clone()]).next().expect("a text").expect("a whole one");
    let op = Op::parse_text(only).expect("own text is canonical");
    assert_eq!(op.path(), path(message.get("path")));
    let (Op::Put { data, .. } | Op::Del { data, .. }) = &op;
    assert_eq!(data.as_ref(), message.get("data"));
    let is_pending = matches!(op, Op::Put { .. }) && op.path() == ["stats".into(), "pendingHash".into()];
    let expected = match data {
        Some(Json::Text(text)) if is_pending => text.as_str().and_then(HashText::new),
        _ => None,
    };
    assert_eq!(*pending_hash, expected);
}

fn count(value: Option<&Json>) -> Option<u64> {
    match value {
        Some(Json::Int(int)) => u64::try_from(*int).ok(),
        _ => None,
    }
}

fn hash(value: Option<&Json>) -> Option<HashText> {
    match value {
        Some(Json::Text(text)) => text.as_str().and_then(HashText::new),
        _ => None,
    }
}

/// The path of an op that was taken, from either of its forms.
fn path(value: Option<&Json>) -> Vec<Segment> {
    match value {
        Some(Json::Array(items)) => {
            items.iter().map(|item| Segment::from_json(item.clone()).expect("a segment")).collect()
        }
        Some(Json::Text(text)) => {
            let parts = text.as_bytes().split(|&byte| byte == b'/').filter(|part| !part.is_empty());
            parts.map(|part| Segment::Text(Text::from_wtf8(part).expect("a part of WTF-8"))).collect()
        }
        other => panic!("no path of an op: {other:?}"),
    }
}

/// The texts of a frame's ops lie end to end, and each says the same again when it comes as a frame of its own.
fn texts_hold(ops: &Ops) {
    assert!(ops.items.len() <= MAX_FRAME_ITEMS);
    let mut end = 0;
    for item in &ops.items {
        let What::Op { text, .. } = &item.what else { continue };
        assert_eq!(text.start, end);
        end = text.end;
        let held = &ops.texts[text.clone()];
        assert!(held.len() - op::PREFIX <= op::MAX_TEXT_BYTES);
        let Ok(Frame::Ops(again)) = Parser::new(false).parse(&held[op::PREFIX..]) else {
            panic!("no frame of its own")
        };
        assert_eq!(again.texts, held);
    }
    assert_eq!(end, ops.texts.len());
}

/// The lenient form takes ops without type that have a path, and changes nothing else.
fn lenient_only_adds(strict: &Result<Frame, Malformed>, lenient: &Result<Frame, Malformed>) {
    let what = |ops: &Ops, item: &Item| match &item.what {
        What::Op { text, pending_hash } => Ok((ops.texts[text.clone()].to_vec(), pending_hash.clone())),
        What::Marker => Err("marker"),
        What::Refused(reason) => Err(*reason),
    };
    match (strict, lenient) {
        (Ok(Frame::Unknown), Ok(Frame::Ops(ops))) => assert_eq!(ops.framing, Framing::Single),
        (Ok(Frame::Ops(one)), Ok(Frame::Ops(other))) => {
            assert_eq!((&one.framing, one.items.len()), (&other.framing, other.items.len()));
            for (a, b) in one.items.iter().zip(&other.items) {
                if a.what != What::Refused("Operation without type") {
                    assert_eq!((a.index, a.block, &a.fork, &a.prev), (b.index, b.block, &b.fork, &b.prev));
                    assert_eq!(what(one, a), what(other, b));
                }
            }
        }
        _ => assert_eq!(strict, lenient),
    }
}

fn names_are_bounded(frame: &Frame) {
    let names = match frame {
        Frame::Identify { source, version, token, prefix } => vec![source, version, token, prefix],
        Frame::SyncStatus { token, .. } | Frame::Subscribe { token, .. } => vec![token],
        _ => vec![],
    };
    // What is no UTF-8 of ours is replaced by U+FFFD, which is as long as the surrogate it stands for.
    for name in names.into_iter().flatten() {
        assert!(!name.is_empty() && name.len() <= MAX_NAME_BYTES * 3);
    }
}
