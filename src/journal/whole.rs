//! Small files that are replaced as a whole.
//!
//! *Always holds:* whatever dies, the file is what it was or what it was to become; it is durable when the call returns.

use super::JournalError;
use super::disk::Disk;
use super::segment::unfinished;
use std::path::Path;

/// Replaces the file `name` in a folder.
pub(super) fn replace(disk: &dyn Disk, folder: &Path, name: &str, bytes: &[u8]) -> Result<(), JournalError> {
    let path = folder.join(name);
    let next = unfinished(&path);
    let file = disk.create(&next).map_err(JournalError::io("create", &next))?;
    file.write_at(0, bytes).map_err(JournalError::io("write", &next))?;
    file.sync().map_err(JournalError::sync(&next))?;
    disk.rename(&next, &path).map_err(JournalError::io("rename", &next))?;
    disk.sync_dir(folder).map_err(JournalError::sync(folder))
}
