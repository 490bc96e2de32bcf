//! A listener: connections in, requests to a router, both bounded.
//!
//! *Always holds:* a connection that sends nothing, or too much, costs a bounded buffer for a bounded time, and one address
//! cannot take all connections; every request has an id, in its answer (`x-request-id`) and on each of its log lines, and
//! ends within [`REQUEST_PATIENCE`].

use super::answer::ApiError;
use super::tls::Tls;
use super::wait::MAX_WAIT_MS;
use super::who::Entrance;
use crate::access::caller::Caller;
use crate::access::crowd::{Crowd, Place};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, Method, header};
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
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Connections of one listener, feeds and subscribers included.
pub const MAX_CONNECTIONS: usize = 16_384;

/// Connections of one address that is not of this machine, on one listener: room for many readers behind one address, and
/// for many such addresses.
pub const MAX_OF_ONE: usize = 1024;

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

/// What every answer tells a browser: it is data, not a page, and belongs into nobody's frame.
const SECURITY: [(header::HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
];

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

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// TCP with TLS.
    Tls(TcpListener, Arc<Tls>),
    /// A Unix socket.
    Unix(UnixListener),
}

/// A connection, before its handshake.
enum Accepted {
    Tcp(tokio::net::TcpStream, Option<Arc<Tls>>),
    Unix(tokio::net::UnixStream),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<(Accepted, SocketAddr)> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, at)| (Accepted::Tcp(stream, None), at)),
            Self::Tls(listener, tls) => {
                listener.accept().await.map(|(stream, at)| (Accepted::Tcp(stream, Some(tls.clone())), at))
            }
            // Whoever opened it is on this machine.
            Self::Unix(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| (Accepted::Unix(stream), SocketAddr::from(([127, 0, 0, 1], 0)))),
        }
    }
}

/// Serves `router` on `listener`, which is this entrance, until `stop`; ends when its connections have.
pub async fn serve(listener: Listener, router: Router, entrance: Entrance, stop: CancellationToken) {
    let (connections, tasks) = (Crowd::of_connections(MAX_CONNECTIONS, MAX_OF_ONE), TaskTracker::new());
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
        let Some(room) = connections.enter(remote.ip()) else { continue };
        let (router, requests) = (TowerToHyperService::new(router.clone()), Arc::clone(&requests));
        let answering = Answering { router, requests, remote, entrance, tls: false, cut: Cut::default() };
        tasks.spawn(greet(stream, answering, room, stop.clone()));
    }
    drop(listener);
    tasks.close();
    // A client that does not take its answer must not keep the node from stopping.
    let _ = tokio::time::timeout(STOP_PATIENCE, tasks.wait()).await;
}

async fn greet(stream: Accepted, mut answering: Answering, room: Place, stop: CancellationToken) {
    match stream {
        Accepted::Unix(stream) => connection(stream, answering, room, stop).await,
        Accepted::Tcp(stream, tls) => {
            // Acks are small and wanted at once; a socket that cannot be told so still works.
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls else { return connection(stream, answering, room, stop).await };
            answering.tls = true;
            match tls.accept(stream).await {
                Ok(stream) => connection(stream, answering, room, stop).await,
                Err(error) => tracing::debug!(%error, remote = %answering.remote, "no TLS handshake"),
            }
        }
    }
}

async fn connection<S>(stream: S, answering: Answering, room: Place, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
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
    entrance: Entrance,
    tls: bool,
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
        let (mut request, began) = (request.map(Body::new), Instant::now());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        request.extensions_mut().insert(ConnectInfo(self.remote));
        request.extensions_mut().insert(self.cut.clone());
        request.extensions_mut().insert(self.entrance);
        let mut response = match self.requests.running.try_acquire() {
            Err(_) => ApiError::busy().into_response(),
            Ok(_running) => match tokio::time::timeout(REQUEST_PATIENCE, self.router.call(request)).await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => ApiError::timed_out().into_response(),
            },
        };
        let (status, micros) = (response.status().as_u16(), began.elapsed().as_micros() as u64);
        let who =
            response.extensions_mut().remove::<Caller>().map_or_else(String::new, |caller| caller.who.to_string());
        // Never the query or a header: a client may have put a secret there.
        let remote = self.remote;
        if method == Method::GET || method == Method::HEAD {
            tracing::debug!(target: "access", %method, path, status, who, %remote, micros, "answered");
        } else {
            tracing::info!(target: "access", %method, path, status, who, %remote, micros, "answered");
        }
        let headers = response.headers_mut();
        headers.insert("x-request-id", HeaderValue::from(id));
        for (name, value) in SECURITY {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.tls {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        response
    }
}
