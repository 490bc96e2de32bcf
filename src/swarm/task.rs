//! The swarm's task: tells the planners what it hears, and does what they want.
//!
//! Asks peers for their status now and then, hears heads by gossip and says our own, sends the planners' questions, and
//! hands what they have checked to the cores. It has a thread of its own, because planners look at what they get.
//!
//! *Always holds:* a planner hears of every question that it asked, whatever becomes of the peer; what peers send is
//! decoded within its bounds before anybody looks at it; gossip is passed on only when it is sound and new.

use super::door::task::Inside;
use super::following::{Event, Following};
use super::host::{AskError, Handle, Protocol, Rumour, Seen, Word};
use super::peers::book::Consequence;
use super::peers::limits::{Bucket, GOSSIP};
use super::peers::{Offence, PeerBook};
use super::sync::message::AskId;
use super::sync::{Effect, Failure, Input, Progress};
use honeygraph_protocols::swarm::blocks::{Answer, Request};
use honeygraph_protocols::swarm::heads::{self, Announced};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::status::{Request as StatusRequest, Status};
use honeygraph_protocols::swarm::votes;
use honeygraph_protocols::swarm::wire::{Message, Refused};
use libp2p::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Events that wait: answers, mostly, and each was asked for.
const EVENTS: usize = 256;
/// Authors of heads that are remembered, so that an old word is not passed on as a new one.
const AUTHORS: usize = 1_024;
/// How often what is shown is made, and bans that have ended are lifted.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// How often the book of peers is written: a death costs as much of it.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// What the swarm shows of what it fetches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// Progress of each network.
    pub networks: BTreeMap<String, Progress>,
    /// What is known of each connected peer.
    pub peers: BTreeMap<PeerId, Known>,
    /// Offences of peers since the start, by kind.
    pub offences: BTreeMap<&'static str, u64>,
    /// How often all peers were asked at once, and had answered or failed to.
    pub looked: u64,
    /// What became of the questions to peers since the start.
    pub questions: Questions,
}

/// Questions to peers, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// Answered.
    pub answered: u64,
    /// Not answered, or by a peer that had gone.
    pub failed: u64,
}

/// What is known of a peer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// How reliably it answers, 0 to 1.
    pub reliability: f64,
    /// Label of its head, by network.
    pub heads: BTreeMap<String, Option<u64>>,
    /// Closed periods that it gave, by network.
    pub given: BTreeMap<String, u64>,
}

/// The task.
pub struct Task {
    handle: Handle,
    networks: BTreeMap<NetworkName, Following>,
    book: PeerBook,
    /// Where it is kept.
    file: PathBuf,
    /// Peers that the operator trusts.
    trusted: BTreeSet<PeerKey>,
    interval: Duration,
    /// Who is in: nobody else is asked, or heard.
    inside: Inside,
    connected: BTreeSet<PeerKey>,
    banned: BTreeSet<PeerKey>,
    /// Peers whose status is on its way.
    asking: BTreeSet<PeerKey>,
    /// Wants all of them asked at once; whether that is being done, and how often it was.
    look: Arc<Notify>,
    looking: bool,
    looked: u64,
    questions: Questions,
    given: BTreeMap<PeerKey, BTreeMap<String, u64>>,
    heads: BTreeMap<PeerKey, BTreeMap<String, Option<u64>>>,
    authors: BTreeMap<(NetworkName, PeerId), u64>,
    /// How much each connected peer may tell.
    tellers: BTreeMap<PeerId, Bucket>,
    events: mpsc::Sender<Event>,
    /// Where what is said of votes goes.
    votes: mpsc::Sender<Rumour>,
    shown: watch::Sender<Arc<Shown>>,
}

/// Where a network's heads and votes are heard of.
pub fn topics<'a>(networks: impl IntoIterator<Item = &'a NetworkName>) -> Vec<String> {
    networks.into_iter().flat_map(|network| [heads::topic(network), votes::topic(network)]).collect()
}

