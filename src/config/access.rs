//! What the operator wants of access: who may feed, read and give orders, how often, and over what.

use super::read::{ConfigError, Resolved};
use crate::access::address::range;
use crate::access::grant::{AccountFile, Roll};
use crate::access::limits::Rates;
use crate::catalog::Catalog;
use crate::web::tls::TlsConfig;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Who may do what, as far as it is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessConfig {
    /// `REQUIRE_HIVE_AUTH`
    pub require: bool,
    /// Accounts, and what each may.
    pub roll: Roll,
    /// File of accounts' keys.
    pub account_keys: Option<PathBuf>,
    /// Where Hive is asked.
    pub hive_api: Vec<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpNet>,
    /// Web pages whose scripts may call.
    pub origins: Vec<String>,
    /// Names under which the API is called.
    pub hosts: Vec<String>,
    /// Whether only readers with a scope may read.
    pub private: bool,
    /// Listener for orders.
    pub admin_listen: Option<AdminListen>,
    /// Requests a minute.
    pub rates: Rates,
    /// TLS of both ports.
    pub tls: Option<TlsConfig>,
}

/// Where orders without a key come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminListen {
    /// A loopback address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Reads it from values that were checked one by one, and the accounts of the file.
pub(super) fn read(
    resolved: &Resolved,
    accounts: &BTreeMap<String, AccountFile>,
    catalog: &Catalog,
) -> Result<AccessConfig, ConfigError> {
    let text = |key| resolved.text(key);
    let count = |key| resolved.count(key) as u32;
    let list = |key| super::urls(text(key)).map(str::to_owned).collect::<Vec<_>>();
    Ok(AccessConfig {
        require: text("feed.require_hive_auth") == "true",
        roll: roll(text("feed.authorized_accounts"), accounts, catalog)?,
        account_keys: Some(text("access.account_keys")).filter(|path| !path.is_empty()).map(PathBuf::from),
        hive_api: list("access.hive_api"),
        proxies: super::urls(text("access.trusted_proxies")).filter_map(range).collect(),
        origins: list("access.origins"),
        hosts: list("access.hosts"),
        private: text("access.private_reads") == "true",
        admin_listen: admin_listen(text("access.admin_listen")),
        rates: Rates {
            address: count("limits.per_address"),
            key: count("limits.per_key"),
            network: count("limits.per_network"),
            token: count("limits.per_token"),
            endpoint: count("limits.per_endpoint"),
        },
        tls: tls(resolved)?,
    })
}

fn admin_listen(text: &str) -> Option<AdminListen> {
    let unix = text.strip_prefix("unix:").map(|path| AdminListen::Unix(PathBuf::from(path)));
    unix.or_else(|| text.parse().ok().map(AdminListen::Tcp))
}

fn tls(resolved: &Resolved) -> Result<Option<TlsConfig>, ConfigError> {
    let shown = |key| resolved.shown(key);
    let (cert, key) = (shown("tls.cert_file"), shown("tls.key_file"));
    if cert.value.is_empty() != key.value.is_empty() {
        let there = if cert.value.is_empty() { key } else { cert };
        let (value, origin) = (there.value.clone(), there.origin.clone());
        let expected = "both of tls.cert_file and tls.key_file, or neither".into();
        return Err(ConfigError::Value { key: there.key, value, origin, expected });
    }
    Ok((!cert.value.is_empty()).then(|| TlsConfig {
        cert_file: PathBuf::from(&cert.value),
        key_file: PathBuf::from(&key.value),
        only_1_3: shown("tls.min_version").value == "1.3",
        cipher_suites: super::urls(&shown("tls.cipher_suites").value).map(str::to_owned).collect(),
    }))
}

fn roll(feeders: &str, accounts: &BTreeMap<String, AccountFile>, catalog: &Catalog) -> Result<Roll, ConfigError> {
    for (account, file) in accounts {
        let unknown = |network: &&String| catalog.get(network).is_none();
        if let Some(network) = file.networks.iter().flatten().find(unknown) {
            return Err(ConfigError::AccountNetwork { account: account.clone(), network: network.clone() });
        }
    }
    Ok(Roll::new(&super::urls(feeders).collect::<Vec<_>>(), accounts)?)
}
