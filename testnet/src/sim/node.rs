//! A node of the simulation: the fork machine, the journal on a faulty disk, the state in a store that loses its newest
//! commits, put together as `journal::task` and `projection::task` do, without threads.
//!
//! *Always holds:* what carries an LSN leaves only when the journal says that it is durable; the state is fed only what
//! is durable; a crash leaves the disk, the store and nothing else.

use super::NETWORK;
use super::chance::Chance;
use super::trace::Trace;
use honeygraph::feed::message::{FeedId, FromCore, ToCore};
use honeygraph::fork::ledger::Ledger;
use honeygraph::fork::machine::{Bodies, Body, Core, Effects, Limits};
use honeygraph::fork::record::{Chain, Lsn, Record};
use honeygraph::fork::rules::Rules;
use honeygraph::fork::snapshot;
use honeygraph::journal::disk::Disk;
use honeygraph::journal::disk::fault::FaultDisk;
use honeygraph::journal::{Frame, Journal, JournalError, Options, Reader, folder, ledger_file, task};
use honeygraph::projection::state::State;
use honeygraph::projection::state::kv::Memory;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a segment: so small that a run sees several.
const SEGMENT_BYTES: u64 = 32 * 1024;
/// The data folder on the node's disk.
const DATA: &str = "/data";
/// Starts tried before a node that does not come up is a failure: power may go while it recovers.
const STARTS: usize = 20;

/// Everything that a node's machine ever decided and that may still be in its journal: record and body by LSN - 1.
pub type Log = Vec<(Record, Option<Vec<u8>>)>;

/// A node.
pub struct Node {
    /// Its disk.
    pub disk: FaultDisk,
    /// What lies under its state.
    pub store: Memory,
    /// What its journal should hold.
    pub log: Log,
    /// The last record that was ever called durable.
    pub acknowledged: Lsn,
    /// How often each op text stands in the durable part of the log.
    pub durable_texts: BTreeMap<Vec<u8>, u32>,
    /// None while it is down.
    pub running: Option<Running>,
    /// Times it died.
    pub deaths: u32,
    rules: Rules,
    limits: Limits,
}

/// What a running node is made of; a death takes all of it.
pub struct Running {
    /// The fork machine.
    pub core: Core,
    /// The journal.
    pub journal: Journal,
    /// Reads it.
    pub reader: Reader,
    /// The state's writer.
    pub state: State<Memory>,
    /// Messages to each feed that wait for their turn, in order.
    pub links: BTreeMap<FeedId, VecDeque<FromCore>>,
    /// What the machine was started with.
    pub started_with: Ledger,
    /// The disk is full: nothing is taken in.
    pub is_full: bool,
    /// The journal took no record any more: nothing is decided from here on.
    failed: bool,
    tick_at: Option<u64>,
}

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The process is killed; the machine lives on.
    Killed,
    /// The power goes.
    PowerCut,
}

struct Shelf<'a>(&'a Reader);

impl Bodies for Shelf<'_> {
    fn body(&mut self, lsn: Lsn) -> Option<Vec<u8>> {
        self.0.body(lsn).ok()
    }
}

impl Node {
    /// A node with an empty disk; it is down.
    pub fn new(seed: u64, rules: Rules, limits: Limits) -> Self {
        let disk = FaultDisk::new(seed);
        disk.create_dir(Path::new(DATA)).expect("an empty disk takes a folder");
        disk.sync_dir(Path::new("/")).expect("no fault was asked for");
        disk.set_thin(seed.is_multiple_of(3));
        Self {
            disk,
            store: Memory::new(),
            log: Vec::new(),
            acknowledged: 0,
            durable_texts: BTreeMap::new(),
            running: None,
            deaths: 0,
            rules,
            limits,
        }
    }

