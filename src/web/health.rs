//! Health: is it alive, is it ready, and what is wrong.
//!
//! *Always holds:* the worst component decides; every word other than `ok` comes with its reason.

use super::answer::json;
use super::query::Query;
use super::{Networked, Web};
use crate::journal;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Records that the state may be behind the journal before that is worth a word.
const LAG: u64 = 10_000;

/// How one component is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Condition {
    /// All is well.
    #[default]
    Ok,
    /// It works, less well; why.
    Degraded(String),
    /// It does not work; why.
    Down(String),
}

/// `GET /health`: every component of every network. 503 when one is down.
pub(super) async fn health(State(web): State<Arc<Web>>, _: Query) -> Response {
    let peers = peers(&web);
    let swarm = swarm(&web);
    let mut worst = swarm.clone();
    let mut networks = Map::new();
    for (name, network) in &web.networks {
        let components = components(&web, name, network);
        for (_, condition) in &components {
            worst = worse(worst, condition.clone());
        }
        networks.insert(name.clone(), shown(network, &components));
    }
    let mut body = head(&web, None);
    body.insert("status".into(), word(&worst).into());
    body.insert("peers".into(), peers.into());
    body.insert("swarm".into(), described(&swarm));
    body.insert("feeds".into(), web.feeds.open().into());
    body.insert("uptime".into(), web.started.elapsed().as_secs().into());
    body.insert("node".into(), web.label.as_str().into());
    body.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    body.insert("networks".into(), networks.into());
    answered(&worst, &Value::from(body))
}

/// `GET /api/health`: `{status, block, hash}` of one network.
pub(super) async fn short(State(web): State<Arc<Web>>, query: Query) -> Response {
    let (name, network) = match web.network(query.get("network")) {
        Ok(found) => found,
        Err(error) => return error.into_response(),
    };
    let worst = components(&web, name, network).into_iter().map(|(_, condition)| condition).fold(Condition::Ok, worse);
    let mut body = head(&web, query.get("network"));
    body.insert("status".into(), word(&worst).into());
    answered(&worst, &Value::from(body))
}

/// `GET /health/live`: the process answers.
pub(super) async fn live(_: Query) -> Response {
    json(&json!({ "status": "ok" }))
}

/// `GET /health/ready`: 503 until every state has applied what the journal held at the start.
pub(super) async fn ready(State(web): State<Arc<Web>>, _: Query) -> Response {
    let behind = web.networks.iter().filter(|(_, network)| !network.ready());
    let behind: Map<String, Value> =
        behind.map(|(name, network)| (name.clone(), (network.ready_at - *network.applied.borrow()).into())).collect();
    if behind.is_empty() {
        return json(&json!({ "status": "ready" }));
    }
    (StatusCode::SERVICE_UNAVAILABLE, json(&json!({ "status": "starting", "behind": behind }))).into_response()
}

/// Block and hash of the head of the network meant.
fn head(web: &Web, named: Option<&str>) -> Map<String, Value> {
    let mut body = Map::new();
    if let Ok((name, network)) = web.network(named) {
        let status = network.status.borrow();
        let lag = network.durable.borrow().saturating_sub(*network.applied.borrow());
        body.insert("network".into(), name.into());
        body.insert("block".into(), status.head.as_ref().and_then(|head| head.label).into());
        body.insert("hash".into(), status.head.as_ref().map(|head| head.batch.to_string()).into());
        body.insert("sync".into(), if network.ready() && lag <= LAG { "synced" } else { "syncing" }.into());
    }
    body
}

/// Connected peers.
fn peers(web: &Web) -> usize {
    web.swarm.as_ref().map_or(0, |swarm| swarm.handle.seen().borrow().peers.len())
}

/// The swarm: a node works without one, less well.
fn swarm(web: &Web) -> Condition {
    let seen = web.swarm.as_ref().and_then(|swarm| swarm.handle.seen().borrow().trouble.clone());
    web.swarm_failed.clone().or(seen).map_or(Condition::Ok, Condition::Degraded)
}

/// The own feed against those whose votes count.
fn votes(web: &Web, name: &str) -> Condition {
    let votes = web.swarm.as_ref().map(|swarm| swarm.votes.borrow().clone());
    let minority = votes.as_ref().and_then(|votes| votes.get(name)?.minority.as_ref());
    minority.map_or(Condition::Ok, |minority| {
        let (label, accounts) = (minority.label, minority.accounts);
        Condition::Degraded(format!(
            "the own feed is in the minority: {accounts} accounts vouch for another checkpoint {label}"
        ))
    })
}

