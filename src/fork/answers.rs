//! Answers to `request_missing`: ops without hashes, placed by label and index, checked by what is held beside them.
//!
//! An answer carries the range asked for of every period that its client caches, one after the other; the index falls
//! between two of them. Such a stretch is one period's (or one run's), and the first ops of a period may still carry the
//! label of the one before. So a stretch goes where its label fits *and* what is held there is the same to the letter.
//!
//! *Always holds:* an answer fills holes and nothing else. A stretch that fits two places, or contradicts what is held,
//! is journalled without a place and is never evidence of a fork; one of a period that the lane no longer has was not
//! asked for: it is neither taken nor acknowledged.

use super::found::Closed;
use super::machine::{Attached, Bodies, Core, Effects};
use super::questions::ASK_MAX;
use super::record::{Close, Lsn, Named, Node, Record, UNPLACED};
use super::resume::WHERE;
use super::runs::{Kind, runs};
use crate::feed::message::FeedId;
use honeygraph_protocols::honeycomb::{Framing, HashText, Item, Ops, What};
use std::collections::VecDeque;
use std::ops::Range;

/// A run of items of one period.
struct Stretch {
    items: Range<usize>,
    label: Option<u64>,
    hash: Option<HashText>,
}

/// A place that a stretch may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) ordinal: u32,
    pub(super) run: u32,
    /// Place of the run's index 0.
    pub(super) base: u64,
    /// Its own label; else the stretch would be the first ops of the period after.
    pub(super) own: bool,
}

/// How a stretch compares with what is held at a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fit {
    equal: u32,
    differing: u32,
    missing: u32,
}

/// Where a stretch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    At(Site),
    /// Two places, or none where it does not contradict what is held.
    Unclear,
    /// A period that the lane does not have.
    Foreign,
}

/// A run of items that become one piece.
struct Run {
    ordinal: u32,
    closed: Closed,
}

/// Stretches of a frame that are looked at: a client caches 288 periods, of two runs at most. What lies beyond was not
/// asked for.
const STRETCHES_HELD: usize = 1_024;
/// Pieces whose texts are remembered, and their bytes: an answer compares with a few neighbours of a hole.
const BODIES_HELD: usize = 16;
const BODY_BYTES_HELD: usize = 8 << 20;
/// What may be read back, and compared, for one frame: beyond, what is held counts as unknown, and the rest of the frame
/// has no place.
const READ_PER_FRAME: usize = 32 << 20;
const READS_PER_FRAME: usize = 4_096;
const COMPARED_PER_FRAME: usize = 1_000_000;

/// Texts of the pieces that were looked into last.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Newest use last.
    bodies: VecDeque<Body>,
    bytes: usize,
    /// What the frame at hand has cost: bytes and pieces read back, items compared.
    spent: (usize, usize, usize),
}

/// Texts of a piece.
#[derive(Debug)]
struct Body {
    lsn: Lsn,
    body: Vec<u8>,
    ops: Vec<Range<usize>>,
}

impl Core {
    /// Whether a frame answers a question: it says so, or it stays in a range that was asked for and what it repeats is
    /// what we hold. A live frame goes on where the stream stands, or begins a run at its start.
    pub(super) fn is_answer(&mut self, feed: FeedId, ops: &Ops, bodies: &mut dyn Bodies) -> bool {
        let Framing::Batch { requested } = &ops.framing else { return false };
        if requested.is_some() {
            return true;
        }
        let attached = &self.feeds[&feed];
        if ops.items.is_empty() {
            // Nothing live is empty: the client has nothing of what it was asked for.
            return attached.question.is_some_and(|question| question.hole != WHERE);
        }
        if self.goes_back(feed, ops) {
            return true;
        }
        let inside = |(from, to): &(u64, u64)| {
            ops.items.iter().all(|item| item.index.is_some_and(|index| (*from..=*to).contains(&index)))
        };
        if !attached.asked.iter().any(inside) {
            return false;
        }
        let lowest = ops.items.iter().filter_map(|item| item.index).min().unwrap_or(0);
        let goes_on = self.goes_on(feed, ops);
        if !goes_on && (lowest > 1 || self.spans(feed, ops)) {
            return true;
        }
        let mut held = self.held.take();
        let fit = self.compare_all(feed, ops, &mut held, bodies);
        self.held = held.kept();
        let attached = &self.feeds[&feed];
        let at_start = ops.items[0].index == Some(0);
        fit.equal > 0 || (!goes_on && !at_start && fit.differing == 0 && attached.question.is_some())
    }

