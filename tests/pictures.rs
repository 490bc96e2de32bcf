//! A newcomer's picture: the state at a root, from many peers at once or as a file; and what dies, lies or is vouched for
//! by nobody on the way.

mod desk;

use desk::{ASIDE, EVERY, NETWORK, PERIODS, config, honeycomb, pace};
use honeygraph::config::Config;
use honeygraph::pictures::file::{Picture, Writer};
use honeygraph::pictures::part::{self, Step};
use honeygraph::projection::base::{self, Base};
use honeygraph::swarm::host::Protocol;
use honeygraph_bootstrap::source::Source;
use honeygraph_protocols::swarm::names::{Label, NetworkName};
use honeygraph_protocols::swarm::pictures::{Answer, Request};
use honeygraph_protocols::swarm::wire::Message;
use honeygraph_testnet::STILL;
use honeygraph_testnet::api::Api;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::fetching::document;
use honeygraph_testnet::honeycomb::{Fault, Honeycomb, Profile};
use honeygraph_testnet::load::socket;
use honeygraph_testnet::local::LocalNode;
use honeygraph_testnet::neighbour::{Manner, Neighbour, StandIn};
use honeygraph_testnet::process::Launch;
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a document that no honeycomb wrote: 12 groups of leaves.
const BYTES: usize = 23 << 20;
const SYNC: &str = "/api/sync/status?network=desk_";

fn in_swarm(folder: &Path, peers: &[String]) -> Config {
    let mut config = config(folder, PERIODS);
    config.swarm.enabled = true;
    config.swarm.sources.extend(peers.iter().map(|address| Source::parse(address).unwrap()));
    for at in peers {
        config.swarm.trusted.push(at.rsplit_once("/p2p/").unwrap().1.parse().unwrap());
    }
    config
}

fn trust(api: &Api, hash: &str) {
    let order = json!({ "hash": hash, "reason": "seen elsewhere", "network": NETWORK });
    api.post("/api/admin/trust", &order).unwrap();
}

/// Waits for something that the swarm shows of pictures.
fn pictured<T>(api: &Api, what: &str, look: impl Fn(&Value) -> Option<T>) -> T {
    let looked = api.wait(NETWORK, what, |_| look(&api.json(SYNC).ok()?["pictures"]));
    looked.unwrap_or_else(|error| panic!("{error}\n{:#}", api.json(SYNC).unwrap()))
}

/// A picture of a document of about so many bytes, in a node's folder.
fn put_picture(data: &Path, bytes: usize) -> (PathBuf, Vec<u8>) {
    let document = document(bytes);
    let folder = data.join("pictures").join(NETWORK);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("18505_x.picture");
    let mut writer = Writer::create(&path).unwrap();
    writer.push(&document);
    writer.finish(&NetworkName::new(NETWORK).unwrap(), Label::new(18_505).unwrap()).unwrap();
    (path, document)
}

/// The base in a folder, checked as a whole.
fn base_in(data: &Path) -> Option<String> {
    let base = Base::current(&data.join("base").join(NETWORK)).unwrap()?;
    base.leaves(|_, _| {}).expect("a base in force is whole");
    Some(base.hash.to_string())
}

