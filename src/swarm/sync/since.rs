//! A history that begins with its base (`swarm.history = since-base`): what came before it is not asked for.
//!
//! *Always holds:* a node that holds anything goes on from there; one that holds nothing waits for its base only while one
//! may be on its way.

use super::planner::Planner;
use honeygraph_protocols::honeycomb::HashText;

/// Where the history begins.
#[derive(Debug, Default)]
pub(super) struct Since {
    /// Whether it begins with its base.
    only: bool,
    base: Option<HashText>,
    /// A base may be on its way.
    pub(super) awaited: bool,
}

impl Since {
    /// Whether nothing is to be fetched before there is a base.
    pub(super) fn waits(&self) -> bool {
        self.only && self.base.is_none() && self.awaited
    }

    /// Whether this hash opens the period with which the history begins.
    pub(super) fn begins_with(&self, hash: &HashText) -> bool {
        self.only && self.base.as_ref() == Some(hash)
    }
}

impl Planner {
    /// Asks for nothing that came before this base. Without one, for nothing until it is known that none is to be had.
    pub fn only_since(&mut self, base: Option<HashText>) {
        self.since = Since { only: true, awaited: base.is_none(), base };
    }
}
