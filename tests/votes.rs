//! Votes over real nodes: what accounts agree on is followed without a feed or a pin, and is confirmed; a honeycomb that
//! stands alone hears of it.

mod desk;

use desk::{EVERY, NETWORK, PERIODS, config, honeycomb, pace, told};
use honeygraph::config::Config;
use honeygraph::swarm::votes::bound;
use honeygraph_bootstrap::identity;
use honeygraph_bootstrap::source::Source;
use honeygraph_protocols::swarm::keys::PeerKey;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::honeycomb::{Fault, Profile};
use honeygraph_testnet::local::LocalNode;
use honeygraph_testnet::swarm::voter::Account;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const ISSUED: u64 = 1_764_000_000_000;

fn accounts() -> [Account; 3] {
    ["alice", "bobby", "carol"].map(Account::new)
}

/// A node that knows whose votes count, of this account if any, with these first peers, none of which it trusts.
fn node(folder: &Path, account: Option<&Account>, peers: &[&LocalNode]) -> LocalNode {
    let mut config: Config = config(folder, PERIODS);
    config.swarm.enabled = true;
    let first = peers.iter().flat_map(|peer| &peer.endpoints().swarm);
    config.swarm.sources = first.map(|address| Source::parse(address).unwrap()).collect();
    let all = accounts();
    config.swarm.electorate = all.iter().map(|account| account.name.clone()).collect();
    let keys: BTreeMap<_, _> =
        all.iter().map(|account| (account.name.as_str(), json!({ "active": [account.key().to_string()] }))).collect();
    let file = folder.join("keys.json");
    std::fs::write(&file, json!(keys).to_string()).unwrap();
    config.swarm.account_keys = Some(file);
    if let Some(account) = account {
        let key = identity::load_or_make(&config.data_dir.join("swarm/key")).unwrap();
        let peer = PeerKey::from_peer_id(&identity::peer_id(&key).to_bytes()).unwrap();
        bound::write(&config.data_dir.join("swarm/binding.json"), &account.bind_key(peer, ISSUED)).unwrap();
    }
    LocalNode::start(config).unwrap()
}

fn votes(node: &LocalNode) -> Value {
    node.api().json(&format!("/api/sync/status?network={NETWORK}")).unwrap()["votes"].clone()
}

fn folders<const N: usize>() -> [TempDir; N] {
    std::array::from_fn(|_| tempfile::tempdir().unwrap())
}

/// Two accounts of three recompute the same checkpoints. A node that nobody feeds, and that trusts neither of them,
/// follows what they agree on and calls it final; so do they.
#[test]
fn what_more_than_half_vouch_for_is_followed_and_final() {
    let [one, two, three] = folders();
    let [alice, bobby, _] = &accounts();
    let first = node(one.path(), Some(alice), &[]);
    let second = node(two.path(), Some(bobby), &[&first]);
    let reader = node(three.path(), None, &[&first, &second]);
    for each in [&first, &second, &reader] {
        let met = |_: &Value| (votes(each)["bound"] == 2).then_some(());
        each.api().wait(NETWORK, "the bindings of the others", met).unwrap();
    }
    let feeds = [&first, &second]
        .map(|fed| Feeding::start(honeycomb(Profile::Published, 41, PERIODS, &[]), pace(fed, 3000)).unwrap());
    for feed in feeds {
        let (_, report) = feed.finish();
        assert!(report.complete && report.unacked == 0, "{report:?}");
    }
    let status = first.api().settled(NETWORK).unwrap();
    let newest = status["head"]["opening_label"].as_u64().unwrap();
    let agreed = reader.api().wait(NETWORK, "the newest checkpoint that they agree on", |status| {
        let all = votes(&reader);
        let newest = all["newest"].as_array()?.iter().find(|tally| !tally["agreed"].is_null())?.clone();
        let here = status["head"]["opening_label"].as_u64()? + EVERY >= newest["label"].as_u64()?;
        let confirmed = status["proofs"]["confirmed_at"].as_u64()?;
        (here && newest["label"].as_u64()? + 2 * EVERY > newest_of(&first)? && confirmed > 0).then_some(newest)
    });
    let agreed = match agreed {
        Ok(agreed) => agreed,
        Err(error) => panic!(
            "{error}\n{}\n{:#}\n{:#}",
            told(&reader.api().status(NETWORK).unwrap()),
            reader.api().json("/api/sync/status").unwrap(),
            votes(&first)
        ),
    };
    assert!(agreed["label"].as_u64().unwrap() + 2 * EVERY > newest, "{agreed}");
    for each in [&first, &second, &reader] {
        let confirmed =
            each.api().wait(NETWORK, "the confirmation", |status| status["proofs"]["confirmed_at"].as_u64());
        let before = confirmed.unwrap() - 1;
        let point = each.api().json(&format!("/api/query/head?network={NETWORK}&block={before}")).unwrap();
        assert_eq!((&point["final"], &point["confirmed_by"]), (&json!(true), &json!("consensus")), "{point}");
        let all = votes(each);
        assert_eq!((&all["electorate"], &all["minority"]), (&json!(3), &Value::Null), "{all}");
    }
    assert_eq!((&votes(&first)["account"], &votes(&first)["counts"]), (&json!("alice"), &json!(true)));
    assert_eq!(votes(&reader)["account"], Value::Null);
    let reader = reader.restart().unwrap();
    let kept = reader.api().status(NETWORK).unwrap()["proofs"]["confirmed_at"].as_u64();
    assert!(kept.is_some(), "what was agreed on is durable");
    for each in [reader, second, first] {
        let data = each.config().data_dir.clone();
        each.stop().unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_honeygraph")).arg("verify").arg("--data-dir").arg(data).output();
        assert!(done.unwrap().status.success());
    }
}

