//! A node on the public internet: strangers with broken frames, floods, wrong signatures, connections that say nothing and
//! readers that take nothing, beside one honest feed, which must lose nothing.
//!
//! Short here; with `HONEYGRAPH_SOAK` two minutes on one core with 5,000 connections, and the honest feed's acks in time.

use futures_util::{SinkExt, StreamExt};
use honeygraph_testnet::STILL;
use honeygraph_testnet::hive::Signer;
use honeygraph_testnet::measure::{Percentiles, ms};
use honeygraph_testnet::process::{Launch, Node};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;

/// Ops of a batch, its marker not counted.
const BATCH: u64 = 10;

/// A batch every 10 ms: 1,000 ops a second.
const PACE: Duration = Duration::from_millis(10);

/// Most that the node may ever have resident, in bytes: as in `tests/memory.rs`.
const CEILING: u64 = 500_000_000;

/// Longest that 99 of 100 acks may take in the long run.
const ACK: Duration = Duration::from_millis(250);

struct Size {
    seconds: u64,
    connections: usize,
    long: bool,
}

fn size() -> Size {
    match std::env::var_os("HONEYGRAPH_SOAK") {
        Some(_) => Size { seconds: 120, connections: 5_000, long: true },
        None => Size { seconds: 3, connections: 400, long: false },
    }
}

/// What strangers did.
#[derive(Default)]
struct Deeds {
    floods: AtomicU64,
    limited: AtomicU64,
    broken: AtomicU64,
    refused: AtomicU64,
}

/// Guards against: strangers share the room of feeds (the honest one finds none); no limit on requests.
#[test]
fn an_honest_feed_loses_nothing_among_strangers() {
    let size = size();
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path(), size.long);
    let key = feed_key(folder.path());
    honeygraph::web::listen::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (took, deeds) = runtime.block_on(run(&node, &key, &size));
    let peak = node.process.peak_memory().unwrap_or_default();
    let (floods, limited) = (deeds.floods.load(Relaxed), deeds.limited.load(Relaxed));
    let (broken, refused) = (deeds.broken.load(Relaxed), deeds.refused.load(Relaxed));
    eprintln!(
        "ack p50 {} p99 {} of {}; {floods} requests, {limited} limited; {broken} broken, {refused} refused signatures; peak {} MB",
        ms(took.at(0.5)),
        ms(took.at(0.99)),
        took.count(),
        peak / 1_000_000
    );
    assert!(limited > 0 && broken > 0 && refused > 0, "nobody was hostile: {limited} {broken} {refused}");
    assert!(peak < CEILING, "{peak} bytes");
    if size.long {
        assert!(took.at(0.99) <= ACK, "acks took {}", ms(took.at(0.99)));
    }
    let (_, last) = node.get("/api/query/path/balances/alice?network=dlux_").unwrap();
    let last: Value = serde_json::from_slice(&last).unwrap();
    assert_eq!(last["data"], took.count() as u64 * BATCH - 1, "{last}");
}

fn start(folder: &std::path::Path, one_core: bool) -> Node {
    let keys = folder.join("accounts.json");
    std::fs::write(&keys, json!({"alice": {"active": [Signer::new("alice").key()]}}).to_string()).unwrap();
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.join("data"))
        .env("REQUIRE_HIVE_AUTH", "true")
        .env("AUTHORIZED_HONEYCOMB_NODES", "alice")
        .env("HONEYGRAPH_ACCOUNT_KEYS", keys.to_str().unwrap())
        // Strangers come through a proxy of ours: so each has an address.
        .env("HONEYGRAPH_TRUSTED_PROXIES", "127.0.0.1")
        .env("HONEYGRAPH_LIMITS_PER_ADDRESS", "600");
    // A child has its parent's cores.
    let all = rustix::thread::sched_getaffinity(None).unwrap();
    if one_core {
        let mut one = rustix::thread::CpuSet::new();
        one.set(0);
        rustix::thread::sched_setaffinity(None, &one).unwrap();
    }
    let node = launch.start().unwrap();
    rustix::thread::sched_setaffinity(None, &all).unwrap();
    node
}

fn feed_key(folder: &std::path::Path) -> String {
    let launch = Launch::new(env!("CARGO_BIN_EXE_honeygraph"), folder.join("data"));
    let create = ["keys", "create", "--name", "honest", "--scope", "feed", "--account", "alice", "--json"];
    let (status, said) = launch.command(&create).unwrap();
    assert!(status.success(), "{said}");
    serde_json::from_str::<Value>(&said).unwrap()["key"].as_str().unwrap().to_owned()
}

