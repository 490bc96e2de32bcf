//! The core task of a network: the fork machine and the journal's appender, on one thread.
//!
//! It waits, calls the machine, and does what the machine wants: records into the journal, messages to the feeds. Acks
//! are not held here: they carry their LSN, and the feed's session waits for the journal.
//!
//! *Always holds:* the machine's LSNs are the journal's; an order is answered when what it decided is durable; when the
//! journal fails, the task ends with its reason and nothing more is decided.

use super::{Appender, Frame, Journal, JournalError, Options, Reader, Recovered, State, disk::Disk, ledger_file};
use crate::feed::message::{FeedId, FromCore, ToCore};
use crate::fork::admin::Admin;
use crate::fork::heads::Heads;
use crate::fork::ledger::Ledger;
use crate::fork::machine::{Bodies, Body, Core, Effects, Limits};
use crate::fork::record::Lsn;
use crate::fork::rules::Rules;
use crate::fork::snapshot;
use crate::fork::status::Status;
use crate::fork::supply::Order;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Inputs taken in one go, before the status is looked at again.
const INPUTS_AT_ONCE: usize = 64;
/// While inputs come the status is made this often: it copies what it shows, and a batch that arrives meanwhile waits (at
/// 50 ms that was one in a hundred, and showed in the p99 of acks).
const STATUS_EVERY: Duration = Duration::from_millis(200);
/// When nothing has come for so long, it is made at once.
const QUIET: Duration = Duration::from_millis(5);

/// Longest sleep when nothing waits, ms.
const IDLE_MS: u64 = 60_000;

/// Records between two snapshots of the ledger: a start after a kill reads at most about this many.
const SNAPSHOT_EVERY: u64 = 1_000_000;

/// What the task is started with.
pub struct Setup {
    /// The network.
    pub network: String,
    /// Its numbers.
    pub rules: Rules,
    /// Bounds of the fork machine.
    pub limits: Limits,
    /// Bytes of a segment.
    pub segment_bytes: u64,
}

/// What the task takes.
pub struct Inlets {
    /// From the feeds.
    pub feeds: mpsc::Receiver<ToCore>,
    /// From the operator.
    pub orders: mpsc::Receiver<Admin>,
    /// Content that no feed brought. Feeds come first: what is live never waits behind history.
    pub supplies: mpsc::Receiver<Order>,
    /// Where the heads of trusted peers stand.
    pub heads: watch::Receiver<Heads>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// A core that has read its journal and has not started.
pub struct CoreTask {
    core: Core,
    appender: Appender,
    bodies: Shelf,
    outboxes: BTreeMap<FeedId, mpsc::Sender<FromCore>>,
    status: watch::Sender<Arc<Status>>,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// LSN of the newest snapshot, written or on its way.
    snapshot: Lsn,
    /// What opening the journal found.
    pub recovered: Recovered,
}

/// Whether the journal's writer goes on.
fn failed(state: &State) -> Result<(), JournalError> {
    match state {
        State::Failed(reason) => Err(JournalError::Failed(reason.clone())),
        _ => Ok(()),
    }
}

/// The machine's own records, read back.
struct Shelf(Reader);

impl Bodies for Shelf {
    fn body(&mut self, lsn: Lsn) -> Option<Vec<u8>> {
        self.0.body(lsn).ok()
    }
}

impl CoreTask {
    /// Opens the journal in the data folder and takes up what it says.
    pub fn open(disk: Arc<dyn Disk>, data_dir: &Path, setup: Setup) -> Result<Self, JournalError> {
        let folder = super::folder(data_dir, &setup.network)?;
        let options = Options { segment_bytes: setup.segment_bytes, ..Options::new(&setup.network) };
        let (journal, recovered) = Journal::open(disk.clone(), data_dir, options)?;
        let known = ledger_file::load(&*disk, &folder, recovered.last);
        let known = known.map_err(JournalError::io("read the ledger in", &folder))?;
        let known = begin(&journal.reader(), known)?;
        let snapshot = known.lsn;
        let ledger = replay(&journal.reader(), known, recovered.last)?;
        let core = Core::new(setup.network, setup.rules, setup.limits, ledger);
        let appender = journal.start()?;
        let bodies = Shelf(appender.reader());
        let status = watch::Sender::new(Arc::new(core.status()));
        Ok(Self { core, appender, bodies, outboxes: BTreeMap::new(), status, disk, folder, snapshot, recovered })
    }

    /// The core's state, as it is published.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.subscribe()
    }

    /// The durable LSN.
    pub fn durable(&self) -> watch::Receiver<Lsn> {
        self.appender.durable()
    }

    /// What the journal's writer is doing.
    pub fn journal(&self) -> watch::Receiver<State> {
        self.appender.state()
    }

    /// A reader of the journal.
    pub fn reader(&self) -> Reader {
        self.appender.reader()
    }

