//! Removing the oldest segments of a journal, and making what the rest stands on.
//!
//! The order of things is the safety: the floor is durable before the `first` file moves, that one before the first
//! segment goes, and segments go oldest first. Whatever dies in between, the next start finds a journal that is whole
//! from its `first` on, and removes what was left.
//!
//! *Always holds:* no record goes that the floor does not make up for; the last segment stays.

use super::JournalError;
use super::codec::Kind;
use super::floor::{Floor, FloorWriter};
use super::ledger_file;
use super::reader::Reader;
use super::segment::{self, unfinished};
use super::{first, floor};
use crate::fork::ledger::Ledger;
use crate::fork::record::{Lsn, PLACED, Record};
use crate::fork::snapshot;
use std::collections::BTreeSet;
use std::path::Path;

/// Records between a piece that came with its place and its batch, at most: the pieces of the largest batch.
const PLACED_WITHIN: Lsn = 1 << 16;

/// Where a journal begins, read without opening it.
#[derive(Debug)]
pub struct Beginning {
    /// The first record that is kept.
    pub first: Lsn,
    /// What it stands on.
    pub floor: Option<Floor>,
}

/// Where a network's journal begins.
pub fn beginning(disk: &dyn super::disk::Disk, dir: &Path, network: &str) -> Result<Beginning, JournalError> {
    let folder = super::folder(dir, network)?;
    let floor = Floor::open(disk, &folder, network)?;
    let first = match first::read(disk, &folder)? {
        first::Found::At(first) => first,
        first::Found::Nothing => 1,
        first::Found::Damaged => {
            let names = disk.list(&folder).map_err(JournalError::io("list", &folder))?;
            names.iter().find_map(|name| segment::first_lsn(name)).unwrap_or(1)
        }
    };
    Ok(Beginning { first, floor: floor.filter(|_| first > 1) })
}

/// A segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first record.
    pub first: Lsn,
    /// Bytes of its file.
    pub bytes: u64,
}

impl Reader {
    /// First records of the segments, oldest first.
    pub fn segment_firsts(&self) -> Vec<Lsn> {
        self.shared().firsts()
    }

    /// Bytes of the file of a segment.
    pub fn segment_bytes(&self, first: Lsn) -> Result<u64, JournalError> {
        let path = self.shared().path(first);
        let file = self.shared().disk.open(&path).map_err(JournalError::io("open", &path))?;
        file.len().map_err(JournalError::io("measure", &path))
    }

    /// The newest ledger that is durable, brought on up to a record if it is behind.
    pub fn ledger_at(&self, upto: Lsn) -> Result<Ledger, JournalError> {
        let shared = self.shared();
        let known = ledger_file::read(&*shared.disk, &shared.folder);
        let known = known.map_err(JournalError::io("read the ledger in", &shared.folder))?.flatten();
        let known = super::task::begin(self, known.filter(|known| known.lsn <= *shared.durable.borrow()))?;
        if known.lsn >= upto { Ok(known) } else { super::task::replay(self, known, upto) }
    }

    /// Makes a floor of a ledger and of a state that has applied everything up to `state_at`; `state` writes the state's
    /// entries. Beside the ledger's parked pieces it keeps those of `also` that are still there. A full disk is
    /// [`JournalError::Full`], and nothing has changed.
    pub fn lay_floor(
        &self,
        ledger: &Ledger,
        also: &BTreeSet<Lsn>,
        state_at: Lsn,
        state: impl FnOnce(&mut FloorWriter) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let shared = self.shared();
        let made = self.write_floor(ledger, also, state_at, state);
        if let Err(error) = &made {
            let _ = shared.disk.remove(&unfinished(&shared.folder.join(floor::NAME)));
            if error.is_disk_full() {
                return Err(JournalError::Full);
            }
        }
        made?;
        shared.stand_on(Floor::open(&*shared.disk, &shared.folder, &shared.network)?);
        Ok(())
    }

    fn write_floor(
        &self,
        ledger: &Ledger,
        also: &BTreeSet<Lsn>,
        state_at: Lsn,
        state: impl FnOnce(&mut FloorWriter) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let shared = self.shared();
        let bytes = snapshot::to_bytes(ledger).map_err(|error| JournalError::Malformed(error.to_string()))?;
        let (disk, folder) = (shared.disk.clone(), &shared.folder);
        let mut writer = FloorWriter::create(disk, folder, &shared.network, (&bytes, ledger.lsn))?;
        let parked: BTreeSet<Lsn> = ledger.parked_pieces().filter(|lsn| *lsn <= state_at).collect();
        #[cfg(test)]
        let parked =
            if super::tests::planted(super::tests::Planted::FloorWithoutParked) { Default::default() } else { parked };
        let placed = self.placed(ledger.lsn)?;
        for lsn in parked.iter().chain(&placed).chain(also).copied().collect::<BTreeSet<Lsn>>() {
            let raw = self.with_entry(lsn, |entry| Ok(entry.raw.to_vec()))?;
            writer.piece(lsn, &raw)?;
        }
        state(&mut writer)?;
        writer.finish(state_at)
    }

    /// Pieces that came with their place, up to a record, and whose batch comes behind it: no ledger knows them meanwhile.
    fn placed(&self, upto: Lsn) -> Result<BTreeSet<Lsn>, JournalError> {
        let mut placed = BTreeSet::new();
        let mut cursor = self.records(upto.saturating_sub(PLACED_WITHIN).max(self.first()));
        while cursor.next() <= upto {
            let Some(entry) = cursor.read()? else { break };
            if !matches!(entry.kind, Kind::Piece | Kind::Chain) {
                continue;
            }
            match entry.record()? {
                Record::Piece(piece) if piece.ordinal == PLACED => drop(placed.insert(entry.lsn)),
                Record::Chain(chain) => chain.pieces.iter().for_each(|piece| drop(placed.remove(piece))),
                _ => {}
            }
        }
        Ok(placed)
    }

    /// Lets the journal begin with the segment that holds a record, if the floor reaches up to there: the segments before
    /// are removed. Gives their number.
    pub fn begin_at(&self, wanted: Lsn) -> Result<usize, JournalError> {
        let shared = self.shared();
        let reach = shared.floor().map_or(0, |floor| floor.reach());
        let firsts = shared.firsts();
        let first = firsts.iter().rev().find(|first| **first <= wanted && **first <= reach + 1).copied();
        let Some(first) = first.filter(|first| firsts.first().is_some_and(|oldest| oldest < first)) else {
            return Ok(0);
        };
        let (disk, folder) = (&*shared.disk, &shared.folder);
        #[cfg(test)]
        let said_later = super::tests::planted(super::tests::Planted::FirstAfterRemoval);
        #[cfg(not(test))]
        let said_later = false;
        if !said_later {
            first::write(disk, folder, first)?;
        }
        // Readers hear of it before the files go.
        let gone = shared.forget_before(first);
        for segment in &gone {
            let path = shared.path(*segment);
            disk.remove(&path).map_err(JournalError::io("remove", &path))?;
        }
        if said_later {
            first::write(disk, folder, first)?;
        }
        disk.sync_dir(folder).map_err(JournalError::sync(folder))?;
        Ok(gone.len())
    }
}
