//! The state at one point: leaves by path, in order, and as a nested object.
//!
//! *Always holds:* a view belongs to one snapshot and one chain, so that nothing it answers can change or mix; the
//! first visible row of a path is its value; an invisible branch costs one seek, however many versions lie under it.

use super::branches::{Chain, next_visible, visible};
use super::kv::{Slice, Snapshot};
use super::{StateError, entry, key};
use crate::fork::record::Node;

/// Rows stepped over before a seek is the cheaper way on (a seek costs about as much as twenty steps).
const STEPS: usize = if cfg!(test) { 1 } else { 16 };

/// Rows looked at for a tombstone; nearly always the first is one.
const EMPTIED_ROWS: usize = 4096;

/// The state at one point of one snapshot.
#[derive(Clone)]
pub struct View<S> {
    snapshot: S,
    chain: Chain,
}

/// How much a read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Leaves.
    pub leaves: usize,
    /// Bytes of paths and texts.
    pub bytes: usize,
}

/// Leaves in order of their paths, up to a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Encoded path and canonical text of each leaf.
    pub leaves: Vec<(Slice, Slice)>,
    /// Encoded path to go on from, if there is more.
    pub next: Option<Slice>,
}

/// What a leaf was from one batch on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The batch that wrote it.
    pub node: Node,
    /// Canonical text; none where it was removed.
    pub text: Option<Slice>,
}

/// Versions of a leaf, newest first, up to a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The versions.
    pub versions: Vec<Version>,
    /// The next older one, if there is more.
    pub next: Option<Node>,
}

impl<S: Snapshot> View<S> {
    pub(super) fn new(snapshot: S, chain: Chain) -> Self {
        Self { snapshot, chain }
    }

    /// The point it shows.
    pub fn node(&self) -> Node {
        self.chain[0]
    }

    /// Its chain, newest first.
    pub fn chain(&self) -> &[Node] {
        &self.chain
    }

    /// The snapshot it reads.
    pub fn snapshot(&self) -> &S {
        &self.snapshot
    }

    /// The canonical text of the leaf at an encoded path.
    pub fn get(&self, path: &[u8]) -> Result<Option<Slice>, StateError> {
        let (mut from, mut to) = (Vec::with_capacity(path.len() + 14), Vec::with_capacity(path.len() + 2));
        key::behind_rows(path, &mut to);
        let mut at = self.chain[0];
        'seek: loop {
            key::row(path, at, &mut from);
            for (steps, entry) in self.snapshot.range(&from, &to).enumerate() {
                let (key, value) = entry?;
                let (_, row) = key::parse_row(&key).ok_or_else(|| StateError::damaged("row key", &key))?;
                if visible(&self.chain, row) {
                    return leaf(&key, &value);
                }
                let Some(next) = next_visible(&self.chain, row) else { return Ok(None) };
                if steps >= STEPS {
                    at = next;
                    continue 'seek;
                }
            }
            return Ok(None);
        }
    }

    /// All versions of the leaf at an encoded path on this chain, newest first; with `from`, that one and older ones.
    pub fn versions(&self, path: &[u8], from: Option<Node>, limit: Limit) -> Result<Versions, StateError> {
        let (mut start, mut end) = (Vec::with_capacity(path.len() + 14), Vec::with_capacity(path.len() + 2));
        key::behind_rows(path, &mut end);
        let (mut found, mut bytes) = (Versions::default(), 0);
        let mut at = from.unwrap_or(self.chain[0]);
        'seek: loop {
            key::row(path, at, &mut start);
            let mut unseen = 0;
            for entry in self.snapshot.range(&start, &end) {
                let (key, value) = entry?;
                let (_, row) = key::parse_row(&key).ok_or_else(|| StateError::damaged("row key", &key))?;
                if visible(&self.chain, row) {
                    let text = leaf(&key, &value)?;
                    bytes += text.as_ref().map_or(0, |text| text.len());
                    let versions = &mut found.versions;
                    if !versions.is_empty() && (versions.len() >= limit.leaves || bytes > limit.bytes) {
                        found.next = Some(row);
                        return Ok(found);
                    }
                    versions.push(Version { node: row, text });
                    continue;
                }
                let Some(next) = next_visible(&self.chain, row) else { return Ok(found) };
                unseen += 1;
                if unseen > STEPS {
                    at = next;
                    continue 'seek;
                }
            }
            return Ok(found);
        }
    }

    /// Leaves at and below an encoded path in order of their paths; with `from`, those at `from` and later.
    pub fn scan(&self, prefix: &[u8], from: Option<&[u8]>) -> Scan<'_, S> {
        let mut start = vec![key::table::ROW];
        start.extend_from_slice(from.filter(|from| *from > prefix).unwrap_or(prefix));
        let end = key::behind_prefix(prefix);
        Scan {
            range: self.snapshot.range(&start, &end),
            view: self,
            end,
            path: Vec::new(),
            done: false,
            value: Slice::from([]),
            steps: 0,
            rows: usize::MAX,
            stopped: None,
        }
    }

    /// Leaves at and below an encoded path, up to a limit (at least one).
    pub fn leaves(&self, prefix: &[u8], from: Option<&[u8]>, limit: Limit) -> Result<Page, StateError> {
        let mut page = Page::default();
        let mut bytes = 0;
        for leaf in self.scan(prefix, from) {
            let (path, text) = leaf?;
            bytes += path.len() + text.len();
            if !page.leaves.is_empty() && (page.leaves.len() >= limit.leaves || bytes > limit.bytes) {
                page.next = Some(path);
                break;
            }
            page.leaves.push((path, text));
        }
        Ok(page)
    }

    /// Of a path where nothing is, at or below: whether something was, and has been deleted. A path that was never
    /// written is not known to be absent. Looks at no more than [`EMPTIED_ROWS`] rows.
    pub fn emptied(&self, prefix: &[u8]) -> Result<bool, StateError> {
        let mut start = vec![key::table::ROW];
        start.extend_from_slice(prefix);
        for entry in self.snapshot.range(&start, &key::behind_prefix(prefix)).take(EMPTIED_ROWS) {
            let (key, _) = entry?;
            let (_, row) = key::parse_row(&key).ok_or_else(|| StateError::damaged("row key", &key))?;
            if visible(&self.chain, row) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether anything is at or below an encoded path.
    pub fn any(&self, prefix: &[u8]) -> Result<bool, StateError> {
        Ok(self.scan(prefix, None).next().transpose()?.is_some())
    }
}

fn leaf(key: &[u8], value: &Slice) -> Result<Option<Slice>, StateError> {
    Ok(entry::parse_leaf(value).map_err(|()| StateError::damaged("leaf", key))?.map(Slice::from))
}

/// Leaves of a [`View`] in order: encoded path and canonical text.
pub struct Scan<'a, S: Snapshot> {
    view: &'a View<S>,
    range: S::Range,
    end: Vec<u8>,
    /// Path of the row before.
    path: Vec<u8>,
    /// Whether that path has its answer.
    done: bool,
    /// Row of the leaf that it stands on.
    value: Slice,
    /// Rows of that path stepped over since the last seek.
    steps: usize,
    /// Rows that may still be looked at.
    rows: usize,
    /// Where it stopped because they were used up.
    stopped: Option<Slice>,
}

