//! The daily accounting: the index restarts, the period goes on.

use super::*;

fn daily() -> Stage {
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.bare(1, "501:A 0 h=A; 1 W");
    stage
}

#[test]
fn the_daily_second_run_continues_the_period() {
    let mut stage = daily();
    stage.bare(1, "501:A 0 b=1; 1 W; 2 c=1; 3 W");
    assert_eq!(stage.chain(), ["0:A/0+1W*", "0:A/2+1W*", "0:A/4+1W*"]);
    stage.bare(1, "501:A 0 h=B; 1 W");
    assert_eq!(stage.chain().last().unwrap(), "0:B/0+1W*", "the third restart is the next period");
}

#[test]
fn an_open_batch_goes_on_across_the_restart() {
    let mut stage = daily();
    stage.bare(1, "501:A 2 b=1");
    stage.bare(1, "501:A 0 c=1; 1 W; 2 d=1; 3 W");
    assert_eq!(stage.chain()[1..], ["0:A/2+2W*", "0:A/5+1W*"]);
    assert_eq!(stage.acks(1), "0 2 0 2");
}

#[test]
fn batch_frames_and_unknown_hashes_do_not_hide_it() {
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.bare(1, "401:Z 0 a=1; 1 W");
    stage.batch(1, &["401:Z 0 b=1; 1 W", "502:A 2 h=A; 3 W", "501:A 0 c=1; 1 W"]);
    assert_eq!(stage.chain()[1..], ["0:A/0+1W*", "0:A/2+1W*", "0:A/4+1W*"]);
}

#[test]
fn a_checkpoint_message_that_overtook_the_second_run_changes_nothing() {
    let mut stage = daily();
    stage.checkpoint(1, 601, "B");
    stage.bare(1, "501:A 0 b=1; 1 W");
    assert_eq!(stage.chain()[1..], ["0:A/2+1W*"]);
    stage.bare(1, "501:A 0 c=1; 1 W");
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*"]);
}

#[test]
fn another_hash_or_label_after_the_fall_makes_it_a_rollover() {
    let mut stage = daily();
    stage.bare(1, "601:B 0 b=1; 1 W");
    assert_eq!(stage.chain()[1..], ["0:B/0+1W*"]);
    let mut stage = daily();
    stage.bare(1, "501:B 0 b=1; 1 W");
    assert_eq!(stage.chain()[1..], ["0:B/0+1W*"]);
}

#[test]
fn other_periods_have_no_second_run() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 z=1; 1 W");
    assert_eq!(stage.chain().len(), 2);
    stage.bare(1, "702:B 2 y=1; 3 W");
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*"]);
}

#[test]
fn a_hole_in_the_second_run_is_filled_there() {
    let mut stage = daily();
    stage.bare(1, "501:A 0 b=1; 1 W; 2 c=1; 3 W; 4 d=1; 5 W");
    stage.bare(1, "501:A 8 f=1; 9 W");
    assert_eq!(stage.asked(1), Some((3, 10)));
    // The client has both runs in its cache; the first is too short to have these indexes.
    stage.batch(1, &["501:A 3 W; 4 d=1; 5 W; 6 e=1; 7 W; 8 f=1; 9 W"]);
    stage.tick(20);
    assert_eq!(stage.chain()[3..], ["0:A/6+1W*", "0:A/8+1W*", "0:A/10+1W*"]);
}

#[test]
fn a_resume_after_the_first_run_joins_the_second() {
    let mut stage = daily();
    stage.bare(1, "501:A 2 b=1; 3 W");
    stage.gone(1);
    stage.open(2, Some(3));
    stage.bare(2, "501:A 0 c=1; 1 W");
    assert_eq!((stage.chain()[1..].len(), stage.acks(2).as_str()), (1, ""), "a fall may be the next period as well");
    stage.shows(2, &["501:A 0 h=A; 1 W; 2 b=1; 3 W", "501:A 0 c=1; 1 W"]);
    assert_eq!(stage.chain()[1..], ["0:A/2+1W*", "0:A/4+1W*"]);
    assert_eq!(stage.acks(2), "0");
}

