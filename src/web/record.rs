//! What a network's feeds say, as it comes: `GET /api/admin/record`, the body a recording ([`file`]).
//!
//! *Always holds:* one recording of a network at a time; memory is what waits at the tap and a
//! few chunks; a reader that takes too little ends its recording, and the recording says so.
//!
//! [`file`]: crate::feed::recording::file

use super::Web;
use super::answer::ApiError;
use super::query::Query;
use crate::feed::recording::file::{MAGIC, Packer};
use crate::feed::recording::tap::Tapped;
use crate::feed::recording::{Began, Event, Happened};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Chunks that wait for their reader.
const CHUNKS: usize = 4;

/// An event waits for its chunk to fill at most so long: what a power cut takes from the end of a file.
pub const GATHER: Duration = Duration::from_millis(250);

/// When nothing happens, an empty chunk says so, and finds out whether anybody still reads.
const QUIET: Duration = Duration::from_secs(10);

/// What the last events of sockets may take that end because the node stops.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Longest recording, in seconds: a year. What has no end is stopped by whoever reads it.
const LONGEST: u64 = 366 * 86_400;

/// `GET /api/admin/record?network=&seconds=&max_bytes=`
pub(super) async fn record(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    // Not the network of a read that names none: before the first batch that is a guess.
    let named = query.get("network").ok_or_else(|| ApiError::bad_request("a recording needs ?network="))?;
    let (name, network) = web.network(Some(named))?;
    let number = |key: &str, otherwise: u64| match query.get(key) {
        None => Ok(otherwise),
        Some(text) => text.parse().map_err(|_| ApiError::bad_request(format!("?{key} is not a number"))),
    };
    let (seconds, max_bytes) = (number("seconds", LONGEST)?.min(LONGEST), number("max_bytes", u64::MAX)?);
    let began = Began {
        network: name.to_owned(),
        software: env!("CARGO_PKG_VERSION").to_owned(),
        at_ms: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        fresh: network.status.borrow().lsn == 0,
    };
    let busy = || ApiError::refused(format!("{name} is being recorded already: one recording at a time"));
    let tapped = network.tap.listen().ok_or_else(busy)?;
    tracing::info!(network = name, seconds, max_bytes, "a recording begins");
    let (to, ready) = mpsc::channel(CHUNKS);
    let recorder = Recorder {
        packer: Packer::default(),
        to,
        left: max_bytes,
        until: Instant::now() + Duration::from_secs(seconds),
        stop: web.feeds.stopping(),
    };
    tokio::spawn(recorder.run(tapped, began));
    let body = futures_util::stream::unfold(ready, async |mut ready: mpsc::Receiver<Bytes>| {
        ready.recv().await.map(|chunk| (Ok::<_, io::Error>(chunk), ready))
    });
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

struct Recorder {
    packer: Packer,
    to: mpsc::Sender<Bytes>,
    /// Bytes that may still be sent.
    left: u64,
    until: Instant,
    stop: CancellationToken,
}

impl Recorder {
    async fn run(mut self, tapped: Tapped, began: Began) {
        let network = began.network.clone();
        self.packer.push(&Event { after_us: 0, socket: 0, what: Happened::Began(began) });
        let why = match self.send(Bytes::from_static(&MAGIC)).await && self.flush().await {
            true => self.gather(tapped).await,
            false => "nobody reads it",
        };
        tracing::info!(network, why, "a recording ended");
    }

    /// Gathers until one of the ends; says which.
    async fn gather(&mut self, mut tapped: Tapped) -> &'static str {
        let mut due = Instant::now() + QUIET;
        let mut stopping = false;
        loop {
            let wake = due.min(self.until);
            let event = tokio::select! {
                () = self.to.closed() => return "its reader has gone",
                () = self.stop.cancelled(), if !stopping => {
                    (stopping, self.until) = (true, Instant::now() + LAST_WORDS);
                    continue;
                }
                event = timeout_at(wake, tapped.next()) => event,
            };
            match event {
                Ok(Some(event)) => {
                    if self.packer.is_empty() {
                        due = Instant::now() + GATHER;
                    }
                    self.packer.push(&event);
                    if !self.packer.is_full() {
                        continue;
                    }
                }
                Ok(None) => {
                    self.packer.push(&Event { after_us: 0, socket: 0, what: Happened::Lost });
                    self.flush().await;
                    return "its reader was too slow";
                }
                Err(_) => {}
            }
            if !self.flush().await {
                return "it has its size, or its reader has gone";
            }
            if Instant::now() >= self.until {
                return "its time is over";
            }
            due = Instant::now() + QUIET;
        }
    }

    /// Sends what was gathered; whether there may be more.
    async fn flush(&mut self) -> bool {
        let mut packer = std::mem::take(&mut self.packer);
        // A large frame takes long enough to pack for others to notice.
        let packed = tokio::task::spawn_blocking(move || packer.chunk().map(|chunk| (chunk, packer))).await;
        let Ok(Ok((chunk, packer))) = packed else { return false };
        self.packer = packer;
        self.send(chunk.into()).await
    }

    async fn send(&mut self, chunk: Bytes) -> bool {
        let Some(left) = self.left.checked_sub(chunk.len() as u64) else { return false };
        self.left = left;
        self.to.send(chunk).await.is_ok()
    }
}
