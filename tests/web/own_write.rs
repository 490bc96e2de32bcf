//! Reading one's own write: a read waits until the history that it reads has a batch.

use crate::client::{Answer, get, post};
use crate::store::{Api, At, Store, serve, told};
use honeygraph::fork::record::{Branch, BranchCause, Head, HeadCause, Record};
use serde_json::json;
use tokio::task::JoinHandle;

const PUT: &str = r#"{"data":1,"path":["x"],"type":"put"}"#;
const AGAIN: &str = r#"{"data":2,"path":["x"],"type":"put"}"#;

fn begun() -> (Store, At) {
    let mut store = Store::new();
    store.branch(0, None);
    let a = store.batch(0, None, "QmA", 101, &[PUT]);
    (store, a)
}

/// Asks, and comes back once the request waits.
async fn waiting(api: &Api, path: String) -> JoinHandle<Answer> {
    let (at, before) = (api.at, api.applied.receiver_count());
    let asked = tokio::spawn(async move { get(at, &path).await });
    while api.applied.receiver_count() == before {
        assert!(!asked.is_finished(), "it did not wait: {:?}", asked.await);
        tokio::task::yield_now().await;
    }
    asked
}

/// The batch that a twin of this store chains next.
fn next() -> (Store, At, At) {
    let (mut twin, a) = begun();
    let b = twin.batch(0, Some(a), "QmA", 101, &[AGAIN]);
    (twin, a, b)
}

/// Planted: one look only (what comes while the request waits is not seen).
#[tokio::test]
async fn a_read_waits_for_its_batch() {
    let (mut store, a) = begun();
    let (_, _, b) = next();
    let api = serve(&store).await;
    let there = get(api.at, &format!("/api/query/path/x?min_batch={}&wait_ms=0", a.id)).await;
    assert_eq!(there.body["data"], 1, "{}", there.text);
    let asked = waiting(&api, format!("/api/query/path/x?min_batch={}&wait_ms=30000", b.id)).await;
    let head = waiting(&api, format!("/api/query/head?min_batch={}&wait_ms=30000", b.id)).await;
    store.batch(0, Some(a), "QmA", 101, &[AGAIN]);
    api.applied.send_replace(store.journal.next() - 1);
    let answer = asked.await.unwrap();
    assert_eq!((&answer.body["data"], &answer.body["batch"]), (&json!(2), &json!(b.id.to_string())));
    assert_eq!(head.await.unwrap().body["batch"], b.id.to_string());
}

#[tokio::test]
async fn who_waited_in_vain_is_told_why() {
    let (mut store, a) = begun();
    let (_, _, b) = next();
    let api = serve(&store).await;
    let ask = format!("/api/query/path/x?min_batch={}&wait_ms=1", b.id);
    told(&get(api.at, &ask).await, 504, "batch_not_seen");
    let body = json!({ "paths": ["x"], "min_batch": b.id.to_string(), "wait_ms": 1 });
    told(&post(api.at, "/api/query/paths", "", &body).await, 504, "batch_not_seen");
    // A record that is durable, and not applied.
    store
        .journal
        .append(&Record::Branch(Branch { branch: 1, parent: Some(a.node), cause: BranchCause::Fork }), None)
        .unwrap();
    store.journal.flush().unwrap();
    let behind = get(api.at, &ask).await;
    told(&behind, 504, "not_applied_in_time");
    assert_eq!((&behind.body["behind"], &behind.body["min_batch"]), (&json!(1), &json!(b.id.to_string())));
}

#[tokio::test]
async fn a_batch_of_another_fork_is_waited_for_until_the_head_goes_there() {
    let (mut store, a) = begun();
    let b = store.batch(0, Some(a), "QmA", 101, &[AGAIN]);
    store.branch(1, Some(a));
    let c = store.batch(1, Some(a), "QmA", 101, &[r#"{"data":3,"path":["x"],"type":"put"}"#]);
    let api = serve(&store).await;
    let elsewhere = get(api.at, &format!("/api/query/head?min_batch={}&wait_ms=1", c.id)).await;
    told(&elsewhere, 409, "on_another_fork");
    assert_eq!(elsewhere.body["forks"], json!([c.id.to_string()]));
    let named = get(api.at, &format!("/api/query/path/x?min_batch={0}&fork={0}", c.id)).await;
    assert_eq!(named.body["data"], 3, "{}", named.text);
    let asked = waiting(&api, format!("/api/query/path/x?min_batch={}&wait_ms=30000", c.id)).await;
    store.append(
        &Record::Head(Head { at: c.node, from: b.node, cause: HeadCause::Choice("test".into()), at_ms: 5 }),
        None,
    );
    api.applied.send_replace(store.journal.next() - 1);
    assert_eq!(asked.await.unwrap().body["data"], 3);
}

#[tokio::test]
async fn what_cannot_be_waited_for_is_refused() {
    let (store, a) = begun();
    let api = serve(&store).await;
    for bad in [
        "min_batch=x".to_owned(),
        "wait_ms=5".to_owned(),
        format!("min_batch={}&wait_ms=30001", a.id),
        format!("min_batch={0}&batch={0}", a.id),
    ] {
        told(&get(api.at, &format!("/api/query/path/x?{bad}")).await, 400, "bad_request");
    }
}
