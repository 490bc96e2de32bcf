//! `GET /api/stream`: what changes, as it does, as Server-Sent Events or over a WebSocket.
//!
//! [`way`] decides what a subscriber must be told, [`walk`] makes events of it, [`hub`] follows the head once for all,
//! [`subscriber`] brings one of them from its [`cursor`] to the present.
//!
//! *Always holds:* whoever folds all events of a stream, over any number of connections to any node with the same
//! history, has the state that a read at the last batch gives; at most [`MAX_SUBSCRIBERS`] listen.

mod changes;
mod cursor;
mod event;
mod hub;
mod socket;
mod subscriber;
mod walk;
mod way;

use super::answer::ApiError;
use super::asked::Asked;
use super::listen::Cut;
use super::query::Query;
use super::{Networked, Web};
use crate::feed::upgrade::switching;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use event::{Alive, Form};
use futures_util::StreamExt;
use hub::Hub;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use subscriber::Subscriber;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use walk::Teller;

/// Subscribers at a time, over all networks: each holds a socket, and up to two steps of events while it catches up.
pub const MAX_SUBSCRIBERS: usize = 12_288;
/// When nothing else was to be told for so long, a heartbeat is.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Segments of a prefix: real paths have two to five, and each prefix of a path is another frame to write.
const MAX_PREFIX: usize = 8;
/// How long a request may take to become a WebSocket once we agreed.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(10);

/// The streams of all networks.
pub struct Streams {
    hubs: BTreeMap<String, Arc<Hub>>,
    room: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Streams {
    /// Streams that end with `stop`.
    pub fn new(networks: &BTreeMap<String, Networked>, heartbeat: Duration, stop: CancellationToken) -> Self {
        let tasks = TaskTracker::new();
        let hub = |(network, of): (&String, &Networked)| {
            let teller = Teller { network: network.clone(), of: of.clone(), alive: Alive::default() };
            (network.clone(), Hub::new(teller, heartbeat, stop.clone(), tasks.clone()))
        };
        Self {
            hubs: networks.iter().map(hub).collect(),
            room: Arc::new(Semaphore::new(MAX_SUBSCRIBERS)),
            stop: stop.clone(),
            tasks,
        }
    }

    /// Who listens now.
    pub fn subscribers(&self) -> usize {
        MAX_SUBSCRIBERS - self.room.available_permits()
    }

    /// Waits until every socket is closed; to be called once the stop token has been cancelled.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// `GET /api/stream`
pub(super) async fn stream(
    State(web): State<Arc<Web>>,
    query: Query,
    mut request: Request,
) -> Result<Response, ApiError> {
    let (network, _) = web.network(query.get("network"))?;
    let prefix = Asked::in_query(query.get("prefix").unwrap_or_default())?;
    if prefix.segments.len() > MAX_PREFIX {
        return Err(ApiError::bad_request(format!("?prefix has at most {MAX_PREFIX} segments")));
    }
    let headers = request.headers();
    // An EventSource that reconnects asks for the same URL, and says here how far it came.
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok()).filter(|last| !last.is_empty());
    let cursor = last.or(query.get("cursor")).map(str::to_owned);
    subscriber::check(cursor.as_deref())?;
    let streams = &web.streams;
    let hub = streams.hubs.get(network).ok_or_else(|| ApiError::internal(&"a network without a stream"))?;
    let form = if headers.contains_key(header::UPGRADE) { Form::Socket } else { Form::Events };
    let room = Arc::clone(&streams.room).try_acquire_owned().map_err(|_| ApiError::busy())?;
    let cut = request.extensions().get::<Cut>().map(|cut| cut.0.clone()).unwrap_or_default();
    let wanted = (form, prefix.encoded.into());
    let subscriber = |cut| Subscriber::new(hub.place(cut), wanted, cursor, room);
    if form == Form::Events {
        let frames = subscriber(cut).frames().map(Ok::<_, Infallible>);
        let headers = [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
            // Asks a proxy in between not to wait for more.
            (header::HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        return Ok((headers, Body::from_stream(frames)).into_response());
    }
    let response = match switching(&request) {
        Ok(response) => response,
        Err(refusal) => return Ok(refusal.into_response()),
    };
    // The connection's own task ends with the upgrade.
    let cut = CancellationToken::new();
    let (subscriber, stop) = (subscriber(cut.clone()), streams.stop.clone());
    let upgrade = hyper::upgrade::on(&mut request);
    streams.tasks.spawn(async move {
        if let Ok(Ok(upgraded)) = tokio::time::timeout(UPGRADE_PATIENCE, upgrade).await {
            socket::pump(TokioIo::new(upgraded), subscriber, cut, stop).await;
        }
    });
    Ok(response)
}