    /// Runs until it is stopped or the journal fails. Takes nothing in while the journal's group is full: that is the
    /// back-pressure that reaches the feeds, and what a full disk pauses.
    pub async fn run(mut self, mut inlets: Inlets) -> Result<Lsn, JournalError> {
        let mut effects = Effects::default();
        self.core.start(now_ms(), &mut self.bodies, &mut effects);
        self.perform(&mut effects)?;
        let mut inputs = Vec::with_capacity(INPUTS_AT_ONCE);
        let mut state = self.appender.state();
        let (mut shown, mut heard) = (Instant::now(), Instant::now());
        self.publish();
        let mut stale = false;
        // A wish to be woken stands until it is granted, however many inputs come before.
        let mut tick_at: Option<u64> = None;
        let mut room = Box::pin(self.appender.room());
        let mut has_room = false;
        loop {
            let now = now_ms();
            tick_at = [tick_at, self.core.wake_at(now)].into_iter().flatten().min();
            if has_room && tick_at.is_some_and(|at| at <= now) {
                tick_at = None;
                self.core.tick(now, &mut self.bodies, &mut effects);
                self.perform(&mut effects)?;
                stale = true;
            }
            let wake = Duration::from_millis(tick_at.map_or(IDLE_MS, |at| at.saturating_sub(now).max(1)));
            tokio::select! {
                biased;
                () = inlets.stop.cancelled() => break,
                Ok(()) = state.changed() => {
                    failed(&state.borrow_and_update())?;
                }
                made = &mut room, if !has_room => {
                    made?;
                    has_room = true;
                }
                Some(order) = inlets.orders.recv(), if has_room => {
                    self.order(order, &mut effects)?;
                    self.publish();
                }
                () = tokio::time::sleep_until((shown + STATUS_EVERY).min(heard + QUIET)), if stale => {
                    self.publish();
                    (shown, stale) = (Instant::now(), false);
                }
                received = inlets.feeds.recv_many(&mut inputs, INPUTS_AT_ONCE), if has_room => {
                    if received == 0 {
                        break;
                    }
                    for input in inputs.drain(..) {
                        self.input(input, &mut effects);
                        self.perform(&mut effects)?;
                    }
                    self.snapshot();
                    (stale, heard) = (true, Instant::now());
                    room = Box::pin(self.appender.room());
                    has_room = false;
                }
                Some(order) = inlets.supplies.recv(), if has_room => {
                    self.supply(order, &mut effects)?;
                    self.snapshot();
                    (stale, heard) = (true, Instant::now());
                    room = Box::pin(self.appender.room());
                    has_room = false;
                }
                Ok(()) = inlets.heads.changed(), if has_room => stale |= self.heads(&mut inlets.heads, &mut effects)?,
                () = tokio::time::sleep(wake) => {}
            }
        }
        self.publish();
        self.outboxes.clear();
        self.finish()
    }

    /// Closes the journal, and leaves a snapshot so that the next start is quick.
    fn finish(self) -> Result<Lsn, JournalError> {
        let ledger = self.core.into_ledger();
        let durable = self.appender.close()?;
        if ledger.lsn == durable && ledger.lsn > self.snapshot {
            save(&*self.disk, &self.folder, &ledger);
        }
        Ok(durable)
    }

    /// A snapshot now and then: made here, written elsewhere once its records are durable.
    fn snapshot(&mut self) {
        let lsn = self.core.ledger().lsn;
        if lsn < self.snapshot + SNAPSHOT_EVERY {
            return;
        }
        self.snapshot = lsn;
        let (disk, folder, mut durable) = (self.disk.clone(), self.folder.clone(), self.appender.durable());
        let Ok(bytes) = snapshot::to_bytes(self.core.ledger()) else { return };
        tokio::spawn(async move {
            if durable.wait_for(|durable| *durable >= lsn).await.is_ok() {
                tokio::task::spawn_blocking(move || report(ledger_file::save(&*disk, &folder, &bytes), &folder));
            }
        });
    }

    fn input(&mut self, input: ToCore, effects: &mut Effects) {
        match &input {
            ToCore::Open { feed, outbox, .. } => {
                self.outboxes.insert(*feed, outbox.clone());
            }
            ToCore::Gone(feed) => {
                self.outboxes.remove(feed);
            }
            ToCore::Said(..) => {}
        }
        self.core.on(now_ms(), input, &mut self.bodies, effects);
    }

    /// Records first, then messages: a session may say nothing that is not at least on its way into the journal.
    fn perform(&mut self, effects: &mut Effects) -> Result<(), JournalError> {
        for (lsn, record, body) in effects.records.drain(..) {
            let written = match body {
                Some(Body::Texts(texts)) => self.appender.append(&record, Some(&texts))?,
                Some(Body::Frame(frame)) => self.appender.append_packed(&record, Frame::new(&frame))?,
                None => self.appender.append(&record, None)?,
            };
            if written != lsn {
                return Err(JournalError::Failed(format!("record {lsn} became {written}: ledger and journal differ")));
            }
        }
        for (feed, message) in effects.messages.drain(..) {
            let Some(outbox) = self.outboxes.get(&feed) else { continue };
            if outbox.try_send(message).is_err() {
                // It does not read: its session closes when its outbox is gone. Its ops stay.
                self.outboxes.remove(&feed);
            }
        }
        Ok(())
    }

