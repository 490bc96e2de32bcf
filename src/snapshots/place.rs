//! Where the state store of a network lies, and how snapshots of it are made: decided once, at the start.
//!
//! With ZFS the store lies in the network's dataset, and `state/<network>` is a link to it; with btrfs the folder is a
//! subvolume. A store that is there already is moved, once.
//!
//! *Always holds:* a store is never begun anew because another one could not be reached: where the link leads to nothing,
//! the node does not start; what is moved is whole before anything points to it.

use super::copy::{self, Shareable};
use super::folders::{Folders, How, is_btrfs, make_subvolume};
use super::zfs::Zfs;
use super::{Backend, Error, at};
use crate::data_dir::DataDir;
use crate::projection::generation;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How snapshots are made.
    pub which: Which,
    /// Parent of the datasets.
    pub dataset: Option<String>,
    /// How their names begin.
    pub prefix: String,
    /// Most of them.
    pub most: usize,
    /// Blocks between two that are made without being asked for.
    pub interval_blocks: u64,
    /// Time between two of those at least: no setting, but what tests need short.
    pub pause: Duration,
}

/// How snapshots are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// By what is there.
    Auto,
    /// By ZFS.
    Zfs,
    /// By btrfs.
    Btrfs,
    /// As copies.
    Plain,
    /// Not at all.
    Off,
}

/// Where a network's store lies, and who makes snapshots of it.
pub struct Place {
    /// Folder of the store.
    pub store: PathBuf,
    /// Who makes them; none: nobody.
    pub backend: Option<Arc<dyn Backend>>,
    /// Why they are not made as they should be.
    pub trouble: Option<String>,
}

/// Finds the place of a network's store. `shareable` names the files of it that are never written again.
pub fn place(settings: &Settings, data: &DataDir, network: &str, shareable: Shareable) -> Result<Place, Error> {
    let link = data.state_link(network);
    if let Ok(store) = reached(&link) {
        generation::settle(&store).map_err(at(&store))?;
    }
    let wants_zfs = settings.which == Which::Zfs || (settings.which == Which::Auto && settings.dataset.is_some());
    if wants_zfs {
        let parent = settings.dataset.as_deref().unwrap_or_default();
        let opened = Zfs::open(parent, network, &settings.prefix).and_then(|zfs| {
            settle(&zfs.store(), &link)?;
            Ok(zfs)
        });
        match opened {
            Ok(zfs) => return Ok(Place { store: zfs.store(), backend: Some(Arc::new(zfs)), trouble: None }),
            // The store is there, and must not be begun anew here.
            Err(error) if link.is_symlink() => return Err(error),
            Err(error) if settings.which == Which::Zfs => {
                return Ok(Place { store: link, backend: None, trouble: Some(told(&error)) });
            }
            Err(error) => return beside(settings, data, network, (How::Copied(shareable), Some(told(&error)))),
        }
    }
    let how = match settings.which {
        Which::Off => return Ok(Place { store: reached(&link)?, backend: None, trouble: None }),
        Which::Btrfs => How::Subvolume,
        Which::Auto if is_btrfs(data.path()) && !link.is_symlink() => How::Subvolume,
        _ => How::Copied(shareable),
    };
    if matches!(how, How::Subvolume) {
        std::fs::create_dir_all(link.parent().unwrap_or(&link)).map_err(at(&link))?;
        if let Err(error) = make_subvolume(&link) {
            let trouble = Some(told(&error));
            return match settings.which {
                Which::Btrfs => Ok(Place { store: reached(&link)?, backend: None, trouble }),
                // Copies share their blocks there too; `btrfs` itself may not be installed.
                _ => beside(settings, data, network, (How::Copied(shareable), None)),
            };
        }
    }
    beside(settings, data, network, (how, None))
}

/// Snapshots in folders beside the state.
fn beside(
    settings: &Settings,
    data: &DataDir,
    network: &str,
    (how, trouble): (How, Option<String>),
) -> Result<Place, Error> {
    let store = reached(&data.state_link(network))?;
    let folders = Folders {
        live: store.clone(),
        snapshots: data.snapshots(network),
        clones: data.clones(network),
        prefix: settings.prefix.clone(),
        how,
    };
    match folders.open() {
        Ok(folders) => Ok(Place { store, backend: Some(Arc::new(folders)), trouble }),
        Err(error) => Ok(Place { store, backend: None, trouble: Some(told(&error)) }),
    }
}

/// What is said of an error to everyone, once the log has all of it.
fn told(error: &Error) -> String {
    tracing::warn!("snapshots: {error}");
    error.told()
}

/// The folder of a store, which may lie behind a link.
fn reached(link: &Path) -> Result<PathBuf, Error> {
    match std::fs::read_link(link) {
        Ok(target) if target.parent().is_some_and(Path::is_dir) => Ok(target),
        Ok(target) => Err(Error::Unusable(format!(
            "the state lies in {}, which is not there: mount it, or remove the link {} and the state is rebuilt from the journal",
            target.display(),
            link.display()
        ))),
        Err(_) => Ok(link.to_owned()),
    }
}

