//! A subscriber of the stream: it folds what it hears.

use crate::client::get;
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// An open stream.
pub enum Stream {
    Events(Incoming, String),
    Socket(Box<WebSocketStream<TcpStream>>),
}

/// An event and, of one that came as Server-Sent Event, the id it came with.
pub type Heard = (Value, String);

impl Stream {
    /// Opens one; `socket` for a WebSocket. With `last` the cursor stands in `Last-Event-ID`.
    pub async fn open(at: SocketAddr, query: &str, socket: bool, last: Option<&str>) -> Self {
        let connection = TcpStream::connect(at).await.unwrap();
        let target = format!("/api/stream?{query}");
        if socket {
            let (socket, _) = client_async(format!("ws://{at}{target}"), connection).await.unwrap();
            return Self::Socket(Box::new(socket));
        }
        let (mut send, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await.unwrap();
        tokio::spawn(driver);
        let mut request = hyper::Request::get(target).header("host", "x");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = send.send_request(request.body(http_body_util::Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream", "{answer:?}");
        Self::Events(answer.into_body(), String::new())
    }

    /// The next event; none when the node has ended it.
    pub async fn next(&mut self) -> Option<Heard> {
        match self {
            Self::Events(body, text) => loop {
                if let Some((event, rest)) = text.split_once("\n\n") {
                    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
                    let (id, data) = (field("id: "), serde_json::from_str::<Value>(&field("data: ")).unwrap());
                    assert_eq!(data["event"], field("event: "));
                    *text = rest.to_owned();
                    return Some((data, id));
                }
                let frame = body.frame().await?.ok()?.into_data().unwrap();
                text.push_str(std::str::from_utf8(&frame).unwrap());
            },
            Self::Socket(socket) => loop {
                match socket.next().await?.ok()? {
                    Message::Text(text) => {
                        let data: Value = serde_json::from_str(&text).unwrap();
                        let cursor = data["cursor"].as_str().unwrap().to_owned();
                        return Some((data, cursor));
                    }
                    Message::Close(_) => return None,
                    _ => {}
                }
            },
        }
    }

    /// Says something on a WebSocket.
    pub async fn say(&mut self, message: Message) {
        let Self::Socket(socket) = self else { panic!("a WebSocket") };
        socket.send(message).await.unwrap();
    }

    /// The next message of a WebSocket that is no text.
    pub async fn other(&mut self) -> Message {
        let Self::Socket(socket) = self else { panic!("a WebSocket") };
        loop {
            match socket.next().await.unwrap().unwrap() {
                Message::Text(_) => {}
                other => return other,
            }
        }
    }
}

/// Leaves by path, as JSON text.
pub type Leaves = BTreeMap<String, Value>;

/// What a read says is at and below a prefix.
pub async fn leaves(at: SocketAddr, prefix: &str, point: &str) -> Leaves {
    let answer = get(at, &format!("/api/query/path?form=leaves&limit=10000&path={prefix}{point}")).await;
    let absent = answer.status == 404 && answer.body["batch"].is_string();
    assert!(answer.status == 200 || absent, "{point}: {}", answer.text);
    let pairs = answer.body["data"].as_array().cloned().unwrap_or_default();
    pairs.into_iter().map(|pair| (pair[0].to_string(), pair[1].clone())).collect()
}

/// Folds events.
pub struct Folder {
    pub prefix: &'static str,
    pub socket: bool,
    pub cursor: Option<String>,
    /// Batches heard of since the last reset, with the leaves there.
    pub log: Vec<(Value, Leaves)>,
    /// How many of each event came.
    pub seen: BTreeMap<String, usize>,
}

impl Folder {
    pub fn new(prefix: &'static str, socket: bool) -> Self {
        Self { prefix, socket, cursor: None, log: Vec::new(), seen: BTreeMap::new() }
    }

    /// Connects where it was.
    pub async fn open(&self, at: SocketAddr) -> Stream {
        let cursor = self.cursor.as_deref().unwrap_or_default();
        let query = format!("prefix={}&cursor={}", self.prefix, if self.socket { cursor } else { "" });
        Stream::open(at, &query, self.socket, self.cursor.as_deref()).await
    }

    pub fn leaves(&self) -> Leaves {
        self.log.last().map(|(_, leaves)| leaves.clone()).unwrap_or_default()
    }

    /// Takes an event that came from this node.
    pub async fn take(&mut self, at: SocketAddr, (event, cursor): Heard) {
        let name = event["event"].as_str().unwrap().to_owned();
        match name.as_str() {
            "reset" => self.log = vec![self.read(at, &event["batch"]).await],
            "undo" => {
                let to = &event["batch"];
                match self.log.iter().rposition(|(batch, _)| batch == to) {
                    Some(kept) => self.log.truncate(kept + 1),
                    // It lies before what this folder has kept.
                    None => self.log = vec![self.read(at, to).await],
                }
            }
            "new" => {
                let mut leaves = self.leaves();
                for pair in event["put"].as_array().unwrap() {
                    leaves.insert(pair[0].to_string(), pair[1].clone());
                }
                for path in event["removed"].as_array().unwrap() {
                    leaves.remove(&path.to_string());
                }
                self.log.push((event["batch"].clone(), leaves));
            }
            _ => {}
        }
        *self.seen.entry(name).or_default() += 1;
        self.cursor = Some(cursor);
    }

    async fn read(&self, at: SocketAddr, batch: &Value) -> (Value, Leaves) {
        match batch.as_str() {
            Some(id) => (batch.clone(), leaves(at, self.prefix, &format!("&batch={id}")).await),
            None => (Value::Null, Leaves::new()),
        }
    }
}
