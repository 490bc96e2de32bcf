//! Hostile feeds and the core's time: what four times as much nonsense costs must be about four times the time.
//!
//! The fork machine alone, its journal in memory. `HONEYGRAPH_BENCH_OPS` sets the smaller size.

use honeygraph::feed::message::{FeedId, FeedInfo, FromCore, Said, ToCore};
use honeygraph::fork::ledger::Ledger;
use honeygraph::fork::machine::{Bodies, Body, Core, Effects, Limits};
use honeygraph::fork::record::{Lsn, Record};
use honeygraph::fork::rules::Rules;
use honeygraph_protocols::honeycomb::{Frame, Parser};
use honeygraph_testnet::measure::{Table, ms, size};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const SIZE: u64 = 10_000;

/// Time of four times as much over the time of as much.
const GROWTH: f64 = 8.0;

const RULES: Rules = Rules { checkpoint_every: 100, root_interval: 1_000, root_offset: 505 };
const LIMITS: Limits = Limits { forks_per_label: 10, fork_retention_ms: 3_600_000, answer_ms: 10_000 };

#[derive(Default)]
struct Journal(BTreeMap<Lsn, Vec<u8>>);

impl Bodies for Journal {
    fn body(&mut self, lsn: Lsn) -> Option<Vec<u8>> {
        self.0.get(&lsn).cloned()
    }
}

/// A core under attack.
struct Stage {
    core: Core,
    records: Vec<(Lsn, Record)>,
    journal: Journal,
    now: u64,
    took: Duration,
    longest: Duration,
    feeds: u64,
    closed: bool,
    parser: Parser,
}

impl Stage {
    fn new() -> Self {
        Self {
            core: Core::new("spkcc_".into(), RULES, LIMITS, Ledger::default()),
            records: Vec::new(),
            journal: Journal::default(),
            now: 1_000,
            took: Duration::ZERO,
            longest: Duration::ZERO,
            feeds: 0,
            closed: false,
            parser: Parser::new(false),
        }
    }

    fn run(&mut self, run: impl FnOnce(&mut Core, u64, &mut dyn Bodies, &mut Effects)) {
        let mut fx = Effects::default();
        let start = Instant::now();
        run(&mut self.core, self.now, &mut self.journal, &mut fx);
        let took = start.elapsed();
        (self.took, self.longest) = (self.took + took, self.longest.max(took));
        for (lsn, record, body) in fx.records {
            if let Some(Body::Texts(body) | Body::Frame(body)) = body {
                self.journal.0.insert(lsn, body);
            }
            self.records.push((lsn, record));
        }
        self.closed |= fx.messages.iter().any(|(_, message)| matches!(message, FromCore::Close { .. }));
    }

    fn open(&mut self) -> FeedId {
        self.feeds += 1;
        let feed = FeedId(self.feeds);
        let message = ToCore::Open { feed, info: FeedInfo::default(), outbox: mpsc::channel(1).0 };
        self.run(|core, now, bodies, fx| core.on(now, message, bodies, fx));
        self.closed = false;
        feed
    }

    fn frame(&mut self, feed: FeedId, text: &str) {
        let said = match self.parser.parse(text.as_bytes()).expect("a frame") {
            Frame::Ops(ops) => Said::Ops(ops),
            Frame::ForkStart { hash, block } => Said::ForkStart { hash, block },
            other => panic!("not for a lane: {other:?}"),
        };
        let message = ToCore::Said(feed, said, Default::default());
        self.run(|core, now, bodies, fx| core.on(now, message, bodies, fx));
    }

    /// Time goes on; what a task would do once in a while.
    fn later(&mut self) {
        self.now += 1_000;
        self.run(|core, now, bodies, fx| core.tick(now, bodies, fx));
        let start = Instant::now();
        std::hint::black_box(self.core.status());
        self.took += start.elapsed();
    }

    fn restart(&mut self) -> Duration {
        let start = Instant::now();
        let mut ledger = Ledger::default();
        for (lsn, record) in &self.records {
            ledger.apply(*lsn, record);
        }
        self.core = Core::new("spkcc_".into(), RULES, LIMITS, ledger);
        let mut fx = Effects::default();
        self.core.start(self.now, &mut self.journal, &mut fx);
        start.elapsed()
    }
}

