//! The host's loop: libp2p's events in, orders in, and what both lead to.

use super::behaviour::{Behaviour, BehaviourEvent};
use super::meet::Meets;
use super::{AskError, Handle, Heard, ORDERS, Order, Protocol, QUESTIONS, Question, RUMOURS, Seen, Settings, gossip};
use honeygraph_bootstrap::address::{self, Reach};
use honeygraph_bootstrap::meeting::MeetingEvent;
use honeygraph_bootstrap::transport::{self, Neighbourhood, SwarmError};
use libp2p::core::transport::ListenerId;
use libp2p::futures::StreamExt;
use libp2p::futures::stream::FuturesUnordered;
use libp2p::multiaddr::Protocol as Part;
use libp2p::request_response::{self, Message, OutboundFailure, OutboundRequestId, ResponseChannel};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, gossipsub, identify, mdns};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How often connections and listeners are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a start waits for its listeners to say where they listen.
const LISTEN_PATIENCE: Duration = Duration::from_secs(5);
/// After so long a listener that failed is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(30);
/// Relays through which a node is reached that cannot be reached itself.
const RELAYS: usize = 2;
/// By this a peer offers to relay.
const RELAYING: StreamProtocol = libp2p::relay::HOP_PROTOCOL_NAME;

type Served = Pin<Box<dyn Future<Output = (Protocol, ResponseChannel<Vec<u8>>, Option<Vec<u8>>)> + Send>>;
type Asked = request_response::Event<Vec<u8>, Vec<u8>>;

/// The host, before and while it runs.
pub struct Host {
    swarm: Swarm<Behaviour>,
    settings: Settings,
    neighbourhood: Neighbourhood,
    meets: Meets,
    seen: watch::Sender<Arc<Seen>>,
    orders: mpsc::Receiver<Order>,
    rumours: mpsc::Sender<super::Rumour>,
    questions: mpsc::Sender<Question>,
    asked: BTreeMap<(Protocol, OutboundRequestId), oneshot::Sender<Result<Vec<u8>, AskError>>>,
    served: FuturesUnordered<Served>,
    /// Listeners by the address they were told, with what they bound.
    listeners: HashMap<ListenerId, (Multiaddr, BTreeSet<Multiaddr>)>,
    failed: Vec<(Multiaddr, String, Instant)>,
    /// Peers that offer to relay, and those through which we listen.
    relays: (BTreeSet<PeerId>, BTreeMap<PeerId, ListenerId>),
}

impl Host {
    /// A host that does not listen yet.
    pub fn new(settings: Settings) -> Result<(Self, Handle, Heard), SwarmError> {
        let neighbourhood = settings.line.neighbourhood.clone();
        // Who listens at home, or looks around there, means those who are there.
        let private = |address: &Multiaddr| match address::reach(address) {
            Reach::Loopback => true,
            Reach::Private => !is_everywhere(address),
            Reach::Name | Reach::Public => false,
        };
        if settings.mdns || settings.listen.iter().any(private) {
            neighbourhood.open();
        }
        let make = |key: &_, relay| Behaviour::new(key, relay, &settings.manners, &settings.topics, settings.mdns);
        let mut swarm = transport::swarm(settings.line.clone(), make)?;
        for address in &settings.announce {
            swarm.add_external_address(address.clone());
        }
        let at_home = settings.listen.iter().all(|address| address::reach(address) == Reach::Loopback);
        if settings.manners.server.is_none() && at_home {
            // Whoever can know of us can reach us.
            swarm.behaviour_mut().meeting.serve();
        }
        let (orders, orders_out) = mpsc::channel(ORDERS);
        let (rumours, rumours_out) = mpsc::channel(RUMOURS);
        let (questions, questions_out) = mpsc::channel(QUESTIONS);
        let (seen, seen_out) = watch::channel(Arc::default());
        let handle = Handle { us: *swarm.local_peer_id(), orders, seen: seen_out };
        let host = Self {
            swarm,
            settings,
            neighbourhood,
            meets: Meets::default(),
            seen,
            orders: orders_out,
            rumours,
            questions,
            asked: BTreeMap::new(),
            served: FuturesUnordered::new(),
            listeners: HashMap::new(),
            failed: Vec::new(),
            relays: Default::default(),
        };
        Ok((host, handle, Heard { rumours: rumours_out, questions: questions_out }))
    }

