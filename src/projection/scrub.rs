//! A slow look at all that lies in the state's store, so that what has rotted is found before somebody asks for it.
//!
//! *Always holds:* it reads only while there is nothing to apply, and few rows at a time.

use super::state::kv::Kv;
use super::state::{State, StateError};
use std::time::Duration;
use tokio::time::Instant;

/// Rows read at a time: a few milliseconds.
const ROWS: usize = 2_000;
/// Between two such reads: a state of ten million rows takes a quarter of an hour.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks at everything.
const REST: Duration = Duration::from_secs(24 * 3600);

/// How far it has come.
pub(super) struct Scrub {
    from: Vec<u8>,
    due: Instant,
}

impl Scrub {
    /// Begins a while after the start, when there is other work.
    pub(super) fn new() -> Self {
        Self { from: Vec::new(), due: Instant::now() + Duration::from_secs(60) }
    }

    /// When it goes on.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Reads the next rows.
    pub(super) fn go_on<K: Kv>(&mut self, state: &State<K>) -> Result<(), StateError> {
        let next = state.read_through(&self.from, ROWS)?;
        self.due = Instant::now() + if next.is_some() { PAUSE } else { REST };
        self.from = next.unwrap_or_default();
        Ok(())
    }
}
