//! The ledger's snapshot beside the journal: read at the start instead of the whole journal.
//!
//! *Always holds:* a snapshot names only records that are durable; one that claims more than the journal holds is
//! removed, because other records may get those LSNs.

use super::disk::Disk;
use crate::fork::ledger::Ledger;
use crate::fork::record::Lsn;
use crate::fork::snapshot;
use std::io;
use std::path::Path;

/// Name of the file in the journal's folder.
const NAME: &str = "ledger";
/// Name while it is written.
const HALF: &str = "ledger.new";
/// Largest snapshot read, in bytes; the bounds of the ledger keep it far below.
const MAX_BYTES: u64 = 1 << 30;

/// Writes a snapshot whose records are all durable.
pub fn save(disk: &dyn Disk, folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let half = folder.join(HALF);
    let file = disk.create(&half)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename(&half, &folder.join(NAME))?;
    disk.sync_dir(folder)
}

/// The snapshot, when there is one that the journal (which ends at `last`) bears out.
pub fn load(disk: &dyn Disk, folder: &Path, last: Lsn) -> io::Result<Option<Ledger>> {
    let ledger = read(disk, folder)?;
    if let Some(None) = ledger.as_ref().map(|ledger| ledger.as_ref().filter(|ledger| ledger.lsn <= last)) {
        disk.remove(&folder.join(NAME))?;
        disk.sync_dir(folder)?;
    }
    Ok(ledger.flatten().filter(|ledger| ledger.lsn <= last))
}

/// What is in the file, if there is one and it makes sense.
pub(super) fn read(disk: &dyn Disk, folder: &Path) -> io::Result<Option<Option<Ledger>>> {
    let path = folder.join(NAME);
    let file = match disk.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.len()?;
    if length > MAX_BYTES {
        return Ok(Some(None));
    }
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(Some(snapshot::from_bytes(&bytes)))
}
