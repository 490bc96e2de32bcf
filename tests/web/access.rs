//! Who may call what: every route as everybody, signed requests, keys, limits, names and pages.

use crate::client::{Answer, get, post, send};
use crate::store::{Api, Store, entered, guarded, serve, told};
use honeygraph::access::Access;
use honeygraph::access::account_keys;
use honeygraph::access::address::range;
use honeygraph::access::grant::Roll;
use honeygraph::access::hive::Accounts;
use honeygraph::access::keys::{Key, KeyRing, Scope, keys_path};
use honeygraph::access::limits::{Limits, Rates};
use honeygraph::access::watched::Watched;
use honeygraph::web::index::{Callers, ROUTES, Route};
use honeygraph::web::who::Entrance;
use honeygraph_testnet::hive::Signer;
use serde_json::json;
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

const DOCUMENTATION: &str = include_str!("../../docs/http.md");

/// Of a client elsewhere, through a proxy of ours: the only way to be one in a test.
const STRANGER: &str = "x-forwarded-for: 203.0.113.7\r\n";

fn rules() -> Access {
    Access { proxies: vec![range("127.0.0.1").unwrap()], ..Access::default() }
}

fn key(folder: &Path, scopes: &[&str]) -> String {
    let scopes = scopes.iter().map(|scope| scope.parse::<Scope>().unwrap()).collect();
    let (id, hash, name, account) = (String::new(), String::new(), "test".to_owned(), None);
    let draft = Key { id, name, hash, scopes, account, created_ms: 1, expires_ms: None };
    KeyRing::create(&keys_path(folder), draft).unwrap().1
}

fn with_keys(folder: &Path, access: Access) -> Access {
    Access { keys: Watched::open(&keys_path(folder), KeyRing::watch).unwrap(), ..access }
}

