//! One socket of a replay: says what was recorded, counts what the node answers.
//!
//! *Always holds:* answers are read all the time, so that a node never finds them unread.

use crate::feed::recording::Opened;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use serde::Deserialize;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

type Wire = WebSocketStream<TcpStream>;

/// How long a connection may take to open, and a closed one to end.
const CONNECT: Duration = Duration::from_secs(10);

/// What was heard so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// Acks of ops.
    pub acks: u64,
    /// Questions, and answers to `sync_status`.
    pub said: u64,
    pongs: u64,
    ended: bool,
}

/// Whether this is a reply that is waited for: one by which a client, or the node's own machine, goes on.
fn answers(kind: &str) -> bool {
    matches!(kind, "request_missing" | "sync_status")
}

/// Whether a recorded reply is one of those.
pub(super) fn is_waited_for(text: &str) -> bool {
    serde_json::from_str::<Reply>(text).is_ok_and(|reply| answers(&reply.kind))
}

/// What of a reply is looked at.
#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "type", default)]
    kind: String,
    /// Only the ack of `identify` has one.
    message: Option<String>,
}

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket {
    sink: SplitSink<Wire, Message>,
    heard: watch::Receiver<Heard>,
    /// What the recorded socket had been told by now.
    pub due: Heard,
    /// Whether what is due is waited for: not on a socket that is known to differ from the recorded one.
    pub waits: bool,
}

impl Socket {
    /// Opens it as the recorded one was.
    pub async fn open(address: &str, url: &str, opened: &Opened) -> Result<Self, Error> {
        let mut request = url.into_client_request()?;
        let mut header = |name: &'static str, value: &Option<String>| {
            if let Some(value) = value.as_ref().and_then(|value| HeaderValue::from_str(value).ok()) {
                request.headers_mut().insert(name, value);
            }
        };
        header("x-token", &opened.token);
        header("x-client-type", &opened.client);
        let opening = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            client_async(request, stream).await
        };
        let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
        let (wire, _) = timeout(CONNECT, opening).await.map_err(late)??;
        let (sink, stream) = wire.split();
        let (to, heard) = watch::channel(Heard::default());
        tokio::spawn(read(stream, to));
        Ok(Self { sink, heard, due: Heard::default(), waits: !opened.joined })
    }

    /// Says a frame; it may wait for [`flush`](Self::flush).
    pub async fn say(&mut self, frame: Bytes, binary: bool) -> Result<(), Error> {
        let text = if binary { None } else { Utf8Bytes::try_from(frame.clone()).ok() };
        self.sink.feed(text.map_or(Message::Binary(frame), Message::Text)).await
    }

    /// Sends what was said.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.sink.flush().await
    }

    /// Waits until the node has said as much as it is recorded to have; whether it has.
    pub async fn told(&mut self, patience: Duration) -> bool {
        let due = self.due;
        let told = self.heard.wait_for(|heard| heard.ended || (heard.acks >= due.acks && heard.said >= due.said));
        matches!(timeout(patience, told).await, Ok(Ok(heard)) if heard.acks >= due.acks && heard.said >= due.said)
    }

    /// Whether the node has closed it.
    pub fn ended(&self) -> bool {
        self.heard.borrow().ended
    }

    /// Waits until the core has all that was said: a pong leaves a turn after its ping was read, and a session reads no
    /// ping while something that it read in an earlier turn waits for the core. One that the node has closed says no more.
    pub async fn handed_over(&mut self, patience: Duration) -> bool {
        for _ in 0..2 {
            let pongs = self.heard.borrow().pongs;
            // A failed write shows itself as an end.
            let _ = self.sink.send(Message::Ping(Bytes::new())).await;
            let answered = self.heard.wait_for(|heard| heard.ended || heard.pongs > pongs);
            if !matches!(timeout(patience, answered).await, Ok(Ok(_))) {
                return false;
            }
        }
        true
    }

    /// Closes it, and waits until the node has closed it too.
    pub async fn close(mut self) {
        // One that is gone already is as good as closed.
        let _ = self.sink.send(Message::Close(None)).await;
        let _ = timeout(CONNECT, self.heard.wait_for(|heard| heard.ended)).await;
    }
}

async fn read(mut stream: SplitStream<Wire>, heard: watch::Sender<Heard>) {
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Text(text) => {
                let Ok(reply) = serde_json::from_str::<Reply>(&text) else { continue };
                heard.send_modify(|heard| match reply.kind.as_str() {
                    "ack" if reply.message.is_none() => heard.acks += 1,
                    kind if answers(kind) => heard.said += 1,
                    _ => {}
                });
            }
            Message::Pong(_) => heard.send_modify(|heard| heard.pongs += 1),
            _ => {}
        }
    }
    heard.send_modify(|heard| heard.ended = true);
}
