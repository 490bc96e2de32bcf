//! What the beginnings of a client's runs say about a resumed socket's place, and what happens without them.

use super::*;

/// Items 4 to 69 of period A in `begun`.
fn rest() -> String {
    let batches: Vec<String> = (2..35).map(|nth| format!("{} k{nth}=1; {} W", 2 * nth, 2 * nth + 1)).collect();
    batches.join("; ")
}

/// The items of a period's beginning that are asked for, of one that is longer.
fn first_64(own: &str) -> String {
    let all = format!("{own}; {}", rest());
    all.split("; ").take(64).collect::<Vec<_>>().join("; ")
}

/// Period A, 70 items, and no socket.
fn far() -> Stage {
    let mut stage = begun();
    stage.bare(1, &format!("601:A {}", rest()));
    assert_eq!(stage.chain().len(), 35);
    stage.gone(1);
    stage
}

#[test]
fn an_answer_that_comes_after_the_socket_was_taken_in_still_gives_it_its_place() {
    let mut stage = begun();
    stage.restart();
    stage.open(2, Some(3));
    stage.bare(2, "601:A 4 c=1; 5 W");
    stage.tick(HELD);
    assert_eq!((stage.acks(2).as_str(), stage.parked(), stage.chain().len()), ("4", 1, 2));
    let shown = "601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W";
    stage.shows(2, &[shown]);
    stage.was_asked(2, (0, 8));
    stage.batch(2, &[shown]);
    stage.bare(2, "601:A 6 d=1; 7 W");
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+1W*"]);
    assert_eq!((stage.branches(), stage.asked(2)), (1, None));
    assert_eq!(stage.parked(), 1, "its first copy, which is never evidence");
}

