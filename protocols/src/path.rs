//! Paths of the state tree and their order-preserving encoding.
//!
//! Encoded, a segment is a type byte and its value: text as WTF-8 with 00 written 01 01 and 01 written 01 02, closed by
//! 00; a number as the eight bytes of its double, big endian, with the bits turned so that bytes order as numbers do.
//! (Escaping 00 as 00 ff, as tuple encodings often do, would make `["a"]` a byte prefix of `["a\0b"]`.)
//!
//! *Always holds:* byte order is the order of paths, segment by segment, numbers before text; a path's encoding is a
//! byte prefix of that of every path below it and of no other; every path has exactly one encoding.

use crate::json::{Json, MAX_DEPTH, Number, Text, write_text};

/// Most segments of an op's path. Real ones have two to five.
pub const MAX_SEGMENTS: usize = 128;

/// Longest path from the root to a leaf, in bytes of its encoding: keys of the state store stay well below the 64 KiB
/// that it takes.
pub const MAX_PATH_BYTES: usize = 16 << 10;

/// Most segments from the root to a leaf: an op's path, and one for each level of its data.
pub const MAX_LEAF_SEGMENTS: usize = MAX_SEGMENTS + MAX_DEPTH;

/// First byte of a number segment's encoding: a path without it has none.
pub const NUMBER: u8 = 0x02;
const TEXT: u8 = 0x03;
const END: u8 = 0x00;
const ESCAPE: u8 = 0x01;
const SIGN: u64 = 1 << 63;

/// One step of a path. `5` and `"5"` are two keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    /// A text key.
    Text(Text),
    /// A number key.
    Number(Number),
}

impl From<&str> for Segment {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i32> for Segment {
    fn from(number: i32) -> Self {
        Self::Number(Number::Int(number.into()))
    }
}

impl Segment {
    /// The segment that a JSON value names: a string or a number.
    pub fn from_json(value: Json) -> Option<Self> {
        match value {
            Json::Text(text) => Some(Self::Text(text)),
            Json::Int(int) => Some(Self::Number(Number::Int(int))),
            Json::Float(float) => Some(Self::Number(Number::Float(float))),
            _ => None,
        }
    }

    /// The segment as a JSON value.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Text(text) => Json::Text(text.clone()),
            Self::Number(Number::Int(int)) => Json::Int(*int),
            Self::Number(Number::Float(float)) => Json::Float(*float),
        }
    }

    /// Appends the canonical JSON text.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => write_text(text.as_bytes(), out),
            Self::Number(number) => number.write(out),
        }
    }
}

/// Why bytes or a text are not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Not what [`encode`] writes.
    #[error("damaged path encoding at byte {0}")]
    Damaged(usize),
    /// A percent sign without two hexadecimal digits, or not WTF-8 after decoding.
    #[error("bad percent encoding in segment {0}")]
    Percent(usize),
}

/// The encoding of a path.
pub fn encode(path: &[Segment]) -> Vec<u8> {
    let mut out = Vec::new();
    for segment in path {
        encode_segment(segment, &mut out);
    }
    out
}

/// Appends the encoding of one segment.
pub fn encode_segment(segment: &Segment, out: &mut Vec<u8>) {
    match segment {
        Segment::Text(text) => encode_text(text.as_bytes(), out),
        Segment::Number(number) => encode_number(*number, out),
    }
}

/// Appends the encoding of a text segment, given as WTF-8.
pub fn encode_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(TEXT);
    if text.iter().any(|&b| b <= ESCAPE) {
        for &byte in text {
            if byte <= ESCAPE {
                out.extend([ESCAPE, byte + 1]);
            } else {
                out.push(byte);
            }
        }
    } else {
        out.extend_from_slice(text);
    }
    out.push(END);
}

/// Appends the encoding of a number segment.
pub fn encode_number(number: Number, out: &mut Vec<u8>) {
    let bits = number.to_f64().to_bits();
    let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    out.push(NUMBER);
    out.extend(ordered.to_be_bytes());
}

