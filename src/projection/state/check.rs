//! The store's invariants, each a check by name: for tests, the simulation and `honeygraph verify`.
//!
//! *Always holds:* a check only reads; what it names as broken is a bug or damage, never a matter of timing.

use super::diff::{Change, changes};
use super::document::Outlet;
use super::kv::{Kv, Snapshot as _};
use super::model::{Leaves, Model};
use super::reader::{Snapshot, head_node};
use super::{Limit, StateError, Version, key};
use crate::fork::record::{Lsn, Node};
use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::path::{self, Segment};
use std::collections::{BTreeMap, BTreeSet};

/// A rule that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The rule, and where it fails.
    #[error("{rule}: {what}")]
    Rule {
        /// Name of the check.
        rule: &'static str,
        /// Where it fails.
        what: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}

fn hold(holds: bool, rule: &'static str, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken::Rule { rule, what: what() }) }
}

/// Every rule that needs nothing but the store and the last durable LSN of its journal.
pub fn all<K: Kv>(state: &Snapshot<K>, durable: Lsn) -> Result<(), Broken> {
    journal_first(state, durable)?;
    versions_grow(state)?;
    views_are_there(state)?;
    rows_have_batches(state)?;
    readable_points_are_whole(state)
}

/// The journal is durable before the state: no record is applied that a crash could take back.
pub fn journal_first<K: Kv>(state: &Snapshot<K>, durable: Lsn) -> Result<(), Broken> {
    let cursor = state.cursor()?;
    hold(cursor <= durable, "journal_first", || format!("applied {cursor}, durable {durable}"))
}

/// A version is used once; a child's number is greater than its parent's; versions grow along a chain.
pub fn versions_grow<K: Kv>(state: &Snapshot<K>) -> Result<(), Broken> {
    const RULE: &str = "versions_grow";
    let mut used = BTreeSet::new();
    for fork in state.forks() {
        let fork = fork?;
        let parent = fork.row.parent;
        hold(parent.is_none_or(|at| at.branch < fork.branch), RULE, || {
            format!("branch {} before its parent", fork.branch)
        })?;
        let mut prev = parent;
        for batch in state.batches(fork.branch, 0, Lsn::MAX - 1) {
            let batch = batch?;
            let node = batch.node;
            hold(used.insert(node.version), RULE, || format!("{node:?}: its version is used twice"))?;
            hold(prev.is_none_or(|prev| prev.version < node.version), RULE, || format!("{node:?} not after {prev:?}"))?;
            hold(batch.prev == prev, RULE, || format!("{node:?} stands on {:?}, not {prev:?}", batch.prev))?;
            prev = Some(node);
        }
    }
    Ok(())
}

/// No view names a version that is not there: head, tips, cuts, kept points and ids are batches at or below the cursor.
pub fn views_are_there<K: Kv>(state: &Snapshot<K>) -> Result<(), Broken> {
    const RULE: &str = "views_are_there";
    let cursor = state.cursor()?;
    let there = |node: Node, what: &str| {
        let found = node.version <= cursor && state.batch(node)?.is_some();
        hold(found, RULE, || format!("{what} {node:?} is no batch up to {cursor}"))
    };
    if let Some(head) = head_node(state.rows())? {
        there(head, "head")?;
    }
    for fork in state.forks() {
        let fork = fork?;
        fork.row.parent.map_or(Ok(()), |node| there(node, "cut"))?;
        let last = state.batches(fork.branch, 0, Lsn::MAX - 1).next_back().transpose()?.map(|batch| batch.node);
        let tip = fork.tip.map(|tip| tip.batch.node);
        hold(tip == last, RULE, || format!("branch {}: tip {tip:?}, last batch {last:?}", fork.branch))?;
        tip.map_or(Ok(()), |node| there(node, "tip"))?;
        let first = fork.row.first.map(|(version, _)| Node { branch: fork.branch, version });
        first.map_or(Ok(()), |node| there(node, "first"))?;
    }
    state.kept()?.into_iter().try_for_each(|node| there(node, "kept point"))
}

