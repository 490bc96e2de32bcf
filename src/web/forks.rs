//! Forks: the seeds' table of periods, and every live history.

use super::Web;
use super::answer::{ApiError, json};
use super::query::Query;
use super::read::large;
use crate::fork::record::BranchNo;
use crate::fork::status::{PeriodStatus, Status};
use crate::journal::{JournalError, Reader as Journal};
use crate::projection::state::Reader;
use axum::extract::{Path, State};
use axum::response::Response;
use honeygraph_protocols::op;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Bytes of op texts looked at for one fork record.
const MAX_OP_BYTES: usize = 8 << 20;

/// `GET /api/forks/stats`: `{totalForks, activeForks, checkpoints, forksByBlock}`, as the seeds have it: a fork is a
/// period on one history.
pub(super) async fn stats(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let (name, network) = web.network(query.get("network"))?;
    let status = Arc::clone(&network.status.borrow());
    let mut by_block: Map<String, Value> = Map::new();
    for period in &status.periods {
        let block = period.block_num.map_or_else(|| "unknown".into(), |block| block.to_string());
        let entry = by_block.entry(block).or_insert_with(|| json!({ "count": 0, "confirmed": null, "forks": [] }));
        entry["count"] = (entry["count"].as_u64().unwrap_or(0) + 1).into();
        if period.is_confirmed {
            entry["confirmed"] = period.hash.as_str().into();
        }
        if let Some(forks) = entry["forks"].as_array_mut() {
            forks.push(json!({
                "hash": period.hash,
                "nodes": period.nodes.len(),
                "operations": period.operation_count,
                "isConfirmed": period.is_confirmed,
                "fork": period.fork,
            }));
        }
    }
    let active = status.periods.iter().filter(|period| period.active).count();
    Ok(json(&json!({
        "network": name,
        "totalForks": status.periods.len(),
        "activeForks": active,
        "checkpoints": status.counters.checkpoints,
        "forksByBlock": by_block,
    })))
}

/// `GET /api/forks/:id`: the fork record of a period, by its hash, its tip's batch id, or its fork's id; with its newest
/// operations, oldest first, as many as `OPERATION_BUFFER_SIZE` says.
pub(super) async fn one(
    State(web): State<Arc<Web>>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response, ApiError> {
    let (name, network) = web.network(query.get("network"))?;
    let status = Arc::clone(&network.status.borrow());
    let period = period(&status, &id)?;
    let mut body = serde_json::to_value(period).map_err(|error| ApiError::internal(&error))?;
    body["network"] = name.into();
    let (state, journal) = (network.state.clone(), network.journal.clone());
    let (branch, hash, most) = (period.branch, period.hash.as_str().to_owned(), web.operation_buffer);
    body["operations"] = large(move || newest_ops(&state, &journal, branch, &hash, most)).await?;
    Ok(json(&body))
}

/// The newest ops of a period on a branch, oldest first: `{index, type, path, data}`.
fn newest_ops(state: &Reader, journal: &Journal, branch: BranchNo, hash: &str, most: usize) -> Result<Value, ApiError> {
    let snapshot = state.snapshot();
    let Some(tip) = snapshot.tip(branch)? else { return Ok(json!([])) };
    let mut newest: Vec<Value> = Vec::new();
    let mut bytes = 0;
    let batches = snapshot.batches(branch, 0, tip.batch.node.version).rev();
    'batches: for batch in batches.skip_while(|batch| batch.as_ref().is_ok_and(|batch| batch.period.as_str() != hash)) {
        let batch = batch?;
        if batch.period.as_str() != hash || newest.len() >= most || bytes > MAX_OP_BYTES {
            break;
        }
        let mut body = Vec::new();
        for piece in &batch.pieces {
            match journal.body_into(*piece, &mut body) {
                // What follows is older, and gone too.
                Err(JournalError::Trimmed { .. }) => break 'batches,
                read => read?,
            }
        }
        bytes += body.len();
        let texts: Result<Vec<&[u8]>, _> = op::texts(&body).collect();
        for (i, text) in texts.map_err(|error| ApiError::internal(&error))?.iter().enumerate().rev() {
            let mut op: Value = serde_json::from_slice(text).unwrap_or_else(|_| String::from_utf8_lossy(text).into());
            if let Some(fields) = op.as_object_mut() {
                fields.insert("index".into(), (batch.seq + i as u64).into());
            }
            newest.push(op);
        }
    }
    newest.truncate(most);
    newest.reverse();
    Ok(newest.into())
}

/// The period that a name means. A fork's id means its newest period, which comes first.
fn period<'a>(status: &'a Status, id: &str) -> Result<&'a PeriodStatus, ApiError> {
    let by_hash: Vec<_> = status.periods.iter().filter(|period| period.hash.as_str() == id).collect();
    if by_hash.len() > 1 {
        let candidates = by_hash.iter().map(|period| period.tip.to_string()).collect();
        return Err(ApiError::ambiguous_fork(id, candidates));
    }
    let by_batch = |period: &&PeriodStatus| period.tip.to_string() == id || period.fork.to_string() == id;
    let found = by_hash.first().copied().or_else(|| status.periods.iter().find(by_batch));
    found.ok_or_else(|| ApiError::not_found("no recent period or fork has this name"))
}

/// `GET /api/query/forks`: every live history; `canonical` is the head's.
pub(super) async fn list(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let (name, network) = web.network(query.get("network"))?;
    let status = Arc::clone(&network.status.borrow());
    Ok(json(&json!({
        "network": name,
        "canonical": status.head.as_ref().map(|head| head.fork),
        "active": status.forks.iter().map(|fork| fork.tip.fork).collect::<Vec<_>>(),
        "forks": status.forks,
        "total": status.forks.len(),
        "verdicts": status.verdicts,
    })))
}
