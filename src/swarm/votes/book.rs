//! The vote book of one network.
//!
//! *Always holds:* only what accounts of the electorate said through peers that they bound is kept, so strangers cost no
//! memory; at most [`LABELS`] labels at which most voted, the newest, and of each account [`AHEAD`] others.

use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::binding::Binding;
use honeygraph_protocols::swarm::keys::{HiveKey, PeerKey};
use honeygraph_protocols::swarm::names::{AccountName, Label, NetworkName};
use honeygraph_protocols::swarm::status::Checkpoint;
use honeygraph_protocols::swarm::votes::{ELECTORATE, Evidence, Said, Vote};
use std::collections::{BTreeMap, BTreeSet};

/// Labels remembered at which most of the electorate voted, or that the own feed has: two days of checkpoints.
pub const LABELS: usize = 576;
/// Other labels at which one account has votes; its oldest makes room. So what one of the electorate says of times to come
/// pushes out nothing that others said.
pub const AHEAD: usize = 64;
/// Peers that one account may bind; the oldest binding makes room.
pub const PEERS_OF_ACCOUNT: usize = 4;
/// Newest labels whose votes are said again, to those who came later: one that is agreed on leads back to all before it.
pub const AGAIN: usize = 4;
/// How long an account weighs nothing after evidence against it, ms.
pub const SILENCED_MS: u64 = 24 * 60 * 60 * 1_000;

/// What the book hears.
#[derive(Clone, Debug)]
pub enum Input {
    /// Who may vote: the configured list, else the runners of the state at the last confirmed checkpoint.
    Electorate(BTreeSet<AccountName>),
    /// The keys of an account of the electorate.
    Keys(AccountName, BTreeSet<HiveKey>),
    /// Somebody said something.
    Said(Box<Said>),
    /// The hash at this label, as the own feed has it and as it was recomputed here.
    Own(Label, HashText),
}

/// What becomes of a message: whether it is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// New and right: passed on.
    Accept,
    /// Known to the letter: said again, for those who came later. Passed on, too.
    Known,
    /// Nothing to us: not passed on, nobody pays.
    Ignore,
    /// Nobody signed it: whoever passed it on pays.
    Reject,
}

/// What the book tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// More than half of the electorate vouches for this checkpoint: an anchor.
    Confirmed(Checkpoint),
    /// A peer voted twice: to be passed on.
    Evidence(Box<Evidence>),
    /// Two peers of one account disagree: its operator is to be told.
    Disagrees(AccountName, Label),
    /// More accounts vouch for another hash than for that of the own feed.
    Minority {
        /// Where.
        label: Label,
        /// What the own feed has.
        own: HashText,
        /// What they vouch for.
        theirs: HashText,
        /// How many accounts.
        accounts: usize,
    },
}

/// How many accounts it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// At least so many (`consensus.required`).
    pub required: usize,
    /// So many others may say otherwise before it is contested and nothing is confirmed (`consensus.tolerance`).
    pub tolerance: usize,
}

impl Default for Quorum {
    fn default() -> Self {
        Self { required: 2, tolerance: 1 }
    }
}

/// The book.
#[derive(Clone, Debug)]
pub struct VoteBook {
    network: NetworkName,
    quorum: Quorum,
    electorate: BTreeSet<AccountName>,
    keys: BTreeMap<AccountName, BTreeSet<HiveKey>>,
    /// By account and peer; checked against the account's keys when it is counted.
    bindings: BTreeMap<AccountName, BTreeMap<PeerKey, (Binding, HiveKey)>>,
    votes: BTreeMap<Label, BTreeMap<(AccountName, PeerKey), Vote>>,
    /// Labels that are remembered for what most say there.
    settled: BTreeSet<Label>,
    /// The others, by account.
    ahead: BTreeMap<AccountName, BTreeSet<Label>>,
    silenced: BTreeMap<AccountName, u64>,
    /// Peers that were seen to vote twice at a label: what more they say there is nothing new.
    twofaced: BTreeMap<Label, BTreeSet<PeerKey>>,
    own: BTreeMap<Label, HashText>,
    confirmed: BTreeSet<Label>,
    warned: BTreeSet<Label>,
}

