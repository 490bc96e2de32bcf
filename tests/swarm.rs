//! A node becomes a replica from other nodes alone: one that is fed, others that have a first peer and a hash to trust.

mod desk;

use desk::{NETWORK, PERIODS, config, honeycomb, pace, told};
use honeygraph::config::Config;
use honeygraph::swarm::host::{AskError, Protocol};
use honeygraph::swarm::peers::PeerBook;
use honeygraph::swarm::sync::check::{self, Room};
use honeygraph::swarm::votes::bound;
use honeygraph_bootstrap::identity;
use honeygraph_bootstrap::source::Source;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Answer, BatchesWanted, HeadersWanted, Request, Walk};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::status::{Request as StatusRequest, Status};
use honeygraph_protocols::swarm::wire::Message;
use honeygraph_testnet::STILL;
use honeygraph_testnet::api::Api;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::held::Held;
use honeygraph_testnet::honeycomb::live::Pace;
use honeygraph_testnet::honeycomb::{Fault, Honeycomb, Profile};
use honeygraph_testnet::load::{Shape, Stream, Write, drive};
use honeygraph_testnet::local::LocalNode;
use honeygraph_testnet::neighbour::{self, Neighbour};
use honeygraph_testnet::process::Launch;
use honeygraph_testnet::swarm::voter::Account;
use libp2p::PeerId;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Ops with which the first period that has its place has begun, and has not ended.
const FIRST_OPS: u64 = 250;

/// A node in the swarm, with these first peers.
fn in_swarm(folder: &Path, peers: &[&LocalNode]) -> Config {
    let mut config = config(folder, PERIODS);
    config.swarm.enabled = true;
    for address in peers.iter().flat_map(|peer| &peer.endpoints().swarm) {
        config.swarm.sources.push(Source::parse(address).unwrap());
        config.swarm.trusted.push(address.rsplit_once("/p2p/").unwrap().1.parse().unwrap());
    }
    config
}

/// Feeds a node, and gives its status when all of it is applied.
fn fed(node: &LocalNode, honeycomb: Honeycomb, ops: u64) -> (Honeycomb, Value) {
    let (honeycomb, report) = Feeding::start(honeycomb, pace(node, ops)).unwrap().finish();
    assert!(report.complete && report.unacked == 0, "{report:?}");
    (honeycomb, node.api().settled(NETWORK).unwrap())
}

fn trust(node: &LocalNode, hash: &Value) {
    let order = json!({ "hash": hash, "reason": "seen elsewhere", "network": NETWORK });
    node.api().post("/api/admin/trust", &order).unwrap();
}

/// Waits until a node's head stands there.
fn reaches(node: &LocalNode, head: &Value) {
    let api = node.api();
    let there = api.wait(NETWORK, "the head", |status| (status["head"]["batch"] == head["batch"]).then_some(()));
    if let Err(error) = there {
        let swarm = api.json("/api/sync/status").unwrap();
        panic!("{error}\n{}\n{swarm:#}", told(&api.status(NETWORK).unwrap()));
    }
}

/// The batches of the head's history, and the whole state, are the same.
fn assert_equal(one: &LocalNode, other: &LocalNode) {
    let state = |node: &LocalNode| {
        node.api().settled(NETWORK).unwrap();
        node.api().leaves(NETWORK, "").unwrap()
    };
    assert!(state(one) == state(other), "the states differ");
    let chain = |node: &LocalNode| {
        let mut held = Held::new(NETWORK);
        held.read_on(&node.config().data_dir).unwrap();
        held.head_chain()
    };
    let (ours, theirs) = (chain(one), chain(other));
    assert!(ours.len() > 100 && ours == theirs, "{} and {}", ours.len(), theirs.len());
}

