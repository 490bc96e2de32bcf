//! Giving journalled batches their place: predecessor, equality, fork, head.
//!
//! *Always holds:* a batch is chained only behind its predecessor; equal content at the same place is one batch; what
//! finds no place stays parked, with a reason, and is never evidence of a fork.

use super::book::{Parked, Ready};
use super::choose::{Candidate, Verdict, choose};
use super::machine::{Bodies, Core, Effects};
use super::proofs::Anchor;
use super::record::{
    Before, Branch, BranchCause, BranchNo, Chain, Close, Head, HeadCause, Lsn, Node, Record, Retired, Same,
};
use super::status::BegunBy;
use super::tree::{Entry, Place};
use honeygraph_protocols::batch::{Header, Parent};
use honeygraph_protocols::honeycomb::HashText;
use std::collections::{BTreeMap, BTreeSet};

/// Pieces behind a hole that are looked for in the tree.
const REJOIN_PIECES: usize = 64;
/// Histories of one period in which they are looked for: with more of them no piece is the only one of its kind.
const REJOIN_PERIODS: usize = 64;

/// Periods that are tried again at a time: what held-up lanes have piled up must not hold up the others.
const RETRIED_AT_ONCE: usize = 1_024;
/// When the rest of them is tried, ms.
pub(super) const RETRY_MS: u64 = 50;

/// Checkpoints that accounts vouch for: as many as the vote book holds, and a few.
const VOUCHED: usize = 1_024;

/// Live branches in all: each costs memory, a view, and a look whenever histories are weighed.
pub const BRANCHES_LIVE: usize = 1_024;

/// What the histories were weighed by when the head last stayed. While it is the same the head stays: a history that
/// grows gets no heavier, and the head's own never less so.
#[derive(Debug, PartialEq)]
pub(super) struct Weighed {
    /// Its branch, and whether it stands at the end of it: not after a rollback.
    head: Option<(BranchNo, bool)>,
    verdicts: Vec<u64>,
    /// The next number, and those that live.
    branches: (BranchNo, usize),
    standing: BTreeMap<BranchNo, usize>,
    /// Checkpoints that differ, that are confirmed or that the operator trusts move the head, too.
    proofs: (u64, Lsn, usize),
    /// So do accounts.
    vouched: BTreeMap<HashText, usize>,
    /// And the heads of trusted peers.
    peers: Vec<Node>,
}

/// A batch that is about to be chained.
#[derive(Debug)]
pub(super) struct Link<'a> {
    pub(super) before: Option<Node>,
    pub(super) hash: &'a HashText,
    pub(super) opening_label: Option<u64>,
    pub(super) label: Option<u64>,
    pub(super) seq: u64,
    pub(super) count: u64,
    pub(super) marker: bool,
    pub(super) pieces: Vec<Lsn>,
    pub(super) ops_hash: [u8; 32],
    /// It stands behind a hole that was given up.
    pub(super) behind_hole: bool,
}

/// How far the lanes that are held up have been tried again.
#[derive(Debug, Default)]
pub(super) struct Retry {
    /// Batches chained when the last round began.
    pub(super) chained: u64,
    /// The next period to try.
    next: (u64, u32),
    /// Lanes to try before the round is over.
    lanes: usize,
}

impl Retry {
    /// Whether a round is not over.
    pub(super) fn goes_on(&self) -> bool {
        self.lanes > 0
    }
}

impl Core {
    /// Places what can be placed in all periods of a lane.
    pub(super) fn settle_lane(&mut self, now: u64, lane: u64, bodies: &mut dyn Bodies, fx: &mut Effects) {
        let ordinals: Vec<u32> =
            self.ledger.books.get(&lane).map_or_else(Vec::new, |book| book.periods.keys().copied().collect());
        for ordinal in ordinals {
            self.settle(now, lane, ordinal, bodies, fx);
        }
    }

