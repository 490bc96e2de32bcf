//! Who speaks, proven by a Hive account's active key: the challenge of a feed, the signed text of an HTTP request.
//!
//! *Always holds:* what was read names one account and holds at most [`MAX_SIGNATURES`] signatures, each of one form;
//! an authority is met only by distinct keys of its own.

use crate::json::{self, Json, write_text};
use crate::swarm::keys::{HiveKey, HiveSignature};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Most signatures of one answer: an active authority of several keys may need more than one.
pub const MAX_SIGNATURES: usize = 8;

/// Most keys of an authority that are looked at; Hive itself allows 40.
pub const MAX_KEYS: usize = 40;

/// The name of a Hive account: 3 to 16 of `a-z`, `0-9`, `.` and `-`. In lower case, whatever the case it came in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Account(String);

impl Account {
    /// Takes a name.
    pub fn new(name: &str) -> Option<Self> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        ((3..=16).contains(&name.len()) && name.bytes().all(sound)).then(|| Self(name.to_ascii_lowercase()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keys with their weights, and the weight that is enough. Accounts that an authority names beside keys do not count:
/// their own keys would have to be looked up in turn, by whoever can make the chain of names long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Weight that is enough; at least 1.
    threshold: u64,
    keys: Vec<(HiveKey, u64)>,
}

impl Authority {
    /// An authority; none when nothing could meet it or everything would.
    pub fn new(threshold: u64, keys: Vec<(HiveKey, u64)>) -> Option<Self> {
        let sum = keys.iter().map(|(_, weight)| u128::from(*weight)).sum::<u128>();
        let met = threshold > 0 && sum >= u128::from(threshold) && keys.len() <= MAX_KEYS;
        met.then_some(Self { threshold, keys })
    }

    /// Its keys.
    pub fn keys(&self) -> impl Iterator<Item = HiveKey> {
        self.keys.iter().map(|(key, _)| *key)
    }

    /// Whether these signatures of `text` are enough, each key counting once.
    pub fn signed(&self, text: &[u8], signatures: &[HiveSignature]) -> bool {
        let signers: BTreeSet<HiveKey> =
            signatures.iter().take(MAX_SIGNATURES).filter_map(|signature| signature.signer(text)).collect();
        let mut counted = BTreeSet::new();
        let met = self.keys.iter().filter(|(key, _)| signers.contains(key) && counted.insert(*key));
        met.map(|(_, weight)| u128::from(*weight)).sum::<u128>() >= u128::from(self.threshold)
    }

    /// The authority of an account as `condenser_api.get_accounts` and the operator's key file write it:
    /// `{"weight_threshold":1,"key_auths":[["STM…",1]]}`, a list of keys of which each is enough, or one key.
    pub fn from_json(value: &Json) -> Option<Self> {
        let text = |value: &Json| match value {
            Json::Text(text) => text.as_str()?.parse().ok(),
            _ => None,
        };
        let count = |value: &Json| match value {
            Json::Int(int) => u64::try_from(*int).ok(),
            _ => None,
        };
        if let Json::Text(_) = value {
            return Self::new(1, vec![(text(value)?, 1)]);
        }
        if let Json::Array(keys) = value {
            return Self::new(1, keys.iter().map(|key| Some((text(key)?, 1))).collect::<Option<_>>()?);
        }
        let Some(Json::Array(pairs)) = value.get("key_auths") else { return None };
        let pair = |pair: &Json| match pair {
            Json::Array(pair) if pair.len() == 2 => Some((text(&pair[0])?, count(&pair[1])?)),
            _ => None,
        };
        Self::new(count(value.get("weight_threshold")?)?, pairs.iter().map(pair).collect::<Option<_>>()?)
    }
}

/// What a feed is asked to sign. The nonce is new for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// When it was made, milliseconds.
    pub timestamp: u64,
    /// Nobody knows it before.
    pub nonce: String,
    /// The node that asks, on this connection.
    pub node_id: String,
}

/// A frame of a feed that has not yet proven who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Not a message at all.
    Nothing,
    /// A message that only a proven feed may say.
    Other,
    /// `auth_response` without one of its fields.
    Incomplete,
    /// `auth_response`
    Response(Response),
}

