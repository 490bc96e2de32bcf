//! What changed: between two points, over the life of a leaf, and by which operations.

use crate::client::get;
use crate::store::{At, Store, serve, told};
use honeygraph::projection::base::{self, Base};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Branch 0: `a` (101), `b` (101), `c` (201, head). Branch 1 leaves it behind `b`: `d` (201).
fn history() -> (Store, [At; 4]) {
    let mut store = Store::new();
    store.branch(0, None);
    let a = store.batch(
        0,
        None,
        "QmA",
        101,
        &[
            r#"{"data":{"one":1,"two":2},"path":["x"],"type":"put"}"#,
            r#"{"data":null,"path":["y",5],"type":"put"}"#,
            r#"{"data":true,"path":["z"],"type":"put"}"#,
        ],
    );
    let b = store.batch(0, Some(a), "QmA", 101, &[r#"{"path":["x","one"],"type":"del"}"#]);
    let c = store.batch(
        0,
        Some(b),
        "QmB",
        201,
        &[r#"{"data":{"one":3,"two":4},"path":["x"],"type":"put"}"#, r#"{"data":0,"path":["y",5],"type":"put"}"#],
    );
    store.branch(1, Some(b));
    let d = store.batch(1, Some(b), "QmC", 201, &[r#"{"data":9,"path":["x","two"],"type":"put"}"#]);
    (store, [a, b, c, d])
}

async fn asked(at: SocketAddr, path: &str) -> Value {
    let answer = get(at, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.body
}

/// Guards against: `old` and `new` exchanged; a leaf whose text is equal counted as changed.
#[tokio::test]
async fn a_diff_says_what_differs_between_any_two_points() {
    let (store, [a, b, c, d]) = history();
    let api = serve(&store).await;
    let head = asked(api.at, &format!("/api/query/diff?from={}", a.id)).await;
    let changes = json!([
        {"path":["x","one"],"change":"changed","old":1,"new":3},
        {"path":["x","two"],"change":"changed","old":2,"new":4},
        {"path":["y",5],"change":"changed","old":null,"new":0},
    ]);
    assert_eq!(
        (&head["changes"], &head["batch"], &head["forward"]),
        (&changes, &json!(c.id.to_string()), &json!(true))
    );
    assert_eq!((&head["from"]["batch"], &head["from"]["label"]), (&json!(a.id.to_string()), &json!(101)));
    for key in ["network", "fork", "label", "complete", "verified", "final"] {
        assert!(head.get(key).is_some() && head["from"].get(key).is_some(), "{key}");
    }
    let back = asked(api.at, &format!("/api/query/diff?from=201&to={}&path=x", b.id)).await;
    let removed = json!([
        {"path":["x","one"],"change":"removed","old":3},
        {"path":["x","two"],"change":"changed","old":4,"new":2},
    ]);
    assert_eq!((&back["changes"], &back["forward"]), (&removed, &json!(false)));
    let across = asked(api.at, &format!("/api/query/diff?from={}&to={}&path=x", c.id, d.id)).await;
    assert_eq!(across["changes"][0], json!({"path":["x","one"],"change":"removed","old":3}));
    assert_eq!(across["changes"][1], json!({"path":["x","two"],"change":"changed","old":4,"new":9}));
    assert_eq!((&across["fork"], &across["forward"]), (&json!(d.id.to_string()), &json!(false)));
    let named = asked(api.at, &format!("/api/query/diff?from=101&fork={}", d.id)).await;
    assert_eq!(
        (&named["from"]["batch"], &named["changes"].as_array().map(Vec::len)),
        (&json!(b.id.to_string()), &Some(1))
    );
    let same = asked(api.at, "/api/query/diff?from=201&to=201").await;
    assert_eq!((&same["changes"], same.get("next")), (&json!([]), None));
    told(&get(api.at, "/api/query/diff").await, 400, "bad_request");
    told(&get(api.at, "/api/query/diff?from=x").await, 400, "bad_request");
    told(&get(api.at, "/api/query/diff?from=101&to=900").await, 404, "not_found");
    told(&get(api.at, "/api/query/diff?from=5").await, 404, "unknown_before_base");
}

/// Planted: rows of another fork taken for versions of this one.
#[tokio::test]
async fn the_history_of_a_leaf_is_that_of_its_fork() {
    let (store, [a, b, c, d]) = history();
    let api = serve(&store).await;
    let versions = |body: &Value| -> Vec<Value> {
        let short =
            |version: &Value| json!([version["batch"], version["label"], version.get("data"), version["deleted"]]);
        body["versions"].as_array().unwrap().iter().map(short).collect()
    };
    let id = |at: At| at.id.to_string();
    let one = asked(api.at, "/api/query/history/x/one").await;
    let all = [json!([id(c), 201, 3, null]), json!([id(b), 101, null, true]), json!([id(a), 101, 1, null])];
    assert_eq!((versions(&one), &one["whole"]), (all.to_vec(), &json!(true)));
    let fork = asked(api.at, &format!("/api/query/history/x/one?fork={}", d.id)).await;
    assert_eq!(versions(&fork), all[1..]);
    let early = asked(api.at, &format!("/api/query/history/x/one?batch={}", a.id)).await;
    assert_eq!(versions(&early), all[2..]);
    let number = asked(api.at, "/api/query/history?path=[%22y%22,5]").await;
    assert_eq!(versions(&number), [json!([id(c), 201, 0, null]), json!([id(a), 101, null, null])]);
    assert!(number["versions"][1].as_object().unwrap().contains_key("data"), "null is a value");
    told(&get(api.at, "/api/query/history/x").await, 404, "unknown_before_base");
    told(&get(api.at, &format!("/api/query/history/x/one?from={}&batch={}", d.id, c.id)).await, 404, "not_found");
}

#[tokio::test]
async fn a_history_of_which_retention_took_something_says_so() {
    let (mut store, [_, b, ..]) = history();
    store.state.raise_floor(0, b.node.version).unwrap();
    let api = serve(&store).await;
    assert_eq!(asked(api.at, "/api/query/history/x/two").await["whole"], false);
}

/// Planted: versions before the base told (what came before is not the whole truth).
#[tokio::test]
async fn a_history_ends_at_the_base() {
    let folder = tempfile::tempdir().unwrap();
    let imported = base::import(folder.path(), br#"[101,{"x":5,"y":2}]"#, None).unwrap();
    let mut store = Store::new();
    store.state.stand_on_base(Base::current(folder.path()).unwrap().unwrap()).unwrap();
    store.branch(0, None);
    let put = |x: u8| format!(r#"{{"data":{x},"path":["x"],"type":"put"}}"#);
    let a = store.batch(0, None, "QmA", 1, &[&put(0)]);
    store.begin_period();
    let b = store.batch(0, Some(a), &imported.hash, 101, &[r#"{"data":1,"path":["z"],"type":"put"}"#]);
    let c = store.batch(0, Some(b), &imported.hash, 101, &[&put(6)]);
    let api = serve(&store).await;
    let shown = |body: &Value| -> Vec<Value> {
        let versions = body["versions"].as_array().unwrap().iter();
        versions.map(|version| json!([version["batch"], version["data"]])).collect()
    };
    let x = asked(api.at, "/api/query/history/x").await;
    assert_eq!(
        (shown(&x), &x["whole"]),
        (vec![json!([c.id.to_string(), 6]), json!([b.id.to_string(), 5])], &json!(false))
    );
    assert_eq!(x.get("next"), None);
    let page = asked(api.at, &format!("/api/query/history/x?limit=1&from={}", b.id)).await;
    assert_eq!((shown(&page), page.get("next")), (vec![json!([b.id.to_string(), 5])], None));
    told(&get(api.at, &format!("/api/query/diff?from={}", a.id)).await, 410, "before_base");
}

#[tokio::test]
async fn the_operations_of_a_block_come_in_pages() {
    let (store, [a, b, _, d]) = history();
    let api = serve(&store).await;
    let block = asked(api.at, "/api/query/block/150/operations").await;
    let full = asked(api.at, "/api/query/block/150/full").await;
    assert_eq!(
        (&block["operations"], &block["blockNum"], &block["grain"]),
        (&full["operations"], &json!(101), &json!(100))
    );
    assert_eq!((&block["total"], &block["fork"], block.get("next")), (&json!(4), &json!(a.id.to_string()), None));
    assert_eq!(block["operations"][3]["batch"], b.id.to_string());
    let page = asked(api.at, "/api/query/block/101/operations?limit=1&from=3").await;
    assert_eq!(page["operations"], json!([full["operations"][3]]));
    let until = asked(api.at, &format!("/api/query/block/101/operations?batch={}", a.id)).await;
    assert_eq!(until["operations"].as_array().map(Vec::len), Some(3));
    let past = asked(api.at, "/api/query/block/101/operations?from=99").await;
    assert_eq!((&past["operations"], past.get("next")), (&json!([]), None));
    let fork = asked(api.at, &format!("/api/query/block/201/operations?fork={}", d.id)).await;
    assert_eq!(fork["operations"][0]["data"], 9);
    told(&get(api.at, "/api/query/block/900/operations").await, 404, "not_found");
}
