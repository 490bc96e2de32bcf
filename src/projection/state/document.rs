//! All leaves below a path as one document, however large: nested JSON, or rows.
//!
//! As in [`nested`](super::nested) an object can say less than the map of leaves. A leaf with leaves below it is hidden; and
//! where a number segment stands beside the text of the same name, all below the number is. What is hidden comes in a
//! second pass, as pairs, so that both passes together say everything.
//!
//! *Always holds:* memory is one leaf and what the caller lets gather; keys come in order of the state, each object's
//! once; shown and hidden leaves together are all leaves.

use super::StateError;
use super::kv::Snapshot;
use super::view::View;
use honeygraph_protocols::path::{Segment, decode_segment, encode_text, write_segment};

/// How the bytes of a document leave.
pub trait Outlet {
    /// Where the next bytes go. Whoever writes a leaf calls [`Outlet::leaf`] behind it.
    fn out(&mut self) -> &mut Vec<u8>;
    /// A leaf is written; `false` when nobody wants more.
    fn leaf(&mut self) -> bool;
}

/// Leaves of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All leaves.
    pub leaves: u64,
    /// Those that the object does not show.
    pub hidden: u64,
}

impl<S: Snapshot> View<S> {
    /// Writes all leaves as one JSON object (as the leaf itself, when one stands at the root alone). None when the
    /// outlet wants no more.
    pub fn write_nested(&self, to: &mut impl Outlet) -> Result<Option<Counts>, StateError> {
        let (mut nest, mut counts) = (Nest::default(), Counts::default());
        let whole = self.judge(|path, text, hidden| {
            counts.leaves += 1;
            if hidden {
                counts.hidden += 1;
                return Ok(true);
            }
            nest.leaf(path, text, to.out())?;
            Ok(to.leaf())
        })?;
        nest.close(to.out());
        Ok(whole.then_some(counts))
    }

    /// Writes the leaves that [`View::write_nested`] hides as `[path, value]` pairs, separated by commas.
    pub fn write_hidden(&self, to: &mut impl Outlet) -> Result<bool, StateError> {
        let mut first = true;
        self.judge(|path, text, hidden| {
            if !hidden {
                return Ok(true);
            }
            let out = to.out();
            out.extend_from_slice(if first { b"[" } else { b",[" });
            first = false;
            write_path(path, out)?;
            out.push(b',');
            out.extend_from_slice(text);
            out.push(b']');
            Ok(to.leaf())
        })
    }

    /// Writes all leaves as rows of CSV (RFC 4180): the path as a JSON array, the value as JSON.
    pub fn write_rows(&self, to: &mut impl Outlet) -> Result<Option<Counts>, StateError> {
        let (mut scan, mut counts, mut paths) = (self.scan(&[], None), Counts::default(), Paths::default());
        while scan.advance()? {
            counts.leaves += 1;
            let out = to.out();
            paths.write(scan.path(), out)?;
            write_field(scan.text(), out);
            out.extend_from_slice(b"\r\n");
            if !to.leaf() {
                return Ok(None);
            }
        }
        Ok(Some(counts))
    }

    /// Every leaf with whether an object hides it; `false` when `each` wanted no more.
    fn judge(&self, mut each: impl FnMut(&[u8], &[u8], bool) -> Result<bool, StateError>) -> Result<bool, StateError> {
        let mut scan = self.scan(&[], None);
        let (mut path, mut text, mut held) = (Vec::new(), Vec::new(), false);
        let mut numbers = Numbers::default();
        while scan.advance()? {
            // A leaf is judged when the next is known: one below it hides it.
            if held && !each(&path, &text, scan.path().starts_with(&path))? {
                return Ok(false);
            }
            held = !numbers.hide(self, scan.path())?;
            if !held && !each(scan.path(), scan.text(), true)? {
                return Ok(false);
            }
            path.clear();
            path.extend_from_slice(scan.path());
            text.clear();
            text.extend_from_slice(scan.text());
        }
        if held { each(&path, &text, false) } else { Ok(true) }
    }
}

/// The number segment looked at last: mostly the next leaf has the same.
#[derive(Default)]
struct Numbers {
    prefix: Vec<u8>,
    hidden: bool,
}

