//! What honeycomb hashed is what this replica holds: every checkpoint is recomputed from the stream alone, and a
//! difference shows at the right one.

mod desk;

use desk::{EVERY, NETWORK, PERIODS, config, honeycomb, pace};
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::honeycomb::{Fault, Honeycomb, Profile};
use honeygraph_testnet::local::LocalNode;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// A checkpoint as the status shows it: label, kind, outcome, detail.
type Checked = (u64, String, String, Option<String>);

/// Feeds a node, waits until every closed period was looked at, and gives its status.
fn proven(node: &LocalNode, honeycomb: Honeycomb, ops: u64) -> (Honeycomb, Value) {
    let (honeycomb, report) = Feeding::start(honeycomb, pace(node, ops)).unwrap().finish();
    assert!(report.complete && report.unacked == 0, "{report:?}");
    let api = node.api();
    api.settled(NETWORK).unwrap();
    let status = api.wait(NETWORK, "proofs", |status| {
        let newest = status["proofs"]["newest"][0]["label"].as_u64();
        (newest.is_some() && newest == status["head"]["opening_label"].as_u64()).then(|| status.clone())
    });
    (honeycomb, status.unwrap())
}

/// The newest checkpoints, oldest first.
fn checked(status: &Value) -> Vec<Checked> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let newest = status["proofs"]["newest"].as_array().unwrap().iter().rev();
    newest
        .map(|proof| {
            let [kind, outcome] = [&proof["kind"], &proof["outcome"]].map(|word| text(word).unwrap());
            (proof["label"].as_u64().unwrap(), kind, outcome, text(&proof["detail"]))
        })
        .collect()
}

/// Without a base no root can be made again, and a delta only once the root before its day's is known.
#[test]
fn every_delta_of_the_published_client_is_verified_from_the_third_day_on() {
    for seed in 1..3 {
        let folder = tempfile::tempdir().unwrap();
        let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
        let faults = [Fault::Restart { blocks: 230, back: 1 }, Fault::Disconnect { op: 900 }];
        let (_, status) = proven(&node, honeycomb(Profile::Published, seed, PERIODS, &faults), 3000);
        let checked = checked(&status);
        let roots: Vec<u64> = checked.iter().filter(|checked| checked.1 == "root").map(|checked| checked.0).collect();
        assert!(roots.len() > 2 && roots.windows(2).all(|pair| pair[1] - pair[0] == EVERY * PERIODS), "{checked:?}");
        for (label, kind, outcome, detail) in &checked {
            let expected = match kind.as_str() {
                "root" => ("unverifiable", Some("no_base")),
                _ if *label < roots[0] => ("unverifiable", Some("root_unknown")),
                _ if *label < roots[1] => ("unverifiable", Some("previous_root_unknown")),
                _ => ("verified", None),
            };
            assert_eq!((outcome.as_str(), detail.as_deref()), expected, "{label} of {checked:?}");
        }
        assert_eq!(status["proofs"]["mismatch"], Value::Null);
        node.stop().unwrap();
    }
}

/// One leaf, one op, one pair of ops: what differs by so little shows at the checkpoint that closes its period, on every
/// answer from there on, in `/health`, and nowhere before.
#[test]
fn one_flipped_leaf_one_omitted_op_and_one_exchanged_pair_are_mismatches() {
    for fault in [Fault::Flip { op: 3050 }, Fault::Omit { op: 3050 }, Fault::Exchange { op: 3050 }] {
        let folder = tempfile::tempdir().unwrap();
        let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
        let honeycomb = honeycomb(Profile::Published, 4, PERIODS, std::slice::from_ref(&fault));
        let (honeycomb, status) = proven(&node, honeycomb, 3000);
        let checked = checked(&status);
        let wrong: Vec<&Checked> = checked.iter().filter(|checked| checked.2 == "mismatch").collect();
        let [(label, _, _, computed)] = wrong.as_slice() else { panic!("{fault:?}: {checked:?}") };
        let closed = honeycomb.truth().periods.iter().find(|period| {
            let ops = period.batches.iter().flat_map(|batch| &batch.ops).count();
            period.close.is_some() && ops > 0 && period.label + EVERY == *label
        });
        let announced = &closed.unwrap().close.as_ref().unwrap().hash;
        assert_ne!(computed.as_ref(), Some(announced), "{fault:?}");
        assert_eq!(status["proofs"]["mismatch"], *label, "{fault:?}");
        let at = |block: u64| node.api().json(&format!("/api/query/head?network={NETWORK}&block={block}")).unwrap();
        let (before, here, head) = (at(label - EVERY - 1), at(label - 1), at(*label));
        assert_eq!((&before["verified"], &before["mismatch"]), (&Value::Bool(true), &Value::Null), "{fault:?}");
        for answer in [here, head] {
            assert_eq!((&answer["verified"], answer["mismatch"].as_u64()), (&Value::Bool(false), Some(*label)));
        }
        let health = node.api().json("/health").unwrap();
        assert_eq!(health["networks"][NETWORK]["components"]["proof"]["status"], "degraded", "{health}");
        node.stop().unwrap();
    }
}

