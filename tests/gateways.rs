//! Documents by CID: a gateway's word counts only by its hash, whatever else it does.

mod desk;

use desk::{EVERY, LONG, NETWORK, PERIODS, config, honeycomb, pace};
use honeygraph::proof::gateway::{GatewayError, Gateways};
use honeygraph_protocols::document::cid_v0;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::gateway::{Gateway, Manner};
use honeygraph_testnet::honeycomb::{Fault, Honeycomb, Profile};
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
/// The deltas bring it, whatever other gateways do. Guards against: what one document brought was supplied without the
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
    // The first period has no name that the stream tells: what it brought lies before the replica.
    let all = truth.leaves_from(1).unwrap();
    let (here, there) = (node.api().leaves(NETWORK, "").unwrap(), desk::shown(&all));
    let differs = here.iter().find(|(path, value)| there.get(*path) != Some(value));
    let lacks = there.iter().find(|(path, _)| !here.contains_key(*path));
    assert!(here == there, "the whole stream, in its order: {differs:?}, {lacks:?}\n{}", desk::told(&status));
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

/// Everything that a honeycomb of these days wrote, and a gateway that has it.
fn days(seed: u64, steps: u64) -> (Honeycomb, Gateway) {
    let mut honeycomb = honeycomb(Profile::Published, seed, PERIODS, &[]);
    honeycomb.steps(steps);
    let gateway = Gateway::start().unwrap();
    let closes = honeycomb.truth().periods.iter().filter_map(|period| period.close.as_ref());
    closes.for_each(|close| gateway.hold(&close.hash, close.document.clone()));
    (honeycomb, gateway)
}

fn is_complete(node: &LocalNode) -> bool {
    node.api().json("/api/query/head?network=desk_").unwrap()["complete"] == true
}

/// Documents in a folder of the data folder.
fn documents(node: &LocalNode, folder: &str) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(node.config().data_dir.join(folder).join(NETWORK)) else { return Vec::new() };
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// A node that was fed from the middle of a day on finds the root that its history begins with, and stands on it after
/// the next start: not while a gateway lies, not when it may not go so far back, not when it has a base.
#[test]
fn the_oldest_root_on_the_way_back_becomes_the_base() {
    let (honeycomb, gateway) = days(8, 600);
    let truth = honeycomb.truth();
    let roots: Vec<_> = truth.periods.iter().filter_map(|p| p.close.as_ref()).filter(|close| close.root).collect();
    let folder = tempfile::tempdir().unwrap();
    let with =
        |roots| honeygraph::config::Config { gateways: vec![gateway.url()], roots, ..config(folder.path(), PERIODS) };
    gateway.behave(Manner::Lying);
    let node = LocalNode::start(with(400)).unwrap();
    let twin = desk::honeycomb(Profile::Published, 8, PERIODS, &[]);
    let (_, report) = Feeding::start(twin, pace(&node, 3600)).unwrap().finish();
    assert!(report.complete, "{report:?}");
    // The prover asks once, and leaves a gateway that lies alone.
    node.api().wait(NETWORK, "the way back, tried", |_| (gateway.asked() > 1).then_some(())).unwrap();
    let status = node.api().settled(NETWORK).unwrap();
    assert_eq!((&status["proofs"]["walk"], documents(&node, "found").len()), (&Value::Null, 0));
    node.stop().unwrap();
    let walked = |node: &LocalNode| {
        let walk = |status: &Value| Some(status["proofs"]["walk"].clone()).filter(|walk| !walk.is_null());
        node.api().wait(NETWORK, "the way back", walk).unwrap()
    };
    gateway.behave(Manner::Honest);
    let node = LocalNode::start(with(1)).unwrap();
    let walk = walked(&node);
    assert_eq!((&walk["ended"], &walk["base"], &walk["roots"]), (&"depth".into(), &Value::Null, &1.into()), "{walk}");
    assert!(!is_complete(&node) && documents(&node, "found").is_empty());
    node.stop().unwrap();
    let node = LocalNode::start(with(400)).unwrap();
    let walk = walked(&node);
    assert_eq!((&walk["ended"], &walk["base"]), (&"oldest".into(), &roots[0].hash.clone().into()), "{walk}");
    assert!(walk["roots"].as_u64() > Some(2) && walk["held"].as_u64() > Some(8), "{walk}");
    assert!(!is_complete(&node), "at the next start");
    gateway.behave(Manner::Failing);
    let node = node.restart().unwrap();
    node.api().settled(NETWORK).unwrap();
    assert!(is_complete(&node));
    assert_eq!(
        (documents(&node, "found").len(), documents(&node, "base")),
        (0, vec![format!("{}.json", roots[0].hash)])
    );
    let status = node.api().wait(NETWORK, "proofs on the base", |status| {
        let newest = status["proofs"]["newest"].as_array()?;
        // The base itself is what was not seen.
        let later = |proof: &&Value| proof["kind"] == "root" && proof["hash"] != roots[0].hash.as_str();
        let mut later = newest.iter().filter(later).peekable();
        (later.peek().is_some() && later.all(|root| root["outcome"] == "verified")).then(|| status.clone())
    });
    assert_eq!(status.unwrap()["proofs"]["walk"], Value::Null);
    node.stop().unwrap();
}

