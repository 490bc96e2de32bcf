//! What a planner holds is bounded, whatever peers do: each bound is reached, and holds.

use super::*;
use crate::swarm::peers::book::MAX_PEERS;
use crate::swarm::sync::asks::{AT_ONCE, BUSY_MS, OVERTAKEN_MS};
use crate::swarm::sync::check::{self, Checked, Room};
use crate::swarm::sync::leg::{HEADERS_HELD, Job, Leg, PROVEN_BYTES, Parts, Slot, Top, WalkState};
use crate::swarm::sync::planner::{ANCHORS, CLAIMS, FALSE_HEADERS, OFFERED, REMOTES};
use crate::swarm::sync::walk::WALKED;
use honeygraph_protocols::op;
use honeygraph_protocols::swarm::blocks::{FRAME_BODY_BYTES, Frame, Line};

fn hash(nth: u64) -> HashText {
    HashText::new(&format!("Qm{nth}")).unwrap()
}

fn checkpoint(nth: u64) -> Checkpoint {
    Checkpoint { hash: hash(nth), label: Label::new(nth) }
}

fn header() -> Header {
    History::new(NETWORK, SMALL, 1).periods[0].header.clone()
}

/// Header of a period that the next one's opening hash closes, for a walk back from `nth`.
fn headers(from: u64, most: u64) -> Vec<Header> {
    let header = header();
    let one = |nth: u64| Header {
        open_hash: hash(nth),
        close_hash: hash(nth + 1),
        prev: Some(hash(nth - 1)),
        label: Label::new(nth),
        ..header.clone()
    };
    (0..most).map(|back| one(from - 1 - back)).collect()
}

#[test]
fn the_newest_anchors_stay() {
    let mut rig = Rig::new(Held::default());
    (1..=ANCHORS as u64 + 10).for_each(|nth| rig.anchor(checkpoint(nth)));
    assert_eq!(rig.planner.anchors.len(), ANCHORS);
    assert!(!rig.planner.anchors.contains_key(&hash(10)) && rig.planner.anchors.contains_key(&hash(11)));
}

#[test]
fn peers_beyond_the_most_are_not_held_and_those_before_stay() {
    let history = History::new(NETWORK, SMALL, 1);
    let mut rig = Rig::new(Held::default()).with(1, &history);
    const { assert!(REMOTES < MAX_PEERS, "all of them are in the book") };
    for nth in 0..REMOTES as u64 + 10 {
        let mut key = [0xee; 32];
        key[..8].copy_from_slice(&nth.to_le_bytes());
        rig.on(Input::Connected(PeerKey(key)));
    }
    assert_eq!(rig.planner.remotes.len(), REMOTES);
    assert!(rig.planner.remotes.contains_key(&peer(1)), "who came first is not pushed out");
    rig.joins(2, &history);
    assert!(!rig.planner.remotes.contains_key(&peer(2)), "there is no room");
    rig.on(Input::Gone(peer(1)));
    rig.joins(2, &history);
    assert!(rig.planner.remotes.contains_key(&peer(2)), "there is room again");
}

#[test]
fn a_peer_has_few_questions_at_once() {
    let history = History::new(NETWORK, Size { periods: 20, ..SMALL }, 1);
    let mut rig = Rig::new(Held::default()).with(2, &history);
    rig.anchor(history.newest());
    let first = rig.until_bodies(&history);
    let out: Vec<_> = std::iter::once(first).chain(std::iter::from_fn(|| rig.request())).collect();
    let of = |nth: u8| out.iter().filter(|(_, asked, _)| *asked == peer(nth)).count();
    assert_eq!([of(1), of(2)], [AT_ONCE, AT_ONCE]);
}

#[test]
fn the_newest_of_many_checkpoints_are_offered() {
    let history = History::new(NETWORK, SMALL, 1);
    let mut rig = Rig::new(Held::default());
    for nth in 1..=OFFERED as u8 + 4 {
        rig.on(Input::Connected(peer(nth)));
        let mut status = history.status();
        status.verified = Some(checkpoint(u64::from(nth)));
        rig.on(Input::Status(peer(nth), Box::new(status)));
    }
    let labels = rig.planner.progress(rig.now).offered.into_iter().filter_map(|offered| offered.label);
    assert_eq!(labels.collect::<Vec<_>>(), (5..=OFFERED as u64 + 4).rev().collect::<Vec<_>>());
}

#[test]
fn busy_is_not_believed_for_longer_than_half_a_minute() {
    let history = History::new(NETWORK, SMALL, 1);
    let mut rig = Rig::new(Held::default()).with(1, &history);
    rig.anchor(history.newest());
    let (id, ..) = rig.expect_request();
    rig.answer(id, Answer::Busy(u32::MAX));
    rig.passes(BUSY_MS - 1);
    rig.expect_no_request();
    rig.passes(1);
    rig.expect_request();
}

#[test]
fn how_long_a_question_may_take_has_bounds() {
    let mut planner = Rig::new(Held::default()).planner;
    for (usual, after) in [(1, OVERTAKEN_MS.0), (300, 1_200), (60_000, OVERTAKEN_MS.1)] {
        planner.usual_ms = usual;
        assert_eq!(planner.overtaken_after(), after);
    }
}

