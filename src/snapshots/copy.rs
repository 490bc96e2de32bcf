//! Copying the folder of a store that stands still but for what its own threads tidy up.
//!
//! Blocks are shared with the copy where the file system can (reflink), files that are never written again by a second
//! name (hard link); the rest is copied, holes left out.
//!
//! *Always holds:* the copy is what the folder was at one moment: it counts only if the folder looks the same before and
//! after. What is copied is on the disk when this returns.

use crate::projection::generation::remove;
use rustix::fs::{SeekFrom, ioctl_ficlone, seek};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two tries: a merge of tables that was under way ends within a few of them.
const PAUSE: Duration = Duration::from_millis(20);

/// Bytes that go to the disk at a time: the journal's own syncs wait for no more than these.
const SLICE: u64 = 1 << 20;

/// Files that are never written again once they are there, by their path in the folder.
pub type Shareable = fn(&Path) -> bool;

/// What tells that a file is not what it was: type, length, time of its last change, and which file it is.
type Look = (bool, u64, i64, i64, u64);

/// Copies `from` to `to`, which is not there yet; files that `shareable` names may be shared with it.
pub fn copy(from: &Path, to: &Path, shareable: Option<Shareable>, patience: Duration) -> io::Result<()> {
    let until = Instant::now() + patience;
    loop {
        let before = look(from)?;
        let copied = all(from, to, &before, shareable);
        match copied {
            Ok(()) if look(from)? == before => return Ok(()),
            // A file that went away meanwhile: tidied up.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        remove(to)?;
        if Instant::now() >= until {
            return Err(io::Error::new(ErrorKind::TimedOut, format!("{} does not stand still", from.display())));
        }
        #[expect(clippy::disallowed_methods, reason = "the store's own threads tell nobody when a merge is over")]
        std::thread::sleep(PAUSE);
    }
}

/// Makes the entries of a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Everything in a folder, folders before what is in them.
fn look(folder: &Path) -> io::Result<BTreeMap<PathBuf, Look>> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![PathBuf::new()]);
    while let Some(at) = waiting.pop() {
        for entry in std::fs::read_dir(folder.join(&at))? {
            let entry = entry?;
            let path = at.join(entry.file_name());
            let about = match entry.metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                about => about?,
            };
            if about.is_dir() {
                found.insert(path.clone(), (true, 0, 0, 0, about.ino()));
                waiting.push(path);
            } else if about.is_file() {
                found.insert(path, (false, about.len(), about.mtime(), about.mtime_nsec(), about.ino()));
            } else {
                let text = format!("{}: neither a file nor a folder", folder.join(path).display());
                return Err(io::Error::new(ErrorKind::InvalidData, text));
            }
        }
    }
    Ok(found)
}

fn all(from: &Path, to: &Path, seen: &BTreeMap<PathBuf, Look>, shareable: Option<Shareable>) -> io::Result<()> {
    std::fs::create_dir(to)?;
    let mut folders = vec![to.to_owned()];
    for (path, (is_folder, ..)) in seen {
        let target = to.join(path);
        if *is_folder {
            std::fs::create_dir(&target)?;
            folders.push(target);
        } else {
            one(&from.join(path), &target, shareable.is_some_and(|may| may(path)))?;
        }
    }
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

fn one(from: &Path, to: &Path, shareable: bool) -> io::Result<()> {
    let source = File::open(from)?;
    let target = File::create_new(to)?;
    if ioctl_ficlone(&target, &source).is_ok() {
        return target.sync_all();
    }
    if shareable {
        std::fs::remove_file(to)?;
        if std::fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        return bytes(&source, &File::create_new(to)?);
    }
    bytes(&source, &target)
}

/// The bytes of a file: stores set whole files apart before they write to them.
fn bytes(source: &File, target: &File) -> io::Result<()> {
    let len = source.metadata()?.len();
    let mut at = 0;
    while at < len {
        let (data, hole) = match seek(source, SeekFrom::Data(at)) {
            Ok(data) => (data, seek(source, SeekFrom::Hole(data))?),
            Err(Errno::NXIO) => break,
            // A file system that does not know holes.
            Err(_) => (at, len),
        };
        seek(source, SeekFrom::Start(data))?;
        seek(target, SeekFrom::Start(data))?;
        let (mut source, mut target) = (source, target);
        at = hole.min(data + SLICE);
        if io::copy(&mut source.by_ref().take(at - data), &mut target)? < at - data {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        target.sync_data()?;
    }
    target.set_len(len)?;
    target.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek as _, Write as _};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn is_table(path: &Path) -> bool {
        path.starts_with("tables")
    }

    /// Planted: links without asking; holes written out.
    #[test]
    fn what_changes_is_copied_what_never_does_is_shared_and_holes_stay() {
        let top = tempfile::tempdir().unwrap();
        let (from, to) = (top.path().join("from"), top.path().join("to"));
        std::fs::create_dir_all(from.join("tables/deep")).unwrap();
        std::fs::write(from.join("tables/deep/1"), "table").unwrap();
        let mut log = File::create(from.join("log")).unwrap();
        log.write_all(b"begin").unwrap();
        log.seek(io::SeekFrom::Start(8 << 20)).unwrap();
        log.write_all(b"middle").unwrap();
        log.set_len(64 << 20).unwrap();
        copy(&from, &to, Some(is_table), Duration::from_secs(10)).unwrap();
        let (ours, theirs) = (std::fs::read(from.join("log")).unwrap(), std::fs::read(to.join("log")).unwrap());
        assert!(ours == theirs && ours.len() == 64 << 20);
        assert!(to.join("log").metadata().unwrap().blocks() * 512 < 4 << 20, "the holes are holes");
        log.seek(io::SeekFrom::Start(0)).unwrap();
        log.write_all(b"BEGIN").unwrap();
        assert_eq!(&std::fs::read(to.join("log")).unwrap()[..5], b"begin");
        assert_eq!(std::fs::read(to.join("tables/deep/1")).unwrap(), b"table");
        assert!(copy(&from, &to, None, Duration::ZERO).is_err(), "it is there already");
    }

    /// Planted: no second look.
    #[test]
    fn a_folder_that_changes_while_it_is_copied_is_copied_again() {
        let top = tempfile::tempdir().unwrap();
        let from = top.path().join("from");
        std::fs::create_dir(&from).unwrap();
        let stop = AtomicBool::new(false);
        let grow = |name: &str| {
            let mut file = File::options().append(true).create(true).open(from.join(name)).unwrap();
            file.write_all(b"x").unwrap();
        };
        let pair = || ["a", "b"].map(grow);
        pair();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    pair();
                }
            });
            for nth in 0..20 {
                let to = top.path().join(nth.to_string());
                match copy(&from, &to, None, Duration::from_millis(200)) {
                    Ok(()) => {
                        let [a, b] = ["a", "b"].map(|name| to.join(name).metadata().unwrap().len());
                        assert!(a == b || a == b + 1, "no moment had {a} and {b}");
                    }
                    Err(error) => assert!(error.kind() == ErrorKind::TimedOut && !to.exists(), "{error}"),
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        copy(&from, &top.path().join("end"), None, Duration::from_secs(10)).unwrap();
        assert!(copy(&top.path().join("none"), &top.path().join("x"), None, Duration::ZERO).is_err());
    }

    #[test]
    fn what_is_no_file_is_not_copied() {
        let top = tempfile::tempdir().unwrap();
        let from = top.path().join("from");
        std::fs::create_dir(&from).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("link")).unwrap();
        let error = copy(&from, &top.path().join("to"), None, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
