//! The branches in memory: who descends from whom, and which points can be read.
//!
//! A branch that lives can be read at every point from its floor to its tip *along its chain*; beside these ranges
//! single points may be kept. Parents and cuts never change, so a reader may use a newer table than its snapshot;
//! only the readable points shrink, and that is durable, and here, before the first row goes.
//!
//! *Always holds:* a child's number is greater than its parent's; a chain goes from the newest branch to the oldest
//! and its versions fall.

use crate::fork::record::{BranchNo, Lsn, Node};
use honeygraph_protocols::batch::BatchId;
use std::collections::{BTreeMap, BTreeSet};

/// A view's chain: the branch and version it stands on, then each ancestor and the cut there.
pub type Chain = Vec<Node>;

/// One branch.
#[derive(Clone, Debug)]
pub struct Known {
    /// Branch and cut.
    pub parent: Option<Node>,
    /// Whether its range can be read.
    pub live: bool,
    /// Oldest readable version along its chain.
    pub floor: Lsn,
    /// Branches that leave it.
    pub children: Vec<BranchNo>,
    /// Smallest floor of the live branches among it and its descendants; [`Lsn::MAX`] without one.
    pub lowest: Lsn,
}

/// All branches.
#[derive(Clone, Debug, Default)]
pub struct Branches {
    known: BTreeMap<BranchNo, Known>,
    kept: BTreeSet<Node>,
    /// Batches with which the base was applied.
    based: BTreeSet<Node>,
    /// Branches by the id of their first batch.
    by_first: BTreeSet<(BatchId, BranchNo)>,
    changes: u64,
}

impl Branches {
    /// Adds a branch. `floor` must not be below its parent's readable range.
    pub fn add(&mut self, branch: BranchNo, parent: Option<Node>, live: bool, floor: Lsn) {
        let lowest = Lsn::MAX;
        self.known.insert(branch, Known { parent, live, floor, children: Vec::new(), lowest });
        if let Some(parent) = parent.and_then(|parent| self.known.get_mut(&parent.branch)) {
            parent.children.push(branch);
        }
        self.changes += 1;
        if live {
            self.lower(branch, floor);
        }
    }

    /// A branch has its first batch.
    pub fn begin(&mut self, branch: BranchNo, first: BatchId) {
        self.by_first.insert((first, branch));
    }

    /// Branches that begin with a batch, oldest first.
    pub fn beginning_with(&self, first: BatchId) -> Vec<BranchNo> {
        let of_it = self.by_first.range((first, BranchNo::MIN)..=(first, BranchNo::MAX));
        of_it.map(|(_, branch)| *branch).collect()
    }

    /// The base was applied with this batch.
    pub fn base(&mut self, node: Node) {
        self.based.insert(node);
    }

    /// The batch on a chain with which the base was applied, if it was.
    pub fn based(&self, chain: &[Node]) -> Option<Node> {
        let on_chain = |node: &&Node| chain.iter().any(|at| at.branch == node.branch && node.version <= at.version);
        self.based.iter().rev().find(on_chain).copied()
    }

    fn lower(&mut self, branch: BranchNo, floor: Lsn) {
        let mut at = Some(branch);
        while let Some(known) = at.and_then(|branch| self.known.get_mut(&branch)) {
            if known.lowest <= floor {
                return;
            }
            known.lowest = floor;
            at = known.parent.map(|parent| parent.branch);
        }
    }

    /// Changes what can be read of a branch.
    pub fn limit(&mut self, branch: BranchNo, live: bool, floor: Lsn) {
        self.changes += 1;
        if let Some(known) = self.known.get_mut(&branch) {
            (known.live, known.floor) = (live, floor);
        }
        let mut at = Some(branch);
        while let Some(branch) = at {
            let lowest = self.lowest(branch);
            let Some(known) = self.known.get_mut(&branch).filter(|known| known.lowest != lowest) else { return };
            known.lowest = lowest;
            at = known.parent.map(|parent| parent.branch);
        }
    }

    /// The smallest floor at or under a branch. The newest children first: mostly one of them has what it had before.
    fn lowest(&self, branch: BranchNo) -> Lsn {
        let Some(known) = self.known.get(&branch) else { return Lsn::MAX };
        let own = if known.live { known.floor } else { Lsn::MAX };
        let mut lowest = own;
        for child in known.children.iter().rev().filter_map(|child| self.known.get(child)) {
            if lowest <= known.lowest {
                break;
            }
            lowest = lowest.min(child.lowest);
        }
        lowest
    }

    /// Keeps or lets go of one point.
    pub fn keep(&mut self, point: Node, keep: bool) {
        self.changes += 1;
        if keep {
            self.kept.insert(point);
        } else {
            self.kept.remove(&point);
        }
    }

