//! Walking a journal from outside, also beside a running node: `honeygraph verify`, `honeygraph journal stat` and `cat`.
//!
//! *Always holds:* nothing is changed; every byte that counts is read and checked.

use super::JournalError;
use super::codec::Kind;
use super::disk::Disk;
use super::first;
use super::floor::{self, Floor};
use super::log::folder;
use super::reader::Reader;
use super::scan::{Entry, Scan, Start, Step};
use super::segment::{self, HEADER_BYTES, Header};
use super::shared::Shared;
use super::survey::{Survey, survey_beside_a_writer, survey_part};
use crate::fork::record::{Lsn, Record};
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most findings listed; the rest is counted.
const MAX_FINDINGS: usize = 100;
/// Bytes read at a time.
const BLOCK: usize = 1024 * 1024;

/// Something wrong in a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The segment file.
    pub segment: PathBuf,
    /// Byte at which the record (or header) begins.
    pub offset: u64,
    /// The record.
    pub lsn: Lsn,
    /// What is wrong.
    pub what: String,
}

/// What a walk through a whole journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The network.
    pub network: String,
    /// Segment files.
    pub segments: u64,
    /// Whole records.
    pub records: u64,
    /// Bodies unpacked and compared with their hash.
    pub bodies: u64,
    /// First record that is kept.
    pub first: Lsn,
    /// Last whole record.
    pub last: Lsn,
    /// Bytes of a torn write behind it, which the next start cuts off. No damage.
    pub torn_bytes: u64,
    /// Whether the `tip` file cannot be read; the next start writes it anew.
    pub tip_damaged: bool,
    /// What is wrong, at most 100.
    pub findings: Vec<Finding>,
    /// How much more is wrong.
    pub more_findings: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, segment: &Path, offset: u64, lsn: Lsn, what: String) {
        // The walk and the survey see the same damage.
        if self.findings.iter().any(|known| known.segment == segment && known.offset == offset) {
            return;
        }
        match self.findings.len() < MAX_FINDINGS {
            true => self.findings.push(Finding { segment: segment.into(), offset, lsn, what }),
            false => self.more_findings += 1,
        }
    }

    fn find_error(&mut self, path: &Path, lsn: Lsn, error: JournalError) {
        match error {
            JournalError::Damage { segment, offset, lsn, what } => self.find(&segment, offset, lsn, what),
            other => self.find(path, 0, lsn, other.to_string()),
        }
    }
}

