//! Drives a [`Honeycomb`] over a WebSocket as the published client does: blocks come at a rate, what is queued goes out
//! in frames with a pause between them, a lost socket is opened again.
//!
//! *Always holds:* sending never waits for an acknowledgement below [`MAX_IN_FLIGHT`]; replies are read while a send
//! is stuck; the feed ends when everything was acknowledged or nothing moved for [`Pace::patience`].

use super::client::Sent;
use super::ledger::Ledger;
use super::machine::Honeycomb;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// Ops in flight at which the feed waits: enough for any node that moves, and memory stays bounded.
pub const MAX_IN_FLIGHT: usize = 200_000;
/// Queued ops below which the next block is worked on when there is no rate: so few that a checkpoint message, which
/// overtakes the queue, overtakes about as much as in a real honeycomb.
const QUEUE_LOW: usize = 200;
/// Queued ops at which the honeycomb waits although a block is due: the node takes less than the rate.
const QUEUE_HIGH: usize = 100_000;
/// Frames between two flushes when there is no rate.
const FLUSH_EVERY: usize = 32;
/// Questions that wait; a node asks one at a time.
const QUESTIONS: usize = 16;
/// Time for a connection to open.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Frames leave when they are flushed: latencies are the node's, not those of a waiting kernel.
const NO_DELAY: bool = true;
/// How often the caller hears of progress.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// Where a feed goes, and how fast.
#[derive(Clone, Debug)]
pub struct Pace {
    /// `ws://host:port/path`
    pub url: String,
    /// Ops after which the honeycomb stops working on blocks (the last block is finished); 0 goes on until stopped.
    pub ops: u64,
    /// Ops a second on average; 0 is as fast as possible, without pauses.
    pub rate: f64,
    /// Between two frames.
    pub pause: Duration,
    /// Wait before the first reconnect; each further one waits half as long again.
    pub reconnect: Duration,
    /// Longest wait before a reconnect.
    pub reconnect_max: Duration,
    /// Gives up when nothing was sent or acknowledged for this long.
    pub patience: Duration,
    /// Between two pings.
    pub ping: Duration,
}

impl Pace {
    /// The published client's times.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ops: 0,
            rate: 0.0,
            pause: Duration::from_millis(10),
            reconnect: Duration::from_secs(1),
            reconnect_max: Duration::from_secs(30),
            patience: Duration::from_secs(60),
            ping: Duration::from_secs(30),
        }
    }
}

/// What a feed did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Different ops sent; markers are not counted.
    pub sent: u64,
    /// Different ops acknowledged.
    pub acked: u64,
    /// Of those acknowledged, the ones whose acknowledgement went down with a socket: the node's `sync_status` said that it
    /// holds them.
    pub synced: u64,
    /// Sent and not acknowledged.
    pub unacked: u64,
    /// Acknowledgements that answer nothing.
    pub stray_acks: u64,
    /// Frames and bytes sent.
    pub frames: u64,
    /// Bytes of those frames.
    pub bytes: u64,
    /// Sockets opened.
    pub connections: u64,
    /// `request_missing` received.
    pub asked: u64,
    /// `error` received, and the last of them.
    pub errors: u64,
    /// Text of the last error, or why the last connection ended.
    pub last_error: Option<String>,
    /// Last block worked on.
    pub block: u64,
    /// Checkpoints saved.
    pub checkpoints: u64,
    /// Newest checkpoint.
    pub checkpoint: Option<String>,
    /// Since the first connection opened.
    pub seconds: f64,
    /// Acknowledged ops a second over that time.
    pub ops_per_second: f64,
    /// Send to acknowledgement, median, in milliseconds.
    pub ack_p50_ms: f64,
    /// The 99th percentile.
    pub ack_p99_ms: f64,
    /// Nothing is missing: every op that was to be sent was sent and acknowledged.
    pub complete: bool,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What the reading half knows.
#[derive(Default)]
struct Heard {
    ledger: Ledger,
    asked: u64,
    errors: u64,
    last_error: Option<String>,
    moved: Option<Instant>,
    /// The last index sent, as the hello of this socket said.
    said_sent: u64,
}

type Shared = Arc<Mutex<Heard>>;

