//! A newcomer's picture from three peers over the loopback, real processes.
//!
//! Yardstick, in the same run: `honeygraph picture import` of the same file, which checks and writes the same leaves without
//! a network. Beside it the leaves alone, asked and checked by a peer that writes nothing; and the newcomer again where of
//! three peers one lies about every leaf.
//!
//! `HONEYGRAPH_BENCH_MB` sets the size of the document (the promise is for 1000), `HONEYGRAPH_BENCH_ROUNDS` how often all is
//! measured.

use honeygraph::pictures::file::{Picture, Writer, unpack};
use honeygraph::swarm::host::Protocol;
use honeygraph_protocols::swarm::names::{Label, NetworkName};
use honeygraph_protocols::swarm::pictures::{Answer, LeavesWanted, Named, Request};
use honeygraph_protocols::swarm::wire::Message;
use honeygraph_testnet::api::Api;
use honeygraph_testnet::measure::{Table, median, ms, size};
use honeygraph_testnet::neighbour::{Manner, Neighbour, StandIn};
use honeygraph_testnet::process::{Launch, Node};
use serde_json::json;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const MB: u64 = 64;
const ROUNDS: u64 = 3;
const PEERS: usize = 3;
/// Questions that are out at once, as the newcomer has them.
const AT_ONCE: usize = 4;
const NETWORK: &str = "spkccT_";
const BINARY: &str = env!("CARGO_BIN_EXE_honeygraph");
/// Least share of the import's speed; least MB/s of the leaves alone; most of the honest time where some lie.
const SHARE: f64 = 0.7;
const RATE: f64 = 40.0;
const LIES: f64 = 1.5;

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let (megabytes, rounds) = (size("HONEYGRAPH_BENCH_MB", MB), size("HONEYGRAPH_BENCH_ROUNDS", ROUNDS));
    let folder = tempfile::tempdir()?;
    let file = picture(folder.path(), megabytes as usize * 1_000_000)?;
    let picture = Picture::open(&file)?;
    let bytes = picture.about().manifest.bytes;
    let mut nodes = (0..PEERS).map(|nth| serving(folder.path(), nth, &file)).collect::<Result<Vec<_>, _>>()?;
    let runtime = Runtime::new()?;
    let (mut imports, mut fetches, mut lied, mut leaves) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        imports.push(import(&folder.path().join(format!("import-{round}")), &file)?);
        let all: Vec<String> = nodes.iter().flat_map(|node| node.endpoints.swarm.clone()).collect();
        fetches.push(fetch(&folder.path().join(format!("fetch-{round}")), &all, picture.root().as_str())?);
        let liar = runtime.block_on(async {
            let behind = Arc::new(Neighbour::new().await?);
            let id = behind.meet(&nodes[2].endpoints.swarm).await?;
            StandIn::before(&behind, id, Manner::Liar).await
        })?;
        let two = nodes[..2].iter().flat_map(|node| node.endpoints.swarm.clone());
        let some: Vec<String> = two.chain(liar.addresses.clone()).collect();
        lied.push(fetch(&folder.path().join(format!("lied-{round}")), &some, picture.root().as_str())?);
        leaves.push(runtime.block_on(alone(&nodes[0], &picture))?);
        println!(
            "round {round}: {}, {}, {}",
            ms(imports[round as usize]),
            ms(fetches[round as usize]),
            ms(lied[round as usize])
        );
    }
    for node in &mut nodes {
        node.process.stop()?;
    }
    let [import, fetch, lied, leaves] = [imports, fetches, lied, leaves].map(|all| median(&all));
    let title = format!("a picture of {bytes} bytes ({} packed), median of {rounds}", picture.file_bytes());
    let mut table = Table::new(title);
    table.figure("import of the file", ms(import));
    table.figure(format!("newcomer from {PEERS} peers"), ms(fetch));
    table.figure("newcomer, one of them lies", ms(lied));
    let share = import.as_secs_f64() / fetch.as_secs_f64();
    table.bound("newcomer's share of the import's speed", format!("{share:.2}"), ">= 0.7", share >= SHARE);
    let rate = bytes as f64 / leaves.as_secs_f64() / 1e6;
    table.bound("leaves alone, MB/s", format!("{rate:.0}"), ">= 40", rate >= RATE);
    let ratio = lied.as_secs_f64() / fetch.as_secs_f64();
    table.bound("with a liar", format!("{ratio:.2}"), "<= 1.5", ratio <= LIES);
    table.finish();
    Ok(())
}

