//! Addresses of peers: what they say, and which of them may be believed from whom.
//!
//! *Always holds:* an address that a stranger names is dialled or kept only when it is a public IP address. What the
//! operator names may be anything.

use libp2p::PeerId;
use libp2p::multiaddr::{Multiaddr, Protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest address taken, in bytes of text: a relayed one over a DNS name has about 250.
pub const MAX_BYTES: usize = 512;
/// Addresses kept of one peer: it may listen on two transports and three interfaces, and have a relay or two.
pub const MAX_PER_PEER: usize = 8;

/// Why a text is no address of a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address such as /ip4/203.0.113.7/tcp/4001/p2p/12D3Koo…: {1}")]
pub struct AddressError(String, String);

/// Reads an address.
pub fn parse(text: &str) -> Result<Multiaddr, AddressError> {
    let shown = || text.chars().take(64).collect::<String>();
    if text.len() > MAX_BYTES {
        return Err(AddressError(shown(), format!("longer than {MAX_BYTES} bytes")));
    }
    let address: Multiaddr =
        text.parse().map_err(|error: libp2p::multiaddr::Error| AddressError(shown(), error.to_string()))?;
    // Guards against: one of no parts, which is well formed and leads nowhere.
    if address.is_empty() { Err(AddressError(shown(), "empty".to_owned())) } else { Ok(address) }
}

/// The peer at the end of an address, when it names one.
pub fn peer(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// The address with the peer at its end.
pub fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    address.with_p2p(peer).unwrap_or_else(|named| named)
}

/// How far an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// From this machine only.
    Loopback,
    /// From a local network only (or from nowhere).
    Private,
    /// By a name: what it stands for is known when it is dialled.
    Name,
    /// From everywhere.
    Public,
}

/// How far this address can be reached, by its first part.
pub fn reach(address: &Multiaddr) -> Reach {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip_reach(ip.into()),
        Some(Protocol::Ip6(ip)) => ip_reach(ip.into()),
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_)) => Reach::Name,
        _ => Reach::Private,
    }
}

/// How far an IP address can be reached.
pub fn ip_reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Reach::Loopback,
        IpAddr::V4(ip) if is_public_v4(ip) => Reach::Public,
        IpAddr::V6(ip) if is_public_v6(ip) => Reach::Public,
        _ => Reach::Private,
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private() || ip.is_link_local() || ip.is_broadcast() || ip.is_documentation();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = a == 192 && b == 0 && c == 0;
    let benchmarks = a == 198 && (b == 18 || b == 19);
    // 0/8 is this network, 224/4 multicast, 240/4 reserved.
    !(special || shared || protocols || benchmarks || a == 0 || a >= 224)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let part = ip.segments();
    // Everything public lies in 2000::/3; of that, what only carries an IPv4 address (6to4, Teredo) is not followed.
    let global = part[0] & 0xe000 == 0x2000;
    let carries_v4 = part[0] == 0x2002 || (part[0] == 0x2001 && part[1] == 0);
    let documentation = part[0] == 0x2001 && part[1] == 0xdb8;
    global && !carries_v4 && !documentation
}

/// The addresses that a peer names of itself, as far as they are believed: those reached at least as far as the peer
/// itself was (a neighbour may name private addresses, a stranger may not), at most [`MAX_PER_PEER`], each with the peer
/// at its end.
pub fn believed(peer: PeerId, named: &[Multiaddr], spoken_from: Reach) -> Vec<Multiaddr> {
    let least = spoken_from.min(Reach::Public);
    let fits = |address: &&Multiaddr| {
        let reach = reach(address);
        let whole = address.len() <= MAX_BYTES && self::peer(address).is_none_or(|named| named == peer);
        whole && reach != Reach::Name && reach >= least
    };
    let mut kept: Vec<Multiaddr> = Vec::new();
    for address in named.iter().filter(fits) {
        let address = with_peer(address.clone(), peer);
        if !kept.contains(&address) {
            kept.push(address);
        }
        if kept.len() == MAX_PER_PEER {
            break;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Multiaddr {
        parse(text).unwrap()
    }

    #[test]
    fn what_is_not_public_is_told_apart() {
        for private in [
            "/ip4/10.0.0.1/tcp/1",
            "/ip4/172.16.0.1/tcp/1",
            "/ip4/192.168.1.1/tcp/1",
            "/ip4/169.254.169.254/tcp/80",
            "/ip4/100.64.0.1/tcp/1",
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/224.0.0.1/udp/1",
            "/ip4/255.255.255.255/tcp/1",
            "/ip6/fe80::1/tcp/1",
            "/ip6/fd00::1/tcp/1",
            "/ip6/::/tcp/1",
            "/ip6/64:ff9b::a00:1/tcp/1",
            "/ip6/2002:a00:1::/tcp/1",
            "/ip6/::ffff:10.0.0.1/tcp/1",
            "/unix/x",
            "/memory/1",
        ] {
            assert_eq!(reach(&at(private)), Reach::Private, "{private}");
        }
        for loopback in
            ["/ip4/127.0.0.1/tcp/1", "/ip4/127.9.9.9/tcp/1", "/ip6/::1/tcp/1", "/ip6/::ffff:127.0.0.1/tcp/1"]
        {
            assert_eq!(reach(&at(loopback)), Reach::Loopback, "{loopback}");
        }
        assert_eq!(reach(&at("/ip4/8.8.8.8/tcp/1")), Reach::Public);
        assert_eq!(reach(&at("/ip6/2600::1/tcp/1")), Reach::Public);
        assert_eq!(reach(&at("/dns4/peer1/tcp/1")), Reach::Name);
    }

    #[test]
    fn a_stranger_names_public_addresses_only_and_few() {
        let peer = PeerId::random();
        let named =
            [at("/ip4/10.0.0.1/tcp/1"), at("/ip4/8.8.8.8/tcp/1"), at("/dns4/inner/tcp/1"), at("/ip4/127.0.0.1/tcp/1")];
        let kept = believed(peer, &named, Reach::Public);
        // Guards against: a name was kept, and whoever owns it could make it stand for a private address.
        assert_eq!(kept, [at(&format!("/ip4/8.8.8.8/tcp/1/p2p/{peer}"))]);
        assert_eq!(believed(peer, &named, Reach::Private).len(), 2, "a neighbour may name its own network");
        assert_eq!(believed(peer, &named, Reach::Loopback).len(), 3);
        let many: Vec<Multiaddr> = (1..100).map(|port| at(&format!("/ip4/8.8.8.8/tcp/{port}"))).collect();
        assert_eq!(believed(peer, &many, Reach::Public).len(), MAX_PER_PEER);
        let of_another = at(&format!("/ip4/8.8.8.8/tcp/1/p2p/{}", PeerId::random()));
        assert_eq!(believed(peer, &[of_another], Reach::Public), []);
    }

    #[test]
    fn hostile_texts_are_refused() {
        for text in ["", "/", "http://x", "/ip4/1.2.3/tcp/1", "/ip4/1.2.3.4/tcp/99999", &"/ip4/1.2.3.4".repeat(100)] {
            if let Ok(address) = parse(text) {
                assert_eq!(reach(&address), Reach::Private, "{text}");
            }
        }
    }
}
