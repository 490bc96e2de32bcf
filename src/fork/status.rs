//! What the core of a network shows of itself: published as one immutable value after every group of decisions.

use super::proofs::Proofs;
use super::record::{Boundary, BranchNo, Gap, GapState, Node};
use crate::feed::message::FeedInfo;
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use serde::Serialize;
use std::sync::Arc;

/// The core's state as readers see it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// Network.
    pub network: String,
    /// Last LSN decided (not necessarily durable yet).
    pub lsn: u64,
    /// Where the head stands.
    pub head: Option<TipStatus>,
    /// Every live branch, the head's first.
    pub forks: Vec<ForkStatus>,
    /// The newest periods, newest first (at most [`Status::PERIODS`]), one entry for each history they have.
    pub periods: Vec<PeriodStatus>,
    /// Connected feeds and their lanes.
    pub lanes: Vec<LaneStatus>,
    /// Who began the network here: the first feed of an empty one, whoever it is. None when that was before the start of
    /// the process.
    pub begun_by: Option<BegunBy>,
    /// Holes that are known now: asked for, recorded, accepted.
    pub gaps: Vec<GapStatus>,
    /// Batches that are durable but have no place.
    pub parked: ParkedStatus,
    /// The operator's verdicts in force.
    pub verdicts: Vec<VerdictStatus>,
    /// The newest checkpoint announcements, newest first (at most 16).
    pub checkpoints: Vec<CheckpointStatus>,
    /// What recomputing checkpoints gave, the newest first, and what that makes of the head.
    pub proofs: ProofStatus,
    /// Everything that is proven.
    #[serde(skip)]
    pub proven: Arc<Proofs>,
    /// Documents that would fill holes.
    #[serde(skip)]
    pub wanted: Vec<Wanted>,
    /// Where the way back to a base begins, while there is none.
    #[serde(skip)]
    pub walk: Option<WalkFrom>,
    /// Counters since the start of the process.
    pub counters: Counters,
    /// Newest events, newest last (at most [`Status::EVENTS`]).
    pub events: Vec<Event>,
}

impl Status {
    /// Periods shown.
    pub const PERIODS: usize = 64;
    /// Events shown.
    pub const EVENTS: usize = 256;
}

/// A document that has ops which no feed brings: that of the period before the one that this hash opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its CID.
    pub hash: HashText,
    /// Block of that checkpoint.
    pub label: Option<u64>,
    /// The period is here, its recomputation differs, and so many ops and markers of it are held: it helps if it has more.
    pub more_than: Option<u64>,
    /// The operator trusts it and nothing is here: the network may begin with its day.
    pub begins: bool,
    /// What helps where this did not: the document of the period that waits, by which the lane is known again.
    pub then: Option<HashText>,
}

/// Where the way back begins that leads from document to document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkFrom {
    /// A hash that somebody vouches for: the newest confirmed one of the head's history, else the feed's newest.
    pub anchor: HashText,
    /// A root of that history whose state is not known here: another one is worth another walk.
    pub root: HashText,
}

/// How far the way back led, the last time it was gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Walked {
    /// The hash that it began with.
    pub from: HashText,
    /// Block of the oldest checkpoint that it leads to.
    pub back_to: Option<u64>,
    /// Roots that were read on the way.
    pub roots: u64,
    /// Checkpoints that the documents on the way name, the first one included.
    pub named: u64,
    /// Those of them that open a period held here.
    pub held: u64,
    /// The root that was found to be the oldest one of this history: it becomes the base at the next start.
    pub base: Option<HashText>,
    /// Why it ended, in one stable word: `oldest`, `depth`, `not_held`, `no_link`.
    pub ended: &'static str,
}

