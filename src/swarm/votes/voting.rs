//! What a node does about the votes of a network: counts those of others, gives its own, says what they come to.
//!
//! A machine: it decides, `task` reads, signs, stores and sends.
//!
//! *Always holds:* an own vote is signed only after it is durable, and only once its account has bound this peer; what is
//! agreed on, once told, is told until it is one of too many.

use super::book::{self, AGAIN, LABELS, Reception, VoteBook};
use super::own::{OwnVote, OwnVotes};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::binding::Binding;
use honeygraph_protocols::swarm::keys::HiveKey;
use honeygraph_protocols::swarm::names::{AccountName, Label};
use honeygraph_protocols::swarm::status::Checkpoint;
use honeygraph_protocols::swarm::votes::{Said, Vote};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Newest labels whose votes the core weighs histories by: five hours.
const WEIGHED: usize = 64;

/// What it hears.
#[derive(Clone, Debug)]
pub enum Input {
    /// Who may vote, and with which keys.
    Electorate(BTreeMap<AccountName, BTreeSet<HiveKey>>),
    /// The word of this node's own account for it; none: it votes for nobody.
    Bound(Option<Box<Binding>>),
    /// Checkpoints that were recomputed here and that an own feed has, too.
    Verified(Vec<(Label, HashText)>),
    /// What was to be stored is durable.
    Stored,
    /// A vote of this node, signed.
    Signed(Box<Vote>),
    /// It is time to say again what was said.
    Again,
}

/// What it wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// To be made durable, then [`Input::Stored`].
    Store(Vec<u8>),
    /// To be signed for this account, then [`Input::Signed`].
    Sign(OwnVote, AccountName),
    /// To be said to all.
    Say(Box<Said>),
    /// Checkpoints of late, and how many accounts vouch for each: what the core weighs histories by.
    Vouched(BTreeMap<HashText, usize>),
    /// What more than half of the electorate vouches for has grown: see [`Voting::agreed`].
    Agreed,
    /// Somebody should look.
    Warn(String),
}

/// More accounts vouch for another hash than for that of the own feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Minority {
    /// Block of the checkpoint.
    pub label: u64,
    /// What the own feed has.
    pub own: HashText,
    /// What they vouch for.
    pub theirs: HashText,
    /// How many accounts.
    pub accounts: usize,
}

/// The votes of a network.
pub struct Voting {
    book: VoteBook,
    own: OwnVotes,
    binding: Option<Box<Binding>>,
    /// Who may vote.
    electorate: BTreeSet<AccountName>,
    /// Own votes as they were signed, to be said again.
    signed: BTreeMap<Label, Vote>,
    agreed: BTreeMap<Label, HashText>,
    vouched: BTreeMap<HashText, usize>,
    minority: Option<Minority>,
}

impl Voting {
    /// With what this node said before.
    pub fn new(book: VoteBook, own: OwnVotes) -> Self {
        Self {
            book,
            own,
            binding: None,
            electorate: BTreeSet::new(),
            signed: BTreeMap::new(),
            agreed: BTreeMap::new(),
            vouched: BTreeMap::new(),
            minority: None,
        }
    }

    /// What more than half of the electorate vouches for, of the newest labels.
    pub fn agreed(&self) -> &BTreeMap<Label, HashText> {
        &self.agreed
    }

    /// Where the own feed stands against the others, if it does.
    pub fn minority(&self) -> Option<&Minority> {
        self.minority.as_ref()
    }

    /// Who may vote.
    pub fn electorate(&self) -> &BTreeSet<AccountName> {
        &self.electorate
    }

    /// The votes at a label: hash and accounts.
    pub fn tally(&self, now: u64, label: Label) -> BTreeMap<HashText, usize> {
        self.book.tally(now, label)
    }

    /// The newest labels that anybody voted at, newest first.
    pub fn labels(&self) -> impl Iterator<Item = Label> {
        self.book.labels()
    }

    /// How many accounts have bound a peer.
    pub fn bound(&self) -> usize {
        self.book.bound()
    }

