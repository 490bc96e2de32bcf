//! Who is let in, by what they show and by what their accounts' keys say.

use super::*;
use honeygraph_testnet::swarm::voter::{Account, Voter};

const NOW: u64 = 1_000_000;

/// A door, what it wanted, and what it looks up by a list of accounts that have not denied their keys.
struct Desk {
    door: Door,
    wanted: Vec<Effect>,
}

impl Desk {
    fn new(only: &[&str], never: &[&str]) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| AccountName::new(name).unwrap()).collect();
        let rules = Rules { only: names(only), never: names(never), named: BTreeSet::from([named().key()]) };
        Self { door: Door::new(rules), wanted: Vec::new() }
    }

    fn on(&mut self, now: u64, input: Input) -> Vec<Effect> {
        self.wanted.clear();
        self.door.on(now, input, &mut self.wanted);
        self.wanted.clone()
    }

    fn connected(&mut self, now: u64, peers: &[PeerKey]) -> Vec<Effect> {
        self.on(now, Input::Connected(peers.iter().copied().collect()))
    }

    fn is_in(&self, peer: &PeerKey) -> bool {
        self.door.inside().contains(peer)
    }
}

fn named() -> Voter {
    Voter::new("the operator's own")
}

fn bound(account: &str, peer: &Voter) -> Option<Box<Binding>> {
    Some(Box::new(Account::new(account).bind(peer, 7)))
}

fn shown(peer: &Voter, binding: Option<Box<Binding>>) -> Input {
    Input::Shown(peer.key(), Shown::Binding(binding))
}

/// What becomes of a peer: by which lists, what it shows, and what the keys of its account say of that.
#[test]
fn a_peer_is_let_in_by_the_account_that_it_is_of() {
    use Proof::{NoAccount, NotSigned, Signed, Unknown};
    use Refusal::{Blocked, KeysUnknown, NotIts, NotListed, NotSigned as Denied, Silent, Unbound};
    let (peer, other) = (Voter::new("peer"), Voter::new("other"));
    let of = |account| Shown::Binding(bound(account, &peer));
    let (listed, blocked, none): (&[&str], &[&str], &[&str]) = (&["alice", "bobby"], &["mallory"], &[]);
    let cases: Vec<(&str, &[&str], &[&str], Shown, Option<Proof>, Option<Refusal>)> = vec![
        ("of a listed account", listed, none, of("alice"), Some(Signed), None),
        ("of another one of them", listed, none, of("bobby"), Some(Signed), None),
        ("a key that the account has no more", listed, none, of("alice"), Some(NotSigned), Some(Denied)),
        ("an account that is none", listed, none, of("alice"), Some(NoAccount), Some(Denied)),
        ("keys that nobody can look up", listed, none, of("alice"), Some(Unknown), Some(KeysUnknown)),
        ("of an account that is not listed", listed, none, of("carol"), None, Some(NotListed)),
        ("another peer's binding", listed, none, Shown::Binding(bound("alice", &other)), None, Some(NotIts)),
        ("no binding", listed, none, Shown::Binding(None), None, Some(Unbound)),
        ("a peer that knows of none", listed, none, Shown::Unspoken, None, Some(Unbound)),
        ("a silent one", listed, none, Shown::Silence, None, Some(Silent)),
        ("listed and blocked", &["mallory"], blocked, of("mallory"), None, Some(Blocked)),
        ("blocked", none, blocked, of("mallory"), None, Some(Blocked)),
        ("not blocked", none, blocked, of("alice"), None, None),
        ("of nobody, none listed", none, blocked, Shown::Binding(None), None, None),
        ("an older node, none listed", none, blocked, Shown::Unspoken, None, None),
        ("a silent one, none listed", none, blocked, Shown::Silence, None, None),
    ];
    for (what, only, never, shows, says, refused) in cases {
        let mut desk = Desk::new(only, never);
        assert_eq!(desk.connected(NOW, &[peer.key()]), [Effect::Ask(peer.key())], "{what}");
        assert!(!desk.is_in(&peer.key()), "{what}: before it has said anything");
        let mut effects = desk.on(NOW + 1, Input::Shown(peer.key(), shows.clone()));
        if let (Some(proof), Shown::Binding(Some(binding))) = (says, &shows) {
            assert_eq!(effects, [Effect::Check(binding.clone())], "{what}");
            assert!(!desk.is_in(&peer.key()), "{what}: before anybody has looked");
            effects = desk.on(NOW + 2, Input::Judged(binding.clone(), proof));
        }
        effects.extend(desk.on(NOW + PATIENCE_MS, Input::Tick));
        let let_go = effects.iter().filter_map(|effect| match effect {
            Effect::LetGo(_, why) => Some(*why),
            Effect::Ask(_) | Effect::Check(_) => None,
        });
        assert_eq!(let_go.collect::<Vec<_>>(), refused.into_iter().collect::<Vec<_>>(), "{what}");
        assert_eq!(desk.is_in(&peer.key()), refused.is_none(), "{what}");
    }
}

