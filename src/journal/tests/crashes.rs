//! Thousands of power cuts, kills, full disks and failed syncs on a disk that loses and tears what was not synced.

use super::sample::{body, chain, piece};
use super::{PLANTED, Planted};
use crate::fork::record::{Lsn, Record, Retired};
use crate::journal::disk::Disk;
use crate::journal::disk::fault::FaultDisk;
use crate::journal::{Journal, JournalError, Options};
use std::path::Path;
use std::sync::Arc;

/// Lives of a journal in one history.
const LIVES: usize = 12;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// One journal through many deaths, beside what it should hold.
struct History {
    disk: FaultDisk,
    random: Random,
    appended: Vec<(Record, Option<Vec<u8>>)>,
    /// The greatest LSN that was published as durable.
    acknowledged: Lsn,
    /// Whether faults other than power cuts happen.
    rough: bool,
}

impl History {
    fn new(seed: u64) -> Self {
        let disk = FaultDisk::new(seed);
        disk.create_dir(Path::new("/data")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.set_thin(seed.is_multiple_of(3));
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { disk, random, appended: Vec::new(), acknowledged: 0, rough: seed.is_multiple_of(2) }
    }

    /// Opens, also through power cuts while it recovers.
    fn open(&mut self) -> Result<Journal, String> {
        loop {
            if self.random.below(3) == 0 {
                self.disk.cut_power(1 + self.random.below(12));
            }
            let options = Options { segment_bytes: 24 * 1024, ..Options::new("net") };
            match Journal::open(Arc::new(self.disk.clone()), Path::new("/data"), options) {
                Ok((journal, recovered)) => {
                    self.check(&journal, recovered.last)?;
                    return Ok(journal);
                }
                Err(_) if self.disk.is_off() => self.disk.crash(),
                Err(error) => return Err(format!("refused: {error}")),
            }
        }
    }

    /// Everything acknowledged is there, nothing else is, and it is what was appended.
    fn check(&mut self, journal: &Journal, last: Lsn) -> Result<(), String> {
        if last < self.acknowledged {
            return Err(format!("lost: {} was durable, {last} is the last", self.acknowledged));
        }
        if last > self.appended.len() as Lsn {
            return Err(format!("invented: {last} of {}", self.appended.len()));
        }
        self.appended.truncate(last as usize);
        self.acknowledged = last;
        let reader = journal.reader();
        let mut cursor = reader.records(1);
        for (record, body) in &self.appended {
            let entry = cursor.read().map_err(|error| error.to_string())?.ok_or("ends early")?;
            let same = entry.record().is_ok_and(|found| found == *record);
            let found = entry.frame.map(|frame| frame.unpack().unwrap_or_default());
            if !same || found != *body {
                return Err(format!("record {} is not what was appended", entry.lsn));
            }
        }
        match cursor.read() {
            Ok(None) => Ok(()),
            _ => Err("goes on behind its end".into()),
        }
    }

    fn next_record(&mut self) -> (Record, Option<Vec<u8>>) {
        let seed = self.random.below(u64::from(u32::MAX));
        match self.random.below(4) {
            0 => {
                let body = body(seed, 1 + seed % 20);
                (piece(seed, 1 + seed % 20, &body), Some(body))
            }
            1 => (chain(1, seed, 1, b""), None),
            // All of one size, so that a stale one could stand exactly behind a new one.
            _ => (Record::Retired(Retired { branch: 7, at_ms: 1 << 40 | seed }), None),
        }
    }

    /// One life, until a crash or a kill.
    fn live(&mut self) -> Result<(), String> {
        let mut journal = self.open()?;
        if !self.disk.is_off() {
            self.disk.cut_power(1 + self.random.below(60));
        }
        for _ in 0..self.random.below(80) {
            if self.act(&mut journal).is_err() {
                break;
            }
            let durable = *journal.durable().borrow();
            self.acknowledged = self.acknowledged.max(durable);
        }
        let durable = *journal.durable().borrow();
        self.acknowledged = self.acknowledged.max(durable);
        self.disk.heal();
        drop(journal);
        // A kill leaves the disk as it is, a power cut does not.
        if self.disk.is_off() || self.random.below(2) == 0 {
            self.disk.crash();
        }
        Ok(())
    }

    fn act(&mut self, journal: &mut Journal) -> Result<(), JournalError> {
        match self.random.below(20) {
            0..9 => {
                let (record, body) = self.next_record();
                journal.append(&record, body.as_deref())?;
                self.appended.push((record, body));
            }
            9..16 => match journal.flush() {
                Err(JournalError::Full) => {}
                flushed => drop(flushed?),
            },
            16 => journal.write_tip()?,
            17 if self.rough && self.random.below(4) == 0 => self.disk.fail_sync(1 + self.random.below(4)),
            18 if self.rough && self.random.below(8) == 0 => self.disk.fail_write(1 + self.random.below(4)),
            19 if self.rough => {
                let free = self.random.below(30_000);
                self.disk.set_free(Some(free).filter(|free| *free < 20_000));
            }
            _ => {}
        }
        Ok(())
    }
}

fn run(seed: u64, plant: impl Fn(&FaultDisk)) -> Result<(), String> {
    let mut history = History::new(seed);
    plant(&history.disk);
    for life in 0..LIVES {
        history.live().map_err(|what| format!("seed {seed}, life {life}: {what}"))?;
    }
    Ok(())
}

/// How the checks name a planted bug within some seeds.
fn caught(plant: impl Fn(&FaultDisk)) -> String {
    (0..400).find_map(|seed| run(seed, &plant).err()).expect("the planted bug is caught")
}

#[test]
fn nothing_acknowledged_is_lost_and_no_crash_looks_like_damage() {
    let soak = std::env::var_os("HONEYGRAPH_SOAK").is_some();
    for seed in 0..if soak { 50_000 } else { 400 } {
        run(seed, |_| {}).unwrap();
    }
}

#[test]
fn a_disk_that_lies_about_syncs_is_caught() {
    println!("{}", caught(|disk| disk.ignore_sync(true)));
    println!("{}", caught(|disk| disk.ignore_sync_dir(true)));
}

#[test]
fn planted_bugs_are_caught() {
    let planted = |bug: Planted| {
        PLANTED.set(Some(bug));
        let what = caught(|_| {});
        PLANTED.set(None);
        println!("{bug:?}: {what}");
        what
    };
    assert!(planted(Planted::AckBeforeSync).contains("lost"));
    assert!(planted(Planted::TipBeforeSync).contains("refused"));
    // How these two show depends on what the stale or missing bytes are.
    planted(Planted::StaleAccepted);
    planted(Planted::TailNotRewritten);
}

#[test]
fn a_group_that_grew_while_the_disk_was_full_is_not_there_twice() {
    let disk = FaultDisk::new(1);
    disk.set_thin(true);
    disk.create_dir(Path::new("/data")).unwrap();
    let options = || Options { segment_bytes: 16 * 1024, ..Options::new("net") };
    let open = || Journal::open(Arc::new(disk.clone()), Path::new("/data"), options());
    let (mut journal, _) = open().unwrap();
    let append = |journal: &mut Journal, count: u64| {
        for at in 0..count {
            journal.append(&Record::Retired(Retired { branch: 7, at_ms: 1 << 40 | at }), None).unwrap();
        }
    };
    append(&mut journal, 150);
    journal.flush().unwrap();
    append(&mut journal, 40);
    disk.set_free(Some(1000));
    assert!(matches!(journal.flush(), Err(JournalError::Full)));
    append(&mut journal, 40);
    disk.set_free(None);
    journal.flush().unwrap();
    append(&mut journal, 1);
    assert_eq!(journal.flush().unwrap(), 231);
    drop(journal);
    let (journal, recovered) = open().unwrap();
    assert_eq!((recovered.last, recovered.cut), (231, None));
    let mut cursor = journal.reader().records(1);
    while cursor.read().unwrap().is_some() {}
    assert_eq!((cursor.next(), journal.reader().segments()), (232, 2));
}
