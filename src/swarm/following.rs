//! A network as the swarm follows it: its planner, what is held of it, who vouches for what, and the way to its core.
//!
//! *Always holds:* the planner sees one commit of the state at a time; the anchors that it knows are those that stand now.

use super::carrier::Carrier;
use super::own::Here;
use super::peers::{Offence, PeerBook};
use super::prove;
use super::serve::{Held, status};
use super::supplier::Supplier;
use super::sync::check::Checked;
use super::sync::live::AHEAD;
use super::sync::message::AskId;
use super::sync::planner::SUPPLIES;
use super::sync::{Config, Effect, Failure, Input, Planner, Supply, Verdict};
use super::votes::task::Agreed;
use crate::fork::heads::{Heads, PLACES};
use crate::fork::record::Outcome;
use crate::fork::supply::Order;
use honeygraph_protocols::batch::BatchId;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Answer, Header, PeriodId};
use honeygraph_protocols::swarm::heads::Announced;
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::{Label, NetworkName};
use honeygraph_protocols::swarm::status::{Checkpoint, Head, Status};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tracing::{debug, error};

/// Checkpoints before a period that its document may name: two days'.
const TWO_DAYS: usize = 600;
/// Supplied periods of which the proof is waited for.
const UNPROVEN: usize = 4_096;

/// What the swarm's task hears.
pub enum Event {
    /// A peer's status.
    Status(PeerKey, Result<Status, Failure>),
    /// What became of a planner's question.
    Answered {
        /// Whose.
        network: NetworkName,
        /// Which.
        id: AskId,
        /// The answer.
        answer: Result<Box<Answer>, Failure>,
    },
    /// A period that was to be proven was recomputed.
    Proven(NetworkName, PeriodId, Verdict),
    /// The core has taken a supply.
    Taken(NetworkName, u64),
    /// It has refused it.
    Refused(NetworkName, u64),
    /// The state, or what is proven, has moved on.
    Moved(NetworkName),
    /// A peer handed on what no honest one does.
    Offended(PeerKey, Offence),
    /// A peer sent what no honest one does, in words.
    Blamed(PeerKey, Offence, String),
    /// How well a peer served a newcomer.
    Served(PeerKey, bool),
    /// Whether a base of a network may be on its way.
    Picture(NetworkName, bool),
}

/// Where the heads of trusted peers stand, and the way to the core that weighs it.
struct Trusted {
    places: BTreeMap<PeerKey, VecDeque<(HashText, BatchId)>>,
    /// Supplies of the open period, until they are taken: whose, and where they lead.
    ahead: BTreeMap<u64, (PeerKey, HashText, BatchId)>,
    heads: watch::Sender<Heads>,
}

impl Trusted {
    fn hears(&mut self, input: &Input) {
        match input {
            Input::Witness(peer, true) => drop(self.places.entry(*peer).or_default()),
            Input::Witness(peer, false) | Input::Gone(peer) => {
                self.places.remove(peer);
                self.tell();
            }
            Input::Status(peer, status) => self.stands(peer, status.head.as_ref().map(place)),
            Input::Head(peer, head) => self.stands(peer, Some(place(head))),
            Input::Taken(ticket) => {
                if let Some((peer, period, batch)) = self.ahead.remove(ticket) {
                    self.stands(&peer, Some((period, batch)));
                }
            }
            Input::Refused(ticket) => drop(self.ahead.remove(ticket)),
            _ => {}
        }
    }

    fn stands(&mut self, peer: &PeerKey, place: Option<(HashText, BatchId)>) {
        let (Some(places), Some(place)) = (self.places.get_mut(peer), place) else { return };
        if places.front() != Some(&place) {
            places.push_front(place);
            places.truncate(PLACES);
            self.tell();
        }
    }

    fn tell(&self) {
        self.heads.send_replace(self.places.values().map(|places| places.iter().cloned().collect()).collect());
    }
}

fn place(head: &Head) -> (HashText, BatchId) {
    (head.period.hash.clone(), head.batch)
}