/// Waits until a newcomer has its base and answers: it begins once more in between.
fn waits_for_base(api: &Api, data: &Path, root: &str) {
    let since = Instant::now();
    loop {
        if base_in(data).as_deref() == Some(root) && api.status(NETWORK).is_ok() {
            return;
        }
        assert!(since.elapsed() < STILL, "no base: {:#}", api.json(SYNC).unwrap_or_default());
        #[expect(clippy::disallowed_methods, reason = "looks again for progress; no outcome depends on it")]
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A node that was fed, and stands on the first root that its honeycomb told of.
fn based(folder: &Path, seed: u64, faults: &[Fault]) -> (LocalNode, Honeycomb, Value) {
    let node = LocalNode::start(in_swarm(folder, &[])).unwrap();
    let (honeycomb, report) =
        Feeding::start(honeycomb(Profile::Published, seed, PERIODS, faults), pace(&node, 2600)).unwrap().finish();
    assert!(report.complete && report.unacked == 0, "{report:?}");
    let status = node.api().settled(NETWORK).unwrap();
    let data = node.config().data_dir.clone();
    let config = node.config().clone();
    node.stop().unwrap();
    let mut closes = honeycomb.truth().periods.iter().filter_map(|period| period.close.as_ref());
    let root = closes.find(|close| close.root).unwrap();
    base::import(&data.join("base").join(NETWORK), &root.document, Some(&root.hash)).unwrap();
    let node = LocalNode::start(config).unwrap();
    (node, honeycomb, status)
}

/// Guards against: a picture made of another point than the root's, and a newcomer that fetched all there is.
#[test]
fn a_newcomer_becomes_equal_by_a_picture_and_what_came_behind_it() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, honeycomb, status) = based(one.path(), 8, &[]);
    let truth = honeycomb.truth();
    let roots: Vec<_> = truth.periods.iter().filter(|p| p.close.as_ref().is_some_and(|close| close.root)).collect();
    let newest = roots.last().unwrap();
    let root = newest.close.as_ref().unwrap();
    let held = pictured(&source.api(), "the newest root's picture", |pictures| {
        (pictures["held"][0]["root"] == root.hash.as_str()).then(|| pictures["held"].clone())
    });
    assert_eq!((&held[0]["label"], &held[0]["bytes"]), (&json!(newest.label + EVERY), &json!(root.document.len())));
    assert!(held.as_array().unwrap().len() <= 2, "{held}");

    let mut config = in_swarm(other.path(), &source.endpoints().swarm);
    config.swarm.since_base = true;
    let newcomer = LocalNode::start(config).unwrap();
    let (api, data) = (newcomer.api(), newcomer.config().data_dir.clone());
    let offered = pictured(&api, "an offer", |pictures| {
        let offered = &pictures["fetched"]["offered"];
        (offered[0]["root"] == root.hash.as_str()).then(|| offered[0].clone())
    });
    assert_eq!((&offered["anchored"], &offered["peers"]), (&json!(false), &json!(1)), "{offered}");
    assert!(!data.join("fetching").join(NETWORK).exists(), "nothing of it is fetched");
    trust(&api, &root.hash);
    waits_for_base(&api, &data, &root.hash);
    trust(&api, status["head"]["period"].as_str().unwrap());
    let there = |told: &Value| (told["head"]["batch"] == status["head"]["batch"]).then_some(());
    if let Err(error) = api.wait(NETWORK, "the head", there) {
        panic!("{error}\n{:#}", api.json(SYNC).unwrap());
    }
    api.settled(NETWORK).unwrap();
    let leaves = |api: &Api| api.leaves(NETWORK, "").unwrap();
    assert!(leaves(&api) == leaves(&source.api()), "the states differ");
    let head = api.json("/api/query/head?network=desk_").unwrap();
    assert_eq!(head["complete"], true, "{head}");
    let (code, _) = api.get(&format!("/api/query/head?network=desk_&block={}", newest.label)).unwrap();
    assert!(code == 410 || code == 404, "what came before it was not asked for: {code}");
    newcomer.stop().unwrap();
    source.stop().unwrap();
}

