//! Which point of which fork a request means, and what every answer from it says of itself.
//!
//! *Always holds:* the snapshot is taken first and everything is resolved and read from it; a point that has not come
//! yet is never answered by an older one.

use super::answer::ApiError;
use super::query::Query;
use super::{Networked, Web, wait};
use crate::fork::proofs::Standing;
use crate::fork::record::Node;
use crate::journal::JournalError;
use crate::projection::state::kv::Fjall;
use crate::projection::state::reader::{Fork, Named, Snapshot};
use crate::projection::state::{Batch, StateError};
use honeygraph_protocols::batch::BatchId;
use std::io::Write;

/// A point of a network, resolved.
#[derive(Clone)]
pub struct Point<'a> {
    /// Network.
    pub network: &'a str,
    /// What the API knows of it.
    pub of: &'a Networked,
    /// The state it is read from.
    pub snapshot: Snapshot<Fjall>,
    /// The history that was meant: its tip.
    pub history: Node,
    /// That history's fork.
    pub fork: BatchId,
    /// The batch that was meant.
    pub batch: Batch,
    /// Whether every key that the network ever had is known here.
    pub complete: bool,
    /// What is proven of it.
    pub standing: Standing,
}

/// A block, named by a number that may lie inside its period.
pub struct Resolved {
    /// Label of the block that was in force.
    pub block: u64,
    /// How many numbers one label covers.
    pub grain: u64,
}

impl From<StateError> for ApiError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Gone(_) => Self::gone("this point is no longer kept"),
            error => Self::internal(&error),
        }
    }
}

impl From<JournalError> for ApiError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Trimmed { .. } => Self::before_journal(),
            error => Self::internal(&error),
        }
    }
}

impl<'a> Point<'a> {
    /// The point that `?network`, `?fork`, `?block` and `?batch` mean; without them the head. Waits for `?min_batch`.
    pub async fn asked(web: &'a Web, query: &Query) -> Result<Self, ApiError> {
        wait::own_write(web, query).await?;
        let point = Self::history(web, query)?;
        match (query.get("batch"), query.number("block")?) {
            (Some(_), Some(_)) => Err(ApiError::bad_request("say ?batch or ?block, not both")),
            (Some(batch), None) => point.at_batch(batch, query.get("fork").is_some()),
            (None, Some(block)) => Ok(point.at_block(block)?.0),
            (None, None) => Ok(point),
        }
    }

    /// The tip of the history that `?network` and `?fork` mean.
    pub fn history(web: &'a Web, query: &Query) -> Result<Self, ApiError> {
        let (network, of) = web.network(query.get("network"))?;
        let snapshot = of.state.snapshot();
        let Some(fork) = query.get("fork") else {
            let none = || ApiError::unknown_before_base(format!("network {network} has no data yet"));
            let batch = snapshot.head()?.ok_or_else(none)?;
            return Self::at(network, of, snapshot, batch.node, batch);
        };
        let Fork { row, tip, .. } = named(&snapshot, fork)?;
        let batch = tip.ok_or_else(|| ApiError::not_found("this fork has no batch yet"))?.batch;
        Self::on(network, of, snapshot, row.first.map_or(batch.id, |(_, id)| id), batch.node, batch)
    }

    /// A batch on the history that ends at a node.
    pub fn at(
        network: &'a str,
        of: &'a Networked,
        snapshot: Snapshot<Fjall>,
        history: Node,
        batch: Batch,
    ) -> Result<Self, ApiError> {
        let first = snapshot.branch(history.branch)?.and_then(|row| row.first);
        let fork = first.map_or(batch.id, |(_, id)| id);
        Self::on(network, of, snapshot, fork, history, batch)
    }

    fn on(
        network: &'a str,
        of: &'a Networked,
        snapshot: Snapshot<Fjall>,
        fork: BatchId,
        history: Node,
        batch: Batch,
    ) -> Result<Self, ApiError> {
        let complete = complete(of, &snapshot, network, &batch)?;
        let standing = standing(of, &snapshot, history, batch.node);
        Ok(Self { network, of, snapshot, history, fork, batch, complete, standing })
    }

