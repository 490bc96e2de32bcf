//! Hands what the planner has checked to the core of a network, and says when it is durable.
//!
//! *Always holds:* one supply after the other, in the order of the planner.

use super::own::History;
use super::sync::Supply;
use super::sync::check::Checked;
use crate::fork::record::Node;
use crate::fork::supply::{
    Order, SUPPLY_BATCHES, SUPPLY_BYTES, Start, SuppliedBatch, SuppliedPeriod, Supply as ToCore,
};
use crate::journal::packed;
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use std::collections::VecDeque;
use tokio::sync::{mpsc, oneshot, watch};

/// Supplies of which the last batch is remembered: the next one stands on one of them.
const REMEMBERED: usize = 256;

/// Why a supply was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SupplierError {
    /// What the planner had checked is no batch to the core: they differ in a bound.
    #[error("a batch that was checked is refused: {0}")]
    Packed(#[from] packed::PackedError),
    /// The core refused it.
    #[error("the core refuses it: {0}")]
    Refused(&'static str),
    /// The core has stopped.
    #[error("the core has stopped")]
    Stopped,
}

/// Supplies one network.
pub struct Supplier {
    orders: mpsc::Sender<Order>,
    applied: watch::Receiver<u64>,
    last: VecDeque<Supplied>,
}

/// The last batch of a period that was supplied, and the hash that closes the period when it is whole.
struct Supplied {
    open: HashText,
    batch: BatchId,
    at: Option<Node>,
    closed: Option<HashText>,
}

impl Supplier {
    /// To this core.
    pub fn new(orders: mpsc::Sender<Order>, applied: watch::Receiver<u64>) -> Self {
        Self { orders, applied, last: VecDeque::new() }
    }

    /// Which record the state shows.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.clone()
    }

    /// Supplies these batches, which stand there ([`Supplier::start`]): durable now; which record the state has to show until
    /// all of them are in it.
    pub async fn supply(&mut self, supply: Supply, mut start: Start) -> Result<u64, SupplierError> {
        let Supply { open, label, period, batches, last, from, .. } = supply;
        let close = period.filter(|_| last).map(|period| period.close_hash);
        let (source, label) = (from.to_string(), label.map(|label| label.get()));
        let mut parts = parts(batches).into_iter().peekable();
        let mut version = 0;
        while let Some(part) = parts.next() {
            let Some(newest) = part.last().map(|newest| newest.id) else { continue };
            let closed = close.clone().filter(|_| parts.peek().is_none());
            let whole = closed.clone();
            // Unpacking and hashing take a while.
            let unpacked = move || part.into_iter().map(supplied).collect::<Result<Vec<_>, SupplierError>>();
            let batches = tokio::task::spawn_blocking(unpacked).await.map_err(|_| SupplierError::Stopped)??;
            let periods = vec![SuppliedPeriod { hash: open.clone(), label, batches, closed }];
            let (reply, taken) = oneshot::channel();
            let order = Order { supply: ToCore { source: source.clone(), start, periods }, reply };
            self.orders.send(order).await.map_err(|_| SupplierError::Stopped)?;
            let taken = taken.await.map_err(|_| SupplierError::Stopped)?;
            if let Some(why) = taken.refused {
                return Err(SupplierError::Refused(why));
            }
            version = taken.at.map_or(version, |at| at.version.max(version));
            self.remember(Supplied { open: open.clone(), batch: newest, at: taken.at, closed: whole });
            start = Start::Behind { period: open.clone(), batch: newest, at: taken.at };
        }
        Ok(version)
    }

    /// Where a supply stands, `here` being what is held. None: what it stands on is not here (yet).
    ///
    /// Failed once: what a refused supply would have ended was gone on with from where it stood.
    pub fn start(&self, supply: &Supply, here: &History) -> Option<Start> {
        let open = &supply.open;
        if let Some(batch) = supply.after {
            // The core knows a batch of the period by its id; which one, when several histories have it, is noted.
            let supplied = self.last.iter().rev().find(|supplied| supplied.batch == batch);
            let held = || here.last_of(open).filter(|(last, ..)| *last == batch).map(|(_, node, _)| node);
            let at = supplied.map_or_else(held, |supplied| supplied.at);
            return Some(Start::Behind { period: open.clone(), batch, at });
        }
        // The period that this one's opening hash closed, supplied up to its end.
        let ended = |supplied: &&Supplied| {
            supplied.closed.as_ref() == Some(open) && supply.prev.as_ref().is_none_or(|prev| *prev == supplied.open)
        };
        if let Some(Supplied { open, batch, at, .. }) = self.last.iter().rev().find(ended) {
            return Some(Start::Behind { period: open.clone(), batch: *batch, at: *at });
        }
        if here.opens(open) {
            let before = supply.prev.as_ref().and_then(|prev| Some((prev, here.last_of(prev)?)));
            let behind = |(prev, (batch, node, _)): (&HashText, (BatchId, Node, u64))| Start::Behind {
                period: prev.clone(),
                batch,
                at: Some(node),
            };
            return Some(before.map_or(Start::Held, behind));
        }
        let first = supply.leads_to.clone().map_or(Start::First, Start::Before);
        supply.begins.then_some(first)
    }

    fn remember(&mut self, supplied: Supplied) {
        // The end of a period stays beside how far another of its histories has come.
        self.last.retain(|held| held.open != supplied.open || held.closed != supplied.closed);
        self.last.push_back(supplied);
        if self.last.len() > REMEMBERED {
            self.last.pop_front();
        }
    }
}

/// Cuts batches into what one order may hold.
fn parts(batches: Vec<Checked>) -> Vec<Vec<Checked>> {
    let mut parts: Vec<Vec<Checked>> = Vec::new();
    let mut bytes = 0;
    for batch in batches {
        bytes += batch.bytes();
        match parts.last_mut().filter(|part| part.len() < SUPPLY_BATCHES && bytes <= SUPPLY_BYTES) {
            Some(part) => part.push(batch),
            None => {
                bytes = batch.bytes();
                parts.push(vec![batch]);
            }
        }
    }
    parts
}

fn supplied(batch: Checked) -> Result<SuppliedBatch, SupplierError> {
    let frames = batch.frames.into_iter().map(|frame| frame.bytes).collect();
    Ok(SuppliedBatch {
        seq: batch.line.seq,
        label: batch.line.label.map(|label| label.get()),
        marker: batch.line.marker,
        ops: packed::frames(frames)?,
    })
}
