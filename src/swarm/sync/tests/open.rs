//! The open period by script: whom it is followed from, and where to.

use super::*;

impl Rig {
    /// What is asked of the open period within a minute; other requests have no answer.
    fn newest(&mut self) -> Option<(AskId, PeerKey, Request)> {
        for _ in 0..120 {
            let found =
                std::iter::from_fn(|| self.request()).find(|(_, _, request)| matches!(request, Request::Newest(_)));
            if found.is_some() {
                return found;
            }
            self.passes(500);
        }
        None
    }
}

#[test]
fn the_open_period_is_followed_from_witnesses_only_and_does_not_wait_for_history() {
    let mut history = History::new(NETWORK, SMALL, 1);
    history.extend(3, 77);
    history.extend(3, 78);
    let mut rig = Rig::new(Held::default()).with(3, &history);
    rig.on(Input::Witness(peer(2), true));
    rig.anchor(history.newest());
    rig.passes(100);
    rig.passes(2_500);
    let newest = std::iter::from_fn(|| rig.request()).find(|(_, _, request)| matches!(request, Request::Newest(_)));
    let (id, asked, request) = newest.expect("while history is still to be walked");
    assert_eq!(asked, peer(2), "nobody else is believed about what nobody has closed");
    rig.answer(id, history.answer(&request));
    let supply = rig.supply().unwrap();
    assert_eq!((supply.period, supply.batches.len(), &supply.open), (None, 2, &history.newest().hash));
    rig.expect_no_penalty();
}

/// Failed once: whoever trusted a peer's first period stood still until the next one was trusted, too.
#[test]
fn the_very_first_period_is_followed_while_it_is_open() {
    let mut history = History::new(NETWORK, Size { periods: 0, ..SMALL }, 1);
    history.extend(3, 77);
    let first = history.clone();
    let hash = Checkpoint { label: None, ..history.newest() };
    let follow = |others: &[&History]| {
        let mut rig = Rig::new(Held::default()).with(1, &first);
        rig.on(Input::Witness(peer(1), true));
        for (nth, other) in others.iter().enumerate() {
            rig.joins(nth as u8 + 2, other);
            rig.on(Input::Witness(peer(nth as u8 + 2), true));
        }
        rig.anchor(hash.clone());
        let mut supplies = Vec::new();
        for _ in 0..20 {
            while let Some((id, _, request)) = rig.request() {
                rig.answer(id, first.answer(&request));
            }
            supplies.extend(std::iter::from_fn(|| rig.supply()));
            rig.passes(500);
        }
        rig.expect_no_penalty();
        supplies
    };
    let [supply] = &follow(&[])[..] else { panic!("one supply") };
    assert_eq!((supply.begins, &supply.open, supply.label), (true, &hash.hash, first.newest().label));
    assert_eq!(supply.batches.len(), 1);
    // Somebody who is vouched for holds something before it, or another period: it may have to be walked to.
    let longer = History::new(NETWORK, SMALL, 1);
    assert!(follow(&[&longer]).iter().all(|supply| !supply.begins));
}

/// Failed once: the planner went on behind what the core had refused, and nobody fetched it again.
#[test]
fn what_the_core_refuses_of_the_open_period_is_asked_for_again() {
    let mut history = History::new(NETWORK, SMALL, 1);
    history.extend(3, 77);
    let mut rig = Rig::new(Held::of(&history)).with(1, &history);
    rig.on(Input::Witness(peer(1), true));
    rig.anchor(history.newest());
    let (id, _, request) = rig.newest().expect("it is behind");
    rig.answer(id, history.answer(&request));
    let refused = rig.supply().unwrap();
    rig.on(Input::Refused(refused.ticket));
    rig.expect_no_request();
    let (id, _, request) = rig.newest().expect("after a while");
    assert!(matches!(&request, Request::Newest(wanted) if wanted.after.is_none()), "{request:?}");
    rig.answer(id, history.answer(&request));
    let again = rig.supply().unwrap();
    assert_eq!((&again.batches, again.after), (&refused.batches, None));
    // What was taken is not asked for again, and what comes then stands on it.
    let last = again.batches.last().unwrap();
    rig.own.newest.insert(history.newest().hash, (last.id, last.line.end()));
    rig.taken(&again);
    assert_eq!(rig.newest(), None);
    history.extend(3, 78);
    rig.on(Input::Head(peer(1), Box::new(history.head().unwrap())));
    let (id, _, request) = rig.newest().expect("there is more");
    rig.answer(id, history.answer(&request));
    assert_eq!(rig.supply().unwrap().after, Some(last.id));
    rig.expect_no_penalty();
}

