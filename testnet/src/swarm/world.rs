//! A run: virtual time, a network that loses, repeats, delays and reorders, nodes that die.
//!
//! *Always holds:* one thing happens at a time, in an order that the seed gives; safety is looked at after everything that
//! happens to a core; then the faults end, and everything has to come right.

use super::cast::{AFTER, BEFORE, Cast, Course};
use super::history::closing;
use super::invariants::{self, Broken};
use super::node::Node;
use super::peer::{Kind, Sent, answer};
use super::scenario::Scenario;
use honeygraph::swarm::peers::book::Consequence;
use honeygraph::swarm::peers::{Offence, PeerBook};
use honeygraph::swarm::sync::chance::Chance;
use honeygraph::swarm::sync::{self, Effect, Failure, Supply};
use honeygraph::swarm::votes::{self, Reception};
use honeygraph_protocols::swarm::blocks::{Answer, Request};
use honeygraph_protocols::swarm::status::{Checkpoint, NetworkStatus};
use honeygraph_protocols::swarm::votes::Said;
use honeygraph_protocols::swarm::wire::Message;
use std::collections::BTreeMap;

/// Periods after whose time the faults end.
const FAULTY: u64 = AFTER as u64 - 4;
/// Between two looks of a node at its peers, ms.
const ROUND_MS: u64 = 5_000;
/// Between a supply and its being durable, ms.
const DURABLE_MS: u64 = 30;
const START: u64 = 1_764_000_000_000;

/// What happens.
#[derive(Debug)]
enum Event {
    Round(usize),
    Wake(usize, u64),
    Ask { from: usize, to: usize, life: u64, id: u64, request: Request },
    Reply { from: usize, to: usize, life: u64, id: u64, sent: Sent },
    Status { from: usize, to: usize, status: Box<NetworkStatus> },
    Said { from: usize, to: usize, n: u64, said: Box<Said> },
    Durable { node: usize, life: u64, supply: Box<Supply> },
    Start(usize),
}

impl Event {
    /// Into the trace: who, what, and the bytes.
    fn hash(&self, trace: &mut blake3::Hasher) {
        let text = match self {
            Self::Reply { from, to, id, sent: Sent::Bytes(bytes), .. } => {
                trace.update(bytes);
                format!("reply {from} {to} {id}")
            }
            Self::Durable { node, supply, .. } => format!("durable {node} {} {:?}", supply.ticket, supply.label),
            Self::Status { from, to, status } => format!("status {from} {to} {:?}", status.head),
            other => format!("{other:?}"),
        };
        trace.update(text.as_bytes());
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Hash of everything that happened.
    pub trace: [u8; 32],
    /// Events.
    pub events: u64,
    /// Virtual time at which everything was right, ms from the start.
    pub healed_ms: u64,
    /// Deaths.
    pub deaths: u64,
    /// Penalties, by offence.
    pub penalties: BTreeMap<Offence, u64>,
    /// Minority alarms.
    pub alarms: u64,
}

/// A run.
pub struct World {
    pub(super) now: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) cast: Cast,
    chance: Chance,
    queue: BTreeMap<(u64, u64), Event>,
    next: u64,
    trace: blake3::Hasher,
    events: u64,
    deaths: u64,
    penalties: BTreeMap<Offence, u64>,
    wakes: Vec<u64>,
}

/// Runs a scenario with a seed.
pub fn run(scenario: Scenario, seed: u64) -> Result<Outcome, String> {
    let mut world = World::new(scenario, seed);
    world.play().map_err(|broken| format!("{scenario:?}, seed {seed}: {broken}"))
}

impl World {
    fn new(scenario: Scenario, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut cast = Cast::new(scenario, &mut chance);
        let nodes = std::mem::take(&mut cast.nodes);
        let wakes = vec![0; nodes.len()];
        let mut world = Self {
            now: START,
            nodes,
            cast,
            chance,
            queue: BTreeMap::new(),
            next: 0,
            trace: blake3::Hasher::new(),
            events: 0,
            deaths: 0,
            penalties: BTreeMap::new(),
            wakes,
        };
        (0..world.nodes.len()).for_each(|node| world.start(node));
        world
    }

