//! Which bytes of a journal's files are records: what a copy takes while a writer is at work.
//!
//! *Always holds:* bytes within an extent are never written again, so that a copy of all extents is a journal that ends at
//! one record.

use super::disk::Disk;
use super::survey::survey_beside_a_writer;
use super::{JournalError, folder, segment};
use crate::fork::record::Lsn;
use std::path::{Path, PathBuf};

/// What is written of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Segment files in order, and how many bytes of each are written.
    pub files: Vec<(PathBuf, u64)>,
    /// What belongs to them when the journal does not begin with record 1; each is replaced as a whole.
    pub beside: Vec<PathBuf>,
    /// Last record in them; 0 without any.
    pub last: Lsn,
}

/// The extents of a network's journal in a data folder, on which a node may run.
pub fn extents(disk: &dyn Disk, data_dir: &Path, network: &str) -> Result<Extents, JournalError> {
    let folder = folder(data_dir, network)?;
    let found = survey_beside_a_writer(disk, &folder, network)?;
    let mut extents = Extents { files: Vec::new(), beside: Vec::new(), last: 0 };
    let Some(end) = found.end else { return Ok(extents) };
    for header in found.segments.iter().filter(|header| header.first <= end.segment) {
        let path = folder.join(segment::name(header.first));
        let bytes = if header.first == end.segment {
            end.offset
        } else {
            let file = disk.open(&path).map_err(JournalError::io("open", &path))?;
            file.len().map_err(JournalError::io("measure", &path))?
        };
        extents.files.push((path, bytes));
    }
    extents.last = end.last;
    if found.segments.first().is_some_and(|header| header.first > 1) {
        extents.beside = [super::first::NAME, super::floor::NAME].map(|name| folder.join(name)).into();
    }
    Ok(extents)
}
