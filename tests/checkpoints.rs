//! A node makes snapshots of its state while it is fed: each is the state as of one record, on every kind of file system.

mod desk;
mod grounds;

use desk::{EVERY, NETWORK, PERIODS, config, honeycomb, pace};
use grounds::{Btrfs, ZfsPool};
use honeygraph::config::Config;
use honeygraph::fork::record::Node;
use honeygraph::projection::state::State;
use honeygraph::snapshots::place::Which;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::honeycomb::Profile;
use honeygraph_testnet::local::LocalNode;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn settings(folder: &Path, which: Which, dataset: Option<String>) -> Config {
    let mut config = config(folder, PERIODS);
    (config.snapshots.which, config.snapshots.dataset) = (which, dataset);
    config.snapshots.pause = Duration::ZERO;
    config
}

fn list(node: &LocalNode) -> Value {
    node.api().json(&format!("/api/checkpoints/list?network={NETWORK}")).unwrap()
}

/// The snapshots without what would go with each: the store goes on, and ZFS counts after a while.
fn but_for_bytes(mut listed: Value) -> Value {
    listed["checkpoints"].as_array_mut().unwrap().iter_mut().for_each(|of| of["bytes"] = Value::Null);
    listed["checkpoints"].take()
}

/// Names of the snapshots, the oldest label first.
fn names(listed: &Value) -> Vec<String> {
    listed["checkpoints"].as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap().to_owned()).collect()
}

/// The command line, asking a node; its answer as JSON.
fn ask(node: &LocalNode, words: &[&str]) -> (Option<i32>, Value) {
    let done = Command::new(env!("CARGO_BIN_EXE_honeygraph"))
        .args(["checkpoints"])
        .args(words)
        .args(["--json", "--network", NETWORK, "--api", &node.endpoints().api])
        .output()
        .unwrap();
    let said = if done.status.success() { &done.stdout } else { &done.stderr };
    (done.status.code(), serde_json::from_slice(said).unwrap_or_else(|_| panic!("{words:?}: {done:?}")))
}

fn order(node: &LocalNode, words: &[&str]) -> Value {
    let (code, answer) = ask(node, words);
    assert_eq!(code, Some(0), "{words:?}: {answer}");
    answer
}

/// Feeds a node and waits until it has a snapshot of the newest confirmed checkpoint.
fn fed(node: &LocalNode, seed: u64, ops: u64) {
    let (_, report) =
        Feeding::start(honeycomb(Profile::Published, seed, PERIODS, &[]), pace(node, ops)).unwrap().finish();
    assert!(report.complete && report.unacked == 0, "snapshots stop no intake: {report:?}");
    node.api().settled(NETWORK).unwrap();
    let api = node.api();
    let proven = api.wait(NETWORK, "proofs", |status| {
        let newest = status["proofs"]["newest"][0]["label"].as_u64();
        (newest.is_some() && newest == status["head"]["opening_label"].as_u64()).then(|| status["proofs"].clone())
    });
    let confirmed = proven.unwrap()["confirmed_at"].as_u64().expect("a confirmed checkpoint");
    let newest = |_: &Value| {
        let listed = list(node);
        let labels = listed["checkpoints"].as_array()?.iter().filter(|of| of["blockNum"] == confirmed).count();
        (labels == 1).then_some(())
    };
    api.wait(NETWORK, "a snapshot of the newest confirmed checkpoint", newest).unwrap();
}

/// The store in a clone is the state at one record: its cursor is that of the snapshot, and at the snapshot's checkpoint it
/// holds what the live state holds there.
fn is_the_state(live: &Path, clone: &Path, about: &Value, at: Node) {
    let (live, clone) =
        (State::open(live, Default::default()).unwrap(), State::open(clone, Default::default()).unwrap());
    assert_eq!(Some(clone.cursor()), about["cursor"].as_u64(), "{about}");
    let leaves = |state: &State| {
        let view = state.reader().snapshot().view(at).unwrap();
        view.scan(&[], None)
            .map(|leaf| leaf.map(|(path, text)| (path.to_vec(), text.to_vec())).unwrap())
            .collect::<Vec<_>>()
    };
    let (ours, theirs) = (leaves(&live), leaves(&clone));
    assert!(ours.len() > 20 && ours == theirs, "{} leaves and {}", ours.len(), theirs.len());
}

/// Where the last batch before a snapshot's checkpoint is chained.
fn place(live: &Path, about: &Value) -> Node {
    let state = State::open(live, Default::default()).unwrap();
    let id = about["batch"].as_str().unwrap().parse().unwrap();
    state.reader().snapshot().places(&id).unwrap()[0]
}

