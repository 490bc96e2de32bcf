//! Reading one's own write: `?min_batch=` waits until the history that is read has that batch.
//!
//! *Always holds:* nobody polls: who waits is woken by what the state has applied; how many wait, and how long, is
//! bounded; who waited in vain is told which of three reasons it was.

use super::answer::ApiError;
use super::point::Point;
use super::query::Query;
use super::{Networked, Web};
use honeygraph_protocols::batch::BatchId;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Longest wait that may be asked for, in milliseconds.
pub const MAX_WAIT_MS: u64 = 30_000;

/// The wait without `?wait_ms=`: more than a batch takes from its feed to here when nothing is wrong.
const WAIT_MS: u64 = 5_000;

/// Requests that wait at a time. They hold a request's place each: a quarter of all, so that the others stay free.
const MAX_WAITING: usize = super::listen::MAX_REQUESTS / 4;

static WAITING: Semaphore = Semaphore::const_new(MAX_WAITING);

/// What is known of a batch that is waited for.
enum Seen {
    /// On the history that is read.
    Here,
    /// On other forks only: their ids.
    Elsewhere(Vec<String>),
    /// Nowhere.
    Nowhere,
    /// The history that is read is not there itself.
    NoHistory(ApiError),
}

/// Waits until the history that `?network` and `?fork` mean has the batch of `?min_batch`; at once without it.
pub async fn own_write(web: &Web, query: &Query) -> Result<(), ApiError> {
    let wait = query.number("wait_ms")?;
    let Some(batch) = query.get("min_batch") else {
        let alone = || ApiError::bad_request("?wait_ms goes with ?min_batch");
        return wait.map_or(Ok(()), |_| Err(alone()));
    };
    let batch: BatchId = batch.parse().map_err(|_| ApiError::bad_request("?min_batch is not a batch id"))?;
    if query.get("batch").is_some() {
        return Err(ApiError::bad_request("?batch names a point that does not change: ?min_batch does not go with it"));
    }
    let wait = wait.unwrap_or(WAIT_MS);
    if wait > MAX_WAIT_MS {
        return Err(ApiError::bad_request(format!("?wait_ms is at most {MAX_WAIT_MS}")));
    }
    let deadline = Instant::now() + Duration::from_millis(wait);
    let (_, of) = web.network(query.get("network"))?;
    let mut applied = of.applied.clone();
    let mut place = None;
    loop {
        applied.mark_unchanged();
        let seen = look(web, query, &batch)?;
        if matches!(seen, Seen::Here) {
            return Ok(());
        }
        if place.is_none() {
            place = Some(WAITING.try_acquire().map_err(|_| ApiError::busy())?);
        }
        match timeout_at(deadline, applied.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(in_vain(of, &batch, seen)),
        }
    }
}

fn look(web: &Web, query: &Query, batch: &BatchId) -> Result<Seen, ApiError> {
    let point = match Point::history(web, query) {
        Ok(point) => point,
        Err(error) => return Ok(Seen::NoHistory(error)),
    };
    if point.snapshot.find(point.history, batch)?.is_some() {
        return Ok(Seen::Here);
    }
    let mut forks = Vec::new();
    for place in point.snapshot.places(batch)? {
        let first = point.snapshot.branch(place.branch)?.and_then(|row| row.first);
        forks.extend(first.map(|(_, id)| id.to_string()));
    }
    Ok(if forks.is_empty() { Seen::Nowhere } else { Seen::Elsewhere(forks) })
}

fn in_vain(of: &Networked, batch: &BatchId, seen: Seen) -> ApiError {
    let behind = of.durable.borrow().saturating_sub(*of.applied.borrow());
    let error = match seen {
        Seen::Elsewhere(forks) => ApiError::on_another_fork(forks),
        _ if behind > 0 => ApiError::not_applied_in_time(behind),
        Seen::NoHistory(error) => return error,
        Seen::Here | Seen::Nowhere => ApiError::batch_not_seen(),
    };
    error.with("min_batch", batch.to_string())
}