/// Why a session ended.
enum Ended {
    /// The feed is over: done, out of patience or stopped.
    Over,
    /// The socket is gone.
    Lost,
}

/// A honeycomb on its way.
struct Live<F> {
    honeycomb: Honeycomb,
    pace: Pace,
    heard: Shared,
    news: Arc<Notify>,
    begun: Option<Instant>,
    /// When the next block is due, at a rate.
    due: Option<Instant>,
    generated: u64,
    finished: bool,
    /// Set from outside: no further block.
    stopping: Arc<AtomicBool>,
    report: Report,
    tell: F,
    told: Option<Instant>,
}

/// Feeds until everything was acknowledged or nothing moves any more; once `stop` is ready no block is worked on any
/// more. `tell` hears of progress.
/// Gives the honeycomb back, so that its truth can be compared.
pub async fn feed(
    honeycomb: Honeycomb,
    pace: Pace,
    stop: impl Future<Output = ()>,
    tell: impl FnMut(&Report),
) -> (Honeycomb, Report) {
    let mut live = Live {
        honeycomb,
        pace,
        heard: Shared::default(),
        news: Arc::new(Notify::new()),
        begun: None,
        due: None,
        generated: 0,
        finished: false,
        stopping: Arc::default(),
        report: Report::default(),
        tell,
        told: None,
    };
    let (stopping, news) = (live.stopping.clone(), live.news.clone());
    let stop = async move {
        stop.await;
        stopping.store(true, Ordering::Relaxed);
        news.notify_one();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = live.run() => {}
        () = stop => {}
    }
    live.note();
    (live.tell)(&live.report);
    (live.honeycomb, live.report)
}

