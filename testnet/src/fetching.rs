//! A node that has nothing becomes a replica of what its peers hold.
//!
//! *Always holds:* what is timed begins when the peers are there, and ends when everything up to the checkpoint is durable and
//! in the state.

use crate::api::Api;
use serde_json::{Value, json};
use std::io::{Error, Result};
use std::time::{Duration, Instant};

/// Blocks of a period in the networks that are built in.
const EVERY: u64 = 100;

/// A root document of about so many bytes that no honeycomb wrote, of checkpoint 18505; it packs to about half of it.
pub fn document(bytes: usize) -> Vec<u8> {
    let mut document = b"[18506,{".to_vec();
    let mut nth: u64 = 0;
    while document.len() < bytes {
        let comma = if nth == 0 { "" } else { "," };
        let hash = blake3::hash(&nth.to_le_bytes()).to_hex();
        document.extend_from_slice(format!("{comma}\"{nth:012}\":\"{hash}\"").as_bytes());
        nth += 1;
    }
    document.extend_from_slice(b"}]");
    document
}

/// Waits until a node has so many peers.
pub fn wait_for_peers(api: &Api, network: &str, peers: usize) -> Result<()> {
    let met = |_: &Value| {
        let sync = api.json(&format!("/api/sync/status?network={network}")).ok()?;
        (sync["peers"].as_array()?.len() >= peers).then_some(())
    };
    api.wait(network, "the peers", met)
}

/// From the operator's word for the newest checkpoint of what `source` shows as its status, until all before it is there.
pub fn fetch(api: &Api, network: &str, source: &Value) -> Result<Duration> {
    let label = source["head"]["opening_label"].as_u64().ok_or_else(|| Error::other("the source has no label"))?;
    let start = Instant::now();
    let word = json!({ "hash": source["head"]["period"], "trusted": true, "reason": "bench", "network": network });
    api.post("/api/admin/trust", &word)?;
    // What came behind the checkpoint is nobody's to vouch for.
    let there = |status: &Value| {
        let applied = status["durable"] == status["applied"];
        (applied && status["head"]["opening_label"].as_u64()? + EVERY >= label).then_some(())
    };
    api.wait(network, "the history", there)?;
    Ok(start.elapsed())
}