#[test]
fn a_silent_client_is_asked_three_times_and_then_once_a_minute() {
    let mut stage = begun();
    stage.restart();
    stage.open(2, Some(3));
    stage.bare(2, "601:A 4 c=1; 5 W");
    for _ in 0..3 {
        stage.was_asked(2, (0, 63));
        stage.tick(9_999);
        // A bare empty batch says nothing of its place.
        stage.frame(2, r#"{"type":"batch","operations":[],"token":"SPK"}"#);
        stage.tick(0);
        assert_eq!(stage.asked(2), None, "one question at a time");
        stage.tick(1);
    }
    stage.tick(59_999);
    assert_eq!(stage.asked(2), None);
    stage.tick(1);
    stage.shows(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W"]);
    stage.batch(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W"]);
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*"], "it is never given up");
}

#[test]
fn a_socket_that_says_more_than_is_held_is_taken_in() {
    let mut stage = begun();
    stage.restart();
    stage.open(2, Some(3));
    let value = "v".repeat(2 << 20);
    stage.bare(2, &format!("601:A 4 x=\"{value}\"; 5 W"));
    assert_eq!(stage.acks(2), "");
    stage.bare(2, &format!("601:A 6 y=\"{value}\"; 7 W"));
    assert_eq!((stage.acks(2).as_str(), stage.chain().len()), ("4 6", 2));
    // One frame may be more than is held, too.
    let mut stage = begun();
    stage.restart();
    stage.open(2, Some(3));
    stage.batch(2, &[&format!("601:A 4 x=\"{value}\"; 5 W; 6 y=\"{value}\"; 7 W; 8 z=1; 9 W")]);
    assert_eq!((stage.acks(2).as_str(), stage.chain().len(), stage.status().counters.ops), ("4 6 8", 2, 6));
}

#[test]
fn what_is_said_while_a_socket_is_held_keeps_its_order() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(3));
    stage.bare(2, "601:A 4 c=1; 5 W");
    stage.checkpoint(2, 701, "B");
    stage.batch(2, &["601:A 0 d=1; 1 W"]);
    assert_eq!((stage.acks(2).as_str(), stage.status().checkpoints.len()), ("", 0));
    stage.shows(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W", "601:A 0 d=1; 1 W"]);
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:B/0+1W*"]);
    assert_eq!((stage.acks(2).as_str(), stage.status().checkpoints.len()), ("4 0", 1));
}

#[test]
fn an_exact_continuation_far_into_a_period_needs_no_answer() {
    let mut stage = far();
    stage.open(2, Some(69));
    stage.bare(2, "601:A 70 z=1; 71 W");
    assert_eq!(stage.acks(2), "");
    stage.tick(HELD);
    assert_eq!((stage.chain().last().unwrap().as_str(), stage.acks(2).as_str()), ("0:A/70+1W*", "70"));
    // The answer comes after all: it is no live frame.
    let lsn = stage.core.ledger().lsn;
    stage.shows(2, &[&first_64("601:A 0 h=A; 1 W; 2 b=1; 3 W")]);
    assert_eq!((stage.core.ledger().lsn, stage.status().lanes[0].label), (lsn, Some(601)));
    stage.bare(2, "601:A 72 y=1; 73 W");
    assert_eq!((stage.chain().last().unwrap().as_str(), stage.parked()), ("0:A/72+1W*", 0));
    // An index more is no exact continuation, and near the start neither is an exact one.
    for (last, script) in [(74, "601:A 75 z=1; 76 W"), (73, "701:B 74 z=1; 75 W")] {
        let mut stage = far();
        stage.open(2, Some(last));
        stage.bare(2, script);
        stage.tick(HELD);
        assert_eq!((stage.chain().len(), stage.parked()), (35, 1), "{script}");
        assert!(stage.status().gaps.is_empty(), "no hole is made up: {script}");
    }
    let mut stage = begun();
    stage.restart();
    stage.open(2, Some(3));
    stage.bare(2, "601:A 4 c=1; 5 W");
    stage.tick(HELD);
    assert_eq!((stage.chain().len(), stage.parked()), (2, 1));
}

#[test]
fn a_client_that_has_sent_index_0_resumes_at_index_1() {
    let mut stage = Stage::new();
    stage.open(1, Some(0));
    stage.bare(1, "601:A 0 h=A");
    assert_eq!((stage.asked(1), stage.acks(1).as_str()), (None, ""), "index 0 is a beginning");
    stage.gone(1);
    stage.open(2, Some(0));
    stage.bare(2, "601:A 1 W; 2 b=1; 3 W");
    assert_eq!(stage.acks(2), "");
    stage.shows(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W"]);
    stage.was_asked(2, (0, 3));
    stage.batch(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W"]);
    stage.tick(20);
    assert_eq!(stage.chain(), ["0:A/0+1W*", "0:A/2+1W*"]);
    assert_eq!(stage.parked(), 0);
}

#[test]
fn the_first_run_of_a_cache_may_be_a_replay_and_places_nothing() {
    // The first label of a day is a root's: there the run begins with the period that it names.
    let own = "702:B 0 h=B; 1 W; 2 b=1; 3 W; 4 c=1; 5 W";
    for (shown, placed) in [(vec![own], false), (vec!["601:A 0 h=A; 1 W; 2 z=1; 3 W", own], true)] {
        let mut stage = Stage::new();
        stage.open(1, Some(3));
        stage.bare(1, "702:B 4 c=1; 5 W");
        stage.shows(1, &shown);
        stage.tick(HELD);
        assert_eq!(stage.asked(1), placed.then_some((0, 6)), "{shown:?}");
        stage.batch(1, &shown);
        stage.tick(20);
        assert_eq!(stage.chain().len(), if placed { 3 } else { 0 }, "{shown:?}");
        assert_eq!(stage.status().lanes[0].parked.is_none(), placed, "{shown:?}");
    }
}

#[test]
fn the_first_run_of_a_cache_counts_when_it_is_held_under_the_same_label() {
    let mut stage = begun();
    stage.bare(1, "702:B 0 h=B; 1 W; 2 c=1; 3 W");
    stage.gone(1);
    stage.open(2, Some(3));
    stage.bare(2, "702:B 4 d=1; 5 W");
    stage.shows(2, &["702:B 0 h=B; 1 W; 2 c=1; 3 W; 4 d=1; 5 W"]);
    assert_eq!(stage.chain().last().unwrap(), "0:B/4+1W*");
}

#[test]
fn a_run_that_names_a_period_known_under_another_label_is_a_replay() {
    let mut stage = begun();
    stage.bare(1, "702:B 0 h=B; 1 W; 2 c=1; 3 W");
    stage.gone(1);
    // A honeycomb that restarted in 1601, a root's label, writes B again, and its first socket dies meanwhile.
    stage.open(2, Some(3));
    stage.bare(2, "1602:C 4 d=1; 5 W");
    stage.shows(2, &["1602:C 0 h=B; 1 W; 2 c=1; 3 W; 4 d=1; 5 W"]);
    stage.tick(HELD);
    assert_eq!((stage.chain().len(), stage.branches(), stage.parked()), (4, 1, 1));
    assert_eq!((stage.asked(2), stage.acks(2).as_str()), (None, "4"));
}

#[test]
fn whole_periods_that_were_lost_on_the_way_are_opened_and_asked_for_one_by_one() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(1));
    stage.bare(2, "902:D 2 f=1; 3 W");
    let shown = [
        "601:A 0 h=A; 1 W; 2 b=1; 3 W",
        "702:B 0 h=B; 1 W; 2 c=1; 3 W",
        "701:B 0 d=1; 1 W",
        "802:C 2 h=C; 3 W",
        "902:D 0 h=D; 1 W; 2 f=1; 3 W",
    ];
    stage.shows(2, &shown);
    assert_eq!((stage.chain().len(), stage.acks(2).as_str()), (2, "2"));
    assert_eq!(stage.status().gaps.len(), 3, "B, C and the start of D");
    // Each answer shows the range of every period: it brings the first 64 of them all.
    stage.was_asked(2, (0, 6));
    stage.batch(2, &shown);
    stage.tick(20);
    let whole = ["0:B/0+1W*", "0:B/2+1W*", "0:C/0+1W*", "0:C/2+1W*", "0:D/0+1W*", "0:D/2+1W*"];
    assert_eq!(stage.chain()[2..], whole);
    assert_eq!((stage.branches(), stage.parked(), stage.status().gaps.len(), stage.asked(2)), (1, 0, 0, None));
}

#[test]
fn a_lost_period_that_no_answer_brings_holds_back_what_follows() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(1));
    stage.bare(2, "802:C 2 f=1; 3 W");
    stage.shows(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W", "702:B 0 h=B; 1 W; 2 c=1; 3 W", "802:C 0 h=C; 1 W; 2 f=1; 3 W"]);
    stage.was_asked(2, (0, 6));
    stage.batch(2, &["802:C 0 h=C; 1 W; 2 f=1; 3 W"]);
    for _ in 0..3 {
        stage.tick(10_000);
    }
    assert_eq!((stage.chain().len(), stage.branches()), (2, 1));
    let gaps = stage.status().gaps;
    assert_eq!(gaps.iter().map(|gap| (gap.gap.label, gap.phase)).collect::<Vec<_>>(), [(Some(701), "recorded")]);
}

#[test]
fn the_last_batch_of_a_fetched_period_is_closed_by_the_rollover() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(5));
    stage.bare(2, "702:B 0 h=B; 1 W");
    let shown = ["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 d=1", "702:B 0 h=B; 1 W"];
    stage.shows(2, &shown);
    stage.was_asked(2, (0, 8));
    stage.batch(2, &shown);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:A/4+2*", "0:B/0+1W*"]);
    let mut live = begun();
    live.bare(1, "601:A 4 c=1; 5 d=1; 0 h=B; 1 W");
    assert_eq!(stage.head_ids(), live.head_ids(), "as on a live socket");
}

