//! Restart with 5,000,000 leaves: until ready, after a clean stop and after SIGKILL at full rate.
//!
//! `HONEYGRAPH_BENCH_LEAVES` sets the number of leaves.

use honeygraph_testnet::load::{Driver, Fields, Shape, Stream, Write};
use honeygraph_testnet::measure::{Table, ms, size};
use honeygraph_testnet::process::{Launch, Node};
use std::error::Error;
use std::time::{Duration, Instant};

const LEAVES: u64 = 5_000_000;

/// Ops acknowledged in the life that SIGKILL ends.
const BEFORE_KILL: u64 = 300_000;

const AFTER_STOP: Duration = Duration::from_secs(1);
const AFTER_KILL: Duration = Duration::from_secs(5);

fn start(launch: &Launch) -> Result<(Node, Duration), Box<dyn Error>> {
    let start = Instant::now();
    let mut node = launch.start()?;
    node.wait_until_ok("readiness", "/health/ready")?;
    Ok((node, start.elapsed()))
}

fn wait_for_end(node: &mut Node) -> Result<(), Box<dyn Error>> {
    Ok(node.wait_until_ok("the state at the tip", "/api/query/path/bench/end?network=spkccT_")?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let leaves = size("HONEYGRAPH_BENCH_LEAVES", LEAVES);
    let fields = Fields { paths: leaves };
    let folder = tempfile::tempdir()?;
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path());
    let (mut node, empty) = start(&launch)?;
    let mut stream = Stream::new(Shape { framed: 100, ..Shape::usual("restart") });
    let mut driver = Driver::connect(&node.endpoints.feed, stream.token())?;
    let writes = (0..leaves).map(|i| fields.write(i)).chain([Write::put(["bench", "end"], "1")]);
    driver.send_made(&mut stream, writes)?;
    driver.wait_for(stream.ops)?;
    wait_for_end(&mut node)?;
    drop(driver);
    node.process.stop()?;
    let (mut node, after_stop) = start(&launch)?;
    let mut stream = Stream::new(Shape { framed: 100, ..Shape::usual("restart, second life") });
    let mut driver = Driver::connect(&node.endpoints.feed, stream.token())?;
    let acks = driver.count();
    // It dies while more is on its way: sending ends because nobody is there any more.
    let writes = (0..).map(|i| fields.write(i)).inspect(|_| {
        if acks.so_far() >= BEFORE_KILL {
            node.process.kill();
        }
    });
    if driver.send_made(&mut stream, writes).is_ok() {
        return Err("the node took everything although it was killed".into());
    }
    let (_, after_kill) = start(&launch)?;
    let mut table = Table::new(format!("restart with {leaves} leaves, until ready"));
    table.figure("empty", ms(empty));
    table.bound("after a clean stop", ms(after_stop), "<= 1 s", after_stop <= AFTER_STOP);
    table.bound("after SIGKILL at full rate", ms(after_kill), "<= 5 s", after_kill <= AFTER_KILL);
    table.finish();
    Ok(())
}
