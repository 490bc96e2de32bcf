//! Who may vote, and with which keys: what the operator configured, else what the replicated state says.
//!
//! *Always holds:* bounded, whatever the state or the file holds; a key that is none is left out, and so is a name.

use super::book::ELECTORATE;
use crate::projection::state::StateError;
use crate::projection::state::View;
use crate::projection::state::kv::Snapshot;
use honeygraph_protocols::json::{self, Json};
use honeygraph_protocols::path::{self, Segment};
use honeygraph_protocols::swarm::keys::HiveKey;
use honeygraph_protocols::swarm::names::AccountName;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

/// Largest file of keys, in bytes.
const FILE_BYTES: u64 = 4 << 20;
/// Keys of one account in the file.
const KEYS: usize = 64;
/// Rows of `runners` that are looked at.
const ROWS: usize = 65_536;

/// Keys of accounts.
pub type Keys = BTreeMap<AccountName, BTreeSet<HiveKey>>;

/// Keys of one account in the file: one, several, or as Hive writes them. Weights are of those who sign for the account;
/// a voter signs with one key.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    One(String),
    Many(Vec<String>),
    Hive { key_auths: Vec<(String, u64)> },
}

/// Reads `{"account":{"active":["STM…"],"memo":"STM…"}}`: every key named for an account counts.
pub fn read_keys(file: &Path) -> Result<Keys, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let opened = std::fs::File::open(file).map_err(|error| wrong(&error))?;
    let mut text = String::new();
    opened.take(FILE_BYTES + 1).read_to_string(&mut text).map_err(|error| wrong(&error))?;
    if text.len() as u64 > FILE_BYTES {
        return Err(wrong(&format!("more than {FILE_BYTES} bytes")));
    }
    let read: BTreeMap<String, BTreeMap<String, Named>> = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    if read.len() > ELECTORATE {
        return Err(wrong(&format!("more than {ELECTORATE} accounts")));
    }
    let mut keys = Keys::new();
    for (account, roles) in read {
        let name = AccountName::new(&account).ok_or_else(|| wrong(&format!("{account:?} is no account")))?;
        let texts = roles.into_values().flat_map(|named| match named {
            Named::One(text) => vec![text],
            Named::Many(texts) => texts,
            Named::Hive { key_auths } => key_auths.into_iter().map(|(text, _)| text).collect(),
        });
        let held = keys.entry(name).or_default();
        for text in texts {
            held.insert(text.parse().map_err(|error| wrong(&format!("{account}: {text:?}: {error}")))?);
        }
        if held.len() > KEYS {
            return Err(wrong(&format!("more than {KEYS} keys of {account}")));
        }
    }
    Ok(keys)
}

/// The accounts below `runners`.
pub fn runners<S: Snapshot>(view: &View<S>) -> Result<BTreeSet<AccountName>, StateError> {
    let mut runners = BTreeSet::new();
    let prefix = path::encode(&[Segment::from("runners")]);
    let mut scan = view.scan(&prefix, None).at_most(ROWS);
    while runners.len() < ELECTORATE && scan.advance()? {
        let Ok(segments) = path::decode(scan.path()) else { continue };
        let Some(account) = segments.get(1) else { continue };
        runners.extend(AccountName::new(&path::display(std::slice::from_ref(account))));
    }
    Ok(runners)
}

/// The key of an account as the state has it, in `authorities/<account>`.
pub fn authority<S: Snapshot>(view: &View<S>, account: &AccountName) -> Result<Option<HiveKey>, StateError> {
    let path = path::encode(&[Segment::from("authorities"), Segment::from(account.as_str())]);
    let Some(Ok(Json::Text(text))) = view.get(&path)?.map(|text| json::parse(&text)) else { return Ok(None) };
    Ok(text.as_str().and_then(|text| text.parse().ok()))
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
            read_keys(&file)
        };
        let keys = read(&format!(r#"{{"alice":{{"active":["{key}"],"memo":"{key}"}},"bobby":{{}}}}"#)).unwrap();
        let counted: Vec<_> = keys.iter().map(|(name, keys)| (name.as_str(), keys.len())).collect();
        assert_eq!(counted, [("alice", 1), ("bobby", 0)]);
        let hive = format!(
            r#"{{"alice":{{"active":{{"weight_threshold":1,"account_auths":[],"key_auths":[["{key}",1]]}}}}}}"#
        );
        assert_eq!(read(&hive).unwrap().values().map(BTreeSet::len).collect::<Vec<_>>(), [1]);
        for wrong in ["", "[]", r#"{"Alice":{}}"#, r#"{"alice":{"active":["STM1"]}}"#, r#"{"alice":{"active":7}}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read_keys(&folder.path().join("none")).is_err());
    }
}
