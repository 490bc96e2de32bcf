//! Every setting: its key, its names in the environment, its default and what it takes.
//!
//! The table is the only list: the reader, `honeygraph config` and `docs/operations.md` (a test compares) follow it.

use crate::access::address::range;
use crate::access::grant::MAX_ACCOUNTS;
use crate::snapshots::name::{check_dataset, check_prefix};
use honeygraph_bootstrap::address;
use honeygraph_bootstrap::source::Source;
use honeygraph_protocols::swarm::names::AccountName;
use honeygraph_protocols::swarm::votes::ELECTORATE;
use libp2p::PeerId;
use std::net::SocketAddr;

/// How a value reads and what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A path.
    Path,
    /// `ip:port`; port 0 lets the system choose.
    Listen,
    /// A whole number in this range, inclusive.
    Count(u64, u64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A log filter.
    LogFilter,
    /// A network of the catalog (checked when the catalog is known).
    Network,
    /// How much is kept: `full`, `<n> checkpoints`, `<n> days`.
    Retention,
    /// At most so many `http://` or `https://` addresses, separated by commas.
    Urls(usize),
    /// At most so many addresses of libp2p, separated by commas.
    Addresses(usize),
    /// At most so many peers, each an address or the URL of its HTTP API, separated by commas.
    Peers(usize),
    /// At most so many ids of peers, separated by commas.
    PeerIds(usize),
    /// At most so many accounts of Hive, separated by commas.
    Accounts(usize),
    /// A ZFS dataset; empty is "not set".
    Dataset,
    /// How names of snapshots begin.
    SnapshotPrefix,
    /// Text of at most this many bytes, printable; empty is "not set".
    Text(usize),
    /// Addresses and ranges, separated by commas.
    Ranges,
    /// Names of hosts, separated by commas.
    Hosts,
    /// Names of TLS cipher suites, separated by commas.
    Suites,
    /// `ip:port`, or `unix:` and a path; empty is "not set".
    AdminListen,
    /// Origins of web pages, `https://host[:port]`, separated by commas.
    Origins,
}

/// How an environment variable carries a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// All of it.
    Whole,
    /// The port of a [`Kind::Listen`]; the address stays what the layers below say.
    Port,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Key in the TOML file, with its table: `fork.max_per_block`. Also the name in the output of `config`.
    pub key: &'static str,
    /// Its flag, without the dashes in front.
    pub flag: &'static str,
    /// Variables of the environment, the strongest first.
    pub env: &'static [(&'static str, Carries)],
    /// Default, as text.
    pub default: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is for.
    pub about: &'static str,
}

use Carries::{Port, Whole};

/// Most requests a minute that a limit may allow: 100,000 a second, which nobody reaches.
const MAX_RATE: u64 = 6_000_000;

