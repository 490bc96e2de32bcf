//! Who is asking, and what may they do.
//!
//! Rules as pure machines ([`dialogue`], [`book`], [`grant`], [`keys`], [`address`]); what they need from outside is fetched by
//! [`hive`] and [`watched`]. Feeds and readers ask here before anything of theirs is looked at.
//!
//! *Always holds:* whoever has proven nothing may do nothing that needs a right; which accounts and keys there are is told
//! to nobody; no secret is kept, logged or shown, only its hash.

pub mod account_keys;
pub mod address;
pub mod book;
pub mod caller;
pub mod crowd;
pub mod dialogue;
pub mod grant;
pub mod hive;
pub mod keys;
pub mod limits;
pub mod outbound;
pub mod signed;
pub mod watched;

use address::Address;
use grant::{Grant, Roll};
use hive::Accounts;
use honeygraph_protocols::auth::Account;
use ipnet::IpNet;
use keys::{KeyRing, Presented, Scope};
use limits::{Counted, Left, Limits, TooMany};
use signed::Once;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use watched::Watched;

/// What the operator decided.
#[derive(Debug, Default)]
pub struct Access {
    /// Whether feeds have to prove who they are.
    pub require: bool,
    /// Accounts, and what each may do.
    pub roll: Roll,
    /// Keys of accounts.
    pub accounts: Accounts,
    /// Keys that the operator gave out.
    pub keys: Watched<KeyRing>,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpNet>,
    /// Pages whose scripts may call, as browsers write them in `Origin`.
    pub origins: Vec<String>,
    /// Names under which this node is called, beside addresses and `localhost`; with some, under no other.
    pub hosts: Vec<String>,
    /// Whether only readers with a scope may read.
    pub private: bool,
    /// Whether orders without a key come through a listener of their own, and not from any process of this machine.
    pub admin_elsewhere: bool,
    /// Signed requests that were taken.
    pub once: Mutex<Once>,
    /// How often.
    pub limits: Mutex<Limits>,
    /// Where the times of `limits` begin.
    pub since: Since,
}

/// A moment.
#[derive(Clone, Copy, Debug)]
pub struct Since(pub Instant);

impl Default for Since {
    fn default() -> Self {
        Self(Instant::now())
    }
}

/// A feed that may come in, and as whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admitted {
    /// Account; none while feeds need not prove anything.
    pub account: Option<Account>,
    /// What it may feed.
    pub grant: Arc<Grant>,
}

/// What becomes of a feed that knocks.
#[derive(Debug, PartialEq)]
pub enum Knock {
    /// It may come in.
    Enter(Admitted),
    /// It has to answer a challenge first.
    Prove,
    /// It may not, and what it is told.
    Refused(&'static str),
}

impl Access {
    /// Decides about a feed by what its request carries.
    pub fn knock(&self, from: &Address, presented: Option<&Presented>, now_ms: u64) -> Knock {
        if !self.require {
            return Knock::Enter(Admitted::default());
        }
        if let Some(presented) = presented {
            // A key that is wrong is not tried as something else: whoever has one wants to know.
            let key = self.keys.get().find(presented, now_ms).filter(|key| key.scopes.contains(&Scope::Feed)).cloned();
            return match key.and_then(|key| Account::new(key.account.as_deref()?)) {
                Some(account) => self.enter(account).unwrap_or(Knock::Refused("this key's account may not feed")),
                None => Knock::Refused("this key is not known, has expired, or is not one for feeds"),
            };
        }
        match self.roll.by_address(from).and_then(|account| self.enter(account)) {
            Some(entered) => entered,
            None => Knock::Prove,
        }
    }

    fn enter(&self, account: Account) -> Option<Knock> {
        let grant = self.roll.feeds(&account)?;
        Some(Knock::Enter(Admitted { account: Some(account), grant }))
    }

    /// Counts a request.
    pub fn take(&self, counted: Vec<Counted>) -> Result<Option<Left>, TooMany> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.take(counted, self.since.0.elapsed())
    }

    /// Whether this is a name of ours: an address (whoever makes a name lead here cannot make one), `localhost`, or listed.
    pub fn host_allowed(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|listed| listed.eq_ignore_ascii_case(name))
    }

    /// Whether a script of this page may call; what sends no `Origin` is no browser.
    pub fn origin_allowed(&self, origin: Option<&str>) -> bool {
        origin.is_none_or(|origin| self.origins.iter().any(|listed| listed.eq_ignore_ascii_case(origin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Guards against: a range that counts although a stranger's proxy forwarded the request.
    #[test]
    fn a_feed_enters_by_its_address_only_when_nobody_speaks_for_it() {
        let file: grant::AccountFile = toml::from_str("addresses = [\"10.1.0.0/16\"]\nnetworks = [\"dlux_\"]").unwrap();
        let roll = Roll::new(&[], &BTreeMap::from([("alice".to_owned(), file)])).unwrap();
        let mut access = Access { require: true, roll, ..Access::default() };
        let at = |ip: &str, forwarded| Address { ip: ip.parse().unwrap(), forwarded };
        let Knock::Enter(entered) = access.knock(&at("10.1.2.3", false), None, 0) else { panic!("her range") };
        assert_eq!(entered.account.unwrap().as_str(), "alice");
        assert_eq!(access.knock(&at("10.2.2.3", false), None, 0), Knock::Prove);
        assert_eq!(access.knock(&at("10.1.2.3", true), None, 0), Knock::Prove);
        assert_eq!(access.knock(&at("127.0.0.1", false), None, 0), Knock::Prove, "loopback is no account");
        let wrong = Presented::new("hg_00000000_00");
        assert!(matches!(access.knock(&at("10.1.2.3", false), Some(&wrong), 0), Knock::Refused(_)));
        access.require = false;
        assert_eq!(access.knock(&at("1.2.3.4", true), Some(&wrong), 0), Knock::Enter(Admitted::default()));
    }

    #[test]
    fn a_host_is_an_address_or_a_name_of_ours() {
        let access = Access { hosts: vec!["node.example".into()], ..Access::default() };
        for ours in ["127.0.0.1", "127.0.0.1:3030", "[::1]:3030", "[::1]", "::1", "localhost:1", "Node.Example:443"] {
            assert!(access.host_allowed(ours), "{ours}");
        }
        for other in ["", "evil.example", "node.example.evil", "localhost.evil:1", "127.0.0.1.evil"] {
            assert!(!access.host_allowed(other), "{other}");
        }
    }

    #[test]
    fn pages_are_listed_or_refused() {
        let access = Access { origins: vec!["https://app.example".into()], ..Access::default() };
        assert!(access.origin_allowed(None) && access.origin_allowed(Some("https://app.example")));
        assert!(!access.origin_allowed(Some("https://app.example.evil")) && !access.origin_allowed(Some("null")));
    }
}
