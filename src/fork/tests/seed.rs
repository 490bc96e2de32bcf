//! Seed numbering: real block numbers, `fork_start`, `sendCheckpoint`, a hash on every op.

use super::*;

fn send_checkpoint(stage: &mut Stage, block: u64, hash: &str, prev: &str) {
    stage.frame(
        1,
        &format!(r#"{{"type":"sendCheckpoint","blockNum":{block},"hash":"{hash}","prevHash":"{prev}","timestamp":5}}"#),
    );
}

fn seeded() -> Stage {
    let mut stage = Stage::new();
    stage.open(1, Some(0));
    stage.frame(1, r#"{"type":"fork_start","forkHash":"A","blockNum":12340,"timestamp":5}"#);
    stage.bare(1, "12340:A 0 a=1");
    stage.bare(1, "12341:A 1 W");
    stage
}

#[test]
fn labels_are_blocks_as_sent() {
    let mut stage = seeded();
    stage.bare(1, "12344:A 2 b=1; 3 W");
    assert_eq!(stage.status().lanes[0].numbering, "seed");
    let status = stage.status();
    assert_eq!(status.head.unwrap().label, Some(12_344));
    assert_eq!(status.periods[0].block_num, Some(12_340));
    assert_eq!(status.periods[0].last_write_marker.as_ref().unwrap().block_num, Some(12_344));
}

#[test]
fn the_checkpoint_message_and_the_new_hash_open_a_period_once() {
    for index in [0, 4] {
        let mut stage = seeded();
        stage.bare(1, "12344:A 2 b=1; 3 W");
        send_checkpoint(&mut stage, 12_345, "B", "A");
        stage.bare(1, &format!("12345:B {index} c=1; {} W", index + 1));
        assert!(stage.chain().pop().unwrap().contains(":B/"), "whether the index restarts or not");
        assert_eq!(stage.status().periods.len(), 2);
        assert_eq!(stage.core.ledger().books[&1].periods.len(), 2);
    }
}

#[test]
fn a_change_of_the_hash_opens_a_period_without_a_message() {
    let mut stage = seeded();
    stage.bare(1, "12344:A 2 b=1; 3 W");
    stage.bare(1, "12345:B 0 c=1; 1 W");
    assert_eq!(stage.chain().last().unwrap(), "0:B/0+1W*");
    assert_eq!(stage.status().head.unwrap().opening_label, Some(12_345));
}

#[test]
fn honeycomb_numbering_is_kept_while_the_blocks_fit() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 W");
    stage.bare(1, "602:A 6 c=1; 7 W");
    stage.bare(1, "0:- 8 d=1; 9 W");
    assert_eq!(stage.status().lanes[0].numbering, "honeycomb");
}

#[test]
fn a_resumed_socket_is_found_by_its_hash() {
    let mut stage = seeded();
    stage.bare(1, "12344:A 2 b=1; 3 W");
    stage.gone(1);
    stage.open(2, Some(3));
    stage.bare(2, "12346:A 4 c=1; 5 W");
    stage.was_asked(2, (0, 63));
    let shown: Vec<String> = ["12340:A 0 a=1", "12341:A 1 W", "12344:A 2 b=1; 3 W", "12346:A 4 c=1; 5 W"]
        .iter()
        .flat_map(|script| items(script, "type", true))
        .collect();
    stage.frame(2, &format!(r#"{{"type":"batch","operations":[{}],"token":"SPK"}}"#, shown.join(",")));
    assert_eq!(stage.chain().last().unwrap(), "0:A/4+1W*");
}

#[test]
fn an_index_that_does_not_restart_leaves_no_hole() {
    let mut stage = seeded();
    stage.bare(1, "12344:A 2 b=1; 3 W");
    stage.bare(1, "12345:B 4 c=1; 5 W; 6 d=1; 7 W");
    assert_eq!(stage.chain().last().unwrap(), "0:B/2+1W*");
    assert!(stage.status().gaps.is_empty());
    stage.bare(1, "12345:B 9 e=1; 10 W");
    assert_eq!(stage.status().gaps.len(), 1, "a lost op is a hole all the same");
}

#[test]
fn fork_start_waits_for_index_0() {
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.frame(1, r#"{"type":"fork_start","forkHash":"A","blockNum":5}"#);
    stage.bare(1, "5:A 1 W; 2 b=1");
    assert_eq!(stage.asked(1), None, "nobody knows what lies before");
    assert!(stage.chain().is_empty());
}

/// Nothing is lost and the index goes on. Failed once: what came under the new block was chained into the old period.
#[test]
fn a_block_of_the_next_period_without_a_fall_is_read_as_sent() {
    let mut stage = Stage::new();
    stage.open(1, Some(0));
    stage.bare(1, "501:A 0 h=A; 1 W");
    stage.bare(1, "601:B 2 b=1; 3 W; 4 c=1; 5 W");
    assert_eq!(stage.status().lanes[0].numbering, "seed");
    assert_eq!(stage.chain(), ["0:A/0+1W*", "0:B/0+1W*", "0:B/2+1W*"]);
    assert_eq!(stage.status().head.unwrap().label, Some(601));
    // Real block numbers that looked like honeycomb's at first.
    let mut stage = Stage::new();
    stage.open(1, None);
    stage.bare(1, "500:F 0 a=1; 1 W");
    stage.bare(1, "501:F 2 b=1; 3 W");
    stage.bare(1, "502:G 4 c=1; 5 W");
    assert_eq!(stage.chain().last().unwrap(), "0:G/0+1W*");
    assert_eq!(stage.status().head.unwrap().label, Some(502));
}

/// Failed once: the label of a period that `fork_start` opened at a round block was that of honeycomb's numbering.
#[test]
fn fork_start_at_a_round_block_has_its_label_as_sent() {
    let mut stage = Stage::new();
    stage.open(1, Some(0));
    stage.frame(1, r#"{"type":"fork_start","forkHash":"A","blockNum":12300,"timestamp":5}"#);
    stage.bare(1, "12344:A 0 a=1; 1 W");
    assert_eq!(stage.status().periods[0].block_num, Some(12_300));
}

/// Failed once: a marker of the period before, with which a socket happened to begin, made its lane a seed client's.
#[test]
fn a_socket_that_begins_with_a_marker_of_the_period_before_stays_in_honeycomb_numbering() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(0));
    stage.bare(2, "601:A 0 W; 1 x=1");
    stage.bare(2, "701:B 2 c=1; 3 W");
    assert_eq!(stage.status().lanes[0].numbering, "honeycomb");
}
