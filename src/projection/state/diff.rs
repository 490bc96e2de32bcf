//! What differs between two points: two scans side by side.
//!
//! *Always holds:* both points belong to one snapshot; a page ends at its limit of changes and bytes, and after
//! [`ROWS`] rows of either point even when nothing differs, so that a page costs no more than its size says.

use super::StateError;
use super::kv::{Slice, Snapshot};
use super::view::{Limit, View};

/// Rows looked at for one page: about half a second. Rows, not leaves: where much was deleted, tombstones that are not
/// swept yet lie between two leaves.
const ROWS: usize = if cfg!(test) { 4 } else { 100_000 };

/// A leaf that differs: added without `old`, removed without `new`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Encoded path.
    pub path: Slice,
    /// Canonical text at the first point.
    pub old: Option<Slice>,
    /// Canonical text at the second point.
    pub new: Option<Slice>,
}

/// Changes in order of their paths, up to a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The changes; a page may have none and still not be the last.
    pub changes: Vec<Change>,
    /// Encoded path to go on from, if there is more to look at.
    pub next: Option<Slice>,
}

/// The leaves at and below an encoded path that differ from `old` to `new`; with `from`, those at `from` and later.
pub fn changes<S: Snapshot>(
    old: &View<S>,
    new: &View<S>,
    prefix: &[u8],
    from: Option<&[u8]>,
    limit: Limit,
) -> Result<Changes, StateError> {
    let (mut olds, mut news) = (old.scan(prefix, from).at_most(ROWS), new.scan(prefix, from).at_most(ROWS));
    let (mut before, mut after) = (olds.next().transpose()?, news.next().transpose()?);
    let (mut page, mut bytes) = (Changes::default(), 0);
    loop {
        let path = [&before, &after].into_iter().flatten().map(|(path, _)| path).min().cloned();
        // What one side has not looked at, it may have.
        let unseen = [olds.stopped(), news.stopped()].into_iter().flatten().min();
        let Some(path) = path.filter(|path| unseen.is_none_or(|unseen| path < unseen)) else {
            page.next = unseen.cloned();
            break;
        };
        let (old, new) = (before.take_if(|(at, _)| *at == path), after.take_if(|(at, _)| *at == path));
        if old.is_some() {
            before = olds.next().transpose()?;
        }
        if new.is_some() {
            after = news.next().transpose()?;
        }
        let (old, new) = (old.map(|(_, text)| text), new.map(|(_, text)| text));
        if old == new {
            continue;
        }
        bytes += [&old, &new].into_iter().flatten().map(|text| text.len()).sum::<usize>() + path.len();
        if !page.changes.is_empty() && (page.changes.len() >= limit.leaves || bytes > limit.bytes) {
            page.next = Some(path);
            break;
        }
        page.changes.push(Change { path, old, new });
    }
    Ok(page)
}
