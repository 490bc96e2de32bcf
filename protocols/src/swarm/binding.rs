//! A binding: an account of Hive says with its own key "this peer votes for me".
//!
//! The text is made to be read by the person who signs it (`honeygraph bind`); any wallet that signs a message signs it
//! as Hive's own tools do (sha256 of the text, recoverable compact signature).
//!
//! *Always holds:* the text is a function of account, peer and time; whether the key that signed is one of the account's
//! is not decided here, for that takes Hive.

use super::keys::{HiveKey, HiveSignature, PeerKey};
use super::names::{AccountName, Label};
use super::wire::Message;
use serde::{Deserialize, Serialize};

/// The text that the account's owner signs.
pub fn text(account: &AccountName, peer: &PeerKey, issued_ms: u64) -> String {
    format!("honeygraph bind 1\naccount: {account}\npeer: {peer}\nissued: {issued_ms}\n")
}

/// An account's word for a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The account.
    pub account: AccountName,
    /// The peer.
    pub peer: PeerKey,
    /// When it was made, ms since the epoch: of two for one account and peer the newer counts.
    pub issued_ms: u64,
    /// By a key of the account.
    pub signature: HiveSignature,
}

impl Message for Binding {
    const WHAT: &'static str = "binding";
    const CAP: usize = 256;

    fn check(&self) -> Result<(), &'static str> {
        if self.issued_ms <= Label::MAX { Ok(()) } else { Err("made in no time that a clock shows") }
    }
}

impl Binding {
    /// The key that signed it; none: nobody did.
    pub fn signer(&self) -> Option<HiveKey> {
        self.signature.signer(text(&self.account, &self.peer, self.issued_ms).as_bytes())
    }
}
