//! The core of a network: what feeds say goes in, durable decisions and answers come out.
//!
//! Owns the ledger (all that is durable) and the attached lanes (all that is not). Pure: time comes in, records and
//! messages go out; it reads only the bodies of its own records, through [`Bodies`].
//!
//! *Always holds:* a record is applied to the ledger in the order of its LSN and in no other way; an ack names an LSN
//! at or above the record that makes its op durable.

use super::answers::Held;
use super::found::{Closed, Found};
use super::heads::Heads;
use super::holes::Holes;
use super::lane::{Lane, OPEN_BYTES};
use super::ledger::{LANES_HELD, Ledger};
use super::meet::Ended;
use super::record::{
    Before, Boundary, Chain, Checkpoint, Lsn, Named, Node, OpenCause, Opened, Piece, Record, Stands, UNPLACED,
};
use super::resume::Waiting;
use super::rules::Rules;
use super::settle::{Retry, Weighed};
use super::status::{BegunBy, Counters, Event, Status, Walked};
use super::tree::Place;
use crate::feed::message::{FeedId, FeedInfo, FromCore, Said, ToCore};
use honeygraph_protocols::honeycomb::{CheckpointForm, HashText, Ops};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What the core reads back of its own journal. A body that is not durable yet, or damaged, is none.
pub trait Bodies {
    /// Length-prefixed op texts of the piece at this LSN.
    fn body(&mut self, lsn: Lsn) -> Option<Vec<u8>>;
}

/// The ops of a piece on their way into the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Length-prefixed op texts.
    Texts(Vec<u8>),
    /// A frame of such texts that came packed and was looked at; empty: no ops.
    Frame(Vec<u8>),
}

/// What the core wants done, in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// Records for the journal; their LSNs are consecutive.
    pub records: Vec<(Lsn, Record, Option<Body>)>,
    /// Messages to feeds.
    pub messages: Vec<(FeedId, FromCore)>,
}

/// Bounds of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `MAX_FORKS_PER_BLOCK`: histories that begin at one label and get a view.
    pub forks_per_label: usize,
    /// `FORK_RETENTION_TIME`: how long a history that is not the head's keeps its view after it last grew, ms.
    pub fork_retention_ms: u64,
    /// How long a question to a feed waits for its answer, ms.
    pub answer_ms: u64,
}

/// An attached socket.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) lane: Lane,
    /// Number of its lane.
    pub(super) no: u64,
    pub(super) info: FeedInfo,
    /// The question it has not answered yet.
    pub(super) question: Option<super::questions::Question>,
    /// Ranges it was asked for lately: an answer may come after its time.
    pub(super) asked: VecDeque<(u64, u64)>,
    /// What it said since it resumed, while nobody knows where.
    pub(super) waiting: Option<Waiting>,
    /// It was asked where it stands, and got its place before it answered.
    pub(super) late: Option<Waiting>,
    /// How far it has repeated what the tree holds, beyond what its book says.
    follows: Option<Follows>,
    /// It has written the hash of a held period without our knowing where it stands: see `recognise`.
    pub(super) hoping: Option<HashText>,
    /// When its client was last asked what its period stands on, ms.
    pub(super) looked_at: u64,
    /// Whether its first op was seen.
    pub(super) started: bool,
    /// Refused for good: nothing more is taken from it.
    pub(super) closed: bool,
    /// Bytes of its open batch, when last looked at.
    open_bytes: usize,
}

/// A lane that repeats what the tree holds: it has no pieces of its own there, and nothing durable until it needs it.
#[derive(Clone, Debug, PartialEq)]
struct Follows {
    ordinal: u32,
    at: Node,
    next: u64,
    runs: Vec<u64>,
}

impl Attached {
    /// Remembers a range that was asked for.
    pub(super) fn asked(&mut self, from: u64, to: u64) {
        self.asked.push_back((from, to));
        if self.asked.len() > ASKED_HELD {
            self.asked.pop_front();
        }
    }
}