fn verify(data: &Path) {
    let done =
        Command::new(env!("CARGO_BIN_EXE_honeygraph")).arg("verify").arg("--data-dir").arg(data).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

/// Guards against: what was supplied counted as taken before the state showed it, and was fetched again for ever.
#[test]
fn a_newcomer_with_a_peer_and_a_hash_becomes_equal_and_catches_up() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = LocalNode::start(in_swarm(one.path(), &[])).unwrap();
    let slowly = Pace { rate: 3000.0, ..pace(&source, 5000) };
    let feeding = Feeding::start(honeycomb(Profile::Published, 31, PERIODS, &[]), slowly).unwrap();
    let half = |status: &Value| (status["head"]["opening_label"].as_u64()? >= 300).then(|| status.clone());
    let status = source.api().wait(NETWORK, "half of it", half).unwrap();
    let newcomer = LocalNode::start(in_swarm(other.path(), &[&source])).unwrap();
    trust(&newcomer, &status["head"]["period"]);
    let label = status["head"]["opening_label"].as_u64();
    // Up to the checkpoint: what came behind it may be closed by now, and then it has a hash of its own to be trusted.
    let there =
        |status: &Value| (status["head"]["opening_label"].as_u64().map(|at| at + desk::EVERY) >= label).then_some(());
    newcomer.api().wait(NETWORK, "what was there when it came", there).unwrap();

    // Away for a while.
    let config = newcomer.config().clone();
    newcomer.stop().unwrap();
    let (_, report) = feeding.finish();
    assert!(report.complete && report.unacked == 0, "{report:?}");
    let status = source.api().settled(NETWORK).unwrap();
    let newcomer = LocalNode::start(config).unwrap();
    trust(&newcomer, &status["head"]["period"]);
    reaches(&newcomer, &status["head"]);
    assert_equal(&source, &newcomer);
    let data = newcomer.config().data_dir.clone();
    let peers = newcomer.api().json("/api/honeygraph-peers").unwrap();
    assert_eq!(peers.as_array().unwrap().len(), 1, "{peers}");
    newcomer.stop().unwrap();
    verify(&data);
    source.stop().unwrap();
}

/// Failed once: it stood still until the first period was over, and its end trusted.
#[test]
fn the_first_period_is_followed_while_it_is_open() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = LocalNode::start(in_swarm(one.path(), &[])).unwrap();
    let (_, status) = fed(&source, honeycomb(Profile::Published, 36, PERIODS, &[]), FIRST_OPS);
    assert!(status["head"]["batch"].is_string(), "nothing has its place yet: {status}");
    let newcomer = LocalNode::start(in_swarm(other.path(), &[&source])).unwrap();
    trust(&newcomer, &status["head"]["period"]);
    reaches(&newcomer, &status["head"]);
    let followed = newcomer.api().settled(NETWORK).unwrap();
    assert_eq!(followed["head"]["opening_label"], status["head"]["opening_label"]);
    let swarm = newcomer.api().json(&format!("/api/sync/status?network={NETWORK}")).unwrap();
    assert_eq!(swarm["progress"]["done"], 0, "it had ended: {swarm}");
    newcomer.stop().unwrap();
    source.stop().unwrap();
}

/// The account's word for a node that has not started yet.
fn bind(config: &Config, account: &Account) {
    let key = identity::load_or_make(&config.data_dir.join("swarm/key")).unwrap();
    let peer = PeerKey::from_peer_id(&identity::peer_id(&key).to_bytes()).unwrap();
    bound::write(&config.data_dir.join("swarm/binding.json"), &account.bind_key(peer, 1_764_000_000_000)).unwrap();
}

/// Waits until a node has let peers go for this reason.
fn lets_go(node: &LocalNode, why: &str) {
    let line = format!("honeygraph_peers_let_go_total{{why=\"{why}\"}}");
    let at = node.endpoints().api.trim_start_matches("http://").to_owned();
    let metrics = || String::from_utf8(honeygraph_testnet::http::get(&at, "/metrics").unwrap().1).unwrap();
    let let_go = node.api().wait(NETWORK, "a peer that is let go", |_| metrics().contains(&line).then_some(()));
    let_go.unwrap_or_else(|error| panic!("{error}\n{}", metrics()));
}

