//! The live feed against a small node that acknowledges, forgets, closes and asks again.

use futures_util::{SinkExt, StreamExt};
use honeygraph_testnet::STILL;
use honeygraph_testnet::honeycomb::live::{Pace, Report, feed};
use honeygraph_testnet::honeycomb::{Config, Fault, Honeycomb, Keep, Profile};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

/// How the node behaves.
#[derive(Clone, Copy, Default)]
struct Manners {
    /// Closes the first socket after so many ops, forgetting those it had not acknowledged.
    close_after: Option<usize>,
    /// Acknowledges nothing.
    mute: bool,
}

/// What the node saw, over all sockets.
#[derive(Default)]
struct Seen {
    hellos: Vec<u64>,
    kinds: BTreeMap<String, usize>,
    sockets: usize,
}

struct Node {
    url: String,
    seen: Arc<Mutex<Seen>>,
}

async fn node(manners: Manners) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = seen.clone();
    tokio::spawn(async move {
        // Ops without a gap so far; a hole is asked for until it is filled.
        let mut next = 0;
        while let Ok((stream, _)) = listener.accept().await {
            shared.lock().unwrap().sockets += 1;
            let first = shared.lock().unwrap().sockets == 1;
            let manners = Manners { close_after: manners.close_after.filter(|_| first), ..manners };
            stream.set_nodelay(true).unwrap();
            serve(accept_async(stream).await.unwrap(), manners, &shared, &mut next).await;
        }
    });
    Node { url, seen }
}