impl VoteBook {
    /// An empty book.
    pub fn new(network: NetworkName, quorum: Quorum) -> Self {
        Self {
            network,
            quorum,
            electorate: BTreeSet::new(),
            keys: BTreeMap::new(),
            bindings: BTreeMap::new(),
            votes: BTreeMap::new(),
            settled: BTreeSet::new(),
            ahead: BTreeMap::new(),
            silenced: BTreeMap::new(),
            twofaced: BTreeMap::new(),
            own: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            warned: BTreeSet::new(),
        }
    }

    /// Takes something in.
    pub fn on(&mut self, now: u64, input: Input, fx: &mut Vec<Effect>) -> Reception {
        match input {
            Input::Electorate(accounts) => {
                self.electorate = accounts.into_iter().take(ELECTORATE).collect();
                self.keys.retain(|account, _| self.electorate.contains(account));
                self.bindings.retain(|account, _| self.electorate.contains(account));
                self.ahead.retain(|account, _| self.electorate.contains(account));
                let electorate = &self.electorate;
                self.votes.values_mut().for_each(|votes| votes.retain(|(account, _), _| electorate.contains(account)));
                self.votes.retain(|_, votes| !votes.is_empty());
                self.settled.retain(|label| self.votes.contains_key(label));
                self.count_all(now, fx);
            }
            Input::Keys(account, keys) => {
                if self.electorate.contains(&account) {
                    self.keys.insert(account, keys);
                    self.count_all(now, fx);
                }
            }
            Input::Own(label, hash) => {
                self.own.insert(label, hash);
                trim(&mut self.own);
                self.count(now, label, fx);
            }
            Input::Said(said) => {
                return match *said {
                    Said::Vote(vote) => self.vote(now, vote, fx),
                    Said::Binding(binding) => self.bind(now, binding, fx),
                    Said::Evidence(evidence) => self.evidence(now, &evidence, fx),
                };
            }
        }
        Reception::Accept
    }

    fn bind(&mut self, now: u64, binding: Binding, fx: &mut Vec<Effect>) -> Reception {
        if !self.electorate.contains(&binding.account) {
            return Reception::Ignore;
        }
        let Some(signer) = binding.signer() else { return Reception::Reject };
        // Keys that are not known yet may come; others than the account's own do not bind.
        if self.keys.get(&binding.account).is_some_and(|keys| !keys.contains(&signer)) {
            return Reception::Ignore;
        }
        let bound = self.bindings.entry(binding.account.clone()).or_default();
        if bound.get(&binding.peer).is_some_and(|(held, _)| *held == binding) {
            return Reception::Known;
        }
        if bound.get(&binding.peer).is_some_and(|(held, _)| held.issued_ms >= binding.issued_ms) {
            return Reception::Ignore;
        }
        bound.insert(binding.peer, (binding, signer));
        if bound.len() > PEERS_OF_ACCOUNT {
            let oldest = bound.iter().min_by_key(|(_, (held, _))| held.issued_ms).map(|(peer, _)| *peer);
            oldest.and_then(|oldest| bound.remove(&oldest));
        }
        self.count_all(now, fx);
        Reception::Accept
    }

    /// Whether an account of the electorate has bound this peer with one of its keys.
    pub fn is_bound(&self, account: &AccountName, peer: &PeerKey) -> bool {
        let Some((_, signer)) = self.bindings.get(account).and_then(|bound| bound.get(peer)) else { return false };
        self.electorate.contains(account) && self.keys.get(account).is_some_and(|keys| keys.contains(signer))
    }

    /// Peers that an account of the electorate has bound: what they say of the open period is followed.
    pub fn witnesses(&self) -> BTreeSet<PeerKey> {
        let bound = self.bindings.iter().flat_map(|(account, peers)| peers.keys().map(move |peer| (account, peer)));
        bound.filter(|(account, peer)| self.is_bound(account, peer)).map(|(_, peer)| *peer).collect()
    }

