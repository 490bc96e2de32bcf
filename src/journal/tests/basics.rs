//! Open, append, flush, read, reopen, over real files.

use super::sample::{body, chain, piece};
use crate::fork::record::{Lsn, Record};
use crate::journal::disk::real::RealDisk;
use crate::journal::{Appender, Journal, JournalError, Options, Reader, Recovered};
use std::path::Path;
use std::sync::Arc;

fn open(dir: &Path) -> (Journal, Recovered) {
    let options = Options { segment_bytes: 256 * 1024, ..Options::new("spkcc_") };
    Journal::open(Arc::new(RealDisk), dir, options).unwrap()
}

/// What was appended: record and body.
type Written = Vec<(Record, Option<Vec<u8>>)>;

fn batch(seq: u64, next: Lsn, written: &mut Written) {
    let ops = 1 + seq % 7;
    let body = body(seq, ops);
    let chain = chain(next, seq, ops, &body);
    written.push((piece(seq, ops, &body), Some(body)));
    written.push((chain, None));
}

fn check(reader: &Reader, written: &Written) {
    let mut cursor = reader.records(1);
    for (at, (record, body)) in written.iter().enumerate() {
        let entry = cursor.read().unwrap().unwrap();
        assert_eq!(entry.lsn, at as Lsn + 1);
        assert_eq!(&entry.record().unwrap(), record);
        assert_eq!(&entry.frame.map(|frame| frame.unpack().unwrap()), body);
    }
    assert!(cursor.read().unwrap().is_none());
    // Random reads, also backwards.
    for at in (0..written.len()).rev().step_by(37).chain((0..written.len()).step_by(41)) {
        match &written[at].1 {
            Some(body) => assert_eq!(&reader.body(at as Lsn + 1).unwrap(), body),
            None => assert!(matches!(reader.body(at as Lsn + 1), Err(JournalError::NoBody(_)))),
        }
        assert_eq!(reader.record(at as Lsn + 1).unwrap(), written[at].0);
    }
    let beyond = written.len() as Lsn + 1;
    assert!(matches!(reader.body(beyond), Err(JournalError::NotHeld(lsn)) if lsn == beyond));
}

#[test]
fn what_was_flushed_is_read_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, recovered) = open(dir.path());
    assert_eq!(recovered, Recovered::default());
    let mut written = Written::new();
    for seq in 0..3000 {
        batch(seq, journal.next(), &mut written);
        for (record, body) in &written[written.len() - 2..] {
            journal.append(record, body.as_deref()).unwrap();
        }
        if seq % 13 == 0 {
            assert_eq!(journal.flush().unwrap(), written.len() as Lsn);
        }
    }
    journal.flush().unwrap();
    check(&journal.reader(), &written);
    drop(journal);
    let (journal, recovered) = open(dir.path());
    assert_eq!(recovered, Recovered { last: 6000, ..Recovered::default() });
    assert!(journal.reader().records(1).read().unwrap().is_some());
    check(&journal.reader(), &written);
}

#[test]
fn a_reader_stops_at_the_durable_lsn_and_goes_on_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    let mut written = Written::new();
    let mut cursor = journal.reader().records(1);
    for seq in 0..2000 {
        batch(seq, journal.next(), &mut written);
        for (record, body) in &written[written.len() - 2..] {
            journal.append(record, body.as_deref()).unwrap();
        }
        assert!(cursor.read().unwrap().is_none(), "not durable yet");
        journal.flush().unwrap();
        assert_eq!(cursor.read().unwrap().unwrap().lsn, 2 * seq + 1);
        assert_eq!(cursor.read().unwrap().unwrap().lsn, 2 * seq + 2);
        assert!(cursor.read().unwrap().is_none());
    }
}

#[test]
fn the_writer_thread_makes_everything_durable_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut appender: Appender = open(dir.path()).0.start().unwrap();
    let reader = appender.reader();
    let mut written = Written::new();
    let tail = std::thread::spawn({
        let mut durable = reader.durable();
        let mut cursor = reader.records(1);
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            while cursor.next() <= 10_000 {
                match cursor.read().unwrap().map(|entry| entry.lsn) {
                    Some(lsn) => assert!(lsn <= *durable.borrow()),
                    None => runtime.block_on(durable.changed()).unwrap(),
                }
            }
        }
    });
    for seq in 0..5000 {
        batch(seq, appender.next(), &mut written);
        for (record, body) in &written[written.len() - 2..] {
            appender.append(record, body.as_deref()).unwrap();
        }
    }
    tail.join().unwrap();
    assert_eq!(appender.close().unwrap(), 10_000);
    check(&reader, &written);
    drop(reader);
    assert_eq!(open(dir.path()).1.last, 10_000);
}

#[test]
fn a_second_journal_on_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let options = Options::new("spkcc_");
    let second = Journal::open(Arc::new(RealDisk), dir.path(), options.clone());
    assert!(matches!(second, Err(JournalError::Locked(_))));
    drop(journal);
    Journal::open(Arc::new(RealDisk), dir.path(), options).unwrap();
}

#[test]
fn a_network_that_cannot_be_a_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["", "..", ".x", "a/b", "a\\b", "é", &"x".repeat(65)] {
        let opened = Journal::open(Arc::new(RealDisk), dir.path(), Options::new(name));
        assert!(matches!(opened, Err(JournalError::Name(_))), "{name}");
    }
}

#[test]
fn records_over_the_bounds_leave_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    // Bytes that do not compress.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..9 << 20)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    let refused = journal.append(&piece(0, 1, &noise), Some(&noise));
    assert!(matches!(refused, Err(JournalError::TooLarge { what: "frame", .. })));
    let on_chain = journal.append(&chain(1, 0, 0, b""), Some(b"x"));
    assert!(matches!(on_chain, Err(JournalError::Malformed(_))));
    let fits = &noise[..8 << 20][..(8 << 20) - 4096];
    assert_eq!(journal.append(&piece(0, 1, fits), Some(fits)).unwrap(), 1);
    assert_eq!(journal.append(&piece(0, 0, b""), Some(b"")).unwrap(), 2);
    assert_eq!(journal.flush().unwrap(), 2);
    let reader = journal.reader();
    assert_eq!(reader.body(1).unwrap(), fits);
    assert_eq!(reader.body(2).unwrap(), b"");
    assert_eq!(reader.frame(2).unwrap(), None);
}
