//! What came before our beginning: a node whose history begins in the middle (its honeycomb was running already, or its disk
//! was lost) walks back from the hash that its own history begins with, when nothing else is to be fetched.
//!
//! *Always holds:* nothing of the past is supplied before the period that our beginning closes was recomputed to that hash,
//! or, where nobody can recompute it here (a root closes it), a peer that the operator trusts gave its header; what was
//! supplied is not fetched again in the life of a planner; where nobody has it, everybody is asked ever more rarely.

use super::leg::{Leg, PROVEN_BYTES};
use super::message::{Own, Verdict};
use super::planner::Planner;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::keys::PeerKey;

/// A pause between two tries is so many times as long as elsewhere: nobody waits for it.
const PATIENCE: u64 = 8;

/// How far the past is.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// What our history begins with, while something may lie before it.
    ours: Option<HashText>,
    tries: u32,
    /// Not looked for before, ms.
    not_before: u64,
    /// Hash that closes what was supplied of it.
    reached: Option<HashText>,
}

impl Past {
    /// When it is looked for again; none: never.
    pub(super) fn wake_at(&self) -> Option<u64> {
        self.ours.as_ref().map(|_| self.not_before)
    }

    /// Ends the pause.
    pub(super) fn at_once(&mut self, now: u64) {
        self.not_before = now;
    }

    /// A period of it has been taken.
    pub(super) fn taken(&mut self, close_hash: &HashText) {
        self.reached = Some(close_hash.clone());
    }
}

impl Planner {
    /// The leg that leads to our beginning, when it is time to look for it.
    pub(super) fn past_leg(&mut self, now: u64, own: &dyn Own) -> Option<Leg> {
        let begins = own.begins();
        let ours = begins.as_ref().map(|begins| begins.hash.clone());
        if self.past.ours != ours {
            self.past = Past { ours, ..Past::default() };
        }
        let begins = begins.filter(|_| now >= self.past.not_before && !self.remotes.is_empty())?;
        self.past.tries += 1;
        self.past.not_before = now + PATIENCE * self.chance.backoff(self.past.tries);
        Some(Leg { is_past: true, ..Leg::new(begins) })
    }

    /// Whether a walk has come to what needs no fetching: what is held here, or of the past what was supplied.
    pub(super) fn reaches(&self, is_past: bool, hash: &HashText, own: &dyn Own) -> bool {
        if self.since.begins_with(hash) {
            return true;
        }
        if is_past { self.past.reached.as_ref() == Some(hash) } else { own.reaches(hash) }
    }

    /// Gives up a past that nobody vouches for and that cannot be proven: nobody can say here whether the period that leads
    /// to our beginning does, or (without a verdict) it is larger than what is held to be recomputed.
    pub(super) fn drop_unproven_past(&mut self, verdict: Option<Verdict>) {
        let Some(newest) = self.leg.as_ref().filter(|leg| leg.is_past).and_then(|leg| leg.slots.front()) else {
            return;
        };
        let unproven = match verdict {
            Some(verdict) => verdict != Verdict::Holds,
            None => newest.bytes() > PROVEN_BYTES,
        };
        let vouched = |peer: &PeerKey| self.remotes.get(peer).is_some_and(|remote| remote.witness);
        if unproven && !newest.claimed.iter().any(vouched) {
            self.leg = None;
        }
    }
}
