//! Catch-up over the loopback: a node that has nothing fetches a history of 1,000,000 ops from one that was fed, until all of it
//! is durable and in the state.
//!
//! Yardstick, in the same run: `honeygraph journal import` of the same journal, which is durable then and has no state yet; beside
//! it the start after it, until the state is there.
//!
//! Where the time goes (two cores, both nodes on them): all of both; no function takes more than 6 %. What arrives is decompressed
//! three times (checked against its header, by the supplier for the core, by the state's reader), the state takes a quarter, the
//! proofs a tenth, the peer's serving a quarter.
//!
//! `HONEYGRAPH_BENCH_OPS` sets how long the history is.

use honeygraph_testnet::api::Api;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::fetching;
use honeygraph_testnet::honeycomb::live::Pace;
use honeygraph_testnet::honeycomb::{Config, Honeycomb, Profile};
use honeygraph_testnet::measure::{Table, median, ms, size};
use honeygraph_testnet::process::{Launch, Node};
use serde_json::Value;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const OPS: u64 = 1_000_000;
const ROUNDS: usize = 3;
const NETWORK: &str = "spkcc_";
const BINARY: &str = env!("CARGO_BIN_EXE_honeygraph");

fn main() -> Result<(), Box<dyn Error>> {
    let ops = size("HONEYGRAPH_BENCH_OPS", OPS);
    let folder = tempfile::tempdir()?;
    let source = Launch::new(BINARY, folder.path().join("source")).env("SYNC_ENABLED", "true");
    let mut node = source.start()?;
    let honeycomb = Honeycomb::new(Config::new(Profile::Published, 1))?;
    let pace = Pace { ops, pause: Duration::ZERO, ..Pace::new(format!("{}/ws", node.endpoints.feed)) };
    let (_, report) = Feeding::start(honeycomb, pace)?.finish();
    if !report.complete {
        return Err(format!("the source was not fed: {report:?}").into());
    }
    let status = Api::new(&node.endpoints.api).settled(NETWORK)?;
    let file = folder.path().join("journal");
    offline(&["journal", "export"], &file, &folder.path().join("source"))?;
    let (mut imports, mut starts, mut fetches) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let data = folder.path().join(format!("import-{round}"));
        let start = Instant::now();
        offline(&["journal", "import"], &file, &data)?;
        imports.push(start.elapsed());
        let start = Instant::now();
        let mut imported = Launch::new(BINARY, &data).start()?;
        Api::new(&imported.endpoints.api).settled(NETWORK)?;
        starts.push(start.elapsed());
        imported.process.stop()?;
        let data = folder.path().join(format!("fetch-{round}"));
        fetches.push(fetch(&node, &data, &status)?);
        std::fs::remove_dir_all(data)?;
    }
    node.process.stop()?;
    let (import, fetch) = (median(&imports), median(&fetches));
    let ratio = import.as_secs_f64() / fetch.as_secs_f64();
    let whole = (import + median(&starts)).as_secs_f64() / fetch.as_secs_f64();
    let mut table = Table::new(format!("catch-up of {ops} ops over the loopback, median of {ROUNDS}"));
    table.figure("journal import, durable", ms(import));
    table.figure("the start after it, until the state is there", ms(median(&starts)));
    table.figure("catch-up, durable and in the state", ms(fetch));
    table.figure("the same, ops a second", format!("{:.0}", ops as f64 / fetch.as_secs_f64()));
    table.figure("of import and start together", format!("{whole:.2}"));
    table.bound("of journal import", format!("{ratio:.2}"), ">= 0.7 (aim 0.9)", ratio >= 0.7);
    table.finish();
    Ok(())
}

/// A command on a data folder.
fn offline(words: &[&str], file: &Path, data: &Path) -> Result<(), Box<dyn Error>> {
    let done =
        Command::new(BINARY).args(words).arg(file).arg("--data-dir").arg(data).args(["--network", NETWORK]).output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{words:?}: {}", String::from_utf8_lossy(&done.stderr)).into())
}

/// A node that has nothing fetches it all.
fn fetch(source: &Node, data: &Path, status: &Value) -> Result<Duration, Box<dyn Error>> {
    let launch = Launch::new(BINARY, data).env("SYNC_ENABLED", "true").env("PEERS", source.endpoints.swarm.join(","));
    let mut node = launch.start()?;
    let api = Api::new(&node.endpoints.api);
    fetching::wait_for_peers(&api, NETWORK, 1)?;
    let took = fetching::fetch(&api, NETWORK, status)?;
    node.process.stop()?;
    Ok(took)
}