#[test]
fn two_lanes_in_a_period_the_socket_begins_it_again_and_what_differs_is_a_fork() {
    let mut stage = begun();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W");
    stage.bare(1, "601:A 4 c=1; 5 W");
    stage.gone(1);
    stage.gone(2);
    stage.open(3, Some(5));
    stage.bare(3, "601:A 6 z=1; 7 W");
    let shown = "601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 y=1; 5 W; 6 z=1; 7 W";
    stage.shows(3, &[shown]);
    assert_eq!(stage.chain().len(), 3, "two lanes end where it goes on, and neither is taken");
    stage.was_asked(3, (0, 8));
    stage.batch(3, &[shown]);
    stage.tick(20);
    assert_eq!(stage.chain()[3..], ["1:A/4+1W", "1:A/6+1W*"], "its own history, from the op that differs");
    assert_eq!((stage.branches(), stage.parked()), (2, 0));
}

#[test]
fn one_lane_in_a_period_that_differs_from_what_is_shown_is_not_gone_on_with() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 W");
    stage.gone(1);
    stage.open(2, Some(5));
    stage.bare(2, "601:A 6 z=1; 7 W");
    let shown = "601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 y=1; 5 W; 6 z=1; 7 W";
    stage.shows(2, &[shown]);
    stage.was_asked(2, (0, 8));
    stage.batch(2, &[shown]);
    stage.tick(20);
    assert_eq!(stage.chain()[3..].iter().map(|word| &word[..5]).collect::<Vec<_>>(), ["1:A/4", "1:A/6"]);
}

