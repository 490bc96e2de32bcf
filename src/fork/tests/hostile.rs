//! Feeds that want the machine's time and memory: what they get is bounded, and the others get theirs.

use super::*;
use crate::fork::holes::HOLES_PER_LANE;
use crate::fork::lane::{OPEN_BYTES, PIECE_BYTES};
use crate::fork::settle::BRANCHES_LIVE;

/// A stage that is too large to be replayed after each message; bodies that count how often they are read.
struct Large {
    core: Core,
    records: Vec<(Lsn, Record)>,
    bodies: BTreeMap<Lsn, Vec<u8>>,
    reads: usize,
    acks: BTreeMap<u64, usize>,
}

/// Reads that are counted.
struct Counted<'a>(&'a BTreeMap<Lsn, Vec<u8>>, usize);

impl Bodies for Counted<'_> {
    fn body(&mut self, lsn: Lsn) -> Option<Vec<u8>> {
        self.1 += 1;
        self.0.get(&lsn).cloned()
    }
}

impl Large {
    fn new() -> Self {
        let core = Core::new("spkcc_".into(), RULES, LIMITS, Ledger::default());
        Self { core, records: Vec::new(), bodies: BTreeMap::new(), reads: 0, acks: BTreeMap::new() }
    }

    fn run(&mut self, run: impl FnOnce(&mut Core, &mut dyn Bodies, &mut Effects)) {
        let mut fx = Effects::default();
        let mut bodies = Counted(&self.bodies, 0);
        run(&mut self.core, &mut bodies, &mut fx);
        self.reads += bodies.1;
        for (lsn, record, body) in fx.records {
            if let Some(Body::Texts(body) | Body::Frame(body)) = body {
                self.bodies.insert(lsn, body);
            }
            self.records.push((lsn, record));
        }
        for (feed, message) in fx.messages {
            if let FromCore::Acks { indexes, .. } = message {
                *self.acks.entry(feed.0).or_default() += indexes.len();
            }
        }
    }

    fn open(&mut self, feed: u64) {
        let message = ToCore::Open { feed: FeedId(feed), info: FeedInfo::default(), outbox: mpsc::channel(1).0 };
        self.run(|core, bodies, fx| core.on(1_000, message, bodies, fx));
    }

    fn gone(&mut self, feed: u64) {
        self.run(|core, bodies, fx| core.on(1_000, ToCore::Gone(FeedId(feed)), bodies, fx));
    }

    fn frame(&mut self, feed: u64, text: &str) {
        let Ok(Frame::Ops(ops)) = Parser::new(false).parse(text.as_bytes()) else { panic!("ops") };
        let message = ToCore::Said(FeedId(feed), Said::Ops(ops), Default::default());
        self.run(|core, bodies, fx| core.on(1_000, message, bodies, fx));
    }

    fn bare(&mut self, feed: u64, script: &str) {
        for item in items(script, "type", true) {
            self.frame(feed, &item);
        }
    }

    /// The records alone give the ledger.
    fn replays(&self) {
        let mut ledger = Ledger::default();
        for (lsn, record) in &self.records {
            ledger.apply(*lsn, record);
        }
        assert!(&ledger == self.core.ledger(), "replay gives another ledger");
    }

    fn pieces(&self, lane: u64) -> usize {
        let of = |record: &&(Lsn, Record)| matches!(&record.1, Record::Piece(piece) if piece.lane == lane);
        self.records.iter().filter(of).count()
    }
}

/// Planted once: a sum that is not looked at; the smallest spilled first.
#[test]
fn open_batches_of_many_lanes_are_spilled_before_they_are_too_large_together() {
    let mut stage = Large::new();
    let value = "v".repeat(PIECE_BYTES / 4);
    let lanes = 2 * (OPEN_BYTES / PIECE_BYTES) as u64;
    stage.open(1);
    stage.bare(1, "601:A 0 small=1");
    for feed in 2..lanes + 2 {
        stage.open(feed);
        for index in 0..3 {
            stage.bare(feed, &format!("601:A {index} x{feed}=\"{value}\""));
        }
    }
    let open: usize = stage.core.feeds.values().map(|attached| attached.lane.open_bytes()).sum();
    assert!(open <= OPEN_BYTES, "{open}");
    assert_eq!(stage.pieces(1), 0, "who holds little is not touched");
    let spilled: usize = (2..lanes + 2).map(|lane| stage.pieces(lane)).sum();
    assert!(spilled > 0 && stage.acks.values().sum::<usize>() >= spilled, "what was spilled is acknowledged");
    stage.replays();
}

