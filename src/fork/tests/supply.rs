//! Content that no feed brought: from a document by its CID, or from a peer.

use super::*;
use crate::fork::record::{BranchCause, GapState, Node, PLACED};
use crate::fork::supply::{
    Packed, SUPPLY_BATCHES, SUPPLY_BYTES, Start, Supplied, SuppliedBatch, SuppliedPeriod, Supply,
};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::op::push_text;

fn hash(text: &str) -> HashText {
    HashText::new(text).expect("short")
}

/// The op of a word of a script, as its canonical text.
fn text(word: &str) -> String {
    match word.split_once('=') {
        Some(("h", value)) => format!(r#"{{"data":"{value}","path":["stats","pendingHash"],"type":"put"}}"#),
        Some((key, value)) => format!(r#"{{"data":{value},"path":["{key}"],"type":"put"}}"#),
        None => format!(r#"{{"path":["{}"],"type":"del"}}"#, word.trim_start_matches('-')),
    }
}

/// `601:A>B 0 h=A W b=1 W`: the batches of period A from place 0 on, closed by B.
fn period(script: &str) -> SuppliedPeriod {
    let mut words = script.split_whitespace();
    let head = words.next().expect("label:hash");
    let (label, own) = head.split_once(':').expect("label:hash");
    let (own, closed) = own.split_once('>').map_or((own, None), |(own, closed)| (own, Some(hash(closed))));
    let mut seq = words.next().expect("place").parse().expect("a place");
    let (mut batches, mut body, mut count) = (Vec::new(), Vec::new(), 0);
    let mut close = |seq: &mut u64, body: &mut Vec<u8>, count: &mut u32, marker| {
        let ops = Packed::new(body.clone(), *count, *blake3::hash(body).as_bytes());
        let batch = SuppliedBatch { seq: *seq, label: None, marker, ops };
        (*seq, *count) = (batch.end(), 0);
        body.clear();
        batches.push(batch);
    };
    for word in words {
        if word == "W" {
            close(&mut seq, &mut body, &mut count, true);
            continue;
        }
        push_text(text(word).as_bytes(), &mut body);
        count += 1;
    }
    if count > 0 {
        close(&mut seq, &mut body, &mut count, false);
    }
    SuppliedPeriod { hash: hash(own), label: label.parse().ok(), batches, closed }
}

impl Stage {
    fn supply(&mut self, start: Start, periods: &[&str]) -> Supplied {
        let periods = periods.iter().map(|script| period(script)).collect();
        let supply = Supply { source: "a document".into(), start, periods };
        self.run(|core, now, bodies, fx| core.supply(now, supply, bodies, fx))
    }

    /// What became of it: batches known, chained, and why the rest was refused.
    fn supplied(&mut self, start: Start, periods: &[&str]) -> (u64, u64, Option<&'static str>) {
        let Supplied { known, chained, refused, .. } = self.supply(start, periods);
        (known, chained, refused)
    }

    fn behind(&self, period: &str) -> Start {
        let tree = &self.core.ledger().tree;
        let (_, held) = tree.periods_of(&hash(period)).next().expect("held");
        Start::Behind { period: hash(period), batch: held.last_id, at: None }
    }
}

const A: &str = "601:A>B 0 h=A W b=1 W c=1 W d=1 W e=1 W f=1 W";

/// Feed 1 misses 6..=7 of period A; what is behind is parked.
fn hole() -> Stage {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 W; 8 e=1; 9 W; 10 f=1; 11 W");
    for _ in 0..3 {
        stage.tick(10_000);
    }
    assert_eq!((stage.parked(), stage.status().gaps[0].phase), (2, "recorded"));
    stage
}

fn gaps(stage: &Stage, state: GapState) -> usize {
    stage.records.iter().filter(|(_, record)| matches!(record, Record::Gap(gap) if gap.state == state)).count()
}

/// Guards against: the lane did not try again after a supply.
#[test]
fn a_hole_is_filled_and_the_feed_goes_on() {
    let mut stage = hole();
    assert_eq!(stage.supplied(Start::Held, &[A]), (3, 3, None));
    assert_eq!(stage.chain()[3..], ["0:A/6+1W*", "0:A/8+1W*", "0:A/10+1W*"]);
    assert_eq!((stage.parked(), stage.status().gaps.len(), gaps(&stage, GapState::Filled)), (0, 0, 1));
    assert_eq!(stage.status().events.last().unwrap().about, "1 filled by a document");
    stage.bare(1, "601:A 12 g=1; 13 W; 0 h=B; 1 W");
    let mut whole = begun();
    whole.bare(1, "601:A 4 c=1; 5 W; 6 d=1; 7 W; 8 e=1; 9 W; 10 f=1; 11 W; 12 g=1; 13 W; 0 h=B; 1 W");
    assert_eq!((stage.head_ids(), stage.branches()), (whole.head_ids(), 1));
    assert_eq!(stage.status().counters.supplied, 3);
}

#[test]
fn what_is_held_is_dropped_without_a_record() {
    let mut stage = begun();
    let lsn = stage.core.ledger().lsn;
    assert_eq!(stage.supplied(Start::Held, &["601:A 0 h=A W b=1 W"]), (2, 0, None));
    assert_eq!(stage.core.ledger().lsn, lsn);
}

#[test]
fn a_hole_that_cuts_a_batch_and_ends_its_period_is_filled() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 7 f=1; 0 h=B; 1 W; 2 x=1; 3 W");
    for _ in 0..3 {
        stage.tick(10_000);
    }
    // Of batch 4..=7 the lane has both ends; nobody saw that it is one.
    assert_eq!(stage.chain().len(), 2);
    assert_eq!(stage.supplied(Start::Held, &["601:A>B 0 h=A W b=1 W c=1 d=1 e=1 f=1"]), (2, 1, None));
    // What was supplied can be compared once it is durable.
    assert_eq!(stage.core.wake_at(stage.now), Some(stage.now + 20));
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:A/4+4*", "0:B/0+1W*", "0:B/2+1W*"]);
    assert_eq!((stage.parked(), stage.status().gaps.len()), (0, 0));
    stage.bare(1, "701:B 4 y=1; 5 W");
    assert_eq!(stage.chain().last().unwrap(), "0:B/4+1W*");
}

/// A rollover that happened while no socket was there: the tail of A is asked for in vain.
fn lost_tail() -> Stage {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(1));
    stage.bare(2, "702:B 2 x=1; 3 W");
    stage.shows(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W", "702:B 0 h=B; 1 W; 2 x=1; 3 W"]);
    stage
}

#[test]
fn a_tail_of_unknown_length_ends_where_the_document_ends() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, None);
    stage.bare(2, "702:B 0 h=B; 1 W");
    assert_eq!((stage.chain().len(), stage.parked()), (2, 1), "a socket that nobody knows");
    // It is told what B stands on by whoever has A and the start of B.
    assert_eq!(stage.supplied(Start::Held, &["601:A>B 0 h=A W b=1 W c=1", "702:B 0 h=B W"]), (2, 2, None));
    assert_eq!(stage.chain()[2..], ["0:A/4+1*", "0:B/0+1W*"]);
    assert_eq!(stage.parked(), 0);
    stage.bare(2, "702:B 2 x=1; 3 W");
    assert_eq!(stage.chain().last().unwrap(), "0:B/2+1W*");
}

