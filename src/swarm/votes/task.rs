//! The votes' task: reads who may vote and what was recomputed, signs, stores, sends, and tells the cores.
//!
//! Keys and electorate are read again at each checkpoint that is confirmed; the operator's files at each [`LOOK_EVERY`].
//!
//! *Always holds:* a file that cannot be read changes nothing and is said once; an own vote is on disk before it is signed.

use super::book::{Quorum, Reception, VoteBook};
use super::bound;
use super::electorate::{self, Keys};
use super::own::{OwnVote, OwnVotes};
use super::voting::{Effect, Input, Minority, Voting};
use crate::data_dir::replace;
use crate::fork::admin::{Admin, Reply};
use crate::fork::record::{Boundary, Node, Outcome};
use crate::fork::status::Status;
use crate::projection::state::StateError;
use crate::swarm::following::Event;
use crate::swarm::host::{Handle, Rumour, Word};
use crate::swarm::peers::Offence;
use crate::swarm::peers::limits::{Bucket, GOSSIP};
use crate::swarm::serve::Held;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::{AccountName, Label, NetworkName};
use honeygraph_protocols::swarm::votes::{Said, Vote, topic};
use honeygraph_protocols::swarm::wire::Message;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// Messages that wait; more are dropped and not passed on.
pub const WAITING: usize = 256;
/// How often the operator's files are looked at, and bindings and votes are said again.
const LOOK_EVERY: Duration = Duration::from_secs(40);
/// After so long a new peer has said which topics it hears.
const MET: Duration = Duration::from_secs(1);
/// Labels shown.
const SHOWN: usize = 8;

/// What was agreed on: hash by label.
pub type Agreed = Arc<BTreeMap<Label, HashText>>;

/// What the operator wants.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may vote; empty: the runners of the state.
    pub electorate: BTreeSet<AccountName>,
    /// File with keys of accounts.
    pub keys: Option<PathBuf>,
    /// File with the account's word for this node.
    pub binding: PathBuf,
    /// Folder of what this node said.
    pub said: PathBuf,
    /// How many accounts it takes.
    pub quorum: Quorum,
}

/// Votes at a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Block of the checkpoint.
    pub label: u64,
    /// Accounts by hash.
    pub accounts: BTreeMap<HashText, usize>,
    /// The hash that more than half of the electorate vouches for.
    pub agreed: Option<HashText>,
}

/// What a network's votes come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The account that this node votes for.
    pub account: Option<String>,
    /// Whether the electorate counts what it says.
    pub counts: bool,
    /// How many accounts may vote.
    pub electorate: usize,
    /// How many of them have bound a node.
    pub bound: usize,
    /// The own feed against the others.
    pub minority: Option<Minority>,
    /// The newest labels, newest first.
    pub newest: Vec<Tally>,
}

/// One network.
struct Polling {
    held: Held,
    core: mpsc::Sender<Admin>,
    voting: Voting,
    /// The confirmed checkpoint at which the electorate was read.
    read_at: Option<Node>,
    /// Checkpoints that the votes know to be verified here.
    given: BTreeSet<HashText>,
    /// Labels whose agreement the core has taken.
    told: BTreeSet<Label>,
    agreed: watch::Sender<Agreed>,
}

/// The task.
pub struct Votes {
    handle: Handle,
    key: Keypair,
    us: PeerKey,
    settings: Settings,
    networks: BTreeMap<NetworkName, Polling>,
    keys: Keys,
    /// What is wrong with the operator's files.
    trouble: Option<String>,
    tellers: BTreeMap<PeerId, Bucket>,
    /// Where forgeries are told.
    offences: mpsc::Sender<Event>,
    shown: watch::Sender<Arc<BTreeMap<String, Shown>>>,
}

impl Votes {
    /// Votes with the node's key.
    pub fn new(handle: Handle, key: Keypair, us: PeerKey, settings: Settings, offences: mpsc::Sender<Event>) -> Self {
        Self {
            handle,
            key,
            us,
            settings,
            networks: BTreeMap::new(),
            keys: Keys::new(),
            trouble: None,
            tellers: BTreeMap::new(),
            offences,
            shown: watch::Sender::default(),
        }
    }

    /// One more network; what is agreed on in it.
    pub fn poll(&mut self, held: Held, core: mpsc::Sender<Admin>) -> watch::Receiver<Agreed> {
        let own = self.remembered(&held.network);
        let book = VoteBook::new(held.network.clone(), self.settings.quorum);
        let (agreed, seen) = watch::channel(Agreed::default());
        let (voting, given, told) = (Voting::new(book, own), BTreeSet::new(), BTreeSet::new());
        let network = held.network.clone();
        self.networks.insert(network, Polling { held, core, voting, read_at: None, given, told, agreed });
        seen
    }

