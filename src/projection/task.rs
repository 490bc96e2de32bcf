//! The thread that feeds the state from the journal.
//!
//! A store that turns out to be damaged, or not to be of this journal, makes way for one that is made of the newest good
//! snapshot, or of the journal alone, while the node runs: feeds go on, readers see how far it is.
//!
//! *Always holds:* records are applied in order, none beyond what is durable; `applied` names a commit that readers
//! see; a failure that a new store does not mend ends the thread with its reason, and the node with it.

use super::ahead::{Ahead, Next};
use super::open::{is_unreadable, read_through};
use super::scrub::Scrub;
use super::state::{State, StateError};
use crate::fork::record::Lsn;
use crate::journal::{JournalError, Reader};
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// What the state's threads give way by.
pub const NICENESS: i32 = 5;
/// Rows swept before the journal is looked at again: about a millisecond.
const SWEEP_SLICE: usize = 2_000;
/// Records applied before readers see them, at most, while the journal is ahead.
const RECORDS_AT_ONCE: u64 = 4_096;

/// How long the state stands still at most when it is asked to: it falls behind meanwhile, and so do its readers.
const STILL_AT_MOST: Duration = Duration::from_secs(10);

/// Asks the state to stand still: for a snapshot of its folder.
#[derive(Debug)]
pub struct Still {
    /// Hears that it stands, all of it on the disk, and the last record that it has applied.
    pub stands: oneshot::Sender<Lsn>,
    /// It goes on when this is told, or its sender is gone.
    pub until: oneshot::Receiver<()>,
}

/// Why the projection ended.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// The journal cannot be read.
    #[error("read the journal at record {lsn}: {source}")]
    Journal {
        /// The record.
        lsn: Lsn,
        /// Why.
        source: JournalError,
    },
    /// The state cannot be changed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Makes another store, in a folder of its own, when it hears why this one cannot be used.
pub type Mend = Box<dyn FnMut(&str) -> Result<State, StateError> + Send>;

/// Asks that the store makes way for one made so.
pub struct Replace {
    /// Makes it; or says why it cannot.
    pub make: Box<dyn FnOnce() -> Result<State, String> + Send>,
    /// Hears its last record, or why there is none.
    pub done: oneshot::Sender<Result<Lsn, String>>,
}

/// What others ask of the state.
pub struct Asked {
    /// Points before this version are given up.
    pub floor: watch::Receiver<Lsn>,
    /// It stands still for a moment.
    pub still: mpsc::Receiver<Still>,
    /// It makes way for another one.
    pub replace: mpsc::Receiver<Replace>,
    /// Makes another one when this one cannot be used.
    pub mend: Mend,
}

/// Why a state is not followed any more.
enum Ended {
    /// It was told to.
    Stopped,
    /// Another one takes its place.
    Replaced(Replace),
}

/// Feeds the state until it is stopped; then leaves it so that the next start is quick. Points before the version that
/// `floor` names are given up.
pub async fn run(
    mut state: State,
    reader: Reader,
    applied: watch::Sender<Lsn>,
    mut asked: Asked,
    stop: CancellationToken,
) -> Result<(), ProjectionError> {
    step_back(NICENESS);
    let mut failed_at = None;
    loop {
        let mut ahead = Ahead::start(reader.clone(), state.cursor() + 1);
        let following = follow(&mut state, &reader, &mut ahead, &applied, &mut asked, &stop);
        let ended = AssertUnwindSafe(following).catch_unwind().await;
        ahead.stop();
        let failed = match ended {
            Ok(Ok(Ended::Stopped)) => break,
            Ok(Ok(Ended::Replaced(order))) => {
                replace(&mut state, order, &applied);
                continue;
            }
            Ok(Err(ProjectionError::State(failed))) if is_unusable(&failed) => failed,
            Ok(Err(failed)) => return Err(failed),
            Err(_) => StateError::Panicked,
        };
        // Another store does not help where this one failed at the same place.
        if failed_at.is_some_and(|before| state.cursor() <= before) {
            return Err(failed.into());
        }
        failed_at = Some(state.cursor());
        let other = (asked.mend)(&failed.to_string())?;
        take_over(&mut state, other, &applied);
    }
    state.sync()?;
    Ok(())
}