    fn vote(&mut self, now: u64, vote: Vote, fx: &mut Vec<Effect>) -> Reception {
        // A vote that comes before its binding is said again later.
        if vote.network != self.network || !self.is_bound(&vote.account, &vote.peer) {
            return Reception::Ignore;
        }
        if self.settled.len() >= LABELS && self.settled.first().is_some_and(|oldest| vote.label < *oldest) {
            return Reception::Ignore;
        }
        if self.is_twofaced(vote.label, &vote.peer) {
            return Reception::Ignore;
        }
        let key = (vote.account.clone(), vote.peer);
        let held = self.votes.get(&vote.label).and_then(|votes| votes.get(&key)).cloned();
        if held.as_ref().is_some_and(|held| held.close_hash == vote.close_hash) {
            let newest = self.newest(AGAIN).any(|label| label == vote.label);
            return if newest && held.as_ref() == Some(&vote) { Reception::Known } else { Reception::Ignore };
        }
        if !vote.is_signed() {
            return Reception::Reject;
        }
        let label = vote.label;
        match held.and_then(|held| Evidence::new(held, vote.clone())) {
            Some(evidence) => {
                self.silence(now, &evidence);
                fx.push(Effect::Evidence(Box::new(evidence)));
            }
            None => {
                if !self.settled.contains(&label) && !self.step_ahead(&vote.account, label) {
                    return Reception::Ignore;
                }
                self.votes.entry(label).or_default().insert(key, vote);
            }
        }
        self.count(now, label, fx);
        Reception::Accept
    }

    /// Notes that an account votes at a label at which most do not. False: it has as many newer ones as it may.
    fn step_ahead(&mut self, account: &AccountName, label: Label) -> bool {
        let ahead = self.ahead.entry(account.clone()).or_default();
        ahead.insert(label);
        if ahead.len() <= AHEAD {
            return true;
        }
        let Some(oldest) = ahead.pop_first().filter(|oldest| *oldest != label) else { return false };
        if let Some(votes) = self.votes.get_mut(&oldest) {
            votes.retain(|(of, _), _| of != account);
            if votes.is_empty() {
                self.votes.remove(&oldest);
            }
        }
        true
    }

    /// Most vote at this label, or the own feed has it: it is remembered until newer ones make it old.
    fn settle(&mut self, label: Label) {
        let Some(votes) = self.votes.get(&label) else { return };
        if !self.settled.insert(label) {
            return;
        }
        for (account, _) in votes.keys() {
            if let Some(ahead) = self.ahead.get_mut(account) {
                ahead.remove(&label);
            }
        }
        if self.settled.len() > LABELS
            && let Some(oldest) = self.settled.pop_first()
        {
            self.votes.remove(&oldest);
        }
    }

    fn evidence(&mut self, now: u64, evidence: &Evidence, fx: &mut Vec<Effect>) -> Reception {
        let accounts = [&evidence.one.account, &evidence.other.account];
        let concerns = |account: &&AccountName| self.is_bound(account, &evidence.one.peer);
        if evidence.one.network != self.network || !accounts.iter().any(concerns) {
            return Reception::Ignore;
        }
        if self.is_twofaced(evidence.one.label, &evidence.one.peer) {
            return Reception::Ignore;
        }
        if !evidence.is_signed() {
            return Reception::Reject;
        }
        self.silence(now, evidence);
        self.count(now, evidence.one.label, fx);
        Reception::Accept
    }

    fn is_twofaced(&self, label: Label, peer: &PeerKey) -> bool {
        self.twofaced.get(&label).is_some_and(|peers| peers.contains(peer))
    }

    /// The accounts that bound this peer weigh nothing for a day: only those, for a peer can name any account.
    fn silence(&mut self, now: u64, evidence: &Evidence) {
        self.twofaced.entry(evidence.one.label).or_default().insert(evidence.one.peer);
        trim(&mut self.twofaced);
        for account in [&evidence.one.account, &evidence.other.account] {
            if self.is_bound(account, &evidence.one.peer) {
                self.silenced.insert(account.clone(), now.saturating_add(SILENCED_MS));
            }
        }
    }