async fn run(node: &Node, key: &str, size: &Size) -> (Percentiles, Arc<Deeds>) {
    let (api, feed) = (node.api_address().parse().unwrap(), node.endpoints.feed.clone());
    let (deeds, stop) = (Arc::new(Deeds::default()), CancellationToken::new());
    let mut strangers = JoinSet::new();
    let feed_at: SocketAddr = feed.trim_start_matches("ws://").parse().unwrap();
    for n in 0..size.connections {
        strangers.spawn(until(stop.clone(), silent(if n % 2 == 0 { api } else { feed_at }, n)));
    }
    for n in 0..8 {
        strangers.spawn(until(stop.clone(), flood(api, n, deeds.clone())));
        strangers.spawn(until(stop.clone(), broken(feed_at, n, deeds.clone())));
        strangers.spawn(until(stop.clone(), forged(feed.clone(), n, deeds.clone())));
        strangers.spawn(until(stop.clone(), greedy(api)));
    }
    let took = honest(&feed, key, size.seconds * 1000 / PACE.as_millis() as u64).await;
    stop.cancel();
    while strangers.join_next().await.is_some() {}
    (took, deeds)
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Says the beginning of a request, and nothing more; comes back when it is sent away.
async fn silent(at: SocketAddr, n: usize) {
    loop {
        if let Ok(mut socket) = TcpStream::connect(at).await {
            let _ = socket.write_all(&b"GET /api/status HTTP/1.1\r\nhost: x\r\n"[..n % 36]).await;
            let _ = socket.read(&mut [0; 16]).await;
        }
        tokio::task::yield_now().await;
    }
}

/// Asks as fast as it is answered.
async fn flood(at: SocketAddr, n: u8, deeds: Arc<Deeds>) {
    loop {
        let Ok(mut socket) = TcpStream::connect(at).await else { continue };
        let request = format!("GET /api/status HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.{n}\r\n\r\n");
        let mut answer = [0; 16 * 1024];
        while socket.write_all(request.as_bytes()).await.is_ok() {
            let Ok(read @ 1..) = socket.read(&mut answer).await else { break };
            deeds.floods.fetch_add(1, Relaxed);
            deeds.limited.fetch_add(u64::from(answer[..read].starts_with(b"HTTP/1.1 429")), Relaxed);
        }
    }
}

/// Becomes a WebSocket and says what is no frame.
async fn broken(at: SocketAddr, n: u8, deeds: Arc<Deeds>) {
    let upgrade = format!(
        "GET /fork-stream HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.114.{n}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: aG9uZXlncmFwaHRlc3RuZQ==\r\n\r\n"
    );
    loop {
        let Ok(mut socket) = TcpStream::connect(at).await else { continue };
        // A whole frame of a kind that there is not: masked, empty.
        let _ = socket.write_all(&[upgrade.as_bytes(), &[0x83, 0x80, 0, 0, 0, 0]].concat()).await;
        let _ = socket.read_to_end(&mut Vec::new()).await;
        deeds.broken.fetch_add(1, Relaxed);
    }
}

/// Answers every challenge with signatures of another key.
async fn forged(feed: String, n: u8, deeds: Arc<Deeds>) {
    let mallory = Signer::new("mallory");
    loop {
        let mut request = format!("{feed}/fork-stream").into_client_request().unwrap();
        request.headers_mut().insert("x-forwarded-for", format!("203.0.115.{n}").parse().unwrap());
        let Ok((mut socket, _)) = tokio_tungstenite::connect_async(request).await else { continue };
        let Some(Ok(Message::Text(required))) = socket.next().await else { continue };
        let Ok(required) = serde_json::from_str(&required) else { continue };
        let answer = mallory.answer("alice", &required).to_string();
        while socket.send(Message::text(answer.clone())).await.is_ok() {
            let Some(Ok(Message::Text(said))) = socket.next().await else { break };
            assert!(said.contains("Invalid signature"), "{said}");
            deeds.refused.fetch_add(1, Relaxed);
        }
    }
}

/// Asks for everything and reads nothing.
async fn greedy(at: SocketAddr) {
    let mut held = Vec::new();
    for _ in 0..16 {
        if let Ok(mut socket) = TcpStream::connect(at).await {
            let request = b"GET /namespaces/dlux_/export HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.116.1\r\n\r\n";
            let _ = socket.write_all(request).await;
            held.push(socket);
        }
    }
    std::future::pending::<()>().await;
}

/// Feeds at its pace; how long each batch took until its last op was acknowledged.
async fn honest(feed: &str, key: &str, batches: u64) -> Percentiles {
    let mut request = format!("{feed}/ws").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let (mut to, mut from) = socket.split();
    to.send(Message::text(json!({"type":"identify","source":"honest","token":"DLUX"}).to_string())).await.unwrap();
    let (sent, mut marked) = tokio::sync::mpsc::channel(batches as usize);
    let speaking = async move {
        let mut pace = tokio::time::interval(PACE);
        for batch in 0..batches {
            pace.tick().await;
            for n in 0..BATCH {
                let (index, data) = (batch * (BATCH + 1) + n, batch * BATCH + n);
                let put = json!({"type":"put","index":index,"blockNum":101,"forkHash":"QmA","path":["balances","alice"],"data":data});
                to.feed(Message::text(put.to_string())).await.unwrap();
            }
            let index = batch * (BATCH + 1) + BATCH;
            let marker = json!({"type":"write_marker","index":index,"blockNum":101,"forkHash":"QmA"});
            to.send(Message::text(marker.to_string())).await.unwrap();
            sent.send(Instant::now()).await.unwrap();
        }
        to
    };
    let listening = async move {
        let mut took = Vec::new();
        let mut acks = 0;
        while took.len() < batches as usize {
            let heard = tokio::time::timeout(STILL, from.next()).await.expect("an ack").expect("a socket").unwrap();
            let Message::Text(text) = heard else { continue };
            let said: Value = serde_json::from_str(&text).unwrap();
            assert_ne!(said["type"], "error", "{said}");
            if said["type"] == "ack" && said["index"].is_u64() {
                acks += 1;
                if acks % BATCH == 0 {
                    took.push(marked.recv().await.unwrap().elapsed());
                }
            }
        }
        took
    };
    let (_to, took) = tokio::join!(speaking, listening);
    Percentiles::of(took)
}
