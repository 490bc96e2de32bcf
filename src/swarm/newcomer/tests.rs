//! The machine in cases: whom it asks, whom it blames, what it does not take.

use super::machine::{AskId, Effect, Input, Machine, Phase, TICK_MS, WINDOW};
use crate::swarm::peers::Offence;
use honeygraph_protocols::document::leaves::{LEAF_BYTES, leaf_digest};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::{Label, NetworkName};
use honeygraph_protocols::swarm::pictures::{Manifest, Offer, Request};
use honeygraph_protocols::swarm::wire::List;
use std::collections::{BTreeMap, BTreeSet};

const GROUPS: usize = 40;

fn peer(nth: u8) -> PeerKey {
    PeerKey([nth; 32])
}

fn manifest(groups: usize) -> Manifest {
    let leaves = groups * 8;
    let digests = (0..leaves).map(|nth| leaf_digest(&nth.to_le_bytes()));
    Manifest { bytes: (leaves * LEAF_BYTES) as u64, leaves: List::first_of(digests) }
}

fn offer(label: u64, manifest: &Manifest) -> Offer {
    let root = HashText::new(&manifest.cid().unwrap()).unwrap();
    let label = Label::new(label).unwrap();
    Offer { label, root, bytes: manifest.bytes, leaves: manifest.leaves.len() as u32, anchored: true }
}

/// A machine, the questions that are out, and what it said of peers.
struct Desk {
    machine: Machine,
    now: u64,
    out: BTreeMap<AskId, (PeerKey, Request)>,
    said: Vec<Effect>,
    asked: BTreeMap<PeerKey, usize>,
}

impl Desk {
    fn new(peers: u8) -> Self {
        let machine = Machine::new(NetworkName::new("a_").unwrap());
        let (out, said, asked) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let mut desk = Self { machine, now: 1_000, out, said, asked };
        (1..=peers).for_each(|nth| desk.on(Input::Connected(peer(nth))));
        desk
    }

    fn on(&mut self, input: Input) {
        let mut fx = Vec::new();
        self.machine.on(self.now, input, &mut fx);
        for effect in fx {
            match effect {
                Effect::Ask { id, peer, request } => {
                    if matches!(request, Request::Leaves(_)) {
                        *self.asked.entry(peer).or_default() += 1;
                    }
                    assert!(self.out.insert(id, (peer, request)).is_none());
                }
                Effect::Outcome(..) => {}
                other => self.said.push(other),
            }
        }
    }

    fn is_awaited(&self) -> bool {
        self.machine.is_awaited(self.now)
    }

    /// Lets time go by; what is asked meanwhile is answered so.
    fn wait(&mut self, ms: u64, answer: impl Fn(AskId, &Request) -> Input) -> usize {
        let (until, mut answered) = (self.now + ms, 0);
        while self.now < until {
            self.now += TICK_MS;
            self.on(Input::Tick);
            for (id, (_, request)) in std::mem::take(&mut self.out) {
                answered += 1;
                self.on(answer(id, &request));
            }
        }
        answered
    }

    fn anchors(&mut self, roots: &[&Offer]) {
        self.on(Input::Anchors(roots.iter().map(|offer| offer.root.clone()).collect()));
    }

    /// All peers say that they have these.
    fn look(&mut self, offers: &[Offer]) {
        for id in self
            .out
            .iter()
            .filter(|(_, (_, asked))| matches!(asked, Request::Held(_)))
            .map(|(id, _)| *id)
            .collect::<Vec<_>>()
        {
            self.out.remove(&id);
            self.on(Input::Held(id, offers.to_vec()));
        }
    }

    fn manifest_asked(&mut self) -> Option<(AskId, PeerKey)> {
        let asked = self.out.iter().find(|(_, (_, asked))| matches!(asked, Request::Manifest(_)));
        asked.map(|(id, (peer, _))| (*id, *peer))
    }

    /// Answers the oldest question for a group.
    fn answer(&mut self, wrong: impl Fn(PeerKey, u32) -> bool) -> bool {
        let asked = self.out.iter().find_map(|(id, (peer, asked))| match asked {
            Request::Leaves(wanted) => Some((*id, *peer, wanted.group)),
            _ => None,
        });
        let Some((id, peer, group)) = asked else { return false };
        self.out.remove(&id);
        self.now += 10;
        self.on(Input::Group(id, if wrong(peer, group) { Err(format!("group {group}")) } else { Ok(()) }));
        true
    }