/// What is proven, in short.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProofStatus {
    /// Block of the newest verified checkpoint on the head's history.
    pub verified_at: Option<u64>,
    /// Block of the newest confirmed one.
    pub confirmed_at: Option<u64>,
    /// Block of one that differs, since the last verified root.
    pub mismatch: Option<u64>,
    /// Checkpoints that were verified, that could not be recomputed, and that differed, over all histories.
    pub verified: u64,
    /// See `verified`.
    pub unverifiable: u64,
    /// See `verified`.
    pub mismatches: u64,
    /// Hashes that the operator trusts.
    pub trusted: Vec<HashText>,
    /// How far the way back led; none: it was not gone since the start, or there is a base.
    pub walk: Option<Walked>,
    /// The newest, newest first.
    pub newest: Vec<CheckedStatus>,
}

/// A checkpoint that was recomputed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckedStatus {
    /// Block that it names.
    pub label: Option<u64>,
    /// Its hash, as announced.
    pub hash: HashText,
    /// `root` or `delta`.
    pub kind: &'static str,
    /// `verified`, `unverifiable`, `mismatch`.
    pub outcome: &'static str,
    /// Why it could not be recomputed; the other hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Branch on which the next period lies.
    pub branch: BranchNo,
    /// When, ms since the epoch.
    pub at_ms: u64,
}

/// A tip: the last batch of a branch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TipStatus {
    /// Branch and version.
    pub node: Node,
    /// Batch.
    pub batch: BatchId,
    /// Label of the batch.
    pub label: Option<u64>,
    /// Opening hash of its period.
    pub period: HashText,
    /// Opening label of its period.
    pub opening_label: Option<u64>,
    /// Fork: id of the first batch of the branch's history that differs.
    pub fork: BatchId,
    /// Whether every op since the first period of the network is there (no hole given up).
    pub unbroken: bool,
}

/// A live branch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForkStatus {
    /// The branch.
    pub branch: BranchNo,
    /// Its number's parent and cut.
    pub parent: Option<Node>,
    /// Its tip.
    pub tip: TipStatus,
    /// Whether it is the head's history.
    pub is_head: bool,
    /// Barred by this verdict.
    pub barred_by: Option<u64>,
    /// Feeds that stand on it now.
    pub witnesses: usize,
    /// Ops on the branch itself.
    pub operations: u64,
    /// First seen, ms since the epoch.
    pub start_time: u64,
    /// Last extended, ms since the epoch.
    pub last_update: u64,
}

/// The fork record of the seeds: one period on one history.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeriodStatus {
    /// Opening hash.
    pub hash: HashText,
    /// Opening label.
    pub block_num: Option<u64>,
    /// First seen, ms since the epoch.
    pub start_time: u64,
    /// Last extended, ms since the epoch.
    pub last_update: u64,
    /// Feeds that sent it, by remote address and token.
    pub nodes: Vec<String>,
    /// Ops in all.
    pub operation_count: u64,
    /// Last write marker.
    pub last_write_marker: Option<MarkerStatus>,
    /// Confirmed by honeycomb's own message.
    pub is_confirmed: bool,
    /// Branch on which it lies.
    pub branch: BranchNo,
    /// First batch of the history that differs.
    pub fork: BatchId,
    /// Its last batch.
    pub tip: BatchId,
    /// Whether a feed or the head stands in it now.
    pub active: bool,
}

/// The last write marker of a period.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MarkerStatus {
    /// Index as sent, else its place.
    pub index: u64,
    /// Label of the batch that it closed: in seed numbering the marker's own block.
    pub block_num: Option<u64>,
    /// When it came, ms since the epoch.
    pub timestamp: u64,
    /// Always null: what precedes a period is known by the chain, and the field says something else in mid-period.
    pub prev_checkpoint_hash: Option<HashText>,
}

/// The feed whose first batch the head began with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BegunBy {
    /// Its lane.
    pub lane: u64,
    /// Who it is.
    pub feed: FeedInfo,
}