    fn play(&mut self) -> Result<Outcome, Broken> {
        let mut healed = None;
        while healed.is_none() {
            let Some(((at, _), event)) = self.queue.pop_first() else { break };
            self.now = at;
            self.events += 1;
            self.trace.update(&at.to_le_bytes());
            event.hash(&mut self.trace);
            if self.now > START + self.cast.course.end_ms {
                break;
            }
            self.happen(event)?;
            if self.is_calm() && self.events.is_multiple_of(64) && invariants::healed::check(self).is_ok() {
                healed = Some(self.now - START);
            }
        }
        invariants::healed::check(self)?;
        let healed_ms = healed.unwrap_or(self.cast.course.end_ms);
        let (trace, events, deaths) = (*self.trace.finalize().as_bytes(), self.events, self.deaths);
        let alarms = self.nodes.iter().map(|node| node.alarms).sum();
        Ok(Outcome { trace, events, healed_ms, deaths, penalties: self.penalties.clone(), alarms })
    }

    /// Whether the faults are over.
    pub(super) fn is_calm(&self) -> bool {
        self.now >= START + self.cast.course.period_ms * FAULTY
    }

    /// Periods that are closed by now, and batches of the open one.
    fn come(&self) -> (usize, usize) {
        let passed = self.now - START;
        let Course { period_ms, batches, .. } = self.cast.course;
        let closed = (passed / period_ms) as usize;
        let into = (passed % period_ms) * batches / period_ms;
        if closed >= AFTER { (BEFORE + AFTER, 0) } else { (BEFORE + closed, into as usize) }
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.next += 1;
        self.queue.insert((self.now + delay, self.next), event);
    }

    /// Over the network: perhaps lost, perhaps twice, later.
    fn send(&mut self, from: usize, to: usize, make: impl Fn() -> Event) {
        let apart = |node: &usize| self.cast.apart.contains(node);
        let cut = !self.is_calm() && apart(&from) != apart(&to);
        let connected = self.nodes[from].peers.contains(&to) && self.nodes[to].peers.contains(&from);
        if cut || !connected {
            return;
        }
        let faults = !self.is_calm();
        if faults && self.chance.below(20) == 0 {
            return;
        }
        let delay = 5 + self.chance.below(if faults { 300 } else { 60 });
        if faults && self.chance.below(20) == 0 {
            let again = delay + self.chance.below(2_000);
            self.at(again, make());
        }
        self.at(delay, make());
    }

    fn start(&mut self, node: usize) {
        let seed = node as u64 * 1_000;
        self.nodes[node].start(self.now, seed, &self.cast.electorate);
        let first = self.chance.below(500);
        self.at(first, Event::Round(node));
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        match event {
            Event::Start(node) => self.start(node),
            Event::Round(node) => self.round(node)?,
            Event::Wake(node, life) if self.nodes[node].life == life => self.tell(node, sync::Input::Tick)?,
            Event::Wake(..) => {}
            Event::Ask { from, to, life, id, request } => self.asked(from, to, life, id, &request),
            Event::Reply { from, to, life, id, sent } => {
                if self.nodes[to].life != life || !self.nodes[to].is_up {
                    return Ok(());
                }
                let input = match sent {
                    Sent::Bytes(bytes) => match Answer::decode(&bytes) {
                        Ok(answer) => sync::Input::Answer(id, Box::new(answer)),
                        Err(_) => sync::Input::Failed(id, Failure::Undecodable),
                    },
                    Sent::TooMany => sync::Input::Failed(id, Failure::Oversize),
                    Sent::Nothing => return Ok(()),
                };
                self.trace.update(&[from as u8]);
                self.tell(to, input)?;
            }
            Event::Status { from, to, status } => {
                let key = self.nodes[from].key();
                self.tell(to, sync::Input::Status(key, status))?;
            }
            Event::Said { from, to, n, said } => self.heard(from, to, n, *said)?,
            Event::Durable { node, life, supply } => self.durable(node, life, &supply)?,
        }
        Ok(())
    }

