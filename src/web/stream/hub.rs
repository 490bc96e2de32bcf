//! The stream of one network: one task follows the head and puts events into a ring that all subscribers read.
//!
//! A batch is decoded once for all. Who reads too slowly for the ring is let go with its cursor; who takes nothing at all
//! has its connection cut. The task runs as long as anyone listens.
//!
//! *Always holds:* the ring is bounded in events and, with the frames that sockets have not taken yet, in bytes; between
//! two looks under its lock, what is behind its last event is exactly what its position says.

use super::cursor::{Cursor, Found};
use super::event::Event;
use super::walk::{BASE, FIRST, Teller, UNKNOWN, Walker};
use crate::fork::record::Node;
use crate::projection::state::common;
use crate::projection::state::reader::Snapshot;
use crate::web::answer::ApiError;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Events of the ring: a subscriber may be so far behind.
pub const RING_EVENTS: usize = 4_096;
/// Bytes of the ring and of frames under way, beyond which the oldest events go.
const RING_BYTES: usize = 64 << 20;
/// Bytes beyond which whoever does not take its frames is cut at once.
const MAX_ALIVE: usize = 256 << 20;
/// How long a socket may take no frame while there is one.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same once [`MAX_ALIVE`] is passed.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// How often gaps, confirmations and stuck sockets are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);
/// Cursors of before that were looked up last: after a restart of the node everyone comes back with the same few.
const LOOKED_UP: usize = 64;

/// The stream of a network.
pub struct Hub {
    /// What events are made from.
    pub teller: Teller,
    ring: Mutex<Ring>,
    /// Number of the next event.
    next: watch::Sender<u64>,
    subscribers: Mutex<BTreeMap<u64, Arc<Gauge>>>,
    numbers: AtomicU64,
    heartbeat: Duration,
    started: Instant,
    /// Ends everything.
    pub stop: CancellationToken,
    /// Where the task that follows the head is waited for at the end.
    tasks: TaskTracker,
}

#[derive(Default)]
struct Ring {
    running: bool,
    events: VecDeque<Arc<Event>>,
    /// Number of the next event.
    next: u64,
    /// Where whoever has taken everything stands.
    at: Option<Node>,
    cursor: Option<Arc<str>>,
    /// What is missing, if anything is: told to whoever comes.
    gap: Vec<u8>,
    /// What told that `gap` from others.
    gap_key: Vec<u8>,
    /// The last confirmed batch, and what is said of it.
    confirmed: Option<(Node, Vec<u8>)>,
    looked_up: VecDeque<(String, Found)>,
}

/// What the hub knows of a subscriber.
#[derive(Debug)]
pub struct Gauge {
    /// When it was given a frame that its socket has not asked a next one for; milliseconds, 0 when it waits.
    handed: AtomicU64,
    /// Ends its connection.
    cut: CancellationToken,
}

/// A place among the hub's subscribers.
pub struct Place {
    hub: Arc<Hub>,
    number: u64,
    gauge: Arc<Gauge>,
}

/// What the ring has for a subscriber.
pub enum Next {
    /// The event.
    Event(Arc<Event>),
    /// Nothing yet.
    Wait,
    /// It is gone already.
    Missed,
    /// Nothing more: the node stops, or the state cannot be read.
    Over,
}

/// How a subscriber begins.
pub enum Begin {
    /// It stands where the ring does: reads from this number on, after these.
    Live(u64, Vec<Event>),
    /// It has to catch up from here, after these.
    Behind(Box<Walker>, Vec<Event>),
}

