//! The book itself.
//!
//! *Always holds:* at most [`MAX_PEERS`] peers of [`MAX_ADDRESSES`] addresses; who makes room is the least worth keeping:
//! neither trusted nor banned nor connected, the least reliable, the longest not seen.

use super::penalty::{Offence, Penalties};
use super::reliability::Reliability;
use honeygraph_protocols::swarm::keys::PeerKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Peers remembered: far more than are ever connected, about 1 MB.
pub const MAX_PEERS: usize = 2_000;
/// Addresses of one peer; the oldest of the least trusted source makes room.
pub const MAX_ADDRESSES: usize = 8;
/// Longest address, in bytes of its text.
pub const MAX_ADDRESS_BYTES: usize = 256;
/// Time between two probes of a dead peer, ms.
pub const PROBE_MS: u64 = 5 * 60 * 1_000;

/// Who told us of an address, the most trusted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The operator.
    Operator,
    /// A list that comes with the program, or DNS.
    Bootstrap,
    /// A connection that was made to us or by us.
    Connection,
    /// Another peer.
    Exchange,
}

/// A peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// Where it was said to be, with who said so.
    pub addresses: Vec<(String, Source)>,
    /// When it last answered well, ms.
    pub last_success: Option<u64>,
    /// How well it serves.
    pub reliability: Reliability,
    /// What it did wrong.
    pub penalties: Penalties,
    /// The operator trusts it.
    pub trusted: bool,
    /// It is connected now.
    pub connected: bool,
    /// When it was last probed, ms.
    probed: u64,
    /// When it was last heard of, ms.
    pub(super) seen: u64,
}

impl Peer {
    pub(super) fn new(now: u64) -> Self {
        Self {
            addresses: Vec::new(),
            last_success: None,
            reliability: Reliability::new(now),
            penalties: Penalties::default(),
            trusted: false,
            connected: false,
            probed: 0,
            seen: now,
        }
    }
}

/// What follows from an offence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// It is noted.
    Noted,
    /// The peer is banned until then, ms: it is to be disconnected and not taken back before.
    Banned(u64),
    /// It would be banned, and the operator trusts it: the operator is told.
    Spared,
}

/// The book.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerBook {
    pub(super) peers: BTreeMap<PeerKey, Peer>,
    /// Offences so far, by kind: for metrics, which name no peers.
    pub offences: BTreeMap<Offence, u64>,
}

impl PeerBook {
    /// A peer.
    pub fn get(&self, peer: &PeerKey) -> Option<&Peer> {
        self.peers.get(peer)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&PeerKey, &Peer)> {
        self.peers.iter()
    }

    /// Takes an address. False: it is too long, or there is no room for one more peer.
    pub fn add(&mut self, now: u64, peer: PeerKey, address: &str, source: Source) -> bool {
        if address.is_empty() || address.len() > MAX_ADDRESS_BYTES {
            return false;
        }
        let Some(known) = self.entry(now, peer) else { return false };
        known.addresses.retain(|(held, from)| held != address || *from < source);
        if known.addresses.iter().any(|(held, _)| held == address) {
            return true;
        }
        known.addresses.push((address.to_owned(), source));
        if known.addresses.len() > MAX_ADDRESSES {
            let (least, _) = known.addresses.iter().enumerate().fold((0, source), |worst, (at, (_, from))| {
                if at == 0 || *from > worst.1 { (at, *from) } else { worst }
            });
            known.addresses.remove(least);
        }
        true
    }

    /// The operator trusts a peer, or does so no longer.
    pub fn trust(&mut self, now: u64, peer: PeerKey, trusted: bool) {
        if let Some(known) = self.entry(now, peer) {
            known.trusted = trusted;
            if trusted {
                known.penalties.pardon();
            }
        }
    }

    /// A connection was made, or is gone.
    pub fn connected(&mut self, now: u64, peer: PeerKey, connected: bool) {
        if let Some(known) = self.entry(now, peer) {
            (known.connected, known.seen) = (connected, now);
        }
    }

    /// A request was answered well, or was not. Nobody is banned for that.
    pub fn outcome(&mut self, now: u64, peer: PeerKey, good: bool) {
        let Some(known) = self.entry(now, peer) else { return };
        known.reliability.note(now, good);
        if good {
            (known.last_success, known.seen) = (Some(now), now);
        }
    }

    /// Something was proven against a peer.
    pub fn offend(&mut self, now: u64, peer: PeerKey, offence: Offence) -> Consequence {
        *self.offences.entry(offence).or_default() += 1;
        let Some(known) = self.entry(now, peer) else { return Consequence::Noted };
        if known.penalties.banned_until(now).is_some() || !known.penalties.note(now, offence.tolerance()) {
            return Consequence::Noted;
        }
        if known.trusted { Consequence::Spared } else { Consequence::Banned(known.penalties.ban(now)) }
    }

    /// Bans a peer on the operator's word, or ends a ban.
    pub fn set_banned(&mut self, now: u64, peer: PeerKey, banned: bool) {
        let Some(known) = self.entry(now, peer) else { return };
        if banned {
            known.trusted = false;
            known.penalties.ban(now);
        } else {
            known.penalties.pardon();
        }
    }

    /// Whether we do not talk to it.
    pub fn is_banned(&self, now: u64, peer: &PeerKey) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.penalties.banned_until(now).is_some())
    }

    /// How much a peer is worth asking: the operator's first, then the preferred, then the others; none: not at all.
    pub fn rank(&self, now: u64, peer: &PeerKey) -> Option<u8> {
        let Some(known) = self.peers.get(peer) else { return Some(1) };
        if known.penalties.banned_until(now).is_some() || !known.reliability.is_alive(now) {
            return None;
        }
        Some(if known.trusted { 2 } else { u8::from(known.reliability.is_preferred(now)) })
    }

    /// Those that are banned.
    pub fn banned(&self, now: u64) -> impl Iterator<Item = &PeerKey> {
        self.peers.iter().filter(move |(_, peer)| peer.penalties.banned_until(now).is_some()).map(|(key, _)| key)
    }

    /// Dead peers whose turn it is to be probed.
    pub fn probes(&mut self, now: u64) -> Vec<PeerKey> {
        let due = |peer: &Peer| {
            !peer.reliability.is_alive(now)
                && peer.penalties.banned_until(now).is_none()
                && now.saturating_sub(peer.probed) >= PROBE_MS
        };
        let due = self.peers.iter_mut().filter(|(_, peer)| due(peer));
        due.map(|(key, peer)| {
            peer.probed = now;
            *key
        })
        .collect()
    }

    /// The peer's entry; with a full book the least worth keeping makes room. None: nobody is worth less.
    fn entry(&mut self, now: u64, peer: PeerKey) -> Option<&mut Peer> {
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_PEERS {
            let kept = |known: &Peer| known.trusted || known.connected || known.penalties.banned_until(now).is_some();
            let loose = self.peers.iter().filter(|(_, known)| !kept(known));
            let worth = |known: &Peer| (known.reliability.value(now), known.seen);
            let least = loose.min_by(|a, b| worth(a.1).partial_cmp(&worth(b.1)).unwrap_or(std::cmp::Ordering::Equal));
            let least = *least?.0;
            self.peers.remove(&least);
        }
        Some(self.peers.entry(peer).or_insert_with(|| Peer::new(now)))
    }
}
