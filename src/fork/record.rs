//! What the journal holds: the durable decisions of a network, in the order in which they were taken.
//!
//! The fork machine decides, the journal makes it durable, the projections act on it; the three meet in these types
//! and in nothing else. A record's place in the journal is its [`Lsn`].
//!
//! *Always holds:* replaying the records in order through [`Ledger::apply`](super::ledger::Ledger::apply) gives the
//! ledger the machine had when it wrote the last of them.

use honeygraph_protocols::batch::{BatchId, Parent};
use honeygraph_protocols::honeycomb::HashText;
use serde::{Deserialize, Serialize};

/// Place of a record in its network's journal, counted from 1 without holes.
pub type Lsn = u64;

/// Number of a branch; a child's number is greater than its parent's. Branch 0 is the first.
pub type BranchNo = u32;

/// A chained batch: the branch it was chained on and the LSN of its chain record, which is its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Node {
    /// Branch on which the batch was chained.
    pub branch: BranchNo,
    /// LSN of the chain record.
    pub version: Lsn,
}

/// Ordinal of pieces whose place their lane cannot know (an answer that fits nowhere): durable, listed, never chained.
pub const UNPLACED: u32 = u32::MAX;
/// Ordinal of pieces that come with their place (a supply): the chain record that names them follows. Never parked.
pub const PLACED: u32 = u32::MAX - 1;

/// One durable decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Ops of one feed, durable before anything is decided about them. The only kind with a body.
    Piece(Piece),
    /// A lane begins a period.
    Opened(Opened),
    /// A period that had no hash gets one.
    Named(Named),
    /// A branch is born.
    Branch(Branch),
    /// A batch gets its place in the chain.
    Chain(Chain),
    /// The head moves other than by being extended.
    Head(Head),
    /// Honeycomb announced a checkpoint.
    Checkpoint(Checkpoint),
    /// A hole was recorded, filled or given up.
    Gap(Gap),
    /// A branch loses its view.
    Retired(Retired),
    /// Parked pieces are held elsewhere already.
    Same(Same),
    /// A lane stands behind a batch that it has no pieces of.
    Stands(Stands),
    /// The document of a closed period was recomputed.
    Proof(Proof),
    /// The operator trusts a checkpoint's hash, or does so no longer.
    Trust(Trust),
    /// The state stands on another base: checkpoints are proven again from the first.
    Rebased(Rebased),
    /// Accounts agreed on a checkpoint that is verified here.
    Agreed(Agreed),
}

/// How a [`Piece`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Close {
    /// By a write marker, which takes one place of its own.
    Marker,
    /// By a rollover: the period ended while the batch was open.
    Rollover,
    /// By a hole in the stream: what follows directly is missing.
    Hole,
    /// Not at all: the batch goes on in the lane's next piece (a batch too large for one piece).
    More,
}

/// A run of ops that one lane received without a hole. Its body is the zstd frame of the length-prefixed op texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// Lane it came in on; 0: on none, it was supplied.
    pub lane: u64,
    /// Which period of that lane, counted from 0, or [`UNPLACED`], or [`PLACED`].
    pub ordinal: u32,
    /// Label of the batch as the lane knows it; none while unknown.
    pub label: Option<u64>,
    /// Run within the period: 0, and 1 after the daily second restart of the index.
    pub run: u32,
    /// Place of the first op in the period, ops and markers counted from 0; with [`UNPLACED`] as ordinal it only counts.
    pub seq: u64,
    /// Index that the feed gave the first op (of the marker when there is no op), if any.
    pub index: Option<u64>,
    /// Ops in the body.
    pub count: u32,
    /// How it ends.
    pub close: Close,
    /// Whether it begins a batch, as far as the lane knows: false behind a hole, and for the later pieces of a batch.
    pub begins: bool,
    /// blake3 over the body before compression: the batch's `ops_hash` when the batch is this one piece.
    #[serde(with = "honeygraph_protocols::batch::digest_bytes")]
    pub ops_hash: [u8; 32],
    /// When it was received, ms since the epoch.
    pub at_ms: u64,
}