fn newest_of(node: &LocalNode) -> Option<u64> {
    node.api().status(NETWORK).ok()?["head"]["opening_label"].as_u64()
}

/// A honeycomb that wrote something else than the others: its node says so, keeps its feed's history as long as nobody
/// confirmed another one here, and its account's word confirms nothing.
#[test]
fn a_feed_in_the_minority_is_told() {
    let [one, two, three] = folders();
    let [alice, bobby, carol] = &accounts();
    let first = node(one.path(), Some(alice), &[]);
    let second = node(two.path(), Some(bobby), &[&first]);
    let lone = node(three.path(), Some(carol), &[&first, &second]);
    for each in [&first, &second, &lone] {
        let met = |_: &Value| (votes(each)["bound"] == 3).then_some(());
        each.api().wait(NETWORK, "the bindings of the others", met).unwrap();
    }
    let fork = [Fault::Disagree { period: 14, salt: 1 }];
    let feeds = [(&first, &[][..]), (&second, &[]), (&lone, &fork[..])].map(|(fed, faults)| {
        Feeding::start(honeycomb(Profile::Published, 42, PERIODS, faults), pace(fed, 3000)).unwrap()
    });
    for feed in feeds {
        let (_, report) = feed.finish();
        assert!(report.complete && report.unacked == 0, "{report:?}");
    }
    let minority = lone.api().wait(NETWORK, "the word on its feed", |_| {
        Some(votes(&lone)["minority"].clone()).filter(|minority| !minority.is_null())
    });
    let minority = minority.unwrap_or_else(|error| panic!("{error}\n{:#}", votes(&lone)));
    assert_eq!(minority["accounts"], 2, "{minority}");
    let health = lone.api().json("/health").unwrap();
    assert_eq!(health["networks"][NETWORK]["components"]["votes"]["status"], "degraded", "{health}");
    assert_eq!(votes(&first)["minority"], Value::Null);
    for each in [lone, second, first] {
        each.stop().unwrap();
    }
}

/// The text is printed, signed elsewhere, and kept only when somebody signed it.
#[test]
fn an_account_binds_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let bind = |arguments: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_honeygraph"))
            .args(["bind", "alice", "--json", "--data-dir"])
            .arg(&data)
            .args(arguments)
            .output()
            .unwrap();
        (done.status.code(), serde_json::from_slice::<Value>(&done.stdout).unwrap_or_default())
    };
    assert_eq!(bind(&[]).0, Some(1), "no key yet");
    identity::make(&data.join("swarm/key")).unwrap();
    let (code, asked) = bind(&[]);
    assert_eq!(code, Some(0));
    let alice = Account::new("alice");
    let signature = alice.sign(asked["text"].as_str().unwrap()).to_string();
    let issued = asked["issued"].to_string();
    assert_eq!(bind(&["--issued", &issued, "--signature", &signature[2..]]).0, Some(2), "half a signature");
    let (code, said) = bind(&["--issued", &issued, "--signature", &signature]);
    assert_eq!((code, &said["key"]), (Some(0), &json!(alice.key().to_string())));
    let held = bound::read(&data.join("swarm/binding.json")).unwrap().unwrap();
    assert_eq!((held.account.as_str(), held.signer()), ("alice", Some(alice.key())));
}