/// A trusted hash alone makes a replica: its day from deltas, and the root of the day as the base.
#[test]
fn a_trusted_hash_finds_its_own_base() {
    let (honeycomb, gateway) = days(9, 400);
    let truth = honeycomb.truth();
    let closes: Vec<_> = truth.periods.iter().map_while(|period| period.close.as_ref()).collect();
    let root = (1..).find(|nth| closes[*nth].root).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = honeygraph::config::Config { gateways: vec![gateway.url()], ..config(folder.path(), PERIODS) };
    let node = LocalNode::start(config).unwrap();
    let order = serde_json::json!({ "hash": closes[root + 3].hash, "reason": "seen elsewhere", "network": NETWORK });
    node.api().post("/api/admin/trust", &order).unwrap();
    let found = |status: &Value| (status["proofs"]["walk"]["base"] == closes[root].hash.as_str()).then_some(());
    node.api().wait(NETWORK, "the base", found).unwrap();
    let node = node.restart().unwrap();
    node.api().settled(NETWORK).unwrap();
    assert!(is_complete(&node));
    let all = truth.leaves_after(root as u64 + 3, usize::MAX).unwrap();
    assert!(node.api().leaves(NETWORK, "").unwrap() == desk::shown(&all), "the whole state of that day");
    node.stop().unwrap();
}

/// What was missed reaches over a daily root. The root leads to the deltas of the day before; what is left is the one
/// period that it closed, whose ops no document has.
#[test]
fn a_hole_that_crosses_a_root_shrinks_to_the_period_that_it_closed() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start().unwrap();
    let config = honeygraph::config::Config { gateways: vec![gateway.url()], ..config(folder.path(), 12) };
    let node = LocalNode::start(config).unwrap();
    let (mut honeycomb, report) =
        Feeding::start(honeycomb(Profile::Published, 5, 12, &[]), pace(&node, 600)).unwrap().finish();
    assert!(report.complete, "{report:?}");
    let before = node.api().settled(NETWORK).unwrap()["head"]["opening_label"].as_u64().unwrap();
    // Away over a whole day of roots, and back in the middle of the next.
    let from = honeycomb.truth().periods.len();
    while !honeycomb.truth().periods[from..].iter().any(|period| period.close.as_ref().is_some_and(|close| close.root))
    {
        honeycomb.steps(EVERY);
    }
    honeycomb.steps(EVERY * 3 + 7);
    honeycomb.restart(0);
    let (honeycomb, report) = Feeding::start(honeycomb, pace(&node, 900)).unwrap().finish();
    assert!(report.complete, "{report:?}");
    let truth = honeycomb.truth();
    for close in truth.periods.iter().filter_map(|period| period.close.as_ref()) {
        gateway.hold(&close.hash, close.document.clone());
    }
    let is_root = |nth: &usize| truth.periods[*nth].close.as_ref().is_some_and(|close| close.root);
    let closed = (from..).find(is_root).unwrap();
    let last = truth.periods[closed - 1].label;
    assert!(last > before + EVERY, "{last} {before}");
    let reached = |status: &Value| (status["head"]["opening_label"].as_u64() == Some(last)).then(|| status.clone());
    let status = node.api().wait(NETWORK, "the last delta before the root", reached).unwrap();
    assert_eq!(status["forks"].as_array().unwrap().len(), 1, "{}", desk::told(&status));
    node.api().settled(NETWORK).unwrap();
    let held = truth.leaves_after(closed as u64 - 1, usize::MAX).unwrap();
    let here = node.api().leaves(NETWORK, "").unwrap();
    let there = desk::shown(&held);
    assert!(here.iter().all(|(path, value)| there.get(path) == Some(value)), "as the stream had it there");
    node.stop().unwrap();
}