    fn fetching(peers: u8) -> Self {
        let (mut desk, manifest) = (Self::new(peers), manifest(GROUPS));
        let offer = offer(100, &manifest);
        desk.anchors(&[&offer]);
        desk.look(&[offer]);
        let (id, _) = desk.manifest_asked().unwrap();
        desk.out.remove(&id);
        desk.on(Input::Manifest(id, Box::new(manifest)));
        assert!(matches!(desk.said.pop(), Some(Effect::Open(..))));
        desk.on(Input::Opened(vec![false; GROUPS]));
        desk
    }
}

#[test]
fn the_newest_anchored_root_is_fetched_from_all_and_finished() {
    let mut desk = Desk::fetching(3);
    assert!(desk.out.len() <= WINDOW && desk.is_awaited());
    while desk.answer(|_, _| false) {}
    assert_eq!(desk.said, [Effect::Finish]);
    assert_eq!(desk.asked.values().sum::<usize>(), GROUPS, "nothing twice");
    assert!(desk.asked.len() == 3 && desk.asked.values().all(|asked| *asked > 4), "{:?}", desk.asked);
    desk.on(Input::Taken);
    assert_eq!((desk.machine.shown().phase, desk.machine.wake_at(0)), (Phase::Waiting, None));
}

/// Guards against: a root taken because most peers offer it.
#[test]
fn what_nothing_vouches_for_is_offered_and_not_fetched() {
    let (mut desk, older, newer) = (Desk::new(2), manifest(1), manifest(2));
    let (older, newer) = (offer(100, &older), offer(200, &newer));
    assert!(desk.is_awaited());
    desk.look(&[newer.clone(), older.clone()]);
    assert!(desk.out.is_empty() && desk.said.is_empty() && !desk.is_awaited());
    let offered = desk.machine.shown().offered;
    let shown: Vec<_> = offered.iter().map(|offered| (offered.label, offered.peers, offered.anchored)).collect();
    assert_eq!(shown, [(200, 2, false), (100, 2, false)]);
    desk.anchors(&[&older]);
    assert_eq!(desk.machine.shown().root, Some(older.root.clone()), "it, and not the newer one");
    desk.on(Input::Anchors(BTreeSet::new()));
    assert_eq!(desk.machine.shown().root, None, "nothing vouches for it any longer");
}

/// Guards against: everybody who was asked for a group paying for the one that lied.
#[test]
fn who_lied_pays_and_is_not_asked_again_while_others_are_there() {
    let mut desk = Desk::fetching(3);
    let liar = peer(2);
    while desk.answer(|peer, _| peer == liar) {}
    let (blamed, rest): (Vec<_>, Vec<_>) = desk.said.iter().partition(|said| matches!(said, Effect::Penalty(..)));
    assert_eq!(rest, [&Effect::Finish]);
    assert!((1..=4).contains(&blamed.len()), "what was out when it was caught: {}", blamed.len());
    let is_it = |said: &&Effect| matches!(said, Effect::Penalty(peer, Offence::PictureFalse, _) if *peer == liar);
    assert!(blamed.iter().all(is_it));
    assert_eq!(desk.asked.values().sum::<usize>(), GROUPS + blamed.len());
}

#[test]
fn a_false_manifest_is_blamed_and_asked_of_another() {
    let (mut desk, wanted) = (Desk::new(2), manifest(3));
    let offer = offer(100, &wanted);
    desk.anchors(&[&offer]);
    desk.look(&[offer]);
    let (id, first) = desk.manifest_asked().unwrap();
    desk.out.remove(&id);
    desk.on(Input::Manifest(id, Box::new(manifest(4))));
    assert!(matches!(desk.said.pop(), Some(Effect::Penalty(peer, Offence::PictureFalse, _)) if peer == first));
    let (_, second) = desk.manifest_asked().unwrap();
    assert_ne!(first, second);
}

#[test]
fn what_is_slow_or_gone_is_asked_of_others() {
    let mut desk = Desk::fetching(2);
    let slow = peer(1);
    let of_slow = |desk: &Desk| desk.out.values().filter(|(peer, _)| *peer == slow).count();
    assert!(of_slow(&desk) > 0);
    // Only the other answers; what the slow one was asked for is overtaken, and all comes to an end.
    for _ in 0..4 * GROUPS {
        let next = desk.out.iter().find(|(_, (peer, asked))| *peer != slow && matches!(asked, Request::Leaves(_)));
        let Some(id) = next.map(|(id, _)| *id) else {
            desk.now += 4_000;
            desk.look(&[]);
            desk.on(Input::Tick);
            continue;
        };
        desk.out.remove(&id);
        desk.now += 10;
        desk.on(Input::Group(id, Ok(())));
    }
    assert_eq!(desk.said, [Effect::Finish], "nobody pays for being slow");

    let mut desk = Desk::fetching(2);
    desk.on(Input::Gone(slow));
    desk.out.retain(|_, (peer, _)| *peer != slow);
    while desk.answer(|_, _| false) {}
    assert_eq!(desk.said, [Effect::Finish]);
}

