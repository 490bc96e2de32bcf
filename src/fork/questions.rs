//! Holes in a lane, and the questions that fill them.
//!
//! *Always holds:* one question is outstanding on a socket, for at most [`ASK_MAX`] indexes; after [`TRIES`] without
//! anything new the hole is recorded and shown, what lies behind it stays parked, and it is asked for ever more rarely.
//! Nothing is skipped silently.

use super::machine::{Bodies, Core, Effects};
use super::record::{Before, Gap, GapState, Named, Record};
use super::resume::WHERE;
use super::settle::RETRY_MS;
use crate::feed::message::{FeedId, FromCore};
use honeygraph_protocols::honeycomb::{Framing, Ops};

/// Indexes asked for in one question: what a client packs into one frame without trouble.
pub const ASK_MAX: u64 = 64;
/// Items asked for again on either side of a hole: what is held there shows where an answer belongs.
pub const BESIDE: u64 = 3;
/// Questions without anything new before a hole is recorded.
pub const TRIES: u32 = 3;
/// A recorded hole is asked for again after a minute, then after twice as long, and so on up to an hour: what is held
/// beside it may have come meanwhile, by which an answer is recognised, or the client have found what it lacked.
const AGAIN_MS: u64 = 60_000;
const AGAIN_DOUBLED: u32 = 6;

/// A question that a feed has not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The hole.
    pub hole: u64,
    /// First index asked for.
    pub from: u64,
    /// Last index asked for.
    pub to: u64,
    /// When it counts as unanswered, ms.
    pub deadline: u64,
}

impl Question {
    /// Whether a frame can be the answer, and not one that comes late to a question about other indexes.
    pub(super) fn is_answered_by(&self, ops: &Ops) -> bool {
        match ops.framing {
            Framing::Batch { requested: Some(range) } => range == (self.from, self.to),
            _ => ops.items.iter().all(|item| item.index.is_some_and(|index| (self.from..=self.to).contains(&index))),
        }
    }
}

/// A hole.
#[derive(Clone, Debug, PartialEq)]
pub struct Hole {
    /// The lane.
    pub lane: u64,
    /// Which period of it.
    pub ordinal: u32,
    /// Run within the period.
    pub run: u32,
    /// First missing index.
    pub from: u64,
    /// Last missing index; of a tail, the last asked for so far.
    pub to: u64,
    /// The end of a period of unknown length: asked for in pages until nothing new comes.
    pub tail: bool,
    /// A tail to whose end everything is here: what is asked for is whether a second run follows (`second`).
    pub second: bool,
    /// Whether the feed numbers its ops.
    pub askable: bool,
    /// Tries without anything new.
    pub tries: u32,
    /// Once there were [`TRIES`]: not asked again before, ms.
    pub again_at: u64,
    /// Recorded in the journal.
    pub recorded: bool,
}

/// What a tail that brings nothing new is the end of.
enum End {
    Period,
    /// Of the first of two runs.
    FirstRun,
    Unknown,
}

