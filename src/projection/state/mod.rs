//! The versioned state store: every leaf at every readable point of every live fork, never overwritten.
//!
//! [`State`] is the one writer: it applies journal records in order. [`Reader`] is what everyone else holds: a
//! [`reader::Snapshot`], and from it [`View`]s. The rules are `docs/decisions` on state and, in their plainest form,
//! the [`model`].
//!
//! *Always holds:*
//! * a version is used once; a child's branch number is greater than its parent's, versions grow along a chain;
//! * rows, cursor and branch row of a batch are one commit, and no view names a version that is not there (the rows
//!   of a batch too large for one commit come first, under a version that nothing names yet);
//! * head records move the head, the store does not;
//! * what may be read only shrinks durably before the first row goes ([`sweep`]).

mod apply;
mod base;
mod body;
mod branches;
pub mod check;
pub mod diff;
pub mod document;
pub mod entry;
mod group;
pub mod key;
pub mod kv;
mod leaves;
pub mod model;
pub mod nested;
pub mod reader;
mod sweep;
#[cfg(test)]
mod tests;
mod view;

pub use branches::{Chain, common};
pub use entry::{Batch, Tip};
pub use leaves::Leaves;
pub use reader::Reader;
pub use sweep::Swept;
pub use view::{Limit, Page, Scan, Version, Versions, View};

use self::apply::order;
use self::branches::Branches;
use self::entry::BranchRow;
use self::group::Group;
use self::kv::{Fjall, Kv, KvError, Snapshot as _, Tuning, Write};
use super::base::{Base, BaseError};
use crate::fork::record::{BranchNo, Lsn, Node};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// Format of the rows. A store of an older format is migrated, one of a newer format refused.
pub const FORMAT: u8 = 1;

/// What went wrong in the state store.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store under it failed.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// The store was written by a newer version of this program.
    #[error(
        "the state store has format {found}, this program knows up to {FORMAT}: use a newer honeygraph, or remove the folder `state` (it is rebuilt from the journal)"
    )]
    Newer {
        /// Its format.
        found: u8,
    },
    /// A row that no version of this program writes.
    #[error(
        "damaged {what} in the state store at key {key}: remove the folder `state`, it is rebuilt from the journal"
    )]
    Damaged {
        /// Which row.
        what: &'static str,
        /// Its key in hex.
        key: String,
    },
    /// The store broke an assertion of its own.
    #[error("the state store broke an assertion; see the log")]
    Panicked,
    /// A record that does not fit what came before it: the journal is not the one this store was built from.
    #[error("record {lsn} does not fit the state: {what}")]
    Order {
        /// The record.
        lsn: Lsn,
        /// What does not fit.
        what: &'static str,
    },
    /// The ops of a batch cannot be read.
    #[error("ops of record {lsn}, piece {piece}: {source}")]
    Body {
        /// The chain record.
        lsn: Lsn,
        /// The piece.
        piece: Lsn,
        /// Why.
        source: BodyError,
    },
    /// The base cannot be read.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// It would have to be made again from records that are no longer kept.
    #[error(
        "the state was made with {}, and cannot be made again with another base: the journal begins with record {first}. Put that base back, or restore a backup from before",
        .made.as_deref().map_or_else(|| "no base".to_owned(), |hash| format!("base {hash}"))
    )]
    Late {
        /// First record that is kept.
        first: Lsn,
        /// Base that it was made with.
        made: Option<String>,
    },
    /// What the journal stands on cannot be read.
    #[error("make the state of the journal's floor: {0}")]
    Floor(Box<crate::journal::JournalError>),
    /// The point is not kept: its branch was retired, or it lies below the floor.
    #[error("the state at version {} of branch {} is no longer kept", .0.version, .0.branch)]
    Gone(Node),
}

/// What a callback that fetches the ops of a piece may answer instead of them.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Fetches the length-prefixed op texts of a piece.
pub type Bodies<'a> = dyn FnMut(Lsn) -> Result<Vec<u8>, BodyError> + 'a;

impl StateError {
    fn damaged(what: &'static str, key: &[u8]) -> Self {
        Self::Damaged { what, key: key.iter().take(64).map(|byte| format!("{byte:02x}")).collect() }
    }
}

/// What the writer and all readers share: the store and the branches.
struct Shared<K> {
    kv: K,
    branches: RwLock<Branches>,
}

