//! Documents by CID: a gateway's word counts only by its hash, whatever else it does.

mod desk;

use desk::{EVERY, LONG, NETWORK, PERIODS, config, honeycomb, pace};
use honeygraph::proof::gateway::{GatewayError, Gateways};
use honeygraph_protocols::document::cid_v0;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::gateway::{Gateway, Manner};
use honeygraph_testnet::honeycomb::{Fault, Profile};
use honeygraph_testnet::local::LocalNode;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a silent gateway is waited for here: what an honest one never needs, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_gateway_is_believed_nothing_and_the_next_one_is_asked() {
    let document = format!("[94000102,{{\"a\":\"{}\"}}]", "x".repeat(700_000)).into_bytes();
    let cid = cid_v0(&document);
    let (bad, good) = (Gateway::start().unwrap(), Gateway::start().unwrap());
    bad.hold(&cid, document.clone());
    good.hold(&cid, document.clone());
    let most = document.len() as u64;
    for manner in [Manner::Lying, Manner::Stalling, Manner::Truncating, Manner::Endless, Manner::Failing] {
        bad.behave(manner);
        let alone = Gateways::with_patience(&[bad.url()], PATIENCE).unwrap();
        let refused = alone.document(&cid, most).await;
        assert!(matches!(refused, Err(GatewayError::Nowhere { .. })), "{manner:?}");
        let both = Gateways::with_patience(&[bad.url(), good.url()], PATIENCE).unwrap();
        assert_eq!(both.document(&cid, most).await.unwrap(), document, "{manner:?}");
    }
    bad.behave(Manner::Honest);
    let alone = Gateways::with_patience(&[bad.url()], PATIENCE).unwrap();
    assert_eq!(alone.document(&cid, most).await.unwrap(), document);
    assert!(alone.document(&cid, most - 1).await.is_err(), "larger than what was allowed");
    assert!(alone.document("QmNobodyHasThis", most).await.is_err());
    let nowhere = Gateways::with_patience(&["http://127.0.0.1:1".into()], PATIENCE).unwrap();
    assert!(nowhere.document(&cid, most).await.is_err());
}

/// Feeds a node that knows a gateway; gives how each delta came out, by label.
fn deltas(gateway: &Gateway, faults: &[Fault]) -> BTreeMap<u64, (String, Option<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let config = honeygraph::config::Config { gateways: vec![gateway.url()], ..config(folder.path(), PERIODS) };
    let node = LocalNode::start(config).unwrap();
    let twin = honeycomb(Profile::Published, 3, PERIODS, faults);
    let (_, report) = Feeding::start(twin, pace(&node, 1800)).unwrap().finish();
    assert!(report.complete, "{report:?}");
    node.api().settled(NETWORK).unwrap();
    let status = node.api().wait(NETWORK, "proofs", |status| {
        let newest = status["proofs"]["newest"][0]["label"].as_u64();
        (newest.is_some() && newest == status["head"]["opening_label"].as_u64()).then(|| status.clone())
    });
    node.stop().unwrap();
    let proofs = status.unwrap()["proofs"]["newest"].take();
    let deltas = proofs.as_array().unwrap().iter().filter(|proof| proof["kind"] == "delta");
    let word = |value: &Value| value.as_str().map(str::to_owned);
    deltas.map(|p| (p["label"].as_u64().unwrap(), (word(&p["outcome"]).unwrap(), word(&p["detail"])))).collect()
}

/// What the stream alone does not tell of the first day, one delta document does; its ops are still compared with ours.
#[test]
fn one_delta_proves_the_first_day() {
    let mut truth = honeycomb(Profile::Published, 3, PERIODS, &[]);
    truth.steps(400);
    let close = truth.truth().periods.iter().filter_map(|period| period.close.as_ref());
    let (roots, documents): (Vec<_>, Vec<_>) = close.partition(|close| close.root);
    assert!(roots.len() > 2);
    let gateway = Gateway::start().unwrap();
    let alone = deltas(&gateway, &[]);
    assert!(alone.values().filter(|(outcome, _)| outcome == "unverifiable").count() > 3, "{alone:?}");
    for close in &documents {
        gateway.hold(&close.hash, close.document.clone());
    }
    let proven = deltas(&gateway, &[]);
    assert_eq!(proven.len(), alone.len());
    assert!(proven.values().all(|(outcome, _)| outcome == "verified"), "{proven:?}");
    // It was asked only for what was not known: once in each of the first two days.
    let asked = gateway.asked();
    gateway.behave(Manner::Lying);
    assert_eq!(deltas(&gateway, &[]), alone, "a lie changes nothing");
    gateway.behave(Manner::Honest);
    let flipped = deltas(&gateway, &[Fault::Flip { op: 400 }]);
    let wrong: Vec<_> = flipped.values().filter(|(outcome, _)| outcome == "mismatch").collect();
    assert_eq!(wrong.len(), 1, "the documents are honest, the feed is not: {flipped:?}");
    assert!(asked < 12, "{asked}");
}

