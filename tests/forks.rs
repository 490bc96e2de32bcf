//! Honeycombs that agree and honeycombs that do not, into a real node over real sockets; and what its operator sees and
//! does about it on the command line.

mod desk;

use desk::{ASIDE, NETWORK, PERIODS, config, pace, shown, told};
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::held::Held;
use honeygraph_testnet::honeycomb::live::Pace;
use honeygraph_testnet::honeycomb::{Chained, Config, Fault, Honeycomb, Profile};
use honeygraph_testnet::local::LocalNode;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

/// Ops a second of each honeycomb: slow enough for all of them to move side by side.
const RATE: f64 = 2000.0;
const SEED: u64 = 21;

/// A honeycomb that begins with the first block and goes on until it is stopped. Twins differ in their pace only.
fn twin(node: &LocalNode, pace_seed: u64, faults: &[Fault]) -> Feeding {
    let mut config = Config::new(Profile::Published, SEED).small(desk::EVERY, PERIODS);
    config.token = "DESK".to_owned();
    config.pace = pace_seed;
    config.faults = faults.to_vec();
    let pace = Pace { rate: RATE, ..pace(node, 0) };
    Feeding::start(Honeycomb::new(config).unwrap(), pace).unwrap()
}

fn stopped(feeding: Feeding) -> Honeycomb {
    feeding.stop();
    let (honeycomb, report) = feeding.finish();
    assert!(report.complete, "{report:?}");
    honeycomb
}

/// What an honest honeycomb has chained behind the period that nobody names.
fn chain(honeycomb: &Honeycomb, network: &str) -> Vec<Chained> {
    honeycomb.truth().chain(network).into_iter().filter(|batch| batch.period > 0).collect()
}

/// The node holds this honeycomb's history, batch by batch, and shows its state at the end of it.
fn holds(node: &LocalNode, honeycomb: &Honeycomb, network: &str) {
    let status = node.api().settled(network).unwrap();
    let honest: Vec<_> = chain(honeycomb, network).iter().map(|batch| batch.id).collect();
    let last = honest.last().unwrap();
    let mut held = Held::new(network);
    held.read_on(&node.config().data_dir).unwrap();
    let found = held.chain_of(last);
    assert!(found == honest, "{} batches, {} held\n{}", honest.len(), found.len(), told(&status));
    let found = node.api().leaves(network, &format!("&batch={last}")).unwrap();
    assert!(found == shown(&honeycomb.truth().leaves_from(1).unwrap()), "the state at {last}");
}

fn wait(node: &LocalNode, what: &str, mut look: impl FnMut(&Value) -> bool) {
    let found = node.api().wait(NETWORK, what, |status| look(status).then_some(()));
    if let Err(error) = found {
        panic!("{what}: {}\n{}", error.to_string().len(), told(&node.api().status(NETWORK).unwrap()));
    }
}

fn forks(status: &Value) -> usize {
    status["forks"].as_array().map_or(0, Vec::len)
}

fn label(status: &Value) -> u64 {
    status["head"]["label"].as_u64().unwrap_or(0)
}

/// The command line on the node's data folder, with the operator's configuration.
fn honeygraph(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeygraph"));
    command.env_clear().arg("--data-dir").arg(data).arg("--config").arg(data.with_file_name("honeygraph.toml"));
    command.args(args).output().unwrap()
}

fn command(node: &LocalNode, args: &[&str]) -> Output {
    honeygraph(&node.config().data_dir, &[args, &["--json"]].concat())
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn twins_that_agree_are_one_history_with_two_witnesses() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let (one, two) = (twin(&node, 1, &[]), twin(&node, 2, &[]));
    wait(&node, "two witnesses", |status| label(status) > 500 && status["forks"][0]["witnesses"] == 2);
    let (one, two) = (stopped(one), stopped(two));
    holds(&node, &one, NETWORK);
    holds(&node, &two, NETWORK);
    let status = node.api().settled(NETWORK).unwrap();
    assert_eq!((forks(&status), &status["gaps"]), (1, &json!([])), "{}", told(&status));
    assert!(status["counters"]["repeated"].as_u64() > Some(100), "stored once: {}", told(&status));
    node.stop().unwrap();
}

#[test]
fn a_twin_that_disagrees_is_a_fork_and_a_third_tips_the_balance() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let apart = [Fault::Disagree { period: 4, salt: 7 }];
    let one = twin(&node, 1, &[]);
    wait(&node, "a head", |status| label(status) > 0);
    let head_of_one = |status: &Value| status["head"]["node"]["branch"] == 0;
    let other = twin(&node, 2, &apart);
    wait(&node, "a fork", |status| forks(status) == 2);
    let before = node.api().status(NETWORK).unwrap();
    assert!(head_of_one(&before), "the head stays: {}", told(&before));
    let third = twin(&node, 3, &apart);
    wait(&node, "two against one", |status| !head_of_one(status));
    let (one, other, third) = (stopped(one), stopped(other), stopped(third));
    for honeycomb in [&one, &other, &third] {
        holds(&node, honeycomb, NETWORK);
    }
    let status = node.api().settled(NETWORK).unwrap();
    assert_eq!((forks(&status), &status["gaps"]), (2, &json!([])), "{}", told(&status));
    // Each is read by its fork, too.
    let listed = json_of(&command(&node, &["forks", "--network", NETWORK]));
    let both = [&one, &other, &third].map(|honeycomb| shown(&honeycomb.truth().leaves_from(1).unwrap()));
    for fork in listed["forks"].as_array().unwrap() {
        let id = fork["tip"]["fork"].as_str().unwrap();
        let found = node.api().leaves(NETWORK, &format!("&fork={id}")).unwrap();
        assert!(both.contains(&found), "the state of fork {id}");
    }
    node.stop().unwrap();
}