#[test]
fn a_lane_that_waits_for_a_tail_is_put_behind_the_end() {
    let mut stage = lost_tail();
    let before = stage.chain().len();
    stage.supply(Start::Held, &["601:A>B 0 h=A W b=1 W"]);
    assert!(stage.chain().len() >= before);
    stage.was_asked(2, stage.asked(2).expect("B's start"));
    stage.batch(2, &["702:B 0 h=B; 1 W; 2 x=1; 3 W"]);
    stage.tick(1_000);
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*"]);
    assert_eq!((stage.parked(), stage.branches()), (0, 1));
}

/// Planted once: `agrees` compared nothing, and the lane was put onto a history that it contradicts.
#[test]
fn a_lane_that_contradicts_a_document_stays_where_it_is() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 7 z=1; 0 h=B; 1 W");
    let done = stage.supply(Start::Held, &["601:A>B 0 h=A W b=1 W c=1 d=1 e=1 f=1"]);
    assert_eq!((done.known, done.chained), (2, 1));
    stage.tick(1_000);
    assert_eq!(stage.chain()[2..], ["0:A/4+4*"], "B has not come behind it");
    assert_eq!((stage.status().gaps.len(), stage.branches()), (1, 1));
}

#[test]
fn whole_periods_follow_the_head() {
    let mut stage = begun();
    stage.gone(1);
    let start = stage.behind("A");
    let done = stage.supplied(start.clone(), &["702:B>C 0 h=B W x=1", "801:C 0 h=C W"]);
    assert_eq!(done, (0, 3, None));
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1*", "0:C/0+1W*"]);
    let mut fed = begun();
    fed.bare(1, "601:A 0 h=B; 1 W; 2 x=1; 0 h=C; 1 W");
    assert_eq!(stage.head_ids(), fed.head_ids(), "as from a feed");
    // Again, after a restart in the middle: harmless.
    stage.restart();
    let lsn = stage.core.ledger().lsn;
    assert_eq!(stage.supplied(start, &["702:B>C 0 h=B W x=1", "801:C 0 h=C W"]), (3, 0, None));
    assert_eq!(stage.core.ledger().lsn, lsn);
    let start = stage.behind("C");
    assert_eq!(stage.supplied(start, &["801:C 2 y=1 W"]), (0, 1, None));
    assert_eq!(stage.chain().last().unwrap(), "0:C/2+1W*");
}

