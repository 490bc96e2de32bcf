//! Looking at a journal's folder without changing it: what is there, where it ends, and whether it is whole.
//!
//! *Always holds:* a bad record is called damage when anything shows that it had been durable: a record of a later
//! group behind it, a later segment, or the `tip` file. Otherwise it is a write that a power cut tore. A journal begins
//! with record 1, or where its `first` file says and its floor bears that out.

use super::JournalError;
use super::codec::{HEAD_BYTES, Head, MAGIC};
use super::disk::{Disk, File};
use super::first;
use super::floor::Floor;
use super::scan::{Scan, Start, Step};
use super::segment::{self, HEADER_BYTES, Header, UNFINISHED};
use super::shared::{MARK_EVERY, Mark};
use super::tip::{Found, Tip};
use crate::fork::record::Lsn;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes read at a time.
const BLOCK: usize = 1024 * 1024;
/// How often a survey begins anew because a segment went while it looked.
const GONE_TRIES: u32 = 8;

/// What is in a folder.
#[derive(Default)]
pub(super) struct Survey {
    /// Every segment, in order.
    pub segments: Vec<Header>,
    /// The last one; none in an empty journal.
    pub end: Option<End>,
    /// What the `tip` file says.
    pub tip: Option<Tip>,
    /// Whether there is a `tip` file that cannot be read.
    pub tip_damaged: bool,
    /// Files that were never finished.
    pub unfinished: Vec<PathBuf>,
    /// Segments before the first one that is kept: they were about to be removed.
    pub leftover: Vec<PathBuf>,
    /// What the journal stands on.
    pub floor: Option<Floor>,
    /// Whether there is a `first` file that cannot be read; the segments say it too.
    pub first_damaged: bool,
}

/// Where the log ends.
pub(super) struct End {
    /// The last segment.
    pub segment: Lsn,
    pub file: Arc<dyn File>,
    /// Last whole record, 0 in an empty journal, and its crc.
    pub last: Lsn,
    pub crc: u32,
    /// Byte behind it.
    pub offset: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Places of records in the last segment.
    pub marks: Vec<Mark>,
    /// A torn write behind it: the byte behind the last one that is not zero.
    pub torn: Option<u64>,
}

/// Looks at a folder. A folder that is not there is an empty journal.
pub(super) fn survey(disk: &dyn Disk, folder: &Path, network: &str) -> Result<Survey, JournalError> {
    let mut survey = look(disk, folder, network)?;
    find_beginning(&mut survey, disk, folder, network)?;
    check_segments(&survey, folder)?;
    survey.end = find_end(disk, folder, &survey)?;
    Ok(survey)
}

/// Looks at segments that may begin anywhere.
pub(super) fn survey_part(disk: &dyn Disk, folder: &Path, network: &str) -> Result<Survey, JournalError> {
    let mut survey = look(disk, folder, network)?;
    survey.end = find_end(disk, folder, &survey)?;
    Ok(survey)
}

/// What is in a folder, not judged.
fn look(disk: &dyn Disk, folder: &Path, network: &str) -> Result<Survey, JournalError> {
    let mut survey = Survey::default();
    // Before the segments: when a writer is at work they may only be further than it says.
    match Tip::read(disk, folder)? {
        Found::Nothing => {}
        Found::Damaged => survey.tip_damaged = true,
        Found::Tip(tip) => survey.tip = Some(tip),
    }
    let names = match disk.list(folder) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(survey),
        Err(error) => return Err(JournalError::io("list", folder)(error)),
    };
    for name in names {
        let path = folder.join(&name);
        if name.to_str().is_some_and(|name| name.ends_with(UNFINISHED)) {
            survey.unfinished.push(path);
        } else if segment::first_lsn(&name).is_some() {
            survey.segments.push(read_header(disk, &path, network)?);
        }
    }
    survey.segments.sort_by_key(|header| header.first);
    Ok(survey)
}

/// Looks at a folder in which a writer may be at work. What it writes between two reads can look like damage, but at
/// another place each time.
pub(super) fn survey_beside_a_writer(disk: &dyn Disk, folder: &Path, network: &str) -> Result<Survey, JournalError> {
    let mut before = None;
    let mut gone = 0;
    loop {
        match survey(disk, folder, network) {
            // Retention takes segments away meanwhile.
            Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && gone < GONE_TRIES => {
                gone += 1;
            }
            Err(JournalError::Damage { lsn, .. }) if before.is_none_or(|before| before < lsn) => before = Some(lsn),
            found => return found,
        }
    }
}

