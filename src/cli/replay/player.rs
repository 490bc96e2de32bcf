//! Plays a recording's events, in order.
//!
//! The order in which the core of the recorded node heard its sockets is kept: before another socket speaks, the node's
//! core has what the one before it said, and the node has said all that it had said in the recording by then: its
//! questions, its acks, over all sockets. What came by itself, without waiting, is sent without waiting too.
//!
//! *Always holds:* nothing is waited for longer than [`PATIENCE`]; a socket that does not behave as recorded is counted
//! and waited for no more.

use super::socket::{Socket, is_waited_for};
use crate::cli::exit::{Code, Failure};
use crate::cli::remote::Remote;
use crate::feed::recording::{Event, Happened, Opened};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A node repeats its question after 10 s, twice: longer than that, and what is waited for does not come.
const PATIENCE: Duration = Duration::from_secs(45);

/// How long the node may take to give a closed socket's lane up.
const GONE: Duration = Duration::from_secs(10);

/// Pause between two looks at the node.
const LOOK: Duration = Duration::from_millis(2);

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As fast as the node takes it.
    Max,
    /// So many times as fast as it was recorded.
    Times(f64),
}

impl std::str::FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("real", _) => Ok(Self::Times(1.0)),
            ("max", _) => Ok(Self::Max),
            (_, Ok(times)) if (0.001..=1e6).contains(&times) => Ok(Self::Times(times)),
            _ => Err("real, max, or how many times as fast (0.001 to 1000000)".to_owned()),
        }
    }
}

/// Where to.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port`
    pub address: String,
    /// `ws://host:port`
    pub url: String,
    /// Path for all sockets instead of those recorded.
    pub path: Option<String>,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Played {
    /// Sockets opened.
    pub sockets: u64,
    /// Frames sent.
    pub frames: u64,
    /// Frames that could not be sent: the node had closed their socket.
    pub unsent: u64,
    /// Sockets to which the node did not say what it is recorded to have said.
    pub differing: u64,
    /// The recording ends early: its file was not written fast enough.
    pub lost: bool,
}

/// See the module.
pub struct Player {
    target: Target,
    speed: Speed,
    remote: Remote,
    sockets: BTreeMap<u64, Socket>,
    /// Who spoke last.
    last: Option<u64>,
    /// Sockets for which something is due.
    due: BTreeSet<u64>,
    begun: Instant,
    /// What was done so far.
    pub played: Played,
}

impl Player {
    /// Nothing played yet.
    pub fn new(target: Target, speed: Speed, remote: Remote) -> Self {
        let (sockets, due, begun) = (BTreeMap::new(), BTreeSet::new(), Instant::now());
        Self { target, speed, remote, sockets, last: None, due, begun, played: Played::default() }
    }

    /// Plays the next event.
    pub async fn play(&mut self, event: Event) -> Result<(), Failure> {
        let Event { after_us, socket, what } = event;
        if let Speed::Times(times) = self.speed {
            self.flush().await;
            sleep_until(self.begun + Duration::from_micros(after_us).div_f64(times)).await;
        }
        match what {
            Happened::Began(_) => self.begun = Instant::now(),
            Happened::Opened(opened) => {
                self.turn_to(socket).await;
                self.open(socket, &opened).await?;
            }
            Happened::Heard(frame, binary) => {
                self.turn_to(socket).await;
                let said = match self.sockets.get_mut(&socket) {
                    Some(to) => to.say(frame, binary).await.is_ok(),
                    None => false,
                };
                *(if said { &mut self.played.frames } else { &mut self.played.unsent }) += 1;
            }
            Happened::Said(_) | Happened::Acked(_) => {
                let Some(to) = self.sockets.get_mut(&socket) else { return Ok(()) };
                match what {
                    Happened::Acked(count) => to.due.acks += u64::from(count),
                    Happened::Said(text) if is_waited_for(&text) => to.due.said += 1,
                    _ => return Ok(()),
                }
                self.due.insert(socket);
            }
            Happened::Closed(_) => {
                self.turn_to(socket).await;
                self.close(socket).await?;
            }
            Happened::Lost => self.played.lost = true,
        }
        Ok(())
    }

    /// Everything has been played: waits until the node has taken it.
    pub async fn finish(&mut self) {
        self.turn_to(u64::MAX).await;
    }

    /// Ends all sockets that the recording left open.
    pub async fn hang_up(self) {
        for socket in self.sockets.into_values() {
            socket.close().await;
        }
    }

    /// Waits until this socket may go on.
    async fn turn_to(&mut self, socket: u64) {
        if self.last.is_none_or(|last| last == socket) && self.due.is_empty() {
            self.last = Some(socket);
            return;
        }
        self.flush().await;
        for due in std::mem::take(&mut self.due) {
            let Some(it) = self.sockets.get_mut(&due).filter(|it| it.waits) else { continue };
            if !it.told(PATIENCE).await {
                self.differs(due);
            }
        }
        if let Some(last) = self.last.replace(socket).filter(|last| *last != socket)
            && let Some(it) = self.sockets.get_mut(&last)
            && !it.handed_over(PATIENCE).await
        {
            self.differs(last);
        }
    }

    fn differs(&mut self, socket: u64) {
        if let Some(it) = self.sockets.get_mut(&socket)
            && std::mem::replace(&mut it.waits, false)
        {
            self.played.differing += 1;
        }
    }

    async fn flush(&mut self) {
        if let Some(it) = self.last.and_then(|last| self.sockets.get_mut(&last)) {
            // A socket that is gone shows itself when it is waited for.
            let _ = it.flush().await;
        }
    }

    async fn open(&mut self, socket: u64, opened: &Opened) -> Result<(), Failure> {
        let url = format!("{}{}", self.target.url, self.target.path.as_deref().unwrap_or(&opened.path));
        let open = Socket::open(&self.target.address, &url, opened).await;
        let open = open.map_err(|error| Failure::new(Code::NotReachable, format!("{url}: {error}")))?;
        self.sockets.insert(socket, open);
        self.played.sockets += 1;
        Ok(())
    }

    /// Closes a socket, and waits until the core knows: what others say after that finds its lane gone.
    async fn close(&mut self, socket: u64) -> Result<(), Failure> {
        let Some(mut it) = self.sockets.remove(&socket) else { return Ok(()) };
        if !it.handed_over(PATIENCE).await && it.waits {
            self.played.differing += 1;
        }
        let (before, ended) = (self.open_feeds().await?, it.ended());
        it.close().await;
        let since = Instant::now();
        while !ended && self.open_feeds().await? >= before && since.elapsed() < GONE {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Sockets that the node has; one is no more counted once its core was told that it is gone.
    async fn open_feeds(&self) -> Result<u64, Failure> {
        let status = self.remote.get("/api/status").await?.value()?;
        Ok(status["feeds"].as_u64().unwrap_or(0))
    }
}
