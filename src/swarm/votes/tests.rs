//! Votes by script.

use super::agreement::agreement;
use super::book::{AHEAD, Effect, Input, LABELS, PEERS_OF_ACCOUNT, Quorum, Reception, SILENCED_MS, VoteBook};
use super::own::OwnVotes;
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::keys::HiveKey;
use honeygraph_protocols::swarm::names::{AccountName, Label, NetworkName};
use honeygraph_protocols::swarm::votes::{Evidence, Said, Vote};
use honeygraph_testnet::swarm::voter::{Account, Voter};
use std::collections::BTreeSet;

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

fn name(text: &str) -> AccountName {
    AccountName::new(text).unwrap()
}

struct Rig {
    book: VoteBook,
    now: u64,
    fx: Vec<Effect>,
}

impl Rig {
    /// With an electorate whose accounts have bound their first peers.
    fn new(accounts: &[&Account]) -> Self {
        let mut rig = Self { book: VoteBook::new(network(), Quorum::default()), now: NOW, fx: Vec::new() };
        rig.on(Input::Electorate(accounts.iter().map(|account| account.name.clone()).collect()));
        for account in accounts {
            rig.on(Input::Keys(account.name.clone(), BTreeSet::from([account.key()])));
            rig.says(Said::Binding(account.bind(&account.voter(0), NOW)));
        }
        rig.fx.clear();
        rig
    }

    fn on(&mut self, input: Input) -> Reception {
        self.book.on(self.now, input, &mut self.fx)
    }

    fn says(&mut self, said: Said) -> Reception {
        self.on(Input::Said(Box::new(said)))
    }

    fn votes(&mut self, account: &Account, peer: &Voter, at: u64, text: &str) -> Reception {
        self.says(Said::Vote(peer.vote(&network(), &account.name, label(at), &hash(text), 1)))
    }

    fn tally(&self, at: u64) -> Vec<(String, usize)> {
        let tally = self.book.tally(self.now, label(at));
        tally.into_iter().map(|(hash, accounts)| (hash.to_string(), accounts)).collect()
    }

    fn expect_confirmed(&mut self, text: &str) {
        let confirmed = self.fx.iter().position(|fx| matches!(fx, Effect::Confirmed(c) if c.hash.as_str() == text));
        self.fx.remove(confirmed.unwrap_or_else(|| panic!("{text} is not confirmed: {:?}", self.fx)));
    }

    fn expect_not_confirmed(&self) {
        assert!(!self.fx.iter().any(|fx| matches!(fx, Effect::Confirmed(_))), "{:?}", self.fx);
    }
}

fn accounts() -> [Account; 4] {
    ["alice", "bobby", "carol", "david"].map(Account::new)
}

#[test]
fn more_than_half_of_the_electorate_confirms() {
    let [a, b, c, _] = &accounts();
    let mut rig = Rig::new(&[a, b, c]);
    assert_eq!(rig.votes(a, &a.voter(0), 101, "QmA"), Reception::Accept);
    rig.expect_not_confirmed();
    assert_eq!(rig.votes(b, &b.voter(0), 101, "QmA"), Reception::Accept);
    rig.expect_confirmed("QmA");
    rig.votes(c, &c.voter(0), 101, "QmA");
    rig.expect_not_confirmed();
    assert_eq!(rig.votes(a, &a.voter(0), 101, "QmA"), Reception::Known, "said again for those who came later");
    let numbered = a.voter(0).vote(&network(), &a.name, label(101), &hash("QmA"), 2);
    assert_eq!(rig.says(Said::Vote(numbered)), Reception::Ignore, "the same with another number is nothing new");
}

/// Half is not more than half, one is never enough, and nobody is everybody's electorate.
#[test]
fn fewer_do_not() {
    let [a, b, c, d] = &accounts();
    let mut rig = Rig::new(&[a, b, c, d]);
    rig.votes(a, &a.voter(0), 101, "QmA");
    rig.votes(b, &b.voter(0), 101, "QmA");
    rig.expect_not_confirmed();
    let mut rig = Rig::new(&[a]);
    rig.votes(a, &a.voter(0), 101, "QmA");
    rig.expect_not_confirmed();
    let mut rig = Rig::new(&[]);
    assert_eq!(rig.votes(a, &a.voter(0), 101, "QmA"), Reception::Ignore);
    assert_eq!(rig.tally(101), []);
}