/// `auth_response`: still only claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// `account`, as sent.
    pub account: String,
    /// `message`, the text that was signed.
    pub message: String,
    /// `signature`: one, or a list; none when one of them is not a canonical signature.
    pub signatures: Option<Vec<HiveSignature>>,
}

/// Reads a frame.
pub fn read(frame: &[u8]) -> Said {
    let Ok(value @ Json::Object(_)) = json::parse(frame) else { return Said::Nothing };
    let text = |name: &str| match value.get(name) {
        Some(Json::Text(text)) => text.as_str().filter(|text| !text.is_empty()).map(str::to_owned),
        _ => None,
    };
    if text("type").as_deref() != Some("auth_response") {
        return Said::Other;
    }
    let one = |value: &Json| match value {
        Json::Text(text) => text.as_str()?.parse().ok(),
        _ => None,
    };
    let signatures = match value.get("signature") {
        Some(Json::Text(text)) if text.as_bytes().is_empty() => return Said::Incomplete,
        Some(text @ Json::Text(_)) => one(text).map(|one| vec![one]),
        Some(Json::Array(list)) if (1..=MAX_SIGNATURES).contains(&list.len()) => list.iter().map(one).collect(),
        None | Some(Json::Null) => return Said::Incomplete,
        Some(_) => None,
    };
    match (text("account"), text("message")) {
        (Some(account), Some(message)) => Said::Response(Response { account, message, signatures }),
        _ => Said::Incomplete,
    }
}

/// What is wrong with the text that a feed signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongMessage {
    /// Not a JSON object.
    NotJson,
    /// It answers another challenge, or speaks for another account.
    OtherChallenge,
}

impl Response {
    /// Whether the text that was signed answers this challenge, for the account that sent it.
    pub fn answers(&self, challenge: &Challenge) -> Result<(), WrongMessage> {
        let value = json::parse(self.message.as_bytes()).map_err(|_| WrongMessage::NotJson)?;
        if !matches!(value, Json::Object(_)) {
            return Err(WrongMessage::NotJson);
        }
        let says = |value: Option<&Json>, expected: &str| match value {
            Some(Json::Text(text)) => text.as_bytes() == expected.as_bytes(),
            _ => false,
        };
        let its = value.get("challenge").ok_or(WrongMessage::OtherChallenge)?;
        let timestamp =
            matches!(its.get("timestamp"), Some(Json::Int(at)) if u64::try_from(*at) == Ok(challenge.timestamp));
        // The old server looked at neither of the two: whoever leaves one out is taken, whoever says another is not.
        let or_missing = |value: Option<&Json>, expected: &str| value.is_none() || says(value, expected);
        let answers = timestamp
            && says(its.get("nonce"), &challenge.nonce)
            && or_missing(its.get("nodeId"), &challenge.node_id)
            && or_missing(value.get("account"), &self.account);
        if answers { Ok(()) } else { Err(WrongMessage::OtherChallenge) }
    }
}

/// The text of a signed HTTP request. `path` with its query as it stands in the request, `body` as sent (`{}` without one).
pub fn request_text(method: &str, path: &str, timestamp: u64, body: &str, account: &str) -> String {
    let mut out = String::with_capacity(96 + path.len() + body.len());
    out.push_str("{\"method\":");
    out.push_str(&quoted(method));
    out.push_str(",\"path\":");
    out.push_str(&quoted(path));
    // Writing to a String does not fail.
    let _ = write!(out, ",\"timestamp\":{timestamp},\"body\":{body},\"account\":{}}}", quoted(account));
    out
}

/// JSON as `JSON.stringify` writes it without arguments, which is what clients sign: no white space between tokens. Text
/// that is not JSON gives none.
pub fn compact(body: &str) -> Option<String> {
    json::parse(body.as_bytes()).ok()?;
    let (mut out, mut in_string, mut escaped) = (String::with_capacity(body.len()), false, false);
    for c in body.chars() {
        if in_string {
            (in_string, escaped) = (escaped || c != '"', !escaped && c == '\\');
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        out.push(c);
    }
    Some(out)
}

fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_text(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
