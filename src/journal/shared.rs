//! What the writer of a journal and its readers share: how far it is durable, and where its records are.
//!
//! *Always holds:* the map reaches at least as far as the durable LSN that a reader sees; it names no byte that was
//! not synced.

use super::JournalError;
use super::codec::MAX_RECORD_BYTES;
use super::disk::{Disk, File};
use super::floor::Floor;
use super::scan::{Scan, Start};
use super::segment;
use crate::fork::record::Lsn;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::watch;

/// Distance between two marks: how far a random read has to walk at most.
pub(super) const MARK_EVERY: u64 = 64 * 1024;
/// Segments that keep marks (16 KiB each); those of the oldest are forgotten first and found again by reading.
const MAX_MARKED_SEGMENTS: usize = 1024;
/// Open segment files kept for random reads.
const MAX_OPEN_FILES: usize = 16;
/// Bytes of recent bodies kept: what the projection asks for next, when it keeps up, is in memory.
const MAX_RECENT_BYTES: usize = 8 * 1024 * 1024;

/// What the writer is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It writes.
    Running,
    /// The disk is full: it tries again, nothing is lost, nothing is taken in beyond the bounded group.
    DiskFull,
    /// A write or sync failed: nothing more is written, the node has to stop.
    Failed(String),
}

/// A record whose place is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub lsn: Lsn,
    pub offset: u64,
}

/// What is known of a segment.
#[derive(Debug, Default)]
struct Known {
    /// Crc of the record before its first.
    prev: u32,
    /// Byte at which its durable records end; none when it was not read yet.
    end: Option<u64>,
    /// Places of records, in order, [`MARK_EVERY`] bytes or more apart.
    marks: Vec<Mark>,
}

pub(super) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub folder: PathBuf,
    pub network: String,
    pub durable: watch::Sender<Lsn>,
    pub state: watch::Sender<State>,
    segments: RwLock<BTreeMap<Lsn, Known>>,
    files: Mutex<VecDeque<(Lsn, Arc<dyn File>)>>,
    /// What the journal stands on, when its beginning was removed or may be.
    floor: RwLock<Option<Arc<Floor>>>,
    recent: Mutex<Recent>,
}

/// How a body is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As the texts.
    Texts,
    /// As the frame that it came in.
    Frame,
}

#[derive(Default)]
struct Recent {
    bodies: VecDeque<(Lsn, Arc<[u8]>, Form)>,
    bytes: usize,
}

impl Shared {
    pub fn new(disk: Arc<dyn Disk>, folder: PathBuf, network: String) -> Self {
        Self {
            disk,
            folder,
            network,
            durable: watch::Sender::new(0),
            state: watch::Sender::new(State::Running),
            segments: RwLock::default(),
            files: Mutex::default(),
            floor: RwLock::default(),
            recent: Mutex::default(),
        }
    }

