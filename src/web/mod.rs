//! Readers: the HTTP API.
//!
//! One file per group of routes. What they need of each network is in [`Networked`], made by `node.rs`; nothing here is
//! mutable, and nothing here is decided here.
//!
//! *Always holds:* every answer says from which batch it comes, on which fork, and how complete, verified and final it
//! is; requests, answers and work are bounded; no route is reached by who may not ([`who`]).

pub mod admin;
pub mod agree;
pub mod answer;
mod asked;
mod block;
mod cache;
pub mod checkpoints;
mod diff;
pub mod export;
mod fetch;
pub mod forks;
pub mod health;
mod history;
pub mod index;
pub mod listen;
pub mod metrics;
mod namespaces;
pub mod openapi;
mod paths;
pub mod point;
pub mod query;
pub mod read;
pub mod record;
pub mod status;
pub mod stream;
mod sync;
pub mod tls;
pub mod wait;
pub mod who;

use crate::access::Access;
use crate::feed::recording::tap::Tap;
use crate::feed::upgrade::Feeds;
use crate::fork::admin::Admin;
use crate::fork::status::Status;
use crate::journal;
use crate::projection::state::Reader;
use crate::retention::Kept;
use crate::snapshots::order::{self, Order};
use crate::swarm::Swarm;
use answer::ApiError;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Largest body of a request, in bytes: orders are small.
const MAX_BODY: usize = 64 * 1024;

/// What the API needs of one network.
#[derive(Clone)]
pub struct Networked {
    /// The core's state.
    pub status: watch::Receiver<Arc<Status>>,
    /// Where its feeds can be listened to.
    pub tap: Arc<Tap>,
    /// LSN up to which the journal is durable.
    pub durable: watch::Receiver<u64>,
    /// LSN up to which the state has applied the journal.
    pub applied: watch::Receiver<u64>,
    /// The state.
    pub state: Reader,
    /// The journal, for the ops of blocks.
    pub journal: journal::Reader,
    /// What the journal's writer is doing.
    pub writer: watch::Receiver<journal::State>,
    /// What is kept of it, and how long the disk will do.
    pub kept: watch::Receiver<Arc<Kept>>,
    /// Snapshots of the state.
    pub snapshots: watch::Receiver<Arc<order::State>>,
    /// Orders to whoever makes them.
    pub snapshot_orders: mpsc::Sender<Order>,
    /// Orders to the core.
    pub admin: mpsc::Sender<Admin>,
    /// What the state must have applied to be called ready: the journal's end at the start of the process.
    pub ready_at: u64,
    /// Whether the first branch begins where honeycomb itself began; found at the first read.
    pub genesis: Arc<OnceLock<bool>>,
    /// Label grain in honeycomb numbering (`checkpoint_every`).
    pub checkpoint_every: u64,
}

impl Networked {
    /// Whether the state has caught up with what was there at the start.
    pub fn ready(&self) -> bool {
        *self.applied.borrow() >= self.ready_at
    }
}

/// Changes the level of the log while the node runs; says what is wrong with a directive it does not take.
pub type SetLogLevel = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What all routes share.
pub struct Web {
    /// By prefix.
    pub networks: BTreeMap<String, Networked>,
    /// Tokens, each with its network.
    pub tokens: BTreeMap<String, String>,
    /// Room for exports.
    pub exports: export::Room,
    /// Network of a request that names none when none, or several, have data.
    pub default_network: String,
    /// Label of the node: not an identity.
    pub label: String,
    /// `OPERATION_BUFFER_SIZE`: newest ops shown with a single fork.
    pub operation_buffer: usize,
    /// Who may do what.
    pub access: Arc<Access>,
    /// The feeds of the node.
    pub feeds: Arc<Feeds>,
    /// The swarm, when the node takes part.
    pub swarm: Option<Swarm>,
    /// Why it does not, though it should.
    pub swarm_failed: Option<String>,
    /// What subscribers hear.
    pub streams: stream::Streams,
    /// Changes the log's level.
    pub log_level: SetLogLevel,
    /// Start of the process.
    pub started: Instant,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("networks", &self.networks.keys()).finish_non_exhaustive()
    }
}

