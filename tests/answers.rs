//! What a real node answers is what the OpenAPI document says, field by field, with nothing beside.

mod desk;

use desk::{EVERY, LONG, NETWORK, config, pace, told};
use honeygraph::logging::{self, Format};
use honeygraph::web::index::ROUTES;
use honeygraph::web::openapi::document;
use honeygraph_bootstrap::source::Source;
use honeygraph_testnet::feeding::Feeding;
use honeygraph_testnet::honeycomb::live::Pace;
use honeygraph_testnet::honeycomb::{Config, Fault, Honeycomb, Profile};
use honeygraph_testnet::local::LocalNode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tempfile::TempDir;

/// A feed of so many ops; 0: until it is stopped.
fn feed(node: &LocalNode, ops: u64, pace_seed: u64, faults: &[Fault]) -> Feeding {
    let mut config = Config::new(Profile::Published, 5).small(EVERY, LONG);
    (config.token, config.pace, config.faults) = ("DESK".to_owned(), pace_seed, faults.to_vec());
    Feeding::start(Honeycomb::new(config).unwrap(), Pace { rate: 3000.0, ..pace(node, ops) }).unwrap()
}

/// No object may have a field that its schema does not name. The point is a part of others, and stays open.
fn close(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else {
        schema.as_array_mut().into_iter().flatten().for_each(close);
        return;
    };
    members.iter_mut().filter(|(name, _)| *name != "Point").for_each(|(_, its)| close(its));
    if members.contains_key("properties") && members.get("type") == Some(&json!("object")) {
        members.insert("unevaluatedProperties".to_owned(), false.into());
    }
}

/// The document, and what of it has been seen to hold.
struct Document {
    node: String,
    document: Value,
    seen: BTreeSet<String>,
}

impl Document {
    /// What a request answers, once it is as the document says of this route.
    fn holds(&mut self, method: &str, route: &str, path: &str, body: &Value) -> (u16, Value) {
        let api = honeygraph_testnet::api::Api::new(&self.node);
        let (status, answer) = match method {
            "GET" => api.get(path).unwrap(),
            _ => api.send(path, body).unwrap(),
        };
        let operation = &self.document["paths"][route.replace("{*", "{")][method.to_lowercase()];
        let content = &operation["responses"][status.to_string()]["content"]["application/json"];
        let told = format!("{method} {path}: {status} {answer}");
        let mut schema = content["schema"].clone();
        assert!(schema.is_object(), "{told}: not in the document");
        schema["components"] = self.document["components"].clone();
        let valid = jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{route}: {error}"));
        let wrong: Vec<String> =
            valid.iter_errors(&answer).map(|error| format!("{} at {}", error, error.instance_path())).collect();
        assert!(wrong.is_empty(), "{told}\n{}", wrong.join("\n"));
        if status == 200 {
            self.seen.insert(format!("{method} {route}"));
        }
        (status, answer)
    }