fn locked(heard: &Shared) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<F: FnMut(&Report)> Live<F> {
    async fn run(&mut self) {
        let mut wait = self.pace.reconnect;
        let mut alone_since = Instant::now();
        loop {
            match timeout(CONNECT_TIME, self.connect()).await {
                Ok(Ok(socket)) => {
                    wait = self.pace.reconnect;
                    self.begun.get_or_insert_with(Instant::now);
                    self.report.connections += 1;
                    let ended = self.session(socket).await;
                    locked(&self.heard).ledger.disconnect();
                    if matches!(ended, Ended::Over) {
                        return;
                    }
                    alone_since = Instant::now();
                }
                Ok(Err(error)) => locked(&self.heard).last_error = Some(error.to_string()),
                Err(_) => locked(&self.heard).last_error = Some(format!("no connection within {CONNECT_TIME:?}")),
            }
            if self.is_complete() || alone_since.elapsed() > self.pace.patience {
                return;
            }
            self.note();
            (self.tell)(&self.report);
            tokio::time::sleep(wait).await;
            wait = (wait * 3 / 2).min(self.pace.reconnect_max);
        }
    }

    async fn connect(&self) -> Result<Socket, tungstenite::Error> {
        let mut request = self.pace.url.as_str().into_client_request()?;
        if let Ok(token) = HeaderValue::from_str(&self.honeycomb.config().token) {
            request.headers_mut().insert("X-Token", token);
        }
        request.headers_mut().insert("X-Client-Type", HeaderValue::from_static("honeycomb"));
        Ok(connect_async_with_config(request, None, NO_DELAY).await?.0)
    }

    async fn session(&mut self, socket: Socket) -> Ended {
        let (mut sink, stream) = socket.split();
        let (ask, questions) = mpsc::channel(QUESTIONS);
        let begun = self.begun.unwrap_or_else(Instant::now);
        let reader = Reader { heard: self.heard.clone(), news: self.news.clone(), ask, begun };
        let reader: JoinHandle<()> = tokio::spawn(reader.run(stream));
        let ended = self.speak(&mut sink, questions, &reader).await;
        if matches!(ended, Ok(Ended::Over)) {
            // A polite close; a node that no longer listens must not keep us.
            let _ = timeout(Duration::from_secs(1), sink.close()).await;
        }
        reader.abort();
        match ended {
            Ok(ended) => ended,
            Err(error) => {
                locked(&self.heard).last_error = Some(error.to_string());
                Ended::Lost
            }
        }
    }

    async fn speak(
        &mut self,
        sink: &mut SplitSink<Socket, Message>,
        mut questions: mpsc::Receiver<String>,
        reader: &JoinHandle<()>,
    ) -> Result<Ended, tungstenite::Error> {
        locked(&self.heard).said_sent = self.honeycomb.last_sent();
        for text in self.honeycomb.hello() {
            self.send(sink, Sent { text: Some(text), ..Sent::default() }).await?;
        }
        let mut ping = interval(self.pace.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.tick().await;
        let (mut idle, mut moved) = (true, Instant::now());
        loop {
            while let Ok(question) = questions.try_recv() {
                self.honeycomb.on_frame(&question);
            }
            self.work();
            self.tell_now_and_then();
            let closes = self.send_some(sink, &mut idle, &mut moved).await?;
            if closes || reader.is_finished() {
                return Ok(Ended::Lost);
            }
            let last = moved.max(locked(&self.heard).moved.unwrap_or(moved));
            if self.is_complete() || last.elapsed() > self.pace.patience {
                return Ok(Ended::Over);
            }
            if !idle && (self.pace.rate <= 0.0 || self.pace.pause.is_zero()) {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = self.wait(idle, last) => {}
                question = questions.recv() => match question {
                    Some(question) => self.honeycomb.on_frame(&question),
                    None => return Ok(Ended::Lost),
                },
                _ = ping.tick() => sink.send(Message::Ping(tungstenite::Bytes::new())).await?,
            }
        }
    }

    /// Sends one frame, or several when there is no rate, and flushes. True when the client closes the socket.
    async fn send_some(
        &mut self,
        sink: &mut SplitSink<Socket, Message>,
        idle: &mut bool,
        moved: &mut Instant,
    ) -> Result<bool, tungstenite::Error> {
        // The client sends the first op at once and alone; what came meanwhile goes together after the pause.
        let limit = if *idle && self.pace.rate > 0.0 { 1 } else { usize::MAX };
        let frames = if self.pace.rate > 0.0 { 1 } else { FLUSH_EVERY };
        for _ in 0..frames {
            let room = locked(&self.heard).ledger.in_flight() < MAX_IN_FLIGHT;
            let sent = if room { self.honeycomb.next_frame(limit) } else { None };
            *idle = sent.is_none();
            let Some(sent) = sent else { break };
            let close = sent.close;
            if sent.died {
                locked(&self.heard).ledger.forget();
            }
            self.send(sink, sent).await?;
            *moved = Instant::now();
            if close {
                sink.close().await?;
                return Ok(true);
            }
        }
        sink.flush().await?;
        Ok(false)
    }

    /// Waits for the pause between frames, or, when idle, for the next block, news from the reader or the end of
    /// patience.
    fn wait(&self, idle: bool, last: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let now = Instant::now();
        let until = match (idle, self.due) {
            (false, _) => now + self.pace.pause,
            (true, Some(due)) if !self.finished => due.min(now + TOLD_EVERY),
            (true, _) => (last + self.pace.patience).min(now + TOLD_EVERY),
        };
        let news = self.news.clone();
        Box::pin(async move {
            tokio::select! {
                () = sleep_until(until) => {}
                () = news.notified(), if idle => {}
            }
        })
    }

    /// Works on the blocks that are due.
    fn work(&mut self) {
        loop {
            if self.finished {
                return;
            }
            let enough = self.pace.ops > 0 && self.generated >= self.pace.ops;
            if enough || self.stopping.load(Ordering::Relaxed) {
                self.honeycomb.finish();
                self.finished = true;
                return;
            }
            let now = Instant::now();
            let due = if self.pace.rate > 0.0 {
                self.due.is_none_or(|due| due <= now) && self.honeycomb.waiting() < QUEUE_HIGH
            } else {
                self.honeycomb.waiting() < QUEUE_LOW || self.honeycomb.is_silent()
            };
            if !due {
                return;
            }
            let before = self.honeycomb.written();
            self.honeycomb.step();
            let ops = self.honeycomb.written() - before;
            self.generated += ops;
            if self.pace.rate > 0.0 {
                let took = Duration::from_secs_f64(ops as f64 / self.pace.rate);
                self.due = Some(self.due.unwrap_or(now).max(now - took.min(Duration::from_secs(1))) + took);
                return;
            }
        }
    }

    async fn send(&mut self, sink: &mut SplitSink<Socket, Message>, sent: Sent) -> Result<(), tungstenite::Error> {
        let Some(text) = sent.text else { return Ok(()) };
        self.report.frames += 1;
        self.report.bytes += text.len() as u64;
        let now = micros(self.begun);
        locked(&self.heard).ledger.send(&sent.expects, now);
        sink.feed(Message::text(text)).await
    }

    fn is_complete(&self) -> bool {
        self.finished && self.honeycomb.waiting() == 0 && locked(&self.heard).ledger.unacked() == 0
    }

    fn tell_now_and_then(&mut self) {
        if self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            self.told = Some(Instant::now());
            self.note();
            (self.tell)(&self.report);
        }
    }

    fn note(&mut self) {
        let complete = self.is_complete();
        let heard = locked(&self.heard);
        let report = &mut self.report;
        (report.sent, report.acked) = (heard.ledger.sent(), heard.ledger.acked());
        (report.unacked, report.stray_acks) = (heard.ledger.unacked(), heard.ledger.stray());
        (report.asked, report.errors, report.synced) = (heard.asked, heard.errors, heard.ledger.synced());
        report.last_error.clone_from(&heard.last_error);
        report.block = self.honeycomb.block().saturating_sub(1);
        (report.checkpoints, report.checkpoint) = self.honeycomb.newest();
        report.seconds = self.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        report.ops_per_second = if report.seconds > 0.0 { report.acked as f64 / report.seconds } else { 0.0 };
        report.ack_p50_ms = heard.ledger.quantile(0.5) as f64 / 1000.0;
        report.ack_p99_ms = heard.ledger.quantile(0.99) as f64 / 1000.0;
        report.complete = complete;
    }
}