/// Whether an error means that another store, made of the same journal, may do.
fn is_unusable(error: &StateError) -> bool {
    is_unreadable(error) || matches!(error, StateError::Order { .. })
}

/// Lets another store take the place of this one, by order. When it cannot be made this one goes on.
fn replace(state: &mut State, Replace { make, done }: Replace, applied: &watch::Sender<Lsn>) {
    let made = make().map(|other| {
        take_over(state, other, applied);
        state.cursor()
    });
    // Who asked may have gone.
    let _ = done.send(made);
}

/// Nobody is told of more than the new one has: that is said before readers see it.
fn take_over(state: &mut State, mut other: State, applied: &watch::Sender<Lsn>) {
    applied.send_replace(other.cursor());
    other.take_over(state);
    *state = other;
}

/// Lets the threads of the feeds and of the journal go first where cores are scarce: an ack waits for them, and what this
/// thread does can catch up. Without the right to do so nothing changes.
pub fn step_back(niceness: i32) {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), niceness);
}

async fn follow(
    state: &mut State,
    reader: &Reader,
    ahead: &mut Ahead,
    applied: &watch::Sender<Lsn>,
    Asked { floor, still, replace, .. }: &mut Asked,
    stop: &CancellationToken,
) -> Result<Ended, ProjectionError> {
    let mut scrub = Scrub::new();
    let mut bodies = |lsn: Lsn| reader.body(lsn).map_err(Into::into);
    applied.send_replace(state.cursor());
    while !stop.is_cancelled() {
        if let Ok(order) = still.try_recv() {
            stand_still(state, applied, order).await?;
        }
        if let Ok(order) = replace.try_recv() {
            state.commit()?;
            return Ok(Ended::Replaced(order));
        }
        let chunk = match ahead.chunks.try_recv() {
            Ok(chunk) => Some(chunk),
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                state.commit()?;
                applied.send_replace(state.cursor());
                if floor.has_changed().unwrap_or(false) {
                    let at = *floor.borrow_and_update();
                    state.raise_floors(at)?;
                }
                if state.sweep_wanted() {
                    state.sweep(SWEEP_SLICE)?;
                    continue;
                }
                tokio::select! {
                    () = stop.cancelled() => None,
                    chunk = ahead.chunks.recv() => chunk,
                    Ok(()) = floor.changed() => {
                        floor.mark_changed();
                        continue;
                    }
                    Some(order) = still.recv() => {
                        stand_still(state, applied, order).await?;
                        continue;
                    }
                    Some(order) = replace.recv() => return Ok(Ended::Replaced(order)),
                    // Whoever read may have read in the store before this one: it is looked at here.
                    () = state.store().damaged() => {
                        read_through(state)?;
                        continue;
                    }
                    () = tokio::time::sleep_until(scrub.due()) => {
                        scrub.go_on(state)?;
                        continue;
                    }
                }
            }
        };
        let Some(chunk) = chunk else { break };
        for Next { lsn, record, leaves } in chunk? {
            match record {
                Some(record) => state.apply_ready(lsn, &record, leaves, &mut bodies)?,
                None => state.pass_over(lsn)?,
            }
        }
        if state.cursor() >= *applied.borrow() + RECORDS_AT_ONCE {
            state.commit()?;
            applied.send_replace(state.cursor());
        }
    }
    state.commit()?;
    applied.send_replace(state.cursor());
    Ok(Ended::Stopped)
}

async fn stand_still(state: &mut State, applied: &watch::Sender<Lsn>, order: Still) -> Result<(), ProjectionError> {
    if order.stands.is_closed() {
        return Ok(());
    }
    state.sync()?;
    applied.send_replace(state.cursor());
    if order.stands.send(state.cursor()).is_ok() {
        // Whoever takes longer has a picture as of a power cut.
        let _ = tokio::time::timeout(STILL_AT_MOST, order.until).await;
    }
    Ok(())
}
