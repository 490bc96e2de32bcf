//! The data folder: where everything lies, and who may write it.
//!
//! ```text
//! lock                  held by the node, or by a command that works offline
//! endpoints.json        where a running node listens; absent after a clean stop
//! journal/<network>/    the journal: the only truth
//! base/<network>/       the root document that the state stands on, if there is one
//! found/<network>/      one that gateways gave: the next start makes it the base
//! pictures/<network>/   the state at the newest roots, for newcomers
//! fetching/<network>/   a picture that is on its way here
//! state/<network>/      the state store: can be rebuilt from the journal; with ZFS a link to the folder in its dataset
//! state/<network>.N/    a store that took its place while the node ran; the next start moves it there, and
//! state/<network>.damaged/  what it replaced
//! snapshots/<network>/  snapshots of it, and
//! clones/<network>/     their clones, where nothing better than folders makes them
//! claimed/<network>.json  what honeycomb says of the state, until a root proves it
//! swarm/                who this node is (`key`) and votes for, and what it knows of its peers
//! verify-XXXXXX/        the replay of a `verify` that runs, or was killed; whoever has the lock next removes it
//! ```
//!
//! *Always holds:* at most one process has a [`DataDir`]; the kernel releases it when that process dies, however.

use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Where a running node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// `http://host:port`
    pub api: String,
    /// `ws://host:port`
    pub feed: String,
    /// Addresses of libp2p, each with the node's id at its end.
    #[serde(default)]
    pub swarm: Vec<String>,
    /// `http://host:port` or `unix:PATH` where orders are taken, when that is a listener of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
}

/// The data folder, ours alone while this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("{0} is in use by another process (a running node?)")]
    InUse(PathBuf),
    /// It is not there, and the caller does not make one.
    #[error("{0}: no such data folder")]
    Missing(PathBuf),
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// How the name of a scratch folder begins…
const SCRATCH: &str = "verify-";
/// …and how many letters and digits follow: what looks otherwise is somebody else's and stays.
const SCRATCH_LETTERS: usize = 6;

impl DataDir {
    /// Makes the folder when it is not there, and locks it.
    pub fn create(path: &Path) -> Result<Self, DataDirError> {
        std::fs::create_dir_all(path).map_err(|source| DataDirError::Io { path: path.to_owned(), source })?;
        Self::open(path)
    }

    /// Locks a folder that is there.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        if !path.is_dir() {
            return Err(DataDirError::Missing(path.to_owned()));
        }
        let lock_path = path.join("lock");
        let io = |source| DataDirError::Io { path: lock_path.clone(), source };
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {
                let dir = Self { path: path.to_owned(), _lock: lock };
                dir.remove_stale_scratch();
                Ok(dir)
            }
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folder of a network's journal.
    pub fn journal(&self, network: &str) -> PathBuf {
        self.path.join("journal").join(network)
    }

    /// Folder of a network's state store, wherever it lies.
    pub fn state(&self, network: &str) -> PathBuf {
        let link = self.state_link(network);
        std::fs::read_link(&link).unwrap_or(link)
    }

    /// The same, or the link to it.
    pub fn state_link(&self, network: &str) -> PathBuf {
        self.path.join("state").join(network)
    }

    /// Folder of the snapshots of a network's state.
    pub fn snapshots(&self, network: &str) -> PathBuf {
        self.path.join("snapshots").join(network)
    }

    /// Folder of their clones.
    pub fn clones(&self, network: &str) -> PathBuf {
        self.path.join("clones").join(network)
    }

    /// Folder of a network's base.
    pub fn base(&self, network: &str) -> PathBuf {
        self.path.join("base").join(network)
    }

    /// Folder of a base that was found on the way back and is taken at the next start.
    pub fn found_base(&self, network: &str) -> PathBuf {
        self.path.join("found").join(network)
    }

    /// Folder of a network's pictures.
    pub fn pictures(&self, network: &str) -> PathBuf {
        pictures(&self.path, network)
    }

    /// Folder of a picture that is on its way here.
    pub fn fetching(&self, network: &str) -> PathBuf {
        self.path.join("fetching").join(network)
    }

    /// File of a state that honeycomb says it has, and that no root has proven yet.
    pub fn claimed_state(&self, network: &str) -> PathBuf {
        claimed_state(&self.path, network)
    }

    /// File with the key by which other nodes know this one.
    pub fn swarm_key(&self) -> PathBuf {
        swarm_key(&self.path)
    }

    /// File of the peers of earlier runs.
    pub fn swarm_peers(&self) -> PathBuf {
        self.path.join("swarm/peers.json")
    }

    /// File of how peers served, and of what they did wrong.
    pub fn swarm_book(&self) -> PathBuf {
        self.path.join("swarm/book")
    }

    /// Networks that have a journal here, ordered by name.
    pub fn networks(&self) -> Result<Vec<String>, DataDirError> {
        let folder = self.path.join("journal");
        let io = |source| DataDirError::Io { path: folder.clone(), source };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(io)?;
            if entry.path().is_dir() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        names.sort();
        Ok(names)
    }

    /// A folder on the same disk for what is needed only as long as the returned value lives.
    pub fn scratch(&self) -> Result<tempfile::TempDir, DataDirError> {
        let made = tempfile::Builder::new().prefix(SCRATCH).rand_bytes(SCRATCH_LETTERS).tempdir_in(&self.path);
        made.map_err(|source| DataDirError::Io { path: self.path.clone(), source })
    }

    /// Removes the scratch folders of processes that were killed: who made one had the lock, which is ours now. One that
    /// stays costs disk only, so it stops nobody.
    fn remove_stale_scratch(&self) {
        let is_scratch = |name: &str| {
            let letters = name.strip_prefix(SCRATCH);
            letters.is_some_and(|l| l.len() == SCRATCH_LETTERS && l.bytes().all(|b| b.is_ascii_alphanumeric()))
        };
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            // The type of the entry itself: a link is not followed.
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if !folder || !entry.file_name().to_str().is_some_and(is_scratch) {
                continue;
            }
            match std::fs::remove_dir_all(entry.path()) {
                Ok(()) => tracing::info!(folder = %entry.path().display(), "what a killed verify left is removed"),
                Err(error) => tracing::warn!(folder = %entry.path().display(), %error, "cannot remove it"),
            }
        }
    }

    /// Says where this node listens: whole or not at all, so that a reader never sees half a file.
    pub fn write_endpoints(&self, endpoints: &Endpoints) -> Result<(), DataDirError> {
        let path = endpoints_path(&self.path);
        let text = serde_json::to_string(endpoints).expect("two strings are always JSON");
        let half = self.path.join("endpoints.json.new");
        let io = |source| DataDirError::Io { path: path.clone(), source };
        std::fs::write(&half, text + "\n").map_err(io)?;
        std::fs::rename(&half, &path).map_err(io)
    }

    /// Takes the word back: a clean stop.
    pub fn remove_endpoints(&self) -> Result<(), DataDirError> {
        let path = endpoints_path(&self.path);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(DataDirError::Io { path, source }),
            _ => Ok(()),
        }
    }
}