/// A node that takes nodes of alice only: one that nobody has bound gets nothing, hers gets everything, until she has another
/// key than the one by which she bound it.
#[test]
fn only_nodes_of_listed_accounts_are_served() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (alice, keys) = (Account::new("alice"), folders[0].path().join("keys.json"));
    let her_key_is = |of: &Account| {
        std::fs::write(&keys, json!({ "alice": { "active": [of.key().to_string()] } }).to_string()).unwrap();
    };
    her_key_is(&alice);
    let mut config = in_swarm(folders[0].path(), &[]);
    config.swarm.accounts.insert(alice.name.clone());
    config.access.account_keys = Some(keys.clone());
    let source = LocalNode::start(config).unwrap();
    let (_, status) = fed(&source, honeycomb(Profile::Published, 39, PERIODS, &[]), 1500);

    let stranger = LocalNode::start(in_swarm(folders[1].path(), &[&source])).unwrap();
    trust(&stranger, &status["head"]["period"]);
    lets_go(&source, "unbound");
    assert_eq!(stranger.api().status(NETWORK).unwrap()["head"], Value::Null, "it was served");
    stranger.stop().unwrap();

    let config = in_swarm(folders[2].path(), &[&source]);
    bind(&config, &alice);
    let hers = LocalNode::start(config).unwrap();
    trust(&hers, &status["head"]["period"]);
    reaches(&hers, &status["head"]);
    assert_equal(&source, &hers);
    let config = hers.config().clone();
    hers.stop().unwrap();

    her_key_is(&Account::new("alice-anew"));
    let hers = LocalNode::start(config).unwrap();
    lets_go(&source, "not_signed");
    hers.stop().unwrap();
    source.stop().unwrap();
}

/// Row 17, where a swarm is needed: a text is a peer's name or address, or nothing.
#[test]
fn hostile_texts_are_refused_by_the_routes_of_the_swarm() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(in_swarm(folder.path(), &[])).unwrap();
    let api = node.api();
    for text in [
        "\"",
        "') or 1=1 --",
        "(a+)+$",
        "$(id)",
        "; id",
        "-rf",
        "\r\nx: 1",
        "\0",
        "../../etc/passwd",
        "file:///etc/passwd",
    ] {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let mut answers = vec![
            api.send("/api/sync/peers", &json!({ "url": text, "nodeId": text, "peerId": text })),
            api.send("/api/sync/discover", &json!({ "nodes": [text] })),
            api.send("/api/sync/discover", &json!({ "nodes": text })),
            api.send("/api/sync/verify", &json!({ "blockNum": 1, "expectedHash": text, "network": NETWORK })),
            api.send("/api/sync/verify", &json!({ "blockNum": text, "expectedHash": "Qm", "network": NETWORK })),
            api.send("/api/sync/sync-gaps", &json!({ "gaps": [text], "targetFork": text, "network": NETWORK })),
            api.send(&format!("/api/sync/sync-from/{encoded}"), &json!({ "network": NETWORK })),
            api.get(&format!("/api/sync/consensus/{encoded}?network={NETWORK}")),
        ];
        for route in ["status", "gaps", "blocks"] {
            for name in ["network", "from", "to"] {
                answers.push(api.get(&format!("/api/sync/{route}?{name}={encoded}")));
            }
        }
        for (nth, answer) in answers.into_iter().enumerate() {
            let (status, said) = answer.unwrap();
            assert!((200..500).contains(&status), "{text:?}, {nth}: {status} {said}");
        }
        let peers = api.json("/api/sync/peers").unwrap();
        assert_eq!(peers, json!([]), "{text:?}");
    }
    node.stop().unwrap();
}

/// Failed once: the follower stayed on the fork that the peer that it trusts had left.
#[test]
fn a_follower_goes_over_to_the_fork_that_its_trusted_peer_takes() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = LocalNode::start(in_swarm(one.path(), &[])).unwrap();
    let (_, status) = fed(&source, honeycomb(Profile::Published, 37, PERIODS, &[]), 1500);
    let newcomer = LocalNode::start(in_swarm(other.path(), &[&source])).unwrap();
    trust(&newcomer, &status["head"]["period"]);
    reaches(&newcomer, &status["head"]);
    // A twin that disagrees from the fourth period on, while nobody else feeds: the head goes over to it…
    let disagrees = [Fault::Disagree { period: 4, salt: 1 }];
    let (_, gone_over) = fed(&source, honeycomb(Profile::Published, 37, PERIODS, &disagrees), 1300);
    assert_ne!(gone_over["head"]["fork"], status["head"]["fork"], "the source stays: {}", told(&gone_over));
    trust(&newcomer, &gone_over["head"]["period"]);
    reaches(&newcomer, &gone_over["head"]);
    // …and comes back with one that writes what the first wrote.
    let (_, back) = fed(&source, honeycomb(Profile::Published, 37, PERIODS, &[]), 1700);
    assert_eq!(back["head"]["fork"], status["head"]["fork"], "the source stays: {}", told(&back));
    trust(&newcomer, &back["head"]["period"]);
    reaches(&newcomer, &back["head"]);
    let state = |node: &LocalNode| {
        node.api().settled(NETWORK).unwrap();
        node.api().leaves(NETWORK, "").unwrap()
    };
    assert!(state(&source) == state(&newcomer), "the states differ");
    let data = newcomer.config().data_dir.clone();
    newcomer.stop().unwrap();
    verify(&data);
    source.stop().unwrap();
}