    /// The point that a text names: a block of this history by its number, or a batch of this or any other history.
    pub fn named(&self, name: &str) -> Result<Self, ApiError> {
        match name.parse() {
            Ok(number) => Ok(self.clone().at_block(number)?.0),
            Err(_) if name.parse::<BatchId>().is_err() => Err(ApiError::bad_request("neither a block nor a batch id")),
            Err(_) => self.clone().at_batch(name, false),
        }
    }

    fn moved_to(self, batch: Batch) -> Result<Self, ApiError> {
        let complete = complete(self.of, &self.snapshot, self.network, &batch)?;
        let standing = standing(self.of, &self.snapshot, self.history, batch.node);
        Self { batch, complete, standing, ..self }.behind_base()
    }

    /// A batch on this history; when no fork was named, on any that alone has it.
    pub fn at_batch(mut self, name: &str, fork_named: bool) -> Result<Self, ApiError> {
        let id = name.parse().map_err(|_| ApiError::bad_request("?batch is not a batch id"))?;
        if let Some(batch) = self.snapshot.find(self.history, &id)? {
            return self.moved_to(batch);
        }
        let unknown = || ApiError::not_found("no batch has this id here");
        let places = if fork_named { Vec::new() } else { self.snapshot.places(&id)? };
        match places.as_slice() {
            [] => Err(unknown()),
            [place] => {
                let batch = self.snapshot.batch(*place)?.ok_or_else(unknown)?;
                let first = self.snapshot.branch(place.branch)?.and_then(|row| row.first);
                (self.history, self.fork) = (*place, first.map_or(batch.id, |(_, id)| id));
                self.moved_to(batch)
            }
            several => {
                let branches = several.iter().map(|place| self.snapshot.branch(place.branch));
                let rows: Vec<_> = branches.collect::<Result<_, _>>()?;
                let forks = rows.into_iter().flatten().filter_map(|row| row.first).map(|(_, id)| id.to_string());
                Err(ApiError::ambiguous_fork(name, forks.collect()))
            }
        }
    }

    /// What a history says of the time before its base is not the whole truth, and is not told.
    fn behind_base(self) -> Result<Self, ApiError> {
        let based = self.snapshot.based(self.history);
        match based.filter(|_| self.snapshot.based(self.batch.node).is_none()) {
            None => Ok(self),
            Some(base) => {
                let label = self.snapshot.batch(base)?.and_then(|batch| batch.opening_label);
                Err(ApiError::before_base(label))
            }
        }
    }

    /// The block that was in force at a number on the history that `?network` and `?fork` mean; with `?batch`, as of it.
    pub async fn block(web: &'a Web, query: &Query, number: u64) -> Result<(Self, Resolved), ApiError> {
        let point = Self::asked(web, query).await?;
        if query.get("batch").is_none() {
            return point.at_block(number);
        }
        let (history, as_of) = (point.history, point.batch.node);
        let (point, resolved, _) = Self { history: as_of, ..point }.in_force(number)?;
        let batch = point.batch.clone();
        Ok((Self { history, ..point }.moved_to(batch)?, resolved))
    }

    /// The last batch at or before a block number of this history; the block must have come.
    pub fn at_block(self, number: u64) -> Result<(Self, Resolved), ApiError> {
        let (point, resolved, newest) = self.in_force(number)?;
        let Resolved { block, grain } = resolved;
        if newest && number >= block + grain {
            let text = format!("block {number} has not come: the newest is {block}");
            return Err(ApiError::not_found(text).with("newest", block).with("grain", grain));
        }
        Ok((point, resolved))
    }

    /// The last batch at or before a block number of this history, and whether it is the history's last.
    fn in_force(self, number: u64) -> Result<(Self, Resolved, bool), ApiError> {
        let Some(found) = self.snapshot.at_label(self.history, number)? else {
            return Err(ApiError::unknown_before_base("this block lies before the first that is known"));
        };
        let block = found.batch.label.unwrap_or(number);
        let resolved = Resolved { block, grain: self.of.grain(&found.batch) };
        let newest = found.batch.node == self.snapshot.last_batch(self.history)?.map_or(self.history, |b| b.node);
        Ok((self.moved_to(found.batch)?, resolved, newest))
    }

