//! Rotten bytes, lost files: refused with their place, never skipped, never taken for a torn write when they had
//! been durable.

use super::sample::{body, chain, piece};
use crate::fork::record::Lsn;
use crate::journal::disk::fault::FaultDisk;
use crate::journal::disk::{Disk, File};
use crate::journal::verify::{Finding, networks, stat, verify};
use crate::journal::{Journal, JournalError, Kind, Options, Reader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DATA: &str = "/data";
const NET: &str = "net";
/// Records in the journal of these tests.
const RECORDS: Lsn = 120;

fn open(disk: &FaultDisk) -> Result<Journal, JournalError> {
    let options = Options { segment_bytes: 16 * 1024, ..Options::new(NET) };
    Ok(Journal::open(Arc::new(disk.clone()), Path::new(DATA), options)?.0)
}

/// A journal of several segments, three records a group; where each record begins and how long it is.
struct Built {
    disk: FaultDisk,
    places: Vec<(PathBuf, u64, usize)>,
}

fn segment(first: Lsn) -> PathBuf {
    Path::new(DATA).join("journal").join(NET).join(format!("{first:020}.seg"))
}

fn built(tip: bool) -> Built {
    let disk = FaultDisk::new(1);
    disk.create_dir(Path::new(DATA)).unwrap();
    let mut journal = open(&disk).unwrap();
    for seq in 0..RECORDS / 3 {
        let body = body(seq, 8);
        let at = journal.append(&piece(seq, 8, &body), Some(&body)).unwrap();
        journal.append(&chain(at, seq, 8, &body), None).unwrap();
        journal.append(&piece(seq, 0, b""), None).unwrap();
        journal.flush().unwrap();
    }
    if tip {
        journal.write_tip().unwrap();
    }
    let mut firsts: Vec<Lsn> = Vec::new();
    let mut cursor = journal.reader().records(1);
    let mut places = Vec::new();
    while let Some(entry) = cursor.read().unwrap() {
        if entry.offset == 4096 {
            firsts.push(entry.lsn);
        }
        places.push((segment(*firsts.last().unwrap()), entry.offset, entry.bytes));
    }
    assert!(firsts.len() >= 3 && places.len() as Lsn == RECORDS);
    Built { disk, places }
}

/// Reads everything: the first error.
fn read_all(disk: &FaultDisk) -> Result<(), JournalError> {
    let journal = open(disk)?;
    let mut cursor = journal.reader().records(1);
    while cursor.read()?.is_some() {}
    assert_eq!(cursor.next(), RECORDS + 1);
    Ok(())
}

#[test]
fn a_flipped_bit_is_damage_with_its_place() {
    let Built { disk, places } = built(true);
    for (at, (path, offset, bytes)) in places.iter().enumerate() {
        for byte in (0..*bytes).step_by(29).chain([12, 16, 20, 24, 28, bytes - 1]) {
            disk.flip(path, *offset as usize + byte, 0x10).unwrap();
            let error = read_all(&disk).expect_err("a flipped bit");
            let JournalError::Damage { segment, offset: found, lsn, .. } = &error else { panic!("{error}") };
            assert_eq!((segment, *found, *lsn), (path, *offset, at as Lsn + 1), "byte {byte}: {error}");
            let report = verify(&disk, Path::new(DATA), NET).unwrap();
            let place = |finding: &Finding| (finding.segment.clone(), finding.offset, finding.lsn);
            assert_eq!(report.findings.iter().map(place).collect::<Vec<_>>(), [(path.clone(), *offset, *lsn)]);
            disk.flip(path, *offset as usize + byte, 0x10).unwrap();
        }
    }
    read_all(&disk).unwrap();
}

#[test]
fn without_a_tip_only_the_last_group_can_pass_for_torn() {
    let Built { disk, places } = built(false);
    for (at, (path, offset, bytes)) in places.iter().enumerate() {
        let copy = disk.fork();
        copy.flip(path, *offset as usize + bytes / 2, 1).unwrap();
        let in_last_group = at as Lsn >= RECORDS - 3;
        let in_last_segment = *path == places[RECORDS as usize - 1].0;
        match open(&copy) {
            Ok(journal) if in_last_group => assert_eq!(journal.next(), at as Lsn + 1),
            Ok(_) => assert!(!in_last_segment, "record {at} is read at a start"),
            Err(JournalError::Damage { lsn, .. }) => assert!(lsn == at as Lsn + 1 && !in_last_group),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_flipped_bit_in_a_header_is_damage() {
    let Built { disk, places } = built(true);
    let (path, ..) = &places[60];
    for byte in [0, 8, 12, 20, 24, 30, 92] {
        disk.flip(path, byte, 0x80).unwrap();
        let error = read_all(&disk).expect_err("a flipped bit");
        assert!(matches!(&error, JournalError::Damage { segment, offset: 0, .. } if segment == path), "{error}");
        assert!(!verify(&disk, Path::new(DATA), NET).unwrap().is_clean());
        disk.flip(path, byte, 0x80).unwrap();
    }
}

#[test]
fn a_missing_segment_is_damage_and_a_missing_last_one_a_lost_tail() {
    let Built { disk, places } = built(true);
    let paths: Vec<&PathBuf> = {
        let mut paths: Vec<_> = places.iter().map(|(path, ..)| path).collect();
        paths.dedup();
        paths
    };
    for (at, path) in paths.iter().enumerate() {
        let copy = disk.fork();
        copy.remove(path).unwrap();
        let error = read_all(&copy).expect_err("a missing segment");
        match at + 1 == paths.len() {
            true => assert!(matches!(error, JournalError::LostTail { tip: RECORDS, .. }), "{error}"),
            false => assert!(matches!(error, JournalError::Damage { .. }), "{error}"),
        }
        assert!(!verify(&copy, Path::new(DATA), NET).unwrap().is_clean());
    }
}

#[test]
fn a_zeroed_tail_is_a_lost_tail() {
    let Built { disk, places } = built(true);
    let (path, offset, _) = &places[RECORDS as usize - 2];
    let file: Arc<dyn File> = disk.open(path).unwrap();
    let len = file.len().unwrap() - offset;
    file.write_at(*offset, &vec![0; len as usize]).unwrap();
    match open(&disk).err() {
        Some(JournalError::LostTail { last, tip, .. }) => assert_eq!((last, tip), (RECORDS - 2, RECORDS)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rotten_tip_is_no_reason_to_refuse() {
    let Built { disk, .. } = built(true);
    disk.flip(&Path::new(DATA).join("journal").join(NET).join("tip"), 20, 1).unwrap();
    let options = Options { segment_bytes: 16 * 1024, ..Options::new(NET) };
    let (_, recovered) = Journal::open(Arc::new(disk.clone()), Path::new(DATA), options.clone()).unwrap();
    assert!(recovered.tip_damaged && recovered.last == RECORDS);
    assert!(!Journal::open(Arc::new(disk), Path::new(DATA), options).unwrap().1.tip_damaged);
}

#[test]
fn a_newer_format_and_another_network_are_refused_in_words() {
    let Built { disk, .. } = built(true);
    let other = Path::new(DATA).join("journal/other");
    disk.create_dir(&other).unwrap();
    disk.rename(&segment(1), &other.join(segment(1).file_name().unwrap())).unwrap();
    let opened = Journal::open(Arc::new(disk), Path::new(DATA), Options::new("other"));
    let error = opened.err().unwrap();
    assert!(error.to_string().contains("belongs to network net, not other"), "{error}");

    let Built { disk, .. } = built(true);
    let file = disk.open(&segment(1)).unwrap();
    let mut header = [0; 97];
    file.read_at(0, &mut header).unwrap();
    header[8] = 2;
    let crc = crc32c::crc32c(&header[..89]);
    header[89..93].copy_from_slice(&crc.to_le_bytes());
    file.write_at(0, &header).unwrap();
    let error = open(&disk).err().unwrap();
    assert!(error.to_string().contains("use a newer honeygraph"), "{error}");
}

#[test]
fn verify_sees_a_body_that_is_not_the_one_hashed() {
    let disk = FaultDisk::new(1);
    disk.create_dir(Path::new(DATA)).unwrap();
    let mut journal = open(&disk).unwrap();
    let (told, true_body) = (body(1, 3), body(2, 3));
    journal.append(&piece(0, 3, &told), Some(&told)).unwrap();
    journal.append(&piece(0, 3, &told), Some(&true_body)).unwrap();
    journal.append(&piece(0, 4, &told), Some(&told)).unwrap();
    journal.flush().unwrap();
    let report = verify(&disk, Path::new(DATA), NET).unwrap();
    assert_eq!((report.records, report.bodies, report.last), (3, 3, 3));
    let found: Vec<_> = report.findings.iter().map(|finding| (finding.lsn, finding.what.as_str())).collect();
    assert_eq!(
        found,
        [(2, "journal: the body's hash is not the one recorded"), (3, "journal: 3 op texts, 4 recorded")]
    );
}

#[test]
fn stat_counts_what_is_there() {
    let Built { disk, places } = built(true);
    assert_eq!(networks(&disk, Path::new(DATA)).unwrap(), [NET]);
    assert!(verify(&disk, Path::new(DATA), NET).unwrap().is_clean());
    let stat = stat(Arc::new(disk.clone()), Path::new(DATA), NET).unwrap();
    assert_eq!((stat.first, stat.last), (1, RECORDS));
    assert_eq!(stat.bytes, places.iter().map(|(_, _, bytes)| *bytes as u64).sum::<u64>());
    let kinds: Vec<_> = stat.kinds.iter().map(|kind| (kind.kind, kind.records)).collect();
    assert_eq!(kinds, [(Kind::Piece, 80), (Kind::Chain, 40)]);
    assert_eq!(stat.body_bytes, (0..40).map(|seq| body(seq, 8).len() as u64).sum::<u64>());
    assert!(stat.compression > 2.0);
    let reader = Reader::offline(Arc::new(disk), Path::new(DATA), NET).unwrap();
    assert_eq!(reader.body(4).unwrap(), body(1, 8));
}
