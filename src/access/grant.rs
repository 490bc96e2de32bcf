//! Accounts that the operator names, and what each may do.
//!
//! *Always holds:* what an account may feed is decided whole frame by whole frame, before anything of it is kept.

use super::address::{Address, range};
use super::keys::Scope;
use honeygraph_protocols::auth::Account;
use honeygraph_protocols::honeycomb::{Ops, What};
use honeygraph_protocols::op::{Op, PREFIX};
use honeygraph_protocols::path::{self, Segment};
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most accounts that an operator names.
pub const MAX_ACCOUNTS: usize = 1024;

/// `[accounts.NAME]` of the configuration file. A list that is left out allows everything, an empty one nothing.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct AccountFile {
    /// Whether it may feed at all.
    pub feed: bool,
    /// Networks that it may feed.
    pub networks: Option<BTreeSet<String>>,
    /// Tokens that it may feed as.
    pub tokens: Option<BTreeSet<String>>,
    /// Kinds of ops that it may send.
    pub operations: Option<BTreeSet<Operation>>,
    /// Paths at and below which it may write.
    pub paths: Option<Vec<String>>,
    /// Addresses from which a feed is this account's without a signature.
    pub addresses: Vec<String>,
    /// What it may do over HTTP, with signed requests.
    pub scopes: Vec<String>,
}

impl Default for AccountFile {
    fn default() -> Self {
        let (networks, tokens, operations, paths) = (None, None, None, None);
        Self { feed: true, networks, tokens, operations, paths, addresses: Vec::new(), scopes: Vec::new() }
    }
}

/// A kind of op.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Writes.
    Put,
    /// Removes.
    Del,
}

/// Why a list of accounts cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RollError {
    /// Not a name of an account.
    #[error("{0:?} is not the name of a Hive account")]
    Name(String),
    /// Not a range.
    #[error("account {0}: {1:?} is not an address or a range such as 10.0.0.0/8")]
    Range(String, String),
    /// Not a path.
    #[error("account {0}: {1:?} is not a path such as /balances/alice")]
    Path(String, String),
    /// Not a scope.
    #[error("account {0}: {1:?} is not a scope (read, admin, network:NAME, token:SYMBOL)")]
    Scope(String, String),
    /// An address can be only one account's.
    #[error("the address ranges of {0} and {1} overlap")]
    Overlap(String, String),
    /// Too many.
    #[error("more than {MAX_ACCOUNTS} accounts")]
    TooMany,
}

/// What a feed may say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    networks: Option<BTreeSet<String>>,
    tokens: Option<BTreeSet<String>>,
    operations: Option<BTreeSet<Operation>>,
    paths: Option<Vec<Vec<Segment>>>,
}

/// What an account may not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// Feed this network.
    #[error("this account may not feed network {0}")]
    Network(String),
    /// Feed as this token.
    #[error("this account may not feed token {0}")]
    Token(String),
    /// Send such an op.
    #[error("this account may not {0} here")]
    Op(&'static str),
}

impl Grant {
    /// Whether it may feed this network as this token.
    pub fn feeds(&self, network: &str, token: &str) -> Result<(), NotAllowed> {
        if self.networks.as_ref().is_some_and(|networks| !networks.contains(network)) {
            return Err(NotAllowed::Network(network.into()));
        }
        if self.tokens.as_ref().is_some_and(|tokens| !tokens.contains(&token.to_ascii_uppercase())) {
            return Err(NotAllowed::Token(token.into()));
        }
        Ok(())
    }

