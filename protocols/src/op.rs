//! One write of honeycomb: put or del, and its canonical text.
//!
//! The text is `{"data":…,"path":[…],"type":"put"}` with its keys in this order and `data` only if it was given: the
//! string that honeycomb hashes into its checkpoints. Bodies are such texts, each behind its length (u32, little endian).
//!
//! *Always holds:* an op has exactly one text; [`Op::parse_text`] takes that text and no other.

mod effects;

pub use effects::{Effect, EffectReader};

use crate::json::{self, Json, JsonError, MAX_DEPTH};
use crate::path::{self, MAX_PATH_BYTES, MAX_SEGMENTS, Segment};

/// Longest canonical text, in bytes. The largest real writes (whole tables at the daily accounting) stay below 1 MiB.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// Bytes of the length in front of each text in a body.
pub const PREFIX: usize = 4;

/// One write. `data` is none when the message had no such member: a put without data writes nothing, and a del has
/// data only when the client sends some (it means nothing, but the text keeps it).
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Writes every leaf of `data` below `path`; leaves that it does not name stay.
    Put {
        /// Where.
        path: Vec<Segment>,
        /// What.
        data: Option<Json>,
    },
    /// Removes the leaf at `path` and everything below.
    Del {
        /// Where.
        path: Vec<Segment>,
        /// Ignored.
        data: Option<Json>,
    },
}

/// Why bytes are not the canonical text of an op, or not a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// Not JSON.
    #[error("op text: {0}")]
    Json(#[from] JsonError),
    /// JSON, but not an op.
    #[error("op text: not an op")]
    Shape,
    /// An op beyond the limits of this module or of [`path`].
    #[error("op text: beyond the limits")]
    Limits,
    /// An op, but not printed canonically.
    #[error("op text: not canonical")]
    NotCanonical,
    /// A body whose lengths do not add up.
    #[error("body damaged at byte {0}")]
    Body(usize),
}

impl Op {
    /// The op of a canonical text.
    pub fn parse_text(text: &[u8]) -> Result<Self, OpError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(OpError::Limits);
        }
        let op = Self::from_json(json::parse(text)?)?;
        let mut printed = Vec::with_capacity(text.len());
        op.write_text(&mut printed);
        if printed == text { Ok(op) } else { Err(OpError::NotCanonical) }
    }

    fn from_json(value: Json) -> Result<Self, OpError> {
        let Json::Object(members) = value else { return Err(OpError::Shape) };
        let (mut data, mut path, mut kind) = (None, None, None);
        for (key, value) in members {
            match key.as_bytes() {
                b"data" => data = Some(value),
                b"path" => path = Some(value),
                b"type" => kind = Some(value),
                _ => return Err(OpError::Shape),
            }
        }
        let (Some(Json::Array(path)), Some(Json::Text(kind))) = (path, kind) else { return Err(OpError::Shape) };
        let path = path.into_iter().map(Segment::from_json).collect::<Option<Vec<_>>>().ok_or(OpError::Shape)?;
        let below = data.as_ref().map_or(0, longest_keys);
        if path.len() > MAX_SEGMENTS || path::encode(&path).len() + below > MAX_PATH_BYTES {
            return Err(OpError::Limits);
        }
        match kind.as_bytes() {
            b"put" => Ok(Self::Put { path, data }),
            b"del" if !path.is_empty() => Ok(Self::Del { path, data }),
            _ => Err(OpError::Shape),
        }
    }

    /// Where it writes.
    pub fn path(&self) -> &[Segment] {
        let (Self::Put { path, .. } | Self::Del { path, .. }) = self;
        path
    }

    /// Appends the canonical text.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        let (path, data, kind) = match self {
            Self::Put { path, data } => (path, data, "put"),
            Self::Del { path, data } => (path, data, "del"),
        };
        out.push(b'{');
        if let Some(data) = data {
            out.extend(b"\"data\":");
            data.write_canonical(out);
            out.push(b',');
        }
        out.extend(b"\"path\":");
        path::write_canonical(path, out);
        out.extend(b",\"type\":\"");
        out.extend(kind.as_bytes());
        out.extend(b"\"}");
    }

    /// The leaves that a put writes, in the order of its text: encoded path and canonical text of the scalar. Array
    /// elements are keyed `"0"`, `"1"`, …; `{}` and `[]` write nothing, nor does a del.
    pub fn leaves(&self, mut each: impl FnMut(&[u8], &[u8])) {
        let Self::Put { path, data: Some(data) } = self else { return };
        let mut at = path::encode(path);
        leaves_below(data, &mut at, &mut Vec::new(), &mut each);
    }
}

/// Recursion is bounded by [`MAX_DEPTH`].
fn leaves_below(value: &Json, at: &mut Vec<u8>, scratch: &mut Vec<u8>, each: &mut impl FnMut(&[u8], &[u8])) {
    let here = at.len();
    match value {
        Json::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                path::encode_text(i.to_string().as_bytes(), at);
                leaves_below(item, at, scratch, each);
                at.truncate(here);
            }
        }
        Json::Object(members) => {
            for (key, member) in members {
                path::encode_text(key.as_bytes(), at);
                leaves_below(member, at, scratch, each);
                at.truncate(here);
            }
        }
        scalar => {
            scratch.clear();
            scalar.write_canonical(scratch);
            each(at, scratch);
        }
    }
}

/// Longest chain of keys in a value, in bytes of their canonical texts (which no encoding exceeds).
fn longest_keys(value: &Json) -> usize {
    let mut key_text = Vec::new();
    match value {
        Json::Array(items) => {
            items.iter().enumerate().map(|(i, item)| i.to_string().len() + 2 + longest_keys(item)).max().unwrap_or(0)
        }
        Json::Object(members) => {
            let chain = |(key, member): &(json::Text, Json)| {
                key_text.clear();
                json::write_text(key.as_bytes(), &mut key_text);
                key_text.len() + longest_keys(member)
            };
            members.iter().map(chain).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Deepest nesting of an op's data: its text adds one level.
pub(crate) const MAX_DATA_DEPTH: usize = MAX_DEPTH - 1;

/// Appends a text behind its length.
pub fn push_text(text: &[u8], body: &mut Vec<u8>) {
    let len = u32::try_from(text.len()).expect("an op text is at most MAX_TEXT_BYTES");
    body.extend(len.to_le_bytes());
    body.extend_from_slice(text);
}

/// The texts of a length-prefixed body, in order. After an error nothing follows.
pub fn texts(body: &[u8]) -> Texts<'_> {
    Texts { body, at: 0 }
}

/// Iterator of [`texts`].
#[derive(Clone, Debug)]
pub struct Texts<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Texts<'a> {
    type Item = Result<&'a [u8], OpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.body.get(self.at..).filter(|rest| !rest.is_empty())?;
        let text = rest.split_first_chunk::<PREFIX>().and_then(|(len, rest)| {
            let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
            rest.get(..len)
        });
        let item = text.ok_or(OpError::Body(self.at));
        self.at = text.map_or(self.body.len(), |text| self.at + PREFIX + text.len());
        Some(item)
    }
}