    /// Whether a frame is the same range of several periods: some of them may be ahead of the live stream, which waits in
    /// the client's queue, so that nothing can be compared.
    fn spans(&self, feed: FeedId, ops: &Ops) -> bool {
        let stretches = self.stretches(feed, ops);
        let ends = |stretch: &Stretch| {
            let index = |at: usize| ops.items.get(at).and_then(|item| item.index);
            index(stretch.items.start).zip(index(stretch.items.end - 1))
        };
        let whole = |(from, to): &(u64, u64)| {
            stretches.iter().all(|stretch| ends(stretch).is_some_and(|(first, last)| first == *from && last <= *to))
                && stretches.iter().any(|stretch| ends(stretch).is_some_and(|(_, last)| last == *to))
        };
        stretches.len() > 1 && self.feeds[&feed].asked.iter().any(whole)
    }

    /// Whether a frame may go on where the stream stands. Under the old label only behind an item of that label, and not
    /// where a question begins there: what is taken for an answer by mistake is asked for again, an answer that is taken
    /// for the stream stands in the wrong period for good.
    fn goes_on(&self, feed: FeedId, ops: &Ops) -> bool {
        let Attached { lane, question, .. } = &self.feeds[&feed];
        let (Some(here), Some(first)) = (lane.here(), ops.items.first()) else { return false };
        let Some(index) = first.index.filter(|index| here.base + index == here.next) else { return false };
        let label = lane.label(first.block);
        let old = || label == lane.said_label() && question.is_none_or(|question| question.from != index);
        label.is_none() || here.label.is_none() || label == here.label || old()
    }

    /// Blocks never go back on a live socket: such a frame is an answer that nobody waits for any more.
    fn goes_back(&self, feed: FeedId, ops: &Ops) -> bool {
        let lane = &self.feeds[&feed].lane;
        let (Some(here), Some(first)) = (lane.here(), ops.items.first()) else { return false };
        let lowest = lane.lowest_label().filter(|_| !lane.is_seed() && here.opened);
        first.index.is_some() && lane.label(first.block).zip(lowest).is_some_and(|(label, lowest)| label < lowest)
    }

    /// The best that any stretch of a frame finds.
    fn compare_all(&self, feed: FeedId, ops: &Ops, held: &mut Held, bodies: &mut dyn Bodies) -> Fit {
        let lane = self.feeds[&feed].no;
        let mut all = Fit::default();
        for stretch in self.stretches(feed, ops) {
            for site in self.sites(feed, lane, &stretch) {
                let fit = self.fit(feed, lane, site, &ops.items[stretch.items.clone()], &ops.texts, held, bodies);
                if fit.differing == 0 {
                    all.equal += fit.equal;
                }
                all.differing += fit.differing;
            }
        }
        all
    }

    /// Takes an answer.
    pub(super) fn answered(&mut self, now: u64, feed: FeedId, ops: &Ops, bodies: &mut dyn Bodies, fx: &mut Effects) {
        self.settle_down(feed, fx);
        let Some(attached) = self.feeds.get_mut(&feed) else { return };
        let (lane, question) = (attached.no, attached.question.take_if(|question| question.is_answered_by(ops)));
        let asks_second = |hole| self.holes.get(&hole).is_some_and(|hole| self.asks_second(hole));
        if let Some(question) = question.filter(|asked| asks_second(asked.hole)) {
            self.second_run_shown(now, feed, question, ops, bodies, fx);
            return self.ask(now, fx);
        }
        let mut touched: Vec<u32> = Vec::new();
        let mut progress = false;
        let mut held = self.held.take();
        for stretch in self.stretches(feed, ops) {
            let items = &ops.items[stretch.items.clone()];
            let home = self.home(feed, lane, &stretch, items, &ops.texts, &mut held, bodies);
            if let Home::At(site) = home {
                touched.push(site.ordinal);
            }
            progress |= self.put_down(now, feed, lane, home, items, &ops.texts, fx);
            self.name_by_answer(feed, lane, home, items, fx);
        }
        self.held = held.kept();
        touched.sort_unstable();
        touched.dedup();
        for ordinal in &touched {
            self.settle(now, lane, *ordinal, bodies, fx);
            self.forget_holes(now, lane, *ordinal, fx);
        }
        if let Some(question) = question {
            let hole = self.holes.get(&question.hole);
            let seen = hole.is_some_and(|hole| touched.contains(&hole.ordinal));
            self.answered_question(now, question, progress, seen, bodies, fx);
        }
        self.ask(now, fx);
    }

