//! A peer that is no node: it asks what it is told to, and may stand before a node and answer in its place, well or badly.
//!
//! *Always holds:* it speaks through the host that nodes speak through, on real sockets of the loopback; what it answers is what
//! the node behind it answers, late or changed as its manner says; whom it meets does not hear of that node.

use crate::swarm::peer;
use honeygraph::swarm::host::{AskError, Handle, Heard, Host, OPEN_PER_PEER, Protocol, Question, Settings};
use honeygraph::swarm::sync::chance::Chance;
use honeygraph_bootstrap::transport::{Line, Neighbourhood, SwarmError};
use honeygraph_bootstrap::{address, meeting::Manners};
use honeygraph_protocols::honeycomb::HashText;
use honeygraph_protocols::swarm::blocks::{Answer, BatchesWanted, Header, HeadersWanted, MAX_HEADERS, Request, Walk};
use honeygraph_protocols::swarm::names::NetworkName;
use honeygraph_protocols::swarm::pictures;
use honeygraph_protocols::swarm::wire::Message;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The peer. Gone when it is dropped.
pub struct Neighbour {
    /// Its host.
    pub handle: Handle,
    heard: Heard,
    /// Questions that those who stand before a node may have open through it at a time. Half of what a node takes of one
    /// peer: an answered question is open at the node until its stream is closed.
    turns: Semaphore,
    _stop: DropGuard,
}

impl Neighbour {
    /// A peer with a new key, on a free port of the loopback.
    pub async fn new() -> Result<Self, SwarmError> {
        let line = Line { key: Keypair::generate_ed25519(), pre_shared: None, neighbourhood: Neighbourhood::default() };
        let manners = Manners { agent: "honeygraph/neighbour".into(), ..Manners::default() };
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse()?];
        let (announce, topics, mdns) = (Vec::new(), Vec::new(), false);
        let (mut host, handle, heard) = Host::new(Settings { line, listen, announce, manners, mdns, topics })?;
        host.listen().await;
        let stop = CancellationToken::new();
        tokio::spawn(host.run(stop.clone()));
        Ok(Self { handle, heard, turns: Semaphore::new(OPEN_PER_PEER / 2), _stop: stop.drop_guard() })
    }

    /// Where it listens, its id at the end.
    pub fn addresses(&self) -> Vec<String> {
        self.handle.seen().borrow().addresses.iter().map(Multiaddr::to_string).collect()
    }

    /// Connects to the node with these addresses ([`meet`]).
    pub async fn meet(&self, addresses: &[String]) -> Result<PeerId, SwarmError> {
        meet(&self.handle, addresses).await
    }

    /// Asks a node that it has met for blocks: the answer, as it came.
    pub async fn ask(&self, node: PeerId, request: &Request) -> Result<Vec<u8>, SwarmError> {
        let bytes = request.encode().ok_or("a question longer than it may be")?;
        Ok(self.handle.ask(node, Protocol::Blocks, bytes).await?)
    }

    /// Headers of the closed periods of a node up to this checkpoint, newest first.
    pub async fn headers(&self, node: PeerId, network: &str, newest: &str) -> Result<Vec<Header>, SwarmError> {
        let network = NetworkName::new(network).ok_or("no name of a network")?;
        let (mut from, mut headers) = (HashText::new(newest).ok_or("no hash")?, Vec::<Header>::new());
        loop {
            let most = MAX_HEADERS as u16;
            let wanted = HeadersWanted { network: network.clone(), from: from.clone(), walk: Walk::Back, most };
            let Answer::Headers(more) = Answer::decode(&self.ask(node, &Request::Headers(wanted)).await?)? else {
                return Err("no headers".into());
            };
            headers.extend(more.into_vec());
            match headers.last() {
                Some(oldest) if oldest.open_hash != from => from = oldest.open_hash.clone(),
                _ => return Err("the walk does not go on".into()),
            }
            if headers.last().is_some_and(|oldest| oldest.prev.is_none()) {
                return Ok(headers);
            }
        }
    }
}

