//! A whole state as one document, streamed: `GET /namespaces/:ns/export`.
//!
//! *Always holds:* all of it is one view; memory is a few chunks whatever the size; a reader that takes nothing for
//! [`PATIENCE`] is let go; a document that could not be written to its end does not end like one.

use super::Web;
use super::answer::ApiError;
use super::point::Point;
use super::query::Query;
use crate::projection::state::document::Outlet;
use crate::projection::state::kv::Snapshot;
use crate::projection::state::{StateError, View};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use futures_util::StreamExt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

/// Exports at a time: each holds a thread, a view, and its chunks.
const EXPORTS: usize = 4;

/// Bytes of a chunk.
const CHUNK: usize = 256 << 10;

/// Chunks that wait for their reader.
const CHUNKS: usize = 4;

/// How long a reader may take nothing.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the names of headers that say the point begin with.
pub const HEADERS: &str = "x-honeygraph-";

/// Room for exports.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(EXPORTS)))
    }
}

/// `GET /namespaces/:ns/export?format=json|csv`
pub(super) async fn export(
    State(web): State<Arc<Web>>,
    Path(namespace): Path<String>,
    query: Query,
) -> Result<Response, ApiError> {
    let csv = match query.get("format") {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return Err(ApiError::bad_request("?format is json or csv")),
    };
    let (name, _) = web.namespace(&namespace)?;
    let point = Point::asked(&web, &query.clone().with("network", name)).await?;
    let view = point.snapshot.view_at(&point.batch)?;
    let mut about = b"{".to_vec();
    point.describe(&mut about);
    let tag = query.tag(&about)?;
    let running = Arc::clone(&web.exports.0).try_acquire_owned().map_err(|_| ApiError::busy())?;
    let (parts, ready) = mpsc::channel(CHUNKS);
    let mut response = Response::new(Body::from_stream(stream(ready)));
    describe(&about, response.headers_mut())?;
    let kind = if csv { "text/csv; charset=utf-8; header=present" } else { "application/json" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if csv {
        let file = HeaderValue::try_from(format!("attachment; filename=\"{namespace}.csv\""));
        let file = file.map_err(|error| ApiError::internal(&error))?;
        response.headers_mut().insert(header::CONTENT_DISPOSITION, file);
    }
    let mut stream = Stream { gathered: Vec::with_capacity(CHUNK + CHUNK / 4), parts, runtime: Handle::current() };
    // A thread of its own: it may last, and must not keep the runtime from stopping.
    let thread = std::thread::Builder::new().name("export".into()).spawn(move || {
        let _running = running;
        let written = if csv { rows(&view, &mut stream) } else { document(&view, &about, &mut stream) };
        if let Err(error) = written {
            tracing::error!(%error, "an export was cut short");
        }
    });
    thread.map_err(|error| ApiError::internal(&error))?;
    Ok(tag.on(response))
}

/// What every read says of itself, in headers: a table has no other place for it.
fn describe(about: &[u8], headers: &mut HeaderMap) -> Result<(), ApiError> {
    let mut text = about.to_vec();
    text.push(b'}');
    let about: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&text).map_err(|error| ApiError::internal(&error))?;
    for (name, value) in about {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name = HeaderName::try_from(format!("{HEADERS}{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(text)) {
            headers.insert(name, value);
        }
    }
    Ok(())
}

/// `{…, "state": {…}, "hidden": [[path, value], …], "leaves": n}`; `leaves` last, so that a reader knows it has all.
fn document<S: Snapshot>(view: &View<S>, about: &[u8], to: &mut Stream) -> Result<(), StateError> {
    to.gathered.extend_from_slice(about);
    to.gathered.extend_from_slice(br#","state":"#);
    let Some(counts) = view.write_nested(to)? else { return Ok(()) };
    to.gathered.extend_from_slice(br#","hidden":["#);
    if counts.hidden > 0 && !view.write_hidden(to)? {
        return Ok(());
    }
    let _ = write!(to.gathered, r#"],"leaves":{}}}"#, counts.leaves);
    to.end();
    Ok(())
}

fn rows<S: Snapshot>(view: &View<S>, to: &mut Stream) -> Result<(), StateError> {
    to.gathered.extend_from_slice(b"path,value\r\n");
    if view.write_rows(to)?.is_some() {
        to.end();
    }
    Ok(())
}

/// What a thread hands over.
enum Part {
    Chunk(Bytes),
    End,
}

/// The parts of a body, as the thread makes them. Without its end it is an error: the connection breaks.
fn stream(ready: mpsc::Receiver<Part>) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    let body = futures_util::stream::unfold(Some(ready), async |ready| {
        let mut ready = ready?;
        match ready.recv().await {
            Some(Part::Chunk(chunk)) => Some((Ok(chunk), Some(ready))),
            Some(Part::End) => None,
            None => Some((Err(io::Error::other("the export was cut short")), None)),
        }
    });
    body.fuse() // who compresses asks again behind the end
}

/// The thread's end of a body.
struct Stream {
    gathered: Vec<u8>,
    parts: mpsc::Sender<Part>,
    runtime: Handle,
}

impl Stream {
    fn flush(&mut self) -> bool {
        let chunk = std::mem::replace(&mut self.gathered, Vec::with_capacity(CHUNK + CHUNK / 4));
        self.send(Part::Chunk(chunk.into()))
    }

    fn end(&mut self) {
        let _ = self.flush() && self.send(Part::End);
    }

    /// Whether anybody still wants more.
    fn send(&self, part: Part) -> bool {
        let sent = async { tokio::time::timeout(PATIENCE, self.parts.send(part)).await };
        match self.runtime.block_on(sent) {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                tracing::warn!("an export was cut short: its reader takes nothing");
                false
            }
        }
    }
}

impl Outlet for Stream {
    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    fn leaf(&mut self) -> bool {
        self.gathered.len() < CHUNK || self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards against: a channel that closes taken for the end (half a document that looks whole).
    #[tokio::test]
    async fn a_body_without_its_end_breaks() {
        for whole in [true, false] {
            let (parts, ready) = mpsc::channel(2);
            parts.try_send(Part::Chunk(Bytes::from_static(b"{"))).unwrap();
            if whole {
                parts.try_send(Part::End).unwrap();
            }
            drop(parts);
            let all: Vec<_> = stream(ready).collect().await;
            assert_eq!((all.len(), all.iter().all(Result::is_ok)), (if whole { 1 } else { 2 }, whole));
        }
    }
}
