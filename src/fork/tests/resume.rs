//! A socket that was here before: `sync_status.lastIndex` and its first op say where it goes on.

use super::*;

#[test]
fn it_goes_on_where_it_stopped() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(3));
    stage.bare(2, "601:A 4 c=1; 5 W");
    assert_eq!((stage.chain().len(), stage.acks(2).as_str()), (2, ""), "nothing is taken before its place is known");
    stage.shows(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W"]);
    assert_eq!((&stage.chain()[2..], stage.acks(2).as_str()), (&["0:A/4+1W*".to_owned()][..], "4"));
    assert_eq!((stage.asked(2), stage.status().counters.asked), (None, 1), "and nothing is missing");
    stage.bare(2, "601:A 6 d=1; 7 W");
    assert_eq!(stage.chain()[3..], ["0:A/6+1W*"]);
}

#[test]
fn the_open_batch_is_asked_for_again() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 d=1");
    stage.gone(1);
    stage.open(2, Some(5));
    stage.batch(2, &["601:A 6 e=1; 7 W"]);
    stage.shows(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 d=1; 6 e=1; 7 W"]);
    assert_eq!(stage.acks(2), "6");
    stage.was_asked(2, (0, 8));
    stage.batch(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 d=1; 6 e=1; 7 W"]);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:A/4+3W*"]);
    assert_eq!(stage.acks(2), "4 5 0 2 6");
}

#[test]
fn after_our_restart_it_goes_on_too() {
    let mut stage = begun();
    stage.restart();
    stage.open(1, Some(5));
    stage.bare(1, "601:A 6 d=1; 7 W");
    stage.shows(1, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W"]);
    stage.was_asked(1, (0, 8));
    stage.batch(1, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W"]);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+1W*"]);
}

#[test]
fn a_rollover_between_the_sockets_with_a_known_end() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(3));
    stage.bare(2, "601:A 0 c=1; 1 W");
    stage.bare(2, "702:B 2 h=B; 3 W");
    assert_eq!((stage.chain().len(), stage.acks(2).as_str()), (2, ""));
    stage.shows(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W", "601:A 0 c=1; 1 W", "702:B 2 h=B; 3 W"]);
    assert_eq!(stage.chain()[2..], ["0:B/0+1W*", "0:B/2+1W*"]);
    assert_eq!((stage.acks(2).as_str(), stage.asked(2)), ("0 2", None));
}

#[test]
fn a_rollover_between_the_sockets_with_a_lost_end() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(7));
    stage.bare(2, "702:B 0 h=B; 1 W");
    let shown = ["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W", "702:B 0 h=B; 1 W"];
    stage.shows(2, &shown);
    assert_eq!((stage.chain().len(), stage.acks(2).as_str()), (2, "0"), "the end of the period before is missing");
    stage.was_asked(2, (0, 10));
    stage.batch(2, &shown);
    stage.tick(20);
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+1W*", "0:B/0+1W*"]);
}

/// A socket of period B, which began in a dead one: its client has shown that A is longer than the range asked for.
/// Gives A's script, of 70 items.
fn tail_unknown() -> (Stage, String) {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(1));
    stage.bare(2, "702:B 2 d=1; 3 W");
    let more: Vec<String> = (2..35).map(|nth| format!("{} k{nth}=1; {} W", 2 * nth, 2 * nth + 1)).collect();
    let long = format!("601:A 0 h=A; 1 W; 2 b=1; 3 W; {}", more.join("; "));
    stage.shows(2, &[&within(&long, 0, 63), "702:B 0 h=B; 1 W; 2 d=1; 3 W"]);
    assert_eq!((stage.chain().len(), stage.acks(2).as_str()), (2, "2"));
    (stage, long)
}

#[test]
fn a_rollover_that_nobody_saw_pages_the_tail_until_nothing_new_comes() {
    let (mut stage, long) = tail_unknown();
    let answer = [long.as_str(), "702:B 0 h=B; 1 W; 2 d=1; 3 W"];
    let mut pages = 0;
    while let Some((from, to)) = stage.asked(2) {
        stage.was_asked(2, (from, to));
        let range: Vec<String> = answer.iter().map(|script| within(script, from, to)).collect();
        let range: Vec<&str> = range.iter().map(String::as_str).filter(|script| !script.ends_with(' ')).collect();
        stage.batch(2, &range);
        stage.tick(20);
        pages += 1;
        assert!(pages < 8, "{from}..={to}");
    }
    let ids: Vec<String> = (2..35).map(|nth| format!("0:A/{}+1W*", 2 * nth)).collect();
    assert_eq!(stage.chain()[2..35], ids);
    assert_eq!(stage.chain()[35..], ["0:B/0+1W*", "0:B/2+1W*"]);
    assert_eq!((stage.parked(), stage.status().gaps.len()), (0, 0));
}

