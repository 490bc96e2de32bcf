//! Orders: who may give them, and what becomes of them.

use crate::client::post;
use crate::store::{Store, serve};
use honeygraph::fork::admin::{Admin, AdminError, GapAccepted};
use serde_json::json;

#[tokio::test]
async fn orders_are_taken_only_directly() {
    let store = Store::new();
    let api = serve(&store).await;
    let body = json!({"level":"info"});
    assert_eq!(post(api.at, "/api/admin/log-level", "", &body).await.status, 200);
    for header in ["x-forwarded-for: 127.0.0.1", "forwarded: for=x", "via: 1.1 x", "x-real-ip: 1.2.3.4"] {
        let answer = post(api.at, "/api/admin/log-level", &format!("{header}\r\n"), &body).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (401, Some("unauthorized")), "{header}");
    }
    let answer = post(api.at, "/api/admin/log-level", "origin: http://x\r\n", &body).await;
    assert_eq!((answer.status, answer.body["code"].as_str()), (403, Some("forbidden")));
}

#[tokio::test]
async fn an_order_reaches_the_core_and_its_answer_comes_back() {
    let store = Store::new();
    let mut api = serve(&store).await;
    let core = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(order) = api.orders.recv().await {
            match order {
                Admin::Rollback { to, reason, dry_run, reply } => {
                    seen.push(format!("rollback {to} {reason} {dry_run}"));
                    let candidates = vec!["one".into(), "two".into()];
                    reply.send(Err(AdminError::Ambiguous { what: to, candidates })).unwrap();
                }
                Admin::Release { verdict, reason, reply } => {
                    seen.push(format!("release {verdict} {reason}"));
                    reply.send(Err(AdminError::NotFound("no such verdict".into()))).unwrap();
                }
                Admin::AcceptGap { id, reason, reply } => {
                    seen.push(format!("accept {id} {reason}"));
                    reply.send(Ok(GapAccepted { id, first: None })).unwrap();
                    return seen;
                }
                other => unreachable!("nobody says so here: {other:?}"),
            }
        }
        seen
    });
    let rolled =
        post(api.at, "/api/admin/rollback", "", &json!({"to":101,"reason":" bad block ","dry_run":true})).await;
    assert_eq!((rolled.status, &rolled.body["candidates"]), (409, &json!(["one", "two"])));
    let released =
        post(api.at, "/api/admin/release", "", &json!({"verdict":7,"reason":"fine","network":"dlux_"})).await;
    assert_eq!((released.status, released.body["code"].as_str()), (404, Some("not_found")));
    let accepted = post(api.at, "/api/admin/gaps/3/accept", "", &json!({"reason":"lost"})).await;
    assert_eq!((accepted.status, &accepted.body["id"]), (200, &json!(3)));
    assert_eq!(core.await.unwrap(), ["rollback 101 bad block true", "release 7 fine", "accept 3 lost"]);
}

#[tokio::test]
async fn what_is_no_order_is_refused() {
    let store = Store::new();
    let api = serve(&store).await;
    let cases = [
        ("rollback", json!({"to":"101"})),
        ("rollback", json!({"to":"101","reason":"  "})),
        ("rollback", json!({"to":"101","reason":"x","sudo":true})),
        ("rollback", json!({"to":[],"reason":"x"})),
        ("release", json!({"verdict":"x","reason":"x"})),
        ("gaps/x/accept", json!({"reason":"x"})),
        ("gaps/1/accept", json!({"reason":"x".repeat(2000)})),
        ("log-level", json!({"level":"loud"})),
        ("log-level", json!("info")),
    ];
    for (order, body) in cases {
        let answer = post(api.at, &format!("/api/admin/{order}"), "", &body).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (400, Some("bad_request")), "{order} {body}");
    }
    let answer = post(api.at, "/api/admin/rollback", "", &json!({"to":"x".repeat(70_000),"reason":"x"})).await;
    assert_eq!(answer.status, 413);
}
