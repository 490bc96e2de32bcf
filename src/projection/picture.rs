//! The state in a journal's floor: written when the journal's beginning is about to go, read when a store has to begin
//! anew and the journal no longer has all that it would be made of.
//!
//! It is the store's rows as of one commit, all of them: every version of every leaf that was readable then, the index of
//! batches, the branches with their floors. A store made of it goes on with the next record as if it had never stopped.
//!
//! *Always holds:* a store is given its cursor last, so that half of a picture is never taken for a state.

use super::state::key::table;
use super::state::kv::{Kv, Slice, Snapshot as _, Write};
use super::state::reader::Snapshot;
use super::state::{State, StateError};
use crate::fork::record::Lsn;
use crate::journal::{Floor, FloorWriter, JournalError};

/// Rows in a commit of a store that is made of a picture.
const ROWS: usize = 8_192;
/// Bytes in such a commit.
const BYTES: usize = 4 << 20;

/// Why a picture cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The journal's side.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state's side.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Rows between two looks at whether the node stops.
const LOOK_EVERY: usize = 65_536;

/// Writes the rows of a state into a floor, unless the node stops.
pub fn write<K: Kv>(
    snapshot: &Snapshot<K>,
    floor: &mut FloorWriter,
    stopped: &dyn Fn() -> bool,
) -> Result<(), PictureError> {
    for (nth, entry) in snapshot.rows().range(&[0], &[u8::MAX]).enumerate() {
        if nth.is_multiple_of(LOOK_EVERY) && stopped() {
            return Err(JournalError::Failed("the node stops".into()).into());
        }
        let (key, value) = entry.map_err(StateError::from)?;
        floor.entry(&key, &value)?;
    }
    Ok(())
}

/// Makes a store, which is empty, of the floor of a journal; gives the last record that it has applied.
pub fn load<K: Kv>(floor: &Floor, state: &K) -> Result<Lsn, PictureError> {
    let (mut writes, mut bytes, mut last) = (Vec::new(), 0, Vec::<Write>::new());
    floor.state::<PictureError>(|key, value| {
        let write = (Slice::from(key), Some(Slice::from(value)));
        if key.len() == 1 && [table::FORMAT, table::CURSOR].contains(&key[0]) {
            last.push(write);
            return Ok(());
        }
        bytes += key.len() + value.len();
        writes.push(write);
        if writes.len() >= ROWS || bytes >= BYTES {
            bytes = 0;
            state.commit(std::mem::take(&mut writes)).map_err(StateError::from)?;
        }
        Ok(())
    })?;
    state.commit(writes).map_err(StateError::from)?;
    state.commit(last).map_err(StateError::from)?;
    Ok(floor.state_at())
}

/// A state on a store that is made of a floor.
pub fn state_on<K: Kv>(floor: &Floor, store: K) -> Result<State<K>, PictureError> {
    let applied = load(floor, &store)?;
    let state = State::on(store)?;
    if state.cursor() == applied {
        Ok(state)
    } else {
        let (lsn, what) = (applied, "the floor's state is that of another record");
        Err(StateError::Order { lsn, what }.into())
    }
}
