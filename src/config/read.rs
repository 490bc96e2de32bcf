//! Reading the four layers and making one [`Config`] of them.

use super::settings::{Carries, IDLE, Idle, SETTINGS, Setting};
use super::{Config, ForkLimits, Origin, Shown, Target};
use crate::access::grant::{AccountFile, RollError};
use crate::catalog::{Catalog, CatalogError};
use crate::logging::Format;
use crate::retention::keeper::{EVERY, Orders};
use crate::snapshots::place::{Settings as SnapshotSettings, Which};
use honeygraph_bootstrap::NetworkFile;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Longest configuration file read, in bytes: a thousand times what one needs.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Names that begin like ours and are not: honeycomb's own, the tests', and the ones an orchestrator makes for a
/// service that is called `honeygraph`.
const FOREIGN: &[&str] =
    &["HONEYGRAPH_URL", "HONEYGRAPH_WS_URL", "HONEYGRAPH_API", "HONEYGRAPH_API_KEY", "HONEYGRAPH_CONFIG"];
const FOREIGN_PREFIXES: &[&str] = &["HONEYGRAPH_TEST_", "HONEYGRAPH_SERVICE_", "HONEYGRAPH_PORT"];

/// The layers above the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Flags by the key of their setting.
    pub flags: BTreeMap<&'static str, String>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// TOML file, when one was named.
    pub file: Option<PathBuf>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML of the right shape.
    #[error("{path}: {message}")]
    Toml {
        /// File.
        path: PathBuf,
        /// Why, with the place.
        message: String,
    },
    /// A key that does not exist.
    #[error("{path}: unknown key {key:?}{}", nearest.map(|n| format!(" (did you mean {n:?}?)")).unwrap_or_default())]
    UnknownKey {
        /// File.
        path: PathBuf,
        /// Key as written.
        key: String,
        /// The one that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A value that its setting does not take.
    #[error("{key} = {value:?} ({origin}): expected {expected}")]
    Value {
        /// Key.
        key: &'static str,
        /// Value as given.
        value: String,
        /// Where it came from.
        origin: Origin,
        /// What would be right.
        expected: String,
    },
    /// The networks do not fit together.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The accounts cannot be used.
    #[error(transparent)]
    Accounts(#[from] RollError),
    /// An account is to feed a network that is not there.
    #[error("account {account}: network {network} is not configured")]
    AccountNetwork {
        /// Account.
        account: String,
        /// Network.
        network: String,
    },
}

impl Sources {
    /// Reads all layers, checks every value, and makes the configuration.
    pub fn read(self) -> Result<Config, ConfigError> {
        let (file, networks, accounts) = match &self.file {
            Some(path) => read_file(path)?,
            None => Default::default(),
        };
        let file_name = self.file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let mut origins = Vec::with_capacity(SETTINGS.len());
        for setting in SETTINGS {
            let from_file = file.get(setting.key).map(|value| (value.clone(), Origin::File(file_name.clone())));
            let shown = self.resolve(setting, from_file)?;
            origins.push(shown);
        }
        let notes = self.notes();
        typed(origins, Catalog::new(&networks)?, &accounts, notes)
    }

    /// Reads only what a command needs that is no node.
    pub fn target(&self) -> Result<Target, ConfigError> {
        let file = self.file.as_deref().map(read_file).transpose()?.map(|(file, ..)| file).unwrap_or_default();
        let origin = || Origin::File(self.file.as_ref().map(|path| path.display().to_string()).unwrap_or_default());
        let value = |key| {
            let setting = super::settings::by_key(key).expect("a setting of the table");
            self.resolve(setting, file.get(key).map(|value| (value.clone(), origin())))
        };
        let network = value("network")?;
        let network = Some(network).filter(|shown| shown.origin != Origin::Default).map(|shown| shown.value);
        let gateways = super::urls(&value("ipfs.gateways")?.value).map(str::to_owned).collect();
        Ok(Target { data_dir: PathBuf::from(value("data_dir")?.value), network, gateways })
    }

    fn resolve(&self, setting: &'static Setting, file: Option<(String, Origin)>) -> Result<Shown, ConfigError> {
        let (mut value, mut origin) = file.unwrap_or_else(|| (setting.default.to_owned(), Origin::Default));
        let found = setting.env.iter().find_map(|(name, carries)| {
            // An empty variable is how a compose file leaves one out.
            self.env.get(*name).filter(|text| !text.is_empty()).map(|text| (*name, *carries, text))
        });
        if let Some((name, carries, text)) = found {
            origin = Origin::Environment(name.to_owned());
            value = match carries {
                Carries::Whole => text.clone(),
                Carries::Port => with_port(&value, text).ok_or_else(|| ConfigError::Value {
                    key: setting.key,
                    value: text.clone(),
                    origin: origin.clone(),
                    expected: "a port".into(),
                })?,
            };
        }
        if let Some(text) = self.flags.get(setting.key) {
            value.clone_from(text);
            origin = Origin::Flag(format!("--{}", setting.flag));
        }
        let key = setting.key;
        match setting.check(&value) {
            Ok(()) => Ok(Shown { key, value, origin }),
            Err(expected) => Err(ConfigError::Value { key, value, origin, expected }),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (name, idle) in IDLE {
            if self.env.get(*name).is_none_or(|text| text.is_empty() || text == "false") {
                continue;
            }
            notes.push(match idle {
                Idle::Planned(area) => format!("{name} is set and does nothing yet: {area} is planned"),
                Idle::NotNeeded(why) => format!("{name} is set and does nothing: {why}"),
            });
        }
        let known = |name: &str| {
            SETTINGS.iter().any(|s| s.env.iter().any(|(known, _)| *known == name))
                || FOREIGN.contains(&name)
                || FOREIGN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        };
        // Not an error, unlike an unknown key: the environment is shared, and others name variables after us.
        for name in self.env.keys().filter(|name| name.starts_with("HONEYGRAPH_") && !known(name)) {
            notes.push(format!("{name} is set and names no setting"));
        }
        notes
    }
}

fn with_port(listen: &str, port: &str) -> Option<String> {
    let address: SocketAddr = listen.parse().ok()?;
    Some(SocketAddr::new(address.ip(), port.parse().ok()?).to_string())
}

type FileLayer = (BTreeMap<String, String>, BTreeMap<String, NetworkFile>, BTreeMap<String, AccountFile>);

fn read_file(path: &std::path::Path) -> Result<FileLayer, ConfigError> {
    let unread = |source| ConfigError::File { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(unread)?.len() > MAX_FILE_BYTES {
        let message = format!("longer than {MAX_FILE_BYTES} bytes");
        return Err(ConfigError::Toml { path: path.to_owned(), message });
    }
    let text = std::fs::read_to_string(path).map_err(unread)?;
    let wrong = |message| ConfigError::Toml { path: path.to_owned(), message };
    let mut table: toml::Table = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let networks = match table.remove("networks") {
        Some(value) => value.try_into().map_err(|e: toml::de::Error| wrong(format!("networks: {}", e.message())))?,
        None => BTreeMap::new(),
    };
    let accounts = match table.remove("accounts") {
        Some(value) => value.try_into().map_err(|e: toml::de::Error| wrong(format!("accounts: {}", e.message())))?,
        None => BTreeMap::new(),
    };
    let mut values = BTreeMap::new();
    flatten("", table, &mut values);
    for key in values.keys() {
        if super::settings::by_key(key).is_none() {
            return Err(ConfigError::UnknownKey { path: path.to_owned(), key: key.clone(), nearest: nearest(key) });
        }
    }
    Ok((values, networks, accounts))
}

fn flatten(prefix: &str, table: toml::Table, into: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => flatten(&key, inner, into),
            toml::Value::String(text) => drop(into.insert(key, text)),
            other => drop(into.insert(key, other.to_string())),
        }
    }
}

/// The setting with the fewest edits, when they are few enough to be a slip.
fn nearest(key: &str) -> Option<&'static str> {
    let last = |key: &'static str| key.rsplit('.').next().unwrap_or(key);
    let distance = |s: &&'static Setting| edits(key, s.key).min(edits(key, last(s.key)));
    SETTINGS.iter().min_by_key(distance).filter(|s| distance(s) <= 3).map(|s| s.key)
}

fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// All settings, each value checked.
pub(super) struct Resolved(Vec<Shown>);

impl Resolved {
    pub(super) fn shown(&self, key: &str) -> &Shown {
        self.0.iter().find(|shown| shown.key == key).expect("every setting was resolved")
    }

    pub(super) fn text(&self, key: &str) -> &str {
        &self.shown(key).value
    }

    pub(super) fn count(&self, key: &str) -> u64 {
        self.text(key).parse().expect("checked as a count")
    }
}

/// Values that were checked one by one become the typed configuration.
fn typed(
    origins: Vec<Shown>,
    catalog: Catalog,
    accounts: &BTreeMap<String, AccountFile>,
    notes: Vec<String>,
) -> Result<Config, ConfigError> {
    let resolved = Resolved(origins);
    let shown = |key| resolved.shown(key);
    let text = |key| resolved.text(key);
    let count = |key| resolved.count(key);
    let listen = |key: &str| resolved.text(key).parse::<SocketAddr>().expect("checked as an address");
    let network = shown("network");
    if catalog.get(&network.value).is_none() {
        let names: Vec<&str> = catalog.networks().map(|n| n.name.as_str()).collect();
        let (value, origin) = (network.value.clone(), network.origin.clone());
        let expected = format!("one of {}", names.join(", "));
        return Err(ConfigError::Value { key: "network", value, origin, expected });
    }
    Ok(Config {
        data_dir: PathBuf::from(text("data_dir")),
        api_listen: listen("api_listen"),
        feed_listen: listen("feed_listen"),
        network: text("network").to_owned(),
        node_id: Some(text("node_id").to_owned()).filter(|label| !label.is_empty()),
        gateways: super::urls(text("ipfs.gateways")).map(str::to_owned).collect(),
        roots: count("ipfs.roots"),
        base: Some(text("base").to_owned()).filter(|source| !source.is_empty()),
        retention: Orders {
            keep: text("journal.retention").parse().expect("checked as a retention"),
            budget: Some(count("journal.budget_gib")).filter(|gib| *gib > 0).map(|gib| gib << 30),
            alert_days: count("journal.alert_days"),
            every: EVERY,
        },
        snapshots: snapshots(&resolved),
        segment_bytes: count("journal.segment_kib") << 10,
        log_format: if text("log.format") == "json" { Format::Json } else { Format::Text },
        log_level: text("log.level").to_owned(),
        fork: ForkLimits {
            max_per_block: count("fork.max_per_block") as usize,
            retention: Duration::from_millis(count("fork.retention_ms")),
            answer: Duration::from_millis(count("fork.answer_ms")),
            operation_buffer: count("fork.operation_buffer") as usize,
        },
        swarm: super::swarm::read(&resolved),
        access: super::access::read(&resolved, accounts, &catalog)?,
        catalog: Arc::new(catalog),
        notes,
        origins: resolved.0,
    })
}

