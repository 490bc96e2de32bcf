//! The stored form of every kind of record, byte for byte, and a journal of format 1: both are read in every later
//! version. `cargo test write_fixtures -- --ignored` writes the records anew, which is only right for a new kind; the
//! journal stays as it was written once.

use super::sample::{body, chain, hash, piece};
use crate::fork::record::{Head as HeadRecord, *};
use crate::journal::codec::{HEAD_BYTES, Head, Kind, Place, read_meta, write_meta, write_record};
use crate::journal::disk::real::RealDisk;
use crate::journal::exchange::{Terms, export, stage};
use crate::journal::verify::verify;
use crate::journal::{Frame, Journal, JournalError, Options};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One record of each kind, with the body of the piece.
fn samples() -> Vec<(Record, Vec<u8>)> {
    let ops = body(5, 3);
    let (at_ms, lane, ordinal) = (1_760_000_000_000, 3, 2);
    let (from, at) = (Node { branch: 0, version: 9 }, Node { branch: 1, version: 300 });
    let records = [
        piece(70_000, 3, &ops),
        Record::Opened(Opened {
            lane,
            ordinal,
            label: Some(94_000_001),
            hash: Some(hash("QmOpen")),
            cause: OpenCause::Fall,
            before: Before::Seen,
            end: 70_010,
        }),
        Record::Named(Named { lane, ordinal, hash: Some(hash("QmName")), label: None, before: Before::Presumed }),
        Record::Branch(Branch { branch: 1, parent: Some(from), cause: BranchCause::Fork }),
        chain(1, 70_000, 3, &ops),
        Record::Head(HeadRecord {
            at,
            from,
            cause: HeadCause::Rollback { verdict: 1, reason: "because".into() },
            at_ms,
        }),
        Record::Checkpoint(Checkpoint {
            lane,
            block: 94_000_101,
            hash: hash("QmCheck"),
            at: Some(at),
            boundary: Boundary::Invalid("missing_write_marker".into()),
            confirms: true,
            at_ms,
        }),
        Record::Gap(Gap {
            id: 4,
            lane,
            ordinal,
            label: Some(94_000_001),
            run: 1,
            from: 5,
            to: 8,
            state: GapState::Accepted { reason: "lost".into() },
            at_ms,
        }),
        Record::Retired(Retired { branch: 1, at_ms }),
        Record::Same(Same { pieces: vec![1, 2], node: at }),
        Record::Stands(Stands { lane, ordinal, at: Some(at), next: 70_003, runs: vec![0, 70_000] }),
        Record::Proof(Proof {
            at: from,
            by: at,
            hash: hash("QmNext"),
            label: Some(94_000_101),
            root: true,
            outcome: Outcome::Mismatch { computed: "QmOther".into() },
            agreed: Some(hash("QmAgreed")),
            at_ms,
        }),
        Record::Trust(Trust { hash: hash("QmNext"), trusted: true, reason: "seen".into(), at_ms }),
        Record::Rebased(Rebased { base: Some(hash("QmBase")), at_ms }),
        Record::Agreed(Agreed { hash: hash("QmNext"), accounts: 3, of: 4, at_ms }),
    ];
    let body_of = |record: &Record| if matches!(record, Record::Piece(_)) { ops.clone() } else { Vec::new() };
    records.into_iter().map(|record| (record.clone(), body_of(&record))).collect()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/journal/fixtures")
}

/// `kind hex` a line: the records behind each other, as in a segment.
fn encode(frame: &[u8]) -> String {
    let mut lines = String::new();
    let mut prev = 0;
    for (at, (record, _)) in samples().iter().enumerate() {
        let (mut meta, mut bytes) = (Vec::new(), Vec::new());
        write_meta(record, &mut meta).unwrap();
        let place = Place { lsn: at as Lsn + 1, prev, back: at as u32 };
        let frame = if matches!(record, Record::Piece(_)) { frame } else { &[] };
        prev = write_record(place, Kind::of(record), &meta, frame, &mut bytes);
        writeln!(lines, "{:?} {}", Kind::of(record), hex(&bytes)).unwrap();
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn stored_records_decode_and_encode_to_the_same_bytes() {
    let golden = std::fs::read_to_string(fixtures().join("records.txt")).unwrap();
    let mut frame = Vec::new();
    for (line, (record, body)) in golden.lines().zip(samples()) {
        let bytes = unhex(line.split_once(' ').unwrap().1);
        let head = Head::parse(bytes.first_chunk::<HEAD_BYTES>().unwrap()).unwrap();
        assert!(head.covers(&bytes), "{line}");
        let (meta, stored) = head.split(&bytes);
        assert_eq!(read_meta(head.kind, meta).unwrap(), record);
        if let Some(stored) = stored {
            assert_eq!(Frame::new(stored).unpack().unwrap(), body);
            // Another release of zstd may pack in another way; the record around it stays.
            frame = stored.to_vec();
        }
    }
    assert_eq!(golden.lines().count(), Kind::ALL.len());
    assert_eq!(encode(&frame), golden);
}

#[test]
fn a_journal_of_format_1_opens() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal/net");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["00000000000000000001.seg", "00000000000000000004.seg", "tip"] {
        std::fs::copy(fixtures().join("v1").join(name), folder.join(name)).unwrap();
    }
    let (journal, recovered) = Journal::open(Arc::new(RealDisk), dir.path(), Options::new("net")).unwrap();
    assert_eq!((recovered.last, recovered.cut, recovered.tip_damaged), (11, None, false));
    let reader = journal.reader();
    // Kinds that came later are not in it.
    for (at, (record, body)) in samples().into_iter().take(11).enumerate() {
        let lsn = at as Lsn + 1;
        assert_eq!(reader.record(lsn).unwrap(), record);
        if !body.is_empty() {
            assert_eq!(reader.body(lsn).unwrap(), body);
        }
    }
    assert!(verify(&RealDisk, dir.path(), "net").unwrap().is_clean());
}

