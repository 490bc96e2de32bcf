//! Holes: seen, asked for, filled, recorded, given up.

use super::*;
use crate::fork::record::GapState;

fn hole() -> Stage {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 W; 8 e=1; 9 W; 10 f=1; 11 W");
    stage
}

#[test]
fn the_head_stays_before_a_hole_and_what_lies_behind_is_durable() {
    let mut stage = hole();
    assert_eq!(stage.chain().len(), 3);
    assert_eq!((stage.parked(), stage.acks(1).as_str()), (2, "4 8 10"));
    assert_eq!(stage.asked(1), Some((3, 10)), "with what lies beside it");
    let gap = &stage.status().gaps[0];
    assert_eq!((gap.phase, gap.gap.from, gap.gap.to), ("asked", 6, 7));
}

#[test]
fn an_answer_fills_it() {
    let mut stage = hole();
    stage.batch(1, &["601:A 3 W; 4 c=1; 5 W; 6 d=1; 7 W; 8 e=1; 9 W; 10 f=1"]);
    stage.tick(20);
    assert_eq!(stage.chain()[3..], ["0:A/6+1W*", "0:A/8+1W*", "0:A/10+1W*"]);
    assert_eq!((stage.parked(), stage.status().gaps.len()), (0, 0));
    let mut whole = begun();
    whole.bare(1, "601:A 4 c=1; 5 W; 6 d=1; 7 W; 8 e=1; 9 W; 10 f=1; 11 W");
    assert_eq!(stage.head_ids(), whole.head_ids(), "the same ids as without a hole");
}

#[test]
fn a_hole_inside_a_batch_is_filled_to_the_same_id() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 7 f=1; 8 W");
    stage.batch(1, &["601:A 3 W; 4 c=1; 5 d=1; 6 e=1; 7 f=1"]);
    stage.tick(20);
    let mut whole = begun();
    whole.bare(1, "601:A 4 c=1; 5 d=1; 6 e=1; 7 f=1; 8 W");
    assert_eq!(stage.head_ids(), whole.head_ids());
}

#[test]
fn long_holes_are_asked_for_in_chunks_of_64() {
    let mut stage = begun();
    stage.bare(1, "601:A 200 z=1; 201 W");
    let mut asked = Vec::new();
    for _ in 0..20 {
        let Some((from, to)) = stage.asked(1).filter(|_| stage.status().gaps.len() == 1) else { break };
        assert!(to - from < 64);
        asked.push((from, to));
        stage.out.clear();
        let item = |i: u64| if i % 2 == 1 { format!("{i} W") } else { format!("{i} k{i}=1") };
        let items: Vec<String> = (from..=to)
            .map(|i| match i {
                0 => "0 h=A".into(),
                2 => "2 b=1".into(),
                200 => "200 z=1".into(),
                i => item(i),
            })
            .collect();
        stage.batch(1, &[&format!("601:A {}", items.join("; "))]);
        stage.tick(20);
    }
    assert!(asked.len() <= 5, "{asked:?}");
    assert_eq!(stage.chain().len(), 101);
    assert_eq!(stage.parked(), 0);
}

#[test]
fn one_question_at_a_time_with_a_deadline_and_three_tries_then_it_is_recorded() {
    let mut stage = hole();
    let questions = |stage: &Stage| stage.status().counters.asked;
    assert_eq!(questions(&stage), 1);
    stage.bare(1, "601:A 20 g=1; 21 W");
    assert_eq!(questions(&stage), 1, "one outstanding");
    for tries in 1..=3 {
        stage.tick(9_000);
        assert_eq!(questions(&stage), tries, "not before its time");
        stage.tick(1_000);
    }
    let gap = &stage.status().gaps[0];
    assert_eq!(gap.phase, "recorded");
    assert!(stage.records.iter().any(|(_, r)| matches!(r, Record::Gap(gap) if gap.state == GapState::Recorded)));
    assert_eq!(stage.chain().len(), 3, "nothing is skipped");
}

#[test]
fn a_late_answer_is_still_an_answer() {
    let mut stage = hole();
    for _ in 0..3 {
        stage.tick(10_000);
    }
    stage.batch(1, &["601:A 3 W; 4 c=1; 5 W; 6 d=1; 7 W; 8 e=1"]);
    stage.tick(20);
    assert_eq!(stage.chain()[3..], ["0:A/6+1W*", "0:A/8+1W*", "0:A/10+1W*"]);
    assert_eq!(stage.status().gaps.len(), 0);
}

#[test]
fn another_feed_that_has_it_fills_the_chain_and_the_lane_rejoins() {
    let mut stage = hole();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W");
    assert_eq!(stage.chain()[3..], ["0:A/6+1W*"]);
    stage.bare(2, "601:A 8 e=1; 9 W");
    stage.bare(1, "601:A 12 g=1; 13 W");
    assert_eq!(stage.branches(), 1);
    assert_eq!(stage.chain()[3..], ["0:A/6+1W*", "0:A/8+1W*", "0:A/10+1W*", "0:A/12+1W*"]);
    assert_eq!((stage.parked(), stage.status().gaps.len()), (0, 0));
}

#[test]
fn an_accepted_hole_lets_the_chain_go_on_on_a_new_branch_incomplete() {
    let mut stage = hole();
    let id = stage.status().gaps[0].gap.id;
    let done = stage.run(|core, now, bodies, fx| core.accept_gap(now, id, "lost", bodies, fx)).unwrap();
    assert!(done.first.is_some());
    // Nobody knows whether what came first behind the hole began a batch.
    assert_eq!(stage.chain()[3..], ["1:A/10+1W*"]);
    let head = stage.status().head.unwrap();
    assert_eq!((head.node.branch, head.unbroken), (1, false));
    stage.bare(1, "601:A 0 h=B; 1 W");
    assert_eq!(stage.chain().last().unwrap(), "1:B/0+1W*");
    assert!(!stage.status().head.unwrap().unbroken);
}