impl<S: Snapshot> Scan<'_, S> {
    /// Ends at the first path behind so many rows, tombstones and what belongs to other histories included.
    pub fn at_most(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// The path that it ended before because of [`at_most`](Self::at_most); what lies before it was seen.
    pub fn stopped(&self) -> Option<&Slice> {
        self.stopped.as_ref()
    }

    /// Goes on to the next leaf, tombstones passed over; `false` behind the last.
    pub fn advance(&mut self) -> Result<bool, StateError> {
        while self.stopped.is_none()
            && let Some(entry) = self.range.next()
        {
            let (key, value) = entry?;
            let (path, row) = key::parse_row(&key).ok_or_else(|| StateError::damaged("row key", &key))?;
            if path != self.path {
                if self.rows == 0 {
                    self.stopped = Some(Slice::from(path));
                    break;
                }
                self.path.clear();
                self.path.extend_from_slice(path);
                (self.done, self.steps) = (false, 0);
            }
            self.rows = self.rows.saturating_sub(1);
            if !self.done && visible(&self.view.chain, row) {
                self.done = true;
                if entry::parse_leaf(&value).map_err(|()| StateError::damaged("leaf", &key))?.is_some() {
                    self.value = value;
                    return Ok(true);
                }
            }
            self.steps += 1;
            if self.steps > STEPS {
                self.seek(row);
            }
        }
        Ok(false)
    }

    /// Encoded path of the leaf that [`Scan::advance`] came to.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Its canonical text.
    pub fn text(&self) -> &[u8] {
        &self.value[1..]
    }

    /// Skips rows of the present path that cannot be its answer.
    fn seek(&mut self, row: Node) {
        let next = if self.done { None } else { next_visible(&self.view.chain, row) };
        let mut from = Vec::with_capacity(self.path.len() + 14);
        match next {
            Some(at) => key::row(&self.path, at, &mut from),
            None => key::behind_rows(&self.path, &mut from),
        }
        self.range = self.view.snapshot.range(&from, &self.end);
        self.steps = 0;
    }
}

impl<S: Snapshot> Iterator for Scan<'_, S> {
    type Item = Result<(Slice, Slice), StateError>;
    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(true) => Some(Ok((Slice::from(self.path()), Slice::from(self.text())))),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
