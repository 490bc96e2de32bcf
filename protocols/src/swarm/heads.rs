//! `/honeygraph/<network>/heads/1`: where a peer's head stands, by gossip. A hint: newer replaces older, and nobody
//! acts on it but by asking.
//!
//! *Always holds:* one form per message ([`Message::decode_canonical`]).

use super::names::NetworkName;
use super::status::Head;
use super::wire::Message;
use serde::{Deserialize, Serialize};

/// Topic of a network's heads.
pub fn topic(network: &NetworkName) -> String {
    format!("/honeygraph/{network}/heads/1")
}

/// A peer's newest head. Who says it is the gossip's author, which the transport has checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The network.
    pub network: NetworkName,
    /// Grows with each message of this peer, also over restarts (its clock in ms, or one more than the last).
    pub n: u64,
    /// The head.
    pub head: Head,
}

impl Message for Announced {
    const WHAT: &'static str = "head";
    const CAP: usize = 1024;
}
