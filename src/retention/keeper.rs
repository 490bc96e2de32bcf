//! The one that looks after a network's journal: called now and then, it says how things are and lets go what can go.
//!
//! *Always holds:* a full disk makes it wait, never fail; after an error of the disk the node stops, as everywhere.

use super::horizon::{horizon, long_ago};
use super::pieces::Pieces;
use super::plan::{Plan, Standing, plan};
use super::room::{DAY_MS, Growth};
use super::{Keep, Kept};
use crate::fork::record::Lsn;
use crate::journal::trim::Segment;
use crate::journal::{JournalError, Reader as Journal};
use crate::projection::picture::{self, PictureError};
use crate::projection::state::kv::{Fjall, Kv};
use crate::projection::state::reader::Snapshot;
use crate::projection::state::{Reader as State, StateError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Growth is measured over so long: a week, as days differ.
const MEASURED_MS: u64 = 7 * DAY_MS;
/// Growth is measured so often.
const MEASURE_EVERY_MS: u64 = 10 * 60 * 1000;
/// Between two looks: a period is five minutes.
pub const EVERY: Duration = Duration::from_secs(60);

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<PictureError> for KeepError {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::Journal(error) => Self::Journal(error),
            PictureError::State(error) => Self::State(error),
        }
    }
}

/// What the operator asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// How much is kept.
    pub keep: Keep,
    /// Bytes that the journal may take; none: what the disk has.
    pub budget: Option<u64>,
    /// Days before a full disk that are worth an alert.
    pub alert_days: u64,
    /// Between two looks: no setting, but what tests need short.
    pub every: Duration,
}

/// Looks after one network's journal.
pub struct Keeper<K: Kv = Fjall> {
    orders: Orders,
    journal: Journal,
    state: State<K>,
    pieces: Pieces,
    sizes: BTreeMap<Lsn, u64>,
    /// Batches and bytes are measured from here: when, and the growth.
    growth: Option<(u64, Growth)>,
    /// When the state's floor was raised last, as the time of the batch there.
    raised: Option<u64>,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Looked {
    /// How things are.
    pub kept: Kept,
    /// Points before this version may go from the state.
    pub floor: Option<Lsn>,
}

impl<K: Kv> Keeper<K> {
    /// What it was asked for.
    pub fn orders(&self) -> Orders {
        self.orders
    }

    /// The state that it looks at.
    pub fn state(&self) -> &State<K> {
        &self.state
    }

    /// For a journal and its state.
    pub fn new(orders: Orders, journal: Journal, state: State<K>) -> Self {
        let (pieces, sizes) = (Pieces::default(), BTreeMap::new());
        Self { orders, journal, state, pieces, sizes, growth: None, raised: None }
    }