    /// Cuts a frame where the index does not grow.
    fn stretches(&self, feed: FeedId, ops: &Ops) -> Vec<Stretch> {
        let lane = &self.feeds[&feed].lane;
        let mut found: Vec<Stretch> = Vec::new();
        let mut last: Option<u64> = None;
        for (at, item) in ops.items.iter().enumerate() {
            let grows = last.zip(item.index).is_some_and(|(last, index)| index > last);
            last = item.index;
            let label = lane.label(item.block);
            let full = found.len() == STRETCHES_HELD;
            match found.last_mut().filter(|_| grows) {
                Some(stretch) => {
                    stretch.items.end = at + 1;
                    stretch.label = label.or(stretch.label);
                    stretch.hash = item.fork.clone().or(stretch.hash.take());
                }
                None if full => break,
                None => found.push(Stretch { items: at..at + 1, label, hash: item.fork.clone() }),
            }
        }
        found
    }

    /// Places that a stretch may have by its label or hash.
    fn sites(&self, feed: FeedId, lane: u64, stretch: &Stretch) -> Vec<Site> {
        let Some(book) = self.ledger.books.get(&lane) else { return Vec::new() };
        let seed = self.feeds[&feed].lane.is_seed();
        let mut sites = Vec::new();
        // Some versions send block 0 once a save has returned: then only what is held tells where they belong.
        let nameless = stretch.label.is_none() && stretch.hash.is_none();
        // The first ops of a period may carry the label before, also where the lane has no period of that label.
        let after = stretch.label.map(|label| label + self.rules.checkpoint_every);
        let follows = |label: Option<u64>| label.is_some() && label == after;
        let mut before = false;
        for (ordinal, period) in book.periods.iter().filter(|(_, period)| period.opened) {
            let next = book.periods.get(&(ordinal + 1)).and_then(|next| next.label);
            let own = match (&stretch.hash, &period.hash, stretch.label, period.label) {
                (Some(hash), Some(held), _, _) => hash == held,
                (_, _, Some(label), Some(held)) if seed => held <= label && next.is_none_or(|next| label < next),
                (_, _, Some(label), Some(held)) => held == label,
                _ => false,
            };
            if own {
                let runs = (0..).zip(&period.runs);
                sites.extend(runs.map(|(run, base)| Site { ordinal: *ordinal, run, base: *base, own }));
            } else if before || nameless || (!seed && follows(period.label)) {
                let runs = (0..).zip(&period.runs).take(if nameless { period.runs.len() } else { 1 });
                sites.extend(runs.map(|(run, base)| Site { ordinal: *ordinal, run, base: *base, own }));
            }
            before = own;
        }
        sites
    }