#[test]
fn a_lane_joined_before_the_daily_restart_takes_it_for_no_period() {
    let mut stage = Stage::new();
    stage.open(1, Some(0));
    stage.bare(1, "501:A 7 a=1; 8 W");
    stage.tick(HELD);
    stage.checkpoint(1, 601, "B");
    stage.bare(1, "501:A 0 b=1; 1 W; 2 c=1; 3 W");
    assert_eq!(stage.chain().len(), 0, "the second run of a period whose start nobody saw");
    stage.bare(1, "501:A 0 d=1; 1 W; 2 h=B; 3 W");
    assert_eq!(stage.chain(), ["0:B/0+1W*", "0:B/2+1W*"]);
}

#[test]
fn a_lane_joined_in_the_second_run_sees_the_rollover() {
    let mut stage = Stage::new();
    stage.open(1, Some(0));
    stage.bare(1, "501:A 7 a=1; 8 W");
    stage.tick(HELD);
    stage.bare(1, "501:A 0 b=1; 1 W; 2 h=B; 3 W");
    assert_eq!(stage.chain(), ["0:B/0+1W*", "0:B/2+1W*"]);
}

/// Answers every question until none is left; gives how many there were.
fn answer_all(stage: &mut Stage, feed: u64, runs: &[&str]) -> usize {
    let mut questions = 0;
    while let Some((from, to)) = stage.asked(feed) {
        stage.was_asked(feed, (from, to));
        let shown: Vec<String> = runs.iter().map(|run| resume::within(run, from, to)).collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).filter(|run| !run.ends_with(' ')).collect();
        stage.batch(feed, &shown);
        stage.tick(20);
        questions += 1;
        assert!(questions < 12, "{from}..={to}");
    }
    questions
}

/// A run of so many batches of one op; the first op is given.
fn run_of(head: &str, first: &str, key: &str, batches: u64) -> String {
    let more: Vec<String> = (1..batches).map(|nth| format!("{} {key}{nth}=1; {} W", 2 * nth, 2 * nth + 1)).collect();
    format!("{head} 0 {first}; 1 W; {}", more.join("; "))
}

/// The node was away from the first batch of a daily period on, until the period after it had begun.
fn away(runs: &[&str]) -> Stage {
    let mut stage = daily();
    stage.gone(1);
    stage.open(2, Some(1));
    stage.bare(2, "602:B 2 z=1; 3 W");
    answer_all(&mut stage, 2, runs);
    stage
}

#[test]
fn a_second_run_that_was_lost_is_asked_for_when_the_first_is_complete() {
    let (first, second) = (run_of("501:A", "h=A", "k", 40), run_of("501:A", "b=1", "l", 50));
    let stage = away(&[&first, &second, "601:B 0 h=B; 1 W; 2 z=1; 3 W"]);
    let expected = (0..90).map(|nth| format!("0:A/{}+1W*", 2 * nth));
    let expected: Vec<String> = expected.chain((0..2).map(|nth| format!("0:B/{}+1W*", 2 * nth))).collect();
    assert_eq!(stage.chain(), expected);
    assert_eq!((stage.parked(), stage.status().gaps.len()), (0, 0));
}

#[test]
fn a_short_second_run_and_one_behind_periods_that_were_lost_whole() {
    let (first, second) = (run_of("501:B", "h=B", "k", 40), run_of("501:B", "b=1", "l", 3));
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.bare(1, "401:A 0 h=A; 1 W");
    stage.gone(1);
    stage.open(2, Some(1));
    stage.bare(2, "602:C 2 z=1; 3 W");
    answer_all(&mut stage, 2, &["401:A 0 h=A; 1 W", &first, &second, "601:C 0 h=C; 1 W; 2 z=1; 3 W"]);
    let expected = std::iter::once("0:A/0+1W*".to_owned()).chain((0..43).map(|nth| format!("0:B/{}+1W*", 2 * nth)));
    let expected: Vec<String> = expected.chain((0..2).map(|nth| format!("0:C/{}+1W*", 2 * nth))).collect();
    assert_eq!(stage.chain(), expected);
    assert_eq!((stage.parked(), stage.status().gaps.len()), (0, 0));
}