/// Why a lane began a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenCause {
    /// The index fell.
    Fall,
    /// `fork_start`.
    ForkStart,
    /// The lane's first op stood at index 0 and opened a period by its own words.
    Start,
    /// Seed numbering: the hash changed.
    HashChange,
    /// A checkpoint message in a lane whose index does not restart.
    Checkpoint,
    /// A socket resumed, or joined, at a place that is not the start of a period.
    Resume,
}

/// How the lane's period before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Before {
    /// There is none: the lane begins here.
    Nothing,
    /// Its end was seen in the stream.
    Seen,
    /// It ended while no socket was there: its length is unknown until its tail has been asked for.
    Unseen,
    /// Its tail was asked for and nothing new came.
    Presumed,
}

/// A lane begins a period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// The lane.
    pub lane: u64,
    /// Which period of that lane, counted from 0.
    pub ordinal: u32,
    /// Opening label, when known.
    pub label: Option<u64>,
    /// Opening hash, when known.
    pub hash: Option<HashText>,
    /// Why.
    pub cause: OpenCause,
    /// How the one before ended.
    pub before: Before,
    /// Place where the one before ended in the stream: it is not whole while the lane has less of it. 0: not known.
    pub end: u64,
}

/// A period of a lane gets its opening hash (or its label, or the word on how the one before it ended).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// The lane.
    pub lane: u64,
    /// Which period of that lane.
    pub ordinal: u32,
    /// Opening hash.
    pub hash: Option<HashText>,
    /// Opening label.
    pub label: Option<u64>,
    /// How the period before it ended, as known now.
    pub before: Before,
}

/// Why a branch was born.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BranchCause {
    /// The network's first batch.
    First,
    /// Two histories contradict each other.
    Fork,
    /// The first batch after a rollback.
    Rollback,
    /// The chain goes on behind a hole that the operator gave up.
    Hole,
}

/// A branch is born: `parent` is the last batch it shares with the branch it leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Its number.
    pub branch: BranchNo,
    /// Branch and cut; none only for branch 0 and for other first histories.
    pub parent: Option<Node>,
    /// Why.
    pub cause: BranchCause,
}

/// A batch gets its place. The record's LSN is the version under which the state holds its writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// Branch it extends.
    pub branch: BranchNo,
    /// The batch before it, on this branch or, for a branch's first, on its parent; none for a first history.
    pub prev: Option<Node>,
    /// Opening hash of its period.
    pub period: HashText,
    /// Opening label of its period.
    pub opening_label: Option<u64>,
    /// The batch's own label.
    pub label: Option<u64>,
    /// Place of its first op in the period.
    pub seq: u64,
    /// Ops, the marker not counted.
    pub count: u64,
    /// Whether a marker closed it (else a rollover did).
    pub marker: bool,
    /// Parent as hashed into the id.
    pub parent: Parent,
    /// The batch's id.
    pub id: BatchId,
    /// blake3 over the length-prefixed op texts.
    #[serde(with = "honeygraph_protocols::batch::digest_bytes")]
    pub ops_hash: [u8; 32],
    /// Where the ops are: the pieces in order.
    pub pieces: Vec<Lsn>,
    /// Whether the head moves here with it.
    pub head: bool,
    /// Whether it stands behind a hole that was given up (then everything after it is incomplete).
    pub hole: bool,
    /// When it was chained, ms since the epoch.
    pub at_ms: u64,
}

/// Why the head moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum HeadCause {
    /// `choose()` found a better history.
    Choice(String),
    /// The operator's verdict: roll back. What lies behind is barred until it is released.
    Rollback {
        /// Number of the verdict.
        verdict: u64,
        /// The operator's words.
        reason: String,
    },
    /// The operator released a verdict.
    Release {
        /// Number of the verdict.
        verdict: u64,
        /// The operator's words.
        reason: String,
    },
}

/// The head moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Where it stands now.
    pub at: Node,
    /// Where it stood before.
    pub from: Node,
    /// Why.
    pub cause: HeadCause,
    /// When, ms since the epoch.
    pub at_ms: u64,
}

