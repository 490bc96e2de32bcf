//! An operator's day on a real node that a scripted honeycomb feeds: every command, and what it leaves to a script.

use honeygraph_testnet::STILL;
use honeygraph_testnet::honeycomb::live::{self, Pace};
use honeygraph_testnet::honeycomb::{Config, Honeycomb};
use honeygraph_testnet::process::{Launch, Node};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const OPS: u64 = 3000;

fn feed(node: &Node) {
    let honeycomb = Honeycomb::new(Config::published(7)).unwrap();
    let mut pace = Pace::new(format!("{}/ws", node.endpoints.feed));
    (pace.ops, pace.pause, pace.patience) = (OPS, Duration::ZERO, STILL);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_, report) = runtime.block_on(live::feed(honeycomb, pace, std::future::pending(), |_| {}));
    assert!(report.complete, "{report:?}");
}

/// Runs a command with `--json`: its exit code and its answer.
fn ask(data: &Path, args: &[&str]) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeygraph"));
    let output = command.env_clear().args(args).arg("--json").arg("--data-dir").arg(data).output().unwrap();
    let text = if output.status.success() { &output.stdout } else { &output.stderr };
    let value = serde_json::from_slice(text).unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"));
    (output.status.code().unwrap_or(-1), value)
}

fn network(data: &Path) -> Value {
    let (code, status) = ask(data, &["status", "--network", "spkcc_"]);
    assert_eq!(code, 0);
    status["networks"][0].clone()
}

/// What the node says once it is at rest: the feed is gone, everything decided is durable and applied (the wait is on
/// progress: each look asks the node).
fn at_rest(data: &Path) -> Value {
    loop {
        let network = network(data);
        let quiet = network["lanes"].as_array().is_some_and(Vec::is_empty);
        if quiet && network["applied"] == network["durable"] && network["durable"] == network["lsn"] {
            return network;
        }
    }
}

