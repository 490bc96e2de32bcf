//! What a newcomer decides: which root, whom to ask for what, who is slow and who lied.
//!
//! *Always holds:* at most [`AT_ONCE`] questions are out to a peer and [`WINDOW`] groups in all; a peer that was caught is
//! asked again only when nobody else has the picture; every question ends by what [`Machine::on`] hears of it.

use crate::swarm::peers::Offence;
use crate::swarm::window::Window;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::pictures::{LeavesWanted, Manifest, Named, Offer, Request};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Questions out to one peer: enough to keep a link busy with answers of about half a MiB.
pub const AT_ONCE: usize = 4;
/// Groups that are out or being checked: 32 MiB, unpacked.
pub const WINDOW: usize = 16;
/// While something is out or waited for, time is looked at so often, ms.
pub const TICK_MS: u64 = 250;
/// Peers are asked again what they have so often, ms, while nothing is fetched: a picture is made once a day. (At every five
/// seconds fifty peers and three networks filled the queue of questions, and those for blocks were refused.)
const LOOK_MS: u64 = 20_000;
/// A group is asked of a second peer when it takes so many times as long as groups do, between these bounds, ms.
const OVERTAKEN: u64 = 4;
const OVERTAKEN_MS: (u64, u64) = (500, 3_000);
/// First pause of a peer that did not answer, ms; it doubles up to the longest. One that is busy has at least the first.
const PAUSE_MS: u64 = 500;
/// A base counts as on its way for so long after the last step towards it, ms: several times what one question may take.
/// Peers that only promise, or are busy whenever they are asked, keep no history waiting.
const PATIENCE_MS: u64 = 60_000;
const LONGEST_PAUSE_MS: u64 = 30_000;
/// Peers heard of; a connection limit keeps them fewer.
const REMOTES: usize = 1_024;
/// Roots that turned out to be no base: remembered so that they are not fetched again.
const SPOILED: usize = 16;
/// Roots shown to the operator.
const OFFERED: usize = 16;

/// Number of a question.
pub type AskId = u64;

/// What it hears.
#[derive(Clone, Debug)]
pub enum Input {
    /// A peer is connected.
    Connected(PeerKey),
    /// It is not any more.
    Gone(PeerKey),
    /// What something vouches for, all of it.
    Anchors(BTreeSet<HashText>),
    /// An earlier run has left this one, not whole.
    Left(HashText, Box<Manifest>),
    /// A peer says what it has.
    Held(AskId, Vec<Offer>),
    /// A manifest came.
    Manifest(AskId, Box<Manifest>),
    /// A group was unpacked, checked and written; or what is wrong with it.
    Group(AskId, Result<(), String>),
    /// It does not have it.
    NotHeld(AskId),
    /// Not now, for so many ms.
    Busy(AskId, u32),
    /// No answer came.
    Failed(AskId),
    /// Bytes came that are no answer to this question.
    Senseless(AskId, Offence),
    /// The document is open: which groups of it are there.
    Opened(Vec<bool>),
    /// It cannot be written here, or what was put together is no base: the operator has to look.
    Spoiled(String),
    /// The base is there, and is taken at the next start.
    Taken,
    /// Time has passed.
    Tick,
}

/// What it wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask a peer. A group is taken as soon as it comes.
    Ask {
        /// Number under which the answer is given.
        id: AskId,
        /// Whom.
        peer: PeerKey,
        /// What.
        request: Request,
    },
    /// Open the document of this root.
    Open(HashText, Box<Manifest>),
    /// All of it is there: make it the base.
    Finish,
    /// Note how well a peer served.
    Outcome(PeerKey, bool),
    /// Note what was proven against a peer.
    Penalty(PeerKey, Offence, String),
}

/// What it is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A base is not needed, or not to be taken.
    #[default]
    Off,
    /// Peers are asked what they have.
    Looking,
    /// The manifest is asked for.
    Manifest,
    /// Leaves come in.
    Leaves,
    /// The document is checked as a whole.
    Checking,
    /// The base is taken at the next start.
    Waiting,
}