    /// Opens what the disk holds, as `CoreTask::open` does; an error is a broken promise. The power may go meanwhile if it is `faulty`.
    pub fn open(&mut self, chance: &mut Chance, faulty: bool) -> Result<(), String> {
        let mut refused = None;
        for _ in 0..STARTS {
            if faulty && chance.once_in(6) {
                self.disk.cut_power(1 + chance.below(12));
            }
            match self.try_open() {
                Ok(running) => {
                    self.running = Some(running);
                    return Ok(());
                }
                Err(_) if self.disk.is_off() => self.disk.crash(),
                // A fault of the disk that was still to come may be the reason, once.
                Err(_) if refused.is_none() => {
                    refused = Some(());
                    self.disk.heal();
                }
                Err(error) => return Err(error),
            }
        }
        Err("it does not come up".to_owned())
    }

    /// Lets the machine take up what a start left.
    pub fn begin(&mut self, now: u64, trace: &mut Trace) -> Result<(), String> {
        self.run(now, trace, |core, now, bodies, fx| core.start(now, bodies, fx))
    }

    /// After a start: what the journal lost of the log was never durable, and is forgotten; the rest is.
    pub fn forget_lost(&mut self) {
        let Some(last) = self.running.as_ref().map(|running| running.started_with.lsn) else { return };
        self.log.truncate(last as usize);
        self.acknowledged = last;
        self.durable_texts.clear();
        for (_, body) in &self.log {
            count_texts(body.as_deref(), &mut self.durable_texts);
        }
    }