fn item(index: u64, block: u64, hash: &str, value: u64) -> String {
    format!(r#"{{"type":"put","path":["a"],"data":{value},"index":{index},"blockNum":{block},"forkHash":"{hash}"}}"#)
}

fn marker(index: u64, block: u64, hash: &str) -> String {
    format!(r#"{{"type":"write_marker","index":{index},"blockNum":{block},"forkHash":"{hash}"}}"#)
}

/// A feed that does as it should, beside the others.
struct Honest(FeedId, u64);

impl Honest {
    fn join(stage: &mut Stage) -> Self {
        Self(stage.open(), 0)
    }

    fn work(&mut self, stage: &mut Stage) {
        stage.frame(self.0, &item(self.1, 601, "A", self.1));
        stage.frame(self.0, &marker(self.1 + 1, 601, "A"));
        self.1 += 2;
    }
}

/// The index falls again and again; nothing of it has a name.
fn falls(stage: &mut Stage, n: u64) {
    let mut honest = Honest::join(stage);
    let mut feed = stage.open();
    for at in 0..n {
        if stage.closed {
            feed = stage.open();
        }
        stage.frame(feed, &item(0, 601, "A", at));
        stage.frame(feed, &marker(1, 601, "A"));
        if at % 100 == 0 {
            honest.work(stage);
            stage.later();
        }
    }
}

/// The same, falling by one: every period misses its beginning.
fn deep_falls(stage: &mut Stage, n: u64) {
    let mut honest = Honest::join(stage);
    let mut feed = stage.open();
    for at in 0..n {
        if stage.closed {
            feed = stage.open();
        }
        stage.frame(feed, &item(n - at, 601, "B", at));
        if at % 100 == 0 {
            honest.work(stage);
            stage.later();
        }
    }
}

/// A new hash for each period.
fn fork_starts(stage: &mut Stage, n: u64) {
    let mut honest = Honest::join(stage);
    let mut feed = stage.open();
    for at in 0..n {
        if stage.closed {
            feed = stage.open();
        }
        stage.frame(feed, &format!(r#"{{"type":"fork_start","forkHash":"H{at}","blockNum":601}}"#));
        stage.frame(feed, &item(0, 601, &format!("H{at}"), at));
        stage.frame(feed, &marker(1, 601, &format!("H{at}")));
        if at % 100 == 0 {
            honest.work(stage);
            stage.later();
        }
    }
}

/// As many histories as anybody can make: another batch at the same place from socket after socket.
fn forks(stage: &mut Stage, n: u64) {
    let mut honest = Honest::join(stage);
    honest.work(stage);
    for at in 0..n {
        // Blocks that are no labels of honeycomb: each is one of its own.
        let (feed, block) = (stage.open(), 10_000 + 2 * at);
        stage.frame(feed, &item(0, 601, "A", 0));
        stage.frame(feed, &marker(1, 601, "A"));
        stage.frame(feed, &item(2, block, "A", at));
        stage.frame(feed, &marker(3, block, "A"));
        stage.run(|core, now, bodies, fx| core.on(now, ToCore::Gone(feed), bodies, fx));
        if at % 100 == 0 {
            honest.work(stage);
            stage.later();
        }
    }
}

/// Holes and answers that lie about what they answer.
fn holes(stage: &mut Stage, n: u64) {
    let mut honest = Honest::join(stage);
    let feed = stage.open();
    stage.frame(feed, &item(0, 601, "C", 0));
    stage.frame(feed, &marker(1, 601, "C"));
    for at in 1..n {
        stage.frame(feed, &item(at * 4, 601, "C", at));
        stage.frame(feed, &marker(at * 4 + 1, 601, "C"));
        let lie = item(at * 4 - 1, 601, "C", at).replace(r#""type""#, r#""opType""#);
        stage.frame(feed, &format!(r#"{{"type":"batch","requestedRange":{{"from":1,"to":9}},"operations":[{lie}]}}"#));
        if at % 100 == 0 {
            honest.work(stage);
            stage.later();
        }
    }
}

/// One answer that goes back and forth between two large pieces.
fn back_and_forth(stage: &mut Stage, n: u64) {
    let feed = stage.open();
    let long = "x".repeat(100_000);
    let big = |index: u64| item(index, 601, "D", 0).replace(r#""data":0"#, &format!(r#""data":"{long}""#));
    for index in 0..9 {
        stage.frame(feed, &big(index));
    }
    stage.frame(feed, &marker(9, 601, "D"));
    for index in 10..19 {
        stage.frame(feed, &big(index));
    }
    stage.frame(feed, &marker(19, 601, "D"));
    let ops: Vec<String> = (0..n)
        .map(|at| item(if at % 2 == 0 { 3 } else { 13 }, 601, "D", 1).replace(r#""type""#, r#""opType""#))
        .collect();
    let ops = ops.join(",");
    stage.frame(feed, &format!(r#"{{"type":"batch","requestedRange":{{"from":0,"to":9}},"operations":[{ops}]}}"#));
}

fn main() {
    let n = size("HONEYGRAPH_BENCH_OPS", SIZE);
    let only = std::env::var("HONEYGRAPH_BENCH_CASE").ok();
    let mut table = Table::new(format!("hostile feeds: {n} and {} times the same", n * 4));
    let cases: [(&str, fn(&mut Stage, u64)); 6] = [
        ("falls", falls),
        ("deep falls", deep_falls),
        ("fork_start", fork_starts),
        ("forks", forks),
        ("holes", holes),
        ("back and forth", back_and_forth),
    ];
    for (name, case) in cases {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let measured = [n, n * 4].map(|n| {
            let mut stage = Stage::new();
            case(&mut stage, n);
            let restart = stage.restart();
            (stage.took, stage.longest, restart)
        });
        let growth = |of: fn(&(Duration, Duration, Duration)) -> Duration| {
            of(&measured[1]).as_secs_f64() / of(&measured[0]).as_secs_f64().max(0.005)
        };
        table.figure(format!("{name}: time, longest stop, restart"), {
            measured.map(|(took, longest, restart)| format!("{} {} {}", ms(took), ms(longest), ms(restart))).join(" | ")
        });
        let (took, restart) = (growth(|m| m.0), growth(|m| m.2));
        table.bound(format!("{name}: growth"), format!("{took:.1}"), "<= 8", took <= GROWTH);
        table.bound(format!("{name}: growth of a restart"), format!("{restart:.1}"), "<= 8", restart <= GROWTH);
    }
    table.finish();
}
