//! Orders of an operator: rollback, release, giving a gap up, the log's level.
//!
//! *Always holds:* an order has a reason and is answered by the core; who may give it has been decided before ([`super::who`]).

use super::answer::{ApiError, json};
use super::query::{Body, Query};
use super::{Networked, Web};
use crate::fork::admin::{Admin, AdminError, Reply, RolledBack};
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Longest reason, in bytes: it is journalled.
pub const MAX_REASON: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    to: Name,
    reason: String,
    network: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// A label may be written as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    verdict: u64,
    reason: String,
    network: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptGap {
    reason: String,
    network: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prune {
    reason: String,
    network: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trust {
    hash: String,
    #[serde(default = "yes")]
    trusted: bool,
    reason: String,
    network: Option<String>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogLevel {
    level: String,
}

/// `POST /api/admin/rollback {to, reason, network?, dry_run?}`
pub(super) async fn rollback(State(web): State<Arc<Web>>, _: Query, Body(body): Body) -> Result<Response, ApiError> {
    let order: Rollback = parse(&body)?;
    let (_, network) = web.network(order.network.as_deref())?;
    let to = match order.to {
        Name::Number(label) => label.to_string(),
        Name::Text(text) => text,
    };
    let (reason, dry_run) = (checked(order.reason)?, order.dry_run);
    Ok(json(&roll_back(network, to, reason, dry_run).await?))
}

/// Puts the head back, or says what that would do.
pub(super) async fn roll_back(
    network: &Networked,
    to: String,
    reason: String,
    dry_run: bool,
) -> Result<RolledBack, ApiError> {
    // The core knows the chain, the state what of it can still be read.
    if network.kept.borrow().oldest.is_some() {
        let plan = |reply| Admin::Rollback { to: to.clone(), reason: reason.clone(), dry_run: true, reply };
        let at = send(network, plan).await?.to.node;
        let snapshot = network.state.snapshot();
        if snapshot.cursor()? >= at.version && !snapshot.readable(at)? {
            return Err(ApiError::gone("the state of this point is no longer kept: the head cannot go back there"));
        }
    }
    send(network, |reply| Admin::Rollback { to, reason, dry_run, reply }).await
}

/// `POST /api/admin/release {verdict, reason, network?}`
pub(super) async fn release(State(web): State<Arc<Web>>, _: Query, Body(body): Body) -> Result<Response, ApiError> {
    let order: Release = parse(&body)?;
    let (_, network) = web.network(order.network.as_deref())?;
    let (verdict, reason) = (order.verdict, checked(order.reason)?);
    let answer = send(network, |reply| Admin::Release { verdict, reason, reply }).await?;
    Ok(json(&answer))
}

/// `POST /api/admin/gaps/:id/accept {reason, network?}`
pub(super) async fn accept_gap(
    State(web): State<Arc<Web>>,
    Path(id): Path<String>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let id = id.parse().map_err(|_| ApiError::bad_request("the id of a gap is a number"))?;
    let order: AcceptGap = parse(&body)?;
    let (_, network) = web.network(order.network.as_deref())?;
    let reason = checked(order.reason)?;
    let answer = send(network, |reply| Admin::AcceptGap { id, reason, reply }).await?;
    Ok(json(&answer))
}

/// `POST /api/admin/trust {hash, reason, network?, trusted?}`
pub(super) async fn trust(State(web): State<Arc<Web>>, _: Query, Body(body): Body) -> Result<Response, ApiError> {
    let order: Trust = parse(&body)?;
    let (_, network) = web.network(order.network.as_deref())?;
    let (hash, trusted, reason) = (order.hash, order.trusted, checked(order.reason)?);
    let answer = send(network, |reply| Admin::Trust { hash, trusted, reason, reply }).await?;
    Ok(json(&answer))
}

/// `POST /api/admin/forks/:id/prune {reason, network?}`
pub(super) async fn prune(
    State(web): State<Arc<Web>>,
    Path(fork): Path<String>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let order: Prune = parse(&body)?;
    let (_, network) = web.network(order.network.as_deref())?;
    let reason = checked(order.reason)?;
    let answer = send(network, |reply| Admin::Prune { fork, reason, reply }).await?;
    Ok(json(&answer))
}

/// `POST /api/admin/log-level {level}`: a directive such as `info` or `honeygraph::feed=debug`.
pub(super) async fn log_level(State(web): State<Arc<Web>>, _: Query, Body(body): Body) -> Result<Response, ApiError> {
    let order: LogLevel = parse(&body)?;
    (web.log_level)(&order.level).map_err(ApiError::bad_request)?;
    tracing::info!(level = %order.level, "log level changed");
    Ok(json(&serde_json::json!({ "level": order.level })))
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(format!("the body is not an order: {error}")))
}

pub(super) fn checked(reason: String) -> Result<String, ApiError> {
    match reason.trim() {
        "" => Err(ApiError::bad_request("an order needs a reason")),
        reason if reason.len() > MAX_REASON => Err(ApiError::bad_request("the reason is too long")),
        reason => Ok(reason.into()),
    }
}

async fn send<T>(network: &Networked, order: impl FnOnce(Reply<T>) -> Admin) -> Result<T, ApiError> {
    let (reply, answer) = oneshot::channel();
    network.admin.try_send(order(reply)).map_err(|_| ApiError::busy())?;
    match answer.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(AdminError::NotFound(what))) => Err(ApiError::not_found(what)),
        Ok(Err(AdminError::Gone(what))) => Err(ApiError::gone(what)),
        Ok(Err(AdminError::Refused(why))) => Err(ApiError::refused(why)),
        Ok(Err(AdminError::Ambiguous { what, candidates })) => Err(ApiError::ambiguous_fork(&what, candidates)),
        Err(_) => Err(ApiError::internal(&"the core dropped an order")),
    }
}
