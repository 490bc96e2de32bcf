//! The planner's state and its one entrance, [`Planner::on`].

use super::asks::{ASK_MS, Asked, Remote, What};
use super::chance::Chance;
use super::leg::{HEADERS_HELD, Job, Leg, Slot, Step, Top, WalkState};
use super::live::Live;
use super::message::{AskId, Effect, Failure, Input, Own, Supply, Verdict};
use super::past::Past;
use super::progress::{Limit, Meter, Offered, Phase, Progress};
use super::since::Since;
use crate::swarm::peers::{Offence, PeerBook};
use crate::swarm::window::Window;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Answer, PeriodId};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::status::Checkpoint;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Periods that are fetched at a time: as many answers may wait here for those before them, and as many requests are out.
pub const WINDOW: usize = 32;
/// Supplies that the core has not taken yet: about 8 MiB.
pub const SUPPLIES: usize = 8;
/// Anchors held; the oldest make room. One a period, so two days.
pub const ANCHORS: usize = 576;
/// Periods remembered with those who gave their header, until their proof has come: two weeks.
pub(super) const CLAIMS: usize = 4_096;
/// Headers proven false that are remembered; the oldest make room, and would be tried once more.
pub(super) const FALSE_HEADERS: usize = 4_096;
/// Peers heard of; a connection limit keeps them fewer.
pub(super) const REMOTES: usize = 1_024;
/// While something is out or waits, time is looked at so often, ms.
pub const TICK_MS: u64 = 250;
/// Checkpoints offered to the operator.
pub(super) const OFFERED: usize = 16;

/// What was supplied.
#[derive(Clone, Debug)]
pub(super) enum Supplied {
    /// Batches of the open period with this hash.
    Open(HashText),
    /// Batches of a closed one; whether the last of them was its last.
    Closed(PeriodId, bool),
}

/// A planner's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The network.
    pub network: NetworkName,
    /// Seed of the jitter.
    pub seed: u64,
}

/// The planner of one network.
#[derive(Debug)]
pub struct Planner {
    pub(super) network: NetworkName,
    pub(super) chance: Chance,
    pub(super) remotes: BTreeMap<PeerKey, Remote>,
    pub(super) anchors: BTreeMap<HashText, Checkpoint>,
    /// Anchors to which nobody led: how often, and not before when they are tried again, ms.
    resting: BTreeMap<HashText, (u32, u64)>,
    pub(super) leg: Option<Leg>,
    pub(super) past: Past,
    pub(super) since: Since,
    pub(super) live: Option<Live>,
    pub(super) asks: BTreeMap<AskId, Asked>,
    pub(super) next_ask: AskId,
    /// How long answers take, ms.
    pub(super) usual_ms: u64,
    pub(super) window: Window,
    /// Supplies that the core has not answered.
    pub(super) supplies: BTreeMap<u64, Supplied>,
    pub(super) next_ticket: u64,
    pub(super) claims: VecDeque<(PeriodId, Vec<PeerKey>)>,
    pub(super) false_headers: VecDeque<PeriodId>,
    meter: Meter,
    done: u64,
}

