//! Groups to disk: the writing end of a journal.
//!
//! *Always holds:* the durable LSN is published after the sync that covers it, never before; after a failed write or
//! sync nothing is written any more; a full disk changes nothing but time.

use super::JournalError;
use super::disk::File;
use super::group::Group;
use super::segment::{HEADER_BYTES, Header};
use super::shared::{Mark, Shared, State};
#[cfg(test)]
use super::tests::{Planted, planted};
use super::tip::Tip;
use crate::fork::record::Lsn;
use std::sync::Arc;

/// The writing end.
pub(super) struct Store {
    shared: Arc<Shared>,
    /// Bytes of a segment.
    segment_bytes: u64,
    /// The last segment, by its first LSN.
    segment: Lsn,
    file: Arc<dyn File>,
    /// Byte of the last segment at which the next group goes.
    offset: u64,
    /// A part of the group may stand there already: it has to go on there, or its records would be there twice.
    begun: bool,
    /// Last durable record, and its crc.
    last: Lsn,
    crc: u32,
    /// Last record that the `tip` file names.
    tip: Lsn,
    failed: Option<String>,
}

/// Where a store goes on.
pub(super) struct Tail {
    pub segment: Lsn,
    pub file: Arc<dyn File>,
    pub offset: u64,
    pub last: Lsn,
    pub crc: u32,
}

impl Store {
    pub fn new(shared: Arc<Shared>, tail: Tail, segment_bytes: u64) -> Self {
        Self {
            shared,
            segment_bytes,
            segment: tail.segment,
            file: tail.file,
            offset: tail.offset,
            begun: false,
            last: tail.last,
            crc: tail.crc,
            tip: 0,
            failed: None,
        }
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether the `tip` file is behind.
    pub fn tip_is_behind(&self) -> bool {
        self.tip < self.last
    }

    /// Writes a group and makes it durable. [`JournalError::Full`]: nothing happened, the same group may be tried
    /// again. Every other error is final.
    pub fn write(&mut self, group: &Group) -> Result<(), JournalError> {
        if let Some(reason) = &self.failed {
            return Err(JournalError::Failed(reason.clone()));
        }
        if group.is_empty() {
            return Ok(());
        }
        debug_assert!(group.first == self.last + 1 && group.prev == self.crc);
        let written = self.try_write(group);
        self.judge(written)?;
        self.last = group.last;
        self.crc = group.crc;
        let at = |mark: &Mark| Mark { lsn: mark.lsn, offset: self.offset + mark.offset };
        let end = self.offset + group.bytes.len() as u64;
        self.shared.extend(self.segment, end, group.marks.iter().map(at));
        self.offset = end;
        self.begun = false;
        self.shared.durable.send_replace(self.last);
        self.shared.state.send_if_modified(|state| std::mem::replace(state, State::Running) != State::Running);
        Ok(())
    }

    fn try_write(&mut self, group: &Group) -> Result<(), JournalError> {
        let fits = self.offset + group.bytes.len() as u64 <= self.segment_bytes;
        if !fits && !self.begun && self.offset > HEADER_BYTES {
            self.next_segment(group)?;
        }
        let path = self.shared.path(self.segment);
        #[cfg(test)]
        if planted(Planted::AckBeforeSync) {
            self.shared.durable.send_replace(group.last);
        }
        #[cfg(test)]
        if planted(Planted::TipBeforeSync) {
            let end = self.offset + group.bytes.len() as u64;
            let tip = Tip { segment: self.segment, last: group.last, end, crc: group.crc };
            tip.write(&*self.shared.disk, &self.shared.folder)?;
        }
        self.begun = true;
        self.file.write_at(self.offset, &group.bytes).map_err(JournalError::io("write", &path))?;
        self.file.sync().map_err(JournalError::sync(&path))
    }

    /// Goes on in a new segment. Everything before the group is durable, so its first LSN is the segment's.
    fn next_segment(&mut self, group: &Group) -> Result<(), JournalError> {
        let header = Header { network: self.shared.network.clone(), first: group.first, prev: group.prev };
        let bytes = self.segment_bytes.max(HEADER_BYTES + group.bytes.len() as u64);
        self.file = header.create(&*self.shared.disk, &self.shared.folder, bytes)?;
        self.segment = group.first;
        self.offset = HEADER_BYTES;
        self.shared.add_segment(self.segment, group.prev, Some(HEADER_BYTES));
        Ok(())
    }

    /// Names the last durable record in the `tip` file. A full disk is no error: it is only a help.
    pub fn write_tip(&mut self) -> Result<(), JournalError> {
        if let Some(reason) = &self.failed {
            return Err(JournalError::Failed(reason.clone()));
        }
        let tip = Tip { segment: self.segment, last: self.last, end: self.offset, crc: self.crc };
        let written = tip.write(&*self.shared.disk, &self.shared.folder);
        match written {
            Err(error) if error.is_disk_full() => Ok(()),
            written => {
                self.judge(written)?;
                self.tip = self.last;
                Ok(())
            }
        }
    }

    /// Shows what a call's outcome means for the journal.
    fn judge(&mut self, outcome: Result<(), JournalError>) -> Result<(), JournalError> {
        match outcome {
            Err(error) if error.is_disk_full() => {
                self.shared
                    .state
                    .send_if_modified(|state| std::mem::replace(state, State::DiskFull) != State::DiskFull);
                Err(JournalError::Full)
            }
            Err(error) => {
                self.fail(error.to_string());
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Nothing is written from here on.
    pub fn fail(&mut self, reason: String) {
        tracing::error!(network = self.shared.network, reason, "the journal stops");
        self.shared.state.send_replace(State::Failed(reason.clone()));
        self.failed = Some(reason);
    }
}