    /// Looks, and lets go what can go. `proven`: the record up to which checkpoints are proven; `free`: bytes that the
    /// disk has left; `stopped`: whether the node stops.
    pub fn look(
        &mut self,
        now_ms: u64,
        proven: Lsn,
        free: Option<u64>,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Looked, KeepError> {
        let snapshot = self.state.snapshot();
        let horizon = match self.orders.keep {
            Keep::Full => None,
            keep => horizon(&snapshot, keep, proven, now_ms)?,
        };
        let growth = self.growth(&snapshot, now_ms)?;
        let bytes = self.bytes()?;
        let limit = self.orders.budget.into_iter().chain(free.map(|free| bytes.saturating_add(free))).min();
        let window = horizon.as_ref().map(|horizon| now_ms.saturating_sub(horizon.at_ms));
        let days = limit.and_then(|limit| Growth { bytes, ..growth }.days_until(limit, self.orders.keep, window));
        let pressed = days.is_some_and(|days| days < self.orders.alert_days as f64);
        let mut floor = None;
        if let Some(horizon) = &horizon {
            self.let_go(&snapshot, horizon.version, pressed, stopped)?;
            floor = self.raise(horizon.version, horizon.at_ms, now_ms);
        }
        let alert = pressed.then(|| self.alert(days.unwrap_or_default()));
        let kept = Kept {
            retention: self.orders.keep.to_string(),
            first: self.journal.first(),
            bytes: self.bytes()?,
            segments: self.journal.segments(),
            oldest: horizon.as_ref().map(|horizon| horizon.version),
            oldest_at_ms: horizon.as_ref().map(|horizon| horizon.at_ms),
            held_by: horizon.and_then(|horizon| horizon.held_by),
            floor: self.journal.floor().map(|floor| floor.reach()),
            bytes_a_day: growth.a_day(),
            limit,
            days_until_full: days.map(|days| (days * 10.0).round() / 10.0),
            alert,
        };
        Ok(Looked { kept, floor })
    }

    fn alert(&self, days: f64) -> String {
        let what = match days {
            0.0 => "the journal has reached its budget".to_owned(),
            days => format!("the journal fills its room in {days:.1} days"),
        };
        match self.orders.keep {
            Keep::Full => format!("{what}: give it more, or let old checkpoints go (journal.retention)"),
            _ => format!("{what}: give it more, or keep less (journal.retention)"),
        }
    }

    /// Bytes of the journal's files.
    fn bytes(&mut self) -> Result<u64, JournalError> {
        Ok(self.segments()?.iter().map(|segment| segment.bytes).sum::<u64>()
            + self.journal.floor().map_or(0, |floor| floor.bytes()))
    }

    fn segments(&mut self) -> Result<Vec<Segment>, JournalError> {
        let firsts = self.journal.segment_firsts();
        self.sizes.retain(|first, _| firsts.first().is_some_and(|oldest| oldest <= first));
        for first in &firsts {
            if !self.sizes.contains_key(first) {
                self.sizes.insert(*first, self.journal.segment_bytes(*first)?);
            }
        }
        Ok(self.sizes.iter().map(|(first, bytes)| Segment { first: *first, bytes: *bytes }).collect())
    }

    fn growth(&mut self, snapshot: &Snapshot<K>, now_ms: u64) -> Result<Growth, KeepError> {
        if let Some((_, growth)) = self.growth.filter(|(at, _)| now_ms.saturating_sub(*at) < MEASURE_EVERY_MS) {
            return Ok(growth);
        }
        let bytes = self.bytes()?;
        let (first, last) = (self.journal.first(), *self.journal.durable().borrow());
        let records = last.saturating_sub(first) + 1;
        let growth = match long_ago(snapshot, now_ms.saturating_sub(MEASURED_MS))? {
            Some(then) => {
                let came = u128::from(last.saturating_sub(then.node.version)) * u128::from(bytes) / u128::from(records);
                let ms = now_ms.saturating_sub(then.at_ms);
                Growth { bytes, came: u64::try_from(came).unwrap_or(u64::MAX), ms }
            }
            None => Growth { bytes, came: 0, ms: 0 },
        };
        self.growth = Some((now_ms, growth));
        Ok(growth)
    }

    fn let_go(
        &mut self,
        snapshot: &Snapshot<K>,
        oldest: Lsn,
        pressed: bool,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), KeepError> {
        self.pieces.look(snapshot, oldest, self.journal.first())?;
        let standing = self.journal.floor();
        let floor = standing
            .as_ref()
            .map_or(Standing::default(), |floor| Standing { reach: floor.reach(), bytes: floor.bytes() });
        let needed = self.pieces.lowest(oldest);
        let begin = match plan(&self.segments()?, needed, floor, pressed) {
            Plan::Rest => return Ok(()),
            Plan::BeginAt(first) => first,
            Plan::LayFloor(first) => {
                if !self.lay_floor(snapshot, stopped)? {
                    return Ok(());
                }
                first
            }
        };
        let network = self.journal.network().to_owned();
        let gone = self.journal.begin_at(begin)?;
        if gone > 0 {
            tracing::info!(network, gone, first = self.journal.first(), "old segments of the journal are removed");
        }
        Ok(())
    }

    /// Makes a floor of where the state stands; false when that has to wait.
    fn lay_floor(&self, snapshot: &Snapshot<K>, stopped: &dyn Fn() -> bool) -> Result<bool, KeepError> {
        let cursor = snapshot.cursor()?;
        let ledger = self.journal.ledger_at(cursor)?;
        if ledger.lsn > cursor {
            // The state has to come on first: what is parked at the ledger's record must be what the state has not seen.
            return Ok(false);
        }
        let held: BTreeSet<Lsn> = self.journal.floor().map(|floor| floor.pieces().collect()).unwrap_or_default();
        let also: BTreeSet<Lsn> = self.pieces.early().filter(|piece| held.contains(piece)).collect();
        let mut failed = None;
        let laid = self.journal.lay_floor(&ledger, &also, cursor, |floor| {
            picture::write(snapshot, floor, stopped).map_err(|error| match error {
                PictureError::Journal(error) => error,
                PictureError::State(error) => {
                    let what = error.to_string();
                    failed = Some(error);
                    JournalError::Malformed(what)
                }
            })
        });
        match laid {
            Ok(()) => Ok(true),
            Err(JournalError::Full) => {
                tracing::warn!(network = self.journal.network(), "no room for a floor: old segments stay");
                Ok(false)
            }
            Err(_) if stopped() => Ok(false),
            Err(error) => Err(failed.map_or(KeepError::Journal(error), KeepError::State)),
        }
    }

    /// Whether the state's oldest points are to go: a sweep looks at every row, so not with every checkpoint.
    fn raise(&mut self, version: Lsn, at_ms: u64, now_ms: u64) -> Option<Lsn> {
        let step = now_ms.saturating_sub(at_ms) / 8;
        if self.raised.is_some_and(|raised| at_ms.saturating_sub(raised) < step) {
            return None;
        }
        self.raised = Some(at_ms);
        Some(version)
    }
}
