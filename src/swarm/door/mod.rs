//! The door: which peers are kept and served, by the accounts that they are of (`swarm.accounts`, `swarm.block_accounts`).
//!
//! A machine: `task` beside it asks peers for their bindings, looks keys up, and lets go. What counts is the binding that a
//! peer shows itself, on its own connection: one by gossip may be of an account that wants to see the peer blocked.
//!
//! *Always holds:* where accounts are listed, nobody is in whose binding was not held against the keys of one of them; who
//! has not shown one that holds within [`PATIENCE_MS`] is let go, and does not come back before [`AWAY_MS`] are over.

pub mod task;
#[cfg(test)]
mod tests;

use crate::access::dialogue::Proof;
use honeygraph_protocols::swarm::binding::{Away, Binding};
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_protocols::swarm::names::AccountName;
use std::collections::{BTreeMap, BTreeSet};

/// How long a peer may take to show a binding, and keys may take to be looked up, ms: as long as a feed has to prove itself.
pub const PATIENCE_MS: u64 = 30_000;
/// After so long a peer that did not answer is asked again, ms.
const ASK_AGAIN_MS: u64 = 2_000;
/// How often the keys behind a binding are looked at again, ms: what Hive said is kept for an hour anyway, and the
/// operator's file is looked at for nothing.
const CHECK_MS: u64 = 60_000;
/// For so long a peer that was let go is not taken back, ms: by then somebody may have bound it.
pub const AWAY_MS: u64 = 60_000;
/// A peer that was let go is told so before its connection ends, which may take so long, ms.
const TELL_MS: u64 = 2_000;
/// Peers let go that are remembered; the one that was let go first is forgotten, and asked again if it comes.
pub const MAX_AWAY: usize = 1_024;

/// What the operator wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Accounts whose nodes alone are let in, when there are any.
    pub only: BTreeSet<AccountName>,
    /// Accounts whose nodes are not.
    pub never: BTreeSet<AccountName>,
    /// Peers that the operator named: they need no account.
    pub named: BTreeSet<PeerKey>,
}

impl Rules {
    /// Whether everybody is let in.
    pub fn is_open(&self) -> bool {
        self.only.is_empty() && self.never.is_empty()
    }
}

/// Why a peer is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It has no binding, or does not speak of any.
    Unbound,
    /// It did not answer in time.
    Silent,
    /// It showed another peer's binding.
    NotIts,
    /// Its account is not one of those that are let in.
    NotListed,
    /// Its account is blocked.
    Blocked,
    /// No key that its account has signed its binding.
    NotSigned,
    /// Nobody could say what keys its account has.
    KeysUnknown,
    /// It came back too early.
    Early,
}

impl Refusal {
    /// In one stable word: log field and metric label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unbound => "unbound",
            Self::Silent => "silent",
            Self::NotIts => "not_its",
            Self::NotListed => "not_listed",
            Self::Blocked => "blocked",
            Self::NotSigned => "not_signed",
            Self::KeysUnknown => "keys_unknown",
            Self::Early => "early",
        }
    }

    /// What the peer is told of it, which does not say whose accounts are listed. None: nothing, again.
    pub fn told(self) -> Option<Away> {
        match self {
            Self::Unbound | Self::Silent => Some(Away::Unbound),
            Self::NotIts | Self::NotListed | Self::Blocked | Self::NotSigned | Self::KeysUnknown => {
                Some(Away::NotLetIn)
            }
            Self::Early => None,
        }
    }
}

/// What a peer shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A binding, or that it has none.
    Binding(Option<Box<Binding>>),
    /// It does not speak of bindings: an older node, or a boot node.
    Unspoken,
    /// Nothing, this time.
    Silence,
}

/// What the door hears.
#[derive(Clone, Debug)]
pub enum Input {
    /// Who is connected.
    Connected(BTreeSet<PeerKey>),
    /// A peer was asked which account it is of.
    Shown(PeerKey, Shown),
    /// The keys of a binding's account were looked up.
    Judged(Box<Binding>, Proof),
    /// Time has passed.
    Tick,
}

/// What the door wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A peer is to be asked for its binding.
    Ask(PeerKey),
    /// Whether a key of its account signed this is to be looked up.
    Check(Box<Binding>),
    /// A peer is to be let go.
    LetGo(PeerKey, Refusal),
}

enum Place {
    /// Not in yet.
    Before {
        since: u64,
        /// When to ask; none: asked, or nothing to ask for.
        ask_at: Option<u64>,
        /// What is being looked up.
        looked_up: Option<Box<Binding>>,
        /// Why it is let go when its time is over.
        lacks: Refusal,
    },
    /// In; by a binding where accounts are listed.
    In { by: Option<(Box<Binding>, u64)> },
}

/// The door.
pub struct Door {
    rules: Rules,
    places: BTreeMap<PeerKey, Place>,
    /// When they were let go.
    away: BTreeMap<PeerKey, u64>,
}

impl Door {
    /// Where nobody stands yet.
    pub fn new(rules: Rules) -> Self {
        Self { rules, places: BTreeMap::new(), away: BTreeMap::new() }
    }

    /// Who is in.
    pub fn inside(&self) -> BTreeSet<PeerKey> {
        let inside = self.places.iter().filter(|(_, place)| matches!(place, Place::In { .. }));
        inside.map(|(peer, _)| *peer).collect()
    }

    /// Whether it has been seen to be connected, or was let go of late.
    pub fn knows(&self, peer: &PeerKey) -> bool {
        self.places.contains_key(peer) || self.away.contains_key(peer)
    }

    /// Whether it is not decided yet.
    pub fn is_before(&self, peer: &PeerKey) -> bool {
        matches!(self.places.get(peer), Some(Place::Before { .. }))
    }

