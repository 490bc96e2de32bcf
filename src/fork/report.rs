//! What the core shows of itself.

use super::machine::Core;
use super::questions::Hole;
use super::record::{BranchNo, Node, Outcome, Proof};
use super::status::{
    CheckedStatus, CheckpointStatus, ForkStatus, GapStatus, LaneStatus, MarkerStatus, ParkedStatus, PeriodStatus,
    ProofStatus, Status, VerdictStatus,
};
use std::collections::BTreeMap;

/// Checkpoint announcements shown.
const CHECKPOINTS_SHOWN: usize = 16;
/// Holes shown.
const GAPS_SHOWN: usize = 256;

/// Something for each branch.
type Counts<T = usize> = BTreeMap<BranchNo, T>;

impl Core {
    fn proof_status(&self) -> ProofStatus {
        let proofs = &self.ledger.proofs;
        let links = self.ledger.head.map(|head| self.ledger.tree.links(head)).unwrap_or_default();
        let standing = self.ledger.head.map(|head| proofs.standing(&links, head)).unwrap_or_default();
        let [verified, unverifiable, mismatches] = proofs.counts;
        let shown = |proof: &Proof| {
            let (outcome, detail) = match &proof.outcome {
                Outcome::Verified => ("verified", None),
                Outcome::Unverifiable(why) => ("unverifiable", Some(why.clone())),
                Outcome::Mismatch { computed } => ("mismatch", Some(computed.clone())),
            };
            let kind = if proof.root { "root" } else { "delta" };
            let (label, hash, branch) = (proof.label, proof.hash.clone(), proof.by.branch);
            CheckedStatus { label, hash, kind, outcome, detail, branch, at_ms: proof.at_ms }
        };
        ProofStatus {
            verified_at: standing.verified_at,
            confirmed_at: standing.confirmed_at,
            mismatch: standing.mismatch,
            verified,
            unverifiable,
            mismatches,
            trusted: proofs.trusted.keys().cloned().collect(),
            walk: self.walked.clone().filter(|_| proofs.base.is_none()),
            newest: proofs.newest.iter().rev().map(shown).collect(),
        }
    }

    /// The core's state as readers see it.
    pub fn status(&self) -> Status {
        let ledger = &self.ledger;
        Status {
            network: self.network.clone(),
            lsn: ledger.lsn,
            head: ledger.head.and_then(|head| self.tip_status(head)),
            forks: self.fork_status(),
            periods: self.period_status(),
            lanes: self.lane_status(),
            begun_by: self.begun_by.clone(),
            gaps: self.gap_status(),
            parked: self.parked_status(),
            verdicts: ledger
                .verdicts
                .iter()
                .map(|verdict| VerdictStatus {
                    id: verdict.id,
                    to: verdict.to,
                    barred: verdict.left,
                    fork: ledger.tree.entry(verdict.barred).map(|entry| entry.id),
                    reason: verdict.reason.clone(),
                    at_ms: verdict.at_ms,
                })
                .collect(),
            checkpoints: ledger
                .checkpoints
                .iter()
                .rev()
                .take(CHECKPOINTS_SHOWN)
                .map(|checkpoint| CheckpointStatus {
                    block: checkpoint.block,
                    hash: checkpoint.hash.clone(),
                    at: checkpoint.at,
                    boundary: checkpoint.boundary.clone(),
                })
                .collect(),
            proofs: self.proof_status(),
            proven: ledger.proofs.clone(),
            wanted: self.wanted(),
            walk: self.walk_from(),
            counters: self.counters.clone(),
            events: self.events.iter().cloned().collect(),
        }
    }

    fn fork_status(&self) -> Vec<ForkStatus> {
        let head = self.ledger.head;
        let seen = (self.standing(), self.ledger.all_barred());
        let tip = |branch: u32, version: u64| self.fork_at(Node { branch, version }, &seen);
        let mut forks: Vec<ForkStatus> =
            self.ledger.tree.live().filter_map(|(branch, state)| tip(branch, state.tip)).collect();
        if let Some(fork) = forks.iter_mut().find(|fork| head == Some(fork.tip.node)) {
            fork.is_head = true;
        } else if let Some(fork) = head.and_then(|head| self.fork_at(head, &seen)) {
            // Rolled back: the head stands on a branch that goes on without it.
            forks.push(ForkStatus { is_head: true, barred_by: None, ..fork });
        }
        forks.sort_by_key(|fork| (!fork.is_head, fork.branch));
        forks
    }

