//! What a node speaks: the meeting of peers, our four questions and answers, gossip, and the ways out from behind a
//! router.

use super::Protocol;
use super::codec::{Bounds, Frames};
use honeygraph_bootstrap::meeting::{Manners, Meeting};
use honeygraph_bootstrap::transport::SwarmError;
use honeygraph_protocols::swarm::votes;
use libp2p::gossipsub::{
    self, IdentTopic, MaxCountSubscriptionFilter, MessageAuthenticity, MessageId, ValidationMode,
    WhitelistSubscriptionFilter,
};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{StreamProtocol, autonat, dcutr, mdns, relay};
use std::time::Duration;

/// Largest message of gossip, in bytes: a head takes about 200, and the lists that gossip sends of itself must fit.
pub const MAX_GOSSIP: usize = 8 * 1024;
/// Messages of gossip that wait for one slow peer; what is beyond is dropped, a newer head says the same and more.
const GOSSIP_QUEUE: usize = 256;
/// How long a message of gossip is known as heard.
const HEARD_FOR: Duration = Duration::from_secs(120);
/// How long a question may take, its answer included (`timeout: 10000` of the seeds).
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Questions that one peer may have open with us; more are refused by its connection.
pub const OPEN_PER_PEER: usize = 8;
/// Topics beyond ours that a peer may subscribe to.
const FOREIGN_TOPICS: usize = 64;

/// Gossip about our topics only.
pub type Gossip =
    gossipsub::Behaviour<gossipsub::IdentityTransform, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// The behaviour.
#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub meeting: Meeting,
    pub status: request_response::Behaviour<Frames>,
    pub blocks: request_response::Behaviour<Frames>,
    pub binding: request_response::Behaviour<Frames>,
    pub pictures: request_response::Behaviour<Frames>,
    pub gossip: Gossip,
    pub mdns: Toggle<mdns::tokio::Behaviour>,
    pub reach: autonat::v2::client::Behaviour,
    pub relay: relay::client::Behaviour,
    pub dcutr: dcutr::Behaviour,
}

impl Behaviour {
    /// With these manners, hearing these topics.
    pub fn new(
        key: &Keypair,
        relay: relay::client::Behaviour,
        manners: &Manners,
        topics: &[String],
        neighbours: bool,
    ) -> Result<Self, SwarmError> {
        let us = key.public().to_peer_id();
        let mdns = match neighbours {
            true => Some(mdns::tokio::Behaviour::new(mdns::Config::default(), us)?),
            false => None,
        };
        Ok(Self {
            meeting: Meeting::new(key, manners),
            status: questions(Protocol::Status),
            blocks: questions(Protocol::Blocks),
            binding: questions(Protocol::Binding),
            pictures: questions(Protocol::Pictures),
            gossip: gossip(key, topics)?,
            mdns: mdns.into(),
            reach: autonat::v2::client::Behaviour::default(),
            relay,
            dcutr: dcutr::Behaviour::new(us),
        })
    }

    /// The behaviour of this protocol.
    pub fn of(&mut self, protocol: Protocol) -> &mut request_response::Behaviour<Frames> {
        match protocol {
            Protocol::Status => &mut self.status,
            Protocol::Blocks => &mut self.blocks,
            Protocol::Binding => &mut self.binding,
            Protocol::Pictures => &mut self.pictures,
        }
    }
}

fn questions(protocol: Protocol) -> request_response::Behaviour<Frames> {
    let config =
        request_response::Config::default().with_request_timeout(PATIENCE).with_max_concurrent_streams(OPEN_PER_PEER);
    let Bounds { request, answer } = protocol.bounds();
    let names = [(StreamProtocol::new(protocol.name()), ProtocolSupport::Full)];
    request_response::Behaviour::with_codec(Frames(Bounds { request, answer }), names, config)
}

fn gossip(key: &Keypair, topics: &[String]) -> Result<Gossip, SwarmError> {
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix("/honeygraph/gossip")
        .validation_mode(ValidationMode::Strict)
        // Nothing is passed on before it was looked at.
        .validate_messages()
        .max_transmit_size(MAX_GOSSIP)
        .flood_publish(false)
        .duplicate_cache_time(HEARD_FOR)
        .connection_handler_queue_len(GOSSIP_QUEUE)
        .message_id_fn(|message| {
            let mut hash = blake3::Hasher::new();
            hash.update(message.topic.as_str().as_bytes()).update(&[0]).update(&message.data);
            // The same words are the same message, whoever says them and however often; but votes are said again for
            // those who came later, and have to reach them.
            if votes::is_topic(message.topic.as_str()) {
                hash.update(&message.source.map(|source| source.to_bytes()).unwrap_or_default());
                hash.update(&message.sequence_number.unwrap_or_default().to_le_bytes());
            }
            MessageId::from(hash.finalize().as_bytes()[..20].to_vec())
        })
        .build()?;
    let topics: Vec<IdentTopic> = topics.iter().map(IdentTopic::new).collect();
    let ours = topics.iter().map(IdentTopic::hash).collect();
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter(ours),
        max_subscribed_topics: topics.len(),
        max_subscriptions_per_request: topics.len() + FOREIGN_TOPICS,
    };
    let signed = MessageAuthenticity::Signed(key.clone());
    let mut gossip = Gossip::new_with_subscription_filter(signed, config, filter)?;
    for topic in &topics {
        gossip.subscribe(topic)?;
    }
    Ok(gossip)
}
