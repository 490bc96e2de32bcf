//! Bodies: what is asked of whom, and what becomes of the answers.
//!
//! *Always holds:* the window's periods are asked for oldest first, behind the newest when that is to be proven; a range is
//! asked of one peer, and of a second only when the first takes too long; no more is out than the window has room for; a long
//! period is fetched in parts that can each be checked by itself.

use super::asks::{Remote, What};
use super::check;
use super::leg::{Job, Parts, Slot, Top, WalkState};
use super::message::{AskId, Effect, Own};
use super::planner::{Planner, WINDOW};
use crate::swarm::peers::{Offence, PeerBook};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{
    Batch, BatchesWanted, Line, LinesWanted, MAX_PERIOD_BATCHES, PeriodId, Request,
};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::wire::List;

/// What an answer came to: it was of use, or the peer has nothing, or it was wrong.
pub(super) type Taken = Result<bool, (Offence, check::Fault)>;

impl Planner {
    /// Asks for bodies of the window.
    pub(super) fn fetch(&mut self, now: u64, own: &dyn Own, book: &PeerBook, fx: &mut Vec<Effect>) {
        let Some(mut leg) = self.leg.take() else { return };
        if leg.state == WalkState::Arrived && leg.slots.is_empty() {
            // What the anchor needs is on its way into the core, or the walk found nothing to fetch.
            self.leg = (!own.holds(&leg.target.hash)).then_some(leg);
            return;
        }
        if leg.state != WalkState::Arrived {
            self.leg = Some(leg);
            return;
        }
        let peers = self.peers();
        let to_prove = leg.top != Top::Passed;
        // Nothing is supplied before the newest is proven.
        let newest = 0..usize::from(to_prove);
        let oldest = newest.end.max(leg.slots.len().saturating_sub(WINDOW))..leg.slots.len();
        for nth in newest.chain(oldest.rev()) {
            if !self.has_room() {
                break;
            }
            let slot = &mut leg.slots[nth];
            if !slot.wants(now, to_prove && nth == 0) {
                continue;
            }
            let label = slot.header.label.map(|label| label.get());
            let fits = |remote: &Remote| remote.may_hold(label);
            let Some(peer) = self.pick(now, book, &slot.lacks, fits) else {
                if !slot.lacks.is_empty() && peers.is_subset(&slot.lacks) {
                    // Nobody has it, so they say: ask them all again, later.
                    slot.lacks.clear();
                    slot.tries += 1;
                    slot.not_before = now + self.chance.backoff(slot.tries);
                }
                continue;
            };
            let (what, request) = wanted(&self.network, slot.id, &slot.header.open_hash, &mut slot.job, peer);
            slot.out.push(self.ask(now, peer, what, request, fx));
        }
        self.leg = Some(leg);
    }

    /// Gives what takes too long to a second peer.
    pub(super) fn overtake(&mut self, now: u64, book: &PeerBook, fx: &mut Vec<Effect>) {
        let Some(mut leg) = self.leg.take() else { return };
        let after = self.overtaken_after();
        let out = |slot: &&mut Slot| !slot.out.is_empty();
        for slot in leg.slots.iter_mut().filter(out) {
            if !self.has_room() {
                break;
            }
            let [only] = slot.out[..] else { continue };
            let Some(asked) = self.asks.get(&only).filter(|asked| now.saturating_sub(asked.at) >= after).cloned()
            else {
                continue;
            };
            let mut without = slot.lacks.clone();
            without.insert(asked.peer);
            let label = slot.header.label.map(|label| label.get());
            let Some(peer) = self.pick(now, book, &without, |remote| remote.may_hold(label)) else { continue };
            if let Some(slow) = self.remotes.get_mut(&asked.peer) {
                slow.slow = (slow.slow + 1).min(4);
            }
            let (what, request) = wanted(&self.network, slot.id, &slot.header.open_hash, &mut slot.job, peer);
            slot.out.push(self.ask(now, peer, what, request, fx));
        }
        self.leg = Some(leg);
    }

    /// A whole period, or as much of it as fits into an answer.
    pub(super) fn whole(&mut self, id: AskId, peer: PeerKey, period: PeriodId, batches: Vec<Batch>) -> Taken {
        let Some(slot) = self.leg.as_mut().and_then(|leg| leg.slot(&period)) else { return Ok(true) };
        if !slot.out.contains(&id) {
            return Ok(true);
        }
        let partial = batches.len() < slot.header.count as usize || batches.last().is_some_and(|last| last.more);
        if batches.is_empty() {
            return Ok(false);
        }
        if partial {
            // Longer than it looked: it is asked for in parts. Nothing of this can be checked by itself.
            (slot.job, slot.out) = (Job::Lines { of: None, lines: Vec::new() }, Vec::new());
            return Ok(true);
        }
        let batches = check::period(&slot.header, batches).map_err(|fault| (Offence::BodyFalse, fault))?;
        (slot.job, slot.out) = (Job::Ready { batches, from: peer }, Vec::new());
        Ok(true)
    }