impl Web {
    /// The network of a request: the one it names, else the only one with data, else the default.
    pub fn network(&self, named: Option<&str>) -> Result<(&str, &Networked), ApiError> {
        let name = match named {
            Some(name) => name,
            None => self.only_with_data().unwrap_or(&self.default_network),
        };
        match self.networks.get_key_value(name) {
            Some((name, _)) if !who::allowed(name) => {
                Err(ApiError::forbidden(format!("this caller may not touch network {name}")))
            }
            Some((name, network)) => Ok((name, network)),
            None => Err(ApiError::unknown_network(name, self.names())),
        }
    }

    fn only_with_data(&self) -> Option<&str> {
        let mut with_data = self.networks.iter().filter(|(_, network)| network.status.borrow().head.is_some());
        let (name, _) = with_data.next()?;
        with_data.next().is_none().then_some(name)
    }

    fn names(&self) -> Vec<&str> {
        self.networks.keys().map(String::as_str).collect()
    }
}

/// All routes of the API but `/`, which is [`index::root`] where sockets do not have it.
pub fn routes(web: Arc<Web>) -> Router {
    let cors = cors(&web.access.origins);
    let router = Router::new()
        .route("/api", get(index::list))
        .route("/api/", get(index::list))
        .route("/api/openapi.json", get(openapi::openapi))
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/api/health", get(health::short))
        .route("/metrics", get(metrics::metrics))
        .route("/api/status", get(status::status))
        .route("/api/gaps", get(status::gaps))
        .route("/api/forks/stats", get(forks::stats))
        .route("/api/forks/{id}", get(forks::one))
        .route("/api/query/forks", get(forks::list))
        .route("/api/query/head", get(read::head))
        .route("/api/query/path", get(read::in_query))
        .route("/api/query/path/", get(read::in_query))
        .route("/api/query/path/{*path}", get(read::in_url))
        .route("/api/query/paths", post(paths::many))
        .route("/api/query/state-at/{n}", get(read::state_at))
        .route("/api/query/diff", get(diff::diff))
        .route("/api/query/history", get(history::in_query))
        .route("/api/query/history/{*path}", get(history::in_url))
        .route("/api/query/block/{n}/full", get(block::full))
        .route("/api/query/block/{n}/operations", get(block::operations))
        .route("/namespaces", get(namespaces::list))
        .route("/namespaces/{ns}/stats", get(namespaces::stats))
        .route("/namespaces/{ns}/export", get(export::export))
        .route("/api/stream", get(stream::stream))
        .route("/api/sync/status", get(sync::status))
        .route("/api/sync/peers", get(sync::peers).post(sync::add))
        .route("/api/sync/peers/status", get(sync::peers_status))
        .route("/api/sync/gaps", get(sync::gaps))
        .route("/api/sync/discover", post(sync::discover))
        .route("/api/honeygraph-peers", get(sync::short))
        .route("/api/sync/blocks", get(agree::blocks))
        .route("/api/sync/verify", post(agree::verify))
        .route("/api/sync/consensus/{n}", get(agree::consensus))
        .route("/api/sync/sync-gaps", post(fetch::sync_gaps))
        .route("/api/sync/sync-from/{n}", post(fetch::sync_from))
        .merge(checkpoints::routes())
        .route("/api/admin/rollback", post(admin::rollback))
        .route("/api/admin/release", post(admin::release))
        .route("/api/admin/trust", post(admin::trust))
        .route("/api/admin/forks/{id}/prune", post(admin::prune))
        .route("/api/admin/gaps/{id}/accept", post(admin::accept_gap))
        .route("/api/admin/log-level", post(admin::log_level))
        .route("/api/admin/record", get(record::record))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .fallback(async || ApiError::not_found("no such route: GET /api lists them").into_response())
        .method_not_allowed_fallback(async || ApiError::wrong_method().into_response())
        .layer(middleware::from_fn_with_state(Arc::clone(&web), who::admit))
        .layer(cache::compression())
        .layer(middleware::from_fn(cache::finish))
        .with_state(web);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// Lets scripts of these pages read; without one nothing is said of it, and browsers refuse.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let names = |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    let sent = ["authorization", "content-type", "if-none-match", "x-api-key"];
    let signed = ["x-hive-account", "x-hive-signature", "x-hive-timestamp"];
    let shown = ["etag", "retry-after", "x-request-id", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];
    let layer = || {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.clone()))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(names(&[&sent[..], &signed[..]].concat()))
            .expose_headers(names(&shown))
    };
    (!origins.is_empty()).then(layer)
}
