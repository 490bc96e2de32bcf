//! The thread that makes, thins and looks after the snapshots of one network.
//!
//! *Always holds:* it gives way to the threads that take ops in, and never stops them; the state stands still only while a
//! snapshot is made; whatever fails is an alert, tried again later, and ends neither the thread nor the node.

use super::about::About;
use super::name::{Name, Word};
use super::order::{Order, Shown, State};
use super::place::Settings;
use super::{Backend, Clone, Error, Listed, Room, checkpoints, policy};
use crate::fork::record::Lsn;
use crate::fork::status::Status;
use crate::projection::state::{Reader, StateError};
use crate::projection::task::{NICENESS, Still, step_back};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Between two looks at what is there: an operator's hands change it too.
const LOOK: Duration = Duration::from_secs(60);
/// Between two tries to make one, and between two looks at a state that is behind.
const AGAIN: Duration = Duration::from_secs(2);
/// How long the state may take to stand still: it ends what it is doing.
const STILL: Duration = Duration::from_secs(60);
/// Snapshots removed for room at one go at most: the next look goes on.
const MOST_FOR_ROOM: usize = 16;

/// What the thread works with.
pub struct Snapshots {
    /// The network.
    pub network: String,
    /// Who makes them.
    pub backend: Option<Box<dyn Backend>>,
    /// Why they are not made as they should be.
    pub trouble: Option<String>,
    /// What the operator asks for.
    pub settings: Settings,
    /// The state.
    pub state: Reader,
    /// The core's state.
    pub status: watch::Receiver<Arc<Status>>,
    /// Asks the state to stand still.
    pub still: mpsc::Sender<Still>,
    /// Orders.
    pub orders: mpsc::Receiver<Order>,
    /// Where what is there goes.
    pub shown: watch::Sender<Arc<State>>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// What it remembers.
#[derive(Default)]
struct Memory {
    listed: Listed,
    room: Option<Room>,
    /// What is wrong: with what it stands on, with room, and with the last try.
    pool: Option<String>,
    low: Option<String>,
    failed: Option<String>,
    /// The last one that was made without being asked for.
    made: Option<(Instant, String)>,
    /// Proofs that were looked at.
    proven: Option<(Lsn, Option<u64>)>,
}

impl Snapshots {
    /// Runs until it is stopped.
    pub async fn run(mut self) {
        step_back(NICENESS);
        let Some(backend) = self.backend.take() else { return self.without().await };
        let mut memory = Memory::default();
        let (mut look_at, mut try_at) = (Instant::now(), None::<Instant>);
        while !self.stop.is_cancelled() {
            if look_at <= Instant::now() {
                self.look(&*backend, &mut memory);
                look_at = Instant::now() + LOOK;
            }
            let proven = self.proven();
            if memory.proven != Some(proven) || try_at.is_some_and(|at| at <= Instant::now()) {
                memory.proven = Some(proven);
                try_at = self.make_due(&*backend, &mut memory).await;
            }
            self.show(Some(&*backend), &memory);
            let wake = try_at.map_or(look_at, |at| at.min(look_at));
            tokio::select! {
                () = self.stop.cancelled() => {}
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(&*backend, &mut memory, order).await,
                    None => self.stop.cancelled().await,
                },
                changed = self.status.changed() => if changed.is_err() {
                    // The core has ended: this one goes on with what there is until it is told to end.
                    self.stop.cancelled().await;
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// Nobody makes any: orders are refused.
    async fn without(&mut self) {
        self.show(None, &Memory::default());
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                order = self.orders.recv() => match order {
                    Some(order) => {
                        let why = self.trouble.clone().unwrap_or_else(|| "snapshots are off".to_owned());
                        order.refuse(Error::Unusable(why));
                    }
                    None => return,
                },
            }
        }
    }

    /// What there may be a new checkpoint by.
    fn proven(&mut self) -> (Lsn, Option<u64>) {
        let status = self.status.borrow_and_update();
        (status.proven.cursor, status.proofs.confirmed_at)
    }

    fn show(&self, backend: Option<&dyn Backend>, memory: &Memory) {
        let alerts = [&self.trouble, &memory.pool, &memory.low, &memory.failed].into_iter().flatten();
        let alert = alerts.map(String::as_str).collect::<Vec<_>>().join("; ");
        let state = Arc::new(State {
            backend: backend.map(Backend::kind),
            off: backend.is_none() && self.trouble.is_none(),
            max: self.settings.most,
            interval_blocks: self.settings.interval_blocks,
            free: memory.room.map(|room| room.free),
            alert: Some(alert).filter(|alert| !alert.is_empty()),
            snapshots: memory.listed.snapshots.iter().map(Shown::from).collect(),
            clones: memory.listed.clones.clone(),
        });
        let network = &self.network;
        self.shown.send_if_modified(|shown| {
            if let Some(alert) = state.alert.as_ref().filter(|alert| shown.alert.as_ref() != Some(*alert)) {
                tracing::warn!(network, "snapshots: {alert}");
            }
            let differs = *shown != state;
            *shown = state;
            differs
        });
    }

    /// Looks at what is there, and thins it.
    fn look(&self, backend: &dyn Backend, memory: &mut Memory) {
        memory.pool = backend.trouble();
        if let Err(error) = self.thin(backend, memory) {
            memory.failed = Some(error.to_string());
        }
    }

    /// Removes what is too much: above the number, and while room is low.
    fn thin(&self, backend: &dyn Backend, memory: &mut Memory) -> Result<(), Error> {
        memory.listed = backend.list()?;
        let mut room = backend.room()?;
        for _ in 0..MOST_FOR_ROOM + memory.listed.snapshots.len() {
            let many = memory.listed.snapshots.len() > self.settings.most;
            if !many && !policy::is_low(room) {
                break;
            }
            let Some(victim) = self.victim(&memory.listed)? else { break };
            tracing::info!(network = self.network, %victim, "an old snapshot is removed");
            backend.destroy(&victim)?;
            memory.listed = backend.list()?;
            room = backend.room()?;
        }
        memory.room = Some(room);
        let mib = room.free >> 20;
        let low = || format!("no room for snapshots ({mib} MiB are free): none is made until there is");
        memory.low = policy::is_low(room).then(low);
        Ok(())
    }

    fn victim(&self, listed: &Listed) -> Result<Option<Name>, Error> {
        let failed = |error: StateError| Error::Unusable(error.to_string());
        let chains = checkpoints::histories(&self.state.snapshot()).map_err(failed)?;
        let chains: Vec<_> = chains.into_iter().map(|(_, chain)| chain).collect();
        let needed = policy::needed(&listed.snapshots, &chains);
        Ok(policy::victim(&listed.snapshots, &needed).map(|nth| listed.snapshots[nth].name.clone()))
    }

    /// Makes the one that is due, if one is; when to look again, if that is before something changes.
    async fn make_due(&self, backend: &dyn Backend, memory: &mut Memory) -> Option<Instant> {
        let proven = self.status.borrow().proven.clone();
        let found = match checkpoints::confirmed(&self.state.snapshot(), &proven) {
            Ok(found) => found,
            Err(error) => {
                memory.failed = Some(error.to_string());
                return Some(Instant::now() + LOOK);
            }
        };
        let about = policy::due(found, &memory.listed.snapshots, self.settings.interval_blocks)?;
        if let Some((at, hash)) = &memory.made {
            let next = *at + self.settings.pause;
            // One that was made and is gone was removed by somebody.
            if *hash == about.hash {
                return None;
            }
            if next > Instant::now() {
                return Some(next);
            }
        }
        let hash = about.hash.clone();
        match self.make(backend, memory, about).await {
            Ok(_) => {
                (memory.made, memory.failed) = (Some((Instant::now(), hash)), None);
                Some(Instant::now() + self.settings.pause.max(AGAIN))
            }
            Err(error) => {
                memory.failed = Some(error.to_string());
                Some(Instant::now() + LOOK)
            }
        }
    }

    /// Makes a snapshot of the state, which stands still meanwhile.
    async fn make(&self, backend: &dyn Backend, memory: &mut Memory, mut about: About) -> Result<Shown, Error> {
        let name = Name::new(&self.settings.prefix, about.label, &about.hash)?;
        self.thin(backend, memory)?;
        if let Some(low) = &memory.low {
            return Err(Error::Unusable(low.clone()));
        }
        let (stands, standing) = oneshot::channel();
        let (go_on, until) = oneshot::channel();
        let late = || Error::Unusable("the state does not stand still: is the node stopping?".to_owned());
        self.still.send(Still { stands, until }).await.map_err(|_| late())?;
        let cursor = tokio::time::timeout(STILL, standing).await.map_err(|_| late())?.map_err(|_| late())?;
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        (about.cursor, about.at_ms) = (cursor, at_ms);
        let begun = Instant::now();
        let created = backend.create(&name, &about);
        // A state that could wait no longer has gone on: what was made is as a power cut would have left it.
        let _ = go_on.send(());
        created?;
        let ms = begun.elapsed().as_millis() as u64;
        tracing::info!(network = self.network, %name, cursor, ms, "snapshot made");
        self.thin(backend, memory)?;
        Ok(Shown::from(memory.listed.get(&name)?))
    }

    /// Carries an order out.
    async fn obey(&mut self, backend: &dyn Backend, memory: &mut Memory, order: Order) {
        // Nobody may wait for the answer any more.
        match order {
            Order::Create { block, hash, dry_run, reply } => {
                let _ = reply.send(self.create(backend, memory, (block, hash), dry_run).await);
            }
            Order::Destroy { what, dry_run, reply } => {
                let done = memory.refreshed(backend).and_then(|()| {
                    let found = memory.listed.find(&what)?.clone();
                    super::check_unneeded(&found)?;
                    if !dry_run {
                        backend.destroy(&found.name)?;
                    }
                    Ok(Shown::from(&found))
                });
                let _ = reply.send(done);
            }
            Order::Clone { what, clone, dry_run, reply } => {
                let _ = reply.send(memory.refreshed(backend).and_then(|()| memory.clone(backend, &what, &clone, dry_run)));
            }
            Order::DestroyClone { clone, reply } => {
                let _ = reply.send(Word::new(&clone).map_err(Error::from).and_then(|word| backend.destroy_clone(&word)));
            }
            Order::Hold { what, by, held, reply } => {
                let done = memory.refreshed(backend).and_then(|()| {
                    let (name, by) = (memory.listed.find(&what)?.name.clone(), Word::new(&by)?);
                    if held { backend.hold(&name, &by)? } else { backend.release(&name, &by)? }
                    memory.refreshed(backend)?;
                    Ok(Shown::from(memory.listed.get(&name)?))
                });
                let _ = reply.send(done);
            }
            Order::ChangedFiles { from, to, reply } => {
                let name = |what: &str| memory.listed.find(what).map(|snapshot| snapshot.name.clone());
                let _ = reply.send(name(&from).and_then(|from| backend.changed_files(&from, &name(&to)?)));
            }
            Order::Interval { blocks, reply } => {
                self.settings.interval_blocks = blocks;
                let _ = reply.send(Ok(()));
            }
        }
        if let Err(error) = memory.refreshed(backend) {
            memory.failed = Some(error.to_string());
        }
    }

    async fn create(
        &self,
        backend: &dyn Backend,
        memory: &mut Memory,
        (block, hash): (Option<u64>, Option<String>),
        dry_run: bool,
    ) -> Result<Shown, Error> {
        memory.refreshed(backend)?;
        let proven = self.status.borrow().proven.clone();
        let found = checkpoints::named(&self.state.snapshot(), &proven, block, hash.as_deref());
        let found = found.map_err(|error| Error::Unusable(error.to_string()))?;
        let about = found.ok_or_else(|| {
            let what = hash.or_else(|| block.map(|block| block.to_string())).unwrap_or_default();
            Error::NotThere(format!("checkpoint {what} on the head's history with a batch before it"))
        })?;
        let name = Name::new(&self.settings.prefix, about.label, &about.hash)?;
        if memory.listed.get(&name).is_ok() {
            return Err(Error::Exists(format!("snapshot {name}")));
        }
        if dry_run {
            let (about, holds, clones) = (Some(about), Vec::new(), Vec::new());
            return Ok(Shown::from(&super::Snapshot { name, about, holds, clones, bytes: None }));
        }
        self.make(backend, memory, about).await
    }
}

impl Memory {
    /// Reads again what is there.
    fn refreshed(&mut self, backend: &dyn Backend) -> Result<(), Error> {
        self.listed = backend.list()?;
        Ok(())
    }

    fn clone(&self, backend: &dyn Backend, what: &str, clone: &str, dry_run: bool) -> Result<Clone, Error> {
        let (name, word) = (self.listed.find(what)?.name.clone(), Word::new(clone)?);
        if self.listed.clones.iter().any(|other| other.name == clone) {
            return Err(Error::Exists(format!("clone {clone}")));
        }
        let folder = if dry_run { Default::default() } else { backend.clone_of(&name, &word)? };
        Ok(Clone { name: clone.to_owned(), of: name.to_string(), folder })
    }
}

impl Order {
    /// Answers an order that cannot be carried out.
    fn refuse(self, why: Error) {
        match self {
            Self::Create { reply, .. } | Self::Destroy { reply, .. } | Self::Hold { reply, .. } => {
                drop(reply.send(Err(why)));
            }
            Self::Clone { reply, .. } => drop(reply.send(Err(why))),
            Self::DestroyClone { reply, .. } | Self::Interval { reply, .. } => drop(reply.send(Err(why))),
            Self::ChangedFiles { reply, .. } => drop(reply.send(Err(why))),
        }
    }
}
