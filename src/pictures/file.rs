//! A picture as a file, on a node's disk and between operators.
//!
//! ```text
//! HGPICT01      what it is, and its version
//! groups        of eight leaves each, one zstd frame after the other
//! about         network, checkpoint, digest of each leaf, length of each group (postcard)
//! 8 bytes       length and crc32c of `about` (u32 each, little endian)
//! HGPICEND
//! ```
//!
//! What it is about stands at its end, because it is written in one go while the state is read.
//!
//! *Always holds:* an open picture's leaves make the CID that it is called by; a group is unpacked to no more than its
//! leaves, and a leaf counts only by its digest.

use super::PictureError;
use honeygraph_protocols::document::leaves::{LEAF_BYTES, LeafDigest, leaf_digest, leaf_len};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::names::{Label, NetworkName};
use honeygraph_protocols::swarm::pictures::{GROUP_LEAVES, MAX_BYTES, MAX_GROUP_BYTES, MAX_GROUPS, Manifest, Named};
use honeygraph_protocols::swarm::wire::{List, Message};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use zstd::bulk::{Compressor, Decompressor};

/// Ending of a picture's name.
pub const ENDING: &str = "picture";
const BEGINS: &[u8; 8] = b"HGPICT01";
const ENDS: &[u8; 8] = b"HGPICEND";
/// Bytes behind `about`.
const TRAILER: usize = 8 + ENDS.len();
/// How hard a group is packed: made once a day, sent often.
const LEVEL: i32 = 3;
/// Bytes of a full group.
const GROUP_BYTES: usize = GROUP_LEAVES * LEAF_BYTES;

/// What a picture is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The picture's name.
    pub of: Named,
    /// Block of the checkpoint.
    pub label: Label,
    /// The leaves.
    pub manifest: Manifest,
    /// Bytes of each group in the file.
    groups: List<u32, MAX_GROUPS>,
}

impl Message for About {
    const WHAT: &'static str = "what a picture is about";
    /// The digests of all leaves, and the lengths of the groups.
    const CAP: usize = 256 << 10;

    fn check(&self) -> Result<(), &'static str> {
        if self.groups.len() != self.manifest.groups() {
            return Err("another number of groups than its leaves make");
        }
        if self.groups.iter().any(|bytes| *bytes as usize > MAX_GROUP_BYTES) {
            return Err("a group longer than any");
        }
        Ok(())
    }
}

/// A picture that is open. What is removed meanwhile can still be read.
#[derive(Debug)]
pub struct Picture {
    about: About,
    path: PathBuf,
    file: File,
    /// Where each group begins, and where the last one ends.
    begins: Vec<u64>,
}

impl Picture {
    /// Opens one, and checks what it says of itself.
    pub fn open(path: &Path) -> Result<Self, PictureError> {
        let file = File::open(path).map_err(PictureError::io(path))?;
        let damaged = |why: String| PictureError::damaged(path, why);
        let (about, at) = about(&file, path)?;
        let mut begins = vec![BEGINS.len() as u64];
        let mut end = BEGINS.len() as u64;
        for bytes in about.groups.iter() {
            end += u64::from(*bytes);
            begins.push(end);
        }
        if end != at {
            return Err(damaged(format!("its groups end at byte {end}, and what it is about begins at byte {at}")));
        }
        match about.manifest.cid() {
            Some(cid) if cid == about.of.root.as_str() => {}
            cid => {
                let cid = cid.unwrap_or_default();
                return Err(damaged(format!("its leaves make {cid}, and it is called {}", about.of.root.as_str())));
            }
        }
        Ok(Self { about, path: path.into(), file, begins })
    }

    /// What it is of.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Block of its checkpoint.
    pub fn label(&self) -> u64 {
        self.about.label.get()
    }

    /// CID of its document.
    pub fn root(&self) -> &HashText {
        &self.about.of.root
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        let about = self.begins.last().copied().unwrap_or_default();
        self.file.metadata().map_or(about, |file| file.len())
    }

