//! The thread that calls the keeper.
//!
//! *Always holds:* it gives way to the threads that take ops in; its failure stops the node.

use super::keeper::{KeepError, Keeper, Looked};
use super::kept::Kept;
use crate::fork::record::Lsn;
use crate::fork::status::Status;
use crate::projection::open::is_unreadable;
use crate::projection::task::{NICENESS, step_back};
use rustix::fs::statvfs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the thread works with.
pub struct Keeping {
    /// The keeper.
    pub keeper: Keeper,
    /// Folder of the journal, to ask its disk.
    pub folder: PathBuf,
    /// The core's state.
    pub status: watch::Receiver<Arc<Status>>,
    /// Where what is found goes.
    pub kept: watch::Sender<Arc<Kept>>,
    /// Where the state hears which points may go.
    pub floor: watch::Sender<Lsn>,
    /// Ends it.
    pub stop: CancellationToken,
}

impl Keeping {
    /// Runs until it is stopped.
    pub async fn run(mut self) -> Result<(), KeepError> {
        step_back(NICENESS);
        let mut said = None;
        while !self.stop.is_cancelled() {
            let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
            let proven = self.status.borrow().proven.cursor;
            let free = statvfs(&self.folder).ok().map(|about| about.f_bavail.saturating_mul(about.f_frsize));
            let stop = self.stop.clone();
            // A store that took another's place may be behind what is proven: there is time until it is not.
            let store = self.keeper.state().store();
            let looked = match self.keeper.state().is_at(proven) {
                true => self.keeper.look(now_ms, proven, free, &|| stop.is_cancelled()).map(Some),
                false => Ok(None),
            };
            let looked = match looked {
                Err(KeepError::State(error)) if is_unreadable(&error) => {
                    tracing::warn!(folder = %self.folder.display(), "retention waits for another state: {error}");
                    store.distrust();
                    None
                }
                looked => looked?,
            };
            let Some(Looked { kept, floor }) = looked else {
                self.pause().await;
                continue;
            };
            if let Some(alert) = kept.alert.as_ref().filter(|alert| said.as_ref() != Some(*alert)) {
                tracing::warn!(folder = %self.folder.display(), "{alert}");
            }
            said.clone_from(&kept.alert);
            if let Some(floor) = floor {
                self.floor.send_if_modified(|at| std::mem::replace(at, floor.max(*at)) < floor);
            }
            self.kept.send_replace(Arc::new(kept));
            self.pause().await;
        }
        Ok(())
    }

    async fn pause(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(self.keeper.orders().every) => {}
        }
    }
}
