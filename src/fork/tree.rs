//! The tree of chained batches: branches, the newest batches on them, the periods they lie in.
//!
//! *Always holds:* a branch's versions grow; a child branch's number is greater than its parent's; a batch is found by
//! (node before it, content), so equal content at the same place is one batch however often it is sent. Only the
//! newest [`HELD_BATCHES`] are held; older ones are known by branch and version alone, which is all a rollback needs.

use super::record::{Branch, BranchCause, BranchNo, Chain, Lsn, Node};
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Batches held in memory, over all branches: about 25 MB. A day of a busy network, so that a honeycomb that replays
/// its day is recognised; older content is parked instead.
pub const HELD_BATCHES: usize = 200_000;
/// Periods held in memory: more than the 288 that honeycomb caches.
pub const HELD_PERIODS: usize = 2_048;

/// A chained batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Version: LSN of the chain record.
    pub version: Lsn,
    /// Period it lies in, by number.
    pub period: u64,
    /// Opening hash of that period.
    pub hash: HashText,
    /// Place of its first op.
    pub seq: u64,
    /// Ops.
    pub count: u32,
    /// Whether a marker closed it.
    pub marker: bool,
    /// Label.
    pub label: Option<u64>,
    /// blake3 over its op texts.
    pub ops_hash: [u8; 32],
    /// Its id.
    pub id: BatchId,
    /// Its pieces.
    pub pieces: Pieces,
}

impl Entry {
    /// Place of the item that follows it.
    pub fn end(&self) -> u64 {
        self.seq + u64::from(self.count) + u64::from(self.marker)
    }
}

/// The pieces of a batch: nearly always one, which then costs no allocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pieces {
    /// One.
    One(Lsn),
    /// Several, in order.
    Many(Box<[Lsn]>),
}

impl Pieces {
    /// From a chain record.
    pub fn new(pieces: &[Lsn]) -> Self {
        match pieces {
            [one] => Self::One(*one),
            many => Self::Many(many.into()),
        }
    }

    /// In order.
    pub fn as_slice(&self) -> &[Lsn] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// One period on one history (a fork inside a period makes a second one).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Period {
    /// Opening hash.
    pub hash: HashText,
    /// Opening label.
    pub label: Option<u64>,
    /// Branch of its batches held under this number.
    pub branch: BranchNo,
    /// What its first batch on any branch stands on: the predecessor.
    pub before: Option<Node>,
    /// Its newest batch on this branch.
    pub last: Node,
    /// Id of that batch.
    pub last_id: BatchId,
    /// Place of the next item.
    pub next: u64,
    /// Places of index 0 of each run, as far as known; the first is 0.
    pub runs: Vec<u64>,
    /// Ops on this branch.
    pub ops: u64,
    /// First and last time it grew, ms.
    pub times: (u64, u64),
    /// Place and time of the last marker.
    pub marker: Option<(u64, u64)>,
    /// Confirmed by a message of honeycomb.
    pub confirmed: bool,
}

/// A branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchState {
    /// Branch and cut.
    pub parent: Option<Node>,
    /// Why it was born.
    pub cause: BranchCause,
    /// Its newest batches.
    pub entries: VecDeque<Entry>,
    /// Its tip.
    pub tip: Lsn,
    /// Its first batch, and that batch's label: the fork's name.
    pub first: Option<(Lsn, BatchId, Option<u64>)>,
    /// Whether it stands behind a hole that was given up.
    pub hole: bool,
    /// Lost its view.
    pub retired: bool,
    /// First and last time it grew, ms.
    pub times: (u64, u64),
    /// Ops on it.
    pub ops: u64,
}

/// Where a batch with given content would stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place<'a> {
    /// The batch before it.
    pub before: Option<Node>,
    /// Opening hash of its period.
    pub period: &'a HashText,
    /// Place of its first op.
    pub seq: u64,
    /// Ops.
    pub count: u64,
    /// blake3 over its op texts.
    pub ops_hash: [u8; 32],
}