#[test]
fn an_accepted_hole_in_a_batch_leaves_the_rest_of_that_batch() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 7 f=1");
    let id = stage.status().gaps[0].gap.id;
    stage.run(|core, now, bodies, fx| core.accept_gap(now, id, "lost", bodies, fx)).unwrap();
    stage.bare(1, "601:A 8 W; 9 g=1; 10 W");
    assert_eq!(stage.chain()[2..], ["1:A/9+1W*"], "half a batch is no batch");
}

#[test]
fn a_hole_at_the_end_of_a_period_holds_the_next_one_back() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 bad; 6 W");
    stage.bare(1, "601:A 0 h=B; 1 W");
    assert_eq!(stage.chain().len(), 2);
    stage.restart();
    assert_eq!(stage.chain().len(), 2, "also after a restart");
    assert_eq!(stage.status().gaps.len(), 1);
}

#[test]
fn holes_are_found_again_after_a_restart() {
    let mut stage = hole();
    stage.restart();
    let gap = stage.status().gaps[0].clone();
    assert_eq!((gap.gap.from, gap.gap.to), (6, 7));
    stage.open(7, Some(11));
    stage.bare(7, "601:A 12 g=1; 13 W");
    stage.shows(7, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W; 8 e=1; 9 W; 10 f=1; 11 W; 12 g=1; 13 W"]);
    stage.was_asked(7, (3, 10));
    stage.batch(7, &["601:A 3 W; 4 c=1; 5 W; 6 d=1; 7 W; 8 e=1"]);
    stage.tick(20);
    assert_eq!(stage.chain().last().unwrap(), "0:A/12+1W*");
}

/// Planted once: none of it (a lane stayed parked although its client could have answered).
#[test]
fn a_recorded_hole_is_asked_for_again_ever_more_rarely() {
    let mut stage = begun();
    stage.bare(1, "601:A 6 d=1; 7 W");
    for _ in 0..3 {
        stage.was_asked(1, (0, 8));
        stage.tick(10_000);
    }
    assert_eq!((stage.asked(1), stage.status().gaps[0].phase), (None, "recorded"));
    for wait in [60_000, 120_000, 240_000] {
        stage.tick(wait - 1);
        assert_eq!(stage.asked(1), None, "{wait}");
        stage.tick(1);
        stage.was_asked(1, (0, 8));
        stage.tick(10_000);
    }
    stage.tick(480_000);
    stage.was_asked(1, (0, 8));
    stage.batch(1, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W"]);
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+1W*"]);
    assert!(stage.status().gaps.is_empty());
    stage.tick(3_600_000);
    assert_eq!(stage.asked(1), None);
}

/// Failed once: the next period was chained behind it as if nothing were missing.
#[test]
fn an_accepted_hole_at_the_end_of_a_period_lies_before_the_next_one() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 bad; 6 W");
    stage.bare(1, "701:B 0 h=B; 1 W; 2 d=1; 3 W");
    let id = stage.status().gaps[0].gap.id;
    stage.run(|core, now, bodies, fx| core.accept_gap(now, id, "lost", bodies, fx)).unwrap();
    assert_eq!(stage.chain()[2..], ["1:B/0+1W*", "1:B/2+1W*"], "a branch of its own, behind a hole");
    assert!(!stage.status().head.unwrap().unbroken);
}

/// The end of a period that nobody saw, and whose rest the client does not have any more. Planted once: shown nowhere, and
/// not to be given up.
#[test]
fn the_end_of_a_period_that_was_asked_for_in_vain_is_a_gap_and_can_be_given_up() {
    let mut stage = begun();
    let rest: Vec<String> = (2..35).map(|nth| format!("{} k{nth}=1; {} W", 2 * nth, 2 * nth + 1)).collect();
    let rest = rest.join("; ");
    stage.bare(1, &format!("601:A {rest}"));
    stage.gone(1);
    stage.open(2, Some(3));
    stage.bare(2, "701:B 4 d=1; 5 W");
    let whole = format!("601:- 0 h=A; 1 W; 2 b=1; 3 W; {rest}");
    let begins = whole.split("; ").take(64).collect::<Vec<_>>().join("; ");
    let own = "701:- 0 h=B; 1 W; 2 e=1; 3 W; 4 d=1; 5 W";
    stage.shows(2, &[&begins, own]);
    for _ in 0..10 {
        if stage.asked(2) == Some((0, 6)) {
            stage.was_asked(2, (0, 6));
            stage.batch(2, &[own]);
        }
        stage.tick(10_000);
    }
    let gaps = stage.status().gaps;
    assert_eq!(gaps.iter().map(|gap| (gap.gap.label, gap.phase)).collect::<Vec<_>>(), [(Some(601), "recorded")]);
    assert_eq!(stage.chain().len(), 35);
    let id = gaps[0].gap.id;
    stage.run(|core, now, bodies, fx| core.accept_gap(now, id, "lost", bodies, fx)).unwrap();
    assert_eq!(stage.chain()[35..], ["1:B/0+1W*", "1:B/2+1W*", "1:B/4+1W*"]);
    assert!(!stage.status().head.unwrap().unbroken && stage.status().gaps[0].phase == "accepted");
    stage.restart();
}