/// A root that peers have a picture of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offered {
    /// Its CID.
    pub root: HashText,
    /// Its block, as they say.
    pub label: u64,
    /// Bytes of the document, as they say.
    pub bytes: u64,
    /// Peers that have it. Anyone can have many.
    pub peers: usize,
    /// Whether something vouches for it here. What nothing vouches for is not taken: `honeygraph trust <root>`.
    pub anchored: bool,
}

/// What a newcomer shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// What it is at.
    pub phase: Phase,
    /// The root that it is at.
    pub root: Option<HashText>,
    /// Groups of leaves.
    pub groups: usize,
    /// Those that are here.
    pub done: usize,
    /// Bytes that are here.
    pub bytes: u64,
    /// What peers have.
    pub offered: Vec<Offered>,
    /// What went wrong with the last one.
    pub trouble: Option<String>,
}

#[derive(Debug, Default)]
struct Remote {
    offers: Option<Vec<Offer>>,
    /// When it last said what it has, ms.
    looked_at: Option<u64>,
    out: usize,
    failures: u32,
    not_before: u64,
    /// What it was caught at, for this picture.
    faults: u32,
    usual_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Held,
    Manifest,
    Group(usize),
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: PeerKey,
    what: What,
    at: u64,
}

/// A picture on its way.
#[derive(Debug)]
struct Fetch {
    root: HashText,
    manifest: Option<Box<Manifest>>,
    /// Groups that are here; none while the document is not open.
    done: Option<Vec<bool>>,
    /// Groups to be asked for, the last one first.
    todo: Vec<usize>,
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    network: NetworkName,
    remotes: BTreeMap<PeerKey, Remote>,
    anchors: BTreeSet<HashText>,
    asks: BTreeMap<AskId, Asked>,
    next_ask: AskId,
    fetch: Option<Fetch>,
    phase: Phase,
    left: Option<(HashText, Box<Manifest>)>,
    spoiled: Vec<HashText>,
    trouble: Option<String>,
    usual_ms: u64,
    window: Window,
    /// The last step towards a base: somebody to ask, something that vouches, a manifest, a group.
    moved_at: u64,
}

impl Machine {
    /// For a network without a base.
    pub fn new(network: NetworkName) -> Self {
        Self {
            network,
            remotes: BTreeMap::new(),
            anchors: BTreeSet::new(),
            asks: BTreeMap::new(),
            next_ask: 0,
            fetch: None,
            phase: Phase::Looking,
            left: None,
            spoiled: Vec::new(),
            trouble: None,
            usual_ms: 200,
            window: Window::new(WINDOW),
            moved_at: 0,
        }
    }

