//! A node that keeps three checkpoints: what is older goes from its journal and its state, it says so where it is asked for,
//! and everything that is made of a journal is made of the rest. And a journal that is taken out and put in elsewhere.

mod desk;

use desk::{NETWORK, PERIODS, config, honeycomb, pace};
use honeygraph::config::Config;
use honeygraph::retention::Keep;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::honeycomb::live::Pace;
use honeygraph_testnet::honeycomb::{Honeycomb, Profile};
use honeygraph_testnet::local::LocalNode;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

fn run(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_honeygraph")).args(arguments).arg("--data-dir").arg(data).output().unwrap()
}

fn clean(data: &Path) {
    let verified = run(data, &["verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

fn small(folder: &Path, keep: Keep) -> Config {
    let mut config = config(folder, PERIODS);
    config.segment_bytes = 40 * 1024;
    (config.retention.keep, config.retention.every) = (keep, Duration::from_millis(20));
    config
}

/// Feeds a node with so many ops; gives its settled status.
fn fed(node: &LocalNode, comb: Honeycomb, ops: u64) -> (Honeycomb, Value) {
    let (comb, _) = Feeding::start(comb, Pace { rate: 4000.0, ..pace(node, ops) }).unwrap().finish();
    (comb, node.api().settled(NETWORK).unwrap())
}

fn comb(seed: u64) -> Honeycomb {
    honeycomb(Profile::Published, seed, PERIODS, &[])
}

/// What is asked of a point that is long gone.
fn asked_of_the_past(node: &LocalNode, first_label: u64) {
    let told = |path: &str| {
        let (status, answer) = node.api().get(&format!("{path}network={NETWORK}")).unwrap();
        (status, answer["code"].as_str().unwrap_or_default().to_owned())
    };
    let gone = (410, "before_journal".to_owned());
    assert_eq!(told(&format!("/api/query/block/{first_label}/operations?")), gone);
    assert_eq!(told(&format!("/api/query/block/{first_label}/full?")), gone);
    assert_eq!(told(&format!("/api/query/head?block={first_label}&")).0, 200, "what is known of it is still told");
    let of_state = told(&format!("/api/query/path/stats?form=leaves&block={first_label}&"));
    assert_eq!(of_state, (410, "gone".to_owned()));
    let order = serde_json::json!({ "to": first_label, "reason": "too far", "network": NETWORK });
    let refused = node.api().post("/api/admin/rollback", &order).unwrap_err().to_string();
    assert!(refused.contains("410"), "{refused}");
}

#[test]
fn what_is_older_goes_and_everything_else_is_made_of_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(small(folder.path(), Keep::Checkpoints(3))).unwrap();
    let (comb, status) = fed(&node, comb(41), 3500);
    let mut comb = Some(comb);
    let labels: Vec<u64> =
        status["periods"].as_array().unwrap().iter().filter_map(|p| p["blockNum"].as_u64()).collect();
    let first_label = *labels.last().unwrap();
    assert!(labels.len() > 10, "{labels:?}");
    let gone = |path: &str| {
        let path = format!("/api/query/{path}network={NETWORK}");
        let is_gone = |_: &Value| (node.api().get(&path).ok()?.0 == 410).then_some(());
        node.api().wait(NETWORK, &path, is_gone).unwrap();
    };
    gone(&format!("block/{first_label}/operations?"));
    gone(&format!("path/stats?form=leaves&block={first_label}&"));
    let journal = node.api().status(NETWORK).unwrap()["journal"].take();
    assert!(journal["first"].as_u64() > Some(1) && journal["floor"].as_u64() >= journal["first"].as_u64(), "{journal}");
    assert!(journal["oldest"].as_u64() >= journal["first"].as_u64() && journal["alert"].is_null(), "{journal}");
    assert_eq!(journal["retention"], "3 checkpoints");
    asked_of_the_past(&node, first_label);
    let leaves = node.api().leaves(NETWORK, "").unwrap();
    let backup = folder.path().join("backup");
    let (data, file) = (node.config().data_dir.clone(), backup.to_str().unwrap());
    let made = run(&data, &["backup", "create", file]);
    assert!(made.status.success(), "{made:?}");
    let config = node.config().clone();
    node.stop().unwrap();
    clean(&data);

    let restored = folder.path().join("restored");
    let done = run(&restored, &["backup", "restore", file]);
    assert!(done.status.success(), "{done:?}");
    let export = folder.path().join("export");
    let (export, imported) = (export.to_str().unwrap(), folder.path().join("imported"));
    let done = run(&data, &["journal", "export", export, "--network", NETWORK]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(run(&imported, &["journal", "import", export]).status.code(), Some(5), "nobody vouches for its floor");
    let done = run(&imported, &["journal", "import", export, "--believe-floor"]);
    assert!(done.status.success(), "{done:?}");
    std::fs::remove_dir_all(data.join("state")).unwrap();
    let base = folder.path().join("base.json");
    std::fs::write(&base, br#"[2,{"a":1}]"#).unwrap();
    let base = ["base", "import", base.to_str().unwrap(), "--network", NETWORK];
    for data in [data, restored, imported] {
        assert_eq!(run(&data, &base).status.code(), Some(5), "it cannot be put under what is no longer there");
        let node = LocalNode::start(Config { data_dir: data.clone(), ..config.clone() }).unwrap();
        let again = node.api().settled(NETWORK).unwrap();
        assert_eq!(again["head"], status["head"]);
        assert!(node.api().leaves(NETWORK, "").unwrap() == leaves, "the same state");
        node.api()
            .wait(NETWORK, "the first look", |status| (status["journal"]["first"].as_u64()? > 1).then_some(()))
            .unwrap();
        asked_of_the_past(&node, first_label);
        if let Some(comb) = comb.take() {
            let (_, more) = fed(&node, comb, 4000);
            assert!(more["durable"].as_u64() > again["durable"].as_u64(), "it goes on");
        }
        node.stop().unwrap();
        clean(&data);
    }
}

#[test]
fn a_journal_put_in_elsewhere_makes_the_same_ids_and_the_same_state() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(small(folder.path(), Keep::Full)).unwrap();
    let (comb, early) = fed(&node, comb(51), 500);
    let (data, part) = (node.config().data_dir.clone(), folder.path().join("part"));
    let part = part.to_str().unwrap();
    // A node runs on the folder meanwhile.
    let done = run(&data, &["journal", "export", part, "--network", NETWORK]);
    assert!(done.status.success(), "{done:?}");
    let (_, status) = fed(&node, comb, 1000);
    let (leaves, first) = (node.api().leaves(NETWORK, "").unwrap(), early["durable"].as_u64().unwrap() - 50);
    let (config, label) = (node.config().clone(), status["head"]["label"].as_u64().unwrap());
    node.stop().unwrap();
    let rest = folder.path().join("rest");
    let rest = rest.to_str().unwrap();
    let from = first.to_string();
    let to = format!("label:{label}");
    let done = run(&data, &["journal", "export", rest, "--network", NETWORK, "--from", &from, "--to", &to]);
    assert!(done.status.success(), "{done:?}");

    let there = folder.path().join("there");
    let refused = run(&there, &["journal", "import", rest]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    for file in [part, rest, part] {
        let done = run(&there, &["journal", "import", file, "--json"]);
        assert!(done.status.success(), "{done:?}");
    }
    clean(&there);
    let again = LocalNode::start(Config { data_dir: there.clone(), ..config }).unwrap();
    let found = again.api().settled(NETWORK).unwrap();
    assert_eq!(found["head"]["batch"], status["head"]["batch"]);
    assert!(again.api().leaves(NETWORK, "").unwrap() == leaves, "the same state");
    again.stop().unwrap();
    clean(&there);
}