#[test]
fn an_operator_rolls_back_and_releases() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let honeycomb = {
        let feeding = twin(&node, 1, &[]);
        wait(&node, "some periods", |status| label(status) > 600);
        stopped(feeding)
    };
    holds(&node, &honeycomb, NETWORK);
    let chain = chain(&honeycomb, NETWORK);
    let (target, last) = (chain.iter().rfind(|batch| batch.label <= 500).unwrap(), chain.last().unwrap());
    let order = ["rollback", "--network", NETWORK, "--to", "500", "--reason", "a test"];
    let dry = json_of(&command(&node, &[&order[..], &["--dry-run"]].concat()));
    assert_eq!(dry["to"]["batch"], target.id.to_string(), "{dry}");
    assert_eq!(node.api().status(NETWORK).unwrap()["head"]["batch"], last.id.to_string(), "nothing was done");
    let done = json_of(&command(&node, &order));
    assert_eq!(
        (&done["to"]["batch"], done["batches"].as_u64()),
        (&json!(target.id.to_string()), dry["batches"].as_u64())
    );
    let status = node.api().settled(NETWORK).unwrap();
    assert_eq!((&status["head"]["batch"], &status["verdicts"][0]["reason"]), (&dry["to"]["batch"], &json!("a test")));
    let at = honeycomb.truth().periods.iter().position(|period| period.label > 500).unwrap();
    let mut cut = honeycomb.truth().clone();
    cut.periods.truncate(at);
    assert!(node.api().leaves(NETWORK, "").unwrap() == shown(&cut.leaves_from(1).unwrap()), "the state at 500");
    holds(&node, &honeycomb, NETWORK);
    // It stays so over a restart, until it is released.
    let node = node.restart().unwrap();
    assert_eq!(node.api().settled(NETWORK).unwrap()["head"]["batch"], dry["to"]["batch"]);
    let verdict = done["verdict"].to_string();
    json_of(&command(&node, &["rollback", "--network", NETWORK, "--release", &verdict, "--reason", "seen"]));
    let status = node.api().settled(NETWORK).unwrap();
    assert_eq!((&status["head"]["batch"], &status["verdicts"]), (&json!(last.id.to_string()), &json!([])));
    node.stop().unwrap();
}

#[test]
fn networks_do_not_touch() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let feed = |token: &str, network| {
        let mut config = Config::new(Profile::Published, SEED).small(desk::EVERY, PERIODS);
        config.token = token.to_owned();
        let feeding = Feeding::start(Honeycomb::new(config).unwrap(), pace(&node, 2000)).unwrap();
        (feeding, network)
    };
    let both = [feed("DESK", NETWORK), feed("ASIDE", ASIDE)].map(|(feeding, network)| (feeding.finish().0, network));
    for (honeycomb, network) in &both {
        holds(&node, honeycomb, network);
    }
    let before = node.api().settled(ASIDE).unwrap()["head"].clone();
    json_of(&command(&node, &["rollback", "--network", NETWORK, "--to", "341", "--reason", "one of two"]));
    assert_ne!(node.api().settled(NETWORK).unwrap()["head"]["label"], before["label"]);
    assert_eq!(node.api().settled(ASIDE).unwrap()["head"], before);
    for (honeycomb, network) in &both {
        holds(&node, honeycomb, network);
    }
    node.stop().unwrap();
}

#[test]
fn the_commands_speak_to_a_running_node_and_to_a_stopped_ones_data() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let feeding = twin(&node, 1, &[]);
    wait(&node, "some periods", |status| label(status) > 400);
    let status = json_of(&command(&node, &["status", "--network", NETWORK]));
    assert!(status["networks"][0]["head"]["label"].as_u64() > Some(400), "{status}");
    let text = honeygraph(&node.config().data_dir, &["status", "--network", NETWORK]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains(NETWORK) && text.contains("DESK") && text.contains("live forks 1"), "{text}");
    assert_eq!(json_of(&command(&node, &["gaps", "list", "--network", NETWORK]))["gaps"], json!([]));
    let honeycomb = stopped(feeding);
    node.api().settled(NETWORK).unwrap();
    let leaf = json_of(&command(&node, &["query", "--network", NETWORK, "stats/tokenSupply"]));
    let path = ["stats", "tokenSupply"].map(str::to_owned);
    assert_eq!(Some(&leaf["data"]), honeycomb.leaves().get(&path), "{leaf}");
    let data = node.config().data_dir.clone();
    assert_eq!(command(&node, &["verify"]).status.code(), Some(7), "a node runs on it");
    node.stop().unwrap();
    let offline = |args: &[&str]| json_of(&honeygraph(&data, &[args, &["--json"]].concat()));
    let verified = offline(&["verify"]);
    assert_eq!(verified["clean"], true, "{verified}");
    let stat = offline(&["journal", "stat"]);
    assert!(stat.to_string().contains(NETWORK), "{stat}");
}