/// The path of an encoding; of at most [`MAX_LEAF_SEGMENTS`].
pub fn decode(bytes: &[u8]) -> Result<Vec<Segment>, PathError> {
    let mut path = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if path.len() == MAX_LEAF_SEGMENTS {
            return Err(PathError::Damaged(at));
        }
        let (segment, len) = decode_segment(&bytes[at..]).ok_or(PathError::Damaged(at))?;
        path.push(segment);
        at += len;
    }
    Ok(path)
}

/// The first segment and the length of its encoding; none when there is none or it is damaged.
pub fn decode_segment(bytes: &[u8]) -> Option<(Segment, usize)> {
    match *bytes.first()? {
        TEXT => decode_text(&bytes[1..]).map(|(text, len)| (Segment::Text(text), len + 1)),
        NUMBER => {
            let ordered = u64::from_be_bytes(*bytes.get(1..)?.first_chunk()?);
            let bits = if ordered & SIGN == 0 { !ordered } else { ordered & !SIGN };
            let number = Number::from_f64(f64::from_bits(bits))?;
            // -0 is not a number of ours.
            (number.to_f64().to_bits() == bits).then_some((Segment::Number(number), 9))
        }
        _ => None,
    }
}

/// Appends the first segment of an encoding as canonical JSON; answers the length of its encoding, none when it is damaged.
/// Whether text without escapes is WTF-8 is not looked at: what comes from the store was a path once.
pub fn write_segment(bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    if let Some((&TEXT, rest)) = bytes.split_first() {
        let len = rest.iter().position(|&b| b <= ESCAPE)?;
        if rest[len] == END {
            write_text(&rest[..len], out);
            return Some(len + 2);
        }
    }
    let (segment, len) = decode_segment(bytes)?;
    segment.write_canonical(out);
    Some(len)
}

fn decode_text(bytes: &[u8]) -> Option<(Text, usize)> {
    let mut text = Vec::new();
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            END => return Some((Text::from_wtf8(&text)?, at + 1)),
            ESCAPE => {
                at += 1;
                let escaped = bytes.get(at)?.checked_sub(1).filter(|&b| b <= ESCAPE)?;
                text.push(escaped);
            }
            plain => text.push(plain),
        }
        at += 1;
    }
}

/// The path of the string form `/a/b`: split at every slash; empty parts count for nothing.
pub fn from_string(text: &str) -> Vec<Segment> {
    text.split('/').filter(|part| !part.is_empty()).map(Segment::from).collect()
}

/// The path in a URL: percent-encoded text segments joined by slashes. One slash in front and one at the end count for
/// nothing; an empty part between two slashes is the empty segment. Number segments have no URL form.
pub fn parse_url(text: &str) -> Result<Vec<Segment>, PathError> {
    let text = text.strip_prefix('/').unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let parts = text.split('/').enumerate();
    parts.map(|(i, part)| percent_decode(part).map(Segment::Text).ok_or(PathError::Percent(i))).collect()
}

fn percent_decode(part: &str) -> Option<Text> {
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || (bytes.next()? as char).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        decoded.push((high << 4 | low) as u8);
    }
    Text::from_wtf8(&decoded)
}

/// Appends the path as a JSON array in canonical form.
pub fn write_canonical(path: &[Segment], out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, segment) in path.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        segment.write_canonical(out);
    }
    out.push(b']');
}

/// The path as in a URL: the inverse of [`parse_url`] for text segments that are not empty; numbers by their text.
pub fn display(path: &[Segment]) -> String {
    let mut out = String::new();
    for (i, segment) in path.iter().enumerate() {
        if i > 0 {
            out.push('/');
        }
        match segment {
            Segment::Text(text) => text.as_bytes().iter().for_each(|&b| push_percent(b, &mut out)),
            Segment::Number(number) => {
                let mut text = Vec::new();
                number.write(&mut text);
                text.iter().for_each(|&b| push_percent(b, &mut out));
            }
        }
    }
    out
}

/// Appends a byte as a URL path may hold it (RFC 3986, `pchar`).
fn push_percent(byte: u8, out: &mut String) {
    if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
        out.push(byte as char);
    } else {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        out.push('%');
        out.push(HEX[usize::from(byte >> 4)] as char);
        out.push(HEX[usize::from(byte & 15)] as char);
    }
}
