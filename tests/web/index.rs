//! The list of routes against the router, the answers and the documentation.

use crate::client::{Answer, get, post};
use crate::store::{Store, serve};
use honeygraph::web::index::{ROUTES, Route};
use honeygraph::web::openapi::ERRORS;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;

const DOCUMENTATION: &str = include_str!("../../docs/http.md");

async fn ask(at: SocketAddr, route: &Route, query: &str) -> Answer {
    let path =
        ["{*path}", "{n}", "{id}", "{ns}"].iter().fold(route.path.to_owned(), |path, name| path.replace(name, "1"));
    // One that is answered at length is asked of a network that is not there.
    let query = &if route.path == "/api/stream" { format!("network=nope_&{query}") } else { query.to_owned() };
    match route.method {
        "GET" => get(at, &format!("{path}?{query}")).await,
        _ => post(at, &format!("{path}?{query}"), "", &json!({})).await,
    }
}

/// Planted: a handler that does not look at its query string.
#[tokio::test]
async fn a_parameter_that_a_route_does_not_take_is_refused() {
    let store = Store::new();
    let api = serve(&store).await;
    for route in ROUTES {
        let answer = ask(api.at, route, "nonsense=1").await;
        let told = (answer.status, answer.body["code"].as_str(), &answer.body["parameters"]);
        assert_eq!(told, (400, Some("unknown_parameter"), &json!(route.parameters)), "{} {}", route.method, route.path);
        for name in route.parameters {
            let answer = ask(api.at, route, &format!("{name}=1")).await;
            assert_ne!(answer.body["code"], "unknown_parameter", "{} takes {name}: {}", route.path, answer.text);
        }
    }
    let slash = get(api.at, "/api/query/path/?form=leaves&blok=5").await;
    assert_eq!(slash.body["code"], "unknown_parameter", "{}", slash.text);
    assert_eq!(get(api.at, "/api/query/path/?form=leaves").await.body["code"], "unknown_before_base");
}

#[tokio::test]
async fn the_index_lists_every_route() {
    let store = Store::new();
    let api = serve(&store).await;
    for path in ["/", "/api", "/api/"] {
        let index = get(api.at, path).await;
        assert_eq!((index.status, &index.body["routes"]), (200, &json!(ROUTES)), "{path}");
        assert_eq!(index.body["version"], env!("CARGO_PKG_VERSION"));
    }
    assert_eq!(get(api.at, "/nothing").await.body["code"], "not_found");
    // What the router has, less the forms with a slash at the end.
    let source = [include_str!("../../src/web/mod.rs"), include_str!("../../src/web/checkpoints.rs")].concat();
    let routed = source.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let routed: BTreeSet<&str> = routed.filter(|path| !path.ends_with('/')).chain(["/"]).collect();
    assert_eq!(ROUTES.iter().map(|route| route.path).collect::<BTreeSet<_>>(), routed);
}

#[test]
fn every_route_and_parameter_is_documented() {
    for route in ROUTES {
        let heading = format!("### `{} {}`", route.method, route.path);
        let section = DOCUMENTATION.split(&heading).nth(1).unwrap_or_else(|| panic!("no {heading}"));
        let section = section.split("\n#").next().unwrap();
        for name in route.parameters.iter().chain(route.body) {
            assert!(section.contains(&format!("`{name}`")), "{heading} does not say what `{name}` is");
        }
    }
    assert_eq!(DOCUMENTATION.matches("\n### `").count(), ROUTES.len(), "a route that is none");
}

/// Planted: a code that no answer uses (`network_required`).
#[test]
fn the_error_codes_are_those_of_the_answers() {
    let source = include_str!("../../src/web/answer.rs");
    let coded = source.split("Self::new(StatusCode::").skip(1).map(|rest| rest.split('"').nth(1).unwrap());
    let table = DOCUMENTATION.split("## Errors").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5"));
    let documented: BTreeSet<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    assert_eq!(documented, coded.chain(["upgrade_required"]).collect::<BTreeSet<_>>());
    let listed: BTreeSet<String> = ERRORS.iter().map(|(status, code, _)| format!("{status} {code}")).collect();
    let rows = table.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5"));
    let rows = rows.map(|row| format!("{} {}", &row[2..5], row.split('`').nth(1).unwrap()));
    assert_eq!(listed, rows.collect::<BTreeSet<_>>());
}
