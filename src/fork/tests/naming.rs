//! A period's hash and label: the first word counts.

use super::*;

#[test]
fn the_put_of_pending_hash_names_it() {
    let mut stage = begun();
    stage.batch(1, &["601:A 0 c=1; 1 W; 2 h=B; 3 W"]);
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*"]);
}

#[test]
fn a_fork_hash_that_differs_names_it() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 c=1; 1 W");
    stage.bare(1, "702:B 2 d=1");
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*"]);
}

#[test]
fn a_checkpoint_message_names_it() {
    let mut stage = begun();
    stage.batch(1, &["601:A 0 c=1; 1 W", "702:B 2 d=1; 3 W"]);
    assert_eq!(stage.chain().len(), 2);
    stage.checkpoint(1, 701, "B");
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*"]);
}

#[test]
fn a_checkpoint_that_overtakes_the_ops_names_the_period_to_come() {
    let mut stage = begun();
    stage.checkpoint(1, 701, "B");
    stage.bare(1, "601:A 4 z=1; 5 W");
    assert_eq!(stage.chain().last().unwrap(), "0:A/4+1W*");
    stage.batch(1, &["601:A 0 c=1; 1 W"]);
    assert_eq!(stage.chain().last().unwrap(), "0:B/0+1W*");
    stage.bare(1, "702:B 2 d=1; 3 W");
    stage.checkpoint(1, 701, "B");
    assert_eq!(stage.chain().len(), 5, "it never rolls over twice");
}

#[test]
fn late_word_on_an_ended_period_names_nothing() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 h=B; 1 W; 0 h=C; 1 W");
    stage.checkpoint(1, 701, "B");
    stage.bare(1, "801:C 2 c=1; 3 W");
    stage.batch(1, &["801:C 0 d=1; 1 W", "901:D 2 h=D; 3 W"]);
    let chain = stage.chain();
    assert_eq!(chain[chain.len() - 2..], ["0:D/0+1W*", "0:D/2+1W*"]);
}

#[test]
fn a_checkpoint_of_another_label_does_not_name_the_current_period() {
    let mut stage = begun();
    stage.batch(1, &["601:A 0 c=1; 1 W", "702:B 2 d=1; 3 W"]);
    stage.checkpoint(1, 801, "C");
    assert_eq!(stage.chain().len(), 2);
    stage.bare(1, "701:B 4 e=1; 5 W");
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*", "0:B/4+1W*"]);
}

#[test]
fn a_checkpoint_without_hash_is_ignored() {
    let mut stage = begun();
    stage.frame(1, r#"{"type":"checkpoint","blockNum":701,"token":"SPK"}"#);
    stage.bare(1, "601:A 4 c=1; 5 W");
    assert_eq!(stage.chain().last().unwrap(), "0:A/4+1W*");
    assert!(stage.status().checkpoints.is_empty());
}

#[test]
fn a_checkpoint_confirms_what_is_known() {
    let mut stage = begun();
    stage.checkpoint(1, 601, "A");
    assert!(stage.status().periods[0].is_confirmed);
    assert_eq!(stage.status().checkpoints.len(), 1);
}

#[test]
fn null_hashes_and_block_0_change_nothing() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 h=B; 1 W");
    stage.bare(1, "702:B 2 c=1; 3 W");
    stage.bare(1, "0:- 4 d=1; 5 W");
    stage.bare(1, "0:- 0 h=C; 1 W");
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*", "0:B/4+1W*", "0:C/0+1W*"]);
}

#[test]
fn the_hash_before_is_no_name() {
    let mut stage = begun();
    // Inside a period prevCheckpointHash becomes equal to forkHash; early ops carry the hash before.
    stage.bare(1, "601:A 0 c=1; 1 W; 2 d=1; 3 W");
    assert_eq!(stage.parked(), 2);
    assert_eq!(stage.status().lanes[0].parked, Some("no_hash"));
}

#[test]
fn the_opening_label_is_known_by_the_batches_chained_after_it() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 c=1; 1 W; 2 h=B; 3 W");
    stage.bare(1, "702:B 4 d=1; 5 W");
    let labels: Vec<Option<u64>> = stage
        .records
        .iter()
        .filter_map(|(_, record)| match record {
            Record::Chain(chain) if chain.period.as_str() == "B" => Some(chain.opening_label),
            _ => None,
        })
        .collect();
    assert_eq!(labels, [Some(701); 3]);
    let status = stage.status();
    assert_eq!((status.head.unwrap().opening_label, status.periods[0].block_num), (Some(701), Some(701)));
}

#[test]
fn unnumbered_markers_leave_both_continuations_open() {
    for second in ["601:A 1 b=1; _ W; 2 c=1; _ W", "601:A 2 b=1; _ W; 4 c=1; _ W"] {
        let mut stage = Stage::new();
        stage.open(1, None);
        stage.bare(1, "601:A 0 a=1; _ W");
        stage.bare(1, second);
        assert_eq!(stage.chain(), ["0:A/0+1W*", "0:A/2+1W*", "0:A/4+1W*"], "{second}");
    }
}

#[test]
fn an_op_without_index_takes_the_next_place_and_is_acknowledged_without() {
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.bare(1, "601:A _ a=1; _ b=1; _ W; _ W; _ c=1; _ W");
    assert_eq!(stage.chain(), ["0:A/0+2W*", "0:A/3+0W*", "0:A/4+1W*"]);
    assert_eq!(stage.acks(1), "_ _ _");
    stage.checkpoint(1, 701, "B");
    stage.bare(1, "701:B _ d=1; _ W");
    assert_eq!(stage.chain().last().unwrap(), "0:B/0+1W*", "without an index the checkpoint rolls over");
}