    /// The account that this node votes for, as far as others count that.
    pub fn account(&self) -> Option<&AccountName> {
        self.binding.as_ref().map(|binding| &binding.account)
    }

    /// Whether others would count what this node says.
    pub fn counts(&self) -> bool {
        self.binding.as_ref().is_some_and(|binding| self.book.is_bound(&binding.account, &binding.peer))
    }

    /// Takes something in.
    pub fn on(&mut self, now: u64, input: Input, fx: &mut Vec<Effect>) {
        match input {
            Input::Electorate(accounts) => {
                self.electorate = accounts.keys().cloned().collect();
                self.hear(now, book::Input::Electorate(self.electorate.clone()), fx);
                for (account, keys) in accounts {
                    self.hear(now, book::Input::Keys(account, keys), fx);
                }
                self.say_own(now, fx);
            }
            Input::Bound(binding) => {
                if self.binding != binding {
                    self.binding = binding;
                    self.signed.clear();
                    self.say_own(now, fx);
                    self.sign(self.own.newest(AGAIN), fx);
                }
            }
            Input::Verified(checkpoints) => self.verified(now, checkpoints, fx),
            Input::Stored => {
                let unsaid = self.own.stored();
                self.sign(unsaid, fx);
            }
            Input::Signed(vote) => {
                self.signed.insert(vote.label, (*vote).clone());
                while self.signed.len() > AGAIN {
                    self.signed.pop_first();
                }
                let said = Box::new(Said::Vote(*vote));
                self.hear(now, book::Input::Said(said.clone()), fx);
                fx.push(Effect::Say(said));
            }
            Input::Again => {
                self.say_own(now, fx);
                let votes = self.signed.values().cloned();
                fx.extend(votes.map(|vote| Effect::Say(Box::new(Said::Vote(vote)))));
            }
        }
    }

    /// Takes what somebody said; what becomes of the message.
    pub fn said(&mut self, now: u64, said: Said, fx: &mut Vec<Effect>) -> Reception {
        self.hear(now, book::Input::Said(Box::new(said)), fx)
    }

    fn hear(&mut self, now: u64, input: book::Input, fx: &mut Vec<Effect>) -> Reception {
        let mut effects = Vec::new();
        let reception = self.book.on(now, input, &mut effects);
        for effect in effects {
            self.counted(effect, fx);
        }
        self.weigh(now, fx);
        reception
    }

    fn counted(&mut self, effect: book::Effect, fx: &mut Vec<Effect>) {
        match effect {
            book::Effect::Confirmed(Checkpoint { hash, label: Some(label) }) => {
                self.agreed.insert(label, hash);
                while self.agreed.len() > LABELS {
                    self.agreed.pop_first();
                }
                self.end_minority(label);
                fx.push(Effect::Agreed);
            }
            book::Effect::Confirmed(_) => {}
            book::Effect::Evidence(evidence) => {
                let vote = &evidence.one;
                fx.push(Effect::Warn(format!("peer {} of {} voted twice at {}", vote.peer, vote.account, vote.label)));
                fx.push(Effect::Say(Box::new(Said::Evidence(*evidence))));
            }
            book::Effect::Disagrees(account, label) => {
                fx.push(Effect::Warn(format!("two nodes of {account} disagree at {label}: it weighs nothing there")));
            }
            book::Effect::Minority { label, own, theirs, accounts } => {
                let about = format!(
                    "the own feed is in the minority: at {label} it has {own}, {accounts} accounts vouch for {theirs}"
                );
                fx.push(Effect::Warn(about));
                self.minority = Some(Minority { label: label.get(), own, theirs, accounts });
            }
        }
    }

    /// A checkpoint that most agree on and that the own feed has ends what was said of an earlier one, whichever of the two
    /// is heard of first.
    fn end_minority(&mut self, label: Label) {
        let agrees = self.agreed.get(&label).is_some_and(|agreed| self.own.at(label) == Some(agreed));
        self.minority.take_if(|minority| agrees && minority.label < label.get());
    }

