//! Hosts that speak with each other over real sockets of the loopback.

use super::*;
use honeygraph_bootstrap::address;
use honeygraph_bootstrap::boot::Boot;
use honeygraph_bootstrap::transport::Neighbourhood;
use libp2p::identity::Keypair;
use libp2p::pnet::PreSharedKey;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Swarm, SwarmBuilder, noise, tcp, yamux};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

mod limits;
mod versions;

const TOPIC: &str = "/test/heads/1";
/// Far beyond what anything here takes: what does not come at all ends the test.
const NEVER: Duration = Duration::from_secs(60);

struct Running {
    handle: Handle,
    heard: Heard,
    _stop: DropGuard,
}

fn settings(listen: &str) -> Settings {
    Settings {
        line: Line { key: Keypair::generate_ed25519(), pre_shared: None, neighbourhood: Neighbourhood::default() },
        listen: vec![address::parse(listen).unwrap()],
        announce: Vec::new(),
        manners: Manners { agent: "honeygraph/test".into(), ..Manners::default() },
        mdns: false,
        topics: vec![TOPIC.into()],
    }
}

async fn run(settings: Settings) -> Running {
    let (mut host, handle, heard) = Host::new(settings).unwrap();
    host.listen().await;
    let stop = CancellationToken::new();
    tokio::spawn(host.run(stop.clone()));
    Running { handle, heard, _stop: stop.drop_guard() }
}

async fn tcp() -> Running {
    run(settings("/ip4/127.0.0.1/tcp/0")).await
}

impl Running {
    fn addresses(&self) -> Vec<Multiaddr> {
        self.handle.seen().borrow().addresses.clone()
    }

    /// Waits until the host shows what is wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Arc<Seen> {
        let mut seen = self.handle.seen();
        let found = tokio::time::timeout(NEVER, seen.wait_for(|seen| wanted(seen))).await;
        found.unwrap_or_else(|_| panic!("never {what}: {:?}", self.handle.seen().borrow())).unwrap().clone()
    }

    /// Connected, and introduced.
    async fn met(&self, other: &Running) -> Peer {
        let peer = other.handle.us();
        let seen = self.until("met", |seen| seen.peers.get(&peer).is_some_and(|peer| peer.agent.is_some())).await;
        seen.peers[&peer].clone()
    }

    /// Answers the next question with what it says itself.
    async fn answer(&mut self) -> Question {
        let mut question = tokio::time::timeout(NEVER, self.heard.questions.recv()).await.unwrap().unwrap();
        let (unused, _) = oneshot::channel();
        let reply = std::mem::replace(&mut question.reply, unused);
        let _ = reply.send(question.request.clone());
        question
    }
}

/// A peer that is no host: TCP and one behaviour.
fn plain<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .build()
}

async fn two(a: Running, b: Running) -> (Running, Running) {
    a.handle.dial(b.addresses()).await;
    a.met(&b).await;
    b.met(&a).await;
    (a, b)
}

#[tokio::test]
async fn two_hosts_meet_ask_and_answer() {
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let (a, mut b) = two(run(settings(listen)).await, run(settings(listen)).await).await;
        let peer = a.met(&b).await;
        assert!(peer.outgoing && peer.answers, "{peer:?}");
        assert_eq!(peer.agent.as_deref(), Some("honeygraph/test"));
        assert_eq!(peer.addresses, b.addresses(), "what a neighbour says of itself is believed");
        for protocol in [Protocol::Status, Protocol::Blocks] {
            let asked = tokio::spawn({
                let (handle, peer) = (a.handle.clone(), b.handle.us());
                async move { handle.ask(peer, protocol, b"what?".to_vec()).await }
            });
            let question = b.answer().await;
            assert_eq!((question.peer, question.protocol), (a.handle.us(), protocol));
            assert_eq!(asked.await.unwrap(), Ok(b"what?".to_vec()));
        }
    }
}

