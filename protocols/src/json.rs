//! JSON as honeycomb's JavaScript reads and prints it.
//!
//! Owns the value type, the parser and the canonical printer (`json-stable-stringify` in honeycomb). Strings are
//! WTF-8, so that lone surrogates survive; numbers are those of ECMAScript; objects are ordered by UTF-16 code unit.
//!
//! *Always holds:* parsing never recurses and never panics; a value prints to exactly one text, and that text parses
//! back to an equal value.

mod canonical;
mod number;
mod parse;
mod print;
mod scan;

pub(crate) use canonical::{Canonicalizer, Limits};
pub use number::Number;
pub use parse::parse;
pub(crate) use print::write_text;
pub(crate) use scan::{RawText, Scan};

use std::cmp::Ordering;

/// Deepest nesting of arrays and objects that is taken. Real ops have four or five; the bound keeps everything that
/// walks a value (drop included) within a small stack.
pub const MAX_DEPTH: usize = 128;

/// Why a text is not taken as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or not UTF-8.
    #[error("not JSON: {what} at byte {at}")]
    Syntax {
        /// Byte offset.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// Nested deeper than allowed.
    #[error("nesting too deep at byte {at}")]
    Depth {
        /// Byte offset.
        at: usize,
    },
    /// A number beyond the range of a double.
    #[error("number out of range at byte {at}")]
    Overflow {
        /// Byte offset.
        at: usize,
    },
    /// Longer than the caller allows, in bytes of canonical text.
    #[error("value too large at byte {at}")]
    TooLarge {
        /// Byte offset.
        at: usize,
    },
    /// A key chain longer than a path may be.
    #[error("path too long at byte {at}")]
    LongPath {
        /// Byte offset.
        at: usize,
    },
}

/// A JSON string in WTF-8: like UTF-8, but lone surrogates survive (`docs/honeycomb.md`, canonical text).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(pub(crate) Box<[u8]>);

impl Text {
    /// The WTF-8 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, unless it holds a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text for people: lone surrogates become U+FFFD.
    pub fn to_string_lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// Takes bytes that are well-formed WTF-8: UTF-8 in which surrogates may occur alone but never as a pair.
    pub fn from_wtf8(bytes: &[u8]) -> Option<Self> {
        is_wtf8(bytes).then(|| Self(bytes.into()))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A JSON value. Objects are kept in canonical key order (UTF-16 code units), last duplicate key wins.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer below 2^53 in magnitude, however it was written; `-0` is 0.
    Int(i64),
    /// Any other finite number.
    Float(f64),
    /// A string.
    Text(Text),
    /// An array.
    Array(Vec<Json>),
    /// An object, sorted.
    Object(Vec<(Text, Json)>),
}

impl Json {
    /// An object from members in any order; the last of equal keys wins.
    pub fn object(mut members: Vec<(Text, Json)>) -> Self {
        let sorted = members.windows(2).all(|w| cmp_utf16(&w[0].0.0, &w[1].0.0) == Ordering::Less);
        if !sorted {
            // Reversed first, so that the stable sort puts the last duplicate in front, which is the one dedup keeps.
            members.reverse();
            members.sort_by(|a, b| cmp_utf16(&a.0.0, &b.0.0));
            members.dedup_by(|later, kept| later.0 == kept.0);
        }
        Self::Object(members)
    }

    /// The member of an object.
    pub fn get(&self, key: &str) -> Option<&Json> {
        let Self::Object(members) = self else { return None };
        let place = members.binary_search_by(|(k, _)| cmp_utf16(&k.0, key.as_bytes()));
        place.ok().map(|at| &members[at].1)
    }

    /// Appends the canonical text.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        print::write(self, out);
    }

    /// The canonical text.
    pub fn to_canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_canonical(&mut out);
        out
    }
}

/// Order of two WTF-8 texts by UTF-16 code unit, which is how JavaScript sorts. Byte order is code-point order and
/// differs where astral characters meet U+E000 to U+FFFF or lone surrogates.
pub fn cmp_utf16(a: &[u8], b: &[u8]) -> Ordering {
    let Some(at) = a.iter().zip(b).position(|(x, y)| x != y) else {
        return a.len().cmp(&b.len());
    };
    // Below U+D000 both orders agree; so they do inside one lead byte, where continuation bytes differ.
    if a[at].max(b[at]) < 0xED { a[at].cmp(&b[at]) } else { utf16(a).cmp(utf16(b)) }
}

/// The UTF-16 code units of a WTF-8 text.
fn utf16(text: &[u8]) -> impl Iterator<Item = u16> {
    let mut at = 0;
    let mut low = None;
    std::iter::from_fn(move || {
        if let Some(unit) = low.take() {
            return Some(unit);
        }
        let lead = *text.get(at)?;
        let tail = |n: usize| u32::from(text.get(at + n).copied().unwrap_or(0x80) & 0x3F);
        let lead32 = u32::from(lead);
        let (code, len) = match lead {
            0..0x80 => (lead32, 1),
            0x80..0xE0 => ((lead32 & 0x1F) << 6 | tail(1), 2),
            0xE0..0xF0 => ((lead32 & 0x0F) << 12 | tail(1) << 6 | tail(2), 3),
            _ => ((lead32 & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4),
        };
        at += len;
        if code < 0x1_0000 {
            return Some(code as u16);
        }
        let rest = code - 0x1_0000;
        low = Some(0xDC00 | (rest & 0x3FF) as u16);
        Some(0xD800 | (rest >> 10) as u16)
    })
}

/// Whether `bytes` are well-formed WTF-8.
fn is_wtf8(mut bytes: &[u8]) -> bool {
    let mut after_high = false;
    loop {
        let Err(error) = std::str::from_utf8(bytes) else { return true };
        let valid = error.valid_up_to();
        let rest = &bytes[valid..];
        let [0xED, second @ 0xA0..=0xBF, 0x80..=0xBF, ..] = *rest else { return false };
        let low = second >= 0xB0;
        if low && after_high && valid == 0 {
            return false;
        }
        after_high = !low;
        bytes = &rest[3..];
    }
}