    fn get(&mut self, route: &str, path: &str) -> Value {
        let (status, answer) = self.holds("GET", route, path, &Value::Null);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    fn post(&mut self, route: &str, path: &str, mut body: Value) -> Value {
        body["network"] = NETWORK.into();
        let (status, answer) = self.holds("POST", route, path, &body);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

/// Reads of every kind, of a fork, of pages.
fn reads(document: &mut Document, fork: &str, label: u64) {
    let n = format!("network={NETWORK}");
    for path in ["/", "/api", "/api/openapi.json", "/health", "/health/live", "/health/ready", "/namespaces"] {
        document.get(path, path);
    }
    for path in ["/api/health", "/api/status", "/api/gaps", "/api/forks/stats", "/api/query/forks", "/api/query/head"] {
        document.get(path, &format!("{path}?{n}"));
    }
    let (at, past) = ("/api/query/path/{*path}", "/api/query/history/{*path}");
    document.get(at, &format!("/api/query/path/stats?{n}"));
    document.get(at, &format!("/api/query/path/stats?{n}&form=leaves&limit=1"));
    document.get("/api/query/path", &format!("/api/query/path?{n}&fork={fork}"));
    document.get("/api/query/path", &format!("/api/query/path?{n}&path=%5B%22stats%22%5D&form=leaves"));
    document.post("/api/query/paths", "/api/query/paths", json!({ "paths": ["stats", ["nothing", 5]] }));
    document.get("/api/query/state-at/{n}", &format!("/api/query/state-at/{label}?{n}"));
    let diff = document.get("/api/query/diff", &format!("/api/query/diff?{n}&from={label}&limit=2"));
    assert!(diff["next"].is_object() && diff["changes"].as_array().is_some_and(|changes| changes.len() == 2));
    document.get(past, &format!("/api/query/history/stats/pendingHash?{n}&limit=1"));
    document.get("/api/query/history", &format!("/api/query/history?{n}&path=stats/pendingHash"));
    let block = "/api/query/block/{n}";
    document.get(&format!("{block}/full"), &format!("/api/query/block/{label}/full?{n}"));
    document.get(&format!("{block}/operations"), &format!("/api/query/block/{label}/operations?{n}&limit=3"));
    document.get("/namespaces/{ns}/stats", "/namespaces/desk/stats");
    document.get("/namespaces/{ns}/export", "/namespaces/desk/export");
}

/// The routes of snapshots; the head stands behind this block.
fn checkpoints(document: &mut Document, label: u64) {
    let n = format!("network={NETWORK}");
    let (create, list) = ("/api/checkpoints/create", "/api/checkpoints/list");
    let plan = document.post(create, create, json!({ "blockNum": label, "dry_run": true }));
    assert_eq!(plan["checkpoint"]["blockNum"], label);
    // The swarm may have led to a confirmed checkpoint, of which there is one already.
    for block in [label - EVERY, label] {
        let order = json!({ "blockNum": block, "network": NETWORK });
        let (status, answer) = document.holds("POST", create, create, &order);
        assert!([200, 409].contains(&status), "{answer}");
    }
    let listed = document.get(list, &format!("{list}?{n}"));
    let hash = listed["checkpoints"].as_array().unwrap().last().unwrap()["hash"].as_str().unwrap().to_owned();
    let by = "/api/checkpoints/by-hash/{id}";
    document.get(by, &format!("{}?{n}", by.replace("{id}", &hash)));
    let pair = format!("{}/{label}?{n}", label - EVERY);
    document.get("/api/checkpoints/diff/{a}/{b}", &format!("/api/checkpoints/diff/{pair}&limit=2"));
    document.get("/api/checkpoints/files/{a}/{b}", &format!("/api/checkpoints/files/{pair}"));
    let mut order = |what: &str, body: Value| {
        let route = format!("/api/checkpoints/{what}/{{id}}");
        document.post(&route, &route.replace("{id}", &label.to_string()), body)
    };
    order("hold", json!({}));
    order("release", json!({ "tag": "operator" }));
    order("restore", json!({}));
    order("rollback", json!({ "reason": "a test", "dry_run": true }));
    order("clone", json!({ "cloneName": "test" }));
    order("destroy", json!({ "dry_run": true }));
    document.get(list, &format!("{list}?{n}"));
    let clones = "/api/checkpoints/clones/{id}/destroy";
    document.post(clones, &clones.replace("{id}", "test"), json!({}));
    let auto = "/api/checkpoints/auto-snapshots";
    document.post(auto, auto, json!({ "intervalBlocks": 100 }));
    let none = "/api/checkpoints/hold/{id}";
    let (status, _) = document.holds("POST", none, "/api/checkpoints/hold/nothing", &json!({ "network": NETWORK }));
    assert_eq!(status, 404);
}

/// Each figure of the alerting rules is one that a node with a peer says, once.
fn alerts_know_what_there_is(node: &str) {
    let (status, text) = honeygraph_testnet::http::get(node.trim_start_matches("http://"), "/metrics").unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(status, 200, "{text}");
    let told: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let once: BTreeSet<&str> = told.iter().copied().collect();
    assert_eq!(told.len(), once.len(), "planted once: peers_connected was said twice\n{text}");
    let rules = include_str!("../docs/alerts.yml");
    let is_name = |part: &&str| part.starts_with("honeygraph_");
    let named = rules.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_').filter(is_name);
    let named: BTreeSet<&str> = named.map(|name| name.trim_end_matches("_total")).collect();
    assert!(named.len() > 10 && named.is_subset(&once), "{:?}", named.difference(&once).collect::<Vec<_>>());
}

/// The routes of the swarm, with a peer that follows the node to the checkpoint with this hash, behind this block.
fn swarm(document: &mut Document, peer: &LocalNode, (label, hash): (u64, &Value)) {
    let order = json!({ "hash": hash, "reason": "a test", "network": NETWORK });
    peer.api().post("/api/admin/trust", &order).unwrap();
    let address = peer.endpoints().swarm[0].as_str();
    let (peers, discover) = ("/api/sync/peers", "/api/sync/discover");
    for (route, body) in [(peers, json!({ "url": address })), (discover, json!({ "nodes": [{ "url": address }] }))] {
        assert_eq!(document.holds("POST", route, route, &body).0, 200, "{route}");
    }
    let api = honeygraph_testnet::api::Api::new(&document.node);
    let known = |peers: &Value| peers[0]["heads"].is_object().then_some(());
    api.wait(NETWORK, "a peer", |_| known(&api.json(peers).ok()?)).unwrap();
    for path in [peers, "/api/honeygraph-peers", "/api/status", "/health"] {
        document.get(path, path);
    }
    for path in ["/api/sync/status", "/api/sync/peers/status", "/api/sync/gaps"] {
        document.get(path, &format!("{path}?network={NETWORK}"));
    }
    alerts_know_what_there_is(&document.node);
    let consensus = format!("/api/sync/consensus/{label}?network={NETWORK}");
    let agreed = |_: &Value| (api.get(&consensus).ok()?.0 == 200).then_some(());
    api.wait(NETWORK, "the peer to hold the block", agreed).unwrap();
    let said = document.get("/api/sync/consensus/{n}", &consensus);
    document.get("/api/sync/blocks", &format!("/api/sync/blocks?network={NETWORK}"));
    let (gaps, from, verify) = ("/api/sync/sync-gaps", "/api/sync/sync-from/{n}", "/api/sync/verify");
    document.post(gaps, gaps, json!({ "gaps": [{ "start": 1, "end": 9 }] }));
    document.post(verify, verify, json!({ "blockNum": label, "expectedHash": said["consensus"]["blockHash"] }));
    let path = format!("/api/sync/sync-from/1?network={NETWORK}");
    assert_eq!(document.holds("POST", from, &path, &json!({})).0, 200);
}

/// What is not there, not yet, not known or not meant.
fn errors(document: &mut Document) {
    let n = format!("network={NETWORK}");
    let far = "bafyr4i".to_owned() + &"a".repeat(52);
    for (route, path, code) in [
        ("/api/query/path/{*path}", format!("/api/query/path/nothing/here?{n}"), 404),
        ("/api/query/path/{*path}", "/api/query/path/x?network=none_".to_owned(), 404),
        ("/api/query/path", format!("/api/query/path?{n}&slip=1"), 400),
        ("/api/query/path", format!("/api/query/path?{n}&block=x"), 400),
        ("/api/query/state-at/{n}", format!("/api/query/state-at/99999999?{n}"), 404),
        ("/api/query/state-at/{n}", format!("/api/query/state-at/1?{n}"), 404),
        ("/api/query/head", format!("/api/query/head?{n}&fork=none"), 404),
        ("/api/query/head", format!("/api/query/head?{n}&min_batch={far}&wait_ms=1"), 504),
        ("/api/forks/{id}", format!("/api/forks/none?{n}"), 404),
        ("/api/admin/record", "/api/admin/record".to_owned(), 400),
    ] {
        let (status, answer) = document.holds("GET", route, &path, &Value::Null);
        assert_eq!(status, code, "{path}: {answer}");
    }
    let wrong = json!({ "to": "none", "reason": "x", "network": NETWORK });
    assert_eq!(document.holds("POST", "/api/admin/rollback", "/api/admin/rollback", &wrong).0, 404);
}

/// A node in the swarm, which trusts another one if there is one.
fn with_swarm(trusted: Option<&LocalNode>) -> (LocalNode, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), LONG);
    config.swarm.enabled = true;
    config.swarm.consensus.0 = 1;
    for address in trusted.iter().flat_map(|node| &node.endpoints().swarm) {
        config.swarm.sources.push(Source::parse(address).unwrap());
        config.swarm.trusted.push(address.rsplit_once("/p2p/").unwrap().1.parse().unwrap());
    }
    (LocalNode::start(config).unwrap(), folder)
}

/// Guards against: a field left out of a schema; a label that is never null; an answer without a schema.
#[test]
fn every_answer_is_as_the_document_says() {
    logging::start(Format::Text, "error").unwrap();
    let (node, _folder) = with_swarm(None);
    let (peer, _other) = with_swarm(Some(&node));
    let mut document = Document { node: node.endpoints().api.clone(), document: document(), seen: BTreeSet::new() };
    close(&mut document.document["components"]["schemas"]);
    close(&mut document.document["paths"]);
    document.get("/api/status", "/api/status");
    // The head is the history of the one that was past the fifth period first and stays longest: which of the two can be
    // pruned is certain.
    let one = feed(&node, 0, 1, &[]);
    let begun = node.api().wait(NETWORK, "a head", |status| status["head"]["label"].as_u64()).unwrap();
    let past = |status: &Value| (status["head"]["label"].as_u64()? >= begun + 6 * EVERY).then_some(());
    node.api().wait(NETWORK, "a head behind the fork", past).unwrap();
    let other = feed(&node, 900, 2, &[Fault::Disagree { period: 4, salt: 7 }, Fault::Disconnect { op: 300 }]);
    other.finish();
    let alone = |status: &Value| (status["lanes"].as_array()?.len() == 1).then_some(());
    node.api().wait(NETWORK, "the other gone", alone).unwrap();
    one.stop();
    one.finish();
    let status = node.api().settled(NETWORK).unwrap();
    let aside = status["forks"].as_array().unwrap().iter().find(|fork| fork["is_head"] == false);
    let aside =
        aside.unwrap_or_else(|| panic!("a fork: {}", told(&status)))["tip"]["fork"].as_str().unwrap().to_owned();
    let label = status["head"]["label"].as_u64().unwrap() - EVERY;
    reads(&mut document, &aside, label);
    checkpoints(&mut document, label);
    let period = status["periods"][0]["tip"].as_str().unwrap();
    document.get("/api/forks/{id}", &format!("/api/forks/{period}?network={NETWORK}"));
    errors(&mut document);
    swarm(&mut document, &peer, (label, &status["head"]["period"]));

    let why = "a test";
    let rollback = "/api/admin/rollback";
    document.post(rollback, rollback, json!({ "to": label, "reason": why, "dry_run": true }));
    let done = document.post(rollback, rollback, json!({ "to": label, "reason": why }));
    document.get("/api/query/forks", &format!("/api/query/forks?network={NETWORK}"));
    document.get("/api/status", "/api/status");
    let release = "/api/admin/release";
    document.post(release, release, json!({ "verdict": done["verdict"], "reason": why }));
    // Nobody feeds any more and nothing is pinned: the head stays where it is now, and the other history is not its own.
    let quiet = |status: &Value| (status["lanes"] == json!([])).then(|| status["forks"].clone());
    let forks = node.api().wait(NETWORK, "no feed", quiet).unwrap();
    let other = forks.as_array().unwrap().iter().find(|fork| fork["is_head"] == false).unwrap();
    let prune = "/api/admin/forks/{id}/prune";
    let id = other["tip"]["fork"].as_str().unwrap();
    document.post(prune, &prune.replace("{id}", id), json!({ "reason": why }));
    let (trust, hash) = ("/api/admin/trust", status["head"]["period"].clone());
    document.post(trust, trust, json!({ "hash": hash, "reason": why }));
    let level = json!({ "level": "error" });
    assert_eq!(document.holds("POST", "/api/admin/log-level", "/api/admin/log-level", &level).0, 200);

    // One that never answers leaves a gap.
    let mute = feed(&node, 900, 3, &[Fault::Disagree { period: 2, salt: 9 }, Fault::Drop { op: 400 }, Fault::Mute]);
    let gap = |status: &Value| status["gaps"][0]["id"].as_u64();
    let gap = node.api().wait(NETWORK, "a gap", gap).unwrap();
    document.get("/api/gaps", &format!("/api/gaps?network={NETWORK}"));
    document.get("/api/status", "/api/status");
    let accept = "/api/admin/gaps/{id}/accept";
    document.post(accept, &accept.replace("{id}", &gap.to_string()), json!({ "reason": why }));
    document.get("/api/gaps", &format!("/api/gaps?network={NETWORK}"));
    drop(mute);
    peer.stop().unwrap();

    let streams = ["/metrics", "/api/stream", "/api/admin/record"];
    let all = ROUTES.iter().filter(|route| !streams.contains(&route.path));
    let all: BTreeSet<String> = all.map(|route| format!("{} {}", route.method, route.path)).collect();
    let missing: Vec<_> = all.difference(&document.seen).collect();
    assert!(missing.is_empty(), "nobody looked at {missing:?}");
    node.stop().unwrap();
}
