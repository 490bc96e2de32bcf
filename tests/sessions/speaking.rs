//! A feed server on a free port, and clients that speak to it.

use crate::core::{self, Hold};
use futures_util::{SinkExt, StreamExt};
use honeygraph::access::Access;
use honeygraph::feed::budget::Budget;
use honeygraph::feed::counters::Counters;
use honeygraph::feed::limits::Limits;
use honeygraph::feed::networks::{Networks, Port};
use honeygraph::feed::session::Surroundings;
use honeygraph::feed::upgrade::Feeds;
use honeygraph::web::listen::{self, Listener};
use honeygraph::web::who::Entrance;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

/// Nothing in these tests takes long; what does not come within this does not come.
pub const PATIENCE: Duration = honeygraph_testnet::STILL;

/// A feed server with three networks.
pub struct Server {
    pub at: SocketAddr,
    pub cores: BTreeMap<String, Hold>,
    pub counters: Arc<Counters>,
    pub feeds: Arc<Feeds>,
    pub budget: Arc<Budget>,
    /// Room for frames at the start.
    free: usize,
    pub stop: CancellationToken,
}

/// Limits small enough to be reached in a test.
pub fn limits() -> Limits {
    Limits {
        before_identify: 64 << 10,
        after_identify: 1 << 20,
        unread: 256 << 10,
        stuck: Duration::from_millis(200),
        frames: 8 << 20,
        replies: 64 << 20,
        frame: Duration::from_secs(10),
        ping: Duration::from_secs(30),
        prove: Duration::from_secs(60),
        leave: Duration::from_secs(5),
        linger: Duration::from_secs(2),
    }
}

impl Server {
    pub async fn start(limits: Limits) -> Self {
        Self::guarded(limits, Access::default()).await
    }

    /// The same, with these rules about who may feed.
    pub async fn guarded(limits: Limits, access: Access) -> Self {
        let access = Arc::new(access);
        let mut cores = BTreeMap::new();
        let mut ports = BTreeMap::new();
        for network in ["spkcc_", "spkccT_", "dlux_"] {
            let (to, durable, hold) = core::start();
            ports.insert(network.to_string(), Port::new(to, durable));
            cores.insert(network.to_string(), hold);
        }
        let tokens = [("SPK", "spkcc_"), ("LARYNX", "spkcc_"), ("BROCA", "spkcc_"), ("DLUX", "dlux_")];
        let tokens = tokens.map(|(token, network)| (token.to_string(), network.to_string())).into();
        let networks = Arc::new(Networks::new("dlux_", ports, tokens).unwrap());
        let (counters, stop) = (Arc::new(Counters::default()), CancellationToken::new());
        let budget = Budget::new(&limits);
        let around = Surroundings {
            networks,
            counters: Arc::clone(&counters),
            limits,
            budget: budget.clone(),
            access,
            stop: stop.clone(),
        };
        let feeds = Feeds::new(around);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(listen::serve(Listener::Tcp(listener), feeds.feed_routes(), Entrance::Public, stop.clone()));
        let free = budget.frames_free();
        Self { at, cores, counters, feeds, budget, free, stop }
    }

    pub fn core(&self, network: &str) -> &Hold {
        &self.cores[network]
    }

    pub async fn connect(&self, path: &str) -> Client {
        self.connect_with(path, &[]).await
    }

    pub async fn connect_with(&self, path: &str, headers: &[(&'static str, &str)]) -> Client {
        let mut request = format!("ws://{}{path}", self.at).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        Client(tokio_tungstenite::connect_async(request).await.unwrap().0)
    }

    /// Waits until a counter reaches a value.
    pub async fn count(&self, name: &str, at_least: u64) {
        let reached = async {
            while self.counters.list().find(|(its, _)| *its == name).unwrap().1 < at_least {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{name} never reached {at_least}"));
    }

    /// Waits until a large frame has taken room.
    pub async fn frames_taken(&self) {
        let taken = async {
            while self.budget.frames_free() >= self.free {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, taken).await.expect("no frame took room");
    }

    pub fn errors(&self) -> u64 {
        self.counters.errors.load(Relaxed)
    }
}

/// A WebSocket client.
pub struct Client(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub async fn send(&mut self, message: &Value) {
        self.send_text(message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.0.send(Message::Text(text.into().into())).await.unwrap();
    }

    /// The next message of the server.
    pub async fn hear(&mut self) -> Value {
        loop {
            match self.next().await {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The first message of the server, or the code with which it closes instead.
    pub async fn first(&mut self) -> Result<Value, u16> {
        match self.next().await {
            Message::Text(text) => Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => Err(frame.map_or(0, |frame| frame.code.into())),
            other => panic!("{other:?}"),
        }
    }

    /// The code with which the server closes, and what it said before.
    pub async fn closed(&mut self) -> (u16, Vec<Value>) {
        let mut said = Vec::new();
        loop {
            match self.next().await {
                Message::Close(frame) => return (frame.map_or(0, |frame| frame.code.into()), said),
                Message::Text(text) => said.push(serde_json::from_str(&text).unwrap()),
                _ => {}
            }
        }
    }

    async fn next(&mut self) -> Message {
        let next = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("the server says nothing");
        next.expect("the server hung up without a word").unwrap()
    }

    pub async fn identify(&mut self, token: &str, prefix: Option<&str>) {
        let mut identify = json!({"type":"identify","source":"test","version":"1","token":token});
        if let Some(prefix) = prefix {
            identify["prefix"] = prefix.into();
        }
        self.send(&identify).await;
    }

    /// Everything said up to now, markers of the end not included.
    pub async fn barrier(&mut self) -> Vec<Value> {
        self.send(&json!({"type":"sync_status","lastIndex":0})).await;
        let mut said = Vec::new();
        loop {
            let next = self.hear().await;
            if next["type"] == "sync_status" {
                return said;
            }
            said.push(next);
        }
    }

    /// Sends a batch of puts with these indexes, and its marker.
    pub async fn batch(&mut self, indexes: std::ops::Range<u64>) {
        for index in indexes.clone() {
            self.send(&put(index)).await;
        }
        self.send(&json!({"type":"write_marker","index":indexes.end,"blockNum":1})).await;
    }
}

pub fn put(index: u64) -> Value {
    json!({"type":"put","index":index,"blockNum":1,"forkHash":"QmA","path":["balances","alice"],"data":index})
}

pub fn ack(index: u64) -> Value {
    json!({"type":"ack","index":index,"success":true})
}

/// [`limits`] with another heartbeat.
pub fn limits_with_ping(ping: Duration) -> Limits {
    Limits { ping, ..limits() }
}
