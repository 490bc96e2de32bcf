//! What others found out about checkpoints, on its way into the ledger: outcomes of recomputation, the operator's trust.
//!
//! *Always holds:* a proof is taken only of batches that the tree has, and changes nothing but what is known of them and
//! which history is the head's.

use super::admin::{AdminError, Trusted};
use super::ledger::Ledger;
use super::machine::{Core, Effects};
use super::proofs::{Anchor, TRUSTED};
use super::record::{Agreed, Node, Outcome, Proof, Rebased, Record, Trust};
use super::status::{WalkFrom, Walked};
use honeygraph_protocols::honeycomb::HashText;

impl Core {
    /// The state stands on another base: its checkpoints will be proven again.
    pub fn rebased(&mut self, now: u64, base: Option<HashText>, fx: &mut Effects) {
        self.append(Record::Rebased(Rebased { base, at_ms: now }), None, fx);
    }

    /// Where the way back to a base begins: only while there is none, and a root is held whose state is not known.
    pub(super) fn walk_from(&self) -> Option<WalkFrom> {
        let Ledger { proofs, tree, .. } = &self.ledger;
        let head = self.ledger.head.filter(|_| proofs.base.is_none())?;
        let links = tree.links(head);
        let stateless = |proof: &&Proof| {
            let unknown = matches!(&proof.outcome, Outcome::Unverifiable(why) if why == "no_base");
            proof.root && unknown && tree.is_ancestor(proof.by, head)
        };
        let newest = proofs.newest.iter().rev().find(stateless).map(|proof| proof.hash.clone());
        let root = newest.or_else(|| self.begun_by_root(&links))?;
        let confirmed = proofs.confirmed(&links).map(|(_, confirmed)| confirmed.hash.clone());
        let anchor = confirmed.or_else(|| Some(tree.period(tree.entry(head)?.period)?.hash.clone()))?;
        Some(WalkFrom { anchor, root })
    }

    /// The hash that opened the first period of this history, if its label says that it is a root's.
    fn begun_by_root(&self, links: &[Node]) -> Option<HashText> {
        let (tree, branch) = (&self.ledger.tree, links.last()?.branch);
        let (version, ..) = tree.branch(branch)?.first?;
        let first = tree.period(tree.entry(Node { branch, version })?.period)?;
        let before = first.label?.checked_sub(self.rules.checkpoint_every)?;
        self.rules.has_second_run(before).then(|| first.hash.clone())
    }

    /// The way back was gone as far as it led.
    pub fn walked(&mut self, now: u64, walked: Walked) {
        if let Some(base) = &walked.base {
            self.event(now, "base:found", format!("{base} becomes the base at the next start"));
        }
        self.walked = Some(walked);
    }

    /// Takes the outcome of a recomputation; whether it is about something that is still there.
    pub fn proven(&mut self, now: u64, proof: Proof, fx: &mut Effects) -> bool {
        let tree = &self.ledger.tree;
        let held = tree.branch(proof.by.branch).is_some_and(|branch| !branch.retired && proof.by.version <= branch.tip);
        if !held || !tree.is_ancestor(proof.at, proof.by) {
            return false;
        }
        if let Outcome::Mismatch { computed } = &proof.outcome {
            let label = proof.label.map_or_else(|| "?".to_owned(), |label| label.to_string());
            let about = format!("checkpoint {label} is {} and not {computed}", proof.hash);
            tracing::error!(network = self.network, "{about}: honeycomb and this replica differ");
            self.event(now, "checkpoint:mismatch", about);
        }
        let is_mismatch = matches!(proof.outcome, Outcome::Mismatch { .. });
        self.append(Record::Proof(Proof { at_ms: now, ..proof }), None, fx);
        if is_mismatch {
            self.weigh(now, fx);
        }
        true
    }

    /// More than half of the electorate vouches for a checkpoint: `accounts` of so many. Whether it is confirmed now, which
    /// takes that it is verified here.
    pub fn agreed(&mut self, now: u64, hash: HashText, (accounts, of): (usize, usize), fx: &mut Effects) -> bool {
        let histories = self.ledger.histories();
        let on = |links: &Vec<Node>| self.ledger.proofs.has_verified(links, &hash);
        if !histories.iter().any(on) {
            return false;
        }
        let known = |links: &Vec<Node>| !on(links) || self.ledger.proofs.is_confirmed(links, &hash, Anchor::Consensus);
        if histories.iter().all(known) {
            return true;
        }
        let about = format!("{accounts} of {of} accounts vouch for {hash}");
        self.append(Record::Agreed(Agreed { hash, accounts: accounts as u64, of: of as u64, at_ms: now }), None, fx);
        self.event(now, "checkpoint:agreed", about);
        self.weigh(now, fx);
        true
    }

    /// The operator trusts a checkpoint's hash, or does so no longer.
    pub fn trust(
        &mut self,
        now: u64,
        hash: &str,
        trusted: bool,
        reason: &str,
        fx: &mut Effects,
    ) -> Result<Trusted, AdminError> {
        let hash = HashText::new(hash).ok_or_else(|| AdminError::Refused("this is no hash".into()))?;
        let held = &self.ledger.proofs.trusted;
        if trusted && !held.contains_key(&hash) && held.len() >= TRUSTED {
            return Err(AdminError::Refused(format!("{TRUSTED} hashes are trusted already")));
        }
        if !trusted && !held.contains_key(&hash) {
            return Err(AdminError::NotFound(format!("{hash} is not trusted")));
        }
        let record = Trust { hash: hash.clone(), trusted, reason: reason.to_owned(), at_ms: now };
        self.append(Record::Trust(record), None, fx);
        self.event(now, "trust", format!("{hash}: {trusted}: {reason}"));
        self.weigh(now, fx);
        let label = self.ledger.tree.periods_of(&hash).find_map(|(_, period)| period.label);
        Ok(Trusted { label, hash, trusted })
    }
}
