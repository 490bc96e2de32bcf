//! Pages: a cursor carries its point, whatever happens between two pages.

use crate::client::get;
use crate::store::{At, Store, serve, told};
use honeygraph::fork::record::{Head, HeadCause, Record, Retired};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Branch 0: `a` (x/0 .. x/5), `b` changes all of it. Branch 1 leaves it behind `a`: `c`.
fn history() -> (Store, At, At, At) {
    let mut store = Store::new();
    store.branch(0, None);
    let puts = |from: u64| -> Vec<String> {
        (0..6).map(|i| format!(r#"{{"data":{},"path":["x","{i}"],"type":"put"}}"#, from + i)).collect()
    };
    let batch = |store: &mut Store, branch, prev, period, label, from| {
        let texts = puts(from);
        store.batch(branch, prev, period, label, &texts.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let a = batch(&mut store, 0, None, "QmA", 101, 0);
    let b = batch(&mut store, 0, Some(a), "QmB", 201, 10);
    store.branch(1, Some(a));
    let c = batch(&mut store, 1, Some(a), "QmC", 201, 20);
    (store, a, b, c)
}

fn move_head(store: &mut Store, from: At, to: At) {
    let cause = HeadCause::Choice("test".into());
    store.append(&Record::Head(Head { at: to.node, from: from.node, cause, at_ms: 9 }), None);
}

/// The page after `page`: the same request with the members of `next`.
fn after(path: &str, page: &Value) -> String {
    let next = page.get("next").unwrap_or_else(|| panic!("no more pages: {page}"));
    let next = next.as_object().unwrap();
    let (route, query) = path.split_once('?').unwrap();
    let kept = query.split('&').filter(|pair| !next.contains_key(pair.split('=').next().unwrap()));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members = next.iter().map(|(name, value)| format!("{name}={}", text(value).replace('"', "%22")));
    format!("{route}?{}", kept.map(str::to_owned).chain(members).collect::<Vec<_>>().join("&"))
}

async fn page(at: SocketAddr, path: &str) -> Value {
    let answer = get(at, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.body
}

/// Every route that has pages, where its items stand, and whether it reads the state (else the journal, which keeps all).
const PAGED: &[(&str, &str, bool)] = &[
    ("/api/query/path/x?form=leaves&limit=2", "data", true),
    ("/api/query/path?form=leaves&limit=2", "data", true),
    ("/api/query/state-at/201?form=leaves&limit=2", "data", true),
    ("/api/query/diff?from=101&limit=2", "changes", true),
    ("/api/query/history/x/1?limit=1", "versions", true),
    ("/api/query/history?path=x/1&limit=1", "versions", true),
    ("/api/query/block/201/operations?limit=2", "operations", false),
];

/// Planted: a cursor without its batch (the second page then shows the new head's leaves).
#[tokio::test]
async fn a_cursor_keeps_its_point_when_the_head_goes_elsewhere() {
    for (path, items, _) in PAGED {
        for back in [false, true] {
            let (mut store, a, b, c) = history();
            let api = serve(&store).await;
            let limit = path.rsplit('=').next().unwrap();
            let whole = page(api.at, &format!("{}100", path.strip_suffix(limit).unwrap())).await;
            let (mut seen, mut pages) = (Vec::new(), 1);
            let mut now = page(api.at, path).await;
            // A rollback, or a switch to the other fork.
            move_head(&mut store, b, if back { a } else { c });
            loop {
                assert_eq!(now["batch"], b.id.to_string(), "{path}");
                seen.extend(now[items].as_array().unwrap().clone());
                if now.get("next").is_none() {
                    break;
                }
                now = page(api.at, &after(path, &now)).await;
                pages += 1;
            }
            assert!(pages > 1, "{path}");
            assert_eq!(json!(seen), whole[items], "{path}");
        }
    }
}

/// Planted: the point is not asked whether it can be read (a page of rows that the sweep may have taken).
#[tokio::test]
async fn a_cursor_whose_point_is_no_longer_kept_says_so() {
    for (path, _, state) in PAGED {
        let (mut store, _, b, c) = history();
        let api = serve(&store).await;
        let first = page(api.at, path).await;
        move_head(&mut store, b, c);
        store.append(&Record::Retired(Retired { branch: 0, at_ms: 9 }), None);
        store.state.sweep(1_000).unwrap();
        let second = get(api.at, &after(path, &first)).await;
        match state {
            true => told(&second, 410, "gone"),
            false => assert_eq!(second.status, 200, "{path}: {}", second.text),
        }
    }
}