    /// What it shows.
    pub fn shown(&self) -> watch::Receiver<Arc<BTreeMap<String, Shown>>> {
        self.shown.subscribe()
    }

    /// What this node said before. One that cannot tell says nothing at labels that it may have spoken on.
    fn remembered(&self, network: &NetworkName) -> OwnVotes {
        let file = self.file(network);
        match std::fs::read(&file) {
            Ok(bytes) => OwnVotes::from_bytes(&bytes).unwrap_or_else(|| {
                error!(%network, file = %file.display(), "what this node voted for cannot be read: it does not vote any more until the file is removed");
                OwnVotes::silent()
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => OwnVotes::default(),
            Err(failed) => {
                error!(%network, file = %file.display(), error = %failed, "what this node voted for cannot be read: it does not vote");
                OwnVotes::silent()
            }
        }
    }

    fn file(&self, network: &NetworkName) -> PathBuf {
        self.settings.said.join(format!("votes-{network}"))
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, mut rumours: mpsc::Receiver<Rumour>, stop: CancellationToken) {
        let (moved, mut moves) = mpsc::channel(self.networks.len().max(1));
        for polling in self.networks.values() {
            let (moved, name, mut status) = (moved.clone(), polling.held.network.clone(), polling.held.status.clone());
            status.mark_changed();
            tokio::spawn(
                async move { while status.changed().await.is_ok() && moved.send(name.clone()).await.is_ok() {} },
            );
        }
        let (mut seen, mut known, mut again) = (self.handle.seen(), BTreeSet::new(), None);
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(network) = moves.recv() => self.moved(&network).await,
                Some(rumour) = rumours.recv() => self.rumour(rumour).await,
                _ = look.tick() => self.look().await,
                Ok(()) = seen.changed() => {
                    let met: BTreeSet<PeerId> = seen.borrow_and_update().peers.keys().copied().collect();
                    if !met.is_subset(&known) {
                        again = Some(Instant::now() + MET);
                    }
                    known = met;
                }
                () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                    again = None;
                    for network in self.names() {
                        self.on(&network, Input::Again).await;
                    }
                }
            }
            self.show();
        }
    }

    fn names(&self) -> Vec<NetworkName> {
        self.networks.keys().cloned().collect()
    }

    /// The operator's files may have changed, and who came later has heard nothing.
    async fn look(&mut self) {
        let mut trouble = None;
        if let Some(file) = &self.settings.keys {
            match electorate::read_keys(file) {
                Ok(keys) => self.keys = keys,
                Err(error) => trouble = Some(error),
            }
        }
        let binding = bound::read(&self.settings.binding);
        let binding = binding.unwrap_or_else(|error| {
            trouble = Some(error);
            None
        });
        let binding = binding.filter(|binding| {
            let ours = binding.peer == self.us;
            if !ours {
                trouble = Some(format!("the binding is of peer {}, this node is {}", binding.peer, self.us));
            }
            ours
        });
        if let Some(trouble) = trouble.as_ref().filter(|new| self.trouble.as_ref() != Some(new)) {
            warn!(trouble, "votes");
        }
        self.trouble = trouble;
        let connected = self.handle.seen().borrow().peers.clone();
        self.tellers.retain(|peer, _| connected.contains_key(peer));
        for network in self.names() {
            self.read_electorate(&network, true).await;
            self.on(&network, Input::Bound(binding.clone().map(Box::new))).await;
            self.on(&network, Input::Again).await;
        }
    }

    /// What is proven has moved on.
    async fn moved(&mut self, network: &NetworkName) {
        self.read_electorate(network, false).await;
        let Some(polling) = self.networks.get_mut(network) else { return };
        let status = polling.held.status.borrow().clone();
        let verified = verified(&polling.held, &status, &polling.given);
        polling.given.extend(verified.iter().map(|(_, hash)| hash.clone()));
        polling.given.retain(|hash| status.proven.newest.iter().any(|proof| proof.hash == *hash));
        self.on(network, Input::Verified(verified)).await;
        self.tell_agreed(network).await;
    }

    /// Reads who may vote, when there is a newer confirmed checkpoint, or when it has to be.
    async fn read_electorate(&mut self, network: &NetworkName, anyway: bool) {
        let Some(polling) = self.networks.get_mut(network) else { return };
        let at = confirmed_at(&polling.held);
        if !anyway && at == polling.read_at {
            return;
        }
        polling.read_at = at;
        match accounts(&polling.held, at, &self.settings.electorate, &self.keys) {
            Ok(accounts) => self.on(network, Input::Electorate(accounts)).await,
            // The projection says the same and stops the node.
            Err(failed) => error!(%network, error = %failed, "the state cannot be read"),
        }
    }

    async fn on(&mut self, network: &NetworkName, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut effects = Vec::new();
            if let Some(polling) = self.networks.get_mut(network) {
                polling.voting.on(now_ms(), input, &mut effects);
            }
            for effect in effects {
                inputs.extend(self.perform(network, effect).await);
            }
        }
    }

    /// Does what a network's votes want; what comes of it.
    async fn perform(&mut self, network: &NetworkName, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Store(bytes) => match replace(&self.file(network), &bytes) {
                Ok(()) => return Some(Input::Stored),
                Err(failed) => error!(%network, error = %failed, "an own vote cannot be stored, so it is not given"),
            },
            Effect::Sign(vote, account) => return self.sign(network, vote, account),
            Effect::Say(said) => match said.encode() {
                Some(bytes) => self.handle.publish(topic(network), bytes).await,
                None => debug!(%network, "a word too long to be said"),
            },
            Effect::Vouched(vouched) => {
                self.order(network, |reply| Admin::Vouched { vouched, reply }).await;
            }
            Effect::Agreed => {
                if let Some(polling) = self.networks.get(network) {
                    polling.agreed.send_replace(Arc::new(polling.voting.agreed().clone()));
                }
                self.tell_agreed(network).await;
            }
            Effect::Warn(about) => warn!(%network, "{about}"),
        }
        None
    }

    fn sign(&self, network: &NetworkName, OwnVote { label, hash, n }: OwnVote, account: AccountName) -> Option<Input> {
        let vote =
            Vote { network: network.clone(), label, close_hash: hash, account, peer: self.us, n, signature: [0; 64] };
        let signature = self.key.sign(&vote.signed_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let signature = signature.or_else(|| {
            error!(%network, "the node's key does not sign");
            None
        })?;
        info!(%network, %label, hash = %vote.close_hash, account = %vote.account, "votes");
        Some(Input::Signed(Box::new(Vote { signature, ..vote })))
    }

    /// Tells the core what more than half of the electorate vouches for, as soon as it is verified here.
    async fn tell_agreed(&mut self, network: &NetworkName) {
        let Some(polling) = self.networks.get(network) else { return };
        let status = polling.held.status.borrow().clone();
        let Some(head) = status.head.as_ref().map(|head| head.node) else { return };
        let links = polling.held.state.snapshot().chain(head);
        let untold = polling.voting.agreed().iter().filter(|(label, _)| !polling.told.contains(label));
        let mut here = untold.filter(|(_, hash)| status.proven.has_verified(&links, hash));
        let now = now_ms();
        let of = polling.voting.electorate().len();
        // One at a time, the newest: it stands for all before it.
        let Some((label, hash)) = here.next_back().map(|(label, hash)| (*label, hash.clone())) else { return };
        let accounts = polling.voting.tally(now, label).get(&hash).copied().unwrap_or(0);
        let taken = self.order(network, |reply| Admin::Agreed { hash, accounts, of, reply }).await;
        if taken && let Some(polling) = self.networks.get_mut(network) {
            let upto = polling.voting.agreed().range(..=label).map(|(label, _)| *label).collect::<Vec<_>>();
            polling.told.extend(upto);
            let agreed = polling.voting.agreed();
            polling.told.retain(|label| agreed.contains_key(label));
        }
    }

    /// An order to a core; whether it was taken.
    async fn order<T>(&self, network: &NetworkName, order: impl FnOnce(Reply<T>) -> Admin) -> bool {
        let Some(polling) = self.networks.get(network) else { return false };
        let (reply, answer) = oneshot::channel();
        polling.core.send(order(reply)).await.is_ok() && matches!(answer.await, Ok(Ok(_)))
    }

    async fn rumour(&mut self, rumour: Rumour) {
        let now = now_ms();
        let teller = self.tellers.entry(rumour.from).or_insert_with(|| Bucket::new(GOSSIP, now));
        let allowed = teller.take(now, 1).is_ok();
        let network = self.networks.keys().find(|network| topic(network) == rumour.topic).cloned();
        let word = match (Said::decode_canonical(&rumour.data), network) {
            // It goes no further, and nobody pays: it may only have passed on what others said.
            _ if !allowed => Word::Keep,
            (Ok(said), Some(network)) => self.heard(&network, &rumour, said).await,
            _ => self.refuse(&rumour, Offence::Undecodable).await,
        };
        self.handle.judge(rumour.ticket, word).await;
    }

    async fn heard(&mut self, network: &NetworkName, rumour: &Rumour, said: Said) -> Word {
        let mut effects = Vec::new();
        let Some(polling) = self.networks.get_mut(network) else { return Word::Keep };
        let reception = polling.voting.said(now_ms(), said, &mut effects);
        for effect in effects {
            if let Some(input) = self.perform(network, effect).await {
                self.on(network, input).await;
            }
        }
        match reception {
            Reception::Accept | Reception::Known => Word::Pass,
            Reception::Ignore => Word::Keep,
            Reception::Reject => self.refuse(rumour, Offence::Forged).await,
        }
    }

    async fn refuse(&self, rumour: &Rumour, offence: Offence) -> Word {
        if let Some(peer) = crate::swarm::task::key(&rumour.from) {
            // A task that has ended punishes nobody.
            let _ = self.offences.send(Event::Offended(peer, offence)).await;
        }
        Word::Refuse
    }

    fn show(&self) {
        let now = now_ms();
        let shown = self.networks.iter().map(|(name, polling)| (name.to_string(), polling.shown(now)));
        let shown = shown.collect();
        self.shown.send_if_modified(|held| {
            let changed = **held != shown;
            if changed {
                *held = Arc::new(shown);
            }
            changed
        });
    }
}

