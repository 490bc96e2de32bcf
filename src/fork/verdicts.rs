//! The operator's orders: roll back, release, give a hole up.
//!
//! *Always holds:* an order is one record (and what follows from it); what a rollback leaves behind stays, barred, until
//! it is released or a different history arrives.

use super::admin::{AdminError, GapAccepted, Pruned, Released, RolledBack};
use super::machine::{Bodies, Core, Effects};
use super::record::{BranchNo, GapState, Head, HeadCause, Node, Record, Retired};
use super::status::TipStatus;
use super::tree::{BranchState, Entry};
use honeygraph_protocols::batch::BatchId;
use std::collections::VecDeque;

impl Core {
    /// Puts the head back to a label, a batch or a checkpoint on its own history.
    pub fn rollback(
        &mut self,
        now: u64,
        to: &str,
        reason: &str,
        dry_run: bool,
        fx: &mut Effects,
    ) -> Result<RolledBack, AdminError> {
        let head = self
            .ledger
            .head
            .ok_or_else(|| AdminError::NotFound(format!("network {} has no history yet", self.network)))?;
        let at = self.point_on_history(head, to)?;
        if at == head {
            return Err(AdminError::Refused(format!("the head stands at {to} already")));
        }
        let first = self.ledger.tree.step(at, head).and_then(|node| self.ledger.tree.entry(node));
        let mut done = RolledBack {
            verdict: None,
            from: self.tip_status(head).ok_or_else(|| AdminError::Gone("the head's batch is not held".into()))?,
            to: self.tip_status(at).ok_or_else(|| AdminError::Gone(format!("{to} is no longer held in memory")))?,
            batches: self.batches_between(at, head),
            left: first.ok_or_else(|| AdminError::Gone(format!("what follows {to} is no longer held")))?.id,
            dry_run,
        };
        if dry_run {
            return Ok(done);
        }
        let verdict = self.ledger.lsn + 1;
        let cause = HeadCause::Rollback { verdict, reason: reason.to_owned() };
        self.append(Record::Head(Head { at, from: head, cause, at_ms: now }), None, fx);
        self.counters.head_moves += 1;
        self.event(now, "rollback", format!("verdict {verdict}: head to {to}: {reason}"));
        done.verdict = Some(verdict);
        Ok(done)
    }

    /// Lifts a verdict; the head may move at once.
    pub fn release(&mut self, now: u64, verdict: u64, reason: &str, fx: &mut Effects) -> Result<Released, AdminError> {
        let held = self.ledger.verdicts.iter().any(|held| held.id == verdict);
        let head = self.ledger.head.filter(|_| held);
        let head = head.ok_or_else(|| AdminError::NotFound(format!("no verdict {verdict} is in force")))?;
        let cause = HeadCause::Release { verdict, reason: reason.to_owned() };
        self.append(Record::Head(Head { at: head, from: head, cause, at_ms: now }), None, fx);
        self.event(now, "release", format!("verdict {verdict}: {reason}"));
        self.weigh(now, fx);
        let head = self.ledger.head.and_then(|head| self.tip_status(head));
        let head = head.ok_or_else(|| AdminError::Gone("the head's batch is not held".into()))?;
        Ok(Released { verdict, head })
    }

    /// Gives a hole up: the chain goes on behind it, on a new branch, incomplete.
    pub fn accept_gap(
        &mut self,
        now: u64,
        id: u64,
        reason: &str,
        bodies: &mut dyn Bodies,
        fx: &mut Effects,
    ) -> Result<GapAccepted, AdminError> {
        let hole = self.holes.get(&id).cloned().ok_or_else(|| AdminError::NotFound(format!("no hole {id}")))?;
        let state = GapState::Accepted { reason: reason.to_owned() };
        let record = self.gap_record(now, id, &hole, state);
        let before = self.counters.chained;
        self.append(Record::Gap(record), None, fx);
        self.holes.remove(&id);
        self.event(now, "gap", format!("{id} accepted: {reason}"));
        if hole.tail {
            self.presume_next(hole.lane, hole.ordinal, fx);
        }
        self.settle(now, hole.lane, hole.ordinal, bodies, fx);
        self.settle(now, hole.lane, hole.ordinal + 1, bodies, fx);
        let chained = self.counters.chained > before;
        let first = self.stands(hole.lane).filter(|_| chained).and_then(|node| self.ledger.tree.branch(node.branch));
        Ok(GapAccepted { id, first: first.and_then(|state| state.first.as_ref().map(|first| first.1)) })
    }

