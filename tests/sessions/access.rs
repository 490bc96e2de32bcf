//! Feeds that have to prove who they are: the challenge, keys, addresses, and what an account may then do.

use crate::fixtures::{guarded_cases, play};
use crate::speaking::{Client, Server, ack, limits, put};
use honeygraph::access::Access;
use honeygraph::access::account_keys;
use honeygraph::access::address::range;
use honeygraph::access::grant::Roll;
use honeygraph::access::hive::Accounts;
use honeygraph::access::keys::{Key, KeyRing, Scope, keys_path};
use honeygraph::access::watched::Watched;
use honeygraph::feed::limits::Limits;
use honeygraph_testnet::hive::{Hive, Manner, Signer};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Rules with these accounts, asked at these endpoints.
fn rules(accounts: &str, endpoints: &[&Hive]) -> Access {
    let roll = Roll::new(&[], &toml::from_str(accounts).unwrap()).unwrap();
    let endpoints = endpoints.iter().map(|hive| hive.url()).collect();
    Access { require: true, roll, accounts: Accounts::new(Watched::default(), endpoints).unwrap(), ..Access::default() }
}

fn hive() -> (Hive, Signer) {
    let (hive, alice) = (Hive::start().unwrap(), Signer::new("alice"));
    hive.register("alice", 1, &[(alice.key(), 1)]);
    (hive, alice)
}

async fn says(client: &mut Client, message: &Value) -> Value {
    client.send(message).await;
    client.hear().await
}

async fn failed(client: &mut Client, message: &Value, reason: &str) {
    let said = says(client, message).await;
    assert_eq!((&said["type"], &said["reason"]), (&json!("auth_failed"), &json!(reason)), "{said}");
    let names = ["alice", "bob", "carol"].iter().any(|name| said.to_string().contains(name));
    assert!(!names, "who may feed is nobody's business: {said}");
}

/// Row 15: anyone could feed. Guards against: `connected` before the challenge; frames that wait behind the answer are lost.
#[tokio::test]
async fn a_feed_comes_in_with_its_active_key_and_its_ops_are_kept() {
    let (hive, alice) = hive();
    let server = Server::guarded(limits(), rules("[alice]", &[&hive])).await;
    for (path, greeting) in [("/fork-stream", "welcome"), ("/ws", "connected")] {
        let mut client = server.connect(path).await;
        let required = client.hear().await;
        assert_eq!((&required["type"], &required["authorizedNodes"]), (&json!("auth_required"), &json!("configured")));
        assert!(!required.to_string().contains("alice"), "the list is nobody's business");
        let early = says(&mut client, &put(0)).await;
        assert_eq!(early, json!({"type":"error","error":"Authentication required"}));
        // Everything at once: what is behind the answer waits for it.
        client.send(&alice.answer("alice", &required)).await;
        client.identify("DLUX", None).await;
        client.batch(0..2).await;
        let success = client.hear().await;
        assert_eq!((&success["type"], &success["account"]), (&json!("auth_success"), &json!("alice")));
        let welcome = client.hear().await;
        assert_eq!((&welcome["type"], &welcome["account"]), (&json!(greeting), &json!("alice")));
        assert_eq!(welcome["nodeId"], required["challenge"]["nodeId"]);
        assert_eq!(client.hear().await["message"], "Identification received");
        assert_eq!((client.hear().await, client.hear().await), (ack(0), ack(1)));
        // Once in, an answer means nothing any more.
        client.send(&alice.answer("alice", &required)).await;
        assert!(client.barrier().await.is_empty());
    }
    assert_eq!(server.core("dlux_").seen.lock().unwrap().kept.len(), 4);
    assert_eq!(hive.asked(), 1, "keys are kept for an hour");
}

