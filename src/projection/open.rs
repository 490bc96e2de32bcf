//! Opening the state store of a node that may have died in any way.
//!
//! The store is rebuilt from the journal at will, so one that cannot be read is no reason not to start: it is set aside
//! and begun anew. What says nothing about its content (a lock, a full or failing disk, no rights) is an error as
//! everywhere else.
//!
//! *Always holds:* a store that can be read is never set aside; at most one is kept aside, the last.

use super::base::Base;
use super::picture::{self, PictureError};
use super::state::kv::{Fjall, KvError, Tuning};
use super::state::{State, StateError};
use crate::fork::record::Lsn;
use crate::journal::Floor;
use crate::journal::trim::Beginning;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Ending of the name of a store that was set aside.
const ASIDE: &str = "damaged";

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

/// Opens (or makes) the store in `folder`, on the base in `base`, for a journal that begins as `beginning` says; says so in
/// the log when it has to begin anew.
pub fn open(
    folder: &Path,
    tuning: Tuning,
    base: Option<Base>,
    beginning: &Beginning,
) -> Result<State<Fjall>, StateError> {
    let mut state = readable(folder, tuning)?;
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
    Ok(std::fs::remove_dir_all(folder).map_err(|source| KvError::Folder { path: folder.into(), source })?)
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

fn readable(folder: &Path, tuning: Tuning) -> Result<State<Fjall>, StateError> {
    let why = match find(folder, tuning)? {
        Found::Readable(state) => return Ok(*state),
        Found::Unreadable(why) => why,
    };
    let aside = aside(folder);
    tracing::warn!(folder = %folder.display(), aside = %aside.display(), why, "the state store cannot be read: it is set aside and rebuilt from the journal");
    let moved = match std::fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => std::fs::rename(folder, &aside),
    };
    moved.map_err(|source| KvError::Folder { path: folder.into(), source })?;
    State::open(folder, tuning)
}

fn aside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ASIDE);
    folder.with_file_name(name)
}

/// Whether an error is about what is in the store.
fn is_unreadable(error: &StateError) -> bool {
    use fjall::Error;
    let io = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
    };
    match error {
        StateError::Damaged { .. } => true,
        StateError::Kv(KvError::Store(error)) => match error {
            Error::Io(error) => io(error),
            Error::Storage(fjall::LsmError::Io(error)) => io(error),
            Error::Storage(_) | Error::JournalRecovery(_) | Error::Unrecoverable => true,
            Error::Decompress(_) | Error::InvalidTrailer | Error::InvalidTag(_) | Error::InvalidVersion(None) => true,
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::aside;
    use crate::journal::trim::Beginning;
    use crate::projection::state::State;
    use crate::projection::state::StateError;
    use crate::projection::state::kv::Tuning;
    use std::path::Path;

    fn open(folder: &Path) -> Result<State, StateError> {
        super::open(folder, Tuning::default(), None, &Beginning { first: 1, floor: None })
    }

    fn files(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, into) } else { into.push(path) }
        }
    }

    #[test]
    fn an_unreadable_store_is_set_aside_and_a_locked_one_is_not() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("spkcc_");
        let state = open(&folder).unwrap();
        assert!(open(&folder).is_err(), "locked");
        assert!(!aside(&folder).exists());
        drop(state);
        for round in 0..2 {
            let mut all = Vec::new();
            files(&folder, &mut all);
            for file in all.iter().filter(|file| !file.ends_with("lock")) {
                std::fs::write(file, format!("nothing of sense {round}")).unwrap();
            }
            let state = open(&folder).unwrap();
            assert_eq!(state.cursor(), 0);
            assert!(aside(&folder).is_dir());
        }
    }
}