#[test]
fn of_a_long_walk_the_oldest_headers_are_held_and_the_newest() {
    let all = HEADERS_HELD as u64 + 300;
    let mut leg = Leg::new(checkpoint(all + 1));
    for _ in 0..all / 100 {
        let from = all + 1 - leg.walked;
        leg.extend(headers(from, 100).into_iter().map(|header| (header, vec![peer(1)])).collect());
    }
    assert_eq!((leg.slots.len(), leg.walked), (HEADERS_HELD, all / 100 * 100));
    // Guards against: the oldest were let go, which are needed first.
    let [newest, second] = [&leg.slots[0], &leg.slots[1]].map(|slot| slot.header.open_hash.clone());
    assert_eq!((newest, leg.slots.back().unwrap().header.open_hash.clone()), (hash(all), leg.from.clone()));
    assert_ne!(second, hash(all - 1), "those behind the newest made room");
}

#[test]
fn a_walk_without_end_is_given_up_and_not_begun_again() {
    let far = 3_000_000;
    let mut rig = Rig::new(Held::default());
    rig.on(Input::Connected(peer(1)));
    rig.on(Input::Status(peer(1), Box::new(History::new(NETWORK, SMALL, 1).status())));
    rig.anchor(checkpoint(far));
    let (id, ..) = rig.expect_request();
    rig.answer(id, Answer::Headers(List::first_of(headers(far, 100))));
    let first = headers(far, 1)[0].id();
    // All those that it gives until then would take the test a minute.
    rig.planner.leg.as_mut().unwrap().walked = WALKED;
    let (id, _, request) = rig.expect_request();
    let Request::Headers(wanted) = request else { panic!("{request:?}") };
    assert_eq!(wanted.from, hash(far - 100));
    rig.answer(id, Answer::Headers(List::first_of(headers(far - 100, 100))));
    assert!(rig.planner.false_headers.contains(&first), "it is remembered by its first header");
    rig.expect_no_penalty();
    while let Some((id, ..)) = rig.request() {
        rig.answer(id, Answer::Headers(List::first_of(headers(far, 100))));
    }
    assert!(rig.planner.leg.as_ref().is_none_or(|leg| leg.slots.is_empty()), "walked again");
}

#[test]
fn proofs_that_are_waited_for_and_false_headers_are_few() {
    let periods = CLAIMS as u64 + 20;
    let history = History::new(NETWORK, Size { periods, batches: 1, ops: 1 }, 1);
    let mut rig = Rig::new(Held::default()).with(4, &history);
    rig.anchor(history.newest());
    assert_eq!(rig.runs(&history).len() as u64, periods);
    assert_eq!(rig.planner.claims.len(), CLAIMS);
    // Guards against: the newest were forgotten.
    let [oldest, newest] = [0, periods as usize - 1].map(|nth| history.periods[nth].header.id());
    rig.on(Input::Proven(oldest, Verdict::Differs));
    rig.expect_no_penalty();
    rig.on(Input::Proven(newest, Verdict::Differs));
    assert!(rig.take(|effect| matches!(effect, Effect::Penalty { .. })).is_some());
    for header in headers(1 << 20, FALSE_HEADERS as u64 + 20) {
        rig.on(Input::Proven(header.id(), Verdict::Differs));
    }
    assert_eq!(rig.planner.false_headers.len(), FALSE_HEADERS);
}

/// A newest period too long to be held until it is proven is given to the core, which proves it.
#[test]
fn what_is_held_to_be_proven_is_bounded() {
    for (bytes, asked) in [(PROVEN_BYTES, true), (PROVEN_BYTES + 1, false)] {
        let mut leg = Leg::new(checkpoint(1));
        let mut slot = Slot::new(header(), vec![peer(1)]);
        let line = Line { seq: 0, count: 1, marker: false, label: None, ops_hash: [0; 32] };
        let frames = vec![Frame { count: 1, bytes: vec![0; bytes] }];
        let ready = vec![Checked { line: line.clone(), id: header().last_batch_id, frames }];
        let known = vec![(line, header().last_batch_id)];
        let (begun, begun_by, from) = (Vec::new(), None, Some(peer(1)));
        slot.job = Job::Parts(Parts { known, at: 1, begun, begun_by, ready, from });
        leg.slots.push_back(slot);
        leg.state = WalkState::Arrived;
        assert_eq!(leg.newest_to_prove().is_some(), asked);
        assert_eq!(leg.top, if asked { Top::Asked } else { Top::Passed });
    }
}

#[test]
fn no_answer_is_unpacked_beyond_its_bounds() {
    let line = |count| Line { seq: 0, count, marker: false, label: None, ops_hash: [0; 32] };
    let frame = |count, body: &[u8]| Frame { count, bytes: zstd::bulk::compress(body, 1).unwrap() };
    let refused = Err("frames larger than any");
    // A frame that declares more than any has, whatever is in it.
    let bomb = frame(1, &vec![0; FRAME_BODY_BYTES + 1]);
    assert!(bomb.bytes.len() < 4_096);
    let mut room = Room::ANSWER;
    assert_eq!(check::body(&line(1), &[bomb], &mut room), refused);
    // Frames that are each small enough: the answer's room is that of all of them.
    let mut body = Vec::new();
    let text = format!("{{\"data\":\"{}\",\"path\":[\"k\"],\"type\":\"put\"}}", "x".repeat(3 << 20));
    (0..2).for_each(|_| op::push_text(text.as_bytes(), &mut body));
    let (frames, mut room) = (vec![frame(2, &body); 12], Room::ANSWER);
    assert_eq!(check::body(&line(24), &frames[..1], &mut room), Err("ops that are not the batch's"), "it fits");
    assert_eq!(check::body(&line(24), &frames, &mut room), refused);
}
