//! What `honeygraph status` and `honeygraph gaps` print.

use super::answer::{ApiError, json};
use super::query::Query;
use super::{Networked, Web};
use crate::fork::status::Status;
use crate::retention::Kept;
use crate::swarm::sync::Progress;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Serialize)]
struct Shown<'a> {
    durable: u64,
    applied: u64,
    ready: bool,
    journal: Arc<Kept>,
    #[serde(flatten)]
    core: &'a Status,
}

#[derive(Serialize)]
struct Node<'a> {
    version: &'static str,
    uptime: u64,
    feeds: usize,
    swarm: Option<InSwarm>,
    networks: Vec<Shown<'a>>,
}

/// The node in the swarm.
#[derive(Serialize)]
struct InSwarm {
    peer: String,
    peers: usize,
    networks: BTreeMap<String, Progress>,
}

/// `GET /api/status?network=`: all networks, or one.
pub(super) async fn status(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let asked = match query.get("network") {
        Some(named) => vec![web.network(Some(named))?],
        None => web.networks.iter().map(|(name, network)| (name.as_str(), network)).collect(),
    };
    let cores: Vec<Arc<Status>> = asked.iter().map(|(_, network)| Arc::clone(&network.status.borrow())).collect();
    let networks = asked.iter().zip(&cores).map(|((_, network), core)| shown(network, core)).collect();
    let (uptime, feeds) = (web.started.elapsed().as_secs(), web.feeds.open());
    let swarm = web.swarm.as_ref().map(|swarm| {
        let peers = swarm.handle.seen().borrow().peers.len();
        let networks = swarm.shown.borrow().networks.clone();
        InSwarm { peer: swarm.handle.us().to_string(), peers, networks }
    });
    Ok(json(&Node { version: env!("CARGO_PKG_VERSION"), uptime, feeds, swarm, networks }))
}

fn shown<'a>(network: &Networked, core: &'a Status) -> Shown<'a> {
    let (durable, applied) = (*network.durable.borrow(), *network.applied.borrow());
    let journal = Arc::clone(&network.kept.borrow());
    Shown { durable, applied, ready: network.ready(), journal, core }
}

/// `GET /api/gaps?network=`
pub(super) async fn gaps(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let (name, network) = web.network(query.get("network"))?;
    let status = Arc::clone(&network.status.borrow());
    Ok(json(&serde_json::json!({ "network": name, "gaps": status.gaps, "parked": status.parked })))
}