/// Periods in a day of the test below, and ops of two days.
const DAY: u64 = 16;
const LOST_OPS: u64 = 6_000;

/// The node that a honeycomb feeds loses its disk. Its history begins anew where the feed is; what came before is its peer's,
/// which another honeycomb feeds.
/// Failed once: nobody ever asked for what came before.
#[test]
fn a_fed_node_that_lost_its_disk_gets_its_past_back() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let in_swarm = |folder: &Path, peers: &[&LocalNode]| Config {
        catalog: config(folder, DAY).catalog,
        ..in_swarm(folder, peers)
    };
    let source = LocalNode::start(in_swarm(folders[0].path(), &[])).unwrap();
    let twin = || honeycomb(Profile::Published, 38, DAY, &[]);
    let peer = LocalNode::start(in_swarm(folders[1].path(), &[&source])).unwrap();
    let (_, whole) = fed(&peer, twin(), LOST_OPS);
    let slowly = Pace { rate: 300.0, ..pace(&source, LOST_OPS) };
    let feeding = Feeding::start(twin(), slowly).unwrap();
    let begun = |status: &Value| status["head"]["opening_label"].as_u64();
    let first = source.api().wait(NETWORK, "a head", begun).unwrap();
    // The second day, far from its end: a socket that comes back in the daily second run has no place in that period.
    let further = |status: &Value| {
        let label = begun(status).filter(|label| *label > first + DAY * desk::EVERY)?;
        (1..8).contains(&(label / desk::EVERY % DAY)).then_some(())
    };
    source.api().wait(NETWORK, "the second day", further).unwrap();

    let feed_listen = source.config().feed_listen;
    source.stop().unwrap();
    let source = LocalNode::start(Config { feed_listen, ..in_swarm(folders[2].path(), &[&peer]) }).unwrap();
    let (_, report) = feeding.finish();
    assert!(report.complete && report.unacked == 0, "{report:?}");
    // The head's history has the first period again, and ends where its peer's does.
    reaches(&source, &whole["head"]);
    let oldest = || source.api().json(&format!("/api/query/block/{first}/full?network={NETWORK}"));
    let is_whole = |_: &Value| oldest().ok().map(drop);
    source.api().wait(NETWORK, "the past", is_whole).unwrap();
    assert_equal(&source, &peer);
    let data = source.config().data_dir.clone();
    source.stop().unwrap();
    verify(&data);
    peer.stop().unwrap();
}

/// Deaths in the middle of a fetch.
const KILLS: usize = 4;

