//! Documents by CID: a gateway's word counts only by its hash, whatever else it does.

mod desk;

use desk::{NETWORK, PERIODS, config, honeycomb, pace};
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