    /// A group as it travels; none: there is no such one.
    pub fn group(&self, nth: usize) -> Result<Option<Vec<u8>>, PictureError> {
        let (Some(from), Some(to)) = (self.begins.get(nth), self.begins.get(nth + 1)) else { return Ok(None) };
        let mut packed = vec![0; (to - from) as usize];
        self.file.read_exact_at(&mut packed, *from).map_err(PictureError::io(&self.path))?;
        Ok(Some(packed))
    }
}

/// What a file says that it is about, and where in the file that begins.
fn about(file: &File, path: &Path) -> Result<(About, u64), PictureError> {
    let io = PictureError::io(path);
    let damaged = |why: &str| PictureError::damaged(path, why);
    let len = file.metadata().map_err(&io)?.len();
    let mut begins = [0; BEGINS.len()];
    if len < (BEGINS.len() + TRAILER) as u64 {
        return Err(damaged("too short to be a picture"));
    }
    file.read_exact_at(&mut begins, 0).map_err(&io)?;
    if begins != *BEGINS {
        return Err(damaged("no picture, or one of another version"));
    }
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, len - TRAILER as u64).map_err(&io)?;
    let (numbers, ends) = trailer.split_at(8);
    if ends != ENDS {
        return Err(damaged("it does not end where a picture ends: cut short?"));
    }
    let number = |at: usize| u32::from_le_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
    let (bytes, crc) = (number(0) as usize, number(4));
    let at = (len - TRAILER as u64).checked_sub(bytes as u64).filter(|_| bytes <= About::CAP);
    let at = at.ok_or_else(|| damaged("a length at its end that cannot be"))?;
    let mut about = vec![0; bytes];
    file.read_exact_at(&mut about, at).map_err(&io)?;
    if crc32c::crc32c(&about) != crc {
        return Err(PictureError::damaged(
            path,
            format!("bytes {at} to {} are not what was written", at + bytes as u64),
        ));
    }
    let about = About::decode(&about).map_err(|refused| PictureError::damaged(path, refused.to_string()))?;
    Ok((about, at))
}

/// Writes a picture, as its document comes.
pub struct Writer {
    out: BufWriter<File>,
    path: PathBuf,
    packer: Compressor<'static>,
    group: Vec<u8>,
    leaves: Vec<LeafDigest>,
    groups: Vec<u32>,
    bytes: u64,
    /// The first thing that went wrong; nothing is written behind it.
    failed: Option<PictureError>,
}

impl Writer {
    /// Into this file, which is made.
    pub fn create(path: &Path) -> Result<Self, PictureError> {
        let io = PictureError::io(path);
        let mut out = BufWriter::new(File::create(path).map_err(&io)?);
        out.write_all(BEGINS).map_err(&io)?;
        let packer = Compressor::new(LEVEL).map_err(&io)?;
        let (group, leaves, groups) = (Vec::with_capacity(GROUP_BYTES), Vec::new(), Vec::new());
        Ok(Self { out, path: path.into(), packer, group, leaves, groups, bytes: 0, failed: None })
    }

