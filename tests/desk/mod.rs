//! A node with a network of short periods, and what feeds it, for the tests over real sockets.

#![allow(dead_code, reason = "each test file uses its part")]

use honeygraph::config::{Config, Sources};
use honeygraph_testnet::STILL;
use honeygraph_testnet::api::Shown;
use honeygraph_testnet::honeycomb::live::Pace;
use honeygraph_testnet::honeycomb::{self, Fault, Honeycomb, Leaves, Profile};
use honeygraph_testnet::local::LocalNode;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Blocks in a period, and periods in a day, of the tests' network.
pub const EVERY: u64 = 20;
pub const PERIODS: u64 = 4;
pub const NETWORK: &str = "desk_";
/// A second network with the same numbers, of token ASIDE.
pub const ASIDE: &str = "aside_";
/// Periods in a day where what was lost long ago must still be in the client's cache: it trims that at a root.
pub const LONG: u64 = 1000;

/// A node with a network of short periods, so many of them a day, configured as an operator does it.
pub fn config(folder: &Path, periods: u64) -> Config {
    let file = folder.join("honeygraph.toml");
    let numbers = format!("checkpoint_every = {EVERY}\nroot_interval = {}\nroot_offset = 5", EVERY * periods);
    let network = |name: &str, token: &str| format!("[networks.{name}]\ntokens = [\"{token}\"]\n{numbers}\n");
    std::fs::write(&file, network(NETWORK, "DESK") + &network(ASIDE, "ASIDE")).unwrap();
    let flags = BTreeMap::from([
        ("data_dir", folder.join("data").display().to_string()),
        ("api_listen", "127.0.0.1:0".to_owned()),
        ("feed_listen", "127.0.0.1:0".to_owned()),
        ("swarm.listen", "/ip4/127.0.0.1/tcp/0".to_owned()),
        ("swarm.interval_ms", "200".to_owned()),
        // Who tests the swarm turns it on.
        ("swarm.enabled", "false".to_owned()),
    ]);
    Sources { flags, file: Some(file), ..Sources::default() }.read().unwrap()
}

pub fn honeycomb(profile: Profile, seed: u64, periods: u64, faults: &[Fault]) -> Honeycomb {
    let mut config = honeycomb::Config::new(profile, seed).small(EVERY, periods);
    config.token = "DESK".to_owned();
    config.faults = faults.to_vec();
    Honeycomb::new(config).unwrap()
}

pub fn pace(node: &LocalNode, ops: u64) -> Pace {
    let mut pace = Pace::new(format!("{}/ws", node.endpoints().feed));
    pace.ops = ops;
    pace.reconnect = Duration::from_millis(5);
    pace.reconnect_max = Duration::from_millis(50);
    pace.patience = STILL;
    pace
}

pub fn shown(leaves: &Leaves) -> Shown {
    leaves.iter().map(|(path, value)| (path.clone(), value.clone())).collect()
}

/// What of the status explains a failure.
pub fn told(status: &Value) -> String {
    let line = |event: &Value| format!("{} {}", event["event"], event["about"]);
    let events: Vec<String> = status["events"].as_array().unwrap().iter().map(line).collect();
    let parts = ["head", "parked", "gaps", "lanes", "counters"].map(|part| format!("{part}: {}", status[part]));
    format!("{}\n{}", events.join("\n"), parts.join("\n"))
}
