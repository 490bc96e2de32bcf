//! Snapshots as folders beside the state: btrfs subvolumes, or copies that share what they can.
//!
//! ```text
//! snapshots/<network>/<name>/        the store as it was; read-only where it is a subvolume
//! snapshots/<network>/<name>.json    what it is of, and who holds it
//! clones/<network>/<clone>/          a copy to be written to
//! clones/<network>/<clone>.json      what it was made of
//! .part-…                            half of one: whoever opens the folders next removes it
//! ```
//!
//! *Always holds:* the file is written last and removed first, so that a folder with its file is whole; a folder without
//! one is half of something, and goes at the next start.

use super::about::About;
use super::copy::{self, Shareable};
use super::name::{Name, Word};
use super::run::{PATIENCE, run};
use super::{Backend, Clone, Error, Listed, Room, Snapshot, at, check_unneeded};
use crate::data_dir::replace;
use crate::projection::generation;
use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How the name of half of something begins.
const PART: &str = ".part-";
/// Ending of the file beside a folder.
const BESIDE: &str = ".json";
/// Number that btrfs gives the root of every subvolume.
const SUBVOLUME: u64 = 256;
/// What `statfs` says of btrfs.
const BTRFS: i64 = 0x9123_683e;

/// How a folder is made of another.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// Copied; the files that this names are never written again, and may be shared.
    Copied(Shareable),
    /// As a subvolume of btrfs.
    Subvolume,
}

/// What a folder is made for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Never to be written.
    Snapshot,
    /// To be written by anybody, so it shares nothing by name.
    Clone,
    /// To be a store.
    Store,
}

/// Where things lie.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The store.
    pub live: PathBuf,
    /// Its snapshots.
    pub snapshots: PathBuf,
    /// Their clones.
    pub clones: PathBuf,
    /// How names begin.
    pub prefix: String,
    /// How they are made.
    pub how: How,
}

/// What lies beside a snapshot.
#[derive(Default, Serialize, Deserialize)]
struct Beside {
    #[serde(default)]
    about: BTreeMap<String, String>,
    #[serde(default)]
    holds: BTreeSet<String>,
}

/// What lies beside a clone.
#[derive(Serialize, Deserialize)]
struct Origin {
    of: String,
}

impl Folders {
    /// Looks after the folders; removes what was left half made or half removed.
    pub fn open(self) -> Result<Self, Error> {
        for folder in [&self.snapshots, &self.clones] {
            std::fs::create_dir_all(folder).map_err(at(folder))?;
            for name in names(folder)? {
                let path = folder.join(&name);
                let (half, whole) = match name.strip_suffix(BESIDE) {
                    Some(of) => (self.is_ours(folder, of) && !folder.join(of).exists(), None),
                    None if name.starts_with(PART) => (true, Some(())),
                    None => (self.is_ours(folder, &name) && !beside(&path).exists(), Some(())),
                };
                if half {
                    tracing::info!(path = %path.display(), "half of a snapshot is removed");
                    match whole {
                        Some(()) => self.remove(&path)?,
                        None => std::fs::remove_file(&path).map_err(at(&path))?,
                    }
                }
            }
        }
        // A store that was being made anew when the node was killed.
        let (folder, name) = (self.live.parent().unwrap_or(&self.live), self.live.file_name().unwrap_or_default());
        let half = format!("{PART}{}.", name.to_string_lossy());
        for name in names(folder).unwrap_or_default().iter().filter(|name| name.starts_with(&half)) {
            self.remove(&folder.join(name))?;
        }
        Ok(self)
    }

    /// Whether something of this name in a folder was made here.
    fn is_ours(&self, folder: &Path, name: &str) -> bool {
        if *folder == self.clones { Word::new(name).is_ok() } else { Name::parse(&self.prefix, name).is_some() }
    }