    /// Lines of a long period.
    pub(super) fn lines(
        &mut self,
        id: AskId,
        peer: PeerKey,
        (period, skip): (PeriodId, u32),
        more: Vec<Line>,
    ) -> Taken {
        let Some(slot) = self.leg.as_mut().and_then(|leg| leg.slot(&period)) else { return Ok(true) };
        let Job::Lines { of, lines } = &mut slot.job else { return Ok(true) };
        if !slot.out.contains(&id) || *of != Some(peer) || lines.len() != skip as usize {
            return Ok(true);
        }
        slot.out.clear();
        if more.is_empty() {
            (*of, *lines) = (None, Vec::new());
            return Ok(false);
        }
        lines.extend(more);
        if lines.len() < slot.header.count.min(MAX_PERIOD_BATCHES) as usize {
            return Ok(true);
        }
        let lines = std::mem::take(lines);
        *of = None;
        let ids = check::lines(&slot.header, &lines).map_err(|fault| (Offence::BodyFalse, fault))?;
        let known = lines.into_iter().zip(ids).collect();
        let (begun, ready) = (Vec::new(), Vec::new());
        slot.job = Job::Parts(Parts { known, at: 0, begun, begun_by: None, ready, from: None });
        Ok(true)
    }

    /// Batches of a long period.
    pub(super) fn part(
        &mut self,
        id: AskId,
        peer: PeerKey,
        (period, seq, skip): (PeriodId, u64, u32),
        mut batches: Vec<Batch>,
    ) -> Taken {
        let Some(slot) = self.leg.as_mut().and_then(|leg| leg.slot(&period)) else { return Ok(true) };
        let Job::Parts(parts) = &mut slot.job else { return Ok(true) };
        // Another peer may have been asked meanwhile: this is the answer to a question that is no longer open.
        let is_next = parts.known.get(parts.at).is_some_and(|(line, _)| line.seq == seq);
        let goes_on = parts.begun.len() == skip as usize && (skip == 0 || parts.begun_by == Some(peer));
        if !(slot.out.contains(&id) && is_next && goes_on) {
            return Ok(true);
        }
        if batches.is_empty() {
            return Ok(false);
        }
        let wrong = |fault| (Offence::BodyFalse, fault);
        if skip > 0 {
            // The first goes on where an earlier answer of this peer ended.
            let mut frames = std::mem::take(&mut parts.begun);
            frames.extend(batches[0].frames.iter().cloned());
            batches[0].frames = List::new(frames).ok_or(wrong("a batch that does not end"))?;
        }
        (parts.begun, parts.begun_by) = (Vec::new(), None);
        let cut = batches.pop_if(|last| last.more);
        if batches.iter().any(|batch| batch.more) {
            return Err(wrong("a batch that goes on before the last"));
        }
        let checked = check::run(&parts.known, parts.at, batches).map_err(wrong)?;
        parts.at += checked.len();
        if let Some(cut) = cut {
            (parts.begun, parts.begun_by) = (cut.frames.into_vec(), Some(peer));
        }
        parts.ready.extend(checked);
        parts.from = Some(peer);
        slot.out.clear();
        Ok(true)
    }
}

/// What of a slot is to be asked for next.
fn wanted(network: &NetworkName, period: PeriodId, open: &HashText, job: &mut Job, peer: PeerKey) -> (What, Request) {
    let (network, open) = (network.clone(), open.clone());
    match job {
        Job::Lines { of, lines } => {
            // Lines can only be checked when all are there, so all are one peer's.
            if *of != Some(peer) {
                (*of, *lines) = (Some(peer), Vec::new());
            }
            let skip = lines.len() as u32;
            (What::Lines(period, skip), Request::Lines(LinesWanted { network, open, period, skip }))
        }
        Job::Parts(parts) => {
            if parts.begun_by != Some(peer) {
                (parts.begun, parts.begun_by) = (Vec::new(), None);
            }
            let (from, skip) = (parts.known[parts.at].0.seq, parts.begun.len() as u32);
            let wanted = BatchesWanted { network, open, period, from, skip, to: u64::MAX };
            (What::Part(period, from, skip), Request::Batches(wanted))
        }
        Job::Whole | Job::Ready { .. } | Job::Supplied => {
            let wanted = BatchesWanted { network, open, period, from: 0, skip: 0, to: u64::MAX };
            (What::Whole(period), Request::Batches(wanted))
        }
    }
}
