//! The journal of one network, opened for writing, without threads: the simulation uses it as it is, the node hands
//! it to the writer thread ([`Journal::start`]).
//!
//! *Always holds:* opening leaves the log as it was up to its last whole record, durable, with nothing but zeros
//! behind it; a damaged log is refused and not touched.

use super::JournalError;
use super::codec::MAX_RECORD_BYTES;
use super::disk::{Disk, File, is_full};
use super::first;
use super::frame::Frame;
use super::group::{Encoder, Group, MAX_GROUP_BYTES, Prepared};
use super::reader::Reader;
use super::segment::{HEADER_BYTES, Header, MAX_NETWORK_BYTES};
use super::shared::{Form, Shared, State};
use super::store::{Store, Tail};
use super::survey::{End, Survey, survey};
use super::writer::Appender;
use crate::fork::record::{Lsn, Record};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Bytes of a segment unless the options say otherwise: large enough that creating one (a few syncs) is rare, small
/// enough that reading the last one at a start takes no time.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes written at a time where a torn tail is zeroed or a tail is written again.
const REWRITE_BLOCK: usize = 1024 * 1024;

/// How to open a journal.
#[derive(Clone, Debug)]
pub struct Options {
    /// The network: name of the journal's folder.
    pub network: String,
    /// Bytes of a segment; a larger group gets a larger segment.
    pub segment_bytes: u64,
}

impl Options {
    /// For this network, everything else as usual.
    pub fn new(network: &str) -> Self {
        Self { network: network.into(), segment_bytes: SEGMENT_BYTES }
    }
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Last record; 0 in an empty journal.
    pub last: Lsn,
    /// A torn write that was cut off. It was never durable, so never acknowledged.
    pub cut: Option<Cut>,
    /// Whether the `tip` file could not be read; it was written anew.
    pub tip_damaged: bool,
}

/// A torn write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment file.
    pub segment: PathBuf,
    /// Byte from which on it was zeroed.
    pub offset: u64,
    /// Bytes that were zeroed.
    pub bytes: u64,
    /// Record that would have stood there.
    pub lsn: Lsn,
}

/// The journal of one network, opened for writing.
pub struct Journal {
    pub(super) encoder: Encoder,
    pub(super) group: Group,
    pub(super) store: Store,
    /// Held until the journal is dropped.
    pub(super) lock: Box<dyn Send + Sync>,
}

/// Folder of a network's journal in a data folder.
pub fn folder(dir: &Path, network: &str) -> Result<PathBuf, JournalError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let named = !network.is_empty() && network.len() <= MAX_NETWORK_BYTES && !network.starts_with('.');
    if !named || !network.bytes().all(fits) {
        return Err(JournalError::Name(network.into()));
    }
    Ok(dir.join("journal").join(network))
}

impl Journal {
    /// Opens (or creates) the journal of a network in the data folder `dir`, which has to exist. A torn tail is cut;
    /// damage and a lost tail are refused.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<(Self, Recovered), JournalError> {
        let folder = folder(dir, &options.network)?;
        create_folders(&*disk, dir, &folder)?;
        let lock = lock(&*disk, &folder)?;
        let mut survey = survey(&*disk, &folder, &options.network)?;
        if survey.first_damaged {
            let first = survey.segments.first().map_or(1, |header| header.first);
            first::write(&*disk, &folder, first)?;
        }
        // Oldest first, so that whatever dies, what is left is a beginning and no hole.
        for path in survey.unfinished.iter().chain(&survey.leftover) {
            disk.remove(path).map_err(JournalError::io("remove", path))?;
        }
        let floor = survey.floor.take();
        let shared = Arc::new(Shared::new(disk, folder, options.network));
        shared.stand_on(floor);
        let mut recovered = Recovered { tip_damaged: survey.tip_damaged, ..Recovered::default() };
        let tail = match &survey.end {
            Some(end) => {
                recovered.last = end.last;
                recovered.cut = cut(end, &shared)?;
                settle(end, &survey, &shared, options.segment_bytes)?
            }
            None => first_segment(&shared, options.segment_bytes)?,
        };
        let encoder = Encoder::new(tail.last, tail.crc)?;
        shared.durable.send_replace(tail.last);
        let mut store = Store::new(shared, tail, options.segment_bytes);
        store.write_tip()?;
        Ok((Self { encoder, group: Group::default(), store, lock }, recovered))
    }

    /// Appends a record to the group that is being collected, with the body of a piece (the length-prefixed op
    /// texts, unpacked); a full group is flushed first. [`JournalError::Full`]: nothing happened, try again later.
    pub fn append(&mut self, record: &Record, body: Option<&[u8]>) -> Result<Lsn, JournalError> {
        let prepared = self.encoder.prepare(record, body)?;
        self.append_prepared(&prepared, body.map(|body| (body, Form::Texts)))
    }

    /// Appends a piece whose body is packed already; the frame is stored as it is.
    pub fn append_packed(&mut self, record: &Record, frame: Frame<'_>) -> Result<Lsn, JournalError> {
        let prepared = self.encoder.prepare_packed(record, frame)?;
        self.append_prepared(&prepared, Some((frame.bytes(), Form::Frame)))
    }

    fn append_prepared(&mut self, prepared: &Prepared, body: Option<(&[u8], Form)>) -> Result<Lsn, JournalError> {
        if self.group.is_full() {
            self.flush()?;
        }
        if let State::Failed(reason) = &*self.store.shared().state.borrow() {
            return Err(JournalError::Failed(reason.clone()));
        }
        let lsn = self.encoder.add(prepared, &mut self.group);
        if let Some((body, form)) = body {
            self.store.shared().remember(lsn, body, form);
        }
        Ok(lsn)
    }

    /// Writes what was appended and makes it durable; returns the durable LSN. [`JournalError::Full`]: nothing is
    /// lost, flush again later. Every other error is final.
    pub fn flush(&mut self) -> Result<Lsn, JournalError> {
        self.store.write(&self.group)?;
        self.group.clear();
        Ok(*self.store.shared().durable.borrow())
    }

    /// Names the last durable record in the `tip` file.
    pub fn write_tip(&mut self) -> Result<(), JournalError> {
        self.store.write_tip()
    }

    /// LSN that the next record gets.
    pub fn next(&self) -> Lsn {
        self.encoder.next()
    }

    /// A reader of what is durable.
    pub fn reader(&self) -> Reader {
        Reader::new(self.store.shared().clone())
    }

    /// The durable LSN.
    pub fn durable(&self) -> watch::Receiver<Lsn> {
        self.store.shared().durable.subscribe()
    }

    /// What the writer is doing.
    pub fn state(&self) -> watch::Receiver<State> {
        self.store.shared().state.subscribe()
    }

    /// Hands the writing to a thread of its own.
    pub fn start(self) -> Result<Appender, JournalError> {
        Appender::start(self)
    }
}

