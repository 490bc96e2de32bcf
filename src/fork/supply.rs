//! Content from elsewhere: batches that no socket brought, and that something else vouches for (a document by its CID,
//! headers that lead to an anchor).
//!
//! A supply says where its first batch stands and goes on from there, in the order of the chain. What the tree holds
//! already is dropped; what is new is journalled with its place and chained at once; what contradicts what is held is a
//! fork by the usual rules. Lanes that waited for it find their place by themselves.
//!
//! What comes before our own beginning is a history of its own until it reaches it: then what is ours is chained again
//! behind it (`reopen.rs`).
//!
//! *Always holds:* nothing of a supply is ever parked: what has no place is refused before it is written, and may be
//! supplied again. Its pieces are [`PLACED`]: their chain record follows them, and a piece that lost its own in a crash
//! is nobody's. A supply is no evidence: it moves the head only by extending it.

use super::machine::{Bodies, Body, Core, Effects};
use super::meet::Ended;
use super::record::{BranchCause, Close, Node, PLACED, Piece, Record};
use super::settle::Link;
use super::tree::Place;
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Supplies waiting for a core: enough that it need not wait for the next, little memory.
pub const SUPPLY_CAPACITY: usize = 4;
/// Batches in one supply: a core is busy with them for some 20 ms, and feeds wait meanwhile. More are refused.
pub const SUPPLY_BATCHES: usize = 4_096;
/// Periods in one supply, likewise.
pub const SUPPLY_PERIODS: usize = 512;
/// Bytes of frames in one supply, unless it is a single batch: what the journal's group takes without waiting.
pub const SUPPLY_BYTES: usize = 1 << 20;
/// Longest name of a source that is shown.
const SOURCE_CHARS: usize = 128;

/// A run of batches from one source.
#[derive(Clone, Debug, PartialEq)]
pub struct Supply {
    /// Who has it, in words for people.
    pub source: String,
    /// Where the first batch stands.
    pub start: Start,
    /// The periods, each following the one before.
    pub periods: Vec<SuppliedPeriod>,
}

/// Where the first batch of a supply stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// At the beginning of the first period that this network ever chained, or will.
    First,
    /// At the beginning of a history that leads to the period which this hash opens, and with which ours begins.
    Before(HashText),
    /// At the beginning of its period, where that stands already.
    Held,
    /// Behind a batch.
    Behind {
        /// Opening hash of that batch's period.
        period: HashText,
        /// The batch.
        batch: BatchId,
        /// Which one, when several histories have it: as [`Supplied::at`] or the status said.
        at: Option<Node>,
    },
}

/// Batches of one period, in order and without a hole between them.
#[derive(Clone, Debug, PartialEq)]
pub struct SuppliedPeriod {
    /// Opening hash.
    pub hash: HashText,
    /// Opening label.
    pub label: Option<u64>,
    /// The batches; only a supply's first period may begin in its middle.
    pub batches: Vec<SuppliedBatch>,
    /// Hash that opened the next period, when this one ends with the last of these batches.
    pub closed: Option<HashText>,
}

/// A batch.
#[derive(Clone, Debug, PartialEq)]
pub struct SuppliedBatch {
    /// Place of its first op in the period.
    pub seq: u64,
    /// Its own label; none: its period's.
    pub label: Option<u64>,
    /// Whether a marker closed it, else the end of the period did.
    pub marker: bool,
    /// Its ops.
    pub ops: Packed,
}

/// The ops of a batch as they are stored and travel. Whoever makes one has unpacked the frames and looked at every op
/// (`journal::packed`).
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// Frames in order, each with its count and hash; one of nothing for a batch without ops.
    frames: Vec<PackedFrame>,
    count: u64,
    ops_hash: [u8; 32],
}

#[derive(Clone, Debug, PartialEq)]
struct PackedFrame {
    bytes: Vec<u8>,
    count: u32,
    ops_hash: [u8; 32],
}

impl Packed {
    /// A batch of one frame.
    pub(crate) fn new(frame: Vec<u8>, count: u32, ops_hash: [u8; 32]) -> Self {
        let frames = vec![PackedFrame { bytes: frame, count, ops_hash }];
        Self { frames, count: u64::from(count), ops_hash }
    }

