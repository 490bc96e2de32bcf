//! From JSON text to canonical text in one pass, without building a value: what the ingest path uses.
//!
//! *Always holds:* the result equals that of parsing and printing (a property test compares them).

use super::number::SURE_DIGITS;
use super::{JsonError, Number, RawText, Scan, cmp_utf16, write_text};
use std::cmp::Ordering;
use std::ops::Range;

/// Bounds on one value.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Deepest nesting.
    pub(crate) depth: usize,
    /// Longest canonical text, in bytes.
    pub(crate) bytes: usize,
    /// Longest chain of keys from the value down to a leaf: the sum of their canonical texts, in bytes.
    pub(crate) keys: usize,
}

/// Scratch of a canonicalization, kept between values.
#[derive(Default)]
pub(crate) struct Canonicalizer {
    open: Vec<Open>,
    members: Vec<Member>,
    scratch: Vec<u8>,
    other: Vec<u8>,
    /// Longest chain of keys so far.
    longest: usize,
}

/// A container that is not closed yet.
struct Open {
    object: bool,
    /// Where its content begins in the output.
    start: usize,
    /// Its first entry in `members` (objects).
    members: usize,
    /// Whether all keys so far came in strictly ascending order (objects).
    sorted: bool,
    /// Place of the current element (arrays).
    place: usize,
    /// Canonical bytes of the keys that lead into it.
    above: usize,
    /// The same including the key of the current member.
    keys: usize,
}

/// A member of an open object, in the output.
struct Member {
    /// Its key's canonical text, quotes included.
    key: Range<usize>,
    /// Whether that text has escapes.
    escaped: bool,
    /// End of its value.
    end: usize,
}

impl Canonicalizer {
    /// Appends the canonical text of the value that comes next; its longest chain of keys. After an error `out` may
    /// hold a part of it.
    pub(crate) fn value(&mut self, scan: &mut Scan<'_>, limits: Limits, out: &mut Vec<u8>) -> Result<usize, JsonError> {
        self.open.clear();
        self.members.clear();
        self.longest = 0;
        let begin = out.len();
        loop {
            if self.scalar_or_open(scan, limits, out)? {
                continue;
            }
            if out.len() - begin > limits.bytes {
                return Err(JsonError::TooLarge { at: scan.at });
            }
            if self.close(scan, limits, out)? {
                return Ok(self.longest);
            }
        }
    }

    /// After a value: goes on to the next one in its container, closing containers that end. True at the very end.
    fn close(&mut self, scan: &mut Scan<'_>, limits: Limits, out: &mut Vec<u8>) -> Result<bool, JsonError> {
        loop {
            let Some(open) = self.open.last_mut() else { return Ok(true) };
            let object = open.object;
            if object && let Some(member) = self.members.last_mut() {
                member.end = out.len();
            }
            match (scan.next_token(), object) {
                (b',', _) => {
                    scan.at += 1;
                    out.push(b',');
                    if object {
                        self.key(scan, limits, out)?;
                    } else {
                        open.place += 1;
                        let key = decimal_len(open.place) + 2;
                        self.lead_into(key, scan, limits)?;
                    }
                    return Ok(false);
                }
                (b'}', true) => self.close_object(out),
                (b']', false) => out.push(b']'),
                _ => return Err(scan.error("comma or end of container expected")),
            }
            scan.at += 1;
            self.open.pop();
        }
    }

    /// Copies a scalar or an empty container (false), or enters a container up to its first value (true).
    #[inline]
    fn scalar_or_open(&mut self, scan: &mut Scan<'_>, limits: Limits, out: &mut Vec<u8>) -> Result<bool, JsonError> {
        let byte = scan.next_token();
        match byte {
            b'"' => {
                let raw = scan.string()?;
                self.copy_text(raw, out);
            }
            b'{' | b'[' => return self.enter(scan, byte == b'{', limits, out),
            b'n' => {
                scan.literal(b"null")?;
                out.extend_from_slice(b"null");
            }
            b't' => {
                scan.literal(b"true")?;
                out.extend_from_slice(b"true");
            }
            b'f' => {
                scan.literal(b"false")?;
                out.extend_from_slice(b"false");
            }
            _ => copy_number(scan, out)?,
        }
        Ok(false)
    }