/// Acknowledges each batch at its marker, and at once what it asked for. `next` is the index expected in the open period: what lies between it and
/// a higher index that arrives is asked for once per socket.
async fn serve(mut socket: WebSocketStream<TcpStream>, manners: Manners, seen: &Mutex<Seen>, next: &mut u64) {
    let (mut open, mut ops, mut asked) = (Vec::new(), 0, None);
    socket.send(Message::text(r#"{"type":"connected","nodeId":"n","timestamp":1}"#)).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let value: Value = serde_json::from_str(&text).unwrap();
        let kind = value["type"].as_str().unwrap().to_owned();
        *seen.lock().unwrap().kinds.entry(kind.clone()).or_default() += 1;
        let items = match kind.as_str() {
            "batch" => value["operations"].as_array().unwrap().clone(),
            "put" | "del" | "write_marker" => vec![value],
            "sync_status" => {
                let last = value["lastIndex"].as_u64().unwrap();
                seen.lock().unwrap().hellos.push(last);
                socket
                    .send(Message::text(
                        json!({ "type": "sync_status", "lastIndex": 0, "status": "synced" }).to_string(),
                    ))
                    .await
                    .unwrap();
                if last >= *next && last > 0 {
                    let question = json!({ "type": "request_missing", "from": *next, "to": last });
                    socket.send(Message::text(question.to_string())).await.unwrap();
                    asked = Some(last);
                }
                continue;
            }
            _ => continue,
        };
        let is_answer = asked.is_some_and(|to| items.last().unwrap()["index"].as_u64().unwrap() <= to);
        // The first op whose acknowledgement has not left: all from there on is forgotten by a close.
        let unsaid = open.first().copied().or_else(|| items[0]["index"].as_u64()).unwrap();
        let mut replies = Vec::new();
        for item in items {
            let index = item["index"].as_u64().unwrap();
            let marker = item["type"] == "write_marker" || item["opType"] == "write_marker";
            if index > *next && asked.is_none() {
                asked = Some(index - 1);
                replies.push(json!({ "type": "request_missing", "from": *next, "to": index - 1 }));
            }
            *next = index + 1;
            if !marker {
                open.push(index);
                ops += 1;
            }
            // The marker behind the last op of an answer may have come before the answer: an answer is not held back.
            if marker || is_answer {
                replies
                    .extend(open.drain(..).map(|index: u64| json!({ "type": "ack", "index": index, "success": true })));
            }
            if manners.close_after.is_some_and(|after| ops >= after) {
                *next = unsaid;
                return;
            }
        }
        if !manners.mute {
            for reply in replies {
                socket.feed(Message::text(reply.to_string())).await.unwrap();
            }
            socket.flush().await.unwrap();
        }
    }
}

fn quick(url: &str, ops: u64) -> Pace {
    Pace {
        ops,
        reconnect: Duration::from_millis(5),
        reconnect_max: Duration::from_millis(20),
        patience: STILL,
        ..Pace::new(url)
    }
}

async fn run(config: Config, pace: Pace) -> (Honeycomb, Report) {
    feed(Honeycomb::new(config).unwrap(), pace, std::future::pending(), |_| {}).await
}

#[tokio::test]
async fn every_op_is_acknowledged_in_each_profile() {
    for profile in [Profile::Published, Profile::Seed, Profile::Ideal] {
        let node = node(Manners::default()).await;
        let (honeycomb, report) = run(Config::new(profile, 3).small(10, 4), quick(&node.url, 3000)).await;
        assert!(report.complete && report.unacked == 0 && report.stray_acks == 0, "{profile:?}: {report:?}");
        assert_eq!(report.acked, honeycomb.written());
        assert!(report.acked >= 3000 && report.connections == 1 && report.checkpoints > 3);
        let seen = node.seen.lock().unwrap();
        assert_eq!(seen.hellos, [0]);
        assert_eq!(seen.kinds.contains_key("batch"), profile == Profile::Published);
        assert_eq!(seen.kinds.contains_key("fork_start"), profile != Profile::Published);
    }
}

#[tokio::test]
async fn a_rate_is_kept_and_frames_are_mixed() {
    let node = node(Manners::default()).await;
    let pace = Pace { rate: 400.0, ..quick(&node.url, 240) };
    let (_, report) = run(Config::published(4).small(10, 4), pace).await;
    assert!(report.complete, "{report:?}");
    assert!(report.seconds > 0.3, "240 ops at 400 a second in {} s", report.seconds);
    let seen = node.seen.lock().unwrap();
    assert!(seen.kinds["batch"] > 0 && seen.kinds["put"] > 0, "{:?}", seen.kinds);
}

#[tokio::test]
async fn a_lost_socket_is_opened_again_and_what_is_asked_for_is_sent_again() {
    let node = node(Manners { close_after: Some(40), ..Manners::default() }).await;
    let config = Config {
        checkpoint_every: 1000,
        root_interval: 10_000,
        root_offset: 5,
        first_block: 20_001,
        ..Config::published(4).small(10, 4)
    };
    let (_, report) = run(config, quick(&node.url, 400)).await;
    assert!(report.complete && report.unacked == 0, "{report:?}");
    assert!(report.connections >= 2 && report.asked >= 1);
    let hellos = node.seen.lock().unwrap().hellos.clone();
    assert!(hellos[1] > 0, "the second hello names the last index sent: {hellos:?}");
}

#[tokio::test]
async fn a_restart_and_a_disconnect_open_new_sockets() {
    let node = node(Manners::default()).await;
    let faults = vec![Fault::Restart { blocks: 30, back: 1 }, Fault::Disconnect { op: 20 }];
    let config = Config { faults, keep: Keep::Day, ..Config::published(4).small(10, 12) };
    let pace = Pace { rate: 5000.0, pause: Duration::from_millis(1), ..quick(&node.url, 500) };
    let (_, report) = run(config, pace).await;
    assert_eq!((report.connections, report.complete), (3, true), "{report:?}");
    let hellos = node.seen.lock().unwrap().hellos.clone();
    assert!(hellos[0] == 0 && hellos[1] > 0 && hellos[2] == 0, "{hellos:?}");
}

#[tokio::test]
async fn a_node_that_never_acknowledges_ends_patience() {
    let node = node(Manners { mute: true, ..Manners::default() }).await;
    let pace = Pace { patience: Duration::from_millis(300), ..quick(&node.url, 100) };
    let (_, report) = run(Config::published(4).small(10, 4), pace).await;
    assert!(!report.complete && report.acked == 0 && report.unacked >= 100);
}

#[tokio::test]
async fn a_stop_ends_the_writing_and_waits_for_the_rest() {
    let node = node(Manners::default()).await;
    let honeycomb = Honeycomb::new(Config::published(4).small(10, 4)).unwrap();
    let (told, stop) = tokio::sync::oneshot::channel::<()>();
    let mut told = Some(told);
    let pace = Pace { rate: 3000.0, ..quick(&node.url, 0) };
    let tell = move |report: &Report| {
        if report.acked > 50 {
            told.take();
        }
    };
    let (honeycomb, report) = feed(honeycomb, pace, async { drop(stop.await) }, tell).await;
    assert!(report.complete && report.unacked == 0 && report.acked == honeycomb.written(), "{report:?}");
}

fn command(url: &str, more: &[&str]) -> std::process::Output {
    let base = ["feed", "--url", url, "--ops", "300", "--checkpoint-every", "10", "--reconnect-ms", "5", "--json"];
    Command::new(env!("CARGO_BIN_EXE_honeygraph-testnet")).args(base).args(more).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_reports_and_its_exit_code_says_whether_all_was_acknowledged() {
    let good = node(Manners::default()).await;
    let output = command(&good.url, &[]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["complete"]), (Some(0), &json!(true)), "{report}");
    assert!(report["acked"].as_u64().unwrap() >= 300);
    let mute = node(Manners { mute: true, ..Manners::default() }).await;
    let output = command(&mute.url, &["--patience", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let nobody = command("ws://127.0.0.1:1/ws", &["--patience", "1"]);
    let report: Value = serde_json::from_slice(&nobody.stdout).unwrap();
    assert!(nobody.status.code() == Some(1) && report["last_error"].is_string(), "{report}");
    assert_eq!(command(&good.url, &["--checkpoint-every", "3"]).status.code(), Some(2));
    assert_eq!(command(&good.url, &["--fault", "fire"]).status.code(), Some(2));
}