    /// Goes on with another frame; `ops_hash` is the frame's own, `whole` that of all up to it.
    pub(crate) fn push(&mut self, frame: Vec<u8>, count: u32, ops_hash: [u8; 32], whole: [u8; 32]) {
        self.frames.push(PackedFrame { bytes: frame, count, ops_hash });
        self.count += u64::from(count);
        self.ops_hash = whole;
    }

    /// Ops.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// blake3 over the length-prefixed op texts.
    pub fn ops_hash(&self) -> [u8; 32] {
        self.ops_hash
    }

    /// Bytes of the frames.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(|frame| frame.bytes.len()).sum()
    }
}

impl SuppliedBatch {
    /// Place of the item that follows it.
    pub fn end(&self) -> u64 {
        self.seq + self.ops.count + u64::from(self.marker)
    }
}

/// What became of a supply. It is durable when this is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supplied {
    /// Where the last batch that has a place stands now.
    pub at: Option<Node>,
    /// That batch.
    pub batch: Option<BatchId>,
    /// Batches that were held already.
    pub known: u64,
    /// Batches that are new.
    pub chained: u64,
    /// Why the rest was refused, in one stable word; none: nothing was.
    pub refused: Option<&'static str>,
}

/// A supply on its way to the core, and where the answer goes.
#[derive(Debug)]
pub struct Order {
    /// The supply.
    pub supply: Supply,
    /// The answer.
    pub reply: oneshot::Sender<Supplied>,
}

impl Supply {
    /// What is wrong with its shape, in one word.
    fn malformed(&self) -> Option<&'static str> {
        let batches = || self.periods.iter().flat_map(|period| &period.batches);
        let count = batches().count();
        let bytes: usize = batches().map(|batch| batch.ops.bytes()).sum();
        if count > SUPPLY_BATCHES || self.periods.len() > SUPPLY_PERIODS || (count > 1 && bytes > SUPPLY_BYTES) {
            return Some("too_large");
        }
        let begins = |nth: usize| {
            nth > 0 || !matches!(&self.start, Start::Behind { period, .. } if *period == self.periods[0].hash)
        };
        for (nth, period) in self.periods.iter().enumerate() {
            let Some(first) = period.batches.first() else { return Some("empty_period") };
            let next = self.periods.get(nth + 1);
            let ends = next.is_some() || period.closed.is_some();
            let follows = |pair: &[SuppliedBatch]| pair[0].end() == pair[1].seq && pair[0].marker;
            if (begins(nth) && first.seq != 0) || !period.batches.windows(2).all(follows) {
                return Some("not_in_order");
            }
            if !ends && period.batches.last().is_some_and(|last| !last.marker) {
                return Some("open_batch");
            }
            if next.is_some_and(|next| period.closed.as_ref().is_some_and(|closed| *closed != next.hash)) {
                return Some("not_in_order");
            }
        }
        batches().any(|batch| batch.ops.count == 0 && !batch.marker).then_some("empty_batch")
    }
}

