//! What status and events say, where a reader could be misled.

use super::*;

fn events(stage: &Stage, name: &str) -> Vec<String> {
    stage.status().events.iter().filter(|event| event.event == name).map(|event| event.about.clone()).collect()
}

/// Planted: the event at the opening, which knew neither hash nor label ("- at ?").
#[test]
fn a_period_is_announced_once_it_has_a_name() {
    let mut stage = begun();
    let before = events(&stage, "fork:new");
    assert!(before.iter().all(|about| !about.contains(['-', '?'])), "{before:?}");
    stage.batch(1, &["601:A 0 c=1; 1 W"]);
    assert_eq!(events(&stage, "fork:new"), before, "opened, and not named yet");
    stage.bare(1, "702:B 2 d=1; 3 W");
    assert_eq!(events(&stage, "fork:new")[before.len()..], ["B at 701"]);
    stage.checkpoint(1, 701, "B");
    assert_eq!(events(&stage, "fork:new").len(), before.len() + 1, "once");
}

/// Planted: the word of the journal's record beside that of the core, and 0 as a time.
#[test]
fn a_hole_has_one_state_and_no_time_before_it_is_recorded() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 W; 8 d=1; 9 W");
    let shown = |stage: &Stage| serde_json::to_value(&stage.status().gaps[0]).unwrap();
    let gap = shown(&stage);
    assert_eq!((gap["state"].as_str(), gap.get("at_ms"), gap.get("phase")), (Some("asked"), None, None), "{gap}");
    for _ in 0..3 {
        stage.tick(10_000);
    }
    let gap = shown(&stage);
    assert_eq!(gap["state"], "recorded");
    assert!(gap["at_ms"].as_u64().is_some_and(|at| at > 0), "{gap}");
    let id = gap["id"].as_u64().unwrap();
    stage.run(|core, now, bodies, fx| core.accept_gap(now, id, "lost", bodies, fx)).unwrap();
    let gap = shown(&stage);
    assert_eq!((gap["state"].as_str(), gap["reason"].as_str()), (Some("accepted"), Some("lost")), "{gap}");
}

#[test]
fn the_first_feed_of_an_empty_network_is_named() {
    let mut stage = begun();
    let status = stage.status();
    assert_eq!(status.begun_by.map(|by| by.lane), Some(1));
    assert_eq!(events(&stage, "head:first").len(), 1);
    assert!(status.lanes[0].on_head);
    // A second one that writes something else is beside it.
    stage.open(2, None);
    stage.bare(2, "601:A 0 a=1; 1 W; 2 x=9; 3 W");
    let status = stage.status();
    assert!(status.lanes[1].at.is_some());
    // Planted: whoever has a place is on the head's history.
    assert_eq!((status.lanes[0].on_head, status.lanes[1].on_head), (true, false), "{:?}", status.lanes);
    assert_eq!(events(&stage, "head:first").len(), 1);
}

#[test]
fn a_rollback_names_the_fork_that_it_leaves() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 W; 0 h=B; 1 W; 2 d=1; 3 W");
    let ids = stage.head_ids();
    let done = stage.run(|core, now, _, fx| core.rollback(now, "B", "bad", false, fx)).unwrap();
    assert_eq!(done.left.to_string(), ids[3]);
    let status = stage.status();
    assert_eq!(status.verdicts[0].fork, Some(done.left));
    let barred = status.forks.iter().find(|fork| fork.barred_by.is_some()).unwrap();
    assert_eq!(barred.tip.fork, done.left, "the name under which it is listed");
}
