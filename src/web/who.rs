//! Before any route: who asks, whether they may, and whether not too often.
//!
//! *Always holds:* no handler of a route runs for a caller who may not call it; what a caller is narrowed to is looked at
//! where a network is chosen ([`allowed`]), so that no route can forget it.

use super::answer::ApiError;
use super::index;
use super::{MAX_BODY, Web};
use crate::access::Access;
use crate::access::address::{Address, FORWARDING};
use crate::access::caller::{Caller, Who};
use crate::access::dialogue::Proof;
use crate::access::keys::Presented;
use crate::access::limits::{Counted, Left, TooMany};
use crate::access::signed::NotTaken;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use honeygraph_protocols::auth::{Account, MAX_SIGNATURES, compact, request_text};
use honeygraph_protocols::swarm::keys::HiveSignature;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Headers of a signed request.
const SIGNED: [&str; 3] = ["x-hive-account", "x-hive-signature", "x-hive-timestamp"];

/// Routes that tell of all networks at once, so that a caller who is narrowed to some may not read them.
const OF_ALL: [&str; 3] = ["/health", "/metrics", "/namespaces"];

/// Orders to the node as a whole, so that a caller who is narrowed to some networks may not give them.
const OF_NODE: [&str; 2] = ["/api/admin/log-level", "/api/sync/discover"];

tokio::task_local! {
    /// Networks that the caller of this request is narrowed to.
    static ONLY: Option<BTreeSet<String>>;
}

/// Whether the caller of this request may choose a network. Outside a request nobody is narrowed.
pub(super) fn allowed(network: &str) -> bool {
    ONLY.try_with(|only| only.as_ref().is_none_or(|only| only.contains(network))).unwrap_or(true)
}

/// Which listener a request came through; in its extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entrance {
    /// For everybody.
    #[default]
    Public,
    /// The operator's: only who may gets there.
    Admin,
}

/// The layer.
pub async fn admit(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response {
    let from = address(&web.access, &request);
    match admitted(&web, &mut request, &from).await {
        Ok((caller, left)) => {
            let only = caller.only().cloned();
            request.extensions_mut().insert(OrdersAll(caller.orders() && only.is_none()));
            let mut response = ONLY.scope(only, next.run(request)).await;
            if web.access.private {
                keep_private(response.headers_mut());
            }
            if let Some(left) = left {
                tell(response.headers_mut(), left.limit, left.remaining, left.reset.as_secs() + 1);
            }
            response.extensions_mut().insert(caller);
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Whether the caller may give orders to the whole node.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrdersAll(pub bool);

impl<S: Sync> FromRequestParts<S> for OrdersAll {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().copied().unwrap_or(Self(false)))
    }
}

/// Where a request comes from.
fn address(access: &Access, request: &Request) -> Address {
    let remote = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let ip = remote.map_or(IpAddr::from([0, 0, 0, 0]), |remote| remote.0.ip());
    Address::of(ip, request.headers(), &access.proxies)
}

async fn admitted(web: &Web, request: &mut Request, from: &Address) -> Result<(Caller, Option<Left>), ApiError> {
    let access = &web.access;
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !access.hosts.is_empty() && !access.host_allowed(host) {
        return Err(ApiError::wrong_host());
    }
    let entrance = request.extensions().get::<Entrance>().copied().unwrap_or_default();
    let local = match entrance {
        // Whoever speaks for somebody else is not the operator, whichever door it found.
        Entrance::Admin => !FORWARDING.iter().any(|name| request.headers().contains_key(*name)),
        Entrance::Public => from.is_local() && !access.admin_elsewhere,
    };
    let browser = request.headers().get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let page = browser.is_some_and(|origin| !access.origin_allowed(Some(origin)));
    // A page in the operator's browser is on this machine too, and may have its name lead here.
    let operator = local && browser.is_none() && access.host_allowed(host);
    let by_address = if from.is_local() { None } else { Some(Counted::address(from.ip)) };
    let left = take(access, by_address.into_iter().collect())?;
    let caller = if operator { Caller::local() } else { caller(web, request).await? };
    let route = request.extensions().get::<MatchedPath>().map_or("", |path| path.as_str()).to_owned();
    permitted(access, &route, request, &caller, page)?;
    let others = counted(web, &route, request, &caller);
    let tighter = take(access, others)?;
    let left = [left, tighter].into_iter().flatten().min_by_key(|left| left.remaining);
    Ok((caller, left))
}

/// Whether this caller may call this route.
fn permitted(access: &Access, route: &str, request: &Request, caller: &Caller, page: bool) -> Result<(), ApiError> {
    let who = index::who(route);
    // What keeps pages from reading answers (CORS) does not keep them from WebSockets.
    if page && request.headers().contains_key(header::UPGRADE) {
        return Err(ApiError::forbidden("scripts of this page may not read here"));
    }
    let missing = || match caller.who {
        Who::Nobody => ApiError::unauthorized("Missing authentication headers").with("required", SIGNED.to_vec()),
        _ => ApiError::forbidden("this caller has no scope for it"),
    };
    match who {
        index::Callers::Anyone => Ok(()),
        index::Callers::Readers if access.private && !caller.reads() => Err(missing()),
        index::Callers::Readers => {
            let named =
                request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("network=")));
            let of_all = OF_ALL.contains(&route) || (route == "/api/status" && !named);
            if access.private && caller.only().is_some() && of_all {
                return Err(ApiError::forbidden("this tells of all networks: name one"));
            }
            Ok(())
        }
        index::Callers::Operators if page => Err(ApiError::forbidden("scripts of this page may give no orders")),
        index::Callers::Operators if !caller.orders() => Err(missing()),
        index::Callers::Operators if caller.only().is_some() && OF_NODE.contains(&route) => {
            Err(ApiError::forbidden("this is about the whole node, and not about one network"))
        }
        index::Callers::Operators => Ok(()),
    }
}