/// A real process that is killed while it fetches goes on where it was.
#[test]
fn a_newcomer_that_is_killed_in_the_middle_ends_equal() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = LocalNode::start(in_swarm(one.path(), &[])).unwrap();
    let (_, status) = fed(&source, honeycomb(Profile::Published, 34, PERIODS, &[]), 12_000);
    let peer = source.endpoints().swarm[0].clone();
    let data = other.path().join("data");
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), &data)
        .arg("--config")
        .arg(one.path().join("honeygraph.toml").display().to_string())
        .env("SYNC_ENABLED", "true")
        .env("SYNC_INTERVAL", "200")
        .env("HONEYGRAPH_SWARM_TRUSTED", peer.rsplit_once("/p2p/").unwrap().1)
        .env("PEERS", peer);
    let mut seen = 0;
    for life in 0..=KILLS {
        let mut node = launch.start().unwrap();
        let api = Api::new(&node.endpoints.api);
        if life == 0 {
            let order = json!({ "hash": status["head"]["period"], "reason": "seen elsewhere", "network": NETWORK });
            node.post("/api/admin/trust", &order).unwrap();
        }
        let there = |told: &Value| told["head"]["batch"] == status["head"]["batch"];
        // A death as soon as something more is durable; the last life goes on to the end.
        let further = |told: &Value| there(told) || (life < KILLS && told["durable"].as_u64() > Some(seen));
        let told = api.wait(NETWORK, "more", |told| further(told).then(|| told.clone())).unwrap();
        seen = told["durable"].as_u64().unwrap();
        if life < KILLS {
            node.process.kill();
        } else {
            let state = api.settled(NETWORK).and_then(|_| api.leaves(NETWORK, "")).unwrap();
            assert!(state == source.api().leaves(NETWORK, "").unwrap(), "the states differ");
            assert!(node.process.stop().unwrap().success());
        }
    }
    let chain = |data: &Path| {
        let mut held = Held::new(NETWORK);
        held.read_on(data).unwrap();
        held.head_chain()
    };
    assert!(chain(&data) == chain(&source.config().data_dir));
    verify(&data);
    source.stop().unwrap();
}

/// What other nodes hold, asked over three real ones; and orders to fetch.
#[test]
fn closed_blocks_are_agreed_on_and_what_is_missing_is_fetched_at_once() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let source = LocalNode::start(in_swarm(folders[0].path(), &[])).unwrap();
    let (_, status) = fed(&source, honeycomb(Profile::Published, 38, PERIODS, &[]), 1500);
    let second = LocalNode::start(in_swarm(folders[1].path(), &[&source])).unwrap();
    trust(&second, &status["head"]["period"]);
    reaches(&second, &status["head"]);
    // One that looks at its peers once an hour, unless it is told to.
    let mut config = in_swarm(folders[2].path(), &[&source, &second]);
    config.swarm.interval = Duration::from_secs(3600);
    let third = LocalNode::start(config).unwrap();
    let (api, of) = (third.api(), format!("network={NETWORK}"));
    let both = |_: &Value| {
        let peers = api.json("/api/sync/peers").ok()?;
        let healthy = peers.as_array()?.iter().filter(|peer| peer["health"] == "healthy").count();
        (healthy == 2).then_some(())
    };
    api.wait(NETWORK, "two peers", both).unwrap();
    trust(&third, &status["head"]["period"]);
    let done = api.post(&format!("/api/sync/sync-from/1?{of}"), &json!({})).unwrap();
    reaches(&third, &status["head"]);
    // It may have been faster than the order.
    assert!(done["success"] == true && (done["results"]["failedBlocks"] == 0 || done["message"].is_string()), "{done}");
    let again =
        api.post("/api/sync/sync-gaps", &json!({ "gaps": [{ "start": 1, "end": 9 }], "network": NETWORK })).unwrap();
    assert_eq!((&again["results"]["totalGaps"], &again["results"]["syncedBlocks"]), (&json!(1), &json!(0)), "{again}");
    let elsewhere = json!({ "gaps": [], "targetFork": "another", "network": NETWORK });
    assert_eq!(api.send("/api/sync/sync-gaps", &elsewhere).unwrap().1["code"], "refused");

    let blocks = api.json(&format!("/api/sync/blocks?{of}")).unwrap();
    assert_eq!(blocks, source.api().json(&format!("/api/sync/blocks?{of}")).unwrap());
    let [.., before, newest] = &blocks.as_array().unwrap()[..] else { panic!("{blocks}") };
    assert_eq!(newest["hash"], status["head"]["period"], "closed by what opened the head's period");
    let number = before["blockNum"].as_u64().unwrap();
    let only = api.json(&format!("/api/sync/blocks?{of}&from={number}&to={number}")).unwrap();
    assert_eq!(only, json!([before]));
    let agreed = api.json(&format!("/api/sync/consensus/{number}?{of}")).unwrap();
    assert_eq!((&agreed["consensus"]["blockHash"], &agreed["consensus"]["confidence"]), (&before["hash"], &json!(1.0)));
    assert_eq!(agreed["consensus"]["peers"].as_array().unwrap().len(), 2, "{agreed}");
    let verify = |hash: &Value| {
        let asked = json!({ "blockNum": number, "expectedHash": hash, "network": NETWORK });
        api.post("/api/sync/verify", &asked).unwrap()
    };
    let right = verify(&before["hash"]);
    assert_eq!([&right["match"], &right["agreeing"], &right["total"]], [&json!(true), &json!(2), &json!(2)], "{right}");
    let wrong = verify(&newest["hash"]);
    assert_eq!(
        [&wrong["match"], &wrong["agreeing"], &wrong["actualHash"]],
        [&json!(false), &json!(0), &before["hash"]]
    );
    // A block that is open has no hash yet, and one that only a single peer holds no majority.
    let open = status["head"]["opening_label"].as_u64().unwrap();
    assert_eq!(api.get(&format!("/api/sync/consensus/{open}?{of}")).unwrap().0, 404);
    second.stop().unwrap();
    let alone = |_: &Value| (api.json("/api/sync/peers").ok()?.as_array()?.len() == 1).then_some(());
    api.wait(NETWORK, "one peer", alone).unwrap();
    let told = api.get(&format!("/api/sync/consensus/{number}?{of}")).unwrap();
    assert_eq!((told.0, &told.1["code"]), (404, &json!("not_found")), "{told:?}");
    third.stop().unwrap();
    source.stop().unwrap();
}

