//! All that a leaf was on one history: `GET /api/query/history/*`.
//!
//! *Always holds:* newest first, each version with the batch that wrote it; versions that retention may have taken are
//! not passed off as if they had never been.

use super::Web;
use super::answer::{ApiError, json_bytes};
use super::asked::Asked;
use super::point::Point;
use super::query::Query;
use super::read::{MAX_BYTES, MAX_LEAVES, PAGE, large};
use crate::fork::record::Node;
use crate::projection::state::kv::Fjall;
use crate::projection::state::reader::Snapshot;
use crate::projection::state::{Limit, Version};
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use std::io::Write;
use std::sync::Arc;

/// `GET /api/query/history/*path`
pub(super) async fn in_url(State(web): State<Arc<Web>>, uri: Uri, query: Query) -> Result<Response, ApiError> {
    let text = uri.path().strip_prefix("/api/query/history").unwrap_or_default();
    answer(&web, Asked::in_url(text)?, &query).await
}

/// `GET /api/query/history?path=`
pub(super) async fn in_query(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    answer(&web, Asked::in_query(query.get("path").unwrap_or_default())?, &query).await
}

async fn answer(web: &Web, asked: Asked, query: &Query) -> Result<Response, ApiError> {
    let wanted = query.number("limit")?.unwrap_or(PAGE).clamp(1, MAX_LEAVES as u64);
    let point = Point::asked(web, query).await?;
    let from = query.get("from").map(|from| version(&point, from)).transpose()?;
    let view = point.snapshot.view_at(&point.batch)?;
    let whole = point.snapshot.branch(point.batch.node.branch)?.is_some_and(|row| row.floor == 0);
    let based = point.snapshot.based(point.batch.node).is_some();
    let whole = whole && !based;
    let mut out = b"{".to_vec();
    asked.describe(&mut out);
    out.push(b',');
    point.describe(&mut out);
    let _ = write!(out, r#","whole":{whole},"versions":["#);
    // What retention takes while it is at it does not show in what is said of the point.
    let tag = whole.then(|| query.tag(&out)).transpose()?;
    let (snapshot, at) = (point.snapshot.clone(), point.batch.id);
    let read = large(move || {
        let limit = Limit { leaves: wanted as usize, bytes: MAX_BYTES };
        let mut page = view.versions(&asked.encoded, from, limit)?;
        // What was before the base is not the whole truth, and is not told.
        let told = |node: Node| !based || snapshot.based(node).is_some();
        page.versions.retain(|version| told(version.node));
        page.next = page.next.filter(|next| told(*next));
        if page.versions.is_empty() {
            return Ok(None);
        }
        for (i, version) in page.versions.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_version(&snapshot, version, &mut out)?;
        }
        out.push(b']');
        if let Some(next) = page.next {
            let next = snapshot.batch(next)?.ok_or_else(|| ApiError::internal(&"a version without its batch"))?;
            let _ = write!(out, r#","next":{{"batch":"{at}","from":"{}"}}"#, next.id);
        }
        out.push(b'}');
        Ok(Some(out))
    });
    let answer = json_bytes(read.await?.ok_or_else(|| point.absent(false))?);
    Ok(match tag {
        Some(tag) => tag.on(answer),
        None => answer,
    })
}

/// The place of the version that a batch wrote.
fn version(point: &Point<'_>, batch: &str) -> Result<Node, ApiError> {
    let batch = batch.parse().map_err(|_| ApiError::bad_request("?from is not a batch id"))?;
    let found = point.snapshot.find(point.batch.node, &batch)?;
    Ok(found.ok_or_else(|| ApiError::not_found("?from is no batch of this history"))?.node)
}

fn write_version(snapshot: &Snapshot<Fjall>, version: &Version, out: &mut Vec<u8>) -> Result<(), ApiError> {
    match snapshot.batch(version.node)? {
        Some(batch) => {
            let label = serde_json::json!(batch.label);
            let _ = write!(out, r#"{{"batch":"{}","label":{label},"timestamp":{}"#, batch.id, batch.at_ms);
        }
        None => out.extend_from_slice(br#"{"batch":null,"label":null,"timestamp":null"#),
    }
    match &version.text {
        Some(text) => {
            out.extend_from_slice(br#","data":"#);
            out.extend_from_slice(text);
        }
        None => out.extend_from_slice(br#","deleted":true"#),
    }
    out.push(b'}');
    Ok(())
}