impl Planner {
    /// A planner that knows nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            network: config.network,
            chance: Chance::new(config.seed),
            remotes: BTreeMap::new(),
            anchors: BTreeMap::new(),
            resting: BTreeMap::new(),
            leg: None,
            past: Past::default(),
            since: Since::default(),
            live: None,
            asks: BTreeMap::new(),
            next_ask: 0,
            usual_ms: 200,
            window: Window::new(WINDOW),
            supplies: BTreeMap::new(),
            next_ticket: 0,
            claims: VecDeque::new(),
            false_headers: VecDeque::new(),
            meter: Meter::default(),
            done: 0,
        }
    }

    /// Something happened.
    pub fn on(&mut self, now: u64, input: Input, own: &dyn Own, book: &PeerBook, fx: &mut Vec<Effect>) {
        match input {
            Input::Connected(peer) if self.remotes.len() < REMOTES => {
                self.remotes.entry(peer).or_default();
            }
            Input::Connected(_) => {}
            Input::Gone(peer) => self.gone(now, peer, fx),
            Input::Status(peer, status) if status.network == self.network => {
                if let Some(remote) = self.remotes.get_mut(&peer) {
                    (remote.head, remote.status) = (status.head.clone(), Some(*status));
                }
            }
            Input::Status(..) => {}
            Input::Head(peer, head) => {
                if let Some(remote) = self.remotes.get_mut(&peer) {
                    remote.head = Some(*head);
                }
            }
            Input::Witness(peer, witness) => {
                if let Some(remote) = self.remotes.get_mut(&peer) {
                    remote.witness = witness;
                }
            }
            Input::Anchor(checkpoint) => self.anchor(checkpoint),
            Input::AnchorGone(hash) => {
                self.anchors.remove(&hash);
                self.resting.remove(&hash);
                self.leg = self.leg.take().filter(|leg| leg.target.hash != hash);
            }
            Input::Answer(id, answer) => self.answered(now, id, *answer, fx),
            Input::Failed(id, failure) => self.failed(now, id, failure, fx),
            Input::Taken(ticket) => self.taken(now, ticket),
            Input::Refused(ticket) => self.refused(now, ticket),
            Input::Proven(period, verdict) => self.proven(period, verdict, fx),
            Input::Picture(awaited) => self.since.awaited = awaited,
            Input::AtOnce => self.at_once(now),
            Input::Tick => {}
        }
        self.expire(now, fx);
        self.plan(now, own, book, fx);
    }

    /// When [`Input::Tick`] is wanted.
    pub fn wake_at(&self, now: u64) -> Option<u64> {
        let busy = !self.asks.is_empty()
            || self.leg.is_some()
            || !self.resting.is_empty()
            || self.live.as_ref().is_some_and(Live::waits);
        let past = self.past.wake_at().filter(|_| !self.remotes.is_empty()).map(|at| at.max(now + TICK_MS));
        if busy { Some(now + TICK_MS) } else { past }
    }

    /// Ends the pauses between tries. How often something was tried stays noted.
    fn at_once(&mut self, now: u64) {
        self.resting.values_mut().for_each(|(_, until)| *until = now);
        if let Some(leg) = &mut self.leg {
            leg.step.not_before = now;
            leg.slots.iter_mut().for_each(|slot| slot.not_before = now);
        }
        self.past.at_once(now);
        self.live_at_once(now);
    }

    fn anchor(&mut self, checkpoint: Checkpoint) {
        self.anchors.insert(checkpoint.hash.clone(), checkpoint);
        if self.anchors.len() > ANCHORS {
            let oldest = self.anchors.values().min_by_key(|anchor| anchor.label).map(|anchor| anchor.hash.clone());
            let gone = oldest.and_then(|oldest| self.anchors.remove(&oldest));
            gone.and_then(|gone| self.resting.remove(&gone.hash));
        }
    }

    /// No connected peer leads to this anchor: others have their turn.
    pub(super) fn rest(&mut self, now: u64, anchor: HashText) {
        let tries = self.resting.get(&anchor).map_or(1, |(tries, _)| tries + 1);
        let until = now + self.chance.backoff(tries);
        self.resting.insert(anchor, (tries, until));
    }

    /// The newest anchor.
    pub(super) fn newest_anchor(&self) -> Option<&Checkpoint> {
        self.anchors.values().max_by_key(|anchor| anchor.label)
    }

    fn gone(&mut self, now: u64, peer: PeerKey, fx: &mut Vec<Effect>) {
        let out: Vec<AskId> = self.asks.iter().filter(|(_, asked)| asked.peer == peer).map(|(id, _)| *id).collect();
        out.into_iter().for_each(|id| self.failed(now, id, Failure::Disconnected, fx));
        self.remotes.remove(&peer);
    }

    /// Ends what has had its time.
    fn expire(&mut self, now: u64, fx: &mut Vec<Effect>) {
        let late = self.asks.iter().filter(|(_, asked)| now.saturating_sub(asked.at) >= ASK_MS);
        let late: Vec<AskId> = late.map(|(id, _)| *id).collect();
        late.into_iter().for_each(|id| self.failed(now, id, Failure::Timeout, fx));
    }

    fn answered(&mut self, now: u64, id: AskId, answer: Answer, fx: &mut Vec<Effect>) {
        // What comes after its time was given up, and is no offence.
        let Some(asked) = self.settle(id) else { return };
        if let Answer::Busy(ms) = answer {
            self.busy(now, asked.peer, ms);
            return self.retry(now, id, &asked, false);
        }
        let (peer, what) = (asked.peer, asked.what.clone());
        let taken = match (what, answer) {
            (What::Headers(from), Answer::Headers(list)) => self.headers(now, id, peer, &from, list.into_vec()),
            (What::Whole(period), Answer::Batches(list)) => self.whole(id, peer, period, list.into_vec()),
            (What::Lines(period, skip), Answer::Lines(list)) => self.lines(id, peer, (period, skip), list.into_vec()),
            (What::Part(period, from, skip), Answer::Batches(list)) => {
                self.part(id, peer, (period, from, skip), list.into_vec())
            }
            (What::Newest(open, skip), Answer::Batches(list)) => {
                self.newest(now, id, peer, (&open, skip), list.into_vec(), fx)
            }
            (What::Newest(..), Answer::NotHeld) if self.live_not_held(now, id) => return,
            (_, Answer::NotHeld) => Ok(false),
            _ => Err((Offence::NotAnAnswer, "another kind of answer")),
        };
        match taken {
            Ok(true) => self.served(now, &asked, fx),
            // It does not have it: that is an answer, and no merit.
            Ok(false) => self.retry(now, id, &asked, true),
            Err((offence, fault)) => {
                let what = format!("{fault}: {:?}", asked.what);
                fx.push(Effect::Penalty { peer, offence, what });
                fx.push(Effect::Outcome { peer, good: false });
                self.retry(now, id, &asked, true);
            }
        }
    }

    fn failed(&mut self, now: u64, id: AskId, failure: Failure, fx: &mut Vec<Effect>) {
        let Some(asked) = self.settle(id) else { return };
        let peer = asked.peer;
        let offence = match failure {
            Failure::Timeout | Failure::Disconnected => None,
            Failure::Undecodable => Some(Offence::Undecodable),
            Failure::Oversize => Some(Offence::Oversize),
        };
        if let Some(offence) = offence {
            fx.push(Effect::Penalty { peer, offence, what: format!("{:?}", asked.what) });
        }
        if failure == Failure::Timeout && asked.what.is_body() {
            self.window.failed(now, asked.at);
        }
        self.silent(now, peer, fx);
        self.retry(now, id, &asked, offence.is_some());
    }

    /// A request gave nothing: the range goes back among those to be asked for. Without the peer, if `lacks`.
    fn retry(&mut self, now: u64, id: AskId, asked: &Asked, lacks: bool) {
        let peer = asked.peer;
        match &asked.what {
            What::Headers(from) => {
                let Some(leg) = self.leg.as_mut().filter(|leg| leg.from == *from) else { return };
                leg.step.asked.retain(|(out, _)| *out != id);
                if lacks {
                    leg.step.lacks.insert(peer);
                } else if leg.step.asked.is_empty() && leg.step.answers.is_empty() {
                    leg.step.tries += 1;
                    leg.step.not_before = now + self.chance.backoff(leg.step.tries);
                }
            }
            What::Newest(..) => self.live_failed(now, id, peer, lacks),
            What::Whole(period) | What::Lines(period, _) | What::Part(period, ..) => {
                let Some(slot) = self.leg.as_mut().and_then(|leg| leg.slot(period)) else { return };
                let was_out = slot.out.contains(&id);
                slot.out.retain(|out| *out != id);
                if lacks {
                    slot.lacks.insert(peer);
                }
                if was_out && slot.out.is_empty() && !lacks {
                    slot.tries += 1;
                    slot.not_before = now + self.chance.backoff(slot.tries);
                }
            }
        }
    }

    fn taken(&mut self, now: u64, ticket: u64) {
        let period = match self.supplies.remove(&ticket) {
            Some(Supplied::Closed(period, true)) => period,
            Some(Supplied::Open(open)) => return self.live_taken(&open),
            Some(Supplied::Closed(_, false)) | None => return,
        };
        let Some(leg) = &mut self.leg else { return };
        while let Some(slot) = leg.slots.pop_back_if(|slot| slot.id == period && matches!(slot.job, Job::Supplied)) {
            if leg.is_past {
                self.past.taken(&slot.header.close_hash);
            }
            self.done += 1;
            self.meter.note(now, slot.header.ops);
            self.claims.push_back((slot.id, slot.claimed));
        }
        let over = self.claims.len().saturating_sub(CLAIMS);
        self.claims.drain(..over);
        // Where headers were let go there is a hole behind the newest: the walk begins again.
        let has_hole = leg.slots.len() == 1 && leg.walked > HEADERS_HELD as u64;
        if leg.state == WalkState::Arrived && (leg.slots.is_empty() || has_hole) {
            self.leg = None;
        }
    }

    /// The core has refused a supply. What it was of is asked for again, later: the open period from where it stands here, a
    /// closed one by a walk of its own.
    fn refused(&mut self, now: u64, ticket: u64) {
        match self.supplies.remove(&ticket) {
            Some(Supplied::Open(open)) => self.live_refused(now, &open),
            Some(Supplied::Closed(period, _)) => {
                let leg = self.leg.take_if(|leg| leg.slot(&period).is_some());
                if let Some(leg) = leg.filter(|leg| !leg.is_past) {
                    self.rest(now, leg.target.hash);
                }
            }
            None => {}
        }
    }

    /// A supplied period's document was recomputed. If it differs, its header was false: who gave it pays, who gave the
    /// batches that it names does not.
    fn proven(&mut self, period: PeriodId, verdict: Verdict, fx: &mut Vec<Effect>) {
        if let Some(leg) = self.leg.as_mut().filter(|leg| leg.slots.front().is_some_and(|slot| slot.id == period)) {
            leg.top = Top::Passed;
            if verdict != Verdict::Differs {
                self.drop_unproven_past(Some(verdict));
            }
        }
        if verdict != Verdict::Differs || self.false_headers.contains(&period) {
            return;
        }
        self.false_headers.push_back(period);
        if self.false_headers.len() > FALSE_HEADERS {
            self.false_headers.pop_front();
        }
        let claim = self.claims.iter().position(|(id, _)| *id == period).and_then(|at| self.claims.remove(at));
        let claimed = claim.map(|(_, peers)| peers);
        let claimed = claimed.or_else(|| Some(self.leg.as_mut()?.slot(&period)?.claimed.clone()));
        for peer in claimed.unwrap_or_default() {
            let what = format!("period {period:?} is not what its closing hash names");
            fx.push(Effect::Penalty { peer, offence: Offence::HeaderFalse, what });
        }
        // What lies behind it came from the same mouths: walk again.
        self.leg = None;
    }

    /// Asks for what can be asked for, supplies what can be supplied.
    fn plan(&mut self, now: u64, own: &dyn Own, book: &PeerBook, fx: &mut Vec<Effect>) {
        if self.since.waits() && own.is_empty() {
            return;
        }
        if self.leg.is_none() {
            self.resting.retain(|hash, _| !own.holds(hash));
            let rests = |anchor: &Checkpoint| self.resting.get(&anchor.hash).is_some_and(|(_, until)| now < *until);
            // Nothing leads to what the history begins with.
            let begins = |anchor: &Checkpoint| self.since.begins_with(&anchor.hash);
            let due = |anchor: &&Checkpoint| !own.holds(&anchor.hash) && !rests(anchor) && !begins(anchor);
            let target = self.anchors.values().filter(due).max_by_key(|anchor| anchor.label).cloned();
            self.leg = target.map(Leg::new).or_else(|| self.past_leg(now, own));
        }
        self.plan_live(now, own, book, fx);
        self.walk(now, own, book, fx);
        self.fetch(now, own, book, fx);
        self.overtake(now, book, fx);
        self.supply(fx);
    }

    fn supply(&mut self, fx: &mut Vec<Effect>) {
        self.drop_unproven_past(None);
        let Some(leg) = &mut self.leg else { return };
        fx.extend(leg.newest_to_prove());
        if leg.state != WalkState::Arrived || leg.top != Top::Passed {
            return;
        }
        let mut prev = None;
        for slot in leg.slots.iter_mut().rev() {
            if self.supplies.len() >= SUPPLIES || prev.as_ref().is_some_and(|prev| *prev != slot.header.open_hash) {
                return;
            }
            if let Some(mut supply) = supply_of(slot, self.next_ticket + 1) {
                supply.begins |= self.since.begins_with(&supply.open);
                supply.leads_to = leg.is_past.then(|| leg.target.hash.clone());
                self.next_ticket += 1;
                self.supplies.insert(self.next_ticket, Supplied::Closed(slot.id, supply.last));
                fx.push(Effect::Supply(Box::new(supply)));
            }
            if !matches!(slot.job, Job::Supplied) {
                return;
            }
            prev = Some(slot.header.close_hash.clone());
        }
    }

    /// What it is at.
    pub fn progress(&self, now: u64) -> Progress {
        let mut progress = Progress {
            done: self.done,
            ops_per_s: self.meter.rate(now),
            asked: self.asks.len(),
            ..Progress::default()
        };
        // A past that nobody has yet is nothing that anybody waits for.
        let Some(leg) = self.leg.as_ref().filter(|leg| !leg.is_past || !leg.slots.is_empty()) else {
            let anchored = !self.anchors.is_empty();
            (progress.phase, progress.limit) = match () {
                () if !anchored => (Phase::Unanchored, Limit::Anchor),
                () if self.resting.is_empty() => (Phase::Synced, Limit::Nothing),
                () if self.remotes.is_empty() => (Phase::Headers, Limit::Peers),
                () => (Phase::Headers, Limit::Retry),
            };
            progress.waiting = self.resting.len();
            progress.offered = if anchored { Vec::new() } else { self.offered() };
            return progress;
        };
        let label = |slot: Option<&Slot>| slot.and_then(|slot| slot.header.label).map(|label| label.get());
        (progress.from, progress.to) = (label(leg.slots.back()), label(leg.slots.front()));
        progress.missing = leg.slots.len() as u64;
        progress.waiting = leg.slots.iter().filter(|slot| slot.not_before > now).count();
        let ops: u64 = leg.slots.iter().map(|slot| slot.header.ops).sum();
        let arrived = leg.state == WalkState::Arrived;
        progress.eta_s = Some(progress.ops_per_s).filter(|rate| *rate > 0 && arrived).map(|rate| ops.div_ceil(rate));
        progress.phase = if arrived { Phase::Bodies } else { Phase::Headers };
        progress.limit = match () {
            () if self.remotes.is_empty() => Limit::Peers,
            () if self.supplies.len() >= SUPPLIES => Limit::Core,
            () if !self.asks.is_empty() => Limit::Network,
            () => Limit::Retry,
        };
        progress
    }

    fn offered(&self) -> Vec<Offered> {
        let mut said: BTreeMap<(Option<u64>, HashText), usize> = BTreeMap::new();
        let verified = self.remotes.values().filter_map(|remote| remote.status.as_ref()?.verified.as_ref());
        for checkpoint in verified {
            *said.entry((checkpoint.label.map(|label| label.get()), checkpoint.hash.clone())).or_default() += 1;
        }
        let newest = said.into_iter().rev().take(OFFERED);
        newest.map(|((label, hash), peers)| Offered { hash, label, peers }).collect()
    }

    pub(super) fn peers(&self) -> BTreeSet<PeerKey> {
        self.remotes.keys().copied().collect()
    }

    /// The step of the walk begins anew, later.
    pub(super) fn step_again(&mut self, now: u64, leg: &mut Leg) {
        let tries = leg.step.tries + 1;
        let not_before = now + self.chance.backoff(tries);
        leg.step = Step { tries, not_before, ..Step::default() };
    }
}

/// What of a slot can be given to the core now.
fn supply_of(slot: &mut Slot, ticket: u64) -> Option<Supply> {
    let (batches, from, after, last) = match &mut slot.job {
        Job::Ready { batches, from } => (std::mem::take(batches), *from, None, true),
        Job::Parts(parts) if !parts.ready.is_empty() => {
            let last = parts.at >= parts.known.len();
            let before = parts.at.checked_sub(parts.ready.len() + 1).map(|at| parts.known[at].1);
            (std::mem::take(&mut parts.ready), parts.from?, before, last)
        }
        _ => return None,
    };
    if last {
        slot.job = Job::Supplied;
    }
    let header = &slot.header;
    Some(Supply {
        ticket,
        open: header.open_hash.clone(),
        label: header.label,
        prev: header.prev.clone(),
        begins: header.prev.is_none(),
        leads_to: None,
        period: Some(Box::new(header.clone())),
        after,
        batches,
        last,
        from,
    })
}
