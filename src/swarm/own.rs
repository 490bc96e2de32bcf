//! What is held here, as the planner asks for it: the periods of the head's history in order.
//!
//! *Always holds:* it shows one commit of the state, the one of the last [`History::refresh`]; when the head goes on, only
//! what is new is read.

use super::sync::Own;
use crate::fork::record::Node;
use crate::projection::state::kv::Fjall;
use crate::projection::state::reader::{Named, Snapshot};
use crate::projection::state::{Batch, StateError};
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::names::Label;
use honeygraph_protocols::swarm::status::{Checkpoint, Head};
use std::collections::BTreeMap;

/// A period of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Period {
    hash: HashText,
    label: Option<u64>,
    first: Node,
    /// Its last batch, as far as it was read.
    last: (BatchId, Node, u64),
}

/// The head's history.
#[derive(Clone, Debug, Default)]
pub struct History {
    periods: Vec<Period>,
    by_hash: BTreeMap<HashText, usize>,
    /// Hashes that close a period whose successor is not here: the period and its last batch.
    closing: BTreeMap<HashText, (HashText, BatchId)>,
}

/// Closing hashes remembered: one for each anchor in front of which a fetch ended.
const CLOSING: usize = 64;

/// The head's history with the state that it was read from, which knows the other histories, too.
#[derive(Default)]
pub struct Here {
    /// The history.
    pub history: History,
    /// What it begins with, while something may lie before it.
    begins: Option<Checkpoint>,
    snapshot: Option<Snapshot<Fjall>>,
}

impl Here {
    /// Reads on to where the head stands now. A journal whose oldest records were given up takes nothing before what is left.
    pub fn refresh(&mut self, snapshot: Snapshot<Fjall>, is_trimmed: bool) -> Result<(), StateError> {
        if self.history.refresh(&snapshot)? {
            self.begins = self.history.beginning(&snapshot).filter(|_| !is_trimmed);
        }
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// Whether a batch is on the head's history; a state that cannot be read says no, and stops the node elsewhere.
    fn finds(&self, batch: &BatchId) -> bool {
        let Some(snapshot) = &self.snapshot else { return false };
        let head = snapshot.head().ok().flatten();
        head.is_some_and(|head| matches!(snapshot.find(head.node, batch), Ok(Some(_))))
    }
}

impl Own for Here {
    fn reaches(&self, hash: &HashText) -> bool {
        let history = &self.history;
        let closes = |(open, last): &(HashText, BatchId)| history.last_of(open).is_some_and(|(id, ..)| id == *last);
        history.opens(hash) || history.closing.get(hash).is_some_and(closes)
    }

    /// Failed once: what a fork held that the head had left was fetched again, without an end.
    fn holds(&self, hash: &HashText) -> bool {
        let elsewhere = |snapshot: &Snapshot<Fjall>| !matches!(snapshot.named(hash.as_str()), Ok(Named::Unknown));
        // What closes a period was noted when the core had taken it.
        self.reaches(hash) || self.history.closing.contains_key(hash) || self.snapshot.as_ref().is_some_and(elsewhere)
    }

    fn has(&self, head: &Head) -> bool {
        let ends = |(last, next): (BatchId, u64)| head.next > next || (head.next == next && head.batch == last);
        match self.newest(&head.period.hash) {
            Some(newest) if ends(newest) => newest.0 == head.batch,
            _ => self.finds(&head.batch),
        }
    }

    fn begins(&self) -> Option<Checkpoint> {
        self.begins.clone()
    }

    fn is_empty(&self) -> bool {
        self.history.periods.is_empty()
    }

    fn newest(&self, open: &HashText) -> Option<(BatchId, u64)> {
        let newest = self.history.periods.last().filter(|newest| newest.hash == *open)?;
        Some((newest.last.0, newest.last.2))
    }

    fn checkpoints(&self) -> u64 {
        self.history.periods.len().saturating_sub(1) as u64
    }

