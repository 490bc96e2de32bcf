//! Pictures of the state on disk, one for each confirmed checkpoint: made, thinned, cloned, held.
//!
//! [`Backend`] is what a way of making them has to know: [`zfs`] by the command line, [`folders`] by btrfs subvolumes or by
//! copies. [`place`] decides at the start which one it is and where the store lies; [`policy`] decides when one is made and
//! which one goes; [`task`] acts; [`restore`] makes a state of one again. Nothing here is ever the only copy of anything: the journal has it all.
//!
//! *Always holds:* the journal is never in a snapshot; a snapshot is in the list only when it is whole; what somebody holds,
//! or a clone stands on, is not removed; whatever fails here stops no intake.

pub mod about;
pub mod checkpoints;
pub mod copy;
pub mod folders;
pub mod name;
pub mod order;
pub mod place;
pub mod policy;
pub mod restore;
mod run;
pub mod task;
pub mod zfs;

use about::About;
use name::{Name, Word};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Why something with snapshots did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing has this name.
    #[error("there is no {0}")]
    NotThere(String),
    /// Something has this name.
    #[error("{0} is there already")]
    Exists(String),
    /// Somebody, or something, needs it.
    #[error("{name} stays: {by}")]
    Needed {
        /// The snapshot.
        name: String,
        /// By whom.
        by: String,
    },
    /// It cannot work as things are; the text says who should act.
    #[error("{0}")]
    Unusable(String),
    /// Another program failed.
    #[error("{command}: {said}")]
    Command {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Several have this name.
    #[error("{what} fits several snapshots")]
    Ambiguous {
        /// What was named.
        what: String,
        /// All that it fits.
        candidates: Vec<String>,
    },
    /// Something may not be called so.
    #[error(transparent)]
    Name(#[from] name::NameError),
}

impl Error {
    /// What everyone may read: no path of this machine, no line of another program.
    pub fn told(&self) -> String {
        match self {
            Self::Command { command, .. } => {
                let program = command.split(' ').next().unwrap_or_default();
                format!("{program} failed, the log says how")
            }
            Self::Io { source, .. } => format!("the file system refused: {}", source.kind()),
            other => other.to_string(),
        }
    }
}

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: Name,
    /// What it is of; none when it was not made by this program.
    pub about: Option<About>,
    /// Who holds it.
    pub holds: Vec<String>,
    /// Clones that stand on it: without it they could not be.
    pub clones: Vec<String>,
    /// Bytes that go when it goes, where that is known.
    pub bytes: Option<u64>,
}

/// A clone that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clone {
    /// Its name.
    pub name: String,
    /// The snapshot that it was made of.
    pub of: String,
    /// Folder of the store in it.
    pub folder: PathBuf,
}

/// What is there, the oldest label first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Snapshots.
    pub snapshots: Vec<Snapshot>,
    /// Clones.
    pub clones: Vec<Clone>,
}

impl Listed {
    /// The snapshot with this name.
    pub fn get(&self, name: &Name) -> Result<&Snapshot, Error> {
        let found = self.snapshots.iter().find(|snapshot| snapshot.name == *name);
        found.ok_or_else(|| Error::NotThere(format!("snapshot {name}")))
    }

    /// The snapshot that somebody means: by its name, its hash, or its label when only one has it.
    pub fn find(&self, what: &str) -> Result<&Snapshot, Error> {
        let is_meant = |name: &Name| {
            name.hash() == what
                || name.to_string() == what
                || what.parse().is_ok_and(|label: u64| name.label() == label)
        };
        let found: Vec<&Snapshot> = self.snapshots.iter().filter(|snapshot| is_meant(&snapshot.name)).collect();
        match found.as_slice() {
            [] => Err(Error::NotThere(format!("snapshot {what}"))),
            [one] => Ok(one),
            several => Err(Error::Ambiguous {
                what: what.to_owned(),
                candidates: several.iter().map(|snapshot| snapshot.name.to_string()).collect(),
            }),
        }
    }
}

/// Room where the snapshots lie, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Free.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// A way of making snapshots of one network's store. Nobody else changes what it looks after, but for an operator's hands.
pub trait Backend: Send + Sync {
    /// `zfs`, `btrfs`, `plain`.
    fn kind(&self) -> &'static str;

    /// What is there.
    fn list(&self) -> Result<Listed, Error>;

    /// Makes a snapshot of the store, which stands still, and keeps with it what it is of.
    fn create(&self, name: &Name, about: &About) -> Result<(), Error>;

    /// Removes a snapshot that nobody needs.
    fn destroy(&self, name: &Name) -> Result<(), Error>;

    /// Somebody needs a snapshot. Again by the same word: as before.
    fn hold(&self, name: &Name, by: &Word) -> Result<(), Error>;

    /// Somebody does not need it any more.
    fn release(&self, name: &Name, by: &Word) -> Result<(), Error>;

    /// Makes a copy of a snapshot that can be written to; gives the folder of the store in it.
    fn clone_of(&self, name: &Name, clone: &Word) -> Result<PathBuf, Error>;

    /// Makes a folder for a store that takes another's place: as it is in a snapshot, or empty. Whole, or not at all.
    fn renew(&self, of: Option<&Name>, to: &Path) -> Result<(), Error>;

    /// Removes a clone.
    fn destroy_clone(&self, clone: &Word) -> Result<(), Error>;

    /// Room for more.
    fn room(&self) -> Result<Room, Error>;

    /// Files that changed from one snapshot to another, as the file system tells it; none where it cannot.
    fn changed_files(&self, from: &Name, to: &Name) -> Result<Option<Vec<String>>, Error>;

    /// What is wrong with what it stands on, if anything is.
    fn trouble(&self) -> Option<String>;
}

/// What the file system refused at a path.
fn at(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    |source| Error::Io { path: path.to_owned(), source }
}

/// Refuses to remove what somebody needs.
fn check_unneeded(snapshot: &Snapshot) -> Result<(), Error> {
    let by = match (snapshot.holds.as_slice(), snapshot.clones.as_slice()) {
        ([], []) => return Ok(()),
        ([], clones) => format!("clone {} stands on it", clones.join(", ")),
        (holds, _) => format!("held by {}", holds.join(", ")),
    };
    Err(Error::Needed { name: snapshot.name.to_string(), by })
}
