//! Keys that the operator gives out: `keys.json` in the data folder.
//!
//! *Always holds:* the file has hashes, never keys; a key that was revoked or has expired opens nothing from that moment on.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Most keys. Each is read at every change of the file.
pub const MAX_KEYS: usize = 4096;

/// Longest name of a key, in bytes.
pub const MAX_NAME: usize = 64;

/// How a key begins, so that people and scanners know one when they see it.
const PREFIX: &str = "hg_";

/// Bytes of a key that nobody can guess.
const SECRET_BYTES: usize = 32;

/// Form of the file.
const VERSION: u32 = 1;

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Read.
    Read,
    /// Give orders.
    Admin,
    /// Feed, as the key's account.
    Feed,
    /// Only this network, whatever else it may.
    Network(String),
    /// Only this token's network.
    Token(String),
}

/// Not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scope: read, admin, feed, network:NAME or token:SYMBOL")]
pub struct NoScope(String);

impl FromStr for Scope {
    type Err = NoScope;
    fn from_str(text: &str) -> Result<Self, NoScope> {
        let named = |name: &str| (1..=MAX_NAME).contains(&name.len()).then(|| name.to_owned());
        match (text, text.split_once(':')) {
            ("read", _) => Some(Self::Read),
            ("admin", _) => Some(Self::Admin),
            ("feed", _) => Some(Self::Feed),
            (_, Some(("network", name))) => named(name).map(Self::Network),
            (_, Some(("token", name))) => named(&name.to_ascii_uppercase()).map(Self::Token),
            _ => None,
        }
        .ok_or_else(|| NoScope(text.chars().take(MAX_NAME).collect()))
    }
}

impl TryFrom<String> for Scope {
    type Error = NoScope;
    fn try_from(text: String) -> Result<Self, NoScope> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read => f.write_str("read"),
            Self::Admin => f.write_str("admin"),
            Self::Feed => f.write_str("feed"),
            Self::Network(name) => write!(f, "network:{name}"),
            Self::Token(name) => write!(f, "token:{name}"),
        }
    }
}

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its public half: 8 hex digits.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// blake3 of the whole key, in hex: a key has 256 bits that nobody can guess, so that no slower hash is needed.
    pub hash: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// Account that a feed with it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// When it was made, milliseconds.
    pub created_ms: u64,
    /// When it ends, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// A key that somebody presents. Shows nothing of itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented(String);

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presented(..)")
    }
}

impl Presented {
    /// A key as it was sent.
    pub fn new(text: &str) -> Self {
        Self(text.trim().into())
    }

    /// The key of `Authorization: Bearer` or `X-API-Key`.
    pub fn of(headers: &axum::http::HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let bearer = || {
            let (scheme, token) = text("authorization")?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token)
        };
        text("x-api-key").or_else(bearer).map(Self::new)
    }
}

/// The file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    keys: Vec<Key>,
}

/// All keys, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRing(BTreeMap<String, Key>);

/// Why keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a file of keys.
    #[error("{path}: {why}")]
    Damaged {
        /// File.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
    /// Too many.
    #[error("there are {MAX_KEYS} keys already: revoke some")]
    TooMany,
    /// None has this id.
    #[error("no key has the id {0}")]
    Unknown(String),
}

/// Where the keys of a data folder are.
pub fn keys_path(data_dir: &Path) -> PathBuf {
    data_dir.join("keys.json")
}

