//! The thread that follows the chain and recomputes every checkpoint that closes a period.
//!
//! *Always holds:* it goes on behind the last proof that is durable; it reads nothing that the state has not applied; it
//! gives way to the threads that take ops in.

use super::claimed::Claim;
use super::document::{Checkpoint, DocumentError, Documents, Learned, NO_BASE, SETTLED_BY_DOCUMENT};
use super::gateway::Gateways;
use crate::fork::admin::Admin;
use crate::fork::proofs::Proofs;
use crate::fork::record::{Chain, Lsn, Node, Outcome, Proof, Record};
use crate::fork::rules::Rules;
use crate::journal::{self, JournalError, Kind};
use crate::projection::open::is_unreadable;
use crate::projection::state::Reader;
use crate::projection::task::step_back;
use honeygraph_protocols::honeycomb::HashText;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// What it gives way by: readers wait for the state, nobody for a proof. Without it ingest lost a quarter of its speed on
/// two cores.
const NICENESS: i32 = 15;

/// Largest delta fetched, in bytes: the ops of five minutes.
pub(super) const DELTA_BYTES: u64 = 64 << 20;

/// How long gateways are left alone that did not have a document: what is behind must not wait for each of them.
pub(super) const PAUSE: Duration = Duration::from_secs(60);

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The journal cannot be read.
    #[error("read the journal at record {lsn}: {source}")]
    Journal {
        /// The record.
        lsn: Lsn,
        /// Why.
        source: JournalError,
    },
    /// A document cannot be made.
    #[error("recompute the checkpoint that record {lsn} opens: {source}")]
    Document {
        /// The first batch of the next period.
        lsn: Lsn,
        /// Why.
        source: DocumentError,
    },
}

/// What it works with.
pub struct Prover {
    /// The network.
    pub network: String,
    /// Its numbers.
    pub rules: Rules,
    /// The state.
    pub state: Reader,
    /// The journal.
    pub journal: journal::Reader,
    /// Where outcomes go.
    pub core: mpsc::Sender<Admin>,
    /// Where documents come from.
    pub gateways: Gateways,
    /// Ends it.
    pub stop: CancellationToken,
    /// Gateways are not asked again before.
    pub ask_at: Option<Instant>,
    /// Hash of the base that the state stands on.
    pub base: Option<HashText>,
    /// What honeycomb says of the state, where there is no base.
    pub claim: Option<Claim>,
}

/// States tried for one proof: another one does not help where all of them fail.
const OTHERS: u32 = 3;

