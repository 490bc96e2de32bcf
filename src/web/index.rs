//! The list of routes: method, path, parameters, a word on what each answers.
//!
//! The one list: requests are held against it (a parameter that a route does not take is refused), `GET /api` prints it,
//! and tests compare it with the router and with `docs/http.md`.

use super::answer::json;
use super::query::Query;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Path; `{n}` stands for a segment, `{*path}` for several.
    pub path: &'static str,
    /// What it takes in its query string.
    pub parameters: &'static [&'static str],
    /// What it takes in its body, a JSON object.
    pub body: &'static [&'static str],
    /// Who may call it.
    pub who: Callers,
    /// What it answers.
    pub about: &'static str,
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Callers {
    /// Everybody, always.
    Anyone,
    /// Everybody, unless reads are private: then who has the scope `read`.
    Readers,
    /// Who has the scope `admin`, and the operator's own machine.
    Operators,
}

const fn read(path: &'static str, parameters: &'static [&'static str], about: &'static str) -> Route {
    Route { method: "GET", path, parameters, body: &[], who: Callers::Readers, about }
}

const fn open(path: &'static str, about: &'static str) -> Route {
    Route { method: "GET", path, parameters: &[], body: &[], who: Callers::Anyone, about }
}

const fn post(path: &'static str, body: &'static [&'static str], about: &'static str) -> Route {
    Route { method: "POST", path, parameters: &[], body, who: Callers::Readers, about }
}

const fn order(path: &'static str, body: &'static [&'static str], about: &'static str) -> Route {
    Route { method: "POST", path, parameters: &[], body, who: Callers::Operators, about }
}

const NETWORK: &[&str] = &["network"];

/// All routes, in the order in which they are documented.
pub const ROUTES: &[Route] = &[
    open("/", "this list (on the API port; on the feed port / is for WebSockets)"),
    open("/api", "this list"),
    open("/api/openapi.json", "this list as an OpenAPI 3.1 document"),
    read("/health", &[], "every component of every network, and what is wrong"),
    open("/health/live", "the process answers"),
    open("/health/ready", "503 until the state has caught up after a start"),
    read("/api/health", NETWORK, "status, block and hash of one network"),
    read("/metrics", &[], "what is counted, for Prometheus"),
    read("/api/status", NETWORK, "head, feeds, forks, gaps, verdicts, events"),
    read("/api/gaps", NETWORK, "holes in the stream"),
    read("/api/forks/stats", NETWORK, "totals, and the periods of each block"),
    read("/api/forks/{id}", NETWORK, "one fork with its newest operations"),
    read("/api/query/forks", NETWORK, "live histories, the head's first"),
    read(
        "/api/query/head",
        &["network", "fork", "block", "batch", "min_batch", "wait_ms"],
        "the head, or another point",
    ),
    read(
        "/api/query/path/{*path}",
        &["network", "fork", "block", "batch", "form", "limit", "from", "min_batch", "wait_ms"],
        "the state at a path of text segments",
    ),
    read(
        "/api/query/path",
        &["network", "fork", "block", "batch", "path", "form", "limit", "from", "min_batch", "wait_ms"],
        "the state at any path, or all of it",
    ),
    post("/api/query/paths", super::paths::BODY, "the state at up to 100 paths, all of one point"),
    read(
        "/api/query/state-at/{n}",
        &["network", "fork", "batch", "path", "form", "limit", "from", "min_batch", "wait_ms"],
        "the state as of a block",
    ),
    read(
        "/api/query/diff",
        &["network", "fork", "from", "to", "path", "limit", "start", "min_batch", "wait_ms"],
        "what differs between two points",
    ),
    read(
        "/api/query/history/{*path}",
        &["network", "fork", "block", "batch", "limit", "from", "min_batch", "wait_ms"],
        "all that a leaf was on one history, newest first",
    ),
    read(
        "/api/query/history",
        &["network", "fork", "block", "batch", "path", "limit", "from", "min_batch", "wait_ms"],
        "the same for any path",
    ),
    read(
        "/api/query/block/{n}/full",
        &["network", "fork", "batch", "min_batch", "wait_ms"],
        "a block with its operations",
    ),
    read(
        "/api/query/block/{n}/operations",
        &["network", "fork", "batch", "limit", "from", "min_batch", "wait_ms"],
        "the operations of a block, in pages",
    ),
    read("/namespaces", &[], "networks and tokens"),
    read(
        "/namespaces/{ns}/stats",
        &["fork", "block", "batch", "min_batch", "wait_ms"],
        "tables and figures of a network, or of a token's network",
    ),
    read(
        "/namespaces/{ns}/export",
        &["format", "fork", "block", "batch", "min_batch", "wait_ms"],
        "the whole state as JSON or CSV, streamed",
    ),
    read("/api/stream", &["network", "prefix", "cursor"], "what changes, as it does (Server-Sent Events or WebSocket)"),
    read("/api/sync/status", &["network", "from", "to"], "this node in the swarm: addresses, peers, what is missing"),
    read("/api/sync/peers", &[], "connected peers"),
    read("/api/sync/peers/status", NETWORK, "the same, in short"),
    read("/api/honeygraph-peers", &[], "the same, in shortest"),
    read("/api/sync/gaps", &["network", "from", "to"], "holes in the stream, by block"),
    post("/api/sync/peers", &["url", "nodeId", "peerId", "version", "capabilities"], "names a peer"),
    order("/api/sync/discover", &["nodes"], "names several"),
    read("/api/sync/blocks", &["network", "from", "to"], "the newest closed blocks, with their hashes"),
    post("/api/sync/verify", &["blockNum", "expectedHash", "network"], "who holds a closed block with this hash"),
    read("/api/sync/consensus/{n}", NETWORK, "the hash of a closed block that most peers hold"),
    order("/api/sync/sync-gaps", &["gaps", "targetFork", "network"], "fetches what is missing, now"),
    Route {
        method: "POST",
        path: "/api/sync/sync-from/{n}",
        parameters: NETWORK,
        body: &[],
        who: Callers::Operators,
        about: "fetches what is missing from a block on, now",
    },
    read("/api/checkpoints/list", NETWORK, "snapshots of the state, with their clones"),
    read("/api/checkpoints/by-hash/{id}", NETWORK, "one of them, by its hash, block or name"),
    read(
        "/api/checkpoints/diff/{a}/{b}",
        &["network", "path", "limit", "start"],
        "what differs between the checkpoints of two of them",
    ),
    Route {
        who: Callers::Operators,
        ..read("/api/checkpoints/files/{a}/{b}", NETWORK, "files that changed between two, where the file system tells")
    },
    order("/api/checkpoints/create", &["blockNum", "ipfsHash", "network", "dry_run"], "makes a snapshot"),
    order("/api/checkpoints/destroy/{id}", &["network", "dry_run"], "removes one that nobody needs"),
    order("/api/checkpoints/clone/{id}", &["cloneName", "network", "dry_run"], "copies one, to be written to"),
    order("/api/checkpoints/clones/{id}/destroy", &["network"], "removes a clone"),
    order(
        "/api/checkpoints/rollback/{id}",
        &["reason", "network", "dry_run"],
        "puts the head back to one's checkpoint",
    ),
    order("/api/checkpoints/restore/{id}", &["network", "dry_run"], "makes the state anew, of one and the journal"),
    order("/api/checkpoints/hold/{id}", &["tag", "network"], "keeps one until it is released"),
    order("/api/checkpoints/release/{id}", &["tag", "network"], "releases it"),
    order("/api/checkpoints/auto-snapshots", &["intervalBlocks", "network"], "makes one every so many blocks"),
    order("/api/admin/rollback", &["to", "reason", "network", "dry_run"], "puts the head back"),
    order("/api/admin/release", &["verdict", "reason", "network"], "lifts a verdict"),
    order("/api/admin/trust", &["hash", "reason", "network", "trusted"], "vouches for a checkpoint"),
    order("/api/admin/forks/{id}/prune", &["reason", "network"], "takes the view from a fork"),
    order("/api/admin/gaps/{id}/accept", &["reason", "network"], "gives a hole up"),
    order("/api/admin/log-level", &["level"], "changes the level of the log"),
    Route {
        who: Callers::Operators,
        ..read("/api/admin/record", &["network", "seconds", "max_bytes"], "what a network's feeds say, as a recording")
    },
];

/// What a route takes in its query string; a path that is not listed takes nothing.
pub(super) fn parameters(path: &str) -> &'static [&'static str] {
    let listed = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    ROUTES.iter().find(|route| route.path == listed).map_or(&[], |route| route.parameters)
}

/// Who may call the route with this path. One that is not listed (`/api/` with its slash apart) is read by readers.
pub(super) fn who(path: &str) -> Callers {
    let listed = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    ROUTES.iter().find(|route| route.path == listed).map_or(Callers::Readers, |route| route.who)
}

#[derive(Serialize)]
struct Index {
    name: &'static str,
    version: &'static str,
    documentation: &'static str,
    routes: &'static [Route],
}

/// `GET /api`, `GET /`
pub(super) async fn list(_: Query) -> Response {
    json(&Index {
        name: "honeygraph",
        version: env!("CARGO_PKG_VERSION"),
        documentation: "docs/http.md",
        routes: ROUTES,
    })
}

/// `/` of a port that takes no sockets there.
pub fn root() -> Router {
    Router::new().route("/", get(list))
}