/// A lie about a hash is a mismatch too; the operator's word makes a checkpoint final, and the node keeps it.
#[test]
fn a_lie_differs_and_trust_makes_final() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let honeycomb = honeycomb(Profile::Published, 6, PERIODS, &[Fault::WrongHash { period: 13 }]);
    let (honeycomb, status) = proven(&node, honeycomb, 3000);
    let lie = honeycomb.truth().periods[13].label;
    assert_eq!(status["proofs"]["mismatch"], lie);
    // Honeycomb's own consensus has confirmed the newest verified checkpoint before it.
    let label = status["proofs"]["confirmed_at"].as_u64().unwrap();
    let agreed = honeycomb.truth().periods.iter().find(|period| period.label == label).unwrap();
    let hash = agreed.opening.clone().unwrap();
    let point = |node: &LocalNode, block: u64| {
        let answer = node.api().json(&format!("/api/query/head?network={NETWORK}&block={block}")).unwrap();
        (answer["final"].as_bool().unwrap(), answer["confirmed_by"].as_str().map(str::to_owned))
    };
    assert_eq!(point(&node, label - 1), (true, Some("consensus".into())));
    let order = serde_json::json!({ "hash": hash, "reason": "seen elsewhere", "network": NETWORK });
    let answer = node.api().post("/api/admin/trust", &order).unwrap();
    assert_eq!(answer["label"], label);
    let pinned = |status: &Value| (status["proofs"]["trusted"][0] == hash.as_str()).then_some(());
    node.api().wait(NETWORK, "trust", pinned).unwrap();
    let check = |node: &LocalNode| {
        assert_eq!(point(node, label - 1), (true, Some("pin".into())));
        assert!(!point(node, label).0, "what lies behind it is not");
    };
    check(&node);
    let node = node.restart().unwrap();
    check(&node);
    node.stop().unwrap();
}

/// Runs the program on a data folder: exit code, and what it printed.
fn command(data: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_honeygraph"));
    let done = command.args(arguments).arg("--data-dir").arg(data).args(["--network", NETWORK]).output().unwrap();
    (done.status.code().unwrap(), String::from_utf8_lossy(&done.stdout).into_owned())
}

