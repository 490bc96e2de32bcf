//! A document that grows leaf by leaf, in any order, until it is a base.
//!
//! Its manifest lies beside it. What of it is there is found by hashing: a kill at any moment costs the leaves that had not
//! reached the disk, and nothing else has to be right.
//!
//! *Always holds:* only leaves that the manifest names are written; the manifest is that of the CID that the file is called
//! by; the document leaves for the base's folder when all of it is durable, and is checked there once more.

use super::PictureError;
use super::file::{Picture, Wrong, unpack};
use crate::data_dir;
use crate::projection::base::{self, Imported};
use honeygraph_protocols::document::leaves::{LEAF_BYTES, leaf_digest, leaf_len};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::pictures::{Answer, GROUP_LEAVES, Manifest};
use honeygraph_protocols::swarm::wire::Message;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Ending of a document that is not whole.
const DOCUMENT: &str = "part";
/// Ending of its manifest.
const MANIFEST: &str = "manifest";

/// What has just been done: where a death leaves something behind. Tests die there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The manifest is durable, and the document has its room.
    Begun,
    /// A group is written, not durable.
    Group(usize),
    /// The document is durable.
    Synced,
    /// It stands in the base's folder; whether that is durable nobody knows.
    Moved,
    /// It is the base, durably; what it was made beside is still there.
    Taken,
    /// All is done.
    Cleared,
}

/// Hears of each step.
pub type Told<'a> = &'a dyn Fn(Step);

/// A document on its way.
#[derive(Debug)]
pub struct Part {
    root: HashText,
    manifest: Manifest,
    folder: PathBuf,
    path: PathBuf,
    file: File,
}

impl Part {
    /// Begins, or goes on with, the document of this name; what else lies in the folder is given up. Whether the manifest is
    /// that of the root is checked.
    pub fn begin(folder: &Path, root: &HashText, manifest: Manifest, told: Told) -> Result<Self, PictureError> {
        let path = folder.join(format!("{}.{DOCUMENT}", root.as_str()));
        if manifest.cid().as_deref() != Some(root.as_str()) {
            return Err(PictureError::damaged(&path, "the leaves of its manifest do not make it"));
        }
        let beside = folder.join(format!("{}.{MANIFEST}", root.as_str()));
        std::fs::create_dir_all(folder).map_err(PictureError::io(folder))?;
        for entry in std::fs::read_dir(folder).map_err(PictureError::io(folder))? {
            let other = entry.map_err(PictureError::io(folder))?.path();
            if other != path && other != beside {
                std::fs::remove_file(&other).map_err(PictureError::io(&other))?;
            }
        }
        let bytes = manifest.bytes;
        let encoded = Answer::Manifest(manifest.clone()).encode().ok_or(PictureError::TooLarge)?;
        data_dir::replace(&beside, &encoded).map_err(PictureError::io(&beside))?;
        let io = PictureError::io(&path);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(&io)?;
        file.set_len(bytes).map_err(&io)?;
        told(Step::Begun);
        Ok(Self { root: root.clone(), manifest, folder: folder.into(), path, file })
    }

    /// The one that an earlier run has left in the folder.
    pub fn left(folder: &Path) -> Option<(HashText, Manifest)> {
        let entries = std::fs::read_dir(folder).ok()?;
        entries.flatten().find_map(|entry| {
            let path = entry.path();
            let root = path.file_name()?.to_str()?.strip_suffix(MANIFEST)?.strip_suffix('.')?;
            let bytes = std::fs::read(&path).ok().filter(|bytes| bytes.len() <= Answer::CAP)?;
            let Ok(Answer::Manifest(manifest)) = Answer::decode(&bytes) else { return None };
            (manifest.cid()? == root).then_some((HashText::new(root)?, manifest))
        })
    }

    /// CID of the document.
    pub fn root(&self) -> &HashText {
        &self.root
    }

    /// Its leaves.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// For each group whether all of it is there already: read and hashed.
    pub fn there(&self) -> Result<Vec<bool>, PictureError> {
        let mut content = vec![0; GROUP_LEAVES * LEAF_BYTES];
        (0..self.manifest.groups()).map(|nth| self.has(nth, &mut content)).collect()
    }