/// Every prefix of the records is what a crash may leave.
#[test]
fn a_supply_goes_on_wherever_a_crash_cut_it() {
    let mut stage = hole();
    let first = stage.records.len();
    stage.supply(Start::Held, &[A, "701:B 0 h=B W"]);
    let (all, ids) = (stage.records.clone(), stage.head_ids());
    for cut in first..=all.len() {
        let mut stage =
            Stage { records: all[..cut].to_vec(), bodies: Bodiless(stage.bodies.0.clone()), ..Stage::new() };
        stage.restart();
        assert_eq!(stage.supply(Start::Held, &[A, "701:B 0 h=B W"]).refused, None);
        stage.tick(1_000);
        assert_eq!((stage.head_ids(), stage.branches(), stage.parked()), (ids.clone(), 1, 0), "cut at {cut}");
    }
}

#[test]
fn a_node_that_has_nothing_begins_with_what_it_is_given() {
    let mut stage = Stage::new();
    assert_eq!(stage.supplied(Start::Held, &[A]), (0, 0, Some("period_unknown")));
    assert_eq!(stage.supplied(Start::First, &[A]), (0, 6, None));
    assert_eq!(stage.chain()[0], "0:A/0+1W*");
    assert_eq!(stage.supplied(Start::First, &[A, "701:B 0 h=B W"]), (6, 1, None));
    // A feed that comes later goes on there.
    stage.open(1, None);
    stage.bare(1, "701:B 0 h=B; 1 W; 2 x=1; 3 W");
    assert_eq!(stage.chain().last().unwrap(), "0:B/2+1W*");
    assert_eq!(stage.branches(), 1);
}

/// Guards against: the branch was chosen after the pieces were written, so that a refused batch left them behind.
#[test]
fn what_contradicts_is_a_fork_and_moves_no_head() {
    let mut stage = begun();
    let head = stage.core.ledger().head;
    assert_eq!(stage.supplied(Start::Held, &["601:A 0 h=A W z=1 W y=1 W"]), (1, 2, None));
    assert_eq!(stage.chain()[2..], ["1:A/2+1W", "1:A/4+1W"]);
    assert_eq!((stage.core.ledger().head, stage.branches()), (head, 2));
    assert_eq!(stage.core.ledger().tree.branch(1).unwrap().cause, BranchCause::Fork);
    // The feed goes on with its own.
    stage.bare(1, "601:A 4 c=1; 5 W");
    assert_eq!(stage.chain().last().unwrap(), "0:A/4+1W*");
    // The limit of rivals at one label holds, and nothing is written for those beyond it.
    for word in ["q", "r", "s"] {
        stage.supply(Start::Held, &[&format!("601:A 0 h=A W {word}=1 W")]);
    }
    let (lsn, branches) = (stage.core.ledger().lsn, stage.branches());
    assert_eq!(stage.supplied(Start::Held, &["601:A 0 h=A W t=1 W"]), (1, 0, Some("too_many_forks")));
    assert_eq!((stage.core.ledger().lsn, stage.branches()), (lsn, branches));
    // A beginning of another kind has no place at all.
    assert_eq!(stage.supplied(Start::First, &["501:Z 0 h=Z W"]), (0, 0, Some("another_beginning")));
    assert_eq!(stage.supplied(Start::First, &["601:A 0 h=Q W"]), (0, 0, Some("too_many_forks")));
}

