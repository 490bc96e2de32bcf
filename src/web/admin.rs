//! Orders of an operator: rollback, release, giving a gap up, the log's level.
//!
//! *Always holds:* an order is taken only from this machine and only when nothing forwarded it, because a proxy's
//! address is not its client's.

use super::answer::{ApiError, json};
use super::query::{Body, Query};
use super::{Networked, Web};
use crate::fork::admin::{Admin, AdminError, Reply};
use axum::extract::{ConnectInfo, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Headers by which a proxy says that it speaks for somebody else.
const FORWARDED: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

/// Longest reason, in bytes: it is journalled.
pub const MAX_REASON: usize = 1024;

/// Proof that a request comes from this machine.
#[derive(Debug)]
pub struct Local;

impl<S: Sync> FromRequestParts<S> for Local {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        if is_local(parts) {
            return Ok(Self);
        }
        let remote = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        tracing::warn!(?remote, "an order that is not from this machine was refused");
        Err(ApiError::forbidden("orders are taken only from this machine, directly"))
    }
}

/// Whether a request comes from this machine.
#[derive(Debug)]
pub(super) struct Here(pub bool);

impl<S: Sync> FromRequestParts<S> for Here {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(is_local(parts)))
    }
}

fn is_local(parts: &Parts) -> bool {
    let remote = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let here = remote.is_some_and(|remote| remote.0.ip().to_canonical().is_loopback());
    let forwarded = FORWARDED.iter().any(|name| parts.headers.contains_key(*name));
    // A page in the operator's browser is on this machine too.
    let browser = parts.headers.contains_key("origin");
    here && !forwarded && !browser
}

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
pub(super) async fn rollback(
    _: Local,
    State(web): State<Arc<Web>>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let order: Rollback = parse(&body)?;
    let (_, network) = web.network(order.network.as_deref())?;
    let to = match order.to {
        Name::Number(label) => label.to_string(),
        Name::Text(text) => text,
    };
    let (reason, dry_run) = (checked(order.reason)?, order.dry_run);
    // The core knows the chain, the state what of it can still be read.
    if network.kept.borrow().oldest.is_some() {
        let plan = |reply| Admin::Rollback { to: to.clone(), reason: reason.clone(), dry_run: true, reply };
        let at = send(network, plan).await?.to.node;
        let snapshot = network.state.snapshot();
        if snapshot.cursor()? >= at.version && !snapshot.readable(at)? {
            return Err(ApiError::gone("the state of this point is no longer kept: the head cannot go back there"));
        }
    }
    let answer = send(network, |reply| Admin::Rollback { to, reason, dry_run, reply }).await?;
    Ok(json(&answer))
}

/// `POST /api/admin/release {verdict, reason, network?}`
pub(super) async fn release(
    _: Local,
    State(web): State<Arc<Web>>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let order: Release = parse(&body)?;
    let (_, network) = web.network(order.network.as_deref())?;
    let (verdict, reason) = (order.verdict, checked(order.reason)?);
    let answer = send(network, |reply| Admin::Release { verdict, reason, reply }).await?;
    Ok(json(&answer))
}

/// `POST /api/admin/gaps/:id/accept {reason, network?}`
pub(super) async fn accept_gap(
    _: Local,
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
pub(super) async fn trust(
    _: Local,
    State(web): State<Arc<Web>>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let order: Trust = parse(&body)?;
    let (_, network) = web.network(order.network.as_deref())?;
    let (hash, trusted, reason) = (order.hash, order.trusted, checked(order.reason)?);
    let answer = send(network, |reply| Admin::Trust { hash, trusted, reason, reply }).await?;
    Ok(json(&answer))
}

/// `POST /api/admin/forks/:id/prune {reason, network?}`
pub(super) async fn prune(
    _: Local,
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
pub(super) async fn log_level(
    _: Local,
    State(web): State<Arc<Web>>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let order: LogLevel = parse(&body)?;
    (web.log_level)(&order.level).map_err(ApiError::bad_request)?;
    tracing::info!(level = %order.level, "log level changed");
    Ok(json(&serde_json::json!({ "level": order.level })))
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(format!("the body is not an order: {error}")))
}

fn checked(reason: String) -> Result<String, ApiError> {
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