    /// Places what can be placed of a period, and of those after it that waited for its end.
    pub(super) fn settle(&mut self, now: u64, lane: u64, ordinal: u32, bodies: &mut dyn Bodies, fx: &mut Effects) {
        let mut ordinal = ordinal;
        loop {
            match self.settle_period(now, lane, ordinal, bodies, fx) {
                Ok(()) => {
                    self.reasons.remove(&lane);
                }
                Err(reason) => {
                    self.reasons.insert(lane, reason);
                }
            }
            let book = self.ledger.books.get(&lane);
            let settled = book.and_then(|book| book.periods.get(&ordinal)).is_some_and(|period| period.is_settled());
            ordinal += 1;
            let more = book.is_some_and(|book| book.periods.get(&ordinal).is_some_and(|next| !next.pieces.is_empty()));
            if !(settled && more) {
                return;
            }
        }
    }

    fn settle_period(
        &mut self,
        now: u64,
        lane: u64,
        ordinal: u32,
        bodies: &mut dyn Bodies,
        fx: &mut Effects,
    ) -> Result<(), &'static str> {
        loop {
            let Some(book) = self.ledger.books.get(&lane).and_then(|book| book.periods.get(&ordinal)) else {
                return Ok(());
            };
            if book.pieces.is_empty() {
                return Ok(());
            }
            if !book.opened {
                return Err("place_unknown");
            }
            let hash = book.hash.clone().ok_or("no_hash")?;
            let Some(ready) = book.ready(self.is_whole(lane, ordinal)) else {
                let gap = book.pieces.first_key_value().is_some_and(|(seq, _)| *seq > book.next);
                if !gap {
                    return Ok(());
                }
                self.rejoin(now, lane, ordinal, &hash, fx)?;
                continue;
            };
            let before = if book.placed { book.at } else { self.predecessor(lane, ordinal)? };
            if !book.placed && self.is_written_again(&hash, book.label) {
                // It was written again after a restart, before the period itself was known, and without its empty batches.
                return Err("written_again");
            }
            let whole = ready.pieces.last().and_then(|last| self.whole.remove(last));
            let Some(ops_hash) = ready.ops_hash.or(whole).or_else(|| digest(&ready, bodies)) else {
                self.waiting.insert((lane, ordinal));
                return Err("not_durable_yet");
            };
            if !self.ledger.books[&lane].periods[&ordinal].placed
                && let Some(behind) = self.behind_stragglers(before, &hash, &ready, ops_hash)
            {
                if self.is_taking {
                    // What the lane has found in the frame at hand is counted from where it was.
                    self.waiting.insert((lane, ordinal));
                    return Err("not_durable_yet");
                }
                self.step_behind(lane, ordinal, behind, fx);
                continue;
            }
            self.place(now, lane, ordinal, &hash, before, &ready, ops_hash, fx)?;
        }
    }

    /// Whether what is left at the end of a period is a batch that the rollover closed: all of the period is there, because
    /// its end was seen or because its tail was paged and nothing new came.
    fn is_whole(&self, lane: u64, ordinal: u32) -> bool {
        let Some(book) = self.ledger.books.get(&lane) else { return false };
        let (Some(period), Some(next)) = (book.periods.get(&ordinal), book.periods.get(&(ordinal + 1))) else {
            return false;
        };
        match next.before {
            Before::Presumed => true,
            Before::Seen => period.ended && period.reach() >= period.least,
            Before::Nothing | Before::Unseen => false,
        }
    }

    /// What a period's first batch stands on (design: "its predecessor").
    pub(super) fn predecessor(&self, lane: u64, ordinal: u32) -> Result<Option<Node>, &'static str> {
        let book = self.ledger.books.get(&lane).ok_or("place_unknown")?;
        let period = book.periods.get(&ordinal).ok_or("place_unknown")?;
        let hash = period.hash.as_ref().ok_or("no_hash")?;
        let old = ordinal.checked_sub(1).and_then(|old| book.periods.get(&old)).filter(|old| old.opened);
        if let Some(old) = old
            && matches!(period.before, Before::Seen | Before::Presumed)
            && old.is_settled()
        {
            return if old.placed { Ok(old.at) } else { self.predecessor(lane, ordinal - 1) };
        }
        let mut known: Vec<Option<Node>> = self.ledger.tree.periods_of(hash).map(|(_, period)| period.before).collect();
        known.dedup();
        match known.as_slice() {
            [one] => return Ok(*one),
            [] => {}
            _ => return Err("predecessor_ambiguous"),
        }
        if old.is_some() {
            return Err("predecessor_parked");
        }
        if self.ledger.tree.is_empty() { Ok(None) } else { Err("predecessor_unknown") }
    }

    /// Whether what comes next in a period stands behind a hole that the operator gave up: in it, or where the period
    /// before it ends.
    fn is_behind_hole(&self, lane: u64, ordinal: u32) -> bool {
        let Some(book) = self.ledger.books.get(&lane) else { return false };
        let mut ordinal = ordinal;
        while let Some(period) = book.periods.get(&ordinal) {
            if period.behind_hole || period.placed {
                return period.behind_hole;
            }
            let seen = matches!(period.before, Before::Seen | Before::Presumed);
            let Some(old) = ordinal.checked_sub(1).filter(|_| seen) else { return false };
            if !book.periods.get(&old).is_some_and(|old| old.opened && old.is_settled()) {
                return false;
            }
            ordinal = old;
        }
        false
    }

    #[allow(clippy::too_many_arguments)]
    fn place(
        &mut self,
        now: u64,
        lane: u64,
        ordinal: u32,
        hash: &HashText,
        before: Option<Node>,
        ready: &Ready,
        ops_hash: [u8; 32],
        fx: &mut Effects,
    ) -> Result<(), &'static str> {
        let place = Place { before, period: hash, seq: ready.seq, count: ready.count, ops_hash };
        if let Some(node) = self.ledger.find(&place) {
            self.counters.repeated += 1;
            self.append(Record::Same(Same { pieces: ready.pieces.clone(), node }), None, fx);
            if self.ledger.head.is_some_and(|head| head.branch != node.branch) {
                self.weigh(now, fx);
            }
            return Ok(());
        }
        let behind_hole = self.is_behind_hole(lane, ordinal);
        let opening_label = self.ledger.books[&lane].periods[&ordinal].label;
        let label = ready.label.or(opening_label);
        let on = self.branch_for(before, behind_hole, label)?;
        if before.is_none() && self.ledger.head.is_none() {
            let feed = self.feeds.values().find(|attached| attached.no == lane);
            let feed = feed.map(|attached| attached.info.clone()).unwrap_or_default();
            let about = format!("lane {lane}, {} {}: its history is the head", feed.remote, feed.token);
            self.event(now, "head:first", about);
            self.begun_by = Some(BegunBy { lane, feed });
        }
        let (seq, count, marker, pieces) = (ready.seq, ready.count, ready.marker, ready.pieces.clone());
        let link = Link { before, hash, opening_label, label, seq, count, marker, pieces, ops_hash, behind_hole };
        self.chain(now, link, on, fx);
        Ok(())
    }

    /// Chains a batch on a branch that [`branch_for`](Self::branch_for) gave.
    pub(super) fn chain(
        &mut self,
        now: u64,
        link: Link<'_>,
        (branch, born): (BranchNo, Option<Branch>),
        fx: &mut Effects,
    ) -> Node {
        let Link { before, hash, seq, count, ops_hash, .. } = link;
        if let Some(record) = born {
            let forked = record.cause == BranchCause::Fork;
            self.append(Record::Branch(record), None, fx);
            if forked {
                self.counters.forks += 1;
                self.event(now, "fork:new", format!("branch {branch} in {hash}"));
            }
        }
        let parent = match before.filter(|_| seq > 0).and_then(|node| self.ledger.tree.entry(node)) {
            Some(entry) => Parent::Batch(entry.id),
            None => Parent::Period(hash.clone()),
        };
        let header = Header {
            v: Header::VERSION,
            network: self.network.clone(),
            period: hash.clone(),
            seq,
            parent: parent.clone(),
            count,
            ops_hash,
        };
        let head = self.ledger.head == before && self.barred_before(before).is_none();
        let record = Chain {
            branch,
            prev: before,
            period: hash.clone(),
            opening_label: link.opening_label,
            label: link.label,
            seq,
            count,
            marker: link.marker,
            parent,
            id: header.id(),
            ops_hash,
            pieces: link.pieces,
            head,
            hole: link.behind_hole,
            at_ms: now,
        };
        let node = self.chain_record(record, fx);
        if !head {
            self.weigh(now, fx);
        }
        node
    }

    /// The verdict that bars everything behind this batch.
    fn barred_before(&self, before: Option<Node>) -> Option<u64> {
        let before = before?;
        self.ledger.verdicts.iter().find(|verdict| self.ledger.bars(verdict, before)).map(|verdict| verdict.id)
    }

    /// The branch that a new batch after `before` extends, and its birth if it is a new one.
    pub(super) fn branch_for(
        &self,
        before: Option<Node>,
        behind_hole: bool,
        label: Option<u64>,
    ) -> Result<(u32, Option<Branch>), &'static str> {
        let tree = &self.ledger.tree;
        if !tree.knows_after(before) {
            return Err("too_old");
        }
        if let Some(node) = before {
            let state = tree.branch(node.branch).ok_or("place_unknown")?;
            if state.retired {
                return Err("fork_retired");
            }
            if !behind_hole && tree.tip(node.branch) == Some(node) {
                return Ok((node.branch, None));
            }
        }
        if tree.live_count() >= BRANCHES_LIVE {
            return Err("too_many_forks");
        }
        let rolled = before.is_some_and(|node| self.ledger.verdicts.iter().any(|verdict| verdict.to == node));
        let cause = match before {
            None if tree.is_empty() => BranchCause::First,
            _ if behind_hole => BranchCause::Hole,
            _ if rolled => BranchCause::Rollback,
            _ => BranchCause::Fork,
        };
        let rivals =
            tree.live().filter(|(_, state)| state.first.as_ref().is_some_and(|first| first.2 == label)).count();
        if rivals >= self.limits.forks_per_label && cause == BranchCause::Fork {
            return Err("too_many_forks");
        }
        let branch = tree.next_branch();
        Ok((branch, Some(Branch { branch, parent: before, cause })))
    }

    /// A lane held up by a hole: does the tree hold, from another feed, a batch that stands behind it? Then the lane goes
    /// on from there, and what the hole cut in two before it is held elsewhere.
    fn rejoin(
        &mut self,
        now: u64,
        lane: u64,
        ordinal: u32,
        hash: &HashText,
        fx: &mut Effects,
    ) -> Result<(), &'static str> {
        let book = &self.ledger.books[&lane].periods[&ordinal];
        let whole = |piece: &&(&u64, &Parked)| piece.1.count > 0 && piece.1.close == Close::Marker;
        let mut pieces = book.pieces.iter().take(REJOIN_PIECES);
        let found = pieces.by_ref().filter(|piece| whole(&piece)).find_map(|(seq, piece)| {
            let node = self.only_batch(hash, *seq, piece)?;
            Some((*seq, piece.lsn, node))
        });
        let Some((seq, lsn, node)) = found else { return Err("gap") };
        let cut = book.pieces.range(..seq).map(|(_, piece)| piece.lsn);
        let pieces = cut.chain([lsn]).collect();
        self.append(Record::Same(Same { pieces, node }), None, fx);
        self.counters.repeated += 1;
        self.forget_holes(now, lane, ordinal, fx);
        Ok(())
    }

    /// The only batch of the tree that is this piece at this place.
    fn only_batch(&self, hash: &HashText, seq: u64, piece: &Parked) -> Option<Node> {
        if self.ledger.tree.periods_of(hash).count() > REJOIN_PERIODS {
            return None;
        }
        let mut found = self.ledger.tree.periods_of(hash).filter_map(|(number, period)| {
            let entries = &self.ledger.tree.branch(period.branch)?.entries;
            let from = entries.partition_point(|e| (e.period, e.seq) < (number, seq));
            let same = |e: &&Entry| {
                e.period == number && e.seq == seq && e.count == piece.count && e.ops_hash == piece.ops_hash
            };
            Some(Node { branch: period.branch, version: entries.get(from).filter(same)?.version })
        });
        found.next().filter(|_| found.next().is_none())
    }

    /// Lanes that are held up try again once the tree has grown: what they wait for may have come from another feed.
    pub(super) fn retry(&mut self, now: u64, bodies: &mut dyn Bodies, fx: &mut Effects) {
        if std::mem::replace(&mut self.retry.chained, self.counters.chained) != self.counters.chained {
            // One more: the lane that is being tried has to be tried from its start.
            self.retry.lanes = self.reasons.len() + 1;
        }
        let mut left = RETRIED_AT_ONCE;
        while self.retry.lanes > 0 && left > 0 {
            let (at, from) = self.retry.next;
            let Some(lane) = self.reasons.range(at..).next().or_else(|| self.reasons.iter().next()) else {
                self.retry.lanes = 0;
                return;
            };
            let lane = *lane.0;
            let from = if lane == at { from } else { 0 };
            let Some(book) = self.ledger.books.get(&lane) else {
                self.reasons.remove(&lane);
                self.retry.next = (lane + 1, 0);
                continue;
            };
            let ordinals: Vec<u32> = book.periods.range(from..).map(|(ordinal, _)| *ordinal).take(left).collect();
            left -= ordinals.len().max(1);
            for ordinal in &ordinals {
                self.settle(now, lane, *ordinal, bodies, fx);
            }
            let after = ordinals.last().map_or(u32::MAX, |last| last.saturating_add(1));
            let more = self.ledger.books.get(&lane).is_some_and(|book| book.periods.range(after..).next().is_some());
            self.retry.next = if more { (lane, after) } else { (lane + 1, 0) };
            self.retry.lanes -= usize::from(!more);
        }
    }

    /// Weighs the histories and moves the head if there is better evidence elsewhere.
    pub(super) fn weigh(&mut self, now: u64, fx: &mut Effects) {
        let head = self.ledger.head;
        let weighed = Weighed {
            head: head.map(|head| (head.branch, self.ledger.tree.tip(head.branch) == Some(head))),
            verdicts: self.ledger.verdicts.iter().map(|verdict| verdict.id).collect(),
            branches: (self.ledger.tree.next_branch(), self.ledger.tree.live_count()),
            standing: self.standing(),
            proofs: {
                let proofs = &self.ledger.proofs;
                (proofs.counts[2], proofs.cursor, proofs.trusted.len())
            },
            vouched: self.vouched.clone(),
            peers: self.peer_places(),
        };
        if self.weighed.as_ref() == Some(&weighed) {
            return;
        }
        let candidates = self.candidates(head, &weighed);
        let Verdict::Move(at, why) = choose(head, &candidates) else {
            self.weighed = Some(weighed);
            return;
        };
        let from = head.unwrap_or(at);
        self.counters.head_moves += 1;
        self.event(now, "fork:switch", format!("head to branch {} at {}: {why}", at.branch, at.version));
        let cause = HeadCause::Choice(why.to_owned());
        self.append(Record::Head(Head { at, from, cause, at_ms: now }), None, fx);
    }

    /// Accounts of the electorate vouch for these checkpoints, so many for each. Evidence of now, as feeds are: whoever says
    /// it says it again after a start.
    pub fn vouch(&mut self, now: u64, vouched: BTreeMap<HashText, usize>, fx: &mut Effects) {
        self.vouched = vouched;
        while self.vouched.len() > VOUCHED {
            self.vouched.pop_first();
        }
        self.weigh(now, fx);
    }

    /// The live histories with the evidence for each.
    fn candidates(&self, head: Option<Node>, weighed: &Weighed) -> Vec<Candidate> {
        let (tree, proofs, barred) = (&self.ledger.tree, &self.ledger.proofs, self.ledger.all_barred());
        let extending = head.map(|head| tree.holding(head)).unwrap_or_default();
        // What only a message of the own feed confirmed is no more than the own feed.
        let confirmed = |links: &[Node]| {
            proofs.confirmed(links).filter(|(_, confirmed)| confirmed.by() > Anchor::Feed).map(|(node, _)| node)
        };
        let own = head.and_then(|head| confirmed(&tree.links(head)));
        let live: Vec<(BranchNo, Node)> =
            tree.live().map(|(branch, state)| (branch, Node { branch, version: state.tip })).collect();
        let links: Vec<Vec<Node>> = live.iter().map(|(_, tip)| tree.links(*tip)).collect();
        let mut accounts = vec![0; live.len()];
        for (hash, vouching) in &self.vouched {
            let on: Vec<bool> = links.iter().map(|links| proofs.has_verified(links, hash)).collect();
            // What all of them have says nothing about any.
            if on.iter().all(|on| *on) {
                continue;
            }
            for (accounts, _) in accounts.iter_mut().zip(on).filter(|(_, on)| *on) {
                *accounts = (*vouching).max(*accounts);
            }
        }
        let on_head = head.map(|head| proofs.pins(&tree.links(head))).unwrap_or_default();
        let pins: Vec<BTreeSet<&HashText>> = links.iter().map(|links| proofs.pins(links)).collect();
        let with_links = live.into_iter().zip(links).zip(accounts).zip(&pins);
        let candidate = with_links.map(|((((branch, tip), links), accounts), pins)| Candidate {
            tip,
            // What the head's history has, too, is no reason to leave it.
            pinned: pins.iter().any(|pin| !on_head.contains(pin)),
            confirmed: confirmed(&links).zip(head).is_some_and(|(at, head)| !tree.is_ancestor(at, head)),
            crosses: own.is_some_and(|own| !tree.is_ancestor(own, tip)),
            accounts,
            feeds: weighed.standing.get(&branch).copied().unwrap_or(0),
            peers: weighed.peers.iter().filter(|at| tree.is_ancestor(**at, tip)).count(),
            barred: barred.contains_key(&branch),
            mismatch: proofs.mismatch(&links).is_some(),
            extends_head: extending.contains(&branch),
        });
        let mut candidates: Vec<Candidate> = candidate.collect();
        // A pin of the head's history counts where a rival that something speaks for lacks it.
        let rivals = candidates.iter().zip(&pins).filter(|(rival, _)| {
            !rival.extends_head && !rival.barred && (rival.pinned || rival.accounts + rival.feeds + rival.peers > 0)
        });
        if rivals.into_iter().any(|(_, pins)| on_head.iter().any(|pin| !pins.contains(pin))) {
            candidates.iter_mut().filter(|own| own.extends_head).for_each(|own| own.pinned = true);
        }
        candidates
    }

    /// Where a lane stands in the chain.
    pub(super) fn stands(&self, lane: u64) -> Option<Node> {
        self.ledger.books.get(&lane)?.stands_at()
    }

    /// Feeds on each branch.
    pub(super) fn standing(&self) -> BTreeMap<BranchNo, usize> {
        let mut standing = BTreeMap::new();
        for node in self.feeds.keys().filter_map(|feed| self.stands_on(*feed)) {
            *standing.entry(node.branch).or_default() += 1;
        }
        standing
    }

    /// Takes the view from histories that nobody feeds and that have not grown for the retention time.
    pub(super) fn retire(&mut self, now: u64, fx: &mut Effects) {
        let Some(head) = self.ledger.head else { return };
        let tree = &self.ledger.tree;
        let (standing, barred) = (self.standing(), self.ledger.all_barred());
        let parents: BTreeSet<BranchNo> =
            tree.live().filter_map(|(_, state)| state.parent.map(|node| node.branch)).collect();
        let stale: Vec<BranchNo> = tree
            .live()
            .filter(|(branch, state)| {
                let old = now.saturating_sub(state.times.1) > self.limits.fork_retention_ms;
                let held = *branch == head.branch || parents.contains(branch) || standing.contains_key(branch);
                let tip = Node { branch: *branch, version: state.tip };
                old && !held && !barred.contains_key(branch) && !tree.is_ancestor(tip, head)
            })
            .map(|(branch, _)| branch)
            .collect();
        for branch in stale {
            self.event(now, "fork:retired", format!("branch {branch}"));
            self.append(Record::Retired(Retired { branch, at_ms: now }), None, fx);
        }
    }
}

/// `ops_hash` of a batch in several pieces, read back; none while one of them is not readable.
fn digest(ready: &Ready, bodies: &mut dyn Bodies) -> Option<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    for lsn in &ready.pieces {
        hasher.update(&bodies.body(*lsn)?);
    }
    Some(*hasher.finalize().as_bytes())
}
