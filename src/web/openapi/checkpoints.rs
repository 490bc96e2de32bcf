//! What the routes of snapshots answer, field by field.
//!
//! *Always holds:* as in [`super::answers`].

use super::answers::{answer as of, flag, list, number, object, or_null, text, word};
use serde_json::{Value, json};

/// The schema of a route's answer.
pub(super) fn answer(method: &str, route: &str) -> Value {
    match (method, route) {
        ("GET", "/api/checkpoints/list") => object(&[
            ("network", text()),
            ("backend", or_null(word(&["zfs", "btrfs", "plain"]))),
            ("max", number()),
            ("intervalBlocks", number()),
            ("free", or_null(number())),
            ("alert", or_null(text())),
            ("checkpoints", list(snapshot())),
            ("clones", list(clone())),
        ]),
        ("GET", "/api/checkpoints/diff/{a}/{b}") => of("GET", "/api/query/diff").unwrap_or(json!({})),
        ("GET", "/api/checkpoints/files/{a}/{b}") => object(&[("files", or_null(list(text())))]),
        ("POST", "/api/checkpoints/clone/{id}") => object(&[("success", flag()), ("clone", clone())]),
        ("POST", "/api/checkpoints/clones/{id}/destroy") => object(&[("success", flag())]),
        ("POST", "/api/checkpoints/auto-snapshots") => object(&[("success", flag()), ("intervalBlocks", number())]),
        ("POST", "/api/checkpoints/rollback/{id}") => object(&[
            ("success", flag()),
            ("checkpoint", snapshot()),
            ("rollback", of("POST", "/api/admin/rollback").unwrap_or(json!({}))),
        ]),
        ("GET", _) => snapshot(),
        _ => object(&[("success", flag()), ("dry_run?", flag()), ("checkpoint", snapshot())]),
    }
}

fn snapshot() -> Value {
    let (label, hash) = (|| or_null(number()), || or_null(text()));
    object(&[
        ("name", text()),
        ("blockNum", number()),
        ("hash", text()),
        ("fork", hash()),
        ("batch", hash()),
        ("verified", or_null(flag())),
        ("confirmed", hash()),
        ("cursor", label()),
        ("created", label()),
        ("software", hash()),
        ("holds", list(text())),
        ("clones", list(text())),
        ("bytes", label()),
    ])
}

fn clone() -> Value {
    object(&[("name", text()), ("of", text()), ("folder?", text())])
}
