//! What can go wrong with a journal, in words an operator can act on.

use crate::fork::record::Lsn;
use std::io;
use std::path::{Path, PathBuf};

/// Why the journal refuses.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused a call.
    #[error("journal: cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A sync failed: what is on disk is unknown, and a second sync would not tell.
    #[error("journal: cannot make {path} durable: {source}", path = path.display())]
    Sync {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Bytes that were durable are no longer what was written.
    #[error("journal: damage in {segment} at byte {offset}, record {lsn}: {what}", segment = segment.display())]
    Damage {
        /// The segment file.
        segment: PathBuf,
        /// Byte at which the damaged record (or header) begins.
        offset: u64,
        /// The record that should stand there.
        lsn: Lsn,
        /// What is wrong with it.
        what: String,
    },
    /// The log ends, cleanly, before a record that had been durable.
    #[error("journal: {folder}: the log ends at record {last}, but record {tip} had been durable: its tail is lost",
        folder = folder.display())]
    LostTail {
        /// Folder of the journal.
        folder: PathBuf,
        /// Last record that is there.
        last: Lsn,
        /// Last record that is known to have been durable.
        tip: Lsn,
    },
    /// Written by a newer program.
    #[error("journal: {path} has format version {found}, this program reads up to {known}: use a newer honeygraph",
        path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// A segment of another network lies in the folder.
    #[error("journal: {path} belongs to network {found}, not {wanted}", path = path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// Network that it names.
        found: String,
        /// Network that was opened.
        wanted: String,
    },
    /// The network's name cannot be a folder's.
    #[error("journal: network name {0:?} is not 1 to 64 letters, digits, '_', '-' or '.'")]
    Name(String),
    /// Another process has the journal open.
    #[error("journal: {folder} is in use by another process", folder = .0.display())]
    Locked(PathBuf),
    /// A record over the bounds; nothing was appended.
    #[error("journal: record too large: {what} has {bytes} bytes, at most {limit} are taken")]
    TooLarge {
        /// Which part of it.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The disk is full; nothing is lost, the call may be repeated.
    #[error("journal: the disk is full")]
    Full,
    /// An earlier failure left the disk's contents unknown: the node has to stop.
    #[error("journal: stopped: {0}")]
    Failed(String),
    /// The record is not in the journal, or not durable yet.
    #[error("journal: no durable record {0}")]
    NotHeld(Lsn),
    /// The record was there and is no longer kept.
    #[error("journal: record {lsn} is no longer kept: the journal begins with record {first}")]
    Trimmed {
        /// The record.
        lsn: Lsn,
        /// The first that is kept.
        first: Lsn,
    },
    /// The record has no body.
    #[error("journal: record {0} has no body")]
    NoBody(Lsn),
    /// A record or body that does not follow its format.
    #[error("journal: {0}")]
    Malformed(String),
}

impl JournalError {
    /// For `map_err` on a disk call.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    /// For `map_err` on a sync.
    pub(super) fn sync(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Sync { path, source }
    }

    /// Whether a disk call failed because the disk is full (a sync that says so is a failed sync all the same).
    pub(super) fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if super::disk::is_full(source))
    }
}