    #[allow(clippy::too_many_arguments)]
    fn home(
        &self,
        feed: FeedId,
        lane: u64,
        stretch: &Stretch,
        items: &[Item],
        texts: &[u8],
        held: &mut Held,
        bodies: &mut dyn Bodies,
    ) -> Home {
        let sites = self.sites(feed, lane, stretch);
        if sites.is_empty() {
            return Home::Foreign;
        }
        let fits: Vec<(Site, Fit)> = sites
            .iter()
            .map(|site| (*site, self.fit(feed, lane, *site, items, texts, held, bodies)))
            .filter(|(_, fit)| fit.differing == 0)
            .collect();
        let mut proven = fits.iter().filter(|(_, fit)| fit.equal > 0);
        match (proven.next(), proven.next()) {
            (Some((site, _)), None) => return Home::At(*site),
            (Some(_), Some(_)) => return Home::Unclear,
            _ => {}
        }
        if stretch.label.is_none() && stretch.hash.is_none() {
            return Home::Foreign;
        }
        let own = sites.iter().filter(|site| site.own).count();
        let two_runs = stretch.label.is_some_and(|label| self.rules.has_second_run(label));
        // Nothing held there to compare with: it begins the period by its own words, or lies so far into the only run with
        // its label that the label is its own.
        let first_run = self.begins(lane, &sites, items);
        let only_run = own == 1 && !two_runs && items[0].index.is_some_and(|index| index >= ASK_MAX);
        let only = fits.iter().find(|(site, fit)| site.own && fit.missing > 0 && (only_run || site.run == 0));
        match only.filter(|_| first_run || only_run) {
            Some((site, _)) => Home::At(*site),
            // Perhaps a second run, which has no place as yet: it will be asked for.
            None if two_runs && own == 1 => Home::Foreign,
            None => Home::Unclear,
        }
    }

