//! From an HTTP request to a feed's session.
//!
//! *Always holds:* at most [`MAX_SOCKETS`] sessions run; one too many is told so and closed.

use super::counters::{Counters, add};
use super::gate;
use super::message::FeedId;
use super::recording::Opened;
use super::session::{Dialect, Session, Surroundings, Visitor};
use super::wire::Wire;
use crate::access::address::Address;
use crate::access::crowd::Crowd;
use crate::access::keys::Presented;
use crate::access::{Admitted, Knock};
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Feeds at a time. A network has a handful; the rest is room for idle sockets, each at the cost of its buffers.
pub const MAX_SOCKETS: usize = 4096;

/// Strangers at a time, in all and of one address: sockets of those who have proven nothing must not take the room of those
/// who have. One too many is told to come back.
const STRANGERS: (usize, usize) = (1024, 32);

/// How long a request may take to become a WebSocket once we agreed.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(10);

/// Longest token in a URL or in `X-Token`.
const MAX_PLACE: usize = 64;

/// Takes sockets in.
#[derive(Debug)]
pub struct Feeds {
    around: Surroundings,
    sockets: Arc<Semaphore>,
    strangers: Arc<Crowd>,
    next: AtomicU64,
    tasks: TaskTracker,
}

impl Feeds {
    /// Feeds into these networks.
    pub fn new(around: Surroundings) -> Arc<Self> {
        let sockets = Arc::new(Semaphore::new(MAX_SOCKETS));
        let strangers = Crowd::new(STRANGERS.0, STRANGERS.1);
        Arc::new(Self { around, sockets, strangers, next: AtomicU64::new(1), tasks: TaskTracker::new() })
    }

    /// Sockets that are open.
    pub fn open(&self) -> usize {
        MAX_SOCKETS - self.sockets.available_permits()
    }

    /// What the feeds have done.
    pub fn counters(&self) -> &Counters {
        &self.around.counters
    }

    /// Cancelled when the sessions are told to end.
    pub fn stopping(&self) -> CancellationToken {
        self.around.stop.clone()
    }

    /// Waits until every session has ended; to be called once the stop token has been cancelled.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Routes of the feed port.
    pub fn feed_routes(self: &Arc<Self>) -> Router {
        let ws = get(upgrade_ws);
        Router::new()
            .route("/fork-stream", get(upgrade_fork))
            .route("/", get(upgrade_fork))
            .route("/ws", ws.clone())
            .route("/ws/{token}", ws.clone())
            .route("/honeygraph/ws", ws)
            .with_state(Arc::clone(self))
    }

    /// Routes of the API port.
    pub fn api_routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/fork-stream", get(upgrade_fork))
            .route("/ws", get(upgrade_ws))
            .with_state(Arc::clone(self))
    }

    fn accept(self: &Arc<Self>, mut request: Request, dialect: Dialect) -> Response {
        let response = match switching(&request) {
            Ok(response) => response,
            Err(refusal) => return refusal.into_response(),
        };
        let remote = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        // Without an address (no socket of ours) it is nobody's.
        let ip = remote.map_or(IpAddr::from([0, 0, 0, 0]), |remote| remote.ip());
        let from = Address::of(ip, request.headers(), &self.around.access.proxies);
        let knock = match self.knock(&request, &from) {
            Knock::Refused(why) => {
                add(&self.around.counters.refused, 1);
                return refused(why);
            }
            Knock::Enter(admitted) => Some(admitted),
            Knock::Prove => None,
        };
        let feed = FeedId(self.next.fetch_add(1, Relaxed));
        let remote = remote.map_or_else(String::new, |remote| remote.to_string());
        let visitor = Visitor { feed, remote, dialect, places: places(&request), opening: opening(&request) };
        let upgrade = hyper::upgrade::on(&mut request);
        let span = tracing::info_span!(parent: None, "feed", id = feed.0);
        self.tasks.spawn(Arc::clone(self).serve(upgrade, visitor, knock, from).instrument(span));
        response
    }

    /// Whether it may come in, or even ask to.
    fn knock(&self, request: &Request, from: &Address) -> Knock {
        let access = &self.around.access;
        let origin = request.headers().get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
        if !access.origin_allowed(origin) {
            return Knock::Refused("scripts of this page may not feed");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        access.knock(from, Presented::of(request.headers()).as_ref(), now.as_millis() as u64)
    }

    async fn serve(self: Arc<Self>, upgrade: OnUpgrade, visitor: Visitor, admitted: Option<Admitted>, from: Address) {
        let Ok(Ok(upgraded)) = tokio::time::timeout(UPGRADE_PATIENCE, upgrade).await else { return };
        let io = TokioIo::new(upgraded);
        let limits = self.around.limits;
        let mut wire = Wire::new(io, Arc::clone(&self.around.budget), limits.before_identify);
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let admitted = match admitted {
            Some(admitted) => admitted,
            None => match self.prove(&mut wire, &visitor, &from, now_ms).await {
                Ok(admitted) => admitted,
                Err(sent) => {
                    if let Some((code, reason)) = sent {
                        wire.say_close(code, reason);
                    }
                    return wire.finish(limits.linger).await;
                }
            },
        };
        let Ok(_socket) = Arc::clone(&self.sockets).try_acquire_owned() else {
            add(&self.around.counters.turned_away, 1);
            wire.say_close(1013, "too many feeds, try again later");
            return wire.finish(limits.linger).await;
        };
        Session::new(wire, visitor, admitted, self.around.clone()).run(now_ms).await;
    }

    async fn prove(
        &self,
        wire: &mut Wire<TokioIo<Upgraded>>,
        visitor: &Visitor,
        from: &Address,
        now_ms: u64,
    ) -> Result<Admitted, Option<gate::Sent>> {
        let Some(_place) = self.strangers.enter(from.ip) else {
            add(&self.around.counters.turned_away, 1);
            return Err(Some((1013, "too many feeds that have not proven who they are, try again later")));
        };
        gate::prove(wire, &self.around, &visitor.node_id(), now_ms).await
    }
}

