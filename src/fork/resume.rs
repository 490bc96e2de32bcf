//! A socket that was here before. `sync_status` says the last index that its client sent, not in which period; labels lag
//! behind at a period's start. So the client is asked for the beginnings of all runs that it still has, which show where
//! the socket is (`plan`).
//!
//! *Always holds:* what such a socket says waits in memory for a moment, unacknowledged and bounded; a client that has not
//! answered by then is taken in without a place, and gets one when it answers. A lane that later turns out to stand on
//! something that is not held asks in the same way.

use super::lane::Lane;
use super::machine::{Attached, Bodies, Core, Effects};
use super::plan::{Evidence, First, LAST, Named, Plan, Seen, Spot, Step, digest_of, shows};
use super::questions::{Question, TRIES};
use super::runs::{Kind, runs};
use crate::feed::message::{FeedId, FromCore, Said};
use honeygraph_protocols::honeycomb::{Framing, Item, Ops, What};
use std::collections::VecDeque;

/// Number of no hole: the question is where a socket stands.
pub(super) const WHERE: u64 = 0;
/// How long what a socket says waits for the answer, ms: an answer overtakes what its client has queued.
const HELD_MS: u64 = 2_000;
/// How long a socket whose place is not known is left alone before it is asked again, ms.
const AGAIN_MS: u64 = 60_000;
/// Fewer items than this may have been lost of a new period whose label is still the old one, and nothing show it.
const FEW: u64 = 5;
/// How often it is looked whether a held-up lane stands on nothing, ms.
const LOOK_MS: u64 = 1_000;
/// Items of a run by which it is recognised.
const SEEN: usize = 16;
/// What one socket may say while it is held, in bytes: more than a client sends in the time of an answer.
const HELD_BYTES: usize = 4 << 20;
/// What all sockets of a network may say meanwhile.
const HELD_BYTES_IN_ALL: usize = 32 << 20;
/// What a held message costs beside its texts.
const MESSAGE_BYTES: usize = 256;

/// A socket whose place is looked for.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Last index that its client had sent before, by its own word.
    last: u64,
    /// What it said, and since when it is held; none: it was taken in without a place.
    held: Option<(u64, VecDeque<Said>)>,
    bytes: usize,
    first: Option<First>,
    seen: [Vec<Seen>; 2],
    /// Run in which it is, and its last index there.
    run: (usize, Option<u64>),
    /// Lowest and highest block of the first run.
    blocks: Option<(u64, u64)>,
    /// The period that its lane has opened by its own words, and that has no predecessor.
    named: Option<Named>,
    tries: u32,
    /// The last answer fitted no run, or several, with so many items seen: it is asked for again when more were.
    unclear: Option<usize>,
    /// Not asked again before, ms.
    again_at: u64,
}

impl Waiting {
    fn new(last: u64, held: Option<(u64, VecDeque<Said>)>) -> Self {
        Self {
            last,
            held,
            bytes: 0,
            first: None,
            seen: [Vec::new(), Vec::new()],
            run: (0, None),
            blocks: None,
            named: None,
            tries: 0,
            unclear: None,
            again_at: 0,
        }
    }

    fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    fn hold(&mut self, said: Said) {
        self.bytes += MESSAGE_BYTES;
        if let Said::Ops(ops) = &said {
            self.bytes += ops.texts.len() + ops.items.len() * size_of::<Item>();
            self.see(ops);
        }
        if let Some((_, held)) = &mut self.held {
            held.push_back(said);
        }
    }

    /// Remembers the first items of the first two runs.
    fn see(&mut self, ops: &Ops) {
        for item in &ops.items {
            if self.first.is_none() {
                self.first = Some(First { index: item.index, block: item.block, fork: item.fork.clone() });
            }
            let falls = self.run.1.zip(item.index).is_some_and(|(last, index)| index <= last);
            self.run.0 += usize::from(falls);
            let (Some(index), Some(seen)) = (item.index, self.seen.get_mut(self.run.0)) else { return };
            self.run.1 = Some(index);
            if let Some(block) = item.block.filter(|_| self.run.0 == 0) {
                let (low, high) = self.blocks.unwrap_or((block, block));
                self.blocks = Some((low.min(block), high.max(block)));
            }
            if seen.len() < SEEN && !matches!(item.what, What::Refused(_)) {
                seen.push((index, item.block, digest_of(item, &ops.texts)));
            }
        }
    }

    fn seen_items(&self) -> usize {
        self.seen.iter().map(Vec::len).sum()
    }

