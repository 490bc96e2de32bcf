//! The nodes of `up` that no honeycomb feeds: they have the first one as their peer, and their operator vouches for each
//! checkpoint that the honeycombs announce, as one does who asks several of them.
//!
//! *Always holds:* they know nothing but what the first one's honeycomb made public: its address and its hashes.

use super::{NETWORK, cast};
use honeygraph::catalog::Catalog;
use honeygraph::config::Config;
use honeygraph_bootstrap::source::Source;
use honeygraph_testnet::local::LocalNode;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at what peers hold: heads come by gossip anyway.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A hash that is vouched for needs a place in the list of those; the oldest makes room.
const PINS: usize = 64;

/// The nodes.
pub(super) struct Others {
    nodes: Vec<LocalNode>,
    pinned: BTreeSet<String>,
    order: Vec<String>,
}

/// The configuration of a node of the play.
pub(super) fn config(folder: &Path) -> Result<Config, Box<dyn std::error::Error>> {
    let mut config = Config::for_test(folder);
    config.catalog = Arc::new(Catalog::new(&BTreeMap::from([(NETWORK.to_owned(), cast::short_day())]))?);
    Ok(config)
}

impl Others {
    /// So many nodes beside the first.
    pub(super) fn enter(first: &LocalNode, folder: &Path, count: usize) -> Result<Self, Box<dyn std::error::Error>> {
        let mut nodes = Vec::new();
        for number in 0..count {
            let mut config = config(&folder.join(format!("node-{}", number + 2)))?;
            config.swarm.enabled = true;
            config.swarm.interval = LOOK_EVERY;
            for address in &first.endpoints().swarm {
                config.swarm.sources.push(Source::parse(address)?);
                if let Some((_, peer)) = address.rsplit_once("/p2p/") {
                    config.swarm.trusted.push(peer.parse()?);
                }
            }
            nodes.push(LocalNode::start(config)?);
        }
        Ok(Self { nodes, pinned: BTreeSet::new(), order: Vec::new() })
    }

    /// Where they listen.
    pub(super) fn apis(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.endpoints().api.as_str())
    }

    /// Vouches for the first node's newest checkpoint.
    pub(super) fn vouch(&mut self, first: &Value) {
        let Some(hash) = first["head"]["period"].as_str().filter(|hash| !self.pinned.contains(*hash)) else { return };
        let word = |hash: &str, trusted: bool| {
            let body = json!({ "hash": hash, "trusted": trusted, "reason": "announced", "network": NETWORK });
            // One that is just starting hears of the next.
            self.nodes.iter().for_each(|node| drop(node.api().post("/api/admin/trust", &body)));
        };
        word(hash, true);
        self.pinned.insert(hash.to_owned());
        self.order.push(hash.to_owned());
        if self.order.len() > PINS {
            word(&self.order[0], false);
            // It stays noted: a head that goes back is not news.
            self.order.remove(0);
        }
    }

    /// A line of where they stand.
    pub(super) fn line(&self, first: &Value) -> String {
        let newest = first["head"]["label"].as_u64();
        let part = |(number, node): (usize, &LocalNode)| {
            let api = node.api();
            let (Ok(status), Ok(swarm)) = (api.status(NETWORK), api.json("/api/sync/status?network=spkcc_")) else {
                return format!("{}: does not answer", number + 2);
            };
            let head = status["head"]["label"].as_u64();
            let lag = newest.zip(head).map_or("-".to_owned(), |(newest, head)| newest.saturating_sub(head).to_string());
            let peers = swarm["peers"].as_array().map_or(0, Vec::len);
            let head = head.map_or("-".to_owned(), |head| head.to_string());
            let phase = swarm["progress"]["phase"].as_str().unwrap_or("-").to_owned();
            format!("{}: block {head}, {lag} behind, {peers} peers, {phase}", number + 2)
        };
        self.nodes.iter().enumerate().map(part).collect::<Vec<_>>().join(" | ")
    }

    /// Waits until all of them are what the first is; whether they are.
    pub(super) fn are_equal(&self, first: &LocalNode) -> bool {
        let of = |node: &LocalNode| node.api().leaves(NETWORK, "").map_err(|error| error.to_string());
        let Ok(status) = first.api().settled(NETWORK) else { return false };
        let state = of(first);
        let mut well = true;
        for (number, node) in self.nodes.iter().enumerate() {
            let head = &status["head"]["batch"];
            let there = |status: &Value| (status["head"]["batch"] == *head).then_some(());
            let equal = node.api().wait(NETWORK, "the first node's head", there).is_ok()
                && node.api().settled(NETWORK).is_ok()
                && of(node) == state;
            let number = number + 2;
            println!(
                "node {number}: {}",
                if equal { "its state is the first one's" } else { "IS NOT EQUAL to the first" }
            );
            well &= equal;
        }
        well
    }

    /// Stops them.
    pub(super) fn leave(self) -> Result<(), Box<dyn std::error::Error>> {
        self.nodes.into_iter().try_for_each(|node| Ok(node.stop()?))
    }
}
