//! Making a picture: the state at a root, written leaf by leaf as the root document, under a temporary name.
//!
//! *Always holds:* a picture gets its name only when its CID is the root's; memory is one group of leaves.

use super::file::{Picture, Writer, name};
use super::{KEPT, PictureError, open_all};
use crate::projection::state::View;
use crate::projection::state::kv::Snapshot;
use honeygraph_protocols::document::RootWriter;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::names::{Label, NetworkName};
use std::cell::RefCell;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Leaves of the state between two looks at whether the node stops, and whether the disk takes what is written.
const LOOK_EVERY: usize = 4_096;
/// Name of a picture that is being made.
const MAKING: &str = "making.tmp";

/// A root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The network.
    pub network: NetworkName,
    /// Block of the checkpoint.
    pub label: Label,
    /// Its hash.
    pub hash: HashText,
}

/// What came of it.
#[derive(Debug)]
pub enum Made {
    /// The picture.
    Picture(Arc<Picture>),
    /// The state is not what the root's hash names: none was made.
    Differs,
}

/// Makes the picture of a root from the state there, and lets go of all but the newest.
pub fn make<S: Snapshot>(
    view: &View<S>,
    root: &Root,
    folder: &Path,
    stopped: &dyn Fn() -> bool,
) -> Result<Made, PictureError> {
    std::fs::create_dir_all(folder).map_err(PictureError::io(folder))?;
    let making = folder.join(MAKING);
    let made = write(view, root, &making, stopped);
    let is_it = matches!(&made, Ok(Some(hash)) if *hash == root.hash);
    if !is_it {
        let _ = std::fs::remove_file(&making);
        return made.map(|_| Made::Differs);
    }
    let path = folder.join(name(root.label.get(), &root.hash));
    std::fs::rename(&making, &path).map_err(PictureError::io(&path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(PictureError::io(folder))?;
    for old in open_all(folder).into_iter().skip(KEPT) {
        std::fs::remove_file(old.path()).map_err(PictureError::io(old.path()))?;
    }
    Picture::open(&path).map(|picture| Made::Picture(Arc::new(picture)))
}

/// The CID of what was written; none where honeycomb would have written nothing.
fn write<S: Snapshot>(
    view: &View<S>,
    root: &Root,
    making: &Path,
    stopped: &dyn Fn() -> bool,
) -> Result<Option<HashText>, PictureError> {
    let file = RefCell::new(Writer::create(making)?);
    let mut writer = RootWriter::new(root.label.get() + 1, |piece: &[u8]| file.borrow_mut().push(piece));
    for (nth, leaf) in view.scan(&[], None).enumerate() {
        if nth.is_multiple_of(LOOK_EVERY) {
            if stopped() {
                return Err(PictureError::Stopped);
            }
            file.borrow_mut().failure()?;
        }
        let (path, text) = leaf?;
        if writer.leaf(&path, &text).is_err() {
            return Ok(None);
        }
    }
    if writer.finish().is_err() {
        return Ok(None);
    }
    file.into_inner().finish(&root.network, root.label).map(Some)
}