/// Networks that have a journal in a data folder.
pub fn networks(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, JournalError> {
    let parent = dir.join("journal");
    let names = match disk.list(&parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.map_err(JournalError::io("list", &parent))?,
    };
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    Ok(names.filter(|name| folder(dir, name).is_ok()).collect())
}

/// Walks every record of a network's journal: crc, chain, LSN, meta, body and its hash. Errors are those of reading;
/// what is wrong with the journal is in the report.
pub fn verify(disk: &dyn Disk, dir: &Path, network: &str) -> Result<Report, JournalError> {
    let folder = folder(dir, network)?;
    let mut report = Report { network: network.into(), first: 1, ..Report::default() };
    let names = disk.list(&folder).map_err(JournalError::io("list", &folder))?;
    let begin = beginning(disk, &folder, &names, &mut report)?;
    report.first = begin;
    let missing = folder.join(segment::name(1));
    let mut reached = Some(Reached { segment: missing, offset: 0, next: 1, crc: 0, why: "the segment is missing" });
    reached = reached.filter(|_| begin == 1);
    for first in names.iter().filter_map(|name| segment::first_lsn(name)).filter(|first| *first >= begin) {
        report.segments += 1;
        let path = folder.join(segment::name(first));
        reached = verify_segment(disk, &path, first, reached, &mut report)?;
    }
    match survey_beside_a_writer(disk, &folder, network) {
        Ok(found) => {
            report.tip_damaged = found.tip_damaged;
            report.torn_bytes = found.end.and_then(|end| Some(end.torn? - end.offset)).unwrap_or(0);
        }
        Err(error) => {
            let lsn = report.last + 1;
            report.find_error(&folder, lsn, error);
        }
    }
    Ok(report)
}

/// The first record that is kept, after a look at what the journal stands on.
fn beginning(
    disk: &dyn Disk,
    folder: &Path,
    names: &[std::ffi::OsString],
    report: &mut Report,
) -> Result<Lsn, JournalError> {
    let floor = match Floor::open(disk, folder, &report.network) {
        Ok(floor) => floor,
        Err(error) => {
            report.find_error(&folder.join(floor::NAME), 0, error);
            None
        }
    };
    if let Some(Err(error)) = floor.map(|floor| floor.check()) {
        report.find_error(&folder.join(floor::NAME), 0, error);
    }
    Ok(match first::read(disk, folder)? {
        first::Found::At(first) => first,
        first::Found::Nothing => 1,
        first::Found::Damaged => names.iter().find_map(|name| segment::first_lsn(name)).unwrap_or(1),
    })
}

/// How far the walk got.
struct Reached {
    segment: PathBuf,
    offset: u64,
    /// Record that should come next.
    next: Lsn,
    /// Crc of the one before.
    crc: u32,
    /// Why it is not in this segment.
    why: &'static str,
}

/// Walks one segment; returns how far it got, none behind a header that cannot be read.
fn verify_segment(
    disk: &dyn Disk,
    path: &Path,
    first: Lsn,
    before: Option<Reached>,
    report: &mut Report,
) -> Result<Option<Reached>, JournalError> {
    let file = disk.open(path).map_err(JournalError::io("open", path))?;
    let header = match Header::read(&*file, path) {
        Ok(header) => header,
        Err(error) => {
            report.find_error(path, first, error);
            return Ok(None);
        }
    };
    if header.network != report.network {
        report.find(path, 0, first, format!("belongs to network {}", header.network));
    }
    if let Some(before) = before.filter(|before| (before.next, before.crc) != (header.first, header.prev)) {
        report.find(&before.segment, before.offset, before.next, before.why.into());
    }
    let start = Start { offset: HEADER_BYTES, lsn: header.first, prev: Some(header.prev) };
    let mut scan = Scan::new(file, start, BLOCK, u64::MAX);
    loop {
        let (offset, lsn) = (scan.offset(), scan.next());
        let why = match scan.step().map_err(JournalError::io("read", path))? {
            Step::Record => {
                report.records += 1;
                report.last = lsn;
                if let Some(entry) = scan.entry()
                    && let Err(error) = verify_record(&entry, report)
                {
                    report.find(path, offset, lsn, error.to_string());
                }
                continue;
            }
            Step::End => "the segment ends before the next one begins",
            Step::Bad(why) => why,
        };
        // Whether this is the right place to end is seen in the next segment, or by the survey.
        let crc = scan.crc().unwrap_or(header.prev);
        return Ok(Some(Reached { segment: path.into(), offset, next: lsn, crc, why }));
    }
}

fn verify_record(entry: &Entry<'_>, report: &mut Report) -> Result<(), JournalError> {
    report.bodies += u64::from(entry.kind == Kind::Piece);
    check_record(entry).map(drop)
}

/// Checks a record's form and, of a piece, the body, which is given.
pub(super) fn check_record(entry: &Entry<'_>) -> Result<Option<Vec<u8>>, JournalError> {
    let Record::Piece(piece) = entry.record()? else {
        return match entry.frame {
            None => Ok(None),
            Some(_) => Err(JournalError::Malformed("a body where none belongs".into())),
        };
    };
    let body = entry.frame.map(|frame| frame.unpack()).transpose()?.unwrap_or_default();
    if *blake3::hash(&body).as_bytes() != piece.ops_hash {
        return Err(JournalError::Malformed("the body's hash is not the one recorded".into()));
    }
    match texts_in(&body) {
        Some(count) if count == u64::from(piece.count) => Ok(Some(body)),
        Some(count) => Err(JournalError::Malformed(format!("{count} op texts, {} recorded", piece.count))),
        None => Err(JournalError::Malformed("the body is not a sequence of texts".into())),
    }
}

/// Texts in a length-prefixed body.
fn texts_in(mut body: &[u8]) -> Option<u64> {
    let mut count = 0;
    while let Some((len, rest)) = body.split_first_chunk::<4>() {
        body = rest.get(u32::from_le_bytes(*len) as usize..)?;
        count += 1;
    }
    body.is_empty().then_some(count)
}

/// Records of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KindStat {
    /// The kind.
    pub kind: Kind,
    /// How many.
    pub records: u64,
    /// Bytes they take in the segments.
    pub bytes: u64,
}

