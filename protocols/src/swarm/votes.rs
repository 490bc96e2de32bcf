//! `/honeygraph/<network>/votes/1`: what accounts vouch for, by gossip.
//!
//! A vote is for the hash of a closed checkpoint that the voter recomputed itself. It is signed by a peer's key; a
//! [`Binding`] says which account that peer votes for. Two votes of one peer for one label are [`Evidence`] that anyone
//! can check.
//!
//! *Always holds:* a vote's signature covers every field and the protocol's name; one form per message
//! ([`Message::decode_canonical`]).

use super::binding::Binding;
use super::keys::{PeerKey, signature_bytes};
use super::names::{AccountName, Label, NetworkName};
use super::wire::Message;
use crate::honeycomb::HashText;
use serde::{Deserialize, Serialize};

/// Accounts of an electorate, at most; the runners of a network are some dozens.
pub const ELECTORATE: usize = 1_024;

/// Topic of a network's votes.
pub fn topic(network: &NetworkName) -> String {
    format!("/honeygraph/{network}/votes/1")
}

/// Whether this is the topic of some network's votes.
pub fn is_topic(topic: &str) -> bool {
    topic.starts_with("/honeygraph/") && topic.ends_with("/votes/1")
}

/// What is gossiped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// A vote.
    Vote(Vote),
    /// An account's word for a peer. Said now and then, so that whoever comes later hears it, too.
    Binding(Binding),
    /// A peer voted twice.
    Evidence(Evidence),
}

impl Message for Said {
    const WHAT: &'static str = "vote";
    const CAP: usize = 1024;

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Vote(_) => Ok(()),
            Self::Binding(binding) => binding.check(),
            Self::Evidence(evidence) => evidence.check(),
        }
    }
}

/// "At this label the checkpoint's hash is this one."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The network.
    pub network: NetworkName,
    /// Block of the checkpoint.
    pub label: Label,
    /// Its hash.
    pub close_hash: HashText,
    /// For this account.
    pub account: AccountName,
    /// By this peer.
    pub peer: PeerKey,
    /// Grows with each vote of this peer.
    pub n: u64,
    /// By the peer's key, over [`Vote::signed_bytes`].
    #[serde(with = "signature_bytes")]
    pub signature: [u8; 64],
}

impl Vote {
    /// What the signature covers.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let signed =
            ("honeygraph vote 1", (&self.network, self.label, &self.close_hash), (&self.account, &self.peer, self.n));
        postcard::to_stdvec(&signed).expect("a vote has no unrepresentable value")
    }

    /// Whether its peer signed it.
    pub fn is_signed(&self) -> bool {
        self.peer.verify(&self.signed_bytes(), &self.signature)
    }
}

/// Two votes of one peer for one label and two hashes. Whoever holds it can show it to anyone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The vote with the smaller hash.
    pub one: Vote,
    /// The other.
    pub other: Vote,
}

impl Evidence {
    /// Of two votes; none if they do not contradict each other.
    pub fn new(one: Vote, other: Vote) -> Option<Self> {
        let (one, other) = if one.close_hash < other.close_hash { (one, other) } else { (other, one) };
        let evidence = Self { one, other };
        evidence.check().is_ok().then_some(evidence)
    }

    /// Whether both are signed by the peer.
    pub fn is_signed(&self) -> bool {
        self.one.is_signed() && self.other.is_signed()
    }

    fn check(&self) -> Result<(), &'static str> {
        let (one, other) = (&self.one, &self.other);
        let same = one.network == other.network && one.label == other.label && one.peer == other.peer;
        if same && one.close_hash < other.close_hash { Ok(()) } else { Err("votes that do not contradict each other") }
    }
}
