//! A feed that keeps a book: it writes like the published honeycomb client, is cut off again and again, resumes, and
//! knows of every op whether it was acknowledged. What a node then holds is compared with the [`Book`].
//!
//! It behaves as the client does: after each connection `identify` and `sync_status` with the last index ever sent,
//! then it goes on where it stopped; what was lost it sends when asked, those indexes of every period in its cache, in
//! one `batch` without hashes.
//!
//! *Always holds:* an op counts as acknowledged only when that is certain. An ack names an index, which ops of several
//! periods may share while answers and live ops are under way together: they count once there are as many acks as ops.
//! (A node need not acknowledge what it did not ask for: an answer holds that index of every period in the cache.)

mod book;

pub use book::{Book, Entry, Item, Period, Place};

use crate::STILL;
use crate::load::socket::{self, Receiver, Sender, encode_text};
use crate::powercut::Chance;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Live ops that a feed is ahead of its acks: more than a group commit takes, and little enough that resuming is quick.
const WINDOW: u64 = 100;

/// Periods that are sent again when asked: as many as the published client keeps.
const CACHED: usize = 288;

/// Who a feed says it is.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// `identify.token`
    pub token: &'static str,
    /// `identify.prefix`
    pub prefix: &'static str,
}

/// What a node says, as far as a feed listens.
#[derive(Deserialize)]
struct Heard {
    #[serde(rename = "type")]
    kind: String,
    index: Option<u64>,
    success: Option<bool>,
    from: Option<usize>,
    to: Option<usize>,
    error: Option<String>,
}

/// What is said on the connection that runs.
#[derive(Default)]
struct Line {
    sender: Option<Sender>,
    /// Ops sent on it and not certainly acknowledged, by index.
    waiting: BTreeMap<u64, Waiting>,
    /// Acks of live ops; where an answer holds the same index, the first acks count as theirs.
    acks: u64,
    /// Live ops sent on it.
    sent: u64,
    heard: Option<Instant>,
}

/// Ops with one index.
#[derive(Default)]
struct Waiting {
    ops: Vec<usize>,
    acks: usize,
    live: usize,
}

struct Inner {
    book: Book,
    line: Line,
    last_sent: Option<Place>,
    /// Whether the writer goes on by itself.
    writing: bool,
    errors: Vec<String>,
    questions: u64,
    unmatched: u64,
}

#[derive(Clone)]
struct Shared(Arc<(Mutex<Inner>, Condvar)>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        let waited = self.0.1.wait_timeout(inner, Duration::from_millis(100));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn changed(&self) {
        self.0.1.notify_all();
    }
}

/// A feed with its book, connected or not.
pub struct RecordingFeed {
    voice: Voice,
    shared: Shared,
    seed: u64,
    threads: Vec<JoinHandle<()>>,
}

/// A node that stopped answering.
#[derive(Debug, thiserror::Error)]
#[error("{waited_for}: {why} (sent {sent}, acks {acks}, questions {questions}, errors {errors:?})")]
pub struct Stuck {
    waited_for: &'static str,
    why: &'static str,
    sent: u64,
    acks: u64,
    questions: u64,
    errors: Vec<String>,
}

impl RecordingFeed {
    /// A feed that has not written yet.
    pub fn new(name: &str, voice: Voice, seed: u64) -> Self {
        let inner = Inner {
            book: Book::new(name, seed),
            line: Line::default(),
            last_sent: None,
            writing: false,
            errors: Vec::new(),
            questions: 0,
            unmatched: 0,
        };
        Self { voice, shared: Shared(Arc::new((Mutex::new(inner), Condvar::new()))), seed, threads: Vec::new() }
    }

