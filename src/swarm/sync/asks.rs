//! Requests that are out, and whom the next one goes to.
//!
//! *Always holds:* a peer has at most [`AT_ONCE`] of them; each ends by an answer, a failure, or its time; a peer that
//! let one end by its time waits for its next turn, longer each time.

pub(super) use super::message::AskId;
use super::message::Effect;
use super::planner::Planner;
use crate::swarm::peers::PeerBook;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{PeriodId, Request};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::status::{Head, NetworkStatus};
use std::collections::BTreeSet;

/// Requests that one peer has at once: enough to keep a link busy with answers of 1 MiB.
pub(super) const AT_ONCE: usize = 4;
/// Time after which there is no answer, ms.
pub const ASK_MS: u64 = 10_000;
/// A request is given to a second peer when it takes so many times as long as answers do, between these bounds, ms.
const OVERTAKEN: u64 = 4;
pub(super) const OVERTAKEN_MS: (u64, u64) = (500, 3_000);
/// Longest time for which "busy" is believed, ms.
pub(super) const BUSY_MS: u64 = 30_000;
/// How slow a peer can count.
const SLOWEST: u32 = 4;

/// A connected peer.
#[derive(Debug, Default)]
pub(super) struct Remote {
    pub status: Option<NetworkStatus>,
    pub head: Option<Head>,
    pub witness: bool,
    pub out: usize,
    /// How often it was overtaken of late.
    pub slow: u32,
    /// Failures in a row.
    pub failures: u32,
    pub not_before: u64,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// A walk back from this hash.
    Headers(HashText),
    /// A whole period.
    Whole(PeriodId),
    /// Lines of a period, so many passed over.
    Lines(PeriodId, u32),
    /// Batches of a period from this place on, so many frames of the first passed over.
    Part(PeriodId, u64, u32),
    /// Batches of the open period, so many frames of the first passed over.
    Newest(HashText, u32),
}

impl What {
    /// Whether it is of a closed period's body, so that it counts in the window.
    pub(super) fn is_body(&self) -> bool {
        matches!(self, Self::Whole(_) | Self::Lines(..) | Self::Part(..))
    }
}

/// A request that is out.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub peer: PeerKey,
    pub what: What,
    pub at: u64,
}

impl Planner {
    /// The best peer that is free: not among `without`, and fit.
    pub(super) fn pick(
        &mut self,
        now: u64,
        book: &PeerBook,
        without: &BTreeSet<PeerKey>,
        fits: impl Fn(&Remote) -> bool,
    ) -> Option<PeerKey> {
        let turn = self.chance.below(256) as u8;
        let free = self.remotes.iter().filter(|(peer, remote)| {
            remote.out < (AT_ONCE >> remote.slow.min(2))
                && remote.not_before <= now
                && !without.contains(*peer)
                && fits(remote)
        });
        let ranked = free.filter_map(|(peer, remote)| Some((book.rank(now, peer)?, peer, remote)));
        let best = ranked.max_by_key(|(rank, peer, remote)| {
            let behind = (remote.slow, remote.out);
            (*rank, std::cmp::Reverse(behind), peer.0[0] ^ turn, **peer)
        });
        best.map(|(_, peer, _)| *peer)
    }

    pub(super) fn ask(&mut self, now: u64, peer: PeerKey, what: What, request: Request, fx: &mut Vec<Effect>) -> AskId {
        self.next_ask += 1;
        let id = self.next_ask;
        if let Some(remote) = self.remotes.get_mut(&peer) {
            remote.out += 1;
        }
        self.asks.insert(id, Asked { peer, what, at: now });
        fx.push(Effect::Ask { id, peer, request });
        id
    }

    /// A request is over.
    pub(super) fn settle(&mut self, id: AskId) -> Option<Asked> {
        let asked = self.asks.remove(&id)?;
        if let Some(remote) = self.remotes.get_mut(&asked.peer) {
            remote.out = remote.out.saturating_sub(1);
        }
        Some(asked)
    }

    /// A peer served well.
    pub(super) fn served(&mut self, now: u64, asked: &Asked, fx: &mut Vec<Effect>) {
        let took = now.saturating_sub(asked.at);
        let overtaken = took > self.overtaken_after();
        self.usual_ms = (self.usual_ms * 7 + took) / 8;
        if asked.what.is_body() {
            self.window.came();
        }
        if let Some(remote) = self.remotes.get_mut(&asked.peer) {
            remote.failures = 0;
            remote.slow = if overtaken { (remote.slow + 1).min(SLOWEST) } else { remote.slow.saturating_sub(1) };
        }
        fx.push(Effect::Outcome { peer: asked.peer, good: true });
    }

    /// A peer did not answer: it loses its turn, and nothing else.
    pub(super) fn silent(&mut self, now: u64, peer: PeerKey, fx: &mut Vec<Effect>) {
        fx.push(Effect::Outcome { peer, good: false });
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        remote.failures = remote.failures.saturating_add(1);
        remote.slow = (remote.slow + 1).min(SLOWEST);
        remote.not_before = now + self.chance.backoff(remote.failures);
    }

    /// A peer is busy.
    pub(super) fn busy(&mut self, now: u64, peer: PeerKey, ms: u32) {
        if let Some(remote) = self.remotes.get_mut(&peer) {
            remote.not_before = remote.not_before.max(now + u64::from(ms).clamp(1, BUSY_MS));
        }
    }

    /// Whether one more request for a body may go out.
    pub(super) fn has_room(&self) -> bool {
        self.asks.values().filter(|asked| asked.what.is_body()).count() < self.window.size()
    }

    /// How long a request may take before a second peer gets it, too.
    pub(super) fn overtaken_after(&self) -> u64 {
        (self.usual_ms * OVERTAKEN).clamp(OVERTAKEN_MS.0, OVERTAKEN_MS.1)
    }
}

impl Remote {
    /// Whether it may have a period, as far as its status says.
    pub(super) fn may_hold(&self, label: Option<u64>) -> bool {
        let Some(status) = &self.status else { return false };
        status.held.iter().any(|held| {
            let (from, to) = (held.from.label, held.to.label);
            label.is_none_or(|label| {
                from.is_none_or(|from| from.get() <= label) && to.is_none_or(|to| label <= to.get())
            })
        })
    }
}
