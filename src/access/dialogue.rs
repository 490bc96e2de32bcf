//! The challenge of one connection: what a feed hears until it has proven who it is.
//!
//! *Always holds:* a challenge is of one node and one connection, and opens it once; a stranger hears [`MAX_FRAMES`] replies,
//! and [`MAX_TRIES`] signatures of its are looked at.

use super::Admitted;
use super::grant::Roll;
use honeygraph_protocols::auth::{self, Account, Challenge, Said, WrongMessage};
use honeygraph_protocols::swarm::keys::HiveSignature;
use std::time::Duration;

/// How long a feed may take to prove who it is, from its connection on.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Largest frame of a stranger, in bytes: an answer has some 500.
pub const MAX_FRAME: usize = 16 << 10;

/// Frames of a stranger that are answered; the next one closes the socket.
pub const MAX_FRAMES: u32 = 100;

/// Answers that are looked up and whose signatures are computed; the next one closes the socket. Someone who mistyped a key
/// has a few tries without a new connection.
pub const MAX_TRIES: u32 = 5;

/// Random bytes of a nonce.
const NONCE_BYTES: usize = 16;

/// The challenge, and what is left of it.
#[derive(Debug)]
pub struct Dialogue {
    challenge: Challenge,
    frames: u32,
    tries: u32,
    open: bool,
}

/// What is to be done about a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// `error`
    Error(&'static str),
    /// `auth_failed`
    Failed(Reason),
    /// Its signatures are to be held against the account's keys.
    Check(Claim),
    /// Close: it had its chances.
    Enough,
}

/// A claim that answers the challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who it is, if it is true.
    pub account: Account,
    /// What was signed.
    pub message: String,
    /// By whom.
    pub signatures: Vec<HiveSignature>,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The account's active authority signed.
    Signed,
    /// It did not.
    NotSigned,
    /// There is no such account.
    NoAccount,
    /// Nobody could say what its keys are.
    Unknown,
}

/// Reason and details of `auth_failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub &'static str, pub &'static str);

const INCOMPLETE: Reason = Reason(
    "Missing authentication data",
    "Please provide account, signature, and message fields in your auth_response",
);
const NOT_JSON: Reason = Reason("Authentication verification failed", "message is not a JSON object");
const OTHER_CHALLENGE: Reason =
    Reason("Invalid challenge response", "message has to carry the challenge of this connection and your account");
const NOT_LISTED: Reason = Reason("Account not authorized", "this node does not take feeds of this account");
const NO_ACCOUNT: Reason = Reason("Account not found on Hive", "there is no such account, or it has no active key");
const BAD_SIGNATURE: Reason =
    Reason("Invalid signature", "sign sha256 of message with the account's active key: 130 hex digits, canonical");
const UNKNOWN: Reason =
    Reason("Authentication verification failed", "the account's keys cannot be looked up now: try again");

/// A nonce from the system's source of randomness.
pub fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; NONCE_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

impl Dialogue {
    /// Begins with this challenge.
    pub fn new(challenge: Challenge) -> Self {
        Self { challenge, frames: 0, tries: 0, open: true }
    }

    /// What the feed has to sign.
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// A frame.
    pub fn hear(&mut self, frame: &[u8], roll: &Roll) -> Heard {
        self.frames += 1;
        if self.frames > MAX_FRAMES {
            return Heard::Enough;
        }
        let response = match auth::read(frame) {
            Said::Nothing => return Heard::Error("Invalid message format"),
            Said::Other => return Heard::Error("Authentication required"),
            Said::Incomplete => return Heard::Failed(INCOMPLETE),
            Said::Response(response) => response,
        };
        match response.answers(&self.challenge) {
            Err(WrongMessage::NotJson) => return Heard::Failed(NOT_JSON),
            Err(WrongMessage::OtherChallenge) => return Heard::Failed(OTHER_CHALLENGE),
            Ok(()) if !self.open => return Heard::Failed(OTHER_CHALLENGE),
            Ok(()) => {}
        }
        let account = match Account::new(&response.account) {
            Some(account) if roll.feeds(&account).is_some() => account,
            None if !roll.names_some() => return Heard::Failed(NO_ACCOUNT),
            _ => return Heard::Failed(NOT_LISTED),
        };
        let Some(signatures) = response.signatures else { return Heard::Failed(BAD_SIGNATURE) };
        self.tries += 1;
        if self.tries > MAX_TRIES {
            return Heard::Enough;
        }
        Heard::Check(Claim { account, message: response.message, signatures })
    }