    /// A node looks around: at its feed, its peers, what it has to say. Perhaps it dies.
    fn round(&mut self, node: usize) -> Result<(), Broken> {
        if !self.nodes[node].is_up {
            return Ok(());
        }
        if !self.is_calm() && self.chance.below(40) == 0 {
            return self.die(node);
        }
        self.at(ROUND_MS, Event::Round(node));
        if let Some(feed) = self.nodes[node].feed {
            let (closed, batches) = self.come();
            let history = &self.cast.feeds[feed];
            let mut held = history.first(closed);
            if let Some(next) = history.periods.get(closed) {
                let most = batches.min(next.batches.len());
                (held.open.2, held.open.3) = (next.batches[..most].to_vec(), next.ids[..most].to_vec());
            }
            self.nodes[node].core.fed(&held);
        } else if matches!(self.nodes[node].kind, Kind::Liar(_)) {
            let closed = self.come().0;
            self.nodes[node].core.chain = self.cast.feeds[0].first(closed);
        }
        self.meet(node)?;
        let due = self.nodes[node].said_ms + self.cast.course.says_ms;
        if self.now >= due || self.come().0 > self.nodes[node].voted {
            self.nodes[node].said_ms = self.now;
            self.speak(node)?;
        }
        let status = self.status(node);
        let peers: Vec<usize> = self.nodes[node].peers.iter().copied().collect();
        for peer in peers {
            let status = status.clone();
            self.send(node, peer, || Event::Status { from: node, to: peer, status: Box::new(status.clone()) });
        }
        if self.cast.pins && self.nodes[node].feed.is_none() {
            let newest = self.cast.feeds[0].first(if self.is_calm() { BEFORE + AFTER } else { BEFORE }).newest();
            self.anchor(node, newest)?;
        }
        self.tell(node, sync::Input::Tick)
    }

    /// Liars show the honest history's length: that is how they are asked.
    fn status(&self, node: usize) -> NetworkStatus {
        self.nodes[node].core.chain.status()
    }

    fn die(&mut self, node: usize) -> Result<(), Broken> {
        self.deaths += 1;
        self.nodes[node].is_up = false;
        self.nodes[node].life += 1;
        let key = self.nodes[node].key();
        let peers: Vec<usize> = self.nodes[node].peers.iter().copied().collect();
        for peer in peers {
            self.nodes[peer].peers.remove(&node);
            self.tell(peer, sync::Input::Gone(key))?;
        }
        self.nodes[node].peers.clear();
        let later = 1_000 + self.chance.below(15_000);
        self.at(later, Event::Start(node));
        Ok(())
    }

    /// Connects to whom it may.
    fn meet(&mut self, node: usize) -> Result<(), Broken> {
        if self.is_calm()
            && let Some((victim, _)) = self.cast.eclipsed.take()
        {
            for other in (0..self.nodes.len()).filter(|other| *other != victim) {
                self.nodes[victim].meets.insert(other);
                self.nodes[other].meets.insert(victim);
            }
        }
        let meets: Vec<usize> = self.nodes[node].meets.difference(&self.nodes[node].peers).copied().collect();
        for other in meets {
            let bans = |book: &PeerBook, peer: usize| book.is_banned(self.now, &self.nodes[peer].key());
            let (one, two) = (&self.nodes[node].book, &self.nodes[other].book);
            if !self.nodes[other].is_up || bans(one, other) || bans(two, node) {
                continue;
            }
            for (from, to) in [(node, other), (other, node)] {
                let key = self.nodes[to].key();
                self.nodes[from].peers.insert(to);
                self.tell(from, sync::Input::Connected(key))?;
                let is_witness = self.nodes[from].votes.witnesses().contains(&key);
                self.tell(from, sync::Input::Witness(key, is_witness))?;
            }
        }
        Ok(())
    }