/// One network.
pub struct Following {
    held: Held,
    applied: watch::Receiver<u64>,
    pub(super) planner: Planner,
    pub(super) effects: Vec<Effect>,
    here: Here,
    anchors: BTreeMap<HashText, Checkpoint>,
    /// Their hashes, for who fetches a picture.
    vouched: watch::Sender<Arc<BTreeSet<HashText>>>,
    /// Supplies that end a closed period, by their number, until they are taken.
    ending: BTreeMap<u64, Box<Header>>,
    /// Supplied periods by the hash that closes them.
    unproven: BTreeMap<HashText, PeriodId>,
    supplies: mpsc::Sender<Supply>,
    /// What more than half of the electorate vouches for.
    agreed: watch::Receiver<Agreed>,
    trusted: Trusted,
    /// The head that was said last, and its number.
    said: (Option<BatchId>, u64),
}

impl Following {
    /// Follows a network; `orders` and `heads` are the ways to its core. The future hands supplies on and has to run.
    pub fn new(
        held: Held,
        applied: watch::Receiver<u64>,
        (orders, heads): (mpsc::Sender<Order>, watch::Sender<Heads>),
        events: mpsc::Sender<Event>,
        agreed: watch::Receiver<Agreed>,
        seed: u64,
    ) -> (Self, impl Future<Output = ()>) {
        // Those of a closed period, and of the open one beside them, and of the one before that wait.
        let (supplies, supplies_out) = mpsc::channel(SUPPLIES + 2 * AHEAD);
        let supplier = Supplier::new(orders, applied.clone());
        let carrier = Carrier::new(held.clone(), supplier, supplies_out, events);
        let following = Self {
            planner: Planner::new(Config { network: held.network.clone(), seed }),
            held,
            applied,
            effects: Vec::new(),
            here: Here::default(),
            anchors: BTreeMap::new(),
            vouched: watch::Sender::default(),
            ending: BTreeMap::new(),
            unproven: BTreeMap::new(),
            supplies,
            agreed,
            trusted: Trusted { places: BTreeMap::new(), ahead: BTreeMap::new(), heads },
            said: (None, 0),
        };
        (following, carrier.run())
    }

    /// The network.
    pub fn network(&self) -> &NetworkName {
        &self.held.network
    }

    /// Hashes that something vouches for.
    pub fn vouched(&self) -> watch::Receiver<Arc<BTreeSet<HashText>>> {
        self.vouched.subscribe()
    }

    /// Fetches nothing of what came before the base (`swarm.history = since-base`).
    pub fn only_since(&mut self, base: Option<HashText>) {
        self.planner.only_since(base);
    }

