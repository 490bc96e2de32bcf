//! What an operator may order the core of a network to do, and what it answers.
//!
//! *Always holds:* an order is answered only after what it decided is durable; a dry run decides nothing.

use super::record::Proof;
use super::status::{TipStatus, Walked};
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Orders waiting for a core: an operator types them, so few.
pub const ADMIN_CAPACITY: usize = 16;

/// Where the answer to an order goes.
pub type Reply<T> = oneshot::Sender<Result<T, AdminError>>;

/// An order.
#[derive(Debug)]
pub enum Admin {
    /// Put the head back.
    Rollback {
        /// A label, a batch id, or the hash of a checkpoint.
        to: String,
        /// The operator's words.
        reason: String,
        /// Only say what would happen.
        dry_run: bool,
        /// The answer.
        reply: Reply<RolledBack>,
    },
    /// Lift a verdict.
    Release {
        /// Number of the verdict.
        verdict: u64,
        /// The operator's words.
        reason: String,
        /// The answer.
        reply: Reply<Released>,
    },
    /// Give a hole up: the chain goes on behind it.
    AcceptGap {
        /// Number of the hole.
        id: u64,
        /// The operator's words.
        reason: String,
        /// The answer.
        reply: Reply<GapAccepted>,
    },
    /// Trust a checkpoint's hash, or do so no longer.
    Trust {
        /// The hash.
        hash: String,
        /// Whether to trust it.
        trusted: bool,
        /// The operator's words.
        reason: String,
        /// The answer.
        reply: Reply<Trusted>,
    },
    /// Take the view from a history that nobody needs.
    Prune {
        /// Its fork: id of its first batch that differs, or of its last batch.
        fork: String,
        /// The operator's words.
        reason: String,
        /// The answer.
        reply: Reply<Pruned>,
    },
    /// Which of these hashes opened a period that is held (from the node itself).
    Holds {
        /// The hashes.
        hashes: Vec<HashText>,
        /// For each.
        reply: Reply<Vec<bool>>,
    },
    /// The way back from an anchored hash was gone (from the node itself).
    Walked {
        /// How far it led.
        walked: Walked,
        /// When it is shown.
        reply: Reply<()>,
    },
    /// The state stands on another base than the proofs (from the node itself).
    Rebased {
        /// Its hash.
        base: Option<HashText>,
        /// When it is durable.
        reply: Reply<()>,
    },
    /// More than half of the electorate vouches for a checkpoint (from the node itself).
    Agreed {
        /// Its hash.
        hash: HashText,
        /// How many accounts.
        accounts: usize,
        /// Of how many.
        of: usize,
        /// When it is durable: whether it is confirmed now.
        reply: Reply<bool>,
    },
    /// So many accounts of the electorate vouch for these checkpoints (from the node itself).
    Vouched {
        /// Accounts by hash.
        vouched: BTreeMap<HashText, usize>,
        /// When it is taken.
        reply: Reply<()>,
    },
    /// A checkpoint was recomputed (from the node itself).
    Proven {
        /// What came out.
        proof: Box<Proof>,
        /// Whether it was taken.
        reply: Reply<bool>,
    },
}

/// Answer to [`Admin::Rollback`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RolledBack {
    /// Number of the verdict; none after a dry run.
    pub verdict: Option<u64>,
    /// Where the head stood.
    pub from: TipStatus,
    /// Where it stands (or would stand).
    pub to: TipStatus,
    /// Batches left behind; they stay queryable as a fork.
    pub batches: u64,
    /// That fork: the first of them.
    pub left: BatchId,
    /// Whether nothing was done.
    pub dry_run: bool,
}

/// Answer to [`Admin::Release`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Released {
    /// Number of the verdict.
    pub verdict: u64,
    /// Where the head stands now.
    pub head: TipStatus,
}

/// Answer to [`Admin::AcceptGap`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapAccepted {
    /// Number of the hole.
    pub id: u64,
    /// First batch chained behind it, when there is one already.
    pub first: Option<BatchId>,
}

/// Answer to [`Admin::Trust`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trusted {
    /// The hash.
    pub hash: HashText,
    /// Block of the checkpoint, when it is known here.
    pub label: Option<u64>,
    /// Whether it is trusted now.
    pub trusted: bool,
}

/// Answer to [`Admin::Prune`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// The fork.
    pub fork: BatchId,
    /// Its last batch.
    pub tip: BatchId,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No such batch, label, checkpoint, verdict or hole.
    #[error("{0}")]
    NotFound(String),
    /// The name fits several; one of these was meant.
    #[error("{what} is ambiguous")]
    Ambiguous {
        /// What was asked for.
        what: String,
        /// Names that are not ambiguous.
        candidates: Vec<String>,
    },
    /// The point is no longer readable.
    #[error("{0}")]
    Gone(String),
    /// It would do harm or nothing.
    #[error("{0}")]
    Refused(String),
}