/// Planted once: no bound, which gives 1,200 branches.
#[test]
fn live_branches_are_bounded_in_all() {
    let mut stage = Large::new();
    stage.open(1);
    stage.bare(1, "601:A 0 a=1; 1 W");
    let rivals = BRANCHES_LIVE as u64 + 100;
    for feed in 2..rivals + 2 {
        stage.open(feed);
        // Blocks that are no labels of honeycomb are labels of their own, of which each may have a fork.
        stage.bare(feed, "601:A 0 a=1; 1 W");
        stage.bare(feed, &format!("{}:A 2 x={feed}; 3 W", 10_000 + 2 * feed));
        assert_eq!(stage.acks[&feed], 2, "a limit is no loss");
        if feed < rivals + 1 {
            stage.gone(feed);
        }
    }
    let ledger = stage.core.ledger();
    assert_eq!(ledger.tree.live_count(), BRANCHES_LIVE);
    let status = stage.core.status();
    assert_eq!(status.forks.len(), BRANCHES_LIVE);
    assert_eq!(status.lanes.last().and_then(|lane| lane.parked), Some("too_many_forks"));
    assert!(status.parked.pieces >= 100 && status.head.is_some());
    // Histories that there are go on.
    let (last, lsn) = (rivals + 2, stage.core.ledger().lsn);
    stage.open(last);
    stage.bare(last, "601:A 0 a=1; 1 W");
    stage.bare(last, "10004:A 2 x=2; 3 W; 4 y=1; 5 W");
    assert_eq!(stage.acks[&last], 3);
    let chained = |(at, record): &(Lsn, Record)| *at > lsn && matches!(record, Record::Chain(_));
    assert!(stage.records.iter().any(chained));
    stage.replays();
}

/// Planted once: one body remembered, which is read 2,000 times.
#[test]
fn an_answer_that_goes_back_and_forth_reads_each_piece_once() {
    let mut stage = Large::new();
    stage.open(1);
    stage.bare(1, "601:A 0 a=1; 1 W; 2 b=1; 3 W; 4 c=1; 5 W");
    let held = ["0 a=1", "2 b=1", "4 c=1"];
    let ops: Vec<String> =
        (0..2_000).flat_map(|at| items(&format!("601:A {}", held[at % 3]), "opType", true)).collect();
    stage.reads = 0;
    let (from, to) = (0, 5);
    let range = format!(r#""requestedRange":{{"from":{from},"to":{to}}}"#);
    stage.frame(1, &format!(r#"{{"type":"batch",{range},"operations":[{}]}}"#, ops.join(",")));
    assert!(stage.reads <= 3, "{} reads", stage.reads);
}

/// Planted once: no share, so that one lane takes all the room.
#[test]
fn holes_of_one_lane_leave_room_for_those_of_others() {
    let mut stage = Large::new();
    stage.open(1);
    stage.bare(1, "601:A 0 a=1; 1 W");
    for at in 1..6_000 {
        stage.bare(1, &format!("601:A {} a=1; {} W", at * 4, at * 4 + 1));
    }
    assert_eq!(stage.core.holes.of(1).count(), HOLES_PER_LANE);
    stage.open(2);
    stage.bare(2, "601:A 0 a=1; 1 W; 5 b=1; 6 W");
    assert_eq!(stage.core.holes.of(2).count(), 1);
    stage.replays();
}

/// What a lane's falls pile up is tried again bit by bit, and all of it in the end.
#[test]
fn held_up_periods_are_tried_again_a_few_at_a_time() {
    let mut stage = Large::new();
    stage.open(1);
    stage.bare(1, "601:A 0 a=1; 1 W");
    stage.open(2);
    // Nothing of this has a hash.
    for at in 0..3_000 {
        stage.bare(2, &format!("601:- 0 a={at}; 1 W"));
    }
    assert_eq!(stage.core.ledger().books[&2].periods.len(), 3_000);
    stage.bare(1, "601:A 2 b=1; 3 W");
    let mut rounds = 0;
    while stage.core.wake_at(2_000).is_some_and(|at| at < 3_000) || rounds == 0 {
        stage.run(|core, bodies, fx| core.tick(2_000, bodies, fx));
        rounds += 1;
        assert!(rounds < 10, "it does not end");
    }
    assert!(rounds >= 3, "{rounds}: all at once");
}