    /// Says what it has to say: its binding, its votes.
    fn speak(&mut self, node: usize) -> Result<(), Broken> {
        let closed = self.come().0;
        let strangers = self.cast.strangers.clone();
        let me = &mut self.nodes[node];
        let mut said = Vec::new();
        if let (Some(account), Some(feed)) = (me.account.clone(), me.feed) {
            let history = &self.cast.feeds[feed];
            for nth in me.voted.max(BEFORE - 2)..closed {
                let header = &history.periods[nth].header;
                let Some(next) = history.first(nth + 1).newest().label else { continue };
                me.own_votes.verified(next, &header.close_hash);
                let mut fx = Vec::new();
                me.votes.on(self.now, votes::Input::Own(next, header.close_hash.clone()), &mut fx);
                // The others may have voted before it.
                let alarms = fx.iter().filter(|effect| matches!(effect, votes::book::Effect::Minority { .. }));
                me.alarms += alarms.count() as u64;
            }
            me.voted = closed;
            me.own_votes.stored();
            said.push(Said::Binding(account.bind(&me.voter, START)));
            for vote in me.own_votes.newest(4) {
                let sign = |hash| me.voter.vote(&history.network, &account.name, vote.label, hash, vote.n);
                said.push(Said::Vote(sign(&vote.hash)));
                if me.equivocates {
                    let other = honeygraph_protocols::honeycomb::HashText::new("QmTwoFaced").expect("short");
                    said.push(Said::Vote(sign(&other)));
                }
            }
        }
        if let (Kind::Liar(_), Some(stranger)) = (me.kind, strangers.get(node % strangers.len().max(1))) {
            let fake = me.lies.fake.first(closed).newest();
            said.push(Said::Binding(stranger.bind(&me.voter, START)));
            let label = fake.label.expect("labelled");
            let network = me.core.chain.network.clone();
            said.push(Said::Vote(me.voter.vote(&network, &stranger.name, label, &fake.hash, self.now)));
        }
        for said in said {
            self.next += 1;
            self.heard(node, node, self.next, said)?;
        }
        Ok(())
    }

    /// A node hears something said, and passes it on if it is new, or (where not everybody meets everybody) said again for
    /// those who came later.
    fn heard(&mut self, from: usize, to: usize, n: u64, said: Said) -> Result<(), Broken> {
        if !self.nodes[to].is_up || !self.nodes[to].hears(n) {
            return Ok(());
        }
        let mut fx = Vec::new();
        let input = votes::Input::Said(Box::new(said.clone()));
        let reception = self.nodes[to].votes.on(self.now, input, &mut fx);
        if reception == Reception::Reject {
            let peer = self.nodes[from].key();
            self.effect(to, Effect::Penalty { peer, offence: Offence::Forged, what: "gossip".into() })?;
        }
        let own = from == to;
        let again = reception == Reception::Known && self.cast.course.mesh;
        if reception == Reception::Accept || again || own {
            let peers: Vec<usize> = self.nodes[to].peers.iter().copied().filter(|peer| *peer != from).collect();
            for peer in peers {
                let said = said.clone();
                self.send(to, peer, || Event::Said { from: to, to: peer, n, said: Box::new(said.clone()) });
            }
        }
        if matches!(said, Said::Binding(_)) && reception == Reception::Accept {
            let witnesses = self.nodes[to].votes.witnesses();
            let known: Vec<usize> = self.nodes[to].peers.iter().copied().collect();
            for peer in known {
                let key = self.nodes[peer].key();
                self.tell(to, sync::Input::Witness(key, witnesses.contains(&key)))?;
            }
        }
        for effect in fx {
            match effect {
                votes::book::Effect::Confirmed(checkpoint) => self.anchor(to, checkpoint)?,
                votes::book::Effect::Evidence(evidence) => {
                    invariants::innocent::account(self, &evidence)?;
                    let peers: Vec<usize> = self.nodes[to].peers.iter().copied().collect();
                    self.next += 1;
                    let n = self.next;
                    for peer in peers {
                        let said = Said::Evidence(*evidence.clone());
                        self.send(to, peer, || Event::Said { from: to, to: peer, n, said: Box::new(said.clone()) });
                    }
                }
                votes::book::Effect::Disagrees(..) => {}
                votes::book::Effect::Minority { .. } => self.nodes[to].alarms += 1,
            }
        }
        Ok(())
    }