/// The newest root's hash is not the one that its ops give: it is not pictured, and what else there is is kept to itself.
/// Without the lie the same node gives its pictures. (A lie about a delta says nothing of the state: the next root that is
/// made again ends it.)
#[test]
fn a_node_whose_roots_differ_makes_and_serves_none() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for faults in [vec![], vec![Fault::WrongHash { period: 12 }]] {
        let folder = tempfile::tempdir().unwrap();
        let (node, honeycomb, _) = based(folder.path(), 8, &faults);
        let config = node.config().clone();
        node.stop().unwrap();
        let (other, _) = put_picture(&config.data_dir, 1 << 20);
        let other = Picture::open(&other).unwrap().root().to_string();
        let node = LocalNode::start(config).unwrap();
        let closes = honeycomb.truth().periods.iter().filter(|p| p.close.as_ref().is_some_and(|close| close.root));
        let roots: Vec<(u64, String)> =
            closes.map(|p| (p.label + EVERY, p.close.as_ref().unwrap().hash.to_string())).collect();
        let (label, newest) = roots.last().unwrap();
        let held = pictured(&node.api(), "a word on the newest root", |pictures| {
            let made = pictures["held"].as_array()?.iter().any(|held| held["root"] == newest.as_str());
            (made || pictures["differs"]["label"] == *label).then(|| pictures.clone())
        });
        assert_eq!(held["differs"]["label"], faults.first().map_or(Value::Null, |_| json!(label)), "{held}");
        let is_newest = |held: &Value| held["label"] == *label;
        assert_eq!(held["held"].as_array().unwrap().iter().any(is_newest), faults.is_empty(), "{held}");
        assert!(held["held"].as_array().unwrap().iter().any(|held| held["root"] == other.as_str()), "{held}");

        let given = runtime.block_on(async {
            let peer = Neighbour::new().await.unwrap();
            let id = peer.meet(&node.endpoints().swarm).await.unwrap();
            let wanted = Request::Held(NetworkName::new(NETWORK).unwrap());
            let answer = peer.handle.ask(id, Protocol::Pictures, wanted.encode().unwrap()).await.unwrap();
            Answer::decode(&answer).unwrap()
        });
        let Answer::Held(given) = given else { panic!("{given:?}") };
        assert_eq!(given.into_vec().is_empty(), !faults.is_empty());
        node.stop().unwrap();
    }
}

/// Guards against: a liar's leaf written, or another peer blamed for it; a slow peer waited for.
#[test]
fn leaves_come_from_many_peers_of_which_one_lies_and_one_is_slow() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (picture, document) = put_picture(&one.path().join("data"), BYTES);
    let root = Picture::open(&picture).unwrap().root().to_string();
    let source = LocalNode::start(in_swarm(one.path(), &[])).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stand_in = |manner| {
        runtime.block_on(async {
            let behind = Arc::new(Neighbour::new().await.unwrap());
            let id = behind.meet(&source.endpoints().swarm).await.unwrap();
            StandIn::before(&behind, id, manner).await.unwrap()
        })
    };
    let (liar, slow) = (stand_in(Manner::Liar), stand_in(Manner::Slow(300_000.0)));
    let mut config = in_swarm(other.path(), &[]);
    let addresses = [&liar.addresses, &slow.addresses];
    config.swarm.sources.extend(addresses.into_iter().flatten().map(|at| Source::parse(at).unwrap()));
    let newcomer = LocalNode::start(config).unwrap();
    let (api, data) = (newcomer.api(), newcomer.config().data_dir.clone());
    pictured(&api, "two offers", |pictures| (pictures["fetched"]["offered"][0]["peers"] == 2).then_some(()));
    trust(&api, &root);
    // The slow one alone takes long: the liar is seen before there is an honest one to end it.
    let caught = |_: &Value| {
        let offences = api.json(SYNC).ok()?["offences"].clone();
        offences["picture_false"].is_u64().then_some(offences)
    };
    let offences = api.wait(NETWORK, "the liar is caught", caught).unwrap();
    api.post("/api/sync/peers", &json!({ "url": source.endpoints().swarm[0] })).unwrap();
    waits_for_base(&api, &data, &root);
    let file = data.join("base").join(NETWORK).join(format!("{root}.json"));
    assert!(std::fs::read(file).unwrap() == document);
    let counted = offences.as_object().map_or(0, |kinds| kinds.values().filter(|count| **count != 0).count());
    assert_eq!(counted, 1, "it was caught, and nobody did anything else: {offences}");
    assert!(liar.given() > 0 && slow.given() > 0, "both were asked");
    newcomer.stop().unwrap();
    source.stop().unwrap();
}