/// Failed once: after a restart every peer was as good as one that was never asked.
#[test]
fn how_a_peer_served_is_remembered_over_a_restart() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = LocalNode::start(in_swarm(one.path(), &[])).unwrap();
    let id: PeerId = source.endpoints().swarm[0].rsplit_once("/p2p/").unwrap().1.parse().unwrap();
    let key = PeerKey::from_peer_id(&id.to_bytes()).unwrap();
    let config = in_swarm(other.path(), &[&source]);
    let file = config.data_dir.join("swarm/book");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let mut before = PeerBook::default();
    (0..5).for_each(|_| before.outcome(now, key, false));
    before.save(now, &file).unwrap();
    let was = before.get(&key).unwrap().reliability.value(now);

    let node = LocalNode::start(config.clone()).unwrap();
    // Its heads may come by an announcement, before it has answered anything: only an answer raises it.
    let answered = |_: &Value| {
        let peers = node.api().json("/api/sync/peers").ok()?;
        peers[0]["reliability"].as_f64().filter(|value| *value > was && peers[0]["heads"].is_object())
    };
    let reliability = node.api().wait(NETWORK, "an answer of the peer", answered).unwrap();
    // It answers well now, and what was stays a part of it for long.
    assert!(reliability < 1.0);
    node.stop().unwrap();
    let kept = PeerBook::load(&file).unwrap();
    let known = kept.get(&key).unwrap();
    assert!(known.last_success.is_some_and(|at| at >= now), "{known:?}");
    assert!((0.5..1.0).contains(&known.reliability.value(now)), "{known:?}");
    source.stop().unwrap();
}

/// Without an anchor a node follows nobody, and says what there is to trust.
#[test]
fn a_node_that_trusts_nothing_follows_nobody() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = LocalNode::start(in_swarm(one.path(), &[])).unwrap();
    let (_, status) = fed(&source, honeycomb(Profile::Published, 32, PERIODS, &[]), 3000);
    let mut config = in_swarm(other.path(), &[&source]);
    config.swarm.trusted.clear();
    let stranger = LocalNode::start(config).unwrap();
    let offered = stranger.api().wait(NETWORK, "an offer", |_| {
        let swarm = stranger.api().json(&format!("/api/sync/status?network={NETWORK}")).ok()?;
        (!swarm["progress"]["offered"].as_array()?.is_empty()).then_some(swarm["progress"].clone())
    });
    let offered = offered.unwrap();
    assert_eq!(offered["phase"], "unanchored", "{offered}");
    assert_eq!(stranger.api().status(NETWORK).unwrap()["head"], Value::Null);
    trust(&stranger, &offered["offered"][0]["hash"]);
    let label = offered["offered"][0]["label"].as_u64().unwrap();
    assert!(Some(label) <= status["head"]["opening_label"].as_u64());
    let reached = stranger.api().wait(NETWORK, "the offered checkpoint", |status| {
        (status["head"]["label"].as_u64()? + desk::EVERY >= label).then_some(())
    });
    reached.unwrap();
    stranger.stop().unwrap();
    source.stop().unwrap();
}