/// All settings, in the order in which `config` prints them.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "data_dir",
        flag: "data-dir",
        env: &[("HONEYGRAPH_DATA_DIR", Whole), ("DATA_PATH", Whole)],
        default: "./data",
        kind: Kind::Path,
        about: "folder of the journal and the state",
    },
    Setting {
        key: "api_listen",
        flag: "api-listen",
        env: &[("HONEYGRAPH_API_LISTEN", Whole), ("API_PORT", Port)],
        default: "127.0.0.1:3030",
        kind: Kind::Listen,
        about: "address of the HTTP API; port 0 lets the system choose",
    },
    Setting {
        key: "feed_listen",
        flag: "feed-listen",
        env: &[("HONEYGRAPH_FEED_LISTEN", Whole), ("PORT", Port)],
        default: "127.0.0.1:4000",
        kind: Kind::Listen,
        about: "address where honeycomb nodes connect; answers the HTTP API too",
    },
    Setting {
        key: "network",
        flag: "network",
        env: &[("HONEYGRAPH_NETWORK", Whole)],
        default: "dlux_",
        kind: Kind::Network,
        about: "network that a command is about; of a node, that of requests that name none, when more than one (or none) has data",
    },
    Setting {
        key: "node_id",
        flag: "node-id",
        env: &[("NODE_ID", Whole), ("PEER_ID", Whole)],
        default: "",
        kind: Kind::Text(64),
        about: "label of this node in `/health`; not an identity",
    },
    Setting {
        key: "journal.retention",
        flag: "journal-retention",
        env: &[("HONEYGRAPH_JOURNAL_RETENTION", Whole)],
        default: "full",
        kind: Kind::Retention,
        about: "how much of the past is kept: full, or so many checkpoints or days, such as \"30 days\"",
    },
    Setting {
        key: "journal.budget_gib",
        flag: "journal-budget-gib",
        env: &[("HONEYGRAPH_JOURNAL_BUDGET_GIB", Whole)],
        default: "0",
        kind: Kind::Count(0, 1 << 30),
        about: "GiB that the journal of a network should stay below; 0: what the disk has",
    },
    Setting {
        key: "journal.alert_days",
        flag: "journal-alert-days",
        env: &[("HONEYGRAPH_JOURNAL_ALERT_DAYS", Whole)],
        default: "14",
        kind: Kind::Count(0, 10_000),
        about: "days until the disk or the budget is full at which `/health` is degraded",
    },
    Setting {
        key: "journal.segment_kib",
        flag: "journal-segment-kib",
        env: &[("HONEYGRAPH_JOURNAL_SEGMENT_KIB", Whole)],
        default: "65536",
        kind: Kind::Count(64, 1 << 20),
        about: "KiB of a file of the journal; retention frees room by whole files",
    },
    Setting {
        key: "snapshots.backend",
        flag: "snapshots",
        env: &[("HONEYGRAPH_SNAPSHOTS", Whole)],
        default: "auto",
        kind: Kind::Word(&["auto", "zfs", "btrfs", "plain", "off"]),
        about: "how snapshots of the state are made; auto: zfs when there is a dataset, else btrfs where the data lies on it, else as copies",
    },
    Setting {
        key: "snapshots.dataset",
        flag: "zfs-dataset",
        env: &[("ZFS_DATASET", Whole)],
        default: "",
        kind: Kind::Dataset,
        about: "ZFS dataset below which each network gets one for its state, such as `tank/honeygraph`",
    },
    Setting {
        key: "snapshots.max",
        flag: "snapshots-max",
        env: &[("ZFS_MAX_SNAPSHOTS", Whole)],
        default: "100",
        kind: Kind::Count(1, 10_000),
        about: "snapshots of a network that are kept; the older they are, the fewer",
    },
    Setting {
        key: "snapshots.prefix",
        flag: "snapshot-prefix",
        env: &[("HONEYGRAPH_SNAPSHOT_PREFIX", Whole)],
        default: "checkpoint",
        kind: Kind::SnapshotPrefix,
        about: "how the names of snapshots begin: `<prefix>_<block>_<hash>`",
    },
    Setting {
        key: "snapshots.interval_blocks",
        flag: "snapshots-interval-blocks",
        env: &[("HONEYGRAPH_SNAPSHOTS_INTERVAL_BLOCKS", Whole)],
        default: "0",
        kind: Kind::Count(0, 100_000_000),
        about: "blocks between two snapshots that are made by themselves; 0: one at each confirmed checkpoint, at most one a minute",
    },
    Setting {
        key: "ipfs.gateways",
        flag: "ipfs-gateways",
        env: &[("IPFS_GATEWAYS", Whole)],
        default: "",
        kind: Kind::Urls(8),
        about: "gateways asked for checkpoint documents by CID, https://host, several with commas, tried in this order",
    },
    Setting {
        key: "ipfs.roots",
        flag: "ipfs-roots",
        env: &[("HONEYGRAPH_IPFS_ROOTS", Whole)],
        default: "7",
        kind: Kind::Count(0, 400),
        about: "root documents (whole states, one a day) that the way back from an anchored hash may read; 0: it ends with the day, and no root becomes the base by itself",
    },
    Setting {
        key: "base",
        flag: "base",
        env: &[("HONEYGRAPH_BASE", Whole)],
        default: "",
        kind: Kind::Text(1_024),
        about: "root document that a node takes as the base of `network` when it starts and has none: a file, an address, or a CID for the gateways",
    },
    Setting {
        key: "swarm.enabled",
        flag: "swarm-enabled",
        env: &[("SYNC_ENABLED", Whole)],
        default: "true",
        kind: Kind::Flag,
        about: "whether the node takes part in the swarm",
    },
    Setting {
        key: "swarm.listen",
        flag: "swarm-listen",
        env: &[("HONEYGRAPH_SWARM_LISTEN", Whole)],
        default: "/ip4/0.0.0.0/tcp/4001,/ip4/0.0.0.0/udp/4001/quic-v1",
        kind: Kind::Addresses(8),
        about: "where other nodes connect, several with commas; port 0 lets the system choose",
    },
    Setting {
        key: "swarm.announce",
        flag: "swarm-announce",
        env: &[("HONEYGRAPH_SWARM_ANNOUNCE", Whole)],
        default: "",
        kind: Kind::Addresses(8),
        about: "where this node can be reached from everywhere, when it cannot find out by itself (a port mapping)",
    },
    Setting {
        key: "swarm.peers",
        flag: "peers",
        env: &[("PEERS", Whole)],
        default: "",
        kind: Kind::Peers(32),
        about: "first peers: addresses such as `/dns4/host/tcp/4001/p2p/12D3Koo…`, or URLs of other honeygraphs",
    },
    Setting {
        key: "swarm.trusted",
        flag: "swarm-trusted",
        env: &[("HONEYGRAPH_SWARM_TRUSTED", Whole)],
        default: "",
        kind: Kind::PeerIds(64),
        about: "ids of peers that the operator trusts: what they say of the period that is still open is followed, and they are never banned",
    },
    Setting {
        key: "swarm.interval_ms",
        flag: "sync-interval-ms",
        env: &[("SYNC_INTERVAL", Whole)],
        default: "30000",
        kind: Kind::Count(100, 3_600_000),
        about: "milliseconds between two looks at what peers hold; heads are heard of at once, by gossip",
    },
    Setting {
        key: "swarm.history",
        flag: "history",
        env: &[("HONEYGRAPH_HISTORY", Whole)],
        default: "full",
        kind: Kind::Word(&["full", "since-base"]),
        about: "how far back peers are asked: `full` to where their history begins, `since-base` to the root that the state stands on",
    },
    Setting {
        key: "swarm.discovery_domain",
        flag: "swarm-discovery-domain",
        env: &[("DIG_DISCOVERY_DOMAIN", Whole)],
        default: "",
        kind: Kind::Text(253),
        about: "DNS service record that names other honeygraphs, such as `_honeygraph._tcp.dlux.io`",
    },
    Setting {
        key: "swarm.honeycomb_discovery",
        flag: "swarm-honeycomb-discovery",
        env: &[("HONEYCOMB_DISCOVERY", Whole)],
        default: "false",
        kind: Kind::Flag,
        about: "whether honeycombs are asked for the honeygraph that runs beside them (under `/honeygraph`)",
    },
    Setting {
        key: "swarm.honeycomb_endpoints",
        flag: "swarm-honeycomb-endpoints",
        env: &[("HONEYCOMB_ENDPOINTS", Whole)],
        default: "",
        kind: Kind::Urls(16),
        about: "those honeycombs, several with commas",
    },
    Setting {
        key: "swarm.reachable",
        flag: "swarm-reachable",
        env: &[("HONEYGRAPH_SWARM_REACHABLE", Whole)],
        default: "auto",
        kind: Kind::Word(&["auto", "yes", "no"]),
        about: "whether others can reach this node: `auto` finds out, `no` asks a relay",
    },
    Setting {
        key: "swarm.electorate",
        flag: "swarm-electorate",
        env: &[("HONEYGRAPH_ELECTORATE", Whole)],
        default: "",
        kind: Kind::Accounts(ELECTORATE),
        about: "accounts whose votes count, separated by commas; none: the runners in the state at the newest confirmed checkpoint",
    },
    Setting {
        key: "swarm.consensus_required",
        flag: "swarm-consensus-required",
        env: &[("HONEYGRAPH_CONSENSUS_REQUIRED", Whole)],
        default: "2",
        kind: Kind::Count(1, ELECTORATE as u64),
        about: "accounts it takes at least, beside more than half of the electorate, to confirm a checkpoint",
    },
    Setting {
        key: "swarm.consensus_tolerance",
        flag: "swarm-consensus-tolerance",
        env: &[("HONEYGRAPH_CONSENSUS_TOLERANCE", Whole)],
        default: "1",
        kind: Kind::Count(0, ELECTORATE as u64),
        about: "accounts that may vouch for another hash before a checkpoint is contested and nothing is confirmed",
    },
    Setting {
        key: "swarm.relay",
        flag: "swarm-relay",
        env: &[("HONEYGRAPH_SWARM_RELAY", Whole)],
        default: "false",
        kind: Kind::Flag,
        about: "whether nodes that cannot be reached may be reached through this one",
    },
    Setting {
        key: "swarm.mdns",
        flag: "swarm-mdns",
        env: &[("HONEYGRAPH_SWARM_MDNS", Whole)],
        default: "false",
        kind: Kind::Flag,
        about: "whether to look for peers in the local network",
    },
    Setting {
        key: "swarm.allow",
        flag: "swarm-allow",
        env: &[("HONEYGRAPH_SWARM_ALLOW", Whole)],
        default: "",
        kind: Kind::PeerIds(256),
        about: "ids of the only peers that are let in; none: all",
    },
    Setting {
        key: "swarm.block",
        flag: "swarm-block",
        env: &[("HONEYGRAPH_SWARM_BLOCK", Whole)],
        default: "",
        kind: Kind::PeerIds(256),
        about: "ids of peers that are never let in",
    },
    Setting {
        key: "swarm.accounts",
        flag: "swarm-accounts",
        env: &[("HONEYGRAPH_SWARM_ACCOUNTS", Whole)],
        default: "",
        kind: Kind::Accounts(MAX_ACCOUNTS),
        about: "accounts whose nodes alone are let in and served (`honeygraph bind`), beside the peers in `swarm.trusted`; none: all",
    },
    Setting {
        key: "swarm.block_accounts",
        flag: "swarm-block-accounts",
        env: &[("HONEYGRAPH_SWARM_BLOCK_ACCOUNTS", Whole)],
        default: "",
        kind: Kind::Accounts(MAX_ACCOUNTS),
        about: "accounts whose nodes are not let in",
    },
    Setting {
        key: "swarm.pre_shared_key",
        flag: "swarm-pre-shared-key",
        env: &[("HONEYGRAPH_SWARM_PRE_SHARED_KEY", Whole)],
        default: "",
        kind: Kind::Text(1024),
        about: "file with a key (in the form of IPFS's `swarm.key`) without which nobody can connect; there is no QUIC then",
    },
    Setting {
        key: "log.format",
        flag: "log-format",
        env: &[("HONEYGRAPH_LOG_FORMAT", Whole)],
        default: "text",
        kind: Kind::Word(&["text", "json"]),
        about: "form of the log lines on standard error",
    },
    Setting {
        key: "log.level",
        flag: "log-level",
        env: &[("HONEYGRAPH_LOG_LEVEL", Whole)],
        default: "info",
        kind: Kind::LogFilter,
        about: "level, or a list such as info,honeygraph::feed=debug; `honeygraph log-level` changes it while running",
    },
    Setting {
        key: "feed.require_hive_auth",
        flag: "feed-require-hive-auth",
        env: &[("REQUIRE_HIVE_AUTH", Whole)],
        default: "false",
        kind: Kind::Flag,
        about: "feeds have to prove a Hive account (or bring a key, or come from an account's address) before anything else",
    },
    Setting {
        key: "feed.authorized_accounts",
        flag: "feed-authorized-accounts",
        env: &[("AUTHORIZED_HONEYCOMB_NODES", Whole)],
        default: "",
        kind: Kind::Accounts(MAX_ACCOUNTS),
        about: "accounts that may feed, with commas, beside those of `[accounts]`; with neither, every account of Hive may",
    },
    Setting {
        key: "access.account_keys",
        flag: "access-account-keys",
        env: &[("HONEYGRAPH_ACCOUNT_KEYS", Whole)],
        default: "",
        kind: Kind::Text(4096),
        about: "file with keys of accounts, `{\"account\":{\"active\":[\"STM…\"]}}`: feeds' and callers' are then not asked for at Hive, voters' count beside those in the state (`authorities`)",
    },
    Setting {
        key: "access.hive_api",
        flag: "access-hive-api",
        env: &[("HONEYGRAPH_HIVE_API", Whole)],
        default: "https://api.hive.blog,https://api.deathwing.me,https://hive-api.arcange.eu",
        kind: Kind::Urls(8),
        about: "nodes of Hive that are asked for accounts' keys, tried in this order",
    },
    Setting {
        key: "access.trusted_proxies",
        flag: "access-trusted-proxies",
        env: &[("HONEYGRAPH_TRUSTED_PROXIES", Whole)],
        default: "",
        kind: Kind::Ranges,
        about: "addresses and ranges, with commas, whose `X-Forwarded-For` is believed",
    },
    Setting {
        key: "access.origins",
        flag: "access-origins",
        env: &[("CORS_ORIGIN", Whole)],
        default: "",
        kind: Kind::Origins,
        about: "web pages whose scripts may call, https://host, with commas; without it no page may read or feed",
    },
    Setting {
        key: "access.hosts",
        flag: "access-hosts",
        env: &[("HONEYGRAPH_HOSTS", Whole)],
        default: "",
        kind: Kind::Hosts,
        about: "names under which the API is called, with commas; with some, it answers under no other (addresses and localhost apart)",
    },
    Setting {
        key: "access.private_reads",
        flag: "access-private-reads",
        env: &[("HONEYGRAPH_PRIVATE_READS", Whole)],
        default: "false",
        kind: Kind::Flag,
        about: "only who has the scope read may read",
    },
    Setting {
        key: "access.admin_listen",
        flag: "access-admin-listen",
        env: &[("HONEYGRAPH_ADMIN_LISTEN", Whole)],
        default: "",
        kind: Kind::AdminListen,
        about: "a listener of its own for orders without a key, 127.0.0.1:port or unix:PATH; then the other ports take none",
    },
    Setting {
        key: "limits.per_address",
        flag: "limits-per-address",
        env: &[("HONEYGRAPH_LIMITS_PER_ADDRESS", Whole)],
        default: "6000",
        kind: Kind::Count(0, MAX_RATE),
        about: "requests a minute of one address that is not this machine's own; 0 is no limit, here and below",
    },
    Setting {
        key: "limits.per_key",
        flag: "limits-per-key",
        env: &[("HONEYGRAPH_LIMITS_PER_KEY", Whole)],
        default: "60000",
        kind: Kind::Count(0, MAX_RATE),
        about: "requests a minute of one key, or of one account that signs",
    },
    Setting {
        key: "limits.per_network",
        flag: "limits-per-network",
        env: &[("HONEYGRAPH_LIMITS_PER_NETWORK", Whole)],
        default: "0",
        kind: Kind::Count(0, MAX_RATE),
        about: "requests a minute to one network",
    },
    Setting {
        key: "limits.per_token",
        flag: "limits-per-token",
        env: &[("HONEYGRAPH_LIMITS_PER_TOKEN", Whole)],
        default: "0",
        kind: Kind::Count(0, MAX_RATE),
        about: "requests a minute to one token",
    },
    Setting {
        key: "limits.per_endpoint",
        flag: "limits-per-endpoint",
        env: &[("HONEYGRAPH_LIMITS_PER_ENDPOINT", Whole)],
        default: "0",
        kind: Kind::Count(0, MAX_RATE),
        about: "requests a minute to one endpoint",
    },
    Setting {
        key: "tls.cert_file",
        flag: "tls-cert-file",
        env: &[("HONEYGRAPH_TLS_CERT_FILE", Whole)],
        default: "",
        kind: Kind::Text(4096),
        about: "PEM file with the certificate and what stands between it and its root; with it both ports speak TLS only",
    },
    Setting {
        key: "tls.key_file",
        flag: "tls-key-file",
        env: &[("HONEYGRAPH_TLS_KEY_FILE", Whole)],
        default: "",
        kind: Kind::Text(4096),
        about: "PEM file with the certificate's key; new files are used without a restart",
    },
    Setting {
        key: "tls.min_version",
        flag: "tls-min-version",
        env: &[("HONEYGRAPH_TLS_MIN_VERSION", Whole)],
        default: "1.2",
        kind: Kind::Word(&["1.2", "1.3"]),
        about: "oldest version of TLS",
    },
    Setting {
        key: "tls.cipher_suites",
        flag: "tls-cipher-suites",
        env: &[("HONEYGRAPH_TLS_CIPHER_SUITES", Whole)],
        default: "",
        kind: Kind::Suites,
        about: "suites of TLS 1.2, with commas; without it all that are sound (those of 1.3 are)",
    },
    Setting {
        key: "fork.max_per_block",
        flag: "fork-max-per-block",
        env: &[("MAX_FORKS_PER_BLOCK", Whole)],
        default: "10",
        kind: Kind::Count(1, 1000),
        about: "histories of one period that get a view; the ones with the most feeds stay",
    },
    Setting {
        key: "fork.retention_ms",
        flag: "fork-retention-ms",
        env: &[("FORK_RETENTION_TIME", Whole)],
        default: "3600000",
        kind: Kind::Count(1000, 365 * 24 * 3600 * 1000),
        about: "milliseconds for which a fork that nobody feeds keeps its view",
    },
    Setting {
        key: "fork.answer_ms",
        flag: "fork-answer-ms",
        env: &[("HONEYGRAPH_FORK_ANSWER_MS", Whole)],
        default: "10000",
        kind: Kind::Count(100, 3_600_000),
        about: "milliseconds that a question to a feed waits for its answer; after three a gap is recorded",
    },
    Setting {
        key: "fork.operation_buffer",
        flag: "fork-operation-buffer",
        env: &[("OPERATION_BUFFER_SIZE", Whole)],
        default: "10000",
        kind: Kind::Count(0, 1_000_000),
        about: "newest ops shown with a single fork (`/api/forks/:id`)",
    },
];