#[tokio::test]
async fn every_question_has_an_answer() {
    let (a, mut b) = two(tcp().await, tcp().await).await;
    let stranger = PeerId::random();
    assert_eq!(a.handle.ask(stranger, Protocol::Status, vec![]).await, Err(AskError::Gone));
    let ask = |request: Vec<u8>| {
        let (handle, peer) = (a.handle.clone(), b.handle.us());
        tokio::spawn(async move { handle.ask(peer, Protocol::Blocks, request).await })
    };
    let refused = ask(vec![1]);
    drop(tokio::time::timeout(NEVER, b.heard.questions.recv()).await.unwrap().unwrap());
    assert_eq!(refused.await.unwrap(), Err(AskError::Refused));
    // Our own message above the bound does not leave.
    assert!(ask(vec![0; Protocol::Blocks.bounds().request + 1]).await.unwrap().is_err());
    // Guards against: who asked a peer that went away waited for ever.
    let open = ask(vec![2]);
    let _question = tokio::time::timeout(NEVER, b.heard.questions.recv()).await.unwrap().unwrap();
    drop(b);
    assert_eq!(open.await.unwrap(), Err(AskError::Gone));
}

#[tokio::test]
async fn an_answer_above_the_bound_is_refused() {
    let (a, mut b) = two(tcp().await, tcp().await).await;
    let asked = tokio::spawn({
        let (handle, peer) = (a.handle.clone(), b.handle.us());
        async move { handle.ask(peer, Protocol::Status, vec![1]).await }
    });
    let question = tokio::time::timeout(NEVER, b.heard.questions.recv()).await.unwrap().unwrap();
    question.reply.send(vec![0; Protocol::Status.bounds().answer + 1]).unwrap();
    assert!(asked.await.unwrap().is_err());
    // The connection lives on.
    let asked = tokio::spawn({
        let (handle, peer) = (a.handle.clone(), b.handle.us());
        async move { handle.ask(peer, Protocol::Status, vec![3]).await }
    });
    b.answer().await;
    assert_eq!(asked.await.unwrap(), Ok(vec![3]));
}

#[tokio::test]
async fn gossip_goes_on_only_with_a_word() {
    let (a, mut b) = two(tcp().await, tcp().await).await;
    let mut c = tcp().await;
    c.handle.dial(b.addresses()).await;
    c.met(&b).await;
    // Gossip tells its subscriptions in its own time: said again until it is heard.
    let heard = async {
        let mut n = 0_u64;
        loop {
            n += 1;
            a.handle.publish(TOPIC.into(), n.to_le_bytes().to_vec()).await;
            if let Ok(Some(rumour)) = tokio::time::timeout(Duration::from_millis(200), b.heard.rumours.recv()).await {
                return rumour;
            }
        }
    };
    let rumour = tokio::time::timeout(NEVER, heard).await.unwrap();
    assert_eq!((rumour.from, rumour.author, rumour.topic.as_str()), (a.handle.us(), a.handle.us(), TOPIC));
    // Guards against: without `validate_messages` it reached c before b had a word on it.
    assert!(c.heard.rumours.try_recv().is_err());
    b.handle.judge(rumour.ticket, Word::Pass).await;
    let passed = tokio::time::timeout(NEVER, c.heard.rumours.recv()).await.unwrap().unwrap();
    assert_eq!((passed.from, passed.author, passed.data), (b.handle.us(), a.handle.us(), rumour.data));
}

#[tokio::test]
async fn who_is_blocked_or_not_on_the_list_stays_out() {
    let a = tcp().await;
    let mut only = settings("/ip4/127.0.0.1/tcp/0");
    only.manners.allow = vec![PeerId::random()];
    let only = run(only).await;
    let open = tcp().await;
    a.handle.dial(only.addresses()).await;
    a.handle.dial(open.addresses()).await;
    a.met(&open).await;
    open.handle.block(a.handle.us(), true).await;
    a.until("blocked", |seen| !seen.peers.contains_key(&open.handle.us())).await;
    open.handle.block(a.handle.us(), false).await;
    a.handle.dial(open.addresses()).await;
    a.met(&open).await;
    // It was dialled first: by now it would have let us in.
    assert!(only.handle.seen().borrow().peers.is_empty());
}