/// A port that is taken, or a swarm that cannot start, is said and stops nobody: the node takes feeds and answers.
#[test]
fn a_node_without_its_port_or_its_swarm_runs_and_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    for (listen, key, why) in [(busy.as_str(), None, "cannot listen"), ("/ip4/127.0.0.1/tcp/0", Some("none"), "start")]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut config = in_swarm(folder.path(), &[]);
        config.swarm.listen = vec![listen.parse().unwrap()];
        config.swarm.pre_shared_key = key.map(|key| folder.path().join(key));
        let node = LocalNode::start(config).unwrap();
        let health = node.api().json("/health").unwrap();
        assert_eq!(health["swarm"]["status"], "degraded", "{health}");
        assert!(health["swarm"]["reason"].as_str().unwrap().contains(why), "{health}");
        let (_, status) = fed(&node, honeycomb(Profile::Published, 35, PERIODS, &[]), 300);
        assert_eq!(status["lsn"], status["applied"]);
        node.stop().unwrap();
    }
}

/// Guards against: a node that cannot serve, and does not end, because its swarm goes on.
#[test]
fn a_node_without_its_api_port_ends_with_its_swarm() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = in_swarm(folder.path(), &[]);
    config.api_listen = taken.local_addr().unwrap();
    let (ended, heard) = mpsc::sync_channel(1);
    std::thread::spawn(move || ended.send(LocalNode::start(config).map(drop).is_err()));
    assert_eq!(heard.recv_timeout(STILL), Ok(true));
}

/// A peer that speaks the protocols itself, and the node that it has met.
struct Peer {
    peer: Neighbour,
    node: PeerId,
}

impl Peer {
    async fn of(node: &LocalNode) -> Self {
        let peer = Neighbour::new().await.unwrap();
        let node = peer.meet(&node.endpoints().swarm).await.unwrap();
        Self { peer, node }
    }

    async fn raw(&self, protocol: Protocol, bytes: Vec<u8>) -> Result<Vec<u8>, AskError> {
        self.peer.handle.ask(self.node, protocol, bytes).await
    }

    async fn ask(&self, request: &Request) -> Answer {
        let answer = self.raw(Protocol::Blocks, request.encode().unwrap()).await.unwrap();
        Answer::decode(&answer).unwrap()
    }
}

fn headers(network: &str, from: &Value, walk: Walk, most: u16) -> Request {
    let from = HashText::new(from.as_str().unwrap()).unwrap();
    Request::Headers(HeadersWanted { network: NetworkName::new(network).unwrap(), from, walk, most })
}

