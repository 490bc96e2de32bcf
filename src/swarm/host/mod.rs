//! The host: owns libp2p's swarm, and is the only one that speaks with it.
//!
//! Others hold a [`Handle`]: they order (ask a peer, dial, publish), see who is connected, and hear gossip. What peers
//! ask goes to whoever serves.
//!
//! *Always holds:* every order that asks is answered, a peer that goes away included; a queue that is full drops what
//! comes from peers, never what we owe; one connection with a peer stays.

mod behaviour;
mod codec;
mod gossip;
mod meet;
mod task;
#[cfg(test)]
mod tests;

pub use behaviour::OPEN_PER_PEER;
pub use codec::Bounds;
pub use task::Host;

use honeygraph_bootstrap::meeting::Manners;
use honeygraph_bootstrap::transport::Line;
use honeygraph_protocols::swarm::wire::Message;
use honeygraph_protocols::swarm::{binding, blocks, pictures, status};
use libp2p::{Multiaddr, PeerId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Orders waiting for the host: those who order wait when it is full.
const ORDERS: usize = 64;
/// Messages of gossip that wait for whoever reads them; more are dropped and not passed on.
const RUMOURS: usize = 256;
/// Questions of peers that wait for whoever serves; more are refused.
const QUESTIONS: usize = 32;

/// Our questions and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// What a node holds.
    Status,
    /// Headers and batches.
    Blocks,
    /// Which account a node is of.
    Binding,
    /// The state at a root.
    Pictures,
}

impl Protocol {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Status => status::ID,
            Protocol::Blocks => blocks::ID,
            Protocol::Binding => binding::ID,
            Protocol::Pictures => pictures::ID,
        }
    }

    /// Its bounds.
    pub fn bounds(self) -> Bounds {
        match self {
            Protocol::Status => Bounds { request: status::Request::CAP, answer: status::Status::CAP },
            Protocol::Blocks => Bounds { request: blocks::Request::CAP, answer: blocks::Answer::CAP },
            Protocol::Binding => Bounds { request: binding::Request::CAP, answer: binding::Answer::CAP },
            Protocol::Pictures => Bounds { request: pictures::Request::CAP, answer: pictures::Answer::CAP },
        }
    }
}

/// What the host is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who we are, and the way out.
    pub line: Line,
    /// Where it listens.
    pub listen: Vec<Multiaddr>,
    /// Where it can be reached from everywhere, as the operator says.
    pub announce: Vec<Multiaddr>,
    /// How it takes part.
    pub manners: Manners,
    /// Whether it looks for peers in the local network.
    pub mdns: bool,
    /// Topics of gossip that it hears, and passes on.
    pub topics: Vec<String>,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Address of the connection.
    pub address: Multiaddr,
    /// Whether we made it.
    pub outgoing: bool,
    /// Since when, ms since the epoch.
    pub since_ms: u64,
    /// What it calls itself; none before it has said who it is.
    pub agent: Option<String>,
    /// Where it says it can be reached, as far as that is believed.
    pub addresses: Vec<Multiaddr>,
    /// Whether it answers our questions (a boot node does not).
    pub answers: bool,
}

/// What the host shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Where we listen and can be reached, our id at the end.
    pub addresses: Vec<Multiaddr>,
    /// Who is connected.
    pub peers: BTreeMap<PeerId, Peer>,
    /// What is wrong, when we do not listen as we were told.
    pub trouble: Option<String>,
}

/// Why a question has no answer. Only a peer that answered wrongly is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It is not connected, or was not until the answer came.
    #[error("the peer is gone")]
    Gone,
    /// It did not answer in time.
    #[error("the peer did not answer in time")]
    Silent,
    /// It does not speak the protocol.
    #[error("the peer does not speak this protocol")]
    Unspoken,
    /// It refused, or its stream broke: it may be busy.
    #[error("the peer ended the stream")]
    Refused,
    /// What it sent breaks the bounds of the protocol.
    #[error("the peer broke the protocol's bounds")]
    Broken,
    /// The host has stopped.
    #[error("the swarm has stopped")]
    Stopped,
}

/// A message of gossip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rumour {
    /// Who handed it to us.
    pub from: PeerId,
    /// Who says it.
    pub author: PeerId,
    /// What it is about.
    pub topic: String,
    /// What it says.
    pub data: Vec<u8>,
    /// By which it is judged.
    pub ticket: Ticket,
}

/// Names a message of gossip that waits for a word on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket(gossip::Ticket);

/// The word on a message of gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is sound: pass it on.
    Pass,
    /// It says nothing new: keep it, blame nobody.
    Keep,
    /// Nobody honest passes this on.
    Refuse,
}

/// A peer asks.
#[derive(Debug)]
pub struct Question {
    /// Who.
    pub peer: PeerId,
    /// By which protocol.
    pub protocol: Protocol,
    /// What.
    pub request: Vec<u8>,
    /// Where the answer goes; dropped, it is a refusal.
    pub reply: oneshot::Sender<Vec<u8>>,
}

enum Order {
    Ask { peer: PeerId, protocol: Protocol, request: Vec<u8>, reply: oneshot::Sender<Result<Vec<u8>, AskError>> },
    Dial(Vec<Multiaddr>),
    Walk,
    Publish { topic: String, data: Vec<u8> },
    Judge(Ticket, Word),
    Block(PeerId, bool),
    Close(PeerId),
}

/// Speaks with the host. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    us: PeerId,
    orders: mpsc::Sender<Order>,
    seen: watch::Receiver<Arc<Seen>>,
}

/// What the host hands out of what peers send.
pub struct Heard {
    /// Gossip.
    pub rumours: mpsc::Receiver<Rumour>,
    /// Questions.
    pub questions: mpsc::Receiver<Question>,
}

impl Handle {
    /// Our own id.
    pub fn us(&self) -> PeerId {
        self.us
    }

    /// What the host shows of itself.
    pub fn seen(&self) -> watch::Receiver<Arc<Seen>> {
        self.seen.clone()
    }

    /// Asks a connected peer.
    pub async fn ask(&self, peer: PeerId, protocol: Protocol, request: Vec<u8>) -> Result<Vec<u8>, AskError> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Ask { peer, protocol, request, reply }).await;
        answer.await.unwrap_or(Err(AskError::Stopped))
    }

    /// Dials these addresses, unless who is there is connected already.
    pub async fn dial(&self, addresses: Vec<Multiaddr>) {
        self.order(Order::Dial(addresses)).await;
    }

    /// Walks through the network, to know more peers and be known by them.
    pub async fn walk(&self) {
        self.order(Order::Walk).await;
    }

    /// Says something to all who hear this topic.
    pub async fn publish(&self, topic: String, data: Vec<u8>) {
        self.order(Order::Publish { topic, data }).await;
    }

    /// Says what a message of gossip is worth.
    pub async fn judge(&self, ticket: Ticket, word: Word) {
        self.order(Order::Judge(ticket, word)).await;
    }

    /// Blocks a peer, or lets it in again.
    pub async fn block(&self, peer: PeerId, blocked: bool) {
        self.order(Order::Block(peer, blocked)).await;
    }

    /// Ends what there is with a peer. It may come again.
    pub async fn close(&self, peer: PeerId) {
        self.order(Order::Close(peer)).await;
    }

    async fn order(&self, order: Order) {
        // A host that has stopped takes no orders; who asks hears of it by the missing answer.
        let _ = self.orders.send(order).await;
    }
}