/// A replica that began in the middle, and learns what came before: its history is chained again behind its past, the head
/// and the lanes with it. Nothing is stored twice, and what it was before is gone.
#[test]
fn what_began_in_the_middle_moves_behind_its_past() {
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.bare(1, "701:B 0 h=B; 1 W; 2 x=1; 3 W; 0 h=C; 1 W");
    let past = ["501:Z>A 0 h=Z W a=1 W", "601:A>B 0 h=A W b=1 W"];
    assert_eq!(stage.supplied(Start::First, &past), (0, 0, Some("another_beginning")), "nobody says what it is");
    assert_eq!(stage.supplied(Start::Before(hash("Q")), &past), (0, 0, Some("no_beginning_of_ours")));
    assert_eq!(stage.supplied(Start::Before(hash("B")), &past[..1]), (0, 2, None));
    let head = stage.core.ledger().head.unwrap();
    assert_eq!(head.branch, 0, "it is another history until it is whole");
    assert_eq!(stage.supplied(Start::Before(hash("B")), &past), (2, 2, None));
    let chain = ["1:Z/0+1W", "1:Z/2+1W", "1:A/0+1W", "1:A/2+1W", "1:B/0+1W", "1:B/2+1W", "1:C/0+1W"];
    assert_eq!(stage.chain()[3..], chain);
    let pieces = stage.records.iter().filter(|(_, r)| matches!(r, Record::Piece(piece) if piece.ordinal != PLACED));
    assert_eq!(pieces.count(), 3, "nothing is stored twice");
    stage.bare(1, "801:C 2 y=1; 3 W");
    assert_eq!(stage.chain().last().unwrap(), "1:C/2+1W*");
    assert_eq!(stage.core.ledger().tree.live().count(), 1, "what it was before is gone");
    let mut whole = Stage::new();
    whole.open(1, None);
    whole.bare(1, "501:Z 0 h=Z; 1 W; 2 a=1; 3 W");
    whole.bare(1, "601:A 0 h=A; 1 W; 2 b=1; 3 W");
    whole.bare(1, "701:B 0 h=B; 1 W; 2 x=1; 3 W");
    whole.bare(1, "801:C 0 h=C; 1 W; 2 y=1; 3 W");
    assert_eq!(stage.head_ids(), whole.head_ids());
    stage.restart();
    assert_eq!(stage.head_ids(), whole.head_ids());
    let lsn = stage.core.ledger().lsn;
    assert_eq!(stage.supplied(Start::Before(hash("B")), &past), (4, 0, None), "nothing is left to do");
    assert_eq!(stage.core.ledger().lsn, lsn);
}

/// A death at any record of it: the same supply comes again, and it ends the same.
#[test]
fn a_past_that_a_death_interrupts_is_taken_again() {
    let past = ["501:Z>A 0 h=Z W a=1 W", "601:A>B 0 h=A W b=1 W"];
    let begin = || {
        let mut stage = Stage::new();
        stage.open(1, None);
        stage.bare(1, "701:B 0 h=B; 1 W; 2 x=1; 3 W; 0 h=C; 1 W");
        stage
    };
    let mut whole = begin();
    let before = whole.records.len();
    whole.supply(Start::Before(hash("B")), &past);
    for kept in before..whole.records.len() {
        let mut stage = begin();
        stage.supply(Start::Before(hash("B")), &past);
        stage.records.truncate(kept);
        stage.restart();
        stage.supply(Start::Before(hash("B")), &past);
        stage.open(2, None);
        stage.tick(1_000);
        assert_eq!(stage.head_ids(), whole.head_ids(), "{kept} of {} records", whole.records.len());
        assert_eq!(stage.core.ledger().tree.live().count(), 1, "{kept}");
    }
}

