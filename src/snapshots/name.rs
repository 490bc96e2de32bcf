//! What snapshots, clones and holds may be called.
//!
//! *Always holds:* a name that exists can be a part of a file's path, of a ZFS name and of an argument: letters, digits and
//! a few signs, never first a sign that a program could take for an option.

use std::fmt;

/// Longest hash in a name, in bytes: CIDs have 46 to 59.
const MAX_HASH: usize = 128;
/// Longest prefix, in bytes.
pub const MAX_PREFIX: usize = 32;
/// Longest name of a clone or a hold, in bytes.
const MAX_WORD: usize = 64;
/// Longest parent dataset, in bytes: ZFS allows 255 for dataset and snapshot together.
const MAX_DATASET: usize = 64;

/// Why something is not called so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?}: expected {expected}")]
pub struct NameError {
    what: &'static str,
    given: String,
    expected: &'static str,
}

impl NameError {
    fn new(what: &'static str, given: &str, expected: &'static str) -> Self {
        Self { what, given: given.chars().take(MAX_WORD).collect(), expected }
    }
}

/// The name of a snapshot: `<prefix>_<label>_<hash>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    label: u64,
    hash: String,
    prefix: String,
}

impl Name {
    /// The name of the snapshot of a checkpoint.
    pub fn new(prefix: &str, label: u64, hash: &str) -> Result<Self, NameError> {
        check_prefix(prefix)?;
        if hash.is_empty() || hash.len() > MAX_HASH || !hash.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(NameError::new("hash", hash, "a CID"));
        }
        Ok(Self { label, hash: hash.to_owned(), prefix: prefix.to_owned() })
    }

    /// The name that is written so, if it is one with this prefix.
    pub fn parse(prefix: &str, text: &str) -> Option<Self> {
        let (label, hash) = text.strip_prefix(prefix)?.strip_prefix('_')?.split_once('_')?;
        let name = Self::new(prefix, label.parse().ok()?, hash).ok()?;
        // "+5" and "05" are numbers, and are no names of ours.
        (name.to_string() == text).then_some(name)
    }

    /// Block of the checkpoint.
    pub fn label(&self) -> u64 {
        self.label
    }

    /// Its hash.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.prefix, self.label, self.hash)
    }
}

/// The name of a clone, or of a hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(String);

impl Word {
    /// Takes it if it may be called so.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if first && rest && text.len() <= MAX_WORD {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError::new("name", text, "at most 64 letters, digits, _ and -, the first a letter or a digit"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks a prefix of names.
pub fn check_prefix(prefix: &str) -> Result<(), NameError> {
    let first = prefix.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if first && rest && prefix.len() <= MAX_PREFIX {
        return Ok(());
    }
    Err(NameError::new("prefix", prefix, "at most 32 letters, digits, _ and -, the first a letter or a digit"))
}

/// Checks the name of a ZFS dataset.
pub fn check_dataset(dataset: &str) -> Result<(), NameError> {
    let is_part = |part: &str| {
        part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    if dataset.len() <= MAX_DATASET && dataset.split('/').all(is_part) {
        return Ok(());
    }
    Err(NameError::new("dataset", dataset, "pool/name, at most 64 letters, digits, _, - and . with / between them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planted: a hash that is taken as it comes.
    #[test]
    fn names_are_whole_and_hostile_ones_are_none() {
        let cid = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG";
        let name = Name::new("checkpoint", 12345, cid).unwrap();
        assert_eq!(name.to_string(), format!("checkpoint_12345_{cid}"));
        assert_eq!(Name::parse("checkpoint", &name.to_string()), Some(name));
        let odd = Name::new("my_check-point", 0, "Qm1").unwrap();
        assert_eq!(Name::parse("my_check-point", &odd.to_string()), Some(odd));
        let long = "a".repeat(129);
        for hash in ["", "../x", "a@b", "a b", "-r", "Qm_1", "Qm\n", "genesis:x", "é", &long] {
            assert!(Name::new("checkpoint", 1, hash).is_err(), "{hash:?}");
        }
        for prefix in ["", "-r", "a/b", "a@b", "..", "a.b", "_a", &"a".repeat(33)] {
            assert!(Name::new(prefix, 1, "Qm1").is_err(), "{prefix:?}");
        }
        for text in
            ["checkpoint_5", "checkpoint__Qm1", "checkpoint_+5_Qm1", "checkpoint_05_Qm1", "other_5_Qm1", "daily"]
        {
            assert_eq!(Name::parse("checkpoint", text), None, "{text}");
        }
    }

    #[test]
    fn words_and_datasets_are_no_paths_and_no_options() {
        assert_eq!(Word::new("test-1_x").unwrap().as_str(), "test-1_x");
        for text in ["", "-f", "_a", "a/b", "a.b", "a,b", "..", "a b", &"a".repeat(65)] {
            assert!(Word::new(text).is_err(), "{text:?}");
        }
        // The old server put such texts into a line for a shell, with sudo.
        for text in
            ["-rf", "--", "a;id", "$(id)", "`id`", "a|id", "a&&id", "a\nb", "a\0b", "'a'", "\"a\"", "a>b", "*", "~"]
        {
            assert!(Word::new(text).is_err() && check_dataset(text).is_err(), "{text:?}");
            assert!(check_dataset(&format!("tank/{text}")).is_err() && check_prefix(text).is_err(), "{text:?}");
            assert!(Name::new("checkpoint", 1, text).is_err(), "{text:?}");
        }
        for fine in ["tank", "tank/honeygraph", "rpool/a.b-c_d/e"] {
            assert!(check_dataset(fine).is_ok(), "{fine}");
        }
        for text in ["", "/tank", "tank/", "tank//a", "-r", "tank/-r", "tank/..", "tank@a", "tank/a b", &"a".repeat(65)]
        {
            assert!(check_dataset(text).is_err(), "{text:?}");
        }
    }
}
