//! A node's core, as far as the swarm sees it: what is chained, what is supplied and not durable yet.
//!
//! *Always holds:* the head moves to what was supplied only along a path to a confirmed checkpoint whose every period was
//! recomputed to its hash; a death loses what was not durable and nothing else.

use super::history::{History, Period, closing};
use honeygraph::swarm::sync::check::Checked;
use honeygraph::swarm::sync::{Own, Supply, Verdict};
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Batch, PeriodId};
use honeygraph_protocols::swarm::status::Checkpoint;
use honeygraph_protocols::swarm::wire::List;
use std::collections::{BTreeMap, BTreeSet};

/// A core.
#[derive(Clone, Debug)]
pub struct Core {
    /// The head's history. What it serves.
    pub chain: History,
    /// Periods that were supplied and are what their hashes name, by their closing hash.
    pool: BTreeMap<HashText, Vec<Period>>,
    opened: BTreeSet<HashText>,
    parts: BTreeMap<PeriodId, Vec<Checked>>,
    /// Of open periods.
    live: BTreeMap<HashText, (Vec<Batch>, Vec<BatchId>)>,
    confirmed: Vec<Checkpoint>,
}

/// What became of a supply.
#[derive(Debug, Default)]
pub struct Took {
    /// The document of this period was recomputed.
    pub proven: Option<(PeriodId, Verdict)>,
}

impl Core {
    /// A core that holds a history.
    pub fn new(chain: History) -> Self {
        let (pool, opened, parts, live) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { chain, pool, opened, parts, live, confirmed: Vec::new() }
    }

    /// The own feed's history, as far as it has come. It is the head's while nothing confirmed contradicts it.
    pub fn fed(&mut self, feed: &History) {
        let on_feed = |checkpoint: &Checkpoint| {
            let label = checkpoint.label;
            let at = feed.periods.iter().find(|period| period.header.label >= label);
            at.is_none_or(|period| period.header.open_hash == checkpoint.hash) || feed.open.0 == checkpoint.hash
        };
        if self.confirmed.iter().all(on_feed) {
            self.chain = feed.clone();
        }
    }

    /// A checkpoint is confirmed.
    pub fn confirm(&mut self, checkpoint: Checkpoint) {
        if !self.confirmed.contains(&checkpoint) {
            self.confirmed.push(checkpoint);
            self.confirmed.sort_by_key(|checkpoint| checkpoint.label);
        }
        self.choose();
    }

    /// Takes what the planner supplies, durably.
    pub fn take(&mut self, supply: &Supply) -> Took {
        let Some(header) = &supply.period else {
            self.take_live(supply);
            return Took::default();
        };
        let id = header.id();
        let parts = self.parts.entry(id).or_default();
        parts.extend(supply.batches.iter().cloned());
        if !supply.last {
            return Took::default();
        }
        let parts = self.parts.remove(&id).unwrap_or_default();
        let ids: Vec<BatchId> = parts.iter().map(|batch| batch.id).collect();
        if closing(&header.open_hash, &ids) != header.close_hash {
            return Took { proven: Some((id, Verdict::Differs)) };
        }
        let batches = parts.into_iter().map(as_batch).collect();
        self.opened.insert(header.open_hash.clone());
        let of_hash = self.pool.entry(header.close_hash.clone()).or_default();
        of_hash.push(Period { header: (**header).clone(), batches, ids });
        self.choose();
        Took { proven: Some((id, Verdict::Holds)) }
    }

    fn take_live(&mut self, supply: &Supply) {
        let (batches, ids) = self.live.entry(supply.open.clone()).or_default();
        let known: BTreeSet<BatchId> = ids.iter().copied().collect();
        for batch in supply.batches.iter().filter(|batch| !known.contains(&batch.id)) {
            ids.push(batch.id);
            batches.push(as_batch(batch.clone()));
        }
        self.go_live();
    }

    fn go_live(&mut self) {
        if let Some((batches, ids)) = self.live.get(&self.chain.open.0)
            && ids.len() > self.chain.open.3.len()
        {
            (self.chain.open.2, self.chain.open.3) = (batches.clone(), ids.clone());
        }
    }

    /// The head moves along a path to the newest confirmed checkpoint that has one.
    fn choose(&mut self) {
        let reached = |hash: &HashText| {
            let on_chain = |period: &Period| period.header.close_hash == *hash;
            self.chain.open.0 == *hash || self.chain.periods.iter().any(on_chain)
        };
        for checkpoint in self.confirmed.iter().rev() {
            if reached(&checkpoint.hash) {
                return;
            }
            if let Some((keep, path)) = self.path(&checkpoint.hash) {
                self.chain.periods.truncate(keep);
                self.chain.periods.extend(path);
                let last = self.chain.periods.last().expect("a path has a period");
                let label = last.header.label.expect("labelled").get() + super::history::EVERY;
                let label = honeygraph_protocols::swarm::names::Label::new(label).expect("small");
                self.chain.open = (last.header.close_hash.clone(), label, Vec::new(), Vec::new());
                self.go_live();
                return;
            }
        }
    }

    /// Periods of the pool from the chain to a hash, and how much of the chain stays.
    fn path(&self, to: &HashText) -> Option<(usize, Vec<Period>)> {
        let mut path: Vec<Period> = Vec::new();
        let mut at = to.clone();
        loop {
            let found = self.pool.get(&at)?.first()?;
            path.push(found.clone());
            at = found.header.open_hash.clone();
            let kept = self.chain.periods.iter().position(|period| period.header.open_hash == at);
            let kept = kept.or_else(|| (self.chain.open.0 == at).then_some(self.chain.periods.len()));
            let begins = self.chain.periods.is_empty() && !self.pool.contains_key(&at);
            if let Some(keep) = kept.or_else(|| begins.then_some(0)) {
                path.reverse();
                return Some((keep, path));
            }
            if path.len() > 10_000 {
                return None;
            }
        }
    }
}

fn as_batch(checked: Checked) -> Batch {
    Batch { line: checked.line, frames: List::first_of(checked.frames), more: false }
}

impl Own for Core {
    fn reaches(&self, hash: &HashText) -> bool {
        let on_chain = |period: &Period| period.header.open_hash == *hash || period.header.close_hash == *hash;
        let begun = self.chain.open.0 == *hash && !(self.chain.periods.is_empty() && self.chain.open.2.is_empty());
        begun || self.pool.contains_key(hash) || self.opened.contains(hash) || self.chain.periods.iter().any(on_chain)
    }

    fn is_empty(&self) -> bool {
        self.chain.periods.is_empty() && self.chain.open.2.is_empty() && self.pool.is_empty()
    }

    fn newest(&self, open: &HashText) -> Option<(BatchId, u64)> {
        if self.chain.open.0 == *open {
            return self.chain.open.3.last().copied().zip(self.chain.open.2.last().map(|batch| batch.line.end()));
        }
        let (batches, ids) = self.live.get(open)?;
        ids.last().copied().zip(batches.last().map(|batch| batch.line.end()))
    }

    fn checkpoints(&self) -> u64 {
        self.chain.periods.len() as u64
    }

    fn checkpoint(&self, nth: u64) -> Option<HashText> {
        self.chain.periods.get(nth as usize).map(|period| period.header.open_hash.clone())
    }
}
