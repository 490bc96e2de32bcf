//! Where first peers come from: addresses, other honeygraphs by URL, a DNS service record, honeycombs.
//!
//! *Always holds:* each source is asked with a bound on time and bytes, and one that does not answer hides no other. An
//! answer names private addresses only when it came from one: what the operator configured may be private, what a
//! stranger says may not.

use crate::address::{self, Reach};
use crate::client::client;
use crate::transport::Neighbourhood;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;

/// How long a source may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer of a honeygraph, in bytes: its status has a few.
const MAX_ANSWER: usize = 256 * 1024;
/// Hosts of one service record that are asked.
const MAX_HOSTS: usize = 8;
/// Addresses taken of one answer.
const MAX_ADDRESSES: usize = 16;
/// Where a honeygraph says how it is reached.
const ROUTE: &str = "/api/sync/status";
/// Where the honeygraph beside a honeycomb is found: the proxies of the seeds put it there.
const BESIDE: &str = "/honeygraph";

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An address, with or without the peer at its end.
    Address(Multiaddr),
    /// The HTTP API of another honeygraph.
    Url(String),
    /// A DNS service record that names such APIs.
    Service(String),
    /// A honeycomb beside which a honeygraph may run.
    Honeycomb(String),
}

/// Why a source gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It did not answer.
    #[error("{0} does not answer in time")]
    Silent(String),
    /// It cannot be reached, or answers something else.
    #[error("{0}: {1}")]
    Failed(String, String),
}

impl Source {
    /// Reads a text of `PEERS`: an address or a URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            let url = reqwest::Url::parse(text).map_err(|error| format!("{text}: {error}"))?;
            return match url.host() {
                Some(_) if url.username().is_empty() && url.password().is_none() => Ok(Source::Url(text.to_owned())),
                _ => Err(format!("{text}: http(s)://host[:port]")),
            };
        }
        address::parse(text).map(Source::Address).map_err(|error| error.to_string())
    }
}

/// Asks sources.
pub struct Finder {
    client: reqwest::Client,
    neighbourhood: Neighbourhood,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    addresses: Vec<String>,
}

