//! The open period: what came after the newest anchor, followed from the peers that somebody vouches for.
//!
//! *Always holds:* it has requests of its own and waits for nothing in history; nothing is asked for that the own feed
//! brings in time; what comes is checked to follow what is there, and is provisional until its period is closed; a node that
//! holds nothing begins with it only where nobody vouched for holds anything before it.

use super::asks::What;
use super::check;
use super::fetch::Taken;
use super::message::{AskId, Effect, Own, Supply};
use super::planner::Planner;
use crate::swarm::peers::{Offence, PeerBook};
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Batch, Frame, NewestWanted, Request};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::Label;
use honeygraph_protocols::swarm::status::NetworkStatus;
use honeygraph_protocols::swarm::wire::List;
use std::collections::BTreeSet;

/// How long a peer may be ahead before it is asked: a feed that is only a little later brings it by itself, ms.
pub const LAG_MS: u64 = 2_000;
/// Supplies of the open period that the core has not taken.
const AHEAD: usize = 2;

/// The open period.
#[derive(Debug)]
pub(super) struct Live {
    open: HashText,
    label: Option<Label>,
    after: Option<BatchId>,
    next: u64,
    ask: Option<AskId>,
    /// What the request that is out asked for: the place may have moved on meanwhile.
    asked_at: u64,
    /// Whether our history begins with what it asked for.
    begins: bool,
    begun: Vec<Frame>,
    begun_by: Option<PeerKey>,
    /// Since when a peer is ahead, ms.
    behind_since: Option<u64>,
    not_before: u64,
    tries: u32,
    lacks: BTreeSet<PeerKey>,
}

impl Live {
    /// Whether it waits for time to pass.
    pub(super) fn waits(&self) -> bool {
        self.behind_since.is_some()
    }
}

impl Planner {
    /// Asks for what is new.
    pub(super) fn plan_live(&mut self, now: u64, own: &dyn Own, book: &PeerBook, fx: &mut Vec<Effect>) {
        let Some(anchor) = self.newest_anchor().cloned() else {
            self.live = None;
            return;
        };
        let mut live = match self.live.take() {
            // A label that nobody knew may have come to be known.
            Some(live) if live.open == anchor.hash => Live { label: anchor.label.or(live.label), ..live },
            _ => Live {
                open: anchor.hash,
                label: anchor.label,
                after: None,
                next: 0,
                ask: None,
                asked_at: 0,
                begins: false,
                begun: Vec::new(),
                begun_by: None,
                behind_since: None,
                not_before: 0,
                tries: 0,
                lacks: BTreeSet::new(),
            },
        };
        if let Some((last, next)) = own.newest(&live.open)
            && next > live.next
        {
            (live.after, live.next) = (Some(last), next);
            (live.begun, live.begun_by) = (Vec::new(), None);
        }
        let ahead: BTreeSet<PeerKey> =
            self.remotes.iter().filter(|(_, r)| r.witness && is_ahead(r, &live)).map(|(p, _)| *p).collect();
        live.behind_since = if ahead.is_empty() { None } else { live.behind_since.or(Some(now)) };
        let late = live.behind_since.is_some_and(|since| now.saturating_sub(since) >= LAG_MS);
        let room = self.supplies.values().filter(|period| period.is_none()).count() < AHEAD;
        if late && room && live.ask.is_none() && live.not_before <= now {
            if ahead.is_subset(&live.lacks) {
                live.lacks.clear();
            }
            let (lacks, witness) =
                (live.lacks.clone(), |remote: &super::asks::Remote| remote.witness && is_ahead(remote, &live));
            if let Some(peer) = self.pick(now, book, &lacks, witness) {
                if live.begun_by != Some(peer) {
                    (live.begun, live.begun_by) = (Vec::new(), None);
                }
                let skip = live.begun.len() as u32;
                let after = live.after.map(|id| *id.digest());
                let wanted = NewestWanted { network: self.network.clone(), open: live.open.clone(), after, skip };
                let what = What::Newest(live.open.clone(), skip);
                live.asked_at = live.next;
                live.begins = live.next == 0 && own.is_empty() && self.begins_with(&live.open);
                live.ask = Some(self.ask(now, peer, what, Request::Newest(wanted), fx));
            }
        }
        self.live = Some(live);
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
        let Some(live) = self.live.as_mut().filter(|live| live.open == *open && live.ask == Some(id)) else {
            return Ok(true);
        };
        live.ask = None;
        // The own feed may have brought some of it meanwhile: then it is the answer to a question that is no longer open.
        if live.begun.len() != skip as usize || live.asked_at != live.next {
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
        (live.begun, live.begun_by) = (Vec::new(), None);
        let cut = batches.pop_if(|last| last.more);
        let count = batches.len();
        let checked = check::newest(&self.network, open, live.after, live.next, batches).map_err(wrong)?;
        if let Some(cut) = cut {
            (live.begun, live.begun_by) = (cut.frames.into_vec(), Some(peer));
        }
        live.tries = 0;
        let (Some(last), true) = (checked.last(), count > 0) else { return Ok(true) };
        (live.after, live.next) = (Some(last.id), last.line.end());
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        // Nobody else says the label of a period that is the first and open: who is vouched for does.
        let said = self.remotes.get(&peer).and_then(|remote| remote.head.as_ref()).map(|head| &head.period);
        let said = said.filter(|period| period.hash == *open).and_then(|period| period.label);
        let (label, open, begins) = (live.label.or(said), open.clone(), live.begins);
        self.supplies.insert(ticket, None);
        let (prev, period, batches, last) = (None, None, checked, false);
        let supply = Supply { ticket, open, label, prev, begins, period, batches, last, from: peer };
        fx.push(Effect::Supply(Box::new(supply)));
        Ok(true)
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
        (live.begun, live.begun_by) = (Vec::new(), None);
    }
}

fn is_ahead(remote: &super::asks::Remote, live: &Live) -> bool {
    remote.head.as_ref().is_some_and(|head| head.period.hash == live.open && head.next > live.next)
}