    fn anchor(&mut self, node: usize, checkpoint: Checkpoint) -> Result<(), Broken> {
        invariants::confirmed::check(self, node, &checkpoint)?;
        self.nodes[node].core.confirm(checkpoint.clone());
        invariants::right::check(self, node)?;
        self.tell(node, sync::Input::Anchor(checkpoint))
    }

    fn asked(&mut self, from: usize, to: usize, life: u64, id: u64, request: &Request) {
        if !self.nodes[to].is_up {
            return;
        }
        let node = &mut self.nodes[to];
        let sent = answer(node.kind, &node.core.chain, &mut node.lies, request, &mut self.chance);
        let late = if node.kind == Kind::Slow { 2_000 + self.chance.below(6_000) } else { 0 };
        let delay = late + 5 + self.chance.below(20);
        if !self.is_calm() && self.chance.below(20) == 0 {
            return;
        }
        self.at(delay, Event::Reply { from: to, to: from, life, id, sent });
    }

    fn durable(&mut self, node: usize, life: u64, supply: &Supply) -> Result<(), Broken> {
        if self.nodes[node].life != life {
            return Ok(());
        }
        let took = self.nodes[node].core.take(supply);
        invariants::checked::check(node, supply)?;
        invariants::right::check(self, node)?;
        self.tell(node, sync::Input::Taken(supply.ticket))?;
        if let Some((period, verdict)) = took.proven {
            self.tell(node, sync::Input::Proven(period, verdict))?;
        }
        Ok(())
    }

    /// Tells a node's planner something, and does what it wants.
    fn tell(&mut self, node: usize, input: sync::Input) -> Result<(), Broken> {
        let me = &mut self.nodes[node];
        if !me.is_up || me.feed.is_some() && me.core.chain.periods.is_empty() {
            return Ok(());
        }
        let mut fx = Vec::new();
        me.planner.on(self.now, input, &me.core, &me.book, &mut fx);
        let (wake, life) = (me.planner.wake_at(self.now), me.life);
        if let Some(at) = wake.filter(|_| self.wakes[node] <= self.now) {
            self.wakes[node] = at;
            self.at(at - self.now, Event::Wake(node, life));
        }
        fx.into_iter().try_for_each(|effect| self.effect(node, effect))
    }

    fn effect(&mut self, node: usize, effect: Effect) -> Result<(), Broken> {
        let life = self.nodes[node].life;
        let find = |world: &Self, key| world.nodes.iter().position(|node| node.key() == key);
        match effect {
            Effect::Ask { id, peer, request } => {
                let Some(to) = find(self, peer) else { return Ok(()) };
                self.send(node, to, || Event::Ask { from: node, to, life, id, request: request.clone() });
            }
            Effect::Supply(supply) => self.at(DURABLE_MS, Event::Durable { node, life, supply }),
            Effect::Prove { period, batches, .. } => {
                let ids: Vec<_> = batches.iter().map(|batch| batch.id).collect();
                let holds = closing(&period.open_hash, &ids) == period.close_hash;
                let verdict = if holds { sync::Verdict::Holds } else { sync::Verdict::Differs };
                self.tell(node, sync::Input::Proven(period.id(), verdict))?;
            }
            Effect::Outcome { peer, good } => self.nodes[node].book.outcome(self.now, peer, good),
            Effect::Penalty { peer, offence, what } => {
                let Some(other) = find(self, peer) else { return Ok(()) };
                invariants::innocent::peer(self, node, other, offence, &what)?;
                *self.penalties.entry(offence).or_default() += 1;
                if let Consequence::Banned(_) = self.nodes[node].book.offend(self.now, peer, offence) {
                    self.nodes[node].peers.remove(&other);
                    self.nodes[other].peers.remove(&node);
                    let key = self.nodes[node].key();
                    self.tell(node, sync::Input::Gone(peer))?;
                    self.tell(other, sync::Input::Gone(key))?;
                }
            }
        }
        Ok(())
    }
}
