//! What an operator may order, and what is shown.

use super::{Clone, Error, Snapshot};
use crate::fork::record::Lsn;
use serde::Serialize;
use tokio::sync::oneshot;

/// Orders waiting: an operator types them, so few.
pub const CAPACITY: usize = 8;

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// An order. Snapshots are named by their label, hash or name.
#[derive(Debug)]
pub enum Order {
    /// Make one of a checkpoint, the newest when none is named.
    Create {
        /// Block of the checkpoint.
        block: Option<u64>,
        /// Its hash.
        hash: Option<String>,
        /// Only say what would happen.
        dry_run: bool,
        /// The answer.
        reply: Reply<Shown>,
    },
    /// Remove one.
    Destroy {
        /// Which.
        what: String,
        /// Only say what would happen.
        dry_run: bool,
        /// The answer.
        reply: Reply<Shown>,
    },
    /// Copy one, to be written to.
    Clone {
        /// Which.
        what: String,
        /// Name of the clone.
        clone: String,
        /// Only say what would happen.
        dry_run: bool,
        /// The answer.
        reply: Reply<Clone>,
    },
    /// Remove a clone.
    DestroyClone {
        /// Its name.
        clone: String,
        /// The answer.
        reply: Reply<()>,
    },
    /// Keep one until it is released, or do so no longer.
    Hold {
        /// Which.
        what: String,
        /// The word by which it is held.
        by: String,
        /// Whether it is held.
        held: bool,
        /// The answer.
        reply: Reply<Shown>,
    },
    /// Make the state of one anew, and apply the journal behind it.
    Restore {
        /// Which.
        what: String,
        /// Only say what would happen.
        dry_run: bool,
        /// The answer.
        reply: Reply<Shown>,
    },
    /// Files that changed between two, where the file system tells.
    ChangedFiles {
        /// The older one.
        from: String,
        /// The newer one.
        to: String,
        /// The answer.
        reply: Reply<Option<Vec<String>>>,
    },
    /// Make one every so many blocks.
    Interval {
        /// Blocks.
        blocks: u64,
        /// The answer.
        reply: Reply<()>,
    },
}

/// A snapshot as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Block of the checkpoint.
    #[serde(rename = "blockNum")]
    pub label: u64,
    /// Its hash.
    pub hash: String,
    /// The fork; null, like what follows, where this program did not make it.
    pub fork: Option<String>,
    /// The last batch before the checkpoint.
    pub batch: Option<String>,
    /// Whether the checkpoint was verified then.
    pub verified: Option<bool>,
    /// Who had confirmed it then.
    pub confirmed: Option<String>,
    /// Last record that the state had applied.
    pub cursor: Option<Lsn>,
    /// When it was made, ms since the epoch.
    #[serde(rename = "created")]
    pub at_ms: Option<u64>,
    /// Version of the program that made it.
    pub software: Option<String>,
    /// Who holds it.
    pub holds: Vec<String>,
    /// Clones that stand on it.
    pub clones: Vec<String>,
    /// Bytes that would go with it, where that is known.
    pub bytes: Option<u64>,
}

impl From<&Snapshot> for Shown {
    fn from(snapshot: &Snapshot) -> Self {
        let about = snapshot.about.clone();
        let of = about.as_ref();
        Self {
            name: snapshot.name.to_string(),
            label: snapshot.name.label(),
            hash: snapshot.name.hash().to_owned(),
            fork: of.map(|about| about.fork.clone()),
            batch: of.map(|about| about.batch.clone()),
            verified: of.map(|about| about.verified),
            confirmed: of.and_then(|about| about.confirmed.clone()),
            cursor: of.map(|about| about.cursor),
            at_ms: of.map(|about| about.at_ms),
            software: of.map(|about| about.software.clone()),
            holds: snapshot.holds.clone(),
            clones: snapshot.clones.clone(),
            bytes: snapshot.bytes,
        }
    }
}

/// How snapshots of a network are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// How they are made: `zfs`, `btrfs`, `plain`; none: they are not.
    pub backend: Option<&'static str>,
    /// Whether nobody wants them.
    #[serde(skip)]
    pub off: bool,
    /// Most of them.
    pub max: usize,
    /// Blocks between two that are made without being asked for.
    #[serde(rename = "intervalBlocks")]
    pub interval_blocks: u64,
    /// Free bytes where they lie.
    pub free: Option<u64>,
    /// What is wrong, if anything is.
    pub alert: Option<String>,
    /// All of them, the oldest label first.
    #[serde(rename = "checkpoints")]
    pub snapshots: Vec<Shown>,
    /// Their clones.
    pub clones: Vec<Clone>,
}
