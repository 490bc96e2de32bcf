//! What the feed server says to a honeycomb node.
//!
//! One function per message; each gives the text of one frame, members in the order of the published server.
//! Times are milliseconds since the epoch.

use crate::auth::Challenge;
use crate::json::write_text;
use std::fmt::Write;

/// `welcome`: greeting on `/fork-stream` and `/`.
pub fn welcome(node_id: &str, timestamp_ms: u64) -> String {
    greeting("welcome", node_id, timestamp_ms)
}

/// `connected`: greeting on `/ws*` and `/honeygraph/ws`.
pub fn connected(node_id: &str, timestamp_ms: u64) -> String {
    greeting("connected", node_id, timestamp_ms)
}

/// `auth_required`: what has to be signed, and whether only some accounts may come in. Which, nobody is told.
pub fn auth_required(challenge: &Challenge, only_some: bool) -> String {
    let (nonce, node) = (quoted(&challenge.nonce), quoted(&challenge.node_id));
    let authorized = if only_some { "configured" } else { "any" };
    format!(
        r#"{{"type":"auth_required","challenge":{{"timestamp":{},"nonce":{nonce},"nodeId":{node}}},"authorizedNodes":"{authorized}"}}"#,
        challenge.timestamp
    )
}

/// `auth_success`
pub fn auth_success(account: &str, node_id: &str, timestamp_ms: u64) -> String {
    format!(
        r#"{{"type":"auth_success","account":{},"nodeId":{},"timestamp":{timestamp_ms}}}"#,
        quoted(account),
        quoted(node_id)
    )
}

/// `auth_failed`
pub fn auth_failed(reason: &str, details: &str) -> String {
    format!(r#"{{"type":"auth_failed","reason":{},"details":{}}}"#, quoted(reason), quoted(details))
}

/// A greeting of a feed whose account is known.
pub fn with_account(mut greeting: String, account: &str) -> String {
    greeting.pop();
    greeting.push_str(&format!(r#","account":{}}}"#, quoted(account)));
    greeting
}

fn greeting(kind: &str, node_id: &str, timestamp_ms: u64) -> String {
    format!(r#"{{"type":"{kind}","nodeId":{},"timestamp":{timestamp_ms}}}"#, quoted(node_id))
}

/// `ack` of an `identify`.
pub fn identify_ack(token: &str) -> String {
    format!(r#"{{"type":"ack","message":"Identification received","token":{}}}"#, quoted(token))
}

/// Appends the `ack` of an op; without an index it is the bare one.
pub fn op_ack(out: &mut String, index: Option<u64>) {
    let Some(index) = index else { return out.push_str(BARE_ACK) };
    out.push_str(r#"{"type":"ack","index":"#);
    push_decimal(out, index);
    out.push_str(r#","success":true}"#);
}

/// `ack` without index: of an op that has none, and of an old checkpoint message.
pub const BARE_ACK: &str = r#"{"type":"ack","success":true}"#;

/// `sync_status` with the durable last index.
pub fn sync_status(last_index: u64) -> String {
    format!(r#"{{"type":"sync_status","lastIndex":{last_index},"status":"synced"}}"#)
}

/// `request_missing`: asks for the indexes `from` to `to`, both included.
pub fn request_missing(from: u64, to: u64) -> String {
    format!(r#"{{"type":"request_missing","from":{from},"to":{to}}}"#)
}

/// `error`
pub fn error(text: &str) -> String {
    format!(r#"{{"type":"error","error":{}}}"#, quoted(text))
}

fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_text(text.as_bytes(), &mut out);
    String::from_utf8(out).expect("JSON text of a str is UTF-8")
}

fn push_decimal(out: &mut String, number: u64) {
    write!(out, "{number}").expect("writing to a String never fails");
}