/// A closed period that the core refuses is no hole: the walk begins again.
#[test]
fn what_the_core_refuses_of_a_closed_period_is_walked_to_again() {
    let history = History::new(NETWORK, SMALL, 1);
    let mut rig = Rig::new(Held::default()).with(1, &history);
    rig.anchor(history.newest());
    while let Some((id, _, request)) = rig.request() {
        rig.answer(id, history.answer(&request));
    }
    let refused = rig.supply().unwrap();
    while rig.supply().is_some() {}
    rig.on(Input::Refused(refused.ticket));
    rig.expect_no_request();
    let mut labels = Vec::new();
    for _ in 0..20 {
        labels.extend(rig.runs(&history));
        rig.passes(500);
    }
    assert_eq!(labels, [1, 101, 201, 301, 401]);
    rig.expect_no_penalty();
}

/// Failed once: a follower stayed on a fork that the peer that it trusts had left.
#[test]
fn a_trusted_peers_head_is_followed_across_a_fork() {
    let mut left = History::new(NETWORK, SMALL, 1);
    (0..4).for_each(|salt| left.extend(2, salt));
    let mut taken = History::new(NETWORK, SMALL, 1);
    taken.extend(2, 0);
    let fork = taken.open.3[0];
    taken.extend(2, 99);
    let open = taken.newest().hash;
    let mut rig = Rig::new(Held::of(&left)).with(1, &left);
    rig.on(Input::Witness(peer(1), true));
    rig.anchor(left.newest());
    let (id, _, request) = rig.newest().expect("it is behind");
    rig.answer(id, left.answer(&request));
    let first = rig.supply().unwrap();
    let last = first.batches.last().unwrap();
    rig.own.newest.insert(open.clone(), (last.id, last.line.end()));
    rig.own.apart = BTreeSet::from([*taken.open.3.last().unwrap()]);
    rig.taken(&first);
    // The peer goes over to another history, which is shorter.
    rig.on(Input::Head(peer(1), Box::new(taken.head().unwrap())));
    let (id, _, request) = rig.newest().expect("its head is none of ours");
    rig.answer(id, taken.answer(&request));
    let over = rig.supply().unwrap();
    assert_eq!(
        (over.after, over.batches.iter().map(|batch| batch.id).collect::<Vec<_>>()),
        (None, taken.open.3.clone())
    );
    assert!(over.batches[0].id == fork && first.batches[0].id == fork);
    rig.on(Input::Taken(over.ticket));
    assert_eq!(rig.newest(), None, "all of it is here, whatever our head does");
    // And where it has grown beyond us before we hear of it: it does not have what we ask behind.
    taken.extend(2, 100);
    rig.own.newest.insert(open.clone(), (over.batches[1].id, over.batches[1].line.end()));
    rig.own.apart.clear();
    rig.on(Input::Head(peer(1), Box::new(taken.head().unwrap())));
    let (id, _, request) = rig.newest().expect("there is more");
    rig.answer(id, Answer::NotHeld);
    let Request::Newest(wanted) = &request else { panic!() };
    assert!(wanted.after.is_some());
    let (_, _, request) = rig.newest().expect("from the beginning");
    assert!(matches!(&request, Request::Newest(wanted) if wanted.after.is_none()), "{request:?}");
    rig.expect_no_penalty();
}

#[test]
fn the_own_feed_brings_what_is_new_by_itself() {
    let mut history = History::new(NETWORK, SMALL, 1);
    let mut rig = Rig::new(Held::of(&history)).with(1, &history);
    rig.on(Input::Witness(peer(1), true));
    rig.anchor(history.newest());
    for salt in 0..20 {
        history.extend(1, salt);
        rig.on(Input::Head(peer(1), Box::new(history.head().unwrap())));
        rig.passes(1_000);
        let (id, batch) = (history.open.3.last().unwrap(), history.open.2.last().unwrap());
        rig.own.newest.insert(history.newest().hash, (*id, batch.line.end()));
        rig.on(Input::Tick);
        rig.expect_no_request();
    }
}

/// Found by the simulation: the own feed brought some of it while the request was out, and an honest peer paid.
#[test]
fn an_answer_about_a_place_that_has_moved_on_is_nobodys_fault() {
    let mut history = History::new(NETWORK, SMALL, 1);
    history.extend(1, 1);
    let mut rig = Rig::new(Held::of(&history)).with(1, &history);
    rig.on(Input::Witness(peer(1), true));
    rig.anchor(history.newest());
    rig.passes(1);
    rig.passes(2_500);
    let (id, _, request) = rig.expect_request();
    let (last, batch) = (history.open.3[0], history.open.2[0].clone());
    rig.own.newest.insert(history.newest().hash, (last, batch.line.end()));
    rig.on(Input::Tick);
    rig.answer(id, history.answer(&request));
    rig.expect_no_penalty();
    assert_eq!(rig.supply(), None);
}