/// The tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    branches: BTreeMap<BranchNo, BranchState>,
    /// Those that have a view.
    live: BTreeSet<BranchNo>,
    /// Branches by where they leave.
    leaving: BTreeMap<Option<Node>, Vec<BranchNo>>,
    periods: BTreeMap<u64, Period>,
    by_hash: BTreeMap<HashText, Vec<u64>>,
    next_period: u64,
    held: usize,
    /// Held batches, oldest first (and some that a retirement has taken).
    order: VecDeque<Node>,
}

impl Tree {
    /// Whether nothing was ever chained.
    ///
    /// A branch may be there already: a node that died between its birth and its first batch begins again.
    pub fn is_empty(&self) -> bool {
        self.periods.is_empty()
    }

    /// Number for the next branch.
    pub fn next_branch(&self) -> BranchNo {
        self.branches.last_key_value().map_or(0, |(no, _)| no + 1)
    }

    /// A branch.
    pub fn branch(&self, no: BranchNo) -> Option<&BranchState> {
        self.branches.get(&no)
    }

    /// All branches, by number.
    pub fn branches(&self) -> impl Iterator<Item = (BranchNo, &BranchState)> {
        self.branches.iter().map(|(no, state)| (*no, state))
    }

    /// Branches that have a view.
    pub fn live(&self) -> impl Iterator<Item = (BranchNo, &BranchState)> {
        self.live.iter().filter_map(|no| Some((*no, self.branches.get(no)?)))
    }

    /// Tip of a branch.
    pub fn tip(&self, no: BranchNo) -> Option<Node> {
        self.branches.get(&no).map(|state| Node { branch: no, version: state.tip })
    }

    /// A held batch.
    pub fn entry(&self, node: Node) -> Option<&Entry> {
        let entries = &self.branches.get(&node.branch)?.entries;
        let at = entries.binary_search_by_key(&node.version, |entry| entry.version).ok()?;
        entries.get(at)
    }

    /// A held period.
    pub fn period(&self, number: u64) -> Option<&Period> {
        self.periods.get(&number)
    }

    /// Held periods, newest first.
    pub fn periods(&self) -> impl Iterator<Item = (u64, &Period)> {
        self.periods.iter().rev().map(|(number, period)| (*number, period))
    }

    /// Held periods with this opening hash.
    pub fn periods_of(&self, hash: &HashText) -> impl Iterator<Item = (u64, &Period)> {
        let numbers = self.by_hash.get(hash).map_or(&[][..], Vec::as_slice);
        numbers.iter().filter_map(|number| self.periods.get(number).map(|period| (*number, period)))
    }

    /// Held batches with this id in periods with this opening hash: several where histories that differ before it have
    /// equal batches.
    pub fn named(&self, hash: &HashText, id: BatchId) -> Vec<Node> {
        let found = self.periods_of(hash).filter_map(|(number, period)| {
            if period.last_id == id {
                return Some(period.last);
            }
            let entries = &self.branches.get(&period.branch)?.entries;
            let from = entries.partition_point(|entry| entry.period < number);
            let mut own = entries.range(from..).take_while(|entry| entry.period == number);
            own.find(|entry| entry.id == id).map(|entry| Node { branch: period.branch, version: entry.version })
        });
        found.collect()
    }

    /// Marks the periods with this hash as confirmed; whether one was.
    pub fn confirm(&mut self, hash: &HashText) -> bool {
        let numbers = self.by_hash.get(hash).cloned().unwrap_or_default();
        for number in &numbers {
            self.periods.get_mut(number).expect("indexed").confirmed = true;
        }
        !numbers.is_empty()
    }

    /// Learns where a run of a period begins.
    pub fn learn_run(&mut self, node: Node, run: u32, base: u64) {
        let Some(number) = self.entry(node).map(|entry| entry.period) else { return };
        let Some(period) = self.periods.get_mut(&number) else { return };
        if period.runs.len() == run as usize {
            period.runs.push(base);
        }
    }

    /// The batch that stands directly after `before` with this content, if there is one.
    pub fn find(&self, place: &Place<'_>) -> Option<Node> {
        self.after(place.before).find(|node| {
            self.entry(*node).is_some_and(|entry| {
                entry.seq == place.seq
                    && u64::from(entry.count) == place.count
                    && entry.ops_hash == place.ops_hash
                    && entry.hash == *place.period
            })
        })
    }

