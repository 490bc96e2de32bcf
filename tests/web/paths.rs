//! Many paths at once: one point for all, and a word on each.

use crate::client::{Answer, post};
use crate::store::{At, Store, serve, told};
use serde_json::{Value, json};
use std::net::SocketAddr;

async fn ask(at: SocketAddr, body: &Value) -> Answer {
    post(at, "/api/query/paths", "", body).await
}

/// Two batches: `x` is gone again in the second.
fn store() -> (Store, At, At) {
    let mut store = Store::new();
    store.branch(0, None);
    let put = [
        r#"{"data":1,"path":["balances","alice"],"type":"put"}"#,
        r#"{"data":{"y":[true]},"path":["x"],"type":"put"}"#,
        r#"{"data":"number","path":["stats",5],"type":"put"}"#,
        r#"{"data":"text","path":["stats","5"],"type":"put"}"#,
    ];
    let a = store.batch(0, None, "QmA", 101, &put);
    let b = store.batch(0, Some(a), "QmA", 101, &[r#"{"path":["x"],"type":"del"}"#]);
    (store, a, b)
}

/// Planted: each path read from a snapshot of its own (the batch named is not the one read).
#[tokio::test]
async fn one_point_answers_all_paths() {
    let (store, a, b) = store();
    let api = serve(&store).await;
    let paths = json!(["balances/alice", "x", ["stats", 5], "stats", "nobody", "balances/alice"]);
    let answer = ask(api.at, &json!({ "paths": paths })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.body["data"],
        json!({"balances/alice": 1, "[\"stats\",5]": "number", "stats": {"5": "text"}}),
        "{}",
        answer.text
    );
    let status = |i: usize| answer.body["results"][i]["status"].as_str().unwrap().to_owned();
    let all: Vec<String> = (0..6).map(status).collect();
    assert_eq!(all, ["found", "not_found", "found", "found", "unknown_before_base", "found"]);
    assert_eq!(answer.body["results"][3], json!({"path": "stats", "status": "found", "hidden": 1}));
    assert_eq!(answer.text.matches("\"balances/alice\":").count(), 1, "{}", answer.text);
    for (key, value) in [("network", json!("dlux_")), ("batch", json!(b.id.to_string())), ("complete", json!(false))] {
        assert_eq!(answer.body[key], value, "{key}");
    }
    for key in ["fork", "label", "verified", "final"] {
        assert!(answer.body.get(key).is_some(), "{key}");
    }
    let before = ask(api.at, &json!({ "paths": ["x"], "batch": a.id.to_string(), "form": "leaves" })).await;
    assert_eq!(before.body["data"], json!({"x": [[["x", "y", "0"], true]]}), "{}", before.text);
    let block = ask(api.at, &json!({ "paths": ["x"], "block": 150, "network": "dlux_" })).await;
    assert_eq!(block.body["results"][0]["status"], "not_found", "{}", block.text);
}

#[tokio::test]
async fn what_no_request_for_paths_is_is_refused() {
    let (store, ..) = store();
    let api = serve(&store).await;
    let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    for bad in [
        json!([]),
        json!({}),
        json!({ "paths": [] }),
        json!({ "paths": "x" }),
        json!({ "paths": many }),
        json!({ "paths": [5] }),
        json!({ "paths": [[{}]] }),
        json!({ "paths": ["%zz"] }),
        json!({ "paths": ["x"], "form": "odd" }),
        json!({ "paths": ["x"], "block": true }),
        json!({ "paths": ["x"], "block": 101, "batch": "b" }),
    ] {
        told(&ask(api.at, &bad).await, 400, "bad_request");
    }
    let unknown = ask(api.at, &json!({ "paths": ["x"], "blok": 5 })).await;
    told(&unknown, 400, "unknown_parameter");
    assert_eq!(unknown.body["parameters"][0], "paths");
    told(&ask(api.at, &json!({ "paths": ["x"], "network": "nope_" })).await, 404, "unknown_network");
    let large = "a".repeat(70_000);
    told(&ask(api.at, &json!({ "paths": [large] })).await, 413, "too_large");
}

/// Planted: a limit for each path instead of one for all.
#[tokio::test]
async fn together_they_are_bounded() {
    let mut store = Store::new();
    store.branch(0, None);
    let puts: Vec<String> = (0..6_000).map(|i| format!(r#"{{"data":{i},"path":["t","{i}"],"type":"put"}}"#)).collect();
    store.batch(0, None, "QmA", 101, &puts.iter().map(String::as_str).collect::<Vec<_>>());
    let api = serve(&store).await;
    assert_eq!(ask(api.at, &json!({ "paths": ["t"] })).await.status, 200);
    for form in ["nested", "leaves"] {
        let twice = ask(api.at, &json!({ "paths": ["t", "t/"], "form": form })).await;
        told(&twice, 413, "too_large");
        assert_eq!(twice.body["path"], "t/");
    }
}
