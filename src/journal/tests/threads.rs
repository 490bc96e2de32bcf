//! The writer thread under a full disk, a failed sync, and a group that is full.

use super::sample::{body, piece};
use crate::fork::record::Lsn;
use crate::journal::disk::Disk;
use crate::journal::disk::fault::FaultDisk;
use crate::journal::disk::real::RealDisk;
use crate::journal::verify::verify;
use crate::journal::{Appender, Journal, JournalError, Options, Reader, State};
use std::path::Path;
use std::sync::Arc;

fn start(disk: &FaultDisk) -> Appender {
    disk.create_dir(Path::new("/data")).unwrap();
    let options = Options { segment_bytes: 64 * 1024, ..Options::new("net") };
    Journal::open(Arc::new(disk.clone()), Path::new("/data"), options).unwrap().0.start().unwrap()
}

fn append(appender: &mut Appender, seq: u64) -> Result<Lsn, JournalError> {
    let body = body(seq, 10);
    appender.append(&piece(seq, 10, &body), Some(&body))
}

#[tokio::test]
async fn a_full_disk_pauses_and_resumes_without_loss() {
    let disk = FaultDisk::new(1);
    let mut appender = start(&disk);
    let mut appended = append(&mut appender, 0).unwrap();
    appender.durable().wait_for(|lsn| *lsn == appended).await.unwrap();
    disk.set_free(Some(0));
    let mut state = appender.state();
    while *state.borrow_and_update() == State::Running {
        appended = append(&mut appender, appended).unwrap();
    }
    assert_eq!(*state.borrow(), State::DiskFull);
    // Readers go on, intake goes on up to the bounded group.
    let reader = appender.reader();
    let durable = *appender.durable().borrow();
    assert!(durable > 0 && reader.body(durable).is_ok());
    for _ in 0..100 {
        appended = append(&mut appender, appended).unwrap();
    }
    assert_eq!(*appender.durable().borrow(), durable);
    disk.set_free(None);
    appender.durable().wait_for(|lsn| *lsn == appended).await.unwrap();
    assert_eq!(*state.borrow(), State::Running);
    for lsn in 1..=appended {
        assert_eq!(reader.body(lsn).unwrap(), body(lsn - 1, 10));
    }
    assert_eq!(appender.close().unwrap(), appended);
}

#[tokio::test]
async fn closing_on_a_full_disk_does_not_hang() {
    let disk = FaultDisk::new(1);
    let mut appender = start(&disk);
    disk.set_free(Some(0));
    let mut state = appender.state();
    let mut appended = 0;
    while *state.borrow_and_update() == State::Running {
        appended = append(&mut appender, appended).unwrap();
    }
    let durable = *appender.durable().borrow();
    assert!(matches!(appender.close(), Err(JournalError::Full)));
    disk.heal();
    // Part of the last group may have been written; nothing that was durable is missing.
    assert!((durable..=appended).contains(&(start(&disk).next() - 1)));
}

#[tokio::test]
async fn a_failed_sync_stops_the_journal_for_good() {
    let disk = FaultDisk::new(1);
    let mut appender = start(&disk);
    let first = append(&mut appender, 0).unwrap();
    appender.durable().wait_for(|lsn| *lsn == first).await.unwrap();
    // It may be the tip file's, just now: any failed sync counts, and the append may come too late.
    disk.fail_sync(1);
    let _ = append(&mut appender, 1);
    let mut state = appender.state();
    let failed = state.wait_for(|state| matches!(state, State::Failed(_))).await.unwrap().clone();
    assert!(matches!(&failed, State::Failed(reason) if reason.contains("cannot make")), "{failed:?}");
    assert!(matches!(appender.room().await, Err(JournalError::Failed(_))));
    assert!(matches!(append(&mut appender, 2), Err(JournalError::Failed(_))));
    let syncs = disk.syncs();
    assert!(matches!(appender.close(), Err(JournalError::Failed(_))));
    assert_eq!(disk.syncs(), syncs, "a failed sync is not tried again");
}

#[tokio::test]
async fn a_full_group_makes_the_task_wait_and_wakes_it() {
    let disk = FaultDisk::new(1);
    let mut appender = start(&disk);
    disk.set_free(Some(0));
    let mut room = Box::pin(appender.room());
    let mut appended = 0;
    // Until the group behind the one that cannot be written is full.
    while futures_util::poll!(&mut room).is_ready() {
        appended = append(&mut appender, appended).unwrap();
        room = Box::pin(appender.room());
    }
    disk.set_free(None);
    room.await.unwrap();
    assert_eq!(appender.close().unwrap(), appended);
}

#[test]
fn looking_at_a_journal_that_is_being_written_finds_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 64 * 1024, ..Options::new("net") };
    let mut appender = Journal::open(Arc::new(RealDisk), dir.path(), options).unwrap().0.start().unwrap();
    let path = dir.path().to_owned();
    let watcher = std::thread::spawn(move || {
        let mut seen = 0;
        while seen < 3000 {
            let reader = Reader::offline(Arc::new(RealDisk), &path, "net").unwrap();
            assert!(*reader.durable().borrow() >= seen);
            seen = *reader.durable().borrow();
            let report = verify(&RealDisk, &path, "net").unwrap();
            assert!(report.is_clean(), "{report:?}");
        }
    });
    let mut seq = 0;
    while !watcher.is_finished() {
        append(&mut appender, seq).unwrap();
        seq += 1;
    }
    watcher.join().unwrap();
}
