//! What many peers cost in memory while a node fetches from them: a real node, its peak resident memory, a ceiling.

use honeygraph_testnet::api::Api;
use honeygraph_testnet::fetching;
use honeygraph_testnet::load::{Shape, Stream, Write, drive};
use honeygraph_testnet::neighbour::{Manner, Neighbour, StandIn, meet};
use honeygraph_testnet::process::Launch;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;

const NETWORK: &str = "spkccT_";
const PEERS: usize = 50;

/// Most that the node may ever have resident, in bytes.
const CEILING: u64 = 300_000_000;

/// Periods: more than are fetched at a time, and fewer than a day has left, for the hashes are made up.
const PERIODS: u64 = 48;

/// Ops of each, and bytes of each op's data: about 4 MiB a period once they are packed.
const OPS: u64 = 200;
const BYTES: usize = 28_000;

/// Data that packs to three quarters and no further.
fn data(nth: u64) -> String {
    const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+-";
    let mut random = vec![0; BYTES];
    blake3::Hasher::new().update(&nth.to_le_bytes()).finalize_xof().fill(&mut random);
    let digits: String = random.iter().map(|byte| DIGITS[usize::from(byte % 64)] as char).collect();
    format!("\"{digits}\"")
}

fn history() -> Stream {
    let mut stream = Stream::new(Shape { per_marker: 10, per_period: OPS, ..Shape::usual("many") });
    for nth in 0..PERIODS * OPS {
        stream.push(&Write::put(["many".to_owned(), format!("{}", nth % 1_000)], data(nth)));
    }
    stream.finish();
    stream
}

fn launch(folder: &Path) -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder).env("SYNC_ENABLED", "true")
}

#[test]
fn a_node_that_fetches_from_fifty_peers_stays_small() {
    let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let source = launch(one.path()).start().expect("a node");
    drive(&source.endpoints.feed, &history()).expect("fed");
    let status = Api::new(&source.endpoints.api).settled(NETWORK).expect("settled");
    let newcomer = launch(other.path()).start().expect("a node");
    let runtime = Runtime::new().expect("threads");
    let peers: Vec<StandIn> = runtime.block_on(async {
        let behind = Arc::new(Neighbour::new().await.expect("a peer"));
        let node = behind.meet(&source.endpoints.swarm).await.expect("met");
        let mut peers = Vec::new();
        for _ in 0..PEERS {
            let peer = StandIn::before(&behind, node, Manner::Honest).await.expect("a peer");
            meet(&peer.handle, &newcomer.endpoints.swarm).await.expect("met");
            peers.push(peer);
        }
        peers
    });
    let api = Api::new(&newcomer.endpoints.api);
    fetching::wait_for_peers(&api, NETWORK, PEERS).expect("peers");
    fetching::fetch(&api, NETWORK, &status).expect("fetched");
    let given: Vec<u64> = peers.iter().map(StandIn::given).collect();
    let (all, gave) = (given.iter().sum::<u64>(), given.iter().filter(|bytes| **bytes > 1 << 20).count());
    let peak = newcomer.process.peak_memory().expect("the kernel says");
    println!("{} MB at most; {gave} peers gave {} MB", peak / 1_000_000, all / 1_000_000);
    assert!(all > PERIODS * OPS * BYTES as u64 / 2 && gave > 10, "{all} bytes, by {gave} peers");
    assert!(peak < CEILING, "{peak}");
}