/// The file that says where a node listens.
pub fn endpoints_path(data_dir: &Path) -> PathBuf {
    data_dir.join("endpoints.json")
}

/// File with an account's word for this node.
pub fn swarm_binding(data_dir: &Path) -> PathBuf {
    data_dir.join("swarm/binding.json")
}

/// Replaces a file, or makes it: whole, and durable when this returns.
pub fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(".tmp");
    let mut written = File::create(&fresh)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    std::fs::rename(&fresh, file)?;
    File::open(folder)?.sync_all()
}

/// File of a state that honeycomb says it has, in a data folder on which a node may run.
pub fn claimed_state(data_dir: &Path, network: &str) -> PathBuf {
    data_dir.join("claimed").join(format!("{network}.json"))
}

/// Folder of a network's pictures, in a data folder on which a node may run.
pub fn pictures(data_dir: &Path, network: &str) -> PathBuf {
    data_dir.join("pictures").join(network)
}

/// The file with the key by which other nodes know this one.
pub fn swarm_key(data_dir: &Path) -> PathBuf {
    data_dir.join("swarm/key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::create(folder.path()).unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::InUse(_))));
        drop(first);
        DataDir::open(folder.path()).unwrap();
    }

    #[test]
    fn a_missing_folder_is_not_made_by_looking() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nothing");
        assert!(matches!(DataDir::open(&missing), Err(DataDirError::Missing(_))));
        assert!(!missing.exists());
    }

    #[test]
    fn endpoints_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::create(&folder.path().join("data")).unwrap();
        let (api, feed) = ("http://127.0.0.1:1".into(), "ws://127.0.0.1:2".into());
        let said = Endpoints { api, feed, swarm: vec![], admin: None };
        dir.write_endpoints(&said).unwrap();
        let text = std::fs::read_to_string(endpoints_path(dir.path())).unwrap();
        assert_eq!(text, "{\"api\":\"http://127.0.0.1:1\",\"feed\":\"ws://127.0.0.1:2\",\"swarm\":[]}\n");
        dir.remove_endpoints().unwrap();
        dir.remove_endpoints().unwrap();
        assert!(!endpoints_path(dir.path()).exists());
    }

    /// Planted: no look at the name beyond its beginning.
    #[test]
    fn what_a_killed_verify_left_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::create(folder.path()).unwrap();
        let left = dir.scratch().unwrap().keep();
        std::fs::create_dir_all(left.join("deep/down")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("precious"), "x").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("verify-abcdef")).unwrap();
        for mine in ["verify-2026-10", "verify-", "verification", "verify-ab.def"] {
            std::fs::create_dir(folder.path().join(mine)).unwrap();
        }
        assert!(matches!(DataDir::open(folder.path()), Err(DataDirError::InUse(_))));
        assert!(left.exists(), "its verify may still run");
        drop(dir);
        let _dir = DataDir::open(folder.path()).unwrap();
        assert!(!left.exists() && elsewhere.path().join("precious").exists());
        // The lock, the link and the four.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
    }

    #[test]
    fn networks_are_the_folders_of_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::create(folder.path()).unwrap();
        assert_eq!(dir.networks().unwrap(), Vec::<String>::new());
        std::fs::create_dir_all(dir.journal("spkcc_")).unwrap();
        std::fs::create_dir_all(dir.journal("dlux_")).unwrap();
        assert_eq!(dir.networks().unwrap(), ["dlux_", "spkcc_"]);
    }
}