    /// The next piece of the document. What goes wrong is told by [`Writer::failure`] and at the end.
    pub fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() && self.failed.is_none() {
            let (now, then) = piece.split_at(piece.len().min(GROUP_BYTES - self.group.len()));
            self.group.extend_from_slice(now);
            self.bytes += now.len() as u64;
            piece = then;
            if self.bytes > MAX_BYTES {
                self.failed = Some(PictureError::TooLarge);
            } else if self.group.len() == GROUP_BYTES
                && let Err(failed) = self.flush()
            {
                self.failed = Some(failed);
            }
        }
    }

    /// What has gone wrong so far.
    pub fn failure(&mut self) -> Result<(), PictureError> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn flush(&mut self) -> Result<(), PictureError> {
        let io = PictureError::io(&self.path);
        self.leaves.extend(self.group.chunks(LEAF_BYTES).map(leaf_digest));
        let packed = self.packer.compress(&self.group).map_err(&io)?;
        self.out.write_all(&packed).map_err(&io)?;
        self.groups.push(packed.len() as u32);
        self.group.clear();
        Ok(())
    }

    /// The document is whole: CID of it, what was written of it being durable.
    pub fn finish(mut self, network: &NetworkName, label: Label) -> Result<HashText, PictureError> {
        self.failure()?;
        if !self.group.is_empty() {
            self.flush()?;
        }
        let manifest = Manifest { bytes: self.bytes, leaves: List::first_of(self.leaves) };
        let root = manifest.cid().and_then(|cid| HashText::new(&cid));
        let root = root.ok_or_else(|| PictureError::damaged(&self.path, "a document without a leaf"))?;
        let of = Named { network: network.clone(), root: root.clone() };
        let about = About { of, label, manifest, groups: List::first_of(self.groups) };
        let about = about.encode().ok_or(PictureError::TooLarge)?;
        let numbers = [(about.len() as u32).to_le_bytes(), crc32c::crc32c(&about).to_le_bytes()].concat();
        let io = PictureError::io(&self.path);
        for part in [&about[..], &numbers, ENDS] {
            self.out.write_all(part).map_err(&io)?;
        }
        let file = self.out.into_inner().map_err(|error| io(error.into_error()))?;
        file.sync_all().map_err(&io)?;
        Ok(root)
    }
}

/// Why a group is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It does not unpack to what its leaves have together.
    #[error("group {0} does not unpack to what its leaves have")]
    Group(usize),
    /// A leaf that the manifest does not name.
    #[error("leaf {leaf} (bytes {from} to {to} of the document) is not what the root's hash names")]
    Leaf {
        /// Number of the leaf.
        leaf: usize,
        /// Where it begins.
        from: u64,
        /// Where it ends.
        to: u64,
    },
}

/// Unpacks a group and checks its leaves: their content together.
pub fn unpack(manifest: &Manifest, nth: usize, packed: &[u8]) -> Result<Vec<u8>, Wrong> {
    let expected = manifest.group_bytes(nth);
    let unpacked = Decompressor::new().and_then(|mut unpacker| unpacker.decompress(packed, expected));
    let unpacked = unpacked.ok().filter(|unpacked| expected > 0 && unpacked.len() == expected);
    let unpacked = unpacked.ok_or(Wrong::Group(nth))?;
    for (leaf, content) in manifest.group(nth).zip(unpacked.chunks(LEAF_BYTES)) {
        if manifest.leaves.get(leaf) != Some(&leaf_digest(content)) {
            let from = leaf as u64 * LEAF_BYTES as u64;
            return Err(Wrong::Leaf { leaf, from, to: from + leaf_len(leaf as u64, manifest.bytes) as u64 });
        }
    }
    Ok(unpacked)
}

/// Copies a picture for others: whole and durable, or not there at all.
pub fn export(picture: &Picture, to: &Path) -> Result<(), PictureError> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut fresh = to.as_os_str().to_owned();
    fresh.push(".tmp");
    let fresh = PathBuf::from(fresh);
    let io = PictureError::io(&fresh);
    std::fs::copy(picture.path(), &fresh).map_err(&io)?;
    // What is given to others is checked as they will.
    let copy = Picture::open(&fresh)?;
    for nth in 0..copy.about.manifest.groups() {
        let packed = copy.group(nth)?.unwrap_or_default();
        unpack(&copy.about.manifest, nth, &packed)
            .map_err(|wrong| PictureError::damaged(picture.path(), wrong.to_string()))?;
    }
    copy.file.sync_all().and_then(|()| std::fs::rename(&fresh, to)).map_err(PictureError::io(to))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(PictureError::io(folder))
}