/// What became of a checkpoint announcement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Boundary {
    /// The seeds' rule holds.
    Valid,
    /// Honeycomb numbering: closed by the rollover, stays eligible.
    Open,
    /// The seeds' rule is broken: `missing_write_marker`, `write_marker_block_mismatch`, `invalid_boundary`.
    Invalid(String),
}

/// Honeycomb announced (or confirmed) a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Lane it came in on.
    pub lane: u64,
    /// Block that it names.
    pub block: u64,
    /// Its hash.
    pub hash: HashText,
    /// The batch it closes the period of, when chained.
    pub at: Option<Node>,
    /// Verdict on its boundary.
    pub boundary: Boundary,
    /// Whether the message confirmed a hash that we knew (`matches:true`, or the period's own hash).
    pub confirms: bool,
    /// When, ms since the epoch.
    pub at_ms: u64,
}

/// State of a hole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GapState {
    /// Nobody we asked has it.
    Recorded,
    /// It was filled.
    Filled,
    /// The operator gave it up.
    Accepted {
        /// The operator's words.
        reason: String,
    },
}

/// A hole in a lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Its number in this network.
    pub id: u64,
    /// The lane.
    pub lane: u64,
    /// Which period of that lane.
    pub ordinal: u32,
    /// Label of that period.
    pub label: Option<u64>,
    /// Run within the period.
    pub run: u32,
    /// First missing index.
    pub from: u64,
    /// Last missing index.
    pub to: u64,
    /// What became of it.
    pub state: GapState,
    /// When, ms since the epoch.
    pub at_ms: u64,
}

/// A branch loses its view: it stays in the journal, its rows may be swept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retired {
    /// The branch.
    pub branch: BranchNo,
    /// When, ms since the epoch.
    pub at_ms: u64,
}

/// Parked pieces turned out to be what the tree holds already: they are no longer parked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Same {
    /// The pieces.
    pub pieces: Vec<Lsn>,
    /// The batch that has their content.
    pub node: Node,
}

/// A lane stands behind a batch of the tree that it has no pieces of: it repeated what is held, or goes on from there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stands {
    /// The lane.
    pub lane: u64,
    /// Which period of that lane; it counts as opened from here on.
    pub ordinal: u32,
    /// The batch; none: before the first of all.
    pub at: Option<Node>,
    /// Place of the item that follows it in the period.
    pub next: u64,
    /// Places of index 0 of each run of the period, as far as the lane has come.
    pub runs: Vec<u64>,
}

/// What recomputing a checkpoint's document gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Its CID is the announced hash.
    Verified,
    /// It cannot be recomputed here; why, in one stable word.
    Unverifiable(String),
    /// Its CID is another one.
    Mismatch {
        /// That one.
        computed: String,
    },
}

/// The document of a closed period was recomputed and compared with the hash that was announced for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The period's last batch.
    pub at: Node,
    /// First batch of the period that the checkpoint opened.
    pub by: Node,
    /// The announced hash: opening hash of that period.
    pub hash: HashText,
    /// Block of the checkpoint: opening label of that period.
    pub label: Option<u64>,
    /// Whether the document is a root (the full state), not a delta.
    pub root: bool,
    /// What came out.
    pub outcome: Outcome,
    /// Hash that the state at `at` names as agreed on by honeycomb's runners (`stats.hashLastIBlock`).
    pub agreed: Option<HashText>,
    /// When, ms since the epoch.
    pub at_ms: u64,
}

/// The operator's word on a checkpoint's hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// The hash.
    pub hash: HashText,
    /// Whether it is trusted from here on.
    pub trusted: bool,
    /// The operator's words.
    pub reason: String,
    /// When, ms since the epoch.
    pub at_ms: u64,
}

/// The state stands on another base than the one that checkpoints were proven with: they are looked at again, from the
/// first. Durable before the first of them, so that it goes on behind a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebased {
    /// Hash of the base; none: it stands on none any more.
    pub base: Option<HashText>,
    /// When, ms since the epoch.
    pub at_ms: u64,
}

/// More than half of the electorate vouches for a checkpoint that is verified here: from now on it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// Its hash.
    pub hash: HashText,
    /// How many accounts.
    pub accounts: u64,
    /// Of how many.
    pub of: u64,
    /// When, ms since the epoch.
    pub at_ms: u64,
}