/// Guards against: votes counted by peer id.
#[test]
fn a_thousand_peers_of_one_account_are_one_account() {
    let [a, b, c, _] = &accounts();
    let mut rig = Rig::new(&[a, b, c]);
    for nth in 0..1_000 {
        rig.says(Said::Binding(a.bind(&a.voter(nth), NOW + u64::from(nth))));
        rig.votes(a, &a.voter(nth), 101, "QmA");
    }
    rig.expect_not_confirmed();
    assert_eq!(rig.tally(101), [("QmA".into(), 1)]);
}

#[test]
fn accounts_outside_the_electorate_weigh_nothing_and_cost_nothing() {
    let [a, b, c, _] = &accounts();
    let mut rig = Rig::new(&[a, b, c]);
    for nth in 0..100 {
        let stranger = Account::new(&format!("s{nth:04}"));
        let bound = Said::Binding(stranger.bind(&stranger.voter(0), NOW));
        assert_eq!(rig.says(bound), Reception::Ignore);
        assert_eq!(rig.votes(&stranger, &stranger.voter(0), 101, "QmX"), Reception::Ignore);
    }
    assert_eq!((rig.tally(101), rig.book.witnesses().len()), (vec![], 3));
}

#[test]
fn what_nobody_signed_has_no_effect_and_its_bearer_pays() {
    let [a, b, c, _] = &accounts();
    let mut rig = Rig::new(&[a, b, c]);
    let vote = a.voter(0).vote(&network(), &a.name, label(101), &hash("QmA"), 1);
    let altered = Vote { close_hash: hash("QmB"), ..vote.clone() };
    assert_eq!(rig.says(Said::Vote(altered.clone())), Reception::Reject);
    assert_eq!(rig.says(Said::Vote(vote.clone())), Reception::Accept);
    let evidence = Evidence::new(vote, altered).unwrap();
    assert_eq!(rig.says(Said::Evidence(evidence)), Reception::Reject);
    assert_eq!(rig.tally(101), [("QmA".into(), 1)]);
    // A binding signed by another's key is somebody's word, and not the account's.
    let mut stolen = b.bind(&c.voter(7), NOW + 1);
    stolen.account = a.name.clone();
    assert_eq!(rig.says(Said::Binding(stolen)), Reception::Ignore);
    assert!(!rig.book.is_bound(&a.name, &c.voter(7).key()));
}

#[test]
fn two_votes_of_one_peer_silence_its_account_for_a_day() {
    let [a, b, c, _] = &accounts();
    let mut rig = Rig::new(&[a, b, c]);
    rig.votes(b, &b.voter(0), 101, "QmA");
    rig.votes(a, &a.voter(0), 101, "QmX");
    rig.votes(a, &a.voter(0), 101, "QmA");
    rig.expect_not_confirmed();
    let at = rig.fx.iter().position(|fx| matches!(fx, Effect::Evidence(_))).expect("evidence");
    let Effect::Evidence(evidence) = rig.fx.remove(at) else { unreachable!() };
    assert_eq!(rig.tally(101), [("QmA".into(), 1)]);
    // Found by the simulation: each further copy was passed on again, for ever.
    assert_eq!(rig.votes(a, &a.voter(0), 101, "QmA"), Reception::Ignore);
    assert_eq!(rig.votes(a, &a.voter(0), 101, "QmX"), Reception::Ignore);
    // Whoever sees only the evidence comes to the same.
    let mut other = Rig::new(&[a, b, c]);
    assert_eq!(other.says(Said::Evidence(*evidence.clone())), Reception::Accept);
    assert_eq!(other.says(Said::Evidence(*evidence)), Reception::Ignore);
    other.votes(a, &a.voter(0), 201, "QmB");
    other.votes(b, &b.voter(0), 201, "QmB");
    other.expect_not_confirmed();
    other.now += SILENCED_MS;
    other.votes(c, &c.voter(0), 201, "QmB");
    other.expect_confirmed("QmB");
    assert_eq!(other.tally(201), [("QmB".into(), 3)]);
}