impl Task {
    /// Follows these networks. What was known of peers in earlier runs is in the file.
    pub fn new(
        (handle, inside): (Handle, Inside),
        trusted: BTreeSet<PeerKey>,
        interval: Duration,
        file: PathBuf,
        votes: mpsc::Sender<Rumour>,
    ) -> (Self, mpsc::Receiver<Event>) {
        let book = PeerBook::load(&file).unwrap_or_else(|error| {
            warn!(file = %file.display(), %error, "how peers served in earlier runs is not known");
            PeerBook::default()
        });
        let (events, events_out) = mpsc::channel(EVENTS);
        let task = Self {
            handle,
            networks: BTreeMap::new(),
            book,
            file,
            trusted,
            interval,
            inside,
            connected: BTreeSet::new(),
            banned: BTreeSet::new(),
            asking: BTreeSet::new(),
            look: Arc::default(),
            looking: false,
            looked: 0,
            questions: Questions::default(),
            given: BTreeMap::new(),
            heads: BTreeMap::new(),
            authors: BTreeMap::new(),
            tellers: BTreeMap::new(),
            events,
            votes,
            shown: watch::Sender::default(),
        };
        (task, events_out)
    }

    /// One more network.
    pub fn follow(&mut self, following: Following) {
        self.networks.insert(following.network().clone(), following);
    }

    /// Where events go.
    pub fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    /// What it shows.
    pub fn shown(&self) -> watch::Receiver<Arc<Shown>> {
        self.shown.subscribe()
    }

    /// Told, it asks all peers at once what they hold.
    pub fn look(&self) -> Arc<Notify> {
        self.look.clone()
    }

