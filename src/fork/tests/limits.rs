//! Bounds: rival histories, their time, sizes, lanes.

use super::*;
use crate::fork::lane::PIECE_BYTES;
use crate::fork::ledger::LANES_HELD;

#[test]
fn more_rivals_than_allowed_are_parked() {
    let mut stage = begun();
    for feed in 2..6 {
        stage.open(feed, None);
        stage.bare(feed, &format!("601:A 0 h=A; 1 W; 2 x={feed}; 3 W"));
    }
    assert_eq!(stage.branches(), 3, "the first and two more");
    assert_eq!(stage.parked(), 2);
    assert_eq!(stage.status().lanes[4].parked, Some("too_many_forks"));
    assert_eq!(stage.acks(5), "0 2", "a limit is no loss");
}

#[test]
fn a_history_that_nobody_feeds_loses_its_view_in_time() {
    let mut stage = begun();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 x=1; 3 W");
    stage.tick(2_000_000);
    assert_eq!(stage.status().forks.len(), 2, "a feed stands on it");
    stage.gone(2);
    stage.tick(10);
    assert_eq!(stage.status().forks.len(), 1);
    assert!(stage.records.iter().any(|(_, record)| matches!(record, Record::Retired(retired) if retired.branch == 1)));
    stage.restart();
    assert_eq!(stage.status().forks.len(), 1);
}

#[test]
fn a_large_batch_is_spilled_in_pieces_and_keeps_its_id() {
    let value = "v".repeat(100_000);
    let ops: Vec<String> = (4..30).map(|index| format!("{index} k{index}=\"{value}\"")).collect();
    let script = format!("601:A {}; 30 W", ops.join("; "));
    let mut stage = begun();
    stage.bare(1, &script);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:A/4+26W*"]);
    let pieces =
        stage.records.iter().filter(|(_, record)| matches!(record, Record::Piece(piece) if piece.seq >= 4)).count();
    assert!(pieces >= 26 * 100_000 / PIECE_BYTES, "{pieces}");
    // A twin repeats it; after a restart the pieces alone give the same id.
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 b=1; 3 W");
    stage.bare(2, &script);
    stage.tick(20);
    assert_eq!((stage.chain().len(), stage.branches(), stage.parked()), (3, 1, 0));
}

#[test]
fn a_spilled_batch_that_was_cut_off_is_no_batch() {
    let value = "v".repeat(600_000);
    let mut stage = begun();
    stage.bare(1, &format!("601:A 4 x=\"{value}\"; 5 y=\"{value}\"; 6 z=1"));
    assert_eq!(stage.acks(1), "4 5", "the spilled piece is durable");
    stage.restart();
    assert_eq!((stage.chain().len(), stage.parked()), (2, 1));
    stage.open(1, Some(6));
    stage.bare(1, "601:A 7 W");
    let all = format!("601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 x=\"{value}\"; 5 y=\"{value}\"; 6 z=1; 7 W");
    stage.shows(1, &[&all]);
    stage.was_asked(1, (3, 9));
    stage.batch(1, &[&all]);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:A/4+3W*"]);
}

#[test]
fn old_lanes_are_forgotten_and_their_pieces_counted() {
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.bare(1, "601:A 7 a=1; 8 W");
    for feed in 2..LANES_HELD as u64 + 10 {
        stage.now += 1;
        stage.open(feed, None);
        stage.bare(feed, "601:A 7 a=1; 8 W");
        stage.gone(feed);
    }
    assert_eq!(stage.core.ledger().books.len(), LANES_HELD);
    assert_eq!(stage.parked(), LANES_HELD as u64 + 9, "still counted");
    stage.bare(1, "601:A 9 b=1; 10 W");
    assert!(matches!(stage.out[&1].last(), Some(FromCore::Close { code: 1013, .. })), "it connects again");
}

#[test]
fn a_lane_that_opens_periods_without_end_is_closed() {
    let mut stage = begun();
    stage.open(2, Some(0));
    // Nothing of this has a place: the lane never said where it stands.
    let falls: Vec<String> = (0..9_000)
        .rev()
        .map(|index| format!(r#"{{"opType":"put","path":["a"],"data":1,"index":{index},"blockNum":601}}"#))
        .collect();
    stage.frame(2, &format!(r#"{{"type":"batch","operations":[{}],"token":"SPK"}}"#, falls.join(",")));
    stage.tick(HELD);
    assert!(stage.core.ledger().books[&2].periods.len() < 8_200);
    assert_eq!(stage.chain().len(), 2);
    assert!(stage.status().lanes.iter().any(|lane| lane.lane == 1), "others are not touched");
}

/// A batch without end costs bounded memory, is acknowledged as far as it is spilled, and ends the lane at its bound.
#[test]
fn a_batch_without_end_closes_its_lane_and_nobody_elses() {
    let mut stage = begun();
    let text = "v".repeat(1 << 20);
    let closed = |stage: &Stage| {
        stage.out[&1].iter().any(|message| matches!(message, FromCore::Close { code: 1009, reason: "batch_too_large" }))
    };
    let mut index = 4;
    while !closed(&stage) {
        assert!(index < 300, "it is never too large");
        stage.bare(1, &format!("601:A {index} k{index}=\"{text}\""));
        index += 1;
    }
    assert!(index >= 4 + 255, "{index} is before the bound");
    assert!(stage.status().events.iter().any(|event| event.event == "lane:closed"));
    assert_eq!(stage.chain().len(), 2);
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W");
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*"]);
}