    /// Whether all that ever followed this batch directly is held, so that [`find`](Self::find) misses nothing.
    pub fn knows_after(&self, before: Option<Node>) -> bool {
        match before {
            Some(node) => self.entry(node).is_some(),
            None => self.leaving.get(&None).into_iter().flatten().all(|no| {
                let first = self.branches.get(no).and_then(|state| state.first.as_ref());
                first.is_none_or(|first| self.entry(Node { branch: *no, version: first.0 }).is_some())
            }),
        }
    }

    /// The batch that holds this place of the period in which `at` lies, on the history of `at`.
    pub fn covering(&self, at: Node, place: u64) -> Option<(Node, &Entry)> {
        let last = self.entry(at)?;
        let mut at = at;
        loop {
            let state = self.branches.get(&at.branch)?;
            let number = self.entry(at).filter(|entry| entry.hash == last.hash)?.period;
            let upto = state.entries.partition_point(|entry| (entry.period, entry.seq) <= (number, place));
            let found = upto.checked_sub(1).and_then(|older| state.entries.get(older));
            match found.filter(|entry| entry.period == number && entry.version <= at.version) {
                Some(entry) => {
                    let node = Node { branch: at.branch, version: entry.version };
                    return (entry.end() > place).then_some((node, entry));
                }
                None => at = state.parent?,
            }
        }
    }

    /// All batches that stand directly after this one.
    pub fn after(&self, before: Option<Node>) -> impl Iterator<Item = Node> {
        let same = before.and_then(|node| {
            let entries = &self.branches.get(&node.branch)?.entries;
            let at = entries.partition_point(|entry| entry.version <= node.version);
            entries.get(at).map(|entry| Node { branch: node.branch, version: entry.version })
        });
        let leaving = self.leaving.get(&before).into_iter().flatten().filter_map(|no| {
            let first = self.branches.get(no)?.first.as_ref()?;
            Some(Node { branch: *no, version: first.0 })
        });
        same.into_iter().chain(leaving)
    }

    /// Whether `old` lies on the history of `new` (or is it).
    pub fn is_ancestor(&self, old: Node, new: Node) -> bool {
        let mut at = Some(new);
        while let Some(node) = at {
            if node.branch == old.branch {
                return old.version <= node.version;
            }
            at = self.branches.get(&node.branch).and_then(|state| state.parent);
        }
        false
    }

    /// The history that ends here: this point, and where it left each of the branches before, newest first.
    pub fn links(&self, at: Node) -> Vec<Node> {
        let parent = |node: &Node| self.branches.get(&node.branch).and_then(|state| state.parent);
        std::iter::successors(Some(at), parent).collect()
    }

    /// Live branches on whose history this batch lies: what [`is_ancestor`](Self::is_ancestor) says of each tip, with
    /// every branch looked at once.
    pub fn holding(&self, old: Node) -> BTreeSet<BranchNo> {
        let mut known: BTreeMap<BranchNo, bool> = BTreeMap::new();
        let mut holding = BTreeSet::new();
        let mut way = Vec::new();
        for (no, state) in self.live() {
            let mut at = Some(Node { branch: no, version: state.tip });
            let holds = loop {
                let Some(node) = at else { break false };
                if node.branch == old.branch {
                    break old.version <= node.version;
                }
                if let Some(holds) = known.get(&node.branch) {
                    break *holds;
                }
                way.push(node.branch);
                at = self.branches.get(&node.branch).and_then(|state| state.parent);
            };
            known.extend(way.drain(..).map(|no| (no, holds)));
            if holds {
                holding.insert(no);
            }
        }
        holding
    }

    /// How many branches have a view.
    pub fn live_count(&self) -> usize {
        self.live.len()
    }

    /// The first batch after `old` on the way to `new`; `old` must be an ancestor.
    pub fn step(&self, old: Node, new: Node) -> Option<Node> {
        self.after(Some(old)).find(|node| self.is_ancestor(*node, new))
    }

