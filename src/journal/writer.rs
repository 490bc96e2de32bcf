//! The writer thread: while one group is written and synced, the next one collects.
//!
//! A thin task around [`Store`]; it decides nothing but when to try again.
//!
//! *Always holds:* what was appended is written in order, or never (after a failure); nobody waits for a writer that
//! has ended.

use super::JournalError;
use super::frame::Frame;
use super::group::{Encoder, Group, Prepared};
use super::log::Journal;
use super::reader::Reader;
use super::shared::{Form, Shared, State};
use super::store::Store;
use crate::fork::record::{Lsn, Record};
use std::future::Future;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// At most one `tip` file in this time: it costs three syncs.
const TIP_EVERY: Duration = Duration::from_secs(1);
/// First and longest pause before a full disk is tried again.
const FULL_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What the appender and the writer thread hand to each other.
struct Link {
    queue: Mutex<Queue>,
    /// There is a group to write, or the appender closes.
    work: Condvar,
    /// There is room in the group, or the writer has ended.
    room: Condvar,
    room_async: Notify,
}

#[derive(Default)]
struct Queue {
    group: Group,
    /// The writer waits for work.
    idle: bool,
    closing: bool,
    ended: bool,
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made_room(&self) {
        self.room.notify_all();
        self.room_async.notify_waiters();
    }

    fn close(&self) {
        self.lock().closing = true;
        self.work.notify_all();
    }
}

/// Appends to a journal; the writer thread makes it durable. Dropping it lets the thread finish what was appended.
pub struct Appender {
    encoder: Encoder,
    link: Arc<Link>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Appender {
    pub(super) fn start(journal: Journal) -> Result<Self, JournalError> {
        let Journal { encoder, group, store, lock } = journal;
        let shared = store.shared().clone();
        let queue = Mutex::new(Queue { group, ..Queue::default() });
        let link = Arc::new(Link { queue, work: Condvar::new(), room: Condvar::new(), room_async: Notify::new() });
        let ending = Ending { link: link.clone(), shared: shared.clone() };
        let thread = thread::Builder::new().name(format!("journal {}", shared.network));
        let thread = thread.spawn(move || {
            let _lock = lock;
            Writer { store, link: &ending.link, tip_at: Instant::now() }.run();
        });
        let thread = thread.map_err(JournalError::io("start the writer thread of", &shared.folder))?;
        Ok(Self { encoder, link, shared, thread: Some(thread) })
    }

    /// Appends a record, with the body of a piece (the length-prefixed op texts, unpacked). Blocks while the group is
    /// full: see [`Self::room`]. After a failure of the writer: [`JournalError::Failed`].
    pub fn append(&mut self, record: &Record, body: Option<&[u8]>) -> Result<Lsn, JournalError> {
        let prepared = self.encoder.prepare(record, body)?;
        self.append_prepared(&prepared, body.map(|body| (body, Form::Texts)))
    }

    /// Appends a piece whose body is packed already; the frame is stored as it is.
    pub fn append_packed(&mut self, record: &Record, frame: Frame<'_>) -> Result<Lsn, JournalError> {
        let prepared = self.encoder.prepare_packed(record, frame)?;
        self.append_prepared(&prepared, Some((frame.bytes(), Form::Frame)))
    }

    fn append_prepared(&mut self, prepared: &Prepared, body: Option<(&[u8], Form)>) -> Result<Lsn, JournalError> {
        let mut queue = self.link.lock();
        while queue.group.is_full() && !queue.ended {
            queue = self.link.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.ended || self.shared.has_failed() {
            return Err(ended(&self.shared));
        }
        let lsn = self.encoder.add(prepared, &mut queue.group);
        if queue.idle {
            self.link.work.notify_one();
        }
        drop(queue);
        if let Some((body, form)) = body {
            self.shared.remember(lsn, body, form);
        }
        Ok(lsn)
    }

    /// Ready when there is ample room: the records of an input (up to 4 MiB) can be appended without blocking. A task
    /// waits for this before it takes its next input: that is the back-pressure.
    pub fn room(&self) -> impl Future<Output = Result<(), JournalError>> + Send + 'static {
        let (link, shared) = (self.link.clone(), self.shared.clone());
        async move {
            loop {
                let freed = link.room_async.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                let (has_room, has_ended) = {
                    let queue = link.lock();
                    (queue.group.has_room(), queue.ended)
                };
                if has_ended || shared.has_failed() {
                    return Err(ended(&shared));
                }
                if has_room {
                    return Ok(());
                }
                freed.await;
            }
        }
    }

    /// LSN that the next record gets.
    pub fn next(&self) -> Lsn {
        self.encoder.next()
    }

    /// The durable LSN.
    pub fn durable(&self) -> watch::Receiver<Lsn> {
        self.shared.durable.subscribe()
    }

    /// What the writer is doing.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// A reader of what is durable.
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    /// Waits (blocking) until everything appended is durable and the thread has ended; returns the durable LSN. On a
    /// full disk it does not wait: what was not durable is not acknowledged either.
    pub fn close(mut self) -> Result<Lsn, JournalError> {
        self.link.close();
        if let Some(thread) = self.thread.take() {
            // A panic shows in the state.
            let _ = thread.join();
        }
        match &*self.shared.state.borrow() {
            State::Running => Ok(*self.shared.durable.borrow()),
            State::DiskFull => Err(JournalError::Full),
            State::Failed(reason) => Err(JournalError::Failed(reason.clone())),
        }
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.link.close();
    }
}

fn ended(shared: &Shared) -> JournalError {
    match &*shared.state.borrow() {
        State::Failed(reason) => JournalError::Failed(reason.clone()),
        _ => JournalError::Failed("the journal is closed".into()),
    }
}

/// Frees those who wait, however the writer ends.
struct Ending {
    link: Arc<Link>,
    shared: Arc<Shared>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.state.send_replace(State::Failed("the writer thread panicked".into()));
        }
        self.link.lock().ended = true;
        self.link.made_room();
    }
}

