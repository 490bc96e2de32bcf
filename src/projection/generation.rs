//! Where a store lies that took another's place while the node ran.
//!
//! Readers may still hold the store that was replaced, and its own threads may still write: so the new one gets a folder of
//! its own beside it, `<store>.1`, `<store>.2`; the next start moves the newest to `<store>`.
//!
//! *Always holds:* a folder with such a name is whole (it was renamed to it); the highest number is the store.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Ending of the name of a store that was set aside.
const ASIDE: &str = "damaged";
/// Most numbers that are looked at: a node that replaced its store so often should have been started again long ago.
const MOST: u32 = 64;

fn beside(store: &Path, ending: &str) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    store.with_file_name(name)
}

fn numbered(store: &Path, number: u32) -> PathBuf {
    if number == 0 { store.to_owned() } else { beside(store, &number.to_string()) }
}

fn number(store: &Path) -> u32 {
    (1..=MOST).rev().find(|number| numbered(store, *number).is_dir()).unwrap_or(0)
}

/// The folder in which the store is now.
pub fn newest(store: &Path) -> PathBuf {
    numbered(store, number(store))
}

/// The folder for one that takes its place. Those that were replaced before go, but for the first.
pub fn next(store: &Path) -> io::Result<PathBuf> {
    let last = number(store);
    if last == MOST {
        return Err(io::Error::other("the store was replaced too often: start the node again"));
    }
    for older in 1..last {
        remove(&numbered(store, older))?;
    }
    Ok(numbered(store, last + 1))
}

/// Where a store is set aside.
pub fn aside(store: &Path) -> PathBuf {
    beside(store, ASIDE)
}

/// Moves the newest store into its place. Whoever does this has nothing open; killed at any step, the next one ends it.
pub fn settle(store: &Path) -> io::Result<()> {
    let last = number(store);
    if last == 0 {
        return Ok(());
    }
    set_aside(store)?;
    for number in 1..last {
        remove(&numbered(store, number))?;
    }
    std::fs::rename(numbered(store, last), store)
}

/// Sets the store aside; one that was set aside before goes.
pub fn set_aside(store: &Path) -> io::Result<()> {
    if !store.is_dir() {
        return Ok(());
    }
    remove(&aside(store))?;
    std::fs::rename(store, aside(store))
}

/// Removes a folder, if it is there.
pub fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &Path, text: &str) {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("rows"), text).unwrap();
    }

    fn text(folder: &Path) -> Option<String> {
        std::fs::read_to_string(folder.join("rows")).ok()
    }

    /// Guards against: the newest moved before the older ones are gone (a kill between them brings an older one back).
    #[test]
    fn the_newest_is_the_store_whenever_the_move_was_cut_off() {
        for killed in 0..4 {
            let top = tempfile::tempdir().unwrap();
            let store = top.path().join("a_");
            made(&store, "0");
            for number in ["1", "2"] {
                assert_eq!(newest(&store), numbered(&store, number.parse::<u32>().unwrap() - 1));
                made(&next(&store).unwrap(), number);
            }
            made(&aside(&store), "older");
            // What `settle` does, up to a step.
            if killed > 0 {
                set_aside(&store).unwrap();
            }
            if killed > 1 {
                remove(&numbered(&store, 1)).unwrap();
            }
            if killed > 2 {
                std::fs::rename(numbered(&store, 2), &store).unwrap();
            }
            assert_eq!(text(&newest(&store)).as_deref(), Some("2"), "{killed}");
            settle(&store).unwrap();
            assert_eq!((text(&store).as_deref(), text(&aside(&store)).as_deref()), (Some("2"), Some("0")), "{killed}");
            assert_eq!(std::fs::read_dir(top.path()).unwrap().count(), 2, "{killed}");
            assert_eq!(newest(&store), store);
        }
    }
}
