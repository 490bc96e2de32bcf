//! The oldest batch that has to be kept.
//!
//! *Always holds:* whole periods, so that what is kept of a checkpoint can be recomputed; what a live fork does not share
//! with the head's history is kept whole, and the period in which it leaves; the prover has passed what goes.

use super::Keep;
use super::room::DAY_MS;
use crate::fork::record::{Lsn, Node};
use crate::projection::state::kv::Kv;
use crate::projection::state::reader::Snapshot;
use crate::projection::state::{Batch, StateError, common};

/// Periods looked through at most: ten years of five minutes.
const MOST_PERIODS: u64 = 1_100_000;

/// The oldest batch that has to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Its version.
    pub version: Lsn,
    /// When the oldest batch that the operator's word asks for was chained.
    pub at_ms: u64,
    /// What keeps more than that.
    pub held_by: Option<String>,
}

/// The oldest batch to be kept; none while that is everything. `proven` is the record up to which checkpoints are proven.
pub fn horizon<K: Kv>(
    snapshot: &Snapshot<K>,
    keep: Keep,
    proven: Lsn,
    now_ms: u64,
) -> Result<Option<Horizon>, StateError> {
    let Some(head) = snapshot.head()? else { return Ok(None) };
    let node = head.node;
    let Some(oldest) = asked_for(snapshot, head, keep, now_ms)? else { return Ok(None) };
    let mut horizon = Horizon { version: oldest.node.version, at_ms: oldest.at_ms, held_by: None };
    if proven < horizon.version {
        (horizon.version, horizon.held_by) = (proven, Some("checkpoints that are not recomputed yet".into()));
    }
    let chain = snapshot.chain(node);
    for fork in snapshot.forks() {
        let fork = fork?;
        let Some(tip) = fork.tip.filter(|_| fork.row.live) else { continue };
        let shared = common(&snapshot.chain(tip.batch.node), &chain);
        if shared == Some(tip.batch.node) {
            continue;
        }
        let from = match shared.map(|node| snapshot.batch(node)).transpose()?.flatten() {
            Some(batch) => period_start(snapshot, batch)?.node.version,
            None => 0,
        };
        if from < horizon.version {
            let name = fork.row.first.map_or_else(|| fork.branch.to_string(), |(_, id)| id.to_string());
            (horizon.version, horizon.held_by) = (from, Some(format!("fork {name}")));
        }
    }
    Ok(Some(horizon))
}

/// The first batch of the oldest period that the operator's word asks for.
fn asked_for<K: Kv>(snapshot: &Snapshot<K>, head: Batch, keep: Keep, now_ms: u64) -> Result<Option<Batch>, StateError> {
    let mut start = period_start(snapshot, head)?;
    for closed in 0..MOST_PERIODS {
        let enough = match keep {
            Keep::Full => return Ok(None),
            Keep::Checkpoints(wanted) => closed >= wanted,
            Keep::Days(days) => start.at_ms <= now_ms.saturating_sub(days.saturating_mul(DAY_MS)),
        };
        if enough {
            return Ok(Some(start));
        }
        match before(snapshot, &start)? {
            Some(before) => start = period_start(snapshot, before)?,
            None => return Ok(None),
        }
    }
    Ok(None)
}

fn before<K: Kv>(snapshot: &Snapshot<K>, batch: &Batch) -> Result<Option<Batch>, StateError> {
    batch.prev.map_or(Ok(None), |prev: Node| snapshot.batch(prev))
}

/// The first batch of a batch's period on its history.
pub(super) fn period_start<K: Kv>(snapshot: &Snapshot<K>, batch: Batch) -> Result<Batch, StateError> {
    let mut first = snapshot.first_of_period(&batch)?;
    // A fork inside a period: it began on the branch below.
    while let Some(older) = before(snapshot, &first)?.filter(|older| older.period == first.period) {
        first = snapshot.first_of_period(&older)?;
    }
    Ok(first)
}

/// A batch of about so long ago on the head's history, or its oldest: where growth is measured from.
pub(super) fn long_ago<K: Kv>(snapshot: &Snapshot<K>, at_ms: u64) -> Result<Option<Batch>, StateError> {
    let Some(head) = snapshot.head()? else { return Ok(None) };
    let mut start = period_start(snapshot, head)?;
    for _ in 0..MOST_PERIODS {
        match before(snapshot, &start)? {
            Some(before) if start.at_ms > at_ms => start = period_start(snapshot, before)?,
            _ => break,
        }
    }
    Ok(Some(start))
}
