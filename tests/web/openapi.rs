//! The OpenAPI document against the list of routes, the answers, and the standard.

use crate::client::{get, post};
use crate::store::{Store, serve, told};
use honeygraph::web::index::ROUTES;
use honeygraph::web::openapi::{document, errors};
use roas::v3_1::spec::Spec;
use roas::validation::{Options, Validate};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn names(list: &Value, of: &str) -> BTreeSet<String> {
    let all = list.as_array().unwrap().iter();
    all.filter(|one| one["in"] == of).map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

/// Planted: an operation id used twice.
#[tokio::test]
async fn it_is_what_the_standard_says() {
    let store = Store::new();
    let api = serve(&store).await;
    let served = get(api.at, "/api/openapi.json").await;
    assert_eq!((served.status, &served.body), (200, &document()));
    let spec: Spec = serde_json::from_value(served.body).unwrap();
    spec.validate(Options::new(), None).unwrap_or_else(|errors| panic!("{errors}"));
}

/// Planted: a parameter that the tables of the document lack; a route left out.
#[test]
fn it_says_what_the_list_of_routes_says() {
    let document = document();
    let mut operations = 0;
    for route in ROUTES {
        let operation = &document["paths"][route.path.replace("{*", "{")][route.method.to_lowercase()];
        let told = format!("{} {}", route.method, route.path);
        assert_eq!(operation["summary"], route.about, "{told}");
        let parameters: BTreeSet<String> = route.parameters.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(names(&operation["parameters"], "query"), parameters, "{told}");
        let segments =
            route.path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap().trim_start_matches('*'));
        let segments: BTreeSet<String> = segments.map(str::to_owned).collect();
        assert_eq!(names(&operation["parameters"], "path"), segments, "{told}");
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["properties"];
        let fields: BTreeSet<&str> = schema.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        assert_eq!(fields, route.body.iter().copied().collect(), "{told}");
        for (name, schema) in schema.as_object().into_iter().flatten() {
            assert_ne!(schema, &json!({}), "{told}: what is {name}?");
        }
        let responses = operation["responses"].as_object().unwrap().iter();
        let described = responses.filter(|(status, _)| status.starts_with(['4', '5']));
        let described = described.flat_map(|(_, response)| response["description"].as_str().unwrap().split(", "));
        assert_eq!(described.collect::<BTreeSet<_>>(), errors(route).into_iter().collect(), "{told}");
        operations += 1;
    }
    let methods = document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len());
    assert_eq!(methods.sum::<usize>(), operations, "an operation that is no route");
}

/// Planted: `complete` not in what every read says.
#[tokio::test]
async fn answers_have_what_it_requires() {
    let mut store = Store::new();
    store.branch(0, None);
    let a = store.batch(0, None, "QmA", 101, &[r#"{"data":1,"path":["x"],"type":"put"}"#]);
    let api = serve(&store).await;
    let document = document();
    let point = &document["components"]["schemas"]["Point"];
    let required: Vec<&str> = point["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for route in ROUTES {
        let path = route.path.replace("{*path}", "x").replace("{n}", "101").replace("{ns}", "dlux_");
        let content =
            &document["paths"][route.path.replace("{*", "{")][route.method.to_lowercase()]["responses"]["200"];
        let schema = &content["content"]["application/json"]["schema"];
        // Without snapshots there is nothing to compare (`tests/answers.rs` has some).
        let of_snapshots = route.path.starts_with("/api/checkpoints/");
        if schema["allOf"][0]["$ref"] != "#/components/schemas/Point" || of_snapshots {
            continue;
        }
        let answer = match route.method {
            "GET" if route.path.ends_with("/diff") => get(api.at, &format!("{path}?from={}", a.id)).await,
            "GET" if route.path.ends_with("/history") => get(api.at, &format!("{path}?path=x")).await,
            "GET" => get(api.at, &path).await,
            _ => post(api.at, &path, "", &json!({ "paths": ["x"] })).await,
        };
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        // A streamed body comes in chunks: the text of the first says it all.
        for name in &required {
            assert!(answer.text.contains(&format!("\"{name}\":")), "{path} lacks {name}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_body_without_what_is_required_is_refused() {
    let store = Store::new();
    let api = serve(&store).await;
    let document = document();
    for route in ROUTES.iter().filter(|route| route.method == "POST" && !route.body.is_empty()) {
        let schema = &document["paths"][route.path]["post"]["requestBody"]["content"]["application/json"]["schema"];
        let required = schema["required"].as_array().unwrap();
        assert!(!required.is_empty() || route.path.starts_with("/api/checkpoints/"), "{}", route.path);
        let path = route.path.replace("{id}", "1");
        for missing in required {
            let full = required.iter().filter(|name| *name != missing).map(|name| {
                let value = match name.as_str().unwrap() {
                    "paths" => json!(["x"]),
                    "verdict" => json!(1),
                    _ => json!("info"),
                };
                (name.as_str().unwrap().to_owned(), value)
            });
            let body = Value::Object(full.collect());
            told(&post(api.at, &path, "", &body).await, 400, "bad_request");
        }
    }
}
