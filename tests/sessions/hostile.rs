//! Feeds that are wrong, rude or dead: each costs a bounded amount, is told so, and harms nobody else.

use crate::core::Mode;
use crate::speaking::{Client, Server, ack, limits, put};
use futures_util::SinkExt;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Bytes, Message};

async fn raw(client: &mut Client, bytes: &[u8]) {
    let MaybeTlsStream::Plain(socket) = client.0.get_mut() else { panic!() };
    socket.write_all(bytes).await.unwrap();
}

#[tokio::test]
async fn the_network_of_a_feed_is_found_by_the_rules() {
    let server = Server::start(limits()).await;
    let cases: [(&str, Option<&str>, Option<(&str, Option<&str>)>, &str, &str); 8] = [
        ("/ws", None, Some(("SPK", None)), "spkcc_", "connected"),
        ("/ws/DLUX", None, Some(("SPK", None)), "dlux_", "connected"),
        ("/ws/DLUX", None, Some(("SPK", Some("spkccT_"))), "spkccT_", "connected"),
        ("/fork-stream", Some("LARYNX"), Some(("DLUX", None)), "spkcc_", "welcome"),
        ("/", None, None, "dlux_", "welcome"),
        ("/ws/spkccT_", None, None, "spkccT_", "connected"),
        ("/honeygraph/ws", None, Some(("BROCA", Some("spkcc_"))), "spkcc_", "connected"),
        ("/fork-stream", Some("SPK"), None, "spkcc_", "welcome"),
    ];
    for (path, header, identify, network, greeting) in cases {
        let headers: Vec<_> = header.iter().map(|token| ("x-token", *token)).collect();
        let mut client = server.connect_with(path, &headers).await;
        assert_eq!(client.hear().await["type"], greeting);
        if let Some((token, prefix)) = identify {
            client.identify(token, prefix).await;
            assert_eq!(client.hear().await, json!({"type":"ack","message":"Identification received","token":token}));
        }
        let before = server.core(network).seen.lock().unwrap().kept.len();
        client.batch(0..2).await;
        assert_eq!((client.hear().await, client.hear().await), (ack(0), ack(1)), "{path}");
        assert_eq!(server.core(network).seen.lock().unwrap().kept.len(), before + 2, "{path}");
    }
    assert_eq!(server.errors(), 0);
}

#[tokio::test]
async fn names_that_are_not_configured_are_told_and_the_next_rule_decides() {
    let server = Server::start(limits()).await;
    let mut client = server.connect("/ws").await;
    client.hear().await;
    client.identify("SPK", Some("nope_")).await;
    assert_eq!(client.hear().await["token"], "SPK");
    assert_eq!(client.hear().await, json!({"type":"error","error":"Unknown network prefix: nope_"}));
    client.batch(0..1).await;
    assert_eq!(client.hear().await, ack(0));
    assert_eq!(server.core("spkcc_").seen.lock().unwrap().kept, [Some(0)]);
    client.send(&json!({"type":"identify"})).await;
    assert_eq!(client.hear().await["token"], "DLUX");
}

#[tokio::test]
async fn a_feed_that_changes_its_network_hears_the_old_one_out() {
    let server = Server::start(limits()).await;
    let mut client = server.connect("/ws").await;
    client.hear().await;
    server.core("spkcc_").gate.send_replace(Mode::NotDurable);
    client.identify("SPK", None).await;
    client.batch(0..2).await;
    client.identify("DLUX", None).await;
    client.batch(0..1).await;
    server.core("spkcc_").wait(|seen| seen.kept.len() == 2 && seen.open.is_empty()).await;
    server.core("spkcc_").durable.send_replace(1);
    let mut said = Vec::new();
    for _ in 0..5 {
        said.push(client.hear().await);
    }
    let identified = |token: &str| json!({"type":"ack","message":"Identification received","token":token});
    assert!(said.contains(&identified("SPK")) && said.contains(&identified("DLUX")));
    let acks: Vec<&Value> = said.iter().filter(|said| said.get("index").is_some()).collect();
    assert_eq!(acks, [&ack(0), &ack(1), &ack(0)]);
    assert_eq!(server.core("dlux_").seen.lock().unwrap().kept, [Some(0)]);
}

#[tokio::test]
async fn no_ack_leaves_before_the_journal_is_durable() {
    let server = Server::start(limits()).await;
    let core = server.core("dlux_");
    core.gate.send_replace(Mode::NotDurable);
    let mut client = server.connect("/fork-stream").await;
    client.hear().await;
    client.batch(0..3).await;
    core.wait(|seen| seen.kept.len() == 3).await;
    // The acks have been decided; what is answered at once must not find them on the wire before it.
    for _ in 0..50 {
        client.send_text("nonsense").await;
        assert_eq!(client.hear().await["error"], "Invalid message format", "an ack came before it was durable");
    }
    core.durable.send_replace(1);
    for index in 0..3 {
        assert_eq!(client.hear().await, ack(index));
    }
}