    /// How often anything changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// All branches, oldest first.
    pub fn all(&self) -> impl Iterator<Item = (BranchNo, &Known)> {
        self.known.iter().map(|(branch, known)| (*branch, known))
    }

    /// Points kept beside the ranges.
    pub fn kept(&self) -> &BTreeSet<Node> {
        &self.kept
    }

    /// The chain of a view.
    pub fn chain(&self, node: Node) -> Chain {
        let mut chain = vec![node];
        let mut at = node;
        while let Some(parent) = self.known.get(&at.branch).and_then(|known| known.parent) {
            // A point before the branch's birth lies on the parent, and no later than asked for.
            at = Node { branch: parent.branch, version: parent.version.min(at.version) };
            chain.push(at);
        }
        chain
    }

    /// Whether a point can be read. `tip` is the last version on its branch.
    pub fn readable(&self, node: Node, tip: Lsn) -> bool {
        let Some(known) = self.known.get(&node.branch) else { return false };
        let own = known.live && known.floor <= node.version && node.version <= tip;
        own || self.kept.contains(&node) || self.heir(node).is_some()
    }

    /// The smallest floor among live descendants on whose chain `node` lies in the readable part.
    fn heir(&self, node: Node) -> Option<Lsn> {
        let children = self.known.get(&node.branch)?.children.iter().filter_map(|child| self.known.get(child));
        let through = children.filter(|child| child.parent.is_some_and(|parent| parent.version >= node.version));
        through.map(|child| child.lowest).filter(|lowest| *lowest <= node.version).min()
    }

    /// The floor that a branch born at `node` gets; none when the point cannot be read.
    pub fn floor_at(&self, node: Node, tip: Lsn) -> Option<Lsn> {
        let known = self.known.get(&node.branch)?;
        let own = (known.live && known.floor <= node.version && node.version <= tip).then_some(known.floor);
        let kept = self.kept.contains(&node).then_some(node.version);
        own.into_iter().chain(self.heir(node)).chain(kept).min()
    }
}

/// The last batch that two histories, given by their chains, share.
pub fn common(one: &[Node], other: &[Node]) -> Option<Node> {
    one.iter().find_map(|a| {
        let b = other.iter().find(|b| b.branch == a.branch)?;
        Some(Node { branch: a.branch, version: a.version.min(b.version) })
    })
}

/// Whether a row is visible on a chain.
pub fn visible(chain: &[Node], row: Node) -> bool {
    let at = chain.partition_point(|link| link.branch > row.branch);
    chain.get(at).is_some_and(|link| link.branch == row.branch && row.version <= link.version)
}

/// Where the next visible row can be at the earliest behind an invisible `row`; none when there can be none.
pub fn next_visible(chain: &[Node], row: Node) -> Option<Node> {
    let at = chain.partition_point(|link| link.branch > row.branch);
    chain.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(branch: BranchNo, version: Lsn) -> Node {
        Node { branch, version }
    }

    /// The example of the design: b0 1..5, b1 from (0,2) 4, 6, b2 from (0,3) 7.
    fn example() -> Branches {
        let mut branches = Branches::default();
        branches.add(0, None, true, 0);
        branches.add(1, Some(node(0, 2)), true, 0);
        branches.add(2, Some(node(0, 3)), true, 0);
        branches
    }

    #[test]
    fn chains_and_visibility() {
        let chain = example().chain(node(2, 7));
        assert_eq!(chain, [node(2, 7), node(0, 3)]);
        assert!(visible(&chain, node(0, 3)) && !visible(&chain, node(0, 5)) && !visible(&chain, node(1, 4)));
        assert_eq!(next_visible(&chain, node(1, 4)), Some(node(0, 3)));
        assert_eq!(next_visible(&chain, node(0, 5)), Some(node(0, 3)));
        assert_eq!(next_visible(&[node(2, 7)], node(1, 4)), None);
        assert_eq!(example().chain(node(2, 1)), [node(2, 1), node(0, 1)]);
    }

    #[test]
    fn a_retired_branch_stays_readable_where_a_live_one_stands_on_it() {
        let mut branches = example();
        branches.limit(0, false, 0);
        assert!(branches.readable(node(0, 3), 5) && !branches.readable(node(0, 4), 5));
        branches.limit(2, true, 6);
        assert!(branches.readable(node(0, 2), 5) && !branches.readable(node(0, 3), 5));
        branches.keep(node(0, 5), true);
        assert!(branches.readable(node(0, 5), 5));
        assert_eq!(branches.floor_at(node(0, 5), 5), Some(5));
        assert_eq!(branches.floor_at(node(0, 2), 5), Some(0));
        assert_eq!(branches.floor_at(node(0, 3), 5), None);
        branches.limit(1, false, 0);
        assert!(!branches.readable(node(0, 2), 5) && branches.readable(node(2, 7), 7));
    }
}