/// The whole way on one kind of file system.
fn works(kind: &str, settings: Config) {
    let node = LocalNode::start(settings).unwrap();
    fed(&node, 31, 3000);
    let before = list(&node);
    assert_eq!((before["backend"].as_str(), &before["alert"]), (Some(kind), &Value::Null), "{before}");
    let health = node.api().json("/health").unwrap();
    assert_eq!(health["networks"][NETWORK]["components"]["snapshots"]["status"], "ok", "{health}");
    let newest = names(&before).pop().unwrap();

    // By hand: one of a checkpoint that has none, once; and none of what is no checkpoint.
    let head = node.api().status(NETWORK).unwrap()["head"]["opening_label"].as_u64().unwrap();
    let block = (head - EVERY).to_string();
    let _ = ask(&node, &["destroy", &block]);
    let planned = order(&node, &["create", "--block", &block, "--dry-run"])["checkpoint"].clone();
    assert!(!names(&list(&node)).contains(&planned["name"].as_str().unwrap().to_owned()), "a dry run makes none");
    let made = order(&node, &["create", "--block", &block])["checkpoint"].clone();
    assert_eq!((&made["name"], &made["batch"]), (&planned["name"], &planned["batch"]));
    assert_eq!(ask(&node, &["create", "--block", &block]).0, Some(5), "it is there");
    assert_eq!(ask(&node, &["create", "--block", "7"]).0, Some(4), "no checkpoint");
    assert_eq!(order(&node, &["hold", &block, "--tag", "me"])["checkpoint"]["holds"], json!(["me"]));
    assert_eq!(ask(&node, &["destroy", &block]).0, Some(5), "held");
    assert_eq!(ask(&node, &["hold", &block, "--tag", "../x"]).0, Some(2));
    let clone = order(&node, &["clone", &block, "test"])["clone"]["folder"].as_str().map(PathBuf::from).unwrap();
    assert_eq!(ask(&node, &["clone", &block, "te/st"]).0, Some(2));
    let changes = order(&node, &["diff", &names(&before)[0], &newest])["changes"].as_array().unwrap().len();
    assert!(changes > 0 || names(&before).len() == 1);

    let listed = list(&node);
    let node = node.restart().unwrap();
    let again = node.api().wait(NETWORK, "the list", |_| {
        let listed = list(&node);
        (!names(&listed).is_empty()).then_some(listed)
    });
    assert_eq!(but_for_bytes(again.unwrap()), but_for_bytes(listed), "the list survives a start");
    let live = {
        let data = honeygraph::data_dir::DataDir::open(&node.config().data_dir);
        assert!(data.is_err(), "the node has it");
        let link = node.config().data_dir.join("state").join(NETWORK);
        std::fs::read_link(&link).unwrap_or(link)
    };
    assert_eq!(live.starts_with(&node.config().data_dir), kind != "zfs", "{}", live.display());
    let config = node.config().clone();
    node.stop().unwrap();
    let at = place(&live, &made);
    is_the_state(&live, &clone, &made, at);

    let node = LocalNode::start(config).unwrap();
    order(&node, &["unclone", "test"]);
    order(&node, &["release", &block, "--tag", "me"]);
    order(&node, &["destroy", &block]);
    assert!(!names(&list(&node)).contains(&made["name"].as_str().unwrap().to_owned()));
    node.stop().unwrap();
}

#[test]
fn snapshots_in_plain_folders() {
    let folder = tempfile::tempdir().unwrap();
    works("plain", settings(folder.path(), Which::Plain, None));
}

#[test]
fn snapshots_on_btrfs() {
    let Some(ground) = Btrfs::new() else { return };
    works("btrfs", settings(&ground.path(), Which::Auto, None));
}

#[test]
fn snapshots_on_zfs() {
    let Some(ground) = ZfsPool::new() else { return };
    works("zfs", settings(ground.outside(), Which::Auto, Some(ground.parent())));
}

/// `zfs send | zfs recv`, with `since` only what has changed since that snapshot.
fn send(since: Option<&str>, snapshot: &str, to: &str) {
    let since = since.map(|since| ["-i", since]);
    let words = ["send", "-p"].into_iter().chain(since.into_iter().flatten()).chain([snapshot]);
    let mut sent = grounds::command("zfs").args(words).stdout(Stdio::piped()).spawn().unwrap();
    let received =
        grounds::command("zfs").args(["recv", "-F", to]).stdin(sent.stdout.take().unwrap()).output().unwrap();
    assert!(received.status.success() && sent.wait().unwrap().success(), "{received:?}");
}

