//! The walk back from an anchor, by headers.
//!
//! Each step is asked of two peers. Where they agree both have given the header, and both will be held to it; where they
//! do not, the one that the operator or the electorate vouches for is tried first, then the one that more peers gave, and
//! nobody pays until a proof says who was wrong.
//!
//! *Always holds:* a header that was proven false is not taken again; the walk ends at what is held here, or, for a node
//! that holds nothing, where the history of every peer begins.

use super::asks::What;
use super::check;
use super::fetch::Taken;
use super::leg::{Leg, WalkState};
use super::message::{AskId, Effect, Own};
use super::planner::Planner;
use crate::swarm::peers::{Offence, PeerBook};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Header, HeadersWanted, MAX_HEADERS, PeriodId, Request, Walk};
use honeygraph_protocols::swarm::keys::PeerKey;
use std::collections::{BTreeMap, BTreeSet};

/// Peers that are asked each step.
const OPINIONS: usize = 2;
/// How long the first answer waits for the second, ms.
const OPINION_MS: u64 = 2_000;
/// Headers of one walk, about ten years of periods: a history that is longer was made to be.
pub(super) const WALKED: u64 = 1_000_000;

impl Planner {
    /// Goes on with the walk.
    pub(super) fn walk(&mut self, now: u64, own: &dyn Own, book: &PeerBook, fx: &mut Vec<Effect>) {
        let Some(mut leg) = self.leg.take() else { return };
        if leg.state == WalkState::Going && self.reaches(leg.is_past, &leg.from, own) {
            leg.state = WalkState::Arrived;
        }
        if leg.state == WalkState::Going && self.is_decided(now, &leg) {
            self.decide(now, &mut leg, own, book);
        }
        if leg.state == WalkState::Going && leg.walked > WALKED {
            // It was made to be walked for ever: another one, if there is one.
            self.false_headers.extend(leg.first);
            return;
        }
        if leg.state == WalkState::Going && leg.step.not_before <= now {
            self.ask_opinions(now, &mut leg, book, fx);
        }
        if leg.state == WalkState::Going && self.ends(now, &mut leg, own) {
            if !leg.is_past {
                self.rest(now, leg.target.hash);
            }
            return;
        }
        self.leg = Some(leg);
    }

    fn ask_opinions(&mut self, now: u64, leg: &mut Leg, book: &PeerBook, fx: &mut Vec<Effect>) {
        while leg.step.asked.len() + leg.step.answers.len() < OPINIONS {
            let mut without: BTreeSet<PeerKey> = leg.step.lacks.clone();
            without.extend(leg.step.asked.iter().map(|(_, peer)| *peer));
            without.extend(leg.step.answers.iter().map(|(peer, _)| *peer));
            let Some(peer) = self.pick(now, book, &without, |remote| remote.status.is_some()) else { break };
            let (network, from) = (self.network.clone(), leg.from.clone());
            let wanted = HeadersWanted { network, from: from.clone(), walk: Walk::Back, most: MAX_HEADERS as u16 };
            let id = self.ask(now, peer, What::Headers(from), Request::Headers(wanted), fx);
            leg.step.asked.push((id, peer));
        }
    }

    /// Nobody has more: the history begins here, or everybody is asked again later. Whether the leg is to be given up for
    /// now, because no peer has anything that the anchor names: another anchor may be one that they do know.
    fn ends(&mut self, now: u64, leg: &mut Leg, own: &dyn Own) -> bool {
        let step = &leg.step;
        if !step.answers.is_empty() || step.lacks.is_empty() {
            return false;
        }
        let all = step.asked.is_empty() && self.peers().is_subset(&step.lacks);
        // Who never answers must not hold up a newcomer: where the header itself says that nothing lies before it, a second
        // peer that has nothing there, either, is enough.
        let last = leg.slots.back().is_some_and(|slot| slot.header.prev.is_none());
        let enough = last && step.lacks.len() >= OPINIONS;
        if (all || enough) && !leg.slots.is_empty() && (own.is_empty() || leg.is_past) {
            leg.state = WalkState::Arrived;
        } else if all && leg.slots.is_empty() {
            return true;
        } else if all {
            self.step_again(now, leg);
        }
        false
    }

    fn is_decided(&self, now: u64, leg: &Leg) -> bool {
        let step = &leg.step;
        !step.answers.is_empty() && (step.asked.is_empty() || now.saturating_sub(step.first_at) >= OPINION_MS)
    }

    /// Headers came.
    pub(super) fn headers(
        &mut self,
        now: u64,
        id: AskId,
        peer: PeerKey,
        from: &HashText,
        mut headers: Vec<Header>,
    ) -> Taken {
        let Some(leg) = self.leg.as_mut().filter(|leg| leg.from == *from) else { return Ok(true) };
        if !leg.step.asked.iter().any(|(asked, _)| *asked == id) {
            return Ok(true);
        }
        let broken = |fault| (Offence::HeadersBroken, fault);
        check::walk_back(&self.network, from, leg.below, &headers).map_err(broken)?;
        let is_false = |header: &Header| self.false_headers.contains(&header.id());
        if let Some(at) = headers.iter().position(is_false) {
            headers.truncate(at);
        }
        if headers.is_empty() {
            return Ok(false);
        }
        leg.step.asked.retain(|(asked, _)| *asked != id);
        if leg.step.answers.is_empty() {
            leg.step.first_at = now;
        }
        leg.step.answers.push((peer, headers));
        Ok(true)
    }

    /// Takes what the answers agree on, or what is to be tried first.
    fn decide(&mut self, now: u64, leg: &mut Leg, own: &dyn Own, book: &PeerBook) {
        let answers = std::mem::take(&mut leg.step.answers);
        let vouched = |peer: &PeerKey| {
            self.remotes.get(peer).is_some_and(|remote| remote.witness) || book.rank(now, peer) == Some(2)
        };
        let mut by_first: BTreeMap<PeriodId, Vec<(PeerKey, Vec<Header>)>> = BTreeMap::new();
        for (peer, headers) in answers {
            by_first.entry(headers[0].id()).or_default().push((peer, headers));
        }
        let weight =
            |group: &Vec<(PeerKey, Vec<Header>)>| (group.iter().filter(|(peer, _)| vouched(peer)).count(), group.len());
        let best = by_first.into_values().max_by_key(weight).unwrap_or_default();
        let ids: Vec<Vec<PeriodId>> =
            best.iter().map(|(_, headers)| headers.iter().map(Header::id).collect()).collect();
        let Some(longest) = (0..best.len()).max_by_key(|nth| ids[*nth].len()) else { return };
        let mut taken = Vec::new();
        for (at, header) in best[longest].1.iter().enumerate() {
            let id = ids[longest][at];
            if ids.iter().any(|ids| ids.get(at).is_some_and(|other| *other != id)) {
                break;
            }
            let claimed = best.iter().zip(&ids).filter(|(_, ids)| ids.len() > at).map(|((peer, _), _)| *peer);
            taken.push((header.clone(), claimed.collect::<Vec<_>>()));
            if self.reaches(leg.is_past, &header.open_hash, own) {
                break;
            }
        }
        leg.extend(taken);
    }
}