    fn checkpoint(&self, nth: u64) -> Option<HashText> {
        self.history.periods.get(usize::try_from(nth).ok()?).map(|period| period.hash.clone())
    }
}

impl History {
    /// Reads on to where the head stands now; whether anything changed.
    pub fn refresh(&mut self, snapshot: &Snapshot<Fjall>) -> Result<bool, StateError> {
        let Some(head) = snapshot.head()? else { return Ok(false) };
        if self.periods.last().is_some_and(|newest| newest.last.1 == head.node) {
            return Ok(false);
        }
        let chain = snapshot.chain(head.node);
        let on_chain = |node: Node| chain.iter().any(|link| link.branch == node.branch && node.version <= link.version);
        // What the head left goes; a period whose end it left is read again.
        while let Some(newest) = self.periods.pop_if(|newest| !on_chain(newest.first)) {
            self.by_hash.remove(&newest.hash);
        }
        let from = self.periods.pop().map(|newest| {
            self.by_hash.remove(&newest.hash);
            newest.first
        });
        for link in chain.iter().rev().skip_while(|link| from.is_some_and(|from| link.branch != from.branch)) {
            let first = from.filter(|from| from.branch == link.branch).map_or(0, |from| from.version);
            for batch in snapshot.batches(link.branch, first, link.version) {
                self.read(batch?);
            }
        }
        Ok(true)
    }

    fn read(&mut self, batch: Batch) {
        let last = (batch.id, batch.node, batch.seq + batch.count + u64::from(batch.marker));
        match self.periods.last_mut().filter(|newest| newest.hash == batch.period) {
            Some(newest) => newest.last = last,
            None => {
                self.by_hash.insert(batch.period.clone(), self.periods.len());
                let (hash, label, first) = (batch.period, batch.opening_label, batch.node);
                self.periods.push(Period { hash, label, first, last });
            }
        }
    }

    /// What it begins with, where something may lie before it: it does not stand on a base, nor on honeycomb's own
    /// beginning. A history that has left another one stays what it is (`fork::reopen`).
    fn beginning(&self, snapshot: &Snapshot<Fjall>) -> Option<Checkpoint> {
        let (first, newest) = (self.periods.first()?, self.periods.last()?);
        let head = newest.last.1;
        let is_whole = first.hash.as_str().starts_with("genesis:") || snapshot.based(head).is_some();
        let begins = !is_whole && snapshot.chain(head).len() == 1;
        begins.then(|| Checkpoint { hash: first.hash.clone(), label: first.label.and_then(Label::new) })
    }

    /// Place of the period that this hash opens.
    fn place(&self, open: &HashText) -> Option<usize> {
        self.by_hash.get(open).copied()
    }

    /// This hash closes a period that ends with this batch: the next one need not be here.
    pub fn closes(&mut self, hash: HashText, open: HashText, last: BatchId) {
        self.closing.insert(hash, (open, last));
        if self.closing.len() > CLOSING {
            self.closing.pop_first();
        }
    }

    /// Whether a period with this opening hash is here.
    pub fn opens(&self, hash: &HashText) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// The last batch here of the period that this hash opens, with its place in the tree and the place after it.
    pub fn last_of(&self, open: &HashText) -> Option<(BatchId, Node, u64)> {
        self.place(open).map(|at| self.periods[at].last)
    }

    /// Label of the period that this hash opens: its own, or what follows from the one that it closes.
    pub fn label(&self, open: &HashText, every: u64) -> Option<Label> {
        let label = match self.place(open) {
            Some(at) => self.periods[at].label,
            None => {
                let (period, _) = self.closing.get(open)?;
                self.periods[self.place(period)?].label.map(|label| label + every)
            }
        };
        label.and_then(Label::new)
    }

    /// Opening checkpoints of the periods before the one that this hash opens (or would open), newest first.
    pub fn before(&self, open: &HashText, most: usize) -> Vec<Checkpoint> {
        let at = self.place(open).or_else(|| {
            let (period, _) = self.closing.get(open)?;
            self.place(period).map(|at| at + 1)
        });
        let before = self.periods[..at.unwrap_or(0)].iter().rev().take(most);
        let opening =
            |period: &Period| Checkpoint { hash: period.hash.clone(), label: period.label.and_then(Label::new) };
        before.map(opening).collect()
    }
}