fn read_header(disk: &dyn Disk, path: &Path, network: &str) -> Result<Header, JournalError> {
    let file = disk.open(path).map_err(JournalError::io("open", path))?;
    let header = Header::read(&*file, path)?;
    if header.network != network {
        let (found, wanted) = (header.network, network.to_owned());
        return Err(JournalError::Network { path: path.into(), found, wanted });
    }
    Ok(header)
}

/// Where the journal begins, and whether what it stands on reaches up to there.
fn find_beginning(survey: &mut Survey, disk: &dyn Disk, folder: &Path, network: &str) -> Result<(), JournalError> {
    let floor = Floor::open(disk, folder, network);
    let said = first::read(disk, folder)?;
    survey.first_damaged = said == first::Found::Damaged;
    let Some(found) = survey.segments.first().map(|header| header.first) else {
        // Segments are there before either of these is.
        let late = matches!(said, first::Found::At(_)) || floor?.is_some();
        return if late { Err(missing(folder, 1)) } else { Ok(()) };
    };
    let first = match said {
        first::Found::At(first) => first,
        first::Found::Damaged => found,
        first::Found::Nothing => 1,
    };
    let kept = survey.segments.partition_point(|header| header.first < first);
    survey.leftover = survey.segments.drain(..kept).map(|header| folder.join(segment::name(header.first))).collect();
    if survey.segments.first().is_none_or(|header| header.first != first) {
        return Err(missing(folder, first));
    }
    // Before the first removal it is only a preparation.
    survey.floor = if first > 1 { floor? } else { floor.unwrap_or(None) };
    if first > 1 && survey.floor.as_ref().is_none_or(|floor| floor.reach() + 1 < first) {
        let what = "the journal begins late, and no floor reaches up to there".into();
        return Err(JournalError::Damage { segment: folder.join(super::floor::NAME), offset: 0, lsn: first, what });
    }
    // One from before what was removed says nothing any more.
    survey.tip = survey.tip.filter(|tip| tip.segment >= first);
    Ok(())
}

fn missing(folder: &Path, lsn: Lsn) -> JournalError {
    JournalError::Damage {
        segment: folder.join(segment::name(lsn)),
        offset: 0,
        lsn,
        what: "the segment is missing".into(),
    }
}

/// The segment that the tip names has to be there.
fn check_segments(survey: &Survey, folder: &Path) -> Result<(), JournalError> {
    let missing = |lsn: Lsn| missing(folder, lsn);
    let Some(tip) = survey.tip else { return Ok(()) };
    if survey.segments.iter().any(|header| header.first == tip.segment) {
        return Ok(());
    }
    match survey.segments.last() {
        Some(last) if last.first > tip.segment => Err(missing(tip.segment)),
        Some(last) => Err(JournalError::LostTail { folder: folder.into(), last: last.first - 1, tip: tip.last }),
        None if tip.last == 0 => Ok(()),
        None => Err(JournalError::LostTail { folder: folder.into(), last: 0, tip: tip.last }),
    }
}

/// Reads the segments from the tip's on and finds where the log ends.
fn find_end(disk: &dyn Disk, folder: &Path, survey: &Survey) -> Result<Option<End>, JournalError> {
    let Some(last) = survey.segments.last() else {
        return Ok(None);
    };
    let from = survey.tip.map_or(last.first, |tip| tip.segment);
    for (at, header) in survey.segments.iter().enumerate().filter(|(_, header)| header.first >= from) {
        let path = folder.join(segment::name(header.first));
        let file = disk.open(&path).map_err(JournalError::io("open", &path))?;
        let walk = Walk::through(file, header, &path, survey.tip)?;
        match survey.segments.get(at + 1) {
            Some(next) => walk.check_sealed(header, next, &path)?,
            None => return walk.into_end(header, &path, folder, survey.tip).map(Some),
        }
    }
    Ok(None)
}

/// A segment, read from its first record to where its records end.
struct Walk {
    scan: Scan,
    file: Arc<dyn File>,
    marks: Vec<Mark>,
    stop: Step,
}

