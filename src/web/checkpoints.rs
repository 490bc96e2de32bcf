//! Snapshots of the state on disk: `/api/checkpoints/*`.
//!
//! *Always holds:* what is there is told to everyone, without a path of this machine; who may give orders has been decided
//! before ([`super::who`]).

use super::admin::{checked, parse, roll_back};
use super::answer::{ApiError, json};
use super::query::{Body, Query};
use super::{Networked, Web};
use crate::snapshots::Error;
use crate::snapshots::order::{Order, Reply, Shown, State as Listed};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The word of a hold that names none.
pub const TAG: &str = "operator";
/// Blocks between two snapshots when an order names none, as the old program had it.
pub const INTERVAL: u64 = 1_000;
/// Longest interval, in blocks: three months.
const MAX_INTERVAL: u64 = 100_000_000;
/// How long an order may take: a busy pool, a large copy. It goes on by itself.
const PATIENCE: Duration = Duration::from_secs(25);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(rename = "blockNum")]
    block: Option<u64>,
    #[serde(rename = "ipfsHash")]
    hash: Option<String>,
    #[serde(rename = "cloneName")]
    clone: Option<String>,
    #[serde(rename = "intervalBlocks")]
    interval: Option<u64>,
    tag: Option<String>,
    reason: Option<String>,
    network: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// The routes.
pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/api/checkpoints/list", get(list))
        .route("/api/checkpoints/by-hash/{id}", get(by_hash))
        .route("/api/checkpoints/diff/{a}/{b}", get(diff))
        .route("/api/checkpoints/files/{a}/{b}", get(files))
        .route("/api/checkpoints/create", post(create))
        .route("/api/checkpoints/destroy/{id}", post(destroy))
        .route("/api/checkpoints/clone/{id}", post(clone))
        .route("/api/checkpoints/clones/{id}/destroy", post(destroy_clone))
        .route("/api/checkpoints/rollback/{id}", post(rollback))
        .route("/api/checkpoints/restore/{id}", post(restore))
        .route("/api/checkpoints/hold/{id}", post(hold))
        .route("/api/checkpoints/release/{id}", post(release))
        .route("/api/checkpoints/auto-snapshots", post(auto))
}

/// The network that an order is about, and what it says: the body may be empty where nothing has to be said.
fn asked<'a>(web: &'a Web, body: &[u8]) -> Result<(&'a Networked, Asked), ApiError> {
    let asked: Asked = if body.is_empty() { Asked::default() } else { parse(body)? };
    let (_, network) = web.network(asked.network.as_deref())?;
    Ok((network, asked))
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NotThere(_) => Self::not_found(text),
            Error::Name(_) => Self::bad_request(text),
            Error::Exists(_) | Error::Needed { .. } => Self::refused(text),
            Error::Ambiguous { candidates, .. } => Self::ambiguous_snapshot(text, candidates),
            Error::Unusable(_) | Error::Command { .. } | Error::Io { .. } => Self::snapshots_unusable(text),
        }
    }
}

/// What is there; an error where nobody makes any.
fn listed(network: &Networked) -> Result<Arc<Listed>, ApiError> {
    let listed = Arc::clone(&network.snapshots.borrow());
    if listed.off { Err(ApiError::snapshots_off()) } else { Ok(listed) }
}

/// The one that somebody means.
fn find(listed: &Listed, what: &str) -> Result<Shown, ApiError> {
    let is_meant = |shown: &&Shown| shown.hash == what || shown.name == what || shown.label.to_string() == what;
    let mut found = listed.snapshots.iter().filter(is_meant);
    match (found.next(), found.next()) {
        (None, _) => Err(Error::NotThere(format!("snapshot {what:.64}")).into()),
        (Some(one), None) => Ok(one.clone()),
        _ => {
            let candidates = listed.snapshots.iter().filter(is_meant).map(|shown| shown.name.clone()).collect();
            Err(Error::Ambiguous { what: what.to_owned(), candidates }.into())
        }
    }
}

fn unknown(snapshot: &Shown) -> ApiError {
    ApiError::refused(format!("of snapshot {} it is not known what it is of", snapshot.name))
}

async fn send<T>(network: &Networked, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, ApiError> {
    listed(network)?;
    let (reply, answer) = oneshot::channel();
    network.snapshot_orders.try_send(order(reply)).map_err(|_| ApiError::busy())?;
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer?),
        Ok(Err(_)) => Err(ApiError::internal(&"an order about snapshots was dropped")),
        Err(_) => Err(ApiError::timed_out()),
    }
}

/// `GET /api/checkpoints/list`
async fn list(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let (name, network) = web.network(query.get("network"))?;
    let mut told = serde_json::to_value(&*listed(network)?).map_err(|error| ApiError::internal(&error))?;
    told["network"] = name.into();
    for clone in told["clones"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        clone.remove("folder");
    }
    Ok(json(&told))
}

/// `GET /api/checkpoints/by-hash/:h`
async fn by_hash(State(web): State<Arc<Web>>, Path(what): Path<String>, query: Query) -> Result<Response, ApiError> {
    let (_, network) = web.network(query.get("network"))?;
    Ok(json(&find(&*listed(network)?, &what)?))
}