    /// The history that ends here. What a verdict bars is named by its first batch behind the verdict.
    fn fork_at(&self, node: Node, (standing, barred): &(Counts, Counts<u64>)) -> Option<ForkStatus> {
        let state = self.ledger.tree.branch(node.branch)?;
        let mut tip = self.tip_status(node)?;
        let barred_by = barred.get(&node.branch).copied();
        let verdict = self.ledger.verdicts.iter().find(|verdict| Some(verdict.id) == barred_by);
        let first =
            verdict.filter(|verdict| node != verdict.to).and_then(|verdict| self.ledger.tree.entry(verdict.barred));
        tip.fork = first.map_or(tip.fork, |first| first.id);
        Some(ForkStatus {
            branch: node.branch,
            parent: state.parent,
            tip,
            is_head: false,
            barred_by,
            witnesses: standing.get(&node.branch).copied().unwrap_or(0),
            operations: state.ops,
            start_time: state.times.0,
            last_update: state.times.1,
        })
    }

    fn period_status(&self) -> Vec<PeriodStatus> {
        let tree = &self.ledger.tree;
        let mut standing: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for (feed, attached) in &self.feeds {
            let Some(entry) = self.stands_on(*feed).and_then(|node| tree.entry(node)) else { continue };
            let who = format!("{} {}", attached.info.remote, attached.info.token);
            standing.entry(entry.period).or_default().push(who);
        }
        tree.periods()
            .take(Status::PERIODS)
            .map(|(number, period)| {
                let inside = |node: &Node| tree.entry(*node).is_some_and(|entry| entry.period == number);
                let nodes = standing.remove(&number).unwrap_or_default();
                let fork = tree.branch(period.branch).and_then(|state| state.first.as_ref().map(|first| first.1));
                PeriodStatus {
                    hash: period.hash.clone(),
                    block_num: period.label,
                    start_time: period.times.0,
                    last_update: period.times.1,
                    active: !nodes.is_empty() || self.ledger.head.as_ref().is_some_and(inside),
                    nodes,
                    operation_count: period.ops,
                    last_write_marker: period.marker.map(|(index, timestamp)| MarkerStatus {
                        index,
                        // Of the batch that it closed; in seed numbering that is its own block.
                        block_num: tree.entry(period.last).and_then(|last| last.label).or(period.label),
                        timestamp,
                        prev_checkpoint_hash: None,
                    }),
                    is_confirmed: period.confirmed,
                    branch: period.branch,
                    fork: fork.unwrap_or(period.last_id),
                    tip: period.last_id,
                }
            })
            .collect()
    }

    fn lane_status(&self) -> Vec<LaneStatus> {
        let tree = &self.ledger.tree;
        self.feeds
            .iter()
            .map(|(feed, attached)| {
                let here = attached.lane.here();
                let at = self.stands_on(*feed);
                let along = |head| at.is_some_and(|at| tree.is_ancestor(at, head) || tree.is_ancestor(head, at));
                LaneStatus {
                    lane: attached.no,
                    feed: attached.info.clone(),
                    numbering: attached.lane.numbering(),
                    label: here.and_then(|here| here.label),
                    run: here.map_or(0, |here| here.run),
                    last_index: attached.lane.last_index(),
                    open_ops: attached.lane.open_ops(),
                    at,
                    on_head: self.ledger.head.is_some_and(along),
                    parked: self.reasons.get(&attached.no).copied(),
                }
            })
            .collect()
    }

    fn gap_status(&self) -> Vec<GapStatus> {
        // The end of a period is one once it was asked for in vain, while the next period waits for it.
        let waits = |hole: &Hole| {
            let next = self.ledger.books.get(&hole.lane).and_then(|book| book.periods.get(&(hole.ordinal + 1)));
            hole.recorded && next.is_some_and(|next| !next.placed)
        };
        let now = self.holes.iter().filter(|(_, hole)| !hole.tail || waits(hole)).map(|(id, hole)| {
            let state = super::record::GapState::Recorded;
            let recorded_at = self.ledger.gaps.get(id).map_or(0, |gap| gap.at_ms);
            GapStatus {
                gap: self.gap_record(recorded_at, *id, hole, state),
                phase: if hole.recorded { "recorded" } else { "asked" },
                tries: hole.tries,
            }
        });
        let accepted =
            self.ledger.gaps.values().filter(|gap| matches!(gap.state, super::record::GapState::Accepted { .. }));
        let accepted = accepted.map(|gap| GapStatus { gap: gap.clone(), phase: "accepted", tries: 0 });
        now.chain(accepted).take(GAPS_SHOWN).collect()
    }

    fn parked_status(&self) -> ParkedStatus {
        let (pieces, operations) = self.ledger.parked();
        let mut reasons: BTreeMap<&'static str, u64> = BTreeMap::new();
        for reason in self.reasons.values() {
            *reasons.entry(reason).or_default() += 1;
        }
        ParkedStatus { pieces, operations, reasons: reasons.into_iter().collect() }
    }
}
