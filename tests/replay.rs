//! A recorded feed, played to a fresh node, gives the ids and the state of the recorded one, whatever went on.

mod desk;

use desk::{EVERY, LONG, NETWORK, config, pace, told};
use honeygraph_protocols::batch::BatchId;
use honeygraph_testnet::api::Shown;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::held::Held;
use honeygraph_testnet::honeycomb::live::Pace;
use honeygraph_testnet::honeycomb::{Config, Fault, Honeycomb, Profile};
use honeygraph_testnet::load::socket;
use honeygraph_testnet::local::LocalNode;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const OPS: u64 = 1500;
const SEED: u64 = 33;

fn honeygraph(node: &LocalNode, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeygraph"));
    command.env_clear().arg("--data-dir").arg(&node.config().data_dir).arg("--json").args(args);
    command
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Begins to record, and waits until it is listened to: from then on the file is there.
fn record(node: &LocalNode, file: &Path) -> Child {
    let args = ["record", "--network", NETWORK, "--part-bytes", "16384", "--out", file.to_str().unwrap()];
    let child = honeygraph(node, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    node.api()
        .wait(NETWORK, "the recording", |_| std::fs::metadata(file).is_ok_and(|about| about.len() > 12).then_some(()))
        .unwrap();
    child
}

fn feed(node: &LocalNode, pace_seed: u64, faults: &[Fault]) -> Feeding {
    let mut config = Config::new(Profile::Published, SEED).small(EVERY, LONG);
    (config.token, config.pace, config.faults) = ("DESK".to_owned(), pace_seed, faults.to_vec());
    let pace = Pace { rate: 3000.0, ..pace(node, OPS) };
    Feeding::start(Honeycomb::new(config).unwrap(), pace).unwrap()
}

/// A socket that speaks nonsense between what makes sense: complained about, and heard again by a replay.
fn nonsense(node: &LocalNode) {
    let (mut sender, mut receiver) = socket::connect(&node.endpoints().feed, "/ws", "DESK").unwrap();
    let identify = r#"{"type":"identify","source":"a test","version":"1","token":"DESK"}"#;
    for text in ["{", identify, "{", r#"{"type":"what"}"#, r#"{"type":"sync_status","lastIndex":0}"#, "[]"] {
        sender.send_text(text).unwrap();
    }
    let (mut pong, mut complaints) = (sender.again().unwrap(), 0);
    while complaints < 2 {
        let text = receiver.next_text(&mut pong).unwrap().unwrap();
        complaints += usize::from(text.windows(7).any(|part| part == b"\"error\""));
    }
    sender.hang_up();
}

/// A node that decides nothing by the clock: a replay keeps the order of what was said, not its times.
fn patient(folder: &Path) -> honeygraph::config::Config {
    let mut config = config(folder, LONG);
    config.fork.answer = Duration::from_secs(3600);
    config
}

/// All that a node came to: the head, and each history with its ids and its state.
#[derive(PartialEq)]
struct Came {
    head: Value,
    histories: BTreeMap<String, (Vec<BatchId>, Shown)>,
    parked: Value,
    gaps: usize,
}

fn came(node: &LocalNode) -> Came {
    let status = node.api().settled(NETWORK).unwrap();
    let mut held = Held::new(NETWORK);
    held.read_on(&node.config().data_dir).unwrap();
    let tips = status["forks"].as_array().unwrap().iter().map(|fork| fork["tip"]["batch"].as_str().unwrap().to_owned());
    let history = |tip: String| {
        let ids = held.chain_of(&tip.parse().unwrap());
        let leaves = node.api().leaves(NETWORK, &format!("&batch={tip}")).unwrap();
        (tip, (ids, leaves))
    };
    Came {
        head: status["head"]["batch"].clone(),
        histories: tips.map(history).collect(),
        parked: status["parked"].clone(),
        gaps: status["gaps"].as_array().unwrap().len(),
    }
}

/// Lost and repeated ops, reconnects, a honeycomb that starts again, second runs, interleaved batches, forks.
///
/// Guards against: another socket spoken on before the core has what the last one said; a closed socket not waited for.
#[test]
fn a_chaotic_run_is_reproduced_exactly() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let file = folders[0].path().join("chaos.rec");
    let node = LocalNode::start(patient(folders[0].path())).unwrap();
    let recording = record(&node, &file);
    let at = |op| [Fault::Drop { op }, Fault::Duplicate { op: op + 40 }, Fault::Disconnect { op: op + 70 }];
    let wild: Vec<Fault> = [250, 500, 900, 1200].into_iter().flat_map(at).collect();
    let restarts = [Fault::Restart { blocks: 90, back: 1 }, Fault::Swap { op: 300 }];
    let apart = [Fault::Disagree { period: 4, salt: 7 }, Fault::Disconnect { op: 700 }];
    let feeds = [feed(&node, 1, &wild), feed(&node, 2, &restarts), feed(&node, 3, &apart), feed(&node, 4, &apart)];
    nonsense(&node);
    feeds.into_iter().for_each(|feeding| drop(feeding.finish()));
    let recorded = came(&node);
    let status = node.api().status(NETWORK).unwrap();
    assert!(recorded.histories.len() > 1 && recorded.histories.values().all(|(ids, _)| ids.len() > 100));
    node.stop().unwrap();
    let summary = json_of(&recording.wait_with_output().unwrap());
    assert!(summary["sockets"].as_u64() > Some(8) && summary["joined"] == false, "{summary}");
    assert!(summary["files"].as_u64() > Some(2) && file.with_extension("rec.0002").exists(), "{summary}");

    let again = LocalNode::start(patient(folders[1].path())).unwrap();
    let args = ["replay", file.to_str().unwrap()];
    let played = json_of(&honeygraph(&again, &args).output().unwrap());
    assert_eq!((&played["sockets"], &played["frames"]), (&summary["sockets"], &summary["frames"]), "{played}");
    let replayed = came(&again);
    let now = again.api().status(NETWORK).unwrap();
    assert!(replayed == recorded, "recorded\n{}\nreplayed\n{}", told(&status), told(&now));
    // What is there already is not played over.
    let refused = honeygraph(&again, &args).output().unwrap();
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    again.stop().unwrap();
}