    /// Something happened.
    pub fn on(&mut self, now: u64, input: Input, fx: &mut Vec<Effect>) {
        match input {
            Input::Connected(peer) if self.remotes.len() < REMOTES => {
                if self.remotes.is_empty() {
                    self.moved_at = now;
                }
                self.remotes.entry(peer).or_default();
            }
            Input::Connected(_) | Input::Tick => {}
            Input::Gone(peer) => self.gone(&peer),
            Input::Anchors(anchors) => {
                if !anchors.is_subset(&self.anchors) {
                    self.moved_at = now;
                }
                self.anchors = anchors;
                // What nothing vouches for any longer is not fetched on.
                if self.fetch.as_ref().is_some_and(|fetch| !self.anchors.contains(&fetch.root))
                    && self.phase != Phase::Checking
                {
                    self.give_up();
                }
            }
            Input::Left(root, manifest) => self.left = Some((root, manifest)),
            Input::Held(id, offers) => {
                if let Some(asked) = self.answered(now, id, fx)
                    && let Some(remote) = self.remotes.get_mut(&asked.peer)
                {
                    (remote.offers, remote.looked_at) = (Some(offers), Some(now));
                }
            }
            Input::Manifest(id, manifest) => self.manifest(now, id, manifest, fx),
            Input::Group(id, checked) => self.group(now, id, checked, fx),
            Input::NotHeld(id) => self.not_held(now, id),
            Input::Busy(id, ms) => {
                if let Some(asked) = self.settle(id) {
                    self.again(asked.what);
                    if let Some(remote) = self.remotes.get_mut(&asked.peer) {
                        remote.not_before = now + u64::from(ms).clamp(PAUSE_MS, LONGEST_PAUSE_MS);
                    }
                }
            }
            Input::Failed(id) => self.failed(now, id, fx),
            Input::Senseless(id, offence) => {
                if let Some(asked) = self.settle(id) {
                    self.caught(asked, offence, "no answer to what was asked".into(), fx);
                }
            }
            Input::Opened(there) => {
                if let Some(fetch) = &mut self.fetch {
                    fetch.todo = (0..there.len()).rev().filter(|nth| !there[*nth]).collect();
                    fetch.done = Some(there);
                    self.phase = Phase::Leaves;
                }
            }
            Input::Spoiled(why) => {
                if let Some(fetch) = self.fetch.take() {
                    self.spoiled.push(fetch.root);
                    let over = self.spoiled.len().saturating_sub(SPOILED);
                    self.spoiled.drain(..over);
                }
                self.trouble = Some(why);
                self.give_up();
            }
            Input::Taken => self.phase = Phase::Waiting,
        }
        self.plan(now, fx);
    }

    /// When [`Input::Tick`] is wanted.
    pub fn wake_at(&self, now: u64) -> Option<u64> {
        let waits = matches!(self.phase, Phase::Looking | Phase::Manifest | Phase::Leaves);
        (waits && !self.remotes.is_empty()).then_some(now + TICK_MS)
    }

    /// Whether a base may come this way: a history that needs none from before it waits.
    pub fn is_awaited(&self, now: u64) -> bool {
        let patient = now.saturating_sub(self.moved_at) < PATIENCE_MS;
        match self.phase {
            Phase::Off => false,
            Phase::Looking => {
                let open = |remote: &Remote| remote.offers.is_none() && remote.failures == 0;
                self.remotes.is_empty() || patient && self.remotes.values().any(open)
            }
            Phase::Manifest | Phase::Leaves => patient,
            Phase::Checking | Phase::Waiting => true,
        }
    }

    /// What it shows of itself.
    pub fn shown(&self) -> Shown {
        let fetch = self.fetch.as_ref();
        let done = fetch.and_then(|fetch| fetch.done.as_deref()).unwrap_or_default();
        let manifest = fetch.and_then(|fetch| fetch.manifest.as_deref());
        let here = || done.iter().enumerate().filter(|(_, done)| **done).map(|(nth, _)| nth);
        Shown {
            phase: self.phase,
            root: fetch.map(|fetch| fetch.root.clone()),
            groups: done.len(),
            done: here().count(),
            bytes: manifest.map_or(0, |manifest| here().map(|nth| manifest.group_bytes(nth) as u64).sum()),
            offered: self.offered(),
            trouble: self.trouble.clone(),
        }
    }

    fn offered(&self) -> Vec<Offered> {
        let mut said: BTreeMap<(Reverse<u64>, HashText), Offered> = BTreeMap::new();
        for offer in self.remotes.values().flat_map(|remote| remote.offers.iter().flatten()) {
            let (label, root) = (offer.label.get(), offer.root.clone());
            let anchored = self.anchors.contains(&root);
            let new = || Offered { root: root.clone(), label, bytes: offer.bytes, peers: 0, anchored };
            said.entry((Reverse(label), root.clone())).or_insert_with(new).peers += 1;
        }
        said.into_values().take(OFFERED).collect()
    }

    fn gone(&mut self, peer: &PeerKey) {
        self.remotes.remove(peer);
        let out: Vec<(AskId, What)> =
            self.asks.iter().filter(|(_, asked)| asked.peer == *peer).map(|(id, asked)| (*id, asked.what)).collect();
        for (id, what) in out {
            self.asks.remove(&id);
            self.again(what);
        }
    }

