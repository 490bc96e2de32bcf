//! Serving: answers what other nodes ask, from the state's index and the journal; and which account this node is of.
//!
//! *Always holds:* it reads and never writes; what it answers was applied and is durable; each peer has its allowance
//! ([`allowance`]); whatever is asked, the answer is bounded and the server goes on.

pub mod allowance;
mod answer;
mod period;
mod pictures;
pub mod status;

use super::host::{Protocol, Question};
use super::votes::bound;
use crate::fork::rules::Rules;
use crate::fork::status::Status;
use crate::journal::{self, JournalError};
use crate::pictures::Held as Pictures;
use crate::projection::state::Reader;
use allowance::{Allowance, LOOK, QUESTION};
use answer::ServeError;
use honeygraph_protocols::swarm::binding;
use honeygraph_protocols::swarm::blocks::{Answer, Request};
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::pictures as asked;
use honeygraph_protocols::swarm::status::Request as StatusRequest;
use honeygraph_protocols::swarm::wire::Message;
use libp2p::PeerId;
use period::Headers;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

/// Peers that have let us go and of which the operator was told; of others only the log at `debug` says it.
const TOLD: usize = 64;

/// What is served of one network.
#[derive(Clone)]
pub struct Held {
    /// The network.
    pub network: NetworkName,
    /// Its numbers.
    pub rules: Rules,
    /// The core's state.
    pub status: watch::Receiver<Arc<Status>>,
    /// The state.
    pub state: Reader,
    /// The journal.
    pub journal: journal::Reader,
    /// The state at the newest roots.
    pub pictures: watch::Receiver<Arc<Pictures>>,
}

/// Answers questions.
pub struct Serve {
    held: BTreeMap<NetworkName, Held>,
    headers: BTreeMap<NetworkName, Headers>,
    allowance: Allowance,
    /// File with the account's word for this node.
    bound: PathBuf,
    /// Who has let us go.
    away: BTreeSet<PeerId>,
    started: Instant,
}

impl Serve {
    /// Of these networks, for a node with this file of its binding.
    pub fn new(held: BTreeMap<NetworkName, Held>, bound: PathBuf) -> Self {
        let (headers, allowance, away) = (BTreeMap::new(), Allowance::default(), BTreeSet::new());
        Self { held, headers, allowance, bound, away, started: Instant::now() }
    }

    /// Answers one after the other until nobody asks any more. It reads from disk, so it has a thread of its own.
    pub fn run(mut self, mut questions: mpsc::Receiver<Question>) {
        while let Some(question) = questions.blocking_recv() {
            let now_ms = self.started.elapsed().as_millis() as u64;
            if let Some(answer) = self.answer(&question, now_ms) {
                // Who asked may have gone.
                let _ = question.reply.send(answer);
            }
        }
    }

    /// The answer to a question; none when it is no question.
    fn answer(&mut self, question: &Question, now_ms: u64) -> Option<Vec<u8>> {
        let peer = question.peer;
        let allowed = self.allowance.may(peer, now_ms);
        let answer = match question.protocol {
            Protocol::Status => self.status(&question.request, allowed.is_ok()),
            Protocol::Blocks => self.blocks(&question.request, allowed),
            Protocol::Binding => self.binding(peer, &question.request, allowed.is_ok()),
            Protocol::Pictures => self.pictures(&question.request, allowed),
        };
        let looked: u64 = self.headers.values_mut().map(|headers| std::mem::take(&mut headers.looked)).sum();
        let cost = QUESTION + looked * LOOK + answer.as_ref().map_or(0, Vec::len) as u64;
        self.allowance.spend(peer, cost, now_ms);
        if answer.is_none() {
            debug!(%peer, protocol = question.protocol.name(), "a question without an answer");
        }
        answer
    }

    fn status(&mut self, request: &[u8], allowed: bool) -> Option<Vec<u8>> {
        let request = StatusRequest::decode(request).ok().filter(|_| allowed)?;
        match status::status(&self.held, &mut self.headers, &request) {
            Ok(status) => status.encode(),
            Err(error) => {
                warn!(%error, "a peer's question for our status cannot be answered");
                None
            }
        }
    }

    /// The binding of this node, read anew: `honeygraph bind` may have written it a moment ago.
    fn binding(&mut self, peer: PeerId, request: &[u8], allowed: bool) -> Option<Vec<u8>> {
        match binding::Request::decode(request).ok().filter(|_| allowed)? {
            binding::Request::Show => {
                let binding = bound::read(&self.bound).unwrap_or_else(|error| {
                    debug!(error, "no binding can be shown");
                    None
                });
                binding::Answer { binding }.encode()
            }
            binding::Request::Away(why) => {
                if self.away.len() < TOLD && self.away.insert(peer) {
                    let why = match why {
                        binding::Away::Unbound => {
                            "it serves nodes of accounts only: `honeygraph bind` makes this one of yours"
                        }
                        binding::Away::NotLetIn => {
                            "it does not serve nodes of this node's account, or the binding does not hold"
                        }
                    };
                    warn!(%peer, why, "a peer has let this node go");
                } else {
                    debug!(%peer, ?why, "a peer has let this node go");
                }
                binding::Answer::default().encode()
            }
        }
    }

    fn pictures(&self, request: &[u8], allowed: Result<(), u32>) -> Option<Vec<u8>> {
        let request = asked::Request::decode(request).ok()?;
        let answered = match (allowed, self.held.get(request.network())) {
            (Err(wait_ms), _) => Ok(asked::Answer::Busy(wait_ms)),
            (Ok(()), None) => Ok(asked::Answer::NotHeld),
            (Ok(()), Some(held)) => pictures::answer(held, &request),
        };
        let answered = answered.unwrap_or_else(|error| {
            warn!(%error, "a peer's question for pictures cannot be answered");
            asked::Answer::NotHeld
        });
        answered.encode()
    }

    fn blocks(&mut self, request: &[u8], allowed: Result<(), u32>) -> Option<Vec<u8>> {
        let request = Request::decode(request).ok()?;
        let answered = match (allowed, self.held.get(request.network())) {
            (Err(wait_ms), _) => Ok(Answer::Busy(wait_ms)),
            (Ok(()), None) => Ok(Answer::NotHeld),
            (Ok(()), Some(held)) => {
                let headers = self.headers.entry(held.network.clone()).or_default();
                answer::answer(held, headers, &request)
            }
        };
        let answered = answered.unwrap_or_else(|error| {
            // What retention has let go is no longer here, and nothing is wrong.
            if !matches!(error, ServeError::Journal(JournalError::NotHeld(_) | JournalError::Trimmed { .. })) {
                warn!(%error, "a peer's question for blocks cannot be answered");
            }
            Answer::NotHeld
        });
        answered.encode()
    }
}
