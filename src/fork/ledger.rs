//! Everything durable that the core knows: the tree, the books of the lanes, the head, holes and verdicts.
//!
//! *Always holds:* it changes only through [`Ledger::apply`], by records that are (or are about to be) in the journal;
//! so replaying the journal up to any record gives the very ledger that the machine had there (`==`), whatever sockets
//! were attached. What only memory knows (open batches, how far a lane repeats the tree) is not in it.

use super::book::Book;
use super::proofs::{Anchor, Proofs};
use super::record::{
    BranchNo, Chain, Checkpoint, Close, Gap, GapState, Head, HeadCause, Lsn, Node, Opened, PLACED, Piece, Record, Same,
    Stands, UNPLACED,
};
use super::tree::{Place, Tree};
use honeygraph_protocols::honeycomb::HashText;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A verdict of the operator in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Its number: the LSN of its head record.
    pub id: u64,
    /// Where the head was put.
    pub to: Node,
    /// The first batch behind it on the history that was left: nothing that holds it may be the head's.
    pub barred: Node,
    /// The old head.
    pub left: Node,
    /// The operator's words.
    pub reason: String,
    /// When, ms.
    pub at_ms: u64,
}

/// Parked pieces that the books of all lanes hold in memory, about 120 MB: beyond, the lane that holds most of them is
/// forgotten, so that one feed cannot take the room of another.
const PARKED_LIMIT: usize = 500_000;
/// Parked pieces that a lane's book holds in memory; those beyond are durable and counted, and wait for the journal to be
/// read again.
const UNPLACED_LIMIT: usize = 200_000;

/// Lanes remembered after their socket is gone, so that a socket can resume there.
pub const LANES_HELD: usize = 256;
/// Checkpoint announcements remembered.
pub const CHECKPOINTS_HELD: usize = 4_096;

/// The ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Last record taken.
    pub lsn: Lsn,
    /// The chain.
    pub tree: Tree,
    /// Books by lane.
    pub books: BTreeMap<u64, Book>,
    /// Where each parked piece lies.
    parked: BTreeMap<Lsn, (u64, u32, u64)>,
    /// The head.
    pub head: Option<Node>,
    /// Verdicts in force.
    pub verdicts: Vec<Verdict>,
    /// Holes that were recorded and not filled, by number.
    pub gaps: BTreeMap<u64, Gap>,
    /// Newest checkpoint announcements, newest last.
    pub checkpoints: VecDeque<Checkpoint>,
    /// What is proven. Shared with those who show it; changed by records alone.
    pub proofs: Arc<Proofs>,
    /// Ops in parked pieces.
    parked_ops: u64,
    /// Pieces whose place nobody knows: count and ops.
    pub unplaced: (u64, u64),
    /// Highest number of a lane.
    pub last_lane: u64,
    /// Highest number of a hole.
    pub last_gap: u64,
}

impl Ledger {
    /// Parked pieces and the ops in them, those without a place included.
    pub fn parked(&self) -> (u64, u64) {
        (self.parked.len() as u64 + self.unplaced.0, self.parked_ops + self.unplaced.1)
    }