impl Core {
    /// Takes a supply, as far as it has a place.
    pub fn supply(&mut self, now: u64, supply: Supply, bodies: &mut dyn Bodies, fx: &mut Effects) -> Supplied {
        let mut done = Supplied { at: None, batch: None, known: 0, chained: 0, refused: supply.malformed() };
        let Some(first) = supply.periods.first().filter(|_| done.refused.is_none()) else { return done };
        let seq = first.batches.first().map_or(0, |batch| batch.seq);
        match self.start_of(&supply.start, &first.hash, seq) {
            Ok(at) => done.at = at,
            Err(why) => {
                done.refused = Some(why);
                return done;
            }
        }
        let is_past = matches!(supply.start, Start::Before(_));
        let source: Arc<str> = supply.source.chars().take(SOURCE_CHARS).collect::<String>().into();
        let is_first = self.ledger.tree.is_empty();
        let mut ended = Vec::new();
        'all: for period in supply.periods {
            let (hash, label) = (period.hash, period.label);
            for batch in period.batches {
                if let Err(why) = self.take(now, (&hash, label, is_past), batch, &mut done, fx) {
                    done.refused = Some(why);
                    break 'all;
                }
            }
            ended.extend(period.closed.zip(done.at).map(|(closed, at)| {
                let (since, source) = (now, source.clone());
                Ended { hash, closed, at, since, source }
            }));
        }
        done.batch = done.at.and_then(|at| self.ledger.tree.entry(at)).map(|entry| entry.id);
        self.counters.supplied += done.chained;
        if is_first && done.chained > 0 {
            self.event(now, "head:first", format!("{source}: its history is the head"));
        }
        self.meet(now, &ended, bodies, fx);
        self.supplier = Some(source);
        self.retry(now, bodies, fx);
        self.supplier = None;
        done
    }

    /// The batch that the first one of a supply stands on.
    fn start_of(&self, start: &Start, hash: &HashText, seq: u64) -> Result<Option<Node>, &'static str> {
        let tree = &self.ledger.tree;
        match start {
            Start::First => Ok(None),
            Start::Before(ours) => {
                let begins = tree.periods_of(ours).any(|(_, period)| period.before.is_none());
                if begins { Ok(None) } else { Err("no_beginning_of_ours") }
            }
            Start::Held => {
                let mut before: Vec<Option<Node>> = tree.periods_of(hash).map(|(_, period)| period.before).collect();
                before.dedup();
                match before.as_slice() {
                    [one] => Ok(*one),
                    [] => Err("period_unknown"),
                    _ => Err("predecessor_ambiguous"),
                }
            }
            Start::Behind { period, batch, at } => {
                let found = tree.named(period, *batch);
                let node = match (at, found.as_slice()) {
                    (Some(at), found) if found.contains(at) => *at,
                    (None, [one]) => *one,
                    (None, [_, _, ..]) => return Err("predecessor_ambiguous"),
                    _ => return Err("predecessor_unknown"),
                };
                let entry = tree.entry(node).ok_or("predecessor_unknown")?;
                let fits = period != hash || (entry.marker && entry.end() == seq);
                if fits { Ok(Some(node)) } else { Err("place_differs") }
            }
        }
    }

    /// Takes one batch behind `done.at`.
    fn take(
        &mut self,
        now: u64,
        (hash, opening_label, is_past): (&HashText, Option<u64>, bool),
        batch: SuppliedBatch,
        done: &mut Supplied,
        fx: &mut Effects,
    ) -> Result<(), &'static str> {
        let before = done.at;
        let place =
            Place { before, period: hash, seq: batch.seq, count: batch.ops.count, ops_hash: batch.ops.ops_hash };
        if let Some(node) = self.ledger.find(&place) {
            (done.at, done.known) = (Some(node), done.known + 1);
            return Ok(());
        }
        let label = batch.label.or(opening_label);
        let (branch, mut born) = self.branch_for(before, false, label)?;
        if is_past && let Some(born) = born.as_mut().filter(|born| born.parent.is_none()) {
            born.cause = BranchCause::First;
        }
        // Another beginning contradicts nothing: it is a history of which nobody knows what it has to do with ours.
        let begun = || self.ledger.tree.periods_of(hash).any(|(_, period)| period.before.is_none());
        match born.as_ref().filter(|_| before.is_none()).map(|born| born.cause) {
            None | Some(BranchCause::First) => {}
            Some(_) if begun() => {}
            Some(_) => return Err("another_beginning"),
        }
        let (seq, marker, count, ops_hash) = (batch.seq, batch.marker, batch.ops.count, batch.ops.ops_hash);
        let pieces = self.write_down(now, label, batch, fx);
        let link =
            Link { before, hash, opening_label, label, seq, count, marker, pieces, ops_hash, behind_hole: false };
        done.at = Some(self.chain(now, link, (branch, born), fx));
        done.chained += 1;
        Ok(())
    }

    /// Journals the frames of a batch as they came.
    fn write_down(&mut self, now: u64, label: Option<u64>, batch: SuppliedBatch, fx: &mut Effects) -> Vec<u64> {
        let (mut seq, last) = (batch.seq, batch.ops.frames.len() - 1);
        let mut pieces = Vec::with_capacity(last + 1);
        for (nth, frame) in batch.ops.frames.into_iter().enumerate() {
            let close = match nth == last {
                false => Close::More,
                true if batch.marker => Close::Marker,
                true => Close::Rollover,
            };
            let record = Piece {
                lane: 0,
                ordinal: PLACED,
                label,
                run: 0,
                seq,
                index: None,
                count: frame.count,
                close,
                begins: nth == 0,
                ops_hash: frame.ops_hash,
                at_ms: now,
            };
            seq += u64::from(frame.count);
            pieces.push(self.append(Record::Piece(record), Some(Body::Frame(frame.bytes)), fx));
        }
        pieces
    }
}
