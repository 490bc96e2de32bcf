//! What readers hold: a snapshot of the store, and from it the views, tips and the index of batches.
//!
//! *Always holds:* the store's snapshot is taken first and everything else is read from it, so an answer never mixes
//! two states; readers and the writer never wait for each other.

use super::branches::Chain;
use super::entry::{Batch, BranchRow, PeriodAt, Span, Tip, decode_node};
use super::kv::{Fjall, Kv, Slice, Snapshot as Rows};
use super::{Shared, StateError, View, key};
use crate::fork::record::{BranchNo, Lsn, Node};
use honeygraph_protocols::batch::BatchId;
use std::sync::Arc;
use tokio::sync::watch;

/// Candidates named when a name fits several forks.
pub const CANDIDATES: usize = 16;

/// A handle on the state, whichever store it lies in now. Clones are cheap.
pub struct Reader<K: Kv = Fjall>(watch::Receiver<Arc<Shared<K>>>);

impl<K: Kv> Clone for Reader<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Kv> Reader<K> {
    pub(super) fn new(shared: watch::Receiver<Arc<Shared<K>>>) -> Self {
        Self(shared)
    }

    /// The state as committed now.
    pub fn snapshot(&self) -> Snapshot<K> {
        let shared = self.0.borrow().clone();
        Snapshot { rows: shared.kv.snapshot(), shared }
    }
}

impl Reader {
    /// The store that is read now, for whoever may have to say that it is damaged.
    pub fn store(&self) -> Store {
        Store(self.0.borrow().clone())
    }

    /// Whether the state has applied this record.
    pub fn is_at(&self, lsn: Lsn) -> bool {
        self.snapshot().cursor().is_ok_and(|cursor| cursor >= lsn)
    }
}

/// The store in which the state lay at some time: another one may have taken its place since.
pub struct Store(Arc<Shared<Fjall>>);

impl Store {
    /// What was read in it cannot be: the state's own thread is told, and makes it anew.
    pub fn distrust(&self) {
        self.0.kv.tell_damage();
    }
}

/// The state as of one commit.
pub struct Snapshot<K: Kv = Fjall> {
    rows: K::Snapshot,
    shared: Arc<Shared<K>>,
}

impl<K: Kv> Clone for Snapshot<K> {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone(), shared: self.shared.clone() }
    }
}

/// A fork by one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// Exactly one.
    One(Box<Fork>),
    /// Several: the first [`CANDIDATES`] of them.
    Several(Vec<Fork>),
    /// None.
    Unknown,
}

/// A fork: a branch with its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The branch.
    pub branch: BranchNo,
    /// Its row.
    pub row: BranchRow,
    /// Its last batch; none before its first.
    pub tip: Option<Tip>,
}

/// Where the question for a label ends up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtLabel {
    /// The last batch whose label is not above the one asked for.
    pub batch: Batch,
    /// First batch of that label on its branch.
    pub first: Node,
}

impl<K: Kv> Snapshot<K> {
    /// Last record applied.
    pub fn cursor(&self) -> Result<Lsn, StateError> {
        super::cursor(&self.rows)
    }

    /// Where the head stands.
    pub fn head(&self) -> Result<Option<Batch>, StateError> {
        let Some(node) = head_node(&self.rows)? else { return Ok(None) };
        match tip(&self.rows, node.branch)? {
            Some(tip) if tip.batch.node == node => Ok(Some(tip.batch)),
            _ => batch(&self.rows, node),
        }
    }

    /// The last batch of a branch.
    pub fn tip(&self, branch: BranchNo) -> Result<Option<Tip>, StateError> {
        tip(&self.rows, branch)
    }

    /// A branch's row.
    pub fn branch(&self, branch: BranchNo) -> Result<Option<BranchRow>, StateError> {
        let key = key::branch(key::table::BRANCH, branch);
        let decode = |row: Slice| BranchRow::decode(&row).ok_or_else(|| StateError::damaged("branch", &key));
        self.rows.get(&key)?.map(decode).transpose()
    }

