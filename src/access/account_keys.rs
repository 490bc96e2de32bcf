//! Keys of accounts that the operator vouches for: the file of `access.account_keys`.
//!
//! `{"alice":{"active":["STM…"],"memo":"STM…"}}`, each role one key, a list, or an authority as Hive writes it. Feeds and callers
//! sign with the active authority; a vote counts by any key of its account (`docs/decisions/0017-votes.md`).
//!
//! *Always holds:* bounded, and read whole or refused; only in a role that nobody signs feeds with is left out what is no key.

use super::grant::MAX_ACCOUNTS;
use honeygraph_protocols::auth::{Account, Authority};
use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::swarm::keys::HiveKey;
use honeygraph_protocols::swarm::names::AccountName;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

/// Largest file, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// Keys of one account.
const MAX_KEYS: usize = 64;

/// Keys of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountKeys {
    /// Who signs for it.
    pub active: Option<Authority>,
    /// Every key of any role.
    pub all: BTreeSet<HiveKey>,
}

/// Accounts and their keys.
pub type KeyFile = BTreeMap<Account, AccountKeys>;

/// Reads the file; an error says what is wrong with it, without its name.
pub fn read(path: &Path) -> Result<KeyFile, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("longer than {MAX_FILE} bytes"));
    }
    let Ok(Json::Object(accounts)) = json::parse(&text) else { return Err("not a JSON object".into()) };
    let mut keys = KeyFile::new();
    for (name, roles) in accounts {
        let name = name.to_string_lossy();
        let account = AccountName::new(&name).and_then(|name| Account::new(name.as_str()));
        let account = account.ok_or_else(|| format!("{name:?} is not the name of a Hive account"))?;
        let roles = of_account(&roles).map_err(|why| format!("{name}: {why}"))?;
        keys.insert(account, roles);
    }
    if keys.len() > MAX_ACCOUNTS {
        return Err(format!("more than {MAX_ACCOUNTS} accounts"));
    }
    Ok(keys)
}

fn of_account(roles: &Json) -> Result<AccountKeys, String> {
    let Json::Object(roles) = roles else { return Err("not an object of roles".into()) };
    let mut keys = AccountKeys::default();
    for (role, value) in roles {
        let role = role.to_string_lossy();
        let authority = Authority::from_json(value);
        keys.all.extend(authority.iter().flat_map(Authority::keys));
        if role == "active" {
            keys.active = authority;
            if keys.active.is_none() {
                return Err("active is no list of keys (STM…), nor an authority that can be met".into());
            }
        }
    }
    if keys.all.len() > MAX_KEYS {
        return Err(format!("more than {MAX_KEYS} keys"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_keys_is_read_whole_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let key = "STM6LLegbAgLAy28EHrffBVuANFWcFgmqRMW13wBmTExqFE9SCkg4";
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            super::read(&file)
        };
        let keys = read(&format!(r#"{{"alice":{{"active":["{key}"],"memo":"{key}"}},"bobby":{{}}}}"#)).unwrap();
        let counted: Vec<_> =
            keys.iter().map(|(name, keys)| (name.as_str(), keys.all.len(), keys.active.is_some())).collect();
        assert_eq!(counted, [("alice", 1, true), ("bobby", 0, false)]);
        let hive = r#"{"weight_threshold":1,"account_auths":[],"key_auths":[["KEY",1]]}"#.replace("KEY", key);
        let keys = read(&format!(r#"{{"alice":{{"posting":{hive}}}}}"#)).unwrap();
        assert_eq!(keys.values().map(|keys| (keys.all.len(), keys.active.is_some())).collect::<Vec<_>>(), [(1, false)]);
        for wrong in ["", "[]", r#"{"Alice":{}}"#, r#"{"alice":{"active":["STM1"]}}"#, r#"{"alice":{"active":7}}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let many: Vec<String> = (0..=MAX_ACCOUNTS).map(|n| format!(r#""a-{n}x":{{}}"#)).collect();
        assert!(read(&format!("{{{}}}", many.join(","))).is_err(), "too many accounts");
        assert!(super::read(&folder.path().join("none")).is_err());
    }
}
