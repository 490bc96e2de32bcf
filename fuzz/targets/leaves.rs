//! Root documents, written: from encoded paths and scalars in the order of the store.
//!
//! Input: a JSON list of `[path, scalar]`.
//!
//! Holds: the document is that of honeycomb's tree builder as described (`document/root.rs`), written down here in the
//! plainest way: leaf by leaf into nested maps. Where that one throws there is no document, and nowhere else.
//!
//! Planted once: an empty text no longer falsy.
#![no_main]

use honeygraph_protocols::document::root_bytes;
use honeygraph_protocols::json::{self, Json, Text};
use honeygraph_protocols::path::{self, MAX_LEAF_SEGMENTS, Segment};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

/// What `{}` has before anything is put into it.
const INHERITED: [&str; 12] = [
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// By encoded path: the path and its scalar.
type Leaves = BTreeMap<Vec<u8>, Leaf>;
type Leaf = (Vec<Segment>, Json);

enum Node {
    Scalar(Json),
    Object(Vec<(Text, Node)>),
}

fuzz_target!(|text: &[u8]| {
    let Ok(Json::Array(items)) = json::parse(text) else { return };
    let Some(leaves) = items.into_iter().map(leaf).collect::<Option<Leaves>>() else { return };
    let written = root_bytes(7, leaves.iter().map(|(at, (_, scalar))| (at, scalar.to_canonical())));
    match built(&leaves) {
        Some(state) => {
            let expected = [b"[7,", &printed(state)[..], b"]"].concat();
            assert_eq!(written.as_deref(), Ok(&expected[..]));
        }
        None => assert!(written.is_err(), "a document where there is none"),
    }
});

fn leaf(item: Json) -> Option<(Vec<u8>, Leaf)> {
    let Json::Array(pair) = item else { return None };
    let [Json::Array(segments), scalar] = <[Json; 2]>::try_from(pair).ok()? else { return None };
    let path: Vec<Segment> = segments.into_iter().map(Segment::from_json).collect::<Option<_>>()?;
    let is_leaf = path.len() <= MAX_LEAF_SEGMENTS && !matches!(scalar, Json::Array(_) | Json::Object(_));
    is_leaf.then(|| (path::encode(&path), (path, scalar)))
}

/// As honeycomb does it; none where it throws, or finds what it did not put there.
fn built(leaves: &Leaves) -> Option<Node> {
    let mut root = Node::Object(Vec::new());
    for (path, scalar) in leaves.values() {
        let keys: Vec<Text> = path.iter().map(key).collect();
        if keys.is_empty() || keys.iter().any(|key| key.as_str().is_some_and(|key| INHERITED.contains(&key))) {
            return None;
        }
        let mut node = &mut root;
        for key in keys {
            if is_falsy(node) {
                *node = Node::Object(Vec::new());
            }
            let Node::Object(members) = node else { return None };
            let place = members.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
                members.push((key, Node::Scalar(Json::Null)));
                members.len() - 1
            });
            node = &mut members[place].1;
        }
        if is_falsy(node) {
            *node = Node::Scalar(scalar.clone());
        }
    }
    Some(root)
}

fn is_falsy(node: &Node) -> bool {
    match node {
        Node::Scalar(Json::Null | Json::Bool(false) | Json::Int(0)) => true,
        Node::Scalar(Json::Text(text)) => text.as_bytes().is_empty(),
        _ => false,
    }
}

fn key(segment: &Segment) -> Text {
    match segment {
        Segment::Text(text) => text.clone(),
        Segment::Number(number) => {
            let mut text = Vec::new();
            number.write(&mut text);
            Text::from_wtf8(&text).expect("digits")
        }
    }
}

fn printed(node: Node) -> Vec<u8> {
    fn value(node: Node) -> Json {
        match node {
            Node::Scalar(scalar) => scalar,
            Node::Object(members) => Json::object(members.into_iter().map(|(key, node)| (key, value(node))).collect()),
        }
    }
    value(node).to_canonical()
}