/// A picture that packs about as a state does.
fn picture(folder: &Path, bytes: usize) -> Result<PathBuf, Failed> {
    let path = folder.join("bench.picture");
    let mut writer = Writer::create(&path)?;
    writer.push(b"[18506,{\"balances\":{");
    let (mut nth, mut written) = (0_u64, 0);
    while written < bytes {
        let comma = if nth == 0 { "" } else { "," };
        let hash = blake3::hash(&nth.to_le_bytes()).to_hex();
        let leaf = format!(
            "{comma}\"account{nth:012}\":{{\"balance\":{},\"key\":\"{}\",\"last\":\"Qm{}\",\"power\":{}}}",
            nth * 7919 % 1_000_000_007,
            &hash[..16],
            &hash[16..40],
            nth * 104_729 % 10_000_019,
        );
        writer.push(leaf.as_bytes());
        (nth, written) = (nth + 1, written + leaf.len());
    }
    writer.push(b"}}]");
    let (network, label) = (NetworkName::new(NETWORK).ok_or("no name")?, Label::new(18_505).ok_or("no label")?);
    writer.finish(&network, label)?;
    Ok(path)
}

/// A node that has the picture.
fn serving(folder: &Path, nth: usize, file: &Path) -> Result<Node, Failed> {
    let data = folder.join(format!("node-{nth}"));
    let pictures = data.join("pictures").join(NETWORK);
    std::fs::create_dir_all(&pictures)?;
    std::fs::copy(file, pictures.join("18505_bench.picture"))?;
    Ok(Launch::new(BINARY, data).env("SYNC_ENABLED", "true").start()?)
}

fn import(data: &Path, file: &Path) -> Result<Duration, Failed> {
    let start = Instant::now();
    let (ended, printed) = Launch::new(BINARY, data).command(&["picture", "import", &file.display().to_string()])?;
    let took = start.elapsed();
    if !ended.success() {
        return Err(printed.into());
    }
    std::fs::remove_dir_all(data)?;
    Ok(took)
}

/// From the operator's word until the base is durable in the folder from which it is taken.
fn fetch(data: &Path, peers: &[String], root: &str) -> Result<Duration, Failed> {
    let launch = Launch::new(BINARY, data).env("SYNC_ENABLED", "true").env("PEERS", peers.join(","));
    let mut node = launch.start()?;
    let api = Api::new(&node.endpoints.api);
    let sync = format!("/api/sync/status?network={NETWORK}");
    let offered = |_: &serde_json::Value| {
        let pictures = &api.json(&sync).ok()?["pictures"];
        (pictures["fetched"]["offered"][0]["peers"] == PEERS).then_some(())
    };
    api.wait(NETWORK, "the offers", offered)?;
    let start = Instant::now();
    api.post("/api/admin/trust", &json!({ "hash": root, "reason": "bench", "network": NETWORK }))?;
    let there = |place: &str| data.join(place).join(NETWORK).join(format!("{root}.json")).exists();
    while !there("found") && !there("base") {
        if node.process.ended().is_some() {
            return Err("the newcomer has ended".into());
        }
        #[expect(clippy::disallowed_methods, reason = "looks again for progress; no outcome depends on it")]
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = start.elapsed();
    node.process.kill();
    std::fs::remove_dir_all(data)?;
    Ok(took)
}

/// A peer asks one node for all leaves, unpacks and checks them.
async fn alone(node: &Node, picture: &Picture) -> Result<Duration, Failed> {
    let peer = Arc::new(Neighbour::new().await?);
    let id = peer.meet(&node.endpoints.swarm).await?;
    let manifest = Arc::new(picture.about().manifest.clone());
    let of = Named { network: NetworkName::new(NETWORK).ok_or("no name")?, root: picture.root().clone() };
    let mut rest = 0..manifest.groups();
    let mut out = JoinSet::new();
    let start = Instant::now();
    loop {
        while out.len() < AT_ONCE
            && let Some(nth) = rest.next()
        {
            let (peer, manifest) = (peer.clone(), manifest.clone());
            let request = Request::Leaves(LeavesWanted { of: of.clone(), group: nth as u32 });
            out.spawn(async move {
                let request = request.encode().ok_or("a question longer than it may be")?;
                let answer = peer.handle.ask(id, Protocol::Pictures, request).await?;
                let Answer::Leaves(packed) = Answer::decode(&answer)? else { return Err(Failed::from("no leaves")) };
                tokio::task::spawn_blocking(move || unpack(&manifest, nth, &packed)).await??;
                Ok(())
            });
        }
        match out.join_next().await {
            Some(answer) => answer??,
            None => return Ok(start.elapsed()),
        }
    }
}