/// A node that was away while its honeycomb went on, and started again: what was written meanwhile no feed has any more.
/// The deltas bring it, whatever other gateways do. Planted once: what one document brought was supplied without the
/// hash that closed it, and the lane stayed where it was.
#[test]
fn what_no_feed_has_any_more_comes_from_documents() {
    let folder = tempfile::tempdir().unwrap();
    let (liar, gateway) = (Gateway::start().unwrap(), Gateway::start().unwrap());
    let gateways = vec![liar.url(), gateway.url()];
    let config = honeygraph::config::Config { gateways, ..config(folder.path(), LONG) };
    let node = LocalNode::start(config).unwrap();
    let (mut honeycomb, report) =
        Feeding::start(honeycomb(Profile::Published, 5, LONG, &[]), pace(&node, 600)).unwrap().finish();
    assert!(report.complete, "{report:?}");
    honeycomb.steps(EVERY * 4 + 7);
    honeycomb.restart(0);
    let (honeycomb, report) = Feeding::start(honeycomb, pace(&node, 1500)).unwrap().finish();
    assert!(report.complete, "{report:?}");
    let truth = honeycomb.truth();
    let newest = truth.periods.last().unwrap().label;
    let status = node.api().status(NETWORK).unwrap();
    assert!(status["head"]["opening_label"].as_u64().unwrap() + 4 * EVERY <= newest, "{}", desk::told(&status));
    for close in truth.periods.iter().filter_map(|period| period.close.as_ref()) {
        liar.hold(&close.hash, close.document.clone());
        gateway.hold(&close.hash, close.document.clone());
    }
    liar.behave(Manner::Lying);
    let status = node.api().wait(NETWORK, "the head behind the hole", |status| {
        (status["head"]["opening_label"].as_u64() == Some(newest)).then(|| status.clone())
    });
    let status = status.unwrap();
    assert_eq!(
        (&status["forks"].as_array().unwrap().len(), &status["gaps"]),
        (&1, &serde_json::json!([])),
        "{}",
        desk::told(&status)
    );
    assert!(status["counters"]["supplied"].as_u64().unwrap() > 0);
    assert!(liar.asked() > 0, "it was asked first");
    node.api().settled(NETWORK).unwrap();
    let all = truth.leaves_from(0).unwrap();
    assert!(node.api().leaves(NETWORK, "").unwrap() == desk::shown(&all), "the whole stream, in its order");
    node.stop().unwrap();
}

/// `HONEYGRAPH_BASE`: a node that has no base takes the one it is told, by CID; what is no base stops it, what cannot be
/// had does not.
#[test]
fn the_configured_base_is_taken_where_there_is_none() {
    let mut truth = honeycomb(Profile::Published, 8, PERIODS, &[]);
    truth.steps(400);
    let close =
        truth.truth().periods.iter().filter_map(|period| period.close.as_ref()).find(|close| close.root).unwrap();
    let gateway = Gateway::start().unwrap();
    gateway.hold(&close.hash, close.document.clone());
    let folder = tempfile::tempdir().unwrap();
    let plain = config(folder.path(), PERIODS);
    let with = |base: &str| honeygraph::config::Config {
        gateways: vec![gateway.url()],
        network: NETWORK.into(),
        base: Some(base.to_owned()),
        ..plain.clone()
    };
    let file = folder.path().join("other.json");
    std::fs::write(&file, "[1,2]").unwrap();
    assert!(LocalNode::start(with(file.to_str().unwrap())).is_err(), "it was named, and is no base");
    let complete = |node: &LocalNode| node.api().json("/api/query/head?network=desk_").unwrap()["complete"].clone();
    gateway.behave(Manner::Lying);
    let node = LocalNode::start(with(&close.hash)).unwrap();
    let twin = honeycomb(Profile::Published, 8, PERIODS, &[]);
    let (_, report) = Feeding::start(twin, pace(&node, 1800)).unwrap().finish();
    assert!(report.complete, "{report:?}");
    node.api().settled(NETWORK).unwrap();
    assert_eq!(complete(&node), false);
    node.stop().unwrap();
    gateway.behave(Manner::Honest);
    let node = LocalNode::start(with(&close.hash)).unwrap();
    node.api().settled(NETWORK).unwrap();
    assert_eq!(complete(&node), true);
    // It is there now: nobody is asked for it again.
    gateway.behave(Manner::Failing);
    let node = node.restart().unwrap();
    node.api().settled(NETWORK).unwrap();
    assert_eq!(complete(&node), true);
    node.stop().unwrap();
}

/// Without any feed: the root of a day as base, and a later hash of that day that the operator trusts.
#[test]
fn a_base_and_a_trusted_hash_make_a_replica() {
    let mut honeycomb = honeycomb(Profile::Published, 9, PERIODS, &[]);
    honeycomb.steps(400);
    let truth = honeycomb.truth();
    let closes: Vec<_> = truth.periods.iter().map_while(|period| period.close.as_ref()).collect();
    let root = (1..).find(|nth| closes[*nth].root).unwrap();
    let gateway = Gateway::start().unwrap();
    closes.iter().for_each(|close| gateway.hold(&close.hash, close.document.clone()));
    let folder = tempfile::tempdir().unwrap();
    let (base, trusted) = (Some(closes[root].hash.clone()), &closes[root + 3].hash);
    let plain = config(folder.path(), PERIODS);
    let config = honeygraph::config::Config { gateways: vec![gateway.url()], network: NETWORK.into(), base, ..plain };
    let node = LocalNode::start(config).unwrap();
    let order = serde_json::json!({ "hash": trusted, "reason": "seen elsewhere", "network": NETWORK });
    node.api().post("/api/admin/trust", &order).unwrap();
    let last = truth.periods[root + 3].label;
    let reached = |status: &Value| (status["head"]["opening_label"].as_u64() == Some(last)).then_some(());
    node.api().wait(NETWORK, "the day of the trusted hash", reached).unwrap();
    let node = node.restart().unwrap();
    node.api().settled(NETWORK).unwrap();
    assert_eq!(node.api().json("/api/query/head?network=desk_").unwrap()["complete"], true);
    let all = truth.leaves_after(root as u64 + 3, usize::MAX).unwrap();
    assert!(node.api().leaves(NETWORK, "").unwrap() == desk::shown(&all), "the whole state of that day");
    node.stop().unwrap();
}
