//! The second run of the daily period, where nobody saw the first one end. Once everything of the first is here, the client
//! is asked for the beginnings of its runs, which show whether a second one follows.
//!
//! *Always holds:* a second run gets its place only behind a first one of which nothing is missing.

use super::answers::{Home, Site};
use super::machine::{Bodies, Core, Effects};
use super::questions::Question;
use super::runs::{Kind, runs};
use crate::feed::message::FeedId;
use honeygraph_protocols::honeycomb::Ops;
use std::ops::Range;

/// What a client's cache says of a second run.
enum Shown {
    /// These items begin it.
    Second(Range<usize>),
    /// The client has written the next period after the first run.
    None,
    Unclear,
}

impl Core {
    /// The client showed the beginnings of its runs: the second one of the period that the question is about is opened, and
    /// its tail asked for; or there is none, and the period has ended.
    pub(super) fn second_run_shown(
        &mut self,
        now: u64,
        feed: FeedId,
        question: Question,
        ops: &Ops,
        bodies: &mut dyn Bodies,
        fx: &mut Effects,
    ) {
        match self.shown_second(&question, ops) {
            Shown::Second(items) => {
                let Some(hole) = self.holes.get(&question.hole).cloned() else { return };
                let book = self.ledger.books.get(&hole.lane).and_then(|book| book.periods.get(&hole.ordinal));
                let Some(base) = book.map(|book| book.reach()) else { return };
                let home = Home::At(Site { ordinal: hole.ordinal, run: 1, base, own: true });
                let progress = self.put_down(now, feed, hole.lane, home, &ops.items[items], &ops.texts, fx);
                if hole.tail {
                    self.end_tail(now, question.hole, fx);
                    self.page_tail(hole.lane, hole.ordinal);
                } else {
                    // All of it was known to be missing, to its end: what is left is asked for like any other hole.
                    self.tried(now, question.hole, progress, fx);
                    self.forget_holes(now, hole.lane, hole.ordinal, fx);
                }
                self.settle(now, hole.lane, hole.ordinal, bodies, fx);
            }
            Shown::None if self.holes.get(&question.hole).is_some_and(|hole| hole.tail) => {
                self.presume(now, question.hole, bodies, fx);
            }
            Shown::None | Shown::Unclear => self.tried(now, question.hole, false, fx),
        }
    }

    fn shown_second(&self, question: &Question, ops: &Ops) -> Shown {
        let hole = self.holes.get(&question.hole);
        let book = hole.and_then(|hole| self.ledger.books.get(&hole.lane)?.periods.get(&hole.ordinal));
        let Some(hash) = book.and_then(|book| book.hash.as_ref()) else { return Shown::Unclear };
        let runs = runs(&ops.items, question.to, &self.rules);
        let is_own = |at: &usize| matches!(&runs[*at].kind, Kind::Period { hash: own, .. } if own == hash);
        let mut own = (0..runs.len()).filter(is_own);
        let (Some(at), None) = (own.next(), own.next()) else { return Shown::Unclear };
        match runs.get(at + 1) {
            Some(next) if next.kind == Kind::Second => Shown::Second(next.items.clone()),
            Some(next) if matches!(next.kind, Kind::Period { .. }) => Shown::None,
            _ => Shown::Unclear,
        }
    }
}
