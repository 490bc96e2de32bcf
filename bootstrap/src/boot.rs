//! A boot node: a place where peers hear of each other, and nothing else. It holds no data and is believed nothing.
//!
//! *Always holds:* whatever a peer does, it goes on; it stops when it is told to.

use crate::address::{self, Reach};
use crate::meeting::{Manners, Meeting, MeetingEvent};
use crate::transport::{self, Line, SwarmError};
use libp2p::core::ConnectedPoint;
use libp2p::futures::StreamExt;
use libp2p::swarm::{ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, relay};
use std::collections::BTreeMap;
use std::time::Duration;
use tracing::{debug, info, warn};

/// How often the boot nodes that it was told of are dialled again, and the network is walked.
const AGAIN: Duration = Duration::from_secs(60);

/// The meeting, and the client of relays: the transport has one, and some peers are reached through one.
#[derive(NetworkBehaviour)]
struct Behaviour {
    meeting: Meeting,
    relay: relay::client::Behaviour,
}

/// A boot node.
pub struct Boot {
    swarm: Swarm<Behaviour>,
    /// Other boot nodes.
    others: Vec<Multiaddr>,
    /// Where each peer speaks from.
    from: BTreeMap<PeerId, (ConnectionId, Reach)>,
}

impl Boot {
    /// Listens on these addresses, and knows these other boot nodes.
    pub fn new(
        line: Line,
        agent: &str,
        listen: &[Multiaddr],
        announce: &[Multiaddr],
        others: Vec<Multiaddr>,
    ) -> Result<Self, SwarmError> {
        let private = |address: &Multiaddr| address::reach(address) < Reach::Name;
        if others.iter().chain(announce).any(private) {
            line.neighbourhood.open();
        }
        let manners = Manners { agent: agent.into(), relay: true, server: Some(true), ..Manners::default() };
        let mut swarm =
            transport::swarm(line, |key, relay| Ok(Behaviour { meeting: Meeting::new(key, &manners), relay }))?;
        for address in listen {
            swarm.listen_on(address.clone())?;
        }
        for address in announce {
            swarm.add_external_address(address.clone());
        }
        Ok(Self { swarm, others, from: BTreeMap::new() })
    }

    /// Who it is.
    pub fn peer(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    /// Runs for ever; `listens` hears each address on which it listens.
    pub async fn run(mut self, mut listens: impl FnMut(&Multiaddr)) {
        let mut again = tokio::time::interval(AGAIN);
        let us = self.peer();
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => match event {
                    SwarmEvent::NewListenAddr { address, .. } => listens(&address::with_peer(address, us)),
                    event => self.event(event),
                },
                _ = again.tick() => self.look(),
            }
        }
    }

    fn look(&mut self) {
        for address in &self.others {
            let known = address::peer(address).is_some_and(|peer| self.swarm.is_connected(&peer));
            if !known && let Err(error) = self.swarm.dial(address.clone()) {
                debug!(%address, %error, "not dialled");
            }
        }
        self.swarm.behaviour_mut().meeting.walk();
    }

    fn event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.from.insert(peer_id, (connection_id, speaks_from(&endpoint)));
                info!(connections = self.from.len(), "a peer is here");
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.from.remove(&peer_id);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Meeting(MeetingEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            }))) => {
                let from = self.from.get(&peer_id).map_or(Reach::Public, |(_, from)| *from);
                self.swarm.behaviour_mut().meeting.met(peer_id, &info, from);
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                warn!(?addresses, ?reason, "does not listen any more")
            }
            _ => {}
        }
    }
}

fn speaks_from(endpoint: &ConnectedPoint) -> Reach {
    if endpoint.is_relayed() { Reach::Public } else { address::reach(endpoint.get_remote_address()) }
}