impl Polling {
    fn shown(&self, now: u64) -> Shown {
        let tally = |label: Label| Tally {
            label: label.get(),
            accounts: self.voting.tally(now, label),
            agreed: self.voting.agreed().get(&label).cloned(),
        };
        Shown {
            account: self.voting.account().map(ToString::to_string),
            counts: self.voting.counts(),
            electorate: self.voting.electorate().len(),
            bound: self.voting.bound(),
            minority: self.voting.minority().cloned(),
            newest: self.voting.labels().take(SHOWN).map(tally).collect(),
        }
    }
}

/// Checkpoints of the head's history that were recomputed here and that an own feed has: it brought the first ops of the
/// period that the hash opened. Not those whose boundary is broken, nor those in `given`.
fn verified(held: &Held, status: &Status, given: &BTreeSet<HashText>) -> Vec<(Label, HashText)> {
    let Some(head) = status.head.as_ref().map(|head| head.node) else { return Vec::new() };
    let snapshot = held.state.snapshot();
    let links = snapshot.chain(head);
    let from_feed = |by: Node| {
        let first = snapshot.batch(by).ok().flatten().and_then(|batch| batch.pieces.first().copied());
        first.is_some_and(|piece| held.journal.piece(piece).is_ok_and(|(piece, _)| piece.lane > 0))
    };
    let sound = |hash: &HashText| {
        let invalid = |boundary: &Boundary| matches!(boundary, Boundary::Invalid(_));
        !status.checkpoints.iter().any(|checkpoint| checkpoint.hash == *hash && invalid(&checkpoint.boundary))
    };
    let proofs = status.proven.newest.iter().filter(|proof| proof.outcome == Outcome::Verified);
    let new = proofs.filter(|proof| !given.contains(&proof.hash) && status.proven.has_verified(&links, &proof.hash));
    new.filter(|proof| sound(&proof.hash) && from_feed(proof.by))
        .filter_map(|proof| Some((Label::new(proof.label?)?, proof.hash.clone())))
        .collect()
}

