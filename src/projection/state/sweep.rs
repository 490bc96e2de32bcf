//! The sweep: removes rows that no readable point needs any more, in slices, between batches.
//!
//! A row goes only if it is the answer at no readable point; a tombstone, moreover, only when no older row of its own
//! chain stays, which it would let through.
//!
//! *Always holds:* the readable points shrank durably before the first row goes; all removals of a path are one
//! commit (of a path with too many of them, values go before tombstones, which is right after every commit); rows
//! above the cursor are left alone.

use super::branches::Branches;
use super::kv::{Kv, Slice, Snapshot, Write};
use super::{State, StateError, entry, key};
use crate::fork::record::{BranchNo, Lsn, Node};
use std::collections::BTreeMap;

/// Removals in one commit.
const AT_ONCE: usize = if cfg!(test) { 8 } else { 16_384 };

/// What one slice of the sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows looked at.
    pub scanned: usize,
    /// Rows removed.
    pub removed: usize,
    /// Whether nothing is left to do.
    pub done: bool,
}

/// Where the sweep stands.
#[derive(Default)]
pub(super) struct Sweep {
    /// Whether a pass is asked for or under way.
    wanted: bool,
    /// Whether points were given up since the pass began: then it is followed by another.
    again: bool,
    /// Path from which the pass goes on.
    at: Vec<u8>,
    /// What is readable, as of this many changes of the branches.
    plan: Option<(u64, Plan)>,
}

impl Sweep {
    /// A pass that was under way begins anew.
    pub(super) fn resume(snapshot: &impl Snapshot) -> Result<Self, StateError> {
        let wanted = snapshot.get(&key::single(key::table::SWEEP))?.is_some();
        Ok(Self { wanted, ..Self::default() })
    }

    /// Asks for a pass; the write goes into the commit that gives up the points.
    pub(super) fn order(&mut self) -> Option<Write> {
        self.again = self.wanted;
        self.wanted = true;
        Some(super::write(&key::single(key::table::SWEEP), &[]))
    }
}

/// What is readable, arranged for the question whether a row is an answer.
struct Plan(BTreeMap<BranchNo, Needed>);

/// A branch through which something is readable.
#[derive(Default)]
struct Needed {
    /// Floor and tip, if it lives.
    range: Option<Lsn>,
    /// Single points on it, ascending.
    kept: Vec<Lsn>,
    /// Needed children as (cut, smallest floor at or under it, child), by cut.
    children: Vec<(Lsn, Lsn, BranchNo)>,
}

impl Plan {
    fn of(branches: &Branches) -> Self {
        let mut plan: BTreeMap<BranchNo, Needed> = BTreeMap::new();
        for point in branches.kept() {
            plan.entry(point.branch).or_default().kept.push(point.version);
        }
        // From the newest: children have greater numbers.
        let all: Vec<_> = branches.all().collect();
        for (branch, known) in all.into_iter().rev() {
            if known.live {
                plan.entry(branch).or_default().range = Some(known.floor);
            }
            if let Some(parent) = known.parent.filter(|_| plan.contains_key(&branch)) {
                let child = (parent.version, known.lowest, branch);
                plan.entry(parent.branch).or_default().children.push(child);
            }
        }
        plan.values_mut().for_each(|needed| needed.children.sort_unstable());
        Self(plan)
    }

    /// Whether a row of `path` that is the newest on its branch from its version until `until` is the answer anywhere.
    fn answers(&self, row: Node, until: Lsn, path: &Path) -> bool {
        let mut open = vec![(row.branch, row.version, until)];
        while let Some((branch, from, until)) = open.pop() {
            let Some(needed) = self.0.get(&branch) else { continue };
            let ranges = needed.range.is_some_and(|floor| floor < until);
            let at = needed.kept.partition_point(|point| *point < from);
            if ranges || needed.kept.get(at).is_some_and(|point| *point < until) {
                return true;
            }
            let first = needed.children.partition_point(|(cut, ..)| *cut < from);
            for &(cut, lowest, child) in &needed.children[first..] {
                if lowest < until.min(cut + 1) {
                    return true;
                }
                if cut < until {
                    open.push((child, cut + 1, path.first_on(child)));
                }
            }
        }
        false
    }
}

/// The rows of one path.
#[derive(Default)]
struct Path {
    path: Vec<u8>,
    /// Versions on each branch, newest first, and whether each is a tombstone.
    rows: BTreeMap<BranchNo, Vec<(Lsn, bool)>>,
}

impl Path {
    /// Oldest version on a branch.
    fn first_on(&self, branch: BranchNo) -> Lsn {
        self.rows.get(&branch).and_then(|rows| rows.last()).map_or(Lsn::MAX, |(version, _)| *version)
    }

    /// The rows that go: values, then tombstones.
    fn removals(&self, plan: &Plan, branches: &Branches, cursor: Lsn) -> (Vec<Node>, Vec<Node>) {
        let (mut values, mut tombstones) = (Vec::new(), Vec::new());
        // The oldest row that stays on each branch. Parents come first, and within a branch the oldest.
        let mut stays: BTreeMap<BranchNo, Lsn> = BTreeMap::new();
        for (&branch, rows) in &self.rows {
            let mut until = Lsn::MAX;
            let ends: Vec<Lsn> = rows.iter().map(|(version, _)| std::mem::replace(&mut until, *version)).collect();
            for (&(version, tombstone), &until) in rows.iter().zip(&ends).rev() {
                let row = Node { branch, version };
                let under = |link: &Node| stays.get(&link.branch).is_some_and(|oldest| *oldest <= link.version);
                let goes = version <= cursor
                    && !plan.answers(row, until, self)
                    && !(tombstone && branches.chain(row).iter().any(under));
                match (goes, tombstone) {
                    (true, true) => tombstones.push(row),
                    (true, false) => values.push(row),
                    (false, _) => {
                        stays.entry(branch).or_insert(version);
                    }
                }
            }
        }
        (values, tombstones)
    }
}

