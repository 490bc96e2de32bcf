//! The swarm as readers see it: peers, gaps, what is fetched; and sources of peers that are added while it runs.
//!
//! *Always holds:* what somebody adds who may give no orders is dialled when it is a public address, and nothing else is done
//! with it.

use super::admin::parse;
use super::answer::{ApiError, json};
use super::query::{Body, Query};
use super::who::{self, OrdersAll};
use super::{Networked, Web};
use crate::swarm::host::Peer;
use crate::swarm::sync::progress::{Phase, Progress};
use crate::swarm::task::Shown;
use crate::swarm::{Pictures, Swarm};
use axum::extract::State;
use axum::response::Response;
use honeygraph_bootstrap::address::{self, Reach};
use honeygraph_bootstrap::source::Source;
use libp2p::PeerId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Peers that one `discover` may name.
const MAX_DISCOVERED: usize = 64;

/// `GET /api/sync/status?from=&to=`
pub(super) async fn status(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let (name, network) = web.network(query.get("network"))?;
    let (from, to) = (query.number("from")?, query.number("to")?);
    let Some(swarm) = &web.swarm else { return Err(ApiError::sync_not_enabled()) };
    let seen = swarm.handle.seen().borrow().clone();
    let search = swarm.search.borrow().clone();
    let shown = swarm.shown.borrow().clone();
    let gaps = gaps_between(network, from, to);
    let head = network.status.borrow().head.as_ref().and_then(|head| head.label);
    let progress = shown.networks.get(name);
    Ok(json(&json!({
        "network": name,
        "peerId": swarm.handle.us().to_string(),
        "addresses": seen.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "isSyncing": progress.is_some_and(fetches),
        "lastSyncBlock": head,
        "peers": seen.peers.iter().map(|(id, peer)| described(id, peer, &shown)).collect::<Vec<_>>(),
        "progress": progress,
        "offences": shown.offences,
        "votes": swarm.votes.borrow().get(name),
        "pictures": swarm.pictures.get(name).map(pictured),
        "missing": gaps.iter().map(|(start, ..)| *start).collect::<Vec<_>>(),
        "available": !seen.peers.is_empty(),
        "alone_since_ms": search.alone_since_ms,
        "next_search_ms": search.next_ms,
        "sources": search.sources.iter().map(|(source, found)| match found {
            Ok(addresses) => json!({ "source": source, "addresses": addresses }),
            Err(error) => json!({ "source": source, "error": error }),
        }).collect::<Vec<_>>(),
        "remembered": search.remembered,
        "trouble": seen.trouble,
    })))
}

/// Pictures here, and the one that is fetched.
fn pictured(pictures: &Pictures) -> Value {
    let held = pictures.held.borrow().clone();
    let about = held.pictures.iter().map(|picture| {
        let bytes = picture.about().manifest.bytes;
        json!({ "root": picture.root(), "label": picture.label(), "bytes": bytes })
    });
    json!({
        "held": about.collect::<Vec<_>>(),
        "differs": held.differs,
        "fetched": pictures.fetched.borrow().as_ref(),
    })
}

/// Whether something is on its way.
pub(super) fn fetches(progress: &Progress) -> bool {
    matches!(progress.phase, Phase::Headers | Phase::Bodies)
}

/// A peer under all the names that the seeds give its fields.
fn described(id: &PeerId, peer: &Peer, shown: &Shown) -> Value {
    let known = shown.peers.get(id);
    json!({
        "id": id.to_string(),
        "nodeId": id.to_string(),
        "url": peer.address.to_string(),
        "version": peer.agent,
        "isAlive": true,
        "health": if peer.answers { "healthy" } else { "meeting point" },
        "reliability": known.map_or(1.0, |known| known.reliability),
        "heads": known.map(|known| known.heads.iter().filter(|(network, _)| who::allowed(network)).collect::<BTreeMap<_, _>>()),
        "lastSeen": iso(now_ms()),
        "outgoing": peer.outgoing,
        "connectedSince": iso(peer.since_ms),
    })
}

/// `GET /api/sync/peers`
pub(super) async fn peers(State(web): State<Arc<Web>>, _: Query) -> Result<Response, ApiError> {
    let swarm = web.swarm.as_ref().ok_or_else(ApiError::sync_not_enabled)?;
    let (seen, shown) = (swarm.handle.seen().borrow().clone(), swarm.shown.borrow().clone());
    Ok(json(&seen.peers.iter().map(|(id, peer)| described(id, peer, &shown)).collect::<Vec<_>>()))
}

