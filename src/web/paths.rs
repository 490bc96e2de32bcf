//! Many paths at once: `POST /api/query/paths`.
//!
//! *Always holds:* all are read from one view; of each the answer says whether it is there, is not, or cannot be known;
//! together they are no more than one answer may hold.

use super::Web;
use super::answer::{ApiError, json_bytes};
use super::asked::{Asked, write_encoded};
use super::point::Point;
use super::query::{Body, Query};
use super::read::{MAX_BYTES, MAX_LEAVES, large};
use crate::projection::state::kv::Slice;
use crate::projection::state::nested::Nested;
use crate::projection::state::{Limit, View, kv};
use axum::extract::State;
use axum::response::Response;
use honeygraph_protocols::json::{self, Json, Text};
use honeygraph_protocols::path::{self, Segment};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

/// Paths of one request.
const MAX_PATHS: usize = 100;

const HINT: &str = "ask for fewer or deeper paths, or page through one with /api/query/path?form=leaves&limit=";

/// What the body may say.
pub(super) const BODY: &[&str] = &["paths", "network", "fork", "block", "batch", "form", "min_batch", "wait_ms"];

/// How a path's value is written.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Nested,
    Leaves,
}

/// A path, and the key under which its value stands in the answer.
struct Wanted {
    key: Text,
    path: Asked,
}

/// What was found at a path.
enum Found {
    Here { text: Vec<u8>, hidden: usize },
    Nothing { emptied: bool },
    TooLarge,
}

/// `POST /api/query/paths {paths, network?, fork?, block?, batch?, form?}`
pub(super) async fn many(State(web): State<Arc<Web>>, _: Query, Body(body): Body) -> Result<Response, ApiError> {
    let (wanted, query) = parse(&body)?;
    let form = match query.get("form") {
        None | Some("nested") => Form::Nested,
        Some("leaves") => Form::Leaves,
        Some(_) => return Err(ApiError::bad_request("form is nested or leaves")),
    };
    let point = Point::asked(&web, &query).await?;
    let view = point.snapshot.view_at(&point.batch)?;
    let read = large(move || {
        let mut left = Limit { leaves: MAX_LEAVES, bytes: MAX_BYTES };
        let mut found = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let here = look(&view, &wanted.path.encoded, form, &mut left)?;
            found.push((wanted, here));
        }
        Ok(found)
    });
    let found = read.await?;
    let mut out = b"{".to_vec();
    point.describe(&mut out);
    write(&point, &found, &mut out)?;
    Ok(json_bytes(out))
}

fn parse(body: &[u8]) -> Result<(Vec<Wanted>, Query), ApiError> {
    let wrong = |why: &str| ApiError::bad_request(format!("the body is not a request for paths: {why}"));
    let members = match json::parse(body) {
        Ok(Json::Object(members)) => members,
        Ok(_) => return Err(wrong("it is no object")),
        Err(error) => return Err(wrong(&error.to_string())),
    };
    let (mut wanted, mut pairs) = (Vec::new(), Vec::new());
    for (name, value) in members {
        let name = name.to_string_lossy();
        match (name.as_str(), value) {
            ("paths", Json::Array(paths)) => wanted = paths,
            ("paths", _) => return Err(wrong("paths is no array")),
            (known, value) if BODY.contains(&known) => match value {
                Json::Text(text) => pairs.push((name, text.to_string_lossy())),
                Json::Int(number) => pairs.push((name, number.to_string())),
                _ => return Err(wrong(&format!("{name} is neither a text nor a number"))),
            },
            (unknown, _) => return Err(ApiError::unknown_parameter(unknown, BODY)),
        }
    }
    if !(1..=MAX_PATHS).contains(&wanted.len()) {
        return Err(wrong(&format!("it names 1 to {MAX_PATHS} paths")));
    }
    let wanted = wanted.into_iter().map(asked).collect::<Result<_, _>>()?;
    Ok((wanted, Query::of(pairs)))
}

