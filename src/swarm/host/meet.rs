//! Who is connected, and how: which connections stay, and what peers say of themselves.
//!
//! *Always holds:* of several connections with one peer only the side with the smaller id closes any, so two that dial
//! each other at the same time do not close both.

use super::Peer;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A second connection stays at least this long: a look whether a peer can be reached needs one for a moment.
const YOUNG: Duration = Duration::from_secs(10);
/// Longest name a peer may give itself that is shown, in characters.
const MAX_AGENT: usize = 64;

struct Line {
    id: ConnectionId,
    address: Multiaddr,
    outgoing: bool,
    relayed: bool,
    at: Instant,
}

struct Met {
    lines: Vec<Line>,
    since_ms: u64,
    agent: Option<String>,
    addresses: Vec<Multiaddr>,
    answers: bool,
}

/// Who is connected.
#[derive(Default)]
pub(super) struct Meets(BTreeMap<PeerId, Met>);

impl Meets {
    /// A connection was made.
    pub fn opened(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint, at: (Instant, u64)) {
        let address = endpoint.get_remote_address().clone();
        let relayed = endpoint.is_relayed() || address.iter().any(|part| part == Protocol::P2pCircuit);
        let line = Line { id, address, outgoing: endpoint.is_dialer(), relayed, at: at.0 };
        let new = || Met { lines: Vec::new(), since_ms: at.1, agent: None, addresses: Vec::new(), answers: false };
        self.0.entry(peer).or_insert_with(new).lines.push(line);
    }

    /// A connection ended; whether it was the last with this peer.
    pub fn closed(&mut self, peer: PeerId, id: ConnectionId) -> bool {
        let Some(met) = self.0.get_mut(&peer) else { return false };
        met.lines.retain(|line| line.id != id);
        let last = met.lines.is_empty();
        if last {
            self.0.remove(&peer);
        }
        last
    }

    /// A peer has said who it is.
    pub fn said(&mut self, peer: PeerId, agent: &str, addresses: Vec<Multiaddr>, answers: bool) {
        let Some(met) = self.0.get_mut(&peer) else { return };
        met.agent = Some(agent.chars().filter(|c| !c.is_control()).take(MAX_AGENT).collect());
        met.addresses = addresses;
        met.answers = answers;
    }

    /// Where a connection leads.
    pub fn address(&self, peer: &PeerId, id: ConnectionId) -> Option<&Multiaddr> {
        self.0.get(peer)?.lines.iter().find(|line| line.id == id).map(|line| &line.address)
    }

    /// Whether it is connected.
    pub fn has(&self, peer: &PeerId) -> bool {
        self.0.contains_key(peer)
    }

    /// Whether somebody is connected by this address.
    pub fn at(&self, address: &Multiaddr) -> bool {
        self.0.values().any(|met| met.lines.iter().any(|line| line.outgoing && line.address == *address))
    }

    /// Connections that are too many, for us to close: the oldest direct one of each peer stays.
    pub fn surplus(&self, us: PeerId, now: Instant) -> Vec<ConnectionId> {
        let mut surplus = Vec::new();
        for met in self.0.iter().filter(|(peer, met)| us < **peer && met.lines.len() > 1).map(|(_, met)| met) {
            let stays = met.lines.iter().min_by_key(|line| (line.relayed, line.at, line.id));
            let others = met.lines.iter().filter(|line| stays.is_some_and(|stays| stays.id != line.id));
            surplus.extend(others.filter(|line| now.duration_since(line.at) >= YOUNG).map(|line| line.id));
        }
        surplus
    }

    /// All, as they are shown.
    pub fn shown(&self) -> BTreeMap<PeerId, Peer> {
        let shown = |met: &Met| {
            let line = met.lines.iter().min_by_key(|line| (line.relayed, line.at, line.id))?;
            Some(Peer {
                address: line.address.clone(),
                outgoing: line.outgoing,
                since_ms: met.since_ms,
                agent: met.agent.clone(),
                addresses: met.addresses.clone(),
                answers: met.answers,
            })
        };
        self.0.iter().filter_map(|(peer, met)| Some((*peer, shown(met)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;

    fn point(address: &str) -> ConnectedPoint {
        ConnectedPoint::Dialer {
            address: address.parse().unwrap(),
            role_override: Endpoint::Dialer,
            port_use: PortUse::New,
        }
    }

    #[test]
    fn one_connection_stays_and_one_side_alone_closes() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let (small, large) = (a.min(b), a.max(b));
        let start = Instant::now();
        let ids: Vec<ConnectionId> = (0..3).map(ConnectionId::new_unchecked).collect();
        let mut meets = Meets::default();
        let relayed = format!("/ip4/8.8.8.8/tcp/1/p2p/{}/p2p-circuit", PeerId::random());
        for (id, address) in ids.iter().zip([relayed.as_str(), "/ip4/8.8.4.4/tcp/1", "/ip4/8.8.4.4/udp/1/quic-v1"]) {
            meets.opened(large, *id, &point(address), (start, 0));
        }
        let later = start + YOUNG;
        assert_eq!(meets.surplus(small, start), [], "a look whether we can be reached is not cut");
        // Guards against: the oldest stayed, relayed as it was.
        assert_eq!(meets.surplus(small, later), [ids[0], ids[2]]);
        let mut other = Meets::default();
        other.opened(small, ids[0], &point("/ip4/8.8.4.4/tcp/1"), (start, 0));
        other.opened(small, ids[1], &point("/ip4/8.8.4.4/tcp/2"), (start, 0));
        assert_eq!(other.surplus(large, later), [], "the other side leaves it to us");
        assert!(!meets.closed(large, ids[0]) && !meets.closed(large, ids[2]) && meets.closed(large, ids[1]));
    }
}