    /// Whether it may send these ops, all of them.
    pub fn sends(&self, ops: &Ops) -> Result<(), NotAllowed> {
        if self.operations.is_none() && self.paths.is_none() {
            return Ok(());
        }
        for item in &ops.items {
            let What::Op { text, .. } = &item.what else { continue };
            let text = ops.texts.get(text.clone()).and_then(|text| text.get(PREFIX..)).unwrap_or_default();
            // What the parser of frames accepted is an op; anything else is nobody's to send.
            let op = Op::parse_text(text).map_err(|_| NotAllowed::Op("write"))?;
            let (kind, word) = match op {
                Op::Put { .. } => (Operation::Put, "put"),
                Op::Del { .. } => (Operation::Del, "del"),
            };
            let below = |allowed: &Vec<Segment>| op.path().starts_with(allowed);
            let kind_allowed = self.operations.as_ref().is_none_or(|kinds| kinds.contains(&kind));
            if !kind_allowed || self.paths.as_ref().is_some_and(|paths| !paths.iter().any(below)) {
                return Err(NotAllowed::Op(word));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    feed: bool,
    grant: Arc<Grant>,
    addresses: Vec<IpNet>,
    scopes: BTreeSet<Scope>,
}

/// The accounts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roll {
    accounts: BTreeMap<Account, Entry>,
}

impl Roll {
    /// Accounts that may feed (`AUTHORIZED_HONEYCOMB_NODES`), and those of the file with what they may.
    pub fn new(feeders: &[&str], file: &BTreeMap<String, AccountFile>) -> Result<Self, RollError> {
        let named = |name: &str| Account::new(name).ok_or_else(|| RollError::Name(name.into()));
        let mut accounts = BTreeMap::new();
        for name in feeders {
            accounts.insert(named(name)?, Entry::of(name, &AccountFile::default())?);
        }
        for (name, file) in file {
            accounts.insert(named(name)?, Entry::of(name, file)?);
        }
        if accounts.len() > MAX_ACCOUNTS {
            return Err(RollError::TooMany);
        }
        let ranges: Vec<(&Account, &IpNet)> =
            accounts.iter().flat_map(|(name, entry)| entry.addresses.iter().map(move |net| (name, net))).collect();
        for (at, (name, net)) in ranges.iter().enumerate() {
            let meets =
                |other: &&(&Account, &IpNet)| other.0 != *name && (other.1.contains(*net) || net.contains(other.1));
            if let Some((other, _)) = ranges[..at].iter().find(meets) {
                return Err(RollError::Overlap(other.to_string(), name.to_string()));
            }
        }
        Ok(Self { accounts })
    }

    /// Whether anybody is named, so that nobody else comes in.
    pub fn names_some(&self) -> bool {
        !self.accounts.is_empty()
    }

    /// What this account may feed; none when it may not.
    pub fn feeds(&self, account: &Account) -> Option<Arc<Grant>> {
        if !self.names_some() {
            return Some(Arc::default());
        }
        self.accounts.get(account).filter(|entry| entry.feed).map(|entry| entry.grant.clone())
    }

    /// What this account may do over HTTP; none when others are named and it is not.
    pub fn scopes(&self, account: &Account) -> Option<BTreeSet<Scope>> {
        if !self.names_some() {
            return Some(BTreeSet::from([Scope::Read]));
        }
        self.accounts.get(account).map(|entry| entry.scopes.clone())
    }

    /// The account whose feeds come from this address.
    pub fn by_address(&self, from: &Address) -> Option<Account> {
        let here = |entry: &Entry| !from.forwarded && entry.addresses.iter().any(|net| net.contains(&from.ip));
        self.accounts.iter().find(|(_, entry)| here(entry)).map(|(account, _)| account.clone())
    }
}

impl Entry {
    fn of(name: &str, file: &AccountFile) -> Result<Self, RollError> {
        let net = |text: &String| range(text).ok_or_else(|| RollError::Range(name.into(), text.clone()));
        let scope = |text: &String| text.parse().map_err(|_| RollError::Scope(name.into(), text.clone()));
        let segments = |text: &String| match text.strip_prefix('/').map(path::parse_url) {
            Some(Ok(segments)) if !segments.is_empty() => Ok(segments),
            _ => Err(RollError::Path(name.into(), text.clone())),
        };
        let paths = file.paths.as_ref().map(|paths| paths.iter().map(segments).collect::<Result<_, _>>());
        let tokens = file.tokens.as_ref().map(|tokens| tokens.iter().map(|token| token.to_ascii_uppercase()).collect());
        let scopes: BTreeSet<Scope> = file.scopes.iter().map(scope).collect::<Result<_, _>>()?;
        Ok(Self {
            feed: file.feed,
            grant: Arc::new(Grant {
                networks: file.networks.clone(),
                tokens,
                operations: file.operations.clone(),
                paths: paths.transpose()?,
            }),
            addresses: file.addresses.iter().map(net).collect::<Result<_, _>>()?,
            scopes: if scopes.is_empty() { BTreeSet::from([Scope::Read]) } else { scopes },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use honeygraph_protocols::honeycomb::{Frame, Parser};

    fn entry(text: &str) -> Result<Entry, RollError> {
        Entry::of("alice", &toml::from_str(text).unwrap())
    }

    fn ops(text: &str) -> Ops {
        match Parser::new(true).parse(text.as_bytes()).unwrap() {
            Frame::Ops(ops) => ops,
            other => panic!("{other:?}"),
        }
    }

    /// Guards against: a prefix of text instead of segments; only the first op of a frame is looked at.
    #[test]
    fn a_frame_is_allowed_whole_or_not_at_all() {
        let grant = entry("operations = [\"put\"]\npaths = [\"/balances/alice\", \"/stats\"]").unwrap().grant;
        let put = |path: &str| format!(r#"{{"type":"put","path":{path},"data":1}}"#);
        for fine in [r#"["balances","alice"]"#, r#"["balances","alice","x"]"#, r#"["stats"]"#, r#"["stats","head"]"#] {
            assert_eq!(grant.sends(&ops(&put(fine))), Ok(()), "{fine}");
        }
        for other in [r#"["balances"]"#, r#"["balances","alicex"]"#, r#"["balances","bob"]"#, r#"["statsx"]"#, "[]"] {
            assert!(grant.sends(&ops(&put(other))).is_err(), "{other}");
        }
        let del = r#"{"type":"del","path":["stats"]}"#;
        assert_eq!(grant.sends(&ops(del)), Err(NotAllowed::Op("del")));
        let batch = |second: &str| {
            format!(r#"{{"type":"batch","operations":[{{"opType":"put","path":["stats","a"],"data":1}},{second}]}}"#)
        };
        assert_eq!(grant.sends(&ops(&batch(r#"{"opType":"write_marker"}"#))), Ok(()));
        assert!(grant.sends(&ops(&batch(r#"{"opType":"put","path":["x"],"data":1}"#))).is_err());
        assert_eq!(entry("").unwrap().grant.sends(&ops(del)), Ok(()), "nothing is said, everything is allowed");
    }

    #[test]
    fn networks_and_tokens_are_those_that_are_listed() {
        let grant = entry("networks = [\"spkcc_\"]\ntokens = [\"spk\"]").unwrap().grant;
        assert_eq!(grant.feeds("spkcc_", "Spk"), Ok(()));
        assert_eq!(grant.feeds("dlux_", "SPK"), Err(NotAllowed::Network("dlux_".into())));
        assert_eq!(grant.feeds("spkcc_", "DLUX"), Err(NotAllowed::Token("DLUX".into())));
        assert!(entry("networks = []").unwrap().grant.feeds("spkcc_", "SPK").is_err());
    }

    #[test]
    fn a_list_that_means_nothing_is_refused() {
        assert!(matches!(entry("addresses = [\"10.0.0.0/33\"]"), Err(RollError::Range(..))));
        assert!(matches!(entry("paths = [\"balances\"]"), Err(RollError::Path(..))));
        assert!(matches!(entry("scopes = [\"root\"]"), Err(RollError::Scope(..))));
        assert!(matches!(Roll::new(&["not an account"], &BTreeMap::new()), Err(RollError::Name(_))));
        let two: BTreeMap<String, AccountFile> =
            toml::from_str("[alice]\naddresses = [\"10.0.0.0/8\"]\n[bob]\naddresses = [\"10.9.0.1\"]").unwrap();
        assert!(matches!(Roll::new(&[], &two), Err(RollError::Overlap(..))));
    }

    #[test]
    fn with_nobody_named_every_account_may_feed() {
        let (alice, bob) = (Account::new("alice").unwrap(), Account::new("bob").unwrap());
        assert!(Roll::default().feeds(&alice).is_some());
        let roll = Roll::new(&["Alice"], &BTreeMap::new()).unwrap();
        assert!(roll.feeds(&alice).is_some() && roll.feeds(&bob).is_none() && roll.names_some());
        let file = toml::from_str("[alice]\nfeed = false\nscopes = [\"admin\"]").unwrap();
        let roll = Roll::new(&["alice"], &file).unwrap();
        assert!(roll.feeds(&alice).is_none(), "the file knows better");
        assert_eq!(roll.scopes(&alice), Some(BTreeSet::from([Scope::Admin])));
        assert_eq!(roll.scopes(&bob), None);
    }
}