/// The components of a network, in the order in which data flows.
fn components(web: &Web, name: &str, network: &Networked) -> [(&'static str, Condition); 8] {
    let (peers, votes) = (peers(web), votes(web, name));
    let status = network.status.borrow();
    let feed = match status.lanes.is_empty() {
        // A replica may have peers alone.
        true if status.head.is_some() && peers == 0 => Condition::Degraded("no feed is connected".into()),
        _ => Condition::Ok,
    };
    let (recorded, parked) = (status.gaps.iter().filter(|gap| gap.phase == "recorded").count(), status.parked.pieces);
    let chain = match recorded {
        0 => Condition::Ok,
        n => Condition::Degraded(format!("{n} gaps, {parked} pieces wait behind them")),
    };
    let core = match network.status.has_changed() {
        Ok(_) => chain,
        Err(_) => Condition::Down("the core has stopped".into()),
    };
    let lag = network.durable.borrow().saturating_sub(*network.applied.borrow());
    let state = match network.applied.has_changed() {
        Err(_) => Condition::Down("the state has stopped".into()),
        Ok(_) if !network.ready() => Condition::Degraded(format!("starting, {lag} records behind")),
        Ok(_) if lag > LAG => Condition::Degraded(format!("{lag} records behind the journal")),
        Ok(_) => Condition::Ok,
    };
    let journal = match &*network.writer.borrow() {
        journal::State::Running => Condition::Ok,
        journal::State::DiskFull => Condition::Degraded("the disk is full: intake waits".into()),
        // What failed names paths of this machine: that is for the log.
        journal::State::Failed(_) => Condition::Down("a write failed, the node has to be restarted".into()),
    };
    let proof = match status.proofs.mismatch {
        None => Condition::Ok,
        Some(label) => {
            Condition::Degraded(format!("checkpoint {label} differs from honeycomb's: do not rely on what follows it"))
        }
    };
    // They say what failed where; a path of this machine is for the log, `honeygraph checkpoints list` and orders.
    let snapshots = network.snapshots.borrow().alert.clone().map_or(Condition::Ok, Condition::Degraded);
    let room = network.kept.borrow().alert.clone().map_or(Condition::Ok, Condition::Degraded);
    [
        ("feed", feed),
        ("core", core),
        ("journal", journal),
        ("room", room),
        ("state", state),
        ("snapshots", snapshots),
        ("proof", proof),
        ("votes", votes),
    ]
}

fn shown(network: &Networked, components: &[(&'static str, Condition)]) -> Value {
    let status = network.status.borrow();
    let worst = components.iter().map(|(_, condition)| condition.clone()).fold(Condition::Ok, worse);
    let components: Map<String, Value> =
        components.iter().map(|(name, condition)| ((*name).into(), described(condition))).collect();
    json!({
        "status": word(&worst),
        "block": status.head.as_ref().and_then(|head| head.label),
        "hash": status.head.as_ref().map(|head| head.batch),
        "feeds": status.lanes.len(),
        "forks": status.forks.len(),
        "components": components,
    })
}

fn described(condition: &Condition) -> Value {
    match condition {
        Condition::Ok => json!({ "status": "ok" }),
        Condition::Degraded(reason) | Condition::Down(reason) => {
            json!({ "status": word(condition), "reason": reason })
        }
    }
}

fn word(condition: &Condition) -> &'static str {
    match condition {
        Condition::Ok => "ok",
        Condition::Degraded(_) => "degraded",
        Condition::Down(_) => "down",
    }
}

fn worse(a: Condition, b: Condition) -> Condition {
    match (&a, &b) {
        (Condition::Down(_), _) | (Condition::Degraded(_), Condition::Ok | Condition::Degraded(_)) => a,
        (Condition::Ok, Condition::Ok) => a,
        _ => b,
    }
}

fn answered(worst: &Condition, body: &Value) -> Response {
    match worst {
        Condition::Down(_) => (StatusCode::SERVICE_UNAVAILABLE, json(body)).into_response(),
        _ => json(body),
    }
}