    fn evidence(&self, taken: Option<u64>) -> Evidence<'_> {
        let (first, named) = (self.first.as_ref(), self.named.as_ref());
        Evidence { last: self.last, taken, first, seen: &self.seen, named }
    }

    /// Whether a frame is the answer: it says so, or it stays in the range and shows again what the socket has sent or
    /// opened, or (where that lies behind the range) as much of a run as was asked for.
    fn is_answered_by(&self, ops: &Ops, core: &Core) -> bool {
        let Framing::Batch { requested } = &ops.framing else { return false };
        if requested.is_some() {
            return *requested == Some((0, LAST));
        }
        if ops.items.is_empty() || !ops.items.iter().all(|item| item.index.is_some_and(|index| index <= LAST)) {
            return false;
        }
        if let Some(named) = &self.named {
            let runs = runs(&ops.items, LAST, &core.rules);
            return runs.len() > 1
                && runs.iter().any(|run| matches!(&run.kind, Kind::Period { hash, .. } if *hash == named.hash));
        }
        let mut runs = ops.items.chunk_by(|one, other| one.index < other.index);
        if self.seen[0].iter().any(|(index, ..)| *index <= LAST) {
            return runs.any(|run| shows(run, &ops.texts, &self.seen[0]));
        }
        let full = |run: &[Item]| run.last().is_some_and(|item| item.index == Some(LAST));
        runs.clone().all(|run| run[0].index == Some(0)) && runs.any(full)
    }
}

impl Core {
    /// A socket whose client has sent everything up to `last` begins to speak.
    pub(super) fn wait_for_place(
        &mut self,
        now: u64,
        feed: FeedId,
        last: u64,
        ops: Ops,
        bodies: &mut dyn Bodies,
        fx: &mut Effects,
    ) {
        let mut waiting = Waiting::new(last, Some((now, VecDeque::new())));
        waiting.hold(Said::Ops(ops));
        self.feeds.get_mut(&feed).expect("speaks").waiting = Some(waiting);
        self.ask_where(now, feed, fx);
        if self.holds_too_much(feed) {
            self.take_in(now, feed, bodies, fx);
        }
    }

    /// Whether a socket, or all of them together, have said more than is held.
    fn holds_too_much(&self, feed: FeedId) -> bool {
        let held = |attached: &Attached| attached.waiting.as_ref().map_or(0, |waiting| waiting.bytes);
        held(&self.feeds[&feed]) > HELD_BYTES || self.feeds.values().map(held).sum::<usize>() > HELD_BYTES_IN_ALL
    }

    fn ask_where(&mut self, now: u64, feed: FeedId, fx: &mut Effects) {
        let attached = self.feeds.get_mut(&feed).expect("waits");
        attached.question = Some(Question { hole: WHERE, from: 0, to: LAST, deadline: now + self.limits.answer_ms });
        attached.asked(0, LAST);
        self.counters.asked += 1;
        fx.messages.push((feed, FromCore::Ask { from: 0, to: LAST }));
    }

    /// Deals with what a waiting socket said if it is the answer, or has to wait; else gives it back.
    pub(super) fn takes_waiting(
        &mut self,
        now: u64,
        feed: FeedId,
        said: Said,
        bodies: &mut dyn Bodies,
        fx: &mut Effects,
    ) -> Option<Said> {
        if let Some(late) = self.feeds.get_mut(&feed).and_then(|attached| attached.late.take()) {
            if let Said::Ops(ops) = &said
                && late.is_answered_by(ops, self)
            {
                self.answered(now, feed, ops, bodies, fx);
                return None;
            }
            self.feeds.get_mut(&feed).expect("just seen").late = Some(late);
        }
        let Some(waiting) = self.feeds.get(&feed).and_then(|attached| attached.waiting.as_ref()) else {
            return Some(said);
        };
        if let Said::Ops(ops) = &said
            && waiting.is_answered_by(ops, self)
        {
            self.shown(now, feed, ops, bodies, fx);
            return None;
        }
        if !waiting.is_holding() || matches!(said, Said::SyncStatus { .. } | Said::Subscribe { .. }) {
            return Some(said);
        }
        if let Said::Ops(ops) = &said {
            self.counters.ops += ops.items.len() as u64;
        }
        let attached = self.feeds.get_mut(&feed).expect("speaks");
        let (idle, waiting) = (attached.question.is_none(), attached.waiting.as_mut().expect("waits"));
        waiting.hold(said);
        let shows_more = idle && waiting.unclear.is_some_and(|then| then < waiting.seen_items());
        if self.holds_too_much(feed) {
            self.take_in(now, feed, bodies, fx);
        } else if shows_more {
            self.ask_where(now, feed, fx);
        }
        None
    }