    /// Says when the state or what is proven has moved.
    pub fn watch(&self, events: mpsc::Sender<Event>) {
        let (mut applied, mut status) = (self.applied.clone(), self.held.status.clone());
        let (name, mut agreed) = (self.held.network.clone(), self.agreed.clone());
        applied.mark_changed();
        tokio::spawn(async move {
            loop {
                let moved = tokio::select! {
                    moved = applied.changed() => moved,
                    moved = status.changed() => moved,
                    // Votes that have ended change nothing any more.
                    Ok(()) = agreed.changed() => Ok(()),
                };
                let (_, _) = (applied.borrow_and_update(), status.borrow_and_update());
                if moved.is_err() || events.send(Event::Moved(name.clone())).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Tells the planner something.
    pub fn tell(&mut self, now: u64, input: Input, book: &PeerBook) {
        if let Input::Taken(ticket) = &input {
            self.refresh();
            if let Some(header) = self.ending.remove(ticket) {
                self.here.history.closes(header.close_hash, header.open_hash, header.last_batch_id);
            }
        }
        if let Input::Refused(ticket) = &input {
            self.ending.remove(ticket);
        }
        self.trusted.hears(&input);
        self.planner.on(now, input, &self.here, book, &mut self.effects);
    }

    fn refresh(&mut self) {
        let is_trimmed = self.held.journal.first() > 1;
        if let Err(failed) = self.here.refresh(self.held.state.snapshot(), is_trimmed) {
            // The projection says the same and stops the node.
            error!(network = %self.held.network, error = %failed, "the state cannot be read");
        }
    }

    /// The state, or what is proven, has moved.
    pub fn moved(&mut self, now: u64, book: &PeerBook) {
        self.refresh();
        let status = self.held.status.borrow().clone();
        let mut anchors: BTreeMap<HashText, Checkpoint> = BTreeMap::new();
        let pinned = status.proofs.trusted.iter().map(|hash| (hash, None));
        let announced = status.checkpoints.iter().map(|checkpoint| (&checkpoint.hash, Some(checkpoint.block)));
        // The own feed says it, and what it closes is not here: a feed that was at another node meanwhile, say.
        let wanted = status.wanted.iter().filter(|wanted| wanted.more_than.is_none());
        let wanted = wanted.map(|wanted| (&wanted.hash, wanted.label));
        for (hash, label) in pinned.chain(announced).chain(wanted) {
            // Nobody says the label of a hash that the operator trusts: the history does, once it gets there.
            let every = self.held.rules.checkpoint_every;
            let label = label.and_then(Label::new).or_else(|| self.here.history.label(hash, every));
            anchors.insert(hash.clone(), Checkpoint { hash: hash.clone(), label });
        }
        for (label, hash) in self.agreed.borrow().iter() {
            anchors.insert(hash.clone(), Checkpoint { hash: hash.clone(), label: Some(*label) });
        }
        let inputs: Vec<Input> = self
            .anchors
            .keys()
            .filter(|hash| !anchors.contains_key(*hash))
            .map(|hash| Input::AnchorGone(hash.clone()))
            .chain(anchors.values().filter(|new| self.anchors.get(&new.hash) != Some(new)).cloned().map(Input::Anchor))
            .chain(self.proven(&status))
            .chain([Input::Tick])
            .collect();
        self.anchors = anchors;
        self.vouched.send_if_modified(|held| {
            let same = held.len() == self.anchors.len() && held.iter().all(|hash| self.anchors.contains_key(hash));
            if !same {
                *held = Arc::new(self.anchors.keys().cloned().collect());
            }
            !same
        });
        for input in inputs {
            self.tell(now, input, book);
        }
    }

    /// What became of supplied periods.
    fn proven(&self, status: &crate::fork::status::Status) -> Vec<Input> {
        let verdict = |outcome: &Outcome| match outcome {
            Outcome::Verified => Verdict::Holds,
            Outcome::Mismatch { .. } => Verdict::Differs,
            Outcome::Unverifiable(_) => Verdict::Unknown,
        };
        let newest = status.proven.newest.iter();
        newest
            .filter_map(|proof| Some(Input::Proven(*self.unproven.get(&proof.hash)?, verdict(&proof.outcome))))
            .collect()
    }

    /// Hands a supply on to the core.
    pub fn supply(&mut self, now: u64, supply: Supply, book: &PeerBook) {
        let ticket = supply.ticket;
        if let Some(period) = supply.period.as_ref().filter(|_| supply.last) {
            self.ending.insert(supply.ticket, period.clone());
            self.unproven.insert(period.close_hash.clone(), period.id());
            if self.unproven.len() > UNPROVEN {
                self.unproven.pop_first();
            }
        }
        if let (None, Some(last)) = (&supply.period, supply.batches.last()) {
            self.trusted.ahead.insert(ticket, (supply.from, supply.open.clone(), last.id));
        }
        if self.supplies.try_send(supply).is_err() {
            debug!(network = %self.held.network, "a supply more than the planner may have open");
            self.tell(now, Input::Refused(ticket), book);
        }
    }

    /// Recomputes a period that peers gave, elsewhere; `events` hears what came out.
    pub fn prove(&self, period: Header, batches: Vec<Checked>, mut walk: Vec<Checkpoint>, events: mpsc::Sender<Event>) {
        // What is held here goes on where the walk ends.
        if let Some(oldest) = walk.last() {
            let held = self.here.history.before(&oldest.hash, TWO_DAYS);
            walk.extend(held);
        }
        let (network, rules) = (self.held.network.clone(), self.held.rules);
        tokio::spawn(async move {
            let id = period.id();
            let proving = tokio::task::spawn_blocking(move || prove::verdict(rules, &period, &batches, &walk));
            let verdict = proving.await.unwrap_or(Verdict::Unknown);
            // A task that has ended wants no verdicts.
            let _ = events.send(Event::Proven(network, id, verdict)).await;
        });
    }

    /// What to say of our head, when it has moved since it was said last.
    pub fn announcement(&mut self, now: u64) -> Option<Announced> {
        let head = self.held.state.snapshot().head().ok().flatten()?;
        if self.said.0 == Some(head.id) {
            return None;
        }
        self.said = (Some(head.id), now.max(self.said.1 + 1));
        Some(Announced { network: self.held.network.clone(), n: self.said.1, head: status::head(&head) })
    }
}
