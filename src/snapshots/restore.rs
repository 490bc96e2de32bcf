//! Makes the state of a network anew: of the newest snapshot that is good, or of the journal alone.
//!
//! A snapshot is only a head start. It counts if it can be read through, was made of this journal (its last batch is the
//! record there that it says) and is not older than what the journal still has; what comes after it is applied as ever.
//!
//! *Always holds:* the store that cannot be used is not touched; the new one lies in a folder of its own beside it, there
//! whole or not at all; nothing here is needed to be right, only to be quick.

use super::name::Name;
use super::{Backend, Error, Snapshot};
use crate::data_dir::DataDir;
use crate::fork::record::Lsn;
use crate::journal::disk::Disk;
use crate::journal::trim::{Beginning, beginning};
use crate::journal::{JournalError, Reader as Journal};
use crate::projection::base::Base;
use crate::projection::generation;
use crate::projection::open::{self, Found};
use crate::projection::state::kv::{KvError, Tuning};
use crate::projection::state::{FORMAT, State, StateError};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a snapshot does not do.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It cannot be had.
    #[error(transparent)]
    Snapshot(#[from] Error),
    /// It cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It is of something else, or too old.
    #[error("{0}")]
    Unfit(String),
}

/// What makes the state of a network anew.
pub struct Restore {
    /// The network.
    pub network: String,
    /// The store's place.
    pub store: PathBuf,
    /// Who makes snapshots, if anybody does.
    pub backend: Option<Arc<dyn Backend>>,
    /// The journal.
    pub journal: Journal,
    /// The disk under it.
    pub disk: Arc<dyn Disk>,
    /// The data folder.
    pub data: PathBuf,
    /// Folder of the base.
    pub base: PathBuf,
}

/// Looks at the store of a place. One that is not there, and has snapshots, was lost.
pub fn find(store: &Path, backend: Option<&dyn Backend>) -> Result<Found, StateError> {
    let has_snapshots = || backend.is_some_and(|of| of.list().is_ok_and(|listed| !listed.snapshots.is_empty()));
    if !store.exists() && has_snapshots() {
        return Ok(Found::Unreadable("it is not there, and snapshots of it are".to_owned()));
    }
    open::find(store, Tuning::default())
}

impl Restore {
    /// What makes it: `place` says where the store lies and who makes snapshots.
    pub fn new(
        network: &str,
        place: &super::place::Place,
        journal: Journal,
        (disk, data): (Arc<dyn Disk>, &DataDir),
    ) -> Self {
        Self {
            network: network.to_owned(),
            store: place.store.clone(),
            backend: place.backend.clone(),
            journal,
            disk,
            data: data.path().to_owned(),
            base: data.base(network),
        }
    }

    /// The state in what was found at the start: as it is, if it is good.
    pub fn start(&self, found: Found) -> Result<State, StateError> {
        let why = match found {
            Found::Unreadable(why) => why,
            Found::Readable(state) => match open::misfit(&state, &self.journal)? {
                None => return self.stand(*state, &self.store),
                Some(why) => why,
            },
        };
        self.other(&why)
    }

    /// Another state than the one that cannot be used: of the newest good snapshot, else of the journal alone.
    pub fn other(&self, why: &str) -> Result<State, StateError> {
        let network = &self.network;
        tracing::warn!(network, "the state cannot be used: {why}");
        for name in self.newest_first() {
            match self.of(&name) {
                Ok(state) => {
                    tracing::warn!(network, %name, cursor = state.cursor(), "the state is made of a snapshot and the journal behind it");
                    return Ok(state);
                }
                Err(error) => tracing::warn!(network, %name, "a snapshot does not do: {error}"),
            }
        }
        tracing::warn!(network, "the state is made of the journal alone");
        let folder = self.folder()?;
        let renewed = self.backend.as_ref().map(|backend| backend.renew(None, &folder));
        if let Some(Err(error)) = renewed {
            tracing::warn!(network, "snapshots: {error}");
        }
        self.stand(State::open(&folder, Tuning::default())?, &folder)
    }

    /// The state of one snapshot.
    pub fn of(&self, name: &Name) -> Result<State, RestoreError> {
        let backend = self.backend.as_ref().ok_or_else(|| Error::Unusable("snapshots are off".to_owned()))?;
        let cursor = self.cursor_of(backend.list()?.get(name)?)?;
        let folder = self.folder()?;
        backend.renew(Some(name), &folder)?;
        let made = self.checked(&folder, cursor);
        if made.is_err()
            && let Err(error) = generation::remove(&folder)
        {
            tracing::warn!(folder = %folder.display(), "cannot be removed: {error}");
        }
        made
    }

    /// Names of the snapshots, that of the last cursor first.
    fn newest_first(&self) -> Vec<Name> {
        let listed = self.backend.as_ref().map(|backend| backend.list());
        let mut snapshots = match listed {
            Some(Ok(listed)) => listed.snapshots,
            Some(Err(error)) => {
                tracing::warn!(network = self.network, "snapshots: {error}");
                Vec::new()
            }
            None => Vec::new(),
        };
        snapshots.sort_by_key(|snapshot| Reverse(snapshot.about.as_ref().map(|about| about.cursor)));
        snapshots.into_iter().map(|snapshot| snapshot.name).collect()
    }

    /// Where a snapshot ends, if the journal goes on from there.
    fn cursor_of(&self, snapshot: &Snapshot) -> Result<Lsn, RestoreError> {
        let unfit = |why: String| Err(RestoreError::Unfit(why));
        let Some(about) = &snapshot.about else { return unfit("nobody knows what it is of".to_owned()) };
        let (cursor, first, last) = (about.cursor, self.journal.first(), *self.journal.durable().borrow());
        if about.format != FORMAT {
            return unfit(format!("its store has format {}, this program makes {FORMAT}", about.format));
        }
        if cursor + 1 < first || cursor > last {
            return unfit(format!("it ends with record {cursor}, and the journal has {first} to {last}"));
        }
        Ok(cursor)
    }

    /// The state in a folder, read through and held against the journal.
    fn checked(&self, folder: &Path, cursor: Lsn) -> Result<State, RestoreError> {
        let state = match open::find(folder, Tuning::default())? {
            Found::Readable(state) => *state,
            Found::Unreadable(why) => return Err(RestoreError::Unfit(why)),
        };
        if state.cursor() != cursor {
            return Err(RestoreError::Unfit(format!("it should end with record {cursor}, not {}", state.cursor())));
        }
        if let Some(why) = open::misfit(&state, &self.journal)? {
            return Err(RestoreError::Unfit(why));
        }
        open::read_through(&state)?;
        Ok(self.stand(state, folder)?)
    }

    fn stand(&self, state: State, folder: &Path) -> Result<State, StateError> {
        let base = Base::current(&self.base)?;
        let begins = self.begins().map_err(|error| StateError::Floor(Box::new(error)))?;
        open::stand(state, folder, Tuning::default(), base, &begins)
    }

    fn begins(&self) -> Result<Beginning, JournalError> {
        beginning(&*self.disk, &self.data, &self.network)
    }

    fn folder(&self) -> Result<PathBuf, StateError> {
        let failed = |source| KvError::Folder { path: self.store.clone(), source };
        Ok(generation::next(&self.store).map_err(failed)?)
    }
}
