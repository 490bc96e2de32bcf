//! What sockets hold together is bounded: large frames wait for each other, replies nobody reads cost those who hold
//! most.

use crate::speaking::{Client, Server, ack, limits, put};
use futures_util::SinkExt;
use honeygraph::feed::limits::Limits;
use serde_json::json;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// Room for one frame of this many bytes at a time.
const LARGE: usize = 100 << 10;

fn one_at_a_time() -> Limits {
    Limits { frames: LARGE * 4 + 8192, frame: Duration::from_secs(2), ..limits() }
}

/// A large put, alone in its frame.
fn large() -> String {
    json!({"type":"put","index":0,"blockNum":1,"forkHash":"QmA","path":["a"],"data":"x".repeat(LARGE)}).to_string()
}

async fn identified(server: &Server) -> Client {
    let mut client = server.connect("/ws").await;
    client.hear().await;
    client.identify("DLUX", None).await;
    client.hear().await;
    client
}

/// The beginning of a frame that never ends.
async fn begin(client: &mut Client) {
    let MaybeTlsStream::Plain(socket) = client.0.get_mut() else { panic!() };
    let mut bytes = vec![0x81, 0xff];
    bytes.extend((LARGE as u64).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([b' '; 50_000]);
    socket.write_all(&bytes).await.unwrap();
}

/// Planted once: permits that are not waited for; a deadline that is never looked at.
#[tokio::test]
async fn large_frames_wait_for_room_and_who_holds_it_too_long_is_closed() {
    let server = Server::start(one_at_a_time()).await;
    let mut slow = identified(&server).await;
    begin(&mut slow).await;
    server.frames_taken().await;
    let mut waits = identified(&server).await;
    waits.send_text(large()).await;
    waits.send(&json!({"type":"write_marker","index":1,"blockNum":1})).await;
    // Small frames need no room.
    let mut small = identified(&server).await;
    for at in 0..20 {
        small.batch(at * 20..at * 20 + 3).await;
        for index in 0..3 {
            assert_eq!(small.hear().await, ack(at * 20 + index));
        }
    }
    assert_eq!(waits.hear().await, ack(0));
    assert_eq!(server.counters.slow.load(Relaxed), 1, "the slow one held all the room");
    assert_eq!(slow.closed().await.0, 1008);
}

#[tokio::test]
async fn room_comes_back_however_a_large_frame_ends() {
    let server = Server::start(one_at_a_time()).await;
    let nonsense = "{".repeat(LARGE);
    for round in 0..20 {
        let mut client = identified(&server).await;
        match round % 4 {
            0 => begin(&mut client).await,
            1 => client.send_text(nonsense.clone()).await,
            2 => client.send_text(large()).await,
            _ => {
                client.send_text(large()).await;
                client.send_text("\"W\"").await;
                assert_eq!(client.hear().await, ack(0));
            }
        }
    }
    assert_eq!(server.counters.slow.load(Relaxed), 0);
}

/// Planted once: pongs that are not counted.
#[tokio::test]
async fn pings_whose_answers_are_not_read_close_the_socket() {
    let server = Server::start(limits()).await;
    let mut client = server.connect("/ws").await;
    let ping = Message::Ping(Bytes::from_static(&[7; 125]));
    while client.0.feed(ping.clone()).await.is_ok() {}
    server.count("unread", 1).await;
}

/// Planted once: a sum that nobody looks at.
#[tokio::test]
async fn replies_that_wait_on_many_sockets_are_bounded_together() {
    let replies = 1 << 20;
    let patient = Duration::from_secs(3_600);
    let server = Server::start(Limits { replies, stuck: patient, frame: Duration::from_secs(2), ..limits() }).await;
    let operations: Vec<_> = (0..2_000).map(put).collect();
    let batch = json!({"type":"batch","operations":operations}).to_string();
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(identified(&server).await);
    }
    let mut reads = identified(&server).await;
    let mut most = 0;
    while server.counters.unread.load(Relaxed) == 0 {
        for client in &mut sockets {
            // Gone already, or pushed back: the others go on.
            let sending = async {
                client.0.send(Message::Text(batch.clone().into())).await?;
                client.0.send(Message::Text(r#""W""#.into())).await
            };
            let _ = tokio::time::timeout(Duration::from_millis(200), sending).await;
        }
        most = most.max(server.budget.replies());
    }
    reads.batch(0..3).await;
    for index in 0..3 {
        assert_eq!(reads.hear().await, ack(index), "who reads is not meant");
    }
    assert!(most < 2 * replies, "{most}");
}
