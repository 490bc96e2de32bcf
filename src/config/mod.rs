//! What the operator wants: flags over environment over TOML file over defaults.
//!
//! Owns the reading of all four and the [`Config`] that comes out; nobody else looks at the environment.
//!
//! *Always holds:* a [`Config`] that exists is sound: every value was checked, every network is in its catalog, and
//! each value knows its origin. A key that we do not know is an error, with the nearest one that we do.

mod access;
mod read;
pub mod settings;
mod swarm;

use crate::catalog::Catalog;
use crate::logging::Format;
use crate::retention::keeper::Orders;
use crate::snapshots::place::Settings as SnapshotSettings;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use access::{AccessConfig, AdminListen};
pub use read::{ConfigError, Sources};
pub use swarm::SwarmConfig;

/// The settings of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Data folder.
    pub data_dir: PathBuf,
    /// Where the HTTP API listens.
    pub api_listen: SocketAddr,
    /// Where honeycomb nodes connect.
    pub feed_listen: SocketAddr,
    /// Network of a request that names none.
    pub network: String,
    /// Label of this node, if it was given one.
    pub node_id: Option<String>,
    /// Gateways asked for documents by CID.
    pub gateways: Vec<String>,
    /// Roots that the way back from an anchored hash may read.
    pub roots: u64,
    /// Root document taken as the base of `network` where there is none.
    pub base: Option<String>,
    /// How much of the journal and of the state is kept.
    pub retention: Orders,
    /// Snapshots of the state.
    pub snapshots: SnapshotSettings,
    /// Bytes of a segment of the journal: no setting, but what tests need small.
    pub segment_bytes: u64,
    /// Form of the log lines.
    pub log_format: Format,
    /// Log filter at the start.
    pub log_level: String,
    /// Limits of forks.
    pub fork: ForkLimits,
    /// The swarm.
    pub swarm: SwarmConfig,
    /// Who may do what.
    pub access: AccessConfig,
    /// Networks and tokens.
    pub catalog: Arc<Catalog>,
    /// Each setting with its value and where it came from, in the order of [`settings::SETTINGS`].
    pub origins: Vec<Shown>,
    /// What the operator should know: variables that do nothing here.
    pub notes: Vec<String>,
}

/// What a command works on that is no node itself: a running node, or its data folder. Which networks there are, that
/// one says, not the configuration of whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Data folder.
    pub data_dir: PathBuf,
    /// Network that was named.
    pub network: Option<String>,
    /// Gateways asked for documents by CID.
    pub gateways: Vec<String>,
}

/// The addresses of a list with commas.
pub(crate) fn urls(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|url| !url.is_empty())
}

/// Limits of forks, under the seeds' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkLimits {
    /// Histories of one period that get a view.
    pub max_per_block: usize,
    /// How long a fork that nobody feeds keeps its view.
    pub retention: Duration,
    /// How long a question to a feed waits for its answer.
    pub answer: Duration,
    /// Newest ops shown with a single fork.
    pub operation_buffer: usize,
}

/// A setting as `honeygraph config` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Key.
    pub key: &'static str,
    /// Value as text.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", content = "name", rename_all = "lowercase")]
pub enum Origin {
    /// Built in.
    Default,
    /// This file.
    File(String),
    /// This variable.
    Environment(String),
    /// This flag.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "file {path}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

impl Config {
    /// The defaults, with a data folder and ports of the system's choice: what tests and the testnet start from.
    ///
    /// # Panics
    /// Never in a build that passed its tests: the defaults are checked by one.
    pub fn for_test(data_dir: &std::path::Path) -> Self {
        let flags = BTreeMap::from([
            ("data_dir", data_dir.display().to_string()),
            ("api_listen", "127.0.0.1:0".to_owned()),
            ("feed_listen", "127.0.0.1:0".to_owned()),
            ("swarm.listen", "/ip4/127.0.0.1/tcp/0".to_owned()),
            // Who tests the swarm turns it on.
            ("swarm.enabled", "false".to_owned()),
        ]);
        Sources { flags, ..Sources::default() }.read().expect("defaults are sound")
    }

    /// How this node calls itself: its label, else the host's name, else `honeygraph`.
    pub fn node_label(&self) -> String {
        let host = || std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned());
        self.node_id.clone().or_else(host).filter(|name| !name.is_empty()).unwrap_or_else(|| "honeygraph".to_owned())
    }
}
