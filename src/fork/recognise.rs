//! A restarted honeycomb: it replays older periods under indexes that mean nothing, then writes its running period again
//! from the start, at an index above 0. By the period's own `put stats.pendingHash` it is recognised. One that has nothing
//! to replay begins at index 0, without the markers that straggled into the period when it was written first: what it
//! writes then has its place behind them.
//!
//! *Always holds:* a lane is put into a period only when everything it has sent of it, from the period's start, is what
//! the tree holds there; and only into a period that nothing follows yet, because a replay runs on into the next period
//! without a word.

use super::book::Ready;
use super::found::Resume;
use super::machine::{Core, Effects};
use super::record::{Before, Node, OpenCause, Opened, Record, Stands};
use super::tree::{Entry, Place};
use crate::feed::message::FeedId;
use honeygraph_protocols::honeycomb::{HashText, Item, Ops, What};

/// Markers that may have straggled into a period before its first op: one is common, more were never seen.
const STRAGGLERS: u64 = 4;

impl Core {
    /// The last of the empty batches with which the tree begins this period, when what follows them is this batch, with
    /// which a lane begins it; and how many there are. The same content with fewer markers before it is no other history.
    pub(super) fn behind_stragglers(
        &self,
        before: Option<Node>,
        hash: &HashText,
        ready: &Ready,
        ops_hash: [u8; 32],
    ) -> Option<(Node, u64)> {
        let mut empty = Place { before, period: hash, seq: 0, count: 0, ops_hash: hash_of_nothing() };
        while ready.seq == 0 && ready.count > 0 && empty.seq < STRAGGLERS {
            let at = self.ledger.find(&empty)?;
            empty = Place { before: Some(at), seq: empty.seq + 1, ..empty };
            let first = Place { count: ready.count, ops_hash, ..empty };
            if self.ledger.find(&first).is_some() {
                return Some((at, empty.seq));
            }
        }
        None
    }

    /// A lane's period begins behind so many markers that it does not have.
    pub(super) fn step_behind(&mut self, lane: u64, ordinal: u32, (at, markers): (Node, u64), fx: &mut Effects) {
        let Some(book) = self.ledger.books.get(&lane).and_then(|book| book.periods.get(&ordinal)) else { return };
        let runs = book.runs.iter().map(|base| base + markers).collect();
        for attached in self.feeds.values_mut().filter(|attached| attached.no == lane) {
            attached.lane.step_behind(ordinal, markers);
        }
        self.append(Record::Stands(Stands { lane, ordinal, at: Some(at), next: markers, runs }), None, fx);
    }

    /// Whether a period with this hash is held under another label: then it is being written again.
    pub(super) fn is_known_otherwise(&self, hash: &HashText, label: Option<u64>) -> bool {
        let mut held = self.ledger.tree.periods_of(hash).filter_map(|(_, period)| period.label);
        label.is_some_and(|label| held.next().is_some_and(|held| held != label))
    }

    /// Whether a period that a lane opened with this hash and label is an older one, written again under a later label.
    pub(super) fn is_written_again(&self, hash: &HashText, label: Option<u64>) -> bool {
        let held = self.ledger.tree.periods_of(hash).find_map(|(_, period)| period.label);
        let later = |(held, label): (u64, u64)| {
            self.rules.is_honeycomb(label) && label > held && (label - held).is_multiple_of(self.rules.checkpoint_every)
        };
        held.zip(label).is_some_and(later)
    }

    /// A lane that begins with a period's hash under another period's label.
    pub(super) fn look_for_replay(&mut self, feed: FeedId, ops: &Ops) {
        let Some(attached) = self.feeds.get(&feed).filter(|attached| attached.lane.here().is_none()) else { return };
        let Some(Item { what: What::Op { pending_hash: Some(hash), .. }, block, .. }) = ops.items.first() else {
            return;
        };
        let label = attached.lane.label(*block);
        if self.is_known_otherwise(hash, label) {
            self.feeds.get_mut(&feed).expect("just seen").lane.begins_with_replay();
        }
    }