    /// Appends what every answer says of itself, as members of an object.
    pub fn describe(&self, out: &mut Vec<u8>) {
        let Self { network, fork, batch, complete, standing, .. } = self;
        let (id, label) = (batch.id, batch.label);
        // Writing to memory cannot fail. Network names and ids need no escapes.
        let _ = write!(out, r#""network":"{network}","fork":"{fork}","batch":"{id}","label":"#);
        let _ = match label {
            Some(label) => write!(out, "{label}"),
            None => write!(out, "null"),
        };
        let (verified, confirmed) = (standing.verified, standing.confirmed);
        let _ = write!(out, r#","complete":{complete},"verified":{verified},"final":{}"#, confirmed.is_some());
        for (name, label) in [("verified_at", standing.verified_at), ("mismatch", standing.mismatch)] {
            if let Some(label) = label {
                let _ = write!(out, r#","{name}":{label}"#);
            }
        }
        if let Some(by) = confirmed {
            let _ = write!(out, r#","confirmed_by":"{}""#, by.word());
        }
    }

    /// What is missing here: nothing was ever there, or we cannot know.
    pub fn absent(&self, known: bool) -> ApiError {
        let error = match known || self.complete {
            true => ApiError::not_found("nothing is there"),
            false => ApiError::unknown_before_base("never seen here, and what lies before our first batch is unknown"),
        };
        error
            .with("network", self.network)
            .with("fork", self.fork.to_string())
            .with("batch", self.batch.id.to_string())
            .with("label", self.batch.label)
            .with("complete", self.complete)
            .with("verified", self.standing.verified)
            .with("final", self.standing.confirmed.is_some())
    }
}

impl Networked {
    /// How many block numbers the label of a batch covers: in honeycomb numbering, where every batch of a period has
    /// the label that opened it, as many as lie between two checkpoints.
    fn grain(&self, batch: &Batch) -> u64 {
        let aligned = batch.label.is_some_and(|label| label % self.checkpoint_every == 1 % self.checkpoint_every);
        if aligned && batch.label == batch.opening_label { self.checkpoint_every } else { 1 }
    }
}

fn named(snapshot: &Snapshot<Fjall>, fork: &str) -> Result<Fork, ApiError> {
    match snapshot.named(fork)? {
        Named::One(fork) => Ok(*fork),
        Named::Several(forks) => {
            let name = |fork: &Fork| fork.row.first.map(|(_, id)| id.to_string());
            Err(ApiError::ambiguous_fork(fork, forks.iter().filter_map(name).collect()))
        }
        Named::Unknown => Err(ApiError::not_found("no fork has this name")),
    }
}

fn standing(of: &Networked, snapshot: &Snapshot<Fjall>, history: Node, batch: Node) -> Standing {
    of.status.borrow().proven.standing(&snapshot.chain(history), batch)
}

/// Complete is what began with honeycomb itself and was never broken.
fn complete(of: &Networked, snapshot: &Snapshot<Fjall>, network: &str, batch: &Batch) -> Result<bool, ApiError> {
    if batch.unbroken && snapshot.based(batch.node).is_some() {
        return Ok(true);
    }
    let Some(root) = snapshot.chain(batch.node).last().copied().filter(|_| batch.unbroken) else { return Ok(false) };
    if let (0, Some(genesis)) = (root.branch, of.genesis.get()) {
        return Ok(*genesis);
    }
    let Some(first) = snapshot.batches(root.branch, 0, root.version).next().transpose()? else { return Ok(false) };
    let genesis = first.period.as_str().strip_prefix("genesis:") == Some(network);
    if root.branch == 0 {
        let _ = of.genesis.set(genesis); // a branch's first batch never changes
    }
    Ok(genesis)
}
