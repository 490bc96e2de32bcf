//! What an operator asks when something is wrong, and whether the answer names it.

mod desk;

use desk::{NETWORK, PERIODS, config, honeycomb, pace};
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::gateway::Gateway;
use honeygraph_testnet::honeycomb::{Fault, Profile, Start};
use honeygraph_testnet::local::LocalNode;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn run(data: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeygraph"));
    let done = command.args(arguments).args(["--json", "--data-dir"]).arg(data).output().unwrap();
    (done.status.code(), serde_json::from_slice(&done.stdout).unwrap_or(Value::Null))
}

fn what(found: &Value, level: &str) -> String {
    let findings = found["findings"].as_array().unwrap().iter().filter(|finding| finding["level"] == level);
    findings.map(|finding| finding["what"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_doctor_names_a_mismatch_on_a_running_node_and_nothing_on_a_sound_folder() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let liar = honeycomb(Profile::Published, 31, PERIODS, &[Fault::WrongHash { period: 13 }]);
    Feeding::start(liar, pace(&node, 3000)).unwrap().finish();
    let mismatch = |status: &Value| status["proofs"]["mismatch"].as_u64();
    let label = node.api().wait(NETWORK, "the mismatch", mismatch).unwrap();
    let gone = |status: &Value| status["lanes"].as_array().unwrap().is_empty().then_some(());
    node.api().wait(NETWORK, "the feed to be gone", gone).unwrap();
    let data = node.config().data_dir.clone();
    let (code, found) = run(&data, &["doctor"]);
    assert_eq!(code, Some(6), "{found}");
    assert!(what(&found, "bad").contains(&format!("checkpoint {label}")), "{found}");
    assert!(what(&found, "note").contains("no feed is connected"), "{found}");
    node.stop().unwrap();
    let (code, found) = run(&data, &["doctor"]);
    assert_eq!((code, what(&found, "bad")), (Some(0), String::new()), "{found}");
    assert!(what(&found, "ok").contains("the journal is whole up to record"), "{found}");
    let segment = data.join("journal").join(NETWORK).join("00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[6000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (code, found) = run(&data, &["doctor"]);
    assert_eq!(code, Some(6), "{found}");
}

/// Against a honeycomb that began with nothing both sides are equal; one leaf is one difference.
#[test]
fn compare_counts_the_leaves_that_differ() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let mut settings = honeygraph_testnet::honeycomb::Config::new(Profile::Ideal, 32).small(desk::EVERY, PERIODS);
    settings.token = "DESK".to_owned();
    settings.start = Start::Genesis;
    let comb = honeygraph_testnet::honeycomb::Honeycomb::new(settings).unwrap();
    let (comb, _) = Feeding::start(comb, pace(&node, 900)).unwrap().finish();
    node.api().settled(NETWORK).unwrap();
    let truth = comb.truth();
    // The period before its first checkpoint has no name, and is not chained.
    let leaves = truth.leaves_from(1).unwrap();
    let mut state = json!({});
    for (path, value) in leaves.iter() {
        let (last, above) = path.split_last().unwrap();
        let mut at = &mut state;
        for segment in above {
            at = &mut at[segment.as_str()];
        }
        at[last.as_str()] = value.clone();
    }
    let other = Gateway::start().unwrap();
    other.hold("state", json!({ "state": state, "node": "x" }).to_string());
    let data = node.config().data_dir.clone();
    let (code, said) = run(&data, &["compare", "--honeycomb", &other.url(), "--network", NETWORK]);
    assert_eq!((code, &said["differing"]), (Some(0), &json!(0)), "{said}");
    state["stats"]["lastBlock"] = json!("other");
    other.hold("state", json!({ "state": state }).to_string());
    let (code, said) = run(&data, &["compare", "--honeycomb", &other.url(), "--network", NETWORK]);
    assert_eq!((code, &said["differing"], &said["first"][0]["path"]), (Some(1), &json!(1), &json!("stats/lastBlock")));
    node.stop().unwrap();
}
