//! What others found out about checkpoints, on its way into the ledger: outcomes of recomputation, the operator's trust.
//!
//! *Always holds:* a proof is taken only of batches that the tree has, and changes nothing but what is known of them and
//! which history is the head's.

use super::admin::{AdminError, Trusted};
use super::machine::{Core, Effects};
use super::proofs::TRUSTED;
use super::record::{Outcome, Proof, Rebased, Record, Trust};
use honeygraph_protocols::honeycomb::HashText;

impl Core {
    /// The state stands on another base: its checkpoints will be proven again.
    pub fn rebased(&mut self, now: u64, base: Option<HashText>, fx: &mut Effects) {
        self.append(Record::Rebased(Rebased { base, at_ms: now }), None, fx);
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
