//! Reads over HTTP: a leaf, uniform over 300,000 leaves on three branches, on 64 connections; and a leaf that a dead
//! fork has written 100,000 times.
//!
//! Yardsticks, in the same run: a constant route of the same server; a leaf that was written once.
//!
//! `HONEYGRAPH_BENCH_LEAVES`, `HONEYGRAPH_BENCH_BATCHES` and `HONEYGRAPH_BENCH_SECONDS` set the sizes.

use honeygraph_testnet::asking::{Asked, after, ask};
use honeygraph_testnet::load::{Driver, Fields, Shape, Stream, Write};
use honeygraph_testnet::measure::{Table, median, size};
use honeygraph_testnet::process::{Launch, Node};
use std::error::Error;
use std::time::{Duration, Instant};

const LEAVES: u64 = 300_000;
const BATCHES: u64 = 100_000;
const SECONDS: u64 = 5;
const CONNECTIONS: usize = 64;

/// Rewritten by each branch.
const PER_BRANCH: u64 = 10_000;

/// A prime: every leaf is asked for in a scattered order.
const STRIDE: u64 = 7919;

const NETWORK: &str = "spkccT_";
const HOT: [&str; 2] = ["bench", "hot"];
const PLAIN: [&str; 2] = ["bench", "plain"];

fn shape() -> Shape {
    Shape { framed: 100, per_marker: 100, per_period: 0, ..Shape::usual("reads") }
}

/// Period 0 holds every leaf; in period 1 three feeds part: the second writes one leaf in every batch.
fn fill(node: &Node, leaves: u64, batches: u64) -> Result<Vec<Driver>, Box<dyn Error>> {
    let fields = Fields { paths: leaves };
    let marks = [Write::put(HOT, "0"), Write::put(PLAIN, "0")];
    let url = &node.endpoints.feed;
    let mut stream = Stream::new(shape());
    let mut first = Driver::connect(url, stream.token())?;
    first.send_made(&mut stream, (0..leaves).map(|i| fields.write(i)).chain(marks))?;
    stream.roll_over();
    first.send_made(&mut stream, (0..PER_BRANCH).map(|i| fields.write(i)))?;
    first.wait_for(stream.ops)?;
    let mut drivers = vec![first];
    for branch in 1..3 {
        let mut stream = Stream::from_period(Shape { per_marker: if branch == 1 { 1 } else { 100 }, ..shape() }, 1);
        let mut driver = Driver::connect(url, stream.token())?;
        let hot = (0..batches * u64::from(branch == 1)).map(|i| Write::put(HOT, (i + 1).to_string()));
        let own = (0..PER_BRANCH).map(|i| Write::put(fields.path(i * 3), (i + branch * 1_000_000).to_string()));
        let before = stream.ops;
        driver.send_made(&mut stream, own.chain(hot))?;
        driver.wait_for(stream.ops - before + 1)?;
        drivers.push(driver);
    }
    Ok(drivers)
}

/// The ids of all forks, the head's first, once each shows its own leaves.
fn forks(node: &Node) -> Result<Vec<String>, Box<dyn Error>> {
    let start = Instant::now();
    loop {
        let answer = node.json(&format!("/api/query/forks?network={NETWORK}"))?;
        let mut found = Vec::new();
        collect(&answer, &mut found);
        if found.len() >= 3 {
            return Ok(found);
        }
        if start.elapsed() > Duration::from_secs(60) {
            return Err(format!("three forks expected: {answer}").into());
        }
    }
}

/// Every distinct `fork` in an answer, wherever it stands.
fn collect(answer: &serde_json::Value, found: &mut Vec<String>) {
    match answer {
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(id) if name == "fork" && !found.iter().any(|other| other == id) => found.push(id.to_owned()),
                    _ => collect(member, found),
                }
            }
        }
        _ => {}
    }
}

fn ask_for(node: &Node, connections: usize, path: impl Fn(u64) -> String + Sync) -> Result<Asked, Box<dyn Error>> {
    let seconds = size("HONEYGRAPH_BENCH_SECONDS", SECONDS);
    let right = |_: u64, status: u16, _: &[u8]| status == 200;
    let asked = ask(node.api_address(), connections, after(Duration::from_secs(seconds)), path, right)?;
    if asked.wrong > 0 {
        return Err(format!("{} answers were wrong", asked.wrong).into());
    }
    Ok(asked)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (leaves, batches) = (size("HONEYGRAPH_BENCH_LEAVES", LEAVES), size("HONEYGRAPH_BENCH_BATCHES", BATCHES));
    let folder = tempfile::tempdir()?;
    let node = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path()).start()?;
    let drivers = fill(&node, leaves, batches)?;
    let forks = forks(&node)?;
    let fields = Fields { paths: leaves };
    let leaf = |number: u64| {
        let [table, field] = fields.path(number.wrapping_mul(STRIDE) % leaves);
        let fork = &forks[(number / 7 % forks.len() as u64) as usize];
        format!("/api/query/path/{table}/{field}?network={NETWORK}&fork={fork}")
    };
    let constant = |_: u64| "/health/live".to_owned();
    let mut table =
        Table::new(format!("reads: {leaves} leaves on {} branches, {CONNECTIONS} connections", forks.len()));
    // In turns, so that both see the same machine.
    let mut rates = [0.0, 0.0];
    for _ in 0..2 {
        rates[0] += ask_for(&node, CONNECTIONS, constant)?.rate / 2.0;
        rates[1] += ask_for(&node, CONNECTIONS, leaf)?.rate / 2.0;
    }
    table.figure("constant route", format!("{:.0}/s", rates[0]));
    table.figure("leaf", format!("{:.0}/s", rates[1]));
    let ratio = rates[1] / rates[0];
    table.bound("ratio", format!("{ratio:.2}"), ">= 0.4", ratio >= 0.4);
    let of = |path: [&str; 2]| format!("/api/query/path/{}/{}?network={NETWORK}", path[0], path[1]);
    let (mut plain, mut hot) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        plain.push(ask_for(&node, 1, |_| of(PLAIN))?.latencies.at(0.5));
        hot.push(ask_for(&node, 1, |_| of(HOT))?.latencies.at(0.5));
    }
    let (plain, hot) = (median(&plain), median(&hot));
    table.figure("plain leaf", format!("{:.0} us", plain.as_secs_f64() * 1e6));
    table.figure(format!("leaf under {batches} dead versions"), format!("{:.0} us", hot.as_secs_f64() * 1e6));
    let ratio = hot.as_secs_f64() / plain.as_secs_f64();
    table.bound("ratio", format!("{ratio:.2}"), "<= 3", ratio <= 3.0);
    let answer = node.json(&of(HOT))?;
    if answer["data"] != 0 {
        return Err(format!("the head shows the dead fork's leaf: {answer}").into());
    }
    drop(drivers);
    table.finish();
    Ok(())
}
