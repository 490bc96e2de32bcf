//! A network: one honeycomb chain, with the numbers by which its blocks and checkpoints are counted.
//!
//! The built-in ones are TOML files compiled into the binary; an operator's configuration may change any of their
//! fields or add networks of its own, in the same form.

use serde::{Deserialize, Serialize};

/// Blocks from one checkpoint save of honeycomb to the next, where a network does not say otherwise.
pub const CHECKPOINT_EVERY: u64 = 100;
/// Blocks from one daily root to the next: a day of Hive's three-second blocks.
pub const ROOT_INTERVAL: u64 = 28_800;
/// Block of the daily accounting, modulo [`ROOT_INTERVAL`].
pub const ROOT_OFFSET: u64 = 18_505;
/// Longest network name in bytes: it becomes a folder name and, later, part of a dataset's and a topic's name.
pub const MAX_NAME_BYTES: usize = 32;
/// Most tokens in one network: far above any that exists; bounds what a configuration can make us hold.
pub const MAX_TOKENS: usize = 256;

const BUILT_IN: [&str; 3] = [
    include_str!("../networks/dlux_.toml"),
    include_str!("../networks/spkcc_.toml"),
    include_str!("../networks/spkccT_.toml"),
];

/// One honeycomb chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Prefix by which honeycomb names it, e.g. `spkcc_`.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Blocks from checkpoint to checkpoint.
    pub checkpoint_every: u64,
    /// Blocks from daily root to daily root.
    pub root_interval: u64,
    /// Block of the daily accounting, modulo `root_interval`.
    pub root_offset: u64,
    /// Symbols that live in it, upper case.
    pub tokens: Vec<String>,
    /// Whether a feed that names only one of these tokens, and no network, belongs here.
    pub by_token: bool,
}

/// A network as a file writes it: every field but the built-in files' may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// See [`Network::name`]; in an operator's configuration it is the table's name instead.
    pub name: Option<String>,
    /// See [`Network::title`]; else the name.
    pub title: Option<String>,
    /// See [`Network::checkpoint_every`]; else [`CHECKPOINT_EVERY`].
    pub checkpoint_every: Option<u64>,
    /// See [`Network::root_interval`]; else [`ROOT_INTERVAL`].
    pub root_interval: Option<u64>,
    /// See [`Network::root_offset`]; else [`ROOT_OFFSET`].
    pub root_offset: Option<u64>,
    /// See [`Network::tokens`]; else none.
    pub tokens: Option<Vec<String>>,
    /// See [`Network::by_token`]; else true.
    pub by_token: Option<bool>,
}

/// Why a network cannot be what its file says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The name breaks the rule for prefixes.
    #[error(
        "network name {0:?}: 2 to {MAX_NAME_BYTES} of the characters a-z A-Z 0-9 _ -, the first a letter or digit, the last an underscore"
    )]
    Name(String),
    /// A symbol breaks the rule for tokens.
    #[error("network {network}: token {token:?}: 2 to 10 of the characters A-Z 0-9")]
    Token {
        /// Network.
        network: String,
        /// Symbol.
        token: String,
    },
    /// A number makes no sense.
    #[error("network {network}: {what}")]
    Number {
        /// Network.
        network: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Too many tokens.
    #[error("network {0}: more than {MAX_TOKENS} tokens")]
    TooManyTokens(String),
}