/// Row 14: the old server told every stranger the list of accounts. Guards against: a challenge of one connection is taken on
/// another; the account's posting key feeds.
#[tokio::test]
async fn what_does_not_prove_it_is_told_and_the_socket_stays() {
    let (hive, alice) = hive();
    let server = Server::guarded(limits(), rules("[alice]\n[carol]", &[&hive])).await;
    let mut other = server.connect("/fork-stream").await;
    let others = other.hear().await;
    let mut client = server.connect("/fork-stream").await;
    let required = client.hear().await;
    assert_ne!(others["challenge"]["nonce"], required["challenge"]["nonce"]);
    failed(&mut client, &alice.answer("alice", &others), "Invalid challenge response").await;
    for other in ["mallory", "posting"] {
        failed(&mut client, &Signer::new(other).answer("alice", &required), "Invalid signature").await;
    }
    failed(&mut client, &alice.answer("mallory", &required), "Account not authorized").await;
    failed(&mut client, &Signer::new("carol").answer("carol", &required), "Account not found on Hive").await;
    let mut tampered = alice.answer("alice", &required);
    tampered["message"] = tampered["message"].as_str().unwrap().replace("\"timestamp\":1}", "\"timestamp\":2}").into();
    failed(&mut client, &tampered, "Invalid signature").await;
    assert_eq!(says(&mut client, &alice.answer("alice", &required)).await["type"], "auth_success");
    assert_eq!(server.counters.auth_failed.load(Relaxed), 6);
}

/// Guards against: weights are not added up; one key counts twice.
#[tokio::test]
async fn an_authority_of_several_keys_needs_their_weight() {
    let (hive, [a, b, c]) = (Hive::start().unwrap(), ["a", "b", "c"].map(Signer::new));
    hive.register("alice", 3, &[(a.key(), 2), (b.key(), 1), (c.key(), 3)]);
    let server = Server::guarded(limits(), rules("", &[&hive])).await;
    let enough: [(&[&Signer], bool); 5] =
        [(&[&a], false), (&[&a, &a], false), (&[&b], false), (&[&a, &b], true), (&[&c], true)];
    for (signers, enough) in enough {
        let mut client = server.connect("/fork-stream").await;
        let required = client.hear().await;
        assert_eq!(required["authorizedNodes"], "any");
        let mut answer = a.answer("alice", &required);
        let message = answer["message"].as_str().unwrap().to_owned();
        let signatures: Vec<String> = signers.iter().map(|signer| signer.sign(&message).to_string()).collect();
        answer["signature"] = if let [one] = &signatures[..] { json!(one) } else { json!(signatures) };
        let said = says(&mut client, &answer).await;
        assert_eq!(said["type"], if enough { "auth_success" } else { "auth_failed" }, "{signatures:?}");
    }
}

/// Guards against: the first endpoint that answers anything decides; a redirect is followed.
#[tokio::test]
async fn endpoints_that_fail_are_passed_over() {
    let (good, alice) = hive();
    for manner in [Manner::Failing, Manner::Babbling, Manner::Confused, Manner::Endless, Manner::Redirecting] {
        let (bad, _) = hive();
        bad.behave(manner);
        let server = Server::guarded(limits(), rules("", &[&bad, &good])).await;
        let mut client = server.connect("/fork-stream").await;
        let required = client.hear().await;
        assert_eq!(says(&mut client, &alice.answer("alice", &required)).await["type"], "auth_success", "{manner:?}");
    }
    let (only, _) = hive();
    only.behave(Manner::Failing);
    let server = Server::guarded(limits(), rules("", &[&only])).await;
    let mut client = server.connect("/fork-stream").await;
    let required = client.hear().await;
    failed(&mut client, &alice.answer("alice", &required), "Authentication verification failed").await;
    only.behave(Manner::Honest);
    assert_eq!(
        says(&mut client, &alice.answer("alice", &required)).await["type"],
        "auth_success",
        "failures are not kept"
    );
}

