//! What each honeycomb really wrote: the model that every node is compared with.
//!
//! *Always holds:* it is made of the honeycombs' own truth alone, with their own notion of leaves, never of anything that
//! a node said.

use super::NETWORK;
use super::feeder::Feeder;
use crate::honeycomb::{Chained, Leaves, Op};
use honeygraph::fork::record::{Chain, Lsn, Node};
use honeygraph_protocols::batch::{BatchId, Header, Parent};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The histories of all honeycombs.
#[derive(Default)]
pub struct Histories(Vec<Written>);

/// The history of one.
#[derive(Default)]
pub struct Written {
    /// Its batches in order.
    pub chain: Vec<Chained>,
    places: BTreeMap<BatchId, usize>,
    /// What its batches are called by one who was told their period from its first op on, without the markers that
    /// straggled into it: so a restarted honeycomb begins it. A node that holds nothing before it cannot know better.
    anew: Vec<Option<BatchId>>,
    restarted: bool,
    ops: Vec<Vec<Op>>,
    /// Leaves after each batch from a first one on, by the place of that first one.
    folds: BTreeMap<usize, Vec<Rc<Leaves>>>,
}

impl Histories {
    /// Takes what the honeycombs have written since.
    pub fn read_on(&mut self, feeders: &[Feeder]) {
        self.0.resize_with(feeders.len(), Written::default);
        for (written, feeder) in self.0.iter_mut().zip(feeders) {
            written.read_on(feeder);
        }
    }

    /// The history of a honeycomb.
    pub fn of(&self, feeder: usize) -> &Written {
        &self.0[feeder]
    }

    /// The honeycomb (of those allowed) that wrote exactly these batches one after the other, and the place of the first.
    /// They are a whole history: the period that it begins with may have been told by a restarted honeycomb.
    pub fn writer(&self, batches: &[&Chain], allowed: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
        let first = batches.first()?;
        self.0.iter().enumerate().filter(|(number, _)| allowed(*number)).find_map(|(number, written)| {
            let from = written.place(&first.id).or_else(|| written.place_anew(&first.id))?;
            let ours = written.chain.get(from..from + batches.len())?;
            let same = |at: usize, ours: &Chained, theirs: &Chain| {
                ours.id == theirs.id || (theirs.period == first.period && written.anew(at) == Some(theirs.id))
            };
            let mut pairs = ours.iter().zip(batches).enumerate();
            pairs.all(|(at, (ours, theirs))| same(from + at, ours, theirs)).then_some((number, from))
        })
    }

    /// The leaves of a honeycomb after batch `last`, for one who has seen nothing before batch `from`.
    pub fn leaves(&mut self, feeder: usize, from: usize, last: usize) -> Rc<Leaves> {
        let written = &mut self.0[feeder];
        let fold = written.folds.entry(from).or_default();
        while fold.len() <= last - from {
            let mut leaves = fold.last().map_or_else(Leaves::default, |leaves| Leaves::clone(leaves));
            leaves.apply(&written.ops[from + fold.len()]);
            fold.push(Rc::new(leaves));
        }
        fold[last - from].clone()
    }
}

impl Written {
    fn read_on(&mut self, feeder: &Feeder) {
        let chain = feeder.honeycomb.truth().chain(NETWORK);
        for (at, batch) in chain.iter().enumerate().skip(self.chain.len()) {
            self.places.insert(batch.id, at);
            self.ops.push(batch.ops.iter().filter_map(|text| Op::parse(text)).collect());
        }
        self.restarted = feeder.restarted;
        self.chain = chain;
        self.call_anew();
    }

    fn call_anew(&mut self) {
        for at in self.anew.len()..self.chain.len() {
            let header = &self.chain[at].header;
            let first = |at: &usize| self.chain[*at].header.period != header.period;
            let start = (0..at).rev().find(first).map_or(0, |before| before + 1);
            let straggled = self.chain[start..=at].iter().take_while(|batch| batch.header.count == 0).count();
            let id = (straggled > 0 && start + straggled <= at).then(|| {
                let parent = self.anew[at - 1].map_or(Parent::Period(header.period.clone()), Parent::Batch);
                Header { seq: header.seq - straggled as u64, parent, ..header.clone() }.id()
            });
            self.anew.push(id);
        }
    }

    fn anew(&self, at: usize) -> Option<BatchId> {
        self.anew[at].filter(|_| self.restarted)
    }

    /// Place of a batch as one calls it who was told its period by this honeycomb after a restart.
    pub fn place_anew(&self, id: &BatchId) -> Option<usize> {
        (0..self.anew.len()).find(|at| self.anew(*at).as_ref() == Some(id))
    }

    /// Place of a batch.
    pub fn place(&self, id: &BatchId) -> Option<usize> {
        self.places.get(id).copied()
    }
}

/// The batches of a history, from its first to this one.
pub fn history<'a>(chains: &BTreeMap<Lsn, &'a Chain>, tip: Node) -> Vec<&'a Chain> {
    let mut batches = Vec::new();
    let mut at = Some(tip);
    while let Some(chain) = at.and_then(|node| chains.get(&node.version)) {
        batches.push(*chain);
        at = chain.prev;
    }
    batches.reverse();
    batches
}
