//! A listener: connections in, requests to a router, both bounded.
//!
//! *Always holds:* a connection that sends nothing, or too much, costs a bounded buffer for a bounded time; every
//! request has an id, in its answer (`x-request-id`) and on each of its log lines, and ends within
//! [`REQUEST_PATIENCE`].

use super::answer::ApiError;
use super::wait::MAX_WAIT_MS;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Connections of one listener, feeds and subscribers included.
pub const MAX_CONNECTIONS: usize = 16_384;

/// Requests that are worked on at a time; more are told to come back.
pub const MAX_REQUESTS: usize = 1024;

/// Longest a request may take, its answer's body not counted: the longest wait that it may ask for, and time to answer.
pub const REQUEST_PATIENCE: Duration = Duration::from_millis(MAX_WAIT_MS + 10_000);

/// Longest that the head of a request may take to arrive; also how long an idle connection is kept.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);

/// Largest head of a request, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// Most header lines of a request.
const MAX_HEADERS: usize = 64;

/// How long open requests may take to end when the node stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Pause after a failed accept: the process is out of file handles, and trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Lets the process open as many files, and so sockets, as the system allows it; how many that is.
pub fn raise_open_files() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// Serves `router` on `listener` until `stop`; ends when its connections have.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let (connections, tasks) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), TaskTracker::new());
    let requests = Arc::new(Requests { running: Semaphore::new(MAX_REQUESTS), next: AtomicU64::new(1) });
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // One too many is dropped without a word: words would cost what is lacking.
        let Ok(room) = Arc::clone(&connections).try_acquire_owned() else { continue };
        let (router, requests) = (TowerToHyperService::new(router.clone()), Arc::clone(&requests));
        let answering = Answering { router, requests, remote, cut: Cut::default() };
        tasks.spawn(connection(stream, answering, room, stop.clone()));
    }
    drop(listener);
    tasks.close();
    // A client that does not take its answer must not keep the node from stopping.
    let _ = tokio::time::timeout(STOP_PATIENCE, tasks.wait()).await;
}

async fn connection(stream: TcpStream, answering: Answering, room: OwnedSemaphorePermit, stop: CancellationToken) {
    // Acks are small and wanted at once; a socket that cannot be told so still works.
    let _ = stream.set_nodelay(true);
    let cut = answering.cut.clone();
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), answering)
        .with_upgrades();
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = cut.0.cancelled() => Ok(()),
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving => ended,
                () = cut.0.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
    drop(room);
}

/// Ends a connection whose client does not take what it asked for: found in the extensions of its requests.
#[derive(Clone, Debug, Default)]
pub struct Cut(pub CancellationToken);

/// Requests of one listener.
#[derive(Debug)]
struct Requests {
    running: Semaphore,
    next: AtomicU64,
}

/// What answers the requests of one connection.
#[derive(Clone, Debug)]
struct Answering {
    router: TowerToHyperService<Router>,
    requests: Arc<Requests>,
    remote: SocketAddr,
    cut: Cut,
}

impl Service<Request<Incoming>> for Answering {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let this = self.clone();
        let id = this.requests.next.fetch_add(1, Relaxed);
        let span = tracing::info_span!("request", id);
        Box::pin(async move { Ok(this.answer(request, id).await) }.instrument(span))
    }
}

impl Answering {
    async fn answer(self, request: Request<Incoming>, id: u64) -> Response {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.remote));
        request.extensions_mut().insert(self.cut.clone());
        let mut response = match self.requests.running.try_acquire() {
            Err(_) => ApiError::busy().into_response(),
            Ok(_running) => match tokio::time::timeout(REQUEST_PATIENCE, self.router.call(request)).await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => ApiError::timed_out().into_response(),
            },
        };
        tracing::debug!(status = response.status().as_u16(), remote = %self.remote, "answered");
        response.headers_mut().insert("x-request-id", HeaderValue::from(id));
        response
    }
}