/// A connected feed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LaneStatus {
    /// The lane.
    pub lane: u64,
    /// Who feeds it.
    pub feed: FeedInfo,
    /// `honeycomb` or `seed`.
    pub numbering: &'static str,
    /// Label of the period it is in.
    pub label: Option<u64>,
    /// Run in that period.
    pub run: u32,
    /// Last index received.
    pub last_index: Option<u64>,
    /// Ops received and not yet closed by a marker.
    pub open_ops: u64,
    /// Where its chained prefix ends.
    pub at: Option<Node>,
    /// Whether that is on the head's history (the head may be behind, after a rollback).
    pub on_head: bool,
    /// Why its newest batches are parked, if they are.
    pub parked: Option<&'static str>,
}

/// A hole. Shown with one word for its state and with a time only where one is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct GapStatus {
    /// The hole.
    pub gap: Gap,
    /// `asked`, `recorded`, `accepted`.
    pub phase: &'static str,
    /// Tries so far.
    pub tries: u32,
}

impl Serialize for GapStatus {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            id: u64,
            state: &'static str,
            lane: u64,
            ordinal: u32,
            label: Option<u64>,
            run: u32,
            from: u64,
            to: u64,
            tries: u32,
            #[serde(skip_serializing_if = "Option::is_none")]
            at_ms: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'a str>,
        }
        let Gap { id, lane, ordinal, label, run, from, to: last, state, at_ms } = &self.gap;
        let reason = if let GapState::Accepted { reason } = state { Some(reason.as_str()) } else { None };
        let shown = Shown {
            id: *id,
            state: self.phase,
            lane: *lane,
            ordinal: *ordinal,
            label: *label,
            run: *run,
            from: *from,
            to: *last,
            tries: self.tries,
            at_ms: Some(*at_ms).filter(|at| *at > 0),
            reason,
        };
        shown.serialize(to)
    }
}

/// Durable batches without a place.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ParkedStatus {
    /// How many pieces.
    pub pieces: u64,
    /// Ops in them.
    pub operations: u64,
    /// Why, with counts.
    pub reasons: Vec<(&'static str, u64)>,
}

/// A verdict in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictStatus {
    /// Its number.
    pub id: u64,
    /// Where the head was put.
    pub to: Node,
    /// What was left: the old head.
    pub barred: Node,
    /// The fork that is barred: its first batch behind `to`.
    pub fork: Option<BatchId>,
    /// The operator's words.
    pub reason: String,
    /// When, ms since the epoch.
    pub at_ms: u64,
}

/// A checkpoint announcement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointStatus {
    /// Block named.
    pub block: u64,
    /// Hash.
    pub hash: HashText,
    /// Last batch of the period it closes.
    pub at: Option<Node>,
    /// Verdict on its boundary: `valid`, `open`, or the reason it is invalid.
    #[serde(serialize_with = "boundary_word")]
    pub boundary: Boundary,
}

fn boundary_word<S: serde::Serializer>(boundary: &Boundary, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match boundary {
        Boundary::Valid => "valid",
        Boundary::Open => "open",
        Boundary::Invalid(reason) => reason,
    })
}

/// Counters since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counters {
    /// Ops received.
    pub ops: u64,
    /// Batches chained.
    pub chained: u64,
    /// Batches dropped because they were held already.
    pub repeated: u64,
    /// Batches parked.
    pub parked: u64,
    /// Batches chained that no feed brought.
    pub supplied: u64,
    /// Ops refused.
    pub refused: u64,
    /// Periods opened.
    pub periods: u64,
    /// Forks born.
    pub forks: u64,
    /// Questions asked of feeds.
    pub asked: u64,
    /// Checkpoint messages.
    pub checkpoints: u64,
    /// Head moves other than by extension.
    pub head_moves: u64,
    /// Holes found.
    pub gaps: u64,
}

/// Something the seeds call an event: `fork:new`, `fork:switch`, `fork:confirmed`, `fork:invalid`, `checkpoint`,
/// `checkpoint:invalid`, and ours: `head:first`, `head:past`, `gap`, `lane:closed`, `rollback`, `release`, `base:found`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Running number.
    pub id: u64,
    /// When, ms since the epoch.
    pub at_ms: u64,
    /// Its name.
    pub event: &'static str,
    /// What it is about, in words a person reads.
    pub about: String,
}