#[test]
fn an_operators_day() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), data);
    let mut node = launch.start().unwrap();
    feed(&node);

    let before = at_rest(data);
    let head = before["head"]["label"].as_u64().unwrap();
    assert_eq!(before["network"], "spkcc_", "the token chose the network");
    let (code, stats) = ask(data, &["query", "stats"]);
    assert_eq!((code, &stats["complete"], &stats["batch"]), (0, &Value::Bool(false), &before["head"]["batch"]));
    assert!(stats["data"].is_object());
    let (code, absent) = ask(data, &["query", "nobody/here"]);
    assert_eq!((code, absent["code"].as_str()), (4, Some("unknown_before_base")));
    assert_eq!(ask(data, &["verify"]).0, 7, "a node runs");
    let file = folder.path().join("state.json");
    let (code, export) = ask(data, &["export", "LARYNX", "--output", file.to_str().unwrap()]);
    assert_eq!((code, &export["batch"], &export["complete"]), (0, &before["head"]["batch"], &Value::Bool(false)));
    let document: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!((&document["state"]["stats"], &document["batch"]), (&stats["data"], &export["batch"]));

    // Back by a period, and forward again.
    let to = (head - 100).to_string();
    let (code, would) = ask(data, &["rollback", "--to", &to, "--reason", "test", "--dry-run"]);
    assert_eq!((code, &would["verdict"]), (0, &Value::Null));
    assert_eq!(network(data)["head"], before["head"], "a dry run does nothing");
    let (code, done) = ask(data, &["rollback", "--to", &to, "--reason", "test"]);
    assert_eq!((code, &done["batches"]), (0, &would["batches"]));
    let after = at_rest(data);
    assert_eq!((&after["head"]["batch"], &after["verdicts"][0]["reason"]), (&done["to"]["batch"], &"test".into()));
    assert_eq!(ask(data, &["query", "stats"]).1["batch"], done["to"]["batch"]);
    let fork = before["head"]["batch"].as_str().unwrap();
    let (code, left) = ask(data, &["query", "stats", "--batch", fork]);
    assert_eq!((code, &left["data"]), (0, &stats["data"]), "what was left stays queryable");
    let (code, left) = ask(data, &["query", "stats", "--fork", done["left"].as_str().unwrap()]);
    assert_eq!((code, &left["batch"], &left["data"]), (0, &before["head"]["batch"], &stats["data"]), "by its name");
    assert_eq!((&would["left"], &after["verdicts"][0]["fork"]), (&done["left"], &done["left"]));
    let verdict = done["verdict"].to_string();
    assert_eq!(ask(data, &["rollback", "--release", &verdict, "--reason", "enough"]).0, 0);
    assert_eq!(at_rest(data)["head"]["batch"], before["head"]["batch"]);
    assert_eq!(ask(data, &["rollback", "--to", "5", "--reason", "x"]).0, 4);
    assert_eq!(ask(data, &["gaps", "accept", "77", "--reason", "x"]).0, 4);

    assert_eq!(ask(data, &["log-level", "honeygraph=debug"]).0, 0);
    assert_eq!(ask(data, &["log-level", "loud"]).0, 2);
    assert_eq!(
        ask(data, &["query", "stats", "--batch", "loud"]),
        (2, json!({ "code": "bad_request", "error": "--batch is not a batch id" }))
    );
    let (code, elsewhere) = ask(data, &["status", "--network", "duat_"]);
    assert_eq!((code, elsewhere["code"].as_str()), (4, Some("unknown_network")));
    assert!(elsewhere["error"].as_str().is_some_and(|text| text.contains("spkccT_")), "{elsewhere}");
    for shown in [&["status"][..], &["forks"], &["gaps", "list"], &["query", "stats", "--leaves"]] {
        let (status, text) = launch.command(shown).unwrap();
        assert!(status.success() && !text.is_empty(), "{shown:?}: {text}");
    }

    assert!(node.process.stop().unwrap().success(), "{}", node.process.log());
    assert!(!data.join("endpoints.json").exists(), "a clean stop takes it back");
    assert_eq!(ask(data, &["status"]).0, 3);
    let (code, verified) = ask(data, &["verify"]);
    assert_eq!((code, &verified["clean"]), (0, &Value::Bool(true)), "{verified}");
    let spkcc = verified["networks"].as_array().unwrap().iter().find(|n| n["network"] == "spkcc_").unwrap();
    assert!(spkcc["chain"]["batches"].as_u64() > Some(100) && spkcc["state"]["points"].as_array().unwrap().len() > 5);
    let (code, stat) = ask(data, &["journal", "stat", "--network", "spkcc_"]);
    assert_eq!((code, &stat["networks"][0]["last"]), (0, &spkcc["journal"]["last"]));
}

/// A power cut can leave nonsense in what was never synced of the state store. The journal has everything: `verify` says
/// so and calls nothing lost, and the next start answers as before.
#[test]
fn a_torn_state_store_is_rebuilt_and_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), data);
    let mut node = launch.start().unwrap();
    feed(&node);
    let before = at_rest(data);
    assert!(node.process.stop().unwrap().success());
    let mut folders = vec![data.join("state").join("spkcc_")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { std::fs::write(path, "torn").unwrap() }
        }
    }
    let (code, verified) = ask(data, &["verify"]);
    assert_eq!((code, &verified["clean"]), (0, &Value::Bool(true)), "{verified}");
    let spkcc = verified["networks"].as_array().unwrap().iter().find(|n| n["network"] == "spkcc_").unwrap();
    assert!(spkcc["state"]["unreadable"].is_string(), "{spkcc}");
    let _node = launch.start().unwrap();
    assert_eq!(at_rest(data)["head"]["batch"], before["head"]["batch"]);
    assert_eq!(ask(data, &["query", "stats"]).1["batch"], before["head"]["batch"]);
}

/// Failed once: in a container without certificates a node did not start, though nothing that it was to ask was https.
#[test]
fn a_machine_without_certificates_runs_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none").display().to_string();
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.path().join("data"));
    let launch = launch.env("SSL_CERT_FILE", none.clone()).env("SSL_CERT_DIR", none).env("SYNC_ENABLED", "true");
    let mut node = launch.start().unwrap();
    assert_eq!(node.get("/health/live").unwrap().0, 200);
    assert!(node.process.log().contains("ca-certificates"), "{}", node.process.log());
    assert!(node.process.stop().unwrap().success());
}
