//! What this node says it has.

use super::Held;
use super::period::{Headers, History, end};
use crate::fork::record::Node;
use crate::projection::state::kv::Fjall;
use crate::projection::state::reader::Snapshot;
use crate::projection::state::{Batch, StateError};
use honeygraph_protocols::swarm::names::{Label, NetworkName, Software};
use honeygraph_protocols::swarm::status::{
    Base, CAN_GOSSIP, CAN_SERVE, Checkpoint, Head, Held as Range, NetworkStatus, Request, Status,
};
use honeygraph_protocols::swarm::wire::List;
use std::collections::BTreeMap;

/// Periods looked at behind a hole that was given up: what lies before it is not a whole history.
const BROKEN_LOOK: u32 = 256;

/// The answer to a status request.
pub fn status(
    held: &BTreeMap<NetworkName, Held>,
    headers: &mut BTreeMap<NetworkName, Headers>,
    request: &Request,
) -> Result<Status, StateError> {
    let wanted = |held: &&Held| request.networks.is_empty() || request.networks.contains(&held.network);
    let mut of = |held: &Held| network(held, headers.entry(held.network.clone()).or_default());
    let networks = held.values().filter(wanted).map(&mut of).collect::<Result<Vec<_>, _>>()?;
    Ok(Status {
        software: Software::new(concat!("honeygraph/", env!("CARGO_PKG_VERSION"))).expect("our own name"),
        capabilities: CAN_SERVE | CAN_GOSSIP,
        networks: List::first_of(networks),
    })
}

/// Where a head stands.
pub fn head(batch: &Batch) -> Head {
    Head { period: opening(batch), next: end(batch), batch: batch.id }
}

fn network(held: &Held, headers: &mut Headers) -> Result<NetworkStatus, StateError> {
    let snapshot = held.state.snapshot();
    let network = held.network.clone();
    let Some(tip) = snapshot.head()? else {
        let (base, held) = (Base::None, List::default());
        return Ok(NetworkStatus { network, base, held, head: None, verified: None, confirmed: None });
    };
    let proofs = held.status.borrow().proofs.clone();
    let checkpoint = |label: Option<u64>| match label {
        Some(label) => opened_at(&snapshot, tip.node, label),
        None => Ok(None),
    };
    Ok(NetworkStatus {
        base: base(held, &snapshot, &tip)?,
        held: List::first_of(ranges(held, headers, &snapshot, &tip)?),
        head: Some(head(&tip)),
        verified: checkpoint(proofs.verified_at)?,
        confirmed: checkpoint(proofs.confirmed_at)?,
        network,
    })
}

fn base(held: &Held, snapshot: &Snapshot<Fjall>, tip: &Batch) -> Result<Base, StateError> {
    if let Some(node) = snapshot.based(tip.node) {
        let batch = snapshot.batch(node)?;
        return Ok(batch.map_or(Base::None, |batch| Base::Root(opening(&batch))));
    }
    Ok(if snapshot.complete(held.network.as_str(), tip)? { Base::Genesis } else { Base::None })
}

/// The closed periods of the head's history, as one range: an unbroken history has no holes.
fn ranges(
    held: &Held,
    headers: &mut Headers,
    snapshot: &Snapshot<Fjall>,
    tip: &Batch,
) -> Result<Vec<Range>, StateError> {
    let first_open = snapshot.batches_of(tip.node, tip.period.as_str(), usize::MAX)?;
    let Some(before) = first_open.and_then(|batches| batches.first().and_then(|first| first.prev)) else {
        return Ok(Vec::new());
    };
    let Some(newest) = snapshot.batch(before)? else { return Ok(Vec::new()) };
    let to = opening(&newest);
    if tip.unbroken
        && let Some(root) = snapshot.chain(tip.node).last().copied()
        && let Some(first) = snapshot.batches(root.branch, 0, root.version).next().transpose()?
    {
        let from = opening(&first);
        let periods = match (from.label, to.label) {
            (Some(from), Some(to)) => to.get().saturating_sub(from.get()) / held.rules.checkpoint_every + 1,
            _ => 1,
        };
        return Ok(vec![Range { from, to, periods: u32::try_from(periods).unwrap_or(u32::MAX) }]);
    }
    let of = History { network: &held.network, rules: held.rules, snapshot, tip: tip.node };
    let (mut from, mut periods, mut open) = (None, 0, Some(newest.period));
    while let Some(hash) = open.take().filter(|_| periods < BROKEN_LOOK) {
        let Some(closed) = headers.closed(of, &hash)? else { break };
        from = Some(Checkpoint { hash, label: closed.header.label });
        periods += 1;
        open = closed.header.prev;
    }
    Ok(from.map(|from| Range { from, to, periods }).into_iter().collect())
}

fn opening(batch: &Batch) -> Checkpoint {
    Checkpoint { hash: batch.period.clone(), label: batch.opening_label.and_then(Label::new) }
}

/// The checkpoint of this block on a history.
fn opened_at(snapshot: &Snapshot<Fjall>, tip: Node, label: u64) -> Result<Option<Checkpoint>, StateError> {
    let at = snapshot.at_label(tip, label)?;
    Ok(at.map(|at| opening(&at.batch)).filter(|at| at.label.is_some_and(|its| its.get() == label)))
}
