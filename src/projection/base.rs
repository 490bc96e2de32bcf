//! The base: a root document that says what a network's state was where a period of this replica's history begins.
//! Honeycomb never streams the state it started with; without a base a replica does not know what lies before its first
//! batch.
//!
//! The document is a file of the data folder, named by its CIDv0, and nothing believes it but by that: it is checked when
//! it comes and whenever it is read. The state applies it under the version of the first batch of the period that its
//! hash opened, whichever history that is on; a state that was made without it, or with another one, is made again.
//!
//! *Always holds:* at most one base is in force for a network; the file is whole or not there.

use honeygraph_protocols::document::{DocumentError, Root, cid_v0};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op::{Effect, EffectReader, OpError};
use serde::Serialize;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Largest document taken, in bytes: it is held in memory while it is applied. Ten times the largest state planned for.
pub const MAX_BYTES: u64 = 1 << 30;
/// Ending of the file's name.
const ENDING: &str = ".json";

/// Why a base cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The file cannot be read or written.
    #[error("base {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// More than [`MAX_BYTES`].
    #[error("the document has {0} bytes, more than {MAX_BYTES} are not taken")]
    TooLarge(u64),
    /// It is not the document it is called.
    #[error("the document's CID is {found}, not {expected}")]
    Hash {
        /// What it was called.
        expected: String,
        /// What it is.
        found: String,
    },
    /// It is no root document.
    #[error(transparent)]
    Shape(#[from] DocumentError),
    /// Its state is not one.
    #[error("the state in the document: {0}")]
    State(#[from] OpError),
}

/// A base that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Its CIDv0: the hash of the checkpoint that it is the state of.
    pub hash: HashText,
    path: PathBuf,
}

/// What was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// CIDv0 of the document.
    pub hash: String,
    /// Block of the checkpoint.
    pub label: u64,
    /// Leaves in it.
    pub leaves: u64,
    /// Bytes of it.
    pub bytes: u64,
}

impl Base {
    /// The base in a network's folder, if there is one.
    pub fn current(folder: &Path) -> Result<Option<Self>, BaseError> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BaseError::Io { path: folder.into(), source }),
        };
        let mut newest = None;
        for entry in entries {
            let io = |source| BaseError::Io { path: folder.into(), source };
            let entry = entry.map_err(io)?;
            let path = entry.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(ENDING));
            let Some(hash) = name.filter(|name| name.starts_with("Qm")).and_then(HashText::new) else { continue };
            let written = entry.metadata().and_then(|about| about.modified()).map_err(io)?;
            if newest.as_ref().is_none_or(|(before, _)| *before < written) {
                newest = Some((written, Self { hash, path }));
            }
        }
        Ok(newest.map(|(_, base)| base))
    }

    /// Calls `each` with every leaf (encoded path, canonical text) after checking the document.
    pub fn leaves(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), BaseError> {
        let bytes = std::fs::read(&self.path).map_err(|source| BaseError::Io { path: self.path.clone(), source })?;
        check(&bytes, Some(self.hash.as_str()))?;
        leaves(&bytes, &mut each).map(|_| ())
    }
}

/// Checks a document and makes it the base of the network that has this folder; `expected` is the CID that it must have.
pub fn import(folder: &Path, bytes: &[u8], expected: Option<&str>) -> Result<Imported, BaseError> {
    let hash = check(bytes, expected)?;
    let mut count = 0;
    let number = leaves(bytes, &mut |_, _| count += 1)?;
    write(folder, &hash, bytes).map_err(|source| BaseError::Io { path: folder.into(), source })?;
    Ok(Imported { hash, label: number.saturating_sub(1), leaves: count, bytes: bytes.len() as u64 })
}

/// As [`import`], of a document that lies in a file on the same disk, durable: it is moved. `moved` hears when that is done,
/// and not yet durable.
pub fn import_file(folder: &Path, document: &Path, expected: &str, moved: &dyn Fn()) -> Result<Imported, BaseError> {
    let io = |source| BaseError::Io { path: document.into(), source };
    let size = std::fs::metadata(document).map_err(io)?.len();
    if size > MAX_BYTES {
        return Err(BaseError::TooLarge(size));
    }
    let bytes = std::fs::read(document).map_err(io)?;
    let hash = check(&bytes, Some(expected))?;
    let mut count = 0;
    let number = leaves(&bytes, &mut |_, _| count += 1)?;
    let path = folder.join(format!("{hash}{ENDING}"));
    let io = |source| BaseError::Io { path: folder.into(), source };
    std::fs::create_dir_all(folder).and_then(|()| std::fs::rename(document, &path)).map_err(io)?;
    moved();
    settle(folder, &path).map_err(io)?;
    Ok(Imported { hash, label: number.saturating_sub(1), leaves: count, bytes: bytes.len() as u64 })
}

/// Makes a base that was found while the node ran the network's base, if there is none and the state `may` be made again;
/// else it is given up. Killed in the middle it is in one of the two folders.
pub fn adopt(found: &Path, folder: &Path, may: bool) -> Result<Option<Base>, BaseError> {
    let Some(waiting) = Base::current(found)? else { return Ok(None) };
    let is_free = may && Base::current(folder)?.is_none();
    let is_sound = is_free && waiting.leaves(|_, _| {}).is_ok();
    let io = |source| BaseError::Io { path: found.into(), source };
    let adopted = match waiting.path.file_name().filter(|_| is_sound) {
        None => None,
        Some(name) => {
            let path = folder.join(name);
            std::fs::create_dir_all(folder).map_err(io)?;
            std::fs::rename(&waiting.path, &path).map_err(io)?;
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
            Some(Base { hash: waiting.hash, path })
        }
    };
    std::fs::remove_dir_all(found).map_err(io)?;
    Ok(adopted)
}

