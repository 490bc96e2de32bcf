//! Documents made again: the delta of a period, or the root of a day, as honeycomb would have saved it.
//!
//! A delta names the deltas since the day's root, that root and the one before it; all of them are opening hashes of
//! periods on the same history. The root before the first day that was seen is not known: then honeycomb's own start
//! (an empty one) is tried, which proves the delta if it fits and says nothing if it does not.
//!
//! *Always holds:* documents go through the hash in pieces and are never held.

use crate::fork::record::{Node, Outcome};
use crate::fork::rules::Rules;
use crate::journal::{self, JournalError};
use crate::projection::state::kv::{Fjall, KvError};
use crate::projection::state::reader::Snapshot;
use crate::projection::state::{Batch, StateError};
use honeygraph_protocols::document::{CidV0, Delta, DeltaWriter, Link, RootWriter};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::op::{self, OpError};
use honeygraph_protocols::path::{self, Segment};
use std::collections::VecDeque;
use tokio_util::sync::CancellationToken;

/// Leaves and ops between two looks at whether the node stops.
const STOP_EVERY: usize = 4_096;
/// Length of a CIDv0 in text.
const CID_CHARS: usize = 46;

/// Why a document could not be made, for reasons that are this node's own.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What the journal holds are not ops.
    #[error(transparent)]
    Ops(#[from] OpError),
    /// The node stops.
    #[error("stopped")]
    Stopped,
}

impl From<KvError> for DocumentError {
    fn from(error: KvError) -> Self {
        Self::State(error.into())
    }
}

/// A checkpoint that closed a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its hash.
    pub hash: HashText,
    /// Its block.
    pub label: Option<u64>,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether the document is a root.
    pub root: bool,
    /// What came out.
    pub outcome: Outcome,
    /// Hash that the state names as agreed on.
    pub agreed: Option<HashText>,
}

/// What documents are made from, as of one commit of the state.
pub struct Documents<'a> {
    /// The network.
    pub network: &'a str,
    /// Its numbers.
    pub rules: Rules,
    /// The state.
    pub snapshot: Snapshot<Fjall>,
    /// The ops.
    pub journal: &'a journal::Reader,
    /// Ends it.
    pub stop: &'a CancellationToken,
}

/// Doubt of a root of whose state not every key is known.
pub const NO_BASE: &str = "no_base";

/// Doubts that the document itself would settle.
pub const SETTLED_BY_DOCUMENT: [&str; 3] = ["root_unknown", "previous_root_unknown", "label_unknown"];

/// What a delta says beside its ops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Day {
    chain: Vec<Link>,
    root: Option<String>,
    prev_root: Option<String>,
}

/// What documents from elsewhere have said of the day before a period, by the period's opening hash.
#[derive(Debug, Default)]
pub struct Learned(VecDeque<(HashText, Day)>);

/// Days remembered: one for each history that is followed is enough.
const LEARNED: usize = 64;

impl Learned {
    fn of(&self, hash: &HashText) -> Option<&Day> {
        self.0.iter().rev().find(|(known, _)| known == hash).map(|(_, day)| day)
    }

    /// A delta with this hash says what came before it.
    fn learn(&mut self, hash: &HashText, day: Day) {
        if self.0.len() >= LEARNED {
            self.0.pop_front();
        }
        self.0.push_back((hash.clone(), day));
    }
}

/// The word of an [`Outcome::Unverifiable`].
fn doubt(why: &str) -> Outcome {
    Outcome::Unverifiable(why.to_owned())
}

