//! The same list as an OpenAPI 3.1 document: `GET /api/openapi.json`.
//!
//! *Always holds:* made of [`ROUTES`] and of nothing else that names a route; every parameter, field and error code of theirs is
//! in a table here (tests hold the tables against the routes, the routes' answers against the document).

mod answers;
mod checkpoints;
mod swarm;

use super::answer::{ApiError, json_bytes};
use super::index::{ROUTES, Route};
use super::query::Query;
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Every error: status, code, what it means.
pub const ERRORS: &[(u16, &str, &str)] = &[
    (400, "bad_request", "a parameter, a body or a handshake does not parse, or two parameters do not go together"),
    (400, "unknown_parameter", "the route does not take it; `parameters` lists those that it takes"),
    (
        401,
        "unauthorized",
        "it is not known who asks, or their key or signature does not hold; `required` lists headers",
    ),
    (403, "forbidden", "whoever asks may not: no scope, another network, an account that is not listed, a web page"),
    (404, "not_found", "nothing there at that point, or no such route"),
    (404, "unknown_before_base", "never seen since this replica began: it may exist, we cannot know"),
    (404, "unknown_account", "Hive has no account of the name that signed"),
    (404, "unknown_network", "no such network; `networks` lists those that are"),
    (405, "wrong_method", "the route has other methods"),
    (406, "not_acceptable", "`Accept-Encoding` refuses every form that there is"),
    (409, "ambiguous_fork", "the name fits several; `candidates` lists them"),
    (409, "ambiguous_snapshot", "the block or hash fits several; `candidates` lists their names"),
    (409, "on_another_fork", "the batch that was waited for is on other histories; `forks` lists them"),
    (409, "refused", "the order would do harm or nothing"),
    (409, "sync_in_progress", "an order to fetch is being carried out"),
    (410, "gone", "the point is no longer readable"),
    (410, "before_base", "the point lies before the base of its history, where not every key is known"),
    (410, "before_journal", "the operations of this block are no longer kept: retention took them"),
    (413, "too_large", "more than one answer, or one request, may hold; `hint` says how to page"),
    (421, "wrong_host", "the node is called by a name that is not one of its own"),
    (426, "upgrade_required", "a path for WebSockets"),
    (
        429,
        "limited",
        "too many requests of this `limit` (address, key, network, token, endpoint); come back after `retry_after` s",
    ),
    (500, "internal", "ours; the cause is in the log"),
    (501, "sync_not_enabled", "the node takes no part in the swarm (`swarm.enabled`)"),
    (501, "snapshots_off", "nobody makes snapshots (`snapshots.backend`)"),
    (503, "busy", "too many requests at once: come back"),
    (503, "keys_unavailable", "nobody could say what the keys of the account that signed are"),
    (503, "timed_out", "the answer took too long"),
    (503, "snapshots_unusable", "snapshots do not work now; the text says who should act"),
    (504, "batch_not_seen", "the batch that was waited for has not come, or waits behind a hole"),
    (504, "not_applied_in_time", "the state has not caught up with the journal; `behind` says by how many records"),
];

/// What any route may answer.
const ANY: &[&str] = &[
    "bad_request",
    "unknown_parameter",
    "unauthorized",
    "forbidden",
    "unknown_account",
    "wrong_method",
    "not_acceptable",
    "too_large",
    "wrong_host",
    "limited",
    "internal",
    "busy",
    "keys_unavailable",
    "timed_out",
];

/// What a read of a point may answer beside.
const OF_POINT: &[&str] = &[
    "not_found",
    "unknown_before_base",
    "unknown_network",
    "ambiguous_fork",
    "on_another_fork",
    "gone",
    "before_base",
    "batch_not_seen",
    "not_applied_in_time",
];

/// What an order may answer beside.
const OF_ORDER: &[&str] = &["not_found", "unknown_network", "ambiguous_fork", "refused", "gone"];

/// What everything about snapshots may answer beside.
const OF_SNAPSHOT: &[&str] = &["not_found", "ambiguous_snapshot", "snapshots_off", "snapshots_unusable"];

