//! How fast it is: `cargo test --release --lib journal::tests::throughput -- --ignored --nocapture`. `TMPDIR` says
//! on which file system.

use super::sample::{body, chain, piece};
use crate::fork::record::Lsn;
use crate::journal::disk::Disk;
use crate::journal::disk::real::RealDisk;
use crate::journal::{Appender, Journal, Options};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Ops in a batch.
const OPS: u64 = 10;
const BATCHES: u64 = 500_000;

fn open(dir: &Path) -> Appender {
    Journal::open(Arc::new(RealDisk), dir, Options::new("net")).unwrap().0.start().unwrap()
}

fn append_batch(appender: &mut Appender, seq: u64, bodies: &[Vec<u8>]) -> Lsn {
    let body = &bodies[seq as usize % bodies.len()];
    let at = appender.append(&piece(seq, OPS, body), Some(body)).unwrap();
    appender.append(&chain(at, seq, OPS, body), None).unwrap()
}

fn per_second(what: &str, count: u64, took: Duration) {
    println!("{what}: {:.0} /s ({took:?} for {count})", count as f64 / took.as_secs_f64());
}

#[test]
#[ignore = "a measurement"]
fn throughput() {
    let dir = tempfile::tempdir().unwrap();
    let bodies: Vec<_> = (0..1000).map(|seed| body(seed, OPS)).collect();
    println!("body of {OPS} ops: {} bytes", bodies[7].len());
    let mut appender = open(dir.path());
    let begin = Instant::now();
    for seq in 0..BATCHES {
        append_batch(&mut appender, seq, &bodies);
    }
    assert_eq!(appender.close().unwrap(), 2 * BATCHES);
    per_second("ops appended, durable", BATCHES * OPS, begin.elapsed());

    let begin = Instant::now();
    let (journal, _) = Journal::open(Arc::new(RealDisk), dir.path(), Options::new("net")).unwrap();
    println!("open: {:?}", begin.elapsed());
    let begin = Instant::now();
    let mut cursor = journal.reader().records(1);
    let mut bytes = 0;
    while let Some(entry) = cursor.read().unwrap() {
        bytes += entry.bytes;
    }
    per_second("records walked", 2 * BATCHES, begin.elapsed());
    println!("journal: {} bytes a batch", bytes as u64 / BATCHES);
    let begin = Instant::now();
    let mut cursor = journal.reader().records(1);
    while let Some(entry) = cursor.read().unwrap() {
        entry.record().unwrap();
    }
    per_second("records decoded", 2 * BATCHES, begin.elapsed());
    let begin = Instant::now();
    let reader = journal.reader();
    let mut body = Vec::new();
    for lsn in (1..=2 * BATCHES).step_by(2) {
        body.clear();
        reader.body_into(lsn, &mut body).unwrap();
    }
    per_second("bodies in order", BATCHES, begin.elapsed());
    let begin = Instant::now();
    for at in 0..20_000 {
        body.clear();
        reader.body_into((at * 7_919 % BATCHES) * 2 + 1, &mut body).unwrap();
    }
    per_second("bodies at random", 20_000, begin.elapsed());
}

fn percentiles(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |part: usize| took[took.len() * part / 1000];
    println!("{what}: p50 {:?} p99 {:?} max {:?}", at(500), at(990), took[took.len() - 1]);
}

#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a rate is what it measures at")]
fn latency() {
    let dir = tempfile::tempdir().unwrap();
    let bodies: Vec<_> = (0..1000).map(|seed| body(seed, OPS)).collect();
    let file = RealDisk.create(&dir.path().join("plain")).unwrap();
    let plain = |count: u64, from: u64| {
        let write = |at: u64| {
            let begin = Instant::now();
            file.write_at(at * 4096, &[7; 4096]).unwrap();
            file.sync().unwrap();
            begin.elapsed()
        };
        (from..from + count).map(write).collect::<Vec<_>>()
    };
    percentiles("4 KiB append + fdatasync", plain(1000, 0));
    let mut appender = open(dir.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let mut took = Vec::new();
    let mut tick = Instant::now();
    for seq in 0..1000 {
        // 100 batches of 10 ops a second.
        tick += Duration::from_millis(10);
        std::thread::sleep(tick.saturating_duration_since(Instant::now()));
        let begin = Instant::now();
        let lsn = append_batch(&mut appender, seq, &bodies);
        let mut durable = appender.durable();
        runtime.block_on(async { durable.wait_for(|durable| *durable >= lsn).await.map(|_| ()) }).unwrap();
        took.push(begin.elapsed());
    }
    percentiles("append to durable, 100 batches/s", took);
    appender.close().unwrap();
    percentiles("4 KiB append + fdatasync again", plain(1000, 1000));
}