    fn has(&self, nth: usize, room: &mut [u8]) -> Result<bool, PictureError> {
        for leaf in self.manifest.group(nth) {
            let content = &mut room[..leaf_len(leaf as u64, self.manifest.bytes)];
            match self.file.read_exact_at(content, leaf as u64 * LEAF_BYTES as u64) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                read => read.map_err(PictureError::io(&self.path))?,
            }
            // A leaf that was never written begins with zeros, and no document does: most need no hashing.
            if content.first() == Some(&0) || self.manifest.leaves.get(leaf) != Some(&leaf_digest(content)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a group: unpacked, each leaf checked, written. What is wrong is the fault of whoever gave it.
    pub fn take(&self, nth: usize, packed: &[u8], told: Told) -> Result<Result<(), Wrong>, PictureError> {
        let content = match unpack(&self.manifest, nth, packed) {
            Ok(content) => content,
            Err(wrong) => return Ok(Err(wrong)),
        };
        let at = (nth * GROUP_LEAVES) as u64 * LEAF_BYTES as u64;
        self.file.write_all_at(&content, at).map_err(PictureError::io(&self.path))?;
        told(Step::Group(nth));
        Ok(Ok(()))
    }

    /// All of it is there: it becomes the base in this folder, checked once more as a whole.
    pub fn finish(&self, into: &Path, told: Told) -> Result<Imported, PictureError> {
        let io = PictureError::io(&self.path);
        // Of two documents in a base's folder the younger counts.
        self.file.set_modified(std::time::SystemTime::now()).map_err(&io)?;
        self.file.sync_all().map_err(&io)?;
        told(Step::Synced);
        let taken = base::import_file(into, &self.path, self.root.as_str(), &|| told(Step::Moved))?;
        told(Step::Taken);
        std::fs::remove_dir_all(&self.folder).map_err(PictureError::io(&self.folder))?;
        told(Step::Cleared);
        Ok(taken)
    }
}

/// Makes the base of a picture: every leaf is checked on the way. What a killed import left is gone on with.
pub fn import(picture: &Picture, folder: &Path, into: &Path, told: Told) -> Result<Imported, PictureError> {
    let about = picture.about();
    let part = Part::begin(folder, picture.root(), about.manifest.clone(), told)?;
    for (nth, there) in part.there()?.into_iter().enumerate() {
        if there {
            continue;
        }
        let packed = picture.group(nth)?.unwrap_or_default();
        part.take(nth, &packed, told)?.map_err(|wrong| PictureError::damaged(picture.path(), wrong.to_string()))?;
    }
    part.finish(into, told)
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::picture;
    use super::*;
    use crate::projection::base::Base;
    use honeygraph_protocols::document::cid_v0;
    use honeygraph_testnet::fetching::document;
    use std::cell::RefCell;

    fn base_of(folder: &Path) -> Option<String> {
        let base = Base::current(folder).unwrap()?;
        base.leaves(|_, _| {}).expect("a base is whole");
        Some(base.hash.to_string())
    }

    #[test]
    fn a_picture_becomes_the_base_step_by_step() {
        let folder = tempfile::tempdir().unwrap();
        let document = document(5 << 20);
        let picture = picture(folder.path(), &document);
        let (parts, into) = (folder.path().join("parts"), folder.path().join("base"));
        let steps = RefCell::new(Vec::new());
        let taken = import(&picture, &parts, &into, &|step| steps.borrow_mut().push(step)).unwrap();
        assert_eq!((taken.label, taken.bytes, taken.hash), (18_505, document.len() as u64, cid_v0(&document)));
        assert_eq!(base_of(&into), Some(cid_v0(&document)));
        assert!(!parts.exists());
        let groups = (0..3).map(Step::Group);
        let all: Vec<Step> = [Step::Begun].into_iter().chain(groups).collect();
        assert_eq!(steps.borrow()[..4], all);
        assert_eq!(steps.borrow()[4..], [Step::Synced, Step::Moved, Step::Taken, Step::Cleared]);
    }

    /// Guards against: what was written before a kill trusted without a look at it.
    #[test]
    fn what_is_left_is_gone_on_with_and_what_was_torn_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let document = document(5 << 20);
        let picture = picture(folder.path(), &document);
        let (parts, into) = (folder.path().join("parts"), folder.path().join("base"));
        let (root, manifest) = (picture.root().clone(), picture.about().manifest.clone());
        assert_eq!(Part::left(&parts), None);
        let part = Part::begin(&parts, &root, manifest.clone(), &|_| {}).unwrap();
        assert_eq!(part.there().unwrap(), [false; 3]);
        for nth in [0, 2] {
            part.take(nth, &picture.group(nth).unwrap().unwrap(), &|_| {}).unwrap().unwrap();
        }
        let lie = picture.group(0).unwrap().unwrap();
        assert!(part.take(1, &lie, &|_| {}).unwrap().is_err());
        part.file.write_all_at(b"torn", 2 * (GROUP_LEAVES * LEAF_BYTES) as u64 + 1000).unwrap();
        drop(part);
        assert_eq!(Part::left(&parts), Some((root.clone(), manifest.clone())));
        let part = Part::begin(&parts, &root, manifest.clone(), &|_| {}).unwrap();
        assert_eq!(part.there().unwrap(), [true, false, false]);
        let other = HashText::new("QmOther").unwrap();
        assert!(Part::begin(&parts, &other, manifest, &|_| {}).is_err());
        import(&picture, &parts, &into, &|_| {}).unwrap();
        assert_eq!(base_of(&into), Some(root.to_string()));
    }
}