    /// The client showed the beginnings of its runs.
    fn shown(&mut self, now: u64, feed: FeedId, ops: &Ops, bodies: &mut dyn Bodies, fx: &mut Effects) {
        let attached = self.feeds.get_mut(&feed).expect("waits");
        attached.question = None;
        let mut waiting = attached.waiting.take().expect("waits");
        if waiting.named.is_some() {
            // It may have gone on to its next period since it was asked.
            waiting.named = self.own_period(feed);
            if waiting.named.is_none() {
                let attached = self.feeds.get_mut(&feed).expect("waits");
                attached.looked_at = now.saturating_sub(AGAIN_MS - LOOK_MS);
                return;
            }
        }
        let attached = self.feeds.get_mut(&feed).expect("waits");
        let taken = if waiting.is_holding() { None } else { attached.lane.last_index() };
        let runs = runs(&ops.items, LAST, &self.rules);
        let evidence = waiting.evidence(taken);
        let mut own = self.own_runs(&evidence, &runs, ops);
        let plan = match (own.pop(), own.pop()) {
            (Some(one), None) => self.plan(&evidence, &runs, one, ops, bodies),
            _ => None,
        };
        let (seen, holds) = (waiting.seen_items(), waiting.is_holding());
        let attached = self.feeds.get_mut(&feed).expect("waits");
        let waiting = attached.waiting.insert(waiting);
        if let Some(plan) = plan {
            return self.go_on(now, feed, plan, bodies, fx);
        }
        // What comes shows more, at the latest where the run ends.
        let settled = waiting.unclear == Some(seen) || seen >= 2 * SEEN;
        (waiting.unclear, waiting.again_at) = (Some(seen), now + AGAIN_MS);
        if waiting.named.is_some() {
            attached.stop_waiting();
        } else if settled && holds {
            self.take_in(now, feed, bodies, fx);
        }
    }

    /// Puts a socket where it belongs, and takes what it said.
    fn go_on(&mut self, now: u64, feed: FeedId, plan: Plan, bodies: &mut dyn Bodies, fx: &mut Effects) {
        self.settle_down(feed, fx);
        match plan.lane {
            Some(spot) => self.take_over(feed, spot),
            None => {
                let no = self.take_lane();
                let rules = self.rules;
                let attached = self.feeds.get_mut(&feed).expect("waits");
                if attached.lane.here().is_some() {
                    (attached.no, attached.lane) = (no, Lane::anew(&attached.lane, rules));
                }
            }
        }
        for step in plan.steps {
            self.with_lane(now, feed, bodies, fx, |lane, found| match step {
                Step::Reached(index) => lane.reached(index, found),
                Step::Open { label, hash, before } => lane.open_next(label, hash, before, found),
                Step::Second => lane.second_run(),
            });
        }
        let held = self.feeds.get_mut(&feed).and_then(|attached| attached.waiting.take()).and_then(|w| w.held);
        self.take_held(now, feed, held, bodies, fx);
    }

    /// The socket's lane is the one that ends here.
    fn take_over(&mut self, feed: FeedId, spot: Spot) {
        let attached = self.feeds.get_mut(&feed).expect("speaks");
        attached.no = spot.lane;
        attached.lane.resume(spot.resume);
        self.wake_holes(spot.lane);
    }

    /// No answer has come. The socket goes on where nothing would be missing, if there is one such place, and it is so far
    /// into a period that its label is its own, or all that its client sent there was received, or its label does not move
    /// as it would at a period's start; else what it says is taken in without a place.
    fn take_in(&mut self, now: u64, feed: FeedId, bodies: &mut dyn Bodies, fx: &mut Effects) {
        let Some(waiting) = self.feeds.get_mut(&feed).and_then(|attached| attached.waiting.as_mut()) else { return };
        waiting.bytes = 0;
        let (held, last, first) = (waiting.held.take(), waiting.last, waiting.first.clone());
        let label = first.as_ref().and_then(|first| first.block).map(|block| self.rules.label(block));
        let one_label = waiting.blocks.is_none_or(|(low, high)| self.rules.label(low) == self.rules.label(high));
        let follows = |spot: &Spot| {
            let Some(First { index: Some(index), fork, .. }) = &first else { return false };
            let same = match (fork, &spot.resume.hash) {
                (Some(fork), Some(hash)) => fork == hash,
                _ => label.is_some() && spot.resume.label == label,
            };
            // At a period's start the label may be the old one, but not for long; and a few items are easily as many as
            // are held.
            let certain = *index > LAST || self.left_at.get(&spot.lane) == Some(&last) || (*index >= FEW && one_label);
            same && certain && *index == spot.index() && *index == last + 1 && spot.resume.opened
        };
        let mut spots: Vec<Spot> = self.loose_spots().into_iter().filter(follows).collect();
        if let (Some(spot), None) = (spots.pop(), spots.pop()) {
            self.feeds.get_mut(&feed).expect("speaks").stop_waiting();
            self.take_over(feed, spot);
        }
        self.take_held(now, feed, held, bodies, fx);
    }

