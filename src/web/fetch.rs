//! Orders to fetch what is missing at once, instead of when the next pause is over.
//!
//! *Always holds:* one order at a time; nothing is fetched for an order that would not be fetched without
//! one: what is missing is what a trusted hash leads to. An order that takes longer than [`PATIENCE`] goes on by itself.

use super::admin::parse;
use super::answer::{ApiError, json};
use super::query::{Body, Query, block_number};
use super::sync::{fetches, gaps_between};
use super::{Networked, Web};
use crate::swarm::Swarm;
use crate::swarm::sync::Progress;
use crate::swarm::task::Shown;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer waits for what is fetched.
const PATIENCE: Duration = Duration::from_secs(25);
/// Gaps that one order may name.
const MAX_GAPS: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SyncGaps {
    gaps: Vec<Wanted>,
    target_fork: Option<String>,
    network: Option<String>,
}

#[derive(Deserialize)]
struct Wanted {
    start: u64,
    end: u64,
}

/// `POST /api/sync/sync-gaps {gaps, targetFork?}`
pub(super) async fn sync_gaps(State(web): State<Arc<Web>>, _: Query, Body(body): Body) -> Result<Response, ApiError> {
    let SyncGaps { gaps, target_fork, network } = parse(&body)?;
    if gaps.len() > MAX_GAPS || gaps.iter().any(|gap| gap.start > gap.end) {
        return Err(ApiError::bad_request(format!("at most {MAX_GAPS} gaps, each from its start to its end")));
    }
    let (name, network) = web.network(network.as_deref())?;
    let swarm = web.swarm.as_ref().ok_or_else(ApiError::sync_not_enabled)?;
    let head = network.status.borrow().head.as_ref().map(|head| head.fork.to_string());
    if target_fork.is_some_and(|fork| head.as_ref() != Some(&fork)) {
        return Err(ApiError::refused("what is fetched goes to the head's history: its fork is the only target"));
    }
    let done = at_once(swarm, name).await?;
    Ok(json(&done.answer(gaps.len())))
}

/// `POST /api/sync/sync-from/:block`
pub(super) async fn sync_from(
    State(web): State<Arc<Web>>,
    Path(number): Path<String>,
    query: Query,
) -> Result<Response, ApiError> {
    let number = block_number(&number)?;
    let (name, network) = web.network(query.get("network"))?;
    let swarm = web.swarm.as_ref().ok_or_else(ApiError::sync_not_enabled)?;
    let gaps = holes(network, number);
    let done = at_once(swarm, name).await?;
    if gaps == 0 && done.is_nothing() {
        return Ok(json(&json!({ "success": true, "message": "No gaps detected" })));
    }
    Ok(json(&done.answer(gaps)))
}

fn holes(network: &Networked, from: u64) -> usize {
    gaps_between(network, Some(from), None).len()
}

/// What an order led to.
struct Done {
    /// Periods that came in.
    periods: u64,
    /// Periods still missing, as far as headers are known.
    missing: u64,
    /// Whether it goes on.
    going_on: bool,
    /// Periods, by the peer that gave them.
    peers: BTreeMap<String, u64>,
}

impl Done {
    fn is_nothing(&self) -> bool {
        self.periods == 0 && self.missing == 0 && !self.going_on
    }

    fn answer(&self, gaps: usize) -> Value {
        let results = json!({
            "totalGaps": gaps,
            "syncedBlocks": self.periods,
            "failedBlocks": self.missing,
            "peers": self.peers,
        });
        json!({ "success": true, "isSyncing": self.going_on, "results": results })
    }
}

/// Asks all peers what they hold, ends all pauses, and waits for what comes of it.
async fn at_once(swarm: &Swarm, network: &str) -> Result<Done, ApiError> {
    let _one = swarm.order.try_acquire().map_err(|_| ApiError::sync_in_progress())?;
    let mut shown = swarm.shown.clone();
    let before = shown.borrow_and_update().clone();
    swarm.look.notify_one();
    let progress = |shown: &Shown| shown.networks.get(network).cloned().unwrap_or_default();
    let over = |shown: &Arc<Shown>| shown.looked > before.looked && !fetches(&progress(shown));
    // A node that stops shows nothing any more; what was shown last is the answer.
    let ended = tokio::time::timeout(PATIENCE, shown.wait_for(over)).await.is_ok();
    let after = shown.borrow().clone();
    let given = |shown: &Shown, peer| shown.peers.get(peer).and_then(|known| known.given.get(network).copied());
    let peers = after.peers.keys().filter_map(|peer| {
        let more = given(&after, peer)?.saturating_sub(given(&before, peer).unwrap_or(0));
        (more > 0).then(|| (peer.to_string(), more))
    });
    let Progress { done, missing, .. } = progress(&after);
    let periods = done.saturating_sub(progress(&before).done);
    Ok(Done { periods, missing, going_on: !ended, peers: peers.collect() })
}