/// Every row up to the cursor belongs to a batch: rows, index and cursor are one commit.
pub fn rows_have_batches<K: Kv>(state: &Snapshot<K>) -> Result<(), Broken> {
    let cursor = state.cursor()?;
    for entry in state.rows().range(&[key::table::ROW], &[key::table::ROW + 1]) {
        let (key, _) = entry.map_err(StateError::from)?;
        let (_, row) = key::parse_row(&key).ok_or_else(|| StateError::damaged("row key", &key))?;
        let known = row.version > cursor || state.batch(row)?.is_some();
        hold(known, "rows_have_batches", || format!("a row at {row:?} of no batch"))?;
    }
    Ok(())
}

/// The head, every kept point and every live branch's floor and tip can be read.
pub fn readable_points_are_whole<K: Kv>(state: &Snapshot<K>) -> Result<(), Broken> {
    const RULE: &str = "readable_points_are_whole";
    for point in state.kept()? {
        hold(state.readable(point)?, RULE, || format!("kept {point:?} cannot be read"))?;
    }
    for fork in state.forks() {
        let fork = fork?;
        let Some(tip) = fork.tip.filter(|_| fork.row.live) else { continue };
        let tip = tip.batch.node;
        hold(fork.row.floor <= tip.version && state.readable(tip)?, RULE, || format!("tip {tip:?} cannot be read"))?;
    }
    Ok(())
}

/// Every readable point has exactly the model's leaves, and exactly the model's points can be read. After a crash,
/// with records still to be applied again, `behind` leaves out the points that the store may not have yet.
pub fn equals_model<K: Kv>(state: &Snapshot<K>, model: &Model, behind: bool) -> Result<(), Broken> {
    const RULE: &str = "equals_model";
    let readable = model.readable();
    for (&node, leaves) in model.points() {
        let here = state.readable(node)?;
        hold(behind || here == readable.contains(&node), RULE, || format!("{node:?} readable: {here}"))?;
        if here {
            let found = leaves_of(state, node)?;
            hold(found == *leaves, RULE, || format!("{node:?}: {found:?} instead of {leaves:?}"))?;
        }
    }
    let mut last: Option<(Node, &Leaves)> = None;
    for (&node, leaves) in model.points() {
        if !readable.contains(&node) || !state.readable(node)? {
            continue;
        }
        versions_are_right(state, node, leaves)?;
        documents_are_whole(state, node, leaves)?;
        if let Some((old, before)) = last.replace((node, leaves)) {
            changes_are_right(state, old, before, node, leaves)?;
        }
    }
    let head = head_node(state.rows())?;
    hold(behind || head == model.head(), RULE, || format!("head {head:?} instead of {:?}", model.head()))
}

/// What the pages of a diff say, done to the leaves of one point, makes those of the other.
fn changes_are_right<K: Kv>(
    state: &Snapshot<K>,
    old: Node,
    before: &Leaves,
    new: Node,
    after: &Leaves,
) -> Result<(), Broken> {
    let (from, to) = (state.view(old)?, state.view(new)?);
    let (mut leaves, mut next) = (before.clone(), None);
    loop {
        let page = changes(&from, &to, &[], next.as_deref(), Limit { leaves: 2, bytes: 1 << 20 })?;
        for Change { path, old, new } in page.changes {
            let was = match new {
                Some(text) => leaves.insert(path.to_vec(), text.to_vec()),
                None => leaves.remove(path.as_ref()),
            };
            hold(was.as_deref() == old.as_deref(), "changes_are_right", || {
                format!("{path:?} was {was:?}, not {old:?}")
            })?;
        }
        next = page.next.map(|next| next.to_vec());
        if next.is_none() {
            return hold(leaves == *after, "changes_are_right", || format!("{old:?} to {new:?}: {leaves:?}"));
        }
    }
}

