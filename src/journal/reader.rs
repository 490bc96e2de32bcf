//! Reading the journal while it is written, from any thread.
//!
//! *Always holds:* a reader hands out nothing that is not durable; what it hands out is checked (crc, LSN, chain);
//! anything missing or wrong below the durable LSN is damage with its place, never an end.

use super::JournalError;
use super::codec::Kind;
use super::floor::Floor;
use super::frame::Frame;
use super::scan::{Entry, Scan, Start, Step};
use super::segment::HEADER_BYTES;
use super::shared::{Form, MARK_EVERY, Mark, Shared, State};
use crate::fork::record::{Lsn, Piece, Record};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Bytes that a cursor reads at a time.
const CURSOR_BLOCK: usize = 1024 * 1024;
/// Bytes that a random read takes at a time: what lies between two marks and the records after it.
const WALK_BLOCK: usize = 128 * 1024;

/// Reads a journal. Cheap to clone; each clone remembers where it last read.
pub struct Reader {
    shared: Arc<Shared>,
    walk: Mutex<Option<Cursor>>,
}

impl Clone for Reader {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, walk: Mutex::default() }
    }

    /// The durable LSN, and the way to wait for more.
    pub fn durable(&self) -> watch::Receiver<Lsn> {
        self.shared.durable.subscribe()
    }

    /// What the writer is doing.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// The first record that is kept; 1 in an empty journal.
    pub fn first(&self) -> Lsn {
        self.shared.first()
    }

    /// What the journal stands on, when its beginning was removed or may be.
    pub fn floor(&self) -> Option<Arc<Floor>> {
        self.shared.floor()
    }

    /// The network.
    pub fn network(&self) -> &str {
        &self.shared.network
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Segment files.
    pub fn segments(&self) -> u64 {
        self.shared.segments()
    }

    /// A cursor whose first record is `from`.
    pub fn records(&self, from: Lsn) -> Cursor {
        Cursor::new(self.shared.clone(), from, CURSOR_BLOCK)
    }

    /// The body of a piece, unpacked.
    pub fn body(&self, lsn: Lsn) -> Result<Vec<u8>, JournalError> {
        let mut body = Vec::new();
        self.body_into(lsn, &mut body)?;
        Ok(body)
    }

    /// The body of a piece, unpacked to the end of `into`.
    pub fn body_into(&self, lsn: Lsn, into: &mut Vec<u8>) -> Result<(), JournalError> {
        // What is no longer kept is not answered from memory either: an answer must not depend on what was read lately.
        if lsn >= self.shared.first()
            && lsn <= *self.shared.durable.borrow()
            && let Some((body, form)) = self.shared.recent(lsn)
        {
            match form {
                Form::Frame if !body.is_empty() => Frame::new(&body).unpack_into(into)?,
                _ => into.extend_from_slice(&body),
            }
            return Ok(());
        }
        self.with_entry(lsn, |entry| match entry.frame {
            _ if entry.kind != Kind::Piece => Err(JournalError::NoBody(lsn)),
            Some(frame) => frame.unpack_into(into),
            None => Ok(()),
        })
    }

    /// The body of a piece as it is stored and sent; none for an empty one.
    pub fn frame(&self, lsn: Lsn) -> Result<Option<Vec<u8>>, JournalError> {
        self.with_entry(lsn, |entry| match entry.kind {
            Kind::Piece => Ok(entry.frame.map(|frame: Frame<'_>| frame.bytes().to_vec())),
            _ => Err(JournalError::NoBody(lsn)),
        })
    }

    /// A piece with its body as it is stored and sent; none for an empty one.
    pub fn piece(&self, lsn: Lsn) -> Result<(Piece, Option<Vec<u8>>), JournalError> {
        self.with_entry(lsn, |entry| match entry.record()? {
            Record::Piece(piece) => Ok((piece, entry.frame.map(|frame| frame.bytes().to_vec()))),
            _ => Err(JournalError::NoBody(lsn)),
        })
    }

    /// One record.
    pub fn record(&self, lsn: Lsn) -> Result<Record, JournalError> {
        self.with_entry(lsn, |entry| entry.record())
    }

    pub(super) fn with_entry<T>(
        &self,
        lsn: Lsn,
        look: impl FnOnce(Entry<'_>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let first = self.shared.first();
        if lsn < first && lsn > 0 {
            let kept = self.shared.floor().map_or(Ok(None), |floor| floor.record(lsn))?;
            return look(Entry::of(&kept.ok_or(JournalError::Trimmed { lsn, first })?, lsn)?);
        }
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        let cursor = walk.get_or_insert_with(|| Cursor::new(self.shared.clone(), lsn, WALK_BLOCK));
        cursor.seek(lsn);
        let entry = cursor.read()?.ok_or(JournalError::NotHeld(lsn))?;
        look(entry)
    }
}

/// Goes through the records of a journal in order.
pub struct Cursor {
    shared: Arc<Shared>,
    block: usize,
    /// LSN of the next record handed out.
    next: Lsn,
    /// Durable LSN as last seen.
    durable: Lsn,
    scan: Option<(Lsn, Scan)>,
    /// Places passed that the others do not know yet.
    learned: Option<Mark>,
}

impl Cursor {
    pub(super) fn new(shared: Arc<Shared>, from: Lsn, block: usize) -> Self {
        Self { shared, block, next: from.max(1), durable: 0, scan: None, learned: None }
    }

    /// LSN of the next record.
    pub fn next(&self) -> Lsn {
        self.next
    }

    /// The next record, or none when everything durable was read (call again once the durable LSN has grown).
    pub fn read(&mut self) -> Result<Option<Entry<'_>>, JournalError> {
        if self.next > self.durable && !self.look_for_more() {
            return Ok(None);
        }
        loop {
            match self.scan_next() {
                Ok(after) if after > self.next => break,
                Ok(_) => {}
                Err(error) => {
                    // Retention may have taken what was being read.
                    let (lsn, first) = (self.next, self.shared.first());
                    self.scan = None;
                    return Err(if lsn < first { JournalError::Trimmed { lsn, first } } else { error });
                }
            }
        }
        self.next += 1;
        Ok(self.scan.as_ref().and_then(|(_, scan)| scan.entry()))
    }

    /// Goes to another record, by walking when it is near.
    fn seek(&mut self, lsn: Lsn) {
        let near = self.scan.as_ref().is_some_and(|(segment, scan)| {
            let place = self.shared.locate(lsn);
            lsn >= scan.next() && place.is_some_and(|(first, start)| first == *segment && start.lsn <= scan.next())
        });
        if !near {
            self.scan = None;
        }
        self.next = lsn;
    }

    /// Whether more has become durable than was known.
    fn look_for_more(&mut self) -> bool {
        self.durable = *self.shared.durable.borrow();
        if let Some((segment, scan)) = &mut self.scan
            && let (Some(end), _) = self.shared.end_of(*segment)
        {
            scan.extend(end);
        }
        self.next <= self.durable
    }

    /// Goes one record on (into the next segment where one ends); returns the LSN of the one after.
    fn scan_next(&mut self) -> Result<Lsn, JournalError> {
        let (segment, scan) = match &mut self.scan {
            Some((segment, scan)) => (*segment, scan),
            None => {
                let (lsn, first) = (self.next, self.shared.first());
                let (segment, start) = self.shared.locate(lsn).ok_or(match lsn {
                    0 => JournalError::NotHeld(0),
                    _ => JournalError::Trimmed { lsn, first },
                })?;
                let scan = self.shared.scan(segment, start, self.block)?;
                (segment, &mut self.scan.insert((segment, scan)).1)
            }
        };
        let mark = Mark { lsn: scan.next(), offset: scan.offset() };
        let step = scan.step().map_err(JournalError::io("read", &self.shared.path(segment)))?;
        let after = scan.next();
        match step {
            Step::Record => self.learn(segment, mark),
            Step::End if self.shared.end_of(segment).1 == Some(after) => {
                // The chain goes on across the files.
                let start = Start { offset: HEADER_BYTES, lsn: after, prev: scan.crc() };
                self.scan = Some((after, self.shared.scan(after, start, self.block)?));
            }
            Step::End => return Err(self.damage(segment, mark, "the log ends before its end")),
            Step::Bad(what) => return Err(self.damage(segment, mark, what)),
        }
        Ok(after)
    }

    fn learn(&mut self, segment: Lsn, mark: Mark) {
        let last = self.learned.map_or(0, |last| last.offset);
        if mark.offset >= last + MARK_EVERY || mark.offset < last {
            self.learned = Some(mark);
            self.shared.learn(segment, [mark]);
        }
    }

    fn damage(&self, segment: Lsn, at: Mark, what: &str) -> JournalError {
        let segment = self.shared.path(segment);
        JournalError::Damage { segment, offset: at.offset, lsn: at.lsn, what: what.into() }
    }
}