/// A network goes to another host: its dataset by `zfs send` and `send -i`, its journal by export and import. Its snapshots
/// are known there, and its state is not made again.
#[test]
fn a_network_moves_by_zfs_send() {
    let Some(ground) = ZfsPool::new() else { return };
    let pool = ground.parent();
    let (here, there) = (format!("{pool}/here"), format!("{pool}/there"));
    let node = LocalNode::start(settings(ground.outside(), Which::Zfs, Some(here.clone()))).unwrap();
    fed(&node, 35, 2500);
    let (sent, leaves) = (names(&list(&node)), node.api().leaves(NETWORK, "").unwrap());
    let (first, last) = (sent.first().unwrap(), sent.last().unwrap());
    assert!(sent.len() > 1 && leaves.len() > 20);
    grounds::run("zfs", &["create", "-p", &there]).unwrap();
    send(None, &format!("{here}/desk@{first}"), &format!("{there}/desk"));
    send(Some(&format!("@{first}")), &format!("{here}/desk@{last}"), &format!("{there}/desk"));

    let other = tempfile::tempdir().unwrap();
    let config = settings(other.path(), Which::Zfs, Some(there));
    let journal = |data: &Path, words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_honeygraph"));
        let done = command.arg("--data-dir").arg(data).arg("journal").args(words).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    let file = other.path().join("exported");
    let file = file.to_str().unwrap();
    journal(&node.config().data_dir, &["export", file, "--network", NETWORK]);
    node.stop().unwrap();
    journal(&config.data_dir, &["import", file]);

    let node = LocalNode::start(config).unwrap();
    let store = std::fs::canonicalize(node.config().data_dir.join("state").join(NETWORK)).unwrap();
    let made = std::fs::metadata(&store).unwrap().ino();
    assert_eq!(node.api().leaves(NETWORK, "").unwrap(), leaves);
    let known = node.api().wait(NETWORK, "the list", |_| {
        let listed = list(&node);
        (listed["backend"] == "zfs").then_some(listed)
    });
    let known = names(&known.unwrap());
    assert!(known.contains(first) && known.contains(last), "{known:?}");
    // One that is made again lies beside it until the next start.
    let node = node.restart().unwrap();
    assert_eq!(std::fs::metadata(&store).unwrap().ino(), made);
    assert_eq!(node.api().leaves(NETWORK, "").unwrap(), leaves);
    order(&node, &["restore", first]);
    assert_eq!(node.api().leaves(NETWORK, "").unwrap(), leaves, "of a snapshot that came with it");
    node.stop().unwrap();
}

/// More checkpoints than there may be snapshots: the newest and what is held stay.
///
/// Planted: no thinning after one was made; holds not looked at.
#[test]
fn old_ones_make_way_and_held_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = settings(folder.path(), Which::Plain, None);
    config.snapshots.most = 3;
    let node = LocalNode::start(config).unwrap();
    fed(&node, 32, 2500);
    let first = names(&list(&node))[0].clone();
    order(&node, &["hold", &first]);
    // Every closed checkpoint by hand, the newest last.
    let head = node.api().status(NETWORK).unwrap()["head"]["opening_label"].as_u64().unwrap();
    let mut made = Vec::new();
    for block in (head - 6 * EVERY..=head).step_by(EVERY as usize) {
        let (code, answer) = ask(&node, &["create", "--block", &block.to_string()]);
        if code == Some(0) {
            made.push(answer["checkpoint"]["name"].as_str().unwrap().to_owned());
        }
        let listed = list(&node);
        assert!(names(&listed).len() <= 3, "{listed}");
        assert!(names(&listed).contains(&first), "{listed}");
    }
    assert!(made.len() > 3, "{made:?}");
    assert!(names(&list(&node)).contains(made.last().unwrap()));
    node.stop().unwrap();
    // What the thinned ones left is gone from the disk too.
    let left = std::fs::read_dir(folder.path().join("data/snapshots").join(NETWORK)).unwrap().count();
    assert_eq!(left, 6, "three folders, each with its file");
}

/// Off means off; a dataset that cannot be had is said, and the node runs.
#[test]
fn without_snapshots_the_node_runs_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(settings(folder.path(), Which::Off, None)).unwrap();
    let (status, answer) = node.api().get(&format!("/api/checkpoints/list?network={NETWORK}")).unwrap();
    assert_eq!((status, answer["code"].as_str()), (501, Some("snapshots_off")));
    node.stop().unwrap();
    let node = LocalNode::start(settings(folder.path(), Which::Zfs, Some("no-such-pool/x".into()))).unwrap();
    let api = node.api();
    let told = api.wait(NETWORK, "the alert", |_| list(&node)["alert"].as_str().map(str::to_owned)).unwrap();
    assert!(told.contains("zfs"), "{told}");
    let component = api.json("/health").unwrap()["networks"][NETWORK]["components"]["snapshots"].clone();
    assert_eq!((&component["status"], component["reason"].as_str()), (&json!("degraded"), Some(told.as_str())));
    assert_eq!(ask(&node, &["create"]).0, Some(1));
    Feeding::start(honeycomb(Profile::Published, 33, PERIODS, &[]), pace(&node, 500)).unwrap().finish();
    node.stop().unwrap();
}
