//! Putting a range in: first all of it beside the journal, checked, then by renames into its place.
//!
//! *Always holds:* until [`Staged::commit`] the journal is untouched; a commit that is cut off leaves a journal that ends
//! at one of the records that were checked.

use super::super::disk::{Disk, File};
use super::super::floor::{self, Floor};
use super::super::log::{Journal, Options, SEGMENT_BYTES, folder};
use super::super::reader::{Cursor, Reader};
use super::super::scan::Entry;
use super::super::segment::{self, HEADER_BYTES, Header};
use super::super::{JournalError, first, verify};
use super::input::Input;
use super::{ExchangeError, Head};
use crate::fork::record::Lsn;
use honeygraph_protocols::op::{self, Op};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of records checked as one.
const LOT_BYTES: usize = 1 << 20;
/// Lots that wait for whoever checks.
const LOTS: usize = 8;
/// Bytes written at a time.
const WRITE_BYTES: usize = 4 << 20;
/// Bytes of a floor copied at a time.
const FLOOR_BLOCK: usize = 1 << 20;

/// What is taken.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Only of this network.
    pub network: Option<&'a str>,
    /// Whether a floor is believed.
    pub believe_floor: bool,
    /// Bytes of a segment.
    pub segment_bytes: u64,
}

impl Default for Terms<'_> {
    fn default() -> Self {
        Self { network: None, believe_floor: false, segment_bytes: SEGMENT_BYTES }
    }
}

/// What a stream brought, checked and not in its place yet.
pub struct Staged {
    /// What the stream says of itself.
    pub head: Head,
    /// The journal that is there already, held open meanwhile.
    pub held: Held,
    /// Records that are new.
    pub added: u64,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    staging: PathBuf,
}

/// The journal that a stream is put behind.
pub struct Held {
    journal: Option<Journal>,
    /// Its last record; 0 when it is empty or not there.
    pub last: Lsn,
}

impl Held {
    fn open(disk: &Arc<dyn Disk>, dir: &Path, network: &str) -> Result<Self, JournalError> {
        let folder = folder(dir, network)?;
        if disk.list(&folder).is_err() {
            return Ok(Self { journal: None, last: 0 });
        }
        let (journal, recovered) = Journal::open(disk.clone(), dir, Options::new(network))?;
        Ok(Self { journal: Some(journal), last: recovered.last })
    }

    /// Reads it, if it has a record.
    pub fn reader(&self) -> Option<Reader> {
        self.journal.as_ref().filter(|_| self.last > 0).map(Journal::reader)
    }
}

/// Reads a stream into `staging`, a folder that is empty and on the same disk, and checks it, against the journal in the
/// data folder `dir` too.
pub fn stage(
    disk: Arc<dyn Disk>,
    (dir, staging): (&Path, &Path),
    terms: Terms<'_>,
    from: impl Read,
    mut progress: impl FnMut(&Head, Lsn),
) -> Result<Staged, ExchangeError> {
    let mut input = Input::new(from);
    let head = input.head()?;
    if terms.network.is_some_and(|network| network != head.network) {
        return Err(input.wrong(format!("it is of network {}", head.network)));
    }
    let held = Held::open(&disk, dir, &head.network)?;
    if held.last + 1 < head.first && (held.last > 0 || head.floor_bytes == 0) {
        return Err(ExchangeError::Gap { network: head.network, first: head.first, last: held.last });
    }
    let target = folder(staging, &head.network)?;
    for path in [&staging.join("journal"), &target] {
        disk.create_dir(path).map_err(JournalError::io("create the folder", path))?;
    }
    if head.floor_bytes > 0 {
        take_floor(&disk, &target, &head, &held, terms.believe_floor, &mut input)?;
    }
    let mut segments = Segments::new(disk.clone(), target, head.network.clone(), terms.segment_bytes);
    let check = Check::default();
    let (lots, work) = sync_channel::<Lot>(LOTS);
    let work = Mutex::new(work);
    let added = std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(LOTS);
        for _ in 0..workers {
            scope.spawn(|| check.run(&work));
        }
        let lots = lots;
        let taken = take_records(&mut input, &head, &held, &mut segments, &lots, &check, &mut progress);
        drop(lots);
        taken
    });
    // What was found wrong in a record says more than what came of it.
    if let Some((lsn, at, what)) = check.found().take() {
        return Err(ExchangeError::Record { lsn, at, what });
    }
    let added = added?;
    input.end()?;
    segments.seal()?;
    let (dir, staging) = (dir.to_owned(), staging.to_owned());
    Ok(Staged { head, held, added, disk, dir, staging })
}