/// `GET /api/checkpoints/diff/:a/:b`: leaves that differ between the last batches before two checkpoints, in pages.
async fn diff(
    State(web): State<Arc<Web>>,
    Path((from, to)): Path<(String, String)>,
    query: Query,
) -> Result<Response, ApiError> {
    let (name, network) = web.network(query.get("network"))?;
    let (name, listed) = (name.to_owned(), listed(network)?);
    let batch = |what: &str| {
        let found = find(&listed, what)?;
        found.batch.clone().ok_or_else(|| unknown(&found))
    };
    let query = query.with("from", &batch(&from)?).with("to", &batch(&to)?).with("network", &name);
    super::diff::diff(State(web), query).await
}

/// `GET /api/checkpoints/files/:a/:b`: files that changed, where the file system tells.
async fn files(
    State(web): State<Arc<Web>>,
    Path((from, to)): Path<(String, String)>,
    query: Query,
) -> Result<Response, ApiError> {
    let (_, network) = web.network(query.get("network"))?;
    let files = send(network, |reply| Order::ChangedFiles { from, to, reply }).await?;
    Ok(json(&json!({ "files": files })))
}

/// `POST /api/checkpoints/create {blockNum?, ipfsHash?, network?, dry_run?}`
async fn create(State(web): State<Arc<Web>>, _: Query, Body(body): Body) -> Result<Response, ApiError> {
    let (network, Asked { block, hash, dry_run, .. }) = asked(&web, &body)?;
    let made = send(network, |reply| Order::Create { block, hash, dry_run, reply }).await?;
    Ok(json(&json!({ "success": true, "dry_run": dry_run, "checkpoint": made })))
}

/// `POST /api/checkpoints/destroy/:b {network?, dry_run?}`
async fn destroy(
    State(web): State<Arc<Web>>,
    Path(what): Path<String>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let (network, Asked { dry_run, .. }) = asked(&web, &body)?;
    let gone = send(network, |reply| Order::Destroy { what, dry_run, reply }).await?;
    Ok(json(&json!({ "success": true, "dry_run": dry_run, "checkpoint": gone })))
}

/// `POST /api/checkpoints/clone/:b {cloneName, network?, dry_run?}`
async fn clone(
    State(web): State<Arc<Web>>,
    Path(what): Path<String>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let (network, Asked { clone, dry_run, .. }) = asked(&web, &body)?;
    let clone = clone.ok_or_else(|| ApiError::bad_request("cloneName says what it is called"))?;
    let made = send(network, |reply| Order::Clone { what, clone, dry_run, reply }).await?;
    Ok(json(&json!({ "success": true, "clone": made })))
}

/// `POST /api/checkpoints/clones/:name/destroy {network?}`
async fn destroy_clone(
    State(web): State<Arc<Web>>,
    Path(clone): Path<String>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let (network, _) = asked(&web, &body)?;
    send(network, |reply| Order::DestroyClone { clone, reply }).await?;
    Ok(json(&json!({ "success": true })))
}

/// `POST /api/checkpoints/rollback/:b {reason, network?, dry_run?}`: the head goes back to the last batch before a
/// snapshot's checkpoint, by its record in the journal; no snapshot is needed for it.
async fn rollback(
    State(web): State<Arc<Web>>,
    Path(what): Path<String>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let (network, Asked { reason, dry_run, .. }) = asked(&web, &body)?;
    let reason = checked(reason.unwrap_or_default())?;
    let found = find(&*listed(network)?, &what)?;
    let batch = found.batch.clone().ok_or_else(|| unknown(&found))?;
    let rolled = roll_back(network, batch, reason, dry_run).await?;
    Ok(json(&json!({ "success": true, "checkpoint": found, "rollback": rolled })))
}

/// `POST /api/checkpoints/restore/:b {network?, dry_run?}`: the state is made of this snapshot and the journal behind it.
async fn restore(
    State(web): State<Arc<Web>>,
    Path(what): Path<String>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let (network, Asked { dry_run, .. }) = asked(&web, &body)?;
    let made = send(network, |reply| Order::Restore { what, dry_run, reply }).await?;
    Ok(json(&json!({ "success": true, "dry_run": dry_run, "checkpoint": made })))
}

/// `POST /api/checkpoints/hold/:b {tag?, network?}`
async fn hold(
    State(web): State<Arc<Web>>,
    Path(what): Path<String>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    held(&web, what, &body, true).await
}

/// `POST /api/checkpoints/release/:b {tag?, network?}`
async fn release(
    State(web): State<Arc<Web>>,
    Path(what): Path<String>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    held(&web, what, &body, false).await
}

async fn held(web: &Web, what: String, body: &[u8], held: bool) -> Result<Response, ApiError> {
    let (network, Asked { tag, .. }) = asked(web, body)?;
    let by = tag.unwrap_or_else(|| TAG.to_owned());
    let shown = send(network, |reply| Order::Hold { what, by, held, reply }).await?;
    Ok(json(&json!({ "success": true, "checkpoint": shown })))
}

/// `POST /api/checkpoints/auto-snapshots {intervalBlocks?, network?}`: until the next start.
async fn auto(State(web): State<Arc<Web>>, _: Query, Body(body): Body) -> Result<Response, ApiError> {
    let (network, Asked { interval, .. }) = asked(&web, &body)?;
    let blocks = interval.unwrap_or(INTERVAL);
    if blocks > MAX_INTERVAL {
        return Err(ApiError::bad_request(format!("intervalBlocks is at most {MAX_INTERVAL}")));
    }
    send(network, |reply| Order::Interval { blocks, reply }).await?;
    Ok(json(&json!({ "success": true, "intervalBlocks": blocks })))
}
