//! Which networks and tokens exist.
//!
//! Owns the networks of this node: the built-in ones and the operator's. Made once, at the start, from the
//! configuration; everything that holds data is named after one of these networks.
//!
//! *Always holds:* a token belongs to at most one network's feeds, and [`FALLBACK`] exists.

use honeygraph_bootstrap::{Network, NetworkError, NetworkFile};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The network of a feed that names neither a network nor a token that we know.
pub const FALLBACK: &str = "dlux_";
/// Most networks on one node: each has its own writer thread and stores, so that thousands could not run anyway.
pub const MAX_NETWORKS: usize = 64;

/// The networks of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    networks: BTreeMap<String, Arc<Network>>,
    by_token: BTreeMap<String, String>,
}

/// Why the networks of a configuration cannot live together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// One of them is unsound by itself.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Two networks claim a token.
    #[error("token {token} belongs to {first} and to {second}: set by_token = false in one of them")]
    TokenTwice {
        /// Symbol.
        token: String,
        /// One network.
        first: String,
        /// The other.
        second: String,
    },
    /// Two names are one folder where the file system ignores case.
    #[error("networks {0} and {1} differ only in the case of letters")]
    SameFolder(String, String),
    /// Too many.
    #[error("more than {MAX_NETWORKS} networks")]
    TooMany,
}

impl Catalog {
    /// The built-in networks alone.
    ///
    /// # Panics
    /// Never in a build that passed its tests.
    pub fn built_in() -> Self {
        Self::new(&BTreeMap::new()).expect("built-in networks")
    }

    /// The built-in networks, changed and added to by an operator's. A token that the operator's networks claim is
    /// theirs, whatever a built-in network says.
    pub fn new(configured: &BTreeMap<String, NetworkFile>) -> Result<Self, CatalogError> {
        let mut networks: BTreeMap<String, Arc<Network>> =
            Network::built_in().into_iter().map(|n| (n.name.clone(), Arc::new(n))).collect();
        for (name, file) in configured {
            let network = file.clone().network(name, networks.get(name).map(Arc::as_ref))?;
            networks.insert(name.clone(), Arc::new(network));
        }
        if networks.len() > MAX_NETWORKS {
            return Err(CatalogError::TooMany);
        }
        let mut folders = BTreeMap::new();
        for name in networks.keys() {
            if let Some(other) = folders.insert(name.to_ascii_lowercase(), name.clone()) {
                return Err(CatalogError::SameFolder(other, name.clone()));
            }
        }
        let by_token = Self::routes(&networks, configured)?;
        Ok(Self { networks, by_token })
    }

    fn routes(
        networks: &BTreeMap<String, Arc<Network>>,
        configured: &BTreeMap<String, NetworkFile>,
    ) -> Result<BTreeMap<String, String>, CatalogError> {
        let mut routes: BTreeMap<String, String> = BTreeMap::new();
        let (operators, built_in): (Vec<_>, Vec<_>) =
            networks.values().filter(|n| n.by_token).partition(|n| configured.contains_key(&n.name));
        for network in &operators {
            for token in &network.tokens {
                match routes.insert(token.clone(), network.name.clone()) {
                    Some(first) if first != network.name => {
                        let (token, second) = (token.clone(), network.name.clone());
                        return Err(CatalogError::TokenTwice { token, first, second });
                    }
                    _ => {}
                }
            }
        }
        for network in &built_in {
            for token in &network.tokens {
                routes.entry(token.clone()).or_insert_with(|| network.name.clone());
            }
        }
        Ok(routes)
    }

    /// A network by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<Network>> {
        self.networks.get(name)
    }

    /// All networks, ordered by name.
    pub fn networks(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.networks.values()
    }

    /// The network to which a token's feeds go; the case of letters does not matter.
    pub fn by_token(&self, token: &str) -> Option<&Arc<Network>> {
        self.networks.get(self.by_token.get(&token.to_ascii_uppercase())?)
    }

    /// Which network each token's feeds go to: symbol in upper case to the network's name.
    pub fn tokens(&self) -> &BTreeMap<String, String> {
        &self.by_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> BTreeMap<String, NetworkFile> {
        toml::from_str(text).unwrap()
    }

    fn routed(catalog: &Catalog, token: &str) -> Option<String> {
        catalog.by_token(token).map(|network| network.name.clone())
    }

    #[test]
    fn the_built_in_tokens_have_a_network() {
        let catalog = Catalog::built_in();
        let cases = [("SPK", "spkcc_"), ("larynx", "spkcc_"), ("BROCA", "spkcc_"), ("DLUX", "dlux_")];
        for (token, network) in cases {
            assert_eq!(routed(&catalog, token).as_deref(), Some(network), "{token}");
        }
        assert_eq!(routed(&catalog, "NOBODY"), None);
        assert!(catalog.get(FALLBACK).is_some());
    }

    #[test]
    fn an_operators_network_takes_a_built_in_token() {
        let catalog = Catalog::new(&files("[duat_]\ntokens = [\"DLUX\", \"DUAT\"]")).unwrap();
        assert_eq!(routed(&catalog, "DLUX").as_deref(), Some("duat_"));
        assert_eq!(routed(&catalog, "DUAT").as_deref(), Some("duat_"));
        assert_eq!(catalog.get("duat_").unwrap().checkpoint_every, 100);
    }

    #[test]
    fn a_built_in_network_keeps_what_is_not_changed() {
        let catalog = Catalog::new(&files("[spkcc_]\nroot_interval = 300\nroot_offset = 205")).unwrap();
        let network = catalog.get("spkcc_").unwrap();
        assert_eq!((network.root_interval, network.root_offset, network.checkpoint_every), (300, 205, 100));
        assert_eq!(routed(&catalog, "SPK").as_deref(), Some("spkcc_"));
    }

    #[test]
    fn networks_that_cannot_live_together_are_refused() {
        let twice = Catalog::new(&files("[a_]\ntokens = [\"AA\"]\n[b_]\ntokens = [\"AA\"]"));
        assert!(matches!(twice, Err(CatalogError::TokenTwice { .. })), "{twice:?}");
        let folder = Catalog::new(&files("[SPKCC_]"));
        assert!(matches!(folder, Err(CatalogError::SameFolder(..))), "{folder:?}");
        let many: BTreeMap<_, _> = (0..64).map(|n| (format!("n{n}_"), NetworkFile::default())).collect();
        assert_eq!(Catalog::new(&many), Err(CatalogError::TooMany));
    }
}
