//! Reads of state: the head, a path at any point of any fork, the state at a block.
//!
//! A path stands in the URL as percent-encoded text segments, `/api/query/path/balances/alice`. A number segment has no
//! form there: `?path=["a",5]`, a JSON array, names any path.
//!
//! *Always holds:* a leaf is one lookup; what may be large is bounded and read off the tasks that answer.

use super::Web;
use super::answer::{ApiError, json_bytes};
use super::asked::{Asked, write_encoded};
use super::point::{Point, Resolved};
use super::query::{Query, block_number};
use crate::projection::state::Limit;
use crate::projection::state::nested::Nested;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use std::io::Write;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Leaves of one answer.
pub const MAX_LEAVES: usize = 10_000;

/// Bytes of paths and texts of one answer.
pub const MAX_BYTES: usize = 8 << 20;

/// Items of a page unless `?limit` says otherwise.
pub const PAGE: u64 = 1000;

/// Large reads at a time: each holds a thread, and up to [`MAX_BYTES`] several times over.
const LARGE_READS: usize = 16;

static LARGE: Semaphore = Semaphore::const_new(LARGE_READS);

const HINT: &str = "ask for a deeper path, or page through ?form=leaves&limit=";

/// `GET /api/query/head`
pub(super) async fn head(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let point = Point::asked(&web, &query).await?;
    let mut out = b"{".to_vec();
    point.describe(&mut out);
    let tag = query.tag(&out)?;
    let (head, opening) = (serde_json::json!(point.batch.label), serde_json::json!(point.batch.opening_label));
    let period = serde_json::json!(point.batch.period);
    let (seq, count, at) = (point.batch.seq, point.batch.count, point.batch.at_ms);
    let _ = write!(out, r#","head":{head},"period":{period},"opening_label":{opening},"seq":{seq},"#);
    let _ = write!(out, r#""operations":{count},"timestamp":{at}}}"#);
    Ok(tag.on(json_bytes(out)))
}

/// `GET /api/query/path/*`
pub(super) async fn in_url(State(web): State<Arc<Web>>, uri: Uri, query: Query) -> Result<Response, ApiError> {
    let text = uri.path().strip_prefix("/api/query/path").unwrap_or_default();
    let asked = Asked::in_url(text)?;
    answer(Point::asked(&web, &query).await?, asked, &query, None).await
}

/// `GET /api/query/path?path=`: the whole state without it.
pub(super) async fn in_query(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let asked = Asked::in_query(query.get("path").unwrap_or_default())?;
    answer(Point::asked(&web, &query).await?, asked, &query, None).await
}

/// `GET /api/query/state-at/:n?path=`
pub(super) async fn state_at(
    State(web): State<Arc<Web>>,
    Path(number): Path<String>,
    query: Query,
) -> Result<Response, ApiError> {
    let number = block_number(&number)?;
    let asked = Asked::in_query(query.get("path").unwrap_or_default())?;
    let (point, resolved) = Point::block(&web, &query, number).await?;
    answer(point, asked, &query, Some((number, resolved))).await
}

async fn answer(
    point: Point<'_>,
    asked: Asked,
    query: &Query,
    block: Option<(u64, Resolved)>,
) -> Result<Response, ApiError> {
    let mut out = Vec::with_capacity(512);
    out.push(b'{');
    asked.describe(&mut out);
    out.push(b',');
    point.describe(&mut out);
    if let Some((number, Resolved { block, grain })) = block {
        let _ = write!(out, r#","blockNum":{number},"resolved_block":{block},"grain":{grain}"#);
    }
    let leaves_only = ["limit", "from"].into_iter().find(|name| query.get(name).is_some());
    if let Some(name) = leaves_only.filter(|_| query.get("form") != Some("leaves")) {
        return Err(ApiError::bad_request(format!("?{name} goes with ?form=leaves")));
    }
    let tag = query.tag(&out)?;
    let answer = match query.get("form") {
        None | Some("nested") => nested(point, asked, out).await,
        Some("leaves") => leaves(point, asked, query, out).await,
        Some(_) => Err(ApiError::bad_request("?form is nested or leaves")),
    };
    Ok(tag.on(answer?))
}

/// The leaf there, else what is below as an object.
async fn nested(point: Point<'_>, asked: Asked, mut out: Vec<u8>) -> Result<Response, ApiError> {
    let view = point.snapshot.view_at(&point.batch)?;
    if let Some(text) = view.get(&asked.encoded)? {
        out.extend_from_slice(br#","data":"#);
        out.extend_from_slice(&text);
        out.push(b'}');
        return Ok(json_bytes(out));
    }
    let limit = Limit { leaves: MAX_LEAVES, bytes: MAX_BYTES };
    let read = large(move || match view.nested(&asked.encoded, limit)? {
        Nested::Nothing => Ok((Nested::Nothing, view.emptied(&asked.encoded)?)),
        found => Ok((found, false)),
    });
    match read.await? {
        (Nested::Nothing, known) => Err(point.absent(known)),
        (Nested::TooLarge, _) => Err(ApiError::too_large("too much is below this path", HINT)),
        (Nested::Data { text, hidden, .. }, _) => {
            if hidden > 0 {
                let _ = write!(out, r#","hidden":{hidden}"#);
            }
            out.extend_from_slice(br#","data":"#);
            out.extend_from_slice(&text);
            out.push(b'}');
            Ok(json_bytes(out))
        }
    }
}

/// `[[path, value], …]`, a page of it; `next` names the point and the path to go on from.
async fn leaves(point: Point<'_>, asked: Asked, query: &Query, mut out: Vec<u8>) -> Result<Response, ApiError> {
    let wanted = query.number("limit")?.unwrap_or(PAGE).clamp(1, MAX_LEAVES as u64);
    let from = query.get("from").map(Asked::in_query).transpose()?;
    let view = point.snapshot.view_at(&point.batch)?;
    let limit = Limit { leaves: wanted as usize, bytes: MAX_BYTES };
    let (batch, paged) = (point.batch.id, from.is_some());
    let read = large(move || {
        let page = view.leaves(&asked.encoded, from.as_ref().map(|from| from.encoded.as_slice()), limit)?;
        if page.leaves.is_empty() && !paged {
            return Ok(Err(view.emptied(&asked.encoded)?));
        }
        out.extend_from_slice(br#","data":["#);
        for (i, (path, text)) in page.leaves.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b",[" } else { b"[" });
            write_encoded(path, &mut out)?;
            out.push(b',');
            out.extend_from_slice(text);
            out.push(b']');
        }
        out.push(b']');
        if let Some(next) = &page.next {
            let _ = write!(out, r#","next":{{"batch":"{batch}","from":"#);
            write_encoded(next, &mut out)?;
            out.push(b'}');
        }
        out.push(b'}');
        Ok(Ok(out))
    });
    match read.await? {
        Ok(out) => Ok(json_bytes(out)),
        Err(known) => Err(point.absent(known)),
    }
}

/// Runs a large read on a thread of its own, a bounded number at a time.
pub(super) async fn large<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let _one = LARGE.acquire().await.map_err(|error| ApiError::internal(&error))?;
    tokio::task::spawn_blocking(read).await.map_err(|error| ApiError::internal(&error))?
}