fn check(bytes: &[u8], expected: Option<&str>) -> Result<String, BaseError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(BaseError::TooLarge(bytes.len() as u64));
    }
    let found = cid_v0(bytes);
    match expected.filter(|expected| *expected != found) {
        Some(expected) => Err(BaseError::Hash { expected: expected.into(), found }),
        None => Ok(found),
    }
}

/// Number of the document, after `each` saw its leaves.
fn leaves(bytes: &[u8], each: &mut impl FnMut(&[u8], &[u8])) -> Result<u64, BaseError> {
    let root = Root::parse(bytes)?;
    EffectReader::default().state(root.state, |effect| {
        if let Effect::Put(path, text) = effect {
            each(path, text);
        }
    })?;
    Ok(root.number)
}

/// Writes the file beside the one in force, then removes that one. After a crash there may be both: the newer counts.
fn write(folder: &Path, hash: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let (path, fresh) = (folder.join(format!("{hash}{ENDING}")), folder.join("incoming.tmp"));
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, &path)?;
    settle(folder, &path)
}

/// Makes a file's place durable, then removes what was there before.
fn settle(folder: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()?;
    for entry in std::fs::read_dir(folder)? {
        let old = entry?.path();
        if old != path {
            std::fs::remove_file(old)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &[u8] = br#"[94000102,{"a":{"b":1,"c":{"0":"x"}},"d":null,"e":{}}]"#;

    #[test]
    fn a_document_is_taken_checked_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Base::current(&folder.path().join("none")).unwrap(), None);
        let taken = import(folder.path(), DOCUMENT, None).unwrap();
        assert_eq!((taken.label, taken.leaves, taken.bytes), (94_000_101, 3, DOCUMENT.len() as u64));
        let base = Base::current(folder.path()).unwrap().unwrap();
        assert_eq!(base.hash.as_str(), taken.hash);
        let mut texts = Vec::new();
        base.leaves(|_, text| texts.push(String::from_utf8(text.to_vec()).unwrap())).unwrap();
        assert_eq!(texts, ["1", "\"x\"", "null"]);
        let other = br#"[94000202,{"a":1}]"#;
        let taken = import(folder.path(), other, Some(&cid_v0(other))).unwrap();
        assert_eq!(Base::current(folder.path()).unwrap().unwrap().hash.as_str(), taken.hash, "the new one alone");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_found_base_is_taken_once_and_only_where_there_is_none() {
        let top = tempfile::tempdir().unwrap();
        let (found, folder) = (top.path().join("found"), top.path().join("base"));
        assert_eq!(adopt(&found, &folder, true).unwrap(), None);
        let hash = import(&found, DOCUMENT, None).unwrap().hash;
        assert_eq!(adopt(&found, &folder, false).unwrap(), None, "the journal begins late");
        assert!(!found.exists() && Base::current(&folder).unwrap().is_none());
        import(&found, DOCUMENT, None).unwrap();
        std::fs::write(found.join(format!("{hash}.json")), b"[94000102,{}]").unwrap();
        assert_eq!(adopt(&found, &folder, true).unwrap(), None, "a file that was changed");
        import(&found, DOCUMENT, None).unwrap();
        let taken = adopt(&found, &folder, true).unwrap().unwrap();
        assert_eq!((taken.hash.as_str(), Base::current(&folder).unwrap()), (hash.as_str(), Some(taken.clone())));
        import(&found, br#"[94000202,{"a":1}]"#, None).unwrap();
        assert_eq!(adopt(&found, &folder, true).unwrap(), None, "there is one");
        assert_eq!(Base::current(&folder).unwrap(), Some(taken));
        assert!(!found.exists());
    }

    #[test]
    fn what_is_no_root_or_not_the_one_it_is_called_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for bad in [
            &b""[..],
            b"{}",
            b"[1]",
            b"[1,2]",
            b"[1,[]]",
            b"[-1,{}]",
            b"[1,{}",
            b"[1,{}]x",
            b"[1,{\"a\":}]",
            b"[1,{\"a\":1}}]",
            b"[1,{\"a\":1},2]",
            b"[1.5,{}]",
        ] {
            assert!(import(folder.path(), bad, None).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        let wrong = import(folder.path(), DOCUMENT, Some("QmOther"));
        assert!(matches!(wrong, Err(BaseError::Hash { .. })));
        assert_eq!(Base::current(folder.path()).unwrap(), None);
        // A file that was changed afterwards is found out when it is read.
        let taken = import(folder.path(), DOCUMENT, None).unwrap();
        std::fs::write(folder.path().join(format!("{}.json", taken.hash)), b"[94000102,{}]").unwrap();
        let base = Base::current(folder.path()).unwrap().unwrap();
        assert!(matches!(base.leaves(|_, _| {}), Err(BaseError::Hash { .. })));
    }
}