fn micros(begun: Option<Instant>) -> u64 {
    begun.map_or(0, |begun| u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// Reads replies, so that a node never finds its acknowledgements unread.
struct Reader {
    heard: Shared,
    news: Arc<Notify>,
    ask: mpsc::Sender<String>,
    begun: Instant,
}

/// The replies that the published client understands.
#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "type", default)]
    kind: String,
    index: Option<u64>,
    #[serde(rename = "lastIndex")]
    last_index: Option<u64>,
    success: Option<bool>,
    error: Option<String>,
}

impl Reader {
    async fn run(self, mut stream: SplitStream<Socket>) {
        while let Some(message) = stream.next().await {
            match message {
                Ok(Message::Text(text)) => self.hear(&text),
                Ok(Message::Close(frame)) => {
                    let why = frame.map(|frame| format!("closed by the node: {} {}", frame.code, frame.reason));
                    let mut heard = locked(&self.heard);
                    heard.last_error = why.or(heard.last_error.take());
                }
                Ok(_) => {}
                Err(error) => {
                    locked(&self.heard).last_error = Some(error.to_string());
                    break;
                }
            }
        }
        self.news.notify_one();
    }

    fn hear(&self, text: &str) {
        let Ok(reply) = serde_json::from_str::<Reply>(text) else { return };
        match (reply.kind.as_str(), reply.index) {
            ("ack", Some(index)) if reply.success == Some(true) => {
                let mut heard = locked(&self.heard);
                heard.ledger.ack(index, micros(Some(self.begun)));
                heard.moved = Some(Instant::now());
                if heard.ledger.unacked() == 0 {
                    drop(heard);
                    self.news.notify_one();
                }
            }
            ("sync_status", _) => {
                let mut heard = locked(&self.heard);
                let newest = heard.said_sent;
                heard.ledger.sync(reply.last_index.unwrap_or(0), newest);
                drop(heard);
                self.news.notify_one();
            }
            ("request_missing", _) => {
                locked(&self.heard).asked += 1;
                // The speaking half takes questions between frames. Beyond the bound one stays unanswered, as the
                // published client leaves some: reading goes on.
                let _ = self.ask.try_send(text.to_owned());
            }
            ("error", _) => {
                let mut heard = locked(&self.heard);
                heard.errors += 1;
                heard.last_error = reply.error;
            }
            _ => {}
        }
    }
}
