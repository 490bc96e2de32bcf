//! What happens in a scenario on the local ground: orders, each when what was waited for is there.
//!
//! *Always holds:* nothing waits for a time to pass, only for operations, heads and forks.

use super::nodes::Row;
use super::order::{Order, What};
use std::collections::VecDeque;

/// A replica is near that is so many blocks behind at most: periods are a hundred blocks, and follow each other fast.
const NEAR: u64 = 1_000;
/// So many looks at which nothing changed: the script is given up.
const STILL: u32 = 400;

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Step {
    /// Something is done.
    Do(Order),
    /// So many more operations are acknowledged.
    Acked(u64),
    /// All nodes that are not cut off are near the newest head.
    Near,
    /// There is a fork.
    Forked,
}

/// What the steps are held against.
pub(super) struct Seen<'a> {
    pub(super) acked: u64,
    pub(super) forks: usize,
    pub(super) rows: &'a [Row],
}

/// A script on its way.
#[derive(Debug)]
pub(super) struct Script {
    steps: VecDeque<Step>,
    /// Acknowledged when the step at hand began.
    from: Option<u64>,
    /// What was seen last, and how often it was the same.
    last: (u64, Option<u64>),
    still: u32,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This is to be done.
    Order(Order),
    /// Nothing yet.
    Wait,
    /// It is over.
    End,
    /// Nothing moves any more.
    Stuck(Step),
}

impl Script {
    pub(super) fn new(steps: &[Step]) -> Self {
        Self { steps: steps.iter().copied().collect(), from: None, last: (0, None), still: 0 }
    }

    /// What comes next, now that this is seen.
    pub(super) fn next(&mut self, seen: &Seen<'_>) -> Next {
        loop {
            let Some(step) = self.steps.front().copied() else { return Next::End };
            let from = *self.from.get_or_insert(seen.acked);
            let done = match step {
                Step::Do(_) => true,
                Step::Acked(more) => seen.acked >= from + more,
                Step::Near => are_near(seen.rows),
                Step::Forked => seen.forks > 0,
            };
            let now = (seen.acked, seen.rows.iter().filter_map(|row| row.head).max());
            self.still = if now == self.last { self.still + 1 } else { 0 };
            self.last = now;
            if !done {
                return if self.still > STILL { Next::Stuck(step) } else { Next::Wait };
            }
            (self.from, self.still) = (None, 0);
            self.steps.pop_front();
            if let Step::Do(order) = step {
                return Next::Order(order);
            }
        }
    }
}

fn are_near(rows: &[Row]) -> bool {
    let newest = rows.iter().filter_map(|row| row.head).max();
    let near = |row: &Row| row.head.zip(newest).is_some_and(|(head, newest)| newest - head <= NEAR);
    newest.is_some() && rows.iter().filter(|row| !row.parted).all(near)
}

/// Something with a node.
pub(in crate::cli) const fn with(what: What, node: usize) -> Step {
    Step::Do(Order::Node(what, Some(node)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: usize, head: Option<u64>, parted: bool) -> Row {
        Row { number, api: String::new(), head, peers: 0, role: String::new(), parted }
    }

    #[test]
    fn a_step_waits_for_what_it_names() {
        let kill = with(What::Kill, 2);
        let mut script = Script::new(&[Step::Acked(100), kill, Step::Near, Step::Forked]);
        let mut rows = vec![row(1, Some(9_000), false), row(2, None, false), row(3, Some(10), true)];
        let mut next = |acked, forks, rows: &[Row]| script.next(&Seen { acked, forks, rows });
        assert_eq!(next(50, 0, &rows), Next::Wait);
        assert_eq!(next(149, 0, &rows), Next::Wait, "counted from where the step began");
        assert_eq!(next(150, 0, &rows), Next::Order(Order::Node(What::Kill, Some(2))));
        assert_eq!(next(160, 0, &rows), Next::Wait);
        rows[1].head = Some(8_000);
        assert_eq!(next(170, 0, &rows), Next::Wait, "near, and no fork");
        assert_eq!(next(171, 1, &rows), Next::End);
    }

    #[test]
    fn a_script_that_nothing_moves_is_given_up() {
        let mut script = Script::new(&[Step::Forked]);
        let mut next = |acked| script.next(&Seen { acked, forks: 0, rows: &[] });
        assert!((0..2 * u64::from(STILL)).all(|acked| next(acked) == Next::Wait), "it moves");
        let mut again = (0..=2 * STILL).map(|_| next(1));
        assert!(again.any(|next| next == Next::Stuck(Step::Forked)));
    }
}