impl KeyRing {
    /// Reads the file; one that is not there has no keys.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(KeysError::Io { path: path.to_owned(), source }),
        };
        let damaged = |why: String| KeysError::Damaged { path: path.to_owned(), why };
        let file: KeyFile = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if file.version != VERSION {
            return Err(damaged(format!("version {}: this program knows {VERSION}", file.version)));
        }
        Ok(Self(file.keys.into_iter().map(|key| (key.id.clone(), key)).collect()))
    }

    /// Reads it for a node that watches it.
    pub fn watch(path: &Path) -> Result<Self, String> {
        Self::read(path).map_err(|error| error.to_string())
    }

    /// The key that was presented, if it is one of ours and still good.
    pub fn find(&self, presented: &Presented, now_ms: u64) -> Option<&Key> {
        let (id, _) = presented.0.strip_prefix(PREFIX)?.split_once('_')?;
        let key = self.0.get(id)?;
        let hash = blake3::Hash::from_hex(&key.hash).ok()?;
        // Hashes compare in constant time.
        let same = hash == blake3::hash(presented.0.as_bytes());
        (same && key.expires_ms.is_none_or(|ends| now_ms < ends)).then_some(key)
    }

    /// All keys, the oldest first.
    pub fn list(&self) -> Vec<&Key> {
        let mut keys: Vec<&Key> = self.0.values().collect();
        keys.sort_by_key(|key| key.created_ms);
        keys
    }

    /// Makes a key and keeps its hash; gives the key itself, which nobody can show again. `draft.id` and `draft.hash` are
    /// made here.
    pub fn create(path: &Path, mut draft: Key) -> Result<(Key, String), KeysError> {
        let mut random = [0; SECRET_BYTES + 4];
        getrandom::fill(&mut random).map_err(KeysError::Random)?;
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        draft.id = hex(&random[..4]);
        let secret = format!("{PREFIX}{}_{}", draft.id, hex(&random[4..]));
        draft.hash = blake3::hash(secret.as_bytes()).to_hex().to_string();
        change(path, |ring| {
            if ring.0.len() >= MAX_KEYS {
                return Err(KeysError::TooMany);
            }
            ring.0.insert(draft.id.clone(), draft.clone());
            Ok(())
        })?;
        Ok((draft, secret))
    }

    /// Takes a key out.
    pub fn revoke(path: &Path, id: &str) -> Result<Key, KeysError> {
        change(path, |ring| ring.0.remove(id).ok_or_else(|| KeysError::Unknown(id.into())))
    }
}

/// Changes the file: whole or not at all, one process at a time.
fn change<T>(path: &Path, change: impl FnOnce(&mut KeyRing) -> Result<T, KeysError>) -> Result<T, KeysError> {
    let io = |source| KeysError::Io { path: path.to_owned(), source };
    let (locked, fresh) = (path.with_extension("lock"), path.with_extension("new"));
    let lock = std::fs::File::options().create(true).truncate(false).write(true).open(&locked).map_err(io)?;
    lock.lock().map_err(io)?;
    let mut ring = KeyRing::read(path)?;
    let done = change(&mut ring)?;
    let file = KeyFile { version: VERSION, keys: ring.0.into_values().collect() };
    let mut text = serde_json::to_vec_pretty(&file).expect("keys are plain data");
    text.push(b'\n');
    let mut written =
        std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&fresh).map_err(io)?;
    written.write_all(&text).and_then(|()| written.sync_all()).map_err(io)?;
    std::fs::rename(&fresh, path).map_err(io)?;
    // The rename is durable with its folder.
    path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all()).map_err(io)?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(scopes: &[&str]) -> Key {
        let scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
        let (id, hash) = (String::new(), String::new());
        Key { id, name: "test".into(), hash, scopes, account: None, created_ms: 7, expires_ms: Some(100) }
    }

    /// Guards against: a key that has ended still opens; the hash of the secret half only, so that any id fits.
    #[test]
    fn a_key_opens_until_it_ends_or_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = keys_path(folder.path());
        let (key, secret) = KeyRing::create(&path, draft(&["read", "network:dlux_"])).unwrap();
        let (other, _) = KeyRing::create(&path, draft(&["admin"])).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let unguessable = secret.rsplit('_').next().unwrap();
        assert!(!text.contains(unguessable), "the file keeps the secret");
        let ring = KeyRing::read(&path).unwrap();
        assert_eq!(ring.list().len(), 2);
        assert_eq!(ring.find(&Presented::new(&secret), 99), Some(&key));
        assert_eq!(ring.find(&Presented::new(&secret), 100), None);
        let mixed = format!("hg_{}_{unguessable}", other.id);
        for wrong in ["", "hg_", "hg__", &secret[1..], &secret[..secret.len() - 1], &mixed, &key.hash] {
            assert_eq!(ring.find(&Presented::new(wrong), 0), None, "{wrong}");
        }
        KeyRing::revoke(&path, &key.id).unwrap();
        assert!(matches!(KeyRing::revoke(&path, &key.id), Err(KeysError::Unknown(_))));
        assert_eq!(KeyRing::read(&path).unwrap().find(&Presented::new(&secret), 0), None);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(format!("{:?}", Presented::new(&secret)), "Presented(..)");
    }

    #[test]
    fn scopes_read_as_they_are_written() {
        for text in ["read", "admin", "feed", "network:spkcc_", "token:SPK"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for wrong in ["", "root", "network:", "token", "network", "Admin"] {
            assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_damaged_file_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = keys_path(folder.path());
        for damaged in ["", "[]", r#"{"version":2,"keys":[]}"#, r#"{"version":1,"keys":[{"id":"x"}]}"#] {
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(KeyRing::read(&path), Err(KeysError::Damaged { .. })), "{damaged}");
            assert!(KeyRing::create(&path, draft(&["read"])).is_err(), "a damaged file is not written over");
        }
    }
}
