//! A state that is made anew of a snapshot, while the node runs: of the newest one and of the one fifty checkpoints before it,
//! alternating, until it has applied the journal behind it. On ZFS (zfs-fuse, or what there is) and in plain folders.
//!
//! Going back fifty checkpoints takes no longer than going back one: the snapshot is copied, whichever it is.
//!
//! `HONEYGRAPH_BENCH_ROUNDS` sets how often both are measured.

#[path = "../tests/desk/mod.rs"]
mod desk;
#[path = "../tests/grounds/mod.rs"]
mod grounds;

use desk::{NETWORK, PERIODS, config, honeycomb, pace};
use grounds::ZfsPool;
use honeygraph::config::Config;
use honeygraph::snapshots::place::Which;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::honeycomb::Profile;
use honeygraph_testnet::local::LocalNode;
use honeygraph_testnet::measure::{Table, median, ms, size};
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: u64 = 15;
const BACK: usize = 50;
/// Ops of about one checkpoint of the tests' network.
const STEP: u64 = 150;
const BOUND: f64 = 2.0;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = size("HONEYGRAPH_BENCH_ROUNDS", ROUNDS);
    let folder = tempfile::tempdir()?;
    measure("plain folders", settings(folder.path(), Which::Plain, None), rounds)?;
    match ZfsPool::new() {
        Some(pool) => measure("ZFS", settings(pool.outside(), Which::Zfs, Some(pool.parent())), rounds)?,
        None => println!("no ZFS here"),
    }
    Ok(())
}

fn settings(folder: &Path, which: Which, dataset: Option<String>) -> Config {
    let mut config = config(folder, PERIODS);
    (config.snapshots.which, config.snapshots.dataset) = (which, dataset);
    config.snapshots.pause = Duration::ZERO;
    config
}

fn measure(what: &str, config: Config, rounds: u64) -> Result<(), Box<dyn Error>> {
    let node = LocalNode::start(config)?;
    let listed = || -> Result<Vec<Value>, Box<dyn Error>> {
        let listed = node.api().json(&format!("/api/checkpoints/list?network={NETWORK}"))?;
        Ok(listed["checkpoints"].as_array().cloned().unwrap_or_default())
    };
    let mut ops = 0;
    while listed()?.len() <= BACK {
        ops += STEP;
        Feeding::start(honeycomb(Profile::Published, 61, PERIODS, &[]), pace(&node, ops))?.finish();
        node.api().settled(NETWORK)?;
        // The newest checkpoint whose period is closed, if it has none yet.
        let _ = node.api().send("/api/checkpoints/create", &json!({ "network": NETWORK }))?;
    }
    let all = listed()?;
    let block = |back: usize| all[all.len() - back]["blockNum"].as_u64();
    let restored = |block: Option<u64>| -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        let order = json!({ "network": NETWORK });
        node.api().post(&format!("/api/checkpoints/restore/{}", block.ok_or("no block")?), &order)?;
        node.api().settled(NETWORK)?;
        Ok(start.elapsed())
    };
    let (mut one, mut fifty) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        one.push(restored(block(1))?);
        fifty.push(restored(block(BACK))?);
    }
    node.stop()?;
    let (one, fifty) = (median(&one), median(&fifty));
    let ratio = fifty.as_secs_f64() / one.as_secs_f64();
    let mut table = Table::new(format!("a state made anew of a snapshot, {what}, median of {rounds}"));
    table.figure("one checkpoint back", ms(one));
    table.figure("fifty checkpoints back", ms(fifty));
    table.bound("ratio", format!("{ratio:.2}"), "<= 2", ratio <= BOUND);
    table.finish();
    Ok(())
}
