//! What came before our beginning, by script.

use super::*;

/// A node whose history begins with the fourth period; peers have all five.
fn late(peers: u8) -> (Rig, History) {
    let history = History::new(NETWORK, SMALL, 1);
    let mut own = Held::default();
    history.periods[3..].iter().for_each(|period| own.take(&period.header));
    let first = &history.periods[3].header;
    own.begins = Some(Checkpoint { hash: first.open_hash.clone(), label: first.label });
    (Rig::new(own).with(peers, &history), history)
}

#[test]
fn what_lies_before_our_beginning_is_fetched_from_there_back_and_says_where_it_leads() {
    let (mut rig, history) = late(2);
    let ours = rig.own.begins.clone().unwrap().hash;
    let mut supplies = Vec::new();
    while let Some((id, _, request)) = rig.request() {
        rig.answer(id, history.answer(&request));
        supplies.extend(std::iter::from_fn(|| rig.supply()));
    }
    let labels: Vec<_> = supplies.iter().map(|supply| supply.label.unwrap().get()).collect();
    assert_eq!(labels, [1, 101, 201]);
    assert!(supplies.iter().all(|supply| supply.leads_to.as_ref() == Some(&ours)));
    assert!(supplies[0].begins);
    supplies.iter().for_each(|supply| rig.taken(supply));
    // The core has not moved our history behind it yet: nothing is fetched twice.
    rig.passes(3_600_000);
    assert_eq!(rig.runs(&history), [0; 0]);
    // Now it has.
    rig.own.begins = None;
    rig.passes(3_600_000);
    rig.expect_no_request();
    assert_eq!(rig.planner.wake_at(rig.now), None, "and rests");
    rig.expect_no_penalty();
}

/// Anybody can make a past that leads to a hash which cannot be recomputed here: it stays away, unless one gives it whom the
/// operator trusts.
#[test]
fn a_past_that_cannot_be_proven_is_not_supplied() {
    let unproven = |trusted: bool| {
        let (mut rig, history) = late(2);
        rig.on(Input::Witness(peer(2), trusted));
        let mut asked = 0;
        while let Some((id, _, request)) = rig.request() {
            rig.answer(id, history.answer(&request));
            if let Some(Effect::Prove { period, .. }) = rig.take(|effect| matches!(effect, Effect::Prove { .. })) {
                rig.on(Input::Proven(period.id(), Verdict::Unknown));
                asked += 1;
            }
        }
        assert_eq!(asked, 1);
        rig
    };
    assert!(unproven(true).supply().is_some());
    let mut rig = unproven(false);
    assert!(rig.supply().is_none());
    // It makes way for an anchor at once, and is tried again later.
    rig.passes(3_600_000);
    let (_, _, request) = rig.expect_request();
    assert!(matches!(request, Request::Headers(_)));
}

#[test]
fn an_anchor_comes_before_the_past() {
    let (mut rig, mut history) = late(0);
    history.extend(3, 77);
    let anchor = history.newest();
    rig.own.take(&history.periods[4].header);
    rig.own.reached.remove(&anchor.hash);
    rig.anchor(anchor.clone());
    rig.joins(1, &history);
    let (_, _, Request::Headers(wanted)) = rig.expect_request() else { panic!("no headers are asked for") };
    assert_eq!(wanted.from, anchor.hash);
}

/// Where nobody has it, nobody is asked without an end.
#[test]
fn a_past_that_nobody_has_is_asked_for_ever_more_rarely() {
    let (mut rig, history) = late(0);
    let mut shorter = history.clone();
    shorter.periods.drain(..3);
    rig.joins(1, &shorter);
    let mut asked = 0;
    for _ in 0..3_600 {
        while let Some((id, _, request)) = rig.request() {
            rig.answer(id, shorter.answer(&request));
            asked += 1;
        }
        rig.passes(1_000);
    }
    assert!((2..30).contains(&asked), "{asked} in an hour");
    assert_eq!(rig.planner.progress(rig.now).phase, Phase::Unanchored);
    rig.expect_no_penalty();
}
