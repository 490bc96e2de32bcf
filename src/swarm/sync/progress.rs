//! Progress in one line: phase, from, to, rate, ETA, and what limits it.

use honeygraph_protocols::honeycomb::HashText;
use serde::Serialize;

/// Time over which the rate is taken, ms.
const RATE_MS: u64 = 10_000;

/// What the planner is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nobody vouches for anything: nothing is followed.
    #[default]
    Unanchored,
    /// Headers are walked back from an anchor.
    Headers,
    /// Bodies come in.
    Bodies,
    /// All that is anchored is here.
    Synced,
}

/// What more of would make it faster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Nothing: there is nothing to do.
    #[default]
    Nothing,
    /// An anchor.
    Anchor,
    /// Peers.
    Peers,
    /// Peers that have what is missing: what waits was refused or failed, and is tried again.
    Retry,
    /// What the peers send.
    Network,
    /// What the core takes.
    Core,
}

/// A checkpoint that peers say is verified, offered to the operator of a node without an anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offered {
    /// Its hash.
    pub hash: HashText,
    /// Its block.
    pub label: Option<u64>,
    /// Peers that say so. Anyone can have many.
    pub peers: usize,
}

/// Progress.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// What it is at.
    pub phase: Phase,
    /// Label of the oldest period that is missing.
    pub from: Option<u64>,
    /// Label of the newest.
    pub to: Option<u64>,
    /// Periods that are missing, as far as headers are known.
    pub missing: u64,
    /// Periods that came in since the start.
    pub done: u64,
    /// Ops a second, of late.
    pub ops_per_s: u64,
    /// When it is done at that rate, s.
    pub eta_s: Option<u64>,
    /// What limits it.
    pub limit: Limit,
    /// Requests without an answer yet.
    pub asked: usize,
    /// Ranges that failed and wait for their next try.
    pub waiting: usize,
    /// Without an anchor: what there is to trust.
    pub offered: Vec<Offered>,
}

/// Ops a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meter {
    since: u64,
    ops: u64,
    rate: u64,
}

impl Meter {
    pub(super) fn note(&mut self, now: u64, ops: u64) {
        let passed = now.saturating_sub(self.since);
        if passed >= RATE_MS || self.since == 0 {
            self.rate = self.ops * 1_000 / passed.max(1);
            (self.since, self.ops) = (now, 0);
        }
        self.ops += ops;
    }

    pub(super) fn rate(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.since);
        if passed >= 1_000 { self.ops * 1_000 / passed } else { self.rate.max(self.ops) }
    }
}