impl Core {
    /// A lane found a hole.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn hole(
        &mut self,
        now: u64,
        lane: u64,
        ordinal: u32,
        run: u32,
        range: (u64, u64),
        askable: bool,
        fx: &mut Effects,
    ) {
        let books = &self.ledger.books;
        if self.holes.is_full(lane, |lane| books.contains_key(&lane)) {
            return;
        }
        let id = self.take_gap();
        let (from, to) = range;
        self.holes.insert(
            id,
            Hole {
                lane,
                ordinal,
                run,
                from,
                to,
                tail: false,
                second: false,
                askable,
                tries: 0,
                again_at: 0,
                recorded: false,
            },
        );
        let missing = if from == to { from.to_string() } else { format!("{from} to {to}") };
        self.counters.gaps += 1;
        self.event(now, "gap", format!("{id}: lane {lane} misses {missing}"));
        if !askable {
            self.record_hole(now, id, fx);
        }
    }

    /// Asks for the tail of a period whose end nobody saw.
    pub(super) fn page_tail(&mut self, lane: u64, ordinal: u32) {
        let id = self.take_gap();
        let Some(book) = self.ledger.books.get(&lane).and_then(|book| book.periods.get(&ordinal)) else { return };
        if !book.opened {
            return;
        }
        let run = book.runs.len() as u32 - 1;
        let base = book.runs[run as usize];
        let from = book.reach().saturating_sub(base);
        let to = (from + ASK_MAX - 1).max(book.least.saturating_sub(base + 1));
        let hole = Hole {
            lane,
            ordinal,
            run,
            from,
            to,
            tail: true,
            second: false,
            askable: true,
            tries: 0,
            again_at: 0,
            recorded: false,
        };
        self.holes.insert(id, hole);
    }

    /// After a restart: the holes that the books show.
    pub(super) fn find_holes(&mut self, lane: u64) {
        let Some(book) = self.ledger.books.get(&lane) else { return };
        let mut found = Vec::new();
        for (ordinal, period) in book.periods.iter().filter(|(_, period)| period.opened) {
            for (from, to) in period.missing(period.next, period.end().max(period.least), 64) {
                let run = period.runs.iter().rposition(|base| *base <= from).unwrap_or(0);
                let base = period.runs[run];
                found.push((*ordinal, run as u32, from - base, to - 1 - base));
            }
        }
        let recorded = self.ledger.gaps.iter().filter(|(_, gap)| gap.lane == lane);
        let recorded: Vec<(u64, Gap)> = recorded.map(|(id, gap)| (*id, gap.clone())).collect();
        for (ordinal, run, from, to) in found {
            let is_known = |hole: &Hole| (hole.lane, hole.ordinal, hole.run, hole.from) == (lane, ordinal, run, from);
            let books = &self.ledger.books;
            if self.holes.is_full(lane, |lane| books.contains_key(&lane)) {
                break;
            }
            if self.holes.of(lane).any(|(_, hole)| is_known(hole)) {
                continue;
            }
            let known = recorded.iter().find(|(_, gap)| (gap.lane, gap.ordinal, gap.from) == (lane, ordinal, from));
            let (id, is_recorded) = match known {
                Some((id, _)) => (*id, true),
                None => (self.take_gap(), false),
            };
            let hole = Hole {
                lane,
                ordinal,
                run,
                from,
                to,
                tail: false,
                second: false,
                askable: true,
                tries: 0,
                again_at: 0,
                recorded: is_recorded,
            };
            self.holes.insert(id, hole);
        }
        let unseen: Vec<u32> = self.ledger.books[&lane]
            .periods
            .iter()
            .filter(|(ordinal, period)| **ordinal > 0 && period.before == Before::Unseen)
            .map(|(ordinal, _)| ordinal - 1)
            .filter(|ordinal| !self.holes.of(lane).any(|(_, hole)| hole.tail && hole.ordinal == *ordinal))
            .collect();
        for ordinal in unseen {
            self.page_tail(lane, ordinal);
        }
    }

    /// A socket feeds this lane again: its holes may be asked for once more.
    pub(super) fn wake_holes(&mut self, lane: u64) {
        let own: Vec<u64> = self.holes.of(lane).map(|(id, _)| *id).collect();
        for id in own {
            self.holes.get_mut(&id).expect("listed").tries = 0;
        }
    }

    /// The book has passed these holes: what they lacked is held elsewhere.
    pub(super) fn forget_holes(&mut self, now: u64, lane: u64, ordinal: u32, fx: &mut Effects) {
        let here = self.holes.of(lane).filter(|(_, hole)| (hole.ordinal, hole.tail) == (ordinal, false));
        let gone: Vec<u64> = here.filter(|(_, hole)| self.first_missing(hole).is_none()).map(|(id, _)| *id).collect();
        for id in gone {
            self.filled(now, id, fx);
        }
    }

    /// Tails whose page was filled by answers to other questions go on to their next page.
    fn turn_pages(&mut self, now: u64, fx: &mut Effects) {
        let full = |(_, hole): &(&u64, &Hole)| self.first_missing(hole).is_none();
        let full: Vec<u64> = self.holes.tails().filter(full).map(|(id, _)| *id).collect();
        for id in full {
            self.filled(now, id, fx);
        }
    }

    /// Puts the next question to every socket that has none.
    pub(super) fn ask(&mut self, now: u64, fx: &mut Effects) {
        self.turn_pages(now, fx);
        if self.again_at.is_some_and(|at| at <= now) {
            let later = self.holes.iter().map(|(_, hole)| hole.again_at).filter(|at| *at > now);
            self.again_at = later.min();
        }
        let idle: Vec<(FeedId, u64)> = self
            .feeds
            .iter()
            .filter(|(_, attached)| attached.question.is_none() && attached.waiting.is_none() && !attached.closed)
            .map(|(feed, attached)| (*feed, attached.no))
            .collect();
        for (feed, lane) in idle {
            let Some((hole, from, to)) = self.next_question(now, lane) else { continue };
            let question = Question { hole, from, to, deadline: now + self.limits.answer_ms };
            let attached = self.feeds.get_mut(&feed).expect("listed");
            attached.question = Some(question);
            attached.asked(from, to);
            self.counters.asked += 1;
            fx.messages.push((feed, FromCore::Ask { from, to }));
        }
    }

    fn next_question(&self, now: u64, lane: u64) -> Option<(u64, u64, u64)> {
        let due = |hole: &Hole| hole.tries < TRIES || hole.again_at <= now;
        let open = self.holes.of(lane).filter(|(_, hole)| hole.askable && due(hole));
        for (id, hole) in open {
            if self.asks_second(hole) {
                return Some((*id, 0, ASK_MAX - 1));
            }
            let Some((from, to)) = self.first_missing(hole).filter(|_| self.run_base(hole).is_some()) else { continue };
            // A period's start says which period it is.
            let from = if from <= BESIDE + 1 { 0 } else { from - BESIDE };
            return Some((*id, from, (to + BESIDE).min(from + ASK_MAX - 1)));
        }
        None
    }

    /// Place of index 0 of a hole's run; none while nothing of a second run is held.
    fn run_base(&self, hole: &Hole) -> Option<u64> {
        let book = self.ledger.books.get(&hole.lane)?.periods.get(&hole.ordinal)?;
        book.runs.get(hole.run as usize).copied()
    }

    /// Whether what is asked for is the beginning of a second run: a hole may be all of it, once the first is complete.
    pub(super) fn asks_second(&self, hole: &Hole) -> bool {
        let first = |other: &Hole| (other.ordinal, other.run, other.tail) == (hole.ordinal, 0, false);
        let complete =
            || !self.holes.of(hole.lane).any(|(_, other)| first(other) && self.first_missing(other).is_some());
        hole.second || (hole.run == 1 && self.run_base(hole).is_none() && complete())
    }

    /// First range of indexes that the hole still misses.
    pub(super) fn first_missing(&self, hole: &Hole) -> Option<(u64, u64)> {
        let book = self.ledger.books.get(&hole.lane)?.periods.get(&hole.ordinal)?;
        let Some(base) = book.runs.get(hole.run as usize).copied() else { return Some((hole.from, hole.to)) };
        let missing = book.missing(base + hole.from, base + hole.to + 1, 1);
        missing.first().map(|(from, to)| (from - base, to - 1 - base))
    }

    /// A question was answered (or not in time): did it bring anything, and was it about the hole's surroundings?
    pub(super) fn answered_question(
        &mut self,
        now: u64,
        question: Question,
        progress: bool,
        seen: bool,
        bodies: &mut dyn Bodies,
        fx: &mut Effects,
    ) {
        let Some(hole) = self.holes.get(&question.hole) else { return };
        let Some((missing, _)) = self.first_missing(hole) else { return self.filled(now, question.hole, fx) };
        let hole = self.holes.get_mut(&question.hole).expect("just seen");
        if !hole.recorded && !hole.tail {
            // What is filled need not be looked at again.
            hole.from = missing;
        }
        if missing > question.to && !hole.second {
            return;
        }
        let hole = self.holes.get_mut(&question.hole).expect("just seen");
        // The client shows the run up to here and nothing behind: one look is enough.
        if hole.tail && !hole.second && seen && !progress {
            let hole = hole.clone();
            match self.end_of_tail(&hole) {
                End::Period => return self.presume(now, question.hole, bodies, fx),
                End::FirstRun => {
                    let hole = self.holes.get_mut(&question.hole).expect("just seen");
                    (hole.second, hole.tries) = (true, 0);
                    return;
                }
                End::Unknown => {}
            }
        }
        self.tried(now, question.hole, progress, fx);
    }

    /// One try more (or the first again); after [`TRIES`] the hole is recorded.
    pub(super) fn tried(&mut self, now: u64, id: u64, progress: bool, fx: &mut Effects) {
        let Some(hole) = self.holes.get_mut(&id) else { return };
        hole.tries = if progress { 0 } else { hole.tries + 1 };
        if hole.tries >= TRIES {
            hole.again_at = now + (AGAIN_MS << (hole.tries - TRIES).min(AGAIN_DOUBLED));
            self.again_at = Some(self.again_at.map_or(hole.again_at, |at| at.min(hole.again_at)));
            self.record_hole(now, id, fx);
        }
    }

    /// What a tail that brings nothing new is the end of: only where everything is here that the client is known to have
    /// sent.
    fn end_of_tail(&self, hole: &Hole) -> End {
        let book = self.ledger.books.get(&hole.lane).and_then(|book| book.periods.get(&hole.ordinal));
        let Some(book) = book.filter(|book| book.reach() >= book.least) else { return End::Unknown };
        let two_runs = hole.run == 0 && book.label.is_some_and(|label| self.rules.has_second_run(label));
        if two_runs { End::FirstRun } else { End::Period }
    }

    /// Nothing is missing any more; a tail goes on to its next page.
    fn filled(&mut self, now: u64, id: u64, fx: &mut Effects) {
        let Some(mut hole) = self.holes.remove(&id) else { return };
        if hole.tail {
            (hole.from, hole.to, hole.tries) = (hole.to + 1, hole.to + ASK_MAX, 0);
            self.holes.insert(id, hole);
            return;
        }
        self.is_over(now, id, &hole, fx);
    }

    /// A hole is none any more.
    fn is_over(&mut self, now: u64, id: u64, hole: &Hole, fx: &mut Effects) {
        if let Some(supplier) = self.supplier.clone() {
            self.event(now, "gap", format!("{id} filled by {supplier}"));
        }
        if hole.recorded {
            let gap = self.gap_record(now, id, hole, GapState::Filled);
            self.append(Record::Gap(gap), None, fx);
        }
    }

    /// The tail of a period was asked for and nothing new came: it counts as closed.
    pub(super) fn presume(&mut self, now: u64, id: u64, bodies: &mut dyn Bodies, fx: &mut Effects) {
        let Some(Hole { lane, ordinal, .. }) = self.end_tail(now, id, fx) else { return };
        self.presume_next(lane, ordinal, fx);
        self.settle(now, lane, ordinal, bodies, fx);
        self.settle(now, lane, ordinal + 1, bodies, fx);
    }

    /// The period after this one goes on where this one ends now.
    pub(super) fn presume_next(&mut self, lane: u64, ordinal: u32, fx: &mut Effects) {
        let next = self.ledger.books.get(&lane).and_then(|book| book.periods.get(&(ordinal + 1)));
        let Some(next) = next else { return };
        let record =
            Named { lane, ordinal: ordinal + 1, hash: next.hash.clone(), label: next.label, before: Before::Presumed };
        self.append(Record::Named(record), None, fx);
    }

    /// A tail is not looked for any more: its end is known.
    pub(super) fn end_tail(&mut self, now: u64, id: u64, fx: &mut Effects) -> Option<Hole> {
        let hole = self.holes.remove(&id)?;
        self.is_over(now, id, &hole, fx);
        Some(hole)
    }

    pub(super) fn record_hole(&mut self, now: u64, id: u64, fx: &mut Effects) {
        let Some(hole) = self.holes.get_mut(&id) else { return };
        if std::mem::replace(&mut hole.recorded, true) {
            return;
        }
        let hole = hole.clone();
        let gap = self.gap_record(now, id, &hole, GapState::Recorded);
        self.append(Record::Gap(gap), None, fx);
    }

    pub(super) fn gap_record(&self, now: u64, id: u64, hole: &Hole, state: GapState) -> Gap {
        let label =
            self.ledger.books.get(&hole.lane).and_then(|book| book.periods.get(&hole.ordinal)).and_then(|b| b.label);
        Gap {
            id,
            lane: hole.lane,
            ordinal: hole.ordinal,
            label,
            run: hole.run,
            from: hole.from,
            to: hole.to,
            state,
            at_ms: now,
        }
    }

    /// Questions that nobody answered in time.
    pub(super) fn time_out(&mut self, now: u64, bodies: &mut dyn Bodies, fx: &mut Effects) {
        let late: Vec<(FeedId, Question)> = self
            .feeds
            .iter()
            .filter_map(|(feed, attached)| attached.question.filter(|q| q.deadline <= now).map(|q| (*feed, q)))
            .collect();
        for (feed, question) in late {
            self.feeds.get_mut(&feed).expect("listed").question = None;
            if question.hole == WHERE {
                self.unanswered_where(now, feed);
            } else {
                self.answered_question(now, question, false, false, bodies, fx);
            }
        }
    }

    /// When [`Core::tick`] is due next, ms; none: nothing waits.
    pub fn wake_at(&self, now: u64) -> Option<u64> {
        let deadline = self.feeds.values().filter_map(|attached| attached.question.map(|q| q.deadline)).min();
        let places = self.place_due(now);
        let waiting = (!self.waiting.is_empty() || !self.ended.is_empty()).then_some(now + 20);
        let forks = (self.ledger.tree.live().nth(1).is_some()).then_some(now + 1_000);
        let grown = !self.reasons.is_empty() && self.retry.chained != self.counters.chained;
        let stuck = grown.then_some(now + 1_000).or(self.retry.goes_on().then_some(now + RETRY_MS));
        let again = self.again_at.map(|at| at.max(now + 1));
        [deadline, places, waiting, forks, stuck, again].into_iter().flatten().min()
    }
}