    /// Takes a [`Branch`] record.
    pub fn born(&mut self, record: &Branch) {
        let state = BranchState {
            parent: record.parent,
            cause: record.cause,
            entries: VecDeque::new(),
            tip: 0,
            first: None,
            hole: record.cause == BranchCause::Hole
                || record.parent.is_some_and(|node| self.branches.get(&node.branch).is_some_and(|b| b.hole)),
            retired: false,
            times: (0, 0),
            ops: 0,
        };
        self.branches.insert(record.branch, state);
        self.leaving.entry(record.parent).or_default().push(record.branch);
    }

    /// Takes a [`Chain`] record.
    pub fn chained(&mut self, lsn: Lsn, record: &Chain) {
        let node = Node { branch: record.branch, version: lsn };
        let period = self.grow_period(node, record);
        let Some(state) = self.branches.get_mut(&record.branch) else { return };
        let entry = Entry {
            version: lsn,
            period,
            hash: record.period.clone(),
            seq: record.seq,
            count: record.count as u32,
            marker: record.marker,
            label: record.label,
            ops_hash: record.ops_hash,
            id: record.id,
            pieces: Pieces::new(&record.pieces),
        };
        if state.first.is_none() {
            self.live.insert(record.branch);
            state.first = Some((lsn, record.id, record.label));
            state.times.0 = record.at_ms;
        }
        state.tip = lsn;
        state.times.1 = record.at_ms;
        state.ops += record.count;
        state.hole |= record.hole;
        state.entries.push_back(entry);
        self.held += 1;
        self.order.push_back(node);
        self.evict();
    }

    fn grow_period(&mut self, node: Node, record: &Chain) -> u64 {
        let before = record.prev.and_then(|prev| self.entry(prev).map(|entry| entry.period));
        let same = before.filter(|number| {
            self.periods.get(number).is_some_and(|period| period.hash == record.period && record.seq > 0)
        });
        let number = match same {
            Some(number) if self.periods[&number].branch == record.branch => number,
            _ => self.add_period(node, record, same),
        };
        let period = self.periods.get_mut(&number).expect("just found or made");
        period.label = period.label.or(record.opening_label);
        period.last = node;
        period.last_id = record.id;
        period.next = record.seq + record.count + u64::from(record.marker);
        period.ops += record.count;
        period.times.1 = record.at_ms;
        if record.marker {
            period.marker = Some((period.next - 1, record.at_ms));
        }
        number
    }

    fn add_period(&mut self, node: Node, record: &Chain, split_from: Option<u64>) -> u64 {
        let origin = split_from.and_then(|number| self.periods.get(&number));
        let period = Period {
            hash: record.period.clone(),
            label: record.opening_label,
            branch: record.branch,
            before: origin.map_or(record.prev, |origin| origin.before),
            last: node,
            last_id: record.id,
            next: 0,
            runs: origin.map_or_else(|| vec![0], |origin| origin.runs.clone()),
            ops: 0,
            times: (record.at_ms, record.at_ms),
            marker: None,
            confirmed: false,
        };
        let number = self.next_period;
        self.next_period += 1;
        self.by_hash.entry(period.hash.clone()).or_default().push(number);
        self.periods.insert(number, period);
        number
    }

    /// Takes a retirement: the branch's batches are forgotten but for its first, by which it is recognised.
    pub fn retired(&mut self, no: BranchNo) {
        if let Some(state) = self.branches.get_mut(&no) {
            state.retired = true;
            self.live.remove(&no);
            self.held -= state.entries.len().saturating_sub(1);
            state.entries.truncate(1);
        }
    }

    /// Forgets the oldest batches and periods beyond the bounds.
    fn evict(&mut self) {
        while self.held > HELD_BATCHES {
            let Some(oldest) = self.order.pop_front() else { break };
            let Some(state) = self.branches.get_mut(&oldest.branch) else { continue };
            // A branch keeps its newest batch, which may be older than what others had to give up.
            while state.entries.len() > 1 && state.entries[0].version <= oldest.version {
                state.entries.pop_front();
                self.held -= 1;
            }
        }
        while self.periods.len() > HELD_PERIODS {
            let Some((number, period)) = self.periods.pop_first() else { return };
            if let Some(numbers) = self.by_hash.get_mut(&period.hash) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.by_hash.remove(&period.hash);
                }
            }
        }
    }
}
