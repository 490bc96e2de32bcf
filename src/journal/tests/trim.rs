//! A journal whose beginning goes: whatever dies at whichever step, the next start finds all that is to be there.

use super::sample::{body, hash};
use super::{PLANTED, Planted};
use crate::fork::ledger::Ledger;
use crate::fork::record::*;
use crate::journal::disk::Disk;
use crate::journal::disk::fault::FaultDisk;
use crate::journal::task::{begin, replay};
use crate::journal::trim::beginning;
use crate::journal::verify::verify;
use crate::journal::{Floor, FloorWriter, Journal, JournalError, Options, Reader, ledger_file};
use honeygraph_protocols::batch::{BatchId, Parent};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

const DATA: &str = "/data";
/// Rows of the state that stands in the floor: here just names.
const ROWS: u64 = 5_000;

pub(super) fn open(disk: &FaultDisk) -> Result<Journal, JournalError> {
    let options = Options { segment_bytes: 24 * 1024, ..Options::new("net") };
    Journal::open(Arc::new(disk.clone()), Path::new(DATA), options).map(|(journal, _)| journal)
}

/// A disk with an empty data folder.
pub(super) fn disk(seed: u64) -> FaultDisk {
    let disk = FaultDisk::new(seed);
    disk.create_dir(Path::new(DATA)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// Appends a period of a lane with a piece that finds no place, then so many batches; gives that piece.
pub(super) fn write(journal: &mut Journal, batches: u64) -> Lsn {
    let opened = |lane| {
        Record::Opened(Opened {
            lane,
            ordinal: 0,
            label: Some(101),
            hash: Some(hash("QmOpen")),
            cause: OpenCause::Start,
            before: Before::Nothing,
            end: 0,
        })
    };
    let put = |journal: &mut Journal, record: &Record, body: Option<&[u8]>| journal.append(record, body).unwrap();
    put(journal, &opened(1), None);
    let texts = body(7, 3);
    // Behind a hole: parked for good.
    let parked = put(journal, &piece(1, 50, &texts), Some(&texts));
    put(journal, &opened(2), None);
    put(journal, &Record::Branch(Branch { branch: 0, parent: None, cause: BranchCause::First }), None);
    let mut prev = None;
    for seq in 0..batches {
        let texts = body(seq, 3);
        let at = put(journal, &piece(2, seq * 4, &texts), Some(&texts));
        let chain = Record::Chain(Chain {
            branch: 0,
            prev,
            period: hash("QmOpen"),
            opening_label: Some(101),
            label: Some(101),
            seq: seq * 4,
            count: 3,
            marker: true,
            parent: Parent::Batch(BatchId::from_digest([seq as u8; 32])),
            id: BatchId::from_digest([seq as u8 ^ 0xff; 32]),
            ops_hash: *blake3::hash(&texts).as_bytes(),
            pieces: vec![at],
            head: true,
            hole: false,
            at_ms: 5,
        });
        prev = Some(Node { branch: 0, version: put(journal, &chain, None) });
        if seq % 9 == 0 {
            // Groups of several records, as a node writes them.
            journal.flush().unwrap();
        }
    }
    journal.flush().unwrap();
    journal.write_tip().unwrap();
    parked
}

fn piece(lane: u64, seq: u64, body: &[u8]) -> Record {
    Record::Piece(Piece {
        lane,
        ordinal: 0,
        label: Some(101),
        run: 0,
        seq,
        index: Some(seq),
        count: 3,
        close: Close::Marker,
        begins: true,
        ops_hash: *blake3::hash(body).as_bytes(),
        at_ms: 5,
    })
}

fn rows(floor: &mut FloorWriter) -> Result<(), JournalError> {
    (0..ROWS).try_for_each(|row| floor.entry(format!("row {row:08}").as_bytes(), &row.to_le_bytes()))
}

/// Lets go of everything up to a record.
pub(super) fn trim(journal: &Journal, upto: Lsn) -> Result<usize, JournalError> {
    let (reader, last) = (journal.reader(), *journal.durable().borrow());
    let ledger = reader.ledger_at(last)?;
    reader.lay_floor(&ledger, &BTreeSet::new(), last, rows)?;
    reader.begin_at(upto)
}

fn records(reader: &Reader, from: Lsn) -> Vec<(Lsn, Record, Vec<u8>)> {
    let mut cursor = reader.records(from);
    let mut found = Vec::new();
    while let Some(entry) = cursor.read().unwrap() {
        let body = entry.frame.map(|frame| frame.unpack().unwrap()).unwrap_or_default();
        found.push((entry.lsn, entry.record().unwrap(), body));
    }
    found
}

/// What a start after a crash has to find.
struct Truth {
    records: Vec<(Lsn, Record, Vec<u8>)>,
    ledger: Ledger,
    parked: Lsn,
}

impl Truth {
    fn of(journal: &Journal, parked: Lsn) -> Self {
        let reader = journal.reader();
        let ledger = replay(&reader, Ledger::default(), *journal.durable().borrow()).unwrap();
        Self { records: records(&reader, 1), ledger, parked }
    }

    fn check(&self, disk: &FaultDisk, journal: &Journal) -> Result<(), String> {
        let (reader, last) = (journal.reader(), self.records.len() as Lsn);
        let first = reader.first();
        let known = ledger_file::load(disk, Path::new("/data/journal/net"), last).map_err(|e| e.to_string())?;
        let known = begin(&reader, known).map_err(|error| error.to_string())?;
        let ledger = replay(&reader, known, last).map_err(|error| error.to_string())?;
        if ledger != self.ledger {
            return Err("another ledger".into());
        }
        if records(&reader, first) != self.records[first as usize - 1..] {
            return Err("other records".into());
        }
        let parked = reader.body(self.parked).map_err(|error| format!("the parked piece: {error}"))?;
        if parked != self.records[self.parked as usize - 1].2 {
            return Err("another body of the parked piece".into());
        }
        if first > 1 {
            check_rows(reader.floor().as_deref().ok_or("no floor")?, last)?;
            let gone = reader.record(self.parked + 1);
            if !matches!(gone, Err(JournalError::Trimmed { first: at, .. }) if at == first) {
                return Err(format!("what is gone: {gone:?}"));
            }
        }
        let report = verify(disk, Path::new(DATA), "net").map_err(|error| error.to_string())?;
        if report.is_clean() && report.first == first { Ok(()) } else { Err(format!("{report:?}")) }
    }
}

fn check_rows(floor: &Floor, last: Lsn) -> Result<(), String> {
    let mut nth = 0_u64;
    let read = floor.state::<JournalError>(|key, value| {
        assert_eq!((key, value), (format!("row {nth:08}").as_bytes(), &nth.to_le_bytes()[..]));
        nth += 1;
        Ok(())
    });
    read.map_err(|error| error.to_string())?;
    if (nth, floor.state_at()) == (ROWS, last) { Ok(()) } else { Err(format!("{nth} rows")) }
}

/// Cuts the power at every step in turn, on a disk of this seed; what is wrong afterwards.
fn cut_everywhere(seed: u64) -> Result<(), String> {
    let whole = disk(seed);
    let mut journal = open(&whole).unwrap();
    let parked = write(&mut journal, 260);
    let (truth, last) = (Truth::of(&journal, parked), *journal.durable().borrow());
    drop(journal);
    for nth in 1.. {
        let disk = whole.fork();
        let journal = open(&disk).unwrap();
        disk.cut_power(nth);
        let done = trim(&journal, last / 2).and_then(|_| trim(&journal, last));
        let survived = !disk.is_off();
        drop(journal);
        disk.crash();
        disk.heal();
        let told = |what: String| format!("seed {seed}, cut at call {nth} ({done:?}): {what}");
        let journal = open(&disk).map_err(|error| told(format!("refused: {error}")))?;
        truth.check(&disk, &journal).map_err(told)?;
        // And again, to the end, from wherever that was.
        trim(&journal, last).map_err(|error| told(error.to_string()))?;
        truth.check(&disk, &journal).map_err(told)?;
        assert!(journal.reader().first() > last / 2);
        if survived {
            assert!(nth > 20, "there is more to do than that");
            return Ok(());
        }
    }
    Ok(())
}

/// Steps: the floor's writes, its sync, its name, the folder's sync; the same of `first`; each segment's removal; the
/// folder's sync; twice. The floor is written in several calls, so there are some fifty.
#[test]
fn whatever_dies_at_whichever_step_nothing_is_missing() {
    let soak = std::env::var_os("HONEYGRAPH_SOAK").is_some();
    for seed in 0..if soak { 500 } else { 12 } {
        cut_everywhere(seed).unwrap();
    }
}

#[test]
fn planted_bugs_are_caught() {
    let caught = |bug: Planted| {
        PLANTED.set(Some(bug));
        let what = (0..40).find_map(|seed| cut_everywhere(seed).err());
        PLANTED.set(None);
        println!("{bug:?}: {what:?}");
        what.expect("the planted bug is caught")
    };
    caught(Planted::FloorNotSynced);
    assert!(caught(Planted::FloorWithoutParked).contains("the parked piece"));
    assert!(caught(Planted::FirstAfterRemoval).contains("refused"));
}

#[test]
fn nothing_goes_that_the_floor_does_not_make_up_for() {
    let disk = disk(1);
    let mut journal = open(&disk).unwrap();
    write(&mut journal, 200);
    let (reader, last) = (journal.reader(), *journal.durable().borrow());
    assert_eq!(reader.begin_at(last).unwrap(), 0, "without a floor nothing");
    let half = reader.segment_firsts()[2];
    let ledger = replay(&reader, Ledger::default(), half - 1).unwrap();
    reader.lay_floor(&ledger, &BTreeSet::new(), last, rows).unwrap();
    assert_eq!(reader.begin_at(last).unwrap(), 2);
    assert_eq!(reader.first(), half, "as far as its ledger reaches");
    // A reader that was under way says what happened, not that there is damage.
    let mut slow = reader.records(half);
    slow.read().unwrap();
    trim(&journal, last).unwrap();
    let gone = loop {
        match slow.read() {
            Ok(Some(_)) => {}
            other => break other.map(|entry| entry.map(|entry| entry.lsn)),
        }
    };
    assert!(matches!(gone, Err(JournalError::Trimmed { .. })), "{gone:?}");
    assert!(matches!(reader.records(1).read(), Err(JournalError::Trimmed { lsn: 1, .. })));
}

#[test]
fn a_journal_that_begins_late_without_what_it_stands_on_is_refused() {
    let disk = disk(1);
    let mut journal = open(&disk).unwrap();
    write(&mut journal, 200);
    let last = *journal.durable().borrow();
    trim(&journal, last / 2).unwrap();
    let first = journal.reader().first();
    drop(journal);
    let folder = Path::new("/data/journal/net");
    let begins = beginning(&disk, Path::new(DATA), "net").unwrap();
    assert_eq!((begins.first, begins.floor.unwrap().state_at()), (first, last));
    let without = |name: &str| {
        let disk = disk.fork();
        disk.remove(&folder.join(name)).unwrap();
        open(&disk).map(drop)
    };
    let lsn_of = |refused: Result<(), JournalError>| match refused {
        Err(JournalError::Damage { lsn, .. }) => lsn,
        other => panic!("{other:?}"),
    };
    assert_eq!(lsn_of(without("floor")), first);
    assert_eq!(lsn_of(without(&format!("{first:020}.seg"))), first);
    assert_eq!(lsn_of(without("first")), 1, "then it is one whose beginning is lost");
    // One that cannot be read is made again from the segments: it only helps to see that one is missing.
    disk.flip(&folder.join("first"), 9, 1).unwrap();
    let journal = open(&disk).unwrap();
    assert_eq!(journal.reader().first(), first);
    drop(journal);
    assert_eq!(beginning(&disk, Path::new(DATA), "net").unwrap().first, first);
    // Every byte of the floor counts.
    let bytes = disk.open(&folder.join("floor")).unwrap().len().unwrap();
    for at in (0..bytes).step_by(331) {
        let disk = disk.fork();
        disk.flip(&folder.join("floor"), at as usize, 0x10).unwrap();
        let report = verify(&disk, Path::new(DATA), "net");
        assert!(!report.as_ref().is_ok_and(|report| report.is_clean()), "byte {at}: {report:?}");
    }
}
