//! The open period: what came after the newest anchor, followed from the peers that somebody vouches for. Where such a peer's
//! head stands behind another anchor it is that one: its head is what is followed, also back across a fork.
//!
//! *Always holds:* it has requests of its own and waits for nothing in history; nothing is asked for that the own feed
//! brings in time; what comes is checked to follow what is there, and is provisional until its period is closed; a node that
//! holds nothing begins with it only where nobody vouched for holds anything before it.

use super::asks::{Remote, What};
use super::check;
use super::fetch::Taken;
use super::message::{AskId, Effect, Own, Supply};
use super::planner::{Planner, Supplied};
use crate::swarm::peers::{Offence, PeerBook};
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Batch, Frame, NewestWanted, Request};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::Label;
use honeygraph_protocols::swarm::status::{Checkpoint, NetworkStatus};
use honeygraph_protocols::swarm::wire::List;
use std::collections::{BTreeSet, VecDeque};

/// How long a peer may be ahead before it is asked: a feed that is only a little later brings it by itself, ms.
pub const LAG_MS: u64 = 2_000;
/// Supplies of the open period that the core has not taken.
pub const AHEAD: usize = 2;
/// Batches remembered that came from peers: a head that is one of them is no news.
const GIVEN: usize = 4_096;

/// The open period.
#[derive(Debug, Default)]
pub(super) struct Live {
    open: Option<HashText>,
    label: Option<Label>,
    /// Where it goes on.
    at: Place,
    /// It goes on along a peer's history, which our head has not taken yet.
    apart: bool,
    /// Newest batches that came from peers.
    given: VecDeque<BatchId>,
    ask: Option<AskId>,
    /// What the request that is out asked for: the place may have moved on meanwhile.
    asked_at: Place,
    /// Whether our history begins with what it asked for.
    begins: bool,
    begun: Vec<Frame>,
    begun_by: Option<PeerKey>,
    /// Since when a peer is ahead, ms.
    behind_since: Option<u64>,
    not_before: u64,
    tries: u32,
    /// How often the core refused what came, in a row.
    refused: u32,
    /// How often it went back to the beginning, because a peer's history is another one; not again before then, ms.
    went_back: (u32, u64),
    lacks: BTreeSet<PeerKey>,
}

/// A place in a period: behind this batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    after: Option<BatchId>,
    next: u64,
}

impl Live {
    fn of(anchor: Checkpoint) -> Self {
        Self { open: Some(anchor.hash), label: anchor.label, ..Self::default() }
    }

    /// Whether it waits for time to pass.
    pub(super) fn waits(&self) -> bool {
        self.behind_since.is_some()
    }

    fn is_of(&self, open: &HashText) -> bool {
        self.open.as_ref() == Some(open)
    }

    /// Lets go of a batch that has begun.
    fn drop_begun(&mut self) {
        (self.begun, self.begun_by) = (Vec::new(), None);
    }

    /// From the beginning of the period: the peer's history leaves ours somewhere in it.
    fn go_back(&mut self) {
        (self.at, self.apart) = (Place::default(), true);
        self.given.clear();
        self.drop_begun();
    }

    /// Whether a peer has something of the period that is not here.
    fn is_behind(&self, now: u64, remote: &Remote, own: &dyn Own) -> bool {
        let Some(head) = remote.head.as_ref().filter(|head| self.is_of(&head.period.hash)) else { return false };
        let is_known = self.at.after == Some(head.batch) || self.given.contains(&head.batch) || own.has(head);
        !is_known && (head.next > self.at.next || now >= self.went_back.1)
    }
}