    /// The claim has been checked: the feed that comes in, or what it is told.
    pub fn checked(&mut self, account: Account, proof: Proof, roll: &Roll) -> Result<Admitted, Reason> {
        match proof {
            Proof::Signed if self.open => {
                let grant = roll.feeds(&account).ok_or(NOT_LISTED)?;
                self.open = false;
                Ok(Admitted { account: Some(account), grant })
            }
            Proof::Signed => Err(OTHER_CHALLENGE),
            Proof::NotSigned => Err(BAD_SIGNATURE),
            Proof::NoAccount => Err(NO_ACCOUNT),
            Proof::Unknown => Err(UNKNOWN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::{BTreeMap, BTreeSet};

    const SIGNATURE: &str = "200acca665fcfeb2416702ef13c227514f86d64d3d6dc6553d8aab4a15234355cf60528fb679e29d1bbc739d5dd6e620c7a17e0994c46a1fc3c7ee221160181789";

    fn challenge() -> Challenge {
        Challenge { timestamp: 1_699_123_456_789, nonce: "abc123def4".into(), node_id: "node".into() }
    }

    fn answer(account: &str, message: &Value) -> String {
        json!({"type":"auth_response","account":account,"signature":SIGNATURE,"message":message.to_string()})
            .to_string()
    }

    fn message(nonce: &str) -> Value {
        json!({"account":"alice","challenge":{"timestamp":1_699_123_456_789_u64,"nonce":nonce,"nodeId":"node"},"timestamp":1})
    }

    fn reason(heard: Heard) -> &'static str {
        match heard {
            Heard::Failed(Reason(reason, _)) | Heard::Error(reason) => reason,
            Heard::Check(_) => "check",
            Heard::Enough => "enough",
        }
    }

    /// Guards against: the node of a challenge is not compared; an account that only differs from the signed one is taken.
    #[test]
    fn every_frame_has_its_reason() {
        let roll = Roll::new(&["alice"], &BTreeMap::new()).unwrap();
        let mut other_node = message("abc123def4");
        other_node["challenge"]["nodeId"] = "elsewhere".into();
        let mut other_time = message("abc123def4");
        other_time["challenge"]["timestamp"] = 1.into();
        let short = json!({"challenge":{"timestamp":1_699_123_456_789_u64,"nonce":"abc123def4"}});
        let cases = [
            ("nonsense".to_owned(), "Invalid message format"),
            ("null".to_owned(), "Invalid message format"),
            (r#"{"type":"identify"}"#.to_owned(), "Authentication required"),
            (r#"{}"#.to_owned(), "Authentication required"),
            (r#"{"type":"auth_response","account":"alice"}"#.to_owned(), "Missing authentication data"),
            (
                json!({"type":"auth_response","account":7,"signature":SIGNATURE,"message":"x"}).to_string(),
                "Missing authentication data",
            ),
            (answer("alice", &Value::Null), "Authentication verification failed"),
            (answer("alice", &json!({})), "Invalid challenge response"),
            (answer("alice", &message("another")), "Invalid challenge response"),
            (answer("alice", &other_node), "Invalid challenge response"),
            (answer("alice", &other_time), "Invalid challenge response"),
            (answer("bobby", &message("abc123def4")), "Invalid challenge response"),
            (answer("bobby", &short), "Account not authorized"),
            (answer("alice", &short), "check"),
            (answer("alice", &message("abc123def4")), "check"),
            (answer("alice", &message("abc123def4")).replace(SIGNATURE, "00"), "Invalid signature"),
        ];
        let mut dialogue = Dialogue::new(challenge());
        for (frame, expected) in cases {
            assert_eq!(reason(dialogue.hear(frame.as_bytes(), &roll)), expected, "{frame}");
        }
        let nobody = answer("x", &short);
        assert_eq!(
            reason(Dialogue::new(challenge()).hear(nobody.as_bytes(), &Roll::default())),
            "Account not found on Hive"
        );
    }

    /// Row 14: the old server took a challenge as often as it was answered. Guards against: `open` is never closed.
    #[test]
    fn a_challenge_opens_once() {
        let roll = Roll::default();
        let mut dialogue = Dialogue::new(challenge());
        let frame = answer("alice", &message("abc123def4"));
        let Heard::Check(claim) = dialogue.hear(frame.as_bytes(), &roll) else { panic!("a claim") };
        assert_eq!(
            dialogue.checked(claim.account.clone(), Proof::NotSigned, &roll).unwrap_err().0,
            "Invalid signature"
        );
        let Heard::Check(claim) = dialogue.hear(frame.as_bytes(), &roll) else { panic!("a second try") };
        assert_eq!(
            dialogue.checked(claim.account.clone(), Proof::Signed, &roll).unwrap().account,
            Some(claim.account.clone())
        );
        assert_eq!(reason(dialogue.hear(frame.as_bytes(), &roll)), "Invalid challenge response");
        assert!(dialogue.checked(claim.account, Proof::Signed, &roll).is_err());
    }

    #[test]
    fn a_stranger_has_few_tries() {
        let (roll, frame) = (Roll::default(), answer("alice", &message("abc123def4")));
        let mut dialogue = Dialogue::new(challenge());
        for _ in 0..MAX_TRIES {
            assert_eq!(reason(dialogue.hear(frame.as_bytes(), &roll)), "check");
        }
        assert_eq!(dialogue.hear(frame.as_bytes(), &roll), Heard::Enough);
        let mut dialogue = Dialogue::new(challenge());
        for _ in 0..MAX_FRAMES {
            assert_eq!(reason(dialogue.hear(b"{}", &roll)), "Authentication required");
        }
        assert_eq!(dialogue.hear(b"{}", &roll), Heard::Enough);
    }

    /// Row 14: the old nonce was `Math.random`.
    #[test]
    fn a_nonce_is_never_the_same() {
        let nonces: BTreeSet<String> = (0..1000).map(|_| nonce().unwrap()).collect();
        assert_eq!(nonces.len(), 1000);
        assert!(nonces.iter().all(|nonce| nonce.len() == NONCE_BYTES * 2));
    }
}