/// Guards against: the operator's file is asked last.
#[tokio::test]
async fn the_operators_file_goes_before_hive() {
    let (hive, alice) = hive();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.json");
    let (file_key, bob) = (Signer::new("file"), Signer::new("bob"));
    let keys = json!({"alice": {"active": [file_key.key()], "memo": "STM1"},
        "bob": {"active": {"weight_threshold": 2, "key_auths": [[bob.key(), 2]]}}});
    std::fs::write(&path, keys.to_string()).unwrap();
    let accounts = Accounts::new(Watched::open(&path, account_keys::read).unwrap(), vec![hive.url()]).unwrap();
    let server = Server::guarded(limits(), Access { require: true, accounts, ..Access::default() }).await;
    let mut client = server.connect("/fork-stream").await;
    let required = client.hear().await;
    failed(&mut client, &alice.answer("alice", &required), "Invalid signature").await;
    assert_eq!(says(&mut client, &file_key.answer("alice", &required)).await["type"], "auth_success");
    let mut client = server.connect("/fork-stream").await;
    let required = client.hear().await;
    assert_eq!(says(&mut client, &bob.answer("bob", &required)).await["type"], "auth_success");
    assert_eq!(hive.asked(), 0);
    for wrong in ["[]", r#"{"x":{}}"#, r#"{"alice":{"active":["STM"]}}"#, r#"{"alice":{"active":[]}}"#] {
        std::fs::write(&path, wrong).unwrap();
        assert!(account_keys::read(&path).is_err(), "{wrong}");
    }
}

/// Guards against: the deadline begins anew with each frame.
#[tokio::test]
async fn whoever_does_not_prove_it_in_time_is_closed() {
    let (hive, _) = hive();
    let server =
        Server::guarded(Limits { prove: Duration::from_millis(300), ..limits() }, rules("[alice]", &[&hive])).await;
    let mut client = server.connect("/fork-stream").await;
    client.send(&json!({"type":"identify"})).await;
    let (code, said) = client.closed().await;
    assert_eq!((code, &said[0]["type"], said.len()), (1008, &json!("auth_required"), 2));
    assert_eq!(Limits::default().prove, Duration::from_secs(30));
    server.count("unproven", 1).await;
    assert_eq!(server.counters.sockets.load(Relaxed), 0, "no session was ever begun");
}

#[tokio::test]
async fn strangers_of_one_address_do_not_take_all_the_room() {
    let (hive, _) = hive();
    let server = Server::guarded(limits(), rules("[alice]", &[&hive])).await;
    let mut inside = Vec::new();
    loop {
        let mut client = server.connect("/fork-stream").await;
        match client.first().await {
            Ok(required) => assert_eq!(required["type"], "auth_required"),
            Err(code) => break assert_eq!(code, 1013),
        }
        inside.push(client);
        assert!(inside.len() < 100);
    }
    assert_eq!(inside.len(), 32);
    inside.pop();
    server.count("unproven", 1).await;
}

fn key(folder: &std::path::Path, scopes: &[Scope], account: &str) -> String {
    let (id, hash, name) = (String::new(), String::new(), "feed".to_owned());
    let (scopes, account) = (scopes.iter().cloned().collect::<BTreeSet<_>>(), Some(account.to_owned()));
    let draft = Key { id, name, hash, scopes, account, created_ms: 1, expires_ms: None };
    KeyRing::create(&keys_path(folder), draft).unwrap().1
}

