//! A checkpoint message overtakes the ops that wait behind it.

use super::*;

#[test]
fn a_message_that_overtook_two_periods_waits_for_its_own() {
    let mut stage = begun();
    stage.checkpoint(1, 901, "D");
    stage.batch(1, &["601:A 0 c=1; 1 W"]);
    assert_eq!(stage.chain().len(), 2, "701 has no name yet, and it is not D");
    stage.bare(1, "702:B 2 d=1; 3 W");
    stage.batch(1, &["702:B 0 e=1; 1 W; 2 h=C; 3 W"]);
    stage.batch(1, &["802:C 0 f=1; 1 W"]);
    let chained = ["0:B/0+1W*", "0:B/2+1W*", "0:C/0+1W*", "0:C/2+1W*", "0:D/0+1W*"];
    assert_eq!(stage.chain()[2..], chained, "901 is D as soon as it opens");
    assert_eq!(stage.branches(), 1);
}

#[test]
fn a_message_whose_period_came_and_went_names_nothing() {
    let mut stage = begun();
    stage.checkpoint(1, 701, "B");
    stage.batch(1, &["601:A 0 c=1; 1 W"]);
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*"]);
    stage.checkpoint(1, 701, "B");
    stage.batch(1, &["702:B 0 d=1; 1 W"]);
    assert_eq!(stage.chain().len(), 3, "801 is not B");
    stage.bare(1, "802:C 2 e=1; 3 W");
    assert_eq!(stage.chain()[3..], ["0:C/0+1W*", "0:C/2+1W*"]);
}
