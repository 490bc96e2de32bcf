//! A marker that straggled into a period when it was written first is not there when a restarted honeycomb writes the
//! period again from its start: the same content is no other history.

use super::*;

const CHAIN: [&str; 5] = ["0:A/0+1W*", "0:A/2+1W*", "0:B/0+0W*", "0:B/1+1W*", "0:B/3+1W*"];

/// Period B begins with a marker of period A.
fn straggled() -> Stage {
    let mut stage = begun();
    rolls_over(&mut stage);
    stage
}

fn rolls_over(stage: &mut Stage) {
    stage.bare(1, "601:A 0 W");
    stage.bare(1, "701:B 1 h=B; 2 W; 3 c=1; 4 W");
}

/// Planted once: none of it (a fork at B/0).
#[test]
fn a_honeycomb_that_begins_its_period_again_without_the_marker_goes_on_behind_it() {
    let mut stage = straggled();
    assert_eq!(stage.chain(), CHAIN);
    stage.gone(1);
    stage.open(2, Some(0));
    stage.bare(2, "701:B 0 h=B; 1 W; 2 c=1; 3 W");
    stage.tick(20);
    stage.bare(2, "701:B 4 d=1; 5 W");
    assert_eq!((stage.chain()[5..].to_vec(), stage.branches()), (vec!["0:B/5+1W*".to_owned()], 1));
    assert_eq!((stage.acks(2).as_str(), stage.parked()), ("0 2 4", 0));
    // Its indexes still mean what they say.
    stage.bare(2, "701:B 8 f=1; 9 W");
    assert_eq!(stage.asked(2), Some((3, 10)));
    stage.batch(2, &["701:B 3 W; 4 d=1; 5 W; 6 e=1; 7 W; 8 f=1; 9 W"]);
    stage.bare(2, "801:C 0 h=C; 1 W");
    assert_eq!(stage.chain()[6..], ["0:B/7+1W*", "0:B/9+1W*", "0:C/0+1W*"]);
    assert_eq!((stage.branches(), stage.parked()), (1, 0));
    stage.restart();
}

/// All of it in one frame: what is found in it is counted from where the lane was.
#[test]
fn one_frame_may_hold_more_than_the_start() {
    let mut stage = straggled();
    stage.open(2, Some(0));
    stage.batch(2, &["701:B 0 h=B; 1 W; 2 c=1; 3 W; 4 d=1; 5 W; 6 e=1", "801:C 0 h=C; 1 W"]);
    stage.tick(20);
    assert_eq!(stage.chain()[5..], ["0:B/5+1W*", "0:B/7+1*", "0:C/0+1W*"]);
    assert_eq!((stage.branches(), stage.parked()), (1, 0));
}

/// It came when nobody knew what the period stands on, and its socket is gone.
#[test]
fn what_waited_for_the_period_before_has_its_place_too() {
    let mut stage = begun();
    stage.open(2, Some(0));
    stage.bare(2, "701:B 0 h=B; 1 W; 2 c=1; 3 W; 4 d=1; 5 W");
    stage.gone(2);
    assert_eq!((stage.parked(), stage.chain().len()), (3, 2));
    rolls_over(&mut stage);
    stage.tick(1_000);
    assert_eq!(stage.chain()[..5], CHAIN);
    assert_eq!(stage.chain()[5..], ["0:B/5+1W*"]);
    assert_eq!((stage.branches(), stage.parked()), (1, 0));
}

/// Other content behind it is one, where it differs.
#[test]
fn other_content_behind_it_is_a_fork_where_it_differs() {
    let mut stage = straggled();
    stage.open(2, Some(0));
    stage.bare(2, "701:B 0 h=B; 1 W; 2 c=2; 3 W");
    stage.tick(20);
    assert_eq!(stage.chain()[5..], ["1:B/3+1W"]);
    assert_eq!(stage.branches(), 2);
}

/// It wrote the period again under another label before the period itself was known, and a replay leaves out empty batches.
/// Planted once: a place for it once the period is known (a fork at B/0, as simulation seed 506 found it).
#[test]
fn a_period_written_again_before_it_was_known_is_no_fork_once_it_is() {
    let mut stage = begun();
    stage.open(2, Some(0));
    stage.batch(2, &["801:- 0 h=B; 1 W; 2 c=1; 3 W"]);
    stage.gone(2);
    rolls_over(&mut stage);
    stage.tick(1_000);
    assert_eq!((stage.chain(), stage.branches(), stage.parked()), (CHAIN.map(str::to_owned).to_vec(), 1, 2));
}