    fn give_up(&mut self) {
        self.fetch = None;
        self.phase = Phase::Looking;
        // What is still out is of no use any more.
        self.asks.retain(|_, asked| asked.what == What::Held);
        for (peer, remote) in &mut self.remotes {
            remote.out = self.asks.values().filter(|asked| asked.peer == *peer).count();
            remote.faults = 0;
        }
    }

    /// A question is over.
    fn settle(&mut self, id: AskId) -> Option<Asked> {
        let asked = self.asks.remove(&id)?;
        if let Some(remote) = self.remotes.get_mut(&asked.peer) {
            remote.out = remote.out.saturating_sub(1);
        }
        Some(asked)
    }

    /// A peer answered as it should.
    fn answered(&mut self, now: u64, id: AskId, fx: &mut Vec<Effect>) -> Option<Asked> {
        let asked = self.settle(id)?;
        if let Some(remote) = self.remotes.get_mut(&asked.peer) {
            remote.failures = 0;
            if let What::Group(_) = asked.what {
                let took = now.saturating_sub(asked.at);
                remote.usual_ms = if remote.usual_ms == 0 { took } else { (remote.usual_ms * 3 + took) / 4 };
                self.usual_ms = (self.usual_ms * 7 + took) / 8;
                self.window.came();
            }
        }
        fx.push(Effect::Outcome(asked.peer, true));
        Some(asked)
    }

    /// What a question was for is wanted still.
    fn again(&mut self, what: What) {
        let What::Group(nth) = what else { return };
        let out = self.asks.values().any(|asked| asked.what == what);
        if let Some(fetch) = &mut self.fetch
            && fetch.done.as_ref().is_some_and(|done| done.get(nth) == Some(&false))
            && !out
            && !fetch.todo.contains(&nth)
        {
            fetch.todo.push(nth);
        }
    }

    /// A peer does not have what it was asked for, whatever it said before.
    fn not_held(&mut self, now: u64, id: AskId) {
        let Some(asked) = self.settle(id) else { return };
        self.again(asked.what);
        let Some(remote) = self.remotes.get_mut(&asked.peer) else { return };
        match (asked.what, &self.fetch) {
            (What::Held, _) => (remote.offers, remote.looked_at) = (Some(Vec::new()), Some(now)),
            (_, Some(fetch)) => remote.offers.iter_mut().for_each(|held| held.retain(|offer| offer.root != fetch.root)),
            (_, None) => {}
        }
    }

    fn failed(&mut self, now: u64, id: AskId, fx: &mut Vec<Effect>) {
        let Some(asked) = self.settle(id) else { return };
        if let What::Group(_) = asked.what {
            self.window.failed(now, asked.at);
        }
        self.again(asked.what);
        if let Some(remote) = self.remotes.get_mut(&asked.peer) {
            remote.failures = remote.failures.saturating_add(1);
            let pause = PAUSE_MS << remote.failures.min(16);
            remote.not_before = now + pause.min(LONGEST_PAUSE_MS);
        }
        fx.push(Effect::Outcome(asked.peer, false));
    }

    fn caught(&mut self, asked: Asked, offence: Offence, what: String, fx: &mut Vec<Effect>) {
        self.again(asked.what);
        if let Some(remote) = self.remotes.get_mut(&asked.peer) {
            remote.faults = remote.faults.saturating_add(1);
        }
        fx.push(Effect::Penalty(asked.peer, offence, what));
        fx.push(Effect::Outcome(asked.peer, false));
    }

    fn manifest(&mut self, now: u64, id: AskId, manifest: Box<Manifest>, fx: &mut Vec<Effect>) {
        let Some(root) = self.fetch.as_ref().filter(|fetch| fetch.manifest.is_none()).map(|fetch| fetch.root.clone())
        else {
            self.settle(id);
            return;
        };
        if manifest.cid().as_deref() != Some(root.as_str()) {
            if let Some(asked) = self.settle(id) {
                self.caught(asked, Offence::PictureFalse, format!("a manifest that is not that of {root}"), fx);
            }
            return;
        }
        if self.answered(now, id, fx).is_some() {
            self.moved_at = now;
            self.open(root, manifest, fx);
        }
    }