    /// All branches, oldest first, with their tips.
    pub fn forks(&self) -> impl Iterator<Item = Result<Fork, StateError>> + '_ {
        super::branch_rows(&self.rows).map(|(branch, row)| Ok(Fork { branch, row: row?, tip: self.tip(branch)? }))
    }

    fn fork(&self, branch: BranchNo) -> Result<Option<Fork>, StateError> {
        let Some(row) = self.branch(branch)? else { return Ok(None) };
        Ok(Some(Fork { branch, row, tip: self.tip(branch)? }))
    }

    /// Points kept beside the ranges of the branches.
    pub fn kept(&self) -> Result<Vec<Node>, StateError> {
        let rows = self.rows.range(&[key::table::KEPT], &[key::table::KEPT + 1]);
        rows.map(|entry| {
            let (key, _) = entry?;
            key::parse_node(&key).ok_or_else(|| StateError::damaged("kept point", &key))
        })
        .collect()
    }

    /// Whether a point can be read.
    pub fn readable(&self, node: Node) -> Result<bool, StateError> {
        let tip = self.tip(node.branch)?.map_or(0, |tip| tip.batch.node.version);
        Ok(self.shared.branches(|branches| branches.readable(node, tip)))
    }

    /// The state at a point: a branch and a version up to its tip. [`StateError::Gone`] when it is not kept.
    pub fn view(&self, node: Node) -> Result<View<K::Snapshot>, StateError> {
        if !self.readable(node)? {
            return Err(StateError::Gone(node));
        }
        Ok(View::new(self.rows.clone(), self.chain(node)))
    }

    /// The state at a batch that was read from this snapshot: as [`Self::view`], and saves the look at the branch's tip,
    /// as the batch does not lie behind it.
    pub fn view_at(&self, batch: &Batch) -> Result<View<K::Snapshot>, StateError> {
        let node = batch.node;
        if !self.shared.branches(|branches| branches.readable(node, node.version)) {
            return Err(StateError::Gone(node));
        }
        Ok(View::new(self.rows.clone(), self.chain(node)))
    }

    /// The chain of a point, newest first.
    pub fn chain(&self, node: Node) -> Chain {
        self.shared.branches(|branches| branches.chain(node))
    }

    /// The batch chained at a place.
    pub fn batch(&self, node: Node) -> Result<Option<Batch>, StateError> {
        batch(&self.rows, node)
    }

    /// The last batch at or before a point, on its chain.
    pub fn last_batch(&self, node: Node) -> Result<Option<Batch>, StateError> {
        for link in self.chain(node) {
            if let Some(found) = self.batches(link.branch, 0, link.version).next_back() {
                return found.map(Some);
            }
        }
        Ok(None)
    }

    /// The first batch of a batch's period on the batch's own branch.
    pub fn first_of_period(&self, batch: &Batch) -> Result<Batch, StateError> {
        let Node { branch, version } = batch.node;
        let span = self.span(&key::period(batch.period.as_str(), branch))?;
        let first = span.map_or(version, |span| span.first.min(version));
        Ok(self.batch(Node { branch, version: first })?.unwrap_or_else(|| batch.clone()))
    }

    /// Whether every key that the network ever had is known at a batch: its history begins where honeycomb itself began,
    /// and was never broken.
    pub fn complete(&self, network: &str, batch: &Batch) -> Result<bool, StateError> {
        if !batch.unbroken {
            return Ok(false);
        }
        if self.based(batch.node).is_some() {
            return Ok(true);
        }
        let Some(root) = self.chain(batch.node).last().copied() else { return Ok(false) };
        let first = self.batches(root.branch, 0, root.version).next().transpose()?;
        Ok(first.is_some_and(|first| first.period.as_str().strip_prefix("genesis:") == Some(network)))
    }

    /// The batch with which the base was applied, on the chain of a point at or after it.
    pub fn based(&self, point: Node) -> Option<Node> {
        let chain = self.chain(point);
        self.shared.branches(|branches| branches.based(&chain))
    }

    /// Batches of one branch with versions from `first` to `last`.
    pub fn batches(
        &self,
        branch: BranchNo,
        first: Lsn,
        last: Lsn,
    ) -> impl DoubleEndedIterator<Item = Result<Batch, StateError>> + '_ {
        let from = key::node(key::table::BATCH, Node { branch, version: first });
        let mut to = key::node(key::table::BATCH, Node { branch, version: last }).to_vec();
        to.push(0);
        self.rows.range(&from, &to).map(|entry| {
            let (key, value) = entry?;
            let node = key::parse_node(&key).ok_or_else(|| StateError::damaged("batch key", &key))?;
            decode_batch(&self.rows, node, &value)
        })
    }

    /// Every place at which a batch is chained, oldest branch first.
    pub fn places(&self, id: &BatchId) -> Result<Vec<Node>, StateError> {
        self.places_of(id.digest(), usize::MAX)
    }

    /// At most so many places of the batches whose ids begin with these bytes.
    pub fn places_of(&self, id: &[u8], most: usize) -> Result<Vec<Node>, StateError> {
        let from = [&[key::table::ID], id].concat();
        let rows = self.rows.range(&from, &key::after(from.clone()));
        rows.take(most)
            .map(|entry| {
                let (key, value) = entry?;
                let version = value.as_ref().try_into().map(Lsn::from_be_bytes);
                match (key::tail_branch(&key), version) {
                    (Some(branch), Ok(version)) => Ok(Node { branch, version }),
                    _ => Err(StateError::damaged("batch id", &key)),
                }
            })
            .collect()
    }

    /// The batch with this id on the chain of `point`.
    pub fn find(&self, point: Node, id: &BatchId) -> Result<Option<Batch>, StateError> {
        let chain = self.chain(point);
        let place = self.places(id)?.into_iter().rev().find(|place| super::branches::visible(&chain, *place));
        place.map_or(Ok(None), |place| self.batch(place))
    }

    /// The batches of a label on the chain of `point`, oldest first.
    pub fn block(&self, point: Node, label: u64) -> Result<Vec<Batch>, StateError> {
        let mut block = Vec::new();
        for link in self.chain(point).into_iter().rev() {
            let Some(span) = self.span(&key::label(link.branch, label))? else { continue };
            for batch in self.batches(link.branch, span.first, span.last.min(link.version)) {
                let batch = batch?;
                if batch.label == Some(label) {
                    block.push(batch);
                }
            }
        }
        Ok(block)
    }

    /// The last batch on the chain of `point` whose label is at most `label`.
    pub fn at_label(&self, point: Node, label: u64) -> Result<Option<AtLabel>, StateError> {
        for link in self.chain(point) {
            let mut to = key::label(link.branch, label).to_vec();
            to.push(0);
            for entry in self.rows.range(&key::label(link.branch, 0), &to).rev() {
                let (key, value) = entry?;
                let span = Span::decode(&value).ok_or_else(|| StateError::damaged("label", &key))?;
                let found = key::parse_node(&key).ok_or_else(|| StateError::damaged("label", &key))?.version;
                if span.first > link.version {
                    continue;
                }
                let mut batches = self.batches(link.branch, span.first, span.last.min(link.version)).rev();
                let first = Node { branch: link.branch, version: span.first };
                let hit = batches.find(|batch| batch.as_ref().map_or(true, |batch| batch.label == Some(found)));
                if let Some(batch) = hit {
                    return Ok(Some(AtLabel { batch: batch?, first }));
                }
            }
        }
        Ok(None)
    }

    /// The last batch of a period on the chain of `point`.
    pub fn period(&self, point: Node, hash: &str) -> Result<Option<Batch>, StateError> {
        for link in self.chain(point) {
            let Some(span) = self.span(&key::period(hash, link.branch))? else { continue };
            let mut batches = self.batches(link.branch, span.first, span.last.min(link.version)).rev();
            let hit = batches.find(|batch| batch.as_ref().map_or(true, |batch| batch.period.as_str() == hash));
            if let Some(batch) = hit {
                return batch.map(Some);
            }
        }
        Ok(None)
    }

    /// The batches of a period on the chain of `point`, oldest first. None when there are more than `most`.
    pub fn batches_of(&self, point: Node, hash: &str, most: usize) -> Result<Option<Vec<Batch>>, StateError> {
        let mut found = Vec::new();
        for link in self.chain(point).into_iter().rev() {
            let Some(span) = self.span(&key::period(hash, link.branch))? else { continue };
            for batch in self.batches(link.branch, span.first, span.last.min(link.version)) {
                let batch = batch?;
                if batch.period.as_str() != hash {
                    continue;
                }
                if found.len() == most {
                    return Ok(None);
                }
                found.push(batch);
            }
        }
        Ok(Some(found))
    }

    /// The batch that follows `node` on the chain of `point`.
    pub fn after(&self, point: Node, node: Node) -> Result<Option<Batch>, StateError> {
        let chain = self.chain(point);
        for link in chain.iter().rev().skip_while(|link| link.branch != node.branch) {
            let from = if link.branch == node.branch { node.version + 1 } else { 0 };
            if let Some(batch) = self.batches(link.branch, from, link.version).next() {
                return batch.map(Some);
            }
        }
        Ok(None)
    }

    /// The fork with this name: id of its first batch, id of its last, or the opening hash of a period that no other
    /// live fork has.
    pub fn named(&self, name: &str) -> Result<Named, StateError> {
        let Ok(id) = name.parse::<BatchId>() else { return self.by_period(name) };
        // The branches in memory may be newer than the snapshot: it has the word.
        let first = self.shared.branches(|branches| branches.beginning_with(id));
        let first = first.into_iter().filter_map(|branch| self.fork(branch).transpose());
        let first = first.filter(|fork| fork.as_ref().map_or(true, |fork| fork.row.first.is_some()));
        let first = first.collect::<Result<Vec<_>, _>>()?;
        if !first.is_empty() {
            return Ok(one_of(first));
        }
        let places = self.places(&id)?;
        let mut last = Vec::new();
        for place in &places {
            let fork = self.fork(place.branch)?;
            last.extend(fork.filter(|fork| fork.tip.as_ref().is_some_and(|tip| tip.batch.node == *place)));
        }
        if last.is_empty() { self.through(&places) } else { Ok(one_of(last)) }
    }

    fn by_period(&self, hash: &str) -> Result<Named, StateError> {
        if hash.is_empty() || hash.len() > honeygraph_protocols::honeycomb::HashText::MAX_BYTES {
            return Ok(Named::Unknown);
        }
        let from = key::period_prefix(hash);
        let mut places = Vec::new();
        for entry in self.rows.range(&from, &key::after(from.clone())) {
            let (key, value) = entry?;
            match (key::tail_branch(&key), Span::decode(&value)) {
                (Some(branch), Some(span)) => places.push(Node { branch, version: span.first }),
                _ => return Err(StateError::damaged("period", &key)),
            }
        }
        self.through(&places)
    }

    /// The live forks on whose chain one of these places lies.
    fn through(&self, places: &[Node]) -> Result<Named, StateError> {
        if places.is_empty() {
            return Ok(Named::Unknown);
        }
        let mut found = Vec::new();
        for fork in self.forks() {
            let fork = fork?;
            let Some(tip) = fork.tip.as_ref().filter(|_| fork.row.live) else { continue };
            let chain = self.chain(tip.batch.node);
            if places.iter().any(|place| super::branches::visible(&chain, *place)) {
                found.push(fork);
            }
            if found.len() > CANDIDATES {
                break;
            }
        }
        Ok(one_of(found))
    }

    fn span(&self, key: &[u8]) -> Result<Option<Span>, StateError> {
        let decode = |span: Slice| Span::decode(&span).ok_or_else(|| StateError::damaged("span", key));
        self.rows.get(key)?.map(decode).transpose()
    }

    /// The rows under it, for checks.
    pub fn rows(&self) -> &K::Snapshot {
        &self.rows
    }
}

