//! Memory: the most a node ever had resident while it took 5,000,000 ops over 200,000 paths, with default caches.
//!
//! `HONEYGRAPH_BENCH_OPS` sets the number of ops.

use honeygraph_testnet::load::{Driver, Fields, Shape, Stream, Write};
use honeygraph_testnet::measure::{Table, size};
use honeygraph_testnet::process::Launch;
use std::error::Error;
use std::time::Instant;

const OPS: u64 = 5_000_000;
const PATHS: u64 = 200_000;

/// Bytes.
const BOUND: u64 = 300_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let ops = size("HONEYGRAPH_BENCH_OPS", OPS);
    let fields = Fields { paths: PATHS };
    let folder = tempfile::tempdir()?;
    let mut node = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path()).start()?;
    let mut stream = Stream::new(Shape::usual("memory"));
    let mut driver = Driver::connect(&node.endpoints.feed, stream.token())?;
    let start = Instant::now();
    let writes = (0..ops - 1).map(|i| fields.write(i)).chain([Write::put(["bench", "end"], "1")]);
    driver.send_made(&mut stream, writes)?;
    driver.wait_for(stream.ops)?;
    node.wait_until_ok("the state at the tip", "/api/query/path/bench/end?network=spkccT_")?;
    let rate = ops as f64 / start.elapsed().as_secs_f64();
    let peak = node.process.peak_memory().ok_or("the kernel does not say")?;
    let mut table = Table::new(format!("memory for {ops} ops over {PATHS} paths"));
    table.figure("rate", format!("{rate:.0} ops/s"));
    table.bound("most resident", format!("{:.0} MB", peak as f64 / 1e6), "<= 300 MB", peak <= BOUND);
    table.finish();
    Ok(())
}
