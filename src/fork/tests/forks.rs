//! Contradictions, equality, and which history is the head's.

use super::*;
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;

#[test]
fn equal_content_of_two_feeds_is_one_batch() {
    let mut stage = begun();
    stage.open(2, None);
    let records = stage.records.len();
    stage.bare(2, "601:A 0 h=A; 1 W; 2 b=1; 3 W");
    assert_eq!(stage.acks(2), "0 2");
    assert_eq!(stage.chain().len(), 2);
    assert!(stage.records.len() <= records + 2, "it costs the opening of a period, nothing by batch");
    let forks = stage.status().forks;
    assert_eq!((forks.len(), forks[0].witnesses), (1, 2));
    stage.bare(2, "601:A 4 c=1; 5 W");
    stage.bare(1, "601:A 4 c=1; 5 W");
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*"]);
}

#[test]
fn the_slower_of_two_feeds_may_lead_the_next_time() {
    let mut stage = begun();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 b=1; 3 W; 0 h=B; 1 W; 2 d=1; 3 W");
    stage.bare(1, "601:A 0 h=B; 1 W; 2 d=1; 3 W; 4 e=1; 5 W");
    stage.bare(2, "701:B 4 e=1; 5 W; 6 f=1; 7 W");
    assert_eq!(stage.branches(), 1);
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*", "0:B/4+1W*", "0:B/6+1W*"]);
}

#[test]
fn a_contradiction_at_one_place_is_a_fork_and_both_are_kept() {
    let mut stage = begun();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 x=1; 3 W; 4 y=1; 5 W");
    assert_eq!(stage.chain()[2..], ["1:A/2+1W", "1:A/4+1W"]);
    stage.bare(1, "601:A 4 c=1; 5 W");
    assert_eq!(stage.chain().last().unwrap(), "0:A/4+1W*", "the head stays");
    let forks = stage.status().forks;
    assert_eq!(
        forks.iter().map(|fork| (fork.branch, fork.is_head, fork.witnesses)).collect::<Vec<_>>(),
        [(0, true, 1), (1, false, 1)]
    );
    assert_eq!(forks[1].tip.fork.to_string(), chain_id(&stage, 2), "its name is its first batch that differs");
}

fn chain_id(stage: &Stage, nth: usize) -> String {
    let chains = stage.records.iter().filter_map(|(_, record)| match record {
        Record::Chain(chain) => Some(chain.id.to_string()),
        _ => None,
    });
    chains.collect::<Vec<_>>().swap_remove(nth)
}

#[test]
fn two_opening_hashes_after_the_same_last_batch_are_a_fork() {
    let mut stage = begun();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 b=1; 3 W; 0 h=X; 1 W");
    stage.bare(1, "601:A 0 h=B; 1 W");
    assert_eq!(stage.branches(), 2);
    assert_eq!(stage.chain()[2..], ["0:X/0+1W*", "1:B/0+1W"]);
}

#[test]
fn the_same_content_in_other_histories_has_other_parents() {
    let mut stage = begun();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 x=1; 3 W; 4 c=1; 5 W");
    stage.bare(1, "601:A 4 c=1; 5 W");
    assert_eq!(stage.chain()[2..], ["1:A/2+1W", "1:A/4+1W", "0:A/4+1W*"]);
    assert_ne!(chain_id(&stage, 3), chain_id(&stage, 4));
}

#[test]
fn more_feeds_move_the_head() {
    let mut stage = begun();
    for feed in [2, 3] {
        stage.open(feed, None);
        stage.bare(feed, "601:A 0 h=A; 1 W; 2 x=1; 3 W");
    }
    let head = stage.core.ledger().head.unwrap();
    assert_eq!(head.branch, 1);
    let moves = stage.records.iter().filter(|(_, record)| matches!(record, Record::Head(_))).count();
    assert_eq!(moves, 1);
    stage.bare(3, "601:A 4 y=1; 5 W");
    assert_eq!(stage.chain().last().unwrap(), "1:A/4+1W*");
}

/// Failed once: a follower stayed on the history that its trusted peer had left.
#[test]
fn a_trusted_peers_head_moves_ours_where_no_feed_says_otherwise() {
    let mut stage = begun();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 x=1; 3 W");
    let hash = HashText::new("A").unwrap();
    let id = |nth: usize, stage: &Stage| chain_id(stage, nth).parse().unwrap();
    let (shared, own, rival) = (id(0, &stage), id(1, &stage), id(2, &stage));
    let branch = |stage: &Stage| stage.core.ledger().head.unwrap().branch;
    let stands = |stage: &mut Stage, peers: &[&[BatchId]]| {
        let places = |batches: &&[BatchId]| batches.iter().map(|batch| (hash.clone(), *batch)).collect();
        let heads = peers.iter().map(places).collect();
        stage.run(|core, now, _, fx| core.peers_stand(now, heads, fx));
        branch(stage)
    };
    assert_eq!(stands(&mut stage, &[&[own]]), 0);
    // One feed each: the trusted peer decides.
    assert_eq!(stands(&mut stage, &[&[rival]]), 1);
    // It goes back; the newest place is not here yet.
    let unknown = BatchId::from_digest([9; 32]);
    assert_eq!(stands(&mut stage, &[&[unknown, own, rival]]), 0);
    // Two that differ are no reason to move, nor is one that only stands where both come from.
    assert_eq!(stands(&mut stage, &[&[rival], &[own]]), 0);
    assert_eq!(stands(&mut stage, &[&[shared]]), 0);
}

#[test]
fn a_parked_batch_is_never_evidence() {
    let mut stage = begun();
    stage.open(2, Some(0));
    stage.bare(2, "601:A 0 q=1; 1 W; 2 r=1; 3 W");
    assert_eq!((stage.branches(), stage.parked()), (1, 2));
}

#[test]
fn a_fork_keeps_its_name_and_its_feed_after_a_restart() {
    let mut stage = begun();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 x=1; 3 W; 4 y=1; 5 W");
    let before = stage.status().forks;
    stage.restart();
    let after = stage.status().forks;
    assert_eq!(
        before.iter().map(|f| f.tip.clone()).collect::<Vec<_>>(),
        after.iter().map(|f| f.tip.clone()).collect::<Vec<_>>()
    );
    stage.open(9, Some(5));
    stage.bare(9, "601:A 6 z=1; 7 W");
    stage.shows(9, &["601:A 0 h=A; 1 W; 2 x=1; 3 W; 4 y=1; 5 W; 6 z=1; 7 W"]);
    stage.was_asked(9, (0, 8));
    stage.batch(9, &["601:A 0 h=A; 1 W; 2 x=1; 3 W; 4 y=1; 5 W; 6 z=1; 7 W"]);
    assert_eq!(stage.chain().last().unwrap(), "1:A/6+1W*", "it has shown where it stands");
    assert_eq!(stage.core.ledger().head.unwrap().branch, 1, "and the head follows the own feed");
}
