//! Who sent a request, and what they may do.
//!
//! *Always holds:* nobody has a scope that nothing gave them; a scope of a network or token only takes away.

use super::keys::Scope;
use honeygraph_protocols::auth::Account;
use std::collections::{BTreeMap, BTreeSet};

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Somebody who said nothing about it.
    Nobody,
    /// A process of this machine, or whoever reached the admin listener.
    Local,
    /// Whoever has this key: its id.
    Key(String),
    /// The account that signed.
    Account(Account),
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody"),
            Self::Local => f.write_str("local"),
            Self::Key(id) => write!(f, "key {id}"),
            Self::Account(account) => write!(f, "account {account}"),
        }
    }
}

/// Who, and what they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub who: Who,
    read: bool,
    admin: bool,
    /// None: every network.
    networks: Option<BTreeSet<String>>,
}

impl Caller {
    /// Somebody who proved nothing.
    pub fn nobody() -> Self {
        Self { who: Who::Nobody, read: false, admin: false, networks: None }
    }

    /// The operator's own machine.
    pub fn local() -> Self {
        Self { who: Who::Local, read: true, admin: true, networks: None }
    }

    /// Somebody with these scopes. `tokens` says which network a token belongs to; of one that belongs to none nothing may
    /// be done.
    pub fn with(who: Who, scopes: &BTreeSet<Scope>, tokens: &BTreeMap<String, String>) -> Self {
        let narrowed = scopes.iter().any(|scope| matches!(scope, Scope::Network(_) | Scope::Token(_)));
        let network = |scope: &Scope| match scope {
            Scope::Network(name) => Some(name.clone()),
            Scope::Token(token) => tokens.get(token).cloned(),
            _ => None,
        };
        let admin = scopes.contains(&Scope::Admin);
        Self {
            who,
            read: admin || scopes.contains(&Scope::Read),
            admin,
            networks: narrowed.then(|| scopes.iter().filter_map(network).collect()),
        }
    }

    /// Whether they may read.
    pub fn reads(&self) -> bool {
        self.read
    }

    /// Whether they may give orders.
    pub fn orders(&self) -> bool {
        self.admin
    }

    /// The networks that they are narrowed to.
    pub fn only(&self) -> Option<&BTreeSet<String>> {
        self.networks.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(scopes: &[&str]) -> Caller {
        let tokens = BTreeMap::from([("SPK".to_owned(), "spkcc_".to_owned())]);
        Caller::with(Who::Key("x".into()), &scopes.iter().map(|scope| scope.parse().unwrap()).collect(), &tokens)
    }

    /// Guards against: a token of no network narrows nothing.
    #[test]
    fn scopes_add_up_and_networks_narrow_down() {
        let may = |scopes: &[&str]| {
            let caller = caller(scopes);
            (caller.reads(), caller.orders(), caller.only().map(|only| only.iter().cloned().collect::<Vec<_>>()))
        };
        assert_eq!(may(&[]), (false, false, None));
        assert_eq!(may(&["feed"]), (false, false, None));
        assert_eq!(may(&["read"]), (true, false, None));
        assert_eq!(may(&["admin"]), (true, true, None));
        assert_eq!(
            may(&["admin", "network:dlux_", "token:spk"]),
            (true, true, Some(vec!["dlux_".into(), "spkcc_".into()]))
        );
        assert_eq!(may(&["read", "token:NONE"]), (true, false, Some(vec![])));
        assert_eq!(may(&["network:dlux_"]), (false, false, Some(vec!["dlux_".into()])));
    }
}