impl Documents<'_> {
    /// Makes the document of the period that ends with batch `at` and compares its CID with the checkpoint.
    pub fn check(&self, at: &Batch, checkpoint: &Checkpoint, learned: &Learned) -> Result<Checked, DocumentError> {
        let root = self.ends_with_root(at);
        let outcome = match checkpoint.label {
            _ if !checkpoint.hash.as_str().starts_with("Qm") || checkpoint.hash.as_str().len() != CID_CHARS => {
                doubt("not_a_cid")
            }
            None => doubt("label_unknown"),
            Some(label) if root => self.root(at, label, &checkpoint.hash)?,
            Some(label) => self.delta(at, label, &checkpoint.hash, learned)?,
        };
        Ok(Checked { root, outcome, agreed: self.agreed(at.node)? })
    }

    /// The same with the delta that has the checkpoint's hash: what it says beside its ops needs no other source, and is
    /// remembered for the periods behind it. Whether the bytes are that document is the caller's to know.
    pub fn check_with(
        &self,
        at: &Batch,
        checkpoint: &Checkpoint,
        document: &[u8],
        learned: &mut Learned,
    ) -> Result<Outcome, DocumentError> {
        let Ok(delta) = Delta::parse(document) else { return Ok(doubt("not_a_delta")) };
        let day = Day { chain: delta.chain, root: Some(delta.root), prev_root: Some(delta.prev_root) };
        let outcome = self.delta_of_day(at, delta.number, &checkpoint.hash, &day)?;
        learned.learn(&checkpoint.hash, day);
        Ok(outcome)
    }

    /// Whether the period of this batch is closed by a root: the one with the daily accounting, and honeycomb's first.
    fn ends_with_root(&self, batch: &Batch) -> bool {
        self.is_genesis(batch) || batch.opening_label.is_some_and(|label| self.rules.has_second_run(label))
    }

    fn is_genesis(&self, batch: &Batch) -> bool {
        batch.period.as_str().strip_prefix("genesis:") == Some(self.network)
    }

    fn root(&self, at: &Batch, label: u64, hash: &HashText) -> Result<Outcome, DocumentError> {
        if !self.snapshot.complete(self.network, at)? {
            return Ok(doubt(NO_BASE));
        }
        let view = match self.snapshot.view(at.node) {
            Err(StateError::Gone(_)) => return Ok(doubt("not_kept")),
            view => view?,
        };
        let mut cid = CidV0::default();
        let mut writer = RootWriter::new(label + 1, |piece: &[u8]| cid.push(piece));
        for (nth, leaf) in view.scan(&[], None).enumerate() {
            self.look_for_stop(nth)?;
            let (path, text) = leaf?;
            if writer.leaf(&path, &text).is_err() {
                return Ok(doubt("shape"));
            }
        }
        if writer.finish().is_err() {
            return Ok(doubt("shape"));
        }
        Ok(compare(cid.finish(), hash))
    }

    fn delta(&self, at: &Batch, label: u64, hash: &HashText, learned: &Learned) -> Result<Outcome, DocumentError> {
        let first = self.segments(at)?.pop().map_or_else(|| at.clone(), |(first, _)| first);
        match self.day(&first, learned)? {
            Ok(day) => self.delta_of_day(at, label + 1, hash, &day),
            Err(why) => Ok(doubt(why)),
        }
    }

    fn delta_of_day(&self, at: &Batch, number: u64, hash: &HashText, day: &Day) -> Result<Outcome, DocumentError> {
        let segments = self.segments(at)?;
        if segments.last().is_none_or(|(first, _)| first.seq != 0) {
            return Ok(doubt("gap"));
        }
        let Some(root) = &day.root else { return Ok(doubt("root_unknown")) };
        let mut cid = CidV0::default();
        let mut writer = DeltaWriter::new(number, &day.chain, |piece: &[u8]| cid.push(piece));
        let (mut next, mut looked) = (0, 0);
        for (first, last) in segments.iter().rev() {
            for batch in self.snapshot.batches(first.node.branch, first.node.version, last.node.version) {
                let batch = batch?;
                if batch.seq != next {
                    return Ok(doubt("gap"));
                }
                next = batch.seq + batch.count + u64::from(batch.marker);
                for piece in &batch.pieces {
                    let body = match self.journal.body(*piece) {
                        Err(JournalError::NotHeld(_) | JournalError::Trimmed { .. }) => return Ok(doubt("not_held")),
                        body => body?,
                    };
                    for text in op::texts(&body) {
                        writer.op(text?);
                    }
                }
                if batch.marker {
                    writer.marker();
                }
                looked += 1;
                self.look_for_stop(looked)?;
            }
        }
        writer.finish(day.prev_root.as_deref().unwrap_or_default(), root);
        match compare(cid.finish(), hash) {
            Outcome::Mismatch { .. } if day.prev_root.is_none() => Ok(doubt("previous_root_unknown")),
            Outcome::Mismatch { .. } if !at.unbroken => Ok(doubt("gap")),
            outcome => Ok(outcome),
        }
    }

    /// The batches of a period up to `at`: first and last of each branch that has some, newest first.
    fn segments(&self, at: &Batch) -> Result<Vec<(Batch, Batch)>, DocumentError> {
        let mut segments = Vec::new();
        let mut last = at.clone();
        loop {
            let first = self.snapshot.first_of_period(&last)?;
            let before = self.before(&first)?;
            segments.push((first, last));
            match before {
                Some(before) if before.period == at.period => last = before,
                _ => return Ok(segments),
            }
        }
    }

    /// The batch before one.
    fn before(&self, batch: &Batch) -> Result<Option<Batch>, DocumentError> {
        match batch.prev {
            Some(prev) => Ok(self.snapshot.batch(prev)?),
            None => Ok(None),
        }
    }

    /// The roots and deltas before the period that begins with this batch; why they are not known.
    fn day(&self, first: &Batch, learned: &Learned) -> Result<Result<Day, &'static str>, DocumentError> {
        let mut day = Day::default();
        let mut first = first.clone();
        for _ in 0..2 * (self.rules.root_interval / self.rules.checkpoint_every) + 2 {
            let before = self.before(&first)?;
            if let (None, Some(known), Some(hive_block)) = (&day.root, learned.of(&first.period), first.opening_label) {
                day.chain.push(Link { hash: first.period.to_string(), hive_block });
                day.chain.extend(known.chain.iter().rev().cloned());
                (day.root, day.prev_root) = (known.root.clone(), known.prev_root.clone());
                break;
            }
            let of_root = match &before {
                Some(before) => self.ends_with_root(before),
                None => self.snapshot.based(first.node) == Some(first.node),
            };
            match (of_root, first.opening_label) {
                (true, _) if day.root.is_some() => {
                    day.prev_root = Some(first.period.to_string());
                    break;
                }
                (true, _) => day.root = Some(first.period.to_string()),
                (false, _) if day.root.is_some() => {}
                (false, Some(hive_block)) => day.chain.push(Link { hash: first.period.to_string(), hive_block }),
                (false, None) => return Ok(Err("label_unknown")),
            }
            let Some(before) = before else { break };
            if self.is_genesis(&before) {
                day.prev_root = Some(String::new());
                break;
            }
            first = self.segments(&before)?.pop().map_or(before, |(first, _)| first);
        }
        day.chain.reverse();
        Ok(Ok(day))
    }

    /// `stats.hashLastIBlock` as of a point.
    fn agreed(&self, at: Node) -> Result<Option<HashText>, DocumentError> {
        let view = match self.snapshot.view(at) {
            Err(StateError::Gone(_)) => return Ok(None),
            view => view?,
        };
        let text = view.get(&path::encode(&[Segment::from("stats"), Segment::from("hashLastIBlock")]))?;
        let Some(Ok(Json::Text(hash))) = text.map(|text| json::parse(&text)) else { return Ok(None) };
        Ok(hash.as_str().and_then(HashText::new))
    }

    pub(super) fn look_for_stop(&self, nth: usize) -> Result<(), DocumentError> {
        let stops = nth.is_multiple_of(STOP_EVERY) && self.stop.is_cancelled();
        if stops { Err(DocumentError::Stopped) } else { Ok(()) }
    }
}

fn compare(computed: String, announced: &HashText) -> Outcome {
    if computed == announced.as_str() { Outcome::Verified } else { Outcome::Mismatch { computed } }
}