    /// Connects to a node (`ws://host:port`), resumes, and writes until it is hung up.
    pub fn connect(&mut self, url: &str) -> std::io::Result<()> {
        self.hang_up();
        let (mut sender, receiver) = socket::connect(url, "/fork-stream", self.voice.token)?;
        let Voice { token, prefix } = self.voice;
        let mut inner = self.shared.lock();
        let last = inner.last_sent.map_or(0, |(_, index)| index);
        sender.send_text(&format!(
            "{{\"type\":\"identify\",\"source\":\"honeycomb-spkcc\",\"version\":\"1.0.0\",\"token\":\"{token}\",\
             \"prefix\":\"{prefix}\"}}"
        ))?;
        sender.send_text(&format!("{{\"type\":\"sync_status\",\"lastIndex\":{last},\"token\":\"{token}\"}}"))?;
        let pong = sender.again()?;
        inner.line = Line { sender: Some(sender), heard: Some(Instant::now()), ..Line::default() };
        inner.writing = true;
        drop(inner);
        self.seed += 1;
        let (reading, writing) = (self.shared.clone(), self.shared.clone());
        let chance = Chance::new(self.seed);
        self.threads = vec![
            std::thread::spawn(move || read(&reading, receiver, pong, token)),
            std::thread::spawn(move || write(&writing, chance, token)),
        ];
        Ok(())
    }

    /// Ends the connection.
    pub fn hang_up(&mut self) {
        if let Some(sender) = self.shared.lock().line.sender.take() {
            sender.hang_up();
        }
        self.shared.changed();
        for thread in self.threads.drain(..) {
            // A panic of it was printed, and shows as acks that never come.
            let _ = thread.join();
        }
    }

    /// Waits until so many acks came on this connection, or the connection ended.
    pub fn wait_for_acks(&self, count: u64) -> Result<(), Stuck> {
        self.wait("acks", |inner| inner.line.acks >= count || inner.line.sender.is_none())
    }

    /// Waits until everything that the node said before it died was heard, and ends the connection.
    pub fn wait_for_end(&mut self) {
        let mut inner = self.shared.lock();
        let start = Instant::now();
        // The end of a dead process's socket comes at once; a live one is hung up on.
        while inner.line.sender.is_some() && start.elapsed() < STILL {
            inner = self.shared.wait(inner);
        }
        drop(inner);
        self.hang_up();
    }

    /// Writes so many more ops, to the end of their batch, and then nothing more.
    pub fn finish(&self, more: u64) -> Result<(), Stuck> {
        let sent = self.shared.lock().line.sent;
        self.wait("the last ops to be sent", |inner| inner.line.sent >= sent + more)?;
        self.shared.lock().writing = false;
        self.wait("the end of the batch", |inner| inner.ends_with_marker())
    }

    /// The book as it stands.
    pub fn book(&self) -> Book {
        self.shared.lock().book.clone()
    }

    /// Questions answered, acks that fit no op, errors the node reported.
    pub fn heard(&self) -> (u64, u64, Vec<String>) {
        let inner = self.shared.lock();
        (inner.questions, inner.unmatched, inner.errors.clone())
    }

    fn wait(&self, waited_for: &'static str, done: impl Fn(&Inner) -> bool) -> Result<(), Stuck> {
        let mut inner = self.shared.lock();
        while !done(&inner) {
            let silent = inner.line.heard.is_none_or(|heard| heard.elapsed() > STILL);
            if inner.line.sender.is_none() || silent {
                let why = if silent { "the node is silent" } else { "the connection ended" };
                let (sent, acks) = (inner.line.sent, inner.line.acks);
                let (questions, errors) = (inner.questions, inner.errors.clone());
                return Err(Stuck { waited_for, why, sent, acks, questions, errors });
            }
            inner = self.shared.wait(inner);
        }
        Ok(())
    }
}

impl Drop for RecordingFeed {
    fn drop(&mut self) {
        self.hang_up();
    }
}

impl Inner {
    fn ends_with_marker(&self) -> bool {
        self.last_sent.is_none_or(|(period, index)| self.book.periods[period].items[index] == Item::Marker)
    }