/// What single routes may answer beside.
const OWN: &[(&str, &[&str])] = &[
    ("/", &["upgrade_required"]),
    ("/api/forks/{id}", &["not_found", "ambiguous_fork"]),
    ("/api/query/forks", &["not_found"]),
    ("/api/query/block/{n}/full", &["before_journal"]),
    ("/api/query/block/{n}/operations", &["before_journal"]),
    ("/api/stream", &["upgrade_required"]),
    ("/api/sync/status", &["sync_not_enabled"]),
    ("/api/sync/peers", &["sync_not_enabled"]),
    ("/api/sync/peers/status", &["sync_not_enabled"]),
    ("/api/sync/discover", &["sync_not_enabled"]),
    ("/api/honeygraph-peers", &["sync_not_enabled"]),
    ("/api/sync/verify", &["sync_not_enabled"]),
    ("/api/sync/consensus/{n}", &["sync_not_enabled", "not_found", "unknown_before_base", "gone", "before_base"]),
    ("/api/sync/sync-gaps", &["sync_not_enabled", "sync_in_progress"]),
    ("/api/sync/sync-from/{n}", &["sync_not_enabled", "sync_in_progress"]),
    ("/api/admin/record", &["refused"]),
    ("/api/checkpoints/rollback/{id}", &["ambiguous_fork", "gone"]),
    ("/api/checkpoints/diff/{a}/{b}", &["unknown_before_base", "gone", "before_base", "too_large", "refused"]),
];

/// Parameters of query strings: name, schema, what it means.
fn parameters() -> Vec<(&'static str, Value, &'static str)> {
    let (text, number) = (|| json!({ "type": "string" }), || json!({ "type": "integer", "minimum": 0 }));
    vec![
        ("network", text(), "prefix of a network; else the only one with data, or the configured one"),
        (
            "fork",
            text(),
            "the history to read instead of the head's: a fork's id, a history's last batch, a period's hash",
        ),
        ("block", number(), "as of this block; not together with batch"),
        ("batch", text(), "as of this batch"),
        ("path", text(), "a path: percent-encoded text, or a JSON array of strings and numbers"),
        (
            "form",
            json!({ "type": "string", "enum": ["nested", "leaves"], "default": "nested" }),
            "an object, or pairs of path and value",
        ),
        ("limit", json!({ "type": "integer", "minimum": 0, "default": 1000 }), "items of a page; at most 10,000 count"),
        ("from", text(), "where a page begins, as in `next`; of a diff the older point, a batch or a block"),
        ("to", text(), "the newer point of a diff: a batch or a block; else the tip"),
        ("start", text(), "path at which a page of a diff begins, as in `next`"),
        ("min_batch", text(), "wait until the history that is read has this batch"),
        (
            "wait_ms",
            json!({ "type": "integer", "minimum": 0, "maximum": super::wait::MAX_WAIT_MS }),
            "how long to wait",
        ),
        ("prefix", text(), "only changes at and below this path, of at most 8 segments"),
        ("cursor", text(), "where the client is: the cursor of the last event that it took"),
        ("seconds", number(), "how long to record"),
        ("max_bytes", number(), "bytes after which the recording ends"),
        ("format", json!({ "type": "string", "enum": ["json", "csv"], "default": "json" }), "one document, or a table"),
    ]
}

