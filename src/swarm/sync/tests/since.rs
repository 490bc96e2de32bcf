//! A history that begins with its base, by script.

use super::*;

/// Guards against: the walk going on behind the base, and a supply that says it stands on what is not here.
#[test]
fn a_history_that_begins_with_its_base_asks_for_nothing_from_before() {
    let history = History::new(NETWORK, SMALL, 1);
    let base = history.periods[2].header.open_hash.clone();
    let mut rig = Rig::new(Held::default()).with(2, &history);
    rig.planner.only_since(Some(base.clone()));
    // The base itself leads nowhere, however it is vouched for.
    rig.anchor(Checkpoint { hash: base.clone(), label: None });
    rig.expect_no_request();
    rig.anchor(history.newest());
    let mut begins = Vec::new();
    while let Some((id, _, request)) = rig.request() {
        rig.answer(id, history.answer(&request));
        while let Some(supply) = rig.supply() {
            begins.push((supply.label.unwrap().get(), supply.begins));
            rig.taken(&supply);
        }
    }
    assert_eq!(begins, [(201, true), (301, false), (401, false)]);
    rig.expect_no_penalty();
    assert_eq!(rig.planner.progress(rig.now).phase, Phase::Synced);
}

#[test]
fn while_a_base_may_be_on_its_way_nothing_is_fetched() {
    let history = History::new(NETWORK, SMALL, 1);
    let mut rig = Rig::new(Held::default()).with(2, &history);
    rig.planner.only_since(None);
    rig.anchor(history.newest());
    rig.expect_no_request();
    // Nobody has one: all that there is, then.
    rig.on(Input::Picture(false));
    assert_eq!(rig.runs(&history), [1, 101, 201, 301, 401]);
    // Without the setting nobody waits.
    let mut rig = Rig::new(Held::default()).with(2, &history);
    rig.on(Input::Picture(true));
    rig.anchor(history.newest());
    assert_eq!(rig.runs(&history), [1, 101, 201, 301, 401]);
}
