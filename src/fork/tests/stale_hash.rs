//! The first ops of a period may still carry the block and the hash of the one before.

use super::*;

#[test]
fn an_op_with_the_block_of_the_period_before_does_not_name_the_new_one() {
    let mut stage = Stage::new();
    stage.open(1, Some(0));
    // Batch frames carry no hash: that of the first period is not known when the index falls.
    stage.batch(1, &["501:A 0 a=1; 1 W; 2 b=1; 3 W"]);
    stage.bare(1, "501:A 0 c=1; 1 W");
    assert!(stage.chain().is_empty());
    stage.bare(1, "602:B 2 h=B; 3 W");
    assert_eq!(stage.chain(), ["0:B/0+1W*", "0:B/2+1W*"]);
}