#[tokio::test]
async fn nonsense_is_told_and_the_socket_stays() {
    let server = Server::start(limits()).await;
    let mut client = server.connect("/fork-stream").await;
    client.hear().await;
    let deep = "[".repeat(10_000);
    let nonsense = ["", "W", "{", "null", "7", "\"X\"", "{\"type\":\"put\"", "\u{0}", deep.as_str()];
    for text in nonsense {
        client.send_text(text).await;
        assert_eq!(client.hear().await["type"], "error", "{text:.20}");
    }
    client.0.send(Message::Binary(Bytes::from_static(&[0xff, 0xfe]))).await.unwrap();
    assert_eq!(client.hear().await["type"], "error");
    for silent in ["{}", "[]", r#"{"type":"nope"}"#, r#"{"type":7}"#, r#"{"path":["a"],"data":1}"#] {
        client.send_text(silent).await;
    }
    client.0.send(Message::Binary(put(0).to_string().into())).await.unwrap();
    client.send_text(r#""W""#).await;
    assert_eq!(client.hear().await, ack(0));
    assert!(client.barrier().await.is_empty());
    assert_eq!(server.errors(), nonsense.len() as u64 + 1);
}

#[tokio::test]
async fn odd_values_reach_the_core_or_are_refused_one_by_one() {
    let server = Server::start(limits()).await;
    let mut client = server.connect("/ws").await;
    client.hear().await;
    client.send_text(r#"{"path":["a"],"data":"\ud800","data":"\udfff\u0041"}"#).await;
    client.send_text(r#"{"type":"put","path":"/x/y","data":-0.0}"#).await;
    client.send_text(r#"{"type":"put","path":["n",5],"data":9007199254740993}"#).await;
    client.send_text(r#""W""#).await;
    let bare = json!({"type":"ack","success":true});
    for _ in 0..3 {
        assert_eq!(client.hear().await, bare);
    }
    let texts = server.core("dlux_").seen.lock().unwrap().texts.clone();
    assert_eq!(texts[0], r#"{"data":"\udfffA","path":["a"],"type":"put"}"#);
    assert_eq!(texts[1], r#"{"data":0,"path":["x","y"],"type":"put"}"#);
    client.send_text(r#"{"type":"put","path":7,"data":1e999}"#).await;
    assert_eq!(client.hear().await["type"], "error");
    client.send(&json!({"type":"checkpoint","blockNum":101,"hash":"QmB","lastOpIndex":3})).await;
    assert_eq!(client.hear().await, bare);
}

#[tokio::test]
async fn a_message_above_the_limit_closes_with_1009_and_the_limit_rises_with_identify() {
    let server = Server::start(limits()).await;
    let large = |bytes: usize| json!({"type":"put","index":0,"path":["a"],"data":"x".repeat(bytes)});
    let mut client = server.connect("/ws").await;
    client.hear().await;
    client.send(&large(100 << 10)).await;
    assert_eq!(client.closed().await.0, 1009);
    let mut client = server.connect("/ws").await;
    client.hear().await;
    client.identify("DLUX", None).await;
    client.send(&large(100 << 10)).await;
    client.send_text(r#""W""#).await;
    client.hear().await;
    assert_eq!(client.hear().await, ack(0));
    client.send(&large(2 << 20)).await;
    assert_eq!(client.closed().await.0, 1009);
    server.count("too_large", 2).await;
}

#[tokio::test]
async fn broken_framing_closes_with_its_code() {
    let server = Server::start(limits()).await;
    let mask = [0, 0, 0, 0];
    let frame = |first: u8, payload: &[u8]| {
        let mut frame = vec![first, 0x80 | payload.len() as u8];
        frame.extend(mask);
        frame.extend(payload);
        frame
    };
    let cases = [
        (frame(0x83, b"x"), 1002),            // reserved data opcode
        (frame(0x8b, b"x"), 1002),            // reserved control opcode
        (frame(0xc1, b"{}"), 1002),           // reserved bit
        (frame(0x80, b"x"), 1002),            // continues nothing
        (frame(0x09, b"x"), 1002),            // fragmented ping
        (vec![0x81, 0x02, b'{', b'}'], 1002), // not masked
        (frame(0x81, &[0xff, 0xfe]), 1007),   // not UTF-8
    ];
    for (bytes, code) in cases {
        let mut client = server.connect("/ws").await;
        client.hear().await;
        client.batch(0..1).await;
        assert_eq!(client.hear().await, ack(0));
        raw(&mut client, &bytes).await;
        assert_eq!(client.closed().await.0, code, "{bytes:?}");
    }
    server.core("dlux_").wait(|seen| seen.open.is_empty()).await;
    assert_eq!(server.core("dlux_").seen.lock().unwrap().kept.len(), 7);
}

#[tokio::test]
async fn what_was_said_before_the_socket_broke_is_kept() {
    let server = Server::start(limits()).await;
    for how in 0..3 {
        let mut client = server.connect("/ws").await;
        client.batch(0..100).await;
        match how {
            0 => client.0.close(None).await.unwrap(),
            1 => raw(&mut client, &[0x83, 0x80, 0, 0, 0, 0]).await,
            _ => client.0.get_mut().shutdown().await.unwrap(),
        }
        server.core("dlux_").wait(|seen| seen.kept.len() == 100 * (how + 1) && seen.open.is_empty()).await;
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_its_ops_stay() {
    let server = Server::start(limits()).await;
    let mut client = server.connect("/ws").await;
    client.identify("DLUX", None).await;
    let operations: Vec<Value> =
        (0..5000).map(|index| json!({"index":index,"opType":"put","path":["a"],"data":index})).collect();
    let batch = json!({"type":"batch","operations":operations}).to_string();
    let mut sent = 0;
    loop {
        let sending = async {
            client.0.send(Message::Text(batch.clone().into())).await?;
            client.0.send(Message::Text(r#""W""#.into())).await
        };
        match tokio::time::timeout(Duration::from_secs(20), sending).await.expect("pushed back by replies not read") {
            Ok(()) => sent += 1,
            Err(_) => break,
        }
        assert!(sent < 2000, "never closed");
    }
    server.count("unread", 1).await;
    let core = server.core("dlux_");
    core.wait(|seen| seen.open.is_empty()).await;
    let kept = core.seen.lock().unwrap().kept.len();
    assert!(kept > 0 && kept % 5000 == 0, "{kept}");
    let mut other = server.connect("/ws").await;
    other.hear().await;
    other.batch(0..1).await;
    assert_eq!(other.hear().await, ack(0));
}

#[tokio::test]
async fn errors_that_are_not_read_close_the_socket_too() {
    let server = Server::start(limits()).await;
    let mut client = server.connect("/ws").await;
    let nonsense = Message::Text("x".into());
    while client.0.feed(nonsense.clone()).await.is_ok() {}
    server.count("unread", 1).await;
}

#[tokio::test]
async fn a_stuck_core_stops_the_reading_and_not_the_heart() {
    let quick = Duration::from_millis(250);
    let server = Server::start(crate::speaking::limits_with_ping(quick)).await;
    let core = server.core("dlux_");
    core.gate.send_replace(Mode::Stuck);
    let mut client = server.connect("/ws").await;
    client.identify("DLUX", None).await;
    let (batch, mut sent) = (json!({"type":"batch","operations":[put(1)],"pad":"x".repeat(30_000)}).to_string(), 0);
    // Until TCP pushes back: then the session has stopped reading.
    while tokio::time::timeout(quick * 8, client.send_text(batch.clone())).await.is_ok() {
        sent += 1;
        assert!(sent < 100_000, "never pushed back");
    }
    server.count("pushed_back", 1).await;
    tokio::time::sleep(quick * 6).await; // longer than the silence that ends a feed that is read
    core.gate.send_replace(Mode::Running);
    core.wait(|seen| seen.received >= sent).await;
    assert_eq!(server.counters.list().find(|(name, _)| *name == "silent").unwrap().1, 0);
}

#[tokio::test]
async fn a_silent_socket_is_pinged_and_given_up() {
    let server = Server::start(crate::speaking::limits_with_ping(Duration::from_millis(250))).await;
    let mut alive = server.connect("/ws").await;
    let dead = server.connect("/ws").await;
    let answering = async {
        loop {
            alive.hear().await; // a client that reads answers pings
        }
    };
    tokio::select! {
        () = server.count("silent", 1) => {}
        () = answering => {}
    }
    alive.batch(0..1).await;
    loop {
        if alive.hear().await == ack(0) {
            break;
        }
    }
    drop(dead);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_sockets_do_not_matter() {
    let server = Server::start(limits()).await;
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(server.connect("/ws").await);
    }
    server.count("sockets", 1000).await;
    assert_eq!(server.feeds.open(), 1000);
    let mut client = server.connect("/ws").await;
    client.hear().await;
    client.batch(0..10).await;
    for index in 0..10 {
        assert_eq!(client.hear().await, ack(index));
    }
    drop(idle);
    server.count("closed", 1000).await;
}

#[tokio::test]
async fn a_stop_sends_the_last_acks_and_closes_with_1001() {
    let server = Server::start(limits()).await;
    let mut client = server.connect("/ws").await;
    client.hear().await;
    let core = server.core("dlux_");
    core.gate.send_replace(Mode::NotDurable);
    client.batch(0..3).await;
    core.wait(|seen| seen.kept.len() == 3).await;
    server.stop.cancel();
    core.wait(|seen| seen.open.is_empty()).await;
    core.durable.send_replace(1);
    let (code, said) = client.closed().await;
    assert_eq!((code, said), (1001, vec![ack(0), ack(1), ack(2)]));
    drop(client);
    server.feeds.ended().await;
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_told_so() {
    let server = Server::start(limits()).await;
    let mut socket = tokio::net::TcpStream::connect(server.at).await.unwrap();
    socket.write_all(b"GET /fork-stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut socket, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
    assert!(answer.contains("upgrade_required") && answer.contains("x-request-id"));
}