/// Periods of one lane that wait for their place: four weeks of checkpoints. A lane that opens more talks nonsense, and is
/// closed; what it sent stays.
const PERIODS_PER_LANE: usize = 8_192;

/// The core.
#[derive(Debug)]
pub struct Core {
    pub(super) network: String,
    pub(super) rules: Rules,
    pub(super) limits: Limits,
    pub(super) ledger: Ledger,
    pub(super) feeds: BTreeMap<FeedId, Attached>,
    pub(super) holes: Holes,
    pub(super) counters: Counters,
    pub(super) events: VecDeque<Event>,
    pub(super) next_event: u64,
    /// When the next of the recorded holes is to be asked for again, ms.
    pub(super) again_at: Option<u64>,
    /// Periods that could not be settled because a body was not readable yet.
    pub(super) waiting: BTreeSet<(u64, u32)>,
    /// Why the newest batches of a lane have no place.
    pub(super) reasons: BTreeMap<u64, &'static str>,
    found: Vec<Found>,
    /// What a lane found in a frame is being dealt with.
    pub(super) is_taking: bool,
    /// Hashes of whole batches that were spilled, by their last piece.
    pub(super) whole: BTreeMap<Lsn, [u8; 32]>,
    /// Who brought the first batch of an empty network.
    pub(super) begun_by: Option<BegunBy>,
    /// Who brought the supply that is being taken.
    pub(super) supplier: Option<Arc<str>>,
    /// Ends of periods that lanes may yet be put behind.
    pub(super) ended: VecDeque<Ended>,
    /// Evidence that was weighed last.
    pub(super) weighed: Option<Weighed>,
    /// Accounts of the electorate that vouch for checkpoints.
    pub(super) vouched: BTreeMap<HashText, usize>,
    /// Where the heads of trusted peers stand.
    pub(super) peer_heads: Heads,
    /// How far held-up lanes were tried again.
    pub(super) retry: Retry,
    /// Bodies that answers were compared with.
    pub(super) held: Held,
    /// Last index that was received on lanes whose socket has gone since the node started.
    pub(super) left_at: BTreeMap<u64, u64>,
    /// How far the way back led, the last time it was gone.
    pub(super) walked: Option<Walked>,
    /// Bytes of all open batches.
    open_bytes: usize,
    last_lane: u64,
    last_gap: u64,
}

/// Ranges remembered of what a socket was asked for: more than it can be asked for while an answer is on its way.
const ASKED_HELD: usize = 16;
/// Hashes of spilled batches remembered; of others the pieces are read back.
const WHOLE_HELD: usize = 64;

impl Core {
    /// A core with the ledger that its journal gave.
    pub fn new(network: String, rules: Rules, limits: Limits, ledger: Ledger) -> Self {
        Self {
            network,
            rules,
            limits,
            ledger,
            feeds: BTreeMap::new(),
            holes: Holes::default(),
            counters: Counters::default(),
            events: VecDeque::new(),
            next_event: 0,
            again_at: None,
            waiting: BTreeSet::new(),
            reasons: BTreeMap::new(),
            found: Vec::new(),
            is_taking: false,
            whole: BTreeMap::new(),
            begun_by: None,
            supplier: None,
            ended: VecDeque::new(),
            weighed: None,
            vouched: BTreeMap::new(),
            peer_heads: Heads::new(),
            retry: Retry::default(),
            held: Held::default(),
            left_at: BTreeMap::new(),
            walked: None,
            open_bytes: 0,
            last_lane: 0,
            last_gap: 0,
        }
    }

    /// What is durable (or about to be).
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The ledger alone, at the end.
    pub fn into_ledger(self) -> Ledger {
        self.ledger
    }

