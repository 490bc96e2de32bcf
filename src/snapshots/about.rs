//! What is known of a snapshot: kept with it, so that the list survives restarts and hands.
//!
//! *Always holds:* what was written as pairs is read again from them; pairs of another program, or half of ours, are none.

use crate::fork::record::{Lsn, Node};
use serde::Serialize;

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// Block of the checkpoint.
    pub label: u64,
    /// Its hash.
    pub hash: String,
    /// The fork: first batch of the history that differs.
    pub fork: String,
    /// The last batch before the checkpoint.
    pub batch: String,
    /// Where that batch is chained.
    pub node: Node,
    /// Last record of the journal that the state had applied.
    pub cursor: Lsn,
    /// Whether the checkpoint was recomputed to its hash.
    pub verified: bool,
    /// Who vouched for it, if anybody did.
    pub confirmed: Option<String>,
    /// When, ms since the epoch.
    pub at_ms: u64,
    /// Version of the program that made it.
    pub software: String,
    /// Format of the state store.
    pub format: u8,
}

/// Keys of the pairs, in the order of [`About::pairs`].
pub const KEYS: [&str; 12] = [
    "label",
    "hash",
    "fork",
    "batch",
    "branch",
    "version",
    "cursor",
    "verified",
    "confirmed",
    "at_ms",
    "software",
    "format",
];

impl About {
    /// As pairs of texts.
    pub fn pairs(&self) -> [(&'static str, String); 12] {
        let Node { branch, version } = self.node;
        let confirmed = self.confirmed.clone().unwrap_or_else(|| "no".to_owned());
        let values = [
            self.label.to_string(),
            self.hash.clone(),
            self.fork.clone(),
            self.batch.clone(),
            branch.to_string(),
            version.to_string(),
            self.cursor.to_string(),
            self.verified.to_string(),
            confirmed,
            self.at_ms.to_string(),
            self.software.clone(),
            self.format.to_string(),
        ];
        let mut values = values.into_iter();
        KEYS.map(|key| (key, values.next().unwrap_or_default()))
    }

    /// From pairs.
    pub fn from_pairs<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let text = |key| get(key).map(str::to_owned);
        Some(Self {
            label: get("label")?.parse().ok()?,
            hash: text("hash")?,
            fork: text("fork")?,
            batch: text("batch")?,
            node: Node { branch: get("branch")?.parse().ok()?, version: get("version")?.parse().ok()? },
            cursor: get("cursor")?.parse().ok()?,
            verified: get("verified")?.parse().ok()?,
            confirmed: text("confirmed").filter(|by| by != "no"),
            at_ms: get("at_ms")?.parse().ok()?,
            software: text("software")?,
            format: get("format")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn pairs_are_read_as_they_were_written() {
        let about = About {
            label: 5,
            hash: "Qm1".into(),
            fork: "bafyf".into(),
            batch: "bafyb".into(),
            node: Node { branch: 3, version: 77 },
            cursor: 99,
            verified: true,
            confirmed: Some("consensus".into()),
            at_ms: 12,
            software: "0.1.0".into(),
            format: 1,
        };
        for about in [About { confirmed: None, verified: false, ..about.clone() }, about] {
            let mut pairs: BTreeMap<_, _> = about.pairs().into();
            assert_eq!(About::from_pairs(|key| pairs.get(key).map(String::as_str)), Some(about));
            pairs.insert("cursor", "-".into());
            assert_eq!(About::from_pairs(|key| pairs.get(key).map(String::as_str)), None);
        }
    }
}
