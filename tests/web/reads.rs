//! Reads: every point of every fork, what cannot be answered, and how it is said.

use crate::client::{get, send};
use crate::store::{At, Store, serve, told};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Branch 0: `a`, `b` (block 101), `c` (block 201, head). Branch 1 leaves it behind `b`: `d` (block 201).
struct History {
    store: Store,
    a: At,
    b: At,
    c: At,
    d: At,
}

fn history() -> History {
    let mut store = Store::new();
    store.branch(0, None);
    let a = store.batch(
        0,
        None,
        "QmA",
        101,
        &[
            r#"{"data":1,"path":["balances","alice"],"type":"put"}"#,
            r#"{"data":{"5":"text","x":{"y":null,"z":[true,1.5]}},"path":["stats"],"type":"put"}"#,
            r#"{"data":"number","path":["stats",5],"type":"put"}"#,
            r#"{"data":"\ud800","path":["odd","a/b c"],"type":"put"}"#,
            r#"{"data":7,"path":["odd"],"type":"put"}"#,
        ],
    );
    let b = store.batch(
        0,
        Some(a),
        "QmA",
        101,
        &[r#"{"data":2,"path":["balances","bob"],"type":"put"}"#, r#"{"path":["balances","alice"],"type":"del"}"#],
    );
    let c = store.batch(0, Some(b), "QmB", 201, &[r#"{"data":3,"path":["balances","alice"],"type":"put"}"#]);
    store.branch(1, Some(b));
    let d = store.batch(1, Some(b), "QmC", 201, &[r#"{"data":9,"path":["balances","alice"],"type":"put"}"#]);
    History { store, a, b, c, d }
}

async fn data(at: SocketAddr, path: &str) -> Value {
    let answer = get(at, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    for key in ["network", "fork", "batch", "label", "complete", "verified", "final"] {
        assert!(answer.body.get(key).is_some(), "{path} lacks {key}: {}", answer.text);
    }
    answer.body["data"].clone()
}

#[tokio::test]
async fn a_leaf_is_read_at_any_point_of_any_fork() {
    let History { store, a, b, c, d } = history();
    let api = serve(&store).await;
    let alice = "/api/query/path/balances/alice";
    let answer = get(api.at, alice).await;
    let expected = json!({"network":"dlux_","path":"balances/alice","fork":a.id.to_string(),"batch":c.id.to_string(),
        "label":201,"data":3,"complete":false,"verified":false,"final":false});
    assert_eq!((answer.status, answer.body), (200, expected));
    assert!(answer.head.contains("x-request-id"));
    assert_eq!(data(api.at, &format!("{alice}?fork={}", d.id)).await, 9);
    assert_eq!(data(api.at, &format!("{alice}?fork=QmC&network=dlux_")).await, 9);
    assert_eq!(data(api.at, &format!("{alice}?fork={}&block=201", a.id)).await, 3);
    assert_eq!(data(api.at, &format!("{alice}?batch={}", a.id)).await, 1);
    assert_eq!(data(api.at, &format!("{alice}?batch={}", d.id)).await, 9);
    told(&get(api.at, &format!("{alice}?batch={}", b.id)).await, 404, "not_found");
    told(&get(api.at, &format!("{alice}?batch={}&fork={}", d.id, a.id)).await, 404, "not_found");
    assert_eq!(data(api.at, &format!("/api/query/path/balances/bob?block=150&fork={}", d.id)).await, 2);
}

#[tokio::test]
async fn a_subtree_is_an_object_and_leaves_tell_everything() {
    let History { store, c, .. } = history();
    let api = serve(&store).await;
    assert_eq!(data(api.at, "/api/query/path/balances").await, json!({"alice":3,"bob":2}));
    let stats = get(api.at, "/api/query/path/stats/").await;
    assert_eq!(stats.body["data"], json!({"5":"text","x":{"y":null,"z":{"0":true,"1":1.5}}}));
    assert_eq!(stats.body["hidden"], 1, "5 stands beside \"5\"");
    assert_eq!(data(api.at, "/api/query/path?path=[%22stats%22,5]").await, "number");
    assert_eq!(data(api.at, "/api/query/path/stats/5").await, "text");
    assert_eq!(data(api.at, "/api/query/path/odd").await, 7);
    let odd = get(api.at, "/api/query/path/odd/a%2Fb%20c").await;
    assert!(odd.text.contains(r#""data":"\ud800""#) && odd.text.contains(r#""path":"odd/a%2Fb%20c""#), "{}", odd.text);
    let leaves = data(api.at, "/api/query/path/stats?form=leaves").await;
    assert_eq!(leaves[0], json!([["stats", 5], "number"]));
    assert_eq!(leaves[1], json!([["stats", "5"], "text"]));
    let whole = data(api.at, "/api/query/path?form=leaves&path=odd").await;
    assert_eq!(whole[0], json!([["odd"], 7]));
    let mut paged = Vec::new();
    let mut path = "/api/query/path?form=leaves&limit=2".to_string();
    loop {
        let page = get(api.at, &path).await;
        assert!(paged.len() < 20, "{path} {}", page.text);
        paged.extend(page.body["data"].as_array().unwrap().clone());
        let Some(next) = page.body.get("next") else { break };
        assert_eq!(next["batch"], c.id.to_string());
        let from = next["from"].to_string().replace('"', "%22");
        path = format!("/api/query/path?form=leaves&limit=2&batch={}&from={from}", c.id);
    }
    assert_eq!(json!(paged), data(api.at, "/api/query/path?form=leaves").await);
    assert_eq!(paged.len(), 9);
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_what_is_not_known() {
    let History { store, b, .. } = history();
    let api = serve(&store).await;
    let deleted = get(api.at, &format!("/api/query/path/balances/alice?batch={}", b.id)).await;
    told(&deleted, 404, "not_found");
    assert_eq!(deleted.body["batch"], b.id.to_string());
    told(&get(api.at, "/api/query/path/balances/carol").await, 404, "unknown_before_base");
    told(&get(api.at, "/api/query/path/none?form=leaves").await, 404, "unknown_before_base");
    told(&get(api.at, "/api/query/path/x?network=nope_").await, 404, "unknown_network");
    told(&get(api.at, "/api/query/path/x?fork=QmNope").await, 404, "not_found");
    let both = get(api.at, "/api/query/path/x?fork=QmA").await;
    told(&both, 409, "ambiguous_fork");
    assert_eq!(both.body["candidates"].as_array().map(Vec::len), Some(2), "{}", both.text);
    for bad in [
        "x?block=y",
        "x?batch=y",
        "x?form=z",
        "%zz",
        "x?limit=-1&form=leaves",
        "x?from=[{}]&form=leaves",
        "x?limit=5",
        "x?from=a",
    ] {
        told(&get(api.at, &format!("/api/query/path/{bad}")).await, 400, "bad_request");
    }
    told(&get(api.at, "/api/query/path?path=[1").await, 400, "bad_request");
    told(&get(api.at, "/api/nope").await, 404, "not_found");
    let post = send(api.at, "POST /api/query/head HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    told(&post, 405, "wrong_method");
}

#[tokio::test]
async fn a_network_that_began_at_genesis_is_complete() {
    let mut store = Store::new();
    store.branch(0, None);
    store.batch(0, None, "genesis:dlux_", 1, &[r#"{"data":1,"path":["a"],"type":"put"}"#]);
    let api = serve(&store).await;
    assert_eq!(get(api.at, "/api/query/path/a").await.body["complete"], true);
    told(&get(api.at, "/api/query/path/b").await, 404, "not_found");
}

#[tokio::test]
async fn an_empty_network_knows_nothing() {
    let store = Store::new();
    let api = serve(&store).await;
    for path in ["head", "path/a", "state-at/5", "block/5/full"] {
        told(&get(api.at, &format!("/api/query/{path}")).await, 404, "unknown_before_base");
    }
    assert_eq!(get(api.at, "/api/health").await.body["block"], Value::Null);
}

#[tokio::test]
async fn blocks_and_the_state_at_them() {
    let History { store, a, b, c, d } = history();
    let api = serve(&store).await;
    let at = get(api.at, "/api/query/state-at/150?path=balances").await;
    assert_eq!(
        (&at.body["resolved_block"], &at.body["grain"], &at.body["blockNum"]),
        (&json!(101), &json!(100), &json!(150))
    );
    assert_eq!((&at.body["data"], &at.body["batch"]), (&json!({"bob":2}), &json!(b.id.to_string())));
    assert_eq!(data(api.at, "/api/query/state-at/300?path=balances/alice").await, 3);
    told(&get(api.at, "/api/query/state-at/301").await, 404, "not_found");
    told(&get(api.at, "/api/query/state-at/100").await, 404, "unknown_before_base");
    told(&get(api.at, "/api/query/state-at/x").await, 400, "bad_request");
    let block = get(api.at, "/api/query/block/101/full").await.body;
    assert_eq!(
        (&block["blockHash"], &block["previousHash"], &block["closed"]),
        (&json!("QmB"), &json!("QmA"), &json!(true))
    );
    assert_eq!(block["batches"], json!([a.id.to_string(), b.id.to_string()]));
    let ops = block["operations"].as_array().unwrap();
    assert_eq!(ops.len(), 7);
    assert_eq!((&ops[6]["index"], &ops[6]["batch"]), (&json!(7), &json!(b.id.to_string())));
    assert_eq!((&ops[6]["path"], &ops[6]["type"]), (&json!(["balances", "alice"]), &json!("del")));
    let open = get(api.at, "/api/query/block/201/full").await.body;
    assert_eq!(
        (&open["blockHash"], &open["closed"], &open["batch"]),
        (&Value::Null, &json!(false), &json!(c.id.to_string()))
    );
    let fork = get(api.at, &format!("/api/query/block/201/full?fork={}", d.id)).await.body;
    assert_eq!((&fork["batches"], &fork["forkId"]), (&json!([d.id.to_string()]), &json!(d.id.to_string())));
    let one = get(api.at, &format!("/api/query/block/101/full?batch={}", b.id)).await.body;
    assert_eq!(one["operations"].as_array().map(Vec::len), Some(2));
    let head = get(api.at, "/api/query/head").await.body;
    assert_eq!((&head["head"], &head["period"], &head["fork"]), (&json!(201), &json!("QmB"), &json!(a.id.to_string())));
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_a_hint() {
    let mut store = Store::new();
    store.branch(0, None);
    let texts: Vec<String> =
        (0..10_001).map(|i| format!(r#"{{"data":{i},"path":["big","{i:05}"],"type":"put"}}"#)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    store.batch(0, None, "QmA", 101, &texts);
    let api = serve(&store).await;
    let answer = get(api.at, "/api/query/path/big").await;
    told(&answer, 413, "too_large");
    assert!(answer.body["hint"].is_string());
    let page = get(api.at, "/api/query/path/big?form=leaves&limit=99999999").await.body;
    assert_eq!(
        (page["data"].as_array().map(Vec::len), &page["next"]["from"]),
        (Some(10_000), &json!(["big", "10000"]))
    );
}

#[tokio::test]
async fn health_tells_what_is_wrong() {
    let History { store, .. } = history();
    let api = serve(&store).await;
    assert_eq!(get(api.at, "/health/live").await.status, 200);
    assert_eq!(get(api.at, "/health/ready").await.status, 200);
    api.applied.send_replace(1);
    let ready = get(api.at, "/health/ready").await;
    assert_eq!((ready.status, &ready.body["status"]), (503, &json!("starting")));
    let health = get(api.at, "/health").await;
    assert_eq!((health.status, &health.body["status"]), (200, &json!("degraded")));
    let component = &health.body["networks"]["dlux_"]["components"]["state"];
    assert!(component["reason"].is_string(), "{}", health.text);
    let metrics = get(api.at, "/metrics").await;
    for line in [
        r#"honeygraph_state_lsn{network="dlux_"} 1"#,
        r#"honeygraph_blocks_total{network="dlux_"} 0"#,
        r#"honeygraph_gaps_found_total{network="dlux_"} 0"#,
        r#"honeygraph_feed_events_total{kind="sockets"} 0"#,
    ] {
        assert!(metrics.text.contains(line), "{line} is not in\n{}", metrics.text);
    }
    drop(api.status);
    let health = get(api.at, "/health").await;
    assert_eq!((health.status, &health.body["status"]), (503, &json!("down")));
}

#[tokio::test]
async fn a_request_that_is_too_much_is_refused() {
    let store = Store::new();
    let api = serve(&store).await;
    let long = "a".repeat(70_000);
    assert_eq!(get(api.at, &format!("/api/query/path/{long}")).await.status / 100, 4);
    let deep = "a/".repeat(9_000);
    told(&get(api.at, &format!("/api/query/path/{deep}")).await, 400, "bad_request");
    let headers = "x: y\r\n".repeat(100);
    let answer = send(api.at, &format!("GET /health HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n")).await;
    assert_eq!(answer.status, 431);
    let many = "a=1&".repeat(20);
    told(&get(api.at, &format!("/api/query/head?{many}")).await, 400, "bad_request");
}