/// First batch behind the newest confirmed checkpoint of the head's history.
fn confirmed_at(held: &Held) -> Option<Node> {
    let status = held.status.borrow().clone();
    let links = held.state.snapshot().chain(status.head.as_ref()?.node);
    status.proven.confirmed(&links).map(|(node, _)| node)
}

/// Who may vote, and with which keys, as of the last batch before a point.
fn accounts(
    held: &Held,
    at: Option<Node>,
    configured: &BTreeSet<AccountName>,
    file: &Keys,
) -> Result<Keys, StateError> {
    let snapshot = held.state.snapshot();
    let last = at.map(|at| snapshot.batch(at)).transpose()?.flatten().and_then(|batch| batch.prev);
    // What is no longer readable says nothing.
    let view = last.and_then(|last| snapshot.view(last).ok());
    let names = match (&view, configured.is_empty()) {
        (_, false) => configured.clone(),
        (Some(view), true) => electorate::runners(view)?,
        (None, true) => BTreeSet::new(),
    };
    let mut accounts = Keys::new();
    for name in names {
        let mut keys = file.get(&name).cloned().unwrap_or_default();
        if let Some(view) = &view {
            keys.extend(electorate::authority(view, &name)?);
        }
        accounts.insert(name, keys);
    }
    Ok(accounts)
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
