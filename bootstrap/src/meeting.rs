//! What everybody in the swarm speaks so that peers find each other: identify, ping, Kademlia, and where it is wanted a
//! relay; within limits, and with those who are let in.
//!
//! A boot node speaks this alone, a node speaks it beside its own protocols.
//!
//! *Always holds:* connections are bounded in number, by the block of addresses that they come from, and by memory; a peer's addresses go into the routing table only as
//! far as they are believed ([`address::believed`]).

#![expect(missing_docs, reason = "the derive makes an enum of events without any")]

use crate::address::{self, Reach};
use crate::crowd::Crowd;
use libp2p::allow_block_list::{self, AllowedPeers, BlockedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{Multiaddr, PeerId, StreamProtocol, autonat, identify, memory_connection_limits, ping, relay};
use std::num::NonZeroUsize;
use std::time::Duration;

/// Kademlia under a name of our own: the default is that of the public IPFS network.
pub const KAD: StreamProtocol = StreamProtocol::new("/honeygraph/kad/1.0.0");
/// What identify calls the family of our protocols.
pub const FAMILY: &str = "/honeygraph/1";

/// Connections in all. Peers beyond it are refused and find others.
const MAX_CONNECTIONS: u32 = 160;
/// Of them, those that others made: the rest stays for those that we choose, so nobody can shut us in.
const MAX_INCOMING: u32 = 112;
/// Connections that are being made, each way: a handshake costs a few signatures.
const MAX_PENDING: u32 = 48;
/// Connections with one peer: a relayed one, the direct one that replaces it, and one that looks whether a peer can be
/// reached. Those that stay are brought to one (see the host).
const MAX_PER_PEER: u32 = 3;
/// Above so much memory of the process no connection is taken any more, in bytes: several times what a node needs.
const MAX_MEMORY: usize = 2 << 30;
/// Records and providers that others may put here: none of our protocols uses them.
const NO_RECORDS: kad::store::MemoryStoreConfig = kad::store::MemoryStoreConfig {
    max_records: 0,
    max_value_bytes: 0,
    max_provided_keys: 0,
    max_providers_per_key: 0,
};
/// Largest packet of Kademlia, in bytes: twenty peers with eight addresses each take half of it.
const MAX_KAD_BYTES: usize = 32 * 1024;
/// A walk through the network ends after so long.
const WALK: Duration = Duration::from_secs(30);

/// How a node takes part.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// What we call ourselves: `honeygraph/<version>`.
    pub agent: String,
    /// Whether others may use us as a relay.
    pub relay: bool,
    /// Answer questions about peers: always, never, or once an address of ours is known to be reachable.
    pub server: Option<bool>,
    /// Only these peers, when there are any.
    pub allow: Vec<PeerId>,
    /// Never these.
    pub block: Vec<PeerId>,
}

/// The behaviour.
#[derive(NetworkBehaviour)]
pub struct Meeting {
    // The order matters: who is refused here is not seen by those behind.
    blocked: allow_block_list::Behaviour<BlockedPeers>,
    allowed: Toggle<allow_block_list::Behaviour<AllowedPeers>>,
    crowd: Crowd,
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
    relay: Toggle<relay::Behaviour>,
    reach: autonat::v2::server::Behaviour,
}

impl Meeting {
    /// With these manners.
    pub fn new(key: &Keypair, manners: &Manners) -> Self {
        let us = key.public().to_peer_id();
        let identify = identify::Config::new(FAMILY.into(), key.public())
            .with_agent_version(manners.agent.clone())
            .with_push_listen_addr_updates(true)
            // It keeps addresses as they are named; we keep those that are believed.
            .with_cache_size(0);
        let limits = ConnectionLimits::default()
            .with_max_established(Some(MAX_CONNECTIONS))
            .with_max_established_incoming(Some(MAX_INCOMING))
            .with_max_pending_incoming(Some(MAX_PENDING))
            .with_max_pending_outgoing(Some(MAX_PENDING))
            .with_max_established_per_peer(Some(MAX_PER_PEER));
        let mut blocked = allow_block_list::Behaviour::<BlockedPeers>::default();
        for peer in &manners.block {
            blocked.block_peer(*peer);
        }
        let allowed = (!manners.allow.is_empty()).then(|| {
            let mut allowed = allow_block_list::Behaviour::<AllowedPeers>::default();
            for peer in &manners.allow {
                allowed.allow_peer(*peer);
            }
            allowed
        });
        Self {
            blocked,
            allowed: allowed.into(),
            crowd: Crowd::default(),
            limits: connection_limits::Behaviour::new(limits),
            memory: memory_connection_limits::Behaviour::with_max_bytes(MAX_MEMORY),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::default(),
            kad: kademlia(us, manners.server),
            relay: manners.relay.then(|| relay::Behaviour::new(us, relay::Config::default())).into(),
            reach: autonat::v2::server::Behaviour::default(),
        }
    }

    /// Takes in what a peer said of itself, over a connection from there: the addresses that are believed.
    pub fn met(&mut self, peer: PeerId, said: &identify::Info, spoken_from: Reach) -> Vec<Multiaddr> {
        let addresses = address::believed(peer, &said.listen_addrs, spoken_from);
        if said.protocols.contains(&KAD) {
            for address in &addresses {
                self.kad.add_address(&peer, address.clone());
            }
        }
        addresses
    }

    /// A peer that is known by an address: where the walk through the network may begin.
    pub fn known(&mut self, peer: PeerId, address: Multiaddr) {
        self.kad.add_address(&peer, address);
    }

    /// Walks through the network: towards a place of its own, so that the neighbours know us. False when nobody is
    /// known.
    pub fn walk(&mut self) -> bool {
        self.kad.bootstrap().is_ok()
    }

    /// Answers questions about peers from here on.
    pub fn serve(&mut self) {
        self.kad.set_mode(Some(kad::Mode::Server));
    }

    /// Lets nobody in with this id from here on, and ends what there is with it.
    pub fn block(&mut self, peer: PeerId) {
        self.blocked.block_peer(peer);
    }

    /// Lets it in again.
    pub fn unblock(&mut self, peer: PeerId) {
        self.blocked.unblock_peer(peer);
    }
}

fn kademlia(us: PeerId, server: Option<bool>) -> kad::Behaviour<MemoryStore> {
    let mut config = kad::Config::new(KAD);
    config
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_max_packet_size(MAX_KAD_BYTES)
        .set_query_timeout(WALK)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_replication_factor(NonZeroUsize::MIN.saturating_add(19));
    let mut kad = kad::Behaviour::with_config(us, MemoryStore::with_config(us, NO_RECORDS), config);
    kad.set_mode(server.map(|server| if server { kad::Mode::Server } else { kad::Mode::Client }));
    kad
}