/// Why a variable that the seeds name does nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// It will, when this area is there.
    Planned(&'static str),
    /// It never will, and why.
    NotNeeded(&'static str),
}

/// Variables that an operator may have set for the old program, or for what is planned. Setting one is noted at the
/// start, never silently ignored.
pub const IDLE: &[(&str, Idle)] = &[
    ("DGRAPH_MODE", Idle::Planned("Dgraph")),
    ("DGRAPH_ALPHA_URL", Idle::Planned("Dgraph")),
    ("REDIS_HOST", Idle::NotNeeded("the journal is the queue")),
    ("REDIS_PORT", Idle::NotNeeded("the journal is the queue")),
    ("POSTGRES_PASSWORD", Idle::NotNeeded("there is no PostgreSQL")),
];

/// Checks each part of a list.
fn each(text: &str, most: usize, check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    let parts: Vec<&str> = super::urls(text).collect();
    match parts.len() <= most {
        true => parts.into_iter().try_for_each(check),
        false => Err(format!("at most {most}, separated by commas")),
    }
}

/// The setting with this key.
pub fn by_key(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.key == key)
}

impl Setting {
    /// Checks a value; the error says what would be right.
    pub fn check(&self, text: &str) -> Result<(), String> {
        match self.kind {
            Kind::Path if text.is_empty() => Err("a path".into()),
            Kind::Path | Kind::Network => Ok(()),
            Kind::Listen => text.parse::<SocketAddr>().map(drop).map_err(|_| "ip:port, such as 127.0.0.1:3030".into()),
            Kind::Count(low, high) => match text.parse::<u64>() {
                Ok(n) if (low..=high).contains(&n) => Ok(()),
                _ => Err(format!("a whole number from {low} to {high}")),
            },
            Kind::Flag => text.parse::<bool>().map(drop).map_err(|_| "true or false".into()),
            Kind::Word(words) if words.contains(&text) => Ok(()),
            Kind::Word(words) => Err(words.join(" or ")),
            Kind::Retention => text.parse::<crate::retention::Keep>().map(drop).map_err(str::to_owned),
            Kind::LogFilter => crate::logging::check(text).map_err(|e| e.to_string()),
            Kind::Urls(most) => {
                let urls: Vec<&str> = super::urls(text).collect();
                let sound = |url: &&str| url.starts_with("http://") || url.starts_with("https://");
                let short = urls.len() <= most && urls.iter().all(|url| url.len() <= 256);
                if short && urls.iter().all(sound) {
                    Ok(())
                } else {
                    Err(format!("up to {most} addresses http(s)://host, separated by commas"))
                }
            }
            Kind::Accounts(most) => each(text, most, |text| match AccountName::new(&text.to_ascii_lowercase()) {
                Some(_) => Ok(()),
                None => Err("accounts of Hive, such as alice, separated by commas".into()),
            }),
            Kind::Addresses(most) => each(text, most, |text| address::parse(text).map(drop).map_err(|e| e.to_string())),
            Kind::Peers(most) => each(text, most, |text| Source::parse(text).map(drop)),
            Kind::PeerIds(most) => each(text, most, |text| match text.parse::<PeerId>() {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{text}: {error}")),
            }),
            Kind::Dataset if text.is_empty() => Ok(()),
            Kind::Dataset => check_dataset(text).map_err(|error| error.to_string()),
            Kind::SnapshotPrefix => check_prefix(text).map_err(|error| error.to_string()),
            Kind::Text(max) if text.len() <= max && !text.chars().any(char::is_control) => Ok(()),
            Kind::Text(max) => Err(format!("printable text of at most {max} bytes")),
            Kind::Ranges if super::urls(text).all(|net| range(net).is_some()) => Ok(()),
            Kind::Ranges => Err("addresses or ranges such as 10.0.0.0/8, separated by commas".into()),
            Kind::Hosts if super::urls(text).all(is_host) => Ok(()),
            Kind::Hosts => Err("names of hosts such as node.example, without a port, separated by commas".into()),
            Kind::Suites => crate::web::tls::check_suites(super::urls(text)),
            Kind::AdminListen => match text.parse::<SocketAddr>() {
                Ok(at) if at.ip().is_loopback() => Ok(()),
                _ if text.is_empty() || text.strip_prefix("unix:").is_some_and(|path| !path.is_empty()) => Ok(()),
                _ => Err("a loopback address such as 127.0.0.1:3031, or unix:PATH".into()),
            },
            Kind::Origins if super::urls(text).all(is_origin) => Ok(()),
            Kind::Origins => Err("origins such as https://app.example, without a path, separated by commas".into()),
        }
    }
}

/// What a browser writes in `Origin`: a scheme and a host, and a port unless it is the scheme's own.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let (name, port) = host.map(|host| host.rsplit_once(':').unwrap_or((host, "1"))).unwrap_or_default();
    is_host(name) && port.parse::<u16>().is_ok()
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}