impl Finder {
    /// Asks as this agent; opens the neighbourhood when the operator's own sources lie in it.
    pub fn new(agent: &str, neighbourhood: Neighbourhood) -> Result<Self, reqwest::Error> {
        // No redirects: a stranger could name an address of ours.
        let client = client(|| {
            reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).user_agent(agent)
        })?;
        Ok(Self { client, neighbourhood })
    }

    /// What a source of the operator's names: addresses to dial.
    pub async fn ask(&self, source: &Source) -> Result<Vec<Multiaddr>, SourceError> {
        let found = match source {
            Source::Address(address) => {
                self.look(address).await;
                vec![address.clone()]
            }
            Source::Url(url) => self.honeygraph(url).await?,
            Source::Service(domain) => self.service(domain).await?,
            Source::Honeycomb(url) => self.honeygraph(&format!("{}{BESIDE}", url.trim_end_matches('/'))).await?,
        };
        if found.iter().any(|address| address::reach(address) < Reach::Name) {
            self.neighbourhood.open();
        }
        Ok(found)
    }

    /// A name of the operator's may stand for a private address: then those are dialled.
    async fn look(&self, address: &Multiaddr) {
        let Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) = address.iter().next() else {
            return;
        };
        let name = name.into_owned();
        let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name.as_str(), 0))).await;
        if let Ok(Ok(mut found)) = found
            && found.any(|at| address::ip_reach(at.ip()) < Reach::Name)
        {
            self.neighbourhood.open();
        }
    }

    /// Asks another honeygraph how it is reached.
    async fn honeygraph(&self, url: &str) -> Result<Vec<Multiaddr>, SourceError> {
        let failed = |error: String| SourceError::Failed(url.to_owned(), error);
        let asked = format!("{}{ROUTE}", url.trim_end_matches('/'));
        let mut response = self.client.get(asked).send().await.map_err(|error| match error.is_timeout() {
            true => SourceError::Silent(url.to_owned()),
            false => failed(words(&error)),
        })?;
        if !response.status().is_success() {
            return Err(failed(format!("answers {}", response.status().as_u16())));
        }
        let from = response.remote_addr().map(|at| at.ip());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(words(&error)))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(failed(format!("answers more than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))?;
        let named: Vec<Multiaddr> = answer.addresses.iter().filter_map(|text| address::parse(text).ok()).collect();
        Ok(reached(&named, from))
    }

    async fn service(&self, domain: &str) -> Result<Vec<Multiaddr>, SourceError> {
        let failed = |error: &dyn std::fmt::Display| SourceError::Failed(domain.to_owned(), error.to_string());
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        let resolver = resolver.map_err(|error| failed(&error))?;
        let found = tokio::time::timeout(PATIENCE, resolver.srv_lookup(domain)).await;
        let found = found.map_err(|_| SourceError::Silent(domain.to_owned()))?.map_err(|error| failed(&error))?;
        let mut hosts: Vec<(u16, String)> = Vec::new();
        for record in found.answers() {
            if let RData::SRV(record) = &record.data {
                let host = record.target.to_utf8();
                hosts.push((record.priority, format!("http://{}:{}", host.trim_end_matches('.'), record.port)));
            }
        }
        hosts.sort();
        let (mut addresses, mut last) = (Vec::new(), None);
        for (_, url) in hosts.into_iter().take(MAX_HOSTS) {
            match self.honeygraph(&url).await {
                Ok(more) => addresses.extend(more),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) if addresses.is_empty() => Err(error),
            _ => Ok(addresses),
        }
    }
}

/// What an answer from this address leads to: the addresses in it that are believed, and the address that answered with
/// the ports in it (behind a port mapping only that one is right).
fn reached(named: &[Multiaddr], from: Option<IpAddr>) -> Vec<Multiaddr> {
    let spoken_from = from.map_or(Reach::Public, address::ip_reach);
    let mut addresses = Vec::new();
    let mut peers: Vec<PeerId> = named.iter().filter_map(address::peer).collect();
    peers.sort();
    peers.dedup();
    for peer in peers {
        for address in address::believed(peer, named, spoken_from) {
            addresses.push(address);
        }
        let ports = named.iter().filter(|address| address::peer(address) == Some(peer));
        let mapped = ports.filter_map(|address| from.and_then(|ip| at_ip(address, ip)));
        for address in mapped {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// The same address at another IP; none for one that goes through a relay.
fn at_ip(address: &Multiaddr, ip: IpAddr) -> Option<Multiaddr> {
    if address.iter().any(|part| matches!(part, Protocol::P2pCircuit)) {
        return None;
    }
    let mut parts = address.iter();
    match (parts.next()?, ip.to_canonical()) {
        (Protocol::Ip4(_) | Protocol::Ip6(_), IpAddr::V4(ip)) => {
            Some(std::iter::once(Protocol::Ip4(ip)).chain(parts).collect())
        }
        (Protocol::Ip4(_) | Protocol::Ip6(_), IpAddr::V6(ip)) => {
            Some(std::iter::once(Protocol::Ip6(ip)).chain(parts).collect())
        }
        _ => None,
    }
}

/// An error with its causes, without the address, which stands in front of it.
fn words(error: &reqwest::Error) -> String {
    let mut words = "fails".to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers one request with this body.
    async fn honeygraph(body: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let read = socket.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /api/sync/status "));
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            // A client that has had enough hangs up.
            let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
        });
        format!("http://{at}")
    }

    #[test]
    fn peers_are_addresses_or_urls() {
        assert!(matches!(Source::parse("http://peer1:3030"), Ok(Source::Url(_))));
        assert!(matches!(Source::parse("/dns4/peer1/tcp/4001"), Ok(Source::Address(_))));
        for wrong in ["", "peer1:3030", "ftp://x", "http://", "http://user@x", "/ip4/1.2.3/tcp/1"] {
            assert!(Source::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_private_honeygraph_of_the_operator_opens_the_neighbourhood() {
        let peer = PeerId::random();
        let body = format!(r#"{{"addresses":["/ip4/10.0.0.9/tcp/4001/p2p/{peer}","nonsense"],"other":1}}"#);
        let url = honeygraph(body).await;
        let neighbourhood = Neighbourhood::default();
        let finder = Finder::new("test", neighbourhood.clone()).unwrap();
        let found = finder.ask(&Source::Url(url)).await.unwrap();
        let at = |ip| address::parse(&format!("/ip4/{ip}/tcp/4001/p2p/{peer}")).unwrap();
        assert_eq!(found, [at("10.0.0.9"), at("127.0.0.1")]);
        assert!(neighbourhood.is_open());
    }

    #[tokio::test]
    async fn hostile_answers_give_nothing() {
        let finder = Finder::new("test", Neighbourhood::default()).unwrap();
        for body in ["[1]".to_owned(), "x".repeat(MAX_ANSWER + 1), r#"{"addresses":7}"#.to_owned()] {
            let url = honeygraph(body).await;
            assert!(matches!(finder.ask(&Source::Url(url)).await, Err(SourceError::Failed(..))));
        }
        let many = (0..1000).map(|port| format!("\"/ip4/8.8.8.8/tcp/{port}/p2p/{}\"", PeerId::random()));
        let url = honeygraph(format!(r#"{{"addresses":[{}]}}"#, many.collect::<Vec<_>>().join(","))).await;
        assert_eq!(finder.ask(&Source::Url(url)).await.unwrap().len(), MAX_ADDRESSES);
    }

    #[test]
    fn a_public_honeygraph_names_no_private_address() {
        let peer = PeerId::random();
        let at = |ip: &str| address::parse(&format!("/ip4/{ip}/tcp/4001/p2p/{peer}")).unwrap();
        // Guards against: the answer was taken as the operator's own word.
        let found = reached(&[at("10.0.0.9"), at("127.0.0.1"), at("9.9.9.9")], Some("8.8.8.8".parse().unwrap()));
        assert_eq!(found, [at("9.9.9.9"), at("8.8.8.8")]);
    }
}
