//! Pictures for newcomers: the state at a root as the canonical root document, in a file whose every leaf can be checked
//! against the root's hash.
//!
//! `file` is the form, on disk and between operators; `make` makes one at a root, `task` decides when; `part` is a document
//! that grows leaf by leaf until it is a base, whoever gives the leaves.
//!
//! *Always holds:* a picture is there as a whole or not at all; what its leaves are is checked wherever it comes from; a
//! node whose own root differs makes none.

pub mod file;
pub mod make;
pub mod part;
pub mod task;

use crate::projection::base::BaseError;
use crate::projection::state::StateError;
use file::Picture;
use honeygraph_protocols::honeycomb::HashText;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pictures kept of a network: the newest, and the one that a newcomer may be at.
pub const KEPT: usize = 2;

/// Why a picture cannot be made, read or taken.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// A file cannot be read or written.
    #[error("picture {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no picture, or a damaged one.
    #[error("picture {}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
    /// The document is larger than any that is taken as a base.
    #[error(
        "the document has more than {} bytes: nobody would take it",
        honeygraph_protocols::swarm::pictures::MAX_BYTES
    )]
    TooLarge,
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// What was put together is no base.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The node stops.
    #[error("stopped")]
    Stopped,
}

impl PictureError {
    /// For files at this path.
    fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path: path.clone(), source }
    }

    fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), why: why.into() }
    }
}

/// The pictures of a network, as those who serve and show them see them.
#[derive(Debug, Default)]
pub struct Held {
    /// The newest first.
    pub pictures: Vec<Arc<Picture>>,
    /// The newest root, where it is not what this node computes: no picture is made of it, and none is served.
    pub differs: Option<Differs>,
}

/// A root of which no picture is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Differs {
    /// Its block.
    pub label: u64,
    /// Its hash, as announced.
    pub hash: HashText,
}

/// The pictures in a folder, the newest first. What is damaged is said and removed: it can be made again.
pub fn open_all(folder: &Path) -> Vec<Arc<Picture>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|ending| ending != file::ENDING) {
            // A making that was ended by a kill.
            let _ = std::fs::remove_file(&path);
            continue;
        }
        match Picture::open(&path) {
            Ok(picture) => found.push(Arc::new(picture)),
            Err(error) => {
                tracing::warn!("a picture is not served any more: {error}");
                let _ = std::fs::remove_file(&path);
            }
        }
    }
    found.sort_by_key(|picture| std::cmp::Reverse(picture.label()));
    found
}