impl Hub {
    /// A hub that nobody listens to yet.
    pub fn new(teller: Teller, heartbeat: Duration, stop: CancellationToken, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self {
            teller,
            ring: Mutex::default(),
            next: watch::Sender::new(0),
            subscribers: Mutex::default(),
            numbers: AtomicU64::new(0),
            heartbeat,
            started: Instant::now(),
            stop,
            tasks,
        })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribers(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Gauge>>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a subscriber whose connection `cut` ends.
    pub fn place(self: &Arc<Self>, cut: CancellationToken) -> Place {
        let (number, gauge) = (self.numbers.fetch_add(1, Relaxed), Arc::new(Gauge { handed: AtomicU64::new(0), cut }));
        self.subscribers().insert(number, Arc::clone(&gauge));
        Place { hub: Arc::clone(self), number, gauge }
    }

    /// Number of the next event, to wait for.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// The event of a number.
    pub fn get(&self, number: u64) -> Next {
        let ring = self.ring();
        if !ring.running || self.stop.is_cancelled() {
            return Next::Over;
        }
        let Some(behind) = ring.next.checked_sub(number).filter(|behind| *behind > 0) else { return Next::Wait };
        let at = (ring.events.len() as u64).checked_sub(behind);
        at.and_then(|at| ring.events.get(at as usize)).map_or(Next::Missed, |event| Next::Event(Arc::clone(event)))
    }

    /// Where a subscriber with this cursor begins. Reads the state: not for the tasks that answer.
    pub fn begin(self: &Arc<Self>, cursor: Option<&str>) -> Result<Begin, ApiError> {
        let (at, here, next) = self.join()?;
        let Some(text) = cursor else {
            return self.anew(next, (at, here), FIRST);
        };
        if let Some((number, there)) = self.in_ring(text) {
            return Ok(Begin::Live(number, self.greeting((there, text.into()))?));
        }
        let snapshot = self.teller.of.state.snapshot();
        match self.look_up(text, &snapshot)? {
            Found::Nothing => Ok(Begin::Behind(Box::default(), Vec::new())),
            Found::At(node) => Ok(Begin::Behind(Box::new(Walker::at(&snapshot, Some(node))?), Vec::new())),
            Found::Behind(node) => {
                let walker = Walker::at(&snapshot, Some(node))?;
                let undo = self.teller.beside("undo", (Some(node), walker.cursor()), Some(node), b"")?;
                Ok(Begin::Behind(Box::new(walker), vec![undo]))
            }
            Found::Baseless => self.anew(next, (at, here), BASE),
            Found::Unknown => self.anew(next, (at, here), UNKNOWN),
        }
    }

    /// The next events for one that catches up, or the number from which on it reads the ring.
    pub fn catch_up(self: &Arc<Self>, walker: &mut Walker) -> Result<(Vec<Event>, Option<u64>), ApiError> {
        let (at, cursor, next) = self.join()?;
        match at.filter(|at| walker.at != Some(*at)) {
            Some(to) => Ok((self.teller.step(walker, to)?, None)),
            None => Ok((self.greeting((at, cursor))?, Some(next))),
        }
    }

    fn look_up(&self, text: &str, snapshot: &Snapshot) -> Result<Found, ApiError> {
        if let Some((_, found)) = self.ring().looked_up.iter().find(|(known, _)| known == text) {
            return Ok(*found);
        }
        let wrong = || ApiError::bad_request("?cursor is none of ours");
        let found = Cursor::parse(text).ok_or_else(wrong)?.find(snapshot)?;
        // What is not known may come to be known.
        if matches!(found, Found::At(_)) {
            let mut ring = self.ring();
            ring.looked_up.push_front((text.to_owned(), found));
            ring.looked_up.truncate(LOOKED_UP);
        }
        Ok(found)
    }

    /// The number behind the newest event with this cursor, and where that is.
    fn in_ring(&self, text: &str) -> Option<(u64, Option<Node>)> {
        let ring = self.ring();
        if ring.cursor.as_deref() == Some(text) {
            return Some((ring.next, ring.at));
        }
        let newer = ring.events.iter().rev().position(|event| *event.cursor == *text)?;
        let event = &ring.events[ring.events.len() - 1 - newer];
        Some((ring.next - newer as u64, event.at))
    }

    /// `reset`, and what else is to be known there.
    fn anew(&self, next: u64, here: (Option<Node>, Arc<str>), why: &str) -> Result<Begin, ApiError> {
        let members = format!(r#","reason":"{why}""#);
        let mut events = vec![self.teller.beside("reset", here.clone(), here.0, members.as_bytes())?];
        events.extend(self.greeting(here)?);
        Ok(Begin::Live(next, events))
    }

    /// What is told to whoever comes to stand here: what is missing, and what was confirmed up to here.
    fn greeting(&self, here: (Option<Node>, Arc<str>)) -> Result<Vec<Event>, ApiError> {
        let (gap, confirmed) = {
            let ring = self.ring();
            (ring.gap.clone(), ring.confirmed.clone())
        };
        let mut events = Vec::new();
        if !gap.is_empty() {
            events.push(self.teller.beside("gap", here.clone(), here.0, &gap)?);
        }
        if let (Some((batch, members)), Some(at)) = (confirmed, here.0) {
            let snapshot = self.teller.of.state.snapshot();
            if common(&snapshot.chain(at), &snapshot.chain(batch)) == Some(batch) {
                events.push(self.teller.beside("final", here, Some(batch), &members)?);
            }
        }
        Ok(events)
    }

    /// The ring's position and the number of its next event; the task runs from here on.
    fn join(self: &Arc<Self>) -> Result<(Option<Node>, Arc<str>, u64), ApiError> {
        let mut ring = self.ring();
        if !ring.running {
            let snapshot = self.teller.of.state.snapshot();
            let walker = Walker::at(&snapshot, snapshot.head()?.map(|head| head.node))?;
            let next = ring.next;
            *ring = Ring { running: true, next, at: walker.at, cursor: Some(walker.cursor()), ..Ring::default() };
            self.tasks.spawn(Arc::clone(self).follow(walker));
        }
        let cursor = ring.cursor.clone().unwrap_or_else(|| "".into());
        Ok((ring.at, cursor, ring.next))
    }

    /// Follows the head until nobody listens any more.
    async fn follow(self: Arc<Self>, mut walker: Walker) {
        let (mut applied, mut status) = (self.teller.of.applied.clone(), self.teller.of.status.clone());
        status.mark_changed();
        let mut look = interval(self.heartbeat.min(LOOK));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = (Instant::now(), 0);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                changed = applied.changed() => if changed.is_err() { break },
                _ = look.tick() => {
                    let (hub, is_new) = (Arc::clone(&self), status.has_changed().unwrap_or(false));
                    status.mark_unchanged();
                    let looked = tokio::task::spawn_blocking(move || hub.look(is_new)).await;
                    match looked {
                        Ok(Ok(true)) => {}
                        Ok(Ok(false)) if self.may_rest() => return,
                        Ok(Ok(false)) => {}
                        Ok(Err(_)) | Err(_) => break,
                    }
                }
            }
            let hub = Arc::clone(&self);
            let walked = tokio::task::spawn_blocking(move || hub.walk_on(walker)).await;
            let Ok(Ok(walked)) = walked else { break };
            walker = walked;
            let next = *self.next.borrow();
            if next != last.1 {
                last = (Instant::now(), next);
            } else if last.0.elapsed() >= self.heartbeat {
                let here = self.here();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                let now = format!(r#","timestamp":{now}"#);
                let Ok(event) = self.teller.beside("heartbeat", here.clone(), here.0, now.as_bytes()) else { break };
                self.push(vec![event]);
                last = (Instant::now(), next + 1);
            }
        }
        self.ring().running = false;
        // Whoever still reads is let go.
        self.next.send_modify(|_| {});
    }

    /// Ends the following when really nobody listens: whoever comes takes a place first, and then looks at the ring.
    fn may_rest(&self) -> bool {
        let mut ring = self.ring();
        ring.running = !self.subscribers().is_empty();
        !ring.running
    }

    fn here(&self) -> (Option<Node>, Arc<str>) {
        let ring = self.ring();
        (ring.at, ring.cursor.clone().unwrap_or_else(|| "".into()))
    }

    /// Tells everything up to where the head stands now.
    fn walk_on(&self, mut walker: Walker) -> Result<Walker, ApiError> {
        let Some(head) = self.teller.of.state.snapshot().head()? else { return Ok(walker) };
        loop {
            let events = self.teller.step(&mut walker, head.node)?;
            if events.is_empty() {
                return Ok(walker);
            }
            self.push(events);
        }
    }

    fn push(&self, events: Vec<Event>) {
        let mut ring = self.ring();
        for event in events {
            (ring.at, ring.cursor) = (event.at, Some(Arc::clone(&event.cursor)));
            ring.events.push_back(Arc::new(event));
            ring.next += 1;
        }
        let alive = || self.teller.alive.load(Relaxed);
        while ring.events.len() > RING_EVENTS || (alive() > RING_BYTES && ring.events.len() > 1) {
            ring.events.pop_front();
        }
        let next = ring.next;
        drop(ring);
        self.next.send_replace(next);
        if alive() > MAX_ALIVE {
            self.cut(SHORT_PATIENCE);
        }
    }

    /// Gaps, confirmations, sockets that take nothing. Whether anyone listens.
    fn look(&self, is_new: bool) -> Result<bool, ApiError> {
        self.cut(PATIENCE);
        if is_new {
            let status = Arc::clone(&self.teller.of.status.borrow());
            let (about, key) = Teller::gaps(&status);
            let (at, confirmed) = {
                let ring = self.ring();
                (ring.at, ring.confirmed.as_ref().map(|(batch, _)| *batch))
            };
            self.tell_gap(about, key)?;
            let found = at.map(|at| self.teller.confirmed(at)).transpose()?.flatten();
            self.ring().confirmed.clone_from(&found);
            // A word that was taken back makes less of the history final. What was told cannot be untold.
            let less = |batch: Node| {
                confirmed.zip(at).is_some_and(|(told, at)| batch.version < told.version && self.teller.is_on(told, at))
            };
            if let Some((batch, members)) = found.filter(|(batch, _)| confirmed != Some(*batch) && !less(*batch)) {
                self.push(vec![self.teller.beside("final", self.here(), Some(batch), &members)?]);
            }
        }
        Ok(!self.subscribers().is_empty())
    }

    fn tell_gap(&self, about: Vec<u8>, key: Vec<u8>) -> Result<(), ApiError> {
        let told = { self.ring().gap_key.clone() };
        if told == key {
            return Ok(());
        }
        let here = self.here();
        let event = self.teller.beside("gap", here.clone(), here.0, &about)?;
        {
            let mut ring = self.ring();
            ring.gap = if key.is_empty() { Vec::new() } else { about };
            ring.gap_key = key;
        }
        self.push(vec![event]);
        Ok(())
    }

    /// Ends the connections that have taken nothing for so long.
    fn cut(&self, patience: Duration) {
        let before = self.now().saturating_sub(patience.as_millis() as u64);
        for gauge in self.subscribers().values() {
            let handed = gauge.handed.load(Relaxed);
            if handed > 0 && handed < before {
                gauge.cut.cancel();
            }
        }
    }

    /// Milliseconds, from 1.
    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64 + 1
    }
}

impl Place {
    /// The hub.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Its socket has been given a frame.
    pub fn handed(&self) {
        self.gauge.handed.store(self.hub.now(), Relaxed);
    }

    /// Its socket wants the next.
    pub fn wants(&self) {
        self.gauge.handed.store(0, Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.subscribers().remove(&self.number);
    }
}
