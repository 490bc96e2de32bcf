//! Catch-up from four peers of which one lies and one gives 5 % of its fair share, over the loopback.
//!
//! Yardstick, in the same run: the catch-up from four honest ones. All four are nodes with the same history; before two of them
//! stand peers that answer in their place (`honeygraph_testnet::neighbour`).
//!
//! `HONEYGRAPH_BENCH_OPS` sets how long the history is, `HONEYGRAPH_BENCH_ROUNDS` how often both are measured.

use honeygraph_testnet::api::Api;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::fetching;
use honeygraph_testnet::honeycomb::live::Pace;
use honeygraph_testnet::honeycomb::{Config, Honeycomb, Profile};
use honeygraph_testnet::measure::{Table, median, ms, size};
use honeygraph_testnet::neighbour::{Manner, Neighbour, StandIn, batches};
use honeygraph_testnet::process::{Launch, Node};
use serde_json::Value;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

const OPS: u64 = 300_000;
const ROUNDS: u64 = 5;
const PEERS: usize = 4;
/// What the slow one gives of what each of four would give.
const SHARE: f64 = 0.05;
/// Most of the yardstick's time.
const BOUND: f64 = 1.3;
const NETWORK: &str = "spkcc_";
const BINARY: &str = env!("CARGO_BIN_EXE_honeygraph");

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let (ops, rounds) = (size("HONEYGRAPH_BENCH_OPS", OPS), size("HONEYGRAPH_BENCH_ROUNDS", ROUNDS));
    let folder = tempfile::tempdir()?;
    let (mut nodes, status) = nodes(folder.path(), ops)?;
    let runtime = Runtime::new()?;
    let bytes = runtime.block_on(bytes(&nodes[0], &status))?;
    let (mut honest, mut mixed, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let all: Vec<String> = nodes.iter().flat_map(|node| node.endpoints.swarm.clone()).collect();
        let data = folder.path().join(format!("fetch-{round}"));
        let took = fetch(&data, &all, &status)?;
        let rate = bytes as f64 / PEERS as f64 / took.as_secs_f64() * SHARE;
        let (liar, slow) = runtime.block_on(async {
            let liar = stand_in(&nodes[2], Manner::Liar).await?;
            Ok::<_, Failed>((liar, stand_in(&nodes[3], Manner::Slow(rate)).await?))
        })?;
        let two = nodes[..2].iter().flat_map(|node| node.endpoints.swarm.clone());
        let some: Vec<String> = two.chain(liar.addresses.clone()).chain(slow.addresses.clone()).collect();
        let beside = fetch(&data, &some, &status)?;
        println!(
            "round {round}: {} and {}; the liar gave {} bytes, the slow one {}",
            ms(took),
            ms(beside),
            liar.given(),
            slow.given()
        );
        shares.push(slow.given() as f64 * PEERS as f64 / bytes as f64);
        honest.push(took);
        mixed.push(beside);
    }
    for node in &mut nodes {
        node.process.stop()?;
    }
    let (honest, mixed) = (median(&honest), median(&mixed));
    let ratio = mixed.as_secs_f64() / honest.as_secs_f64();
    let share = shares.iter().sum::<f64>() / shares.len() as f64;
    let mut table = Table::new(format!("catch-up of {ops} ops ({bytes} bytes) from {PEERS} peers, median of {rounds}"));
    table.figure("four honest ones", ms(honest));
    table.figure("one lies, one is slow", ms(mixed));
    table.figure("what the slow one gave of its fair share", format!("{:.1} %", share * 100.0));
    table.bound("ratio", format!("{ratio:.2}"), "<= 1.3", ratio <= BOUND);
    table.finish();
    Ok(())
}

/// Four nodes with the same history, and what the first shows of it.
fn nodes(folder: &Path, ops: u64) -> Result<(Vec<Node>, Value), Failed> {
    let launch = |nth: usize| Launch::new(BINARY, folder.join(format!("node-{nth}"))).env("SYNC_ENABLED", "true");
    let mut node = launch(0).start()?;
    let honeycomb = Honeycomb::new(Config::new(Profile::Published, 1))?;
    let pace = Pace { ops, pause: Duration::ZERO, ..Pace::new(format!("{}/ws", node.endpoints.feed)) };
    let (_, report) = Feeding::start(honeycomb, pace)?.finish();
    if !report.complete {
        return Err(format!("the first node was not fed: {report:?}").into());
    }
    let status = Api::new(&node.endpoints.api).settled(NETWORK)?;
    node.process.stop()?;
    let file = folder.join("journal").display().to_string();
    let offline = |nth: usize, what: &str| {
        let (ended, printed) = launch(nth).command(&["journal", what, &file, "--network", NETWORK])?;
        if ended.success() { Ok(()) } else { Err(Failed::from(printed)) }
    };
    offline(0, "export")?;
    (1..PEERS).try_for_each(|nth| offline(nth, "import"))?;
    let nodes = (0..PEERS).map(|nth| Ok(launch(nth).start()?)).collect::<Result<Vec<Node>, Failed>>()?;
    for node in &nodes {
        Api::new(&node.endpoints.api).settled(NETWORK)?;
    }
    Ok((nodes, status))
}

/// Bytes of all answers that make the history.
async fn bytes(node: &Node, status: &Value) -> Result<u64, Failed> {
    let peer = Neighbour::new().await?;
    let id = peer.meet(&node.endpoints.swarm).await?;
    let newest = status["head"]["period"].as_str().ok_or("the node has no head")?;
    let mut bytes = 0;
    for header in peer.headers(id, NETWORK, newest).await? {
        bytes += peer.ask(id, &batches(&header, 0)).await?.len() as u64;
    }
    Ok(bytes)
}

async fn stand_in(node: &Node, manner: Manner) -> Result<StandIn, Failed> {
    let behind = Arc::new(Neighbour::new().await?);
    let id = behind.meet(&node.endpoints.swarm).await?;
    StandIn::before(&behind, id, manner).await
}

/// A node that has nothing fetches it all from these peers.
fn fetch(data: &Path, peers: &[String], status: &Value) -> Result<Duration, Failed> {
    let launch = Launch::new(BINARY, data).env("SYNC_ENABLED", "true").env("PEERS", peers.join(","));
    let mut node = launch.start()?;
    let api = Api::new(&node.endpoints.api);
    fetching::wait_for_peers(&api, NETWORK, PEERS)?;
    let took = fetching::fetch(&api, NETWORK, status)?;
    node.process.stop()?;
    std::fs::remove_dir_all(data)?;
    Ok(took)
}