    fn weigh(&mut self, now: u64, fx: &mut Vec<Effect>) {
        let labels: Vec<Label> = self.book.newest(WEIGHED).collect();
        let vouched: BTreeMap<HashText, usize> =
            labels.into_iter().flat_map(|label| self.book.tally(now, label)).collect();
        if vouched != self.vouched {
            self.vouched = vouched.clone();
            fx.push(Effect::Vouched(vouched));
        }
    }

    fn verified(&mut self, now: u64, checkpoints: Vec<(Label, HashText)>, fx: &mut Vec<Effect>) {
        let mut new = false;
        for (label, hash) in checkpoints {
            new |= self.own.verified(label, &hash);
            self.end_minority(label);
            self.hear(now, book::Input::Own(label, hash), fx);
        }
        if new {
            fx.push(Effect::Store(self.own.to_bytes()));
        }
    }

    fn sign(&self, votes: Vec<OwnVote>, fx: &mut Vec<Effect>) {
        if let Some(binding) = &self.binding {
            fx.extend(votes.into_iter().map(|vote| Effect::Sign(vote, binding.account.clone())));
        }
    }

    fn say_own(&mut self, now: u64, fx: &mut Vec<Effect>) {
        if let Some(binding) = self.binding.clone() {
            let said = Box::new(Said::Binding(*binding));
            self.hear(now, book::Input::Said(said.clone()), fx);
            fx.push(Effect::Say(said));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::votes::book::Quorum;
    use honeygraph_protocols::swarm::names::NetworkName;
    use honeygraph_testnet::swarm::voter::{Account, Voter};

    const NOW: u64 = 1_764_000_000_000;

    fn label(nth: u64) -> Label {
        Label::new(nth).unwrap()
    }

    fn hash(text: &str) -> HashText {
        HashText::new(text).unwrap()
    }

    fn network() -> NetworkName {
        NetworkName::new("spkcc_").unwrap()
    }

    /// The votes of a node of `alice`, whose electorate are these accounts.
    struct Node {
        voting: Voting,
        voter: Voter,
        disk: Vec<u8>,
        said: Vec<Said>,
        rest: Vec<Effect>,
    }

    impl Node {
        fn new(own: OwnVotes, accounts: &[&Account]) -> Self {
            let voting = Voting::new(VoteBook::new(network(), Quorum::default()), own);
            let (voter, disk, said, rest) = (accounts[0].voter(0), Vec::new(), Vec::new(), Vec::new());
            let mut node = Self { voting, voter, disk, said, rest };
            let keys = accounts.iter().map(|account| (account.name.clone(), BTreeSet::from([account.key()])));
            node.on(Input::Electorate(keys.collect()));
            node
        }

        /// Does what is wanted, as the task does it.
        fn on(&mut self, input: Input) {
            let mut inputs = vec![input];
            while let Some(input) = inputs.pop() {
                let mut effects = Vec::new();
                self.voting.on(NOW, input, &mut effects);
                for effect in effects {
                    match effect {
                        Effect::Store(bytes) => {
                            self.disk = bytes;
                            inputs.push(Input::Stored);
                        }
                        Effect::Sign(vote, account) => {
                            let held = OwnVotes::from_bytes(&self.disk).unwrap();
                            assert!(held.newest(99).contains(&vote), "stored before it is signed");
                            let vote = self.voter.vote(&network(), &account, vote.label, &vote.hash, vote.n);
                            inputs.push(Input::Signed(Box::new(vote)));
                        }
                        Effect::Say(said) => self.said.push(*said),
                        effect => self.rest.push(effect),
                    }
                }
            }
        }

        fn votes(&mut self) -> Vec<(u64, String)> {
            let votes = std::mem::take(&mut self.said).into_iter().filter_map(|said| match said {
                Said::Vote(vote) => Some((vote.label.get(), vote.close_hash.to_string())),
                _ => None,
            });
            votes.collect()
        }
    }

    #[test]
    fn who_is_bound_says_what_it_verified_once_and_again_for_those_who_come_later() {
        let [alice, bobby] = &["alice", "bobby"].map(Account::new);
        let mut node = Node::new(OwnVotes::default(), &[alice, bobby]);
        let verified = |at: u64, text: &str| Input::Verified(vec![(label(at), hash(text))]);
        node.on(verified(101, "QmA"));
        assert_eq!(node.votes(), [], "nobody has bound it");
        node.on(Input::Bound(Some(Box::new(alice.bind(&node.voter, NOW)))));
        let said = |at: u64, text: &str| (at, text.to_owned());
        assert_eq!(node.votes(), [said(101, "QmA")]);
        assert!(node.voting.counts());
        node.on(verified(101, "QmA"));
        node.on(verified(101, "QmB"));
        node.on(verified(201, "QmC"));
        assert_eq!(node.votes(), [said(201, "QmC")], "never otherwise than before");
        node.on(Input::Again);
        assert!(node.said.iter().any(|said| matches!(said, Said::Binding(_))));
        assert_eq!(node.votes(), [said(101, "QmA"), said(201, "QmC")]);

        // Restarted, and one that cannot tell what it said.
        let own = OwnVotes::from_bytes(&node.disk).unwrap();
        for (own, expected) in [(own, vec![said(301, "QmD")]), (OwnVotes::silent(), vec![])] {
            let mut node = Node::new(own, &[alice, bobby]);
            node.disk = OwnVotes::default().to_bytes();
            node.on(verified(101, "QmB"));
            node.on(verified(301, "QmD"));
            node.said.clear();
            node.on(Input::Bound(Some(Box::new(alice.bind(&node.voter, NOW)))));
            let votes = node.votes();
            assert_eq!(votes.into_iter().filter(|vote| vote.0 == 301 || vote.1 == "QmB").collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn what_they_agree_on_is_told_with_its_weight_and_a_minority_hears_of_it() {
        let accounts = ["alice", "bobby", "carol"].map(Account::new);
        let [alice, bobby, carol] = &accounts;
        let mut node = Node::new(OwnVotes::default(), &[alice, bobby, carol]);
        node.on(Input::Bound(Some(Box::new(alice.bind(&node.voter, NOW)))));
        node.on(Input::Verified(vec![(label(101), hash("QmMine"))]));
        node.rest.clear();
        for account in [bobby, carol] {
            let mut effects = Vec::new();
            let peer = account.voter(0);
            let binding = Said::Binding(account.bind(&peer, NOW));
            assert_eq!(node.voting.said(NOW, binding, &mut effects), Reception::Accept);
            let vote = Said::Vote(peer.vote(&network(), &account.name, label(101), &hash("QmTheirs"), 1));
            assert_eq!(node.voting.said(NOW, vote, &mut effects), Reception::Accept);
            node.rest.extend(effects);
        }
        assert!(node.rest.contains(&Effect::Agreed), "{:?}", node.rest);
        assert_eq!(node.voting.agreed(), &BTreeMap::from([(label(101), hash("QmTheirs"))]));
        let weight = BTreeMap::from([(hash("QmMine"), 1), (hash("QmTheirs"), 2)]);
        assert_eq!(
            node.rest.iter().rev().find(|effect| matches!(effect, Effect::Vouched(_))),
            Some(&Effect::Vouched(weight))
        );
        assert_eq!(node.voting.minority().map(|minority| (minority.label, minority.accounts)), Some((101, 2)));

        // Guards against: it lasts for good where the own feed is the first to have what most agree on later.
        node.on(Input::Verified(vec![(label(201), hash("QmSame"))]));
        assert!(node.voting.minority().is_some(), "nobody else has said so");
        for account in [bobby, carol] {
            let vote = account.voter(0).vote(&network(), &account.name, label(201), &hash("QmSame"), 2);
            node.voting.said(NOW, Said::Vote(vote), &mut Vec::new());
        }
        assert_eq!(node.voting.minority(), None);
    }
}
