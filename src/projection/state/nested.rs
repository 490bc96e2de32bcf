//! Leaves below a path as one JSON value, as honeycomb's API shows them.
//!
//! A tree can say less than the map of leaves: where a leaf has leaves below it the children win, and where `5` and
//! `"5"` stand side by side they become one key, in which text comes last and wins. What is hidden so is counted;
//! `?form=leaves` shows it.
//!
//! *Always holds:* the text is canonical JSON; the same leaves give the same text.

use super::StateError;
use super::kv::Snapshot;
use super::view::{Limit, View};
use honeygraph_protocols::json::{Text, cmp_utf16};
use honeygraph_protocols::path::{Segment, decode_segment};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What is below a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nested {
    /// Nothing.
    Nothing,
    /// A leaf, or an object.
    Data {
        /// Canonical JSON.
        text: Vec<u8>,
        /// Leaves in it.
        leaves: usize,
        /// Leaves that the tree cannot show.
        hidden: usize,
    },
    /// More than the limit.
    TooLarge,
}

#[derive(Default)]
struct Tree {
    leaf: Option<Vec<u8>>,
    below: BTreeMap<Name, Tree>,
}

/// A key, in the order in which canonical JSON prints it.
#[derive(PartialEq, Eq)]
struct Name(Text);

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        cmp_utf16(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S: Snapshot> View<S> {
    /// What is at and below an encoded path as one JSON value of at most `limit`.
    pub fn nested(&self, prefix: &[u8], limit: Limit) -> Result<Nested, StateError> {
        let (mut tree, mut leaves, mut hidden, mut bytes) = (Tree::default(), 0, 0, 0);
        for leaf in self.scan(prefix, None) {
            let (path, text) = leaf?;
            leaves += 1;
            bytes += path.len() - prefix.len() + text.len();
            if leaves > limit.leaves || bytes > limit.bytes {
                return Ok(Nested::TooLarge);
            }
            let mut at = &mut tree;
            let mut rest = &path[prefix.len()..];
            while !rest.is_empty() {
                let (segment, taken) = decode_segment(rest).ok_or_else(|| StateError::damaged("path", &path))?;
                at = at.below.entry(name(segment)).or_default();
                rest = &rest[taken..];
            }
            hidden += usize::from(at.leaf.replace(text.to_vec()).is_some());
        }
        if leaves == 0 {
            return Ok(Nested::Nothing);
        }
        let mut text = Vec::with_capacity(bytes);
        hidden += tree.write(&mut text);
        Ok(Nested::Data { text, leaves, hidden })
    }
}

impl Tree {
    /// Writes canonical JSON; answers how many leaves it could not show.
    fn write(&self, out: &mut Vec<u8>) -> usize {
        match &self.leaf {
            Some(leaf) if self.below.is_empty() => {
                out.extend_from_slice(leaf);
                0
            }
            leaf => {
                let mut hidden = usize::from(leaf.is_some());
                for (i, (name, below)) in self.below.iter().enumerate() {
                    out.push(if i == 0 { b'{' } else { b',' });
                    Segment::Text(name.0.clone()).write_canonical(out);
                    out.push(b':');
                    hidden += below.write(out);
                }
                out.push(b'}');
                hidden
            }
        }
    }
}

/// The key that a segment is in a JSON object.
fn name(segment: Segment) -> Name {
    match segment {
        Segment::Text(text) => Name(text),
        number => {
            let mut name = Vec::new();
            number.write_canonical(&mut name);
            Name(String::from_utf8_lossy(&name).as_ref().into())
        }
    }
}