/// A replica that joined late takes the root of a day as its base: from there on it knows everything, every checkpoint is
/// verified, roots too, and what lies before is said to be unknown.
#[test]
fn a_base_makes_a_late_replica_complete() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let (honeycomb, status) = proven(&node, honeycomb(Profile::Published, 8, PERIODS, &[]), 2200);
    let found = checked(&status);
    assert!(found.iter().all(|checked| checked.1 != "root" || checked.2 == "unverifiable"), "{found:?}");
    let root = honeycomb.truth().periods.iter().find(|period| period.close.as_ref().is_some_and(|close| close.root));
    let close = root.unwrap().close.as_ref().unwrap();
    let label = root.unwrap().label + EVERY;
    let data = node.config().data_dir.clone();
    let (status, head) = (node.api().status(NETWORK).unwrap(), "/api/query/head?network=desk_");
    assert_eq!(node.api().json(head).unwrap()["complete"], false);
    let config = node.config().clone();
    node.stop().unwrap();

    let file = folder.path().join("root.json");
    std::fs::write(&file, &close.document).unwrap();
    let (file, hash) = (file.to_str().unwrap(), close.hash.as_str());
    let (code, _) = command(&data, &["base", "import", file, "--hash", status["head"]["period"].as_str().unwrap()]);
    assert_eq!(code, 5, "not the document it is called");
    let (code, said) = command(&data, &["base", "import", file, "--hash", hash]);
    assert!(code == 0 && said.contains(&format!("checkpoint {label}")), "{said}");
    assert!(command(&data, &["base", "show"]).1.contains(hash));

    let restarted = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    // However often it dies on the way: what is proven anew goes on, and is not begun by chance alone.
    let node = LocalNode::start(config).unwrap().restart().unwrap().restart().unwrap();
    let newest = &status["head"]["opening_label"];
    let again = node.api().wait(NETWORK, "the proofs to be made again", |status| {
        let proof = &status["proofs"]["newest"][0];
        (proof["label"] == *newest && proof["at_ms"].as_u64() >= Some(restarted)).then(|| status.clone())
    });
    let again = again.unwrap();
    let truth = honeycomb.truth();
    for (at, kind, outcome, detail) in checked(&again) {
        let expected = match kind.as_str() {
            "root" if at == label => "unverifiable",
            "root" => "verified",
            _ if at <= label + EVERY * (PERIODS - 1) => "unverifiable",
            _ => "verified",
        };
        assert_eq!(outcome, expected, "{kind} {at}: {detail:?}");
    }
    let answer = node.api().json(head).unwrap();
    assert_eq!((&answer["batch"], &answer["complete"]), (&status["head"]["batch"], &Value::Bool(true)));
    let found = node.api().leaves(NETWORK, "").unwrap();
    let periods = truth.periods.len() as u64;
    let all = truth.leaves_after(periods - 1, usize::MAX).unwrap();
    assert!(found == desk::shown(&all), "the whole state, what was there before the first op too");
    let (code, early) = node.api().get(&format!("{head}&block={}", label - 1)).unwrap();
    assert_eq!((code, early["code"].as_str()), (410, Some("before_base")));
    node.stop().unwrap();
    let (code, said) = command(&data, &["verify"]);
    assert_eq!(code, 0, "{said}");
}

/// What honeycomb says of its state is worth nothing until a root proves it: one leaf too many, and none does.
#[test]
fn a_state_that_honeycomb_gave_is_the_base_once_a_root_proves_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = LocalNode::start(config(folder.path(), PERIODS)).unwrap();
    let (honeycomb, _) = proven(&node, honeycomb(Profile::Published, 8, PERIODS, &[]), 1500);
    let data = node.config().data_dir.clone();
    let mut closes = honeycomb.truth().periods.iter().filter_map(|period| period.close.as_ref());
    let document = String::from_utf8(closes.rfind(|close| close.root).unwrap().document.clone()).unwrap();
    let state = document.split_once(',').and_then(|(_, state)| state.strip_suffix(']')).unwrap();
    let give = |answer: String| {
        let file = folder.path().join("state.json");
        std::fs::write(&file, answer).unwrap();
        command(&data, &["base", "import", file.to_str().unwrap(), "--state"])
    };
    assert_eq!(give(state.to_owned()).0, 5, "no answer of GET /state");
    let (code, said) = give(format!(r#"{{"node":"x","state":{{"!":1,{}}}"#, &state[1..]));
    assert!(code == 0 && said.contains("worth nothing"), "{said}");
    // What feeds next is another process.
    let again = |mut honeycomb: Honeycomb| {
        honeycomb.restart(0);
        proven(&node, honeycomb, 1200)
    };
    let (honeycomb, status) = again(honeycomb);
    let roots = |status: &Value| checked(status).iter().filter(|checked| checked.1 == "root").count();
    let (tried, found) = (roots(&status), data.join("found").join(NETWORK));
    assert!(tried > 1 && !found.exists(), "{tried}");
    assert_eq!(give(format!(r#"{{"state":{state}}}"#)).0, 0);
    let (honeycomb, _) = again(honeycomb);
    let head = "/api/query/head?network=desk_";
    assert_eq!(node.api().json(head).unwrap()["complete"], false, "at the next start");
    assert_eq!(std::fs::read_dir(&found).unwrap().count(), 1);
    let node = node.restart().unwrap();
    node.api().settled(NETWORK).unwrap();
    assert_eq!(node.api().json(head).unwrap()["complete"], true);
    let truth = honeycomb.truth();
    let all = truth.leaves_after(truth.periods.len() as u64 - 1, usize::MAX).unwrap();
    assert!(node.api().leaves(NETWORK, "").unwrap() == desk::shown(&all), "the whole state");
    node.stop().unwrap();
}