/// The versions of every leaf at a point: each is what a read at its batch answers, the newest what a read here does.
fn versions_are_right<K: Kv>(state: &Snapshot<K>, node: Node, leaves: &Leaves) -> Result<(), Broken> {
    const RULE: &str = "versions_are_right";
    let view = state.view(node)?;
    for (path, text) in leaves {
        let (mut from, mut newest) = (None, true);
        loop {
            let page = view.versions(path, from, Limit { leaves: 1, bytes: 1 << 20 })?;
            for Version { node: at, text: was } in page.versions {
                let here = !newest || was.as_deref() == Some(text.as_slice());
                hold(here, RULE, || format!("the newest of {path:?} at {node:?} is {was:?}"))?;
                let there = if state.readable(at)? { state.view(at)?.get(path)? } else { was.clone() };
                hold(there == was, RULE, || format!("{path:?} at {at:?}: {there:?}, not {was:?}"))?;
                newest = false;
            }
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        hold(!newest, RULE, || format!("{path:?} at {node:?} has no versions"))?;
    }
    Ok(())
}

/// What an outlet of a document gathers.
#[derive(Default)]
struct Text(Vec<u8>);

impl Outlet for Text {
    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    fn leaf(&mut self) -> bool {
        true
    }
}

/// What a document of a point shows and what it hides are its leaves, each once.
fn documents_are_whole<K: Kv>(state: &Snapshot<K>, node: Node, leaves: &Leaves) -> Result<(), Broken> {
    const RULE: &str = "documents_are_whole";
    let (view, mut shown, mut hidden) = (state.view(node)?, Text::default(), Text(vec![b'[']));
    let counts = view.write_nested(&mut shown)?.unwrap_or_default();
    view.write_hidden(&mut hidden)?;
    hidden.0.push(b']');
    let all = counts.leaves == leaves.len() as u64;
    hold(all, RULE, || format!("{counts:?} of {} leaves at {node:?}", leaves.len()))?;
    let (Ok(document), Ok(Json::Array(pairs))) = (json::parse(&shown.0), json::parse(&hidden.0)) else {
        return hold(false, RULE, || {
            format!("no JSON at {node:?}: {shown:?}, {hidden:?}", shown = shown.0, hidden = hidden.0)
        });
    };
    let mut left: BTreeMap<Vec<Vec<u8>>, Vec<&[u8]>> = BTreeMap::new();
    for (path, text) in leaves {
        left.entry(names(path::decode(path).unwrap_or_default())).or_default().push(text);
    }
    let mut found = Vec::new();
    flatten(document, &mut Vec::new(), &mut found);
    for pair in pairs {
        let Json::Array(pair) = pair else { continue };
        let [Json::Array(path), value] = pair.as_slice() else { continue };
        let path = path.iter().cloned().filter_map(Segment::from_json).collect();
        found.push((names(path), value.to_canonical()));
    }
    for (path, text) in found {
        let place = left.get_mut(&path).and_then(|texts| Some((texts.iter().position(|its| *its == text)?, texts)));
        let known = place.map(|(at, texts)| texts.swap_remove(at)).is_some();
        hold(known, RULE, || format!("{path:?} is not there, or not {text:?}, at {node:?}"))?;
    }
    hold(left.values().all(Vec::is_empty), RULE, || format!("{left:?} is missing at {node:?}"))
}

/// The keys that segments are in an object.
fn names(path: Vec<Segment>) -> Vec<Vec<u8>> {
    let name = |segment| match segment {
        Segment::Text(text) => text.as_bytes().to_vec(),
        number => {
            let mut name = Vec::new();
            number.write_canonical(&mut name);
            name
        }
    };
    path.into_iter().map(name).collect()
}

fn flatten(value: Json, path: &mut Vec<Vec<u8>>, found: &mut Vec<(Vec<Vec<u8>>, Vec<u8>)>) {
    let Json::Object(members) = value else { return found.push((path.clone(), value.to_canonical())) };
    for (name, value) in members {
        path.push(name.as_bytes().to_vec());
        flatten(value, path, found);
        path.pop();
    }
}

/// All leaves at a point, by scan; a get of each must answer the same.
pub fn leaves_of<K: Kv>(state: &Snapshot<K>, node: Node) -> Result<Leaves, Broken> {
    let view = state.view(node)?;
    let mut leaves = BTreeMap::new();
    let mut last: Vec<u8> = Vec::new();
    for leaf in view.scan(&[], None) {
        let (path, text) = leaf?;
        hold(last.is_empty() || *last < *path, "scan_in_order", || format!("{path:?} after {last:?}"))?;
        let got = view.get(&path)?;
        hold(got.as_ref() == Some(&text), "get_equals_scan", || format!("{path:?} at {node:?}: {got:?}, {text:?}"))?;
        last = path.to_vec();
        leaves.insert(path.to_vec(), text.to_vec());
    }
    Ok(leaves)
}
