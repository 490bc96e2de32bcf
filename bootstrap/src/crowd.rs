//! How many connections others may make from one block of addresses: whoever rents one network cannot take all the room.
//!
//! *Always holds:* a connection is counted from its start to its end; addresses that cannot be a stranger's (this machine, the
//! local network) are not counted, for a proxy or a container's bridge brings everybody from one of them.

use crate::address::{self, Reach};
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    dummy,
};
use libp2p::{Multiaddr, PeerId};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::task::{Context, Poll};

/// Connections from one block: a seventh of those that others may make.
pub const MAX_PER_BLOCK: usize = 16;

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_PER_BLOCK} connections from addresses of this block are here already")]
pub struct Crowded;

/// Counts connections by the block of addresses that they come from, and refuses those that are too many.
#[derive(Debug, Default)]
pub struct Crowd(HashMap<ConnectionId, IpAddr>);

/// The block of an address: 256 addresses of IPv4, a site (2^80) of IPv6. None: it is not counted.
fn block(address: &Multiaddr) -> Option<IpAddr> {
    if address::reach(address) != Reach::Public {
        return None;
    }
    let ip: IpAddr = match address.iter().next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    Some(match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
        }
    })
}

impl Crowd {
    /// Whether one more may come from there.
    fn takes(&self, from: &Multiaddr) -> Result<(), Crowded> {
        let Some(block) = block(from) else { return Ok(()) };
        // As few as there may be connections: looked through in less time than a handshake's first packet takes.
        if self.0.values().filter(|its| **its == block).count() < MAX_PER_BLOCK { Ok(()) } else { Err(Crowded) }
    }

    fn came(&mut self, id: ConnectionId, from: &Multiaddr) {
        self.0.extend(block(from).map(|block| (id, block)));
    }

    fn went(&mut self, id: ConnectionId) {
        self.0.remove(&id);
    }
}

impl NetworkBehaviour for Crowd {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        // Before the handshake, which costs more than it costs to ask for it.
        self.takes(from).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // Several may have shaken hands at the same time.
        self.takes(from).map(|()| dummy::ConnectionHandler).map_err(ConnectionDenied::new)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(made) => {
                if let ConnectedPoint::Listener { send_back_addr, .. } = made.endpoint {
                    self.came(made.connection_id, send_back_addr);
                }
            }
            FromSwarm::ConnectionClosed(ended) => self.went(ended.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    /// Guards against: each address of a block has room of its own; who has gone is still counted.
    #[test]
    fn one_block_of_addresses_does_not_take_all_the_room() {
        let mut crowd = Crowd::default();
        for nth in 0..MAX_PER_BLOCK {
            let from = at(&format!("/ip4/8.8.8.{nth}/tcp/4001"));
            assert_eq!(crowd.takes(&from), Ok(()), "{nth}");
            crowd.came(ConnectionId::new_unchecked(nth), &from);
        }
        let mut refused = |from: &str| {
            crowd.handle_pending_inbound_connection(ConnectionId::new_unchecked(99), &at(from), &at(from)).is_err()
        };
        assert!(refused("/ip4/8.8.8.200/tcp/4001") && refused("/ip4/8.8.8.1/udp/4001/quic-v1"));
        assert!(refused("/ip6/::ffff:8.8.8.9/tcp/1"), "the same in the other form");
        for free in
            ["/ip4/8.8.9.1/tcp/4001", "/ip4/127.0.0.1/tcp/4001", "/ip4/10.0.0.1/tcp/1", "/ip6/2606:4700::1/tcp/1"]
        {
            assert!(!refused(free), "{free}");
        }
        crowd.went(ConnectionId::new_unchecked(3));
        assert_eq!(crowd.takes(&at("/ip4/8.8.8.200/tcp/4001")), Ok(()));
        for nth in 100..100 + MAX_PER_BLOCK {
            let from = at(&format!("/ip6/2606:4700:1:{nth:x}::1/tcp/4001"));
            crowd.came(ConnectionId::new_unchecked(nth), &from);
        }
        assert_eq!(crowd.takes(&at("/ip6/2606:4700:1:ffff::2/tcp/1")), Err(Crowded));
        assert_eq!(crowd.takes(&at("/ip6/2606:4700:2::2/tcp/1")), Ok(()));
    }
}
