//! What a subscriber who stands at one point must be told when the head stands at another. Pure: it sees chains only.
//!
//! *Always holds:* what is told leads from the one point to the other: first back to the last batch that both histories
//! have, then forward batch by batch.

use crate::fork::record::{BranchNo, Lsn, Node};
use crate::projection::state::common;

/// Batches of one branch, in order: those behind `after`, up to `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The branch.
    pub branch: BranchNo,
    /// Version of the batch before the first.
    pub after: Lsn,
    /// Version of the last.
    pub upto: Lsn,
}

/// A way from one point to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// No batch in common: what the subscriber has is of no use.
    Apart,
    /// Back, where that is needed, and forward.
    Along {
        /// The last batch that both have, unless the subscriber stands there.
        undo: Option<Node>,
        /// What follows, oldest first.
        forward: Vec<Stretch>,
    },
}

/// The way from a point to another, both given by their chains (newest link first). From nothing everything follows.
pub fn way(from: Option<&[Node]>, to: &[Node]) -> Way {
    let Some(from) = from else { return Way::Along { undo: None, forward: forward(None, to) } };
    let Some(common) = common(from, to) else { return Way::Apart };
    Way::Along { undo: (from.first() != Some(&common)).then_some(common), forward: forward(Some(common), to) }
}

fn forward(common: Option<Node>, to: &[Node]) -> Vec<Stretch> {
    let newer = to.iter().take_while(|link| common.is_none_or(|common| link.branch >= common.branch));
    let stretch = |link: &Node| Stretch {
        branch: link.branch,
        after: common.filter(|common| common.branch == link.branch).map_or(0, |common| common.version),
        upto: link.version,
    };
    let mut stretches: Vec<Stretch> = newer.map(stretch).filter(|stretch| stretch.after < stretch.upto).collect();
    stretches.reverse();
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn node(branch: BranchNo, version: Lsn) -> Node {
        Node { branch, version }
    }

    #[test]
    fn back_to_what_both_have_and_on_from_there() {
        let (a, b) = ([node(1, 9), node(0, 3)], [node(2, 8), node(0, 5)]);
        let forward = vec![Stretch { branch: 0, after: 3, upto: 5 }, Stretch { branch: 2, after: 0, upto: 8 }];
        assert_eq!(way(Some(&a), &b), Way::Along { undo: Some(node(0, 3)), forward });
        assert_eq!(way(Some(&a[1..]), &a[1..]), Way::Along { undo: None, forward: Vec::new() });
        assert_eq!(way(Some(&[node(7, 1)]), &a), Way::Apart);
        let all = vec![Stretch { branch: 0, after: 0, upto: 3 }, Stretch { branch: 1, after: 0, upto: 9 }];
        assert_eq!(way(None, &a), Way::Along { undo: None, forward: all });
    }

    /// A random tree: batch `n + 1` stands on one of those before it, on its branch when that is the branch's tip and the
    /// dice say so, else on a branch of its own.
    fn tree(choices: &[(usize, bool)]) -> (Vec<Node>, BTreeMap<BranchNo, Node>, BTreeMap<Node, Node>) {
        let (mut nodes, mut births, mut before) = (vec![node(0, 1)], BTreeMap::new(), BTreeMap::new());
        for (version, (on, extend)) in (2..).zip(choices) {
            let parent = nodes[on % nodes.len()];
            let is_tip = nodes.iter().all(|other| other.branch != parent.branch || other.version <= parent.version);
            let new = if is_tip && *extend {
                node(parent.branch, version)
            } else {
                let branch = births.len() as BranchNo + 1;
                births.insert(branch, parent);
                node(branch, version)
            };
            before.insert(new, parent);
            nodes.push(new);
        }
        (nodes, births, before)
    }

    proptest! {
        /// Planted: the common batch taken from the oldest shared branch.
        #[test]
        fn the_way_is_the_one_through_the_tree(
            choices in proptest::collection::vec((any::<usize>(), any::<bool>()), 1..30),
            ends in any::<(usize, usize)>(),
        ) {
            let (nodes, births, before) = tree(&choices);
            let chain = |at: Node| std::iter::successors(Some(at), |at| births.get(&at.branch).copied()).collect::<Vec<_>>();
            let line = |at: Node| {
                let mut line: Vec<Node> = std::iter::successors(Some(at), |at| before.get(at).copied()).collect();
                line.reverse();
                line
            };
            let (from, to) = (nodes[ends.0 % nodes.len()], nodes[ends.1 % nodes.len()]);
            let Way::Along { undo, forward } = way(Some(&chain(from)), &chain(to)) else { panic!("one root") };
            let mut at = line(from);
            if let Some(undo) = undo {
                prop_assert!(undo != from && at.contains(&undo));
                at.truncate(at.iter().position(|node| *node == undo).unwrap() + 1);
            }
            for stretch in forward {
                let on = nodes.iter().filter(|node| node.branch == stretch.branch);
                at.extend(on.filter(|node| node.version > stretch.after && node.version <= stretch.upto));
            }
            prop_assert_eq!(at, line(to));
        }
    }
}
