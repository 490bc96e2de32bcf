//! Tests of the journal as a whole.

mod basics;
mod crashes;
mod damage;
mod exchange;
mod golden;
mod sample;
mod threads;
mod throughput;
mod trim;

use std::cell::Cell;

/// Bugs that a test can plant in the code, to see that the checks catch them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planted {
    /// The durable LSN is published before the sync.
    AckBeforeSync,
    /// The `tip` file is written before the sync of what it reports.
    TipBeforeSync,
    /// A torn tail is neither zeroed nor told from a continuation by the chain.
    StaleAccepted,
    /// The tail found at a start is not written again before it is synced.
    TailNotRewritten,
    /// The floor gets its name before it is durable.
    FloorNotSynced,
    /// The floor leaves the parked pieces out.
    FloorWithoutParked,
    /// The `first` file is written after the segments are gone.
    FirstAfterRemoval,
}

thread_local!(static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) });

/// Whether this thread runs with that bug.
pub(super) fn planted(bug: Planted) -> bool {
    PLANTED.get() == Some(bug)
}