/// Guards against: a node that is fed in one network beginning again, under its feeds, for a base of another.
#[test]
fn a_node_that_holds_another_network_takes_its_base_at_the_next_start() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (picture, _) = put_picture(&one.path().join("data"), 1 << 20);
    let root = Picture::open(&picture).unwrap().root().to_string();
    let source = LocalNode::start(in_swarm(one.path(), &[])).unwrap();
    let node = LocalNode::start(in_swarm(other.path(), &source.endpoints().swarm)).unwrap();
    let (mut sender, mut receiver) = socket::connect(&node.endpoints().feed, "/ws", "ASIDE").unwrap();
    for text in [
        r#"{"type":"put","index":0,"blockNum":101,"forkHash":"QmA","path":["a"],"data":"1"}"#,
        r#"{"type":"write_marker","index":1,"blockNum":101,"forkHash":"QmA"}"#,
        r#"{"type":"put","index":2,"blockNum":102,"forkHash":"QmA","path":["a"],"data":"2"}"#,
    ] {
        sender.send_text(text).unwrap();
    }
    let (api, data) = (node.api(), node.config().data_dir.clone());
    api.wait(ASIDE, "a head", |status| (!status["head"].is_null()).then_some(())).unwrap();
    trust(&api, &root);
    pictured(&api, "a base that waits", |pictures| (pictures["fetched"]["phase"] == "waiting").then_some(()));
    // It goes on with the socket that it has.
    let (mut pong, mut answers) = (sender.again().unwrap(), 0);
    sender.send_text("{").unwrap();
    while answers == 0 {
        let text = receiver.next_text(&mut pong).unwrap().expect("the socket stays");
        answers += usize::from(text.windows(7).any(|part| part == b"\"error\""));
    }
    assert_eq!(base_in(&data), None);
    let node = node.restart().unwrap();
    assert_eq!(base_in(&data), Some(root));
    node.stop().unwrap();
    source.stop().unwrap();
}

/// A real process that is killed while leaves come goes on with those that are there.
#[test]
fn a_newcomer_that_is_killed_in_the_middle_goes_on() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (picture, _) = put_picture(&one.path().join("data"), BYTES);
    let root = Picture::open(&picture).unwrap().root().to_string();
    let source = LocalNode::start(in_swarm(one.path(), &[])).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let slow = runtime.block_on(async {
        let behind = Arc::new(Neighbour::new().await.unwrap());
        let id = behind.meet(&source.endpoints().swarm).await.unwrap();
        StandIn::before(&behind, id, Manner::Slow(6e6)).await.unwrap()
    });
    let data = other.path().join("data");
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), &data)
        .arg("--config")
        .arg(one.path().join("honeygraph.toml").display().to_string())
        .env("SYNC_ENABLED", "true")
        .env("SYNC_INTERVAL", "200")
        .env("PEERS", slow.addresses.join(","));
    let mut seen = 0;
    for life in 0..4 {
        let mut node = launch.start().unwrap();
        let api = Api::new(&node.endpoints.api);
        if life == 0 {
            trust(&api, &root);
        }
        if life < 3 {
            seen = pictured(&api, "more leaves", |pictures| {
                let done = pictures["fetched"]["done"].as_u64()?;
                (done > seen || base_in(&data).is_some()).then_some(done)
            });
            node.process.kill();
        } else {
            waits_for_base(&api, &data, &root);
            assert!(node.process.stop().unwrap().success());
        }
    }
    assert!(slow.given() < 3 * std::fs::metadata(&picture).unwrap().len(), "it began anew each time: {}", slow.given());
    source.stop().unwrap();
}