async fn upgrade_fork(State(feeds): State<Arc<Feeds>>, request: Request) -> Response {
    feeds.accept(request, Dialect::Fork)
}

async fn upgrade_ws(State(feeds): State<Arc<Feeds>>, request: Request) -> Response {
    feeds.accept(request, Dialect::Ws)
}

fn refused(why: &str) -> Response {
    let body = format!(r#"{{"error":"{why}","code":"forbidden"}}"#);
    (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The answer to a request that becomes a WebSocket, or the one that refuses it.
pub fn switching(request: &Request) -> Result<Response, Refusal> {
    let key = handshake_key(request)?;
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    Ok(response)
}

/// Why a request does not become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not want to, or not by our version.
    NotAnUpgrade,
    /// Its key is none.
    BadKey,
}

/// The accept key of a valid WebSocket handshake.
fn handshake_key(request: &Request) -> Result<HeaderValue, Refusal> {
    let headers = request.headers();
    let valid = request.method() == Method::GET
        && lists(headers, header::CONNECTION, "upgrade")
        && lists(headers, header::UPGRADE, "websocket")
        && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    if !valid {
        return Err(Refusal::NotAnUpgrade);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key.as_bytes())).ok_or(Refusal::BadKey)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| Refusal::BadKey)
}

/// Whether this is the base64 of 16 bytes.
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(digit)
}

/// Whether a comma-separated header contains a word.
fn lists(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let mut texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    texts.any(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
}

/// What the URL, and what `X-Token`, says about the network.
fn places(request: &Request) -> Vec<String> {
    let in_url = request.uri().path().strip_prefix("/ws/");
    let in_header = request.headers().get("x-token").and_then(|value| value.to_str().ok());
    let said = in_url.into_iter().chain(in_header).filter(|place| !place.is_empty() && place.len() <= MAX_PLACE);
    said.map(str::to_owned).collect()
}

/// What a recording says of a request: never what could be a secret.
fn opening(request: &Request) -> Opened {
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let short = |text: &&str| text.len() <= MAX_PLACE;
    let path = Some(request.uri().path()).filter(|path| path.len() <= 2 * MAX_PLACE);
    let kept = |name| header(name).filter(short).map(str::to_owned);
    Opened {
        path: path.unwrap_or("/ws").to_owned(),
        token: kept("x-token"),
        client: kept("x-client-type"),
        joined: false,
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let headers = [(header::UPGRADE, "websocket"), (header::CONTENT_TYPE, "application/json")];
        let (status, body) = match self {
            Refusal::NotAnUpgrade => (
                StatusCode::UPGRADE_REQUIRED,
                r#"{"error":"this is no WebSocket handshake of version 13; GET /api lists what can be read","code":"upgrade_required"}"#,
            ),
            Refusal::BadKey => (
                StatusCode::BAD_REQUEST,
                r#"{"error":"Sec-WebSocket-Key is not 16 bytes in base64","code":"bad_request"}"#,
            ),
        };
        (status, headers, body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(key: Option<&str>) -> Result<HeaderValue, Refusal> {
        let mut request = Request::new(axum::body::Body::empty());
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if let Some(key) = key {
            headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_str(key).unwrap());
        }
        handshake_key(&request)
    }

    /// Guards against: the whole URI noted.
    #[test]
    fn a_recording_knows_no_secret() {
        let request = Request::builder()
            .uri("/ws/SPK?access_token=secret")
            .header("Authorization", "Bearer secret")
            .header("X-API-Key", "secret")
            .header("X-Token", "SPK")
            .header("X-Client-Type", "honeycomb-node");
        let opening = opening(&request.body(axum::body::Body::empty()).unwrap());
        assert_eq!((opening.path.as_str(), opening.token.as_deref()), ("/ws/SPK", Some("SPK")));
        assert!(!format!("{opening:?}").contains("secret"));
    }

    /// Planted: any key is taken.
    #[test]
    fn a_key_is_16_bytes_in_base64() {
        assert_eq!(answered(Some("dGhlIHNhbXBsZSBub25jZQ==")).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for wrong in
            ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j!Q==", "dGhlIHNhbXBsZSBub25jZSE=", &"A".repeat(24)]
        {
            assert_eq!(answered(Some(wrong)), Err(Refusal::BadKey), "{wrong}");
        }
        assert_eq!(answered(None), Err(Refusal::BadKey));
        assert_eq!(handshake_key(&Request::new(axum::body::Body::empty())), Err(Refusal::NotAnUpgrade));
    }
}