impl Walk {
    fn through(file: Arc<dyn File>, header: &Header, path: &Path, tip: Option<Tip>) -> Result<Self, JournalError> {
        let start = Start { offset: HEADER_BYTES, lsn: header.first, prev: Some(header.prev) };
        let mut scan = Scan::new(file.clone(), start, BLOCK, u64::MAX);
        let mut marks: Vec<Mark> = Vec::new();
        loop {
            let mark = Mark { lsn: scan.next(), offset: scan.offset() };
            match scan.step().map_err(JournalError::io("read", path))? {
                Step::Record => {
                    if tip.is_some_and(|tip| tip.last == mark.lsn && Some(tip.crc) != scan.crc()) {
                        return Err(damage(path, mark, "the tip file names another record here".into()));
                    }
                    if mark.offset >= marks.last().map_or(HEADER_BYTES, |last| last.offset) + MARK_EVERY {
                        marks.push(mark);
                    }
                }
                stop => {
                    return Ok(Self { scan, file, marks, stop });
                }
            }
        }
    }

    fn stopped_at(&self) -> Mark {
        Mark { lsn: self.scan.next(), offset: self.scan.offset() }
    }

    /// A segment with a successor: its records reach up to that one's first.
    fn check_sealed(&self, header: &Header, next: &Header, path: &Path) -> Result<(), JournalError> {
        if self.scan.next() == next.first && self.scan.crc() == Some(next.prev) {
            return Ok(());
        }
        let what = match self.stop {
            Step::Bad(what) => what.to_owned(),
            _ => format!("the segment from {} ends before the next one, from {}", header.first, next.first),
        };
        Err(damage(path, self.stopped_at(), what))
    }

    /// The last segment: tells a torn write from damage and from a lost tail.
    fn into_end(self, header: &Header, path: &Path, folder: &Path, tip: Option<Tip>) -> Result<End, JournalError> {
        let stopped = self.stopped_at();
        let rest = Rest::read(&*self.file, stopped.offset, path)?;
        let what = match self.stop {
            Step::Bad(what) => what.to_owned(),
            _ => "zeros in the middle of the log".to_owned(),
        };
        if rest.has_record_after(stopped.lsn) {
            return Err(damage(path, stopped, format!("{what}, though later records are there")));
        }
        if let Some(tip) = tip.filter(|tip| tip.last >= stopped.lsn) {
            return Err(match rest.dirty {
                0 => JournalError::LostTail { folder: folder.into(), last: stopped.lsn - 1, tip: tip.last },
                _ => damage(path, stopped, format!("{what}, though it had been durable")),
            });
        }
        Ok(End {
            segment: header.first,
            last: stopped.lsn - 1,
            crc: self.scan.crc().unwrap_or(header.prev),
            offset: stopped.offset,
            file_bytes: stopped.offset + rest.bytes.len() as u64,
            marks: self.marks,
            torn: (rest.dirty > 0).then(|| stopped.offset + rest.dirty as u64),
            file: self.file,
        })
    }
}

/// What a segment holds behind its last whole record (at most a segment; read only at a start).
struct Rest {
    bytes: Vec<u8>,
    /// Bytes up to the last one that is not zero.
    dirty: usize,
}

impl Rest {
    fn read(file: &dyn File, offset: u64, path: &Path) -> Result<Self, JournalError> {
        let len = file.len().map_err(JournalError::io("measure", path))?;
        let mut bytes = vec![0; usize::try_from(len.saturating_sub(offset)).unwrap_or(0)];
        let read = file.read_at(offset, &mut bytes).map_err(JournalError::io("read", path))?;
        bytes.truncate(read);
        let dirty = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        Ok(Self { bytes, dirty })
    }

    /// Whether a whole record is there that was written when record `lsn` was durable already.
    fn has_record_after(&self, lsn: Lsn) -> bool {
        let plausible = lsn + (self.dirty / HEAD_BYTES) as u64 + 1;
        (0..self.dirty).any(|at| {
            let here = &self.bytes[at..];
            if here[0] != MAGIC[0] || !here.starts_with(&MAGIC) {
                return false;
            }
            let head = here.first_chunk().and_then(|head| Head::parse(head).ok());
            head.is_some_and(|head| {
                let likely = head.group() > lsn && head.place.lsn <= plausible;
                likely && here.get(..head.record_bytes()).is_some_and(|record| head.covers(record))
            })
        })
    }
}

fn damage(path: &Path, at: Mark, what: String) -> JournalError {
    JournalError::Damage { segment: path.into(), offset: at.offset, lsn: at.lsn, what }
}
