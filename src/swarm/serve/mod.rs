//! Serving: answers what other nodes ask, from the state's index and the journal.
//!
//! *Always holds:* it reads and never writes; what it answers was applied and is durable; each peer has its allowance
//! ([`allowance`]); whatever is asked, the answer is bounded and the server goes on.

pub mod allowance;
mod answer;
mod period;
pub mod status;

use super::host::{Protocol, Question};
use crate::fork::rules::Rules;
use crate::fork::status::Status;
use crate::journal::{self, JournalError};
use crate::projection::state::Reader;
use allowance::{Allowance, LOOK, QUESTION};
use answer::ServeError;
use honeygraph_protocols::swarm::blocks::{Answer, Request};
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::status::Request as StatusRequest;
use honeygraph_protocols::swarm::wire::Message;
use period::Headers;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

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
}

/// Answers questions.
pub struct Serve {
    held: BTreeMap<NetworkName, Held>,
    headers: BTreeMap<NetworkName, Headers>,
    allowance: Allowance,
    started: Instant,
}

impl Serve {
    /// Of these networks.
    pub fn new(held: BTreeMap<NetworkName, Held>) -> Self {
        Self { held, headers: BTreeMap::new(), allowance: Allowance::default(), started: Instant::now() }
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
