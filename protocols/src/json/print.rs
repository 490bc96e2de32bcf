//! The canonical text of a value: as `json-stable-stringify` prints it.

use super::{Json, Number};

/// Appends the canonical text of `value`. Recursion is bounded by [`MAX_DEPTH`](super::MAX_DEPTH).
pub(super) fn write(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.extend(b"null"),
        Json::Bool(true) => out.extend(b"true"),
        Json::Bool(false) => out.extend(b"false"),
        Json::Int(int) => Number::Int(*int).write(out),
        Json::Float(float) => Number::Float(*float).write(out),
        Json::Text(text) => write_text(text.as_bytes(), out),
        Json::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Json::Object(members) => {
            out.push(b'{');
            for (i, (key, member)) in members.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_text(key.as_bytes(), out);
                out.push(b':');
                write(member, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends a WTF-8 text as ES2019 `JSON.stringify` prints it: quotes, backslashes and control characters escaped,
/// lone surrogates as `\udxxx`, everything else as it is.
pub(crate) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        let surrogate = byte == 0xED && text.get(at + 1).is_some_and(|&b| b >= 0xA0);
        let len = if surrogate { 3 } else { 1 };
        if byte < 0x20 || byte == b'"' || byte == b'\\' || surrogate {
            out.extend_from_slice(&text[plain..at]);
            if surrogate {
                let tail = |n: usize| u16::from(text.get(at + n).copied().unwrap_or(0x80) & 0x3F);
                write_unit(0xD000 | tail(1) << 6 | tail(2), out);
            } else {
                write_escape(byte, out);
            }
            plain = at + len;
        }
        at += len;
    }
    out.extend_from_slice(text.get(plain..).unwrap_or_default());
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0A => b'n',
        0x0C => b'f',
        0x0D => b'r',
        _ => return write_unit(u16::from(byte), out),
    };
    out.extend([b'\\', short]);
}

fn write_unit(unit: u16, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u16| HEX[usize::from(unit >> shift & 0xF)];
    out.extend([b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}