/// A call that reaches its handler and has no effect there: bodies are empty, names are none.
async fn call(api: &Api, route: &Route, headers: &str, network: &str) -> Answer {
    let path = ["{*path}", "{n}", "{id}"].iter().fold(route.path.to_owned(), |path, name| path.replace(name, "1"));
    let path = path.replace("{ns}", network);
    let mut query = if route.parameters.contains(&"network") { format!("?network={network}") } else { String::new() };
    // Without these a request ends before it has chosen its network.
    match route.path {
        "/api/query/diff" => query.push_str("&from=1"),
        "/api/query/history" => query.push_str("&path=x"),
        // An answer that ends.
        "/api/admin/record" => query.push_str("&seconds=x"),
        _ => {}
    }
    if route.path == "/api/stream" {
        query.push_str("&cursor=x"); // an answer that ends
    }
    if route.method == "GET" {
        let request = format!("GET {path}{query} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        return send(api.at, &request).await;
    }
    let mut body = json!({});
    for name in route.body {
        body[name] = match *name {
            "network" => json!(network),
            "paths" => json!(["x"]),
            "gaps" | "nodes" => json!([]),
            "verdict" | "blockNum" | "intervalBlocks" => json!(1),
            "trusted" | "dry_run" => json!(true),
            "min_batch" | "fork" | "block" | "batch" | "form" | "limit" | "wait_ms" => continue,
            _ => json!("x"),
        };
    }
    post(api.at, &path, headers, &body).await
}

/// Row 15: the old server's routes were open to everybody. Guards against: `log-level` not among the orders; a caller who is
/// narrowed to one network gives orders to the default one; a route that chooses its network past [`Web::network`].
#[tokio::test]
async fn every_route_is_for_those_it_is_for() {
    let store = Store::new();
    let folder = tempfile::tempdir().unwrap();
    let reader = format!("{STRANGER}x-api-key: {}\r\n", key(folder.path(), &["read"]));
    let feeder = format!("{STRANGER}x-api-key: {}\r\n", key(folder.path(), &["feed"]));
    let elsewhere = format!("{STRANGER}x-api-key: {}\r\n", key(folder.path(), &["admin", "network:other_"]));
    let here = format!("{STRANGER}authorization: Bearer {}\r\n", key(folder.path(), &["admin", "token:DLUX"]));
    let operator = format!("{STRANGER}x-api-key: {}\r\n", key(folder.path(), &["admin"]));
    for private in [false, true] {
        let mut api = guarded(&store, with_keys(folder.path(), Access { private, ..rules() })).await;
        // A core that refuses whatever it is told: who reaches it got in.
        let orders = std::mem::replace(&mut api.orders, tokio::sync::mpsc::channel(1).1);
        drop(orders);
        for route in ROUTES {
            let wide = ["/health", "/metrics", "/namespaces"].contains(&route.path);
            let whole = ["/api/admin/log-level", "/api/sync/discover"].contains(&route.path);
            let told = format!("{} {} (private: {private})", route.method, route.path);
            let order = route.who == Callers::Operators;
            let fetches = route.path.starts_with("/api/sync/sync-");
            let changes = route.path.starts_with("/api/checkpoints/") && route.method == "POST";
            let of_disk = route.path.starts_with("/api/checkpoints/files/");
            let admin = route.path.starts_with("/api/admin/");
            assert_eq!(order, whole || fetches || changes || of_disk || admin, "{told}");
            let read = !private || route.who == Callers::Anyone;
            let expected = [
                ("nobody", STRANGER, if order || !read { Some(401) } else { None }),
                ("a feeder", &feeder, if order || !read { Some(403) } else { None }),
                ("a reader", &reader, if order { Some(403) } else { None }),
                ("another network's admin", &elsewhere, {
                    // What peers hold of networks that the caller may not see is left out.
                    let of_peers = ["/api/sync/peers", "/api/honeygraph-peers"].contains(&route.path);
                    let narrowed = order
                        || (private && !of_peers)
                        || (route.parameters.contains(&"network")
                            || route.path.contains("{ns}")
                            || route.body.contains(&"network"));
                    if narrowed && route.who != Callers::Anyone { Some(403) } else { None }
                }),
                ("this network's admin", &here, if whole || (private && wide) { Some(403) } else { None }),
                ("the operator", &operator, None),
            ];
            for (who, headers, refused) in expected {
                let answer = call(&api, route, headers, "dlux_").await;
                let is_refusal = matches!(answer.status, 401 | 403);
                assert_eq!(is_refusal.then_some(answer.status), refused, "{told} as {who}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn this_machine_gives_orders_directly_and_to_an_address() {
    let store = Store::new();
    let api = serve(&store).await;
    let order = |host: &str, headers: &str| {
        let body = r#"{"level":"info"}"#;
        format!(
            "POST /api/admin/log-level HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for host in ["127.0.0.1:3030", "localhost", "[::1]:3030"] {
        assert_eq!(send(api.at, &order(host, "")).await.status, 200, "{host}");
    }
    // Whoever a proxy on this machine, which nobody configured, speaks for.
    for header in [STRANGER, "x-forwarded-for: 127.0.0.1\r\n", "forwarded: for=127.0.0.1\r\n", "via: 1.1 x\r\n"] {
        told(&send(api.at, &order("127.0.0.1", header)).await, 401, "unauthorized");
    }
    // A name that somebody made lead here (DNS rebinding).
    told(&send(api.at, &order("evil.example", "")).await, 401, "unauthorized");
    told(&send(api.at, &order("127.0.0.1", "origin: http://127.0.0.1\r\n")).await, 403, "forbidden");
    let elsewhere = || Access { admin_elsewhere: true, ..Access::default() };
    let api = guarded(&store, elsewhere()).await;
    told(&send(api.at, &order("127.0.0.1", "")).await, 401, "unauthorized");
    let api = entered(&store, elsewhere(), Entrance::Admin).await;
    assert_eq!(send(api.at, &order("127.0.0.1:3031", "")).await.status, 200);
    // Both failed once: whoever reached the operator's listener was the operator.
    told(&send(api.at, &order("127.0.0.1", STRANGER)).await, 401, "unauthorized");
    told(&send(api.at, &order("evil.example", "")).await, 401, "unauthorized");
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn signed(signer: &Signer, account: &str, method: &str, path: &str, at: u64, body: &str) -> String {
    let text =
        format!(r#"{{"method":"{method}","path":"{path}","timestamp":{at},"body":{body},"account":"{account}"}}"#);
    let signature = signer.sign(&text);
    format!("{STRANGER}x-hive-account: {account}\r\nx-hive-signature: {signature}\r\nx-hive-timestamp: {at}\r\n")
}

async fn guarded_by_accounts(folder: &Path, store: &Store, signer: &Signer) -> Api {
    let path = folder.join("accounts.json");
    let keys = json!({"alice": {"active": [signer.key()]}, "bob": {"active": [signer.key()]}, "carol": {"active": [signer.key()]}});
    std::fs::write(&path, keys.to_string()).unwrap();
    let accounts = Accounts::new(Watched::open(&path, account_keys::read).unwrap(), Vec::new()).unwrap();
    let roll = "[alice]\nscopes = [\"admin\"]\n[carol]\nscopes = [\"read\"]\n[dave]\nscopes = [\"admin\"]";
    let roll = Roll::new(&[], &toml::from_str(roll).unwrap()).unwrap();
    guarded(store, Access { accounts, roll, ..rules() }).await
}

/// Rows 15 and 29. Guards against: the query string is not signed; a signature is taken twice; a time to come is taken.
#[tokio::test]
async fn a_signed_order_is_taken_once_from_whom_it_may_come() {
    let (store, folder, signer) = (Store::new(), tempfile::tempdir().unwrap(), Signer::new("alice"));
    let api = guarded_by_accounts(folder.path(), &store, &signer).await;
    let (path, body, now) = ("/api/admin/log-level", json!({"level": "info"}), now_ms());
    let good = signed(&signer, "alice", "POST", path, now, &body.to_string());
    assert_eq!(post(api.at, path, &good, &body).await.status, 200);
    let again = post(api.at, path, &good, &body).await;
    told(&again, 401, "unauthorized");
    assert!(again.text.contains("already"), "{}", again.text);
    let cases: Vec<(&str, String, u16)> = vec![
        ("six minutes old", signed(&signer, "alice", "POST", path, now - 360_000, &body.to_string()), 401),
        ("six minutes ahead", signed(&signer, "alice", "POST", path, now + 360_000, &body.to_string()), 401),
        ("another body", signed(&signer, "alice", "POST", path, now + 1, r#"{"level":"debug"}"#), 401),
        ("another path", signed(&signer, "alice", "POST", "/log-level", now + 1, &body.to_string()), 401),
        ("another method", signed(&signer, "alice", "GET", path, now + 1, &body.to_string()), 401),
        (
            "another account",
            signed(&signer, "carol", "POST", path, now + 1, &body.to_string()).replace("carol", "alice"),
            401,
        ),
        ("another key", signed(&Signer::new("mallory"), "alice", "POST", path, now + 1, &body.to_string()), 401),
        ("a reader", signed(&signer, "carol", "POST", path, now + 1, &body.to_string()), 403),
        ("not listed", signed(&signer, "bob", "POST", path, now + 1, &body.to_string()), 403),
        ("keys unknown", signed(&signer, "dave", "POST", path, now + 1, &body.to_string()), 503),
        ("no name", signed(&signer, "x", "POST", path, now + 1, &body.to_string()), 404),
        ("a header missing", format!("{STRANGER}x-hive-account: alice\r\n"), 401),
    ];
    for (what, headers, status) in cases {
        let answer = post(api.at, path, &headers, &body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
    }
    let missing = post(api.at, path, STRANGER, &body).await;
    assert_eq!(missing.body["error"], "Missing authentication headers");
    assert_eq!(missing.body["required"], json!(["x-hive-account", "x-hive-signature", "x-hive-timestamp"]));
    let read = |path: &str, sent: &str| {
        let headers = signed(&signer, "alice", "GET", path, now, "{}");
        format!("GET {sent} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")
    };
    assert_eq!(send(api.at, &read("/api/status?network=dlux_", "/api/status?network=dlux_")).await.status, 200);
    told(&send(api.at, &read("/api/status", "/api/status?network=dlux_")).await, 401, "unauthorized");
}

/// Row 16. Guards against: a refused request counts; loopback behind a proxy is not limited.
#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let store = Store::new();
    let from = |ip: &str| {
        format!(
            "GET /api/query/head?network=dlux_ HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: {ip}\r\n\r\n"
        )
    };
    let limited = |rates| Access { limits: Mutex::new(Limits::new(rates)), ..rules() };
    // So few that none comes back while the test runs.
    let api = guarded(&store, limited(Rates { address: 1, ..Rates::default() })).await;
    let first = send(api.at, &from("203.0.113.7")).await;
    assert_ne!(first.status, 429);
    assert!(first.head.to_lowercase().contains("ratelimit-limit: 1\r\nratelimit-remaining: 0\r\n"), "{}", first.head);
    let refused = send(api.at, &from("203.0.113.7")).await;
    told(&refused, 429, "limited");
    assert_eq!(refused.body["limit"], "address");
    assert!(refused.head.to_lowercase().contains("retry-after: "), "{}", refused.head);
    assert_ne!(send(api.at, &from("203.0.113.8")).await.status, 429);
    let api = guarded(&store, limited(Rates { network: 1, ..Rates::default() })).await;
    assert_ne!(send(api.at, &from("203.0.113.7")).await.status, 429);
    assert_eq!(send(api.at, &from("203.0.113.8")).await.body["limit"], "network");
    let api = guarded(&store, limited(Rates { endpoint: 1, ..Rates::default() })).await;
    assert_ne!(send(api.at, &from("203.0.113.7")).await.status, 429);
    assert_eq!(send(api.at, &from("203.0.113.8")).await.body["limit"], "endpoint");
}

#[tokio::test]
async fn answers_say_nothing_to_other_pages_and_go_into_no_frame() {
    let store = Store::new();
    let ask = |origin: &str, host: &str| {
        format!("GET /health HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\norigin: {origin}\r\n\r\n")
    };
    let api = serve(&store).await;
    let head = send(api.at, &ask("https://app.example", "x")).await.head.to_lowercase();
    assert!(!head.contains("access-control-"), "{head}");
    for header in
        ["x-content-type-options: nosniff", "x-frame-options: deny", "content-security-policy: default-src 'none'"]
    {
        assert!(head.contains(header), "{head}");
    }
    let listed =
        Access { origins: vec!["https://app.example".into()], hosts: vec!["node.example".into()], ..Access::default() };
    let api = guarded(&store, listed).await;
    let head = send(api.at, &ask("https://app.example", "node.example")).await.head.to_lowercase();
    assert!(head.contains("access-control-allow-origin: https://app.example\r\n"), "{head}");
    let head = send(api.at, &ask("https://evil.example", "node.example")).await.head.to_lowercase();
    assert!(!head.contains("access-control-allow-origin"), "{head}");
    told(&send(api.at, &ask("https://app.example", "evil.example")).await, 421, "wrong_host");
    assert_eq!(get(api.at, "/health").await.status, 200);
}

#[test]
fn the_documentation_says_who_may_call_each_route() {
    let table = DOCUMENTATION.split("## Who may call what").nth(1).expect("a section").split("\n## ").next().unwrap();
    for route in ROUTES {
        let who = match route.who {
            Callers::Anyone => "anyone",
            Callers::Readers => "readers",
            Callers::Operators => "operators",
        };
        let row = format!("| `{} {}` | {who} |", route.method, route.path);
        assert!(table.contains(&row), "no row {row}");
    }
    assert_eq!(table.matches("\n| `").count(), ROUTES.len());
}
