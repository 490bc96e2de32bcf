//! Answers to `request_missing`: what they fill and what they must not.

use super::*;

#[test]
fn an_answer_may_mix_periods_and_repeat() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 h=B; 1 W; 2 c=1; 3 W; 6 e=1; 7 W");
    let acks = stage.acks(1);
    assert_eq!(acks, "0 2 6");
    // The client gives the range of every period that it caches.
    stage.batch(1, &["601:A 2 b=1; 3 W", "702:B 2 c=1; 3 W; 4 d=1; 5 W; 6 e=1; 7 W"]);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*", "0:B/4+1W*", "0:B/6+1W*"]);
    assert_eq!((stage.parked(), stage.branches()), (0, 1));
}

#[test]
fn the_first_ops_of_a_period_under_the_old_label_fill_nothing_in_the_old_period() {
    let mut stage = begun();
    // Lost: 4 and 5 of period 601. The next period's 4 and 5 still carry the old label.
    stage.bare(1, "601:A 6 f=1; 7 W");
    stage.was_asked(1, (0, 8));
    stage.bare(1, "601:A 0 r=1; 1 W; 2 s=1; 3 W; 4 t=1; 5 W");
    // The client has forgotten period 601.
    stage.batch(1, &["601:A 0 r=1; 1 W; 2 s=1; 3 W; 4 t=1; 5 W"]);
    stage.bare(1, "702:B 6 h=B; 7 W");
    assert_eq!(stage.chain().len(), 2, "period 601 stays open at 4");
    assert_eq!(stage.status().gaps[0].gap.from, 4);
}

#[test]
fn a_live_batch_frame_is_no_answer() {
    let mut stage = begun();
    stage.bare(1, "601:A 6 c=1; 7 W");
    stage.was_asked(1, (0, 8));
    // It goes on where the stream stands, inside the range asked for.
    stage.batch(1, &["601:A 8 d=1"]);
    stage.bare(1, "601:A 9 W");
    stage.batch(1, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 x=1; 5 W; 6 c=1; 7 W; 8 d=1"]);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+1W*", "0:A/8+1W*"]);
}

#[test]
fn a_live_rollover_inside_the_range_asked_for_is_a_rollover() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 z=1; 5 W");
    stage.bare(1, "702:B 2 c=1; 3 W; 4 d=1; 5 W");
    assert_eq!(stage.asked(1), Some((0, 4)));
    stage.batch(1, &["801:B 0 h=C; 1 W"]);
    assert_eq!(stage.status().lanes[0].label, Some(801));
    stage.batch(1, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 z=1", "702:B 0 h=B; 1 W; 2 c=1; 3 W; 4 d=1"]);
    stage.tick(20);
    assert_eq!(stage.chain()[3..], ["0:B/0+1W*", "0:B/2+1W*", "0:B/4+1W*", "0:C/0+1W*"]);
}

