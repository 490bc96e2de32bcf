//! What the operator wants of the swarm.

use super::read::Resolved;
use honeygraph_bootstrap::address;
use honeygraph_bootstrap::source::Source;
use honeygraph_protocols::swarm::names::AccountName;
use libp2p::{Multiaddr, PeerId};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of the swarm.
#[derive(Clone, Debug, PartialEq)]
pub struct SwarmConfig {
    /// Whether the node takes part.
    pub enabled: bool,
    /// Where it listens.
    pub listen: Vec<Multiaddr>,
    /// Where it can be reached from everywhere.
    pub announce: Vec<Multiaddr>,
    /// Where first peers come from.
    pub sources: Vec<Source>,
    /// Peers that the operator trusts.
    pub trusted: Vec<PeerId>,
    /// Accounts whose votes count; empty: the runners of the state.
    pub electorate: BTreeSet<AccountName>,
    /// File with keys of accounts (`access.account_keys`).
    pub account_keys: Option<PathBuf>,
    /// Accounts it takes, and accounts that may say otherwise.
    pub consensus: (usize, usize),
    /// Between two looks at what peers hold.
    pub interval: Duration,
    /// Whether nothing is fetched of what came before the base.
    pub since_base: bool,
    /// Whether others can reach it, when the operator says.
    pub reachable: Option<bool>,
    /// Whether others may be reached through it.
    pub relay: bool,
    /// Whether it looks around in the local network.
    pub mdns: bool,
    /// The only peers let in, when there are any.
    pub allow: Vec<PeerId>,
    /// Peers that are not let in.
    pub block: Vec<PeerId>,
    /// Accounts whose nodes alone are let in, when there are any.
    pub accounts: BTreeSet<AccountName>,
    /// Accounts whose nodes are not let in.
    pub block_accounts: BTreeSet<AccountName>,
    /// File of the pre-shared key.
    pub pre_shared_key: Option<PathBuf>,
}

/// Reads them from values that were checked one by one.
pub(super) fn read(resolved: &Resolved) -> SwarmConfig {
    let text = |key| resolved.text(key);
    let parts = |key| super::urls(text(key));
    let addresses = |key| parts(key).filter_map(|text| address::parse(text).ok()).collect();
    let peers = |key| parts(key).filter_map(|text| text.parse().ok()).collect::<Vec<PeerId>>();
    let accounts = |key| parts(key).filter_map(|name| AccountName::new(&name.to_ascii_lowercase())).collect();
    let count = |key| resolved.count(key) as usize;
    let mut sources: Vec<Source> = parts("swarm.peers").filter_map(|text| Source::parse(text).ok()).collect();
    let domain = text("swarm.discovery_domain");
    if !domain.is_empty() {
        sources.push(Source::Service(domain.to_owned()));
    }
    if text("swarm.honeycomb_discovery") == "true" {
        sources.extend(parts("swarm.honeycomb_endpoints").map(|url| Source::Honeycomb(url.to_owned())));
    }
    let key_file = text("swarm.pre_shared_key");
    SwarmConfig {
        enabled: text("swarm.enabled") == "true",
        listen: addresses("swarm.listen"),
        announce: addresses("swarm.announce"),
        sources,
        trusted: peers("swarm.trusted"),
        electorate: accounts("swarm.electorate"),
        account_keys: Some(text("access.account_keys")).filter(|file| !file.is_empty()).map(PathBuf::from),
        consensus: (count("swarm.consensus_required"), count("swarm.consensus_tolerance")),
        interval: Duration::from_millis(resolved.count("swarm.interval_ms")),
        since_base: text("swarm.history") == "since-base",
        reachable: match text("swarm.reachable") {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        },
        relay: text("swarm.relay") == "true",
        mdns: text("swarm.mdns") == "true",
        allow: peers("swarm.allow"),
        block: peers("swarm.block"),
        accounts: accounts("swarm.accounts"),
        block_accounts: accounts("swarm.block_accounts"),
        pre_shared_key: (!key_file.is_empty()).then(|| PathBuf::from(key_file)),
    }
}
