//! Strings: WTF-8, and the order of keys.
//!
//! Input: two texts with the byte FF, which no WTF-8 has, between them.
//!
//! Holds: bytes are taken exactly if they are WTF-8 by a decoder written from its definition; what was taken prints to
//! JSON that reads back to it; two texts order as their UTF-16 does.
//!
//! Planted once: a pair of surrogates taken for WTF-8.
#![no_main]

use honeygraph_protocols::json::{self, Json, Text, cmp_utf16};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let cut = data.iter().position(|&byte| byte == 0xFF).unwrap_or(data.len());
    let (one, other) = (&data[..cut], data.get(cut + 1..).unwrap_or_default());
    let (Some(a), Some(b)) = (text_holds(one), text_holds(other)) else { return };
    assert_eq!(cmp_utf16(one, other), a.cmp(&b));
    assert_eq!(cmp_utf16(other, one), b.cmp(&a));
});

/// The UTF-16 of bytes that are WTF-8.
fn text_holds(bytes: &[u8]) -> Option<Vec<u16>> {
    let units = units(bytes);
    let Some(text) = Text::from_wtf8(bytes) else {
        assert_eq!(units, None, "refused, but WTF-8");
        return None;
    };
    let units = units.expect("taken, but no WTF-8");
    assert_eq!(text.as_bytes(), bytes);
    assert_eq!(text.as_str().map(str::as_bytes), std::str::from_utf8(bytes).ok().map(str::as_bytes));
    assert_eq!(text.as_str().is_some(), char::decode_utf16(units.iter().copied()).all(|unit| unit.is_ok()));
    let value = Json::Text(text);
    assert_eq!(json::parse(&value.to_canonical()), Ok(value));
    Some(units)
}

/// Code points one by one; none for what is too long for its code point, beyond Unicode, cut, or a pair of surrogates.
fn units(mut bytes: &[u8]) -> Option<Vec<u16>> {
    let mut units: Vec<u16> = Vec::new();
    while let Some((&lead, rest)) = bytes.split_first() {
        let (more, least) = match lead {
            0..0x80 => (0, 0),
            0xC0..0xE0 => (1, 0x80),
            0xE0..0xF0 => (2, 0x800),
            0xF0..0xF8 => (3, 0x1_0000),
            _ => return None,
        };
        let tail = rest.get(..more)?;
        let own = u32::from(lead) & if more == 0 { 0x7F } else { 0x3F >> more };
        let code = tail
            .iter()
            .try_fold(own, |code, &byte| (byte & 0xC0 == 0x80).then_some(code << 6 | u32::from(byte & 0x3F)))?;
        if code < least || code > 0x10_FFFF {
            return None;
        }
        let low_behind_high = (0xDC00..0xE000).contains(&code) && matches!(units.last(), Some(0xD800..0xDC00));
        if low_behind_high {
            return None;
        }
        match char::from_u32(code) {
            Some(char) => units.extend(char.encode_utf16(&mut [0; 2]).iter()),
            None => units.push(code as u16),
        }
        bytes = &rest[more..];
    }
    Some(units)
}
