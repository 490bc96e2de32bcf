//! Namespaces: their names, their figures, and their whole state as one document.

use crate::client::{Answer, get};
use crate::store::{At, Store, serve, told};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// `odd` is a leaf above leaves; 5 stands beside "5", 6 alone.
fn store() -> (Store, At, At) {
    let mut store = Store::new();
    store.branch(0, None);
    let put = [
        r#"{"data":{"alice":1,"bob \"b\"":-2.5},"path":["balances"],"type":"put"}"#,
        r#"{"data":7,"path":["odd"],"type":"put"}"#,
        r#"{"data":"a,b","path":["odd","a/b"],"type":"put"}"#,
        r#"{"data":{"x":null},"path":["stats",5],"type":"put"}"#,
        r#"{"data":"text","path":["stats","5"],"type":"put"}"#,
        r#"{"data":true,"path":["stats",6],"type":"put"}"#,
    ];
    let a = store.batch(0, None, "QmA", 101, &put);
    let b = store.batch(0, Some(a), "QmA", 101, &[r#"{"data":2,"path":["balances","alice"],"type":"put"}"#]);
    (store, a, b)
}

/// Body of a chunked answer.
fn body(answer: &Answer) -> String {
    let (mut rest, mut out) = (answer.text.as_str(), String::new());
    loop {
        let (size, more) = rest.split_once("\r\n").unwrap_or_else(|| panic!("cut short: {}", answer.text));
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return out;
        }
        out.push_str(&more[..size]);
        rest = &more[size + 2..];
    }
}

#[tokio::test]
async fn namespaces_are_networks_and_tokens() {
    let (store, _, b) = store();
    let api = serve(&store).await;
    assert_eq!(get(api.at, "/namespaces").await.body, json!(["dlux_", "DLUX"]));
    for namespace in ["dlux_", "DLUX", "dlux"] {
        let stats = get(api.at, &format!("/namespaces/{namespace}/stats")).await.body;
        assert_eq!((&stats["namespace"], &stats["network"]), (&json!(namespace), &json!("dlux_")));
        assert_eq!(
            (&stats["batch"], &stats["tables"]),
            (&json!(b.id.to_string()), &json!(["balances", "odd", "stats"]))
        );
        assert_eq!(
            (&stats["batches"], &stats["operations"], &stats["tokens"]),
            (&json!(2), &json!(7), &json!(["DLUX"]))
        );
    }
    for path in ["stats", "export"] {
        let none = get(api.at, &format!("/namespaces/NOPE/{path}")).await;
        told(&none, 404, "unknown_network");
        told(&get(api.at, &format!("/namespaces/dlux_/{path}?batch=x")).await, 400, "bad_request");
    }
    told(&get(api.at, "/namespaces/dlux_/export?format=xml").await, 400, "bad_request");
}

/// Planted: a leaf above others written into the object (a key twice), and a number beside its text.
#[tokio::test]
async fn a_document_holds_every_leaf() {
    let (store, a, b) = store();
    let api = serve(&store).await;
    let answer = get(api.at, "/namespaces/dlux/export").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let text = body(&answer);
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let state = json!({
        "balances": {"alice": 2, "bob \"b\"": -2.5},
        "odd": {"a/b": "a,b"},
        "stats": {"5": "text", "6": true},
    });
    assert_eq!(document["state"], state, "{text}");
    assert_eq!(document["hidden"], json!([[["odd"], 7], [["stats", 5, "x"], null]]));
    assert_eq!((&document["leaves"], &document["batch"]), (&json!(7), &json!(b.id.to_string())));
    for key in ["network", "fork", "label", "complete", "verified", "final"] {
        assert!(document.get(key).is_some(), "{key}");
        assert!(answer.head.contains(&format!("x-honeygraph-{key}: ")), "{}", answer.head);
    }
    let before = body(&get(api.at, &format!("/namespaces/dlux_/export?batch={}", a.id)).await);
    assert!(before.contains(r#""alice":1"#), "{before}");
}

#[tokio::test]
async fn a_table_holds_every_leaf() {
    let (store, ..) = store();
    let api = serve(&store).await;
    let answer = get(api.at, "/namespaces/DLUX/export?format=csv").await;
    assert!(answer.head.contains("content-type: text/csv"), "{}", answer.head);
    assert!(answer.head.contains("content-disposition: attachment; filename=\"DLUX.csv\""), "{}", answer.head);
    let rows = [
        r#"path,value"#,
        r#""[""balances"",""alice""]",2"#,
        r#""[""balances"",""bob \""b\""""]",-2.5"#,
        r#""[""odd""]",7"#,
        r#""[""odd"",""a/b""]","""a,b""""#,
        r#""[""stats"",5,""x""]",null"#,
        r#""[""stats"",6]",true"#,
        r#""[""stats"",""5""]","""text""""#,
    ];
    assert_eq!(body(&answer), rows.map(|row| format!("{row}\r\n")).concat());
}

#[tokio::test]
async fn an_empty_state_is_an_empty_object() {
    let mut store = Store::new();
    store.branch(0, None);
    store.batch(0, None, "QmA", 101, &[]);
    let api = serve(&store).await;
    let document: Value = serde_json::from_str(&body(&get(api.at, "/namespaces/dlux_/export").await)).unwrap();
    assert_eq!((&document["state"], &document["leaves"]), (&json!({}), &json!(0)));
}

/// Planted: the place given back before the document is written.
#[tokio::test]
async fn exports_are_few_at_a_time_and_one_that_nobody_reads_any_more_ends() {
    let mut store = Store::new();
    store.branch(0, None);
    let value = "v".repeat(4_000);
    let mut last = None;
    for batch in 0..8 {
        let put = |i| format!(r#"{{"data":"{value}","path":["t","{batch}-{i}"],"type":"put"}}"#);
        let puts: Vec<String> = (0..1_000).map(put).collect();
        let puts: Vec<&str> = puts.iter().map(String::as_str).collect();
        last = Some(store.batch(0, last, "QmA", 101, &puts));
    }
    let api = serve(&store).await;
    let request = b"GET /namespaces/dlux_/export HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut socket = TcpStream::connect(api.at).await.unwrap();
        socket.write_all(request).await.unwrap();
        let mut first = [0; 12];
        socket.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        readers.push(socket);
    }
    told(&get(api.at, "/namespaces/dlux_/export").await, 503, "busy");
    drop(readers);
    let mut text = String::new();
    while text.is_empty() {
        let answer = get(api.at, "/namespaces/dlux_/export").await;
        match answer.status {
            200 => text = body(&answer),
            _ => told(&answer, 503, "busy"),
        }
    }
    let document: Value = serde_json::from_str(&text).unwrap();
    let keys: BTreeSet<&String> = document["state"]["t"].as_object().unwrap().keys().collect();
    assert_eq!((keys.len(), &document["leaves"]), (8_000, &json!(8_000)));
}