#[test]
fn a_frame_with_a_requested_range_is_an_answer() {
    let mut stage = begun();
    stage.bare(1, "601:A 8 e=1; 9 W");
    for _ in 0..3 {
        stage.tick(10_000);
    }
    let items = items("601:A 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W; 8 e=1", "opType", true).join(",");
    stage.frame(
        1,
        &format!(r#"{{"type":"batch","operations":[{items}],"requestedRange":{{"from":2,"to":8}},"token":"SPK"}}"#),
    );
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+1W*", "0:A/8+1W*"]);
}

#[test]
fn an_empty_answer_is_one_try() {
    // Some clients name the range that they were asked for, others send a bare empty batch.
    for range in [r#","requestedRange":{"from":0,"to":10}"#, ""] {
        let mut stage = begun();
        stage.bare(1, "601:A 8 e=1; 9 W");
        for tries in 0..3 {
            assert_eq!((stage.status().gaps[0].phase, stage.status().gaps[0].tries), ("asked", tries), "{range}");
            stage.was_asked(1, (0, 10));
            stage.frame(1, &format!(r#"{{"type":"batch","operations":[],"token":"SPK"{range}}}"#));
        }
        assert_eq!(stage.status().gaps[0].phase, "recorded");
        assert_eq!(stage.asked(1), None);
    }
}

#[test]
fn an_empty_answer_to_another_question_is_no_try() {
    let mut stage = begun();
    stage.bare(1, "601:A 8 e=1; 9 W");
    stage.was_asked(1, (0, 10));
    for _ in 0..3 {
        stage.frame(1, r#"{"type":"batch","operations":[],"requestedRange":{"from":1,"to":12},"token":"SPK"}"#);
    }
    assert_eq!((stage.status().gaps[0].phase, stage.status().gaps[0].tries), ("asked", 0));
}

#[test]
fn an_answer_that_contradicts_what_is_held_has_no_place_and_is_no_fork() {
    let mut stage = begun();
    stage.bare(1, "601:A 6 c=1; 7 W");
    stage.batch(1, &["601:A 2 other=1; 3 W; 4 x=1; 5 W; 6 c=1"]);
    assert_eq!((stage.chain().len(), stage.branches()), (2, 1));
    assert!(stage.parked() >= 2, "durable all the same");
    assert_eq!(stage.acks(1), "0 2 6 2 4 6".split_at(4).1, "and acknowledged");
}

#[test]
fn a_label_with_two_runs_takes_only_what_shows_its_run() {
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.bare(1, "501:A 0 a=1; 1 W; 2 b=1; 3 W; 6 d=1; 7 W");
    stage.bare(1, "501:A 0 r=1; 1 W; 2 s=1; 3 W; 4 t=1; 5 W; 6 u=1; 7 W");
    // Both runs have these indexes.
    stage.batch(1, &["501:A 3 W; 4 c=1; 5 W; 6 d=1; 7 W", "501:A 3 W; 4 t=1; 5 W; 6 u=1; 7 W"]);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+1W*", "0:A/8+1W*", "0:A/10+1W*", "0:A/12+1W*", "0:A/14+1W*"]);
}

#[test]
fn an_answer_without_blocks_goes_where_it_repeats_what_is_held() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 h=B; 1 W; 2 c=1; 3 W; 6 e=1; 7 W");
    stage.batch(1, &["0:- 2 b=1; 3 W", "0:- 2 c=1; 3 W; 4 d=1; 5 W; 6 e=1; 7 W"]);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*", "0:B/4+1W*", "0:B/6+1W*"]);
    assert_eq!(stage.parked(), 0, "what fits nowhere was not asked for");
}

#[test]
fn an_answer_that_brings_the_pending_hash_names_the_period() {
    let mut stage = begun();
    stage.batch(1, &["601:A 0 c=1; 1 W", "702:B 4 d=1; 5 W"]);
    assert_eq!((stage.chain().len(), stage.status().lanes[0].parked), (2, Some("no_hash")));
    stage.was_asked(1, (0, 6));
    stage.batch(1, &["601:A 0 h=A; 1 W; 2 b=1; 3 W", "601:A 0 c=1; 1 W", "702:B 2 h=B; 3 W; 4 d=1; 5 W"]);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*", "0:B/4+1W*"]);
    stage.bare(1, "702:B 6 e=1; 7 W");
    assert_eq!(stage.chain().last().unwrap(), "0:B/6+1W*", "the live stream knows it too");
}

#[test]
fn a_period_that_began_in_a_dead_socket_is_named_by_its_beginning() {
    let mut stage = begun();
    stage.gone(1);
    // The start of the new period went into the dead socket, its hash with it.
    stage.open(2, Some(3));
    stage.batch(2, &["702:B 4 d=1; 5 W"]);
    let shown = ["601:A 0 h=A; 1 W; 2 b=1; 3 W", "702:B 0 h=B; 1 W; 2 c=1; 3 W; 4 d=1; 5 W"];
    stage.shows(2, &shown);
    assert_eq!((stage.chain().len(), stage.acks(2).as_str()), (2, "4"));
    stage.was_asked(2, (0, 6));
    stage.batch(2, &shown);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*", "0:B/4+1W*"]);
}

/// The lane has no period of the label that the first ops of its first period still carry. Planted once: a place only for
/// labels that the lane has (the hole stayed, as in the simulation's seed 151).
#[test]
fn what_carries_the_label_of_a_period_that_the_lane_never_had_fills_the_start_of_the_next() {
    let mut stage = Stage::new();
    stage.open(1, Some(1));
    stage.batch(1, &["501:- 2 b=1; 3 W"]);
    stage.shows(1, &["501:- 0 a=1; 1 W; 2 b=1; 3 W; 4 c=1; 5 W", "601:- 6 h=A; 7 W"]);
    stage.was_asked(1, (0, 4));
    stage.batch(1, &["501:- 0 a=1; 1 W; 2 b=1; 3 W; 4 c=1"]);
    assert_eq!(stage.chain(), ["0:A/0+1W*", "0:A/2+1W*"]);
    assert_eq!((stage.parked(), stage.status().gaps.len()), (0, 0));
}
