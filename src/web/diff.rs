//! What differs between two points, also of two forks: `GET /api/query/diff`.
//!
//! *Always holds:* both points are read from one snapshot; a page costs no more than its bounds say, also where nothing
//! differs.

use super::answer::{ApiError, json_bytes};
use super::asked::{Asked, write_encoded};
use super::point::Point;
use super::query::Query;
use super::read::{MAX_BYTES, MAX_LEAVES, PAGE, large};
use super::{Web, wait};
use crate::projection::state::Limit;
use crate::projection::state::diff::{Change, changes};
use axum::extract::State;
use axum::response::Response;
use honeygraph_protocols::batch::BatchId;
use std::io::Write;
use std::sync::Arc;

/// `GET /api/query/diff?from=&to=&path=`
pub(super) async fn diff(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let path = Asked::in_query(query.get("path").unwrap_or_default())?;
    let start = query.get("start").map(Asked::in_query).transpose()?;
    let wanted = query.number("limit")?.unwrap_or(PAGE).clamp(1, MAX_LEAVES as u64);
    let from = query.get("from").ok_or_else(|| ApiError::bad_request("?from names a batch or a block"))?;
    wait::own_write(&web, &query).await?;
    let history = Point::history(&web, &query)?;
    let from = history.named(from)?;
    let to = query.get("to").map_or_else(|| Ok(history.clone()), |to| history.named(to))?;
    let (old, new) = (from.snapshot.view_at(&from.batch)?, to.snapshot.view_at(&to.batch)?);
    let ancestor = to.snapshot.find(to.batch.node, &from.batch.id)?.is_some_and(|at| at.node == from.batch.node);
    let mut out = b"{".to_vec();
    path.describe(&mut out);
    out.push(b',');
    to.describe(&mut out);
    out.extend_from_slice(br#","from":{"#);
    from.describe(&mut out);
    let _ = write!(out, r#"}},"forward":{ancestor},"changes":["#);
    let named = |name| query.get(name).is_some_and(|name| name.parse::<BatchId>().is_ok());
    let tag = query.tag_pinned(&out, named("from") && named("to"))?;
    let (from, to) = (from.batch.id, to.batch.id);
    let read = large(move || {
        let limit = Limit { leaves: wanted as usize, bytes: MAX_BYTES };
        let page = changes(&old, &new, &path.encoded, start.as_ref().map(|start| start.encoded.as_slice()), limit)?;
        for (i, change) in page.changes.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_change(change, &mut out)?;
        }
        out.push(b']');
        if let Some(next) = &page.next {
            let _ = write!(out, r#","next":{{"from":"{from}","to":"{to}","start":"#);
            write_encoded(next, &mut out)?;
            out.push(b'}');
        }
        out.push(b'}');
        Ok(out)
    });
    Ok(tag.on(json_bytes(read.await?)))
}

fn write_change(change: &Change, out: &mut Vec<u8>) -> Result<(), ApiError> {
    out.extend_from_slice(br#"{"path":"#);
    write_encoded(&change.path, out)?;
    let word: &[u8] = match (&change.old, &change.new) {
        (None, _) => br#","change":"added""#,
        (_, None) => br#","change":"removed""#,
        _ => br#","change":"changed""#,
    };
    out.extend_from_slice(word);
    for (name, text) in [(&br#","old":"#[..], &change.old), (br#","new":"#, &change.new)] {
        if let Some(text) = text {
            out.extend_from_slice(name);
            out.extend_from_slice(text);
        }
    }
    out.push(b'}');
    Ok(())
}