#[test]
fn a_client_that_wrote_no_second_run_ends_the_daily_period_with_its_first() {
    let stage = away(&[&run_of("501:A", "h=A", "k", 40), "601:B 0 h=B; 1 W; 2 z=1; 3 W"]);
    assert_eq!((stage.chain().len(), stage.chain().last().unwrap().as_str()), (42, "0:B/2+1W*"));
    assert_eq!((stage.parked(), stage.status().gaps.len()), (0, 0));
}

#[test]
fn nobody_says_whether_a_second_run_follows() {
    let first = run_of("501:A", "h=A", "k", 40);
    let mut stage = away(&[&first]);
    for _ in 0..6 {
        stage.tick(10_000);
    }
    assert!(!stage.chain().iter().any(|word| word.contains(":B/")), "silence proves nothing");
}

#[test]
fn a_socket_in_a_second_run_behind_a_first_of_unknown_length_gets_its_place_in_the_next_period() {
    let (first, second) = (run_of("501:A", "h=A", "k", 40), run_of("501:A", "b=1", "l", 40));
    let mut stage = daily();
    stage.gone(1);
    stage.open(2, Some(77));
    stage.bare(2, "501:A 78 l39=1; 79 W");
    answer_all(&mut stage, 2, &[&first, &second]);
    stage.tick(HELD);
    stage.bare(2, "601:B 0 h=B; 1 W; 2 z=1; 3 W");
    stage.tick(60_000);
    stage.was_asked(2, (0, 63));
    // It goes on while the answer is on its way: first to a period that has no name yet, then to one that has.
    stage.bare(2, "601:B 0 y=1");
    let shown = [resume::within(&first, 0, 63), resume::within(&second, 0, 63)];
    stage.batch(2, &[&shown[0], &shown[1], "601:B 0 h=B; 1 W; 2 z=1; 3 W"]);
    stage.bare(2, "701:C 1 h=C; 2 W; 3 z=2; 4 W");
    stage.tick(2_000);
    stage.was_asked(2, (0, 63));
    let third = ["601:B 0 y=1", "701:C 1 h=C; 2 W; 3 z=2; 4 W"];
    let runs = [first.as_str(), second.as_str(), "601:B 0 h=B; 1 W; 2 z=1; 3 W", third[0], third[1]];
    stage.batch(2, &[&shown[0], &shown[1], runs[2], runs[3], runs[4]]);
    answer_all(&mut stage, 2, &runs);
    let expected = (0..80).map(|nth| format!("0:A/{}+1W*", 2 * nth));
    let expected = expected.chain((0..2).map(|nth| format!("0:B/{}+1W*", 2 * nth)));
    let expected: Vec<String> = expected.chain(["0:C/0+2W*".to_owned(), "0:C/3+1W*".to_owned()]).collect();
    assert_eq!(stage.chain(), expected);
}

/// Of the second run nothing came, and its length is known. Planted once: a hole of a run that nothing is held of counted
/// as filled, and nobody was told.
#[test]
fn a_second_run_that_is_missing_as_a_whole_is_asked_for() {
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.bare(1, "501:A 0 h=A; 1 W; 2 b=1; 3 W");
    stage.gone(1);
    stage.open(2, Some(3));
    stage.bare(2, "601:B 0 h=B; 1 W");
    let runs = ["501:- 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W", "501:- 0 d=1; 1 W; 2 e=1; 3 W", "601:- 0 h=B; 1 W"];
    stage.shows(2, &runs);
    let missing = |stage: &Stage| {
        stage.status().gaps.iter().map(|gap| (gap.gap.run, gap.gap.from, gap.gap.to)).collect::<Vec<_>>()
    };
    assert_eq!(missing(&stage), [(0, 4, 5), (1, 0, 3)]);
    stage.was_asked(2, (0, 8));
    stage.batch(2, &runs);
    assert_eq!(missing(&stage), [(1, 0, 3)]);
    stage.shows(2, &runs);
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+1W*", "0:A/8+1W*", "0:B/0+1W*"]);
    assert_eq!((missing(&stage), stage.parked()), (vec![], 0));
    stage.restart();
}