/// The published client cannot sign. Guards against: a key of any scope lets a feed in; a revoked one still does.
#[tokio::test]
async fn a_feed_comes_in_with_a_key_of_its_account() {
    let folder = tempfile::tempdir().unwrap();
    let good = key(folder.path(), &[Scope::Feed], "alice");
    let (reader, other) = (key(folder.path(), &[Scope::Admin], "alice"), key(folder.path(), &[Scope::Feed], "bob"));
    let keys = Watched::open(&keys_path(folder.path()), KeyRing::watch).unwrap();
    let server = Server::guarded(limits(), Access { keys, ..rules("[alice]\nnetworks = [\"dlux_\"]", &[]) }).await;
    for (name, value) in [("authorization", format!("Bearer {good}")), ("x-api-key", good.clone())] {
        let mut client = server.connect_with("/ws", &[(name, &value)]).await;
        let greeting = client.hear().await;
        assert_eq!((&greeting["type"], &greeting["account"]), (&json!("connected"), &json!("alice")), "{name}");
        client.identify("DLUX", None).await;
        client.batch(0..1).await;
        assert_eq!(client.hear().await["message"], "Identification received");
        assert_eq!(client.hear().await, ack(0));
    }
    for wrong in [&reader, &other, &good[1..].to_owned(), &"token".to_owned()] {
        assert_eq!(refused(&server, &[("x-api-key", wrong)]).await, 403);
    }
    let id = good.split('_').nth(1).unwrap();
    KeyRing::revoke(&keys_path(folder.path()), id).unwrap();
    assert_eq!(refused(&server, &[("x-api-key", &good)]).await, 403);
}

async fn refused(server: &Server, headers: &[(&'static str, &str)]) -> u16 {
    let mut request = format!("ws://{}/ws", server.at).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_feed_comes_in_from_its_accounts_address() {
    let mut access = rules("[alice]\naddresses = [\"127.0.0.0/8\"]", &[]);
    access.proxies = vec![range("127.0.0.1").unwrap()];
    let server = Server::guarded(limits(), access).await;
    let mut client = server.connect_with("/ws", &[("x-forwarded-for", "127.0.0.9")]).await;
    assert_eq!(client.hear().await["account"], "alice");
    for forwarded in ["127.0.0.9, 8.8.8.8", "nonsense"] {
        let mut client = server.connect_with("/ws", &[("x-forwarded-for", forwarded)]).await;
        assert_eq!(client.hear().await["type"], "auth_required", "{forwarded}");
    }
    assert_eq!(refused(&server, &[("x-forwarded-for", "127.0.0.9"), ("origin", "https://evil.example")]).await, 403);
}

/// Guards against: the marker behind a refused op closes its batch; the default network is not asked about.
#[tokio::test]
async fn an_account_does_what_it_may_and_nothing_else() {
    let accounts =
        "[alice]\nnetworks = [\"dlux_\"]\noperations = [\"put\"]\npaths = [\"/balances\"]\naddresses = [\"127.0.0.1\"]";
    let server = Server::guarded(limits(), rules(accounts, &[])).await;
    let del = json!({"type":"del","index":1,"blockNum":1,"forkHash":"QmA","path":["balances","alice"]});
    let mut elsewhere = put(1);
    elsewhere["path"] = json!(["stats", "x"]);
    let marker = json!({"type":"write_marker","index":2,"blockNum":1});
    for wrong in [del, elsewhere, json!({"type":"identify","token":"SPK"})] {
        let mut client = server.connect("/ws").await;
        client.hear().await;
        client.identify("DLUX", None).await;
        client.hear().await;
        client.send(&put(0)).await;
        client.send(&wrong).await;
        client.send(&marker).await;
        let (code, said) = client.closed().await;
        assert_eq!((code, &said.last().unwrap()["type"]), (1008, &json!("error")), "{wrong}: {said:?}");
    }
    let seen = server.core("dlux_").seen.lock().unwrap();
    assert!(seen.kept.is_empty(), "no batch was closed: {:?}", seen.kept);
    assert!(server.core("spkcc_").seen.lock().unwrap().tokens.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_sessions_with_authentication_are_answered_as_recorded_or_as_we_say() {
    for (path, case) in guarded_cases() {
        let server = Server::guarded(limits(), rules("", &[])).await;
        let mut client = server.connect(&path).await;
        play(&mut client, &case, false).await;
    }
}