/// A floor belongs to an empty journal only; of one that is there already the records count.
fn take_floor<R: Read>(
    disk: &Arc<dyn Disk>,
    target: &Path,
    head: &Head,
    held: &Held,
    believe: bool,
    input: &mut Input<R>,
) -> Result<(), ExchangeError> {
    if held.last == 0 && !believe {
        return Err(ExchangeError::Floor(head.first));
    }
    let path = target.join(floor::NAME);
    let file = disk.create(&path).map_err(JournalError::io("create", &path))?;
    let (mut at, begins) = (0, input.place());
    while at < head.floor_bytes {
        let part = (head.floor_bytes - at).min(FLOOR_BLOCK as u64) as usize;
        file.write_at(at, input.take(part)?).map_err(JournalError::io("write", &path))?;
        at += part as u64;
    }
    file.sync().map_err(JournalError::sync(&path))?;
    let wrong = |error: JournalError| ExchangeError::Format { at: begins, what: format!("its floor: {error}") };
    let floor = Floor::open(&**disk, target, &head.network).map_err(wrong)?;
    let floor = floor.filter(|floor| floor.bytes() == head.floor_bytes);
    let sound =
        floor.filter(|floor| floor.reach() + 1 >= head.first && floor.ledger_at().max(floor.state_at()) <= head.last);
    let sound = sound.ok_or_else(|| input.wrong("its floor is not that of its records"))?;
    sound.check().map_err(wrong)?;
    if held.last > 0 {
        return Ok(disk.remove(&path).map_err(JournalError::io("remove", &path))?);
    }
    Ok(first::write(&**disk, target, head.first)?)
}

/// Reads the records; gives how many are new.
fn take_records<R: Read>(
    input: &mut Input<R>,
    head: &Head,
    held: &Held,
    segments: &mut Segments,
    lots: &SyncSender<Lot>,
    check: &Check,
    progress: &mut impl FnMut(&Head, Lsn),
) -> Result<u64, ExchangeError> {
    let mut overlap = Overlap::new(held);
    let (mut prev, mut lot) = (head.prev, Lot::default());
    for lsn in head.first..=head.last {
        let at = input.place();
        let (record, raw) = input.record(lsn, prev)?;
        prev = record.crc;
        if lsn <= held.last || lsn == held.last + 1 {
            overlap.compare(lsn, record.place.prev, raw, &head.network)?;
        }
        lot.push(lsn, at, raw);
        if lsn > held.last {
            segments.push(lsn, record.place.prev, raw)?;
        }
        if lot.bytes.len() >= LOT_BYTES && !check.hand(lots, &mut lot) {
            break;
        }
        progress(head, lsn);
    }
    check.hand(lots, &mut lot);
    Ok(head.last.saturating_sub(held.last.max(head.first - 1)))
}

/// Holds what comes against what is there.
struct Overlap {
    reader: Option<Reader>,
    cursor: Option<Cursor>,
    last: Lsn,
}

impl Overlap {
    fn new(held: &Held) -> Self {
        Self { reader: held.reader(), cursor: None, last: held.last }
    }

    fn compare(&mut self, lsn: Lsn, prev: u32, raw: &[u8], network: &str) -> Result<(), ExchangeError> {
        let Some(reader) = &self.reader else { return Ok(()) };
        let differs = || ExchangeError::Differs { network: network.into(), lsn };
        if lsn < reader.first() {
            return Ok(());
        }
        if lsn > self.last {
            let crc = reader.with_entry(self.last, |entry| Ok(entry.raw[4..8] == prev.to_le_bytes()))?;
            return if crc { Ok(()) } else { Err(differs()) };
        }
        let cursor = self.cursor.get_or_insert_with(|| reader.records(lsn));
        match cursor.read()? {
            Some(entry) if entry.raw == raw => Ok(()),
            _ => Err(differs()),
        }
    }
}

/// Records to be checked.
#[derive(Default)]
struct Lot {
    bytes: Vec<u8>,
    /// LSN, byte of the stream, end in `bytes`.
    records: Vec<(Lsn, u64, usize)>,
}

impl Lot {
    fn push(&mut self, lsn: Lsn, at: u64, raw: &[u8]) {
        self.bytes.extend_from_slice(raw);
        self.records.push((lsn, at, self.bytes.len()));
    }
}

/// What the threads that check have found.
#[derive(Default)]
struct Check(Mutex<Option<(Lsn, u64, String)>>);

impl Check {
    fn found(&self) -> std::sync::MutexGuard<'_, Option<(Lsn, u64, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a lot over; false when something was found.
    fn hand(&self, lots: &SyncSender<Lot>, lot: &mut Lot) -> bool {
        let lot = std::mem::take(lot);
        self.found().is_none() && (lot.records.is_empty() || lots.send(lot).is_ok())
    }