/// A peer can name any account: what it says about one that did not bind it is nothing to that account.
#[test]
fn evidence_touches_only_who_bound_the_peer() {
    let [a, b, c, _] = &accounts();
    let mut rig = Rig::new(&[a, b, c]);
    let stranger = Account::new("mallory").voter(0);
    let vote = |text| stranger.vote(&network(), &a.name, label(101), &hash(text), 1);
    let evidence = Evidence::new(vote("QmX"), vote("QmY")).unwrap();
    assert!(evidence.is_signed());
    assert_eq!(rig.says(Said::Evidence(evidence)), Reception::Ignore);
    rig.votes(a, &a.voter(0), 101, "QmA");
    rig.votes(b, &b.voter(0), 101, "QmA");
    rig.expect_confirmed("QmA");
}

#[test]
fn two_peers_of_one_account_that_disagree_weigh_nothing_at_that_label() {
    let [a, b, c, _] = &accounts();
    let mut rig = Rig::new(&[a, b, c]);
    rig.says(Said::Binding(a.bind(&a.voter(1), NOW)));
    rig.votes(a, &a.voter(0), 101, "QmA");
    rig.votes(a, &a.voter(1), 101, "QmX");
    rig.votes(b, &b.voter(0), 101, "QmA");
    rig.expect_not_confirmed();
    assert!(rig.fx.contains(&Effect::Disagrees(a.name.clone(), label(101))));
    rig.votes(a, &a.voter(0), 201, "QmB");
    rig.votes(b, &b.voter(0), 201, "QmB");
    rig.expect_confirmed("QmB");
}

#[test]
fn who_is_in_the_minority_hears_of_it_once() {
    let [a, b, c, _] = &accounts();
    let mut rig = Rig::new(&[a, b, c]);
    rig.on(Input::Own(label(101), hash("QmMine")));
    rig.votes(a, &a.voter(0), 101, "QmA");
    rig.votes(b, &b.voter(0), 101, "QmA");
    let alarms = rig.fx.iter().filter(|fx| matches!(fx, Effect::Minority { .. })).count();
    assert_eq!(alarms, 1);
    rig.expect_confirmed("QmA");
}

#[test]
fn more_dissent_than_is_tolerated_confirms_nothing() {
    let all: Vec<Account> = (0..7).map(|nth| Account::new(&format!("voter{nth}"))).collect();
    let mut rig = Rig::new(&all.iter().collect::<Vec<_>>());
    all[..2].iter().for_each(|account| {
        rig.votes(account, &account.voter(0), 101, "QmX");
    });
    all[2..].iter().for_each(|account| {
        rig.votes(account, &account.voter(0), 101, "QmA");
    });
    rig.expect_not_confirmed();
    assert_eq!(rig.tally(101), [("QmA".into(), 5), ("QmX".into(), 2)]);
}

#[test]
fn bindings_wait_for_keys_and_end_with_them() {
    let [a, b, _, _] = &accounts();
    let mut rig = Rig::new(&[b]);
    rig.on(Input::Electorate(BTreeSet::from([a.name.clone(), b.name.clone()])));
    assert_eq!(rig.says(Said::Binding(a.bind(&a.voter(0), NOW))), Reception::Accept);
    assert!(!rig.book.is_bound(&a.name, &a.voter(0).key()), "not yet");
    rig.on(Input::Keys(a.name.clone(), BTreeSet::from([a.key()])));
    rig.votes(a, &a.voter(0), 101, "QmA");
    rig.votes(b, &b.voter(0), 101, "QmA");
    rig.expect_confirmed("QmA");
    rig.on(Input::Keys(a.name.clone(), BTreeSet::<HiveKey>::new()));
    assert_eq!(rig.tally(101), [("QmA".into(), 1)], "the account has other keys now");
    rig.on(Input::Electorate(BTreeSet::from([name("zelda")])));
    assert_eq!(rig.tally(101), []);
}