    fn supply(&mut self, Order { supply, reply }: Order, effects: &mut Effects) -> Result<(), JournalError> {
        let done = self.core.supply(now_ms(), supply, &mut self.bodies, effects);
        self.perform(effects)?;
        self.answer_when_durable(reply, done);
        Ok(())
    }

    /// Weighs the heads of trusted peers; whether what is published is stale now.
    fn heads(&mut self, heads: &mut watch::Receiver<Heads>, effects: &mut Effects) -> Result<bool, JournalError> {
        let heads = heads.borrow_and_update().clone();
        self.core.peers_stand(now_ms(), heads, effects);
        self.perform(effects)?;
        Ok(true)
    }

    fn order(&mut self, order: Admin, effects: &mut Effects) -> Result<(), JournalError> {
        let now = now_ms();
        match order {
            Admin::Rollback { to, reason, dry_run, reply } => {
                let done = self.core.rollback(now, &to, &reason, dry_run, effects);
                self.perform(effects)?;
                self.answer_when_durable(reply, done);
            }
            Admin::Release { verdict, reason, reply } => {
                let done = self.core.release(now, verdict, &reason, effects);
                self.perform(effects)?;
                self.answer_when_durable(reply, done);
            }
            Admin::AcceptGap { id, reason, reply } => {
                let done = self.core.accept_gap(now, id, &reason, &mut self.bodies, effects);
                self.perform(effects)?;
                self.answer_when_durable(reply, done);
            }
            Admin::Trust { hash, trusted, reason, reply } => {
                let done = self.core.trust(now, &hash, trusted, &reason, effects);
                self.perform(effects)?;
                self.answer_when_durable(reply, done);
            }
            Admin::Prune { fork, reason, reply } => {
                let done = self.core.prune(now, &fork, &reason, effects);
                self.perform(effects)?;
                self.answer_when_durable(reply, done);
            }
            Admin::Holds { hashes, reply } => {
                let held = self.core.holds_periods(&hashes);
                self.answer_when_durable(reply, Ok(held));
            }
            Admin::Walked { walked, reply } => {
                self.core.walked(now, walked);
                self.answer_when_durable(reply, Ok(()));
            }
            Admin::Rebased { base, reply } => {
                self.core.rebased(now, base, effects);
                self.perform(effects)?;
                self.answer_when_durable(reply, Ok(()));
            }
            Admin::Agreed { hash, accounts, of, reply } => {
                let confirmed = self.core.agreed(now, hash, (accounts, of), effects);
                self.perform(effects)?;
                self.answer_when_durable(reply, Ok(confirmed));
            }
            Admin::Vouched { vouched, reply } => {
                self.core.vouch(now, vouched, effects);
                self.perform(effects)?;
                self.answer_when_durable(reply, Ok(()));
            }
            Admin::Proven { proof, reply } => {
                let taken = self.core.proven(now, *proof, effects);
                self.perform(effects)?;
                self.answer_when_durable(reply, Ok(taken));
            }
        }
        Ok(())
    }

    fn answer_when_durable<T: Send + 'static>(&self, reply: tokio::sync::oneshot::Sender<T>, answer: T) {
        let (mut durable, upto) = (self.appender.durable(), self.core.ledger().lsn);
        tokio::spawn(async move {
            // Without a journal the order is not answered: nobody knows whether it will hold.
            if durable.wait_for(|lsn| *lsn >= upto).await.is_ok() {
                let _ = reply.send(answer);
            }
        });
    }

    fn publish(&mut self) {
        self.status.send_replace(Arc::new(self.core.status()));
    }
}

fn save(disk: &dyn Disk, folder: &Path, ledger: &Ledger) {
    match snapshot::to_bytes(ledger) {
        Ok(bytes) => report(ledger_file::save(disk, folder, &bytes), folder),
        Err(error) => tracing::warn!(%error, "no snapshot of the ledger"),
    }
}

/// A snapshot that cannot be written costs the next start time, nothing else.
fn report(saved: std::io::Result<()>, folder: &Path) {
    if let Err(error) = saved {
        tracing::warn!(%error, folder = %folder.display(), "no snapshot of the ledger");
    }
}

/// The ledger from which a journal can be replayed: one that is known, or what the journal stands on.
pub fn begin(reader: &Reader, known: Option<Ledger>) -> Result<Ledger, JournalError> {
    if let Some(known) = known.filter(|known| known.lsn + 1 >= reader.first()) {
        return Ok(known);
    }
    match reader.floor().filter(|_| reader.first() > 1) {
        Some(floor) => floor.ledger(),
        None => Ok(Ledger::default()),
    }
}

/// The ledger that a journal gives, from what is known of it on.
pub fn replay(reader: &Reader, known: Ledger, last: Lsn) -> Result<Ledger, JournalError> {
    let mut ledger = known;
    if ledger.lsn == last {
        return Ok(ledger);
    }
    let mut cursor = reader.records(ledger.lsn + 1);
    while let Some(entry) = cursor.read()? {
        let record = entry.record()?;
        ledger.apply(entry.lsn, &record);
        if entry.lsn == last {
            break;
        }
    }
    Ok(ledger)
}

/// Milliseconds since the epoch.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
