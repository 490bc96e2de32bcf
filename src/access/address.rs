//! Addresses: whose a request is, and where we may go.
//!
//! *Always holds:* what a header says of an address counts only when a configured proxy says it.

use axum::http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Headers by which a proxy says that it speaks for somebody else.
pub const FORWARDING: [&str; 7] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-client-ip", "via"];

/// Hops that a list of proxies may have; the rest of a longer list is not read.
const MAX_HOPS: usize = 16;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The client, as far as we may believe it.
    pub ip: IpAddr,
    /// Whether somebody forwarded it whom we do not know, so that the client may be anybody.
    pub forwarded: bool,
}

impl Address {
    /// Of a request that came from `remote`.
    pub fn of(remote: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Self {
        let listed = |ip: IpAddr| proxies.iter().any(|net| net.contains(&ip));
        let mut ip = remote.to_canonical();
        if !listed(ip) {
            let forwarded = FORWARDING.iter().any(|name| headers.contains_key(*name));
            return Self { ip, forwarded };
        }
        let hops = headers.get_all("x-forwarded-for").into_iter().rev().flat_map(|value| {
            let hops: Vec<&str> = value.to_str().unwrap_or_default().rsplit(',').collect();
            hops
        });
        for hop in hops.take(MAX_HOPS) {
            // What is no address says nothing, and neither does what stands before it.
            let Ok(before) = hop.trim().parse::<IpAddr>() else { return Self { ip, forwarded: true } };
            ip = before.to_canonical();
            if !listed(ip) {
                // Told by a proxy of ours: this is the client.
                return Self { ip, forwarded: false };
            }
        }
        // Only our proxies stand in the list, or nothing: who asked them we do not know.
        Self { ip, forwarded: true }
    }

    /// Whether it is a process of this machine, and nobody speaks for somebody else.
    pub fn is_local(&self) -> bool {
        self.ip.is_loopback() && !self.forwarded
    }
}

/// One line of a list of addresses: a range, or a single one.
pub fn range(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Whether an address is a public one: what a stranger names must not lead into the operator's own network.
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    // Global unicast, less documentation, and less what carries an IPv4 address (6to4, Teredo): it may be a private one.
    (first & 0xe000) == 0x2000 && !(first == 0x2001 && (second == 0xdb8 || second == 0)) && first != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(remote: &str, headers: &[(&'static str, &str)]) -> (String, bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let proxies = ["127.0.0.2", "10.0.0.0/8"].map(|text| range(text).unwrap());
        let address = Address::of(remote.parse().unwrap(), &map, &proxies);
        (address.ip.to_string(), address.forwarded)
    }

    /// Row 14: the old server took whatever the header said. Guards against: the first address of the list counts.
    #[test]
    fn a_forwarding_header_counts_only_from_a_configured_proxy() {
        let cases = [
            ("1.2.3.4", vec![], ("1.2.3.4", false)),
            ("1.2.3.4", vec![("x-forwarded-for", "127.0.0.1")], ("1.2.3.4", true)),
            ("127.0.0.1", vec![("x-forwarded-for", "127.0.0.1")], ("127.0.0.1", true)),
            ("127.0.0.1", vec![("via", "1.1 x")], ("127.0.0.1", true)),
            ("127.0.0.2", vec![("x-forwarded-for", "127.0.0.1, 5.6.7.8")], ("5.6.7.8", false)),
            (
                "127.0.0.2",
                vec![("x-forwarded-for", "127.0.0.1"), ("x-forwarded-for", "5.6.7.8, 10.1.1.1")],
                ("5.6.7.8", false),
            ),
            ("127.0.0.2", vec![("x-forwarded-for", "127.0.0.1, nonsense")], ("127.0.0.2", true)),
            ("127.0.0.2", vec![], ("127.0.0.2", true)),
            ("::ffff:127.0.0.1", vec![], ("127.0.0.1", false)),
        ];
        for (remote, headers, (ip, forwarded)) in cases {
            assert_eq!(asked(remote, &headers), (ip.to_owned(), forwarded), "{remote} {headers:?}");
        }
    }

    /// Guards against: what a proxy of this machine passes on for somebody is the operator's.
    #[test]
    fn who_is_forwarded_is_not_of_this_machine() {
        let at = |ip: &str, forwarded| Address { ip: ip.parse().unwrap(), forwarded }.is_local();
        assert!(at("127.0.0.1", false) && at("::1", false));
        assert!(!at("127.0.0.1", true) && !at("::1", true) && !at("10.0.0.1", false));
    }

    #[test]
    fn only_public_addresses_are_public() {
        for public in ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for own in [
            "127.0.0.1",
            "10.1.1.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "2002:a00:1::",
            "2001:db8::1",
            "64:ff9b::a00:1",
        ] {
            assert!(!is_public(own.parse().unwrap()), "{own}");
        }
    }
}