    /// Makes a folder of another one: there whole or not at all.
    fn make(&self, from: &Path, to: &Path, what: What) -> Result<(), Error> {
        let (folder, name) = (to.parent().unwrap_or(to), to.file_name().unwrap_or_default());
        let part = folder.join(format!("{PART}{}", name.to_string_lossy()));
        self.remove(&part)?;
        let made = match self.how {
            How::Copied(shareable) => {
                let shareable = Some(shareable).filter(|_| what != What::Clone);
                copy::copy(from, &part, shareable, PATIENCE).map_err(at(&part))
            }
            How::Subvolume => {
                let read_only: &[&str] = if what == What::Snapshot { &["-r"] } else { &[] };
                let (from, part) = (from.to_string_lossy(), part.to_string_lossy());
                let order = [&["subvolume", "snapshot"], read_only, &["--", &from, &part]].concat();
                run("btrfs", &order).map(drop)
            }
        };
        if let Err(error) = made {
            // The next start removes what cannot be removed now.
            let _ = self.remove(&part);
            return Err(error);
        }
        std::fs::rename(&part, to).map_err(at(to))?;
        copy::sync_folder(folder).map_err(at(folder))
    }

    fn remove(&self, folder: &Path) -> Result<(), Error> {
        let is_subvolume = folder.metadata().is_ok_and(|about| about.ino() == SUBVOLUME);
        if matches!(self.how, How::Subvolume) && is_subvolume {
            return run("btrfs", &["subvolume", "delete", "--", &folder.to_string_lossy()]).map(drop);
        }
        generation::remove(folder).map_err(at(folder))
    }

    fn read(&self, name: &Name) -> Result<Beside, Error> {
        let file = beside(&self.snapshots.join(name.to_string()));
        match std::fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::NotThere(format!("snapshot {name}"))),
            Err(source) => Err(Error::Io { path: file, source }),
            // What cannot be read was not written here: the snapshot is there, and that is all that is known.
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        }
    }

    fn write(&self, name: &Name, what: &Beside) -> Result<(), Error> {
        write(&beside(&self.snapshots.join(name.to_string())), what)
    }
}

fn write(file: &Path, what: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(what).expect("texts are always JSON");
    replace(file, &text).map_err(at(file))
}

/// The file beside a folder.
fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(BESIDE);
    PathBuf::from(name)
}

/// Names of what is in a folder.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        names.extend(entry.map_err(at(folder))?.file_name().into_string());
    }
    Ok(names)
}

/// Whether a path lies on btrfs.
pub fn is_btrfs(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|about| about.f_type == BTRFS)
}

/// Makes the folder of a store a subvolume of btrfs, with what is in it.
pub fn make_subvolume(live: &Path) -> Result<(), Error> {
    let fresh = live.with_extension("fresh");
    let clear = |folder: &Path| generation::remove(folder).map_err(at(folder));
    // Of a start that was killed: half a copy, or what was copied.
    clear(&fresh)?;
    if live.metadata().is_ok_and(|about| about.ino() == SUBVOLUME) {
        return Ok(());
    }
    run("btrfs", &["subvolume", "create", "--", &fresh.to_string_lossy()])?;
    if !live.exists() {
        return std::fs::rename(&fresh, live).map_err(at(live));
    }
    for name in names(live)? {
        let (from, to) = (live.join(&name), fresh.join(&name));
        match from.is_dir() {
            true => copy::copy(&from, &to, None, PATIENCE).map_err(at(&to))?,
            false => std::fs::copy(&from, &to).map(drop).map_err(at(&to))?,
        }
    }
    let synced = std::fs::File::open(&fresh).and_then(|folder| Ok(rustix::fs::syncfs(&folder)?));
    synced.map_err(at(&fresh))?;
    let cwd = rustix::fs::CWD;
    let exchanged = rustix::fs::renameat_with(cwd, &fresh, cwd, live, rustix::fs::RenameFlags::EXCHANGE);
    exchanged.map_err(|error| at(live)(error.into()))?;
    clear(&fresh)
}