    /// Whether these items begin the one period of these sites by its own words.
    fn begins(&self, lane: u64, sites: &[Site], items: &[Item]) -> bool {
        let own = sites.iter().find(|site| site.own);
        let book = self.ledger.books.get(&lane);
        let period = own.zip(book).and_then(|(site, book)| book.periods.get(&site.ordinal));
        let begun = runs(items, u64::MAX, &self.rules).into_iter().next();
        match (period, begun.map(|run| run.kind)) {
            (Some(period), Some(Kind::Period { hash, .. })) => period.hash.as_ref().is_none_or(|held| *held == hash),
            _ => false,
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn fit(
        &self,
        feed: FeedId,
        lane: u64,
        site: Site,
        items: &[Item],
        texts: &[u8],
        held: &mut Held,
        bodies: &mut dyn Bodies,
    ) -> Fit {
        let mut fit = Fit::default();
        let end = self.live_end(feed, site.ordinal);
        for item in items {
            let Some(place) = item.index.map(|index| site.base + index).filter(|place| *place < end) else { continue };
            let text = match &item.what {
                What::Op { text, .. } => Some(&texts[text.clone()]),
                What::Marker => None,
                What::Refused(_) => continue,
            };
            if fit.differing > 0 || !held.may_compare() {
                break;
            }
            match self.holds(lane, site.ordinal, place, text, held, bodies) {
                Holds::Nothing => fit.missing += 1,
                Holds::Same if text.is_some() => fit.equal += 1,
                Holds::Other => fit.differing += 1,
                Holds::Same | Holds::Unknown => {}
            }
        }
        fit
    }

    /// Beyond what the live stream has handed out there is nothing to fill: it comes by itself. That holds for the open
    /// batch too: a part of it taken from an answer would stand in the way of the whole.
    fn live_end(&self, feed: FeedId, ordinal: u32) -> u64 {
        let lane = &self.feeds[&feed].lane;
        let here = lane.here().filter(|here| here.ordinal == ordinal);
        here.map_or(u64::MAX, |here| lane.open_from().unwrap_or(here.next))
    }

    /// What is held at a place of a lane's period: in its pieces or, before those, in the chain.
    pub(super) fn holds(
        &self,
        lane: u64,
        ordinal: u32,
        place: u64,
        text: Option<&[u8]>,
        held: &mut Held,
        bodies: &mut dyn Bodies,
    ) -> Holds {
        let Some(book) = self.ledger.books.get(&lane).and_then(|book| book.periods.get(&ordinal)) else {
            return Holds::Unknown;
        };
        if place < book.next {
            return book.at.map_or(Holds::Unknown, |at| self.chain_holds(at, place, text, held, bodies));
        }
        match book.pieces.range(..=place).next_back() {
            Some((seq, piece)) if piece.end(*seq) > place => {
                held.compare(&[piece.lsn], place - seq, u64::from(piece.count), text, bodies)
            }
            _ => Holds::Nothing,
        }
    }

    /// What the history of `at` holds at a place of the period in which `at` lies.
    pub(super) fn chain_holds(
        &self,
        at: Node,
        place: u64,
        text: Option<&[u8]>,
        held: &mut Held,
        bodies: &mut dyn Bodies,
    ) -> Holds {
        let Some((_, entry)) = self.ledger.tree.covering(at, place) else { return Holds::Unknown };
        held.compare(entry.pieces.as_slice(), place - entry.seq, u64::from(entry.count), text, bodies)
    }

    /// The put of the pending hash may be among what was missing.
    fn name_by_answer(&mut self, feed: FeedId, lane: u64, home: Home, items: &[Item], fx: &mut Effects) {
        let Home::At(Site { ordinal, run: 0, .. }) = home else { return };
        let Some(book) = self.ledger.books.get(&lane).and_then(|book| book.periods.get(&ordinal)) else { return };
        let own = items.iter().find_map(|item| match &item.what {
            What::Op { pending_hash, .. } => pending_hash.clone(),
            _ => None,
        });
        let (Some(hash), None) = (own, &book.hash) else { return };
        let record = Named { lane, ordinal, hash: Some(hash.clone()), label: book.label, before: book.before };
        self.append(Record::Named(record), None, fx);
        if let Some(attached) = self.feeds.get_mut(&feed) {
            attached.lane.named_by_answer(ordinal, &hash);
        }
    }

    /// Journals what was missing of a stretch and acknowledges the rest; whether anything was missing.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn put_down(
        &mut self,
        now: u64,
        feed: FeedId,
        lane: u64,
        home: Home,
        items: &[Item],
        texts: &[u8],
        fx: &mut Effects,
    ) -> bool {
        let site = match home {
            Home::Foreign => return false,
            Home::Unclear => Site { ordinal: UNPLACED, run: 0, base: 0, own: true },
            Home::At(site) => site,
        };
        let end = self.live_end(feed, site.ordinal);
        let (mut run, mut held, mut progress) = (None, Vec::new(), false);
        for item in items {
            let Some(place) = item.index.map(|index| site.base + index).filter(|place| *place < end) else { continue };
            let book = self.ledger.books.get(&lane).and_then(|book| book.periods.get(&site.ordinal));
            if book.is_some_and(|book| book.covers(place)) {
                held.extend(matches!(item.what, What::Op { .. }).then_some(item.index));
                continue;
            }
            progress |= site.ordinal != UNPLACED && !matches!(item.what, What::Refused(_));
            self.extend_run(now, feed, lane, &mut run, (site, place), item, texts, fx);
        }
        self.flush_run(now, feed, lane, &mut run, fx);
        self.counters.repeated += held.len() as u64;
        self.ack(feed, held, fx);
        progress
    }

    #[allow(clippy::too_many_arguments)]
    fn extend_run(
        &mut self,
        now: u64,
        feed: FeedId,
        lane: u64,
        run: &mut Option<Run>,
        (site, seq): (Site, u64),
        item: &Item,
        texts: &[u8],
        fx: &mut Effects,
    ) {
        let ordinal = site.ordinal;
        let goes_on = run
            .as_ref()
            .is_some_and(|run| run.ordinal == ordinal && run.closed.seq + run.closed.acks.len() as u64 == seq);
        if !goes_on {
            self.flush_run(now, feed, lane, run, fx);
        }
        let label = self.feeds[&feed].lane.label(item.block);
        let blank = || Run { ordinal, closed: blank(site, seq, item.index, label) };
        match &item.what {
            What::Op { text, .. } => {
                let run = run.get_or_insert_with(blank);
                run.closed.texts.extend_from_slice(&texts[text.clone()]);
                run.closed.acks.push(item.index);
                run.closed.last_index = item.index;
            }
            What::Marker => {
                if ordinal != UNPLACED {
                    run.get_or_insert_with(blank).closed.close = Close::Marker;
                }
                self.flush_run(now, feed, lane, run, fx);
            }
            What::Refused(_) => self.flush_run(now, feed, lane, run, fx),
        }
    }

    fn flush_run(&mut self, now: u64, feed: FeedId, lane: u64, run: &mut Option<Run>, fx: &mut Effects) {
        let Some(mut run) = run.take() else { return };
        run.closed.count = run.closed.acks.len() as u32;
        let acks = self.journal(now, lane, run.closed, fx);
        self.ack(feed, acks, fx);
    }
}

/// What is held at a place, compared with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Nothing,
    Same,
    Other,
    /// Held, but not readable now.
    Unknown,
}