/// Lets the link lead to the store in a dataset, with what it led to before, or was.
fn settle(store: &Path, link: &Path) -> Result<(), Error> {
    let moved = link.with_extension("moved");
    std::fs::create_dir_all(link.parent().unwrap_or(link)).map_err(at(link))?;
    let before = match std::fs::symlink_metadata(link) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(source) => return Err(Error::Io { path: link.to_owned(), source }),
        Ok(about) if about.is_symlink() => Some(reached(link)?).filter(|target| target != store && target.is_dir()),
        Ok(_) => Some(link.to_owned()),
    };
    if let Some(before) = before {
        let part = store.with_extension("part");
        generation::remove(&part).map_err(at(&part))?;
        tracing::info!(from = %before.display(), to = %store.display(), "the state is moved into its dataset");
        copy::copy(&before, &part, None, Duration::ZERO).map_err(at(&part))?;
        generation::remove(store).map_err(at(store))?;
        std::fs::rename(&part, store).map_err(at(store))?;
        copy::sync_folder(store.parent().unwrap_or(store)).map_err(at(store))?;
        if !link.is_symlink() {
            std::fs::rename(link, &moved).map_err(at(link))?;
        }
    }
    let fresh = link.with_extension("link");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::Io { path: fresh, source: error }),
        _ => {}
    }
    std::os::unix::fs::symlink(store, &fresh).map_err(at(&fresh))?;
    std::fs::rename(&fresh, link).map_err(at(link))?;
    copy::sync_folder(link.parent().unwrap_or(link)).map_err(at(link))?;
    generation::remove(&moved).map_err(at(&moved))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(link: &Path) -> String {
        std::fs::read_to_string(link.join("log")).unwrap()
    }

    /// Every step of the move, killed before the next: the next start has the same store.
    ///
    /// Planted: the store replaced before the link; a store begun anew where the link leads to nothing.
    #[test]
    fn a_store_is_moved_whole_whenever_it_is_killed() {
        for killed in 0..5 {
            let top = tempfile::tempdir().unwrap();
            let (link, dataset) = (top.path().join("state/a_"), top.path().join("dataset"));
            let (store, moved) = (dataset.join("store"), link.with_extension("moved"));
            std::fs::create_dir_all(&link).unwrap();
            std::fs::create_dir_all(&dataset).unwrap();
            std::fs::write(link.join("log"), "mine").unwrap();
            match killed {
                // Half a copy; a whole one; an older one that is no longer meant.
                0 => std::fs::create_dir(dataset.join("store.part")).unwrap(),
                1 => copy::copy(&link, &store, None, Duration::ZERO).unwrap(),
                2 => std::fs::create_dir(&store).unwrap(),
                // Set apart; and linked to.
                3 | 4 => {
                    copy::copy(&link, &store, None, Duration::ZERO).unwrap();
                    std::fs::rename(&link, &moved).unwrap();
                    if killed == 4 {
                        std::os::unix::fs::symlink(&store, &link).unwrap();
                    }
                }
                _ => unreachable!(),
            }
            settle(&store, &link).unwrap();
            assert_eq!((text(&link), std::fs::read_link(&link).unwrap()), ("mine".into(), store.clone()), "{killed}");
            assert!(!moved.exists() && !dataset.join("store.part").exists(), "{killed}");
            settle(&store, &link).unwrap();
            assert_eq!(reached(&link).unwrap(), store);
            // Another dataset: the store goes with it.
            let other = top.path().join("other");
            std::fs::create_dir(&other).unwrap();
            settle(&other.join("store"), &link).unwrap();
            assert_eq!((text(&link), reached(&link).unwrap()), ("mine".into(), other.join("store")));
            std::fs::rename(&other, top.path().join("gone")).unwrap();
            assert!(matches!(reached(&link), Err(Error::Unusable(_))));
            assert!(settle(&store, &link).is_err(), "what the link led to is not there");
        }
    }

    #[test]
    fn a_link_that_leads_to_nothing_stops_the_start() {
        let top = tempfile::tempdir().unwrap();
        let data = DataDir::create(top.path()).unwrap();
        let settings = Settings {
            which: Which::Auto,
            dataset: None,
            prefix: "checkpoint".into(),
            most: 3,
            interval_blocks: 0,
            pause: Duration::ZERO,
        };
        let link = data.state_link("a_");
        let placed = place(&settings, &data, "a_", |_| false).unwrap();
        assert_eq!((placed.store, placed.trouble), (link.clone(), None));
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(top.path().join("nowhere/store"), &link).unwrap();
        for which in [Which::Auto, Which::Plain, Which::Off] {
            assert!(place(&Settings { which, ..settings.clone() }, &data, "a_", |_| false).is_err(), "{which:?}");
        }
        let wrong = Settings { dataset: Some("no-such-pool/x".into()), ..settings };
        assert!(
            place(&wrong, &data, "a_", |_| false).is_err(),
            "nor does one that leads to a dataset that is not there"
        );
        std::fs::remove_file(&link).unwrap();
        let placed = place(&wrong, &data, "a_", |_| false).unwrap();
        assert!(placed.trouble.is_some() && placed.backend.is_some_and(|backend| backend.kind() == "plain"));
        let insisting = Settings { which: Which::Zfs, ..wrong };
        assert!(place(&insisting, &data, "a_", |_| false).unwrap().backend.is_none());
    }
}