    /// What the accounts of the electorate vouch for at a label: one hash each, and how many accounts. Those of whose
    /// peers two disagree are left out.
    pub fn tally(&self, now: u64, label: Label) -> BTreeMap<HashText, usize> {
        let mut tally = BTreeMap::new();
        for hash in self.said_at(now, label).into_values().filter(|hashes| hashes.len() == 1).flatten() {
            *tally.entry(hash.clone()).or_default() += 1;
        }
        tally
    }

    /// Accounts of the electorate that have bound a peer.
    pub fn bound(&self) -> usize {
        let bound = |(account, peers): &(&AccountName, &BTreeMap<PeerKey, _>)| {
            peers.keys().any(|peer| self.is_bound(account, peer))
        };
        self.bindings.iter().filter(bound).count()
    }

    /// Labels that somebody voted at, newest first.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.votes.keys().rev().copied()
    }

    /// So many of the newest labels at which most voted, and so many of the others.
    pub fn newest(&self, most: usize) -> impl Iterator<Item = Label> {
        let others = self.votes.keys().rev().filter(|label| !self.settled.contains(label));
        self.settled.iter().rev().take(most).chain(others.take(most)).copied()
    }

    fn said_at(&self, now: u64, label: Label) -> BTreeMap<&AccountName, BTreeSet<&HashText>> {
        let mut said: BTreeMap<&AccountName, BTreeSet<&HashText>> = BTreeMap::new();
        for ((account, peer), vote) in self.votes.get(&label).into_iter().flatten() {
            let silenced = self.silenced.get(account).is_some_and(|until| *until > now);
            if !silenced && self.is_bound(account, peer) {
                said.entry(account).or_default().insert(&vote.close_hash);
            }
        }
        said
    }

    fn count_all(&mut self, now: u64, fx: &mut Vec<Effect>) {
        let labels: Vec<Label> = self.votes.keys().copied().collect();
        labels.into_iter().for_each(|label| self.count(now, label, fx));
    }

    fn count(&mut self, now: u64, label: Label, fx: &mut Vec<Effect>) {
        let torn: Vec<AccountName> = {
            let said = self.said_at(now, label);
            said.into_iter().filter(|(_, hashes)| hashes.len() > 1).map(|(account, _)| account.clone()).collect()
        };
        fx.extend(torn.into_iter().map(|account| Effect::Disagrees(account, label)));
        let tally = self.tally(now, label);
        if tally.values().sum::<usize>() * 2 > self.electorate.len() || self.own.contains_key(&label) {
            self.settle(label);
        }
        let Some((hash, accounts)) = tally.iter().max_by_key(|(_, accounts)| **accounts) else { return };
        let others: usize = tally.values().sum::<usize>() - accounts;
        let enough = *accounts >= self.quorum.required && accounts * 2 > self.electorate.len();
        if enough && others <= self.quorum.tolerance && self.confirmed.insert(label) {
            while self.confirmed.len() > LABELS {
                self.confirmed.pop_first();
            }
            fx.push(Effect::Confirmed(Checkpoint { hash: hash.clone(), label: Some(label) }));
        }
        let Some(own) = self.own.get(&label).filter(|own| *own != hash) else { return };
        let more = *accounts > tally.get(own).copied().unwrap_or(0);
        // One account alone may be the one that is wrong.
        if more && *accounts >= self.quorum.required && self.warned.insert(label) {
            while self.warned.len() > LABELS {
                self.warned.pop_first();
            }
            let (own, theirs, accounts) = (own.clone(), hash.clone(), *accounts);
            fx.push(Effect::Minority { label, own, theirs, accounts });
        }
    }
}

fn trim<T>(of: &mut BTreeMap<Label, T>) {
    while of.len() > LABELS {
        of.pop_first();
    }
}