/// A history that others left stays where it is: they would have to move with it.
#[test]
fn what_began_in_the_middle_and_was_left_by_a_fork_stays() {
    let mut stage = begun();
    stage.supply(Start::Held, &["601:A 0 h=A W z=1 W"]);
    let head = stage.head_ids();
    stage.supply(Start::Before(hash("A")), &["501:Z>A 0 h=Z W"]);
    assert_eq!(stage.head_ids(), head);
}

#[test]
fn a_fork_is_gone_on_with_by_its_node() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 h=B; 1 W");
    let done = stage.supply(Start::Held, &["601:A 0 h=A W z=1 W", "701:B 0 h=B W"]);
    assert_eq!(stage.chain()[3..], ["1:A/2+1W", "1:B/0+1W"], "equal ids, another history");
    let batch = stage.core.ledger().tree.entry(done.at.unwrap()).unwrap().id;
    let start = |at| Start::Behind { period: hash("B"), batch, at };
    assert_eq!(stage.supplied(start(None), &["701:B 2 x=1 W"]), (0, 0, Some("predecessor_ambiguous")));
    assert_eq!(stage.supplied(start(done.at), &["701:B 2 x=1 W"]), (0, 1, None));
    assert_eq!(stage.chain().last().unwrap(), "1:B/2+1W");
    let elsewhere = Some(Node { branch: 0, version: 1 });
    assert_eq!(stage.supplied(start(elsewhere), &["701:B 4 x=1 W"]).2, Some("predecessor_unknown"));
}

#[test]
fn what_is_out_of_shape_is_refused_whole() {
    let mut stage = begun();
    let lsn = stage.core.ledger().lsn;
    let cases: [(&[&str], &str); 6] = [
        (&["601:A 2 b=1 W"], "not_in_order"),
        (&["601:A 0 h=A W b=1"], "open_batch"),
        (&["601:A>C 0 h=A W b=1 W", "701:B 0 h=B W"], "not_in_order"),
        (&["601:A>B 0 h=A W b=1 W", "701:B 2 h=B W"], "not_in_order"),
        (&["601:A 0"], "empty_period"),
        (&["601:A 0 h=A W", "701:B 0", "801:C 0 h=C W"], "empty_period"),
    ];
    for (periods, word) in cases {
        assert_eq!(stage.supplied(Start::Held, periods), (0, 0, Some(word)), "{periods:?}");
    }
    let Start::Behind { batch, .. } = stage.behind("A") else { unreachable!() };
    let start = Start::Behind { period: hash("A"), batch, at: None };
    assert_eq!(stage.supplied(start.clone(), &["601:A 5 c=1 W"]), (0, 0, Some("place_differs")));
    let mut gap = period("601:A 4 c=1 W d=1 W");
    gap.batches[1].seq += 1;
    let supply = Supply { source: String::new(), start, periods: vec![gap] };
    let done = stage.run(|core, now, bodies, fx| core.supply(now, supply, bodies, fx));
    assert_eq!((done.refused, stage.core.ledger().lsn), (Some("not_in_order"), lsn));
}

#[test]
fn a_supply_is_bounded() {
    let mut stage = Stage::new();
    let words = |count: usize| format!("601:A 0 h=A W{}", " W".repeat(count - 1));
    assert_eq!(stage.supplied(Start::First, &[&words(SUPPLY_BATCHES + 1)]), (0, 0, Some("too_large")));
    assert_eq!(stage.supplied(Start::First, &[&words(SUPPLY_BATCHES)]), (0, SUPPLY_BATCHES as u64, None));
    // A single batch may be large: it cannot be cut.
    let large = format!("x=\"{}\"", "x".repeat(SUPPLY_BYTES));
    let mut stage = Stage::new();
    assert_eq!(stage.supplied(Start::First, &[&format!("601:A 0 h=A W {large} W")]), (0, 0, Some("too_large")));
    stage.supply(Start::First, &["601:A 0 h=A W"]);
    let start = stage.behind("A");
    assert_eq!(stage.supplied(start, &[&format!("601:A 2 {large} W")]), (0, 1, None));
}

