//! Tokens of a JSON text: where a string, a number, a literal ends, and whether it is well formed.
//!
//! *Always holds:* the bytes are UTF-8 before the first token is read; no token function reads past the end.

use super::JsonError;

/// A place in a text that is known to be UTF-8.
#[derive(Clone)]
pub(crate) struct Scan<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
}

/// A string token without its quotes, escapes still in it (and known to be well formed).
#[derive(Clone, Copy)]
pub(crate) struct RawText<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) escaped: bool,
}

impl<'a> RawText<'a> {
    /// The WTF-8 bytes, in `scratch` if something had to be decoded.
    pub(crate) fn decode<'s>(self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        if !self.escaped {
            return self.raw;
        }
        scratch.clear();
        unescape(self.raw, scratch);
        scratch
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Length of the run of bytes that stand in a string as they are: no quote, no backslash, no control character.
#[inline]
fn plain_run(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let (quote, slash) = (word ^ (0x22 * ONES), word ^ (0x5C * ONES));
        let hit = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(0x20 * ONES) & !word);
        // Borrows spoil only bytes above the first hit, which is the lowest one here.
        if hit & HIGHS != 0 {
            return i * 8 + (hit & HIGHS).trailing_zeros() as usize / 8;
        }
    }
    let plain = tail.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20);
    words.len() * 8 + plain.unwrap_or(tail.len())
}

impl<'a> Scan<'a> {
    /// Begins, after checking that the bytes are UTF-8.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, JsonError> {
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(Self { bytes, at: 0 }),
            Err(e) => Err(JsonError::Syntax { at: e.valid_up_to(), what: "invalid UTF-8" }),
        }
    }

    /// The next byte; 0, which no token begins with, at the end.
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Skips white space and returns the next byte.
    #[inline]
    pub(crate) fn next_token(&mut self) -> u8 {
        loop {
            let byte = self.peek();
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return byte;
            }
            self.at += 1;
        }
    }

    /// An error here.
    #[cold]
    pub(crate) fn error(&self, what: &'static str) -> JsonError {
        JsonError::Syntax { at: self.at, what }
    }

    /// After white space, takes `byte`.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.next_token() != byte {
            return Err(self.error(what));
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        self.next_token();
        if self.at < self.bytes.len() { Err(self.error("end expected")) } else { Ok(()) }
    }

    /// A string; stands at its opening quote.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<RawText<'a>, JsonError> {
        let bytes = self.bytes;
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at += plain_run(&bytes[at..]);
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(RawText { raw: &bytes[start..at], escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    at += escape_len(&bytes[at + 1..]).ok_or(JsonError::Syntax { at, what: "bad escape" })?;
                }
                Some(_) => return Err(JsonError::Syntax { at, what: "control character in a string" }),
                None => return Err(JsonError::Syntax { at, what: "string without end" }),
            }
        }
    }

    /// An object key and its colon; skips white space before both.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<RawText<'a>, JsonError> {
        if self.next_token() != b'"' {
            return Err(self.error("key expected"));
        }
        let key = self.string()?;
        self.expect(b':', "colon expected")?;
        Ok(key)
    }

    /// A number; stands at its first byte. The token, and whether it is a plain integer.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<(&'a [u8], bool), JsonError> {
        let start = self.at;
        self.at += usize::from(self.peek() == b'-');
        match self.peek() {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Err(self.error("digit expected")),
        }
        let mut integer = true;
        if self.peek() == b'.' {
            integer = false;
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            integer = false;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.some_digits()?;
        }
        Ok((&self.bytes[start..self.at], integer))
    }

    #[inline]
    fn digits(&mut self) {
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_ascii_digit() {
            return Err(self.error("digit expected"));
        }
        self.digits();
        Ok(())
    }

    /// `null`, `true` or `false`, as named by its first byte.
    #[inline]
    pub(crate) fn literal(&mut self, word: &'static [u8]) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.error("value expected"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Skips one value of any depth, checking that it is well formed.
    pub(crate) fn skip_value(&mut self) -> Result<(), JsonError> {
        let mut open = Bits::default();
        loop {
            let opened = self.skip_scalar_or_open(&mut open)?;
            if opened {
                continue;
            }
            loop {
                let Some(object) = open.top() else { return Ok(()) };
                match (self.next_token(), object) {
                    (b',', true) => {
                        self.at += 1;
                        self.key()?;
                        break;
                    }
                    (b',', false) => {
                        self.at += 1;
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return Err(self.error("comma or end of container expected")),
                }
            }
        }
    }

    /// Skips a scalar or an empty container (false), or enters a container up to its first value (true).
    fn skip_scalar_or_open(&mut self, open: &mut Bits) -> Result<bool, JsonError> {
        match self.next_token() {
            b'"' => self.string().map(|_| false),
            b'{' => {
                self.at += 1;
                if self.next_token() == b'}' {
                    self.at += 1;
                    return Ok(false);
                }
                self.key()?;
                open.push(true);
                Ok(true)
            }
            b'[' => {
                self.at += 1;
                if self.next_token() == b']' {
                    self.at += 1;
                    return Ok(false);
                }
                open.push(false);
                Ok(true)
            }
            b'n' => self.literal(b"null").map(|()| false),
            b't' => self.literal(b"true").map(|()| false),
            b'f' => self.literal(b"false").map(|()| false),
            _ => self.number().map(|_| false),
        }
    }
}

/// A stack of bits: the open containers while skipping (one bit per byte of hostile nesting).
#[derive(Default)]
struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        let word = &mut self.words[self.len / 64];
        *word = *word & !(1 << (self.len % 64)) | u64::from(bit) << (self.len % 64);
        self.len += 1;
    }

    fn top(&self) -> Option<bool> {
        let last = self.len.checked_sub(1)?;
        Some(self.words[last / 64] >> (last % 64) & 1 == 1)
    }

    fn pop(&mut self) {
        self.len -= 1;
        if self.len.is_multiple_of(64) {
            self.words.pop();
        }
    }
}

