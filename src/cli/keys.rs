//! `honeygraph keys`: keys for readers, operators and feeds, in the data folder.
//!
//! A node sees a change at the next request; it need not run, and need not be stopped.

use super::exit::{Code, Failure, Outcome};
use super::print;
use crate::access::keys::{Key, KeyRing, KeysError, MAX_NAME, Scope, keys_path};
use crate::config::Target;
use clap::Subcommand;
use honeygraph_protocols::auth::Account;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// `honeygraph keys`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it: nobody can show it again
    Create {
        /// What it is for
        #[arg(long, value_parser = name)]
        name: String,
        /// What it may do: read, admin, feed; network:NAME or token:SYMBOL narrow that down. Several with commas
        #[arg(long, value_delimiter = ',', required = true)]
        scope: Vec<Scope>,
        /// Hive account that a feed with this key is
        #[arg(long, value_parser = account)]
        account: Option<String>,
        /// Days until it ends; without it the key holds until it is revoked
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=36_500))]
        expires: Option<u64>,
    },
    /// What keys there are, without the keys themselves
    List,
    /// Take a key back: it opens nothing from now on
    Revoke {
        /// Its id, as `list` prints it
        id: String,
    },
}

const DAY_MS: u64 = 24 * 3600 * 1000;

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn name(text: &str) -> Result<String, String> {
    let sound = (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
    if sound { Ok(text.to_owned()) } else { Err(format!("1 to {MAX_NAME} printable bytes")) }
}

fn account(text: &str) -> Result<String, String> {
    Account::new(text).map(|account| account.to_string()).ok_or_else(|| "the name of a Hive account".to_owned())
}

/// Runs it.
pub fn run(command: KeysCommand, target: &Target, as_json: bool) -> Outcome {
    let path = keys_path(&target.data_dir);
    match command {
        KeysCommand::Create { name, scope, account, expires } => {
            let scopes = scope.into_iter().collect();
            let created_ms = now_ms();
            let expires_ms = expires.map(|days| created_ms + days * DAY_MS);
            let key = Key { id: String::new(), name, hash: String::new(), scopes, account, created_ms, expires_ms };
            create(&path, key, as_json)
        }
        KeysCommand::List => list(&path, as_json),
        KeysCommand::Revoke { id } => {
            let key = KeyRing::revoke(&path, &id).map_err(failed)?;
            if as_json {
                print::json(&shown(&key))
            } else {
                print::line(&format!("{} ({}) is revoked", key.id, key.name))
            }
        }
    }
}

fn create(path: &Path, key: Key, as_json: bool) -> Outcome {
    let does = [Scope::Read, Scope::Admin, Scope::Feed].iter().any(|scope| key.scopes.contains(scope));
    if !does {
        return Err(Failure::new(Code::Usage, "network and token only narrow down: add read, admin or feed"));
    }
    if key.scopes.contains(&Scope::Feed) != key.account.is_some() {
        return Err(Failure::new(Code::Usage, "a key for feeds has an account, and no other has one: --account NAME"));
    }
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(|error| Failure::new(Code::Failed, error))?;
    let (key, secret) = KeyRing::create(path, key).map_err(failed)?;
    if as_json {
        let mut shown = shown(&key);
        shown["key"] = secret.into();
        return print::json(&shown);
    }
    print::beside("this is the only time that the key is shown:");
    print::line(&secret)
}

fn list(path: &Path, as_json: bool) -> Outcome {
    let ring = KeyRing::read(path).map_err(failed)?;
    if as_json {
        return print::json(&json!({ "keys": ring.list().into_iter().map(shown).collect::<Vec<_>>() }));
    }
    let now = now_ms();
    let days_left = |ends: u64| match ends.checked_sub(now) {
        Some(left) => format!("in {} d", left / DAY_MS),
        None => "ended".to_owned(),
    };
    let rows = ring.list().into_iter().map(|key| {
        let scopes = key.scopes.iter().map(Scope::to_string).collect::<Vec<_>>().join(",");
        let ends = key.expires_ms.map_or_else(|| "-".to_owned(), days_left);
        vec![key.id.clone(), key.name.clone(), scopes, key.account.clone().unwrap_or_else(|| "-".into()), ends]
    });
    print::table(&["id", "name", "scopes", "account", "ends"], rows.collect())
}

fn shown(key: &Key) -> Value {
    json!({ "id": key.id, "name": key.name, "scopes": key.scopes, "account": key.account, "created_ms": key.created_ms, "expires_ms": key.expires_ms })
}

fn failed(error: KeysError) -> Failure {
    let code = if matches!(error, KeysError::Unknown(_)) { Code::NotFound } else { Code::Failed };
    Failure::new(code, error)
}