    /// Parked pieces that may still get a place, oldest first.
    pub fn parked_pieces(&self) -> impl Iterator<Item = Lsn> + '_ {
        self.parked.keys().copied()
    }

    /// Takes one record.
    pub fn apply(&mut self, lsn: Lsn, record: &Record) {
        self.lsn = lsn;
        match record {
            Record::Piece(piece) => self.piece(lsn, piece),
            Record::Opened(opened) => self.opened(opened),
            Record::Named(named) => {
                if let Some(book) = self.books.get_mut(&named.lane) {
                    book.named(named);
                }
            }
            Record::Branch(branch) => self.tree.born(branch),
            Record::Chain(chain) => self.chain(lsn, chain),
            Record::Head(head) => self.head(lsn, head),
            Record::Checkpoint(checkpoint) => self.checkpoint(checkpoint),
            Record::Gap(gap) => self.gap(gap),
            Record::Retired(retired) => {
                self.tree.retired(retired.branch);
                let live = self.tree.live().map(|(branch, _)| branch).collect();
                Arc::make_mut(&mut self.proofs).retain(&live);
            }
            Record::Same(same) => self.same(same),
            Record::Stands(stands) => self.stands(stands),
            Record::Proof(proof) => {
                let links = self.tree.links(proof.by);
                let tree = &self.tree;
                let vouched = |hash: &HashText| tree.periods_of(hash).any(|(_, period)| period.confirmed);
                Arc::make_mut(&mut self.proofs).proven(&links, proof, vouched);
            }
            Record::Trust(trust) => {
                let histories = self.histories();
                Arc::make_mut(&mut self.proofs).trust(&histories, trust);
            }
            Record::Rebased(rebased) => Arc::make_mut(&mut self.proofs).rebased(rebased),
            Record::Agreed(agreed) => {
                let histories = self.histories();
                let proofs = Arc::make_mut(&mut self.proofs);
                histories.iter().for_each(|links| proofs.confirm(links, &agreed.hash, Anchor::Consensus));
            }
        }
    }

    fn opened(&mut self, opened: &Opened) {
        self.last_lane = self.last_lane.max(opened.lane);
        self.books.entry(opened.lane).or_default().opened(opened);
        while self.books.len() > LANES_HELD {
            let others = self.books.iter().filter(|(lane, _)| **lane != opened.lane);
            let Some((_, lane)) = others.map(|(lane, book)| (book.at_ms, *lane)).min() else { return };
            self.forget(lane);
        }
    }

    /// Forgets a lane: its parked pieces stay in the journal and lose their place, and nobody looks for its holes any
    /// more.
    fn forget(&mut self, lane: u64) {
        let Some(book) = self.books.remove(&lane) else { return };
        self.gaps.retain(|_, gap| gap.lane != lane || gap.state != GapState::Recorded);
        for piece in book.periods.values().flat_map(|period| period.pieces.values()) {
            self.unpark(piece.lsn, piece.count);
            self.give_up(piece.count);
        }
    }

    fn unpark(&mut self, lsn: Lsn, count: u32) {
        if self.parked.remove(&lsn).is_some() {
            self.parked_ops -= u64::from(count);
        }
    }

    fn give_up(&mut self, count: u32) {
        self.unplaced.0 += 1;
        self.unplaced.1 += u64::from(count);
    }

    fn piece(&mut self, lsn: Lsn, piece: &Piece) {
        if piece.ordinal == PLACED {
            return;
        }
        self.last_lane = self.last_lane.max(piece.lane);
        if self.parked.len() >= PARKED_LIMIT
            && let Some((_, lane)) = self.books.iter().map(|(lane, book)| (book.held, *lane)).max()
        {
            self.forget(lane);
        }
        let book = self.books.get_mut(&piece.lane);
        if !book.is_some_and(|book| piece.ordinal != UNPLACED && book.held < UNPLACED_LIMIT && book.piece(lsn, piece)) {
            return self.give_up(piece.count);
        }
        self.parked.insert(lsn, (piece.lane, piece.ordinal, piece.seq));
        self.parked_ops += u64::from(piece.count);
    }

    /// A lane's pieces keep their LSN when a [`Stands`] record moves them.
    fn stands(&mut self, stands: &Stands) {
        let Some(book) = self.books.get_mut(&stands.lane) else { return };
        book.stands(stands);
        let Some(period) = book.periods.get(&stands.ordinal) else { return };
        for (seq, piece) in &period.pieces {
            self.parked.insert(piece.lsn, (stands.lane, stands.ordinal, *seq));
        }
        if let Some(at) = stands.at {
            for (run, base) in (0..).zip(&stands.runs) {
                self.tree.learn_run(at, run, *base);
            }
        }
    }

    fn chain(&mut self, lsn: Lsn, chain: &Chain) {
        let node = Node { branch: chain.branch, version: lsn };
        self.tree.chained(lsn, chain);
        self.take_out(&chain.pieces, node);
        // The feed may have said so before the period's first batch was whole.
        if chain.seq == 0 && self.checkpoints.iter().any(|said| said.confirms && said.hash == chain.period) {
            self.confirm(&chain.period);
        }
        if chain.head {
            self.head = Some(node);
        }
    }

    fn same(&mut self, same: &Same) {
        self.take_out(&same.pieces, same.node);
    }

    /// Takes pieces out of their book; the book stands behind them now, at this node.
    fn take_out(&mut self, pieces: &[Lsn], node: Node) {
        for lsn in pieces {
            let Some((lane, ordinal, seq)) = self.parked.remove(lsn) else { continue };
            let Some(lane) = self.books.get_mut(&lane) else { continue };
            let Some(book) = lane.periods.get_mut(&ordinal) else { continue };
            let Some(piece) = book.pieces.remove(&seq) else { continue };
            self.parked_ops -= u64::from(piece.count);
            book.next = book.next.max(piece.end(seq));
            (book.at, book.placed, book.behind_hole) = (Some(node), true, false);
            book.moved_on();
            lane.held -= 1;
            lane.stood(ordinal);
            if let Some(base) = piece.index.and_then(|index| seq.checked_sub(index)) {
                self.tree.learn_run(node, piece.run, base);
            }
        }
    }

    fn head(&mut self, lsn: Lsn, head: &Head) {
        match &head.cause {
            HeadCause::Rollback { reason, .. } => {
                let barred = self.tree.step(head.at, head.from).unwrap_or(head.from);
                self.verdicts.push(Verdict {
                    id: lsn,
                    to: head.at,
                    barred,
                    left: head.from,
                    reason: reason.clone(),
                    at_ms: head.at_ms,
                });
            }
            HeadCause::Release { verdict, .. } => self.verdicts.retain(|held| held.id != *verdict),
            HeadCause::Choice(_) => {}
        }
        self.head = Some(head.at);
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        if checkpoint.confirms {
            self.confirm(&checkpoint.hash);
        }
        // What was announced and is vouched for now is one checkpoint.
        let same = |held: &&mut Checkpoint| {
            (held.lane, held.block, &held.hash) == (checkpoint.lane, checkpoint.block, &checkpoint.hash)
        };
        if let Some(held) = self.checkpoints.iter_mut().rev().find(same).filter(|held| !held.confirms) {
            *held = checkpoint.clone();
            return;
        }
        self.checkpoints.push_back(checkpoint.clone());
        if self.checkpoints.len() > CHECKPOINTS_HELD {
            self.checkpoints.pop_front();
        }
    }

    /// A feed vouches for the period that this hash opens.
    fn confirm(&mut self, hash: &HashText) {
        if !self.tree.confirm(hash) {
            return;
        }
        for links in self.histories() {
            Arc::make_mut(&mut self.proofs).confirm(&links, hash, Anchor::Feed);
        }
    }

    /// Every live history, as its links.
    pub(super) fn histories(&self) -> Vec<Vec<Node>> {
        let tips = self.tree.live().map(|(branch, state)| Node { branch, version: state.tip });
        tips.map(|tip| self.tree.links(tip)).collect()
    }

    fn gap(&mut self, gap: &Gap) {
        self.last_gap = self.last_gap.max(gap.id);
        match gap.state {
            GapState::Filled => {
                self.gaps.remove(&gap.id);
            }
            GapState::Recorded => {
                self.gaps.insert(gap.id, gap.clone());
            }
            GapState::Accepted { .. } => {
                self.gaps.insert(gap.id, gap.clone());
                self.jump(gap);
            }
        }
    }

    /// An accepted hole: the book goes on at the first batch that begins behind it. What the hole cut in two is left.
    fn jump(&mut self, gap: &Gap) {
        let Some(book) = self.books.get_mut(&gap.lane).and_then(|book| book.periods.get_mut(&gap.ordinal)) else {
            return;
        };
        let base = book.runs.get(gap.run as usize).copied().unwrap_or(0);
        let behind = base + gap.to + 1;
        let mut next = behind;
        for (seq, piece) in book.pieces.range(behind..) {
            next = *seq;
            if piece.begins {
                break;
            }
            next = piece.end(*seq);
            if matches!(piece.close, Close::Marker | Close::Rollover) {
                break;
            }
        }
        let behind = book.pieces.split_off(&next);
        let cut = std::mem::replace(&mut book.pieces, behind);
        (book.next, book.behind_hole) = (next, true);
        book.look_again();
        if let Some(lane) = self.books.get_mut(&gap.lane) {
            lane.held -= cut.len();
            lane.stood(gap.ordinal);
        }
        for piece in cut.into_values() {
            self.unpark(piece.lsn, piece.count);
            self.give_up(piece.count);
        }
    }

    /// Live branches that lie behind a verdict, with its number.
    pub fn all_barred(&self) -> BTreeMap<BranchNo, u64> {
        let mut barred = BTreeMap::new();
        for verdict in self.verdicts.iter().rev() {
            let holding = self.tree.holding(verdict.barred).into_iter();
            let bars = |branch: &BranchNo| self.tree.tip(*branch).is_some_and(|tip| self.bars(verdict, tip));
            barred.extend(holding.filter(bars).map(|branch| (branch, verdict.id)));
        }
        barred
    }

    /// Whether a verdict bars the history that ends here: it is, leads to, or goes on from the one that was left. One that
    /// shares its first batches (each period begins with the same one) and then differs is another history.
    pub fn bars(&self, verdict: &Verdict, at: Node) -> bool {
        let related = |one, other| self.tree.is_ancestor(one, other);
        related(verdict.barred, at) && (related(at, verdict.left) || related(verdict.left, at))
    }

    /// Whether this branch's tip lies behind a verdict; its number.
    pub fn barred(&self, branch: BranchNo) -> Option<u64> {
        let tip = self.tree.tip(branch)?;
        self.verdicts.iter().find(|verdict| self.bars(verdict, tip)).map(|verdict| verdict.id)
    }

    /// The batch with this content after `before`, if the tree holds it.
    pub fn find(&self, place: &Place<'_>) -> Option<Node> {
        self.tree.find(place)
    }
}