fn asked(path: Json) -> Result<Wanted, ApiError> {
    match path {
        Json::Text(key) => {
            let text = key.as_str().ok_or_else(|| ApiError::bad_request("a path's text is not UTF-8"))?;
            Ok(Wanted { path: Asked::in_query(text)?, key })
        }
        Json::Array(segments) => {
            let path = Asked::in_array(segments)?;
            let mut key = Vec::new();
            path::write_canonical(&path.segments, &mut key);
            Ok(Wanted { key: String::from_utf8_lossy(&key).as_ref().into(), path })
        }
        _ => Err(ApiError::bad_request("a path is a text or an array")),
    }
}

fn look<S: kv::Snapshot>(view: &View<S>, path: &[u8], form: Form, left: &mut Limit) -> Result<Found, ApiError> {
    let (text, leaves, hidden) = match form {
        Form::Nested => match view.get(path)? {
            Some(text) => (text.to_vec(), 1, 0),
            None => match view.nested(path, *left)? {
                Nested::Nothing => return Ok(Found::Nothing { emptied: view.emptied(path)? }),
                Nested::TooLarge => return Ok(Found::TooLarge),
                Nested::Data { text, leaves, hidden } => (text, leaves, hidden),
            },
        },
        Form::Leaves => {
            let page = view.leaves(path, None, *left)?;
            match page.leaves.len() {
                0 => return Ok(Found::Nothing { emptied: view.emptied(path)? }),
                _ if page.next.is_some() => return Ok(Found::TooLarge),
                leaves => (pairs(&page.leaves)?, leaves, 0),
            }
        }
    };
    match (left.leaves.checked_sub(leaves), left.bytes.checked_sub(text.len())) {
        (Some(leaves), Some(bytes)) => *left = Limit { leaves, bytes },
        _ => return Ok(Found::TooLarge),
    }
    Ok(Found::Here { text, hidden })
}

/// `[[path, value], …]`
fn pairs(leaves: &[(Slice, Slice)]) -> Result<Vec<u8>, ApiError> {
    let mut out = vec![b'['];
    for (i, (path, text)) in leaves.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",[" } else { b"[" });
        write_encoded(path, &mut out)?;
        out.push(b',');
        out.extend_from_slice(text);
        out.push(b']');
    }
    out.push(b']');
    Ok(out)
}

/// `"data"`: what is there, each path once; `"results"`: a word on each path, in the order of the request.
fn write(point: &Point<'_>, found: &[(Wanted, Found)], out: &mut Vec<u8>) -> Result<(), ApiError> {
    let (mut results, mut shown) = (Vec::new(), BTreeSet::new());
    out.extend_from_slice(br#","data":{"#);
    for (Wanted { key, .. }, found) in found {
        results.extend_from_slice(if results.is_empty() { &br#"{"path":"#[..] } else { br#",{"path":"# });
        Segment::Text(key.clone()).write_canonical(&mut results);
        // Writing to memory cannot fail.
        match found {
            Found::TooLarge => {
                return Err(
                    ApiError::too_large("too much is below these paths", HINT).with("path", key.to_string_lossy())
                );
            }
            Found::Nothing { emptied } => {
                let _ = write!(results, r#","status":"{}"}}"#, point.absent(*emptied).code());
            }
            Found::Here { text, hidden } => {
                results.extend_from_slice(br#","status":"found""#);
                if *hidden > 0 {
                    let _ = write!(results, r#","hidden":{hidden}"#);
                }
                results.push(b'}');
                if shown.insert(key.as_bytes()) {
                    if shown.len() > 1 {
                        out.push(b',');
                    }
                    Segment::Text(key.clone()).write_canonical(out);
                    out.push(b':');
                    out.extend_from_slice(text);
                }
            }
        }
    }
    out.extend_from_slice(br#"},"results":["#);
    out.extend_from_slice(&results);
    out.extend_from_slice(b"]}");
    Ok(())
}
