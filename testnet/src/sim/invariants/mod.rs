//! What must hold, one rule in a file.
//!
//! *Always holds:* a check only looks; it compares a node with what the honeycombs wrote, with its own journal, or with
//! what it said, never with what the simulation believes it should have done.

mod acked;
mod daily;
mod durable_first;
mod forks_apart;
mod healed;
mod replay;
mod same_ids;
mod versions;

use super::feeder::Feeder;
use super::histories::Histories;
use super::node::{Node, Running};
use honeygraph::fork::record::{Chain, Lsn};
use std::collections::BTreeMap;

pub use healed::{calm, told};

/// A rule that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{rule}: {what}")]
pub struct Broken {
    /// The rule: name of its file.
    pub rule: &'static str,
    /// Where it fails.
    pub what: String,
}

impl Broken {
    /// What is wrong, in words.
    pub fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

/// A running node, looked at.
pub struct Look<'a> {
    /// Which.
    pub number: usize,
    /// It.
    pub node: &'a Node,
    /// What runs of it.
    pub running: &'a Running,
    /// Its chain records, by LSN.
    pub chains: BTreeMap<Lsn, &'a Chain>,
    /// All honeycombs.
    pub feeders: &'a [Feeder],
}

impl<'a> Look<'a> {
    /// Looks at a node, if it runs.
    pub fn at(number: usize, node: &'a Node, feeders: &'a [Feeder]) -> Option<Self> {
        Some(Self { number, node, running: node.running.as_ref()?, chains: node.chains(), feeders })
    }

    /// Whether a honeycomb feeds this node.
    pub fn is_fed_by(&self, feeder: usize) -> bool {
        self.feeders[feeder].node == self.number
    }
}

/// When a start has read its journal; the log still holds what was decided before.
pub fn opened(look: &Look<'_>) -> Result<(), Broken> {
    replay::check(look)
}

/// Before a start decides anything.
pub fn after_start(look: &Look<'_>) -> Result<(), Broken> {
    acked::check(look)?;
    durable_first::check(look)?;
    versions::check(look)
}

/// At any time. `draw` chooses among so many: which points are read beside those that are always read.
pub fn always(look: &Look<'_>, histories: &mut Histories, draw: &mut dyn FnMut(usize) -> usize) -> Result<(), Broken> {
    durable_first::check(look)?;
    versions::check(look)?;
    versions::head_is_newest(look)?;
    daily::check(look, histories)?;
    forks_apart::check(look, histories, draw)
}

/// Once everything has healed. `whole`: nothing was lost that only a cache could have brought back.
pub fn at_the_end(nodes: &[Node], feeders: &[Feeder], histories: &Histories, whole: bool) -> Result<(), Broken> {
    for (number, node) in nodes.iter().enumerate() {
        let look = Look::at(number, node, feeders).ok_or_else(|| Broken::new("healed", "a node is down"))?;
        acked::check(&look)?;
        healed::check(&look, histories, whole)?;
    }
    same_ids::check(nodes, feeders, histories, whole)
}