    fn open(&mut self, root: HashText, manifest: Box<Manifest>, fx: &mut Vec<Effect>) {
        self.phase = Phase::Leaves;
        let (done, todo) = (None, Vec::new());
        self.fetch = Some(Fetch { root: root.clone(), manifest: Some(manifest.clone()), done, todo });
        fx.push(Effect::Open(root, manifest));
    }

    fn group(&mut self, now: u64, id: AskId, checked: Result<(), String>, fx: &mut Vec<Effect>) {
        if let Err(wrong) = checked {
            if let Some(asked) = self.settle(id) {
                self.caught(asked, Offence::PictureFalse, wrong, fx);
            }
            return;
        }
        let Some(asked) = self.answered(now, id, fx) else { return };
        let (What::Group(nth), Some(fetch)) = (asked.what, &mut self.fetch) else { return };
        if let Some(done) = fetch.done.as_mut().and_then(|done| done.get_mut(nth)) {
            *done = true;
            self.moved_at = now;
        }
        fetch.todo.retain(|todo| *todo != nth);
    }

    fn plan(&mut self, now: u64, fx: &mut Vec<Effect>) {
        match self.phase {
            Phase::Looking | Phase::Manifest | Phase::Leaves => self.look(now, fx),
            Phase::Off | Phase::Checking | Phase::Waiting => return,
        }
        if self.phase == Phase::Looking {
            self.choose(fx);
        }
        if self.phase == Phase::Manifest {
            self.ask_manifest(now, fx);
        }
        if self.phase == Phase::Leaves {
            self.ask_groups(now, fx);
        }
    }

    /// Asks who has not said what it has, or not for long.
    fn look(&mut self, now: u64, fx: &mut Vec<Effect>) {
        let due = |remote: &Remote| {
            remote.not_before <= now && remote.looked_at.is_none_or(|at| now.saturating_sub(at) >= LOOK_MS)
        };
        let due: Vec<PeerKey> = self.remotes.iter().filter(|(_, remote)| due(remote)).map(|(peer, _)| *peer).collect();
        for peer in due {
            let out = self.asks.values().any(|asked| asked.peer == peer && asked.what == What::Held);
            if !out {
                self.ask(now, peer, What::Held, Request::Held(self.network.clone()), fx);
            }
        }
    }

    /// The newest root that something vouches for and somebody has; the one that was begun before, first.
    fn choose(&mut self, fx: &mut Vec<Effect>) {
        let may = |root: &HashText| self.anchors.contains(root) && !self.spoiled.contains(root);
        if let Some((root, manifest)) = self.left.take_if(|(root, _)| may(root)) {
            return self.open(root, manifest, fx);
        }
        let offers = self.remotes.values().flat_map(|remote| remote.offers.iter().flatten());
        let newest = offers.filter(|offer| may(&offer.root)).max_by_key(|offer| offer.label);
        if let Some(root) = newest.map(|offer| offer.root.clone()) {
            self.fetch = Some(Fetch { root, manifest: None, done: None, todo: Vec::new() });
            self.phase = Phase::Manifest;
        }
    }

    fn ask_manifest(&mut self, now: u64, fx: &mut Vec<Effect>) {
        if self.asks.values().any(|asked| asked.what == What::Manifest) {
            return;
        }
        let Some(root) = self.fetch.as_ref().map(|fetch| fetch.root.clone()) else { return };
        match self.pick(now, &root, &BTreeSet::new()) {
            Some(peer) => {
                let named = Named { network: self.network.clone(), root };
                self.ask(now, peer, What::Manifest, Request::Manifest(named), fx);
            }
            None if !self.has_anybody(&root) => self.give_up(),
            None => {}
        }
    }