    /// When it wants to be told that time has passed.
    pub fn wake_at(&self) -> Option<u64> {
        let due = |place: &Place| match place {
            Place::Before { since, ask_at, .. } => {
                Some(ask_at.map_or(since + PATIENCE_MS, |at| at.min(since + PATIENCE_MS)))
            }
            Place::In { by } => by.as_ref().map(|(_, at)| *at),
        };
        self.places.values().filter_map(due).min()
    }

    /// Takes something in.
    pub fn on(&mut self, now: u64, input: Input, fx: &mut Vec<Effect>) {
        match input {
            Input::Connected(connected) => self.connected(now, &connected, fx),
            Input::Shown(peer, shown) => self.shown(now, peer, shown, fx),
            Input::Judged(binding, proof) => self.judged(now, &binding, proof, fx),
            Input::Tick => {}
        }
        self.due(now, fx);
    }

    fn connected(&mut self, now: u64, connected: &BTreeSet<PeerKey>, fx: &mut Vec<Effect>) {
        self.places.retain(|peer, _| connected.contains(peer));
        self.away.retain(|_, since| now < *since + AWAY_MS);
        for peer in connected {
            match self.away.get(peer) {
                // It is being told.
                Some(since) if now < since + TELL_MS => {}
                Some(_) => fx.push(Effect::LetGo(*peer, Refusal::Early)),
                None if self.places.contains_key(peer) => {}
                None if self.rules.named.contains(peer) => drop(self.places.insert(*peer, Place::In { by: None })),
                None => {
                    let (ask_at, looked_up, lacks) = (Some(now), None, Refusal::Silent);
                    self.places.insert(*peer, Place::Before { since: now, ask_at, looked_up, lacks });
                }
            }
        }
    }

    /// A peer that may stand before the door has answered, or has not.
    fn shown(&mut self, now: u64, peer: PeerKey, shown: Shown, fx: &mut Vec<Effect>) {
        let anybody = self.rules.only.is_empty();
        let Some(Place::Before { ask_at, looked_up, lacks, .. }) = self.places.get_mut(&peer) else { return };
        let refused = match shown {
            Shown::Silence => {
                *ask_at = Some(now + ASK_AGAIN_MS);
                return;
            }
            Shown::Unspoken | Shown::Binding(None) if anybody => return self.let_in(peer),
            // It may have come to say where others are, which takes a while.
            Shown::Unspoken => {
                *lacks = Refusal::Unbound;
                return;
            }
            Shown::Binding(None) => Refusal::Unbound,
            Shown::Binding(Some(binding)) if binding.peer != peer => Refusal::NotIts,
            // Its word against itself needs no proof.
            Shown::Binding(Some(binding)) if self.rules.never.contains(&binding.account) => Refusal::Blocked,
            Shown::Binding(Some(_)) if anybody => return self.let_in(peer),
            Shown::Binding(Some(binding)) if !self.rules.only.contains(&binding.account) => Refusal::NotListed,
            Shown::Binding(Some(binding)) => {
                *lacks = Refusal::KeysUnknown;
                *looked_up = Some(binding.clone());
                fx.push(Effect::Check(binding));
                return;
            }
        };
        self.let_go(now, peer, refused, fx);
    }

    fn judged(&mut self, now: u64, binding: &Binding, proof: Proof, fx: &mut Vec<Effect>) {
        let peer = binding.peer;
        match (self.places.get_mut(&peer), proof) {
            (Some(Place::Before { looked_up: Some(its), .. }), Proof::Signed) if **its == *binding => {
                let by = Some((Box::new(binding.clone()), now + CHECK_MS));
                self.places.insert(peer, Place::In { by });
            }
            (Some(Place::Before { ask_at, looked_up, .. }), Proof::Unknown) => {
                (*ask_at, *looked_up) = (Some(now + ASK_AGAIN_MS), None);
            }
            (Some(Place::Before { looked_up: Some(its), .. } | Place::In { by: Some((its, _)) }), denied)
                if **its == *binding && matches!(denied, Proof::NotSigned | Proof::NoAccount) =>
            {
                self.let_go(now, peer, Refusal::NotSigned, fx);
            }
            // In stays in what nobody denies; what is not here any more is nobody's business.
            _ => {}
        }
    }

    fn due(&mut self, now: u64, fx: &mut Vec<Effect>) {
        let mut late = Vec::new();
        for (peer, place) in &mut self.places {
            match place {
                Place::Before { since, lacks, .. } if now >= *since + PATIENCE_MS => late.push((*peer, *lacks)),
                Place::Before { ask_at, .. } => {
                    if ask_at.take_if(|at| now >= *at).is_some() {
                        fx.push(Effect::Ask(*peer));
                    }
                }
                Place::In { by: Some((binding, at)) } if now >= *at => {
                    *at = now + CHECK_MS;
                    fx.push(Effect::Check(binding.clone()));
                }
                Place::In { .. } => {}
            }
        }
        for (peer, lacks) in late {
            // Who says nothing is of no account that is blocked, as far as anybody knows.
            if self.rules.only.is_empty() { self.let_in(peer) } else { self.let_go(now, peer, lacks, fx) }
        }
    }

    fn let_in(&mut self, peer: PeerKey) {
        self.places.insert(peer, Place::In { by: None });
    }

    fn let_go(&mut self, now: u64, peer: PeerKey, why: Refusal, fx: &mut Vec<Effect>) {
        self.places.remove(&peer);
        if self.away.len() >= MAX_AWAY
            && let Some(first) = self.away.iter().min_by_key(|(_, since)| **since).map(|(peer, _)| *peer)
        {
            self.away.remove(&first);
        }
        self.away.insert(peer, now);
        fx.push(Effect::LetGo(peer, why));
    }
}