impl Numbers {
    /// Whether a number segment of this path stands beside the text of the same name.
    fn hide<S: Snapshot>(&mut self, view: &View<S>, path: &[u8]) -> Result<bool, StateError> {
        if !path.contains(&honeygraph_protocols::path::NUMBER) {
            return Ok(false);
        }
        let mut at = 0;
        while at < path.len() {
            let (segment, len) = decode_segment(&path[at..]).ok_or_else(|| StateError::damaged("path", path))?;
            at += len;
            let Segment::Number(number) = segment else { continue };
            if self.prefix != path[..at] {
                let (mut text, mut beside) = (Vec::new(), path[..at - len].to_vec());
                number.write(&mut text);
                encode_text(&text, &mut beside);
                self.hidden = view.any(&beside)?;
                self.prefix.clear();
                self.prefix.extend_from_slice(&path[..at]);
            }
            if self.hidden {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// An object that is being written, leaf by leaf in order.
#[derive(Default)]
struct Nest {
    /// Path of the leaf before.
    path: Vec<u8>,
    /// Where its segments end.
    ends: Vec<usize>,
    begun: bool,
}

impl Nest {
    fn leaf(&mut self, path: &[u8], text: &[u8], out: &mut Vec<u8>) -> Result<(), StateError> {
        let common = self.path.iter().zip(path).take_while(|(a, b)| a == b).count();
        let shared = self.ends.partition_point(|end| *end <= common);
        if self.begun {
            out.resize(out.len() + self.ends.len() - 1 - shared, b'}');
            out.push(b',');
        } else if !path.is_empty() {
            out.push(b'{');
        }
        self.begun = !path.is_empty();
        self.ends.truncate(shared);
        let mut at = self.ends.last().copied().unwrap_or(0);
        let kept = at;
        while at < path.len() {
            if at > kept {
                out.push(b'{');
            }
            let number = path[at] == honeygraph_protocols::path::NUMBER;
            let quote: &[u8] = if number { b"\"" } else { b"" };
            out.extend_from_slice(quote);
            at += write_segment(&path[at..], out).ok_or_else(|| StateError::damaged("path", path))?;
            out.extend_from_slice(quote);
            out.push(b':');
            self.ends.push(at);
        }
        self.path.truncate(kept);
        self.path.extend_from_slice(&path[kept..]);
        out.extend_from_slice(text);
        if path.is_empty() {
            self.begun = false;
            self.path.push(0); // the root itself is the leaf: nothing is left to close
        }
        Ok(())
    }

    fn close(&self, out: &mut Vec<u8>) {
        match (self.begun, self.path.is_empty()) {
            (true, _) => out.resize(out.len() + self.ends.len(), b'}'),
            (false, true) => out.extend_from_slice(b"{}"),
            (false, false) => {}
        }
    }
}

/// Appends an encoded path as a JSON array.
fn write_path(path: &[u8], out: &mut Vec<u8>) -> Result<(), StateError> {
    out.push(b'[');
    let mut at = 0;
    while at < path.len() {
        if at > 0 {
            out.push(b',');
        }
        at += write_segment(&path[at..], out).ok_or_else(|| StateError::damaged("path", path))?;
    }
    out.push(b']');
    Ok(())
}

/// The column of paths. What a path shares with the one before is not made again: paths are most of a table's bytes, and
/// a table of a state is mostly a few long ones with many ends.
#[derive(Default)]
struct Paths {
    /// Path of the row before.
    path: Vec<u8>,
    /// Where each of its segments ends, there and in the field.
    ends: Vec<(usize, usize)>,
    /// Its field, from the first segment on and up to the last.
    field: Vec<u8>,
    segment: Vec<u8>,
}

impl Paths {
    fn write(&mut self, path: &[u8], out: &mut Vec<u8>) -> Result<(), StateError> {
        let common = self.path.iter().zip(path).take_while(|(a, b)| a == b).count();
        self.ends.truncate(self.ends.partition_point(|(end, _)| *end <= common));
        let (kept, len) = self.ends.last().copied().unwrap_or_default();
        self.field.truncate(len);
        let mut at = kept;
        while at < path.len() {
            if at > 0 {
                self.field.push(b',');
            }
            self.segment.clear();
            at += write_segment(&path[at..], &mut self.segment).ok_or_else(|| StateError::damaged("path", path))?;
            double_quotes(&self.segment, &mut self.field);
            self.ends.push((at, self.field.len()));
        }
        self.path.truncate(kept);
        self.path.extend_from_slice(&path[kept..]);
        out.extend_from_slice(b"\"[");
        out.extend_from_slice(&self.field);
        out.extend_from_slice(b"]\",");
        Ok(())
    }
}

/// Appends a field of CSV.
fn write_field(text: &[u8], out: &mut Vec<u8>) {
    if memchr::memchr3(b'"', b',', b'\n', text).is_none() && memchr::memchr(b'\r', text).is_none() {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    double_quotes(text, out);
    out.push(b'"');
}

fn double_quotes(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'"', text) {
        out.extend_from_slice(&text[..=at]);
        out.push(b'"');
        text = &text[at + 1..];
    }
    out.extend_from_slice(text);
}