/// Items of a script with an index in this range.
pub(super) fn within(script: &str, from: u64, to: u64) -> String {
    let (head, list) = script.split_once(' ').unwrap();
    let keep = list.split("; ").filter(|item| {
        let index: u64 = item.split_once(' ').unwrap().0.parse().unwrap();
        (from..=to).contains(&index)
    });
    format!("{head} {}", keep.collect::<Vec<_>>().join("; "))
}

#[test]
fn a_mute_client_never_makes_a_tail_presumed() {
    let (mut stage, _) = tail_unknown();
    for _ in 0..6 {
        stage.tick(10_000);
    }
    assert_eq!(stage.chain().len(), 2, "silence proves nothing");
    assert!(stage.status().gaps.iter().any(|gap| gap.phase == "recorded"));
}

#[test]
fn one_answer_that_shows_the_end_of_a_period_and_nothing_behind_makes_its_tail_presumed() {
    let (mut stage, long) = tail_unknown();
    stage.was_asked(2, (0, 63));
    stage.batch(2, &[&within(&long, 0, 63), "702:B 0 h=B; 1 W; 2 d=1; 3 W"]);
    stage.was_asked(2, (61, 70));
    stage.batch(2, &[&within(&long, 61, 69)]);
    stage.tick(20);
    stage.was_asked(2, (67, 130));
    // Neither an answer to another question nor one without the period's end says that it has ended.
    stage.batch(2, &[&within(&long, 61, 69)]);
    stage.frame(2, r#"{"type":"batch","operations":[],"requestedRange":{"from":67,"to":130},"token":"SPK"}"#);
    stage.tick(20);
    assert!(!stage.chain().iter().any(|word| word.contains(":B/")), "the tail is open");
    stage.was_asked(2, (67, 130));
    stage.batch(2, &[&within(&long, 67, 69)]);
    stage.tick(20);
    let chain = stage.chain();
    assert_eq!(chain[chain.len() - 3..], ["0:A/68+1W*", "0:B/0+1W*", "0:B/2+1W*"]);
}

#[test]
fn nothing_held_there_parks_it() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(40));
    stage.bare(2, "301:Q 41 c=1; 42 W");
    assert_eq!((stage.acks(2).as_str(), stage.parked()), ("", 0));
    stage.tick(HELD - 1);
    assert_eq!((stage.acks(2).as_str(), stage.parked()), ("", 0), "it may still answer");
    stage.tick(1);
    assert_eq!((stage.chain().len(), stage.parked()), (2, 1));
    assert_eq!((stage.branches(), stage.acks(2).as_str()), (1, "41"));
}