    fn enter(&mut self, scan: &mut Scan<'_>, object: bool, lim: Limits, out: &mut Vec<u8>) -> Result<bool, JsonError> {
        if self.open.len() >= lim.depth {
            return Err(JsonError::Depth { at: scan.at });
        }
        scan.at += 1;
        let (begin, end) = if object { (b'{', b'}') } else { (b'[', b']') };
        out.push(begin);
        if scan.next_token() == end {
            scan.at += 1;
            out.push(end);
            return Ok(false);
        }
        let above = self.open.last().map_or(0, |open| open.keys);
        let (start, members) = (out.len(), self.members.len());
        self.open.push(Open { object, start, members, sorted: true, place: 0, above, keys: above });
        if object {
            self.key(scan, lim, out)?;
        } else {
            // An element's key is its place as text.
            self.lead_into("\"0\"".len(), scan, lim)?;
        }
        Ok(true)
    }

    /// Notes that a key of so many canonical bytes leads into the next value.
    #[inline]
    fn lead_into(&mut self, key: usize, scan: &Scan<'_>, limits: Limits) -> Result<(), JsonError> {
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        open.keys = open.above + key;
        self.longest = self.longest.max(open.keys);
        if self.longest > limits.keys { Err(JsonError::LongPath { at: scan.at }) } else { Ok(()) }
    }

    /// Copies a string; what has escapes is decoded and printed again.
    #[inline]
    pub(crate) fn copy_text(&mut self, raw: RawText<'_>, out: &mut Vec<u8>) {
        if raw.escaped {
            write_text(raw.decode(&mut self.scratch), out);
        } else {
            out.push(b'"');
            out.extend_from_slice(raw.raw);
            out.push(b'"');
        }
    }

    /// Copies a key and its colon and notes where it stands.
    fn key(&mut self, scan: &mut Scan<'_>, limits: Limits, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let raw = scan.key()?;
        let start = out.len();
        self.copy_text(raw, out);
        let key = start..out.len();
        out.push(b':');
        let escaped = raw.escaped && out[key.clone()].contains(&b'\\');
        self.lead_into(key.len(), scan, limits)?;
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        let member = Member { key, escaped, end: 0 };
        if open.sorted && self.members.len() > open.members {
            let before = &self.members[self.members.len() - 1];
            open.sorted = compare(out, before, &member, &mut self.scratch, &mut self.other) == Ordering::Less;
        }
        self.members.push(member);
        Ok(())
    }

    /// Ends the innermost object, bringing its members into order if they came otherwise.
    fn close_object(&mut self, out: &mut Vec<u8>) {
        let Some(open) = self.open.last() else { return };
        if !open.sorted {
            let members = &mut self.members[open.members..];
            let (scratch, other) = (&mut self.scratch, &mut self.other);
            // Reversed, so that of equal keys the last stands first after the stable sort.
            members.reverse();
            members.sort_by(|a, b| compare(out, a, b, scratch, other));
            let mut ordered = Vec::with_capacity(out.len() - open.start);
            let mut last: Option<&[u8]> = None;
            for member in &*members {
                let key = &out[member.key.clone()];
                if last == Some(key) {
                    continue;
                }
                if last.is_some() {
                    ordered.push(b',');
                }
                ordered.extend_from_slice(&out[member.key.start..member.end]);
                last = Some(key);
            }
            out.truncate(open.start);
            out.extend_from_slice(&ordered);
        }
        self.members.truncate(open.members);
        out.push(b'}');
    }
}

/// Order of two keys that stand as canonical text in `out`.
fn compare(out: &[u8], a: &Member, b: &Member, scratch: &mut Vec<u8>, other: &mut Vec<u8>) -> Ordering {
    let raw = |m: &Member| RawText { raw: &out[m.key.start + 1..m.key.end - 1], escaped: m.escaped };
    cmp_utf16(raw(a).decode(scratch), raw(b).decode(other))
}

#[inline]
fn copy_number(scan: &mut Scan<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let at = scan.at;
    let (token, integer) = scan.number()?;
    if integer && token.len() <= SURE_DIGITS && token != b"-0" {
        out.extend_from_slice(token);
        return Ok(());
    }
    Number::from_token(token, integer).ok_or(JsonError::Overflow { at })?.write(out);
    Ok(())
}

fn decimal_len(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |digits| digits as usize + 1)
}
