//! The recorded sessions again, against a whole node: its own core, journal and state.

use crate::fixtures::{cases, play};
use crate::speaking::{Client, PATIENCE, ack};
use honeygraph::config::Config;
use honeygraph::data_dir::{Endpoints, endpoints_path};
use honeygraph::node;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A node in this process.
struct Node {
    _dir: TempDir,
    endpoints: Endpoints,
    stop: CancellationToken,
    running: JoinHandle<Result<(), node::NodeError>>,
}

impl Node {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (config, stop) = (Config::for_test(dir.path()), CancellationToken::new());
        let running = tokio::spawn(node::run(config, stop.clone(), |_| {}));
        let endpoints = tokio::time::timeout(PATIENCE, endpoints(dir.path())).await.expect("the node never listens");
        Self { _dir: dir, endpoints, stop, running }
    }

    async fn connect(&self, path: &str) -> Client {
        Client(tokio_tungstenite::connect_async(format!("{}{path}", self.endpoints.feed)).await.unwrap().0)
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }
}

async fn endpoints(dir: &std::path::Path) -> Endpoints {
    loop {
        let written = std::fs::read_to_string(endpoints_path(dir)).ok();
        if let Some(endpoints) = written.and_then(|text| serde_json::from_str(&text).ok()) {
            return endpoints;
        }
        tokio::time::sleep(Duration::from_millis(5)).await; // polls for a file
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_sessions_are_answered_the_same_by_a_node() {
    for (path, case) in cases() {
        let node = Node::start().await;
        let mut client = node.connect(&path).await;
        play(&mut client, &case, true).await;
        drop(client);
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_index_is_the_durable_one() {
    let node = Node::start().await;
    let mut client = node.connect("/ws").await;
    client.hear().await;
    client.send(&json!({"type":"fork_start","forkHash":"QmA","blockNum":1})).await;
    client.batch(0..3).await;
    client.send(&json!({"type":"put","index":4,"blockNum":1,"path":["a"],"data":1})).await;
    client.send(&json!({"type":"sync_status","lastIndex":4})).await;
    for index in 0..3 {
        assert_eq!(client.hear().await, ack(index));
    }
    assert_eq!(client.hear().await, json!({"type":"sync_status","lastIndex":3,"status":"synced"}));
    drop(client);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_checkpoint_message_is_acked_on_ws_only() {
    let node = Node::start().await;
    let checkpoint = json!({"type":"checkpoint","blockNum":101,"hash":"QmB","lastOpIndex":3});
    for (path, acks) in [("/ws", vec![json!({"type":"ack","success":true})]), ("/fork-stream", vec![])] {
        let mut client = node.connect(path).await;
        client.hear().await;
        client.send(&checkpoint).await;
        let said: Vec<Value> = client.barrier().await;
        assert_eq!(said, acks, "{path}");
    }
    node.stop().await;
}
