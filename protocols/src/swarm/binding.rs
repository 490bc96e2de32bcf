//! A binding: an account of Hive says with its own key "this peer votes for me".
//!
//! The text is made to be read by the person who signs it (`honeygraph bind`); any wallet that signs a message signs it
//! as Hive's own tools do (sha256 of the text, recoverable compact signature).
//!
//! `/honeygraph/binding/1`: a peer is asked for the binding that it has, or told that it is let go for want of one. Only what
//! a peer shows itself counts for it at the door: an account can sign a binding for any peer, willing or not.
//!
//! *Always holds:* the text is a function of account, peer and time; whether the key that signed is one of the account's
//! is not decided here, for that takes Hive.

use super::keys::{HiveKey, HiveSignature, PeerKey};
use super::names::{AccountName, Label};
use super::wire::Message;
use serde::{Deserialize, Serialize};

/// Protocol id.
pub const ID: &str = "/honeygraph/binding/1";

/// What a peer is asked or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Which account are you of?
    Show,
    /// You are let go.
    Away(Away),
}

/// Why a peer is let go. No more is said: which accounts a node lets in is told to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Away {
    /// It has shown no binding, and here it takes one.
    Unbound,
    /// Its account is not let in here, or its binding does not hold.
    NotLetIn,
}

impl Message for Request {
    const WHAT: &'static str = "binding request";
    const CAP: usize = 16;
}

/// The answer; to who is let go it has nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The account's word for who answers.
    pub binding: Option<Binding>,
}

impl Message for Answer {
    const WHAT: &'static str = "binding answer";
    const CAP: usize = 1 + Binding::CAP;

    fn check(&self) -> Result<(), &'static str> {
        self.binding.as_ref().map_or(Ok(()), Binding::check)
    }
}

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