    fn try_open(&mut self) -> Result<Running, String> {
        let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::new(NETWORK) };
        let words = |error: JournalError| format!("the journal is refused: {error}");
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let (journal, recovered) = Journal::open(disk.clone(), Path::new(DATA), options).map_err(words)?;
        let reader = journal.reader();
        let at = folder(Path::new(DATA), NETWORK).map_err(words)?;
        let known = ledger_file::load(&*disk, &at, recovered.last).map_err(|error| error.to_string())?;
        let started_with = task::replay(&reader, known.unwrap_or_default(), recovered.last).map_err(words)?;
        let core = Core::new(NETWORK.into(), self.rules, self.limits, started_with.clone());
        let state = State::on(self.store.clone()).map_err(|error| error.to_string())?;
        let links = BTreeMap::new();
        let running =
            Running { core, journal, reader, state, links, started_with, is_full: false, failed: false, tick_at: None };
        Ok(running)
    }

    /// Lets the machine do something, and takes its records and messages.
    pub fn run(
        &mut self,
        now: u64,
        trace: &mut Trace,
        run: impl FnOnce(&mut Core, u64, &mut dyn Bodies, &mut Effects),
    ) -> Result<(), String> {
        let Some(running) = self.running.as_mut().filter(|running| !running.failed) else { return Ok(()) };
        let mut fx = Effects::default();
        run(&mut running.core, now, &mut Shelf(&running.reader), &mut fx);
        running.wake(now);
        for (lsn, record, body) in fx.records {
            trace.hash(format!("{lsn} {record:?}").as_bytes());
            let written = loop {
                let appended = match &body {
                    Some(Body::Texts(texts)) => running.journal.append(&record, Some(texts)),
                    Some(Body::Frame(frame)) => running.journal.append_packed(&record, Frame::new(frame)),
                    None => running.journal.append(&record, None),
                };
                match appended {
                    // The writer waits for room, and the machine with it.
                    Err(JournalError::Full) => self.disk.set_free(None),
                    written => break written,
                }
            };
            match written {
                Ok(written) if written == lsn => {}
                Ok(written) => return Err(format!("record {lsn} became {written}")),
                // The journal has failed: what it did not take was never decided.
                Err(_) => {
                    running.failed = true;
                    break;
                }
            }
            let body = match body {
                Some(Body::Texts(texts)) => Some(texts),
                Some(Body::Frame(frame)) if frame.is_empty() => Some(frame),
                Some(Body::Frame(frame)) => Some(Frame::new(&frame).unpack().map_err(|error| error.to_string())?),
                None => None,
            };
            self.log.push((record, body));
        }
        for (feed, message) in fx.messages {
            if let Some(link) = running.links.get_mut(&feed) {
                link.push_back(message);
            }
        }
        Ok(())
    }

    /// A feed says something.
    pub fn on(&mut self, now: u64, message: ToCore, trace: &mut Trace) -> Result<(), String> {
        self.run(now, trace, |core, now, bodies, fx| core.on(now, message, bodies, fx))
    }

    /// Wakes the machine if it asked for that.
    pub fn tick(&mut self, now: u64, trace: &mut Trace) -> Result<(), String> {
        let Some(running) = self.running.as_mut().filter(|running| !running.is_full) else { return Ok(()) };
        running.wake(now);
        if running.tick_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        running.tick_at = None;
        self.run(now, trace, |core, now, bodies, fx| core.tick(now, bodies, fx))
    }

    /// When the machine wants to be woken.
    pub fn wakes_at(&self) -> Option<u64> {
        self.running.as_ref()?.tick_at
    }

    /// Writes what was decided. False: the journal has failed, and the node with it.
    pub fn flush(&mut self) -> bool {
        let Some(running) = &mut self.running else { return true };
        let flushed = running.journal.flush();
        running.is_full = matches!(flushed, Err(JournalError::Full));
        let durable = *running.journal.durable().borrow();
        for (_, body) in self.log.iter().take(durable as usize).skip(self.acknowledged as usize) {
            count_texts(body.as_deref(), &mut self.durable_texts);
        }
        self.acknowledged = self.acknowledged.max(durable);
        !running.failed && matches!(flushed, Ok(_) | Err(JournalError::Full))
    }

    /// A snapshot of the ledger, when all of it is durable.
    pub fn snapshot(&self) {
        let Some(running) = &self.running else { return };
        let ledger = running.core.ledger();
        if ledger.lsn == *running.journal.durable().borrow()
            && let (Ok(bytes), Ok(at)) = (snapshot::to_bytes(ledger), folder(Path::new(DATA), NETWORK))
        {
            // One that cannot be written costs the next start time, nothing else.
            let _ = ledger_file::save(&self.disk, &at, &bytes);
        }
    }

    /// Feeds the state so many records.
    pub fn project(&mut self, most: u64) -> Result<(), String> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let reader = running.reader.clone();
        let mut bodies = |lsn: Lsn| reader.body(lsn).map_err(Into::into);
        let mut cursor = running.reader.records(running.state.cursor() + 1);
        for _ in 0..most {
            let Some(entry) = cursor.read().map_err(|error| error.to_string())? else { break };
            let record = entry.record().map_err(|error| error.to_string())?;
            running.state.apply(entry.lsn, &record, &mut bodies).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Dies. Of the state's commits a power cut leaves the first so many.
    pub fn die(&mut self, death: Death, chance: &mut Chance) {
        self.running = None;
        self.deaths += 1;
        if death == Death::PowerCut || self.disk.is_off() {
            self.disk.crash();
            self.store.crash(chance.index(self.store.unsynced() + 1));
        } else {
            self.disk.heal();
        }
    }

    /// The chain records of the log by LSN.
    pub fn chains(&self) -> BTreeMap<Lsn, &Chain> {
        let mut chains = BTreeMap::new();
        for (lsn, (record, _)) in (1..).zip(&self.log) {
            if let Record::Chain(chain) = record {
                chains.insert(lsn, chain);
            }
        }
        chains
    }
}

impl Running {
    fn wake(&mut self, now: u64) {
        self.tick_at = [self.tick_at, self.core.wake_at(now)].into_iter().flatten().min();
    }

    /// The next message to a feed that may leave.
    pub fn say(&mut self, feed: FeedId) -> Option<FromCore> {
        let durable = *self.journal.durable().borrow();
        let link = self.links.get_mut(&feed)?;
        let free = match link.front()? {
            FromCore::Acks { lsn, .. } | FromCore::SyncStatus { lsn, .. } => *lsn <= durable,
            _ => true,
        };
        if free { link.pop_front() } else { None }
    }
}

fn count_texts(body: Option<&[u8]>, into: &mut BTreeMap<Vec<u8>, u32>) {
    let texts = honeygraph_protocols::op::texts(body.unwrap_or_default());
    for text in texts.map_while(Result::ok) {
        *into.entry(text.to_vec()).or_default() += 1;
    }
}
