//! A node of the simulated swarm: the real planner, peer book and vote book around a modelled core.
//!
//! *Always holds:* a death loses what is not stored: the planner, the vote book, what the core has not made durable; the
//! peer book and the own votes come back from their bytes.

use super::core::Core;
use super::history::History;
use super::peer::{Kind, Lies};
use super::voter::{Account, Voter};
use honeygraph::swarm::peers::PeerBook;
use honeygraph::swarm::sync::{Config, Planner};
use honeygraph::swarm::votes::book::Quorum;
use honeygraph::swarm::votes::{Input, OwnVotes, VoteBook};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::NetworkName;
use std::collections::{BTreeMap, BTreeSet};

/// Messages of gossip that a node remembers as heard.
const HEARD: usize = 1_024;

/// A node.
pub struct Node {
    /// Its peer key, with which it votes.
    pub voter: Voter,
    /// The account that it votes for, if any.
    pub account: Option<Account>,
    /// How it behaves.
    pub kind: Kind,
    /// What it lies with.
    pub lies: Lies,
    /// Which feed it has, if any.
    pub feed: Option<usize>,
    /// What it holds.
    pub core: Core,
    /// Whom it knows.
    pub book: PeerBook,
    /// What it asks.
    pub planner: Planner,
    /// What accounts said to it.
    pub votes: VoteBook,
    /// What it said.
    pub own_votes: OwnVotes,
    /// Whether it runs.
    pub is_up: bool,
    /// Connected.
    pub peers: BTreeSet<usize>,
    /// Whom it meets.
    pub meets: BTreeSet<usize>,
    /// Numbers of requests that are out, with the peer.
    pub life: u64,
    /// Periods of its feed that it has voted on.
    pub voted: usize,
    /// When it last said what it has to say.
    pub said_ms: u64,
    /// Numbers of what it heard.
    heard: BTreeSet<u64>,
    /// Votes for another hash, too.
    pub equivocates: bool,
    /// Minority alarms.
    pub alarms: u64,
}

impl Node {
    /// A node that holds a history.
    pub fn new(voter: Voter, account: Option<Account>, kind: Kind, feed: Option<usize>, chain: History) -> Self {
        let network = chain.network.clone();
        Self {
            planner: Planner::new(Config { network: network.clone(), seed: 0 }),
            votes: VoteBook::new(network, Quorum::default()),
            lies: Lies::new(chain.clone()),
            core: Core::new(chain),
            book: PeerBook::default(),
            own_votes: OwnVotes::default(),
            is_up: true,
            peers: BTreeSet::new(),
            meets: BTreeSet::new(),
            life: 0,
            voted: 0,
            said_ms: 0,
            heard: BTreeSet::new(),
            equivocates: false,
            alarms: 0,
            voter,
            account,
            kind,
            feed,
        }
    }

    /// Its key.
    pub fn key(&self) -> PeerKey {
        self.voter.key()
    }

    /// Whether it does what it should.
    pub fn is_honest(&self) -> bool {
        !matches!(self.kind, Kind::Liar(_)) && !self.equivocates
    }

    /// Whether it hears this message for the first time.
    pub fn hears(&mut self, n: u64) -> bool {
        let is_new = self.heard.insert(n);
        if self.heard.len() > HEARD {
            self.heard.pop_first();
        }
        is_new
    }

    /// Starts, perhaps again.
    pub fn start(&mut self, now: u64, seed: u64, electorate: &BTreeMap<String, Account>) {
        let network: NetworkName = self.core.chain.network.clone();
        self.life += 1;
        self.planner = Planner::new(Config { network: network.clone(), seed: seed + self.life });
        self.votes = VoteBook::new(network, Quorum::default());
        self.book = PeerBook::from_bytes(&self.book.to_bytes(now)).expect("its own bytes");
        self.own_votes = OwnVotes::from_bytes(&self.own_votes.to_bytes()).expect("its own bytes");
        self.peers.clear();
        self.said_ms = 0;
        self.heard.clear();
        self.is_up = true;
        let mut none = Vec::new();
        let names = electorate.values().map(|account| account.name.clone()).collect();
        self.votes.on(now, Input::Electorate(names), &mut none);
        for account in electorate.values() {
            self.votes.on(now, Input::Keys(account.name.clone(), BTreeSet::from([account.key()])), &mut none);
        }
    }
}