    /// Listens, and waits until it is known where. What cannot be listened on is tried again while it runs.
    pub async fn listen(&mut self) {
        for address in self.settings.listen.clone() {
            self.listen_on(address);
        }
        let bound = async {
            while self.listeners.values().any(|(_, bound)| bound.is_empty()) {
                let event = self.swarm.select_next_some().await;
                self.event(event);
            }
        };
        if tokio::time::timeout(LISTEN_PATIENCE, bound).await.is_err() {
            warn!("the swarm's listeners do not say where they listen");
        }
        self.show();
    }

    /// Says that it can be reached where it listens, as a node with a public address does.
    #[cfg(test)]
    pub(super) fn announce_bound(&mut self) {
        for address in self.listeners.values().flat_map(|(_, bound)| bound.clone()).collect::<Vec<_>>() {
            self.swarm.add_external_address(address);
        }
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.swarm.select_next_some() => self.event(event),
                Some(order) = self.orders.recv() => self.order(order),
                Some((protocol, channel, answer)) = self.served.next() => {
                    if let Some(answer) = answer {
                        // The peer may have gone meanwhile.
                        let _ = self.swarm.behaviour_mut().of(protocol).send_response(channel, answer);
                    }
                }
                _ = look.tick() => self.look(),
            }
        }
    }

    fn event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.behaved(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                debug!(peer = %peer_id, at = %endpoint.get_remote_address(), "connected");
                self.meets.opened(peer_id, connection_id, &endpoint, (Instant::now(), now_ms()));
                self.show();
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                debug!(peer = %peer_id, ?cause, "disconnected");
                if self.meets.closed(peer_id, connection_id) {
                    self.relays.0.remove(&peer_id);
                }
                self.show();
            }
            SwarmEvent::NewListenAddr { listener_id, address } => {
                if let Some((_, bound)) = self.listeners.get_mut(&listener_id) {
                    bound.insert(address);
                }
                self.show();
            }
            SwarmEvent::ExpiredListenAddr { listener_id, address } => {
                if let Some((_, bound)) = self.listeners.get_mut(&listener_id) {
                    bound.remove(&address);
                }
                self.show();
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                self.relays.1.retain(|_, listener| *listener != listener_id);
                if let Some((address, _)) = self.listeners.remove(&listener_id)
                    && self.settings.listen.contains(&address)
                {
                    let why = reason.err().map_or_else(|| "the listener ended".to_owned(), |error| error.to_string());
                    self.listen_failed(address, why);
                }
                self.show();
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                debug!(peer = ?peer_id, %error, "no connection")
            }
            SwarmEvent::ExternalAddrConfirmed { .. } | SwarmEvent::ExternalAddrExpired { .. } => self.show(),
            _ => {}
        }
    }

    fn behaved(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Status(event) => self.asked(Protocol::Status, event),
            BehaviourEvent::Blocks(event) => self.asked(Protocol::Blocks, event),
            BehaviourEvent::Binding(event) => self.asked(Protocol::Binding, event),
            BehaviourEvent::Pictures(event) => self.asked(Protocol::Pictures, event),
            BehaviourEvent::Gossip(gossipsub::Event::Message { propagation_source, message_id, message }) => {
                self.heard(propagation_source, message_id, message);
            }
            BehaviourEvent::Meeting(MeetingEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            })) => self.identified(peer_id, connection_id, &info),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                self.dial(found.into_iter().map(|(peer, at)| address::with_peer(at, peer)).collect());
            }
            _ => {}
        }
    }

    fn identified(&mut self, peer: PeerId, connection: ConnectionId, info: &identify::Info) {
        let spoken_from = self.meets.address(&peer, connection).map_or(Reach::Public, address::reach);
        let addresses = self.swarm.behaviour_mut().meeting.met(peer, info, spoken_from);
        let answers = info.protocols.iter().any(|name| name.as_ref() == Protocol::Status.name());
        if info.protocols.contains(&RELAYING) {
            self.relays.0.insert(peer);
        }
        self.meets.said(peer, &info.agent_version, addresses, answers);
        self.show();
    }

    fn heard(&mut self, from: PeerId, id: gossipsub::MessageId, message: gossipsub::Message) {
        let Some(rumour) = gossip::rumour(from, id, message) else { return };
        if let Err(full) = self.rumours.try_send(rumour) {
            let super::Ticket(ticket) = full.into_inner().ticket;
            self.judge(&ticket, super::Word::Keep);
        }
    }

    fn judge(&mut self, ticket: &gossip::Ticket, word: super::Word) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(&ticket.id, &ticket.from, word.acceptance());
    }

    /// What became of a question, ours or a peer's.
    fn asked(&mut self, protocol: Protocol, event: Asked) {
        let (request_id, answer) = match event {
            Asked::Message { message: Message::Response { request_id, response }, .. } => (request_id, Ok(response)),
            Asked::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                return self.questioned(peer, protocol, request, channel);
            }
            Asked::OutboundFailure { request_id, error, .. } => (request_id, Err(failure(&error))),
            Asked::InboundFailure { peer, error, .. } => {
                debug!(%peer, %error, "a peer's question was not answered");
                return;
            }
            Asked::ResponseSent { .. } => return,
        };
        if let Some(reply) = self.asked.remove(&(protocol, request_id)) {
            // Who asked may not want to know any more.
            let _ = reply.send(answer);
        }
    }

    /// A peer asks: whoever serves answers, or nobody does.
    fn questioned(&mut self, peer: PeerId, protocol: Protocol, request: Vec<u8>, channel: ResponseChannel<Vec<u8>>) {
        let (reply, answer) = oneshot::channel();
        if self.questions.try_send(Question { peer, protocol, request, reply }).is_err() {
            debug!(%peer, "too many questions at once: refused");
            return;
        }
        self.served.push(Box::pin(async move { (protocol, channel, answer.await.ok()) }));
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Ask { peer, protocol, request, reply } => {
                if !self.meets.has(&peer) {
                    let _ = reply.send(Err(AskError::Gone));
                    return;
                }
                let id = self.swarm.behaviour_mut().of(protocol).send_request(&peer, request);
                self.asked.insert((protocol, id), reply);
            }
            Order::Dial(addresses) => self.dial(addresses),
            Order::Walk => {
                self.swarm.behaviour_mut().meeting.walk();
            }
            Order::Publish { topic, data } => {
                let topic = gossipsub::IdentTopic::new(topic);
                if let Err(error) = self.swarm.behaviour_mut().gossip.publish(topic, data) {
                    debug!(%error, "nobody hears it");
                }
            }
            Order::Judge(super::Ticket(ticket), word) => self.judge(&ticket, word),
            Order::Block(peer, true) => self.swarm.behaviour_mut().meeting.block(peer),
            Order::Block(peer, false) => self.swarm.behaviour_mut().meeting.unblock(peer),
            // One that has gone is none.
            Order::Close(peer) => drop(self.swarm.disconnect_peer_id(peer)),
        }
    }

    fn dial(&mut self, addresses: Vec<Multiaddr>) {
        let us = *self.swarm.local_peer_id();
        let mut named: BTreeMap<PeerId, Vec<Multiaddr>> = BTreeMap::new();
        for address in addresses {
            match address::peer(&address) {
                Some(peer) if peer == us || self.meets.has(&peer) => {}
                Some(peer) => named.entry(peer).or_default().push(address),
                None if self.meets.at(&address) => {}
                None => self.dialled(DialOpts::unknown_peer_id().address(address).build()),
            }
        }
        for (peer, addresses) in named {
            let options = DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addresses)
                .build();
            self.dialled(options);
        }
    }

    fn dialled(&mut self, options: DialOpts) {
        if let Err(error) = self.swarm.dial(options) {
            debug!(%error, "not dialled");
        }
    }

    /// What is due now and then.
    fn look(&mut self) {
        let now = Instant::now();
        let us = *self.swarm.local_peer_id();
        for connection in self.meets.surplus(us, now) {
            self.swarm.close_connection(connection);
        }
        if self.failed.iter().any(|(_, _, at)| now.duration_since(*at) >= LISTEN_AGAIN) {
            for (address, ..) in std::mem::take(&mut self.failed) {
                self.listen_on(address);
            }
            self.show();
        }
        self.be_reached();
    }

    /// A node that cannot be reached is reached through relays.
    fn be_reached(&mut self) {
        let told = self.settings.manners.server;
        let unknown = told.is_none() && !self.neighbourhood.is_open();
        let reached = self.swarm.external_addresses().any(|at| !at.iter().any(|part| part == Part::P2pCircuit));
        if !(told == Some(false) || unknown) || reached || self.relays.1.len() >= RELAYS {
            return;
        }
        let free = self.relays.0.iter().find(|peer| !self.relays.1.contains_key(peer)).copied();
        let Some((relay, at)) = free.and_then(|relay| Some((relay, self.meets.shown().remove(&relay)?.address))) else {
            return;
        };
        let address = address::with_peer(at, relay).with(Part::P2pCircuit);
        match self.swarm.listen_on(address.clone()) {
            Ok(listener) => {
                info!(%relay, "asks to be reached through a relay");
                self.listeners.insert(listener, (address, BTreeSet::new()));
                self.relays.1.insert(relay, listener);
            }
            Err(error) => debug!(%relay, %error, "no relay"),
        }
    }

    fn listen_on(&mut self, address: Multiaddr) {
        if let Err(error) = is_free(&address) {
            return self.listen_failed(address, error.to_string());
        }
        match self.swarm.listen_on(address.clone()) {
            Ok(listener) => drop(self.listeners.insert(listener, (address, BTreeSet::new()))),
            Err(error) => self.listen_failed(address, error.to_string()),
        }
    }

    fn listen_failed(&mut self, address: Multiaddr, why: String) {
        warn!(%address, why, "the swarm does not listen there; tried again in {} s", LISTEN_AGAIN.as_secs());
        self.failed.push((address, why, Instant::now()));
    }

    fn show(&mut self) {
        let us = *self.swarm.local_peer_id();
        let bound = self.listeners.values().flat_map(|(_, bound)| bound.iter());
        let addresses: BTreeSet<Multiaddr> = self
            .swarm
            .external_addresses()
            .chain(bound)
            .map(|address| address::with_peer(address.clone(), us))
            .collect();
        let trouble = self.failed.first().map(|(address, why, _)| format!("cannot listen on {address}: {why}"));
        let seen = Seen { addresses: addresses.into_iter().collect(), peers: self.meets.shown(), trouble };
        self.seen.send_if_modified(|held| {
            let changed = **held != seen;
            if changed {
                *held = Arc::new(seen);
            }
            changed
        });
    }
}

/// 0.0.0.0 or ::, which say nothing about where a node is.
fn is_everywhere(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Part::Ip4(ip)) => ip.is_unspecified(),
        Some(Part::Ip6(ip)) => ip.is_unspecified(),
        _ => false,
    }
}

/// Whether a TCP port is free: libp2p shares one with whoever listens there already, and each would get half of the peers.
fn is_free(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip: Option<IpAddr> = match parts.next() {
        Some(Part::Ip4(ip)) => Some(ip.into()),
        Some(Part::Ip6(ip)) => Some(ip.into()),
        _ => None,
    };
    match (ip, parts.next()) {
        (Some(ip), Some(Part::Tcp(port))) if port > 0 => std::net::TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

fn failure(error: &OutboundFailure) -> AskError {
    match error {
        OutboundFailure::DialFailure | OutboundFailure::ConnectionClosed => AskError::Gone,
        OutboundFailure::Timeout => AskError::Silent,
        OutboundFailure::UnsupportedProtocols => AskError::Unspoken,
        OutboundFailure::Io(error) if error.kind() == io::ErrorKind::InvalidData => AskError::Broken,
        OutboundFailure::Io(_) => AskError::Refused,
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
