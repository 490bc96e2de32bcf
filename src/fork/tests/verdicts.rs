//! Rollback and release.

use super::*;
use crate::fork::admin::AdminError;

fn long() -> Stage {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 W; 0 h=B; 1 W; 2 d=1; 3 W");
    assert_eq!(stage.chain().len(), 5);
    stage
}

fn rollback(stage: &mut Stage, to: &str) -> u64 {
    stage.run(|core, now, _, fx| core.rollback(now, to, "bad", false, fx)).unwrap().verdict.unwrap()
}

#[test]
fn the_head_goes_back_and_the_feed_goes_on_without_it() {
    let mut stage = long();
    let before = stage.head_ids();
    rollback(&mut stage, "B");
    assert_eq!(stage.head_ids(), before[..3], "the last batch of the period that the checkpoint closed");
    stage.bare(1, "702:B 4 e=1; 5 W");
    assert_eq!(stage.chain().last().unwrap(), "0:B/4+1W", "chained, and not the head's");
    assert_eq!(stage.head_ids(), before[..3]);
    assert_eq!(stage.status().forks.iter().filter(|fork| fork.barred_by.is_some()).count(), 1);
    stage.restart();
    assert_eq!(stage.head_ids(), before[..3], "it holds after a restart");
}

#[test]
fn a_dry_run_decides_nothing() {
    let mut stage = long();
    let lsn = stage.core.ledger().lsn;
    let done = stage.run(|core, now, _, fx| core.rollback(now, "601", "bad", true, fx)).unwrap();
    assert_eq!((done.batches, done.verdict, done.dry_run), (2, None, true));
    assert_eq!(stage.core.ledger().lsn, lsn);
}

#[test]
fn a_label_or_a_batch_names_the_point_too() {
    let mut stage = long();
    let ids = stage.head_ids();
    rollback(&mut stage, &ids[1]);
    assert_eq!(stage.head_ids(), ids[..2]);
    let mut stage = long();
    rollback(&mut stage, "650");
    assert_eq!(stage.head_ids(), ids[..3]);
    assert!(stage.run(|core, now, _, fx| core.rollback(now, "5", "bad", false, fx)).is_err());
    assert!(stage.run(|core, now, _, fx| core.rollback(now, "650", "bad", false, fx)).is_err(), "it stands there");
}

#[test]
fn a_release_lets_the_head_go_on_along_the_old_history() {
    let mut stage = long();
    let ids = stage.head_ids();
    let verdict = rollback(&mut stage, "B");
    stage.run(|core, now, _, fx| core.release(now, verdict, "fine", fx)).unwrap();
    assert_eq!(stage.head_ids(), ids);
    assert!(stage.status().verdicts.is_empty());
    stage.bare(1, "702:B 4 e=1; 5 W");
    assert_eq!(stage.chain().last().unwrap(), "0:B/4+1W*");
}

#[test]
fn another_history_after_a_rollback_is_a_new_branch_and_the_head_takes_it() {
    let mut stage = long();
    rollback(&mut stage, "B");
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W");
    stage.bare(2, "601:A 0 h=C; 1 W; 2 e=1; 3 W");
    assert_eq!(stage.chain()[5..], ["1:C/0+1W*", "1:C/2+1W*"]);
    let mut born = stage.records.iter().filter_map(|(_, record)| match record {
        Record::Branch(branch) => Some(branch.cause),
        _ => None,
    });
    assert_eq!(born.next_back(), Some(crate::fork::record::BranchCause::Rollback));
}

#[test]
fn the_same_history_from_another_feed_stays_barred() {
    let mut stage = long();
    let ids = stage.head_ids();
    rollback(&mut stage, "B");
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 0 h=B; 1 W; 2 d=1; 3 W; 4 e=1; 5 W");
    assert_eq!(stage.head_ids(), ids[..3]);
    assert_eq!(stage.branches(), 1);
}

#[test]
fn a_fork_is_pruned_when_nothing_needs_it() {
    let mut stage = begun();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 x=1; 3 W");
    let forks: Vec<String> = stage.status().forks.iter().map(|fork| fork.tip.fork.to_string()).collect();
    let prune = |stage: &mut Stage, fork: &str| stage.run(|core, now, _, fx| core.prune(now, fork, "not wanted", fx));
    let refused = |done: Result<_, AdminError>| matches!(done, Err(AdminError::Refused(_)));
    assert!(refused(prune(&mut stage, &forks[0])), "the head's");
    assert!(refused(prune(&mut stage, &forks[1])), "a feed stands on it");
    assert!(matches!(prune(&mut stage, "nothing"), Err(AdminError::NotFound(_))));
    stage.gone(2);
    assert_eq!(prune(&mut stage, &forks[1]).unwrap().fork.to_string(), forks[1]);
    assert_eq!(stage.status().forks.len(), 1);
    assert!(matches!(prune(&mut stage, &forks[1]), Err(AdminError::NotFound(_))), "it is gone");
    stage.restart();
    assert_eq!(stage.status().forks.len(), 1);
}

/// Each period begins with the same batch, whoever writes it. Failed once: a corrected history was barred with the one that
/// was left.
#[test]
fn a_history_that_shares_the_first_barred_batches_and_then_differs_is_another_one() {
    let mut stage = long();
    let ids = stage.head_ids();
    rollback(&mut stage, "B");
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 0 h=B; 1 W");
    assert_eq!(stage.head_ids(), ids[..3], "so far it is what was left");
    stage.bare(2, "601:A 2 x=1; 3 W");
    assert_eq!((stage.head_ids()[..4].to_vec(), stage.head_ids().len()), (ids[..4].to_vec(), 5));
    assert_eq!(stage.chain().last().unwrap(), "1:B/2+1W");
    stage.bare(1, "702:B 4 e=1; 5 W");
    stage.restart();
    assert_eq!(stage.head_ids().len(), 5, "what goes on from the one that was left stays barred");
    assert_eq!(stage.status().forks.iter().filter(|fork| fork.barred_by.is_some()).count(), 1);
}
