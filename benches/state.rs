//! The state store alone: rows applied per second against raw inserts of the same rows, reads, a dead fork, reopening.
//!
//! `cargo bench -p honeygraph --bench state -- [ops] [paths] [apply]` (500,000 and 200,000 by default). Ratios matter, not the
//! figures: everything is measured in one run on one machine.

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use honeygraph::fork::record::*;
use honeygraph::projection::state::kv::{Fjall, Kv, Snapshot as _, Tuning};
use honeygraph::projection::state::{State, key};
use honeygraph_protocols::batch::{BatchId, Parent};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op;
use honeygraph_protocols::path::{self, Segment};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

type Error = Box<dyn std::error::Error>;

/// Ops of a batch.
const BATCH: u64 = 10;

struct Feed {
    state: State,
    lsn: Lsn,
    dice: u64,
    paths: u64,
    prev: BTreeMap<BranchNo, Option<Node>>,
}

impl Feed {
    fn dice(&mut self) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.dice >> 33
    }

    fn record(&mut self, record: &Record, body: &[u8]) -> Result<Lsn, Error> {
        self.lsn += 1;
        self.state.apply(self.lsn, record, &mut |_| Ok(body.to_vec()))?;
        Ok(self.lsn)
    }

    fn birth(&mut self, branch: BranchNo, parent: Option<Node>) -> Result<(), Error> {
        self.prev.insert(branch, parent);
        self.record(&Record::Branch(Branch { branch, parent, cause: BranchCause::Fork }), &[])?;
        Ok(())
    }

    /// The mix of a feed: balances, contracts with several leaves, statistics, 2 % dels.
    fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::with_capacity(2_048);
        for _ in 0..BATCH {
            let (n, amount) = (self.dice() % self.paths, self.dice() % 1_000_000);
            let text = match self.dice() % 100 {
                0..2 => format!(r#"{{"path":["escrow","user{n}"],"type":"del"}}"#),
                2..50 => format!(r#"{{"data":{amount},"path":["balances","user{n}"],"type":"put"}}"#),
                50..90 => format!(
                    r#"{{"data":{{"a":{amount},"e":"{amount}:expire","f":"user{n}","r":1}},"path":["contract","user{}","{n}"],"type":"put"}}"#,
                    n / 4
                ),
                _ => format!(r#"{{"data":{{"c":{amount},"d":1,"e":"x"}},"path":["stats","{n}"],"type":"put"}}"#),
            };
            op::push_text(text.as_bytes(), &mut body);
        }
        body
    }

    fn batch(&mut self, branch: BranchNo, body: &[u8], head: bool) -> Result<Node, Error> {
        let lsn = self.lsn + 1;
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&lsn.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let period =
            HashText::new(&format!("QmPeriodPeriodPeriodPeriodPeriodPeriod{:08}", lsn / 1_000)).ok_or("hash")?;
        let chain = Chain {
            branch,
            prev: self.prev.get(&branch).copied().flatten(),
            period: period.clone(),
            opening_label: Some(lsn / 1_000 * 100 + 1),
            label: Some(lsn / 1_000 * 100 + 1),
            seq: lsn % 1_000 * 11,
            count: BATCH,
            marker: true,
            parent: Parent::Period(period),
            id: BatchId::from_digest(digest),
            ops_hash: [0; 32],
            pieces: vec![lsn - 1],
            head,
            hole: false,
            at_ms: 1_700_000_000_000 + lsn,
        };
        let version = self.record(&Record::Chain(chain), body)?;
        let node = Node { branch, version };
        self.prev.insert(branch, Some(node));
        Ok(node)
    }
}

fn main() -> Result<(), Error> {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let (ops, paths) = (numbers.next().unwrap_or(500_000), numbers.next().unwrap_or(200_000));
    let folder = tempfile::tempdir_in(std::env::var("BENCH_DIR").unwrap_or_else(|_| ".".into()))?;
    let state = State::open(&folder.path().join("state"), Tuning::default())?;
    let mut feed = Feed { state, lsn: 0, dice: 1, paths, prev: BTreeMap::new() };
    feed.birth(0, None)?;

    let apply = apply(&mut feed, ops)?;
    let peak = memory();
    if std::env::args().any(|word| word == "apply") {
        println!("{peak}");
        return Ok(());
    }
    let raw = raw(&feed, folder.path())?;
    println!(
        "raw, same rows, 500 a commit: {} ({:.2} of it)",
        rate(raw.1, raw.0),
        raw.1.as_secs_f64() / apply.as_secs_f64()
    );
    println!("peak memory after applying: {peak}, after all: {}", memory());
    reads(&mut feed)?;
    dead_fork(&mut feed)?;
    reopen(feed, folder.path())
}

fn apply(feed: &mut Feed, ops: u64) -> Result<Duration, Error> {
    let (mut applying, cpu) = (Duration::ZERO, cpu());
    for _ in 0..ops / BATCH {
        let body = feed.body();
        let start = Instant::now();
        feed.record(&PIECE, &[])?;
        feed.batch(0, &body, true)?;
        applying += start.elapsed();
    }
    let start = Instant::now();
    feed.state.commit()?;
    applying += start.elapsed();
    println!(
        "applied {ops} ops: {}, {:.2} us CPU an op (all threads, making ops included)",
        rate(applying, ops),
        (self::cpu() - cpu) * 1e6 / ops as f64
    );
    Ok(applying)
}

fn rate(time: Duration, many: u64) -> String {
    format!("{many} in {:.2} s, {:.0}/s", time.as_secs_f64(), many as f64 / time.as_secs_f64())
}

/// Inserts the same leaves' rows into a store of their own.
fn raw(feed: &Feed, folder: &Path) -> Result<(u64, Duration), Error> {
    let rows: Vec<_> =
        feed.state.store().snapshot().range(&[key::table::ROW], &[key::table::ROW + 1]).collect::<Result<_, _>>()?;
    let mut by_version: Vec<_> = rows.into_iter().collect();
    by_version.sort_by_key(|(key, _)| key::parse_row(key).map(|(_, node)| node.version));
    let db = Database::builder(folder.join("raw")).open()?;
    let keyspace = db.keyspace("raw", KeyspaceCreateOptions::default)?;
    let many = by_version.len() as u64;
    let start = Instant::now();
    let sync = std::env::var("BENCH_SYNC").is_ok().then_some(PersistMode::SyncAll);
    for part in by_version.chunks(500) {
        let mut batch = db.batch().durability(sync.or(Some(PersistMode::Buffer)));
        part.iter().for_each(|(key, value)| batch.insert(&keyspace, key.clone(), value.clone()));
        batch.commit()?;
    }
    let time = start.elapsed();
    println!("raw rows: {}", rate(time, many));
    Ok((many, time))
}

fn reads(feed: &mut Feed) -> Result<(), Error> {
    let reader = feed.state.reader();
    let many = 200_000;
    let (mut found, start) = (0u64, Instant::now());
    for _ in 0..many {
        let name = format!("user{}", feed.dice() % feed.paths);
        let path = path::encode(&[Segment::from("balances"), Segment::from(name.as_str())]);
        let snapshot = reader.snapshot();
        let head = snapshot.head()?.ok_or("no head")?;
        found += u64::from(snapshot.view(head.node)?.get(&path)?.is_some());
    }
    println!("head leaf, snapshot and view each time: {} ({found} found)", rate(start.elapsed(), many));
    let snapshot = reader.snapshot();
    let head = snapshot.head()?.ok_or("no head")?;
    let start = Instant::now();
    let leaves = snapshot.view(head.node)?.scan(&[], None).count() as u64;
    println!("scan of the head: {}", rate(start.elapsed(), leaves));
    Ok(())
}

fn dead_fork(feed: &mut Feed) -> Result<(), Error> {
    let head = feed.prev[&0].ok_or("no head")?;
    feed.birth(1, Some(head))?;
    let mut body = Vec::new();
    op::push_text(br#"{"data":1,"path":["balances","user1"],"type":"put"}"#, &mut body);
    feed.batch(0, &body, true)?;
    for _ in 0..100_000 {
        feed.record(&PIECE, &[])?;
        feed.batch(1, &body, false)?;
    }
    feed.state.commit()?;
    let snapshot = feed.state.reader().snapshot();
    let view = snapshot.view(feed.prev[&0].ok_or("no head")?)?;
    let mut times = Vec::new();
    for name in ["user1", "user2"] {
        let path = path::encode(&[Segment::from("balances"), Segment::from(name)]);
        let start = Instant::now();
        for _ in 0..20_000 {
            view.get(&path)?;
        }
        times.push(start.elapsed() / 20_000);
    }
    println!("leaf under a dead fork of 100,000 versions: {:?}, beside it: {:?}", times[0], times[1]);
    Ok(())
}

/// A copy of the folder while the store is open is what a kill leaves.
fn reopen(feed: Feed, folder: &Path) -> Result<(), Error> {
    let killed = folder.join("killed");
    let done = std::process::Command::new("cp").arg("-r").arg(folder.join("state")).arg(&killed).status()?;
    let disk = feed.state.store().disk_bytes();
    drop(feed);
    for (what, path) in [("a clean stop", folder.join("state")), ("a kill", killed)] {
        let start = Instant::now();
        let state = State::<Fjall>::open(&path, Tuning::default())?;
        println!(
            "reopened after {what} in {:?}, cursor {}, {} MB, {}",
            start.elapsed(),
            state.cursor(),
            disk >> 20,
            done
        );
    }
    println!("memory: {}", memory());
    Ok(())
}

/// Peak and present memory of this process.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}

/// Seconds of CPU used by this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

const PIECE: Record = Record::Piece(Piece {
    lane: 0,
    ordinal: 0,
    label: None,
    run: 0,
    seq: 0,
    index: None,
    count: BATCH as u32,
    close: Close::Marker,
    begins: true,
    ops_hash: [0; 32],
    at_ms: 0,
});