    /// What a socket said while it was held, in order.
    fn take_held(
        &mut self,
        now: u64,
        feed: FeedId,
        held: Option<(u64, VecDeque<Said>)>,
        bodies: &mut dyn Bodies,
        fx: &mut Effects,
    ) {
        for said in held.into_iter().flat_map(|(_, held)| held) {
            match said {
                // Answers were taken when they came.
                Said::Ops(ops) => self.live(now, feed, &ops, bodies, fx),
                said => self.heard(now, feed, said, bodies, fx),
            }
        }
        self.ask(now, fx);
    }

    /// A lane that was taken in without a place has left the run that it would be recognised by: nothing is looked for any
    /// more.
    pub(super) fn leave_first_run(&mut self, feed: FeedId) {
        let Some(attached) = self.feeds.get_mut(&feed) else { return };
        let (Some(here), Some(waiting)) = (attached.lane.here(), &attached.waiting) else { return };
        if waiting.named.is_none() && !waiting.is_holding() && (here.opened || here.ordinal > 0) {
            attached.stop_waiting();
        }
    }

    /// Time has passed for sockets whose place is looked for.
    pub(super) fn look_for_places(&mut self, now: u64, bodies: &mut dyn Bodies, fx: &mut Effects) {
        let feeds: Vec<FeedId> = self.feeds.keys().copied().collect();
        for feed in feeds {
            self.find_stuck(now, feed);
            let attached = &self.feeds[&feed];
            let Some(waiting) = &attached.waiting else { continue };
            let held_since = waiting.held.as_ref().map(|(since, _)| *since);
            if held_since.is_some_and(|since| since + HELD_MS <= now) {
                self.take_in(now, feed, bodies, fx);
            } else if held_since.is_none() && waiting.again_at <= now && attached.question.is_none() && !attached.closed
            {
                self.ask_where(now, feed, fx);
            }
        }
    }

    /// The period that a socket's lane is in, by its own words.
    fn own_period(&self, feed: FeedId) -> Option<Named> {
        let here = self.feeds[&feed].lane.here().filter(|here| here.opened)?;
        let first_run = (here.run > 0).then(|| here.base.checked_sub(1)).flatten();
        Some(Named { hash: here.hash.clone()?, first_run })
    }

    /// A lane that opened its period by its own words, and whose predecessor is not held.
    fn find_stuck(&mut self, now: u64, feed: FeedId) {
        let attached = &self.feeds[&feed];
        let no = attached.no;
        let Some(named) = self.own_period(feed).filter(|_| attached.waiting.is_none()) else { return };
        let Some(ordinal) = attached.lane.here().map(|here| here.ordinal) else { return };
        let book = self.ledger.books.get(&no).and_then(|book| book.periods.get(&ordinal));
        let stuck = book.is_some_and(|book| !book.placed && !book.pieces.is_empty());
        if !stuck || self.predecessor(no, ordinal).is_ok() || self.holes.of(no).next().is_some() {
            return;
        }
        let attached = self.feeds.get_mut(&feed).expect("just seen");
        if attached.looked_at + AGAIN_MS > now {
            return;
        }
        attached.looked_at = now;
        let mut waiting = Waiting::new(0, None);
        waiting.named = Some(named);
        attached.waiting = Some(waiting);
    }

    /// No answer came in time.
    pub(super) fn unanswered_where(&mut self, now: u64, feed: FeedId) {
        let Some(attached) = self.feeds.get_mut(&feed) else { return };
        let Some(waiting) = attached.waiting.as_mut() else { return };
        waiting.tries += 1;
        if waiting.tries >= TRIES {
            (waiting.tries, waiting.again_at) = (0, now + AGAIN_MS);
            if waiting.named.is_some() {
                attached.stop_waiting();
            }
        }
    }

    /// When [`look_for_places`](Self::look_for_places) is due, ms.
    pub(super) fn place_due(&self, now: u64) -> Option<u64> {
        let due = |attached: &Attached| {
            if attached.closed {
                return None;
            }
            let Some(waiting) = &attached.waiting else {
                let held_up = self.reasons.contains_key(&attached.no) && attached.question.is_none();
                return held_up.then_some((attached.looked_at + AGAIN_MS).max(now + LOOK_MS));
            };
            match &waiting.held {
                Some((since, _)) => Some(since + HELD_MS),
                None => attached.question.is_none().then_some(waiting.again_at.max(now + 1)),
            }
        };
        self.feeds.values().filter_map(due).min()
    }

    /// The last index that a new socket's predecessor made durable, as far as it can be guessed before its first op.
    pub(super) fn newest_reach(&self) -> u64 {
        let newest = self.loose_spots().into_iter().max_by_key(|spot| (spot.at_ms, spot.lane));
        newest.map_or(0, |spot| spot.index().saturating_sub(1))
    }
}

impl Attached {
    fn stop_waiting(&mut self) {
        let waiting = self.waiting.take();
        if self.question.take_if(|question| question.hole == WHERE).is_some() {
            self.late = waiting;
        }
    }
}
