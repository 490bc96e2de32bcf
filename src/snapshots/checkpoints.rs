//! Which checkpoints there could be a snapshot of: read from the state and from what is proven.
//!
//! *Always holds:* a checkpoint is described by the last batch before it, on one history; nothing is guessed: what the state
//! has not applied, or has no label, is none.

use super::about::About;
use crate::fork::proofs::Proofs;
use crate::fork::record::Node;
use crate::projection::state::kv::Kv;
use crate::projection::state::reader::Snapshot;
use crate::projection::state::{Batch, Chain, FORMAT, StateError};

/// The tips of the live histories, the head's first, each with its chain.
pub fn histories<K: Kv>(state: &Snapshot<K>) -> Result<Vec<(Node, Chain)>, StateError> {
    let Some(head) = state.head()? else { return Ok(Vec::new()) };
    let mut found = vec![(head.node, state.chain(head.node))];
    for fork in state.forks() {
        let fork = fork?;
        let tip = fork.tip.filter(|tip| fork.row.live && tip.batch.node != head.node);
        found.extend(tip.map(|tip| (tip.batch.node, state.chain(tip.batch.node))));
    }
    Ok(found)
}

/// The newest confirmed checkpoint of each live history, the head's first.
pub fn confirmed<K: Kv>(state: &Snapshot<K>, proofs: &Proofs) -> Result<Vec<About>, StateError> {
    let mut found: Vec<About> = Vec::new();
    for (_, chain) in histories(state)? {
        let Some((opener, _)) = proofs.confirmed(&chain) else { continue };
        let Some(opener) = state.batch(opener)? else { continue };
        if let Some(about) = before(state, proofs, &chain, &opener)?
            && !found.iter().any(|other| other.hash == about.hash)
        {
            found.push(about);
        }
    }
    Ok(found)
}

/// A checkpoint of the head's history: with this hash, at this block, or the newest.
pub fn named<K: Kv>(
    state: &Snapshot<K>,
    proofs: &Proofs,
    block: Option<u64>,
    hash: Option<&str>,
) -> Result<Option<About>, StateError> {
    let Some(head) = state.head()? else { return Ok(None) };
    let chain = state.chain(head.node);
    let within = match (hash, block) {
        (Some(hash), _) => state.period(head.node, hash)?,
        (None, Some(block)) => state.at_label(head.node, block)?.map(|found| found.batch),
        (None, None) => Some(head),
    };
    let Some(within) = within.filter(|batch| block.is_none_or(|block| batch.opening_label == Some(block))) else {
        return Ok(None);
    };
    let opener = first_of_period(state, within)?;
    before(state, proofs, &chain, &opener)
}

/// The first batch of a batch's period on its history: a fork inside a period began on the branch below.
fn first_of_period<K: Kv>(state: &Snapshot<K>, batch: Batch) -> Result<Batch, StateError> {
    let mut first = state.first_of_period(&batch)?;
    while let Some(prev) = first.prev {
        match state.batch(prev)?.filter(|older| older.period == first.period) {
            Some(older) => first = state.first_of_period(&older)?,
            None => break,
        }
    }
    Ok(first)
}

/// The checkpoint that opened the period of this batch, its first.
fn before<K: Kv>(
    state: &Snapshot<K>,
    proofs: &Proofs,
    chain: &Chain,
    opener: &Batch,
) -> Result<Option<About>, StateError> {
    let (Some(prev), Some(label)) = (opener.prev, opener.opening_label) else { return Ok(None) };
    let Some(batch) = state.batch(prev)? else { return Ok(None) };
    let fork = state.branch(prev.branch)?.and_then(|row| row.first).map_or(batch.id, |(_, id)| id);
    let standing = proofs.standing(chain, prev);
    Ok(Some(About {
        label,
        hash: opener.period.to_string(),
        fork: fork.to_string(),
        batch: batch.id.to_string(),
        node: prev,
        // Known once the state stands still.
        cursor: 0,
        verified: standing.verified,
        confirmed: standing.confirmed.map(|by| by.word().to_owned()),
        at_ms: 0,
        software: env!("CARGO_PKG_VERSION").to_owned(),
        format: FORMAT,
    }))
}
