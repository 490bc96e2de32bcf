//! What `honeygraph status` and `honeygraph gaps` print.

use super::answer::{ApiError, json};
use super::query::Query;
use super::{Networked, Web};
use crate::fork::status::Status;
use crate::retention::Kept;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
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
    networks: Vec<Shown<'a>>,
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
    Ok(json(&Node { version: env!("CARGO_PKG_VERSION"), uptime, feeds, networks }))
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
