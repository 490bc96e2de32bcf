//! The first ops of a period still carry the label of the one before, also where the period's own label is known already:
//! a socket that was put there from what its client showed, or a checkpoint message that overtook the queue. What such a
//! socket says live is no answer that comes late.

use super::*;

/// Period B behind A. Its first marker straggled in from A, and two more items carry A's label.
const B: [&str; 2] = ["601:A 0 W; 1 c=1; 2 W", "701:B 3 h=B; 4 W; 5 d=1; 6 W"];
const CHAIN: [&str; 6] = ["0:A/0+1W*", "0:A/2+1W*", "0:B/0+0W*", "0:B/1+1W*", "0:B/3+1W*", "0:B/5+1W*"];

/// Period B is held, and its socket has gone. Another one, whose client had sent all of A, has been put at B's start by
/// what its client showed, and has said its first item.
fn placed() -> Stage {
    let mut stage = begun();
    B.iter().for_each(|script| stage.bare(1, script));
    assert_eq!(stage.chain(), CHAIN);
    stage.gone(1);
    stage.open(2, Some(3));
    stage.bare(2, "601:A 0 W");
    stage.shows(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W", B[0], B[1]]);
    stage
}

/// Planted once: a frame that begins below the period's own label went back (the frame was dropped, what followed it took
/// its places and made a fork, as in the simulation's seed 344).
#[test]
fn a_live_frame_that_begins_under_the_old_label_does_not_go_back() {
    let mut stage = placed();
    stage.batch(2, &["601:A 1 c=1; 2 W", "701:B 3 h=B; 4 W; 5 d=1; 6 W; 7 e=1; 8 W", "801:C 0 h=C; 1 W; 2 f=1; 3 W"]);
    assert_eq!(stage.chain()[6..], ["0:B/7+1W*", "0:C/0+1W*", "0:C/2+1W*"]);
    assert_eq!((stage.branches(), stage.parked(), stage.errors(2)), (1, 0, 0));
    assert_eq!(stage.acks(2), "1 3 5 7 0 2");
}

/// Planted once: only a frame under the period's own label goes on where the stream stands.
#[test]
fn a_live_frame_under_the_old_label_goes_on_inside_the_range_asked_for() {
    let mut stage = placed();
    stage.bare(2, "601:A 1 c=1");
    stage.batch(2, &["601:A 2 W", "701:B 3 h=B; 4 W; 5 d=1; 6 W; 7 e=1; 8 W"]);
    assert_eq!(stage.chain()[6..], ["0:B/7+1W*"]);
    assert_eq!((stage.branches(), stage.parked(), stage.acks(2).as_str()), (1, 0, "1 3 5 7"));
}

/// The published client sends its checkpoint message past its queue: it names the period while ops under the old label
/// still wait.
#[test]
fn a_checkpoint_message_overtakes_ops_under_the_old_label() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 W; 1 c=1");
    stage.checkpoint(1, 701, "B");
    stage.batch(1, &["601:A 2 W; 3 g=1", "701:B 4 h=B; 5 W"]);
    assert_eq!(stage.chain()[2..], ["0:B/0+0W*", "0:B/1+1W*", "0:B/3+2W*"]);
    assert_eq!((stage.acks(1).as_str(), stage.errors(1)), ("1 3 4", 0));
}

/// Once the stream has come to the period's own label it does not go back to the old one: that is an answer.
#[test]
fn behind_its_own_label_the_old_one_is_an_answer() {
    let mut stage = placed();
    stage.bare(2, "601:A 1 c=1; 2 W");
    stage.bare(2, "701:B 3 h=B; 4 W");
    stage.batch(2, &["601:A 0 W; 1 c=1; 2 W", "701:B 3 h=B; 4 W"]);
    stage.bare(2, "701:B 5 d=1; 6 W; 7 e=1; 8 W");
    assert_eq!(stage.chain()[6..], ["0:B/7+1W*"]);
    assert_eq!((stage.branches(), stage.parked(), stage.errors(2)), (1, 0, 0));
}