    /// Runs until it is stopped.
    pub async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut rumours: mpsc::Receiver<Rumour>,
        stop: CancellationToken,
    ) {
        let (mut seen, mut inside) = (self.handle.seen(), self.inside.clone());
        seen.mark_changed();
        let mut ask = tokio::time::interval(self.interval);
        let mut show = tokio::time::interval(SHOW_EVERY);
        let mut save = tokio::time::interval(SAVE_EVERY);
        for timer in [&mut ask, &mut show, &mut save] {
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        }
        for network in self.networks.values() {
            network.watch(self.events.clone());
        }
        self.bar().await;
        let look = self.look.clone();
        loop {
            let now = now_ms();
            let wake = self.networks.values().filter_map(|network| network.planner.wake_at(now)).min();
            let wake = wake.map(|at| Instant::now() + Duration::from_millis(at.saturating_sub(now)));
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = seen.changed() => {
                    let seen = seen.borrow_and_update().clone();
                    self.met(&seen);
                    self.perform().await;
                }
                () = inside.changed() => {
                    let seen = seen.borrow().clone();
                    self.met(&seen);
                    self.perform().await;
                }
                Some(event) = events.recv() => self.event(event).await,
                Some(rumour) = rumours.recv() => self.rumour(rumour).await,
                _ = ask.tick() => self.connected.clone().into_iter().for_each(|peer| self.ask_status(peer)),
                () = look.notified() => self.look_now().await,
                _ = show.tick() => self.show().await,
                _ = save.tick() => self.save(),
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    self.tell_all(|_| Some(Input::Tick)).await;
                }
            }
        }
        self.save();
    }

    /// Bans of earlier runs hold until they end.
    async fn bar(&mut self) {
        self.banned = self.book.banned(now_ms()).copied().collect();
        for id in self.banned.iter().filter_map(id) {
            self.handle.block(id, true).await;
        }
    }

    fn save(&self) {
        if let Err(error) = self.book.save(now_ms(), &self.file) {
            warn!(file = %self.file.display(), %error, "how peers served cannot be remembered");
        }
    }

    /// Who is connected has changed.
    fn met(&mut self, seen: &Seen) {
        let now = now_ms();
        self.tellers.retain(|peer, _| seen.peers.contains_key(peer));
        let answering = seen.peers.iter().filter(|(_, peer)| peer.answers).filter_map(|(peer, _)| key(peer));
        let connected: BTreeSet<PeerKey> = answering.filter(|peer| self.inside.has(peer)).collect();
        let gone: Vec<PeerKey> = self.connected.difference(&connected).copied().collect();
        let new: Vec<PeerKey> = connected.difference(&self.connected).copied().collect();
        self.connected = connected;
        for peer in gone {
            self.book.connected(now, peer, false);
            self.heads.remove(&peer);
            self.given.remove(&peer);
            self.each(|_| Some(Input::Gone(peer)));
        }
        for peer in new {
            self.book.connected(now, peer, true);
            let trusted = self.trusted.contains(&peer);
            if trusted {
                self.book.trust(now, peer, true);
            }
            self.each(|_| Some(Input::Connected(peer)));
            self.each(|_| trusted.then_some(Input::Witness(peer, true)));
            self.ask_status(peer);
        }
    }

    /// Tells all planners something; what they want is done at the next event.
    fn each(&mut self, input: impl Fn(&NetworkName) -> Option<Input>) {
        let now = now_ms();
        for (name, network) in &mut self.networks {
            if let Some(input) = input(name) {
                network.tell(now, input, &self.book);
            }
        }
    }

    async fn tell_all(&mut self, input: impl Fn(&NetworkName) -> Option<Input>) {
        self.each(input);
        self.perform().await;
    }

    async fn event(&mut self, event: Event) {
        let now = now_ms();
        match event {
            Event::Status(peer, answer) => self.status(peer, answer),
            Event::Answered { network, id, answer } => {
                if let Some(network) = self.networks.get_mut(&network) {
                    let input = match answer {
                        Ok(answer) => Input::Answer(id, answer),
                        Err(failure) => Input::Failed(id, failure),
                    };
                    network.tell(now, input, &self.book);
                }
            }
            Event::Proven(network, period, verdict) => {
                if let Some(network) = self.networks.get_mut(&network) {
                    network.tell(now, Input::Proven(period, verdict), &self.book);
                }
            }
            Event::Taken(network, ticket) => {
                if let Some(network) = self.networks.get_mut(&network) {
                    network.tell(now, Input::Taken(ticket), &self.book);
                    network.moved(now, &self.book);
                }
            }
            Event::Offended(peer, offence) => self.offended(peer, offence, "gossip that nobody honest hands on").await,
            Event::Blamed(peer, offence, what) => self.offended(peer, offence, &what).await,
            Event::Served(peer, good) => self.outcome(now, peer, good),
            Event::Picture(network, awaited) => {
                if let Some(network) = self.networks.get_mut(&network) {
                    network.tell(now, Input::Picture(awaited), &self.book);
                }
            }
            Event::Refused(network, ticket) => {
                if let Some(network) = self.networks.get_mut(&network) {
                    network.tell(now, Input::Refused(ticket), &self.book);
                }
            }
            Event::Moved(network) => {
                if let Some(network) = self.networks.get_mut(&network) {
                    network.moved(now, &self.book);
                }
            }
        }
        self.perform().await;
        self.announce().await;
    }

    /// Does what the planners want.
    async fn perform(&mut self) {
        let mut effects = Vec::new();
        for (name, network) in &mut self.networks {
            effects.extend(network.effects.drain(..).map(|effect| (name.clone(), effect)));
        }
        let now = now_ms();
        for (network, effect) in effects {
            match effect {
                Effect::Ask { id, peer, request } => self.ask(network, id, peer, &request),
                Effect::Supply(supply) => {
                    if supply.period.is_some() && supply.last && self.connected.contains(&supply.from) {
                        *self.given.entry(supply.from).or_default().entry(network.to_string()).or_default() += 1;
                    }
                    if let Some(network) = self.networks.get_mut(&network) {
                        network.supply(now, *supply, &self.book);
                    }
                }
                Effect::Prove { period, batches, behind } => {
                    if let Some(network) = self.networks.get(&network) {
                        network.prove(*period, batches, behind, self.events.clone());
                    }
                }
                Effect::Outcome { peer, good } => self.outcome(now, peer, good),
                Effect::Penalty { peer, offence, what } => self.offended(peer, offence, &what).await,
            }
        }
    }

    fn outcome(&mut self, now: u64, peer: PeerKey, good: bool) {
        *(if good { &mut self.questions.answered } else { &mut self.questions.failed }) += 1;
        self.book.outcome(now, peer, good);
    }

    async fn offended(&mut self, peer: PeerKey, offence: Offence, what: &str) {
        warn!(%peer, offence = offence.word(), what, "a peer is at fault");
        if matches!(self.book.offend(now_ms(), peer, offence), Consequence::Banned(_))
            && let Some(id) = id(&peer)
        {
            warn!(%peer, "it is banned for a time");
            self.banned.insert(peer);
            self.handle.block(id, true).await;
        }
    }

    fn ask(&self, network: NetworkName, id: AskId, peer: PeerKey, request: &Request) {
        let (handle, events) = (self.handle.clone(), self.events.clone());
        let bytes = request.encode();
        tokio::spawn(async move {
            let answer = match (self::id(&peer), bytes) {
                (Some(peer), Some(bytes)) => match handle.ask(peer, Protocol::Blocks, bytes).await {
                    Ok(bytes) => Answer::decode(&bytes).map(Box::new).map_err(|refused| undecodable(&refused)),
                    Err(error) => Err(failed(error)),
                },
                _ => Err(Failure::Disconnected),
            };
            // A task that has ended wants no answers.
            let _ = events.send(Event::Answered { network, id, answer }).await;
        });
    }

    fn ask_status(&mut self, peer: PeerKey) {
        let Some(id) = id(&peer) else { return };
        if !self.asking.insert(peer) {
            return;
        }
        let (handle, events) = (self.handle.clone(), self.events.clone());
        let request = StatusRequest::default().encode().unwrap_or_default();
        tokio::spawn(async move {
            let answer = handle.ask(id, Protocol::Status, request).await.map_err(failed);
            let answer = answer.and_then(|bytes| Status::decode(&bytes).map_err(|refused| undecodable(&refused)));
            let _ = events.send(Event::Status(peer, answer)).await;
        });
    }

    /// Asks all peers at once, and shows it when all of them have answered or failed to.
    async fn look_now(&mut self) {
        self.connected.clone().into_iter().for_each(|peer| self.ask_status(peer));
        self.looking = true;
        self.has_looked();
        self.perform().await;
    }

    fn has_looked(&mut self) {
        if self.asking.is_empty() && std::mem::take(&mut self.looking) {
            self.looked += 1;
            self.each(|_| Some(Input::AtOnce));
        }
    }

    fn status(&mut self, peer: PeerKey, answer: Result<Status, Failure>) {
        self.asking.remove(&peer);
        let now = now_ms();
        match answer {
            Ok(status) => {
                self.outcome(now, peer, true);
                for status in status.networks.into_vec() {
                    let head = status.head.as_ref().and_then(|head| head.period.label).map(|label| label.get());
                    if let Some(network) = self.networks.get_mut(&status.network) {
                        self.heads.entry(peer).or_default().insert(status.network.to_string(), head);
                        network.tell(now, Input::Status(peer, Box::new(status)), &self.book);
                    }
                }
            }
            Err(Failure::Undecodable | Failure::Oversize) => {
                self.book.offend(now, peer, Offence::Undecodable);
            }
            Err(Failure::Timeout | Failure::Disconnected) => self.outcome(now, peer, false),
        }
        self.has_looked();
    }

    /// A head by gossip, or what somebody vouches for.
    async fn rumour(&mut self, rumour: Rumour) {
        if !self.inside.has_id(&rumour.from) {
            self.handle.judge(rumour.ticket, Word::Keep).await;
            return;
        }
        if votes::is_topic(&rumour.topic) {
            if let Err(TrySendError::Full(rumour)) = self.votes.try_send(rumour) {
                self.handle.judge(rumour.ticket, Word::Keep).await;
            }
            return;
        }
        let now = now_ms();
        let teller = self.tellers.entry(rumour.from).or_insert_with(|| Bucket::new(GOSSIP, now));
        let word = match Announced::decode_canonical(&rumour.data) {
            // It goes no further, and nobody pays: it may only have passed on what others said.
            _ if teller.take(now, 1).is_err() => Word::Keep,
            Ok(said) if heads::topic(&said.network) == rumour.topic => self.heard(&rumour, said),
            Ok(_) | Err(_) => Word::Refuse,
        };
        if word == Word::Refuse
            && let Some(from) = key(&rumour.from)
        {
            self.offended(from, Offence::Undecodable, "gossip that says nothing").await;
        }
        self.handle.judge(rumour.ticket, word).await;
        self.perform().await;
    }

    fn heard(&mut self, rumour: &Rumour, said: Announced) -> Word {
        let author = (said.network.clone(), rumour.author);
        if self.authors.get(&author).is_some_and(|newest| *newest >= said.n) {
            return Word::Keep;
        }
        if self.authors.len() >= AUTHORS && !self.authors.contains_key(&author) {
            // Whoever said the oldest thing has probably left.
            let oldest = self.authors.iter().min_by_key(|(_, n)| **n).map(|(author, _)| author.clone());
            oldest.and_then(|oldest| self.authors.remove(&oldest));
        }
        self.authors.insert(author, said.n);
        if let Some(peer) = key(&rumour.author).filter(|peer| self.connected.contains(peer))
            && let Some(network) = self.networks.get_mut(&said.network)
        {
            let label = said.head.period.label.map(|label| label.get());
            self.heads.entry(peer).or_default().insert(said.network.to_string(), label);
            network.tell(now_ms(), Input::Head(peer, Box::new(said.head)), &self.book);
        }
        Word::Pass
    }

    /// Says where our heads stand, where they have moved.
    async fn announce(&mut self) {
        for (name, network) in &mut self.networks {
            if let Some(said) = network.announcement(now_ms()).and_then(|said| said.encode()) {
                self.handle.publish(heads::topic(name), said).await;
            }
        }
    }

    async fn show(&mut self) {
        let now = now_ms();
        let over: Vec<PeerKey> = self.banned.iter().filter(|peer| !self.book.is_banned(now, peer)).copied().collect();
        for peer in over {
            self.banned.remove(&peer);
            if let Some(id) = id(&peer) {
                self.handle.block(id, false).await;
            }
        }
        let known = |peer: &PeerKey| {
            let reliability = self.book.get(peer).map_or(1.0, |known| known.reliability.value(now));
            let heads = self.heads.get(peer).cloned().unwrap_or_default();
            let given = self.given.get(peer).cloned().unwrap_or_default();
            Some((id(peer)?, Known { reliability, heads, given }))
        };
        let shown = Shown {
            networks: self.networks.iter().map(|(name, of)| (name.to_string(), of.planner.progress(now))).collect(),
            peers: self.connected.iter().filter_map(known).collect(),
            offences: self.book.offences.iter().map(|(offence, count)| (offence.word(), *count)).collect(),
            looked: self.looked,
            questions: self.questions,
        };
        self.shown.send_if_modified(|held| {
            let changed = **held != shown;
            if changed {
                *held = Arc::new(shown);
            }
            changed
        });
        self.announce().await;
    }
}

/// A peer as the planners name it; none for a key of another kind, which no node of ours has.
pub fn key(peer: &PeerId) -> Option<PeerKey> {
    PeerKey::from_peer_id(&peer.to_bytes()).ok()
}

/// The same, as libp2p names it.
pub(super) fn id(peer: &PeerKey) -> Option<PeerId> {
    PeerId::from_bytes(&peer.peer_id()).ok()
}

fn failed(error: AskError) -> Failure {
    match error {
        AskError::Silent | AskError::Refused => Failure::Timeout,
        AskError::Broken => Failure::Oversize,
        AskError::Gone | AskError::Unspoken | AskError::Stopped => Failure::Disconnected,
    }
}

fn undecodable(refused: &Refused) -> Failure {
    debug!(%refused, "an answer is none");
    Failure::Undecodable
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
