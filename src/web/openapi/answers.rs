//! What each route answers, field by field: the schemas of the OpenAPI document.
//!
//! *Always holds:* every route that answers JSON has its schema here, with every field that it may have (tests hold the
//! answers of a real node against them, with nothing beside).

use serde_json::{Map, Value, json};

/// Fields of an object: name, schema; a name that ends in `?` may be left out.
type Fields<'a> = &'a [(&'a str, Value)];

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// Any JSON value: a leaf, or an object of leaves.
fn any() -> Value {
    json!({})
}

pub(super) fn word(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

pub(super) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// An object with names that are not known before.
pub(super) fn by_name(values: Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

pub(super) fn or_null(schema: Value) -> Value {
    match schema["type"].as_str() {
        Some(kind) if schema.get("enum").is_none() => {
            let mut schema = schema.clone();
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => json!({ "oneOf": [schema, { "type": "null" }] }),
    }
}

pub(super) fn shared(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

pub(super) fn object(fields: Fields<'_>) -> Value {
    let required = fields.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?'));
    let required: Vec<&str> = required.collect();
    let properties = fields.iter().map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone()));
    json!({ "type": "object", "properties": properties.collect::<Map<_, _>>(), "required": required })
}

/// An object that says all that every read says of itself, and more.
fn read(fields: Fields<'_>) -> Value {
    let mut schema = object(fields);
    schema["allOf"] = json!([shared("Point")]);
    schema
}

fn path() -> Value {
    list(json!({ "type": ["string", "number"] }))
}

/// A path as it was asked for: text, or an array where text cannot say it.
fn asked() -> Value {
    json!({ "type": ["string", "array"], "items": { "type": ["string", "number"] } })
}

/// `[path, value]`
fn pair() -> Value {
    json!({ "type": "array", "prefixItems": [path(), any()], "items": false, "minItems": 2 })
}

/// Schemas that several answers share, by name.
pub(super) fn components() -> Vec<(&'static str, Value)> {
    [histories(), streams()].concat()
}

/// What is said of points, forks and verdicts.
fn histories() -> Vec<(&'static str, Value)> {
    let (label, hash) = (|| or_null(number()), || or_null(text()));
    vec![
        ("Point", point()),
        ("Node", object(&[("branch", number()), ("version", number())])),
        (
            "Tip",
            object(&[
                ("node", shared("Node")),
                ("batch", text()),
                ("label", label()),
                ("period", text()),
                ("opening_label", label()),
                ("fork", text()),
                ("unbroken", flag()),
            ]),
        ),
        (
            "Fork",
            object(&[
                ("branch", number()),
                ("parent", or_null(shared("Node"))),
                ("tip", shared("Tip")),
                ("is_head", flag()),
                ("barred_by", label()),
                ("witnesses", number()),
                ("operations", number()),
                ("start_time", number()),
                ("last_update", number()),
            ]),
        ),
        (
            "Verdict",
            object(&[
                ("id", number()),
                ("to", shared("Node")),
                ("barred", shared("Node")),
                ("fork", hash()),
                ("reason", text()),
                ("at_ms", number()),
            ]),
        ),
    ]
}

/// What is said of feeds, and of what they brought.
fn streams() -> Vec<(&'static str, Value)> {
    let (label, hash) = (|| or_null(number()), || or_null(text()));
    vec![
        (
            "Gap",
            object(&[
                ("id", number()),
                ("state", word(&["asked", "recorded", "accepted"])),
                ("lane", number()),
                ("ordinal", number()),
                ("label", label()),
                ("run", number()),
                ("from", number()),
                ("to", number()),
                ("tries", number()),
                ("at_ms?", number()),
                ("reason?", text()),
            ]),
        ),
        (
            "Parked",
            object(&[
                ("pieces", number()),
                ("operations", number()),
                (
                    "reasons",
                    list(json!({ "type": "array", "prefixItems": [text(), number()], "items": false, "minItems": 2 })),
                ),
            ]),
        ),
        ("Feed", object(&[("remote", text()), ("source", hash()), ("version", hash()), ("token", text())])),
        ("Period", object(&period())),
    ]
}

fn operation() -> Value {
    object(&[
        ("index", number()),
        ("batch", text()),
        ("timestamp", number()),
        ("type", word(&["put", "del"])),
        ("path", path()),
        ("data?", any()),
        ("reverted", flag()),
    ])
}

fn period() -> Vec<(&'static str, Value)> {
    let marker = object(&[
        ("index", number()),
        ("blockNum", or_null(number())),
        ("timestamp", number()),
        ("prevCheckpointHash", or_null(text())),
    ]);
    vec![
        ("hash", text()),
        ("blockNum", or_null(number())),
        ("startTime", number()),
        ("lastUpdate", number()),
        ("nodes", list(text())),
        ("operationCount", number()),
        ("lastWriteMarker", or_null(marker)),
        ("isConfirmed", flag()),
        ("branch", number()),
        ("fork", text()),
        ("tip", text()),
        ("active", flag()),
    ]
}

/// What every read says of itself.
fn point() -> Value {
    let about = |mut schema: Value, words: &str| {
        schema["description"] = words.into();
        schema
    };
    object(&[
        ("network", text()),
        ("fork", about(text(), "id of the history")),
        ("batch", about(text(), "exactly this batch; ?batch= with it gives the same answer later")),
        ("label", about(or_null(number()), "block")),
        ("complete", about(flag(), "nothing before this point is missing")),
        ("verified", about(flag(), "recomputed against honeycomb's own checkpoint")),
        ("final", about(flag(), "confirmed")),
        ("verified_at?", about(number(), "the newest verified checkpoint at or before this point")),
        ("mismatch?", about(number(), "a checkpoint that differs from honeycomb's, here or before")),
        ("confirmed_by?", about(word(&["pin", "consensus", "feed"]), "who confirmed it")),
    ])
}

/// What an error says beside its words and its code, each only where it is of use.
pub(super) fn of_errors() -> Vec<(&'static str, Value)> {
    let names = || list(text());
    let mut fields = vec![
        ("networks?", names()),
        ("parameters?", names()),
        ("candidates?", names()),
        ("forks?", names()),
        ("hint?", text()),
        ("behind?", number()),
        ("base?", or_null(number())),
        ("newest?", number()),
        ("grain?", number()),
        ("min_batch?", text()),
        ("path?", asked()),
    ];
    // Where it was looked for.
    fields.extend([("network?", text()), ("fork?", text()), ("batch?", text()), ("label?", or_null(number()))]);
    fields.extend([("complete?", flag()), ("verified?", flag()), ("final?", flag())]);
    fields
}

/// The schema of a route's answer; none where it is no JSON.
pub(super) fn answer(method: &str, route: &str) -> Option<Value> {
    Some(match route {
        "/metrics" | "/api/stream" | "/api/admin/record" => return None,
        "/" | "/api" => index(),
        "/api/openapi.json" => json!({ "type": "object", "required": ["openapi", "paths"] }),
        "/health" => health(),
        "/health/live" => object(&[("status", word(&["ok"]))]),
        "/health/ready" => object(&[("status", word(&["ready", "starting"])), ("behind?", by_name(number()))]),
        "/api/health" => {
            let mut fields = head();
            fields.push(("status", condition()));
            object(&fields)
        }
        "/api/status" => status(),
        "/api/gaps" => object(&[("network", text()), ("gaps", list(shared("Gap"))), ("parked", shared("Parked"))]),
        path if super::is_checkpoint(path) => super::checkpoints::answer(method, path),
        path if super::is_swarm(path) => super::swarm::answer(method, path),
        path if path.contains("/forks") => forks(path),
        path if path.starts_with("/namespaces") => namespaces(path),
        path if path.starts_with("/api/admin/") => order(path),
        path => state(path),
    })
}

fn index() -> Value {
    let route = object(&[
        ("method", word(&["GET", "POST"])),
        ("path", text()),
        ("parameters", list(text())),
        ("body", list(text())),
        ("who", word(&["anyone", "readers", "operators"])),
        ("about", text()),
    ]);
    object(&[("name", text()), ("version", text()), ("documentation", text()), ("routes", list(route))])
}

fn condition() -> Value {
    word(&["ok", "degraded", "down"])
}

/// Of the network that a request means.
fn head() -> Vec<(&'static str, Value)> {
    vec![
        ("network", text()),
        ("block", or_null(number())),
        ("hash", or_null(text())),
        ("sync", word(&["synced", "syncing"])),
    ]
}

fn health() -> Value {
    let component = || object(&[("status", condition()), ("reason?", text())]);
    let components =
        ["feed", "core", "journal", "room", "state", "snapshots", "proof", "votes"].map(|name| (name, component()));
    let network = object(&[
        ("status", condition()),
        ("block", or_null(number())),
        ("hash", or_null(text())),
        ("feeds", number()),
        ("forks", number()),
        ("components", object(&components)),
    ]);
    let mut fields = head();
    fields.extend([
        ("status", condition()),
        ("peers", number()),
        ("swarm", component()),
        ("feeds", number()),
        ("uptime", number()),
        ("node", text()),
        ("version", text()),
        ("networks", by_name(network)),
    ]);
    object(&fields)
}

fn status() -> Value {
    let lane = object(&[
        ("lane", number()),
        ("feed", shared("Feed")),
        ("numbering", word(&["honeycomb", "seed"])),
        ("label", or_null(number())),
        ("run", number()),
        ("last_index", or_null(number())),
        ("open_ops", number()),
        ("at", or_null(shared("Node"))),
        ("on_head", flag()),
        ("parked", or_null(text())),
    ]);
    let checkpoint =
        object(&[("block", number()), ("hash", text()), ("at", or_null(shared("Node"))), ("boundary", text())]);
    let event = object(&[("id", number()), ("at_ms", number()), ("event", text()), ("about", text())]);
    let counters = [
        "ops",
        "chained",
        "repeated",
        "parked",
        "supplied",
        "refused",
        "periods",
        "forks",
        "asked",
        "checkpoints",
        "head_moves",
        "gaps",
    ];
    let network = object(&[
        ("network", text()),
        ("ready", flag()),
        ("lsn", number()),
        ("durable", number()),
        ("applied", number()),
        ("head", or_null(shared("Tip"))),
        ("begun_by", or_null(object(&[("lane", number()), ("feed", shared("Feed"))]))),
        ("forks", list(shared("Fork"))),
        ("verdicts", list(shared("Verdict"))),
        ("periods", list(shared("Period"))),
        ("lanes", list(lane)),
        ("gaps", list(shared("Gap"))),
        ("parked", shared("Parked")),
        ("checkpoints", list(checkpoint)),
        ("proofs", proofs()),
        ("journal", kept()),
        ("counters", object(&counters.map(|name| (name, number())))),
        ("events", list(event)),
    ]);
    object(&[
        ("version", text()),
        ("uptime", number()),
        ("feeds", number()),
        ("swarm", or_null(super::swarm::brief())),
        ("networks", list(network)),
    ])
}

fn kept() -> Value {
    object(&[
        ("retention", text()),
        ("first", number()),
        ("bytes", number()),
        ("segments", number()),
        ("oldest", or_null(number())),
        ("oldest_at_ms", or_null(number())),
        ("held_by?", text()),
        ("floor", or_null(number())),
        ("bytes_a_day", or_null(number())),
        ("limit", or_null(number())),
        ("days_until_full", or_null(json!({ "type": "number" }))),
        ("alert?", text()),
    ])
}

fn proofs() -> Value {
    let checked = object(&[
        ("label", or_null(number())),
        ("hash", text()),
        ("kind", word(&["root", "delta"])),
        ("outcome", word(&["verified", "unverifiable", "mismatch"])),
        ("detail?", text()),
        ("branch", number()),
        ("at_ms", number()),
    ]);
    let walk = object(&[
        ("from", text()),
        ("back_to", or_null(number())),
        ("roots", number()),
        ("named", number()),
        ("held", number()),
        ("base", or_null(text())),
        ("ended", word(&["oldest", "depth", "not_held", "no_link"])),
    ]);
    object(&[
        ("verified_at", or_null(number())),
        ("confirmed_at", or_null(number())),
        ("mismatch", or_null(number())),
        ("verified", number()),
        ("unverifiable", number()),
        ("mismatches", number()),
        ("trusted", list(text())),
        ("walk", or_null(walk)),
        ("newest", list(checked)),
    ])
}

fn forks(route: &str) -> Value {
    match route {
        "/api/forks/stats" => {
            let fork = object(&[
                ("hash", text()),
                ("nodes", number()),
                ("operations", number()),
                ("isConfirmed", flag()),
                ("fork", text()),
            ]);
            let block = object(&[("count", number()), ("confirmed", or_null(text())), ("forks", list(fork))]);
            object(&[
                ("network", text()),
                ("totalForks", number()),
                ("activeForks", number()),
                ("checkpoints", number()),
                ("forksByBlock", by_name(block)),
            ])
        }
        "/api/forks/{id}" => {
            let operation =
                object(&[("index", number()), ("type", word(&["put", "del"])), ("path", path()), ("data?", any())]);
            let mut fields = period();
            fields.extend([("network", text()), ("operations", list(operation))]);
            object(&fields)
        }
        "/api/query/forks" => object(&[
            ("network", text()),
            ("canonical", or_null(text())),
            ("active", list(text())),
            ("forks", list(shared("Fork"))),
            ("total", number()),
            ("verdicts", list(shared("Verdict"))),
        ]),
        _ => object(&[("fork", text()), ("tip", text())]),
    }
}

fn namespaces(route: &str) -> Value {
    match route {
        "/namespaces" => list(text()),
        "/namespaces/{ns}/stats" => read(&[
            ("namespace", text()),
            ("tokens", list(text())),
            ("timestamp", number()),
            ("batches", or_null(number())),
            ("operations", or_null(number())),
            ("forks", number()),
            ("feeds", number()),
            ("tables", list(text())),
        ]),
        _ => read(&[("state", any()), ("hidden", list(pair())), ("leaves", number())]),
    }
}

fn order(route: &str) -> Value {
    match route {
        "/api/admin/rollback" => object(&[
            ("verdict", or_null(number())),
            ("from", shared("Tip")),
            ("to", shared("Tip")),
            ("batches", number()),
            ("left", text()),
            ("dry_run", flag()),
        ]),
        "/api/admin/release" => object(&[("verdict", number()), ("head", shared("Tip"))]),
        "/api/admin/trust" => object(&[("hash", text()), ("label", or_null(number())), ("trusted", flag())]),
        "/api/admin/gaps/{id}/accept" => object(&[("id", number()), ("first", or_null(text()))]),
        _ => object(&[("level", text())]),
    }
}

fn state(route: &str) -> Value {
    let block = || vec![("blockNum", number()), ("resolved_block", number()), ("grain", number())];
    let at_path = || {
        let next = object(&[("batch", text()), ("from", path())]);
        vec![("path", asked()), ("data", any()), ("hidden?", number()), ("next?", next)]
    };
    match route {
        "/api/query/head" => read(&[
            ("head", or_null(number())),
            ("period", text()),
            ("opening_label", or_null(number())),
            ("seq", number()),
            ("operations", number()),
            ("timestamp", number()),
        ]),
        "/api/query/paths" => {
            let statuses = word(&["found", "not_found", "unknown_before_base"]);
            let result = object(&[("path", text()), ("status", statuses), ("hidden?", number())]);
            read(&[("data", by_name(any())), ("results", list(result))])
        }
        "/api/query/state-at/{n}" => read(&[at_path(), block()].concat()),
        "/api/query/diff" => {
            let kinds = word(&["added", "removed", "changed"]);
            let change = object(&[("path", path()), ("change", kinds), ("old?", any()), ("new?", any())]);
            let next = object(&[("from", text()), ("to", text()), ("start", path())]);
            read(&[
                ("path", asked()),
                ("from", shared("Point")),
                ("forward", flag()),
                ("changes", list(change)),
                ("next?", next),
            ])
        }
        "/api/query/block/{n}/full" => {
            let mut fields = block();
            fields.extend([
                ("previousHash", or_null(text())),
                ("blockHash", or_null(text())),
                ("timestamp", number()),
                ("forkId", text()),
                ("isFinalized", flag()),
                ("closed", flag()),
                ("batches", list(text())),
                ("operations", list(operation())),
            ]);
            read(&fields)
        }
        "/api/query/block/{n}/operations" => {
            let next = object(&[("batch", text()), ("from", number())]);
            let mut fields = block();
            fields.extend([("total", number()), ("operations", list(operation())), ("next?", next)]);
            read(&fields)
        }
        path if path.starts_with("/api/query/history") => {
            let version = object(&[
                ("batch", or_null(text())),
                ("label", or_null(number())),
                ("timestamp", or_null(number())),
                ("data?", any()),
                ("deleted?", flag()),
            ]);
            let next = object(&[("batch", text()), ("from", text())]);
            read(&[("path", asked()), ("versions", list(version)), ("whole", flag()), ("next?", next)])
        }
        _ => read(&at_path()),
    }
}
