//! Opening the state store of a node that may have died in any way.
//!
//! The store is rebuilt from the journal at will, so one that cannot be read, or is of another journal, is no reason not to
//! start: whoever opens it makes another one (`snapshots::restore`). What says nothing about its content (a lock, a full or
//! failing disk, no rights) is an error as everywhere else.
//!
//! *Always holds:* a store that cannot be used is left as it is.

use super::base::Base;
use super::generation;
use super::picture::{self, PictureError};
use super::state::kv::{Fjall, KvError, Tuning};
use super::state::{Batch, State, StateError};
use crate::fork::record::{Lsn, Record};
use crate::journal::trim::Beginning;
use crate::journal::{Floor, Reader as Journal};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Rows between two snapshots of a store that is read through.
const ROWS: usize = 65_536;

/// A store as it was found.
pub enum Found {
    /// It can be read.
    Readable(Box<State<Fjall>>),
    /// What is in it makes no sense, and why; the next start rebuilds it.
    Unreadable(String),
}

/// Opens (or makes) the store in `folder`; one that cannot be read is left as it is.
pub fn find(folder: &Path, tuning: Tuning) -> Result<Found, StateError> {
    // fjall checks what it reads of its own log by assertion in places; nothing is shared with it but the folder.
    match catch_unwind(AssertUnwindSafe(|| State::open(folder, tuning))) {
        Ok(Ok(state)) => Ok(Found::Readable(Box::new(state))),
        Ok(Err(error)) if !is_unreadable(&error) => Err(error),
        Ok(Err(error)) => Ok(Found::Unreadable(error.to_string())),
        Err(_) => Ok(Found::Unreadable("the store's own log broke an assertion".to_owned())),
    }
}

/// Puts a state that can be read on the base in `base` and on a journal that begins as `beginning` says.
pub fn stand(
    mut state: State<Fjall>,
    folder: &Path,
    tuning: Tuning,
    base: Option<Base>,
    beginning: &Beginning,
) -> Result<State<Fjall>, StateError> {
    let first = beginning.first;
    if state.cursor() + 1 < first {
        let applied = state.cursor();
        tracing::warn!(folder = %folder.display(), applied, first, "the journal begins behind the state: it is made of the journal's floor");
        drop(state);
        state = of_floor(folder, tuning, beginning.floor.as_ref(), first)?;
    }
    let wanted = base.as_ref().map(|base| base.hash.to_string());
    let made = state.base_hash()?;
    if made != wanted && state.cursor() > 0 {
        if first > 1 {
            return Err(StateError::Late { first, made });
        }
        drop(state);
        tracing::warn!(folder = %folder.display(), base = wanted, "the state was made with another base: it is rebuilt from the journal");
        remove(folder)?;
        state = State::open(folder, tuning)?;
    }
    if let Some(base) = base {
        state.stand_on_base(base)?;
    }
    Ok(state)
}

fn remove(folder: &Path) -> Result<(), StateError> {
    Ok(generation::remove(folder).map_err(|source| KvError::Folder { path: folder.into(), source })?)
}

fn of_floor(folder: &Path, tuning: Tuning, floor: Option<&Floor>, first: Lsn) -> Result<State<Fjall>, StateError> {
    let floor = floor.ok_or(StateError::Order { lsn: first, what: "the journal begins late, and has no floor" })?;
    remove(folder)?;
    picture::state_on(floor, Fjall::open(folder, tuning)?).map_err(StateError::from)
}

impl From<PictureError> for StateError {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::State(error) => error,
            PictureError::Journal(error) => Self::Floor(Box::new(error)),
        }
    }
}

/// Whether an error is about what is in the store.
pub fn is_unreadable(error: &StateError) -> bool {
    match error {
        StateError::Damaged { .. } | StateError::Panicked => true,
        StateError::Kv(error) => error.is_damage(),
        _ => false,
    }
}

/// Why a store was not made from this journal, if it was not: what it applied last is not there, or is another batch.
pub fn misfit(state: &State<Fjall>, journal: &Journal) -> Result<Option<String>, StateError> {
    let (cursor, last) = (state.cursor(), *journal.durable().borrow());
    if cursor > last {
        return Ok(Some(format!("it has applied record {cursor}, and the journal ends with {last}")));
    }
    let mut newest: Option<Batch> = None;
    for fork in state.reader().snapshot().forks() {
        let tip = fork?.tip.map(|tip| tip.batch);
        newest = newest.into_iter().chain(tip).max_by_key(|batch| batch.node.version);
    }
    let Some(batch) = newest.filter(|batch| batch.node.version >= journal.first()) else { return Ok(None) };
    let found = match journal.record(batch.node.version) {
        Ok(Record::Chain(chain)) => Some(chain.id),
        Ok(_) => None,
        // Damage of the journal is the journal's own matter.
        Err(_) => return Ok(None),
    };
    let is_other = found.as_ref() != Some(&batch.id);
    Ok(is_other.then(|| format!("record {} of the journal is not its batch {}", batch.node.version, batch.id)))
}

/// Reads a whole store, so that what cannot be read shows.
pub fn read_through(state: &State<Fjall>) -> Result<(), StateError> {
    let mut from = Vec::new();
    while let Some(next) = state.read_through(&from, ROWS)? {
        from = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Found, find};
    use crate::projection::state::kv::Tuning;
    use std::path::Path;

    fn files(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, into) } else { into.push(path) }
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_and_left_and_a_locked_store_is_an_error() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("spkcc_");
        let Found::Readable(state) = find(&folder, Tuning::default()).unwrap() else { panic!("a new one") };
        assert!(find(&folder, Tuning::default()).is_err(), "locked");
        drop(state);
        for round in 0..2 {
            let mut all = Vec::new();
            files(&folder, &mut all);
            for file in all.iter().filter(|file| !file.ends_with("lock")) {
                std::fs::write(file, format!("nothing of sense {round}")).unwrap();
            }
            assert!(matches!(find(&folder, Tuning::default()).unwrap(), Found::Unreadable(_)));
            for file in all.iter().filter(|file| !file.ends_with("lock")) {
                assert_eq!(std::fs::read_to_string(file).unwrap(), format!("nothing of sense {round}"));
            }
        }
    }
}
