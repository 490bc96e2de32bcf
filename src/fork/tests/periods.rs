//! Where a period opens and what it stands on.

use super::*;

#[test]
fn a_fall_opens_the_next_period_behind_the_last_batch() {
    let mut stage = begun();
    // The first ops after the save still carry the old hash and block.
    stage.bare(1, "601:A 0 c=1; 1 W");
    assert_eq!(stage.chain().len(), 2, "no name yet: parked");
    assert_eq!(stage.parked(), 1);
    assert_eq!(stage.acks(1), "0", "durable, so acknowledged");
    stage.bare(1, "702:B 2 d=1; 3 W");
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*"]);
    assert_eq!(stage.parked(), 0);
    let head = stage.status().head.unwrap();
    assert_eq!((head.label, head.period.as_str()), (Some(701), "B"));
}

#[test]
fn an_open_batch_is_closed_by_the_rollover_and_the_marker_straggles_into_the_next_period() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 d=1");
    assert_eq!(stage.acks(1), "");
    stage.bare(1, "601:A 0 W");
    assert_eq!(stage.acks(1), "4 5");
    stage.bare(1, "702:B 1 e=1; 2 W");
    assert_eq!(stage.chain()[2..], ["0:A/4+2*", "0:B/0+0W*", "0:B/1+1W*"]);
}

#[test]
fn an_empty_batch_has_a_place() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 W; 5 c=1; 6 W");
    assert_eq!(stage.chain()[2..], ["0:A/4+0W*", "0:A/5+1W*"]);
}

#[test]
fn batch_frames_without_hashes_are_cut_the_same_way() {
    let mut one = Stage::new();
    one.open(1, None);
    one.bare(1, "601:A 0 a=1; 1 W; 2 b=1; 3 W; 0 c=1; 1 W; 2 h=B; 3 W");
    let mut two = Stage::new();
    two.open(1, None);
    two.bare(1, "601:A 0 a=1");
    two.batch(1, &["601:A 1 W; 2 b=1; 3 W", "601:A 0 c=1; 1 W; 2 h=B", "702:B 3 W"]);
    assert_eq!(one.head_ids(), two.head_ids());
    assert_eq!(one.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*"]);
}

#[test]
fn two_rollovers_and_a_hole_in_one_frame_stay_apart() {
    let mut stage = begun();
    stage.batch(1, &["601:A 4 c=1; 6 d=1; 7 W", "702:B 0 h=B; 1 W; 2 e=1; 3 W", "802:C 0 h=C; 1 W"]);
    let gaps = stage.status().gaps;
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].gap.ordinal, gaps[0].gap.from, gaps[0].gap.to, gaps[0].gap.label), (0, 5, 5, Some(601)));
    assert_eq!(stage.chain().len(), 2, "the head stays before the hole");
    assert_eq!(stage.asked(1), Some((2, 8)), "with what lies beside the hole");
    stage.batch(1, &["601:A 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W", "702:B 2 e=1; 3 W"]);
    stage.tick(20); // a batch in several pieces is read back once they are durable
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+1W*", "0:B/0+1W*", "0:B/2+1W*", "0:C/0+1W*"]);
}

#[test]
fn fork_start_opens_at_the_next_index_0() {
    let mut stage = Stage::new();
    stage.open(1, Some(0));
    stage.frame(1, r#"{"type":"fork_start","forkHash":"A","blockNum":601}"#);
    stage.bare(1, "601:A 0 a=1; 1 W");
    stage.frame(1, r#"{"type":"fork_start","forkHash":"B","blockNum":701}"#);
    stage.bare(1, "601:A 2 b=1; 3 W");
    stage.bare(1, "701:B 0 c=1; 1 W");
    assert_eq!(stage.chain(), ["0:A/0+1W*", "0:A/2+1W*", "0:B/0+1W*"]);
}

#[test]
fn a_lane_that_begins_with_its_own_pending_hash_opens_a_period() {
    let mut stage = Stage::new();
    stage.open(1, Some(0));
    stage.bare(1, "602:A 0 h=A; 1 W; 2 a=1; 3 W");
    assert_eq!(stage.chain(), ["0:A/0+1W*", "0:A/2+1W*"]);
}

#[test]
fn a_new_process_is_parked_until_something_opens_a_period() {
    let mut stage = Stage::new();
    stage.open(1, Some(0));
    stage.bare(1, "601:A 0 a=1; 1 W; 2 b=1; 3 W");
    assert_eq!((stage.chain().len(), stage.parked()), (0, 2));
    assert_eq!(stage.acks(1), "0 2");
    stage.bare(1, "601:A 0 c=1; 1 W; 2 h=B; 3 W");
    assert_eq!(stage.chain(), ["0:B/0+1W*", "0:B/2+1W*"], "the first period ever chained needs no predecessor");
    stage.bare(1, "701:B 0 c=1; 1 W; 2 h=C; 3 W");
    assert_eq!(stage.chain()[2..], ["0:C/0+1W*", "0:C/2+1W*"]);
}

#[test]
fn a_lane_joined_in_mid_period_is_parked_until_the_next() {
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.bare(1, "601:A 5 a=1; 6 W");
    assert_eq!((stage.chain().len(), stage.parked()), (0, 1));
    stage.bare(1, "601:A 0 h=B; 1 W");
    assert_eq!(stage.chain(), ["0:B/0+1W*"]);
}

#[test]
fn a_second_lane_finds_its_predecessor_by_the_opening_hash() {
    let mut stage = begun();
    stage.bare(1, "702:B 0 h=B; 1 W");
    stage.open(2, Some(0));
    stage.bare(2, "601:A 7 z=1; 8 W; 0 h=B; 1 W; 2 c=1; 3 W");
    assert_eq!((stage.acks(2).as_str(), stage.chain().len()), ("", 3), "held");
    stage.tick(HELD);
    assert_eq!(stage.branches(), 1);
    assert_eq!(stage.chain().last().unwrap(), "0:B/2+1W*", "its first batch repeats, its second goes on");
    assert_eq!(stage.acks(2), "7 0 2");
}

#[test]
fn a_lane_that_finds_no_predecessor_is_parked() {
    let mut stage = begun();
    stage.open(2, Some(0));
    stage.bare(2, "901:X 0 h=Y; 1 W; 2 z=1; 3 W");
    assert_eq!(stage.chain().len(), 2);
    assert_eq!(stage.branches(), 1, "never evidence of a fork");
    assert_eq!(stage.parked(), 2);
}
