//! Who may do what in a node: made of its configuration once, at the start.
//!
//! *Always holds:* a file that the operator named and that cannot be read stops the start.

use super::NodeError;
use crate::access::account_keys;
use crate::access::hive::Accounts;
use crate::access::keys::{KeyRing, keys_path};
use crate::access::limits::Limits;
use crate::access::signed::Once;
use crate::access::watched::Watched;
use crate::access::{Access, Since};
use crate::config::Config;
use crate::proof::gateway::GatewayError;
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes it.
pub(super) fn access(config: &Config) -> Result<Access, NodeError> {
    let wanted = &config.access;
    let unread = |path: &Path, why| NodeError::Keys { path: path.to_owned(), why };
    let file = match &wanted.account_keys {
        Some(path) => Watched::open(path, account_keys::read).map_err(|why| unread(path, why))?,
        None => Watched::default(),
    };
    let accounts = Accounts::new(file, wanted.hive_api.clone());
    let keys = keys_path(&config.data_dir);
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    Ok(Access {
        require: wanted.require,
        roll: wanted.roll.clone(),
        accounts: accounts.map_err(|error| NodeError::Gateways(GatewayError::Client(error)))?,
        keys: Watched::open(&keys, KeyRing::watch).map_err(|why| unread(&keys, why))?,
        proxies: wanted.proxies.clone(),
        origins: wanted.origins.clone(),
        hosts: wanted.hosts.clone(),
        private: wanted.private,
        admin_elsewhere: wanted.admin_listen.is_some(),
        once: Mutex::new(Once::new(now_ms)),
        limits: Mutex::new(Limits::new(wanted.rates)),
        since: Since::default(),
    })
}
