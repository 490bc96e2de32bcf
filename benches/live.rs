//! A live feed of 1,000 ops a second at a node from which, at the same time, others that have nothing fetch its whole history,
//! one after the other: from a write marker to the ack of the last op before it. All of them share the machine.
//!
//! Yardstick, in the same run: the same feed at the same node before anybody fetches.
//!
//! `HONEYGRAPH_BENCH_OPS` sets how long the history is, `HONEYGRAPH_BENCH_PERIODS` for how many periods it is fed beside.

use honeygraph_testnet::api::Api;
use honeygraph_testnet::fetching;
use honeygraph_testnet::load::{Mix, Shape, Stream, drive, drive_at_rate};
use honeygraph_testnet::measure::{Percentiles, Table, append_and_sync, median, ms, size};
use honeygraph_testnet::process::{Launch, Node};
use serde_json::Value;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

const OPS: u64 = 304_000;
/// Ops in a period: few enough periods that no day ends, for the hashes are made up.
const PER_PERIOD: u64 = 8_000;
const PERIODS: u64 = 4;
/// Ops a second, in batches of [`PER_BATCH`].
const RATE: u64 = 1_000;
const PER_BATCH: u64 = 10;
const BOUND: Duration = Duration::from_millis(250);
const NETWORK: &str = "spkccT_";
const BINARY: &str = env!("CARGO_BIN_EXE_honeygraph");

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let before = size("HONEYGRAPH_BENCH_OPS", OPS) / PER_PERIOD;
    let beside = size("HONEYGRAPH_BENCH_PERIODS", PERIODS);
    let folder = tempfile::tempdir()?;
    let disk = append_and_sync(folder.path(), 500, Duration::ZERO)?;
    let node = Launch::new(BINARY, folder.path().join("node")).env("SYNC_ENABLED", "true").start()?;
    let mut mix = Mix::new(1000, 0.02);
    drive(&node.endpoints.feed, &periods(&mut mix, 0, before))?;
    let api = Api::new(&node.endpoints.api);
    let status = api.settled(NETWORK)?;
    let pause = Duration::from_secs(1) / u32::try_from(RATE / PER_BATCH)?;
    let alone = periods(&mut mix, before, 1);
    let alone = Percentiles::of(drive_at_rate(&node.endpoints.feed, &alone, pause)?);
    let stream = periods(&mut mix, before + 1, beside);
    let (acks, fetches) = std::thread::scope(|scope| {
        let feed = scope.spawn(|| drive_at_rate(&node.endpoints.feed, &stream, pause));
        let mut fetches = Vec::new();
        while !feed.is_finished() {
            fetches.push(fetch(&node, &folder.path().join(format!("fetch-{}", fetches.len())), &status)?);
        }
        let acks = feed.join().map_err(|_| "the feed panicked")??;
        Ok::<_, Failed>((Percentiles::of(acks), fetches))
    })?;
    let mut table =
        Table::new(format!("marker to ack at {RATE} ops/s beside a peer that fetches {} ops", before * PER_PERIOD));
    table.figure("append + fdatasync, p50 / p99", format!("{} / {}", ms(disk.at(0.5)), ms(disk.at(0.99))));
    table.figure("alone, p50 / p99", format!("{} / {}", ms(alone.at(0.5)), ms(alone.at(0.99))));
    table.figure("beside, p50", ms(acks.at(0.5)));
    table.bound("beside, p99", ms(acks.at(0.99)), "<= 250 ms", acks.at(0.99) <= BOUND);
    table.figure("beside, most", ms(acks.at(1.0)));
    table
        .figure("beside, of alone (p99)", format!("{:.1}", acks.at(0.99).as_secs_f64() / alone.at(0.99).as_secs_f64()));
    table.figure("a fetch, median", ms(median(&fetches)));
    table.bound("fetches meanwhile", fetches.len().to_string(), ">= 2, one after the other", fetches.len() >= 2);
    table.finish();
    Ok(())
}

/// So many periods of the history from this one on, the next one begun.
fn periods(mix: &mut Mix, first: u64, periods: u64) -> Stream {
    let shape = Shape { per_marker: PER_BATCH, per_period: PER_PERIOD, ..Shape::usual("live") };
    let mut stream = Stream::from_period(shape, first);
    for i in first * PER_PERIOD..(first + periods) * PER_PERIOD {
        let write = mix.write(i, stream.block());
        stream.push(&write);
    }
    stream.finish();
    stream
}

/// A node that has nothing fetches what there was before the live feed.
fn fetch(source: &Node, data: &Path, status: &Value) -> Result<Duration, Failed> {
    let launch = Launch::new(BINARY, data).env("SYNC_ENABLED", "true").env("PEERS", source.endpoints.swarm.join(","));
    let mut node = launch.start()?;
    let api = Api::new(&node.endpoints.api);
    fetching::wait_for_peers(&api, NETWORK, 1)?;
    let took = fetching::fetch(&api, NETWORK, status)?;
    node.process.stop()?;
    std::fs::remove_dir_all(data)?;
    Ok(took)
}
