//! Row 17 of what was wrong with the old server: texts of strangers became parts of queries, regular expressions, shell lines
//! and code. Here a text is data, or it is refused.

use crate::client::{Answer, get, post, send};
use crate::store::{Api, Store, serve};
use honeygraph::web::index::{ROUTES, Route};
use serde_json::{Value, json};

/// Texts that are something else than themselves to whoever puts them into a query, a pattern, a shell line, a path, a header
/// or a template.
const HOSTILE: [&str; 22] = [
    "\"",
    "'",
    "alice\"}} }) { uid }",
    "alice\" OR eq(username, \"bob",
    "') or 1=1 --",
    ".*",
    "(a+)+$",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "a{1,99999}{1,99999}",
    "[",
    "\\",
    "$(id)",
    "`id`",
    "; rm -rf /",
    "| cat /etc/passwd && id",
    "-rf",
    "\r\nx-evil: 1",
    "\0",
    "../../../../etc/passwd",
    "..",
    "${jndi:ldap://x}{{7*7}}%s%n",
    "__proto__",
];

/// What stands in a row that nobody here asks for by its name.
const SECRET: &str = "of somebody else";

/// Rows that a query made of text would find, and one for each hostile text that has it for a name.
fn store() -> Store {
    let mut store = Store::new();
    store.branch(0, None);
    let put = |path: Value, data: Value| json!({ "data": data, "path": path, "type": "put" }).to_string();
    let mut puts: Vec<String> =
        ["alice", "bob"].iter().map(|name| put(json!(["users", name]), json!(SECRET))).collect();
    puts.extend(HOSTILE.iter().enumerate().map(|(nth, text)| put(json!(["hostile", text]), json!(nth))));
    store.batch(0, None, "QmA", 101, &puts.iter().map(String::as_str).collect::<Vec<_>>());
    store
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// An answer that may be given to a hostile text: data or a refusal in words, nothing of another row, no header of its own.
/// 501 and 503 are for what this node has not got: a swarm (whose routes are asked in `tests/swarm.rs`), cores, snapshots.
fn is_sound(answer: &Answer, what: &str) {
    let refused = (400..500).contains(&answer.status) && answer.body["error"].is_string();
    let lacking = [501, 503].contains(&answer.status) && answer.body["code"].is_string();
    assert!(answer.status == 200 || refused || lacking, "{what}: {} {}", answer.status, answer.text);
    assert!(!answer.text.contains(SECRET), "{what}: {}", answer.text);
    assert!(!answer.head.to_lowercase().contains("\nx-evil"), "{what}: {}", answer.head);
}

/// Guards against: a text segment that is unescaped twice, or cut at a NUL; one that is looked up as a pattern or a prefix.
#[tokio::test]
async fn a_hostile_name_is_a_name() {
    let store = store();
    let api = serve(&store).await;
    for (nth, text) in HOSTILE.iter().enumerate() {
        let (name, array) = (encoded(text), encoded(&json!(["hostile", text]).to_string()));
        for path in [
            format!("/api/query/path/hostile/{name}?form=leaves"),
            format!("/api/query/path?form=leaves&path=hostile/{}", encoded(&name)),
            format!("/api/query/path?form=leaves&path={array}"),
            format!("/api/query/state-at/101?form=leaves&path={array}"),
        ] {
            let answer = get(api.at, &path).await;
            assert_eq!(answer.status, 200, "{text:?} {path}: {}", answer.text);
            assert_eq!(answer.body["data"], json!([[["hostile", text], nth]]), "{text:?} {path}: {}", answer.text);
        }
        let history = get(api.at, &format!("/api/query/history/hostile/{name}")).await;
        assert_eq!((history.status, history.text.matches("\"batch\"").count() > 0), (200, true), "{}", history.text);
        let asked = json!({ "paths": [["hostile", text], ["users", text]], "form": "leaves" });
        let both = post(api.at, "/api/query/paths", "", &asked).await;
        let found = both.body["results"].as_array().unwrap();
        assert_eq!((&found[0]["status"], found[1]["status"] == "found"), (&json!("found"), false), "{}", both.text);
        is_sound(&both, text);
        // Beside the rows of others it names none.
        let none = get(api.at, &format!("/api/query/path/users/{name}")).await;
        assert_eq!(none.status, 404, "{text:?}: {}", none.text);
    }
}

/// The places of a route that take a text: parts of its path, parameters, members of its body.
fn places(route: &Route) -> Vec<&'static str> {
    let parts = route.path.split('/').filter(|part| part.starts_with('{'));
    parts.chain(route.parameters.iter().copied()).chain(route.body.iter().copied()).collect()
}