/// What a node serves proves itself, and nothing that is asked stops it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_proves_itself_and_hostile_questions_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let start = in_swarm(folder.path(), &[]);
    let (node, status) = tokio::task::spawn_blocking(move || {
        let node = LocalNode::start(start).unwrap();
        let (_, status) = fed(&node, honeycomb(Profile::Published, 33, PERIODS, &[]), 3000);
        (node, status)
    })
    .await
    .unwrap();
    let peer = Peer::of(&node).await;
    let newest = status["head"]["period"].clone();

    let told = peer.raw(Protocol::Status, StatusRequest::default().encode().unwrap()).await.unwrap();
    let told = Status::decode(&told).unwrap();
    let desk = told.networks.iter().find(|network| network.network.as_str() == NETWORK).unwrap();
    assert_eq!(desk.head.as_ref().unwrap().batch.to_string(), status["head"]["batch"]);
    let held = &desk.held[0];

    let Answer::Headers(back) = peer.ask(&headers(NETWORK, &newest, Walk::Back, 256)).await else { panic!("headers") };
    let network = NetworkName::new(NETWORK).unwrap();
    let from = HashText::new(newest.as_str().unwrap()).unwrap();
    check::walk_back(&network, &from, None, &back).unwrap();
    assert!(back.len() > 10 && back.last().unwrap().prev.is_none(), "{}", back.len());
    assert_eq!((&held.from.hash, held.periods as usize), (&back.last().unwrap().open_hash, back.len()));
    assert_eq!(held.to.hash, back[0].open_hash);
    let oldest = json!(back.last().unwrap().open_hash.as_str());
    let Answer::Headers(forward) = peer.ask(&headers(NETWORK, &oldest, Walk::Forward, 256)).await else {
        panic!("headers")
    };
    assert!(forward.iter().rev().eq(back.iter()));
    for header in back.iter() {
        let (network, open, period) = (network.clone(), header.open_hash.clone(), header.id());
        let wanted = BatchesWanted { network, open, period, from: 0, skip: 0, to: u64::MAX };
        let Answer::Batches(batches) = peer.ask(&Request::Batches(wanted)).await else { panic!("{header:?}") };
        check::period(header, batches.into_vec()).unwrap();
    }

    let strange = HashText::new("QmNobodyHasThis").unwrap();
    let [first, second] = [&back[0], &back[1]];
    let other = |open: &HashText, period| {
        let (network, open) = (network.clone(), open.clone());
        Request::Batches(BatchesWanted { network, open, period, from: 0, skip: u32::MAX, to: u64::MAX })
    };
    for nothing in [
        headers("moon_", &newest, Walk::Back, 1),
        headers(NETWORK, &json!("QmNobodyHasThis"), Walk::Back, u16::MAX),
        // Guards against: a period was served to whoever named another one's id.
        other(&first.open_hash, second.id()),
        other(&strange, first.id()),
    ] {
        assert_eq!(peer.ask(&nothing).await, Answer::NotHeld, "{nothing:?}");
    }
    // Passed over all there is: nothing more, and no fault.
    assert!(matches!(peer.ask(&other(&first.open_hash, first.id())).await, Answer::Batches(_)));
    for bytes in [vec![], vec![0xff; 1024], b"GET / HTTP/1.1".to_vec()] {
        for protocol in [Protocol::Status, Protocol::Blocks] {
            let answer = peer.raw(protocol, bytes.clone()).await;
            assert!(protocol == Protocol::Status && bytes.is_empty() || answer.is_err(), "{protocol:?} {bytes:?}");
        }
    }
    assert_eq!(peer.ask(&headers(NETWORK, &newest, Walk::Back, 256)).await, Answer::Headers(back));
    tokio::task::spawn_blocking(move || node.stop().unwrap()).await.unwrap();
}

/// Ops that pack well: a period of them is more than whoever asks unpacks of one answer, and small on the wire.
fn packs_well() -> Stream {
    const OPS: u64 = 24;
    let data = format!("\"{}\"", "x".repeat(3_800_000));
    let mut stream = Stream::new(Shape { per_marker: 1, per_period: OPS, ..Shape::usual("packs") });
    (0..OPS).for_each(|nth| stream.push(&Write::put(["long".to_owned(), nth.to_string()], &*data)));
    stream.finish();
    stream
}

/// Failed once: an answer ended by the bytes of its frames alone, and an honest peer paid for what nobody unpacks.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_ends_before_it_is_more_than_anybody_unpacks() {
    const NETWORK: &str = "spkccT_";
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path()).env("SYNC_ENABLED", "true");
    let node = launch.start().unwrap();
    drive(&node.endpoints.feed, &packs_well()).unwrap();
    let status = Api::new(&node.endpoints.api).settled(NETWORK).unwrap();
    let peer = Neighbour::new().await.unwrap();
    let id = peer.meet(&node.endpoints.swarm).await.unwrap();
    let newest = status["head"]["period"].as_str().unwrap();
    let headers = peer.headers(id, NETWORK, newest).await.unwrap();
    let [header] = &headers[..] else { panic!("{headers:?}") };
    let (mut from, mut found, mut answers) = (0, 0, 0);
    while found < header.count {
        let bytes = peer.ask(id, &neighbour::batches(header, from)).await.unwrap();
        let Answer::Batches(batches) = Answer::decode(&bytes).unwrap() else { panic!("batches") };
        assert!(!batches.is_empty() && bytes.len() < 1 << 20);
        let mut room = Room::ANSWER;
        for batch in batches.iter() {
            check::body(&batch.line, &batch.frames, &mut room).unwrap();
            from = batch.line.end();
        }
        (found, answers) = (found + batches.len() as u32, answers + 1);
    }
    assert_eq!((found, answers), (header.count, 2));
}