    /// Sends these items, in one write: answers as one `batch`, live ones also as frames of their own.
    fn send(&mut self, places: &[Place], live: bool, token: &str) -> std::io::Result<()> {
        let mut frames = Vec::new();
        if !live || places.len() > 2 {
            encode_text(&self.book.batch(places, token), &mut frames);
        } else {
            places.iter().for_each(|place| encode_text(&self.book.frame(*place), &mut frames));
        }
        for (period, index) in places {
            if let Item::Op(number) = self.book.periods[*period].items[*index] {
                let waiting = self.line.waiting.entry(*index as u64).or_default();
                waiting.ops.push(number);
                if live {
                    self.line.acks += u64::from(waiting.acks > waiting.live);
                    waiting.live += 1;
                    self.line.sent += 1;
                }
            }
        }
        match &mut self.line.sender {
            Some(sender) => sender.send(&frames),
            None => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }

    fn hear(&mut self, heard: &Heard, token: &str) -> std::io::Result<()> {
        self.line.heard = Some(Instant::now());
        match (heard.kind.as_str(), heard.index, heard.from, heard.to) {
            ("ack", Some(index), ..) if heard.success == Some(true) => self.acked(index),
            ("request_missing", _, Some(from), Some(to)) => {
                self.questions += 1;
                let places = self.book.range(from, to, CACHED);
                // What was written but not yet sent is not in the client's cache.
                let places: Vec<_> = places.into_iter().filter(|place| Some(*place) <= self.last_sent).collect();
                match (places.is_empty(), &mut self.line.sender) {
                    // The published client says nothing then, and a node waits long for it. Others say so.
                    (true, Some(sender)) => sender.send_text(&format!(
                        "{{\"type\":\"batch\",\"operations\":[],\"requestedRange\":{{\"from\":{from},\"to\":{to}}}}}"
                    ))?,
                    _ => self.send(&places, false, token)?,
                }
            }
            ("error", ..) => self.errors.push(heard.error.clone().unwrap_or_default()),
            _ => {}
        }
        Ok(())
    }

    fn acked(&mut self, index: u64) {
        let Some(waiting) = self.line.waiting.get_mut(&index) else {
            self.unmatched += 1;
            return;
        };
        self.line.acks += u64::from(waiting.acks < waiting.live);
        waiting.acks += 1;
        if waiting.acks == waiting.ops.len() {
            for number in std::mem::take(&mut waiting.ops) {
                self.book.entries[number].acked = true;
            }
            self.line.waiting.remove(&index);
        }
    }
}

fn read(shared: &Shared, mut receiver: Receiver, mut pong: Sender, token: &str) {
    while let Ok(Some(text)) = receiver.next_text(&mut pong) {
        let mut inner = shared.lock();
        let heard = match serde_json::from_slice(text) {
            Ok(heard) => inner.hear(&heard, token),
            Err(error) => {
                inner.errors.push(format!("not understood: {error}"));
                Ok(())
            }
        };
        drop(inner);
        shared.changed();
        if heard.is_err() {
            break;
        }
    }
    shared.lock().line.sender = None;
    shared.changed();
}

fn write(shared: &Shared, mut chance: Chance, token: &str) {
    let mut inner = shared.lock();
    while inner.line.sender.is_some() {
        let stopped = !inner.writing && inner.ends_with_marker();
        if stopped || inner.line.sent >= inner.line.acks + WINDOW {
            inner = shared.wait(inner);
            continue;
        }
        // The client sends one queued op bare and more of them as a `batch` of at most 100.
        let count = if chance.percent(50) { 1 } else { 1 + chance.below(100) };
        let mut places: Vec<Place> = Vec::new();
        for _ in 0..count {
            places.extend(inner.book.write());
            if !inner.writing && inner.book.ends_with_marker() {
                break;
            }
        }
        let sent = inner.send(&places, true, token);
        inner.last_sent = places.last().copied().or(inner.last_sent);
        if sent.is_err() {
            break;
        }
        // Let the reader in between two frames.
        drop(inner);
        shared.changed();
        inner = shared.lock();
    }
}