/// Runs the program on a data folder: exit code, and what it printed.
fn command(data: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeygraph"));
    let done = command.args(arguments).arg("--data-dir").arg(data).args(["--network", NETWORK]).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_picture_is_carried_by_hand_and_one_that_was_changed_is_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = other.path().join("carried.picture");
    let name = file.to_str().unwrap();
    assert_eq!(command(one.path(), &["picture", "export", name]).0, 4, "there is none");
    let (picture, document) = put_picture(one.path(), BYTES / 4);
    let root = Picture::open(&picture).unwrap().root().to_string();
    let (code, said) = command(one.path(), &["picture", "list"]);
    assert!(code == 0 && said.contains(&root), "{said}");
    let (code, said) = command(one.path(), &["picture", "export", name]);
    assert!(code == 0 && said.contains(&root), "{said}");
    let data = other.path().join("data");
    assert_eq!(command(&data, &["picture", "import", name, "--hash", "QmOther"]).0, 5);
    let bytes = std::fs::read(&file).unwrap();
    let changed = other.path().join("changed.picture");
    let mut torn = bytes.clone();
    let middle = torn.len() / 2;
    torn[middle] ^= 0x55;
    std::fs::write(&changed, &torn).unwrap();
    let (code, said) = command(&data, &["picture", "import", changed.to_str().unwrap()]);
    assert!(code == 6 && (said.contains("leaf ") || said.contains("group ")), "{code} {said}");
    assert_eq!(base_in(&data), None, "nothing half-applied");
    std::fs::write(&changed, &bytes[..middle]).unwrap();
    let (code, said) = command(&data, &["picture", "import", changed.to_str().unwrap()]);
    assert!(code == 6 && said.contains("cut short"), "{code} {said}");
    let (code, said) = command(&data, &["picture", "import", name, "--hash", &root]);
    assert!(code == 0 && said.contains("checkpoint 18505"), "{said}");
    assert_eq!(base_in(&data), Some(root.clone()));
    assert!(std::fs::read(data.join("base").join(NETWORK).join(format!("{root}.json"))).unwrap() == document);
}

/// Names the place, in the child of the test below.
const DIES: &str = "HONEYGRAPH_TEST_PICTURE_DIES";

/// The import that is killed: a child of the test below, and nothing by itself.
#[test]
fn an_import_that_dies() {
    let Ok(place) = std::env::var(DIES) else { return };
    let mut words = place.split('|');
    let (at, file, data) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let (at, steps): (usize, _) = (at.parse().unwrap(), Cell::new(0));
    let told = |_: Step| {
        if steps.replace(steps.get() + 1) == at {
            let us = rustix::process::getpid();
            rustix::process::kill_process(us, rustix::process::Signal::KILL).unwrap();
        }
    };
    let picture = Picture::open(Path::new(file)).unwrap();
    let [fetching, base] = ["fetching", "base"].map(|folder| Path::new(data).join(folder).join(NETWORK));
    part::import(&picture, &fetching, &base, &told).unwrap();
}

/// Guards against: a base that was in its folder before it was whole, and one given up with what was begun beside it.
#[test]
fn an_import_that_is_killed_at_any_step_leaves_a_node_that_starts_right() {
    let folder = tempfile::tempdir().unwrap();
    let (picture, _) = put_picture(&folder.path().join("source"), BYTES / 4);
    let root = Picture::open(&picture).unwrap().root().to_string();
    let (mut at, mut taken) = (0, 0);
    loop {
        let home = folder.path().join(format!("home-{at}"));
        std::fs::create_dir_all(&home).unwrap();
        let config = config(&home, PERIODS);
        let data = config.data_dir.clone();
        // A base of before: it stays in force until the new one is.
        let before = base::import(&data.join("base").join(NETWORK), b"[100,{\"a\":1}]", None).unwrap().hash;
        let import = |at: usize| {
            let place = format!("{at}|{}|{}", picture.display(), data.display());
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["an_import_that_dies", "--exact"]).env(DIES, place).output().unwrap().status.success()
        };
        let ended = import(at);
        let in_force = base_in(&data).expect("one of the two");
        assert!(in_force == root || in_force == before, "after step {at}: {in_force}");
        taken += usize::from(in_force == root);
        let node = LocalNode::start(config.clone()).unwrap();
        node.api().settled(NETWORK).unwrap();
        node.stop().unwrap();
        assert_eq!(base_in(&data), Some(in_force), "step {at}: the start changes nothing");
        assert!(import(usize::MAX), "step {at}: again, to the end");
        assert_eq!(base_in(&data), Some(root.clone()), "step {at}");
        if ended {
            break;
        }
        at += 1;
    }
    // Begun, three groups, durable, moved, taken, cleared.
    assert_eq!((at, taken), (8, 4), "the steps that there are");
}
