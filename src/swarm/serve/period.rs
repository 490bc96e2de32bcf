//! A period as it is served: its batches on one history, and the header over them.
//!
//! *Always holds:* what is served is whole (its first batch at place 0, no place missing), so its header proves it; the
//! header of a closed period never changes and is made once.

use crate::fork::record::Node;
use crate::fork::rules::Rules;
use crate::projection::state::kv::Fjall;
use crate::projection::state::reader::Snapshot;
use crate::projection::state::{Batch, StateError};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{self, CloseKind, Header};
use honeygraph_protocols::swarm::names::{Label, NetworkName};
use std::collections::{BTreeMap, VecDeque};

/// Headers remembered: two weeks of one network, about 2 MB.
const HEADERS: usize = 4_096;

/// A closed period, found.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Its header.
    pub header: Header,
    /// The batch before its first.
    pub before: Option<Node>,
    /// First batch of the next period.
    pub next: Node,
}

/// Headers that were made.
#[derive(Debug, Default)]
pub struct Headers {
    /// By the batch that follows the period: it names the history as well.
    made: BTreeMap<Node, Option<Closed>>,
    order: VecDeque<Node>,
    /// Batches looked at since this was last read.
    pub looked: u64,
}

/// A history of a network in which something is looked for.
#[derive(Clone, Copy)]
pub struct History<'a> {
    /// The network.
    pub network: &'a NetworkName,
    /// Its numbers.
    pub rules: Rules,
    /// The state.
    pub snapshot: &'a Snapshot<Fjall>,
    /// Its last batch.
    pub tip: Node,
}

impl Headers {
    /// The period with this opening hash on a history, when it is closed and whole.
    pub fn closed(&mut self, of: History<'_>, open: &HashText) -> Result<Option<Closed>, StateError> {
        let Some(last) = of.snapshot.period(of.tip, open.as_str())? else { return Ok(None) };
        self.looked += 1;
        let Some(next) = of.snapshot.after(of.tip, last.node)? else { return Ok(None) };
        if let Some(made) = self.made.get(&next.node) {
            return Ok(made.clone());
        }
        let most = blocks::MAX_PERIOD_BATCHES as usize;
        let batches = of.snapshot.batches_of(of.tip, open.as_str(), most)?;
        self.looked += batches.as_ref().map_or(most, Vec::len) as u64;
        let made = match batches {
            Some(batches) if is_whole(&batches) => header(of, &batches, &next)?,
            _ => None,
        };
        self.remember(next.node, made.clone());
        Ok(made)
    }

    fn remember(&mut self, at: Node, made: Option<Closed>) {
        self.made.insert(at, made);
        self.order.push_back(at);
        if self.order.len() > HEADERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.made.remove(&oldest);
        }
    }
}

/// Whether no place is missing before, in or between these batches.
pub fn is_whole(batches: &[Batch]) -> bool {
    let mut next = 0;
    batches.iter().all(|batch| {
        let follows = batch.seq == next;
        next = end(batch);
        follows
    }) && !batches.is_empty()
}

/// Place of the item that follows a batch.
pub fn end(batch: &Batch) -> u64 {
    batch.seq + batch.count + u64::from(batch.marker)
}

fn header(of: History<'_>, batches: &[Batch], next: &Batch) -> Result<Option<Closed>, StateError> {
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Ok(None) };
    let before = first.prev;
    let prev = match before {
        Some(node) => of.snapshot.batch(node)?.map(|batch| batch.period),
        None => None,
    };
    let label = first.opening_label;
    // After the daily accounting the day's root is saved instead of a delta.
    let root = label.is_some_and(|label| of.rules.has_second_run(label));
    let header = Header {
        network: of.network.clone(),
        open_hash: first.period.clone(),
        label: label.and_then(Label::new),
        prev,
        close_hash: next.period.clone(),
        close_kind: if root { CloseKind::Root } else { CloseKind::Delta },
        count: batches.len() as u32,
        ops: batches.iter().map(|batch| batch.count).sum(),
        last_batch_id: last.id,
        batch_ids_hash: blocks::batch_ids_hash(batches.iter().map(|batch| &batch.id)),
    };
    Ok(Some(Closed { header, before, next: next.node }))
}