impl Holds {
    /// Whether something else is held there.
    pub(super) fn differs(self) -> bool {
        self == Self::Other
    }
}

/// A piece of an answer: whether it begins a batch only its neighbours can tell.
fn blank(site: Site, seq: u64, index: Option<u64>, label: Option<u64>) -> Closed {
    Closed {
        ordinal: site.ordinal,
        label,
        run: site.run,
        seq,
        index,
        last_index: index,
        count: 0,
        close: Close::Hole,
        begins: false,
        texts: Vec::new(),
        batch_hash: None,
        acks: Vec::new(),
        block: None,
        prev: None,
    }
}

impl Held {
    /// For a new frame: what is held, and nothing spent.
    pub(super) fn take(&mut self) -> Self {
        Self { spent: (0, 0, 0), ..std::mem::take(self) }
    }

    /// What stays for the frames to come.
    pub(super) fn kept(self) -> Self {
        if self.bytes > BODY_BYTES_HELD { Self::default() } else { self }
    }

    /// Whether one more item may be compared.
    pub(super) fn may_compare(&mut self) -> bool {
        self.spent.2 += 1;
        self.spent.2 <= COMPARED_PER_FRAME
    }

    /// Compares with op `nth` of these pieces, which hold `count` ops and perhaps a marker (`text` none).
    fn compare(&mut self, pieces: &[Lsn], nth: u64, count: u64, text: Option<&[u8]>, bodies: &mut dyn Bodies) -> Holds {
        let says = |same: bool| if same { Holds::Same } else { Holds::Other };
        if nth == count || text.is_none() {
            return says(nth == count && text.is_none());
        }
        let mut nth = nth as usize;
        for lsn in pieces {
            let Some(body) = self.load(*lsn, bodies) else { return Holds::Unknown };
            match body.ops.get(nth) {
                Some(range) => return says(text == Some(&body.body[range.clone()])),
                None => nth -= body.ops.len(),
            }
        }
        Holds::Unknown
    }

    /// The texts of a piece; none when they cannot be read, or enough was read for this frame.
    fn load(&mut self, lsn: Lsn, bodies: &mut dyn Bodies) -> Option<&Body> {
        if let Some(at) = self.bodies.iter().rposition(|body| body.lsn == lsn) {
            let body = self.bodies.remove(at)?;
            self.bodies.push_back(body);
            return self.bodies.back();
        }
        if self.spent.0 >= READ_PER_FRAME || self.spent.1 >= READS_PER_FRAME {
            return None;
        }
        let read = bodies.body(lsn);
        (self.spent.0, self.spent.1) = (self.spent.0 + read.as_ref().map_or(0, Vec::len), self.spent.1 + 1);
        let body = Body::new(lsn, read?)?;
        self.bytes += body.body.len();
        self.bodies.push_back(body);
        while self.bodies.len() > BODIES_HELD || (self.bytes > BODY_BYTES_HELD && self.bodies.len() > 1) {
            self.bytes -= self.bodies.pop_front().map_or(0, |oldest| oldest.body.len());
        }
        self.bodies.back()
    }
}

impl Body {
    fn new(lsn: Lsn, body: Vec<u8>) -> Option<Self> {
        let mut ops = Vec::new();
        let mut at = 0;
        while let Some(prefix) = body.get(at..at + 4) {
            let length = u32::from_le_bytes(prefix.try_into().expect("four bytes")) as usize;
            let end = at + 4 + length;
            if end > body.len() {
                return None;
            }
            ops.push(at..end);
            at = end;
        }
        Some(Self { lsn, body, ops })
    }
}