#[test]
fn a_batch_of_several_frames_has_one_hash() {
    let mut stage = begun();
    let (mut one, mut two) = (Vec::new(), Vec::new());
    push_text(text("c=1").as_bytes(), &mut one);
    push_text(text("d=1").as_bytes(), &mut two);
    let of = |body: &[u8]| *blake3::hash(body).as_bytes();
    let mut ops = Packed::new(one.clone(), 1, of(&one));
    ops.push(two.clone(), 1, of(&two), of(&[one, two].concat()));
    let batch = SuppliedBatch { seq: 4, label: None, marker: true, ops };
    let periods = vec![SuppliedPeriod { hash: hash("A"), label: Some(601), batches: vec![batch], closed: None }];
    let supply = Supply { source: String::new(), start: stage.behind("A"), periods };
    let done = stage.run(|core, now, bodies, fx| core.supply(now, supply, bodies, fx));
    assert_eq!((done.chained, done.refused), (1, None));
    let pieces = stage.records.iter().filter(|(_, r)| matches!(r, Record::Piece(piece) if piece.ordinal == PLACED));
    assert_eq!(pieces.count(), 2);
    let mut fed = begun();
    fed.bare(1, "601:A 4 c=1; 5 d=1; 6 W");
    assert_eq!(stage.head_ids(), fed.head_ids());
}

/// A feed that lost the end of a period without a word (or whose tail was presumed): a document that goes on from what it
/// sent puts everything after it where it belongs. Guards against: the lanes were not moved over, and the head stayed.
#[test]
fn what_stands_on_a_part_of_a_period_moves_behind_its_end() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 h=B; 1 W; 2 x=1; 3 W; 0 h=C; 1 W");
    let document = "601:A>B 0 h=A W b=1 W c=1 W";
    assert_eq!(stage.supplied(Start::Held, &[document]), (2, 1, None));
    assert_eq!(stage.chain()[5..], ["1:A/4+1W", "1:B/0+1W", "1:B/2+1W", "1:C/0+1W"]);
    let pieces = stage.records.iter().filter(|(_, record)| matches!(record, Record::Piece(_))).count();
    assert_eq!(pieces, 6, "nothing is stored twice");
    stage.bare(1, "701:C 2 y=1; 3 W");
    assert_eq!(stage.chain().last().unwrap(), "1:C/2+1W*");
    let mut whole = begun();
    whole.bare(1, "601:A 4 c=1; 5 W; 0 h=B; 1 W; 2 x=1; 3 W; 0 h=C; 1 W; 2 y=1; 3 W");
    assert_eq!(stage.head_ids(), whole.head_ids());
    // Again, and after a restart: nothing is left to do.
    stage.restart();
    let lsn = stage.core.ledger().lsn;
    assert_eq!(stage.supplied(Start::Held, &[document]), (3, 0, None));
    assert_eq!(stage.core.ledger().lsn, lsn);
}

#[test]
fn what_stands_on_a_period_that_differs_stays() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 h=B; 1 W; 2 x=1; 3 W");
    stage.supply(Start::Held, &["601:A>B 0 h=A W z=1 W c=1 W"]);
    assert_eq!(stage.chain()[4..], ["1:A/2+1W", "1:A/4+1W"]);
    stage.bare(1, "701:B 4 y=1; 5 W");
    assert_eq!(stage.chain().last().unwrap(), "0:B/4+1W*");
}

/// Failed once, for ever: the branch was there, so the same beginning was another one.
#[test]
fn a_first_supply_goes_on_after_a_death_between_its_branch_and_its_batch() {
    let mut stage = Stage::new();
    stage.supply(Start::First, &["601:A 0 h=A W b=1 W"]);
    let born = stage.records.iter().position(|(_, record)| matches!(record, Record::Branch(_))).unwrap();
    stage.records.truncate(born + 1);
    stage.restart();
    assert_eq!(stage.chain().len(), 0);
    let (known, refused) = (0, None);
    let done = stage.supplied(Start::First, &["601:A 0 h=A W b=1 W"]);
    assert_eq!((done.0, done.2), (known, refused));
    assert_eq!(stage.chain().len(), 2);
    assert!(stage.core.ledger().head.is_some());
}