#[test]
fn a_twin_that_only_repeated_goes_on_from_the_tree_after_a_restart() {
    let mut stage = begun();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 b=1; 3 W");
    stage.bare(1, "601:A 4 c=1; 5 W");
    stage.restart();
    stage.open(1, Some(5));
    stage.open(2, Some(3));
    stage.bare(2, "601:A 4 c=1; 5 W");
    stage.shows(2, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W"]);
    assert_eq!((stage.asked(2), stage.acks(2).as_str()), (None, "4"), "what it says is held at that very place");
    stage.bare(1, "601:A 6 d=1; 7 W");
    stage.shows(1, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W"]);
    stage.was_asked(1, (0, 8));
    stage.batch(1, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W"]);
    stage.bare(2, "601:A 6 d=1; 7 W; 8 e=1; 9 W");
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+1W*", "0:A/8+1W*"]);
    assert_eq!((stage.branches(), stage.parked()), (1, 0));
}

#[test]
fn two_histories_that_it_may_belong_to_are_told_apart_by_what_it_repeats() {
    let mut stage = begun();
    stage.open(2, None);
    stage.bare(2, "601:A 0 h=A; 1 W; 2 x=1; 3 W");
    assert_eq!(stage.branches(), 2);
    stage.restart();
    stage.open(5, Some(3));
    stage.bare(5, "601:A 4 y=1; 5 W");
    assert_eq!(stage.chain().len(), 3, "its place is not known");
    assert_eq!(stage.acks(5), "");
    stage.shows(5, &["601:A 0 h=A; 1 W; 2 x=1; 3 W; 4 y=1; 5 W"]);
    assert_eq!((stage.acks(5).as_str(), stage.chain().len()), ("4", 3), "what it stands on is still to come");
    stage.was_asked(5, (0, 6));
    stage.batch(5, &["601:A 0 h=A; 1 W; 2 x=1; 3 W; 4 y=1; 5 W"]);
    assert_eq!(stage.chain()[3..], ["1:A/4+1W*"], "the head goes where the feed is");
    stage.bare(5, "601:A 6 z=1; 7 W");
    assert_eq!(stage.chain()[4..], ["1:A/6+1W*"]);
    stage.open(6, Some(3));
    stage.bare(6, "601:A 4 c=1; 5 W");
    stage.shows(6, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W"]);
    stage.was_asked(6, (0, 6));
    stage.batch(6, &["601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W"]);
    assert_eq!(stage.chain().last().unwrap(), "0:A/4+1W");
}

/// Period B is running: `h=B` came first, then two batches.
fn running() -> Stage {
    let mut stage = begun();
    stage.bare(1, "702:B 0 h=B; 1 W; 2 c=1; 3 W; 4 d=1; 5 W");
    stage
}

#[test]
fn a_restarted_honeycomb_is_recognised_by_the_hash_of_its_running_period() {
    let mut stage = running();
    let held = stage.chain().len();
    stage.gone(1);
    stage.open(2, Some(0));
    // What it replays of the period before has no place; then it writes the running one again, and goes on.
    stage.bare(2, "601:A 0 b=1; 1 W; 2 x=1; 3 W");
    stage.batch(2, &["702:B 4 h=B; 5 W; 6 c=1; 7 W; 8 d=1; 9 W; 10 e=1; 11 W"]);
    assert_eq!(stage.chain()[held..], ["0:B/6+1W*"]);
    assert_eq!(stage.status().forks.len(), 1);
    stage.bare(2, "802:C 0 h=C; 1 W");
    assert_eq!(stage.chain()[held + 1..], ["0:C/0+1W*"], "and the next period follows");
}

#[test]
fn a_restarted_honeycomb_that_differs_is_not_put_into_the_period() {
    let mut stage = running();
    let held = stage.chain().len();
    stage.gone(1);
    stage.open(2, Some(0));
    stage.bare(2, "601:A 0 b=1; 1 W");
    stage.bare(2, "702:B 2 z=1; 3 h=B; 4 W; 5 y=1; 6 W");
    assert_eq!(stage.chain().len(), held, "another batch wrote the hash");
    assert_eq!(stage.status().forks.len(), 1);
}

#[test]
fn a_replayed_period_that_others_follow_is_not_recognised() {
    let mut stage = running();
    stage.bare(1, "802:C 0 h=C; 1 W");
    let held = stage.chain().len();
    stage.open(2, Some(0));
    stage.bare(2, "601:A 0 b=1; 1 W; 2 h=B; 3 W; 4 c=1; 5 W; 6 d=1; 7 W");
    stage.bare(2, "802:C 8 h=C; 9 W; 10 f=1; 11 W");
    assert_eq!(stage.chain()[held..], ["0:C/2+1W*"], "only the running one is");
    assert_eq!(stage.status().forks.len(), 1, "and no fork comes of it");
}

#[test]
fn a_replay_that_was_cut_in_two_takes_no_place() {
    let mut stage = begun();
    stage.bare(1, "601:A 0 h=B; 1 W; 2 c=1; 3 W");
    // A second honeycomb has restarted: it replays period 601 under the hash of 701, and its socket dies meanwhile.
    stage.open(2, Some(0));
    stage.bare(2, "701:B 0 a=1; 1 W");
    stage.gone(2);
    stage.open(3, Some(1));
    stage.bare(3, "701:B 2 b=1; 3 W");
    stage.shows(3, &["701:B 0 a=1; 1 W; 2 b=1; 3 W"]);
    stage.tick(HELD);
    assert_eq!((stage.branches(), stage.chain().len(), stage.acks(3).as_str()), (1, 4, "2"));
    stage.bare(3, "701:B 4 h=B; 5 W; 6 c=1; 7 W; 0 h=C; 1 W");
    assert_eq!(stage.branches(), 1);
}

#[test]
fn the_first_ops_of_a_period_under_the_old_label_take_no_place_in_the_old_period() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 W; 6 d=1; 7 W");
    stage.restart();
    // It has sent 0..=3 of period 701 into a dead socket; its ops still carry the old block.
    stage.open(2, Some(3));
    stage.bare(2, "601:A 4 s=1; 5 W");
    let old = "601:A 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W";
    stage.shows(2, &[old, "601:A 0 q=1; 1 W; 2 r=1; 3 W; 4 s=1; 5 W"]);
    stage.bare(2, "702:B 6 h=B; 7 W");
    assert_eq!((stage.chain().len(), stage.branches(), stage.acks(2).as_str()), (4, 1, "4 6"));
    stage.was_asked(2, (0, 6));
    stage.batch(2, &[old, "601:A 0 q=1; 1 W; 2 r=1; 3 W; 4 s=1; 5 W", "702:B 6 h=B"]);
    stage.tick(20);
    assert_eq!(stage.chain()[4..], ["0:B/0+1W*", "0:B/2+1W*", "0:B/4+1W*", "0:B/6+1W*"]);
}

#[test]
fn a_silent_client_goes_on_where_everything_it_sent_was_received() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, Some(3));
    stage.bare(2, "601:A 4 c=1; 5 W");
    assert_eq!((stage.asked(2), stage.chain().len()), (Some((0, 63)), 2));
    stage.tick(HELD);
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*"]);
    assert_eq!(stage.acks(2), "4");
    // After a restart of the node nobody knows what was on its way: a label that moves shows a period's start.
    for (moves, chained) in [(false, 4), (true, 3)] {
        let mut stage = begun();
        stage.bare(1, "601:A 4 c=1; 5 W");
        stage.restart();
        stage.open(3, Some(5));
        let rest = if moves { "702:B 8 h=B; 9 W" } else { "601:A 8 e=1; 9 W" };
        stage.bare(3, "601:A 6 d=1; 7 W");
        stage.bare(3, rest);
        stage.tick(HELD);
        assert_eq!(stage.chain().len(), if moves { chained } else { chained + 1 });
        assert_eq!(stage.acks(3), "6 8");
    }
}

/// Planted once: only clients that say `sync_status` are asked (the socket waited for its next period).
#[test]
fn a_client_that_does_not_say_what_it_has_sent_goes_on_too() {
    let mut stage = begun();
    stage.gone(1);
    stage.open(2, None);
    stage.bare(2, "601:A 6 d=1; 7 W");
    stage.shows(2, &["601:- 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W"]);
    stage.was_asked(2, (0, 8));
    stage.batch(2, &["601:- 0 h=A; 1 W; 2 b=1; 3 W; 4 c=1; 5 W; 6 d=1; 7 W"]);
    assert_eq!(stage.chain()[2..], ["0:A/4+1W*", "0:A/6+1W*"]);
}

/// Planted once: items known by index and text alone.
#[test]
fn periods_with_the_same_content_are_told_apart_by_their_blocks() {
    let mut stage = begun();
    let content = |from: u64| format!("{from} b=1; {} W; {} c=1; {} W", from + 1, from + 2, from + 3);
    stage.bare(1, "701:B 0 h=B; 1 W");
    stage.bare(1, &format!("701:B {}", content(2)));
    stage.bare(1, "801:C 0 h=C; 1 W");
    stage.gone(1);
    stage.open(2, Some(1));
    stage.bare(2, &format!("801:C {}", content(2)));
    let whole = |block, hash| format!("{block}:- 0 h={hash}; 1 W; {}", content(2));
    stage.shows(2, &["601:- 0 h=A; 1 W; 2 b=1; 3 W", &whole(701, "B"), &whole(801, "C")]);
    assert_eq!(stage.chain()[5..], ["0:C/0+1W*", "0:C/2+1W*", "0:C/4+1W*"]);
    assert_eq!((stage.parked(), stage.acks(2).as_str()), (0, "2 4"));
}

/// Failed once: a raw `"W"` has no index, and the one before it was forgotten with it.
#[test]
fn a_marker_without_an_index_leaves_the_last_one_standing() {
    let mut stage = begun();
    stage.bare(1, "601:A 4 c=1; 5 d=1; _ W");
    stage.say(1, Said::SyncStatus { last_index: 0 });
    let told = stage.out[&1].iter().rev().find_map(|message| match message {
        FromCore::SyncStatus { last_index, .. } => Some(*last_index),
        _ => None,
    });
    assert_eq!(told, Some(5));
}