/// Length of an escape (backslash included) from the bytes after its backslash, if it is one.
fn escape_len(after: &[u8]) -> Option<usize> {
    match after.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => after.get(1..5)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
        _ => None,
    }
}

/// Appends the WTF-8 of a string token whose escapes are known to be well formed.
fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < raw.len() {
        let run = raw[at..].iter().position(|&b| b == b'\\').unwrap_or(raw.len() - at);
        out.extend_from_slice(&raw[at..at + run]);
        at += run;
        let Some(&kind) = raw.get(at + 1) else { return };
        at += 2;
        let plain = match kind {
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                at += unescape_unit(&raw[at..], out);
                continue;
            }
            other => other,
        };
        out.push(plain);
    }
}

/// Appends the character of a `\u` escape, joining a surrogate pair; `rest` begins at its four digits. The bytes used.
fn unescape_unit(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let first = hex4(rest);
    let mut code = u32::from(first);
    let mut used = 4;
    if (0xD800..0xDC00).contains(&first) && rest.get(4..6) == Some(b"\\u") {
        let second = hex4(&rest[6..]);
        if (0xDC00..0xE000).contains(&second) {
            code = 0x1_0000 + ((code - 0xD800) << 10) + (u32::from(second) - 0xDC00);
            used = 10;
        }
    }
    let tail = |shift: u32| 0x80 | (code >> shift & 0x3F) as u8;
    match code {
        0..0x80 => out.push(code as u8),
        0x80..0x800 => out.extend([0xC0 | (code >> 6) as u8, tail(0)]),
        0x800..0x1_0000 => out.extend([0xE0 | (code >> 12) as u8, tail(6), tail(0)]),
        _ => out.extend([0xF0 | (code >> 18) as u8, tail(12), tail(6), tail(0)]),
    }
    used
}

fn hex4(digits: &[u8]) -> u16 {
    let digit = |b: &u8| (*b as char).to_digit(16).unwrap_or(0) as u16;
    digits.iter().take(4).fold(0, |sum, b| sum << 4 | digit(b))
}