/// Who it is, as far as the request says so. What it says wrongly is refused, not left out.
async fn caller(web: &Web, request: &mut Request) -> Result<Caller, ApiError> {
    let access = &web.access;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    if SIGNED.iter().any(|name| request.headers().contains_key(*name)) {
        return signed(web, request, now_ms).await;
    }
    let Some(presented) = Presented::of(request.headers()) else { return Ok(Caller::nobody()) };
    let keys = access.keys.get();
    let key = keys.find(&presented, now_ms);
    let key = key.ok_or_else(|| ApiError::unauthorized("this key is not known, or has expired"))?;
    Ok(Caller::with(Who::Key(key.id.clone()), &key.scopes, &web.tokens))
}

async fn signed(web: &Web, request: &mut Request, now_ms: u64) -> Result<Caller, ApiError> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let [Some(name), Some(signatures), Some(timestamp)] = SIGNED.map(text) else {
        return Err(ApiError::unauthorized("Missing authentication headers").with("required", SIGNED.to_vec()));
    };
    let timestamp: u64 =
        timestamp.parse().map_err(|_| ApiError::unauthorized("X-Hive-Timestamp is not milliseconds"))?;
    let access = web.access.clone();
    let once = || access.once.lock().unwrap_or_else(PoisonError::into_inner);
    once().timely(timestamp, now_ms).map_err(untimely)?;
    let Some(account) = Account::new(name) else { return Err(ApiError::unknown_account()) };
    let scopes = access.roll.scopes(&account);
    let scopes =
        scopes.ok_or_else(|| ApiError::forbidden("Account not authorized").with("account", account.as_str()))?;
    let parsed: Option<Vec<HiveSignature>> = signatures.split(',').map(|one| one.trim().parse().ok()).collect();
    let signatures = parsed.filter(|list| list.len() <= MAX_SIGNATURES);
    let signatures = signatures.ok_or_else(|| ApiError::unauthorized("Invalid signature"))?;
    let (name, method) = (name.to_owned(), request.method().as_str().to_owned());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let body = axum::body::to_bytes(std::mem::take(request.body_mut()), MAX_BODY).await;
    let body = body.map_err(|_| ApiError::too_large("the body is too large", "a body has at most 64 KiB"))?;
    *request.body_mut() = Body::from(body.clone());
    let sent = if body.is_empty() { Some("{}".to_owned()) } else { std::str::from_utf8(&body).ok().and_then(compact) };
    let sent = sent.ok_or_else(|| ApiError::bad_request("the body of a signed request is JSON"))?;
    let text = request_text(&method, &path, timestamp, &sent, &name);
    match access.accounts.signed(&account, text.as_bytes(), &signatures).await {
        Proof::Signed => {}
        Proof::NotSigned => return Err(ApiError::unauthorized("Invalid signature")),
        Proof::NoAccount => return Err(ApiError::unknown_account()),
        Proof::Unknown => return Err(ApiError::keys_unavailable()),
    }
    once().take(&account, &text, timestamp, now_ms).map_err(untimely)?;
    Ok(Caller::with(Who::Account(account), &scopes, &web.tokens))
}

fn untimely(why: NotTaken) -> ApiError {
    match why {
        NotTaken::Old => ApiError::unauthorized("Request timestamp too old"),
        NotTaken::Ahead => ApiError::unauthorized("Request timestamp is in the future"),
        NotTaken::Replayed => ApiError::unauthorized("this request has been taken already: sign it anew"),
        NotTaken::Full => ApiError::busy(),
    }
}

/// What a request counts against, beside its address.
fn counted(web: &Web, route: &str, request: &Request, caller: &Caller) -> Vec<Counted> {
    let mut counted = Vec::new();
    match &caller.who {
        Who::Key(id) => counted.push(Counted::Key(id.clone())),
        Who::Account(account) => counted.push(Counted::Key(account.to_string())),
        Who::Nobody | Who::Local => {}
    }
    let query = request.uri().query().unwrap_or_default();
    let in_query = query.split('&').find_map(|pair| pair.strip_prefix("network="));
    let in_path = request.uri().path().strip_prefix("/namespaces/").and_then(|rest| rest.split('/').next());
    let named = in_query.or(in_path).unwrap_or(&web.default_network);
    // Names that are none are not remembered.
    if web.networks.contains_key(named) {
        counted.push(Counted::Network(named.into()));
    } else if let Some((token, network)) = web.tokens.get_key_value(&named.to_ascii_uppercase()) {
        counted.push(Counted::Token(token.clone()));
        counted.push(Counted::Network(network.clone()));
    }
    if !route.is_empty() {
        counted.push(Counted::Endpoint(route.into()));
    }
    counted
}

fn take(access: &Access, counted: Vec<Counted>) -> Result<Option<Left>, ApiError> {
    access
        .take(counted)
        .map_err(|TooMany { of, limit, retry_after }| ApiError::limited(of, limit, retry_after.as_secs() + 1))
}

/// Headers that say how much is left.
pub(super) fn tell(headers: &mut HeaderMap, limit: u32, remaining: u32, reset: u64) {
    headers.insert("ratelimit-limit", HeaderValue::from(limit));
    headers.insert("ratelimit-remaining", HeaderValue::from(remaining));
    headers.insert("ratelimit-reset", HeaderValue::from(reset));
}

/// What only some may read is not for caches that others share.
fn keep_private(headers: &mut HeaderMap) {
    let cached = headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Ok(value) = HeaderValue::try_from(format!("private, {cached}").trim_end_matches(", ")) {
        headers.insert(header::CACHE_CONTROL, value);
    }
}