impl<K: Kv> State<K> {
    /// Whether rows wait to be swept.
    pub fn sweep_wanted(&self) -> bool {
        self.sweep.wanted
    }

    /// Sweeps about `rows` rows further (whole paths, at least one).
    pub fn sweep(&mut self, rows: usize) -> Result<Swept, StateError> {
        if !self.sweep.wanted {
            return Ok(Swept { done: true, ..Swept::default() });
        }
        self.commit()?;
        let changes = self.shared.branches(Branches::changes);
        let plan = match self.sweep.plan.take() {
            Some((as_of, plan)) if as_of == changes => plan,
            _ => {
                self.shared.kv.sync()?;
                self.shared.branches(Plan::of)
            }
        };
        #[cfg(test)]
        let plan = self.planted_plan(plan);
        let mut swept = Swept::default();
        let more = self.slice(rows, &plan, &mut swept)?;
        self.sweep.plan = Some((changes, plan));
        if more.is_none() {
            self.sweep.wanted = std::mem::take(&mut self.sweep.again);
            if !self.sweep.wanted {
                self.sweep.plan = None;
                self.shared.kv.commit(vec![(key::single(key::table::SWEEP).as_slice().into(), None)])?;
            }
        }
        self.sweep.at = more.unwrap_or_default();
        swept.done = !self.sweep.wanted;
        Ok(swept)
    }

    /// One slice; answers the key to go on from, if there is more.
    fn slice(&mut self, rows: usize, plan: &Plan, swept: &mut Swept) -> Result<Option<Vec<u8>>, StateError> {
        let from = if self.sweep.at.is_empty() { vec![key::table::ROW] } else { std::mem::take(&mut self.sweep.at) };
        let range = self.shared.kv.snapshot().range(&from, &[key::table::ROW + 1]);
        let mut present = Path::default();
        let mut out = Vec::new();
        for entry in range {
            let (key, value) = entry?;
            let (path, row) = key::parse_row(&key).ok_or_else(|| StateError::damaged("row key", &key))?;
            if path != present.path {
                self.finish(&present, plan, &mut out, swept)?;
                if swept.scanned >= rows {
                    self.shared.kv.commit(out)?;
                    let mut next = vec![key::table::ROW];
                    next.extend_from_slice(path);
                    return Ok(Some(next));
                }
                present = Path { path: path.to_vec(), rows: BTreeMap::new() };
            }
            swept.scanned += 1;
            present.rows.entry(row.branch).or_default().push((row.version, value.first() == Some(&entry::TOMBSTONE)));
        }
        self.finish(&present, plan, &mut out, swept)?;
        self.shared.kv.commit(out)?;
        Ok(None)
    }

    /// Adds a path's removals to the commit under way, or commits them when they are many.
    fn finish(&self, path: &Path, plan: &Plan, out: &mut Vec<Write>, swept: &mut Swept) -> Result<(), StateError> {
        let cursor = self.applied;
        let (values, tombstones) = self.shared.branches(|branches| path.removals(plan, branches, cursor));
        let many = values.len() + tombstones.len();
        swept.removed += many;
        let mut key = Vec::new();
        let mut removal = |row: Node| {
            key::row(&path.path, row, &mut key);
            (Slice::from(key.as_slice()), None)
        };
        #[cfg(test)]
        if self.planted(super::Plant::TombstoneFirst) {
            let marks = |(&branch, rows): (&BranchNo, &Vec<(Lsn, bool)>)| {
                let rows: Vec<_> = rows.iter().filter(|(version, mark)| *mark && *version <= cursor).collect();
                rows.into_iter().map(|(version, _)| Node { branch, version: *version }).collect::<Vec<_>>()
            };
            self.shared.kv.commit(path.rows.iter().flat_map(marks).map(&mut removal).collect())?;
            return Ok(self.shared.kv.commit(values.into_iter().map(&mut removal).collect())?);
        }
        let rows: Vec<Node> = values.into_iter().chain(tombstones).collect();
        if many > AT_ONCE {
            for part in rows.chunks(AT_ONCE) {
                self.shared.kv.commit(part.iter().copied().map(&mut removal).collect())?;
            }
            return Ok(());
        }
        out.extend(rows.into_iter().map(&mut removal));
        if out.len() > AT_ONCE { Ok(self.shared.kv.commit(std::mem::take(out))?) } else { Ok(()) }
    }

    #[cfg(test)]
    fn planted_plan(&self, mut plan: Plan) -> Plan {
        if self.planted(super::Plant::SweepByHeads) {
            plan.0.values_mut().for_each(|needed| {
                needed.range = needed.range.map(|_| Lsn::MAX - 1);
                needed.children.iter_mut().for_each(|(_, lowest, _)| *lowest = Lsn::MAX - 1);
            });
        }
        plan
    }
}