/// Fields of bodies that query strings do not have, or have in another shape: name, schema.
fn fields() -> Vec<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    let path = json!({ "oneOf": [text(), { "type": "array", "items": { "type": ["string", "number"] } }] });
    vec![
        ("paths", json!({ "type": "array", "minItems": 1, "maxItems": 100, "items": path })),
        ("to", json!({ "type": ["string", "integer"] })),
        ("reason", json!({ "type": "string", "minLength": 1, "maxLength": super::admin::MAX_REASON })),
        ("verdict", json!({ "type": "integer", "minimum": 0 })),
        ("hash", text()),
        ("trusted", json!({ "type": "boolean", "default": true })),
        ("dry_run", json!({ "type": "boolean", "default": false })),
        ("level", text()),
        ("url", text()),
        ("nodeId", text()),
        ("peerId", text()),
        ("version", text()),
        ("capabilities", json!({ "type": "array", "items": text() })),
        ("blockNum", json!({ "type": "integer", "minimum": 0 })),
        ("expectedHash", text()),
        ("ipfsHash", text()),
        ("cloneName", text()),
        ("tag", json!({ "type": "string", "default": super::checkpoints::TAG })),
        ("intervalBlocks", json!({ "type": "integer", "minimum": 0, "default": super::checkpoints::INTERVAL })),
        ("targetFork", text()),
        (
            "gaps",
            json!({
                "type": "array",
                "maxItems": 100,
                "items": {
                    "type": "object",
                    "required": ["start", "end"],
                    "properties": { "start": { "type": "integer" }, "end": { "type": "integer" } },
                },
            }),
        ),
        ("nodes", json!({ "type": "array", "items": { "type": "object", "properties": { "url": text() } } })),
    ]
}

/// Fields without which no body is complete, wherever they belong.
const REQUIRED: &[&str] = &[
    "paths",
    "to",
    "reason",
    "verdict",
    "hash",
    "level",
    "url",
    "nodes",
    "blockNum",
    "expectedHash",
    "gaps",
    "cloneName",
];

/// Those of them that one route can do without.
const OPTIONAL: &[(&str, &str)] = &[("/api/checkpoints/create", "blockNum")];

/// Segments of paths: name, schema, what it means.
fn segments() -> Vec<(&'static str, Value, &'static str)> {
    let text = || json!({ "type": "string" });
    vec![
        ("path", text(), "several segments, each percent-encoded, with slashes between them"),
        ("n", json!({ "type": "integer", "minimum": 0 }), "a block"),
        ("id", text(), "what is listed under this name"),
        ("ns", text(), "a network, or a token of one"),
        ("a", text(), "the older snapshot, by its block, hash or name"),
        ("b", text(), "the newer one"),
    ]
}

/// The codes of the errors that a route may answer.
pub fn errors(route: &Route) -> Vec<&'static str> {
    let takes = |name| route.parameters.contains(&name) || route.body.contains(&name);
    let mut codes = ANY.to_vec();
    if takes("min_batch") {
        codes.extend(OF_POINT);
    } else if route.method == "POST" {
        codes.extend(OF_ORDER);
    } else if takes("network") {
        codes.push("unknown_network");
    }
    if is_checkpoint(route.path) {
        codes.extend(OF_SNAPSHOT);
    }
    codes.extend(OWN.iter().filter(|(path, _)| *path == route.path).flat_map(|(_, codes)| *codes));
    codes
}

/// `GET /api/openapi.json`
pub(super) async fn openapi(query: Query) -> Result<Response, ApiError> {
    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
    let text = TEXT.get_or_init(|| document().to_string().into_bytes());
    Ok(query.tag_pinned(text, false)?.on(json_bytes(text.clone())))
}