impl<K> Shared<K> {
    fn branches<T>(&self, read: impl FnOnce(&Branches) -> T) -> T {
        read(&self.branches.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Branches) -> T) -> T {
        change(&mut self.branches.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The writer of one network's state.
pub struct State<K: Kv = Fjall> {
    shared: Arc<Shared<K>>,
    /// Where readers find it.
    seen: watch::Sender<Arc<Shared<K>>>,
    /// Last record applied, committed or not.
    applied: Lsn,
    /// What is applied and not yet committed.
    group: Group,
    /// The chain of the batch applied last: the next one mostly extends it.
    chain: Chain,
    sweep: sweep::Sweep,
    /// What the state was before a period of the history.
    base: Option<Base>,
    #[cfg(test)]
    pub(crate) plant: Option<Plant>,
}

/// Bugs that the checks must catch (tests only).
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// The sweep asks only whether a row answers at a tip.
    SweepByHeads,
    /// The sweep takes tombstones for nothing and removes them before what they hide.
    TombstoneFirst,
    /// The cursor is committed before the rows.
    CursorFirst,
    /// What a del removes is looked up after the puts of its batch.
    ScanAfterPuts,
}

impl State<Fjall> {
    /// Opens or makes the store in `folder`.
    pub fn open(folder: &Path, tuning: Tuning) -> Result<Self, StateError> {
        Self::on(Fjall::open(folder, tuning)?)
    }
}

impl<K: Kv> State<K> {
    /// Opens the state in a store, empty or not.
    pub fn on(kv: K) -> Result<Self, StateError> {
        let snapshot = kv.snapshot();
        match snapshot.get(&key::single(key::table::FORMAT))?.as_deref() {
            None => kv.commit(vec![write(&key::single(key::table::FORMAT), &[FORMAT])])?,
            Some([FORMAT]) => {}
            Some([found]) if *found > FORMAT => return Err(StateError::Newer { found: *found }),
            Some(_) => return Err(StateError::damaged("format", &key::single(key::table::FORMAT))),
        }
        let applied = cursor(&snapshot)?;
        let branches = load_branches(&snapshot)?;
        let head = reader::head_node(&snapshot)?;
        let sweep = sweep::Sweep::resume(&snapshot)?;
        let shared = Arc::new(Shared { kv, branches: RwLock::new(branches) });
        let (group, chain) = (Group::new(head), Chain::new());
        Ok(Self {
            seen: watch::Sender::new(shared.clone()),
            shared,
            applied,
            group,
            chain,
            sweep,
            base: None,
            #[cfg(test)]
            plant: None,
        })
    }

    /// Hash of the base that it was made with.
    pub fn base_hash(&self) -> Result<Option<String>, StateError> {
        let hash = self.shared.kv.snapshot().get(&key::single(key::table::BASE))?;
        Ok(hash.map(|hash| String::from_utf8_lossy(&hash).into_owned()))
    }

    /// Takes a base. A store that has applied anything must have been made with it ([`base_hash`](Self::base_hash)).
    pub fn stand_on_base(&mut self, base: Base) -> Result<(), StateError> {
        if self.base_hash()?.as_deref() != Some(base.hash.as_str()) {
            order(self.applied == 0, self.applied, "a base cannot be put under what is applied")?;
            self.shared.kv.commit(vec![write(&key::single(key::table::BASE), base.hash.as_str().as_bytes())])?;
        }
        self.base = Some(base);
        Ok(())
    }

    /// The last record applied (committed at the latest by the next [`commit`](Self::commit)).
    pub fn cursor(&self) -> Lsn {
        self.applied
    }

    /// A handle for readers.
    pub fn reader(&self) -> Reader<K> {
        Reader::new(self.seen.subscribe())
    }

    /// Takes the place of another one: whoever reads that one reads this one from now on.
    pub fn take_over(&mut self, other: &Self) {
        self.seen = other.seen.clone();
        self.seen.send_replace(self.shared.clone());
    }

    /// Rows in key order from `from` on, at most `most`, read so that what cannot be read shows; where to go on.
    pub fn read_through(&self, from: &[u8], most: usize) -> Result<Option<Vec<u8>>, StateError> {
        let mut last = None;
        let rows = self.shared.kv.snapshot().range(from, &[u8::MAX]);
        for (nth, row) in rows.take(most).enumerate() {
            let (key, _) = row?;
            if nth + 1 == most {
                last = Some([&key[..], &[0]].concat());
            }
        }
        Ok(last)
    }

    /// The store under it.
    pub fn store(&self) -> &K {
        &self.shared.kv
    }

    /// Makes everything committed survive a power cut. The journal does not need it; a clean stop is faster with it.
    pub fn sync(&mut self) -> Result<(), StateError> {
        self.commit()?;
        Ok(self.shared.kv.sync()?)
    }

    #[cfg(test)]
    fn planted(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }
}

/// A write of plain bytes.
fn write(key: &[u8], value: &[u8]) -> Write {
    (key.into(), Some(value.into()))
}

fn cursor(snapshot: &impl kv::Snapshot) -> Result<Lsn, StateError> {
    let key = key::single(key::table::CURSOR);
    let Some(value) = snapshot.get(&key)? else { return Ok(0) };
    let bytes = value.as_ref().try_into().map_err(|_| StateError::damaged("cursor", &key))?;
    Ok(Lsn::from_be_bytes(bytes))
}

fn load_branches(snapshot: &impl kv::Snapshot) -> Result<Branches, StateError> {
    let mut branches = Branches::default();
    for (key, row) in branch_rows(snapshot) {
        let row = row?;
        branches.add(key, row.parent, row.live, row.floor);
        if let Some((_, first)) = row.first {
            branches.begin(key, first);
        }
    }
    for entry in snapshot.range(&[key::table::KEPT], &[key::table::KEPT + 1]) {
        let (key, _) = entry?;
        branches.keep(key::parse_node(&key).ok_or_else(|| StateError::damaged("kept point", &key))?, true);
    }
    for entry in snapshot.range(&[key::table::BASED], &[key::table::BASED + 1]) {
        let (key, _) = entry?;
        branches.base(key::parse_node(&key).ok_or_else(|| StateError::damaged("place of the base", &key))?);
    }
    Ok(branches)
}

/// All branches of a snapshot, oldest first.
fn branch_rows(snapshot: &impl kv::Snapshot) -> impl Iterator<Item = (BranchNo, Result<BranchRow, StateError>)> {
    snapshot.range(&[key::table::BRANCH], &[key::table::BRANCH + 1]).map(|entry| match entry {
        Err(error) => (0, Err(error.into())),
        Ok((key, value)) => match (key::parse_branch(&key), BranchRow::decode(&value)) {
            (Some(branch), Some(row)) => (branch, Ok(row)),
            _ => (0, Err(StateError::damaged("branch", &key))),
        },
    })
}
