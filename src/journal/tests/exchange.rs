//! A journal taken out and put in is the same journal; what was changed on the way is refused with its place, and nothing
//! of it stays.

use super::trim::{disk, open, trim, write};
use crate::fork::record::Lsn;
use crate::journal::disk::Disk;
use crate::journal::disk::fault::FaultDisk;
use crate::journal::exchange::{ExchangeError, Terms, export, stage};
use crate::journal::verify::verify;
use crate::journal::{Journal, Reader};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

const DATA: &str = "/data";
const STAGING: &str = "/data/staging";

fn out(reader: &Reader, from: Option<Lsn>, to: Option<Lsn>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let done = export(reader, from, to, &mut bytes, |_| {}).unwrap();
    assert_eq!(done.bytes, bytes.len() as u64);
    bytes
}

/// Puts a stream in; how many records were new.
fn put_in(disk: &FaultDisk, bytes: &[u8], believe: bool) -> Result<u64, ExchangeError> {
    // The folder that a command makes and removes.
    let staging = Path::new(STAGING);
    for folder in [staging, &staging.join("journal"), &staging.join("journal/net")] {
        let _ = disk.create_dir(folder);
    }
    for name in disk.list(&staging.join("journal/net")).unwrap() {
        disk.remove(&staging.join("journal/net").join(name)).unwrap();
    }
    let arc = Arc::new(disk.clone());
    let terms = Terms { network: None, believe_floor: believe, segment_bytes: 24 * 1024 };
    let staged = stage(arc, (Path::new(DATA), staging), terms, bytes, |_, _| {})?;
    let added = staged.added;
    assert_eq!(staged.reader()?.map_or(0, |new| *new.durable().borrow()), if added > 0 { staged.head.last } else { 0 });
    staged.commit()?;
    Ok(added)
}

fn raw(journal: &Journal) -> Vec<u8> {
    let reader = journal.reader();
    let from = Some(reader.first()).filter(|_| *journal.durable().borrow() > 0);
    from.map_or(Vec::new(), |from| out(&reader, Some(from), None))
}

fn source(seed: u64) -> (FaultDisk, Journal, Lsn) {
    let disk = disk(seed);
    let mut journal = open(&disk).unwrap();
    write(&mut journal, 150);
    let last = *journal.durable().borrow();
    (disk, journal, last)
}

#[test]
fn a_journal_goes_over_whole_in_parts_and_again() {
    let (_disk, journal, last) = source(1);
    let reader = journal.reader();
    let whole = out(&reader, None, None);
    let there = disk(2);
    assert_eq!(put_in(&there, &whole, false).unwrap(), last);
    assert_eq!(raw(&open(&there).unwrap()), whole);
    assert_eq!(put_in(&there, &whole, false).unwrap(), 0, "it is all held");
    // An empty journal, as a node makes one, is as good as none.
    let parts = disk(3);
    drop(open(&parts).unwrap());
    for (from, to, added) in [(1, 90, 90), (50, 120, 30), (121, 200, 80), (1, last, last - 200)] {
        assert_eq!(put_in(&parts, &out(&reader, Some(from), Some(to)), false).unwrap(), added, "{from} to {to}");
        assert!(verify(&parts, Path::new(DATA), "net").unwrap().is_clean());
    }
    let mut joined = open(&parts).unwrap();
    assert_eq!(raw(&joined), whole);
    // And it goes on like any other.
    write(&mut joined, 3);
}

#[test]
fn what_does_not_follow_is_refused() {
    let (_disk, journal, last) = source(1);
    let reader = journal.reader();
    let there = disk(2);
    let late = out(&reader, Some(91), None);
    assert!(matches!(put_in(&there, &late, false), Err(ExchangeError::Gap { first: 91, last: 0, .. })));
    put_in(&there, &out(&reader, None, Some(80)), false).unwrap();
    assert!(matches!(put_in(&there, &late, false), Err(ExchangeError::Gap { first: 91, last: 80, .. })));
    let before = raw(&open(&there).unwrap());
    // Another journal of the same network: its first records are equal.
    let other = disk(9);
    let mut journal = open(&other).unwrap();
    write(&mut journal, 10);
    write(&mut journal, 40);
    let apart = put_in(&there, &out(&journal.reader(), None, None), false);
    assert!(matches!(apart, Err(ExchangeError::Differs { lsn, .. }) if lsn < 80), "{apart:?}");
    let behind = put_in(&there, &out(&journal.reader(), Some(81), None), false);
    assert!(matches!(behind, Err(ExchangeError::Differs { lsn: 81, .. })), "{behind:?}");
    assert_eq!(raw(&open(&there).unwrap()), before);
    assert!(matches!(export(&reader, Some(last + 1), None, &mut Vec::new(), |_| {}), Err(ExchangeError::Range { .. })));
}