/// A call that is sound but for one place, which says `text`.
async fn call(api: &Api, route: &Route, place: &str, text: &str) -> Answer {
    let part = |part: &str| match part {
        _ if part == place => encoded(text),
        "{ns}" => "dlux_".to_owned(),
        "{*path}" => "hostile".to_owned(),
        part if part.starts_with('{') => "101".to_owned(),
        part => part.to_owned(),
    };
    let mut path = route.path.split('/').map(part).collect::<Vec<_>>().join("/");
    let mut query = Vec::new();
    // Streams end at a cursor that is none, a recording at a time that is none, unless they end before.
    let end = [("/api/stream", "cursor=x"), ("/api/admin/record", "seconds=x")];
    query.extend(
        end.iter().filter(|(of, end)| *of == route.path && !end.starts_with(place)).map(|(_, end)| end.to_string()),
    );
    // Without these a request ends before it has looked at the others.
    if route.path == "/api/query/diff" && place != "from" {
        query.push("from=101".to_owned());
    }
    if route.parameters.contains(&"path") && place != "path" && route.path != "/api/query/diff" {
        query.push("path=hostile".to_owned());
    }
    if route.parameters.contains(&place) {
        query.push(format!("{place}={}", encoded(text)));
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    if route.method == "GET" {
        return get(api.at, &path).await;
    }
    let mut body = json!({});
    for name in route.body {
        body[name] = match *name {
            name if name == place => json!(text),
            "network" => json!("dlux_"),
            "paths" => json!(["hostile"]),
            "gaps" | "nodes" => json!([]),
            "verdict" | "blockNum" | "intervalBlocks" => json!(1),
            "trusted" | "dry_run" => json!(true),
            "min_batch" | "fork" | "block" | "batch" | "form" | "limit" | "wait_ms" => continue,
            _ => json!("x"),
        };
    }
    post(api.at, &path, "", &body).await
}

/// Guards against: a route that is not asked here because it came later; a text that gets as far as a panic.
#[tokio::test]
async fn every_text_of_every_route_is_data_or_refused() {
    let store = store();
    let mut api = serve(&store).await;
    // A core that takes no orders: what reaches it has passed all that looks at texts.
    drop(std::mem::replace(&mut api.orders, tokio::sync::mpsc::channel(1).1));
    let mut asked = 0;
    for route in ROUTES {
        for place in places(route) {
            for text in HOSTILE {
                let answer = call(&api, route, place, text).await;
                is_sound(&answer, &format!("{} {} with {place}={text:?}", route.method, route.path));
                asked += 1;
            }
        }
    }
    assert!(asked > 100 * HOSTILE.len(), "{asked}");
    let health = get(api.at, "/health/live").await;
    assert_eq!(health.status, 200, "{}", health.text);
}

/// Guards against: a key or a name of a host that reaches more than a comparison.
#[tokio::test]
async fn texts_in_headers_are_compared_and_nothing_else() {
    let store = store();
    let api = serve(&store).await;
    for text in HOSTILE.iter().filter(|text| !text.contains(['\r', '\n', '\0'])) {
        for header in ["authorization: Bearer ", "x-api-key: ", "x-hive-account: ", "x-hive-signature: ", "host: "] {
            let host = if header == "host: " { "" } else { "host: elsewhere.example\r\n" };
            let request = format!(
                "GET /api/query/path/users/{} HTTP/1.1\r\n{host}{header}{text}\r\nconnection: close\r\n\r\n",
                encoded(text)
            );
            let answer = send(api.at, &request).await;
            // What is no header at all ends in HTTP itself, without a body.
            assert!((400..500).contains(&answer.status), "{header}{text:?}: {}", answer.text);
            assert!(!answer.text.contains(SECRET), "{header}{text:?}: {}", answer.text);
        }
    }
}

/// The old server loaded what was uploaded as a token's API, and ran it. Tokens stand in the operator's configuration.
#[tokio::test]
async fn no_route_takes_code_or_the_definition_of_a_token() {
    const CODE: [&str; 11] =
        ["code", "script", "module", "source", "api", "schema", "token", "query", "file", "command", "handler"];
    for route in ROUTES {
        let found = route.body.iter().chain(route.parameters).find(|name| CODE.contains(name));
        assert_eq!(found, None, "{} {}", route.method, route.path);
        assert!(!["upload", "token", "plugin", "eval"].iter().any(|word| route.path.contains(word)), "{}", route.path);
    }
    let store = store();
    let api = serve(&store).await;
    let code = json!({ "symbol": "EVIL", "api": "module.exports = router => process.exit(1)" });
    for path in ["/api/tokens", "/api/tokens/upload", "/api/tokens/EVIL/api", "/api/admin/tokens", "/upload"] {
        let answer = post(api.at, path, "", &code).await;
        assert!([404, 405].contains(&answer.status), "{path}: {} {}", answer.status, answer.text);
    }
    // A form with a file is nobody's body.
    let form = "--x\r\ncontent-disposition: form-data; name=\"api\"; filename=\"../api.js\"\r\n\r\nx\r\n--x--\r\n";
    for route in ROUTES.iter().filter(|route| route.method == "POST") {
        let path = route.path.replace("{id}", "1").replace("{n}", "1");
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: {}\r\n\r\n{form}",
            form.len()
        );
        let answer = send(api.at, &request).await;
        let takes_none = route.body.is_empty() && [501, 503].contains(&answer.status);
        assert!((400..500).contains(&answer.status) || takes_none, "{path}: {} {}", answer.status, answer.text);
    }
}