    /// Takes up what a restart left: places what can be placed, finds the holes again.
    pub fn start(&mut self, now: u64, bodies: &mut dyn Bodies, fx: &mut Effects) {
        let lanes: Vec<u64> = self.ledger.books.keys().copied().collect();
        for lane in &lanes {
            self.settle_lane(now, *lane, bodies, fx);
        }
        for lane in lanes {
            self.find_holes(lane);
        }
        self.weigh(now, fx);
    }

    /// A feed said something.
    pub fn on(&mut self, now: u64, input: ToCore, bodies: &mut dyn Bodies, fx: &mut Effects) {
        match input {
            ToCore::Open { feed, info, outbox: _ } => self.attach(feed, info),
            ToCore::Said(feed, said, _load) => {
                if self.feeds.get(&feed).is_some_and(|attached| !attached.closed) {
                    self.said(now, feed, said, bodies, fx);
                }
            }
            ToCore::Gone(feed) => self.detach(feed, fx),
        }
    }

    /// Time has passed: questions time out, what waited is tried again, forks lose their view.
    pub fn tick(&mut self, now: u64, bodies: &mut dyn Bodies, fx: &mut Effects) {
        for (lane, ordinal) in std::mem::take(&mut self.waiting) {
            self.settle(now, lane, ordinal, bodies, fx);
        }
        self.meet_again(now, bodies, fx);
        self.retry(now, bodies, fx);
        self.time_out(now, bodies, fx);
        self.look_for_places(now, bodies, fx);
        self.retire(now, fx);
        self.ask(now, fx);
    }

    fn attach(&mut self, feed: FeedId, info: FeedInfo) {
        if self.reasons.len() > 2 * LANES_HELD {
            let books = &self.ledger.books;
            self.reasons.retain(|lane, _| books.contains_key(lane));
        }
        let attached = Attached {
            lane: Lane::new(self.rules),
            no: self.take_lane(),
            info,
            question: None,
            asked: VecDeque::new(),
            waiting: None,
            late: None,
            follows: None,
            hoping: None,
            looked_at: 0,
            started: false,
            closed: false,
            open_bytes: 0,
        };
        self.feeds.insert(feed, attached);
    }

    fn detach(&mut self, feed: FeedId, fx: &mut Effects) {
        self.settle_down(feed, fx);
        if let Some(attached) = self.feeds.remove(&feed) {
            self.open_bytes -= attached.open_bytes;
            if let Some(last) = attached.lane.last_index() {
                self.left_at.insert(attached.no, last);
            }
            while self.left_at.len() > LANES_HELD {
                self.left_at.pop_first();
            }
        }
    }

    /// A number no lane had.
    pub(super) fn take_lane(&mut self) -> u64 {
        self.last_lane = self.last_lane.max(self.ledger.last_lane) + 1;
        self.last_lane
    }

    /// A number no hole had.
    pub(super) fn take_gap(&mut self) -> u64 {
        self.last_gap = self.last_gap.max(self.ledger.last_gap) + 1;
        self.last_gap
    }

    fn said(&mut self, now: u64, feed: FeedId, said: Said, bodies: &mut dyn Bodies, fx: &mut Effects) {
        if let Some(said) = self.takes_waiting(now, feed, said, bodies, fx) {
            self.heard(now, feed, said, bodies, fx);
        }
    }

    /// Takes what a socket said.
    pub(super) fn heard(&mut self, now: u64, feed: FeedId, said: Said, bodies: &mut dyn Bodies, fx: &mut Effects) {
        match said {
            Said::SyncStatus { last_index } => {
                self.synced(feed, last_index);
                let last_index = self.durable_index(feed);
                fx.messages.push((feed, FromCore::SyncStatus { lsn: self.ledger.lsn, last_index }));
            }
            Said::Subscribe { last_index } => self.synced(feed, last_index.unwrap_or(0)),
            Said::Ops(ops) => self.ops(now, feed, ops, bodies, fx),
            Said::Checkpoint(message) => {
                self.counters.checkpoints += 1;
                self.with_lane(now, feed, bodies, fx, |lane, found| lane.checkpoint(&message, found));
                if message.form == CheckpointForm::Old {
                    self.ack(feed, vec![None], fx);
                }
            }
            Said::ForkStart { hash, block } => {
                self.with_lane(now, feed, bodies, fx, |lane, _| lane.fork_start(hash, block));
            }
            Said::ForkDetected { old, new, .. } => {
                let about = format!("{} -> {}", word(old.as_ref()), word(new.as_ref()));
                self.event(now, "fork:switch", about);
            }
        }
    }

