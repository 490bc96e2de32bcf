//! What an op does to leaves, straight from its canonical text: what the state store uses for every op.
//!
//! *Always holds:* for a canonical text the effects are those of [`Op`](super::Op) (a property test compares them).
//! Whether a text is canonical is not checked here but where it comes in; damage of its structure is an error.

use super::OpError;
use crate::json::{JsonError, MAX_DEPTH, Number, Scan};
use crate::path::{encode_number, encode_text};

/// What one op does to one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// The leaf at this encoded path gets this canonical text.
    Put(&'a [u8], &'a [u8]),
    /// Everything at and below this encoded path goes.
    Del(&'a [u8]),
}

/// Reads effects; keeps its scratch between ops.
#[derive(Default)]
pub struct EffectReader {
    /// Encoded path of the place being read.
    at: Vec<u8>,
    open: Vec<Open>,
    scratch: Vec<u8>,
}

/// A container that is not closed yet.
struct Open {
    /// Length of its own encoded path.
    here: usize,
    /// Place of the current element; none in an object.
    place: Option<usize>,
}

/// In front of the path; stands in no path and behind no other path, so the last one in a text is the op's own.
const PATH: &[u8] = b",\"path\":[";

impl EffectReader {
    /// Calls `each` with what the op of this canonical text does, in the order of the text.
    pub fn read(&mut self, text: &[u8], mut each: impl FnMut(Effect<'_>)) -> Result<(), OpError> {
        let (rest, put) = match (text.strip_suffix(b"],\"type\":\"put\"}"), text.strip_suffix(b"],\"type\":\"del\"}")) {
            (Some(rest), _) => (rest, true),
            (_, Some(rest)) => (rest, false),
            _ => return Err(OpError::Shape),
        };
        let (data, path) = match rest.strip_prefix(b"{\"path\":[") {
            Some(path) => (None, path),
            None => {
                let data = rest.strip_prefix(b"{\"data\":").ok_or(OpError::Shape)?;
                let at = data.windows(PATH.len()).rposition(|w| w == PATH).ok_or(OpError::Shape)?;
                (Some(&data[..at]), &data[at + PATH.len()..])
            }
        };
        self.at.clear();
        self.read_path(path)?;
        match data {
            Some(data) if put => self.leaves(data, &mut each),
            _ if put => Ok(()),
            _ => {
                each(Effect::Del(&self.at));
                Ok(())
            }
        }
    }

    /// Calls `each` with every leaf of a state document: the value at the empty path.
    pub fn state(&mut self, data: &[u8], mut each: impl FnMut(Effect<'_>)) -> Result<(), OpError> {
        self.at.clear();
        self.leaves(data, &mut each)
    }

    /// Encodes the segments between the brackets.
    fn read_path(&mut self, path: &[u8]) -> Result<(), OpError> {
        if path.is_empty() {
            return Ok(());
        }
        let mut scan = Scan::new(path)?;
        loop {
            if scan.peek() == b'"' {
                encode_text(scan.string()?.decode(&mut self.scratch), &mut self.at);
            } else {
                let (token, integer) = scan.number()?;
                encode_number(Number::from_token(token, integer).ok_or(OpError::Shape)?, &mut self.at);
            }
            if scan.at == path.len() {
                return Ok(());
            }
            scan.expect(b',', "comma expected")?;
        }
    }

    fn leaves(&mut self, data: &[u8], each: &mut impl FnMut(Effect<'_>)) -> Result<(), OpError> {
        let mut scan = Scan::new(data)?;
        self.open.clear();
        loop {
            match scan.peek() {
                b'{' | b'[' => {
                    if self.enter(&mut scan)? {
                        continue;
                    }
                }
                // Skipping would go over it, and take a container behind it for a leaf.
                b' ' | b'\t' | b'\n' | b'\r' => return Err(scan.error("value expected").into()),
                _ => {
                    let start = scan.at;
                    scan.skip_value()?;
                    each(Effect::Put(&self.at, &data[start..scan.at]));
                }
            }
            if self.leave(&mut scan)? {
                return Ok(scan.end()?);
            }
        }
    }

    /// Goes into a container up to its first value; false when it is empty and has been passed.
    fn enter(&mut self, scan: &mut Scan<'_>) -> Result<bool, OpError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(JsonError::Depth { at: scan.at }.into());
        }
        let object = scan.peek() == b'{';
        scan.at += 1;
        if scan.peek() == if object { b'}' } else { b']' } {
            scan.at += 1;
            return Ok(false);
        }
        self.open.push(Open { here: self.at.len(), place: (!object).then_some(0) });
        self.member(scan)?;
        Ok(true)
    }

    /// Goes behind a value to the next one, leaving containers that end; true at the very end.
    fn leave(&mut self, scan: &mut Scan<'_>) -> Result<bool, OpError> {
        loop {
            let Some(open) = self.open.last_mut() else { return Ok(true) };
            self.at.truncate(open.here);
            let end = if open.place.is_some() { b']' } else { b'}' };
            let byte = scan.peek();
            scan.at += 1;
            if byte == b',' {
                open.place = open.place.map(|place| place + 1);
                self.member(scan)?;
                return Ok(false);
            }
            if byte != end {
                return Err(scan.error("comma or end of container expected").into());
            }
            self.open.pop();
        }
    }

    /// Appends the key of the next member or the place of the next element to the path.
    fn member(&mut self, scan: &mut Scan<'_>) -> Result<(), OpError> {
        match self.open.last().and_then(|open| open.place) {
            None => encode_text(scan.key()?.decode(&mut self.scratch), &mut self.at),
            Some(place) => {
                self.scratch.clear();
                Number::Int(place as i64).write(&mut self.scratch);
                encode_text(&self.scratch, &mut self.at);
            }
        }
        Ok(())
    }
}