impl Network {
    /// The networks that every node knows, ordered by name.
    ///
    /// # Panics
    /// Never in a build that passed its tests: the files are part of the binary and a test reads them.
    pub fn built_in() -> Vec<Network> {
        let mut all: Vec<Network> = BUILT_IN
            .iter()
            .map(|text| {
                let file: NetworkFile = toml::from_str(text).expect("built-in network file");
                let name = file.name.clone().expect("built-in network name");
                file.network(&name, None).expect("built-in network")
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Checks names, symbols and numbers.
    pub fn check(&self) -> Result<(), NetworkError> {
        if !is_prefix(&self.name) {
            return Err(NetworkError::Name(self.name.clone()));
        }
        if self.tokens.len() > MAX_TOKENS {
            return Err(NetworkError::TooManyTokens(self.name.clone()));
        }
        if let Some(token) = self.tokens.iter().find(|t| !is_symbol(t)) {
            return Err(NetworkError::Token { network: self.name.clone(), token: token.clone() });
        }
        let wrong = |what| Err(NetworkError::Number { network: self.name.clone(), what });
        // Numbering is told apart by block modulo checkpoint_every being 0, 1 or 2: with 3 or less everything would be.
        if !(4..=1_000_000).contains(&self.checkpoint_every) {
            return wrong("checkpoint_every must lie between 4 and 1000000");
        }
        if !self.root_interval.is_multiple_of(self.checkpoint_every) || self.root_interval == 0 {
            return wrong("root_interval must be a multiple of checkpoint_every");
        }
        if self.root_interval > 100_000_000 {
            return wrong("root_interval must not be above 100000000");
        }
        if self.root_offset >= self.root_interval {
            return wrong("root_offset must be below root_interval");
        }
        Ok(())
    }
}

impl NetworkFile {
    /// The network this file describes; what it leaves out comes from `base`, else from the defaults.
    pub fn network(self, name: &str, base: Option<&Network>) -> Result<Network, NetworkError> {
        let network = Network {
            name: name.to_owned(),
            title: self.title.unwrap_or_else(|| base.map_or_else(|| name.to_owned(), |b| b.title.clone())),
            checkpoint_every: self.checkpoint_every.unwrap_or(base.map_or(CHECKPOINT_EVERY, |b| b.checkpoint_every)),
            root_interval: self.root_interval.unwrap_or(base.map_or(ROOT_INTERVAL, |b| b.root_interval)),
            root_offset: self.root_offset.unwrap_or(base.map_or(ROOT_OFFSET, |b| b.root_offset)),
            tokens: self.tokens.unwrap_or_else(|| base.map_or_else(Vec::new, |b| b.tokens.clone())),
            by_token: self.by_token.unwrap_or(base.is_none_or(|b| b.by_token)),
        };
        network.check()?;
        Ok(network)
    }
}

fn is_prefix(name: &str) -> bool {
    (2..=MAX_NAME_BYTES).contains(&name.len())
        && name.ends_with('_')
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_symbol(token: &str) -> bool {
    (2..=10).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_networks_are_sound_and_known() {
        let all = Network::built_in();
        let names: Vec<&str> = all.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["dlux_", "spkccT_", "spkcc_"]);
        for network in &all {
            network.check().unwrap();
            assert_eq!((network.checkpoint_every, network.root_interval, network.root_offset), (100, 28_800, 18_505));
        }
        assert_eq!(all[2].tokens, ["SPK", "LARYNX", "BROCA"]);
        assert!(!all[1].by_token, "the test network must not catch feeds of the real one");
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in ["", "_", "../x_", "a/b_", "spkcc", ".._", "-x_", "é_", "a_\0_"] {
            let made = NetworkFile::default().network(name, None);
            assert_eq!(made, Err(NetworkError::Name(name.to_owned())));
        }
        assert!(NetworkFile::default().network("x-1_", None).is_ok());
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        let of = |every, interval, offset| {
            let file = NetworkFile {
                checkpoint_every: Some(every),
                root_interval: Some(interval),
                root_offset: Some(offset),
                ..NetworkFile::default()
            };
            file.network("x_", None).is_ok()
        };
        assert!(of(100, 300, 5));
        assert!(!of(3, 300, 5), "every block would look like honeycomb numbering");
        assert!(!of(0, 300, 5));
        assert!(!of(100, 0, 0));
        assert!(!of(100, 250, 5), "a root is a checkpoint too");
        assert!(!of(100, 300, 300));
    }

    #[test]
    fn a_file_changes_only_what_it_names() {
        let base = Network::built_in().remove(2);
        let file: NetworkFile = toml::from_str("root_interval = 600\nroot_offset = 505").unwrap();
        let changed = file.network("spkcc_", Some(&base)).unwrap();
        assert_eq!(changed, Network { root_interval: 600, root_offset: 505, ..base });
        assert!(toml::from_str::<NetworkFile>("root_intervall = 600").is_err(), "unknown keys are errors");
    }
}
