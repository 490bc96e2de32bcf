//! The way to other machines: TCP with noise and yamux, QUIC, names, and relays.
//!
//! *Always holds:* until the operator has named a private address, nobody makes this node dial one: what the name of a
//! peer resolves to, and what another peer said, is looked at where it is dialled. With a pre-shared key nothing leaves
//! in another way than through it (QUIC has no such key, so it is off then).

use crate::address::{self, Reach};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::pnet::{PnetConfig, PreSharedKey};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, Transport, dns, noise, quic, relay, tcp, yamux};
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// Streams of one connection, both sides together: each request has its own, and few run at a time.
const MAX_STREAMS: usize = 256;
/// How long a connection that nobody uses stays: peers are asked every half minute, so those that are in use stay.
const IDLE: Duration = Duration::from_secs(120);
/// Streams of one connection that are agreeing on a protocol.
const MAX_NEGOTIATING: usize = 64;

/// Whether private addresses may be dialled: shared by all who may find out.
#[derive(Clone, Debug, Default)]
pub struct Neighbourhood(Arc<AtomicBool>);

impl Neighbourhood {
    /// The operator has named a private address: from here on they are dialled.
    pub fn open(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether they are dialled.
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a swarm is made of beside what it does.
#[derive(Clone, Debug)]
pub struct Line {
    /// Who we are.
    pub key: Keypair,
    /// Key without which nobody can even speak to us.
    pub pre_shared: Option<PreSharedKey>,
    /// Whether private addresses may be dialled.
    pub neighbourhood: Neighbourhood,
}

/// Why there is no swarm.
pub type SwarmError = Box<dyn Error + Send + Sync>;

/// A swarm that does what `behaviour` says.
pub fn swarm<B: NetworkBehaviour>(
    line: Line,
    behaviour: impl FnOnce(&Keypair, relay::client::Behaviour) -> Result<B, SwarmError>,
) -> Result<Swarm<B>, SwarmError> {
    let Line { key, pre_shared, neighbourhood } = line;
    let base = |key: &Keypair| wire(key, pre_shared).map(|wire| Guarded { wire, neighbourhood });
    // A machine without a resolver reaches those who are named by number.
    let resolver = dns::ResolverConfig::default();
    let (resolver, options) = resolving().unwrap_or((resolver, dns::ResolverOpts::default()));
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(base)?
        .with_dns_config(resolver, options)
        .with_relay_client(noise::Config::new, multiplexing)?
        .with_behaviour(behaviour)?
        .with_swarm_config(|config| {
            config.with_idle_connection_timeout(IDLE).with_max_negotiating_inbound_streams(MAX_NEGOTIATING)
        })
        .build();
    Ok(swarm)
}

fn resolving() -> Option<(dns::ResolverConfig, dns::ResolverOpts)> {
    hickory_resolver::system_conf::read_system_conf().ok()
}

fn multiplexing() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(MAX_STREAMS);
    config
}

fn wire(key: &Keypair, pre_shared: Option<PreSharedKey>) -> Result<Boxed<(PeerId, StreamMuxerBox)>, SwarmError> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let noise = noise::Config::new(key)?;
    if let Some(pre_shared) = pre_shared {
        let private = tcp.and_then(move |socket, _| PnetConfig::new(pre_shared).handshake(socket));
        let secured = private.upgrade(Version::V1Lazy).authenticate(noise).multiplex(multiplexing());
        return Ok(secured.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))).boxed());
    }
    let secured = tcp.upgrade(Version::V1Lazy).authenticate(noise).multiplex(multiplexing());
    let quic = quic::tokio::Transport::new(quic::Config::new(key));
    let both = quic.or_transport(secured).map(|either, _| match either {
        futures_util::future::Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
        futures_util::future::Either::Right((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
    });
    Ok(both.boxed())
}

/// Dials no private address unless they may be.
struct Guarded<T> {
    wire: T,
    neighbourhood: Neighbourhood,
}

impl<T: Transport + Unpin> Transport for Guarded<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<T::Error>> {
        self.wire.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.wire.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<T::Dial, TransportError<T::Error>> {
        if address::reach(&address) < Reach::Name && !self.neighbourhood.is_open() {
            tracing::debug!(%address, "a private address that the operator did not name is not dialled");
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        self.wire.dial(address, options)
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        Pin::new(&mut self.wire).poll(context)
    }
}