impl Prover {
    /// Runs until it is stopped; goes on behind what is proven, or from the start when that was with another base.
    pub async fn run(mut self, proven: &Proofs, mut applied: watch::Receiver<Lsn>) -> Result<(), ProofError> {
        step_back(NICENESS);
        let mut from = proven.cursor;
        if proven.base != self.base {
            let (reply, answer) = oneshot::channel();
            if self.core.send(Admin::Rebased { base: self.base.clone(), reply }).await.is_err() {
                return Ok(());
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                answer = answer => if answer.is_err() {
                    return Ok(());
                },
            }
            from = 0;
        }
        let mut cursor = self.journal.records((from + 1).max(self.journal.first()));
        let mut learned = Learned::default();
        loop {
            let upto = *applied.borrow_and_update();
            while cursor.next() <= upto && !self.stop.is_cancelled() {
                let lsn = cursor.next();
                let failed = |source| ProofError::Journal { lsn, source };
                let Some(entry) = cursor.read().map_err(failed)? else { break };
                if entry.kind != Kind::Chain {
                    continue;
                }
                if let Record::Chain(chain) = entry.record().map_err(failed)?
                    && !self.chained(lsn, &chain, &mut learned, &mut applied).await?
                {
                    return Ok(());
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                changed = applied.changed() => if changed.is_err() {
                    return Ok(());
                },
            }
        }
    }

    /// A batch was chained: if it opens a period, the one before is closed. False when the core has gone.
    async fn chained(
        &mut self,
        lsn: Lsn,
        chain: &Chain,
        learned: &mut Learned,
        applied: &mut watch::Receiver<Lsn>,
    ) -> Result<bool, ProofError> {
        let Some(prev) = chain.prev.filter(|_| chain.seq == 0) else { return Ok(true) };
        let mut others = 0;
        let proof = loop {
            // Another store may have taken the state's place, and be behind.
            let has = |at: &Lsn| *at >= lsn;
            tokio::select! {
                () = self.stop.cancelled() => return Ok(true),
                reached = applied.wait_for(has) => if reached.is_err() {
                    return Ok(false);
                },
            }
            let store = self.state.store();
            match self.prove(lsn, chain, prev, learned).await {
                Ok(Some(proof)) => break proof,
                Ok(None) if self.state.is_at(lsn) => return Ok(true),
                Ok(None) => tokio::task::yield_now().await,
                Err(DocumentError::Stopped) => return Ok(true),
                Err(DocumentError::State(error)) if is_unreadable(&error) && others < OTHERS => {
                    others += 1;
                    *learned = Learned::default();
                    tracing::warn!(network = self.network, lsn, "a proof waits for another state: {error}");
                    store.distrust();
                    tokio::select! {
                        () = self.stop.cancelled() => return Ok(true),
                        changed = applied.changed() => if changed.is_err() {
                            return Ok(false);
                        },
                    }
                }
                Err(source) => return Err(ProofError::Document { lsn, source }),
            }
        };
        let (reply, answer) = oneshot::channel();
        if self.core.send(Admin::Proven { proof: Box::new(proof), reply }).await.is_err() {
            return Ok(false);
        }
        tokio::select! {
            () = self.stop.cancelled() => Ok(true),
            answer = answer => Ok(answer.is_ok()),
        }
    }

    async fn prove(
        &mut self,
        lsn: Lsn,
        chain: &Chain,
        prev: Node,
        learned: &mut Learned,
    ) -> Result<Option<Proof>, DocumentError> {
        let (network, journal, stop) = (self.network.clone(), self.journal.clone(), self.stop.clone());
        let (rules, snapshot) = (self.rules, self.state.snapshot());
        let documents = Documents { network: &network, rules, snapshot, journal: &journal, stop: &stop };
        let Some(at) = documents.snapshot.batch(prev)?.filter(|at| at.period != chain.period) else { return Ok(None) };
        let checkpoint = Checkpoint { hash: chain.period.clone(), label: chain.opening_label };
        let mut checked = documents.check(&at, &checkpoint, learned)?;
        if self.would_settle(&checked.outcome)
            && let Some(document) = self.fetch(&checkpoint).await
        {
            checked.outcome = documents.check_with(&at, &checkpoint, &document, learned)?;
        }
        if checked.outcome == Outcome::Unverifiable(NO_BASE.to_owned())
            && let Some(claim) = &self.claim
            && claim.try_on(&documents, &at, &checkpoint)?
        {
            self.claim = None;
        }
        Ok(Some(Proof {
            at: prev,
            by: Node { branch: chain.branch, version: lsn },
            hash: checkpoint.hash,
            label: checkpoint.label,
            root: checked.root,
            outcome: checked.outcome,
            agreed: checked.agreed,
            // The core's clock says when.
            at_ms: 0,
        }))
    }

    fn would_settle(&self, outcome: &Outcome) -> bool {
        let Outcome::Unverifiable(why) = outcome else { return false };
        let may_ask = self.ask_at.is_none_or(|at| at <= Instant::now());
        may_ask && !self.gateways.is_empty() && SETTLED_BY_DOCUMENT.contains(&why.as_str())
    }

    /// The document with a checkpoint's hash, if a gateway has it.
    async fn fetch(&mut self, checkpoint: &Checkpoint) -> Option<Vec<u8>> {
        let document = self.gateways.document(checkpoint.hash.as_str(), DELTA_BYTES);
        tokio::select! {
            () = self.stop.cancelled() => None,
            document = document => match document {
                Ok(document) => Some(document),
                Err(error) => {
                    tracing::warn!(network = self.network, "no document of a checkpoint: {error}");
                    self.ask_at = Some(Instant::now() + PAUSE);
                    None
                }
            },
        }
    }
}