/// The document.
pub fn document() -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        let path = route.path.replace("{*", "{");
        paths.entry(path).or_default().insert(route.method.to_lowercase(), operation(route));
    }
    let codes: Vec<&str> = ERRORS.iter().map(|(_, code, _)| *code).collect();
    let mut error = answers::of_errors();
    error.extend([("error", answers::text()), ("code", json!({ "type": "string", "enum": codes }))]);
    let mut schemas: Map<String, Value> =
        answers::components().into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let meanings = ERRORS.iter().map(|(status, code, about)| format!("* `{code}` ({status}): {about}"));
    schemas.insert("Error".to_owned(), answers::object(&error));
    schemas["Error"]["description"] = meanings.collect::<Vec<_>>().join("\n").into();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "honeygraph",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Read replica for honeycomb token networks",
            "description": "docs/http.md says what the fields mean.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": [
            { "name": "node", "description": "what the node is doing" },
            { "name": "forks", "description": "histories" },
            { "name": "state", "description": "the state at any point of any history" },
            { "name": "checkpoints", "description": "snapshots of the state on disk" },
            { "name": "namespaces", "description": "networks and tokens as a whole" },
            { "name": "swarm", "description": "other nodes" },
            { "name": "orders", "description": "for who has the scope admin, and the operator's own machine" },
        ],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn operation(route: &Route) -> Value {
    let (known, named) = (parameters(), segments());
    let mut taken = Vec::new();
    for (name, schema, about) in &named {
        if route.path.contains(&format!("{{{name}}}")) || route.path.contains(&format!("{{*{name}}}")) {
            taken.push(json!({ "name": name, "in": "path", "required": true, "schema": schema, "description": about }));
        }
    }
    for (name, schema, about) in known.iter().filter(|(name, ..)| route.parameters.contains(name)) {
        taken.push(json!({ "name": name, "in": "query", "schema": schema, "description": about }));
    }
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let id = [route.method.to_lowercase()].into_iter().chain(words.map(str::to_owned)).collect::<Vec<_>>();
    let mut operation = json!({
        "operationId": id.join("_"),
        "summary": route.about,
        "tags": [tag(route)],
        "parameters": taken,
        "responses": responses(route),
    });
    if !route.body.is_empty() {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": body(route, &known) } },
        });
    }
    operation
}

/// Whether a route is about the swarm.
fn is_swarm(path: &str) -> bool {
    path.starts_with("/api/sync/") || path == "/api/honeygraph-peers"
}

/// Whether a route is about snapshots.
fn is_checkpoint(path: &str) -> bool {
    path.starts_with("/api/checkpoints/")
}

fn tag(route: &Route) -> &'static str {
    match route.path {
        path if is_checkpoint(path) => "checkpoints",
        path if path.starts_with("/api/admin/") => "orders",
        path if is_swarm(path) => "swarm",
        path if path.starts_with("/namespaces") => "namespaces",
        path if path.contains("/forks") => "forks",
        path if path.starts_with("/api/query/") || path == "/api/stream" => "state",
        _ => "node",
    }
}

fn body(route: &Route, known: &[(&'static str, Value, &'static str)]) -> Value {
    let own: BTreeMap<_, _> = fields().into_iter().collect();
    let schema = |name: &str| {
        let shared = || known.iter().find(|(its, ..)| *its == name).map(|(_, schema, _)| schema);
        own.get(name).or_else(shared).cloned().unwrap_or(json!({}))
    };
    let properties: Map<String, Value> = route.body.iter().map(|name| ((*name).to_owned(), schema(name))).collect();
    let needs = |name: &&&str| REQUIRED.contains(*name) && !OPTIONAL.contains(&(route.path, **name));
    let required: Vec<_> = route.body.iter().filter(needs).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn responses(route: &Route) -> Value {
    let of_point = route.parameters.contains(&"min_batch") || route.body.contains(&"min_batch");
    let schema = answers::answer(route.method, route.path).unwrap_or(json!({}));
    let content = match route.path {
        "/metrics" => json!({ "text/plain": { "schema": { "type": "string" } } }),
        "/namespaces/{ns}/export" => {
            json!({ "application/json": { "schema": schema }, "text/csv": { "schema": { "type": "string" } } })
        }
        "/api/admin/record" => {
            json!({ "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } })
        }
        "/api/stream" => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
        _ => json!({ "application/json": { "schema": schema } }),
    };
    let mut responses = Map::new();
    responses.insert("200".into(), json!({ "description": route.about, "content": content }));
    if of_point && route.method == "GET" {
        responses.insert("304".into(), json!({ "description": "the client has this answer (If-None-Match)" }));
    }
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    let codes = errors(route);
    for (status, code, _) in ERRORS.iter().filter(|(_, code, _)| codes.contains(code)) {
        by_status.entry(*status).or_default().push(code);
    }
    let error = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } });
    for (status, codes) in by_status {
        responses.insert(status.to_string(), json!({ "description": codes.join(", "), "content": error }));
    }
    Value::Object(responses)
}
