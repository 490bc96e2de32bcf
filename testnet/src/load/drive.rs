//! Driving a node with a stream: everything at once, piece by piece, or at a rate.
//!
//! *Always holds:* acks are counted one per op, in order: the n-th ack answers the n-th op of the stream.

use super::mix::Write;
use super::socket::{self, Receiver, Sender};
use super::stream::Stream;
use crate::STILL;
use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Path on which streams go in.
const PATH: &str = "/fork-stream";

/// Bytes handed to the socket at once.
const CHUNK: usize = 256 << 10;

/// Markers sent and not acknowledged at most; a node so far behind is not measured at a rate any more.
const AHEAD: usize = 1 << 16;

/// One connection with its count of acks.
pub struct Driver {
    sender: Sender,
    count: Count,
    reader: Option<JoinHandle<()>>,
}

/// The acks of a connection.
#[derive(Clone, Default)]
pub struct Count(Arc<Counted>);

impl Count {
    /// So many until now.
    pub fn so_far(&self) -> u64 {
        self.0.acks.load(SeqCst)
    }
}

#[derive(Default)]
struct Counted {
    acks: AtomicU64,
    /// Somebody waits for so many.
    wanted: AtomicU64,
    /// Why nothing more will come.
    ended: Mutex<Option<String>>,
    changed: Condvar,
}

impl Driver {
    /// Connects to `ws://host:port`.
    pub fn connect(url: &str, token: &str) -> std::io::Result<Self> {
        let (sender, receiver) = socket::connect(url, PATH, token)?;
        let (pong, count) = (sender.again()?, Count::default());
        let counting = count.0.clone();
        let reader = std::thread::spawn(move || {
            let read = read_acks(receiver, pong, || {
                let acks = counting.acks.fetch_add(1, SeqCst) + 1;
                if acks >= counting.wanted.load(SeqCst) {
                    counting.changed.notify_all();
                }
                true
            });
            let why = read.err().map_or_else(|| "closed by the node".to_owned(), |error| error.to_string());
            *counting.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            counting.changed.notify_all();
        });
        Ok(Self { sender, count, reader: Some(reader) })
    }

    /// Sends encoded frames.
    pub fn send(&mut self, frames: &[u8]) -> std::io::Result<()> {
        frames.chunks(CHUNK).try_for_each(|chunk| self.sender.send(chunk))
    }

    /// Sends what the stream has built so far and the given writes, made as it goes.
    pub fn send_made(&mut self, stream: &mut Stream, writes: impl Iterator<Item = Write>) -> std::io::Result<()> {
        for write in writes {
            stream.push(&write);
            if stream.bytes.len() >= CHUNK {
                self.send(&stream.take())?;
            }
        }
        stream.finish();
        self.send(&stream.take())
    }

    /// The count of its acks, to be looked at from elsewhere.
    pub fn count(&self) -> Count {
        self.count.clone()
    }

    /// Waits until so many acks came on this connection.
    pub fn wait_for(&self, acks: u64) -> std::io::Result<()> {
        self.count.0.wanted.store(acks, SeqCst);
        let (mut seen, mut last) = (self.count.so_far(), Instant::now());
        let mut ended = self.count.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while self.count.so_far() < acks {
            if let Some(why) = &*ended {
                return Err(Error::new(
                    ErrorKind::ConnectionReset,
                    format!("{why}, after {} acks", self.count.so_far()),
                ));
            }
            if self.count.so_far() > seen {
                (seen, last) = (self.count.so_far(), Instant::now());
            }
            if last.elapsed() > STILL {
                return Err(Error::new(ErrorKind::TimedOut, format!("silent after {seen} acks of {acks}")));
            }
            // Woken by the last ack; looks by itself in case it came just before.
            let waited = self.count.0.changed.wait_timeout(ended, Duration::from_millis(1));
            ended = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.sender.hang_up();
        if let Some(reader) = self.reader.take() {
            // A panic of it was printed.
            let _ = reader.join();
        }
    }
}

/// Sends the whole stream as fast as the node takes it, and waits for the ack of every op: when the first byte was
/// sent, and how long it took.
pub fn drive(url: &str, stream: &Stream) -> std::io::Result<(Instant, Duration)> {
    let mut driver = Driver::connect(url, stream.token())?;
    let start = Instant::now();
    driver.send(&stream.bytes)?;
    driver.wait_for(stream.ops)?;
    Ok((start, start.elapsed()))
}

/// Sends the stream's frames up to each marker at once, one such group every `pause`, and returns for each marker how
/// long after it was sent the ack of the last op before it came.
pub fn drive_at_rate(url: &str, stream: &Stream, pause: Duration) -> std::io::Result<Vec<Duration>> {
    let (mut sender, receiver) = socket::connect(url, PATH, stream.token())?;
    let (tell, told) = mpsc::sync_channel(AHEAD);
    let latencies = std::thread::scope(|scope| {
        let pong = sender.again()?;
        let reader = scope.spawn(move || {
            let mut latencies = Vec::new();
            let (mut acks, mut next): (u64, Option<(u64, Instant)>) = (0, None);
            read_acks(receiver, pong, || {
                acks += 1;
                // The marker was told of before it was sent, so before any ack of its ops.
                if next.is_none() {
                    next = told.recv().ok();
                }
                if let Some((_, sent)) = next.filter(|(ops, _)| acks == *ops) {
                    latencies.push(sent.elapsed());
                    next = None;
                }
                acks < stream.ops
            })?;
            Ok(latencies)
        });
        send_at_rate(&mut sender, stream, pause, &tell)?;
        drop(tell);
        reader.join().unwrap_or_else(|_| Err(Error::other("the thread that reads acks panicked")))
    })?;
    sender.hang_up();
    Ok(latencies)
}

fn send_at_rate(
    sender: &mut Sender,
    stream: &Stream,
    pause: Duration,
    tell: &mpsc::SyncSender<(u64, Instant)>,
) -> std::io::Result<()> {
    let (mut from, mut ops, mut due) = (0, 0, Instant::now());
    for mark in stream.marks.iter().filter(|mark| mark.marker) {
        #[expect(clippy::disallowed_methods, reason = "the rate is what is asked for")]
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += pause;
        if mark.ops > ops {
            // The receiver ends only after the last ack, so it still listens; if it failed, it says why.
            let _ = tell.send((mark.ops, Instant::now()));
        }
        sender.send(&stream.bytes[from..mark.end])?;
        (from, ops) = (mark.end, mark.ops);
    }
    sender.send(&stream.bytes[from..])
}

/// Reads until `each`, called for each ack of an op, has enough, or the server closes.
fn read_acks(mut receiver: Receiver, mut pong: Sender, mut each: impl FnMut() -> bool) -> std::io::Result<()> {
    while let Some(text) = receiver.next_text(&mut pong)? {
        if is_ack(text) {
            if !each() {
                break;
            }
        } else if has(text, b"\"error\"") {
            return Err(Error::other(String::from_utf8_lossy(text).into_owned()));
        }
    }
    Ok(())
}

/// An ack of an op: it alone carries both.
fn is_ack(text: &[u8]) -> bool {
    has(text, b"\"ack\"") && has(text, b"\"success\":true")
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