struct Writer<'a> {
    store: Store,
    link: &'a Link,
    /// When the `tip` file may be written again.
    tip_at: Instant,
}

impl Writer<'_> {
    /// Runs until the appender closes or a write fails (the store has published why).
    fn run(mut self) {
        let mut group = Group::default();
        while self.take(&mut group) {
            if self.write(&group).is_err() {
                return;
            }
            group.clear();
            if self.store.tip_is_behind() && Instant::now() >= self.tip_at {
                self.tip_at = Instant::now() + TIP_EVERY;
                if self.store.write_tip().is_err() {
                    return;
                }
            }
        }
        let _ = self.store.write_tip();
    }

    /// Waits for a group (an empty one means that the `tip` file is due); false when the appender closes.
    fn take(&mut self, group: &mut Group) -> bool {
        let mut queue = self.link.lock();
        loop {
            if !queue.group.is_empty() {
                mem::swap(&mut queue.group, group);
                drop(queue);
                self.link.made_room();
                return true;
            }
            if queue.closing {
                return false;
            }
            queue.idle = true;
            if self.store.tip_is_behind() {
                let pause = self.tip_at.saturating_duration_since(Instant::now());
                if pause.is_zero() {
                    queue.idle = false;
                    return true;
                }
                let waited = self.link.work.wait_timeout(queue, pause);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else {
                queue = self.link.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.idle = false;
        }
    }

    fn write(&mut self, group: &Group) -> Result<(), JournalError> {
        let (mut pause, longest) = FULL_PAUSE;
        loop {
            match self.store.write(group) {
                Err(JournalError::Full) => {}
                written => return written,
            }
            let queue = self.link.lock();
            let stays_open = |queue: &mut Queue| !queue.closing;
            let waited = self.link.work.wait_timeout_while(queue, pause, stays_open);
            if waited.unwrap_or_else(PoisonError::into_inner).0.closing {
                return Err(JournalError::Full);
            }
            pause = longest.min(pause * 2);
        }
    }
}