/// `GET /api/sync/peers/status`: `{peers:[{url, status, lastSeen, lag}]}`
pub(super) async fn peers_status(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let (name, network) = web.network(query.get("network"))?;
    let swarm = web.swarm.as_ref().ok_or_else(ApiError::sync_not_enabled)?;
    let (seen, shown) = (swarm.handle.seen().borrow().clone(), swarm.shown.borrow().clone());
    let own = network.status.borrow().head.as_ref().and_then(|head| head.label);
    let now = iso(now_ms());
    let peers = seen.peers.iter().map(|(id, peer)| {
        let theirs = shown.peers.get(id).and_then(|known| known.heads.get(name).copied().flatten());
        // In blocks, behind the newest of us.
        let lag = own.max(theirs).zip(theirs).map(|(newest, theirs)| newest - theirs);
        json!({ "url": peer.address.to_string(), "status": "connected", "lastSeen": now, "lag": lag })
    });
    Ok(json(&json!({ "peers": peers.collect::<Vec<_>>() })))
}

/// `GET /api/honeygraph-peers`: `[{id, url}]`
pub(super) async fn short(State(web): State<Arc<Web>>, _: Query) -> Result<Response, ApiError> {
    let swarm = web.swarm.as_ref().ok_or_else(ApiError::sync_not_enabled)?;
    let seen = swarm.handle.seen().borrow().clone();
    let short = |(id, peer): (&PeerId, &Peer)| json!({ "id": id.to_string(), "url": peer.address.to_string() });
    Ok(json(&seen.peers.iter().map(short).collect::<Vec<_>>()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Added {
    url: String,
    #[serde(alias = "peerId")]
    node_id: Option<String>,
}

/// `POST /api/sync/peers {url, nodeId, version, capabilities}` or `{peerId, url}`
pub(super) async fn add(
    OrdersAll(trusted): OrdersAll,
    State(web): State<Arc<Web>>,
    _: Query,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let added: Added = parse(&body)?;
    let swarm = web.swarm.as_ref().ok_or_else(ApiError::sync_not_enabled)?;
    let source = Source::parse(&added.url).map_err(ApiError::bad_request)?;
    let peer = match &source {
        Source::Address(at) => address::peer(at).map(|peer| peer.to_string()),
        _ => None,
    };
    take(swarm, source, trusted).await?;
    Ok(json(&json!({ "success": true, "peerId": peer.or(added.node_id) })))
}

/// A source of the operator's is asked, now and whenever peers are few; of a stranger a public address is dialled.
async fn take(swarm: &Swarm, source: Source, trusted: bool) -> Result<(), ApiError> {
    match source {
        source if trusted => swarm.added.try_send(source).map_err(|_| ApiError::busy()),
        Source::Address(at) if address::reach(&at) == Reach::Public => {
            swarm.handle.dial(vec![at]).await;
            Ok(())
        }
        _ => Err(ApiError::forbidden(
            "from elsewhere only a public address of libp2p is taken, such as /ip4/203.0.113.7/tcp/4001/p2p/12D3Koo…",
        )),
    }
}

#[derive(Deserialize)]
struct Discover {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    url: String,
}

/// `POST /api/sync/discover {nodes:[{id, url}]}`
pub(super) async fn discover(State(web): State<Arc<Web>>, _: Query, Body(body): Body) -> Result<Response, ApiError> {
    let Discover { nodes } = parse(&body)?;
    let swarm = web.swarm.as_ref().ok_or_else(ApiError::sync_not_enabled)?;
    if nodes.len() > MAX_DISCOVERED {
        return Err(ApiError::bad_request(format!("at most {MAX_DISCOVERED} nodes")));
    }
    for node in nodes {
        take(swarm, Source::parse(&node.url).map_err(ApiError::bad_request)?, true).await?;
    }
    let total = swarm.handle.seen().borrow().peers.len();
    Ok(json(&json!({ "success": true, "totalPeers": total })))
}

/// `GET /api/sync/gaps?from=&to=`
pub(super) async fn gaps(State(web): State<Arc<Web>>, query: Query) -> Result<Response, ApiError> {
    let (name, network) = web.network(query.get("network"))?;
    let (from, to) = (query.number("from")?, query.number("to")?);
    let gaps = gaps_between(network, from, to);
    let total: u64 = gaps.iter().map(|gap| gap.2).sum();
    Ok(json(&json!({
        "network": name,
        "fromBlock": from,
        "toBlock": to,
        "gaps": gaps.iter().map(|(start, end, size)| json!({ "start": start, "end": end, "size": size })).collect::<Vec<_>>(),
        "totalMissing": total,
    })))
}

/// Holes as blocks: the label in which each lies, and how many operations are missing in it.
pub(super) fn gaps_between(network: &Networked, from: Option<u64>, to: Option<u64>) -> Vec<(u64, u64, u64)> {
    let status = network.status.borrow();
    let holes = status.gaps.iter().filter(|hole| hole.phase != "accepted").filter_map(|hole| {
        let label = hole.gap.label?;
        let inside = from.is_none_or(|from| label >= from) && to.is_none_or(|to| label <= to);
        inside.then(|| (label, label, hole.gap.to - hole.gap.from + 1))
    });
    holes.collect()
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// A time as the seeds write it: ISO 8601 in UTC with milliseconds.
fn iso(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    // Days since the epoch as a date (the civil calendar, counted in eras of 400 years from 0000-03-01).
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (date, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_the_seeds_write_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(iso(ms), text);
        }
    }
}
