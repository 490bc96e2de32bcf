//! Small files that the operator may change while the node runs.
//!
//! *Always holds:* what is given out was read whole from a file that was sound; a file that is broken later changes nothing
//! and is told once.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How files are read. One that is not there is for the reader to judge.
type Read<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;

/// What tells one content of a file from another.
type Stamp = (u64, u64, i64, i64);

/// The content of files.
pub struct Watched<T> {
    files: Vec<PathBuf>,
    read: Read<T>,
    now: Mutex<(Vec<Option<Stamp>>, Arc<T>)>,
}

impl<T> std::fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watched").field(&self.files).finish()
    }
}

/// No file.
impl<T: Default + 'static> Default for Watched<T> {
    fn default() -> Self {
        Self { files: Vec::new(), read: Box::new(|| Ok(T::default())), now: Mutex::default() }
    }
}

impl<T> Watched<T> {
    /// The content of this file, which has to be sound now.
    pub fn open(
        path: &Path,
        read: impl Fn(&Path) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let file = path.to_owned();
        Self::over(vec![path.to_owned()], Box::new(move || read(&file)))
    }

    /// The content of several files that go together.
    pub fn over(files: Vec<PathBuf>, read: Read<T>) -> Result<Self, String> {
        let stamps = stamps(&files);
        let content = Arc::new(read()?);
        Ok(Self { files, read, now: Mutex::new((stamps, content)) })
    }

    /// The content as of now: a look at the files' times, and only when they are others at the files.
    pub fn get(&self) -> Arc<T> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = stamps(&self.files);
        if seen != now.0 {
            now.0 = seen;
            match (self.read)() {
                Ok(content) => now.1 = Arc::new(content),
                Err(error) => tracing::warn!(files = ?self.files, error, "what was read before stays in force"),
            }
        }
        now.1.clone()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let of = |data: Metadata| (data.ino(), data.len(), data.mtime(), data.mtime_nsec());
    files.iter().map(|path| std::fs::metadata(path).ok().map(of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Result<u32, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        text.parse().map_err(|_| "no number".to_owned())
    }

    /// Guards against: the stamp of a broken file is forgotten, and it is read for every request.
    #[test]
    fn a_change_is_seen_and_a_broken_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(Watched::open(&path, read).is_err());
        std::fs::write(&path, "1").unwrap();
        let watched = Watched::open(&path, read).unwrap();
        assert_eq!(*watched.get(), 1);
        std::fs::write(&path, "23").unwrap();
        assert_eq!(*watched.get(), 23);
        std::fs::write(&path, "nothing").unwrap();
        assert_eq!(*watched.get(), 23);
        assert_eq!(watched.now.lock().unwrap().0, stamps(std::slice::from_ref(&path)));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(*watched.get(), 23);
    }
}