impl Planner {
    /// Asks for what is new.
    pub(super) fn plan_live(&mut self, now: u64, own: &dyn Own, book: &PeerBook, fx: &mut Vec<Effect>) {
        let Some(anchor) = self.followed() else {
            self.live = None;
            return;
        };
        let mut live = match self.live.take() {
            // A label that nobody knew may have come to be known.
            Some(live) if live.is_of(&anchor.hash) => Live { label: anchor.label.or(live.label), ..live },
            _ => Live::of(anchor.clone()),
        };
        if let Some((last, next)) = own.newest(&anchor.hash) {
            live.apart &= live.at.after != Some(last) && !live.given.contains(&last);
            if !live.apart && next > live.at.next {
                live.at = Place { after: Some(last), next };
                live.drop_begun();
            }
        }
        let behind = |remote: &Remote, live: &Live| remote.witness && live.is_behind(now, remote, own);
        let ahead: BTreeSet<PeerKey> =
            self.remotes.iter().filter(|(_, remote)| behind(remote, &live)).map(|(peer, _)| *peer).collect();
        live.behind_since = if ahead.is_empty() { None } else { live.behind_since.or(Some(now)) };
        let late = live.behind_since.is_some_and(|since| now.saturating_sub(since) >= LAG_MS);
        let of_it = |supplied: &&Supplied| matches!(supplied, Supplied::Open(open) if *open == anchor.hash);
        let room = self.supplies.values().filter(of_it).count() < AHEAD;
        if late && room && live.ask.is_none() && live.not_before <= now {
            if ahead.is_subset(&live.lacks) {
                live.lacks.clear();
            }
            let lacks = live.lacks.clone();
            if let Some(peer) = self.pick(now, book, &lacks, |remote| behind(remote, &live)) {
                self.ask_newest(now, peer, &mut live, (anchor.hash, own.is_empty()), fx);
            }
        }
        self.live = Some(live);
    }

    /// The checkpoint behind which the open period is followed: where a peer stands that is vouched for, else the newest.
    fn followed(&self) -> Option<Checkpoint> {
        let vouched = self.remotes.values().filter(|remote| remote.witness).filter_map(|remote| remote.head.as_ref());
        let anchored = vouched.filter_map(|head| self.anchors.get(&head.period.hash));
        anchored.max_by_key(|anchor| anchor.label).or_else(|| self.newest_anchor()).cloned()
    }

    fn ask_newest(
        &mut self,
        now: u64,
        peer: PeerKey,
        live: &mut Live,
        (open, nothing_held): (HashText, bool),
        fx: &mut Vec<Effect>,
    ) {
        let theirs = self.remotes.get(&peer).and_then(|remote| remote.head.as_ref()).map_or(u64::MAX, |head| head.next);
        if theirs <= live.at.next {
            // Its head is none of ours and stands no further: it is on a history of its own.
            live.go_back();
            live.went_back.0 += 1;
            live.went_back.1 = now + self.chance.backoff(live.went_back.0);
        }
        if live.begun_by != Some(peer) {
            live.drop_begun();
        }
        let skip = live.begun.len() as u32;
        let after = live.at.after.map(|id| *id.digest());
        let wanted = NewestWanted { network: self.network.clone(), open: open.clone(), after, skip };
        live.begins = live.at.next == 0 && nothing_held && self.begins_with(&open);
        live.asked_at = live.at;
        live.ask = Some(self.ask(now, peer, What::Newest(open, skip), Request::Newest(wanted), fx));
    }

