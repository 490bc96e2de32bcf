//! Holes that no feed fills, filled from delta documents: a period's ops stand in the document whose CID opened the next.
//!
//! The same way leads forward to a hash that the operator trusts: with a root as base, documents alone make a replica.
//!
//! A document names the deltas of its day before it. So from the period that waits the way leads back, hash by hash, to
//! one that is held; from there the periods are supplied in order. Where nothing of the day is held, its root leads to the
//! day before ([`super::walk`]). The ops of the period that a root closed stand in no document: a hole that crosses roots
//! shrinks to these periods.
//!
//! *Always holds:* a document counts only by its CID; one is held at a time; nothing here decides what the content means,
//! the core compares it with what it holds.

use super::gateway::{GatewayError, Gateways};
use super::task::{DELTA_BYTES, PAUSE};
use super::walk::{Day, Ways};
use crate::fork::admin::Admin;
use crate::fork::rules::Rules;
use crate::fork::status::{Status, WalkFrom, Wanted};
use crate::fork::supply::{
    Order, SUPPLY_BATCHES, SUPPLY_BYTES, Start, Supplied, SuppliedBatch, SuppliedPeriod, Supply,
};
use crate::journal::packed::{PackedError, Packing};
use crate::projection::base::BaseError;
use honeygraph_protocols::document::{Delta, DeltaOp, DocumentError};
use honeygraph_protocols::honeycomb::HashText;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How long something is missing before a gateway is asked: what another feed brings is here sooner.
const GRACE: Duration = Duration::from_secs(2);
/// Longest pause before gateways are asked again for what they did not have, and the one after what helped.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// Why a hole was not filled.
#[derive(Debug, thiserror::Error)]
pub(super) enum FillError {
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error("{0} is no delta ({1}): what a root closes has no document of its ops")]
    NotADelta(HashText, DocumentError),
    #[error("{0} is no root ({1})")]
    NotARoot(HashText, DocumentError),
    #[error("a base that was found: {0}")]
    Base(#[from] BaseError),
    #[error("the ops of the period that root {0} closed stand in no document: up to there it is filled")]
    ClosedByRoot(HashText),
    #[error("{0} names a checkpoint that is no hash")]
    NoHash(HashText),
    #[error("an op in {0}: {1}")]
    Op(HashText, PackedError),
    #[error("nothing of the day of {0} is held, nor of those before it that may be read (ipfs.roots) and can be had")]
    NotHeld(HashText),
    #[error("what {0} holds has no place: {1}")]
    Refused(HashText, &'static str),
    #[error("the core has ended")]
    Gone,
}

/// What it works with.
pub struct Filler {
    /// The network.
    pub network: String,
    /// Its numbers.
    pub rules: Rules,
    /// Where documents come from.
    pub gateways: Gateways,
    /// Where it asks what is held.
    pub core: mpsc::Sender<Admin>,
    /// Where content goes.
    pub supplies: mpsc::Sender<Order>,
    /// How far back it may go.
    pub ways: Ways,
    /// Ends it.
    pub stop: CancellationToken,
}

/// When the way back is gone (again).
struct Walk {
    from: WalkFrom,
    /// None: not again.
    at: Option<Instant>,
    pause: Duration,
}

/// When something is tried (again).
struct Due {
    at: Instant,
    pause: Duration,
    /// It was brought, and the lane waits still.
    brought: bool,
}

/// A period and the document of its ops.
struct Step {
    hash: HashText,
    label: Option<u64>,
    closed: HashText,
}

impl Filler {
    /// Runs until it is stopped.
    pub async fn run(mut self, mut status: watch::Receiver<Arc<Status>>) {
        let mut due: BTreeMap<HashText, Due> = BTreeMap::new();
        let mut walk = None;
        loop {
            let (wanted, from) = {
                let status = status.borrow_and_update();
                (status.wanted.clone(), status.walk.clone())
            };
            due.retain(|hash, _| wanted.iter().any(|wanted| wanted.hash == *hash));
            let now = Instant::now();
            for wanted in &wanted {
                let key = &wanted.hash;
                let first = || Due { at: now + GRACE, pause: PAUSE, brought: false };
                let entry = due.entry(wanted.hash.clone()).or_insert_with(first);
                if entry.at <= now {
                    let then = wanted.then.clone().filter(|_| entry.brought);
                    let then = then.map(|hash| Wanted { hash, label: None, then: None, ..wanted.clone() });
                    let (wanted, is_last) = (then.as_ref().unwrap_or(wanted), then.is_some() || wanted.then.is_none());
                    let key = key.clone();
                    let stop = self.stop.clone();
                    let filled = tokio::select! {
                        () = stop.cancelled() => return,
                        filled = self.fill(wanted) => filled,
                    };
                    let Some(due) = due.get_mut(&key) else { continue };
                    match filled {
                        Ok(()) if !is_last => (due.at, due.brought) = (Instant::now() + GRACE, true),
                        // What it brought is here; if it is wanted still, it helps no more the next time.
                        Ok(()) => due.at = Instant::now() + LONGEST_PAUSE,
                        Err(error) => {
                            tracing::warn!(network = self.network, "a hole stays: {error}");
                            due.at = Instant::now() + due.pause;
                            due.pause = (due.pause * 2).min(LONGEST_PAUSE);
                        }
                    }
                }
            }
            let stop = self.stop.clone();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.seek(from, &mut walk) => {}
            }
            let next = due.values().map(|due| due.at).chain(walk.as_ref().and_then(|walk| walk.at)).min();
            let sleep = next.map_or(LONGEST_PAUSE, |at| at.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = self.stop.cancelled() => return,
                changed = status.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Goes the way back to a base when it is time to: for each root of the head's history whose state is not known
    /// once, and again while that fails.
    async fn seek(&mut self, from: Option<WalkFrom>, walk: &mut Option<Walk>) {
        let Some(from) = from.filter(|_| self.ways.seeks()) else {
            *walk = None;
            return;
        };
        let now = Instant::now();
        if walk.as_ref().is_none_or(|walk| walk.from.root != from.root) {
            *walk = Some(Walk { from: from.clone(), at: Some(now + GRACE), pause: PAUSE });
        }
        let Some(walk) = walk.as_mut().filter(|walk| walk.at.is_some_and(|at| at <= now)) else { return };
        walk.from = from;
        let walked = match self.walk(&walk.from).await {
            Ok(walked) => walked,
            Err(error) => {
                tracing::warn!(network = self.network, "no way back to a base: {error}");
                walk.at = Some(Instant::now() + walk.pause);
                walk.pause = (walk.pause * 2).min(LONGEST_PAUSE);
                return;
            }
        };
        // What a gateway did not have it may have later; else the way is as long as it is until the next root.
        walk.at = (walked.ended == "no_link").then(|| Instant::now() + LONGEST_PAUSE);
        let (reply, answer) = oneshot::channel();
        if self.core.send(Admin::Walked { walked, reply }).await.is_ok() {
            // A core that has ended shows nothing.
            let _ = answer.await;
        }
    }

    /// Which of these hashes opened a period that is held.
    pub(super) async fn holds(&self, hashes: Vec<HashText>) -> Result<Vec<bool>, FillError> {
        let (reply, answer) = oneshot::channel();
        self.core.send(Admin::Holds { hashes, reply }).await.map_err(|_| FillError::Gone)?;
        answer.await.ok().and_then(Result::ok).ok_or(FillError::Gone)
    }

    /// Brings what lies before the period that this hash opened.
    async fn fill(&mut self, wanted: &Wanted) -> Result<(), FillError> {
        let delta = self.delta(&wanted.hash).await?;
        if wanted.more_than.is_some_and(|held| delta.ops.len() as u64 <= held) {
            return Ok(());
        }
        let mut day = Day::of(wanted.hash.clone(), delta)?;
        for crossed in 0.. {
            let steps = self.steps(&day)?;
            let held = self.holds(steps.iter().map(|step| step.hash.clone()).collect()).await?;
            let newest = held.iter().rposition(|held| *held);
            if newest.is_some() || wanted.begins {
                self.bring(day.delta, steps, newest).await?;
                // The period behind it has no document.
                return if crossed > 0 { Err(FillError::ClosedByRoot(day.root)) } else { Ok(()) };
            }
            let before = if crossed < self.ways.most() { self.before(&day).await } else { None };
            day = before.ok_or_else(|| FillError::NotHeld(wanted.hash.clone()))?;
        }
        Ok(())
    }

    /// Supplies the periods of a day from the newest on that is held, or from its beginning.
    async fn bring(&self, last: Delta, steps: Vec<Step>, newest: Option<usize>) -> Result<(), FillError> {
        let (mut last, upto, from) = (Some(last), steps.len(), newest.unwrap_or(0));
        let mut at: Option<(HashText, Supplied)> = None;
        for (nth, step) in steps.into_iter().enumerate().skip(from) {
            let delta = match last.take_if(|_| nth + 1 == upto) {
                Some(delta) => delta,
                None => self.delta(&step.closed).await?,
            };
            let start = match &at {
                None if newest.is_none() => Start::First,
                None => Start::Held,
                Some((period, Supplied { at, batch: Some(batch), .. })) => {
                    Start::Behind { period: period.clone(), batch: *batch, at: *at }
                }
                Some(_) => return Err(FillError::Refused(step.closed, "empty_period")),
            };
            let done = self.supply(start, &step, &delta).await?;
            at = Some((step.hash, done));
        }
        Ok(())
    }

    /// The periods of a document's day up to the one that it closed, oldest first.
    fn steps(&self, day: &Day) -> Result<Vec<Step>, FillError> {
        let hash = |text: &str| HashText::new(text).ok_or_else(|| FillError::NoHash(day.hash.clone()));
        let mut opened = vec![(day.root.clone(), self.label_of_root(day.delta.number))];
        for link in &day.delta.chain {
            opened.push((hash(&link.hash)?, Some(link.hive_block)));
        }
        let closed = opened.iter().skip(1).map(|(hash, _)| hash.clone()).chain([day.hash.clone()]);
        let closed: Vec<HashText> = closed.collect();
        let steps = opened.into_iter().zip(closed);
        Ok(steps.map(|((hash, label), closed)| Step { hash, label, closed }).collect())
    }

    /// Block of the root that a delta of this number stands on: the save after the newest daily accounting before it.
    pub(super) fn label_of_root(&self, number: u64) -> Option<u64> {
        let every = self.rules.checkpoint_every;
        let newest = self.rules.label(number.saturating_sub(1));
        let saves = (0..=self.rules.root_interval / every).map_while(|back| newest.checked_sub(back * every));
        saves.filter(|label| *label > every).find(|label| self.rules.has_second_run(label - every))
    }

    pub(super) async fn delta(&self, hash: &HashText) -> Result<Delta, FillError> {
        let document = self.gateways.document(hash.as_str(), DELTA_BYTES).await?;
        Delta::parse(&document).map_err(|error| FillError::NotADelta(hash.clone(), error))
    }

    /// Supplies a period in as many parts as it takes.
    async fn supply(&self, start: Start, step: &Step, delta: &Delta) -> Result<Supplied, FillError> {
        let batches = batches(delta).map_err(|error| FillError::Op(step.closed.clone(), error))?;
        let (mut start, mut batches) = (start, batches.into_iter().peekable());
        loop {
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(batch) = batches.next_if(|batch: &SuppliedBatch| {
                part.is_empty() || (part.len() < SUPPLY_BATCHES && bytes + batch.ops.bytes() <= SUPPLY_BYTES)
            }) {
                bytes += batch.ops.bytes();
                part.push(batch);
            }
            let is_last = batches.peek().is_none();
            let closed = is_last.then(|| step.closed.clone());
            let period = SuppliedPeriod { hash: step.hash.clone(), label: step.label, batches: part, closed };
            let supply = Supply { source: format!("document {}", step.closed), start, periods: vec![period] };
            let (reply, answer) = oneshot::channel();
            self.supplies.send(Order { supply, reply }).await.map_err(|_| FillError::Gone)?;
            let done = answer.await.map_err(|_| FillError::Gone)?;
            match (done.refused, done.batch) {
                (Some(why), _) => return Err(FillError::Refused(step.closed.clone(), why)),
                (None, Some(batch)) if !is_last => {
                    start = Start::Behind { period: step.hash.clone(), batch, at: done.at };
                }
                _ => return Ok(done),
            }
        }
    }
}

/// The batches of a document; the last one may lack its marker.
fn batches(delta: &Delta) -> Result<Vec<SuppliedBatch>, PackedError> {
    let mut packing = Packing::new()?;
    let (mut batches, mut seq, mut open) = (Vec::new(), 0, false);
    let mut close = |packing: &mut Packing, marker| {
        let batch = SuppliedBatch { seq, label: None, marker, ops: packing.batch()? };
        seq = batch.end();
        batches.push(batch);
        Ok::<_, PackedError>(())
    };
    for op in &delta.ops {
        match op {
            DeltaOp::Text(text) => packing.op(text)?,
            DeltaOp::Marker => close(&mut packing, true)?,
        }
        open = matches!(op, DeltaOp::Text(_));
    }
    if open {
        close(&mut packing, false)?;
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_cut_at_its_markers() {
        let text = |key: &str| DeltaOp::Text(format!(r#"{{"data":1,"path":["{key}"],"type":"put"}}"#).into_bytes());
        let ops = vec![text("a"), text("b"), DeltaOp::Marker, DeltaOp::Marker, text("c")];
        let delta = Delta { number: 102, chain: Vec::new(), ops, prev_root: String::new(), root: "QmR".into() };
        let cut: Vec<_> = batches(&delta).unwrap().iter().map(|b| (b.seq, b.ops.count(), b.marker)).collect();
        assert_eq!(cut, [(0, 2, true), (3, 0, true), (4, 1, false)]);
        let odd = Delta { ops: vec![DeltaOp::Text(b"{\"path\":[],\"type\":\"put\"} ".to_vec())], ..delta };
        assert!(batches(&odd).is_err(), "not as we would print it");
    }
}
