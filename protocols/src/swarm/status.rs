//! `/honeygraph/status/1`: what a node has, of each network, by request and answer.
//!
//! A claim, not a proof: it says whom to ask, and what a peer can be held to.
//!
//! *Always holds:* a range of periods names its ends by hash; a label is there where the node knows it.

use super::names::{Label, NetworkName, Software};
use super::wire::{List, Message, batch_id};
use crate::batch::BatchId;
use crate::honeycomb::HashText;
use serde::{Deserialize, Serialize};

/// Protocol id.
pub const ID: &str = "/honeygraph/status/1";
/// Networks in one status: more than any node serves. Others are asked for by name.
pub const MAX_NETWORKS: usize = 16;
/// Ranges of periods of one network: the newest; a node with more holes is better asked when it has fewer.
pub const MAX_HELD: usize = 32;

/// Serves period headers and batches.
pub const CAN_SERVE: u32 = 1;
/// Gossips heads and votes.
pub const CAN_GOSSIP: u32 = 2;

/// What is your status?
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Of these networks; empty: of all.
    pub networks: List<NetworkName, MAX_NETWORKS>,
}

impl Message for Request {
    const WHAT: &'static str = "status request";
    const CAP: usize = 1024;
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Program and version.
    pub software: Software,
    /// What it can do: the sum of the `CAN_` numbers. Unknown ones mean nothing.
    pub capabilities: u32,
    /// Its networks.
    pub networks: List<NetworkStatus, MAX_NETWORKS>,
}

impl Message for Status {
    const WHAT: &'static str = "status";
    const CAP: usize = 256 << 10;
}

/// What it has of one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// The network.
    pub network: NetworkName,
    /// What its state begins with.
    pub base: Base,
    /// Closed periods on its head's history whose batches it can serve, newest range first.
    pub held: List<Held, MAX_HELD>,
    /// Its head; none while it has nothing.
    pub head: Option<Head>,
    /// Newest checkpoint on its head's history that it recomputed to the announced hash.
    pub verified: Option<Checkpoint>,
    /// Newest checkpoint that an anchor vouches for, too.
    pub confirmed: Option<Checkpoint>,
}

/// What a state begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base {
    /// Nothing that is known.
    None,
    /// Honeycomb's own beginning.
    Genesis,
    /// A root document.
    Root(Checkpoint),
}

/// A checkpoint: opening hash and label of the period that it opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its hash.
    pub hash: HashText,
    /// Its block.
    pub label: Option<Label>,
}

/// A run of periods, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Opening checkpoint of the oldest.
    pub from: Checkpoint,
    /// Opening checkpoint of the newest.
    pub to: Checkpoint,
    /// How many.
    pub periods: u32,
}

/// Where a head stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Opening checkpoint of its period.
    pub period: Checkpoint,
    /// Place of the item after its last batch.
    pub next: u64,
    /// Its last batch.
    #[serde(with = "batch_id")]
    pub batch: BatchId,
}
