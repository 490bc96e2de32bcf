//! What the routes of the swarm answer, field by field.
//!
//! *Always holds:* as in [`super::answers`].

use super::answers::{by_name, flag, list, number, object, or_null, text, word};
use serde_json::{Value, json};

/// The schema of a route's answer.
pub(super) fn answer(method: &str, route: &str) -> Value {
    match (method, route) {
        ("GET", "/api/sync/status") => status(),
        ("GET", "/api/sync/peers") => list(peer()),
        ("GET", "/api/sync/peers/status") => {
            let peer = object(&[
                ("url", text()),
                ("status", word(&["connected"])),
                ("lastSeen", text()),
                ("lag", or_null(number())),
            ]);
            object(&[("peers", list(peer))])
        }
        ("GET", "/api/honeygraph-peers") => list(object(&[("id", text()), ("url", text())])),
        ("GET", "/api/sync/gaps") => {
            let gap = object(&[("start", number()), ("end", number()), ("size", number())]);
            object(&[
                ("network", text()),
                ("fromBlock", or_null(number())),
                ("toBlock", or_null(number())),
                ("gaps", list(gap)),
                ("totalMissing", number()),
            ])
        }
        ("GET", "/api/sync/blocks") => {
            list(object(&[("blockNum", number()), ("hash", or_null(text())), ("operations", number())]))
        }
        ("POST", "/api/sync/verify") => object(&[
            ("network", text()),
            ("blockNum", number()),
            ("expectedHash", text()),
            ("actualHash", or_null(text())),
            ("match", flag()),
            ("agreeing", number()),
            ("total", number()),
        ]),
        ("GET", "/api/sync/consensus/{n}") => {
            let confidence = json!({ "type": "number", "minimum": 0, "maximum": 1 });
            let found = object(&[("blockHash", text()), ("peers", list(text())), ("confidence", confidence)]);
            object(&[("network", text()), ("blockNum", number()), ("consensus", found)])
        }
        ("POST", "/api/sync/sync-gaps" | "/api/sync/sync-from/{n}") => fetched(),
        ("POST", "/api/sync/peers") => object(&[("success", flag()), ("peerId", or_null(text()))]),
        _ => object(&[("success", flag()), ("totalPeers", number())]),
    }
}

/// What `/api/status` says of the swarm.
pub(super) fn brief() -> Value {
    object(&[("peer", text()), ("peers", number()), ("networks", by_name(progress()))])
}

/// What came of an order to fetch; of `sync-from` a `message` instead of results, where nothing was missing.
fn fetched() -> Value {
    let results = object(&[
        ("totalGaps", number()),
        ("syncedBlocks", number()),
        ("failedBlocks", number()),
        ("peers", by_name(number())),
    ]);
    object(&[("success", flag()), ("isSyncing?", flag()), ("results?", results), ("message?", text())])
}

fn status() -> Value {
    object(&[
        ("network", text()),
        ("peerId", text()),
        ("addresses", list(text())),
        ("isSyncing", flag()),
        ("lastSyncBlock", or_null(number())),
        ("peers", list(peer())),
        ("progress", or_null(progress())),
        ("offences", by_name(number())),
        ("votes", or_null(votes())),
        ("pictures", or_null(pictures())),
        ("missing", list(number())),
        ("available", flag()),
        ("alone_since_ms", or_null(number())),
        ("next_search_ms", number()),
        ("sources", list(object(&[("source", text()), ("addresses?", number()), ("error?", text())]))),
        ("remembered", number()),
        ("trouble", or_null(text())),
    ])
}

fn votes() -> Value {
    let minority = object(&[("label", number()), ("own", text()), ("theirs", text()), ("accounts", number())]);
    let tally = object(&[("label", number()), ("accounts", by_name(number())), ("agreed", or_null(text()))]);
    object(&[
        ("account", or_null(text())),
        ("counts", flag()),
        ("electorate", number()),
        ("bound", number()),
        ("minority", or_null(minority)),
        ("newest", list(tally)),
    ])
}

fn pictures() -> Value {
    let held = object(&[("root", text()), ("label", number()), ("bytes", number())]);
    let offered = object(&[
        ("root", text()),
        ("label", number()),
        ("bytes", number()),
        ("peers", number()),
        ("anchored", flag()),
    ]);
    let fetched = object(&[
        ("phase", word(&["off", "looking", "manifest", "leaves", "checking", "waiting"])),
        ("root", or_null(text())),
        ("groups", number()),
        ("done", number()),
        ("bytes", number()),
        ("offered", list(offered)),
        ("trouble", or_null(text())),
    ]);
    object(&[
        ("held", list(held)),
        ("differs", or_null(object(&[("label", number()), ("hash", text())]))),
        ("fetched", fetched),
    ])
}

fn peer() -> Value {
    object(&[
        ("id", text()),
        ("nodeId", text()),
        ("url", text()),
        ("version", or_null(text())),
        ("isAlive", flag()),
        ("health", word(&["healthy", "meeting point"])),
        ("reliability", json!({ "type": "number", "minimum": 0, "maximum": 1 })),
        ("heads", or_null(by_name(or_null(number())))),
        ("lastSeen", text()),
        ("outgoing", flag()),
        ("connectedSince", text()),
    ])
}

fn progress() -> Value {
    let label = || or_null(number());
    let offered = object(&[("hash", text()), ("label", label()), ("peers", number())]);
    object(&[
        ("phase", word(&["unanchored", "headers", "bodies", "synced"])),
        ("from", label()),
        ("to", label()),
        ("missing", number()),
        ("done", number()),
        ("ops_per_s", number()),
        ("eta_s", or_null(number())),
        ("limit", word(&["nothing", "anchor", "peers", "retry", "network", "core"])),
        ("asked", number()),
        ("waiting", number()),
        ("offered", list(offered)),
    ])
}