    /// Before its first op `sync_status` says where a socket resumes; later it is only a question.
    fn synced(&mut self, feed: FeedId, last_index: u64) {
        if let Some(attached) = self.feeds.get_mut(&feed).filter(|attached| !attached.started) {
            attached.lane.sync = Some(last_index);
        }
    }

    /// The last index of this feed that is journalled; before it sent any, that of the lane it would resume.
    fn durable_index(&self, feed: FeedId) -> u64 {
        let Some(attached) = self.feeds.get(&feed) else { return 0 };
        if attached.started || attached.lane.sync == Some(0) {
            return attached.lane.closed_index.unwrap_or(0);
        }
        self.newest_reach()
    }

    fn ops(&mut self, now: u64, feed: FeedId, ops: Ops, bodies: &mut dyn Bodies, fx: &mut Effects) {
        self.counters.ops += ops.items.len() as u64;
        if self.is_answer(feed, &ops, bodies) {
            return self.answered(now, feed, &ops, bodies, fx);
        }
        let Some(first) = ops.items.first() else { return };
        let attached = self.feeds.get_mut(&feed).expect("said() saw it");
        let begins = !std::mem::replace(&mut attached.started, true);
        // A client that has sent nothing begins at index 0; with 0 as its last index it may have sent that one. One that
        // does not say what it has sent (the published client of c64549a) has sent what lies before its first op: where it
        // stands can be found once something is held.
        let resumes = |last: &u64| *last > 0 || first.index.is_some_and(|index| index > 0);
        let somewhere = !self.ledger.tree.is_empty();
        let unsaid = || first.index.filter(|_| somewhere).and_then(|index| index.checked_sub(1));
        if let Some(last) = attached.lane.sync.or_else(unsaid).filter(|last| begins && resumes(last)) {
            return self.wait_for_place(now, feed, last, ops, bodies, fx);
        }
        self.live(now, feed, &ops, bodies, fx);
    }

    /// Ops of the live stream.
    pub(super) fn live(&mut self, now: u64, feed: FeedId, ops: &Ops, bodies: &mut dyn Bodies, fx: &mut Effects) {
        if self.is_forgotten(feed) {
            self.feeds.get_mut(&feed).expect("said() saw it").closed = true;
            return fx.messages.push((feed, FromCore::Close { code: 1013, reason: "lane_forgotten" }));
        }
        self.look_for_replay(feed, ops);
        let mut items = &ops.items[..];
        while let Some(cut) = self.cut_to_recognise(feed, items) {
            let (known, rest) = items.split_at(cut);
            self.with_lane(now, feed, bodies, fx, |lane, found| lane.take(known, &ops.texts, found));
            self.recognise(feed, fx);
            items = rest;
        }
        self.with_lane(now, feed, bodies, fx, |lane, found| lane.take(items, &ops.texts, found));
        self.leave_first_run(feed);
        self.spill_open(now, bodies, fx);
    }

    /// Hands out what the largest open batches hold while all of them together hold too much. The largest first: a feed
    /// that closes its batches is not touched by those that never do.
    fn spill_open(&mut self, now: u64, bodies: &mut dyn Bodies, fx: &mut Effects) {
        while self.open_bytes > OPEN_BYTES {
            let largest = self.feeds.iter().max_by_key(|(feed, attached)| (attached.open_bytes, **feed));
            let Some((feed, before)) = largest.map(|(feed, _)| (*feed, self.open_bytes)) else { return };
            self.with_lane(now, feed, bodies, fx, |lane, found| lane.spill_early(found));
            if self.open_bytes >= before {
                return;
            }
        }
    }