/// Name of a picture's file.
pub(super) fn name(label: u64, root: &HashText) -> String {
    format!("{label}_{}.{ENDING}", root.as_str())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use honeygraph_protocols::document::cid_v0;
    use honeygraph_testnet::fetching::document;

    /// A picture of it.
    pub(crate) fn picture(folder: &Path, document: &[u8]) -> Picture {
        let path = folder.join("a.picture");
        let mut writer = Writer::create(&path).unwrap();
        document.chunks(100_003).for_each(|piece| writer.push(piece));
        let network = NetworkName::new("a_").unwrap();
        let root = writer.finish(&network, Label::new(18_505).unwrap()).unwrap();
        assert_eq!(root.as_str(), cid_v0(document));
        Picture::open(&path).unwrap()
    }

    fn content(picture: &Picture) -> Result<Vec<u8>, Wrong> {
        let manifest = &picture.about().manifest;
        let groups = (0..manifest.groups()).map(|nth| unpack(manifest, nth, &picture.group(nth).unwrap().unwrap()));
        Ok(groups.collect::<Result<Vec<_>, Wrong>>()?.concat())
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [1, LEAF_BYTES, 3 * GROUP_BYTES + 5 * LEAF_BYTES + 17] {
            let document = document(bytes);
            let picture = picture(folder.path(), &document);
            assert_eq!((picture.label(), picture.root().as_str()), (18_505, &*cid_v0(&document)));
            assert!(content(&picture).unwrap() == document);
            assert_eq!(picture.group(picture.about().manifest.groups()).unwrap(), None);
            let copy = folder.path().join("copy.picture");
            export(&picture, &copy).unwrap();
            assert!(content(&Picture::open(&copy).unwrap()).unwrap() == document);
        }
    }

    /// Guards against: `open` without its look at the CID, and `unpack` without its look at the leaves.
    #[test]
    fn a_file_that_was_changed_or_cut_is_found_out_with_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let document = document(GROUP_BYTES + 3 * LEAF_BYTES);
        let whole = picture(folder.path(), &document);
        let bytes = std::fs::read(whole.path()).unwrap();
        let (changed, ends) = (folder.path().join("changed.picture"), *whole.begins.last().unwrap() as usize);
        let step = bytes.len() / 61;
        for at in (0..bytes.len()).step_by(step).chain([0, 8, ends - 1, ends, ends + 40, bytes.len() - 1]) {
            let mut other = bytes.clone();
            other[at] ^= 0x10;
            std::fs::write(&changed, &other).unwrap();
            let found = Picture::open(&changed).map(|picture| content(&picture));
            let is_group = (8..ends).contains(&at);
            // A flag in a frame's header may change nothing of its content.
            let is_same = matches!(&found, Ok(Ok(read)) if *read == document && is_group);
            assert!(matches!((&found, is_group), (Ok(Err(_)), true) | (Err(_), false)) || is_same, "{at}");
        }
        for cut in [0, 7, 8, 20, ends, bytes.len() - 1] {
            std::fs::write(&changed, &bytes[..cut]).unwrap();
            assert!(Picture::open(&changed).is_err(), "{cut}");
        }
        let mut wrong = document[GROUP_BYTES..].to_vec();
        wrong[LEAF_BYTES] ^= 1;
        let packed = zstd::bulk::compress(&wrong, 1).unwrap();
        let said = unpack(&whole.about().manifest, 1, &packed).unwrap_err().to_string();
        assert_eq!(said, "leaf 9 (bytes 2359296 to 2621440 of the document) is not what the root's hash names");
    }

    #[test]
    fn a_group_unpacks_to_no_more_than_its_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let picture = picture(folder.path(), &document(1000));
        let manifest = &picture.about().manifest;
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        for packed in [&bomb[..], b"", b"no frame"] {
            assert_eq!(unpack(manifest, 0, packed), Err(Wrong::Group(0)));
        }
        assert_eq!(unpack(manifest, 1, b""), Err(Wrong::Group(1)), "there is none");
    }
}
