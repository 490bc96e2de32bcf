//! An answer repeats what lies beside its hole, also what the live stream has just sent.

use super::*;

#[test]
fn a_part_of_the_open_batch_in_an_answer_does_not_stand_in_its_way() {
    let mut stage = begun();
    stage.bare(1, "601:A 6 d=1; 7 e=1");
    stage.was_asked(1, (0, 8));
    // The client sent 7 after this; 6 is open here.
    stage.batch(1, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1"]);
    stage.bare(1, "601:A 8 W; 9 f=1; 10 W");
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+2W*", "0:A/9+1W*"]);
    assert_eq!((stage.parked(), stage.status().gaps.len()), (0, 0));
    stage.restart();
    assert_eq!((stage.parked(), stage.status().gaps.len()), (0, 0));
}