impl Backend for Folders {
    fn kind(&self) -> &'static str {
        match self.how {
            How::Copied(_) => "plain",
            How::Subvolume => "btrfs",
        }
    }

    fn list(&self) -> Result<Listed, Error> {
        let mut listed = Listed::default();
        for name in names(&self.snapshots)? {
            let Some(name) = Name::parse(&self.prefix, &name) else { continue };
            let found = match self.read(&name) {
                // Half removed.
                Err(Error::NotThere(_)) => continue,
                found => found?,
            };
            let about = About::from_pairs(|key| found.about.get(key).map(String::as_str));
            let about = about.filter(|about| (about.label, about.hash.as_str()) == (name.label(), name.hash()));
            let holds = found.holds.into_iter().collect();
            listed.snapshots.push(Snapshot { name, about, holds, clones: Vec::new(), bytes: None });
        }
        listed.snapshots.sort_by(|a, b| a.name.cmp(&b.name));
        for name in names(&self.clones)? {
            let folder = self.clones.join(&name);
            let Ok(text) = std::fs::read(beside(&folder)) else { continue };
            let Ok(Origin { of }) = serde_json::from_slice(&text) else { continue };
            listed.clones.push(Clone { name, of, folder });
        }
        listed.clones.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    fn create(&self, name: &Name, about: &About) -> Result<(), Error> {
        let to = self.snapshots.join(name.to_string());
        if to.exists() {
            return Err(Error::Exists(format!("snapshot {name}")));
        }
        self.make(&generation::newest(&self.live), &to, What::Snapshot)?;
        let about = about.pairs().map(|(key, value)| (key.to_owned(), value)).into();
        self.write(name, &Beside { about, holds: BTreeSet::new() })
    }

    fn destroy(&self, name: &Name) -> Result<(), Error> {
        check_unneeded(self.list()?.get(name)?)?;
        let folder = self.snapshots.join(name.to_string());
        let file = beside(&folder);
        std::fs::remove_file(&file).map_err(at(&file))?;
        copy::sync_folder(&self.snapshots).map_err(at(&self.snapshots))?;
        self.remove(&folder)
    }

    fn hold(&self, name: &Name, by: &Word) -> Result<(), Error> {
        let mut found = self.read(name)?;
        found.holds.insert(by.to_string());
        self.write(name, &found)
    }

    fn release(&self, name: &Name, by: &Word) -> Result<(), Error> {
        let mut found = self.read(name)?;
        if !found.holds.remove(by.as_str()) {
            return Err(Error::NotThere(format!("hold {by} of {name}")));
        }
        self.write(name, &found)
    }

    fn clone_of(&self, name: &Name, clone: &Word) -> Result<PathBuf, Error> {
        self.read(name)?;
        let to = self.clones.join(clone.as_str());
        if to.exists() {
            return Err(Error::Exists(format!("clone {clone}")));
        }
        self.make(&self.snapshots.join(name.to_string()), &to, What::Clone)?;
        write(&beside(&to), &Origin { of: name.to_string() })?;
        Ok(to)
    }

    fn renew(&self, of: Option<&Name>, to: &Path) -> Result<(), Error> {
        match (of, self.how) {
            (Some(name), _) => {
                self.read(name)?;
                self.make(&self.snapshots.join(name.to_string()), to, What::Store)
            }
            (None, How::Copied(_)) => std::fs::create_dir_all(to).map_err(at(to)),
            (None, How::Subvolume) => run("btrfs", &["subvolume", "create", "--", &to.to_string_lossy()]).map(drop),
        }
    }

    fn destroy_clone(&self, clone: &Word) -> Result<(), Error> {
        let folder = self.clones.join(clone.as_str());
        let file = beside(&folder);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::NotThere(format!("clone {clone}"))),
            removed => removed.map_err(at(&file)).and_then(|()| self.remove(&folder)),
        }
    }

    fn room(&self) -> Result<Room, Error> {
        let about = statvfs(&self.snapshots).map_err(|error| at(&self.snapshots)(error.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(about.f_frsize);
        Ok(Room { free: bytes(about.f_bavail), total: bytes(about.f_blocks) })
    }

    fn changed_files(&self, from: &Name, to: &Name) -> Result<Option<Vec<String>>, Error> {
        self.read(from)?;
        self.read(to)?;
        Ok(None)
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}
