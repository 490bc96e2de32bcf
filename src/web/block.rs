//! A block, whole or its ops in pages: all batches with one label on one fork, with their ops as they came.
//!
//! *Always holds:* the ops come from the journal, which checks them; `blockHash` is there only once the block is
//! closed, and only when honeycomb hashed it at its end.

use super::answer::{ApiError, json_bytes};
use super::point::{Point, Resolved};
use super::query::{Query, block_number};
use super::read::{MAX_LEAVES, PAGE, large};
use super::{Web, wait};
use crate::journal::Reader as Journal;
use crate::projection::state::Batch;
use axum::extract::{Path, State};
use axum::response::Response;
use honeygraph_protocols::op;
use serde_json::json;
use std::io::Write;
use std::sync::Arc;

/// Ops of one answer.
const MAX_OPS: u64 = 50_000;

/// Bytes of the texts of one answer.
const MAX_BYTES: usize = 16 << 20;

/// Bytes of a page of ops, and one op.
const MAX_PAGE_BYTES: usize = 8 << 20;

const HINT: &str = "page through /api/query/block/{n}/operations, or ask for one batch of it with ?batch=";

/// `GET /api/query/block/:n/full?fork=&batch=`
pub(super) async fn full(
    State(web): State<Arc<Web>>,
    Path(number): Path<String>,
    query: Query,
) -> Result<Response, ApiError> {
    let number = block_number(&number)?;
    let only = query.get("batch").map(str::parse).transpose();
    let only = only.map_err(|_| ApiError::bad_request("?batch is not a batch id"))?;
    wait::own_write(&web, &query).await?;
    let (point, Resolved { block, grain }) = Point::history(&web, &query)?.at_block(number)?;
    let mut batches = point.snapshot.block(point.history, block)?;
    let after = match batches.last() {
        Some(last) => point.snapshot.after(point.history, last.node)?,
        None => None,
    };
    if let Some(only) = only {
        batches.retain(|batch| batch.id == only);
    }
    let Some(first) = batches.first() else { return Err(ApiError::not_found("this block has no such batch")) };
    if batches.iter().map(|batch| batch.count).sum::<u64>() > MAX_OPS {
        return Err(ApiError::too_large("the block has too many operations", HINT));
    }
    let mut out = b"{".to_vec();
    point.describe(&mut out);
    let hash = after.as_ref().filter(|after| after.period != point.batch.period).map(|after| &after.period);
    let about = json!({
        "blockNum": block,
        "resolved_block": block,
        "grain": grain,
        "blockHash": hash,
        "previousHash": first.period,
        "timestamp": point.batch.at_ms,
        "forkId": point.fork,
        "isFinalized": point.standing.confirmed.is_some(),
        "closed": after.is_some(),
        "batches": batches.iter().map(|batch| batch.id).collect::<Vec<_>>(),
    });
    let about = about.to_string();
    let _ = write!(out, ",{}", about.trim_start_matches('{').trim_end_matches('}'));
    let tag = query.tag_pinned(&out, false)?; // a block may still grow
    let journal = point.of.journal.clone();
    let out = large(move || {
        out.extend_from_slice(br#","operations":["#);
        write_ops(&journal, &batches, &mut out)?;
        out.extend_from_slice(b"]}");
        Ok(out)
    });
    Ok(tag.on(json_bytes(out.await?)))
}

/// `GET /api/query/block/:n/operations?fork=&batch=&from=`: a page of the ops of a block, as of a batch.
pub(super) async fn operations(
    State(web): State<Arc<Web>>,
    Path(number): Path<String>,
    query: Query,
) -> Result<Response, ApiError> {
    let number = block_number(&number)?;
    let wanted = query.number("limit")?.unwrap_or(PAGE).clamp(1, MAX_LEAVES as u64);
    let from = query.number("from")?.unwrap_or(0);
    let (point, Resolved { block, grain }) = Point::block(&web, &query, number).await?;
    let batches = point.snapshot.block(point.batch.node, block)?;
    let mut out = b"{".to_vec();
    point.describe(&mut out);
    let total = batches.iter().map(|batch| batch.count).sum::<u64>();
    let _ =
        write!(out, r#","blockNum":{block},"resolved_block":{block},"grain":{grain},"total":{total},"operations":["#);
    let tag = query.tag(&out)?;
    let (journal, at) = (point.of.journal.clone(), point.batch.id);
    let out = large(move || {
        let next = write_page(&journal, &batches, from, wanted, &mut out)?;
        out.push(b']');
        if let Some(next) = next {
            let _ = write!(out, r#","next":{{"batch":"{at}","from":{next}}}"#);
        }
        out.push(b'}');
        Ok(out)
    });
    Ok(tag.on(json_bytes(out.await?)))
}

/// Appends ops of batches from the op of number `from` on, at most `wanted`; answers the number of the next.
fn write_page(
    journal: &Journal,
    batches: &[Batch],
    from: u64,
    wanted: u64,
    out: &mut Vec<u8>,
) -> Result<Option<u64>, ApiError> {
    let mut at = 0;
    for batch in batches {
        if at + batch.count <= from {
            at += batch.count;
            continue;
        }
        let first = at;
        for piece in &batch.pieces {
            let body = journal.body(*piece)?;
            for text in op::texts(&body) {
                let text = text.map_err(|error| ApiError::internal(&error))?;
                if at >= from + wanted || (at > from && out.len() + text.len() > MAX_PAGE_BYTES) {
                    return Ok(Some(at));
                }
                if at >= from {
                    out.extend_from_slice(if at > from { b"," } else { b"" });
                    write_op(batch, at - first, text, out);
                }
                at += 1;
            }
        }
    }
    Ok(None)
}

/// Appends an op, the `i`-th of its batch.
fn write_op(batch: &Batch, i: u64, text: &[u8], out: &mut Vec<u8>) {
    let (index, id, at) = (batch.seq + i, batch.id, batch.at_ms);
    let _ = write!(out, r#"{{"index":{index},"batch":"{id}","timestamp":{at},"reverted":false,"#);
    out.extend_from_slice(&text[1..]); // the canonical text is an object: {"data":…,"path":[…],"type":"…"}
}

/// Appends the ops of batches: `{index, batch, timestamp, type, path, data, reverted}`, `index` being the place in the period.
fn write_ops(journal: &Journal, batches: &[Batch], out: &mut Vec<u8>) -> Result<(), ApiError> {
    let mut first = true;
    for batch in batches {
        let mut body = Vec::new();
        for piece in &batch.pieces {
            journal.body_into(*piece, &mut body)?;
        }
        if out.len() + body.len() > MAX_BYTES {
            return Err(ApiError::too_large("the operations of the block are too large", HINT));
        }
        for (i, text) in op::texts(&body).enumerate() {
            let text = text.map_err(|error| ApiError::internal(&error))?;
            if !first {
                out.push(b',');
            }
            first = false;
            write_op(batch, i as u64, text, out);
        }
    }
    Ok(())
}
