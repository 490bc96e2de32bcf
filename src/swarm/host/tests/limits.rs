//! What peers can make a host hold is bounded: each bound is reached, and holds.

use super::super::behaviour::OPEN_PER_PEER;
use super::super::codec::Frames;
use super::*;
use libp2p::StreamProtocol;
use libp2p::futures::StreamExt;
use libp2p::request_response::{Behaviour, Config, Event, ProtocolSupport};
use libp2p::swarm::SwarmEvent;
use tokio::task::JoinSet;

/// Asks so many questions at once: what became of them comes in the order in which they end.
fn asks(a: &Running, b: PeerId, most: usize, ends: &mut JoinSet<Result<Vec<u8>, AskError>>) {
    for nth in 0..most {
        let handle = a.handle.clone();
        ends.spawn(async move { handle.ask(b, Protocol::Blocks, vec![nth as u8]).await });
    }
}

async fn ends(with: &mut JoinSet<Result<Vec<u8>, AskError>>) -> Result<Vec<u8>, AskError> {
    tokio::time::timeout(NEVER, with.join_next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn questions_beyond_those_that_may_wait_are_refused_and_the_others_answered() {
    let mut b = super::tcp().await;
    let (mut peers, mut out) = (Vec::new(), JoinSet::new());
    for _ in 0..QUESTIONS / OPEN_PER_PEER + 1 {
        let a = super::tcp().await;
        a.handle.dial(b.addresses()).await;
        a.met(&b).await;
        asks(&a, b.handle.us(), OPEN_PER_PEER, &mut out);
        peers.push(a);
    }
    // Nobody has answered yet.
    for _ in 0..OPEN_PER_PEER {
        assert_eq!(ends(&mut out).await, Err(AskError::Refused));
    }
    for _ in 0..QUESTIONS {
        b.answer().await;
        assert!(ends(&mut out).await.is_ok());
    }
    assert!(out.is_empty());
}

/// A peer that holds itself to no bound has as many questions open as one that does, and its others end at once.
#[tokio::test]
async fn a_peer_has_few_questions_open() {
    const MORE: usize = 5;
    let mut b = super::tcp().await;
    let names = [(StreamProtocol::new(Protocol::Blocks.name()), ProtocolSupport::Full)];
    let config = Config::default().with_max_concurrent_streams(10 * OPEN_PER_PEER);
    let mut rude = plain(Behaviour::with_codec(Frames(Protocol::Blocks.bounds()), names, config));
    for address in b.addresses() {
        rude.add_peer_address(b.handle.us(), address);
    }
    for nth in 0..OPEN_PER_PEER + MORE {
        rude.behaviour_mut().send_request(&b.handle.us(), vec![nth as u8]);
    }
    let mut ended = 0;
    while ended < MORE {
        match tokio::time::timeout(NEVER, rude.select_next_some()).await.unwrap() {
            SwarmEvent::Behaviour(Event::OutboundFailure { .. }) => ended += 1,
            SwarmEvent::Behaviour(event) => panic!("nobody has answered: {event:?}"),
            _ => {}
        }
    }
    let open = std::iter::from_fn(|| b.heard.questions.try_recv().ok()).count();
    assert!(open <= OPEN_PER_PEER, "{open}");
}

/// Others make as many connections as they may; the next one is refused, until there is room.
#[tokio::test]
async fn connections_that_others_make_are_bounded() {
    const MOST: usize = 112;
    // None of them tells the others about the rest: a mesh of them all would take the memory that bounds connections too.
    let alone = || {
        let mut settings = settings("/ip4/127.0.0.1/tcp/0");
        settings.manners.server = Some(false);
        run(settings)
    };
    let b = alone().await;
    let mut others = Vec::new();
    for _ in 0..MOST {
        let other = alone().await;
        other.handle.dial(b.addresses()).await;
        other.met(&b).await;
        others.push(other);
    }
    let (more, elsewhere) = (alone().await, alone().await);
    more.handle.dial(b.addresses()).await;
    more.handle.dial(elsewhere.addresses()).await;
    more.met(&elsewhere).await;
    // It was dialled first: by now it would have let us in.
    assert!(!b.handle.seen().borrow().peers.contains_key(&more.handle.us()));
    assert_eq!(b.handle.seen().borrow().peers.len(), MOST);
    drop(others.pop());
    b.until("one fewer", |seen| seen.peers.len() < MOST).await;
    more.handle.dial(b.addresses()).await;
    more.met(&b).await;
}
