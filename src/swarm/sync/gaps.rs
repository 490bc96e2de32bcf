//! Gaps as the seeds show them: runs of block numbers that are not there.

use serde::Serialize;

/// A run of missing numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// First.
    pub start: u64,
    /// Last.
    pub end: u64,
    /// How many.
    pub size: u64,
}

/// What is missing of `from..=to`; `have` grows. At most `most` gaps.
pub fn gaps(from: u64, to: u64, have: impl IntoIterator<Item = u64>, most: usize) -> Vec<Gap> {
    let mut found = Vec::new();
    let mut next = from;
    let run = |start: u64, end: u64| Gap { start, end, size: end - start + 1 };
    for number in have.into_iter().filter(|number| (from..=to).contains(number)) {
        if number > next && found.len() < most {
            found.push(run(next, number - 1));
        }
        next = next.max(number.saturating_add(1));
    }
    if next <= to && found.len() < most {
        found.push(run(next, to));
    }
    found
}
