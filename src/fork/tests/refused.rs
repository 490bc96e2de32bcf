//! Ops that are not taken: their batch is void and its place a hole.

use super::*;

#[test]
fn a_refused_op_voids_its_batch_with_one_error_and_no_ack() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 bad; 6 bad; 7 d=1; 8 W; 9 e=1; 10 W");
    assert_eq!((stage.errors(1), stage.acks(1).as_str()), (1, "9"));
    assert_eq!(stage.chain().len(), 2);
    let gap = &stage.status().gaps[0].gap;
    assert_eq!((gap.from, gap.to), (4, 8));
    assert_eq!(stage.status().counters.refused, 1);
}

#[test]
fn a_void_batch_ends_with_its_period() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 bad; 5 c=1");
    stage.bare(1, "601:A 0 h=B; 1 W");
    assert_eq!((stage.chain().len(), stage.acks(1).as_str()), (2, "0"));
    let gap = &stage.status().gaps[0].gap;
    assert_eq!((gap.ordinal, gap.from, gap.to), (0, 4, 5));
}

#[test]
fn an_answer_without_the_refused_op_does_not_fill_the_hole() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 bad; 5 W; 6 c=1; 7 W");
    for _ in 0..4 {
        stage.batch(1, &["601:A 2 b=1; 3 W; 4 bad; 5 W; 6 c=1; 7 W"]);
        stage.tick(20);
    }
    assert_eq!(stage.chain().len(), 2);
    assert_eq!(stage.status().gaps[0].phase, "recorded");
}

#[test]
fn a_repeated_op_is_acknowledged_when_what_it_repeats_is() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 4 c=1");
    assert_eq!(stage.acks(1), "", "the batch is open: nothing of it is durable");
    stage.bare(1, "601:A 5 W");
    assert_eq!(stage.acks(1), "4 4");
    assert_eq!(stage.chain().last().unwrap(), "0:A/4+1W*");
    stage.bare(1, "601:A 5 W");
    assert_eq!(stage.chain().len(), 3, "a repeated marker is nothing");
}

#[test]
fn another_op_at_a_taken_index_is_refused() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 4 d=1; 5 W");
    assert_eq!((stage.errors(1), stage.acks(1).as_str()), (1, "4"));
    assert_eq!(stage.chain().last().unwrap(), "0:A/4+1W*");
}
