//! Other nodes: who they are, what they hold, what is fetched from them and what they are given.
//!
//! `host` owns libp2p's swarm, `door` decides who is kept and served, `find` looks for first peers, `serve` answers what
//! others ask, `newcomer` fetches a base, `task` follows what the planners
//! (`sync`, one for each network) want; `peers` is the book of peers, `votes` what accounts vouch for, `window`
//! how much is asked for at a time.
//!
//! *Always holds:* nothing that a peer sends, and no failure of the network, stops the node or changes what it holds
//! unchecked; everything a peer can make us hold or do is bounded.

mod carrier;
pub mod door;
pub mod find;
pub mod following;
pub mod host;
pub mod newcomer;
pub mod own;
pub mod peers;
mod prove;
pub mod serve;
pub mod supplier;
pub mod sync;
pub mod task;
pub mod votes;
mod window;

use find::Search;
use honeygraph_bootstrap::source::Source;
use host::Handle;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

/// Pictures of a network, as they are shown.
#[derive(Clone)]
pub struct Pictures {
    /// Those here.
    pub held: watch::Receiver<Arc<crate::pictures::Held>>,
    /// What is fetched.
    pub fetched: watch::Receiver<Arc<newcomer::machine::Shown>>,
}

/// A swarm that runs, for those who look at it or order something.
#[derive(Clone)]
pub struct Swarm {
    /// The host.
    pub handle: Handle,
    /// Who is in.
    pub inside: door::task::Inside,
    /// Who was let go.
    pub let_go: watch::Receiver<door::task::LetGo>,
    /// The search for peers.
    pub search: watch::Receiver<Arc<Search>>,
    /// What the votes of each network come to.
    pub votes: watch::Receiver<Arc<BTreeMap<String, votes::task::Shown>>>,
    /// How many have to agree at least (`swarm.consensus_required`).
    pub required: usize,
    /// What is fetched.
    pub shown: watch::Receiver<Arc<task::Shown>>,
    /// Pictures of the state, by network: those here, and the one that is fetched.
    pub pictures: BTreeMap<String, Pictures>,
    /// More sources for it.
    pub added: mpsc::Sender<Source>,
    /// Asks all peers at once what they hold, and ends all pauses.
    pub look: Arc<Notify>,
    /// One order to fetch at a time.
    pub order: Arc<Semaphore>,
    /// Room for questions that are asked around for a reader.
    pub asking: Arc<Semaphore>,
}