    /// Whether the ledger has given up the lane of a socket that was silent while many others came and went.
    fn is_forgotten(&self, feed: FeedId) -> bool {
        let attached = &self.feeds[&feed];
        attached.lane.here().is_some() && !self.ledger.books.contains_key(&attached.no)
    }

    /// Runs something on a feed's lane and deals with what it found.
    pub(super) fn with_lane(
        &mut self,
        now: u64,
        feed: FeedId,
        bodies: &mut dyn Bodies,
        fx: &mut Effects,
        run: impl FnOnce(&mut Lane, &mut Vec<Found>),
    ) {
        let mut found = std::mem::take(&mut self.found);
        let Some(attached) = self.feeds.get_mut(&feed) else { return };
        run(&mut attached.lane, &mut found);
        let open_bytes = attached.lane.open_bytes();
        self.open_bytes = self.open_bytes - std::mem::replace(&mut attached.open_bytes, open_bytes) + open_bytes;
        let holes = found.iter().any(|found| matches!(found, Found::Hole { .. }));
        self.is_taking = true;
        for found in found.drain(..) {
            if self.feeds.get(&feed).is_none_or(|attached| attached.closed) {
                break;
            }
            self.found(now, feed, found, bodies, fx);
        }
        (self.found, self.is_taking) = (found, false);
        if holes {
            self.ask(now, fx);
        }
    }

    fn found(&mut self, now: u64, feed: FeedId, found: Found, bodies: &mut dyn Bodies, fx: &mut Effects) {
        let no = self.feeds[&feed].no;
        match found {
            Found::Closed(closed) => self.closed(now, feed, closed, bodies, fx),
            Found::Opened { ordinal, label, hash, cause, before, end } => {
                self.opened(now, feed, Opened { lane: no, ordinal, label, hash, cause, before, end }, fx);
                if let Some(old) = ordinal.checked_sub(1) {
                    self.settle(now, no, old, bodies, fx);
                }
            }
            Found::Named { ordinal, label, hash } => {
                let book = self.ledger.books.get(&no).and_then(|book| book.periods.get(&ordinal));
                let is_news = book.is_none_or(|book| book.hash.is_none());
                let before = book.map_or(Before::Nothing, |book| book.before);
                if is_news {
                    self.announce(now, hash.as_ref(), label);
                }
                self.append(Record::Named(Named { lane: no, ordinal, hash, label, before }), None, fx);
                self.settle(now, no, ordinal, bodies, fx);
            }
            Found::Hole { ordinal, run, from, to, askable } => {
                self.hole(now, no, ordinal, run, (from, to), askable, fx);
            }
            Found::Repeated(Some(index)) => {
                self.counters.repeated += 1;
                self.ack(feed, vec![Some(index)], fx);
            }
            Found::Repeated(None) => {}
            Found::Refused(why) => {
                self.counters.refused += 1;
                fx.messages.push((feed, FromCore::Error(why.to_owned())));
            }
            Found::TooLarge => {
                self.feeds.get_mut(&feed).expect("speaks").closed = true;
                self.event(now, "lane:closed", format!("lane {no}: batch_too_large"));
                fx.messages.push((feed, FromCore::Close { code: 1009, reason: "batch_too_large" }));
            }
            Found::Checkpoint { block, hash, boundary, confirms, denied } => {
                let at = self.ledger.books.get(&no).and_then(|book| book.last()).and_then(|(_, book)| book.at);
                let (event, about) = match &boundary {
                    Boundary::Invalid(reason) => ("checkpoint:invalid", format!("{block} {hash}: {reason}")),
                    _ if denied => ("fork:invalid", format!("expected {hash} at {block}")),
                    _ if confirms => ("fork:confirmed", format!("{block} {hash}")),
                    _ => ("checkpoint", format!("{block} {hash}")),
                };
                self.event(now, event, about);
                let record = Checkpoint { lane: no, block, hash, at, boundary, confirms, at_ms: now };
                self.append(Record::Checkpoint(record), None, fx);
            }
        }
    }