fn create_folders(disk: &dyn Disk, dir: &Path, folder: &Path) -> Result<(), JournalError> {
    let parent = dir.join("journal");
    for (path, above) in [(parent.as_path(), dir), (folder, &parent)] {
        disk.create_dir(path).map_err(JournalError::io("create the folder", path))?;
        disk.sync_dir(above).map_err(JournalError::sync(above))?;
    }
    Ok(())
}

fn lock(disk: &dyn Disk, folder: &Path) -> Result<Box<dyn Send + Sync>, JournalError> {
    let path = folder.join("lock");
    disk.lock(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => JournalError::Locked(folder.into()),
        _ => JournalError::io("lock", &path)(error),
    })
}

fn first_segment(shared: &Shared, bytes: u64) -> Result<Tail, JournalError> {
    let header = Header { network: shared.network.clone(), first: 1, prev: 0 };
    let file = header.create(&*shared.disk, &shared.folder, bytes)?;
    shared.add_segment(1, 0, Some(HEADER_BYTES));
    Ok(Tail { segment: 1, file, offset: HEADER_BYTES, last: 0, crc: 0 })
}

/// Zeroes a torn tail. Durable before anything is appended, so that no byte of it is ever taken for a record.
fn cut(end: &End, shared: &Shared) -> Result<Option<Cut>, JournalError> {
    let Some(torn) = end.torn else {
        return Ok(None);
    };
    let path = shared.path(end.segment);
    #[cfg(test)]
    if super::tests::planted(super::tests::Planted::StaleAccepted) {
        return Ok(None);
    }
    let zeros = vec![0; REWRITE_BLOCK];
    let mut at = end.offset;
    while at < torn {
        let part = zeros.len().min((torn - at) as usize);
        end.file.write_at(at, &zeros[..part]).map_err(JournalError::io("cut", &path))?;
        at += part as u64;
    }
    end.file.sync().map_err(JournalError::sync(&path))?;
    Ok(Some(Cut { segment: path, offset: end.offset, bytes: torn - end.offset, lsn: end.last + 1 }))
}

/// Makes what was found durable: a killed process may have left it in the page cache only.
fn settle(end: &End, survey: &Survey, shared: &Shared, segment_bytes: u64) -> Result<Tail, JournalError> {
    let path = shared.path(end.segment);
    let tip = survey.tip.filter(|tip| tip.segment == end.segment && tip.last <= end.last);
    rewrite(&*end.file, tip.map_or(HEADER_BYTES, |tip| tip.end), end.offset, &path)?;
    if end.file_bytes < segment_bytes {
        match end.file.allocate(segment_bytes) {
            // The writer will meet it, say so and wait: that is no reason not to start.
            Err(error) if is_full(&error) => {}
            taken => taken.map_err(JournalError::io("take room for", &path))?,
        }
    }
    end.file.sync().map_err(JournalError::sync(&path))?;
    shared.disk.sync_dir(&shared.folder).map_err(JournalError::sync(&shared.folder))?;
    for header in &survey.segments {
        shared.add_segment(header.first, header.prev, None);
    }
    shared.extend(end.segment, end.offset, end.marks.iter().copied());
    Ok(Tail { segment: end.segment, file: end.file.clone(), offset: end.offset, last: end.last, crc: end.crc })
}

/// Writes bytes again as they are. After a failed sync the page cache may hold, marked clean, what is not on disk: a
/// sync alone would then report success for nothing.
fn rewrite(file: &dyn File, from: u64, to: u64, path: &Path) -> Result<(), JournalError> {
    #[cfg(test)]
    if super::tests::planted(super::tests::Planted::TailNotRewritten) {
        return Ok(());
    }
    let mut block = vec![0; REWRITE_BLOCK];
    let mut at = from;
    while at < to {
        let part = block.len().min((to - at) as usize);
        let read = file.read_at(at, &mut block[..part]).map_err(JournalError::io("read", path))?;
        file.write_at(at, &block[..read]).map_err(JournalError::io("write", path))?;
        at += part as u64;
    }
    Ok(())
}

const _: () = assert!(HEADER_BYTES + (MAX_GROUP_BYTES + MAX_RECORD_BYTES) as u64 <= SEGMENT_BYTES);