#[tokio::test]
async fn with_a_pre_shared_key_only_those_speak_who_have_it() {
    let secret = |byte| {
        let mut settings = settings("/ip4/127.0.0.1/tcp/0");
        settings.line.pre_shared = Some(PreSharedKey::new([byte; 32]));
        settings
    };
    let (a, b) = two(run(secret(1)).await, run(secret(1)).await).await;
    let other = run(secret(2)).await;
    let plain = tcp().await;
    for stranger in [&other, &plain] {
        stranger.handle.dial(b.addresses()).await;
    }
    // By the time that one more with the key is in, the others would be.
    let (_third, b) = two(run(secret(1)).await, b).await;
    assert_eq!(a.handle.seen().borrow().peers.len(), 1);
    assert_eq!(b.handle.seen().borrow().peers.len(), 2);
}

#[tokio::test]
async fn a_node_meets_those_that_its_first_peer_knows() {
    let boot = tcp().await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let other = tcp().await;
        other.handle.dial(boot.addresses()).await;
        other.met(&boot).await;
        boot.met(&other).await;
        others.push(other);
    }
    // Each walks through the network by itself, as soon as it knows somebody.
    for (at, other) in others.iter().enumerate() {
        for third in others.iter().enumerate().filter(|(its, _)| *its != at).map(|(_, third)| third) {
            other.handle.walk().await;
            other.met(third).await;
        }
    }
}

#[tokio::test]
async fn two_nodes_meet_through_a_boot_node() {
    let line = settings("/ip4/127.0.0.1/tcp/0").line;
    line.neighbourhood.open();
    let listen = vec![address::parse("/ip4/127.0.0.1/tcp/0").unwrap()];
    let boot = Boot::new(line, "honeygraph-bootstrap/test", &listen, &[], Vec::new()).unwrap();
    let (said, mut heard) = mpsc::channel(4);
    let boot = tokio::spawn(boot.run(move |address| drop(said.try_send(address.clone()))));
    let at = tokio::time::timeout(NEVER, heard.recv()).await.unwrap().unwrap();
    let (a, b) = (tcp().await, tcp().await);
    for node in [&a, &b] {
        node.handle.dial(vec![at.clone()]).await;
        let boot = address::peer(&at).unwrap();
        node.until("at the boot node", |seen| seen.peers.get(&boot).is_some_and(|peer| peer.agent.is_some())).await;
        assert!(!node.handle.seen().borrow().peers[&boot].answers, "a boot node has no data");
    }
    b.handle.walk().await;
    b.met(&a).await;
    boot.abort();
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_is_reached_through_a_relay() {
    let mut relay = settings("/ip4/127.0.0.1/tcp/0");
    relay.manners.relay = true;
    // A relay hands out addresses under which it can be reached from everywhere.
    relay.manners.server = Some(true);
    let relay = {
        let (mut host, handle, heard) = Host::new(relay).unwrap();
        host.listen().await;
        host.announce_bound();
        let stop = CancellationToken::new();
        tokio::spawn(host.run(stop.clone()));
        Running { handle, heard, _stop: stop.drop_guard() }
    };
    let mut hidden = settings("/ip4/127.0.0.1/tcp/0");
    hidden.manners.server = Some(false);
    let hidden = run(hidden).await;
    hidden.handle.dial(relay.addresses()).await;
    hidden.met(&relay).await;
    let relayed = |at: &&Multiaddr| at.to_string().contains("/p2p-circuit");
    let seen = hidden.until("relayed", |seen| seen.addresses.iter().any(|at| relayed(&at))).await;
    let through: Vec<Multiaddr> = seen.addresses.iter().filter(relayed).cloned().collect();
    let other = tcp().await;
    other.handle.dial(through).await;
    other.met(&hidden).await;
}

#[tokio::test]
async fn a_stranger_cannot_make_us_dial_a_private_address() {
    let inner = tcp().await;
    let node = run(settings("/ip4/0.0.0.0/tcp/0")).await;
    node.handle.dial(inner.addresses()).await;
    // By the time that somebody else has come in, the dial would have led to a connection.
    let (_other, node) = two(tcp().await, node).await;
    // Guards against: without the guard both were there.
    assert_eq!(node.handle.seen().borrow().peers.len(), 1);
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_and_stops_nobody() {
    let a = tcp().await;
    let taken = a.addresses()[0].iter().take(2).collect::<Multiaddr>();
    let b = run(settings(&taken.to_string())).await;
    assert!(b.handle.seen().borrow().trouble.as_deref().is_some_and(|trouble| trouble.contains("cannot listen")));
    two(b, a).await;
}