    /// A period that nobody has named yet is announced once it is.
    fn announce(&mut self, now: u64, hash: Option<&HashText>, label: Option<u64>) {
        let Some(hash) = hash else { return };
        self.event(now, "fork:new", label.map_or_else(|| hash.to_string(), |label| format!("{hash} at {label}")));
    }

    fn opened(&mut self, now: u64, feed: FeedId, record: Opened, fx: &mut Effects) {
        self.settle_down(feed, fx);
        let (lane, ordinal, before) = (record.lane, record.ordinal, record.before);
        if record.cause != OpenCause::Resume {
            self.counters.periods += 1;
            self.announce(now, record.hash.as_ref(), record.label);
        }
        self.append(Record::Opened(record), None, fx);
        if before == Before::Unseen {
            self.page_tail(lane, ordinal - 1);
        }
        if self.ledger.books.get(&lane).is_some_and(|book| book.periods.len() > PERIODS_PER_LANE) {
            self.feeds.get_mut(&feed).expect("speaks").closed = true;
            self.event(now, "lane:closed", format!("lane {lane}: too_many_periods"));
            fx.messages.push((feed, FromCore::Close { code: 1008, reason: "too_many_periods" }));
        }
    }

    /// A piece is complete: dropped when the tree holds it, else journalled and placed if it can be.
    fn closed(&mut self, now: u64, feed: FeedId, closed: Closed, bodies: &mut dyn Bodies, fx: &mut Effects) {
        if let Some(node) = self.held_already(feed, &closed) {
            return self.follow(now, feed, node, closed, fx);
        }
        self.settle_down(feed, fx);
        let (no, ordinal) = (self.feeds[&feed].no, closed.ordinal);
        let acks = self.journal(now, no, closed, fx);
        self.ack(feed, acks, fx);
        self.settle(now, no, ordinal, bodies, fx);
    }

    /// The batch in the tree that this piece repeats, when it is whole and its place is known.
    fn held_already(&self, feed: FeedId, closed: &Closed) -> Option<Node> {
        let ops_hash = closed.batch_hash.filter(|_| closed.begins)?;
        let attached = &self.feeds[&feed];
        let book = self.ledger.books.get(&attached.no)?.periods.get(&closed.ordinal)?;
        let period = book.hash.as_ref().filter(|_| book.opened && book.pieces.is_empty() && !book.behind_hole)?;
        let follows = attached.follows.as_ref().filter(|follows| follows.ordinal == closed.ordinal);
        let next = follows.map_or(book.next, |follows| follows.next);
        let before = match follows {
            Some(follows) => Some(follows.at),
            None if book.placed => book.at,
            None => self.predecessor(attached.no, closed.ordinal).ok()?,
        };
        let place = Place { before, period, seq: closed.seq, count: u64::from(closed.count), ops_hash };
        self.ledger.find(&place).filter(|_| next == closed.seq)
    }