    fn ask_groups(&mut self, now: u64, fx: &mut Vec<Effect>) {
        let Some(fetch) = &self.fetch else { return };
        let Some(done) = &fetch.done else { return };
        let root = fetch.root.clone();
        if done.iter().all(|done| *done) {
            self.phase = Phase::Checking;
            self.asks.retain(|_, asked| asked.what == What::Held);
            return fx.push(Effect::Finish);
        }
        while self.asks.len() < self.window.size()
            && let Some(nth) = self.fetch.as_mut().and_then(|fetch| fetch.todo.pop())
        {
            let Some(peer) = self.pick(now, &root, &BTreeSet::new()) else {
                self.again(What::Group(nth));
                break;
            };
            self.ask_group(now, peer, nth, &root, fx);
        }
        self.overtake(now, &root, fx);
    }

    /// Asks a second peer for what takes long.
    fn overtake(&mut self, now: u64, root: &HashText, fx: &mut Vec<Effect>) {
        let after = (self.usual_ms * OVERTAKEN).clamp(OVERTAKEN_MS.0, OVERTAKEN_MS.1);
        // Where the line is what is slow, asking twice makes it slower.
        let most = if self.window.size() == WINDOW { 2 * WINDOW } else { self.window.size() };
        let mut groups: BTreeMap<usize, (u64, BTreeSet<PeerKey>)> = BTreeMap::new();
        for asked in self.asks.values() {
            if let What::Group(nth) = asked.what {
                let entry = groups.entry(nth).or_insert((asked.at, BTreeSet::new()));
                entry.0 = entry.0.max(asked.at);
                entry.1.insert(asked.peer);
            }
        }
        for (nth, (at, peers)) in groups {
            if now.saturating_sub(at) < after || self.asks.len() >= most {
                continue;
            }
            if let Some(peer) = self.pick(now, root, &peers) {
                for slow in peers {
                    if let Some(slow) = self.remotes.get_mut(&slow) {
                        slow.usual_ms = slow.usual_ms.max(now.saturating_sub(at));
                    }
                }
                self.ask_group(now, peer, nth, root, fx);
            }
        }
    }

    fn ask_group(&mut self, now: u64, peer: PeerKey, nth: usize, root: &HashText, fx: &mut Vec<Effect>) {
        let of = Named { network: self.network.clone(), root: root.clone() };
        let wanted = LeavesWanted { of, group: nth as u32 };
        self.ask(now, peer, What::Group(nth), Request::Leaves(wanted), fx);
    }

    fn ask(&mut self, now: u64, peer: PeerKey, what: What, request: Request, fx: &mut Vec<Effect>) {
        self.next_ask += 1;
        let id = self.next_ask;
        if let Some(remote) = self.remotes.get_mut(&peer) {
            remote.out += 1;
        }
        self.asks.insert(id, Asked { peer, what, at: now });
        fx.push(Effect::Ask { id, peer, request });
    }

    fn offers(remote: &Remote, root: &HashText) -> bool {
        remote.offers.iter().flatten().any(|offer| offer.root == *root)
    }

    /// Whether a connected peer has this picture.
    fn has_anybody(&self, root: &HashText) -> bool {
        self.remotes.values().any(|remote| Self::offers(remote, root))
    }

    /// Who is asked next: of those that have it and were caught at least, the one with the least to do and the fastest.
    fn pick(&self, now: u64, root: &HashText, without: &BTreeSet<PeerKey>) -> Option<PeerKey> {
        let having = || self.remotes.iter().filter(|(_, remote)| Self::offers(remote, root));
        let least = having().map(|(_, remote)| remote.faults).min()?;
        let free = having().filter(|(peer, remote)| {
            remote.faults == least && remote.out < AT_ONCE && remote.not_before <= now && !without.contains(*peer)
        });
        // Work that is out counts as long as this peer takes for it.
        let wait = |remote: &Remote| (remote.out as u64 + 1) * remote.usual_ms.max(1);
        free.min_by_key(|(peer, remote)| (wait(remote), **peer)).map(|(peer, _)| *peer)
    }
}