/// Planted: no look at the hash behind the last record.
#[test]
fn every_changed_byte_and_every_cut_is_refused_and_nothing_stays() {
    let (_disk, journal, last) = source(1);
    let reader = journal.reader();
    let there = disk(2);
    put_in(&there, &out(&reader, None, Some(200)), false).unwrap();
    let before = raw(&open(&there).unwrap());
    let more = out(&reader, Some(150), Some(last.min(260)));
    for at in (0..more.len()).step_by(401).chain((more.len() - 45..more.len()).step_by(7)) {
        let mut bytes = more.clone();
        bytes[at] ^= 0x20;
        let refused = put_in(&there, &bytes, false).expect_err("a changed byte");
        let named = matches!(
            refused,
            ExchangeError::Record { .. }
                | ExchangeError::Format { .. }
                | ExchangeError::Differs { .. }
                | ExchangeError::Gap { .. }
        );
        // A network that cannot be a folder's name is refused as such.
        assert!(named || at < 105, "byte {at}: {refused}");
        if at % 10 == 0 {
            assert!(put_in(&there, &more[..at], false).is_err(), "cut at {at}");
            assert_eq!(raw(&open(&there).unwrap()), before, "byte {at}");
        }
    }
    assert!(put_in(&there, &[&more[..], b"x"].concat(), false).is_err());
    assert_eq!(raw(&open(&there).unwrap()), before);
    assert_eq!(put_in(&there, &more, false).unwrap(), last.min(260) - 200);
}

#[test]
fn one_that_begins_late_brings_what_it_stands_on_to_whoever_believes_it() {
    let (_disk, journal, last) = source(1);
    trim(&journal, last).unwrap();
    let first = journal.reader().first();
    let whole = out(&journal.reader(), None, None);
    let there = disk(2);
    assert!(matches!(put_in(&there, &whole, false), Err(ExchangeError::Floor(at)) if at == first));
    for at in (0..whole.len()).step_by(2003) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert!(put_in(&there, &bytes, true).is_err(), "byte {at}");
    }
    assert!(there.list(Path::new("/data/journal")).is_err(), "nothing was made");
    assert_eq!(put_in(&there, &whole, true).unwrap(), last - first + 1);
    let joined = open(&there).unwrap();
    assert_eq!((joined.reader().first(), out(&joined.reader(), None, None)), (first, whole));
    assert!(verify(&there, Path::new(DATA), "net").unwrap().is_clean());
}

#[test]
fn a_commit_that_is_cut_off_leaves_a_beginning() {
    let (_disk, journal, last) = source(1);
    let reader = journal.reader();
    for begun in [0, 60] {
        let there = disk(2);
        if begun > 0 {
            put_in(&there, &out(&reader, None, Some(begun)), false).unwrap();
        }
        let whole = out(&reader, None, None);
        for nth in 1.. {
            let disk = there.fork();
            disk.cut_power(nth);
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| put_in(&disk, &whole, false).is_ok()));
            let survived = !disk.is_off();
            disk.crash();
            let journal = open(&disk).unwrap_or_else(|error| panic!("cut at {nth} ({done:?}): {error}"));
            let held = *journal.durable().borrow();
            assert!((begun..=last).contains(&held), "{held}");
            drop(journal);
            assert_eq!(put_in(&disk, &whole, false).unwrap(), last - held);
            assert_eq!(raw(&open(&disk).unwrap()), whole);
            if survived {
                break;
            }
        }
    }
}

/// A million ops over a real disk: `cargo test --release a_million_ops -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_million_ops() {
    use super::sample::{body, piece};
    use crate::journal::Options;
    use crate::journal::disk::real::RealDisk;
    use std::time::Instant;
    const BATCHES: u64 = 100_000;
    let (from, to, staging) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut journal, _) = Journal::open(Arc::new(RealDisk), from.path(), Options::new("net")).unwrap();
    for seq in 0..BATCHES {
        let texts = body(seq, 10);
        let at = journal.append(&piece(seq * 11, 10, &texts), Some(&texts)).unwrap();
        journal.append(&super::sample::chain(at, seq * 11, 10, &texts), None).unwrap();
    }
    journal.flush().unwrap();
    let file = to.path().join("export");
    let began = Instant::now();
    let done = export(&journal.reader(), None, None, &mut std::fs::File::create(&file).unwrap(), |_| {}).unwrap();
    let exported = began.elapsed();
    let began = Instant::now();
    let bytes = std::fs::File::open(&file).unwrap();
    let staged = stage(Arc::new(RealDisk), (to.path(), staging.path()), Terms::default(), bytes, |_, _| {}).unwrap();
    let staged_in = began.elapsed();
    staged.commit().unwrap();
    let rate = |time: std::time::Duration| (BATCHES * 10) as f64 / time.as_secs_f64();
    println!("{} MiB; export {exported:?}, {:.0} ops/s", done.bytes >> 20, rate(exported));
    println!("import {:?} (checked in {staged_in:?}), {:.0} ops/s", began.elapsed(), rate(began.elapsed()));
}
