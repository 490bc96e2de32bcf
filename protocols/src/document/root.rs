//! Root documents: the whole state as nested objects, written from the ordered map of leaves.
//!
//! Honeycomb builds its tree leaf by leaf in key order: a segment that holds nothing or a falsy scalar is replaced,
//! one that holds a truthy scalar stays, and going below a truthy scalar throws. Number segments and text segments that
//! print alike are one member. We write what that gives without building it, except where the order of keys in the
//! store is not that of the text (numbers; characters from U+D000 on): there a part of the tree is built.
//!
//! *Always holds:* leaves come in the byte order of their encoded paths; what is written is what honeycomb would hash,
//! or [`Unverifiable`].

use super::delta::DocumentError;
use crate::json::{cmp_utf16, write_text};
use crate::path::{self, PathError, Segment};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Why no root document can be written that honeycomb would also have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverifiable {
    /// Honeycomb's reader throws here.
    #[error("leaves below a leaf that is not falsy: {0}")]
    BelowLeaf(String),
    /// The whole state is one leaf.
    #[error("a leaf at the root")]
    RootLeaf,
    /// The key names something that every JavaScript object has.
    #[error("key of Object.prototype: {0}")]
    Prototype(String),
    /// The map is damaged.
    #[error("{0}")]
    Path(#[from] PathError),
    /// The map is not in order.
    #[error("leaves out of order at {0}")]
    Order(String),
}

/// A root document, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root<'a> {
    /// Its first element: the checkpoint's block plus one.
    pub number: u64,
    /// The text of its second, an object.
    pub state: &'a [u8],
}

impl<'a> Root<'a> {
    /// Cuts a document `[n,{state}]` as honeycomb writes it, without blanks. Whether the state is well formed is for who
    /// reads its leaves ([`crate::op::EffectReader::state`]).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DocumentError> {
        let wrong = || DocumentError::Shape("not a root: [number,{state}] expected");
        let inner = bytes.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).ok_or_else(wrong)?;
        let comma = inner.iter().position(|byte| *byte == b',').ok_or_else(wrong)?;
        let (number, state) = (&inner[..comma], &inner[comma + 1..]);
        let number = std::str::from_utf8(number).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        if state.first() != Some(&b'{') {
            return Err(wrong());
        }
        Ok(Self { number, state })
    }
}

/// What `{}` inherits: honeycomb's builder finds these where it expects nothing.
const PROTOTYPE: [&[u8]; 12] = [
    b"__defineGetter__",
    b"__defineSetter__",
    b"__lookupGetter__",
    b"__lookupSetter__",
    b"__proto__",
    b"constructor",
    b"hasOwnProperty",
    b"isPrototypeOf",
    b"propertyIsEnumerable",
    b"toLocaleString",
    b"toString",
    b"valueOf",
];

/// The bytes of a root document from leaves (encoded path, canonical text of the scalar) in order. `number` is the
/// checkpoint's block plus one.
pub fn root_bytes<P: AsRef<[u8]>, S: AsRef<[u8]>>(
    number: u64,
    leaves: impl IntoIterator<Item = (P, S)>,
) -> Result<Vec<u8>, Unverifiable> {
    let mut bytes = Vec::new();
    let mut writer = RootWriter::new(number, |piece: &[u8]| bytes.extend_from_slice(piece));
    for (path, scalar) in leaves {
        writer.leaf(path.as_ref(), scalar.as_ref())?;
    }
    writer.finish()?;
    Ok(bytes)
}

/// Writes a root document in pieces.
pub struct RootWriter<Sink: FnMut(&[u8])> {
    sink: Sink,
    /// The objects that are open in the output, the root first.
    open: Vec<Open>,
    /// The last leaf: a falsy one is dropped if leaves below it follow.
    held: Option<Leaf>,
    /// Encoded path of the last leaf.
    last: Vec<u8>,
    piece: Vec<u8>,
}

/// An object that is being written.
struct Open {
    /// Its own key (none for the root).
    key: Option<Segment>,
    /// Whether it has no member yet.
    empty: bool,
    /// Members that cannot be written before all are known.
    rest: Members,
}

struct Leaf {
    path: Vec<Segment>,
    scalar: Vec<u8>,
}

impl<Sink: FnMut(&[u8])> RootWriter<Sink> {
    /// Begins a document.
    pub fn new(number: u64, mut sink: Sink) -> Self {
        sink(format!("[{number},{{").as_bytes());
        let root = Open { key: None, empty: true, rest: Members::new() };
        Self { sink, open: vec![root], held: None, last: Vec::new(), piece: Vec::new() }
    }