#[test]
fn what_an_earlier_run_left_is_gone_on_with() {
    let (mut desk, manifest) = (Desk::new(1), manifest(3));
    let offer = offer(100, &manifest);
    desk.on(Input::Left(offer.root.clone(), Box::new(manifest.clone())));
    assert!(desk.said.is_empty(), "nothing vouches for it yet");
    desk.anchors(&[&offer]);
    assert_eq!(desk.said.pop(), Some(Effect::Open(offer.root.clone(), Box::new(manifest))));
    desk.on(Input::Opened(vec![true, false, true]));
    desk.look(&[offer]);
    assert_eq!(desk.asked.values().sum::<usize>(), 1, "the one that is missing");
    desk.answer(|_, _| false);
    assert_eq!(desk.said.pop(), Some(Effect::Finish));
    // It was no root document: the next one, if there is one.
    desk.on(Input::Spoiled("no root".into()));
    assert_eq!((desk.machine.shown().root, desk.machine.shown().trouble), (None, Some("no root".into())));
}

/// Guards against: a history that begins with its base waiting for ever, for one peer that is busy, has another network, or
/// promises and has nothing; and such a peer asked again without a pause.
#[test]
fn peers_that_give_nothing_keep_no_history_waiting() {
    let manifest = manifest(2);
    let offer = offer(100, &manifest);
    let promises = |id, request: &Request| match request {
        Request::Held(_) => Input::Held(id, vec![offer.clone()]),
        _ => Input::NotHeld(id),
    };
    let busy_with_all_but_promises = |id, request: &Request| match request {
        Request::Held(_) => Input::Held(id, vec![offer.clone()]),
        _ => Input::Busy(id, 0),
    };
    let ways: [(&str, &dyn Fn(AskId, &Request) -> Input); 4] = [
        ("busy", &|id, _| Input::Busy(id, 0)),
        ("another network", &|id, _| Input::NotHeld(id)),
        ("promises", &promises),
        ("busy with it", &busy_with_all_but_promises),
    ];
    for (what, way) in ways {
        let mut desk = Desk::new(1);
        desk.anchors(&[&offer]);
        assert!(desk.is_awaited(), "{what}: nobody has said anything");
        let asked = desk.wait(120_000, way);
        assert!(!desk.is_awaited() && desk.said.is_empty(), "{what}");
        assert!(asked <= 250, "{what}: asked {asked} times in two minutes");
        // A word of somebody who counts begins it anew.
        desk.now += 1;
        desk.anchors(&[&offer, &super::tests::offer(200, &super::tests::manifest(3))]);
        assert_eq!(desk.is_awaited(), what.starts_with("busy"), "{what}");
    }
}

/// Guards against: a peer that could not answer at once being asked again as late as one that has nothing.
#[test]
fn who_did_not_answer_is_asked_again_soon() {
    let mut desk = Desk::new(1);
    let asked = desk.wait(5_000, |id, _| Input::Failed(id));
    assert!((2..=6).contains(&asked), "{asked}");
    let asked = desk.wait(120_000, |id, _| Input::Held(id, Vec::new()));
    assert!((2..=7).contains(&asked), "{asked}");
}

/// A line that carries twelve groups in the time that one question has, and not the sixteen of a whole window.
#[test]
fn a_line_too_narrow_for_the_window_carries_the_picture() {
    const STEP_MS: u64 = 50;
    const LONGEST_MS: u64 = 10_000;
    const EACH_MS: f64 = 800.0;
    let mut desk = Desk::fetching(20);
    let ends = desk.now + 3 * (GROUPS as f64 * EACH_MS) as u64;
    let mut on_the_line: BTreeMap<AskId, (u64, f64)> = BTreeMap::new();
    while !desk.said.contains(&Effect::Finish) {
        assert!(desk.now < ends, "{:?}", desk.machine.shown());
        for (id, (_, request)) in std::mem::take(&mut desk.out) {
            match request {
                Request::Leaves(_) => drop(on_the_line.insert(id, (desk.now, 0.0))),
                _ => desk.on(Input::Busy(id, 1)),
            }
        }
        let share = STEP_MS as f64 / EACH_MS / on_the_line.len().max(1) as f64;
        on_the_line.values_mut().for_each(|(_, came)| *came += share);
        let now = desk.now;
        let over: Vec<_> =
            on_the_line.extract_if(.., |_, (at, came)| *came >= 1.0 || now - *at >= LONGEST_MS).collect();
        for (id, (_, came)) in over {
            desk.on(if came >= 1.0 { Input::Group(id, Ok(())) } else { Input::Failed(id) });
        }
        desk.now += STEP_MS;
        desk.on(Input::Tick);
    }
}