    /// How many items of a frame end with the batch that writes the hash of a period at a tip, when the lane does not
    /// know where it stands; none: there is no such batch in it.
    pub(super) fn cut_to_recognise(&mut self, feed: FeedId, items: &[Item]) -> Option<usize> {
        let attached = self.feeds.get(&feed)?;
        if attached.lane.here().is_some_and(|here| here.opened) {
            return None;
        }
        let mut hoping = attached.hoping.clone();
        let mut cut = None;
        for (at, item) in items.iter().enumerate() {
            match &item.what {
                What::Op { pending_hash: Some(hash), .. }
                    if self.tip_period(hash).is_some()
                        && !self.is_known_otherwise(hash, attached.lane.label(item.block)) =>
                {
                    hoping = Some(hash.clone())
                }
                What::Marker if hoping.is_some() => {
                    cut = Some(at + 1);
                    break;
                }
                _ => {}
            }
        }
        self.feeds.get_mut(&feed)?.hoping = hoping;
        cut
    }

    /// The batch that wrote the hash has been taken in: does the lane stand in that period?
    pub(super) fn recognise(&mut self, feed: FeedId, fx: &mut Effects) {
        let Some(attached) = self.feeds.get_mut(&feed) else { return };
        let (lane, hash) = (attached.no, attached.hoping.take());
        let here = attached.lane.here().filter(|here| !here.opened).map(|here| here.ordinal);
        let Some((ordinal, (at, offset, next))) =
            here.zip(hash.as_ref().and_then(|hash| self.repeated_start(lane, hash)))
        else {
            return;
        };
        let ordinal = ordinal + 1;
        let label = self.ledger.tree.entry(at).and_then(|entry| self.ledger.tree.period(entry.period)?.label);
        let old = (None, None);
        let place = Resume { ordinal, label, hash: hash.clone(), run: 0, base: 0, next, opened: true, old };
        self.feeds.get_mut(&feed).expect("just seen").lane.recognised(place, offset);
        let (cause, before) = (OpenCause::Resume, Before::Nothing);
        self.append(Record::Opened(Opened { lane, ordinal, label, hash, cause, before, end: 0 }), None, fx);
        self.append(Record::Stands(Stands { lane, ordinal, at: Some(at), next, runs: vec![0] }), None, fx);
    }

    /// The one held period with this hash, if it is the last on its branch: its number and batches.
    fn tip_period(&self, hash: &HashText) -> Option<(Node, impl Iterator<Item = &Entry>)> {
        let mut periods = self.ledger.tree.periods_of(hash);
        let (number, period) = periods.next()?;
        let state = self.ledger.tree.branch(period.branch).filter(|_| periods.next().is_none())?;
        let at_tip = state.tip == period.last.version && !state.retired;
        let from = state.entries.partition_point(|entry| entry.period < number);
        at_tip.then(|| (period.last, state.entries.range(from..).filter(move |entry| entry.period == number)))
    }

    /// Whether the end of the lane's book repeats the start of the period: the batch there, the lane's index at which the
    /// period began, and the place that follows.
    fn repeated_start(&self, lane: u64, hash: &HashText) -> Option<(Node, u64, u64)> {
        let (tip, entries) = self.tip_period(hash)?;
        let book = self.ledger.books.get(&lane)?.last()?.1;
        let (seq, last) = book.pieces.last_key_value()?;
        let same = |entry: &Entry, piece: &super::book::Parked| {
            (entry.ops_hash, entry.count, entry.marker)
                == (piece.ops_hash, piece.count, piece.close == super::record::Close::Marker)
        };
        let mut started = Vec::new();
        for entry in entries {
            started.push(entry);
            if !same(entry, last) {
                continue;
            }
            let offset = seq.checked_sub(entry.seq)?;
            let all = started
                .iter()
                .all(|entry| book.pieces.get(&(offset + entry.seq)).is_some_and(|piece| same(entry, piece)));
            let whole = started.first().is_some_and(|first| first.seq == 0);
            return (all && whole).then(|| (Node { branch: tip.branch, version: entry.version }, offset, entry.end()));
        }
        None
    }
}

/// `ops_hash` of a batch without ops.
fn hash_of_nothing() -> [u8; 32] {
    *blake3::hash(&[]).as_bytes()
}