/// Size and make-up of a journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stat {
    /// The network.
    pub network: String,
    /// Segment files.
    pub segments: u64,
    /// First record; 0 when there is none.
    pub first: Lsn,
    /// Last record; 0 when there is none.
    pub last: Lsn,
    /// Records by kind, those that occur.
    pub kinds: Vec<KindStat>,
    /// Bytes of all records.
    pub bytes: u64,
    /// Bytes of all bodies as stored.
    pub frame_bytes: u64,
    /// Bytes of all bodies unpacked.
    pub body_bytes: u64,
    /// How many times smaller the bodies are stored.
    pub compression: f64,
}

/// Size and make-up of a network's journal. Reads it whole and refuses a damaged one.
pub fn stat(disk: Arc<dyn Disk>, dir: &Path, network: &str) -> Result<Stat, JournalError> {
    let reader = Reader::offline(disk, dir, network)?;
    let kinds = Kind::ALL.map(|kind| KindStat { kind, records: 0, bytes: 0 });
    let mut stat = Stat {
        network: network.into(),
        segments: reader.segments(),
        first: 0,
        last: *reader.durable().borrow(),
        kinds: kinds.to_vec(),
        bytes: 0,
        frame_bytes: 0,
        body_bytes: 0,
        compression: 1.0,
    };
    let mut cursor = reader.records(reader.first());
    while let Some(entry) = cursor.read()? {
        stat.first = if stat.first == 0 { entry.lsn } else { stat.first };
        stat.bytes += entry.bytes as u64;
        if let Some(kind) = stat.kinds.iter_mut().find(|stat| stat.kind == entry.kind) {
            kind.records += 1;
            kind.bytes += entry.bytes as u64;
        }
        if let Some(frame) = entry.frame {
            stat.frame_bytes += frame.bytes().len() as u64;
            stat.body_bytes += frame.body_bytes()? as u64;
        }
    }
    stat.kinds.retain(|stat| stat.records > 0);
    if stat.frame_bytes > 0 {
        stat.compression = stat.body_bytes as f64 / stat.frame_bytes as f64;
    }
    Ok(stat)
}

impl Reader {
    /// Reads segments that begin anywhere: what was staged to be put behind a journal.
    pub(super) fn part(disk: Arc<dyn Disk>, dir: &Path, network: &str) -> Result<Self, JournalError> {
        let folder = folder(dir, network)?;
        let found = survey_part(&*disk, &folder, network)?;
        Ok(Self::of(disk, folder, network, found))
    }

    /// Reads a journal that this process does not write, up to its last whole record. A damaged one is refused.
    pub fn offline(disk: Arc<dyn Disk>, dir: &Path, network: &str) -> Result<Self, JournalError> {
        let folder = folder(dir, network)?;
        let found = survey_beside_a_writer(&*disk, &folder, network)?;
        Ok(Self::of(disk, folder, network, found))
    }

    fn of(disk: Arc<dyn Disk>, folder: PathBuf, network: &str, found: Survey) -> Self {
        let shared = Shared::new(disk, folder, network.into());
        shared.stand_on(found.floor);
        for header in &found.segments {
            shared.add_segment(header.first, header.prev, None);
        }
        if let Some(end) = found.end {
            shared.extend(end.segment, end.offset, end.marks);
            shared.durable.send_replace(end.last);
        }
        Self::new(Arc::new(shared))
    }
}