#[test]
#[ignore = "writes the fixtures"]
fn write_fixtures() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(Arc::new(RealDisk), dir.path(), Options::new("net")).unwrap();
    let (record, body) = samples().swap_remove(0);
    journal.append(&record, Some(&body)).unwrap();
    journal.flush().unwrap();
    let frame = journal.reader().frame(1).unwrap().unwrap();
    std::fs::write(fixtures().join("records.txt"), encode(&frame)).unwrap();
}

/// A journal that begins late, with its floor of format 1 (and a ledger in it), and an export of it. Whoever
/// changes the ledger's format must go on reading the one that stands in a floor: from there it cannot be made again.
#[test]
fn a_journal_that_begins_late_opens_and_an_export_of_it_is_taken() {
    let fixtures = fixtures().join("late");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal/net");
    std::fs::create_dir_all(&folder).unwrap();
    let names = ["first", "floor", "tip", "00000000000000000043.seg", "00000000000000000079.seg"];
    for name in names {
        std::fs::copy(fixtures.join(name), folder.join(name)).unwrap();
    }
    let open = |dir: &Path| Journal::open(Arc::new(RealDisk), dir, Options::new("net")).unwrap();
    let (journal, recovered) = open(dir.path());
    let reader = journal.reader();
    assert_eq!((reader.first(), recovered.last), (43, 104));
    let floor = reader.floor().unwrap();
    assert_eq!((floor.ledger().unwrap().lsn, floor.state_at(), floor.pieces().count()), (104, 104, 1));
    assert_eq!(reader.body(2).unwrap(), body(7, 3), "a piece without a place");
    let mut rows = Vec::new();
    floor
        .state::<JournalError>(|key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            Ok(())
        })
        .unwrap();
    assert_eq!(rows, [(b"key".to_vec(), b"value".to_vec())]);
    drop(journal);
    assert!(verify(&RealDisk, dir.path(), "net").unwrap().is_clean());
    let (there, staging) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = std::fs::File::open(fixtures.join("export")).unwrap();
    let terms = Terms { believe_floor: true, ..Terms::default() };
    let staged = stage(Arc::new(RealDisk), (there.path(), staging.path()), terms, file, |_, _| {}).unwrap();
    assert_eq!(staged.added, 62);
    staged.commit().unwrap();
    assert_eq!(open(there.path()).0.reader().record(50).unwrap(), reader.record(50).unwrap());
}

#[test]
#[ignore = "writes the fixtures"]
fn write_late_fixtures() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 16 * 1024, ..Options::new("net") };
    let (mut journal, _) = Journal::open(Arc::new(RealDisk), dir.path(), options).unwrap();
    super::trim::write(&mut journal, 50);
    let (reader, last) = (journal.reader(), *journal.durable().borrow());
    let ledger = reader.ledger_at(last).unwrap();
    reader.lay_floor(&ledger, &Default::default(), last, |floor| floor.entry(b"key", b"value")).unwrap();
    reader.begin_at(last / 2).unwrap();
    let folder = fixtures().join("late");
    std::fs::create_dir_all(&folder).unwrap();
    let mut out = std::fs::File::create(folder.join("export")).unwrap();
    export(&reader, None, None, &mut out, |_| {}).unwrap();
    drop(journal);
    for entry in std::fs::read_dir(dir.path().join("journal/net")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if path.ends_with("lock") {
            continue;
        }
        // The zeros behind the last record are as good as none.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        bytes.truncate(used.max(4096));
        std::fs::write(folder.join(path.file_name().unwrap()), bytes).unwrap();
    }
}