#[test]
fn without_block_and_hash_a_socket_far_into_the_newest_held_run_goes_on_there() {
    let mut stage = far();
    stage.open(2, Some(69));
    stage.batch(2, &["0:- 70 z=1; 71 W"]);
    // It cannot be in a run that is older than one that is held; and the blocks are lost in mid-run.
    let older = first_64("501:Z 0 h=Z; 1 W; 2 z=1; 3 W");
    let later = rest().split("; ").take(60).collect::<Vec<_>>().join("; ");
    stage.shows(2, &[&older, "601:A 0 h=A; 1 W; 2 b=1; 3 W", &format!("0:- {later}")]);
    assert_eq!((stage.chain().last().unwrap().as_str(), stage.acks(2).as_str()), ("0:A/70+1W*", "70"));
    assert_eq!((stage.asked(2), stage.parked()), (None, 0));
}

#[test]
fn without_block_and_hash_nothing_tells_a_held_run_from_a_longer_one_after_it() {
    let mut stage = far();
    stage.open(2, Some(69));
    stage.batch(2, &["0:- 70 z=1; 71 W"]);
    stage.shows(2, &[&first_64("601:A 0 h=A; 1 W; 2 b=1; 3 W"), &first_64("702:B 0 h=B; 1 W; 2 x=1; 3 W")]);
    stage.tick(HELD);
    assert_eq!((stage.chain().len(), stage.parked(), stage.branches()), (35, 1, 1));
    assert_eq!(stage.acks(2), "70");
}

#[test]
fn a_lane_that_opened_its_period_by_its_own_words_asks_what_it_stands_on() {
    let mut stage = begun();
    stage.open(2, Some(0));
    stage.bare(2, "802:C 0 h=C; 1 W");
    assert_eq!((stage.parked(), stage.acks(2).as_str()), (1, "0"));
    // Nothing else has to happen for it to be looked at.
    stage.tick(20);
    assert_eq!(stage.core.wake_at(stage.now), Some(60_000));
    stage.tick(60_000);
    let shown = ["601:A 0 h=A; 1 W; 2 b=1; 3 W", "702:B 0 h=B; 1 W; 2 c=1; 3 W", "802:C 0 h=C; 1 W"];
    stage.shows(2, &shown);
    while let Some(range) = stage.asked(2) {
        stage.was_asked(2, range);
        stage.batch(2, &shown);
        stage.tick(20);
    }
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*", "0:C/0+1W*"]);
    stage.bare(2, "802:C 2 d=1; 3 W");
    assert_eq!(stage.chain().last().unwrap(), "0:C/2+1W*");
    assert_eq!(stage.branches(), 1);
}
