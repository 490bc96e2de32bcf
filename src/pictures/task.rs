//! The thread that makes pictures: when a root is verified, of that root; the newest two stay.
//!
//! *Always holds:* it gives way to everything else; a picture that cannot be made is said, and stops nobody.

use super::make::{Made, Root, make};
use super::{Differs, Held, KEPT, PictureError, open_all};
use crate::fork::rules::Rules;
use crate::fork::status::Status;
use crate::projection::state::kv::Fjall;
use crate::projection::state::reader::Snapshot;
use crate::projection::state::{Batch, Reader, StateError};
use crate::projection::task::step_back;
use honeygraph_protocols::swarm::names::{Label, NetworkName};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What it gives way by: as the thread that proves, whose work it does once more.
const NICENESS: i32 = 15;

/// What it works with.
pub struct Maker {
    /// The network.
    pub network: NetworkName,
    /// Its numbers.
    pub rules: Rules,
    /// The state.
    pub state: Reader,
    /// The core's state: what is proven.
    pub status: watch::Receiver<Arc<Status>>,
    /// Folder of the pictures.
    pub folder: PathBuf,
    /// Where they are shown.
    pub shown: watch::Sender<Arc<Held>>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// The newest root of the head's history.
struct Newest {
    root: Root,
    /// The last batch before it.
    at: Batch,
    verified: bool,
    differs: bool,
}

impl Maker {
    /// Runs until it is stopped.
    pub async fn run(mut self) {
        step_back(NICENESS);
        let pictures = open_all(&self.folder);
        self.shown.send_replace(Arc::new(Held { pictures, differs: None }));
        let mut looked = None;
        loop {
            let proofs = self.status.borrow_and_update().proofs.clone();
            let counts = (proofs.verified, proofs.unverifiable, proofs.mismatches);
            if looked != Some(counts) {
                looked = Some(counts);
                match self.look() {
                    Ok(()) => {}
                    Err(PictureError::Stopped) => return,
                    // The next checkpoint is another occasion.
                    Err(error) => tracing::warn!(network = %self.network, "no picture for newcomers: {error}"),
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                changed = self.status.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Makes the picture of the newest root, when it is due.
    fn look(&self) -> Result<(), PictureError> {
        let snapshot = self.state.snapshot();
        let Some(newest) = self.newest(&snapshot)? else { return Ok(()) };
        let (label, hash) = (newest.root.label.get(), &newest.root.hash);
        if newest.differs {
            self.differs(Differs { label, hash: hash.clone() });
            return Ok(());
        }
        let held = self.shown.borrow().clone();
        let has = held.pictures.iter().any(|picture| picture.root() == hash);
        if !newest.verified || has {
            if held.differs.is_some() {
                self.show(Held { pictures: held.pictures.clone(), differs: None });
            }
            return Ok(());
        }
        let view = match snapshot.view(newest.at.node) {
            // It is not kept any more: the next root is.
            Err(StateError::Gone(_)) => return Ok(()),
            view => view?,
        };
        match make(&view, &newest.root, &self.folder, &|| self.stop.is_cancelled())? {
            Made::Picture(picture) => {
                let (bytes, file) = (picture.about().manifest.bytes, picture.file_bytes());
                tracing::info!(network = %self.network, label, %hash, bytes, file, "a picture for newcomers is made");
                let mut pictures = vec![picture];
                pictures.extend(held.pictures.iter().cloned());
                pictures.sort_by_key(|picture| std::cmp::Reverse(picture.label()));
                pictures.truncate(KEPT);
                self.show(Held { pictures, differs: None });
            }
            Made::Differs => self.differs(Differs { label, hash: hash.clone() }),
        }
        Ok(())
    }

    fn differs(&self, differs: Differs) {
        let held = self.shown.borrow().clone();
        if held.differs.as_ref() != Some(&differs) {
            let Differs { label, hash } = &differs;
            tracing::warn!(network = %self.network, label, %hash, "this root is not what is held here: no picture is made of it, and none is served");
            self.show(Held { pictures: held.pictures.clone(), differs: Some(differs) });
        }
    }

    fn show(&self, held: Held) {
        self.shown.send_replace(Arc::new(held));
    }

    /// The newest root of the head's history, no more than two days back.
    fn newest(&self, snapshot: &Snapshot<Fjall>) -> Result<Option<Newest>, StateError> {
        let Some(head) = snapshot.head()? else { return Ok(None) };
        let mut batch = head.clone();
        for _ in 0..2 * (self.rules.root_interval / self.rules.checkpoint_every) + 2 {
            let first = snapshot.first_of_period(&batch)?;
            let Some(prev) = first.prev else { return Ok(None) };
            let Some(before) = snapshot.batch(prev)? else { return Ok(None) };
            if before.period != first.period
                && self.ends_with_root(&before)
                && let Some(label) = first.opening_label.and_then(Label::new)
            {
                let standing = self.status.borrow().proven.standing(&snapshot.chain(head.node), before.node);
                let root = Root { network: self.network.clone(), label, hash: first.period.clone() };
                let (verified, differs) = (standing.verified, standing.mismatch.is_some());
                return Ok(Some(Newest { root, at: before, verified, differs }));
            }
            batch = before;
        }
        Ok(None)
    }

    fn ends_with_root(&self, batch: &Batch) -> bool {
        let is_genesis = batch.period.as_str().strip_prefix("genesis:") == Some(self.network.as_str());
        is_genesis || batch.opening_label.is_some_and(|label| self.rules.has_second_run(label))
    }
}