#[test]
fn what_is_held_is_bounded() {
    let [a, b, c, _] = &accounts();
    let mut rig = Rig::new(&[a, b, c]);
    for nth in 0..PEERS_OF_ACCOUNT as u32 + 5 {
        rig.says(Said::Binding(a.bind(&a.voter(nth), NOW + u64::from(nth))));
    }
    assert_eq!(rig.book.witnesses().len(), PEERS_OF_ACCOUNT + 2);
    for nth in 1..=LABELS as u64 + 10 {
        rig.votes(b, &b.voter(0), nth * 100 + 1, "QmA");
    }
    assert_eq!(rig.tally(101), [], "the oldest are forgotten");
    assert_eq!(rig.book.labels().count(), AHEAD, "of what nobody else said");
    assert_eq!(rig.votes(b, &b.voter(0), 101, "QmA"), Reception::Ignore);
    let first = (LABELS as u64 + 11) * 100 + 1;
    for nth in 0..=LABELS as u64 + 10 {
        rig.votes(b, &b.voter(0), first + nth * 100, "QmA");
        rig.votes(c, &c.voter(0), first + nth * 100, "QmA");
    }
    assert_eq!((rig.tally(first), rig.book.labels().count()), (vec![], LABELS + AHEAD - 1));
    assert_eq!(rig.votes(c, &c.voter(0), first, "QmA"), Reception::Ignore);
}

/// Failed once: what one account said of times to come was newer than all that others said, and pushed it out.
#[test]
fn one_account_cannot_push_out_what_the_others_say() {
    let [a, b, c, _] = &accounts();
    let mut rig = Rig::new(&[a, b, c]);
    rig.votes(a, &a.voter(0), 101, "QmA");
    for nth in 1..=2 * LABELS as u64 {
        rig.votes(c, &c.voter(0), 1_000_001 + nth * 100, "QmC");
    }
    assert_eq!(rig.tally(101), [("QmA".to_owned(), 1)]);
    assert_eq!(rig.votes(b, &b.voter(0), 101, "QmA"), Reception::Accept);
    rig.expect_confirmed("QmA");
    assert!(rig.book.newest(1).any(|of| of == label(101)), "and it is weighed");
    assert_eq!(rig.votes(b, &b.voter(0), 101, "QmA"), Reception::Known, "and said again for those who come later");
    assert_eq!(rig.book.labels().count(), AHEAD + 1);
}

/// Guards against: a vote that is sent before it is stored.
#[test]
fn the_own_vote_is_durable_before_it_is_sent_and_never_another() {
    let mut own = OwnVotes::default();
    assert!(own.verified(label(101), &hash("QmA")));
    assert_eq!(own.newest(8), [], "not said before it is stored");
    let stored = own.to_bytes();
    let said = own.stored();
    assert_eq!((said.len(), own.newest(8)), (1, said.clone()));
    assert!(!own.verified(label(101), &hash("QmB")));
    assert!(own.stored().is_empty());
    // Killed after the store, before it was said: it is said then, the same.
    let mut again = OwnVotes::from_bytes(&stored).unwrap();
    assert!(!again.verified(label(101), &hash("QmB")));
    assert_eq!(again.newest(8), said);
    assert!(again.verified(label(201), &hash("QmC")));
    assert_eq!(again.stored()[0].n, 2);
    let hex: String = stored.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "01016503516d41010100", "the stored form is golden");
    assert!(OwnVotes::from_bytes(&stored[..5]).is_none() && OwnVotes::from_bytes(&[]).is_none());
    for nth in 0..10_000 {
        own.verified(label(1_000 + nth), &hash("QmA"));
        own.stored();
    }
    assert!(
        !own.verified(label(999), &hash("QmB")) && !own.verified(label(101), &hash("QmB")),
        "forgotten is not free"
    );
}

/// The seeds' cases: `fixtures/peer_sync.json`.
#[test]
fn agreement_is_that_of_the_seeds() {
    #[derive(serde::Deserialize)]
    struct File {
        consensus: Vec<Case>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Case {
        note: String,
        peer_answers: Vec<Option<String>>,
        consensus: Option<Found>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Found {
        block_hash: String,
        votes: usize,
        confidence: f64,
    }
    let file: File = serde_json::from_str(include_str!("../fixtures/peer_sync.json")).unwrap();
    for case in file.consensus {
        let answers: Vec<Option<&str>> = case.peer_answers.iter().map(Option::as_deref).collect();
        let found = agreement(&answers).map(|found| (found.hash, found.votes, found.confidence));
        let expected = case.consensus.map(|found| (found.block_hash, found.votes, found.confidence));
        assert_eq!(found, expected, "{}", case.note);
    }
    assert_eq!(agreement(&[]), None);
}