/// Guards against: who was let in once is in for good, though its account has changed its keys.
#[test]
fn a_key_that_the_account_gives_up_ends_it_and_one_that_cannot_be_looked_up_does_not() {
    let (peer, mut desk) = (Voter::new("peer"), Desk::new(&["alice"], &[]));
    let binding = bound("alice", &peer).unwrap();
    desk.connected(NOW, &[peer.key()]);
    desk.on(NOW, shown(&peer, Some(binding.clone())));
    desk.on(NOW, Input::Judged(binding.clone(), Proof::Signed));
    assert!(desk.is_in(&peer.key()) && desk.door.wake_at() == Some(NOW + CHECK_MS));
    let mut now = NOW;
    for proof in [Proof::Signed, Proof::Unknown] {
        now += CHECK_MS;
        assert_eq!(desk.on(now, Input::Tick), [Effect::Check(binding.clone())]);
        assert_eq!(desk.on(now, Input::Judged(binding.clone(), proof)), []);
        assert!(desk.is_in(&peer.key()), "{proof:?}");
    }
    now += CHECK_MS;
    desk.on(now, Input::Tick);
    let let_go = desk.on(now, Input::Judged(binding, Proof::NotSigned));
    assert_eq!(let_go, [Effect::LetGo(peer.key(), Refusal::NotSigned)]);
    assert!(!desk.is_in(&peer.key()));
}

/// Guards against: a binding that was looked up lets in who shows another one meanwhile, or is no longer here.
#[test]
fn only_the_binding_that_was_shown_lets_in() {
    let (peer, mut desk) = (Voter::new("peer"), Desk::new(&["alice", "bobby"], &[]));
    let (first, second) = (bound("alice", &peer).unwrap(), bound("bobby", &peer).unwrap());
    desk.connected(NOW, &[peer.key()]);
    desk.on(NOW, shown(&peer, Some(first.clone())));
    desk.connected(NOW, &[]);
    desk.on(NOW, Input::Judged(first.clone(), Proof::Signed));
    assert!(!desk.is_in(&peer.key()), "it has gone");
    desk.connected(NOW, &[peer.key()]);
    desk.on(NOW, Input::Judged(first.clone(), Proof::Signed));
    assert!(!desk.is_in(&peer.key()), "it has shown nothing this time");
    desk.on(NOW, shown(&peer, Some(second.clone())));
    desk.on(NOW, Input::Judged(first, Proof::Signed));
    assert!(!desk.is_in(&peer.key()), "it has shown another one");
    desk.on(NOW, Input::Judged(second, Proof::Signed));
    assert!(desk.is_in(&peer.key()));
}

/// Guards against: the time begins anew with each question; what is not answered is asked without a pause.
#[test]
fn who_does_not_answer_is_asked_again_until_its_time_is_over() {
    let (peer, mut desk) = (Voter::new("peer"), Desk::new(&["alice"], &[]));
    desk.connected(NOW, &[peer.key()]);
    let (mut now, mut asked) = (NOW, 1);
    loop {
        assert_eq!(desk.on(now, Input::Shown(peer.key(), Shown::Silence)), []);
        now = desk.door.wake_at().unwrap();
        match &desk.on(now, Input::Tick)[..] {
            [Effect::Ask(_)] => asked += 1,
            [Effect::LetGo(_, Refusal::Silent)] => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((now, asked), (NOW + PATIENCE_MS, PATIENCE_MS / ASK_AGAIN_MS));
    assert_eq!(desk.door.wake_at(), None);
}

#[test]
fn who_was_let_go_is_not_taken_back_before_its_time_and_the_operators_own_needs_no_account() {
    let (peer, mut desk) = (Voter::new("peer"), Desk::new(&["alice"], &[]));
    assert_eq!(desk.connected(NOW, &[named().key()]), [], "it is not even asked");
    assert!(desk.is_in(&named().key()));
    desk.connected(NOW, &[peer.key()]);
    desk.on(NOW, shown(&peer, None));
    assert_eq!(desk.connected(NOW + 1, &[peer.key()]), [], "it is being told");
    // Guards against: one that came back before anybody saw that it had gone is neither in nor closed.
    let early = [Effect::LetGo(peer.key(), Refusal::Early)];
    assert_eq!(desk.connected(NOW + TELL_MS, &[peer.key()]), early);
    assert_eq!(desk.connected(NOW + AWAY_MS - 1, &[peer.key()]), early);
    assert_eq!(desk.connected(NOW + AWAY_MS, &[peer.key()]), [Effect::Ask(peer.key())]);
    for nth in 0..2 * MAX_AWAY as u64 {
        let one = Voter::new(&format!("one of many {nth}"));
        desk.connected(NOW + AWAY_MS + nth, &[one.key()]);
        desk.on(NOW + AWAY_MS + nth, shown(&one, None));
    }
    assert!(desk.door.away.len() <= MAX_AWAY && desk.door.places.is_empty());
}

/// Guards against: a stranger learns by how it is refused which accounts are listed.
#[test]
fn what_a_peer_is_told_does_not_say_who_is_listed() {
    let lists = [Refusal::NotListed, Refusal::NotSigned, Refusal::Blocked, Refusal::KeysUnknown, Refusal::NotIts];
    assert!(lists.iter().all(|why| why.told() == Some(Away::NotLetIn)));
    assert_eq!([Refusal::Unbound, Refusal::Silent].map(Refusal::told), [Some(Away::Unbound); 2]);
}
