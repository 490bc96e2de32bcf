//! What differs between two points: two scans side by side.
//!
//! *Always holds:* both points belong to one snapshot; a page ends at its limit of changes and bytes, and after
//! [`LOOKED_AT`] leaves even when nothing differs, so that a page costs no more than its size says.

use super::StateError;
use super::kv::{Slice, Snapshot};
use super::view::{Limit, View};

/// Leaves looked at for one page: about half a second.
const LOOKED_AT: usize = if cfg!(test) { 4 } else { 100_000 };

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
    let (mut olds, mut news) = (old.scan(prefix, from), new.scan(prefix, from));
    let (mut before, mut after) = (olds.next().transpose()?, news.next().transpose()?);
    let (mut page, mut bytes) = (Changes::default(), 0);
    for looked_at in 0.. {
        let paths = [&before, &after].into_iter().flatten().map(|(path, _)| path);
        let Some(path) = paths.min().cloned() else { break };
        if looked_at == LOOKED_AT {
            page.next = Some(path);
            break;
        }
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