    /// Batches of the open period came.
    pub(super) fn newest(
        &mut self,
        now: u64,
        id: AskId,
        peer: PeerKey,
        (open, skip): (&HashText, u32),
        mut batches: Vec<Batch>,
        fx: &mut Vec<Effect>,
    ) -> Taken {
        let Some(live) = self.live.as_mut().filter(|live| live.is_of(open) && live.ask == Some(id)) else {
            return Ok(true);
        };
        live.ask = None;
        // The own feed may have brought some of it meanwhile: then it is the answer to a question that is no longer open.
        if live.begun.len() != skip as usize || live.asked_at != live.at {
            return Ok(true);
        }
        if batches.is_empty() {
            live.lacks.insert(peer);
            live.not_before = now + LAG_MS;
            return Ok(true);
        }
        let wrong = |fault| (Offence::BodyFalse, fault);
        if skip > 0 {
            let mut frames = std::mem::take(&mut live.begun);
            frames.extend(batches[0].frames.iter().cloned());
            batches[0].frames = List::new(frames).ok_or(wrong("a batch that does not end"))?;
        }
        live.drop_begun();
        let cut = batches.pop_if(|last| last.more);
        let checked = check::newest(&self.network, open, live.at.after, live.at.next, batches).map_err(wrong)?;
        if let Some(cut) = cut {
            (live.begun, live.begun_by) = (cut.frames.into_vec(), Some(peer));
        }
        live.tries = 0;
        let Some(last) = checked.last() else { return Ok(true) };
        let after = std::mem::replace(&mut live.at, Place { after: Some(last.id), next: last.line.end() }).after;
        live.given.extend(checked.iter().map(|batch| batch.id));
        live.given.drain(..live.given.len().saturating_sub(GIVEN));
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        // Nobody else says the label of a period that is the first and open: who is vouched for does.
        let said = self.remotes.get(&peer).and_then(|remote| remote.head.as_ref()).map(|head| &head.period);
        let said = said.filter(|period| period.hash == *open).and_then(|period| period.label);
        let (label, open, begins) = (live.label.or(said), open.clone(), live.begins);
        self.supplies.insert(ticket, Supplied::Open(open.clone()));
        let (prev, period, batches, last) = (None, None, checked, false);
        let leads_to = None;
        let supply = Supply { ticket, open, label, prev, begins, leads_to, period, after, batches, last, from: peer };
        fx.push(Effect::Supply(Box::new(supply)));
        Ok(true)
    }

    /// Whether a peer does not have the batch behind which it was asked for more: then its history left ours before it.
    pub(super) fn live_not_held(&mut self, now: u64, id: AskId) -> bool {
        let Some(live) = self.live.as_mut().filter(|live| live.ask == Some(id) && live.asked_at.after.is_some()) else {
            return false;
        };
        live.ask = None;
        // Else it is the answer to a question that is no longer open.
        if live.asked_at == live.at {
            live.go_back();
            live.went_back.0 += 1;
            live.not_before = now + self.chance.backoff(live.went_back.0);
        }
        true
    }

    /// The core has taken what came.
    pub(super) fn live_taken(&mut self, open: &HashText) {
        if let Some(live) = self.live.as_mut().filter(|live| live.is_of(open)) {
            live.refused = 0;
        }
    }

    /// The core has refused what came: it goes on where it stands here, not behind what was refused.
    pub(super) fn live_refused(&mut self, now: u64, open: &HashText) {
        let Some(live) = self.live.as_mut().filter(|live| live.is_of(open)) else { return };
        live.at = Place::default();
        live.given.clear();
        live.drop_begun();
        live.refused += 1;
        live.not_before = now + self.chance.backoff(live.refused);
    }

    /// Whether nothing lies before this open period, as far as those know who are vouched for: one of them says in one
    /// breath that its head stands in it and that it holds no closed period, none holds any, and no walk found one.
    fn begins_with(&self, open: &HashText) -> bool {
        let walked = self.leg.as_ref().is_some_and(|leg| !leg.slots.is_empty());
        let vouched = self.remotes.values().filter(|r| r.witness).filter_map(|r| r.status.as_ref());
        let stands = |status: &NetworkStatus| status.head.as_ref().is_some_and(|head| head.period.hash == *open);
        let (any, all) =
            vouched.fold((false, true), |(any, all), status| (any || stands(status), all && status.held.is_empty()));
        !walked && any && all
    }

    /// Ends its pauses.
    pub(super) fn live_at_once(&mut self, now: u64) {
        if let Some(live) = &mut self.live {
            live.not_before = now;
            live.behind_since = live.behind_since.map(|_| now.saturating_sub(LAG_MS));
        }
    }

    pub(super) fn live_failed(&mut self, now: u64, id: AskId, peer: PeerKey, lacks: bool) {
        let Some(live) = self.live.as_mut() else { return };
        if lacks {
            live.lacks.insert(peer);
        }
        if live.ask == Some(id) {
            live.ask = None;
        }
        live.tries += 1;
        live.not_before = now + self.chance.backoff(live.tries);
        live.drop_begun();
    }
}