    /// A segment is there.
    pub fn add_segment(&self, first: Lsn, prev: u32, end: Option<u64>) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.insert(first, Known { prev, end, marks: Vec::new() });
    }

    /// The last segment is durable up to this byte; these records are in it.
    pub fn extend(&self, segment: Lsn, end: u64, marks: impl IntoIterator<Item = Mark>) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = segments.get_mut(&segment) {
            marks.into_iter().for_each(|mark| known.add(mark));
            known.end = Some(end);
        }
    }

    /// A reader passed these records.
    pub fn learn(&self, segment: Lsn, marks: impl IntoIterator<Item = Mark>) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = segments.get_mut(&segment) else {
            return;
        };
        marks.into_iter().for_each(|mark| known.add(mark));
        let marked = segments.values().filter(|known| !known.marks.is_empty()).count();
        let forget = |(first, known): &(&Lsn, &mut Known)| **first != segment && !known.marks.is_empty();
        if marked > MAX_MARKED_SEGMENTS
            && let Some((_, known)) = segments.iter_mut().find(forget)
        {
            known.marks = Vec::new();
        }
    }

    /// Whether a write or sync failed.
    pub fn has_failed(&self) -> bool {
        matches!(*self.state.borrow(), State::Failed(_))
    }

    /// How many segments there are.
    pub fn segments(&self) -> u64 {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// The first record that is kept (1 in an empty journal).
    pub fn first(&self) -> Lsn {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.first_key_value().map_or(1, |(first, _)| *first)
    }

    /// First records of all segments.
    pub fn firsts(&self) -> Vec<Lsn> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Forgets the segments before this one; they are named here.
    pub fn forget_before(&self, first: Lsn) -> Vec<Lsn> {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        let kept = segments.split_off(&first);
        let gone = std::mem::replace(&mut *segments, kept);
        drop(segments);
        self.files.lock().unwrap_or_else(PoisonError::into_inner).retain(|(segment, _)| *segment >= first);
        gone.into_keys().collect()
    }

    /// What the journal stands on.
    pub fn floor(&self) -> Option<Arc<Floor>> {
        self.floor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The journal stands on this from here on.
    pub fn stand_on(&self, floor: Option<Floor>) {
        *self.floor.write().unwrap_or_else(PoisonError::into_inner) = floor.map(Arc::new);
    }

    /// The segment that holds a record, and the nearest known place before it.
    pub fn locate(&self, lsn: Lsn) -> Option<(Lsn, Start)> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let (first, known) = segments.range(..=lsn).next_back()?;
        let begin = Start { offset: segment::HEADER_BYTES, lsn: *first, prev: Some(known.prev) };
        let behind = known.marks.partition_point(|mark| mark.lsn <= lsn);
        let mark = behind.checked_sub(1).map(|at| known.marks[at]);
        let start = mark.map(|mark| Start { offset: mark.offset, lsn: mark.lsn, prev: None });
        Some((*first, start.filter(|start| start.lsn > begin.lsn).unwrap_or(begin)))
    }

    /// Where a segment's durable records end, as far as known, and the segment after it.
    pub fn end_of(&self, segment: Lsn) -> (Option<u64>, Option<Lsn>) {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let end = segments.get(&segment).and_then(|known| known.end);
        (end, segments.range(segment + 1..).next().map(|(first, _)| *first))
    }

    /// Reads a segment from a place on, up to what is durable.
    pub fn scan(&self, segment: Lsn, start: Start, block: usize) -> Result<Scan, JournalError> {
        let limit = self.end_of(segment).0.unwrap_or(u64::MAX);
        Ok(Scan::new(self.file(segment)?, start, block, limit))
    }

    /// Path of a segment's file.
    pub fn path(&self, segment: Lsn) -> PathBuf {
        self.folder.join(segment::name(segment))
    }

    fn file(&self, segment: Lsn) -> Result<Arc<dyn File>, JournalError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = files.iter().find(|(first, _)| *first == segment) {
            return Ok(file.clone());
        }
        let path = self.path(segment);
        let file = self.disk.open(&path).map_err(JournalError::io("open", &path))?;
        if files.len() == MAX_OPEN_FILES {
            files.pop_front();
        }
        files.push_back((segment, file.clone()));
        Ok(file)
    }

    /// Keeps a body that was just appended; readers get it once it is durable.
    pub fn remember(&self, lsn: Lsn, body: &[u8], form: Form) {
        if body.len() > MAX_RECENT_BYTES / 8 {
            return;
        }
        let body: Arc<[u8]> = body.into();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.bytes += body.len();
        recent.bodies.push_back((lsn, body, form));
        while recent.bytes > MAX_RECENT_BYTES
            && let Some((_, body, _)) = recent.bodies.pop_front()
        {
            recent.bytes -= body.len();
        }
    }

    /// A body that was appended not long ago.
    pub fn recent(&self, lsn: Lsn) -> Option<(Arc<[u8]>, Form)> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = recent.bodies.binary_search_by_key(&lsn, |(lsn, ..)| *lsn).ok()?;
        let (_, body, form) = &recent.bodies[at];
        Some((body.clone(), *form))
    }
}

impl Known {
    fn add(&mut self, mark: Mark) {
        let last = self.marks.last().map_or(segment::HEADER_BYTES, |mark| mark.offset);
        // A mark far from the last one would leave a stretch without marks for ever (they were forgotten meanwhile).
        let near = last + 2 * MARK_EVERY + MAX_RECORD_BYTES as u64;
        if (last + MARK_EVERY..near).contains(&mark.offset) {
            self.marks.push(mark);
        }
    }
}