fn one_of(mut forks: Vec<Fork>) -> Named {
    forks.truncate(CANDIDATES);
    match forks.pop() {
        None => Named::Unknown,
        Some(only) if forks.is_empty() => Named::One(Box::new(only)),
        Some(last) => {
            forks.push(last);
            Named::Several(forks)
        }
    }
}

pub(super) fn head_node(rows: &impl Rows) -> Result<Option<Node>, StateError> {
    let key = key::single(key::table::HEAD);
    let decode = |node: Slice| decode_node(&node).ok_or_else(|| StateError::damaged("head", &key));
    rows.get(&key)?.map(decode).transpose()
}

pub(super) fn tip(rows: &impl Rows, branch: BranchNo) -> Result<Option<Tip>, StateError> {
    let key = key::branch(key::table::TIP, branch);
    let decode = |tip: Slice| Tip::decode(branch, &tip).ok_or_else(|| StateError::damaged("tip", &key));
    rows.get(&key)?.map(decode).transpose()
}

pub(super) fn batch(rows: &impl Rows, node: Node) -> Result<Option<Batch>, StateError> {
    let row = rows.get(&key::node(key::table::BATCH, node))?;
    row.map(|row| decode_batch(rows, node, &row)).transpose()
}

fn decode_batch(rows: &impl Rows, node: Node, bytes: &[u8]) -> Result<Batch, StateError> {
    let damaged = |node| StateError::damaged("batch", &key::node(key::table::BATCH, node));
    let (fields, period) = Batch::decode(node, bytes).ok_or_else(|| damaged(node))?;
    let version = match period {
        PeriodAt::Here(hash, label) => return Ok(fields.with_period(hash, label)),
        PeriodAt::Version(version) => version,
    };
    let at = Node { branch: node.branch, version };
    let row = rows.get(&key::node(key::table::BATCH, at))?.ok_or_else(|| damaged(node))?;
    match Batch::decode(at, &row) {
        Some((_, PeriodAt::Here(hash, label))) => Ok(fields.with_period(hash, label)),
        _ => Err(damaged(at)),
    }
}
