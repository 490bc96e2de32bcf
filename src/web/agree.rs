//! What the closed blocks are, here and with connected peers.
//!
//! *Always holds:* a block is spoken of only once it is closed; a peer holds a hash when it gives the header of a period that
//! this hash closes, at that block; agreement is what was asked for and nothing that this node follows (that takes a trusted
//! hash); at most [`MAX_ASKED`] peers are asked, for at most [`ASKING`] requests at a time.

use super::admin::parse;
use super::answer::{ApiError, json};
use super::point::Point;
use super::query::{Body, Query, block_number};
use super::read::large;
use super::{Networked, Web};
use crate::projection::state::StateError;
use crate::swarm::Swarm;
use crate::swarm::host::Protocol;
use crate::swarm::sync::check;
use axum::extract::{Path, State};
use axum::response::Response;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Answer, HeadersWanted, Request, Walk};
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::wire::Message;
use libp2p::PeerId;
use libp2p::futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Blocks of one answer.
const MAX_BLOCKS: usize = 100;
/// Peers asked (`maxPeers` of the seeds).
const MAX_ASKED: usize = 10;
/// Requests for which peers are asked at a time; more are told to come back.
pub const ASKING: usize = 4;

/// `GET /api/sync/blocks?from=&to=`: `[{blockNum, hash, operations}]`, the newest closed blocks, oldest first.
pub(super) async fn blocks(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let (_, network) = web.network(query.get("network"))?;
    let (from, to) = (query.number("from")?.unwrap_or(0), query.number("to")?.unwrap_or(u64::MAX));
    let network = network.clone();
    let found = large(move || Ok(closed(&network, from, to)?)).await?;
    Ok(json(&found))
}

fn closed(network: &Networked, from: u64, to: u64) -> Result<Vec<Value>, StateError> {
    let snapshot = network.state.snapshot();
    let Some(head) = snapshot.head()? else { return Ok(Vec::new()) };
    let (mut found, mut number) = (Vec::new(), Some(to));
    while let Some(upto) = number.filter(|_| found.len() < MAX_BLOCKS) {
        let Some(label) = snapshot.at_label(head.node, upto)?.and_then(|at| at.batch.label) else { break };
        if label < from {
            break;
        }
        let batches = snapshot.block(head.node, label)?;
        let after = batches.last().map(|last| snapshot.after(head.node, last.node)).transpose()?.flatten();
        if let (Some(after), Some(last)) = (after, batches.last()) {
            let hash = Some(&after.period).filter(|opened| **opened != last.period);
            let operations: u64 = batches.iter().map(|batch| batch.count).sum();
            found.push(json!({ "blockNum": label, "hash": hash, "operations": operations }));
        }
        number = label.checked_sub(1);
    }
    found.reverse();
    Ok(found)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verify {
    block_num: u64,
    expected_hash: String,
    network: Option<String>,
}

/// `POST /api/sync/verify {blockNum, expectedHash}`
pub(super) async fn verify(State(web): State<Arc<Web>>, _: Query, Body(body): Body) -> Result<Response, ApiError> {
    let Verify { block_num, expected_hash, network } = parse(&body)?;
    let expected = HashText::new(&expected_hash).ok_or_else(|| ApiError::bad_request("expectedHash is no hash"))?;
    let query = Query::of(network.into_iter().map(|network| ("network".to_owned(), network)).collect());
    let (name, _) = web.network(query.get("network"))?;
    let swarm = web.swarm.as_ref().ok_or_else(ApiError::sync_not_enabled)?;
    let own = own(&web, &query, block_num);
    let said = ask_around(swarm, name, &expected, own.as_ref().map_or(block_num, |own| own.block)).await?;
    let actual = match own {
        Ok(own) => Some(own.hash.ok_or_else(|| ApiError::not_found("this block is not closed"))?),
        Err(error) if said.holding.is_empty() => return Err(error),
        Err(_) => None,
    };
    Ok(json(&json!({
        "network": name,
        "blockNum": block_num,
        "expectedHash": expected,
        "actualHash": actual,
        "match": actual.as_ref() == Some(&expected),
        "agreeing": said.holding.len(),
        "total": said.asked,
    })))
}

/// `GET /api/sync/consensus/:block`
pub(super) async fn consensus(
    State(web): State<Arc<Web>>,
    Path(number): Path<String>,
    query: Query,
) -> Result<Response, ApiError> {
    let number = block_number(&number)?;
    let (name, _) = web.network(query.get("network"))?;
    let swarm = web.swarm.as_ref().ok_or_else(ApiError::sync_not_enabled)?;
    let own = own(&web, &query, number)?;
    let hash = own.hash.ok_or_else(|| ApiError::not_found("this block is not closed"))?;
    let said = ask_around(swarm, name, &hash, own.block).await?;
    let holding = said.holding.len();
    if holding < swarm.required || holding * 2 <= said.asked {
        let text = format!("{holding} of {} peers hold this block", said.asked);
        return Err(ApiError::not_found(text));
    }
    Ok(json(&json!({
        "network": name,
        "blockNum": own.block,
        "consensus": {
            "blockHash": hash,
            "peers": said.holding.iter().map(PeerId::to_string).collect::<Vec<_>>(),
            "confidence": holding as f64 / said.asked as f64,
        },
    })))
}

/// A block of the head's history, and the hash that closes its period, when it does.
struct Own {
    block: u64,
    hash: Option<HashText>,
}

fn own(web: &Web, query: &Query, number: u64) -> Result<Own, ApiError> {
    let (point, resolved) = Point::history(web, query)?.at_block(number)?;
    let after = point.snapshot.after(point.history, point.batch.node)?;
    let hash = after.filter(|after| after.period != point.batch.period).map(|after| after.period);
    Ok(Own { block: resolved.block, hash })
}

/// Peers that were asked, and those that hold it.
struct Said {
    asked: usize,
    holding: Vec<PeerId>,
}

/// Which connected peers hold the period that this hash closes, at this block.
async fn ask_around(swarm: &Swarm, network: &str, hash: &HashText, block: u64) -> Result<Said, ApiError> {
    let _room = swarm.asking.try_acquire().map_err(|_| ApiError::busy())?;
    let network =
        NetworkName::new(network).ok_or_else(|| ApiError::not_found("no peer knows a network of this name"))?;
    let wanted = HeadersWanted { network: network.clone(), from: hash.clone(), walk: Walk::Back, most: 1 };
    let request = Request::Headers(wanted).encode().ok_or_else(|| ApiError::bad_request("this hash is too long"))?;
    let peers = swarm.handle.seen().borrow().peers.clone();
    let asked: Vec<PeerId> = peers
        .into_iter()
        .filter(|(_, peer)| peer.answers)
        .map(|(id, _)| id)
        .filter(|id| swarm.inside.has_id(id))
        .take(MAX_ASKED)
        .collect();
    let holds = |answer: Vec<u8>| match Answer::decode(&answer) {
        Ok(Answer::Headers(headers)) => {
            let labelled = headers.first().is_some_and(|header| header.label.is_none_or(|label| label.get() == block));
            labelled && check::walk_back(&network, hash, None, &headers).is_ok()
        }
        Ok(_) | Err(_) => false,
    };
    let (holds, request) = (&holds, &request);
    let answers = asked.iter().map(|peer| async move {
        let answer = swarm.handle.ask(*peer, Protocol::Blocks, request.clone()).await;
        answer.is_ok_and(holds).then_some(*peer)
    });
    let holding = join_all(answers).await.into_iter().flatten().collect();
    Ok(Said { asked: asked.len(), holding })
}