    /// The lane stands behind a batch that is held: acknowledged without a record.
    fn follow(&mut self, now: u64, feed: FeedId, node: Node, closed: Closed, fx: &mut Effects) {
        let stood = self.stands_on(feed);
        let attached = self.feeds.get_mut(&feed).expect("speaks");
        let kept =
            attached.follows.take().filter(|follows| follows.ordinal == closed.ordinal).map(|follows| follows.runs);
        let book = self.ledger.books.get(&attached.no).and_then(|book| book.periods.get(&closed.ordinal));
        let mut runs = kept.or_else(|| book.map(|book| book.runs.clone())).unwrap_or_default();
        if let Some(base) = closed.index.and_then(|index| closed.seq.checked_sub(index))
            && runs.len() == closed.run as usize
        {
            runs.push(base);
        }
        let marker = u64::from(closed.close == super::record::Close::Marker);
        let next = closed.seq + u64::from(closed.count) + marker;
        attached.follows = Some(Follows { ordinal: closed.ordinal, at: node, next, runs });
        self.counters.repeated += 1;
        self.ack(feed, closed.acks, fx);
        if stood.map(|node| node.branch) != Some(node.branch) {
            self.weigh(now, fx);
        }
    }

    /// Makes durable how far a lane has repeated the tree, before anything else of it becomes so.
    pub(super) fn settle_down(&mut self, feed: FeedId, fx: &mut Effects) {
        let Some(attached) = self.feeds.get_mut(&feed) else { return };
        let Some(Follows { ordinal, at, next, runs }) = attached.follows.take() else { return };
        let stands = Stands { lane: attached.no, ordinal, at: Some(at), next, runs };
        self.append(Record::Stands(stands), None, fx);
    }

    /// Where a feed stands in the chain.
    pub(super) fn stands_on(&self, feed: FeedId) -> Option<Node> {
        let attached = self.feeds.get(&feed)?;
        attached.follows.as_ref().map(|follows| follows.at).or_else(|| self.stands(attached.no))
    }

    /// Journals a piece; gives back what is to be acknowledged.
    pub(super) fn journal(&mut self, now: u64, lane: u64, closed: Closed, fx: &mut Effects) -> Vec<Option<u64>> {
        let ops_hash = match closed.batch_hash.filter(|_| closed.begins) {
            Some(whole) => whole,
            None => *blake3::hash(&closed.texts).as_bytes(),
        };
        let record = Piece {
            lane,
            ordinal: closed.ordinal,
            label: closed.label,
            run: closed.run,
            seq: closed.seq,
            index: closed.index,
            count: closed.count,
            close: closed.close,
            begins: closed.begins,
            ops_hash,
            at_ms: now,
        };
        if closed.ordinal == UNPLACED {
            self.counters.parked += 1;
        }
        let lsn = self.ledger.lsn + 1;
        let record = Record::Piece(record);
        self.ledger.apply(lsn, &record);
        if let Some(whole) = closed.batch_hash.filter(|_| !closed.begins) {
            self.whole.insert(lsn, whole);
            if self.whole.len() > WHOLE_HELD {
                self.whole.pop_first();
            }
        }
        fx.records.push((lsn, record, Some(Body::Texts(closed.texts))));
        closed.acks
    }

    pub(super) fn append(&mut self, record: Record, body: Option<Body>, fx: &mut Effects) -> Lsn {
        let lsn = self.ledger.lsn + 1;
        self.ledger.apply(lsn, &record);
        fx.records.push((lsn, record, body));
        lsn
    }

    pub(super) fn ack(&self, feed: FeedId, indexes: Vec<Option<u64>>, fx: &mut Effects) {
        if !indexes.is_empty() {
            fx.messages.push((feed, FromCore::Acks { lsn: self.ledger.lsn, indexes }));
        }
    }

    pub(super) fn event(&mut self, now: u64, event: &'static str, about: String) {
        self.next_event += 1;
        self.events.push_back(Event { id: self.next_event, at_ms: now, event, about });
        if self.events.len() > Status::EVENTS {
            self.events.pop_front();
        }
    }

    pub(super) fn chain_record(&mut self, record: Chain, fx: &mut Effects) -> Node {
        let branch = record.branch;
        self.counters.chained += 1;
        let version = self.append(Record::Chain(record), None, fx);
        Node { branch, version }
    }
}

/// A hash for people, or a dash.
pub(super) fn word(hash: Option<&HashText>) -> &str {
    hash.map_or("-", HashText::as_str)
}