    fn run(&self, work: &Mutex<Receiver<Lot>>) {
        loop {
            let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(lot) = next else { return };
            let mut begin = 0;
            for (lsn, at, end) in lot.records {
                if let Err(what) = checked(&lot.bytes[begin..end], lsn) {
                    let mut found = self.found();
                    // The first one is named.
                    if found.as_ref().is_none_or(|(before, ..)| *before > lsn) {
                        *found = Some((lsn, at, what));
                    }
                    break;
                }
                begin = end;
            }
        }
    }
}

/// Checks a record by itself: crc, form, the hash of its body, the text of each op.
fn checked(raw: &[u8], lsn: Lsn) -> Result<(), String> {
    let entry = Entry::of(raw, lsn).map_err(|error| error.to_string())?;
    let body = verify::check_record(&entry).map_err(|error| error.to_string())?;
    for text in op::texts(&body.unwrap_or_default()) {
        text.and_then(Op::parse_text).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Segment files being written from records as they stand.
struct Segments {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    network: String,
    segment_bytes: u64,
    /// The segment's file and path, and the byte at which `buffer` goes.
    current: Option<(Arc<dyn File>, PathBuf, u64)>,
    buffer: Vec<u8>,
}

impl Segments {
    fn new(disk: Arc<dyn Disk>, folder: PathBuf, network: String, segment_bytes: u64) -> Self {
        Self { disk, folder, network, segment_bytes, current: None, buffer: Vec::with_capacity(WRITE_BYTES) }
    }

    fn push(&mut self, lsn: Lsn, prev: u32, raw: &[u8]) -> Result<(), JournalError> {
        let size = self.segment_bytes;
        let full = self.current.as_ref().is_none_or(|(_, _, offset)| {
            let end = offset + self.buffer.len() as u64;
            end > HEADER_BYTES && end + raw.len() as u64 > size
        });
        if full {
            self.seal()?;
            let header = Header { network: self.network.clone(), first: lsn, prev };
            let file = header.create(&*self.disk, &self.folder, size.max(HEADER_BYTES + raw.len() as u64))?;
            self.current = Some((file, self.folder.join(segment::name(lsn)), HEADER_BYTES));
        }
        self.buffer.extend_from_slice(raw);
        if self.buffer.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), JournalError> {
        let Some((file, path, offset)) = &mut self.current else { return Ok(()) };
        file.write_at(*offset, &self.buffer).map_err(JournalError::io("write", path))?;
        *offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn seal(&mut self) -> Result<(), JournalError> {
        self.write()?;
        match self.current.take() {
            Some((file, path, _)) => file.sync().map_err(JournalError::sync(&path)),
            None => Ok(()),
        }
    }
}

impl Staged {
    /// Reads what was staged, as a journal of its own that begins with the first new record.
    pub fn reader(&self) -> Result<Option<Reader>, JournalError> {
        let network = &self.head.network;
        (self.added > 0).then(|| Reader::part(self.disk.clone(), &self.staging, network)).transpose()
    }

    /// Puts everything in its place. Cut off, it leaves a journal up to one of its records; put in again, the rest follows.
    pub fn commit(self) -> Result<(), JournalError> {
        let (disk, network) = (&*self.disk, &self.head.network);
        let (staged, target) = (folder(&self.staging, network)?, folder(&self.dir, network)?);
        let above = self.dir.join("journal");
        if self.held.last == 0 {
            disk.create_dir(&above).map_err(JournalError::io("create the folder", &above))?;
            disk.sync_dir(&self.dir).map_err(JournalError::sync(&self.dir))?;
            disk.sync_dir(&staged).map_err(JournalError::sync(&staged))?;
            drop(self.held);
            // An empty journal, as a node makes one of each network that it knows, has nothing to lose.
            for name in disk.list(&target).unwrap_or_default() {
                let path = target.join(name);
                disk.remove(&path).map_err(JournalError::io("remove", &path))?;
            }
            disk.rename(&staged, &target).map_err(JournalError::io("rename", &staged))?;
            return disk.sync_dir(&above).map_err(JournalError::sync(&above));
        }
        let names = disk.list(&staged).map_err(JournalError::io("list", &staged))?;
        for name in names.iter().filter(|name| segment::first_lsn(name).is_some()) {
            let (from, to) = (staged.join(name), target.join(name));
            disk.rename(&from, &to).map_err(JournalError::io("rename", &from))?;
            // One by one: what a crash leaves is a beginning.
            disk.sync_dir(&target).map_err(JournalError::sync(&target))?;
        }
        Ok(())
    }
}