    /// The next leaf: its encoded path and its scalar's canonical text.
    pub fn leaf(&mut self, encoded: &[u8], scalar: &[u8]) -> Result<(), Unverifiable> {
        let path = path::decode(encoded)?;
        if path.is_empty() {
            return Err(Unverifiable::RootLeaf);
        }
        if !self.last.is_empty() && self.last.as_slice() >= encoded {
            return Err(Unverifiable::Order(path::display(&path)));
        }
        self.last.clear();
        self.last.extend_from_slice(encoded);
        if let Some(key) = path.iter().map(key_bytes).find(|key| PROTOTYPE.contains(&key.as_slice())) {
            return Err(Unverifiable::Prototype(String::from_utf8_lossy(&key).into_owned()));
        }
        if let Some(held) = self.held.take() {
            let above = path.starts_with(&held.path);
            let stands_above = (above && !is_falsy(&held.scalar)).then(|| path::display(&held.path));
            if !above || stands_above.is_some() {
                let written = self.place(held)?;
                // In a built part something may have stood there before, and stays: what is put below it finds out.
                if written && let Some(at) = stands_above {
                    return Err(Unverifiable::BelowLeaf(at));
                }
            }
        }
        self.held = Some(Leaf { path, scalar: scalar.to_vec() });
        Ok(())
    }

    /// Ends the document.
    pub fn finish(mut self) -> Result<(), Unverifiable> {
        if let Some(held) = self.held.take() {
            self.place(held)?;
        }
        self.close_to(0);
        (self.sink)(b"]");
        Ok(())
    }

    /// Writes a leaf (true), or puts it into a built part where the order of keys asks for it.
    fn place(&mut self, leaf: Leaf) -> Result<bool, Unverifiable> {
        let shared = self.open[1..].iter().zip(&leaf.path).take_while(|(open, seg)| open.key.as_ref() == Some(seg));
        let shared = shared.count();
        self.close_to(shared + 1);
        for (depth, segment) in leaf.path.iter().enumerate().skip(shared) {
            let Some(open) = self.open.last_mut() else { break };
            if !open.rest.is_empty() || !is_plain(segment) {
                return insert(&mut open.rest, &leaf.path, depth, leaf.scalar).map(|()| false);
            }
            self.piece.clear();
            if !std::mem::take(&mut open.empty) {
                self.piece.push(b',');
            }
            segment_key(segment, &mut self.piece);
            if depth + 1 == leaf.path.len() {
                self.piece.extend_from_slice(&leaf.scalar);
            } else {
                self.piece.push(b'{');
                self.open.push(Open { key: Some(segment.clone()), empty: true, rest: Members::new() });
            }
            (self.sink)(&self.piece);
        }
        Ok(true)
    }

    /// Closes open objects until `left` are open.
    fn close_to(&mut self, left: usize) {
        while self.open.len() > left {
            let Some(open) = self.open.pop() else { return };
            self.piece.clear();
            write_members(&open.rest, open.empty, &mut self.piece);
            self.piece.push(b'}');
            (self.sink)(&self.piece);
        }
    }
}

/// Whether the store's order of this key among its neighbours is also that of the text: text below U+D000.
fn is_plain(segment: &Segment) -> bool {
    matches!(segment, Segment::Text(text) if text.as_bytes().iter().all(|&b| b < 0xED))
}

fn is_falsy(scalar: &[u8]) -> bool {
    matches!(scalar, b"null" | b"false" | b"0" | b"\"\"")
}

/// The member name of a segment, as WTF-8.
fn key_bytes(segment: &Segment) -> Vec<u8> {
    match segment {
        Segment::Text(text) => text.as_bytes().to_vec(),
        Segment::Number(number) => {
            let mut text = Vec::new();
            number.write(&mut text);
            text
        }
    }
}

fn segment_key(segment: &Segment, out: &mut Vec<u8>) {
    write_text(&key_bytes(segment), out);
    out.push(b':');
}

/// A part of the tree that had to be built.
type Members = BTreeMap<Key, Node>;

enum Node {
    Scalar(Vec<u8>),
    Object(Members),
}

/// A member name, ordered by UTF-16 code unit.
#[derive(PartialEq, Eq)]
struct Key(Vec<u8>);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_utf16(&self.0, &other.0)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Puts a leaf into a built part, whose own path is the first `depth` segments, as honeycomb's builder does.
fn insert(members: &mut Members, path: &[Segment], depth: usize, scalar: Vec<u8>) -> Result<(), Unverifiable> {
    let mut members = members;
    let (last, above) = path.split_last().ok_or(Unverifiable::RootLeaf)?;
    for (i, segment) in above.iter().enumerate().skip(depth) {
        let node = members.entry(Key(key_bytes(segment))).or_insert_with(|| Node::Object(Members::new()));
        if matches!(node, Node::Scalar(scalar) if is_falsy(scalar)) {
            *node = Node::Object(Members::new());
        }
        let Node::Object(below) = node else {
            return Err(Unverifiable::BelowLeaf(path::display(&path[..=i])));
        };
        members = below;
    }
    let node = members.entry(Key(key_bytes(last))).or_insert_with(|| Node::Scalar(b"null".to_vec()));
    if matches!(node, Node::Scalar(scalar) if is_falsy(scalar)) {
        *node = Node::Scalar(scalar);
    }
    Ok(())
}

/// Recursion is bounded by [`path::MAX_LEAF_SEGMENTS`].
fn write_members(members: &Members, mut first: bool, out: &mut Vec<u8>) {
    for (key, node) in members {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_text(&key.0, out);
        out.push(b':');
        match node {
            Node::Scalar(scalar) => out.extend_from_slice(scalar),
            Node::Object(below) => {
                out.push(b'{');
                write_members(below, true, out);
                out.push(b'}');
            }
        }
    }
}