/// Two snapshots that nobody asked for lie so far apart at least: while a node catches up, checkpoints come by the second.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(60);

fn snapshots(resolved: &Resolved) -> SnapshotSettings {
    SnapshotSettings {
        which: match resolved.text("snapshots.backend") {
            "zfs" => Which::Zfs,
            "btrfs" => Which::Btrfs,
            "plain" => Which::Plain,
            "off" => Which::Off,
            _ => Which::Auto,
        },
        dataset: Some(resolved.text("snapshots.dataset").to_owned()).filter(|dataset| !dataset.is_empty()),
        prefix: resolved.text("snapshots.prefix").to_owned(),
        most: resolved.count("snapshots.max") as usize,
        interval_blocks: resolved.count("snapshots.interval_blocks"),
        pause: SNAPSHOT_PAUSE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use honeygraph_protocols::auth::Account;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn with_file(text: &str) -> (tempfile::TempDir, Sources) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("honeygraph.toml");
        std::fs::write(&path, text).unwrap();
        (folder, Sources { file: Some(path), ..Sources::default() })
    }

    fn origin(config: &Config, key: &str) -> String {
        let shown = config.origins.iter().find(|s| s.key == key).unwrap();
        format!("{} < {}", shown.value, shown.origin)
    }

    #[test]
    fn the_defaults_are_sound() {
        let config = Sources::default().read().unwrap();
        assert_eq!(config.api_listen.to_string(), "127.0.0.1:3030");
        assert_eq!(config.feed_listen.to_string(), "127.0.0.1:4000");
        assert_eq!(config.fork.max_per_block, 10);
        assert_eq!(config.fork.retention, Duration::from_secs(3600));
        assert_eq!(config.fork.operation_buffer, 10_000);
        assert_eq!(config.node_id, None);
        assert_eq!(config.segment_bytes, crate::journal::SEGMENT_BYTES);
        assert!(config.notes.is_empty());
    }

    #[test]
    fn a_command_that_asks_takes_any_network_and_needs_no_sound_node() {
        let (_folder, file) = with_file("data_dir = \"/there\"");
        let env = env(&[("REQUIRE_HIVE_AUTH", "true"), ("HONEYGRAPH_NETWORK", "elsewhere_")]);
        let sources = Sources { env, ..file };
        assert!(sources.clone().read().is_err());
        let target = sources.target().unwrap();
        assert_eq!(target, Target { data_dir: "/there".into(), network: Some("elsewhere_".into()), gateways: vec![] });
        assert_eq!(Sources::default().target().unwrap().network, None, "the default names nothing");
    }

    #[test]
    fn flags_over_environment_over_file_over_defaults() {
        let (_folder, file) = with_file("[fork]\nmax_per_block = 3\nretention_ms = 4000\noperation_buffer = 5");
        let flags = BTreeMap::from([("fork.max_per_block", "7".to_owned())]);
        let env = env(&[("MAX_FORKS_PER_BLOCK", "6"), ("FORK_RETENTION_TIME", "6000")]);
        let config = Sources { flags, env, ..file }.read().unwrap();
        assert_eq!(origin(&config, "fork.max_per_block"), "7 < flag --fork-max-per-block");
        assert_eq!(origin(&config, "fork.retention_ms"), "6000 < environment FORK_RETENTION_TIME");
        assert!(origin(&config, "fork.operation_buffer").starts_with("5 < file "));
        assert_eq!(origin(&config, "log.level"), "info < default");
    }

    #[test]
    fn a_port_of_the_seeds_keeps_the_address() {
        let (_folder, file) = with_file("api_listen = \"0.0.0.0:1\"");
        let config = Sources { env: env(&[("API_PORT", "8080"), ("PORT", "8081")]), ..file }.read().unwrap();
        assert_eq!(origin(&config, "api_listen"), "0.0.0.0:8080 < environment API_PORT");
        assert_eq!(origin(&config, "feed_listen"), "127.0.0.1:8081 < environment PORT");
        let wrong = Sources { env: env(&[("PORT", "tcp://10.0.0.1:4000")]), ..Sources::default() }.read();
        assert!(wrong.unwrap_err().to_string().contains("environment PORT"));
    }

    #[test]
    fn our_own_name_is_stronger_than_the_seeds() {
        let both = env(&[("DATA_PATH", "/seed"), ("HONEYGRAPH_DATA_DIR", "/own"), ("PEER_ID", "p"), ("NODE_ID", "")]);
        let config = Sources { env: both, ..Sources::default() }.read().unwrap();
        assert_eq!(config.data_dir, PathBuf::from("/own"));
        assert_eq!(config.node_id.as_deref(), Some("p"), "an empty variable is not set");
    }

    #[test]
    fn unknown_keys_are_errors_that_help() {
        for (text, nearest) in [
            ("api_listn = \"127.0.0.1:1\"", "(did you mean \"api_listen\"?)"),
            ("[fork]\nmax_per_blok = 3", "(did you mean \"fork.max_per_block\"?)"),
            ("[swarm]\nlistne = 3", "(did you mean \"swarm.listen\"?)"),
            ("[networks.x_]\nrots = 3", "networks: unknown field `rots`"),
            ("[networks.x_]\ntokens = [\"lower\"]", "token \"lower\""),
            ("data_dir = ", "honeygraph.toml"),
        ] {
            let (_folder, sources) = with_file(text);
            let error = sources.read().unwrap_err().to_string();
            assert!(error.contains(nearest), "{text}: {error}");
        }
    }

    #[test]
    fn wrong_values_say_what_would_be_right() {
        for (name, value, expected) in [
            ("MAX_FORKS_PER_BLOCK", "many", "a whole number from 1 to 1000"),
            ("MAX_FORKS_PER_BLOCK", "0", "a whole number from 1 to 1000"),
            ("HONEYGRAPH_API_LISTEN", "localhost", "ip:port"),
            ("HONEYGRAPH_LOG_FORMAT", "xml", "text or json"),
            ("HONEYGRAPH_LOG_LEVEL", "loud", "off, error, warn"),
            ("HONEYGRAPH_NETWORK", "moon_", "one of dlux_, spkccT_, spkcc_"),
            ("NODE_ID", "two\nlines", "printable text"),
            ("REQUIRE_HIVE_AUTH", "yes", "true or false"),
            ("AUTHORIZED_HONEYCOMB_NODES", "no account", "accounts of Hive"),
            ("HONEYGRAPH_TRUSTED_PROXIES", "10.0.0.0/99", "ranges"),
            ("CORS_ORIGIN", "*", "origins"),
            ("HONEYGRAPH_HOSTS", "http://node", "names of hosts"),
            ("HONEYGRAPH_ADMIN_LISTEN", "0.0.0.0:3031", "a loopback address"),
            ("HONEYGRAPH_TLS_CERT_FILE", "/x.pem", "both of"),
            ("HONEYGRAPH_TLS_CIPHER_SUITES", "TLS_NULL", "not known"),
        ] {
            let error = Sources { env: env(&[(name, value)]), ..Sources::default() }.read().unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(name), "{name}={value}: {error}");
        }
    }

    #[test]
    fn what_does_nothing_is_said() {
        let set = env(&[
            ("DGRAPH_MODE", "shared"),
            ("REDIS_HOST", "localhost"),
            ("HONEYGRAPH_DATADIR", "/x"),
            ("HONEYGRAPH_URL", "ws://x"),
            ("HONEYGRAPH_PORT_3030_TCP", "tcp://10.0.0.1:3030"),
            ("ZFS_DATASET", ""),
        ]);
        let notes = Sources { env: set, ..Sources::default() }.read().unwrap().notes;
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[0].contains("DGRAPH_MODE") && notes[0].contains("Dgraph is planned"));
        assert!(notes[1].contains("REDIS_HOST") && notes[2].contains("HONEYGRAPH_DATADIR"));
    }

    #[test]
    fn the_swarm_has_the_names_of_the_seeds() {
        let seeds = env(&[
            ("SYNC_ENABLED", "false"),
            ("SYNC_INTERVAL", "60000"),
            ("PEERS", "http://peer1:3030, /dns4/peer2/tcp/4001"),
            ("DIG_DISCOVERY_DOMAIN", "_honeygraph._tcp.dlux.io"),
            ("HONEYCOMB_DISCOVERY", "true"),
            ("HONEYCOMB_ENDPOINTS", "https://spktest.dlux.io"),
        ]);
        let swarm = Sources { env: seeds, ..Sources::default() }.read().unwrap().swarm;
        assert!(!swarm.enabled && swarm.interval == Duration::from_secs(60));
        assert_eq!(swarm.sources.len(), 4, "{:?}", swarm.sources);
        assert_eq!(Sources::default().read().unwrap().swarm.listen.len(), 2);
        for (name, wrong) in [("PEERS", "peer1:3030"), ("HONEYGRAPH_SWARM_LISTEN", "0.0.0.0:4001")] {
            let error = Sources { env: env(&[(name, wrong)]), ..Sources::default() }.read().unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn accounts_stand_in_the_file_and_in_the_environment() {
        let (_folder, file) = with_file("[accounts.bob]\nnetworks = [\"dlux_\"]\naddresses = [\"10.0.0.7\"]");
        let set = env(&[("REQUIRE_HIVE_AUTH", "true"), ("AUTHORIZED_HONEYCOMB_NODES", "Alice, carol")]);
        let access = Sources { env: set, ..file }.read().unwrap().access;
        assert!(access.require && access.roll.names_some());
        for name in ["alice", "bob", "carol"] {
            assert!(access.roll.feeds(&Account::new(name).unwrap()).is_some(), "{name}");
        }
        let (_folder, file) = with_file("[accounts.bob]\nnetworks = [\"nope_\"]");
        assert!(file.read().unwrap_err().to_string().contains("nope_ is not configured"));
        let (_folder, file) = with_file("[accounts.bob]\nnetwork = [\"dlux_\"]");
        assert!(file.read().unwrap_err().to_string().contains("accounts"));
    }

    #[test]
    fn a_network_of_the_operator_can_be_the_default_one() {
        let (_folder, file) = with_file("network = \"duat_\"\n[networks.duat_]\ntokens = [\"DUAT\"]");
        let config = file.read().unwrap();
        assert_eq!(config.network, "duat_");
        assert_eq!(config.catalog.by_token("DUAT").unwrap().name, "duat_");
    }
}
