//! The rules of the state in their plainest form: every point's leaves as a map of its own, computed by replay.
//!
//! It knows nothing of rows, seeks or commits. The tests and the simulation hold the store against it.
//!
//! *Always holds:* a point's leaves never change once it is there; only what may be read shrinks.

use super::body::{self, Effect};
use crate::fork::record::{BranchNo, Lsn, Node, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Leaves by encoded path.
pub type Leaves = BTreeMap<Vec<u8>, Vec<u8>>;

/// The state, the plain way.
#[derive(Clone, Debug, Default)]
pub struct Model {
    parents: BTreeMap<BranchNo, Option<Node>>,
    /// Floors of the branches that can be read.
    floors: BTreeMap<BranchNo, Lsn>,
    kept: BTreeSet<Node>,
    tips: BTreeMap<BranchNo, Node>,
    points: BTreeMap<Node, Leaves>,
    head: Option<Node>,
}

impl Model {
    /// Applies a record; `body` fetches the ops of a piece.
    pub fn apply(&mut self, lsn: Lsn, record: &Record, body: impl Fn(Lsn) -> Vec<u8>) {
        match record {
            Record::Branch(birth) => {
                let floor = birth.parent.map_or(Some(0), |parent| self.floor_at(parent));
                self.floors.extend(floor.map(|floor| (birth.branch, floor)));
                self.parents.insert(birth.branch, birth.parent);
            }
            Record::Chain(chain) => {
                let node = Node { branch: chain.branch, version: lsn };
                let before = chain.prev.and_then(|prev| self.points.get(&prev)).cloned().unwrap_or_default();
                let bodies = chain.pieces.iter().map(|piece| body(*piece));
                self.points.insert(node, after(&before, bodies));
                self.tips.insert(chain.branch, node);
                self.head = if chain.head { Some(node) } else { self.head };
            }
            Record::Head(head) => self.head = Some(head.at),
            Record::Retired(retired) => {
                self.floors.remove(&retired.branch);
                self.kept.extend(self.head.filter(|head| !self.readable().contains(head)));
            }
            _ => {}
        }
    }

    /// Gives up points of a branch below `floor`.
    pub fn raise_floor(&mut self, branch: BranchNo, floor: Lsn) {
        let Some(tip) = self.tips.get(&branch) else { return };
        if let Some(at) = self.floors.get_mut(&branch) {
            *at = floor.min(tip.version).max(*at);
        }
        self.kept.extend(self.head.filter(|head| !self.readable().contains(head)));
    }

    /// Keeps one point, or lets it go.
    pub fn keep(&mut self, point: Node, keep: bool) {
        if keep {
            self.kept.insert(point);
        } else {
            self.kept.remove(&point);
        }
    }

    /// Where the head stands.
    pub fn head(&self) -> Option<Node> {
        self.head
    }

    /// Every point there ever was, with its leaves.
    pub fn points(&self) -> &BTreeMap<Node, Leaves> {
        &self.points
    }

    /// Last point of each branch.
    pub fn tips(&self) -> &BTreeMap<BranchNo, Node> {
        &self.tips
    }

    /// Every branch, oldest first.
    pub fn branches(&self) -> impl Iterator<Item = BranchNo> + '_ {
        self.parents.keys().copied()
    }

    /// Every point that can be read: from the floor of each live branch along its chain to its tip, and those kept.
    pub fn readable(&self) -> BTreeSet<Node> {
        let mut readable = self.kept.clone();
        for (&branch, &floor) in &self.floors {
            readable.extend(self.along(branch).filter(|point| point.version >= floor));
        }
        readable
    }

    /// All points along a branch's chain, its own and those of its ancestors up to the cuts.
    fn along(&self, branch: BranchNo) -> impl Iterator<Item = Node> + '_ {
        let mut link = Some(Node { branch, version: Lsn::MAX });
        let links = std::iter::from_fn(move || {
            let at = link?;
            link = self.parents.get(&at.branch).copied().flatten();
            Some(at)
        });
        links.flat_map(|link| self.points.range(Node { branch: link.branch, version: 0 }..=link)).map(|(node, _)| *node)
    }

    fn floor_at(&self, point: Node) -> Option<Lsn> {
        let reaches = |branch: BranchNo, floor: Lsn| floor <= point.version && self.along(branch).any(|at| at == point);
        let ranges = self.floors.iter().filter(|(branch, floor)| reaches(**branch, **floor)).map(|(_, floor)| *floor);
        ranges.chain(self.kept.get(&point).map(|point| point.version)).min()
    }
}

/// W, and then every leaf at or below a del that was there before is gone.
fn after(before: &Leaves, bodies: impl Iterator<Item = Vec<u8>>) -> Leaves {
    let mut after = before.clone();
    let mut dels = Vec::new();
    for body in bodies {
        body::effects(&body, |effect| match effect {
            Effect::Put(path, text) => {
                after.insert(path.to_vec(), text.to_vec());
            }
            Effect::Del(path) => dels.push(path.to_vec()),
        })
        .unwrap_or_else(|error| unreachable!("ops of the journal are canonical: {error}"));
    }
    after.retain(|path, _| !(before.contains_key(path) && dels.iter().any(|del| path.starts_with(del))));
    after
}