    /// Takes the view from a history: what is on it alone stays in the journal and can be read no more.
    pub fn prune(&mut self, now: u64, fork: &str, reason: &str, fx: &mut Effects) -> Result<Pruned, AdminError> {
        let tree = &self.ledger.tree;
        let tip_id = |branch: BranchNo| tree.tip(branch).and_then(|tip| tree.entry(tip)).map(|entry| entry.id);
        let named = |(branch, state): &(BranchNo, &BranchState)| {
            let first = state.first.as_ref().map(|first| first.1.to_string());
            first.as_deref() == Some(fork) || tip_id(*branch).is_some_and(|id| id.to_string() == fork)
        };
        let found = tree.live().find(named).and_then(|(branch, state)| Some((branch, state.first.as_ref()?.1)));
        let Some((branch, id)) = found else {
            return Err(AdminError::NotFound(format!("no live fork {fork}: the list of forks has the ids of all")));
        };
        let head = self.ledger.head;
        let tip = tree.tip(branch).ok_or_else(|| AdminError::Gone("its batches are not held".into()))?;
        let refused = |why: &str| Err(AdminError::Refused(format!("fork {fork}: {why}")));
        if head.is_some_and(|head| tree.is_ancestor(tip, head) || head.branch == branch) {
            return refused("it is the head's history");
        }
        if head.is_some_and(|head| tree.links(head).iter().any(|link| link.branch == branch)) {
            return refused("its first part is the head's history, and a fork goes as a whole: it stays");
        }
        if tree.live().any(|(_, state)| state.parent.is_some_and(|parent| parent.branch == branch)) {
            return refused("another fork stands on it: prune that one first");
        }
        if self.standing().contains_key(&branch) {
            return refused("a feed stands on it: it would be there again at once");
        }
        if let Some(verdict) = self.ledger.barred(branch) {
            return refused(&format!("verdict {verdict} keeps it: release that one first"));
        }
        let pruned = Pruned { fork: id, tip: tip_id(branch).unwrap_or(id) };
        self.event(now, "fork:retired", format!("branch {branch}, by the operator: {reason}"));
        self.append(Record::Retired(Retired { branch, at_ms: now }), None, fx);
        Ok(pruned)
    }

    /// A batch on the history of the head, by batch id, checkpoint hash or label.
    fn point_on_history(&self, head: Node, to: &str) -> Result<Node, AdminError> {
        let mut history = self.on_history(head);
        if let Ok(id) = to.parse::<BatchId>() {
            let found = history.find(|(_, entry)| entry.id == id).map(|(node, _)| node);
            return found
                .ok_or_else(|| AdminError::NotFound(format!("no batch {to} on the head's history among those held")));
        }
        if let Ok(label) = to.parse::<u64>() {
            // In honeycomb numbering one label stands for as many blocks as lie between two checkpoints.
            let newest = self.ledger.tree.entry(head).and_then(|entry| entry.label);
            if newest.is_some_and(|newest| label >= newest + self.rules.checkpoint_every) {
                return Err(AdminError::NotFound(format!("block {label} has not come on the head's history")));
            }
            let found = history.find(|(_, entry)| entry.label.is_some_and(|own| own <= label)).map(|(node, _)| node);
            return found
                .ok_or_else(|| AdminError::NotFound(format!("no label {to} on the head's history among those held")));
        }
        let closed_by = |entry: &Entry| {
            let period = self.ledger.tree.period(entry.period).filter(|_| entry.seq == 0)?;
            (period.hash.as_str() == to).then_some(period.before)
        };
        match history.find_map(|(_, entry)| closed_by(entry)) {
            Some(Some(node)) => Ok(node),
            Some(None) => Err(AdminError::Refused(format!("nothing lies before {to}"))),
            None => Err(AdminError::NotFound(format!("{to} is no label, batch or checkpoint on the head's history"))),
        }
    }

    /// Held batches of a history, newest first.
    pub(super) fn on_history(&self, head: Node) -> impl Iterator<Item = (Node, &Entry)> {
        self.held_history(head).into_iter().flat_map(|(branch, entries, upto)| {
            let node = move |entry: &Entry| Node { branch, version: entry.version };
            entries.range(..upto).rev().map(move |entry| (node(entry), entry))
        })
    }

    /// The branches of a history, newest first, each with how many of its held batches belong to it.
    fn held_history(&self, head: Node) -> Vec<(BranchNo, &VecDeque<Entry>, usize)> {
        let mut stretches = Vec::new();
        let mut at = Some(head);
        while let Some(node) = at {
            let Some(state) = self.ledger.tree.branch(node.branch) else { break };
            let upto = state.entries.partition_point(|entry| entry.version <= node.version);
            stretches.push((node.branch, &state.entries, upto));
            at = state.parent;
        }
        stretches
    }

    /// Batches after `old` up to `new`, counted by branches: the distance costs nothing.
    fn batches_between(&self, old: Node, new: Node) -> u64 {
        let held = |node: Node| self.held_history(node).iter().map(|(_, _, upto)| *upto as u64).sum::<u64>();
        held(new).saturating_sub(held(old))
    }

    /// A batch as status shows it.
    pub(super) fn tip_status(&self, node: Node) -> Option<TipStatus> {
        let tree = &self.ledger.tree;
        let entry = tree.entry(node)?;
        let period = tree.period(entry.period)?;
        let state = tree.branch(node.branch)?;
        Some(TipStatus {
            node,
            batch: entry.id,
            label: entry.label,
            period: period.hash.clone(),
            opening_label: period.label,
            fork: state.first.as_ref().map_or(entry.id, |first| first.1),
            unbroken: !state.hole,
        })
    }
}
