//! The thread that makes, thins and looks after the snapshots of one network.
//!
//! *Always holds:* it gives way to the threads that take ops in, and never stops them; the state stands still only while a
//! snapshot is made; whatever fails is an alert, tried again later, and ends neither the thread nor the node.

use super::about::About;
use super::name::{Name, Word};
use super::order::{Order, Reply, Shown, State};
use super::place::Settings;
use super::restore::Restore;
use super::{Backend, Clone, Error, Listed, Room, checkpoints, policy};
use crate::fork::record::Lsn;
use crate::fork::status::Status;
use crate::projection::state::{Reader, StateError};
use crate::projection::task::{NICENESS, Replace, Still, step_back};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Between two looks at what is there: an operator's hands change it too.
const LOOK: Duration = Duration::from_secs(60);
/// How long the state may take to stand still: it ends what it is doing.
const STILL: Duration = Duration::from_secs(60);
/// Snapshots removed for room at one go at most: the next look goes on.
const MOST_FOR_ROOM: usize = 16;

/// What the thread works with.
pub struct Snapshots {
    /// The network.
    pub network: String,
    /// Who makes them.
    pub backend: Option<Arc<dyn Backend>>,
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
    /// Asks the state to make way for another store.
    pub replace: mpsc::Sender<Replace>,
    /// Makes that store.
    pub restore: Arc<Restore>,
    /// Orders.
    pub orders: mpsc::Receiver<Order>,
    /// Where what is there goes.
    pub shown: watch::Sender<Arc<State>>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// What there may be a new checkpoint by: the newest proof, and the newest confirmed block.
type Proven = (Lsn, Option<u64>);

fn of(status: &Status) -> Proven {
    (status.proven.cursor, status.proofs.confirmed_at)
}

/// Waits until something else is proven; false when nothing will be any more.
async fn newer(status: &mut watch::Receiver<Arc<Status>>, than: Proven) -> bool {
    status.wait_for(|status| of(status) != than).await.is_ok()
}

/// What it remembers.
#[derive(Default)]
struct Memory {
    listed: Listed,
    room: Option<Room>,
    /// What is wrong: with what it stands on, with the last look, with room, and with the last try.
    pool: Option<String>,
    unseen: Option<String>,
    low: Option<String>,
    failed: Option<String>,
    /// The last one that was made without being asked for.
    made: Option<(Instant, String)>,
    /// What failed is not tried again before.
    rest_until: Option<Instant>,
    /// What was looked at.
    proven: Option<Proven>,
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
                // The core has ended, if it is false: this one waits until it is told to end.
                newer = newer(&mut self.status, proven) => if !newer {
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
    fn proven(&self) -> Proven {
        of(&self.status.borrow())
    }

    fn show(&self, backend: Option<&dyn Backend>, memory: &Memory) {
        let alerts = [&self.trouble, &memory.pool, &memory.unseen, &memory.low, &memory.failed].into_iter().flatten();
        let mut alerts: Vec<&str> = alerts.map(String::as_str).collect();
        alerts.dedup();
        let alert = alerts.join("; ");
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
        memory.unseen = self.thin(backend, memory).err().map(|error| {
            tracing::warn!(network = self.network, "snapshots: {error}");
            error.told()
        });
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
        if memory.rest_until.is_some_and(|at| at > Instant::now()) {
            return memory.rest_until;
        }
        let proven = self.status.borrow().proven.clone();
        let found = match checkpoints::confirmed(&self.state.snapshot(), &proven) {
            Ok(found) => found,
            Err(error) => return memory.rest(&self.network, &Error::Unusable(error.to_string())),
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
                Some(Instant::now() + self.settings.pause)
            }
            Err(error) => memory.rest(&self.network, &error),
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

    /// Carries an order out. Whoever hears the answer finds what it did in the list.
    async fn obey(&mut self, backend: &dyn Backend, memory: &mut Memory, order: Order) {
        match order {
            Order::Create { block, hash, dry_run, reply } => {
                let done = self.create(backend, memory, (block, hash), dry_run).await;
                self.answer(backend, memory, (reply, done));
            }
            Order::Destroy { what, dry_run, reply } => {
                let done = memory.destroy(backend, &what, dry_run);
                self.answer(backend, memory, (reply, done));
            }
            Order::Clone { what, clone, dry_run, reply } => {
                let done = memory.refreshed(backend).and_then(|()| memory.clone(backend, &what, &clone, dry_run));
                self.answer(backend, memory, (reply, done));
            }
            Order::DestroyClone { clone, reply } => {
                let done = Word::new(&clone).map_err(Error::from).and_then(|word| backend.destroy_clone(&word));
                self.answer(backend, memory, (reply, done));
            }
            Order::Hold { what, by, held, reply } => {
                let done = memory.hold(backend, &what, &by, held);
                self.answer(backend, memory, (reply, done));
            }
            Order::Restore { what, dry_run, reply } => {
                let done = self.restored(backend, memory, &what, dry_run).await;
                self.answer(backend, memory, (reply, done));
            }
            Order::ChangedFiles { from, to, reply } => {
                let name = |what: &str| memory.listed.find(what).map(|snapshot| snapshot.name.clone());
                let done = name(&from).and_then(|from| backend.changed_files(&from, &name(&to)?));
                self.answer(backend, memory, (reply, done));
            }
            Order::Interval { blocks, reply } => {
                self.settings.interval_blocks = blocks;
                self.answer(backend, memory, (reply, Ok(())));
            }
        }
    }

    /// Shows what is there now, and then answers.
    fn answer<T>(&self, backend: &dyn Backend, memory: &mut Memory, (reply, done): (Reply<T>, Result<T, Error>)) {
        if let Err(error) = memory.refreshed(backend) {
            memory.fail(&self.network, &error);
        }
        self.show(Some(backend), memory);
        // Nobody may wait for it any more.
        let _ = reply.send(done);
    }

    /// Lets a state made of a snapshot take the place of the one that is there.
    async fn restored(
        &self,
        backend: &dyn Backend,
        memory: &mut Memory,
        what: &str,
        dry_run: bool,
    ) -> Result<Shown, Error> {
        memory.refreshed(backend)?;
        let found = memory.listed.find(what)?;
        let (name, shown) = (found.name.clone(), Shown::from(found));
        if dry_run {
            return Ok(shown);
        }
        let (restore, of) = (self.restore.clone(), name.clone());
        let make = Box::new(move || restore.of(&of).map_err(|error| error.to_string()));
        let (done, is_done) = oneshot::channel();
        let late = || Error::Unusable("the state does not answer: is the node stopping?".to_owned());
        self.replace.send(Replace { make, done }).await.map_err(|_| late())?;
        let cursor = is_done.await.map_err(|_| late())?.map_err(Error::Unusable)?;
        tracing::info!(network = self.network, %name, cursor, "the state was made of a snapshot, by order");
        Ok(shown)
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
    /// Something failed, and is tried again later.
    fn rest(&mut self, network: &str, error: &Error) -> Option<Instant> {
        self.fail(network, error);
        self.rest_until = Some(Instant::now() + LOOK);
        self.rest_until
    }

    fn fail(&mut self, network: &str, error: &Error) {
        tracing::warn!(network, "snapshots: {error}");
        self.failed = Some(error.told());
    }

    /// Reads again what is there.
    fn refreshed(&mut self, backend: &dyn Backend) -> Result<(), Error> {
        self.listed = backend.list()?;
        Ok(())
    }

    fn destroy(&mut self, backend: &dyn Backend, what: &str, dry_run: bool) -> Result<Shown, Error> {
        self.refreshed(backend)?;
        let found = self.listed.find(what)?.clone();
        super::check_unneeded(&found)?;
        if !dry_run {
            backend.destroy(&found.name)?;
            // It is not made again without being asked for.
            self.made = Some((Instant::now(), found.name.hash().to_owned()));
        }
        Ok(Shown::from(&found))
    }

    fn hold(&mut self, backend: &dyn Backend, what: &str, by: &str, held: bool) -> Result<Shown, Error> {
        self.refreshed(backend)?;
        let (name, by) = (self.listed.find(what)?.name.clone(), Word::new(by)?);
        if held {
            backend.hold(&name, &by)?
        } else {
            backend.release(&name, &by)?
        }
        self.refreshed(backend)?;
        Ok(Shown::from(self.listed.get(&name)?))
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
            Self::Create { reply, .. }
            | Self::Destroy { reply, .. }
            | Self::Hold { reply, .. }
            | Self::Restore { reply, .. } => {
                drop(reply.send(Err(why)));
            }
            Self::Clone { reply, .. } => drop(reply.send(Err(why))),
            Self::DestroyClone { reply, .. } | Self::Interval { reply, .. } => drop(reply.send(Err(why))),
            Self::ChangedFiles { reply, .. } => drop(reply.send(Err(why))),
        }
    }
}
