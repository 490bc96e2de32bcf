//! Rollback of 1 and of 100,000 batches, and what readers notice of it.
//!
//! Yardsticks, in the same run: one against the other; the same readers without rollbacks.
//!
//! `HONEYGRAPH_BENCH_BATCHES` and `HONEYGRAPH_BENCH_ROUNDS` set the sizes.

use honeygraph_testnet::asking::{Asked, after, ask};
use honeygraph_testnet::load::{Driver, Fields, Shape, Stream, Write};
use honeygraph_testnet::measure::{Table, median, ms, size};
use honeygraph_testnet::process::{Launch, Node};
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const BATCHES: u64 = 100_000;

/// Rollbacks while readers read, half of them deep.
const ROUNDS: u64 = 100;

const READERS: usize = 4;

/// How long the readers read undisturbed.
const QUIET: Duration = Duration::from_secs(5);

const NETWORK: &str = "spkccT_";
const COUNTER: [&str; 2] = ["bench", "counter"];

/// A point of the history: its batch, and what the counter says there.
#[derive(Clone, Debug)]
struct Point {
    batch: String,
    counter: u64,
}

/// Batches of two ops; the counter says how many there were.
struct Source {
    driver: Driver,
    stream: Stream,
    batches: u64,
}

impl Source {
    fn grow(&mut self, node: &Node, batches: u64) -> Result<Point, Box<dyn Error>> {
        let (from, to) = (self.batches, self.batches + batches);
        let fields = Fields { paths: 1000 };
        let writes = (from..to).flat_map(|i| [Write::put(COUNTER, (i + 1).to_string()), fields.write(i)]);
        self.driver.send_made(&mut self.stream, writes)?;
        self.driver.wait_for(self.stream.ops)?;
        self.batches = to;
        let start = Instant::now();
        loop {
            // Acknowledged is not yet applied: until the first batch is, there is nothing to read.
            let answer = node.json(&counter()).unwrap_or_default();
            if answer["data"] == to {
                let batch = answer["batch"].as_str().ok_or("an answer without its batch")?.to_owned();
                return Ok(Point { batch, counter: to });
            }
            if start.elapsed() > Duration::from_secs(120) {
                return Err(format!("the state does not come to {to}: {answer}").into());
            }
        }
    }
}

fn counter() -> String {
    format!("/api/query/path/{}/{}?network={NETWORK}", COUNTER[0], COUNTER[1])
}

/// One rollback and its release in this time: far more than an operator's, and long enough that the slowest of a thousand
/// answers is not the fourth of four thousand.
const EVERY: Duration = Duration::from_millis(50);

/// Rolls back until a read shows it, and releases the verdict again; how long the rollback took.
fn there_and_back(node: &Node, to: &Point, tip: &Point) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let order = json!({"to": to.batch, "reason": "measuring", "network": NETWORK});
    let answer = node.post("/api/admin/rollback", &order)?;
    wait_until(node, to)?;
    let took = start.elapsed();
    let order = json!({"verdict": answer["verdict"], "reason": "measured", "network": NETWORK});
    node.post("/api/admin/release", &order)?;
    wait_until(node, tip)?;
    Ok(took)
}

fn wait_until(node: &Node, at: &Point) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    while node.json(&counter())?["data"] != at.counter {
        if start.elapsed() > Duration::from_secs(10) {
            return Err(format!("no read shows the counter at {}", at.counter).into());
        }
    }
    Ok(())
}

/// Readers of the counter: an answer is right when it says of its own batch what was true there.
fn read(node: &Node, points: &BTreeMap<String, u64>, stop: impl Fn() -> bool + Sync) -> Result<Asked, Box<dyn Error>> {
    let right = |_: u64, status: u16, body: &[u8]| {
        let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let known = answer["batch"].as_str().and_then(|batch| points.get(batch));
        status == 200 && known.is_some_and(|counter| answer["data"] == *counter)
    };
    Ok(ask(node.api_address(), READERS, stop, |_| counter(), right)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (batches, rounds) = (size("HONEYGRAPH_BENCH_BATCHES", BATCHES), size("HONEYGRAPH_BENCH_ROUNDS", ROUNDS));
    let folder = tempfile::tempdir()?;
    let node = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path()).start()?;
    let stream = Stream::new(Shape { framed: 100, per_marker: 2, ..Shape::usual("rollback") });
    let driver = Driver::connect(&node.endpoints.feed, stream.token())?;
    let mut source = Source { driver, stream, batches: 0 };
    let deep = source.grow(&node, 10)?;
    let shallow = source.grow(&node, batches - 1)?;
    let tip = source.grow(&node, 1)?;
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        one.push(there_and_back(&node, &shallow, &tip)?);
        many.push(there_and_back(&node, &deep, &tip)?);
    }
    let points = [&deep, &shallow, &tip].into_iter().map(|point| (point.batch.clone(), point.counter)).collect();
    let quiet = read(&node, &points, after(QUIET))?;
    let done = AtomicBool::new(false);
    let busy = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(&node, &points, || done.load(SeqCst)).map_err(|error| error.to_string()));
        let rolled = (0..rounds).try_for_each(|round| {
            let next = Instant::now() + EVERY;
            there_and_back(&node, if round % 2 == 0 { &deep } else { &shallow }, &tip)?;
            #[expect(clippy::disallowed_methods, reason = "the rate is what is measured at")]
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            Ok::<_, Box<dyn Error>>(())
        });
        done.store(true, SeqCst);
        rolled?;
        Ok::<_, Box<dyn Error>>(reading.join().map_err(|_| "the readers panicked")??)
    })?;
    let quiet_again = read(&node, &points, after(QUIET))?;
    let mut table = Table::new(format!("rollback of 1 and of {batches} batches, until a read shows it"));
    let (one, many) = (median(&one), median(&many));
    table.figure("1 batch", ms(one));
    table.figure(format!("{batches} batches"), ms(many));
    let ratio = many.max(one).as_secs_f64() / many.min(one).as_secs_f64();
    table.bound("ratio", format!("{ratio:.2}"), "<= 2", ratio <= 2.0);
    // Of the two quiet stretches the quieter one is the yardstick.
    let undisturbed = quiet.latencies.at(0.999).min(quiet_again.latencies.at(0.999));
    let during = busy.latencies.at(0.999);
    table.figure(format!("{READERS} readers, p99.9"), ms(undisturbed));
    table.figure(format!("{READERS} readers while {rounds} rollbacks run, p99.9"), ms(during));
    let ratio = during.as_secs_f64() / undisturbed.as_secs_f64();
    table.bound("ratio", format!("{ratio:.2}"), "<= 2", ratio <= 2.0);
    let all = [quiet, busy, quiet_again];
    let wrong: u64 = all.iter().map(|asked| asked.wrong).sum();
    let answers: usize = all.iter().map(|asked| asked.latencies.count()).sum();
    table.bound(format!("wrong answers of {answers}"), wrong.to_string(), "0", wrong == 0);
    table.finish();
    Ok(())
}