/// Connects to the node with these addresses, and waits until it has said who it is.
pub async fn meet(handle: &Handle, addresses: &[String]) -> Result<PeerId, SwarmError> {
    let addresses = addresses.iter().map(|at| at.parse()).collect::<Result<Vec<Multiaddr>, _>>()?;
    let node = addresses.iter().find_map(address::peer).ok_or("an address without its peer")?;
    handle.dial(addresses).await;
    let mut seen = handle.seen();
    seen.wait_for(|seen| seen.peers.get(&node).is_some_and(|peer| peer.answers)).await?;
    Ok(node)
}

/// Asks for the batches of a period from this place on.
pub fn batches(header: &Header, from: u64) -> Request {
    let (network, open, period) = (header.network.clone(), header.open_hash.clone(), header.id());
    Request::Batches(BatchesWanted { network, open, period, from, skip: 0, to: u64::MAX })
}

/// How a stand-in answers.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// What the node behind it answers.
    Honest,
    /// The same, at so many bytes a second.
    Slow(f64),
    /// Other ops than those of the batches, other leaves than those of the picture.
    Liar,
}

/// A peer that stands before a node and answers in its place. Gone when it is dropped.
pub struct StandIn {
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Its host.
    pub handle: Handle,
    given: Arc<AtomicU64>,
    _stop: DropGuard,
}

impl StandIn {
    /// Before a node that `behind` has met. The two are peers of their own: who meets one does not hear of the other.
    pub async fn before(behind: &Arc<Neighbour>, node: PeerId, manner: Manner) -> Result<Self, SwarmError> {
        let Neighbour { handle, mut heard, _stop, .. } = Neighbour::new().await?;
        let addresses = handle.seen().borrow().addresses.iter().map(Multiaddr::to_string).collect();
        let given = Arc::new(AtomicU64::new(0));
        let (behind, count) = (behind.clone(), given.clone());
        let turn = Arc::new(Mutex::new(Instant::now()));
        tokio::spawn(async move {
            while let Some(question) = heard.questions.recv().await {
                let (behind, count, turn) = (behind.clone(), count.clone(), turn.clone());
                tokio::spawn(async move {
                    let Question { protocol, request, reply, .. } = question;
                    let Ok(turn_to_ask) = behind.turns.acquire().await else { return };
                    let answer = behind.handle.ask(node, protocol, request).await;
                    drop(turn_to_ask);
                    if let Ok(bytes) = changed(answer, protocol, manner, &turn).await {
                        count.fetch_add(bytes.len() as u64, SeqCst);
                        // Who asked may have gone.
                        let _ = reply.send(bytes);
                    }
                });
            }
        });
        Ok(Self { addresses, handle, given, _stop })
    }

    /// Bytes that it has answered.
    pub fn given(&self) -> u64 {
        self.given.load(SeqCst)
    }
}

async fn changed(
    answer: Result<Vec<u8>, AskError>,
    protocol: Protocol,
    manner: Manner,
    turn: &Mutex<Instant>,
) -> Result<Vec<u8>, AskError> {
    let bytes = answer?;
    match manner {
        Manner::Honest => Ok(bytes),
        Manner::Slow(rate) => {
            let takes = Duration::from_secs_f64(bytes.len() as f64 / rate);
            let until = {
                let mut turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                *turn = (*turn).max(Instant::now()) + takes;
                *turn
            };
            tokio::time::sleep_until(until).await;
            Ok(bytes)
        }
        Manner::Liar if protocol == Protocol::Pictures => Ok(other_leaves(&bytes).unwrap_or(bytes)),
        Manner::Liar => {
            let lie = Answer::decode(&bytes).ok().map(|answer| peer::other_bodies(answer, &mut Chance::new(1)));
            Ok(lie.and_then(|lie| lie.encode()).unwrap_or(bytes))
        }
    }
}

/// A group of which the last byte is another one.
fn other_leaves(bytes: &[u8]) -> Option<Vec<u8>> {
    let Ok(pictures::Answer::Leaves(packed)) = pictures::Answer::decode(bytes) else { return None };
    let mut content = zstd::bulk::decompress(&packed, pictures::GROUP_LEAVES << 18).ok()?;
    *content.last_mut()? ^= 1;
    pictures::Answer::Leaves(zstd::bulk::compress(&content, 1).ok()?).encode()
}
